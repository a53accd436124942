"""What must hold, whatever breaks: a history is replayed against models of what was promised.

Clients give no operation twice under one name, so that what is seen says where it comes from.
An operation whose outcome is unknown may have happened, and may happen until :data:`LATE_S`
after its client gave up (a node that was stopped may go on with it); never later, and never twice.

Knows: what the API promises.  Does not know: how it is kept, which faults there were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.soak.check_streams import (
    Violation,
    check_chats,
    check_notifications,
    check_timers,
)
from tests.soak.history import Operation, by_key

LATE_S = 30.0
"""So long after its client gave up an operation may still take effect."""

CLOCK_S = 2.0
"""By so much a lifetime may be over later than its client thinks."""


# Storage: a register with one writer.

_GONE = "gone"


def check_storage(operations: Iterable[Operation]) -> list[Violation]:
    """Each area reads as what was last confirmed, or as what may have happened since.

    Actions ``create``, ``update``, ``read``, ``delete`` of one client, one after the other; each
    create and update has its own ``value``.  A read of 404 has ``missing`` in ``got``; one whose
    keys differ from each other has ``torn``.
    """
    found: list[Violation] = []
    for one in by_key(operations, "storage"):
        found += _Area(one).violations()
    return found


class _Area:
    """What an area may hold."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._held: set[str] = set()
        self._open: dict[str, Operation] = {}
        self._written: set[str] = set()
        self._found: list[Violation] = []
        self._last_look = 0.0

    def violations(self) -> list[Violation]:
        for operation in self._operations:
            if operation.action == "read":
                self._read(operation)
            else:
                self._write(operation)
        return self._found

    def _write(self, operation: Operation) -> None:
        value = _GONE if operation.action == "delete" else str(operation.asked["value"])
        self._written.add(value)
        if operation.done:
            if _GONE in self._held and len(self._held) == 1 and operation.action == "update":
                self._bad("an update of what is gone was confirmed", operation, value)
            self._held = {value}
        elif operation.unknown:
            self._open[value] = operation
        elif operation.got.get("missing"):
            self._missing(operation)

    def _read(self, operation: Operation) -> None:
        if operation.got.get("missing"):
            self._missing(operation)
            return
        if not operation.done:
            return
        if operation.got.get("torn"):
            self._bad("half of an update was read", operation, str(operation.got))
            return
        value = str(operation.got["value"])
        if value in self._held:
            self._held = {value}
        elif value not in self._written:
            self._bad("a value was read that nobody wrote", operation, value)
        elif value not in self._open:
            self._bad("a confirmed write is lost", operation, f"{value}, not {self._held}")
        else:
            late = self._open.pop(value)
            if late.end + LATE_S < self._last_look:
                self._bad("a write took effect too late", operation, value)
            self._held = {value}
        self._last_look = operation.begin

    def _missing(self, operation: Operation) -> None:
        if _GONE not in self._held and _GONE not in self._open:
            self._bad("a confirmed area is lost", operation, str(self._held))
        self._held = {_GONE}
        self._open.clear()  # Whatever else was under way finds nothing to change.

    def _bad(self, rule: str, operation: Operation, text: str) -> None:
        self._found.append(Violation("storage", rule, operation.key, operation.begin, text))


# Access numbers: locks with a lifetime.


@dataclass(slots=True)
class _Booking:
    service: str
    pair: tuple[str, str]
    made: Operation
    since: float
    until: float


def check_access(operations: Iterable[Operation]) -> list[Violation]:
    """No number (with its code) is in two live bookings, none is lost, each is matched once.

    ``create`` (key: service; got ``number``, ``code``, ``expires_s``), ``move`` (the same, by
    request-access), ``delete`` (key: service), ``match`` (asked ``number``, ``code``, and, when it
    must be known, ``service``; key: the service that was found).
    """
    mine = sorted((one for one in operations if one.workload == "access"), key=lambda op: op.begin)
    bookings = [_booking(one) for one in mine if one.done and one.action in ("create", "move")]
    found: list[Violation] = []
    ends: dict[str, list[Operation]] = {}
    matches: dict[tuple[str, str], list[Operation]] = {}
    for one in mine:
        if one.action in ("delete", "move") and (one.done or one.unknown):
            ends.setdefault(one.key, []).append(one)
        elif one.action == "match":
            matches.setdefault(_pair(one.asked), []).append(one)
    for booking in bookings:
        _cut(booking, ends.get(booking.service, ()), matches.get(booking.pair, ()))
    found += _doubled(bookings)
    found += _lost(bookings, matches)
    found += _matched(mine, bookings)
    return found


