"""Events on their way to users at other nodes: kept until they have come, sent again in order.

::

    event      number, blank, 1 or 0, LF, user (JSON), LF, the encoded message
    event-ack  number: all up to it have come

1 says that it is a copy: the user has sessions elsewhere, too, and those get theirs.

One stream from each node to each other one.  What was not confirmed when the connection broke is
sent again when there is another one, and taken once; what the other node took to its end goes
back to where it came from.

Choice: chat events are not sent again.  Their sender takes the user for gone together with the
connection, and hands over itself what is missing when the user is back.

Knows: numbers, nodes.  Does not know: sessions, who is where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from gms_twisted.app.absent import is_kept
from gms_twisted.app.nodes import Peers
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import DelayedCall, Timers

KIND = "event"
_ACK = "event-ack"

ACK_S = 0.05
"""So long may a confirmation wait for others."""

LATE_S = 0.5
"""A node that has not confirmed an event for so long may be dead."""

FORGET_S = 30.0
"""A node that is dead for so long does not come back.  One that was silent and of which nobody has
taken anything may go on, and both ends must know then what has come."""

MAX_BYTES = 8 * 1024 * 1024
"""Of what is not confirmed, for each node; more is refused."""


class Event(NamedTuple):
    """An event on its way.

    :ivar is_copy: other sessions of the user get it, too.
    :ivar since: when it was sent first, on the clock of timers.
    """

    number: int
    user: GmsUser
    fragment: bytes
    is_copy: bool
    since: float


class Receiver(Protocol):
    """Whom events are for."""

    def take(self, user: GmsUser, fragment: bytes, *, is_copy: bool) -> None:
        """Take what comes from another node: each event once, in order."""

    def take_back(self, user: GmsUser, events: Iterable[Event]) -> None:
        """Take what could not be brought to nodes that are dead: each event once, in order."""


class _Stream:
    """What goes to one node.

    :ivar number: of the last event.
    :ivar bytes: of all that is not confirmed.
    :ivar unconfirmed: events by number, in order.
    """

    __slots__ = ("_of_user", "bytes", "number", "unconfirmed")

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0
        self.unconfirmed: dict[int, Event] = {}
        # Thousands of users may ask for theirs at once, when a node is gone.
        self._of_user: dict[GmsUser, list[int]] = {}

    def add(self, event: Event) -> None:
        """Keep an event till it is confirmed."""
        self.number = event.number
        self.bytes += len(event.fragment)
        self.unconfirmed[event.number] = event
        self._of_user.setdefault(event.user, []).append(event.number)

    def since(self) -> float:
        """When the oldest event was sent first; there is one."""
        return next(iter(self.unconfirmed.values())).since

    def confirmed(self, number: int) -> None:
        """Forget what has come."""
        while self.unconfirmed and (first := next(iter(self.unconfirmed))) <= number:
            self._drop(first)

    def keep(self, is_kept: Callable[[bytes], bool]) -> None:
        """Forget all but some, by their fragments."""
        for number, event in list(self.unconfirmed.items()):
            if not is_kept(event.fragment):
                self._drop(number)

    def take(self, user: GmsUser, *, copies: bool, leave: bool) -> list[Event]:
        """Take a user's.

        :param copies: also those.
        :param leave: they stay here, too, as copies.
        """
        numbers = self._of_user.get(user, ())
        taken = [self.unconfirmed[number] for number in numbers]
        taken = [event for event in taken if copies or not event.is_copy]
        for event in taken:
            if leave:
                self.unconfirmed[event.number] = event._replace(is_copy=True)
            else:
                self._drop(event.number)
        return taken

    def _drop(self, number: int) -> None:
        event = self.unconfirmed.pop(number)
        self.bytes -= len(event.fragment)
        numbers = self._of_user[event.user]
        numbers.remove(number)
        if not numbers:
            del self._of_user[event.user]


class EventStreams:
    """All streams of a node, from it and to it."""

    def __init__(self, peers: Peers, timers: Timers, receiver: Receiver) -> None:
        self._peers = peers
        self._timers = timers
        self._receiver = receiver
        self._streams: dict[str, _Stream] = {}
        self._came: dict[str, int] = {}
        self._dead: dict[str, float] = {}
        self._owed: set[str] = set()
        self._acking: DelayedCall | None = None
        peers.hear(KIND, self._heard)
        peers.hear(_ACK, self._confirmed)

    def send(self, run: str, user: GmsUser, fragment: bytes, *, is_copy: bool = False) -> bool:
        """Send an event to a node; ``False``: too many are not confirmed yet.

        :param fragment: the same object for all copies.
        """
        stream = self._streams.setdefault(run, _Stream())
        if stream.bytes + len(fragment) > MAX_BYTES:
            return False
        event = Event(stream.number + 1, user, fragment, is_copy, self._timers.seconds())
        stream.add(event)
        self._tell(run, event)
        return True

    def _tell(self, run: str, event: Event) -> None:
        name = json.dumps(event.user).encode("ascii")
        head = b"%d %d\n%b\n" % (event.number, event.is_copy, name)
        self._peers.tell(run, KIND, head + event.fragment)

    def went(self, run: str) -> None:
        """The connection to a node broke."""
        stream = self._streams.get(run)
        if stream is not None:
            stream.keep(is_kept)

    def came(self, run: str) -> None:
        """There is another one."""
        stream = self._streams.get(run)
        for event in stream.unconfirmed.values() if stream is not None else ():
            self._tell(run, event)

    def take(self, user: GmsUser, *, copies: bool, but: str = "") -> list[bytes]:
        """Take what is on its way to a user at nodes that cannot be reached now, in order.

        What is on its way to one that does not confirm is taken, too, and may come there as well:
        as a copy, that is.  If the node is dead, it would otherwise come back after newer events.

        :param copies: also those, each once.
        :param but: not what is on its way to this node.
        """
        taken: list[Event] = []
        reachable = self._peers.reachable
        late = self._timers.seconds() - LATE_S
        for run, stream in self._streams.items():
            is_gone = run not in reachable
            if run != but and stream.unconfirmed and (is_gone or stream.since() < late):
                taken += stream.take(user, copies=copies, leave=not is_gone)
        return [event.fragment for event in _once(taken)]

    def sweep(self) -> None:
        """Take back what nobody takes any more; to be called now and then."""
        now, dead = self._timers.seconds(), self._dead
        silent = [run for run in {*self._streams, *self._came} if not self._peers.lives(run)]
        self._dead = {run: dead.get(run, now) for run in silent}
        back: dict[GmsUser, list[Event]] = {}
        for run in [one for one, since in self._dead.items() if now >= since + FORGET_S]:
            self._came.pop(run, None)
            stream = self._streams.pop(run, None)
            for event in stream.unconfirmed.values() if stream is not None else ():
                if is_kept(event.fragment):
                    back.setdefault(event.user, []).append(event)
        for user, events in back.items():
            self._receiver.take_back(user, _once(events))

    def stop(self) -> None:
        """Confirm nothing any more."""
        if self._acking is not None:
            self._acking.cancel()
            self._acking = None

    # What other nodes tell.

    def _heard(self, run: str, payload: bytes) -> None:
        head, user, fragment = payload.split(b"\n", 2)
        number_text, is_copy = head.split(b" ")
        number = int(number_text)
        self._owed.add(run)
        if self._acking is None:
            self._acking = self._timers.callLater(ACK_S, self._confirm)
        if number <= self._came.get(run, 0):
            return  # its confirmation was lost
        self._came[run] = number
        self._receiver.take(GmsUser(json.loads(user)), fragment, is_copy=is_copy == b"1")

    def _confirm(self) -> None:
        self._acking = None
        owed, self._owed = self._owed, set()
        for run in owed:
            self._peers.tell(run, _ACK, b"%d" % self._came.get(run, 0))

    def _confirmed(self, run: str, payload: bytes) -> None:
        stream = self._streams.get(run)
        if stream is not None:
            stream.confirmed(int(payload))


def _once(events: Iterable[Event]) -> list[Event]:
    """Only one of several copies, where the first was."""
    return list({id(event.fragment): event for event in events}.values())
