"""A server of our own in a process of its own, started as a user would start it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
READY = re.compile(r"GMS ready on (http\S+)")
LINK = re.compile(r"(http\S+/desk/#link=\S+)")
START_LIMIT_S = 60.0


class Server:
    """One ``bin/gms`` process on a data directory that outlives it.

    :param descriptors: most descriptors it may have open.
    :ivar url: where it listens, ``http://127.0.0.1:PORT``.
    :ivar desk_link: the one-time link of the first start, if it printed one.
    """

    def __init__(
        self,
        *options: str,
        port: int = 0,
        data: Path | None = None,
        descriptors: int | None = None,
    ) -> None:
        self._options = options
        self._descriptors = descriptors
        self._port = port or free_port()
        self._own = tempfile.TemporaryDirectory(prefix="gms-live-") if data is None else None
        self.data = Path(self._own.name) if self._own is not None else data or Path()
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self.url = ""
        self.desk_link = ""

    @property
    def said(self) -> str:
        """Everything it has printed."""
        return "".join(self._said)

    @property
    def each(self) -> Sequence[Server]:
        """The processes; one, here."""
        return (self,)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it says that it is ready."""
        command = [
            str(ROOT / "bin" / "gms"),
            "--data", str(self.data),
            "--listen", f"tcp:{self._port}:interface=127.0.0.1",
            *self._options,
        ]  # fmt: skip
        if self._descriptors is not None:
            limit = f'ulimit -n {self._descriptors} && exec "$0" "$@"'
            command = ["/bin/sh", "-c", limit, *command]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._await_ready()

    def _await_ready(self) -> None:
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self._process, ready), daemon=True).start()
        ready.wait(START_LIMIT_S)
        if not self.url or self._process is None or self._process.poll() is not None:
            self.stop()
            raise RuntimeError(f"the server did not start; it said:\n{self.said}")

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Read what it prints until it ends; runs in a thread."""
        assert process.stdout is not None
        for line in process.stdout:
            self._said.append(line)
            address, link = READY.search(line), LINK.search(line)
            if link:
                self.desk_link = link[1]
            if address:
                self.url = address[1].rstrip("/")
            if "stop it with Ctrl+C" in line:
                ready.set()
        ready.set()

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=10)

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self._process.returncode

    def restart(self) -> None:
        """Kill it and start it again on the same port and data."""
        self.kill()
        self.start()

    def health(self) -> dict[str, object]:
        """The details of ``/health``."""
        with urlopen(f"{self.url}/health", timeout=10) as answer:
            details = json.load(answer)
        assert isinstance(details, dict)
        return details

    def __enter__(self) -> Server:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and say what it said when something went wrong."""
        self.stop()
        if error is not None:
            print(f"--- the server said:\n{self.said[-8000:]}")
        if self._own is not None:
            self._own.cleanup()