def _pair(said: dict[str, Any]) -> tuple[str, str]:
    return str(said["number"]), str(said.get("code", ""))


def _booking(one: Operation) -> _Booking:
    until = one.begin + float(one.got["expires_s"])
    return _Booking(one.key, _pair(one.got), one, one.end, until)


def _cut(booking: _Booking, ends: Iterable[Operation], matches: Iterable[Operation]) -> None:
    """Let a booking be certain only until something may have ended it."""
    for one in ends:
        if one is not booking.made and one.end + (LATE_S if one.unknown else 0) > booking.since:
            booking.until = min(booking.until, one.begin)
    for one in matches:
        ended = one.unknown and one.end + LATE_S > booking.made.begin
        if ended or (one.done and one.key == booking.service and one.end > booking.made.begin):
            booking.until = min(booking.until, one.begin)


def _doubled(bookings: Iterable[_Booking]) -> list[Violation]:
    found = []
    held: dict[tuple[str, str], _Booking] = {}
    for one in sorted(bookings, key=lambda each: each.since):
        other = held.get(one.pair)
        if other is not None and one.since < min(other.until, one.until):
            text = f"{one.service} and {other.service} hold {one.pair}"
            found.append(
                Violation("access", "a number is given twice", one.service, one.since, text)
            )
        if other is None or one.until > other.until:
            held[one.pair] = one
    return found


def _lost(
    bookings: Iterable[_Booking], matches: dict[tuple[str, str], list[Operation]]
) -> list[Violation]:
    return [
        Violation(
            *("access", "a confirmed booking is not found", booking.service, one.begin),
            f"{booking.pair}, booked at {booking.since:.1f}",
        )
        for booking in bookings
        for one in matches.get(booking.pair, ())
        if one.got.get("missing") and booking.since <= one.begin and one.end <= booking.until
    ]


def _matched(operations: Iterable[Operation], bookings: Iterable[_Booking]) -> list[Violation]:
    found = []
    times: Counter[str] = Counter()
    chances: Counter[str] = Counter()
    gone: dict[str, float] = {}
    last: dict[str, float] = {}
    unsure = {one.key for one in operations if one.action == "move" and one.unknown}
    for booking in bookings:
        over = booking.made.end + float(booking.made.got["expires_s"]) + CLOCK_S
        last[booking.service] = max(last.get(booking.service, 0.0), over)
        chances[booking.service] += 1
    for one in operations:
        if one.action == "delete" and one.done:
            gone[one.key] = min(gone.get(one.key, one.end), one.end)
    for one in operations:
        if one.action != "match" or not one.done:
            continue
        times[one.key] += 1
        wanted = one.asked.get("service", one.key)
        if one.key != wanted:
            rule, text = "another booking was matched", f"{wanted} has {_pair(one.asked)}"
            found.append(Violation("access", rule, one.key, one.begin, text))
        if one.begin > gone.get(one.key, one.begin):
            text = f"deleted at {gone[one.key]:.1f}"
            found.append(
                Violation("access", "a deleted service was matched", one.key, one.begin, text)
            )
        if one.key in chances and one.key not in unsure:
            if times[one.key] > chances[one.key]:
                text = f"{times[one.key]} times"
                rule = "a booking was matched twice"
                found.append(Violation("access", rule, one.key, one.begin, text))
            if one.begin > last[one.key]:
                text = f"over at {last[one.key]:.1f}"
                rule = "a booking that is over was matched"
                found.append(Violation("access", rule, one.key, one.begin, text))
    return found


LOSSES = frozenset(
    (
        *("a confirmed write is lost", "a confirmed area is lost"),
        *("an update of what is gone was confirmed", "a number is given twice"),
        *("a confirmed booking is not found", "a booking was matched twice"),
        *("a deleted service was matched", "a confirmed message is lost"),
        *("a message was shown and is lost", "a transcript is lost", "a live chat is unknown"),
        *("a session is not there at the end", "a live session is unknown"),
        *("what a timer published is lost", "a session forgot what it did"),
    )
)
"""Rules that a Redis breaks when its replica, which lacks the last writes, takes its place."""

CHECKS: dict[str, Callable[[Iterable[Operation]], list[Violation]]] = {
    "storage": check_storage,
    "access": check_access,
    "notify": check_notifications,
    "chat": check_chats,
    "timer": check_timers,
}


def check(operations: Sequence[Operation]) -> list[Violation]:
    """All rules; in the order of time."""
    found = [violation for one in CHECKS.values() for violation in one(operations)]
    return sorted(found, key=lambda violation: violation.at)
