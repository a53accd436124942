"""haproxy and nginx, each with the file that we ship, in front of nodes on this machine.

Changed in the files are ports, paths and certificates, and the nodes are as many lines as a test
wants; every change must find its place, so that a file that was edited is noticed here.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.live.server import ROOT
from tests.support.ports import free_port

LIMIT_S = 30.0

INSIDE = "127.0.0.1"
"""An address that the files have as internal, and as one that may name users."""

OUTSIDE = "127.0.0.2"
"""One that they do not have."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    :ivar headers: by lower-case name.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Front:
    """One proxy process.

    :param kind: ``haproxy`` or ``nginx``.
    :param ports: of the nodes, in the order of the file.
    :ivar port: where it speaks TLS.
    :ivar certificate: file of its certificate, which is its own authority.
    """

    def __init__(self, kind: str, ports: Sequence[int]) -> None:
        self.kind = kind
        self.port, self.plain_port = free_port(), free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="gms-front-")
        self._path = Path(self._folder.name)
        self.certificate = self._path / "cert.pem"
        _certify(self._path)
        if kind == "haproxy":
            file = self._path / "haproxy.cfg"
            file.write_text(self._haproxy(ports))
            self._command = ["haproxy", "-db", "-f", str(file)]
        else:
            file = self._path / "nginx.conf"
            file.write_text(self._nginx(ports))
            self._command = [
                *("nginx", "-e", str(self._path / "error.log")),
                *("-c", str(file), "-g", "daemon off;"),
            ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What clients are told, without a slash at the end."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """What it logged."""
        return "".join(file.read_text() for file in sorted(self._path.glob("*.log")))

    def start(self) -> Front:
        """Start it, and return when it takes connections."""
        with (self._path / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

        def listens() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.kind} did not start: {self.said}")
            try:
                socket.create_connection((INSIDE, self.port)).close()
            except OSError:
                return False
            return True

        until(listens, "a proxy that listens")
        return self

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            # nginx ends its workers at SIGTERM; haproxy is one process.
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def trust(self) -> ssl.SSLContext:
        """A context that believes its certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = INSIDE,
    ) -> Answer:
        """Make one request on a connection of its own.

        :param source: the client's address.
        """
        connection = http.client.HTTPSConnection(
            *(INSIDE, self.port), timeout=LIMIT_S, context=self.trust(), source_address=(source, 0)
        )
        try:
            with suppress(OSError):  # what refuses a body closes while it is sent: read why
                connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def _haproxy(self, ports: Sequence[int]) -> str:
        changes = {
            "log /dev/log local0": "log stdout format raw local0",
            "/run/haproxy/admin.sock": str(self._path / "admin.sock"),
            "bind :443 ssl crt /etc/haproxy/gms.pem": (
                f"bind 127.0.0.1:{self.port} ssl crt {self._path}/both.pem"
            ),
            "bind :80\n": f"bind 127.0.0.1:{self.plain_port}\n",
            "maxconn 20000": "maxconn 200",
        }
        if os.geteuid():
            changes |= {
                "    user haproxy\n": "",
                "    group haproxy\n": "",
                "    chroot /var/lib/haproxy\n": "",
            }
        nodes = [
            f"    server gms{number} 127.0.0.1:{port}\n" for number, port in enumerate(ports, 1)
        ]
        text = (ROOT / "etc" / "haproxy.cfg").read_text()
        return _changed(text, changes, r"^    server gms\d 127\.0\.0\.1:808\d\n", nodes)

    def _nginx(self, ports: Sequence[int]) -> str:
        changes = {
            "/run/nginx.pid": str(self._path / "pid"),
            "/var/log/nginx/gms.log": str(self._path / "access.log"),
            "/var/log/nginx/error.log": str(self._path / "error.log"),
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "/etc/nginx/gms.crt": str(self.certificate),
            "/etc/nginx/gms.key": str(self._path / "key.pem"),
            "worker_connections 20000": "worker_connections 200",
            "worker_rlimit_nofile 65536": "worker_rlimit_nofile 1024",
        }
        if os.geteuid():
            temporary = (
                f"{name}_temp_path {self._path}/{name};"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            changes["http {\n"] = "http {\n" + "".join(temporary)
        options = " max_fails=1 fail_timeout=5s;\n"
        nodes = [f"        server 127.0.0.1:{port}{options}" for port in ports]
        text = (ROOT / "etc" / "nginx.conf").read_text()
        return _changed(text, changes, rf"^        server 127\.0\.0\.1:808\d{options}", nodes)


class DeadAddress:
    """A port that refuses connections, and that nobody else gets meanwhile."""

    def __init__(self) -> None:
        self._bound = socket.socket()
        self._bound.bind((INSIDE, 0))
        self.port: int = self._bound.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._bound.close()


class Grave:
    """Looks like a healthy node, and closes the connection at any request but ``GET /health``.

    :ivar seen: how often each request came, by its first two words.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._listening = socket.create_server((INSIDE, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT_S)
                head = b""
                while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                    head += more
                words = " ".join(head.decode("latin-1").split(" ")[:2])
                if words == "GET /health":
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    connection.sendall(answer)
                elif words:
                    self.seen[words] += 1

    def close(self) -> None:
        """Listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _changed(text: str, changes: Mapping[str, str], node: str, nodes: Sequence[str]) -> str:
    """Carry out changes outside comments; each must have one place, and nodes two."""
    lines = "".join(
        line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#")
    )
    for old, new in changes.items():
        if lines.count(old) != 1:
            raise AssertionError(f"{old!r} is {lines.count(old)} times in the shipped file")
        lines = lines.replace(old, new)
    found = re.findall(node, lines, re.M)
    if len(found) != 2:
        raise AssertionError(f"the shipped file has {len(found)} nodes")
    first, second = found
    return lines.replace(first, "".join(nodes)).replace(second, "")


def _certify(folder: Path) -> None:
    """Write ``cert.pem``, ``key.pem``, and ``both.pem`` of them, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gms in front")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(INSIDE))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for file, text in (("cert.pem", made), ("key.pem", secret), ("both.pem", made + secret)):
        (folder / file).write_bytes(text)


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does.

    :raises AssertionError: not within :data:`LIMIT_S`.
    """
    end = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.05)


def missing(kind: str) -> str:
    """Say why tests with a proxy cannot run here, ``""`` when they can."""
    return "" if shutil.which(kind) else f"{kind} is not installed; bin/test installs it"
