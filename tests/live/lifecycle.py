"""A server process from outside: starting, signals, commands, TLS.

Run with ``python -m twisted.trial tests.live.lifecycle``; ``bin/test lifecycle`` does.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.live.server import ROOT, Server
from tests.live.several import server as started
from tests.support.ports import free_port

GMS = str(ROOT / "bin" / "gms")
LIMIT_S = 30

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    underscores_in_headers {setting};
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""


def get(url: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def post(url: str, **fields: str) -> tuple[int, bytes]:
    """Post a form."""
    try:
        with urlopen(Request(url, urlencode(fields).encode()), timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``bin/gms``."""
    return subprocess.run(
        [GMS, *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def certificate(folder: Path, name: str) -> None:
    """Write ``key.pem`` and ``cert.pem`` with a common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def served_name(port: int) -> str:
    """The common name of the certificate that a port shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    shown = x509.load_pem_x509_certificate(pem.encode())
    return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


class LifecycleCase(SynchronousTestCase):
    """With a folder of its own."""

    def setUp(self) -> None:
        """Make the folder."""
        folder = tempfile.TemporaryDirectory(prefix="gms-life-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def wait_for(self, server: Server, text: str) -> None:
        """Wait until the server has said something."""
        end = time.monotonic() + LIMIT_S
        while text not in server.said:
            self.assertLess(time.monotonic(), end, f"it never said {text!r}: {server.said}")
            time.sleep(0.05)


class StartTests(LifecycleCase):
    """Starting."""

    def test_a_taken_port_ends_the_start_with_one_sentence(self) -> None:
        """Exit status 1, no traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = command(
                "--data", str(self.folder), "--listen", f"tcp:{port}:interface=127.0.0.1"
            )
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"Cannot listen on tcp:{port}", ended.stderr)
        self.assertNotIn("Traceback", ended.stdout + ended.stderr)

    def test_R06_a_second_server_on_the_same_data_refuses_to_start(self) -> None:
        """And the first one goes on."""
        with Server(data=self.folder) as server:
            ended = command("--data", str(self.folder), "--listen", "tcp:0:interface=127.0.0.1")
            self.assertEqual(ended.returncode, 1)
            self.assertEqual(len(ended.stderr.strip().splitlines()), 1, ended.stderr)
            self.assertNotIn("Traceback", ended.stdout + ended.stderr)
            self.assertEqual(get(f"{server.url}/genesys/1/node"), (200, b""))

    def test_a_bad_configuration_is_listed_and_nothing_starts(self) -> None:
        """Every fault at once, with file and line."""
        broken = self.folder / "gms.ini"
        broken.write_text("[http]\nmax_body = much\n[server]\nweb_port = x\n")
        ended = command("--config", str(broken), "--data", str(self.folder))
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"{broken}:2: http/max_body: ", ended.stderr)
        self.assertIn(f"{broken}:4: server/web_port: ", ended.stderr)

    def test_G08_an_open_server_that_others_can_reach_says_so(self) -> None:
        """At every start."""
        with Server(
            "--listen", "tcp:0:interface=0.0.0.0", "--set", "server/identity_mode=open",
            data=self.folder,
        ) as server:  # fmt: skip
            self.assertIn("warning: server/identity_mode is open", server.said)

    def test_G08_the_default_is_loopback(self) -> None:
        """Nobody else can reach a server that was started without options."""
        with Server(data=self.folder) as server:
            self.assertIn("http://127.0.0.1:", server.url)
            self.assertNotIn("warning", server.said)

    def test_the_log_can_be_json(self) -> None:
        """One object a line, the ready line among them."""
        process = subprocess.Popen(
            [GMS, "--data", str(self.folder), "--listen", "tcp:0:interface=127.0.0.1",
             "--log-format", "json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                entry = json.loads(line)
                if "ready on" in entry["text"]:
                    break
        self.assertEqual(entry["level"], "info")
        self.assertNotIn("link=", line)


class SignalTests(LifecycleCase):
    """Signals."""

    def test_R12_SIGTERM_ends_with_status_0(self) -> None:
        """Held polls are answered first, with the advice to come back."""
        server = started(data=self.folder)
        server.start()
        url = f"{server.url}/genesys/cometd"

        def say(**message: str) -> list[dict[str, object]]:
            body = json.dumps([message]).encode()
            request = Request(url, body, {"Content-Type": "application/json"})
            with urlopen(request, timeout=30) as answer:
                said = json.load(answer)
            assert isinstance(said, list)
            return said

        client = str(say(channel="/meta/handshake", version="1.0")[0]["clientId"])
        connect = {
            "channel": "/meta/connect",
            "clientId": client,
            "connectionType": "long-polling",
        }
        say(**connect)
        held = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        body = json.dumps([connect]).encode()
        held.sendall(
            b"POST /genesys/cometd HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        held.settimeout(LIMIT_S)
        time.sleep(0.3)
        self.assertEqual(server.stop(), 0, server.said)
        answer = b"".join(iter(lambda: held.recv(65536), b""))
        held.close()
        advice = json.loads(answer.partition(b"\r\n\r\n")[2])[0]["advice"]
        self.assertEqual(advice["reconnect"], "retry")
        self.assertTrue(0 <= advice["interval"] <= 5000)

    def test_R13_SIGHUP_applies_a_good_configuration_and_keeps_out_a_bad_one(self) -> None:
        """As a whole or not at all."""
        file = self.folder / "gms.ini"
        file.write_text("[storage]\nmax_keys = 5\n")
        with started("--config", str(file), data=self.folder) as server:
            url = f"{server.url}/genesys/1/storage/60"
            self.assertEqual(post(url, a="1", b="2", c="3")[0], 200)
            file.write_text("[storage]\nmax_keys = 2\n")
            self.hang_up(server, "Configuration applied")
            self.assertEqual(post(url, a="1", b="2", c="3")[0], 400)
            file.write_text("[storage]\nmax_keys = 9\n[http]\nmax_body = much\n")
            self.hang_up(server, "Configuration not applied")
            self.assertEqual(post(url, a="1", b="2", c="3")[0], 400)

    def hang_up(self, server: Server, answer: str) -> None:
        """Send SIGHUP and wait for what it says, each process of it."""
        for one in server.each:
            subprocess.run(["kill", f"-{signal.SIGHUP.value}", str(one.pid)], check=True)
            self.wait_for(one, answer)

    def test_R13_SIGHUP_swaps_certificates(self) -> None:
        """For new connections; the port stays open."""
        certificate(self.folder, "first")
        port = free_port()
        files = f"privateKey={self.folder}/key.pem:certKey={self.folder}/cert.pem"
        tls = f"ssl:{port}:interface=127.0.0.1:{files}"
        with Server("--listen", tls, data=self.folder) as server:
            self.assertEqual(served_name(port), "first")
            trusting = ssl._create_unverified_context()
            trusting.set_alpn_protocols(["h2", "http/1.1"])  # as browsers and curl do
            with urlopen(f"https://127.0.0.1:{port}/genesys/1/node", context=trusting) as answer:
                self.assertEqual(answer.status, 200)
            certificate(self.folder, "second")
            self.hang_up(server, "Configuration applied")
            self.assertEqual(served_name(port), "second")


class CommandTests(LifecycleCase):
    """``bin/gms COMMAND``."""

    def test_check_names_every_fault_with_file_and_line(self) -> None:
        """Exit status 1; 0 for the packaged file."""
        broken = self.folder / "gms.ini"
        broken.write_text("[http]\nmax_body = much\nmax_bodies = 5\n[bayeux]\nprofile = x\n")
        ended = command("check", "--config", str(broken))
        self.assertEqual(ended.returncode, 1)
        for wanted in (
            f"{broken}:2: http/max_body: ",
            f"{broken}:3: http/max_bodies: ",
            f"{broken}:5: bayeux/profile: ",
        ):
            self.assertIn(wanted, ended.stdout)
        good = command("check")
        self.assertEqual(good.returncode, 0, good.stdout)

    def test_login_link_works_while_the_server_runs(self) -> None:
        """It prints a link that the desk takes."""
        with started(data=self.folder) as server:
            ended = command("login-link", "--data", str(server.each[-1].data))
            self.assertEqual(ended.returncode, 0, ended.stderr)
            token = ended.stdout.strip().rpartition("#link=")[2]
            status, body = get(f"{server.url}/desk/api/link/{token}")
            self.assertEqual((status, json.loads(body)["new"]), (200, True))

    def test_login_link_without_a_server_says_so(self) -> None:
        """One sentence."""
        ended = command("login-link", "--data", str(self.folder))
        self.assertEqual(ended.returncode, 1)
        self.assertIn("no server uses", ended.stderr)

    def test_backup_makes_a_copy_that_a_server_starts_from(self) -> None:
        """While the first one serves."""
        with Server(data=self.folder) as server:
            answer = post(f"{server.url}/genesys/1/storage/600", Key1="Value1")[1]
            area = json.loads(answer)["id"]
            copy = self.folder / "copy" / "gms.db"
            copy.parent.mkdir()
            ended = command("backup", str(copy), "--data", str(self.folder))
            self.assertEqual(ended.returncode, 0, ended.stderr)
        with Server(data=copy.parent) as server:
            self.assertEqual(get(f"{server.url}/genesys/1/storage/{area}/Key1"), (200, b"Value1"))
        self.assertEqual(command("check", "--data", str(copy.parent)).returncode, 0)

    def test_restore_puts_a_copy_back(self) -> None:
        """With no server running; the former file is kept."""
        data = self.folder / "data"
        data.mkdir()
        with Server(data=data) as server:
            area = json.loads(post(f"{server.url}/genesys/1/storage/600", Key1="old")[1])["id"]
            copy = self.folder / "copy.db"
            command("backup", str(copy), "--data", str(data))
            post(f"{server.url}/genesys/1/storage/{area}/600", Key1="new")
            busy = command("restore", str(copy), "--data", str(data))
            self.assertEqual(busy.returncode, 1, busy.stdout)
        ended = command("restore", str(copy), "--data", str(data))
        self.assertEqual(ended.returncode, 0, ended.stderr)
        with Server(data=data) as server:
            self.assertEqual(get(f"{server.url}/genesys/1/storage/{area}/Key1"), (200, b"old"))

    def test_C12_a_persons_chats_and_sessions_are_exported_and_deleted(self) -> None:
        """While the server runs."""
        with started(data=self.folder) as server:
            request = Request(
                f"{server.url}/genesys/1/service/request-chat", b"", {"gms_user": "vasya"}
            )
            with urlopen(request, timeout=10) as answer:
                service = json.load(answer)["_id"]
            chat = f"{server.url}/genesys/1/service/{service}/ixn/chat"
            post(chat, firstName="Vasya", subject="canary subject")
            post(f"{chat}/send", message="canary message")
            request = Request(
                f"{server.url}/genesys/1/service/request-inbound-poll",
                b"_agent_group=Billing&_phone_number=%2B14155550134&note=canary+data",
                {"gms_user": "vasya"},
            )
            with urlopen(request, timeout=10) as answer:
                self.assertIn("_id", json.load(answer))
            options = ("--data", str(server.each[-1].data))
            said = command("user-export", "vasya", *options).stdout
            for canary in ("canary message", "+14155550134"):
                self.assertIn(canary, said)
            deleted = command("user-delete", "vasya", *options).stdout.strip()
            self.assertEqual(deleted, "1 chats, 1 sessions")
            left = json.loads(command("user-export", "vasya", *options).stdout)
            self.assertEqual(left, {"chats": [], "sessions": []})

    def test_self_check_tries_what_clients_need(self) -> None:
        """Straight to the server everything gets through."""
        with started(data=self.folder) as server:
            ended = command("self-check", "--data", str(server.each[-1].data))
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
            self.assertEqual(ended.stdout.count("ok "), 4, server.said)

    def test_B03_self_check_finds_a_proxy_that_drops_the_header(self) -> None:
        """A real nginx, without and with its setting."""
        nginx = shutil.which("nginx")
        if nginx is None:
            raise SkipTest("nginx is not installed; bin/test installs it where it may")
        with Server("--set", "server/trusted_proxies=127.0.0.0/8", data=self.folder) as server:
            for setting, wanted in (("off", 1), ("on", 0)):
                url = self.start_nginx(nginx, server.url, setting)
                ended = command("self-check", "--url", url, "--data", str(self.folder))
                self.assertEqual(ended.returncode, wanted, ended.stdout + ended.stderr)
                dropped = "underscores_in_headers" in ended.stdout
                self.assertEqual(dropped, setting == "off", ended.stdout)

    def start_nginx(self, nginx: str, upstream: str, setting: str) -> str:
        """Start one before a server; returns its URL."""
        port = free_port()
        folder = self.folder / f"nginx-{setting}"
        folder.mkdir()
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=port, upstream=upstream, setting=setting))
        process = subprocess.Popen([nginx, "-c", str(file), "-p", str(folder)])
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return f"http://127.0.0.1:{port}/"
            except OSError:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)

    def test_help_names_the_commands(self) -> None:
        """And how the server is run."""
        said = command("--help").stdout
        for word in ("check", "login-link", "backup", "export", "import", "--listen"):
            self.assertIn(word, said)
