"""Measures what a request costs inside of the server, with Klein in its way and without.

    python -m bench.dispatchers

The whole server in memory, store included: bytes of a request go in, bytes of its answer come
out, no socket, no disk.  The same server is asked twice: once as it is, once with Klein finding
every route.  The difference is the share of Klein, werkzeug and ``twisted.web``'s request.

CPU microseconds for each request; the best of some rounds, since what else runs on the machine
can only add to it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.rest import FORM, request
from gms_twisted.app.nodes import Nodes
from gms_twisted.config.options import Configuration
from gms_twisted.store.interfaces import Store
from gms_twisted.wiring import House
from tests.rest.test_dispatchers import by_klein
from tests.support.front import RawConnection
from tests.support.house import OwnFoundation
from tests.support.whole import API, INSIDE, WholeServer

ROUNDS, REQUESTS = 15, 400


class _Server(WholeServer):
    """With the built-in chat server."""

    def _house(
        self, configuration: Configuration, folder: Path, store: Store, nodes: Nodes
    ) -> House:
        base = OwnFoundation(configuration, folder, self.reactor, self.wall, self.ids, store)
        self.run(base.open_chat_server(None))
        return House(base, (), b"k" * 32, nodes)


class _Nobody(SynchronousTestCase):
    """Whose server it is."""

    def runTest(self) -> None:
        """Nothing."""


def works(server: WholeServer) -> dict[str, bytes]:
    """Prepare what is asked for, and give the requests."""
    area = server.send("POST", f"{API}/storage/3600", FORM).json()["id"]
    service = server.service("request-chat")["_id"]
    chat = f"/service/{service}/ixn/chat"
    position = server.send("POST", API + chat).json()["transcriptPosition"]
    return {
        "query": request("GET", f"/storage/{area}"),
        "create": request("POST", "/storage/600", FORM),
        "refresh": request("POST", f"{chat}/refresh", f"transcriptPosition={position}".encode()),
    }


def each_us(server: WholeServer, asked: bytes) -> float:
    """CPU microseconds of a request."""
    connection = RawConnection(server.house.door, INSIDE)

    def ask() -> bytes:
        connection.send(asked)
        server.reactor.advance(0)
        return connection.received()

    if not ask().startswith(b"HTTP/1.1 200 "):
        raise RuntimeError("the request is not answered")
    return min(_timed(ask) for _ in range(ROUNDS)) * 1e6


def _timed(ask: Callable[[], bytes]) -> float:
    before = time.process_time()
    for _ in range(REQUESTS):
        ask()
    return (time.process_time() - before) / REQUESTS


def main() -> int:
    """Measure; returns the exit status."""
    limits = "limits/c03_refresh_per_s=1000000", "limits/c03_refresh_burst=1000000"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        server = _Server(_Nobody(), *limits)
        asked = works(server)
        admission = server.house.door.admission
        print("| work | us CPU by Klein | us CPU without | Klein's share |")
        print("|---|---|---|---|")
        for work, data in asked.items():
            server.house.door.admission = by_klein(admission)
            klein = each_us(server, data)
            server.house.door.admission = admission
            lean = each_us(server, data)
            print(f"| {work} | {klein:.0f} | {lean:.0f} | {100 * (klein - lean) / klein:.0f} % |")
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
