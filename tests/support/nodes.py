"""Several nodes in one test: ``app.nodes.Nodes`` in memory, owners as the test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from gms_twisted.app.nodes import Asked
from gms_twisted.cluster.shards import SHARDS, lease_name, shard_of
from gms_twisted.domain.errors import GmsError, NodeAway, carried, carried_error
from gms_twisted.store.interfaces import LeaseHeld
from gms_twisted.store.redis_link import RedisLink


@dataclass(frozen=True)
class MemoryRun:
    """A run as others see it."""

    node: int
    run: str
    address: str
    started: float = 1.5


class Network:
    """Nodes that reach each other at once, unless they are cut off.

    :param link: a real Redis that has the epochs too, so that units under an old one fail.
    :param prefix: of its keys.
    """

    def __init__(self, link: RedisLink | None = None, prefix: bytes = b"") -> None:
        self.nodes: dict[str, MemoryNode] = {}
        self.owners: dict[int, str] = {}
        self.epochs: dict[int, int] = {}
        self._link = link
        self._prefix = prefix

    def node(self, run: str) -> MemoryNode:
        """Make one; it owns nothing."""
        made = MemoryNode(self, run)
        self.nodes[run] = made
        for other in self.nodes.values():
            if other is not made:
                other.came(run)
        return made

    async def own(self, run: str, *names: str) -> None:
        """Give a node the shards of these names, or all; former owners come to rest first."""
        for shard in sorted({shard_of(name) for name in names}) or range(SHARDS):
            former = self.nodes.get(self.owners.get(shard, ""))
            if former is not None and former.run != run:
                await former.rest(lease_name(shard))
            await self.take(run, shard)

    async def take(self, run: str, shard: int) -> None:
        """Give a node a shard that its former owner does not know to have lost."""
        self.owners[shard] = run
        self.epochs[shard] = self.epochs.get(shard, 0) + 1
        if self._link is not None:
            name, epoch = lease_name(shard).encode(), b"%d" % self.epochs[shard]
            await self._link.command(b"HSET", self._prefix + b"epochs", name, epoch)
        self.nodes[run].gain(lease_name(shard))

    def cut(self, run: str) -> None:
        """Have a node be gone for all others, and all others for it."""
        gone = self.nodes.pop(run)
        for other in self.nodes.values():
            other.went(run)
            gone.went(other.run)

    def reconnect(self, run: str) -> None:
        """Have a node's connections break, and be made again at once."""
        node = self.nodes[run]
        others = [one for one in self.nodes.values() if one is not node]
        for other in others:
            other.went(run)
            node.went(other.run)
        node.swallows = False
        for other in others:
            other.came(run)
            node.came(other.run)


class MemoryAsked:
    """A call, for those who answer it later."""

    def __init__(self, run: str, payload: bytes) -> None:
        self.run = run
        self.payload = payload
        self.cancelled: Callable[[], None] | None = None
        self.answered: Deferred[bytes] = Deferred(self._cancel)

    def _cancel(self, _: Deferred[bytes]) -> None:
        if self.cancelled is not None:
            self.cancelled()

    def answer(self, payload: bytes) -> None:
        """Answer it."""
        if not self.answered.called:
            self.answered.callback(payload)

    def refuse(self, error: GmsError) -> None:
        """Refuse it."""
        if not self.answered.called:
            self.answered.errback(error)


