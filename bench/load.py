"""The load generator: compiled once, run on a core of its own, one JSON line each.

Knows: its options and its output.  Does not know: servers, rows, tables.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import FOLDER, GENERATOR_CPU, OUT, Server

CIPHER = "TLS_AES_128_GCM_SHA256"

Line = Mapping[str, float]
"""What the generator prints; ``main.c`` says what the names mean."""


@dataclass(frozen=True)
class Load:
    """What is asked of the generator, but for the address.

    :ivar transport: ``lp``, ``ws`` or ``mix``.
    :ivar words: its other options.
    """

    transport: str
    words: tuple[str, ...] = ()
    tls: bool = False
    ack: bool = False

    def command(self, server: Server, pid: int) -> list[str]:
        """The generator's options against a server."""
        tls = ["-T", CIPHER] if self.tls else []
        ack = ["-a"] if self.ack else []
        return [
            *("-p", str(server.port), "-u", server.path, "-t", self.transport, "-P", str(pid)),
            *(*tls, *ack, *self.words),
        ]


def prepare() -> None:
    """Check the machine, and let generator and servers have enough files open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: two cores are needed, one for the server and one for the generator")


def compiled() -> Path:
    """Compile the generator, with TLS where OpenSSL's headers are."""
    OUT.mkdir(exist_ok=True)
    binary, sources = OUT / "bayeux_load", FOLDER / "generator"
    newest = max(source.stat().st_mtime for source in sources.iterdir())
    if binary.exists() and binary.stat().st_mtime >= newest:
        return binary
    if shutil.which("gcc") is None:
        sys.exit("bench: gcc is missing. On Debian and Ubuntu: apt-get install gcc libc6-dev")
    files = [str(source) for source in sorted(sources.glob("*.c"))]
    plain = ["gcc", "-O2", "-o", str(binary), *files]
    with_tls = [*plain, "-DWITH_TLS", "-lssl", "-lcrypto"]
    if subprocess.run(with_tls, capture_output=True, check=False).returncode:
        print("bench: the rows with TLS will fail: no OpenSSL headers (apt-get install libssl-dev)")
        subprocess.run(plain, check=True)
    return binary


def started(load: Load, server: Server, pid: int) -> subprocess.Popen[str]:
    """Start the generator on its core."""
    words = ["taskset", "-c", GENERATOR_CPU, str(compiled()), *load.command(server, pid)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(load: Load, server: Server, pid: int) -> Line:
    """Run the generator to its end.

    :raises RuntimeError: it printed nothing.
    """
    said, wrong = started(load, server, pid).communicate()
    if not said:
        raise RuntimeError(f"the generator said: {wrong.strip()}")
    line: Line = json.loads(said)
    if line["errors"] or not 0.999 <= line["ratio"] <= 1.001:
        print(f"  {server.name}: {said.strip()} {wrong.strip()}", file=sys.stderr)
    return line


def options(**values: float) -> tuple[str, ...]:
    """Spell options of one letter: ``options(n=100, w=1)``."""
    words: Sequence[str] = [
        word for name, value in values.items() for word in (f"-{name}", f"{value:g}")
    ]
    return tuple(words)
