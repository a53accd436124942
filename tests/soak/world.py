"""The world that is broken: a Redis, nodes on it, and proxies on every wire between them.

::

    node 1 --- proxy --- Redis        each node has a proxy of its own to Redis,
       |                   |          and one before the port where other nodes reach it
     proxy --- node 2 --- proxy

A node that ends, whyever, is started again, as systemd would.

Knows: processes, ports, signals.  Does not know: which faults, what clients do.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from tests.soak.asking import Asker
from tests.soak.pair import RedisPair
from tests.support.fault_proxy import FaultProxy
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent
WATCH_S = 0.1
RESTART_S = 0.5
"""Between the end of a process and its next start."""
START_LIMIT_S = 60.0

NUMBERS = tuple(f"1-650-555-01{number:02}" for number in range(16))
LOCK_S = 6
"""How long a number of the group SOAK stays locked."""

OPTIONS = (
    "cluster/secret=soak",
    "server/identity_mode=open",
    "server/shutdown_grace=3",
    "limits/exempt=127.0.0.1",
    "limits/v04_tries=1000000",
    "limits/v13_services=1000000",
    "resource.SOAK/_allocation_strategy=LOCAL",
    f"resource.SOAK/_booking_expiration_timeout={LOCK_S}",
    *(f"resource.SOAK/number{place}={number}" for place, number in enumerate(NUMBERS)),
    "resource.CODES/_allocation_strategy=RANDOM",
    "resource.CODES/number=1-650-555-0200",
    "service.soak-number/_type=builtin",
    "service.soak-number/_service=request-interaction",
    "service.soak-number/_resource_group=SOAK",
    "service.soak-code/_type=builtin",
    "service.soak-code/_service=request-interaction",
    "service.soak-code/_resource_group=CODES",
    "bayeux/timeout=4000",
)

_WHY = re.compile(r"^gms: (.*)$", re.M)
# What the server itself says about a fault in its own code.
_TRACEBACK = re.compile(r"^(.*)\n +Traceback \(most recent call last\)", re.M)


class Node:
    """One process that lives again and again on one data directory.

    :ivar number: from 1.
    :ivar redis: the proxy between it and Redis.
    :ivar link: the proxy between other nodes and it.
    :ivar ends: why it ended when nobody told it to, with the seconds since the run began.
    :ivar options: of this node only.
    :ivar held: nobody starts it while a fault holds it down.
    """

    log = Logger()

    def __init__(self, number: int, folder: Path, redis: FaultProxy, link: FaultProxy) -> None:
        self.number = number
        self.redis = redis
        self.link = link
        self.port = free_port()
        self.log_path = folder / f"node-{number}.log"
        self.held = False
        self.options: tuple[str, ...] = ()
        self.starts = 0
        self.ends: list[tuple[float, str]] = []
        self._data = folder / f"data-{number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = 0.0
        link.target = ("127.0.0.1", free_port())

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lives(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def start(self, store: str, options: tuple[str, ...]) -> None:
        """Start a process; it is ready some time later."""
        told = (
            *OPTIONS,
            *options,
            *self.options,
            f"store/url={store}",
            f"server/node_id={self.number}",
            f"cluster/port={self.link.target[1]}",
            f"cluster/reached_at=127.0.0.1:{self.link.port}",
        )
        command = [
            *(sys.executable, str(Path(sys.executable).parent / "twistd")),
            *("--nodaemon", "--pidfile=", "gms", "--data", str(self._data)),
            *("--listen", f"tcp:{self.port}:interface=127.0.0.1"),
        ]
        for one in told:
            command += ["--set", one]
        with self.log_path.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.log_path.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )
        self.starts += 1

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self._process is not None and self.lives:
            self._process.send_signal(number)

    def watch(self, now: float, start: Callable[[Node], None]) -> None:
        """Note its end, and start it again when it is time."""
        if self._process is None or self.lives:
            return
        if not self._ended_at:
            self._ended_at = now
            status = self._process.returncode
            if status > 0:
                why = _WHY.findall(self.log_path.read_text(errors="replace")[-4000:])
                self.ends.append((now, why[-1] if why else f"exit status {status}"))
        if not self.held and now > self._ended_at + RESTART_S:
            self._ended_at = 0.0
            start(self)

    def stop(self) -> None:
        """End it for good."""
        if self._process is not None and self.lives:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, if it lives."""
        if self._process is not None and self.lives:
            self._process.kill()
            self._process.wait()

    def tracebacks(self) -> list[str]:
        """Errors in its log that are nobody's fault but the code's."""
        return _TRACEBACK.findall(self.log_path.read_text(errors="replace"))