class MemoryNode:
    """One node as its application sees it.

    :ivar deaf: calls to it are never answered.
    :ivar swallows: what it tells is lost, which nobody has noticed yet.
    :ivar cut_from: runs that it knows to live, and cannot reach.
    """

    def __init__(self, network: Network, run: str) -> None:
        self.run = run
        self.node = len(network.nodes) + 1
        self.deaf = False
        self.swallows = False
        self.cut_from: set[str] = set()
        self.beat_age_s = 0.5
        self._network = network
        self._watchers: list[tuple[Callable[[str], None], Callable[[str], Awaitable[None]]]] = []
        self._changes: list[tuple[Callable[[str], None], Callable[[str], None]]] = []
        self._hearers: dict[str, Callable[[str, bytes], None]] = {}
        self._handlers: dict[str, Callable[[str, bytes], Awaitable[bytes]]] = {}
        self._known: dict[int, int] = {}
        self._early: list[tuple[str, str, bytes]] = []

    # What the network does.

    def gain(self, shard: str) -> None:
        """Own a shard."""
        number = int(shard.rpartition(":")[2])
        self._known[number] = self._network.epochs[number]
        for gained, _ in self._watchers:
            gained(shard)

    async def rest(self, shard: str) -> None:
        """Give a shard."""
        for _, giving in self._watchers:
            await giving(shard)
        del self._known[int(shard.rpartition(":")[2])]

    def came(self, run: str) -> None:
        """Another node is there."""
        for came, _ in self._changes:
            came(run)

    def went(self, run: str) -> None:
        """Another node is gone."""
        for _, went in self._changes:
            went(run)

    def told(self, run: str, kind: str, payload: bytes) -> None:
        """Take what another node tells; before anybody listens, keep it."""
        hearer = self._hearers.get(kind)
        if hearer is not None:
            hearer(run, payload)
        else:
            self._early.append((run, kind, payload))

    # Ownership.

    def owner(self, name: str) -> str:
        """See :class:`gms_twisted.app.nodes.Ownership`."""
        shard = shard_of(name)
        if shard in self._known:
            return self.run  # it may have been taken without our knowing
        return self._network.owners.get(shard, "")

    def is_ours(self, name: str) -> bool:
        """See :class:`gms_twisted.app.nodes.Ownership`."""
        return shard_of(name) in self._known

    def conditions(self, name: str) -> tuple[LeaseHeld, ...]:
        """See :class:`gms_twisted.app.nodes.Ownership`."""
        shard = shard_of(name)
        # Of what it does not own it knows the owner's, as of its last look.
        epoch = self._known.get(shard, self._network.epochs.get(shard, 0))
        return (LeaseHeld(lease_name(shard), epoch),)

    def shard(self, name: str) -> str:
        """See :class:`gms_twisted.app.nodes.Ownership`."""
        return lease_name(shard_of(name))

    def watch(
        self, gained: Callable[[str], None], giving: Callable[[str], Awaitable[None]]
    ) -> None:
        """See :class:`gms_twisted.app.nodes.Ownership`."""
        self._watchers.append((gained, giving))
        for shard in sorted(self._known):
            gained(lease_name(shard))

    # Membership.

    @property
    def runs(self) -> tuple[MemoryRun, ...]:
        """See :class:`gms_twisted.app.nodes.Membership`."""
        others = (one for one in self._network.nodes.values() if one is not self)
        return tuple(MemoryRun(one.node, one.run, f"host-{one.node}") for one in (self, *others))

    @property
    def owned(self) -> Mapping[str, int]:
        """See :class:`gms_twisted.app.nodes.Membership`."""
        return Counter(self._network.owners.get(shard, "") for shard in range(SHARDS))

    # Peers.

    def lives(self, run: str) -> bool:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        return run in self._network.nodes

    def run_at(self, node: int) -> str:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        return next((one.run for one in self._network.nodes.values() if one.node == node), "")

    @property
    def reachable(self) -> tuple[str, ...]:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        if self.run not in self._network.nodes:
            return ()
        away = {self.run, *self.cut_from}
        return tuple(run for run in self._network.nodes if run not in away)

    def tell(self, run: str, kind: str, payload: bytes) -> bool:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        if run not in self.reachable:
            return False
        if not self.swallows:
            self._network.nodes[run].told(self.run, kind, payload)
        return True

    def tell_all(self, kind: str, payload: bytes) -> None:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        for run in self.reachable:
            self.tell(run, kind, payload)

    def call(self, run: str, kind: str, payload: bytes, within_s: float) -> Deferred[bytes]:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        return Deferred.fromCoroutine(self._call(run, kind, payload))

    def serve(self, kind: str, handler: Callable[[Asked], None]) -> None:
        """See :class:`gms_twisted.app.nodes.Peers`."""

        async def handle(run: str, payload: bytes) -> bytes:
            asked = MemoryAsked(run, payload)
            handler(asked)
            return await asked.answered

        self._handlers[kind] = handle

    async def _call(self, run: str, kind: str, payload: bytes) -> bytes:
        if run not in self.reachable:
            raise NodeAway("The node in charge cannot be reached.")
        other = self._network.nodes[run]
        if other.deaf:
            return await Deferred()
        handler = other._handlers.get(kind)
        if handler is None:
            raise NodeAway("The node knows no such call.")
        try:
            return await handler(self.run, payload)
        except GmsError as error:
            # As on the wire: nothing but words comes back.
            raise carried_error(error.code, carried(error)) from None

    def hear(self, kind: str, hearer: Callable[[str, bytes], None]) -> None:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        self._hearers[kind] = hearer
        early, self._early = self._early, []
        for run, word, payload in early:
            self.told(run, word, payload)

    def serve_async(self, kind: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        self._handlers[kind] = handler

    def on_change(self, came: Callable[[str], None], went: Callable[[str], None]) -> None:
        """See :class:`gms_twisted.app.nodes.Peers`."""
        self._changes.append((came, went))
        for run in self.reachable:
            came(run)
