"""The servers that are measured: how each is installed, started on its core, and stopped.

Knows: commands, ports, what each server can do, certificates.
Does not know: what is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
OUT = FOLDER / "out"
PEERS = FOLDER / "peers"
JETTY = PEERS / "jetty"
SERVER_CPU, GENERATOR_CPU = "0", "1"
TICKS = os.sysconf("SC_CLK_TCK")
START_S = 30.0
"""Longest time that a server may take to start."""
_READY = ("ready", "stop it with Ctrl+C")


@dataclass(frozen=True)
class Start:
    """How a server is to be started.

    :ivar data: a new folder.
    :ivar tls: a certificate with its key, as ``cert.pem`` and ``cert.p12`` in this folder.
    :ivar ack: with the acknowledgement extension, where that is a choice.
    """

    data: Path
    tls: Path | None = None
    ack: bool = False


@dataclass(frozen=True)
class Server:
    """A server.

    :ivar title: its heading in tables.
    :ivar path: its Bayeux URL.
    :ivar words: its command line.
    :ivar ack: it has the acknowledgement extension.
    :ivar warm_s: CPU seconds that it has used, under load, before a measurement; what compiles
        while it runs needs them, however busy the machine is.
    """

    name: str
    title: str
    path: str
    port: int
    words: Callable[[Start], Sequence[str]]
    websocket: bool = True
    ack: bool = True
    warm_s: float = 0.0


def _ours(start: Start, checkout: Path = ROOT, port: int = 18080) -> Sequence[str]:
    kind, end = ("tcp", "")
    if start.tls:
        pem = start.tls / "cert.pem"
        kind, end = ("ssl", f":privateKey={pem}:certKey={pem}")
    return (
        *(str(checkout / "bin" / "gms"), "--log-level", "warn", "--data", str(start.data)),
        *("--listen", f"{kind}:{port}:interface=127.0.0.1:backlog=1024{end}"),
        *("--set", "http/max_connections_per_address=40000"),
        *("--set", "bayeux/maxSessionsPerAddress=40000"),
        *("--set", "limits/s01_misses_per_min=100000"),
    )


def _faye(start: Start) -> Sequence[str]:
    pem = [str(start.tls / "cert.pem")] if start.tls else []
    return ("node", "faye.js", "18081", *pem)


def _cometd(start: Start) -> Sequence[str]:
    pem = [str(start.tls / "cert.pem")] if start.tls else []
    return ("node", "cometd.js", "18082", *(["ack"] if start.ack else []), *pem)


def _jetty(start: Start) -> Sequence[str]:
    store = [str(start.tls / "cert.p12")] if start.tls else []
    path = f"{JETTY}/target/*:{JETTY}/target/lib/*"
    return ("java", "-cp", path, "JettyPeer", "18083", *(["ack"] if start.ack else []), *store)


SERVERS = {
    server.name: server
    for server in (
        Server("ours", "ours", "/genesys/cometd", 18080, _ours),
        Server("faye", "faye", "/bayeux", 18081, _faye, ack=False),
        Server("cometd", "cometd-nodejs", "/cometd", 18082, _cometd, websocket=False),
        Server("jetty", "CometD on Jetty", "/cometd", 18083, _jetty, warm_s=25.0),
    )
}
NODES = ("faye", "cometd")
"""The peers on Node; targets are stated against the better of them, and against Jetty."""


BEFORE = "before"


def add_before(checkout: Path) -> None:
    """Have another checkout of ours among the servers, to be measured beside this one."""

    def words(start: Start) -> Sequence[str]:
        return _ours(start, checkout, 18084)

    SERVERS[BEFORE] = Server(BEFORE, BEFORE, "/genesys/cometd", 18084, words)


def install(names: Sequence[str]) -> list[str]:
    """Install peers that are missing; returns the names of the servers that can be started."""
    left = list(names)
    if set(left) & set(NODES) and not _install_nodes():
        left = [name for name in left if name not in NODES]
    if "jetty" in left and not _build_jetty():
        left.remove("jetty")
    return left


def _install_nodes() -> bool:
    if (PEERS / "node_modules" / "faye").exists():
        return True
    if shutil.which("npm") is None:
        print("bench: without faye and cometd-nodejs: npm is missing (apt-get install nodejs npm)")
        return False
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
    return subprocess.run(command, cwd=PEERS, check=False).returncode == 0


def _build_jetty() -> bool:
    sources = [JETTY / "pom.xml", *JETTY.glob("src/main/java/*.java")]
    newest = max(source.stat().st_mtime for source in sources)
    if any(jar.stat().st_mtime >= newest for jar in (JETTY / "target").glob("*.jar")):
        return True
    missing = [tool for tool in ("javac", "mvn") if shutil.which(tool) is None]
    if missing:
        print(
            f"bench: without CometD on Jetty: {' and '.join(missing)} missing "
            "(apt-get install default-jdk-headless maven)"
        )
        return False
    command = ["mvn", "--batch-mode", "--quiet", "clean", "package"]
    if subprocess.run(command, cwd=JETTY, check=False).returncode:
        print("bench: without CometD on Jetty: it could not be built")
        return False
    return True


@cache
def certificate() -> Path:
    """Make a certificate for this run; returns its folder."""
    folder = OUT / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    key, cert, both = folder / "key.pem", folder / "only.pem", folder / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(key),
            "-out", str(cert)]  # fmt: skip
    subprocess.run(make, check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    pack = ["openssl", "pkcs12", "-export", "-in", str(cert), "-inkey", str(key),
            "-out", str(folder / "cert.p12"), "-passout", "pass:bench"]  # fmt: skip
    subprocess.run(pack, check=True, capture_output=True)
    return folder


@contextmanager
def running(server: Server, *, tls: bool = False, ack: bool = False) -> Iterator[int]:
    """Start a server on its core; gives its process id.

    :raises RuntimeError: it did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="gms-bench-") as folder:
        start = Start(Path(folder) / "data", certificate() if tls else None, ack)
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["taskset", "-c", SERVER_CPU, *server.words(start)],
                cwd=PEERS,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _await(process, log)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text(errors="replace")
        if any(line.strip() in _READY for line in said.splitlines()):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def versions() -> dict[str, str]:
    """What the servers run on, for the head of the results."""
    found = {}
    for name, command in (
        ("python", [str(ROOT / ".venv/bin/python"), "-c",
                    "import platform, twisted; "
                    "print(platform.python_version(), twisted.__version__)"]),
        ("node", ["node", "--version"]),
        ("java", ["java", "--version"]),
    ):  # fmt: skip
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            found[name] = said.splitlines()[0].strip() if said else ""
    return found