class World:
    """All of it.

    :param options: further ones of each node.
    :param sentinel: the data is in a pair of servers that Sentinel looks after.
    :ivar pair: these.
    :ivar redis: the server, with an append-only file that is synced before each answer.
    :ivar options: the further options; count for starts to come.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        count: int,
        options: tuple[str, ...] = (),
        *,
        sentinel: bool = False,
    ) -> None:
        self.reactor = reactor
        self.folder = folder
        self.pair = RedisPair() if sentinel else None
        alone = RedisServer(append_only=True)
        self.redis: RedisServer | RedisPair = self.pair or alone
        self.options = options
        self._began = time.monotonic()
        self._watching = LoopingCall(self._watch)
        self.asker = Asker(reactor, self.seconds)
        self.nodes: list[Node] = []
        # Whatever ends the run: nothing goes on without it.
        reactor.addSystemEventTrigger("after", "shutdown", self._end)
        for number in range(1, count + 1):
            redis = FaultProxy(reactor, ("127.0.0.1", alone.port)).start()
            link = FaultProxy(reactor, ("127.0.0.1", 1)).start()
            self.nodes.append(Node(number, folder, redis, link))

    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await deferLater(self.reactor, seconds)

    async def thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do what would hold the clients up."""
        return await deferToThread(work, *arguments)

    async def start(self) -> None:
        """Start everything, and wait until it is healthy."""
        await self.thread(self.redis.start)
        for node in self.nodes:
            self._start(node)
        self._watching.start(WATCH_S)
        for node in self.nodes:
            if not await self.healthy(node, START_LIMIT_S):
                raise RuntimeError(f"node {node.number} did not start: {node.log_path.read_text()}")
        self._began = time.monotonic()

    async def stop(self) -> None:
        """End everything."""
        if self._watching.running:
            self._watching.stop()
        for node in self.nodes:
            await self.thread(node.stop)
        for node in self.nodes:
            await node.redis.stop()
            await node.link.stop()
        await self.thread(self.redis.remove)

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()
        self.redis.kill()

    async def healthy(self, node: Node, limit_s: float) -> bool:
        """Wait until a node says that it is well; tell whether it did in time."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if node.lives and not node.held:
                answer = await self.asker.ask("GET", f"{node.url}/health", patience=2.0)
                if answer.status == 200:
                    return True
            await self.sleep(0.2)
        return False

    async def gone(self, node: Node, limit_s: float) -> bool:
        """Wait until a node's process has ended; tell whether it did in time."""
        starts, end = node.starts, time.monotonic() + limit_s
        while time.monotonic() < end:
            if not node.lives or node.starts != starts:
                return True
            await self.sleep(0.05)
        return False

    async def cluster_of(self, node: Node) -> dict[str, Any]:
        """What a node says of all of them, ``/health``; nothing when it does not answer."""
        answer = await self.asker.ask("GET", f"{node.url}/health", patience=2.0)
        return dict(answer.json["parts"]["cluster"]) if answer.status == 200 else {}

    async def is_taken(self, node: Node) -> bool:
        """Tell whether others took a node for dead, and what it had: all of those that answer."""
        told = [await self.cluster_of(one) for one in self.nodes if one is not node and one.lives]
        said = [one for one in told if one]
        return bool(said) and all(
            not one["shards_unowned"] and all(each["node"] != node.number for each in one["nodes"])
            for one in said
        )

    def _start(self, node: Node) -> None:
        # Sentinel tells addresses behind the proxies.
        store = f"redis://127.0.0.1:{node.redis.port}" if self.pair is None else self.pair.url
        node.start(store, self.options)

    def _watch(self) -> None:
        for node in self.nodes:
            node.watch(self.seconds(), self._start)


def fires(work: Any) -> Deferred[Any]:
    """Run a coroutine beside others."""
    return Deferred.fromCoroutine(work)
