"""What was sent on one connection and not yet refused, and what to send again.

The gateway is silent about what it accepts.  When it refuses a notification it says so
once, closes, and has thrown away everything that came after that one::

    sent        1 2 3 4 5 6 7 8
    packet            (status 8, identifier 4)
    hence       1 2 3           accepted
                      4         refused, unless the status says "last accepted"
                        5 6 7 8 to be sent again, in this order

So what was sent is kept for a while, numbered modulo 2^32.  An entry leaves when it is
older than ``keep_s`` *and* more than ``keep`` newer ones are there, or when there are
:data:`MAX_KEEP` newer ones; it counts as accepted then.  Keeping the last ``keep``
entries whatever their age is what a packet that comes late needs.

Knows: identifiers, ages, what a packet proves.  Does not know: bytes, sockets, what a
notification is, what to do with a refused one.

APNs: "The Binary Interface and Notification Formats", "Error Response Format".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_KEEP = 20_000
"""Most entries ever kept, and the bound of the doubling."""

_MODULUS = 2**32


class Status(IntEnum):
    """Why a gateway refuses a notification; others occur and mean no more than 255."""

    NO_ERROR = 0
    PROCESSING_ERROR = 1
    MISSING_TOKEN = 2
    MISSING_TOPIC = 3
    MISSING_PAYLOAD = 4
    INVALID_TOKEN_SIZE = 5
    INVALID_TOPIC_SIZE = 6
    INVALID_PAYLOAD_SIZE = 7
    INVALID_TOKEN = 8
    SHUTDOWN = 10
    PROTOCOL_ERROR = 128
    UNKNOWN = 255


ACCEPTED = frozenset((Status.NO_ERROR, Status.SHUTDOWN))
"""Statuses whose identifier names the last notification that was accepted."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[T]):
    """What the end of a connection means for what was sent on it.

    :ivar refused: what the gateway named; ``None`` for nothing.
    :ivar again: to be sent again, in this order, before anything newer.
    :ivar missed: the identifier named nothing that is kept.
    :ivar proven: the gateway has certainly not taken what is to be sent again;
        otherwise sending it again may make a duplicate.
    """

    refused: T | None
    again: tuple[T, ...]
    missed: bool = False
    proven: bool = True


class Window(Generic[T]):
    """What was sent on one connection; of no use after the connection's end.

    :param keep: so many entries are kept whatever their age, 1 to :data:`MAX_KEEP`.
    :param keep_s: so long an entry is kept, as far as :data:`MAX_KEEP` allows.
    :param first: identifier of the first entry.
    """

    def __init__(self, keep: int = 1000, keep_s: float = 5.0, first: int = 1) -> None:
        self._keep = max(1, min(keep, MAX_KEEP))
        self._keep_s = keep_s
        self._entries: deque[tuple[T, float]] = deque()
        self._oldest = first % _MODULUS
        """Identifier of the oldest entry kept."""
        self._evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keep(self) -> int:
        """How many entries are kept whatever their age."""
        return self._keep

    @property
    def sent(self) -> int:
        """How many were sent in all."""
        return self._evicted + len(self._entries)

    @property
    def next_identifier(self) -> int:
        """The number that the next entry gets."""
        return (self._oldest + len(self._entries)) % _MODULUS

    def add(self, item: T, now: float) -> int:
        """Keep what is being sent, and number it."""
        entries = self._entries
        identifier = (self._oldest + len(entries)) % _MODULUS
        entries.append((item, now))
        while len(entries) > self._keep and (
            len(entries) > MAX_KEEP or entries[0][1] < now - self._keep_s
        ):
            entries.popleft()
            self._evicted += 1
            self._oldest = (self._oldest + 1) % _MODULUS
        return identifier

    def judge(self, status: int, identifier: int, since: float | None) -> Verdict[T]:
        """Say what a packet means.

        An identifier that is no longer kept proves that all entries came after it, and
        doubles how many are kept.  One that was never given out proves nothing, so that
        the end of the connection is all there is to judge by.

        Choice: a source would rather send nothing again then; losing is worse than
        sending twice.

        :param since: as for :meth:`closed`.
        """
        entries = self._entries
        place = (identifier - self._oldest) % _MODULUS
        if place < len(entries):
            refused = None if status in ACCEPTED else entries[place][0]
            return Verdict(refused, tuple(item for item, _ in islice(entries, place + 1, None)))
        self._keep = min(2 * self._keep, MAX_KEEP)
        # One below the first counts as given out: "accepted up to none".
        behind = (self._oldest - identifier) % _MODULUS
        if behind <= min(self._evicted + 1, _MODULUS // 2):
            return Verdict(None, tuple(item for item, _ in entries), True)
        return Verdict(None, self.closed(since).again, True, False)

    def closed(self, since: float | None) -> Verdict[T]:
        """Say what an end without a packet means.

        :param since: what was sent then or later may have been lost, what was sent
            before counts as accepted, or a packet would have come; ``None``: all does.
        """
        if since is None:
            return Verdict(None, (), False, False)
        return Verdict(None, tuple(item for item, at in self._entries if at >= since), False, False)
