"""The rules of the Storage API: areas of keys and values that end by themselves.

Spec: Storage API.  An area is a record of the store (see ``area_records``); writing
one is one unit, so a refused or interrupted request leaves nothing behind.

Knows: keys, lifetimes, quotas.  Does not know: HTTP.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote

from twisted.logger import Logger

from gms_twisted.app.area_files import StoredFile, StoredValues, Texts
from gms_twisted.app.area_records import (
    AREA,
    Area,
    Entry,
    Joined,
    area_of,
    encode_area,
    revise,
    size_of,
    source_of,
)
from gms_twisted.app.storage_room import StorageRoom
from gms_twisted.app.turns import TurnsByKey
from gms_twisted.config.options import StorageOptions
from gms_twisted.domain.errors import (
    AreaNotFound,
    InvalidRequest,
    StorageFull,
    TooLarge,
    Unavailable,
    shown,
)
from gms_twisted.domain.ids import AreaId, FileId
from gms_twisted.domain.sources import Clock, IdSource, WallClock
from gms_twisted.domain.values import FormValue
from gms_twisted.store.interfaces import (
    Change,
    ConditionFailed,
    Delete,
    Put,
    Record,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

BINARY_PATH = "/genesys/1/storage/binary/"

_ATTEMPTS = 20

_NOT_FOUND = "There is no such storage area or key."


class StorageAreas:
    """Storage areas, as the Storage API and services use them.

    :param links: gives what URLs begin with: ``server/external_url_base``, or ``/``
        with ``server/relative_url``.
    :ivar room: how full storage is.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        ids: IdSource,
        wall: WallClock,
        clock: Clock,
        options: StorageOptions,
        links: Callable[[], str],
    ) -> None:
        self._store = store
        self._ids = ids
        self._wall = wall
        self._options = options
        self._links = links
        self._turns: TurnsByKey[AreaId] = TurnsByKey()
        self.room = StorageRoom(store, wall, clock, options)

    def reconfigure(self, options: StorageOptions) -> None:
        """Follow other limits from now on."""
        self._options = options
        self.room.reconfigure(options)

    # Writing.

    async def create(
        self, fields: Mapping[str, FormValue], ttl_s: int, area_id: AreaId | None = None
    ) -> AreaId:
        """Keep ``fields`` for ``ttl_s`` seconds under a new id; durable on return.

        Spec: Storage API, "Create" and "Notes".

        :param fields: names must not start with ``_``.
        :param ttl_s: 1 to ``storage/max_ttl``.
        :param area_id: the same when it is done again; then what was made is left alone.
        :raises InvalidRequest: a name, their number or the lifetime is out of range.
        :raises TooLarge: a value is.
        :raises StorageFull: there is no room for more.
        """
        if area_id is not None and await self._store.get(AREA, area_id) is not None:
            return area_id
        area_id, changes = await self.changes_for_create(fields, ttl_s, area_id)
        await self._store.commit(Unit(UnitId(self._ids.uuid()), tuple(changes)))
        return area_id

    def new_id(self) -> AreaId:
        """Make the id of an area that is to be created."""
        return AreaId(self._ids.uuid())

    async def changes_for_create(
        self, fields: Mapping[str, FormValue], ttl_s: float, area_id: AreaId | None = None
    ) -> tuple[AreaId, list[Change]]:
        """Prepare what :meth:`create` does, to be part of a larger unit.

        :param area_id: of :meth:`new_id`, where the id must be known before.

        Nothing exists until the changes are committed; do that within the hour in
        which the store keeps files that nobody has claimed.
        """
        self._check(fields, ttl_s)
        now = self._wall.now()
        area, overflow = revise(Area(now + ttl_s), fields, now + ttl_s, now)
        self._check_area(area)
        self.room.check(len(fields))
        area = await self._with_overflow(area, fields, overflow)
        self.room.changed(len(area.entries), area.data_bytes)
        area_id = area_id or self.new_id()
        return area_id, [_put(area_id, area)]

    async def update(self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: int) -> None:
        """Set keys of an area, which live for ``ttl_s`` seconds from now; others stay.

        Two updates at once: for each key the later one wins, with its lifetime.

        Spec: Storage API, "Update".

        :raises AreaNotFound: no such area, or its time is over; it is not made again.

        Further errors are those of :meth:`create`.
        """
        self._check(fields, ttl_s)
        self.room.check()
        async with self._turns.of(area_id):
            await self._revise(area_id, fields, ttl_s)

    async def delete(self, area_id: AreaId) -> None:
        """Remove an area with all of its keys.  Spec: Storage API, "Delete".

        :raises AreaNotFound: no such area.
        """
        async with self._turns.of(area_id):
            record = await self._record(area_id)
            area = area_of(record)
            unit = Unit(UnitId(self._ids.uuid()), (self.change_for_delete(area_id),))
            await self._store.commit(unit)
            self.room.changed(-len(area.entries), -area.data_bytes)

    def change_for_delete(self, area_id: AreaId) -> Change:
        """Prepare the removal of an area, to be part of a larger unit."""
        return Delete(AREA, area_id)

    async def _revise(self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: float) -> None:
        """Read, change and write an area, again when another node was first."""
        files: dict[tuple[str, ...], FileId] = {}
        for _ in range(_ATTEMPTS):
            record = await self._record(area_id)
            before = area_of(record)
            now = self._wall.now()
            area, overflow = revise(before, fields, now + ttl_s, now)
            self._check_area(area)
            if overflow and overflow in files:
                area = replace(area, files=(*area.files, files[overflow]))
            elif overflow:
                area = await self._with_overflow(area, fields, overflow)
                files[overflow] = area.files[-1]
            unit = Unit(
                UnitId(self._ids.uuid()),
                (_put(area_id, area),),
                (Unchanged(AREA, area_id, record.version),),
            )
            try:
                await self._store.commit(unit)
            except ConditionFailed:
                continue
            self.room.changed(
                len(area.entries) - len(before.entries), area.data_bytes - before.data_bytes
            )
            return
        raise Unavailable("Too many others are changing this storage area; try again.")

    async def _with_overflow(
        self, area: Area, fields: Mapping[str, FormValue], overflow: tuple[str, ...]
    ) -> Area:
        """Write the file that an area still lacks."""
        if not overflow:
            return area
        source = Joined(source_of(fields[name]) for name in overflow)
        file_id = await self._store.keep_file(source)
        return replace(area, files=(*area.files, file_id))

    # Reading.

    async def read(self, area_id: AreaId) -> dict[str, str]:
        """Read all keys: text as it is, of a file its URL.

        Spec: Storage API, "Query (all keys)".

        :raises AreaNotFound: no such area.
        """
        return await (await self.open(area_id)).all()

    async def open(self, area_id: AreaId) -> StoredValues:
        """Find all keys, to be read one by one: :meth:`read` for large areas.

        :raises AreaNotFound: no such area.
        """
        area = await self._area(area_id)
        return StoredValues(self._store, area, lambda name: self._link(area_id, name))

    async def read_key(self, area_id: AreaId, key: str) -> str:
        """Read one key: its text, or the URL of its file.

        Spec: Storage API, "Query (one key)".

        :raises AreaNotFound: no such area or key.
        """
        area = await self._area(area_id)
        entry = _entry_of(area, key)
        if entry.content_type is not None:
            return self._link(area_id, key)
        return await Texts(self._store, area).read(entry)

    async def open_file(self, area_id: AreaId, key: str) -> StoredFile:
        """Find the file of a key.  Spec: Storage API, "Query (one binary key)".

        It can be read to its end even if the area ends meanwhile.

        :raises AreaNotFound: no such area or key, or its value is text.
        """
        area = await self._area(area_id)
        entry = _entry_of(area, key)
        if entry.content_type is None:
            raise AreaNotFound(_NOT_FOUND)
        return StoredFile(self._store, area, entry)

    async def files_of(self, area_id: AreaId) -> list[dict[str, object]]:
        """Describe the files of an area: ``key``, ``filename``, ``type``, ``size``, ``url``.

        :raises AreaNotFound: no such area.
        """
        area = await self._area(area_id)
        return [
            {
                "key": name,
                "filename": entry.filename,
                "type": entry.content_type,
                "size": entry.length,
                "url": self._link(area_id, name),
            }
            for name, entry in area.entries.items()
            if entry.content_type is not None
        ]

    async def _area(self, area_id: AreaId) -> Area:
        """An area with those keys only whose time is not over."""
        return area_of(await self._record(area_id)).at(self._wall.now())

    async def _record(self, area_id: AreaId) -> Record:
        record = await self._store.get(AREA, area_id)
        if record is None:
            raise AreaNotFound(_NOT_FOUND)
        return record

    def _link(self, area_id: AreaId, key: str) -> str:
        """The URL of a file; from the configured base, never from a request (S10)."""
        segment = quote(key, safe="") if key.strip(".") else key.replace(".", "%2E")
        base = self._links().rstrip("/")
        return f"{base}{BINARY_PATH}{area_id}/{segment}"

    # Limits.

    def _check(self, fields: Mapping[str, FormValue], ttl_s: float) -> None:
        """Judge everything of a request before anything of it happens (S02)."""
        if not 0 < ttl_s <= self._options.max_ttl:
            raise InvalidRequest(f"ttl must be 1 to {self._options.max_ttl} seconds.", "ttl")
        for name, value in fields.items():
            self._check_name(name)
            self._check_value(name, value)

    def _check_name(self, name: str) -> None:
        if not name:
            raise InvalidRequest("A key is empty.")
        if name.startswith("_"):
            raise InvalidRequest(
                f"The key {shown(name)} begins with _, which services reserve.", name
            )
        try:
            size = len(name.encode())
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"The key {shown(name)} is not valid Unicode.") from error
        if size > self._options.max_key_bytes:
            raise InvalidRequest(
                f"The key {shown(name)} is longer than {self._options.max_key_bytes} bytes.", name
            )
        # Of printable text no character need be looked at.
        if not name.isprintable() and any(map(_is_control, name)):
            raise InvalidRequest(f"The key {shown(name)} has control characters.", name)

    def _check_value(self, name: str, value: FormValue) -> None:
        try:
            size = size_of(value)
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"The value of {shown(name)} is not valid Unicode.", name
            ) from error
        if size > self._options.max_value_bytes:
            raise TooLarge(
                f"The value of {shown(name)} is larger than {self._options.max_value_bytes} bytes."
            )

    def _check_area(self, area: Area) -> None:
        if len(area.entries) > self._options.max_keys:
            raise InvalidRequest(f"A storage area has at most {self._options.max_keys} keys.")
        if area.text_bytes > self._options.max_text_bytes:
            raise TooLarge(
                f"A storage area has at most {self._options.max_text_bytes} bytes of text."
            )

    # By the way.

    async def housekeep(self) -> None:
        """See how full storage is; now and then count it and drop keys that are over.

        To be called at the start and every ``storage/purge_interval`` seconds.
        """
        await self.room.look(self._trim)

    async def _trim(self, area_id: AreaId) -> None:
        """Give back what the keys of an area use that are over before it."""
        try:
            async with self._turns.of(area_id):
                await self._revise(area_id, {}, 0.0)
        except (AreaNotFound, Unavailable, StorageFull):
            self.log.debug("Storage area {area_id} is not trimmed now", area_id=area_id)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _entry_of(area: Area, key: str) -> Entry:
    entry = area.entries.get(key)
    if entry is None:
        raise AreaNotFound(_NOT_FOUND)
    return entry


def _put(area_id: AreaId, area: Area) -> Put:
    return Put(AREA, area_id, encode_area(area), area.expires_at, files=area.files)
