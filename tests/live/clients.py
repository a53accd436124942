"""Runs the real Bayeux clients against a real server, with a restart in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

from tests.live.server import ROOT
from tests.live.several import server

FOLDER = ROOT / "tests" / "clients"
LIMIT_S = 120.0

CLIENTS: dict[str, list[str]] = {
    "cometd, long-polling": ["node", "cometd.mjs", "URL", "long-polling"],
    "cometd, long-polling, ack, timesync": [
        "node", "cometd.mjs", "URL", "long-polling", "ack", "timesync",
    ],
    "cometd, websocket": ["node", "cometd.mjs", "URL", "websocket"],
    "cometd, websocket, ack, timesync": [
        "node", "cometd.mjs", "URL", "websocket", "ack", "timesync",
    ],
    "faye, long-polling": ["node", "faye.mjs", "URL", "long-polling"],
    "faye, websocket": ["node", "faye.mjs", "URL", "websocket"],
    "aiocometd-ng, long-polling": [
        sys.executable, "-m", "tests.clients.aiocometd_client", "URL", "long-polling",
    ],
    "aiocometd-ng, websocket": [
        sys.executable, "-m", "tests.clients.aiocometd_client", "URL", "websocket",
    ],
}  # fmt: skip


class Running:
    """One client process.

    :param environment: variables that it gets beside ours.
    """

    def __init__(self, name: str, command: list[str], url: str, **environment: str) -> None:
        self.name = name
        in_python = command[0] == sys.executable
        self._process = subprocess.Popen(
            [url if word == "URL" else word for word in command],
            cwd=ROOT if in_python else FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            env={**os.environ, **environment},
        )
        self.lines: list[str] = []
        self.at_restart = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if line.strip() == "RESTART":
                self.at_restart.set()
        self.at_restart.set()  # it has ended: nobody needs to wait for it

    def go_on(self) -> None:
        """Tell it that the server has been restarted."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.write("restarted\n")
            self._process.stdin.flush()

    def end(self) -> bool:
        """Wait for its end; tells whether all went well."""
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        return self._process.returncode == 0


def run_clients(
    url: str, restart: Callable[[], None], names: list[str], **environment: str
) -> list[bool]:
    """Run clients all at once, and print how each did.

    :param restart: restarts the server; returns when it can be reached again.
    :param names: of :data:`CLIENTS`; none: all.
    :param environment: variables for their processes.
    :returns: whether each went well.
    """
    clients = [Running(name, CLIENTS[name], url, **environment) for name in names or CLIENTS]
    for client in clients:
        client.at_restart.wait(LIMIT_S)
    restart()
    for client in clients:
        client.go_on()
    results = []
    for client in clients:
        went_well = client.end()
        results.append(went_well)
        print(f"{'ok' if went_well else 'FAILED':7} {client.name}")
        if not went_well:
            print("".join(client.lines[-40:]))
    return results


def main(names: list[str]) -> int:
    """Run them against one server; returns the exit status."""
    with server() as served:
        results = run_clients(served.url, served.restart, names)
    failed = results.count(False)
    print(f"# pass {len(results) - failed}\n# fail {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
