"""What the application knows of other nodes: who owns what, how they are told and asked.

Everything that must have one owner belongs to a *run* (one start of one process) by its name;
see ``cluster.shards``.  A process that is alone owns everything: :class:`Alone`.

Knows: names, runs, payloads.  Does not know: Redis, connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from twisted.internet.defer import Deferred, fail

from gms_twisted.domain.errors import GmsError, NodeAway
from gms_twisted.store.interfaces import LeaseHeld

HOME = "home"
"""Name of what exists once: the desk, its agents, calls and rooms of the built-in chat server."""


MAX_NODE = 36 * 36 - 1
"""Highest number of a node: two digits of a client id name it."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def mark_of(node: int) -> str:
    """The first two characters of client ids of a node; ``""`` for one that is alone."""
    return _DIGITS[node // 36] + _DIGITS[node % 36] if node else ""


def node_of(client_id: str) -> int:
    """The node that a client id says; 0 when it says none."""
    high, low = _DIGITS.find(client_id[:1] or "-"), _DIGITS.find(client_id[1:2] or "-")
    return 0 if high < 0 or low < 0 else high * 36 + low


class Ownership(Protocol):
    """Whose a named thing is."""

    @property
    def run(self) -> str:
        """Ours: this process."""

    def owner(self, name: str) -> str:
        """The run that owns a name; ``""`` while nobody does."""

    def is_ours(self, name: str) -> bool:
        """Tell whether a name is ours to act on."""

    def conditions(self, name: str) -> tuple[LeaseHeld, ...]:
        """What a unit about a name must be under, so that no former owner can write it."""

    def shard(self, name: str) -> str:
        """The shard that a name belongs to, a short word that never changes."""

    def watch(
        self, gained: Callable[[str], None], giving: Callable[[str], Awaitable[None]]
    ) -> None:
        """Be told of shards.

        :param gained: called with the word of a shard that has become ours; those that are ours
            already at once.
        :param giving: awaited with one before it is given to another node: to come to rest with
            all that is in it.
        """


class Asked(Protocol):
    """A call of another node.

    :ivar run: who asks.
    :ivar cancelled: called when no answer is wanted any more; set by who handles the call.
    """

    run: str
    payload: bytes
    cancelled: Callable[[], None] | None

    def answer(self, payload: bytes) -> None:
        """Answer it; does nothing when nobody waits any more."""

    def refuse(self, error: GmsError) -> None:
        """Refuse it."""


class Peers(Protocol):
    """Other nodes: told in order, or asked."""

    @property
    def node(self) -> int:
        """Our number, ``server/node_id``; 0 for a process that is alone."""

    def run_at(self, node: int) -> str:
        """The run that is this node now; ``""`` when none lives."""

    def lives(self, run: str) -> bool:
        """Tell whether a run is not known to be dead; it may be out of reach."""

    @property
    def reachable(self) -> tuple[str, ...]:
        """Runs that can be told and asked something."""

    def tell(self, run: str, kind: str, payload: bytes) -> bool:
        """Tell one node; returns whether it is there.  What is told may be lost with it."""

    def tell_all(self, kind: str, payload: bytes) -> None:
        """Tell all nodes that are there."""

    def call(self, run: str, kind: str, payload: bytes, within_s: float) -> Deferred[bytes]:
        """Ask one node; to cancel tells it that no answer is wanted.

        Fails with :class:`gms_twisted.domain.errors.NodeAway`: it cannot be reached, or is late; it
        may have done it.  Or with another :class:`gms_twisted.domain.errors.GmsError`: it refused.
        """

    def hear(self, kind: str, hearer: Callable[[str, bytes], None]) -> None:
        """Have what is told of a kind; called with the run and the payload."""

    def serve(self, kind: str, handler: Callable[[Asked], None]) -> None:
        """Have calls of a kind handled."""

    def serve_async(self, kind: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """Have calls of a kind answered; errors of the application go back to the caller."""

    def on_change(self, came: Callable[[str], None], went: Callable[[str], None]) -> None:
        """Be told of runs that can be told things from now on, and of those that cannot.

        What a node has to know of this one it must be told each time it comes, also when it
        had not gone: when for it this one had.
        """


class Member(Protocol):
    """A run that lives."""

    @property
    def node(self) -> int:
        """Its number."""

    @property
    def run(self) -> str:
        """Its random word."""

    @property
    def address(self) -> str:
        """Machine and process, for people."""

    @property
    def started(self) -> float:
        """Unix seconds, by its own clock."""


class Membership(Protocol):
    """Who lives, for those who look at it."""

    @property
    def runs(self) -> Sequence[Member]:
        """All that live as of the last beat, ourselves first; empty for a process that is alone."""

    @property
    def owned(self) -> Mapping[str, int]:
        """How many shards each run owns, as of the last look; ``""``: without an owner."""

    @property
    def beat_age_s(self) -> float:
        """Seconds since our last beat was confirmed."""


class Nodes(Ownership, Peers, Membership, Protocol):
    """All of it."""


class Alone:
    """No other nodes: everything is ours (:class:`Nodes`)."""

    run = ""
    node = 0
    reachable: tuple[str, ...] = ()
    runs: tuple[Member, ...] = ()
    owned: Mapping[str, int] = MappingProxyType({})
    beat_age_s = 0.0

    def run_at(self, node: int) -> str:
        """There is nobody."""
        return ""

    def lives(self, run: str) -> bool:
        """There is nobody."""
        return False

    def owner(self, name: str) -> str:
        """Ours."""
        return self.run

    def is_ours(self, name: str) -> bool:
        """Always."""
        return True

    def conditions(self, name: str) -> tuple[LeaseHeld, ...]:
        """None: nobody else writes."""
        return ()

    def shard(self, name: str) -> str:
        """There is one."""
        return ""

    def watch(
        self, gained: Callable[[str], None], giving: Callable[[str], Awaitable[None]]
    ) -> None:
        """Tell of the one shard, which is ours for good."""
        gained("")

    def tell(self, run: str, kind: str, payload: bytes) -> bool:
        """There is nobody."""
        return False

    def tell_all(self, kind: str, payload: bytes) -> None:
        """There is nobody."""

    def call(self, run: str, kind: str, payload: bytes, within_s: float) -> Deferred[bytes]:
        """There is nobody."""
        return fail(NodeAway("There are no other nodes."))

    def serve(self, kind: str, handler: Callable[[Asked], None]) -> None:
        """There is nobody."""

    def hear(self, kind: str, hearer: Callable[[str, bytes], None]) -> None:
        """There is nobody."""

    def serve_async(self, kind: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """There is nobody."""

    def on_change(self, came: Callable[[str], None], went: Callable[[str], None]) -> None:
        """There is nobody."""
