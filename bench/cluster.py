"""Measures two nodes on one Redis, as a client sees them.

    python -m bench.cluster                     everything
    python -m bench.cluster bayeux wrong      some of it
    python -m bench.cluster --seconds 10

Two servers are started as a user would, each pinned to a core of its own, with a redis-server
that keeps what it has in memory, or with ``--durable`` waits for its disk at each write (then
it is the disk that is measured); the requests come from wherever there is room.

``bayeux``    messages of clients to clients at the other node, 2,000 a second over both: from
              when each was due to when it was read
``events``    events to users whose websocket is at the other node than who publishes them, by the
              Notification API
``wrong``     a Bayeux publish with its reply that lands on the node of its session, beside one
              that lands on the other: CPU of both servers for each
``idle``      what two nodes that nobody uses ask of Redis, from a minute after their start on

Each round of ``wrong`` takes both kinds in turn; the ratio is what counts on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from bench.orchestration import at, pinned
from gms_twisted.store.sweeper import FIRST_AFTER_S
from tests.live.canary import Footprint
from tests.live.server import Server
from tests.support.redis_server import RedisServer

RATE = 2000.0
USERS = 20
PUBLISHERS = 32
WRITERS = 8
REQUESTS = 4000
ROUNDS = 5
AT_ONCE = 32


@contextmanager
def nodes(count: int = 2, *, durable: bool = True) -> Iterator[tuple[RedisServer, list[Server]]]:
    """Start a Redis and so many nodes."""
    redis = RedisServer(append_only=durable).start()
    cores = sorted(os.sched_getaffinity(0))
    servers: list[Server] = []
    try:
        for number in range(count):
            sets = (
                f"store/url={redis.url}",
                "cluster/secret=bench",
                f"server/node_id={number + 1}",
            )
            options = [part for one in sets for part in ("--set", one)]
            server = Server("--log-level", "warn", *options)
            with pinned(cores[number % len(cores)]):
                server.start()
            os.sched_setaffinity(0, set(cores))
            servers.append(server)
        time.sleep(3)  # until each has seen the other
        yield redis, servers
    finally:
        for server in servers:
            server.stop()
        redis.remove()


class Http:
    """One kept-alive connection that posts JSON."""

    def __init__(self, port: int, user: str = "") -> None:
        self._port = port
        self._user = f"gms_user: {user}\r\n" if user else ""
        self._wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, document: object) -> tuple[int, bytes]:
        """Status and body."""
        if self._wire is None:
            self._wire = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._wire
        body = json.dumps(document).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"{self._user}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next((int(one[15:]) for one in lines if one.startswith("content-length:")), 0)
        return int(lines[0].split(" ")[1]), await reader.readexactly(length)

    async def bayeux(self, message: dict[str, object]) -> list[dict[str, object]]:
        """Send one message."""
        status, body = await self.post("/genesys/cometd", message)
        if status != 200:
            raise RuntimeError(f"{status} {body.decode()}")
        answer: list[dict[str, object]] = json.loads(body)
        return answer


def port_of(server: Server) -> int:
    """Where it listens."""
    return int(server.url.rsplit(":", 1)[1])


class Reader:
    """A user's websocket, which notes how late each message is."""

    def __init__(self, port: int, user: str, late: list[float], channel: str) -> None:
        self._port = port
        self._channel = channel
        self._user = user
        self._late = late

    async def start(self) -> None:
        """Shake hands, subscribe, and read from now on."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(
            f"GET /genesys/cometd HTTP/1.1\r\nHost: localhost\r\ngms_user: {self._user}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await self._reader.readuntil(b"\r\n\r\n")
        self._send({"channel": "/meta/handshake", "version": "1.0", "id": "1",
                    "supportedConnectionTypes": ["websocket"]})  # fmt: skip
        self._client = client = json.loads(await self._frame())[0]["clientId"]
        self._send({"channel": "/meta/subscribe", "clientId": client, "id": "2",
                    "subscription": self._channel})  # fmt: skip
        await self._frame()
        self._send({"channel": "/meta/connect", "clientId": client, "id": "3",
                    "connectionType": "websocket"})  # fmt: skip
        await self._frame()
        self._connect()
        self._task = asyncio.create_task(self._read())

    def _connect(self) -> None:
        self._send({"channel": "/meta/connect", "clientId": self._client, "id": "4",
                    "connectionType": "websocket"})  # fmt: skip

    def _send(self, message: object) -> None:
        body = json.dumps([message]).encode().ljust(126)
        self._writer.write(struct.pack(">BBH", 0x81, 0x80 | 126, len(body)) + bytes(4) + body)

    async def _frame(self) -> bytes:
        while True:
            opcode, length = await self._reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self._reader.readexactly(2))
            body = await self._reader.readexactly(length)
            if opcode == 0x81:
                return body

    async def _read(self) -> None:
        while True:
            for message in json.loads(await self._frame()):
                data = message.get("data")
                if data is not None:
                    due = data if isinstance(data, str) else data["message"]
                    self._late.append(time.monotonic() - float(due))
                elif message["channel"] == "/meta/connect":
                    self._connect()

    def publish(self, channel: str, data: str) -> None:
        """Publish, and wait for nothing."""
        self._send({"channel": channel, "clientId": self._client, "data": data})

    def stop(self) -> None:
        """Read no more."""
        self._task.cancel()
        self._writer.close()


async def published(servers: Sequence[Server], seconds: float, rate: float) -> None:
    """Print how late messages are that clients of the other node publish."""
    late: list[float] = []
    ports = [port_of(server) for server in servers]
    readers = [Reader(ports[at % 2], f"user{at}", late, f"/bench/{at}") for at in range(USERS)]
    writers = [Reader(ports[at % 2], f"writer{at}", [], "/bench") for at in range(WRITERS)]
    for one in (*readers, *writers):
        await one.start()
    sent = 0
    began = time.monotonic()

    async def publish(which: int) -> None:
        """One of the writers: each message has its time, whenever it is sent."""
        nonlocal sent
        each = WRITERS / rate
        for number in range(int(seconds / each)):
            due = began + (number + which / WRITERS) * each
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            # Readers with an odd number are at the second node.
            reader = 2 * (number % (USERS // 2)) + 1 - which % 2
            writers[which].publish(f"/bench/{reader}", repr(due))
            sent += 1

    before = [Footprint.of(server.pid).busy_s for server in servers]
    await asyncio.gather(*(publish(which) for which in range(WRITERS)))
    took = time.monotonic() - began
    await asyncio.sleep(1)
    tell("bayeux", servers, before, took, sent, late)
    for one in (*readers, *writers):
        one.stop()


async def delivery(servers: Sequence[Server], seconds: float, rate: float) -> None:
    """Print how late events from the other node are."""
    late: list[float] = []
    ports = [port_of(server) for server in servers]
    readers = [Reader(ports[at % 2], f"user{at}", late, "/_genesys") for at in range(USERS)]
    for reader in readers:
        await reader.start()
    for number in range(USERS):
        details = {"deviceId": f"user{number}", "type": "comet"}
        document = {
            "subscriberId": "bench",
            "notificationDetails": details,
            "filter": f"bench.{number}",
        }
        user = Http(ports[0], f"user{number}")
        status, body = await user.post("/genesys/1/notification/subscription", document)
        if status != 200:
            raise RuntimeError(f"{status} {body.decode()}")
    sent = 0
    refused: Counter[str] = Counter()
    began = time.monotonic()

    async def publish(which: int) -> None:
        """One of the publishers: each message has its time, whenever it is sent."""
        nonlocal sent
        home = which % 2
        wire = Http(ports[home])
        each = 2 * PUBLISHERS / rate
        for number in range(int(seconds / each)):
            due = began + (number + which / (2 * PUBLISHERS)) * each
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            user = 2 * (number % (USERS // 2)) + 1 - home
            document = {"tag": f"bench.{user}", "message": repr(due)}
            status, body = await wire.post("/genesys/1/notification/publish", document)
            sent += 1
            if status != 200:
                refused[f"{status} {body.decode()}"] += 1

    before = [Footprint.of(server.pid).busy_s for server in servers]
    await asyncio.gather(*(publish(which) for which in range(2 * PUBLISHERS)))
    took = time.monotonic() - began
    await asyncio.sleep(1)
    for words, count in refused.most_common(3):
        print(f"events    refused {count} times: {words}")
    tell("events", servers, before, took, sent, late)
    for reader in readers:
        reader.stop()


def tell(
    what: str,
    servers: Sequence[Server],
    before: Sequence[float],
    took: float,
    sent: int,
    late: list[float],
) -> None:
    """Print a line of what was delivered."""
    busy = [Footprint.of(one.pid).busy_s - was for one, was in zip(servers, before, strict=True)]
    late.sort()
    print(
        f"{what:9} {sent / took:.0f}/s sent, {len(late)} of {sent} delivered; "
        f"late p50 {at(late, 0.5)}, p99 {at(late, 0.99)}, most {late[-1] * 1000:.0f} ms; "
        f"servers {busy[0] / took:.0%} and {busy[1] / took:.0%} of a core"
    )


async def wrong(servers: Sequence[Server], requests: int) -> None:
    """Print what a request costs that lands on the other node."""
    ports = [port_of(server) for server in servers]
    costs: dict[str, list[float]] = {"right": [], "wrong": []}
    home = Http(ports[0], "bench")
    client = (await home.bayeux({
        "channel": "/meta/handshake", "version": "1.0", "id": "1",
        "supportedConnectionTypes": ["long-polling"],
    }))[0]["clientId"]  # fmt: skip
    wires = {
        "right": [Http(ports[0], "bench") for _ in range(AT_ONCE)],
        "wrong": [Http(ports[1], "bench") for _ in range(AT_ONCE)],
    }

    async def work(wire: Http, count: int) -> None:
        for number in range(count):
            message = {"channel": "/bench", "clientId": client, "id": str(number), "data": "x" * 50}
            reply = await wire.bayeux(message)
            if not reply[-1]["successful"]:
                raise RuntimeError(str(reply))

    for _ in range(ROUNDS):
        for kind, connections in wires.items():
            before = [Footprint.of(server.pid).busy_s for server in servers]
            await asyncio.gather(*(work(one, requests // AT_ONCE) for one in connections))
            busy = sum(Footprint.of(server.pid).busy_s for server in servers) - sum(before)
            costs[kind].append(busy / (requests // AT_ONCE * AT_ONCE) * 1e6)
    right, astray = median(costs["right"]), median(costs["wrong"])
    print(
        f"wrong     {right:.0f} us CPU at the right node, {astray:.0f} us of both when it lands on "
        f"the other: {astray / right:.2f} times"
    )


def idle(redis: RedisServer, servers: Sequence[Server], seconds: float) -> None:
    """Print what nodes without work ask of Redis."""

    def look() -> tuple[int, int]:
        stats = {
            line.split(":")[0]: line.split(":")[1]
            for line in redis.ask("INFO", "commandstats").splitlines()
            if line.startswith("cmdstat_")
        }
        calls = {name[8:]: int(text.split(",")[0].split("=")[1]) for name, text in stats.items()}
        calls.pop("info", None)
        return sum(calls.values()), calls.get("evalsha", 0)

    time.sleep(FIRST_AFTER_S + 5)  # until all that is done again and again is done
    before = look()
    time.sleep(seconds)
    every, scripts = (now - was for now, was in zip(look(), before, strict=True))
    each = seconds * len(servers)
    print(
        f"idle      {every / each:.1f} commands a second of each node, "
        f"those inside of scripts included; {scripts / each:.1f} scripts"
    )


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster")
    parser.add_argument("what", nargs="*", help="idle, bayeux, events, wrong")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--durable", action="store_true", help="Redis waits for its disk")
    asked = parser.parse_args(arguments)
    wanted = asked.what or ["idle", "bayeux", "events", "wrong"]
    with nodes(durable=asked.durable) as (redis, servers):
        if "idle" in wanted:
            idle(redis, servers, asked.seconds)
        if "bayeux" in wanted:
            asyncio.run(published(servers, asked.seconds, asked.rate))
        if "events" in wanted:
            asyncio.run(delivery(servers, asked.seconds, asked.rate / 5))
        if "wrong" in wanted:
            asyncio.run(wrong(servers, asked.requests))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
