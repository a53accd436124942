"""Drives the pages in a real browser against a real server: ``tests/web/browser``.

The browser tests may kill the server and start it again: they run the command in
``GMS_RESTART``, which asks this process to do so and waits until it is done.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.live.server import ROOT, Server
from tests.live.several import server as started

FOLDER = ROOT / "tests" / "web"
LIMIT_S = 900
FIRST = "chat.test.mjs"
"""Uses up the one-time link; the others log in by name."""

ASK = (
    "import socket, sys; asking = socket.socket(socket.AF_UNIX); asking.connect(sys.argv[1]); "
    "sys.exit(asking.recv(1) != b'y')"
)


def serve_restarts(listening: socket.socket, server: Server) -> None:
    """Restart the server for each connection; runs in a thread."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            server.restart()
            connection.sendall(b"y")


def main(arguments: list[str]) -> int:
    """Run the browser tests; returns the exit status."""
    suites = sorted((FOLDER / "browser").glob("*.test.mjs"), key=lambda path: path.name != FIRST)
    chosen = [suite for suite in suites if not arguments or suite.name.split(".")[0] in arguments]
    with tempfile.TemporaryDirectory(prefix="gms-browser-") as folder, started() as server:
        path = Path(folder) / "restart.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        threading.Thread(target=serve_restarts, args=(listening, server), daemon=True).start()
        environment = {
            **os.environ,
            "GMS_URL": server.url,
            "GMS_DESK_LINK": server.desk_link,
            "GMS_RESTART": f'"{sys.executable}" -c "{ASK}" "{path}"',
        }
        statuses = []
        for suite in chosen:
            ended = subprocess.run(
                ["node", "--test", str(suite)],
                cwd=FOLDER,
                env=environment,
                timeout=LIMIT_S,
                check=False,
            )
            statuses.append(ended.returncode)
            environment.pop("GMS_DESK_LINK", None)  # it works once; now there is a password
        listening.close()
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
