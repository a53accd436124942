"""A node among others: it lives, owns shards, and is connected to all that live.

::

    Cluster -> Registry (beats) -> Shards (who owns what) -> those who watch
                       |
                       +-> Links (one connection to each other node)

Knows: the parts and their order.  Does not know: what is owned, what is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint
from twisted.logger import Logger

from gms_twisted.cluster.links import Links
from gms_twisted.cluster.registry import Registry, Run
from gms_twisted.cluster.shards import Shards, lease_name, shard_of
from gms_twisted.cluster.tls import LinkTls, link_tls
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import IdSource
from gms_twisted.store.interfaces import LeaseHeld, StoreFault
from gms_twisted.store.redis_link import RedisLink

CONNECT_S = 3.0
"""Time for a connection to another node."""


SAY_AFTER_S = 6.0
SAY_EVERY_S = 60.0
"""When the log says that a node cannot be reached, and how often."""

LOOK_EVERY = 5
"""Beats between two looks at the shards, while nobody comes or goes and all are owned."""


class Options(Protocol):
    """Section ``cluster``."""

    @property
    def secret(self) -> str:
        """The word that all nodes have."""

    @property
    def host(self) -> str:
        """Where others reach us."""

    @property
    def port(self) -> int:
        """The port there; 0 for any."""

    @property
    def certificate(self) -> str:
        """See ``tls``."""

    @property
    def ca(self) -> str:
        """See ``tls``."""

    @property
    def reached_at(self) -> str:
        """``HOST:PORT`` that others are told instead; ``""`` for these two."""


class Cluster:
    """One process among those on its Redis (``app.nodes.Nodes``).

    :param lost: told why this process must not go on.
    :param told: told the time of Redis with each beat, Unix seconds.
    :param stays: a name that moves to another node only when its owner ends.
    """

    log = Logger()

    def __init__(
        self,
        redis: RedisLink,
        prefix: bytes,
        run: Run,
        options: Options,
        reactor: Any,
        ids: IdSource,
        lost: Callable[[str], None],
        told: Callable[[float], None] = lambda _: None,
        stays: str = "",
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._about = run
        self._options = options
        self._reactor = reactor
        self._lost = lost
        self._told = told
        self._port: IListeningPort | None = None
        self._tls: LinkTls | None = None
        self._is_open = False
        self._is_giving = False
        self._seen: frozenset[str] = frozenset()
        self._since = 0
        self._away_since: dict[str, float] = {}
        self._registry: Registry | None = None
        self._watchers: list[tuple[Callable[[str], None], Callable[[str], Awaitable[None]]]] = []
        self.links = Links(run.run, options.secret.encode("utf-8"), reactor, ids, self._meet)
        self.shards = Shards(redis, prefix, run.node, run.run, self._gained, self._giving, stays)

    # Coming and going.

    async def join(self) -> None:
        """Be one of those that live; nothing is owned yet.

        :raises StoreFault: our node's number is taken, there are others and no secret, or a
            certificate cannot be used.
        """
        about = self._about
        if self._options.secret:
            host, factory = self._options.host, self.links.factory()
            self._tls = link_tls(self._options)
            sort = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
            endpoint = sort(self._reactor, self._options.port, interface=host)
            wrapped = factory if self._tls is None else self._tls.server(factory)
            self._port = await endpoint.listen(wrapped)
            port = getattr(self._port.getHost(), "port", 0)
            link = self._options.reached_at or f"{self._options.host}:{port}"
            about = self._about = replace(about, link=link)
        self._registry = Registry(
            *(self._redis, self._prefix, about, self._reactor, self._lost, self._look),
            *(self._told, self._late),
        )
        await self._registry.start()
        others = self._registry.others
        if others and not all((about.link, *(one.link for one in others))):
            raise StoreFault(
                f"Node {others[0].node} ({others[0].address}) uses this Redis too: set "
                "cluster/secret to the same word on every node"
            )

    async def own(self) -> None:
        """Take what is free, up to a fair share; from now on with each beat.

        Only now are there connections to other nodes: whoever hears and serves has registered.

        :raises GmsError: Redis cannot be asked.
        """
        self.links.open()
        self._is_open = True
        await self._look()

    async def give(self) -> None:
        """Give back what is owned, after having come to rest with it; take nothing more."""
        self._is_giving = True
        await self.shards.give_all()

    async def leave(self) -> None:
        """Be gone; gives back first what is owned still."""
        await self.give()
        if self._port is not None:
            closed = self._port.stopListening()
            if isinstance(closed, Deferred):
                await closed
        await self.links.stop()
        if self._registry is not None:
            await self._registry.stop()

    def aliases(self) -> frozenset[str]:
        """What the nodes that live are called, ours too: their numbers."""
        return frozenset(str(one.node) for one in self.runs)

    async def _look(self) -> None:
        if not self._is_open:
            return
        self._follow()
        assert self._registry is not None
        if self._is_giving or not self._registry.is_steady:
            return
        runs = frozenset(one.run for one in self.runs)
        self._since += 1
        if runs != self._seen or self._since >= LOOK_EVERY or not self.shards.is_settled:
            self._seen, self._since = runs, 0
            await self.shards.look()

    async def _late(self) -> str:
        """See what others have taken while we were silent."""
        mine = self.shards.ours()
        await self.shards.look(take=False)
        taken = len(mine - self.shards.ours())
        if not taken or self._is_giving:
            return ""
        return (
            "This process was silent for so long that others took it for dead, "
            f"and {taken} of its {len(mine)} shards"
        )

    def _meet(self) -> None:
        """Look at once who that is: its clients may come to us with the next request."""
        if self._registry is not None:
            self._registry.beat_now()

    def _follow(self) -> None:
        """Be connected to those that live."""
        assert self._registry is not None
        self.links.follow(
            (one.run, self._endpoint(one.link)) for one in self._registry.others if one.link
        )
        self._say_who_is_away()

    def _say_who_is_away(self) -> None:
        """Tell the operator of nodes that live and cannot be reached; again once a minute."""
        assert self._registry is not None
        reachable, now = self.links.reachable, self._reactor.seconds()
        away = [one for one in self._registry.others if one.link and one.run not in reachable]
        since = {one.run: self._away_since.get(one.run, now + SAY_AFTER_S) for one in away}
        for one in away:
            if now >= since[one.run]:
                since[one.run] = now + SAY_EVERY_S
                self.log.warn(
                    "Node {node} ({address}) lives but cannot be reached at {link}: is that "
                    "cluster/host and port open for us, and cluster/secret the same?",
                    node=one.node,
                    address=one.address,
                    link=one.link,
                )
        self._away_since = since

    def _endpoint(self, link: str) -> IStreamClientEndpoint:
        host, _, port = link.rpartition(":")
        endpoint = HostnameEndpoint(self._reactor, host, int(port), CONNECT_S)
        return endpoint if self._tls is None else self._tls.client(endpoint, host)

    # app.nodes.Membership.

    @property
    def runs(self) -> tuple[Run, ...]:
        """All that live, ourselves first."""
        others = () if self._registry is None else self._registry.others
        return (self._about, *others)

    @property
    def owned(self) -> Mapping[str, int]:
        """How many shards each run owns; ``""``: without an owner."""
        return self.shards.counts()

    @property
    def beat_age_s(self) -> float:
        """Seconds since our last beat was confirmed; 0 before we have joined."""
        beaten = None if self._registry is None else self._registry.beaten_at
        return 0.0 if beaten is None else float(self._reactor.seconds()) - beaten

    # app.nodes.Ownership.

    @property
    def run(self) -> str:
        """Ours: this process."""
        return self._about.run

    def owner(self, name: str) -> str:
        """The run that owns a name; ``""`` while nobody does."""
        return self.shards.owner(name)

    def is_ours(self, name: str) -> bool:
        """Tell whether a name is ours to act on."""
        return self.shards.is_ours(name)

    def conditions(self, name: str) -> tuple[LeaseHeld, ...]:
        """What a unit about a name must be under."""
        return (self.shards.lease(name),)

    def shard(self, name: str) -> str:
        """The shard that a name belongs to."""
        return lease_name(shard_of(name))

    def watch(
        self, gained: Callable[[str], None], giving: Callable[[str], Awaitable[None]]
    ) -> None:
        """Be told of shards; of those that are ours already at once."""
        self._watchers.append((gained, giving))
        for shard in sorted(self.shards.ours()):
            gained(lease_name(shard))

    def _gained(self, shard: int) -> None:
        for gained, _ in self._watchers:
            try:
                gained(lease_name(shard))
            except Exception:  # noqa: BLE001 - the others must be told all the same
                self.log.failure("Failed when shard {shard} was gained", shard=shard)

    async def _giving(self, shard: int) -> None:
        for _, giving in self._watchers:
            try:
                await giving(lease_name(shard))
            except GmsError:
                raise
            except Exception:  # noqa: BLE001 - the shard goes whatever happens
                self.log.failure("Failed when shard {shard} was given back", shard=shard)

    # app.nodes.Peers.

    @property
    def node(self) -> int:
        """Our number."""
        return self._about.node

    def lives(self, run: str) -> bool:
        """Tell whether a run is not known to be dead."""
        return any(one.run == run for one in self.runs)

    def run_at(self, node: int) -> str:
        """The run that is a node now; ``""`` when none lives."""
        return next((one.run for one in self.runs if one.node == node), "")

    @property
    def reachable(self) -> tuple[str, ...]:
        """Runs that can be told and asked something."""
        return self.links.reachable

    def tell(self, run: str, kind: str, payload: bytes) -> bool:
        """Tell one node."""
        return self.links.tell(run, kind, payload)

    def tell_all(self, kind: str, payload: bytes) -> None:
        """Tell all nodes that are there."""
        self.links.tell_all(kind, payload)

    def call(self, run: str, kind: str, payload: bytes, within_s: float) -> Deferred[bytes]:
        """Ask one node."""
        return self.links.call(run, kind, payload, within_s)

    def hear(self, kind: str, hearer: Callable[[str, bytes], None]) -> None:
        """Have what is told of a kind."""
        self.links.hear(kind, hearer)

    def serve_async(self, kind: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """Have calls of a kind answered."""
        self.links.serve_async(kind, handler)

    def on_change(self, came: Callable[[str], None], went: Callable[[str], None]) -> None:
        """Be told of runs that come and go."""
        self.links.on_change(came, went)
