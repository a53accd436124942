"""Events on their way to users at other nodes: kept until they have come, sent again in order.

::

    event      number, LF, user (JSON), LF, the encoded message
    event-ack  number: all up to it have come

One stream from each node to each other one.  What was not confirmed when the connection broke is
sent again when there is another one, and taken once; what the other node took to its end goes
back to where it came from.

Choice: chat events are not sent again.  Their sender takes the user for gone together with the
connection, and hands over itself what is missing when the user is back.

Knows: numbers, nodes.  Does not know: sessions, who is where.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

from gms_twisted.app.absent import is_kept
from gms_twisted.app.nodes import Peers
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import DelayedCall, Timers

KIND = "event"
_ACK = "event-ack"

ACK_S = 0.05
"""So long may a confirmation wait for others."""

MAX_BYTES = 8 * 1024 * 1024
"""Of what is not confirmed, for each node; more is refused."""

Event = tuple[int, GmsUser, bytes]


class _Stream:
    """What goes to one node.

    :ivar number: of the last event.
    """

    __slots__ = ("bytes", "number", "unconfirmed")

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0
        self.unconfirmed: deque[Event] = deque()

    def confirmed(self, number: int) -> None:
        """Forget what has come."""
        while self.unconfirmed and self.unconfirmed[0][0] <= number:
            self.bytes -= len(self.unconfirmed.popleft()[2])

    def keep(self, events: list[Event]) -> None:
        """Have these left."""
        self.unconfirmed = deque(events)
        self.bytes = sum(len(fragment) for _, _, fragment in events)


class EventStreams:
    """All streams of a node, from it and to it.

    :param take: given what comes from other nodes, each event once, in order.
    :param returned: given what could not be brought to a node, as that is dead.
    """

    def __init__(
        self,
        peers: Peers,
        timers: Timers,
        take: Callable[[GmsUser, bytes], None],
        returned: Callable[[GmsUser, bytes], None],
    ) -> None:
        self._peers = peers
        self._timers = timers
        self._take = take
        self._returned = returned
        self._streams: dict[str, _Stream] = {}
        self._came: dict[str, int] = {}
        self._owed: set[str] = set()
        self._acking: DelayedCall | None = None
        peers.hear(KIND, self._heard)
        peers.hear(_ACK, self._confirmed)

    def send(self, run: str, user: GmsUser, fragment: bytes) -> bool:
        """Send an event to a node; ``False``: too many are not confirmed yet."""
        stream = self._streams.setdefault(run, _Stream())
        if stream.bytes + len(fragment) > MAX_BYTES:
            return False
        stream.number += 1
        event = (stream.number, user, fragment)
        stream.unconfirmed.append(event)
        stream.bytes += len(fragment)
        self._tell(run, event)
        return True

    def _tell(self, run: str, event: Event) -> None:
        number, user, fragment = event
        name = json.dumps(user).encode("ascii")
        self._peers.tell(run, KIND, b"%d\n%b\n%b" % (number, name, fragment))

    def went(self, run: str) -> None:
        """The connection to a node broke."""
        stream = self._streams.get(run)
        if stream is not None:
            stream.keep([event for event in stream.unconfirmed if is_kept(event[2])])

    def came(self, run: str) -> None:
        """There is another one."""
        stream = self._streams.get(run)
        for event in stream.unconfirmed if stream is not None else ():
            self._tell(run, event)

    def take(self, user: GmsUser) -> list[bytes]:
        """Take what is on its way to a user at nodes that cannot be reached now, in order."""
        taken: list[bytes] = []
        reachable = self._peers.reachable
        for run, stream in self._streams.items():
            if run in reachable or not stream.unconfirmed:
                continue
            stuck = [event for event in stream.unconfirmed if event[1] == user]
            if stuck:
                stream.keep([event for event in stream.unconfirmed if event[1] != user])
                taken += [fragment for _, _, fragment in stuck]
        return taken

    def sweep(self) -> None:
        """Take back what nobody takes any more; to be called now and then."""
        for run in [one for one in self._streams if not self._peers.lives(one)]:
            for _, user, fragment in self._streams.pop(run).unconfirmed:
                if is_kept(fragment):
                    self._returned(user, fragment)
        for run in [one for one in self._came if not self._peers.lives(one)]:
            del self._came[run]

    def stop(self) -> None:
        """Confirm nothing any more."""
        if self._acking is not None:
            self._acking.cancel()
            self._acking = None

    # What other nodes tell.

    def _heard(self, run: str, payload: bytes) -> None:
        number_text, user, fragment = payload.split(b"\n", 2)
        number = int(number_text)
        self._owed.add(run)
        if self._acking is None:
            self._acking = self._timers.callLater(ACK_S, self._confirm)
        if number <= self._came.get(run, 0):
            return  # its confirmation was lost
        self._came[run] = number
        self._take(GmsUser(json.loads(user)), fragment)

    def _confirm(self) -> None:
        self._acking = None
        owed, self._owed = self._owed, set()
        for run in owed:
            self._peers.tell(run, _ACK, b"%d" % self._came.get(run, 0))

    def _confirmed(self, run: str, payload: bytes) -> None:
        stream = self._streams.get(run)
        if stream is not None:
            stream.confirmed(int(payload))
