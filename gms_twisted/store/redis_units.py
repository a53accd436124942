"""A unit as the arguments of the commit script, and its answer as a result.

Knows: conditions, changes, how the script reads them.  Does not know: connections, Lua.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gms_twisted.domain.ids import FileId
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Committed,
    Condition,
    ConditionFailed,
    Delete,
    FileGone,
    Intend,
    Kind,
    LeaseHeld,
    NumberFree,
    Put,
    Record,
    Release,
    Reserve,
    Schedule,
    Strike,
    Unchanged,
    Unit,
    Unschedule,
)

REMEMBER_UNITS_S = 300
"""How long the same unit again is recognised: five times the longest deadline."""


def encoded(text: str) -> bytes:
    """A name as Redis keeps it; their order is that of the texts."""
    return text.encode("utf-8", "surrogatepass")


def decoded(raw: bytes) -> str:
    """What :func:`encoded` made."""
    return raw.decode("utf-8", "surrogatepass")


def timed(at: float) -> bytes:
    """Unix seconds, to the last bit."""
    return repr(float(at)).encode("ascii")


def arguments(unit: Unit) -> list[bytes]:
    """What the commit script is called with, after the time."""
    made = [
        *(encoded(unit.unit_id), b"%d" % REMEMBER_UNITS_S),
        b"1" if _grows(unit) else b"0",
        b"%d" % len(unit.conditions),
    ]
    for condition in unit.conditions:
        made += _condition(condition)
    for change in unit.changes:
        made += _change(change)
    return made


def _grows(unit: Unit) -> bool:
    return any(isinstance(each, Put | Reserve | Schedule | Intend) for each in unit.changes)


def _condition(condition: Condition) -> list[bytes]:
    match condition:
        case Absent(kind, key):
            return [b"absent", encoded(kind), encoded(key)]
        case Unchanged(kind, key, version):
            return [b"unchanged", encoded(kind), encoded(key), b"%d" % version]
        case NumberFree(pool, number):
            return [b"free", encoded(pool), encoded(number)]
        case LeaseHeld(name, epoch):
            return [b"lease", encoded(name), b"%d" % epoch]


def _change(change: Change) -> list[bytes]:
    name = type(change).__name__.encode("ascii")
    match change:
        case Put():
            return [name, *_put(change)]
        case Delete(first, second) | Unschedule(first, second):
            return [name, encoded(first), encoded(second)]
        case Reserve(pool, number, holder, until):
            return [name, encoded(pool), encoded(number), encoded(holder), timed(until)]
        case Release(pool, number, holder):
            return [name, encoded(pool), encoded(number), encoded(holder)]
        case Schedule(queue, key, at):
            return [name, encoded(queue), encoded(key), timed(at)]
        case Intend(intent_id, topic, payload):
            return [name, encoded(intent_id), encoded(topic), bytes(payload)]
        case Strike(intent_id):
            return [name, encoded(intent_id)]


def _put(put: Put) -> list[bytes]:
    return [
        *(encoded(put.kind), encoded(put.key), bytes(put.value)),
        b"" if put.expires_at is None else timed(put.expires_at),
        *(entries(put.indexes), " ".join(put.files).encode("ascii")),
    ]


def entries(indexes: Mapping[str, str]) -> bytes:
    """Names and values, each after its length and a colon."""
    made = []
    for name, value in sorted(indexes.items()):
        made += [b"%d:%b" % (len(part), part) for part in (encoded(name), encoded(value))]
    return b"".join(made)


def result(unit: Unit, answer: Sequence[bytes | int]) -> Committed:
    """What the script says.

    :raises ConditionFailed: with the first condition that does not hold.
    :raises FileGone: a put names a file that it cannot have.
    """
    what, detail = answer[0], answer[1]
    if what == b"failed":
        raise ConditionFailed(unit.conditions[int(detail) - 1])
    if what == b"gone":
        assert isinstance(detail, bytes)
        raise FileGone(FileId(decoded(detail)))
    assert isinstance(detail, bytes)
    return Committed(tuple(int(each) for each in detail.split()))


def record_of(
    kind: Kind,
    key: str,
    value: bytes | None,
    expires: bytes,
    version: bytes | None,
    files: bytes,
) -> Record | None:
    """A record of its fields; ``None`` if there are none."""
    if value is None or version is None:
        return None
    owned = tuple(FileId(one) for one in files.decode("ascii").split())
    return Record(kind, key, value, float(expires) if expires else None, int(version), owned)
