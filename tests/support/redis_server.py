"""A real redis-server of our own, in a process of its own, on a free port.

Debian's package ``redis-server`` has it; where there is none, tests that need one are skipped
(``bin/test`` says so).
"""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.domain.sources import Timers
from gms_twisted.store.redis_endpoints import redis_endpoint
from gms_twisted.store.redis_link import RedisLink
from tests.support.ports import free_port

PROGRAM = shutil.which("redis-server")

SKIP = "" if PROGRAM else "redis-server is not installed"


class RedisServer:
    """One server, with a folder that outlives its process.

    :param options: of its configuration, ``("maxmemory", "10mb")``.
    :ivar port: where it listens on loopback; stays.
    """

    def __init__(self, *options: tuple[str, str], append_only: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gms-redis-")
        self.path = Path(self._folder.name)
        self.port = free_port()
        self._options = options
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For ``store/url``."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> RedisServer:
        """Start it, and return when it answers."""
        self.launch()
        assert self._process is not None
        end = time.monotonic() + 20
        while True:
            try:
                if self.ask("PING").startswith(("+PONG", "-NOAUTH")):
                    return self
            except OSError:
                pass
            if time.monotonic() > end or self._process.poll() is not None:
                said = self.log
                self.kill()
                raise RuntimeError(f"redis-server did not start: {said}")
            time.sleep(0.01)

    def launch(self, *more: tuple[str, str]) -> None:
        """Start it, and return at once.

        :param more: of its configuration, this time.
        """
        assert PROGRAM is not None
        command = [
            *(PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.path)),
            *("--save", "", "--loglevel", "warning", "--logfile", str(self.path / "log")),
            *("--unixsocket", str(self.path / "socket"), "--repl-diskless-sync-delay", "0"),
            *("--appendonly", "yes" if self._append_only else "no", "--appendfsync", "always"),
        ]
        for name, value in (*self._options, *more):
            command += [f"--{name}", *value.split(" ")]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def log(self) -> str:
        """What it wrote."""
        path = self.path / "log"
        return path.read_text() if path.exists() else ""

    def ask(self, *words: str) -> str:
        """Send one command on a connection of its own, and return the first of the answer."""
        parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), 5) as wire:
            wire.sendall(f"*{len(words)}\r\n{parts}".encode())
            return wire.recv(65_536).decode("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, ``SIGSTOP``."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it; its folder stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        self._folder.cleanup()


@cache
def shared_redis() -> RedisServer:
    """The one server of all tests that do it no harm."""
    made = RedisServer().start()
    atexit.register(made.remove)
    return made


def redis_link(url: str, options: StoreOptions | None = None, ca: str = "") -> RedisLink:
    """A link on the real reactor.

    :param ca: file of the authorities to trust.
    """
    target = parse_redis_url(url)
    timers: Any = reactor
    endpoint = redis_endpoint(reactor, target, ca)
    return RedisLink(target, options or StoreOptions(), endpoint, cast("Timers", timers))
