"""Events for users who are not there: kept for a short time, within bounds.

Knows: users, encoded events, when they are too old.  Does not know: sessions.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Sequence

from gms_twisted.app.interfaces import CHAT_REFRESH_TAG
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import Clock

GENESYS = "/_genesys"
"""The channel on which users get their events."""
MAX_USERS = 20_000
MAX_BYTES = 32 * 1024 * 1024
_CHAT_EVENT = re.compile(
    rb'"tag":"%s[^"\\]*"\},"channel":"/_genesys"\}\Z' % re.escape(CHAT_REFRESH_TAG).encode()
)


class AbsentUsers:
    """What is to be delivered when a user comes back in time.

    :param keep_s: how long an event is kept; 0: not at all.
    :param keep_max: how many events of a user; the oldest goes first.
    """

    def __init__(self, clock: Clock, keep_s: float, keep_max: int) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._keep_max = keep_max
        self._kept: OrderedDict[GmsUser, deque[tuple[float, bytes]]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, user: GmsUser, fragment: bytes) -> None:
        """Keep an event.  When there is too much in all, the longest absent user loses."""
        self._keep(user, (self._clock.seconds() + self._keep_s, fragment))

    def _keep(self, user: GmsUser, event: tuple[float, bytes]) -> None:
        if not self.keeps:
            return
        events = self._kept.setdefault(user, deque())
        self._kept.move_to_end(user)
        events.append(event)
        self._bytes += len(event[1])
        if len(events) > self._keep_max:
            self._bytes -= len(events.popleft()[1])
        while self._kept and (len(self._kept) > MAX_USERS or self._bytes > MAX_BYTES):
            self._forget(next(iter(self._kept)))

    def is_full(self, user: GmsUser) -> bool:
        """Tell whether one more event of a user would cost an older one."""
        events = self._kept.get(user)
        if events is None:
            return False
        now = self._clock.seconds()
        while events and events[0][0] <= now:
            self._bytes -= len(events.popleft()[1])
        if not events:
            del self._kept[user]
        return len(events) >= self._keep_max

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._keep_s > 0 and self._keep_max > 0

    def keep_before(self, user: GmsUser, fragments: Sequence[bytes]) -> None:
        """Keep events, in order, that are older than those that are kept of the user."""
        newer = list(self._kept.get(user, ()))
        if newer:
            self._forget(user)
        until = self._clock.seconds() + self._keep_s
        if newer:
            until = min(until, newer[0][0])
        for event in (*((until, fragment) for fragment in fragments), *newer):
            self._keep(user, event)

    def take(self, user: GmsUser) -> list[bytes]:
        """Take the events that are not too old."""
        events = self._kept.get(user)
        if events is None:
            return []
        now = self._clock.seconds()
        self._forget(user)
        return [fragment for until, fragment in events if until > now]

    def sweep(self) -> None:
        """Forget users whose newest event is too old."""
        now = self._clock.seconds()
        while self._kept:
            user, events = next(iter(self._kept.items()))
            if events[-1][0] > now:
                return
            self._forget(user)

    def _forget(self, user: GmsUser) -> None:
        events = self._kept.pop(user)
        self._bytes -= sum(len(fragment) for _, fragment in events)


def is_kept(fragment: bytes) -> bool:
    """Tell whether an encoded message is an event to keep for a user who is away."""
    if not fragment.endswith(b'"channel":"/_genesys"}'):
        return False
    return _CHAT_EVENT.search(fragment, max(0, len(fragment) - 256)) is None
