"""What every store promises, whichever way it keeps things.

Records are bytes under a *kind* and a key, with a lifetime.  **There is one way
to write**: :meth:`Store.commit` of a :class:`Unit`.  A unit holds conditions and
changes; all of it happens or none, and the call returns when it is durable.
One request, or one step of a state machine, is one unit.

Effects on the outside (a push to send, an event to deliver) are *intents*: part
of the unit that decided them, carried out after its commit, struck off
afterwards.  At start, :meth:`Store.intents` gives back those still there, to be
carried out again with the same id.

A unit has an id.  Committing the same id again returns the first result, so a
commit may be repeated after a lost connection.

Expired records are invisible at once to every read and every condition; the
memory and disk they use is given back later, in slices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NewType, Protocol, TypeVar, cast

from gms_twisted.domain.errors import Conflict
from gms_twisted.domain.ids import FileId
from gms_twisted.domain.values import ByteSource

Kind = NewType("Kind", str)
"""A family of records, ``"area"`` or ``"chat"``; a few dozen in all."""

UnitId = NewType("UnitId", str)

V = TypeVar("V")

CHUNK_BYTES = 128 * 1024
"""Files are read and written in pieces of this size, the last one shorter."""

UNCLAIMED_FILE_S = 3600.0
"""A file that no record has claimed for so long is removed."""

DOWNLOAD_GRACE_S = 900.0
"""A file whose record is gone can still be read so long, by a download under way."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored value.

    :ivar expires_at: Unix seconds, or ``None`` for never.
    :ivar version: 1 for a new record, one more with every put.
    :ivar files: files that live and die with the record.
    """

    kind: Kind
    key: str
    value: bytes = field(repr=False)
    expires_at: float | None
    version: int
    files: tuple[FileId, ...] = ()
    _made: tuple[object, object] | None = field(default=None, init=False, repr=False, compare=False)

    def made(self, make: Callable[[Record], V]) -> V:
        """What a function makes of it, which must be immutable; made once.

        A store may give the same record again and again.  Measured gain: 6 us of each
        reading of a storage area, a service or a chat.

        :param make: the same object each time.
        """
        known = self._made
        if known is not None and known[0] is make:
            return cast("V", known[1])
        value = make(self)
        object.__setattr__(self, "_made", (make, value))
        return value


# Conditions.  All of a unit's conditions are judged before any of its changes.


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such record (an expired one counts as none)."""

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The record exists, lives, and has this version."""

    kind: Kind
    key: str
    version: int


@dataclass(frozen=True, slots=True)
class NumberFree:
    """Nobody holds a live reservation of this number."""

    pool: str
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """The named lease still has this epoch (see ``cluster``; always 0 when embedded)."""

    name: str
    epoch: int


Condition = Absent | Unchanged | NumberFree | LeaseHeld


# Changes.  Carried out in order.


@dataclass(frozen=True, slots=True)
class Put:
    """Create or replace a record.

    :ivar expires_at: Unix seconds, or ``None`` for never.
    :ivar indexes: values by index name, for :meth:`Store.find`; replaces the former ones.
    :ivar files: files that the record owns from now on.  Files that it owned
        before and that are not named here are deleted with this commit.
    """

    kind: Kind
    key: str
    value: bytes = field(repr=False)
    expires_at: float | None = None
    indexes: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[FileId, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record and the files it owns; no such record is no fault."""

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold a number of a pool for ``holder`` until ``until`` (Unix seconds).

    Replaces any reservation of the number; put :class:`NumberFree` beside it.
    """

    pool: str
    number: str = field(repr=False)
    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a number, if ``holder`` still holds it."""

    pool: str
    number: str = field(repr=False)
    holder: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """Make ``key`` due in ``queue`` at ``at`` (Unix seconds); moves an earlier date."""

    queue: str
    key: str
    at: float


@dataclass(frozen=True, slots=True)
class Unschedule:
    """Forget a due date; none there is no fault."""

    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Intend:
    """Remember an effect to carry out after the commit.

    :ivar intent_id: stable, unique; sent along where the other side can use it
        to recognise a repetition.
    """

    intent_id: str
    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Strike:
    """The effect has been carried out; none there is no fault."""

    intent_id: str


Change = Put | Delete | Reserve | Release | Schedule | Unschedule | Intend | Strike


@dataclass(frozen=True, slots=True)
class Unit:
    """What happens together or not at all."""

    unit_id: UnitId
    changes: tuple[Change, ...]
    conditions: tuple[Condition, ...] = ()


class ConditionFailed(Conflict):
    """A condition did not hold, and nothing of the unit happened.

    :ivar condition: the first that failed, in the unit's order.
    """

    code = "gms.store.condition_failed"

    def __init__(self, condition: Condition) -> None:
        super().__init__("The data was changed by somebody else; nothing was stored.")
        self.condition = condition


class FileGone(Conflict):
    """A put names a file that is not there, or belongs to another record; nothing happened.

    :ivar file_id: the file.
    """

    code = "gms.store.file_gone"

    def __init__(self, file_id: FileId) -> None:
        super().__init__("An uploaded file is no longer there; nothing was stored.")
        self.file_id = file_id


@dataclass(frozen=True, slots=True)
class Committed:
    """A unit is durable.

    :ivar versions: the new version of each record put, in the order of the puts.
    """

    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A live reservation."""

    pool: str
    number: str = field(repr=False)
    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Due:
    """An entry of a queue whose time has come."""

    queue: str
    key: str
    at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """How much there is, for quotas and health.

    :ivar writable: ``False`` once a write has failed; then every commit raises
        :class:`gms_twisted.domain.errors.StoreReadOnly`.
    :ivar full: the disk has less free than it must; new data is refused with
        :class:`gms_twisted.domain.errors.StorageFull`, deleting works.
    :ivar damaged: how many records were found damaged since the start.
    """

    records: int
    data_bytes: int
    file_bytes: int
    writable: bool = True
    full: bool = False
    damaged: int = 0


class Store(Protocol):
    """Where everything durable is."""

    async def commit(self, unit: Unit) -> Committed:
        """Carry out a unit, and return when it is durable.

        An :class:`Intend` whose id is already there changes nothing.

        :raises ConditionFailed: a condition did not hold; nothing happened.
        :raises FileGone: a put names a file that it cannot have; nothing happened.
        :raises StoreReadOnly: the store cannot write; nothing happened.  After a
            failed sync of the disk nobody can know: then the unit is there wholly
            or not at all after the next start.
        :raises Unavailable: too much is waiting for the disk; nothing happened.
        :raises StorageFull: no room on the disk; nothing happened.
        """

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Read one record, ``None`` when there is none or its time is over.

        :raises DamagedRecord: it does not match its checksum.
        """

    async def find(
        self, kind: Kind, index: str, value: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Record]:
        """Read live records by index value, ordered by key, keys above ``after`` only.

        Damaged records are left out here and in :meth:`scan`; they are logged and
        counted in :attr:`Usage.damaged`.
        """

    async def scan(self, kind: Kind, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Read live records of a kind, ordered by key, keys above ``after`` only."""

    async def reservations(self, pool: str) -> Sequence[Reservation]:
        """Read the live reservations of a pool, ordered by number."""

    async def due(self, queue: str, until: float, limit: int = 100) -> Sequence[Due]:
        """Read what is due by ``until`` (Unix seconds), earliest first; removes nothing.

        Entries of the same time are ordered by key.
        """

    async def intents(self, topic: str, limit: int = 1000) -> Sequence[Intend]:
        """Read effects not yet struck off, oldest first."""

    async def keep_file(self, source: ByteSource) -> FileId:
        """Write a file, piece by piece, and return its id when it is durable.

        The file belongs to nobody until a :class:`Put` names it; one that nobody
        claims within an hour, or by the next start, is removed.  ``source`` is
        read with back-pressure and not closed.

        :raises StorageFull: no room.
        :raises Unavailable: the source ended before its size.
        """

    async def file_size(self, file_id: FileId) -> int | None:
        """Size in bytes, ``None`` for an unknown file and when its record is gone or over."""

    async def read_chunk(self, file_id: FileId, index: int) -> bytes | None:
        """Read piece ``index`` (from 0, :data:`CHUNK_BYTES` each); ``None`` past the end.

        A file whose record has gone can be read for :data:`DOWNLOAD_GRACE_S` more,
        so that a download under way finishes; ask :meth:`file_size` before the first piece.

        :raises DamagedRecord: it does not match its checksum.
        """

    async def usage(self) -> Usage:
        """Tell how much is stored, roughly and cheaply."""

    async def sweep(self, limit: int = 200) -> int:
        """Give back what expired records and unclaimed files use: one slice.

        :param limit: most items (records, reservations, chunks...) to remove now.
        :returns: how many were removed; 0 when nothing is left to do.
        """

    async def start(self) -> None:
        """Open, migrate, recover; called once, before anything else.

        :raises StoreFault: with one sentence for the operator.
        """

    async def stop(self) -> None:
        """Finish what was begun and close."""


class StoreFault(Exception):
    """The store cannot be opened; the text is one sentence for the operator."""
