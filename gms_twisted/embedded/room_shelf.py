"""Where rooms are: in memory while they are open, in the store always.

Every change is one unit of the store: decide on a draft, commit, and only then
is it the truth in memory, are held refreshes let go, and listeners told.  So a
request that was answered survives ``kill -9``, and one that failed has left
nothing (hardening R01).

Several servers may share a store.  A position is written only if it is still
free, and a room's record only if nobody else wrote it; whoever comes second
reads the room again and decides again, so positions never repeat (C04).

Knows: memory, units, repetition.  Does not know: who may do what.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import ChatEvent
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.embedded.chat_data import chats_of, erase_chat
from gms_twisted.embedded.room import Draft, Said, worth_showing
from gms_twisted.embedded.room_memory import Room
from gms_twisted.embedded.room_records import (
    EVENT,
    JOIN,
    OPEN,
    RETENTION,
    SESSION,
    FlexUser,
    caught_up,
    event_key,
    put_event,
    put_session,
    put_user,
    read_said,
    read_session,
)
from gms_twisted.embedded.rooms import RoomNotFound, SessionInfo
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Condition,
    ConditionFailed,
    Delete,
    Put,
    Schedule,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

T = TypeVar("T")

MAX_CLOSED_IN_MEMORY = 200
"""Closed rooms kept at hand for late readers; others are read from the store."""

ATTEMPTS = 5
"""How often a change is decided anew when another server was faster."""

PAGE = 500
"""Records read at a time."""


Told = Callable[[SessionInfo, SessionInfo, Sequence[ChatEvent]], None]
"""Takes a room before and after a change, and what was appended."""


class RoomShelf:
    """All rooms.

    :param home: this server's alias.
    :param told: called after every change, also one that another server made.
    :ivar shared: other servers change rooms, too.
    """

    def __init__(
        self,
        store: Store,
        options: ChatServerOptions,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        home: str,
        told: Told,
    ) -> None:
        self.options = options
        self.shared = False
        self.open: dict[ChatSessionId, Room] = {}
        self._closed: OrderedDict[ChatSessionId, Room] = OrderedDict()
        self._store = store
        self._wall = wall
        self._ids = ids
        self._tasks = tasks
        self._home = home
        self._told = told

    def draft(self, room: Room) -> Draft:
        """Begin a change of a room as it is now."""
        return Draft(room.info, room.words, self._wall.now(), self._home)

    # Reading

    async def load_open(self) -> None:
        """Read every open room, and what is new of those that are open here."""
        after, seen, more = "", set[str](), True
        while more:
            records = await self._store.find(SESSION, "state", OPEN, after=after, limit=PAGE)
            for record in records:
                await self._hear_of(ChatSessionId(record.key))
            seen.update(record.key for record in records)
            more = len(records) == PAGE
            after = records[-1].key if more else ""
        for session_id in [one for one in self.open if one not in seen]:
            await self._hear_of(session_id)

    async def _hear_of(self, session_id: ChatSessionId) -> None:
        room = self._at_hand(session_id)
        with suppress(RoomNotFound):  # erased meanwhile
            await (self.find(session_id) if room is None else self._refresh(room))

    async def find(self, session_id: ChatSessionId) -> Room:
        """Get a room, from memory or the store; listeners hear of an open one that is new here.

        :raises RoomNotFound: there is none.
        """
        room = self._at_hand(session_id)
        if room is None:
            room = await self._read(session_id)
            if room is None:
                raise RoomNotFound("There is no such chat.")
            known = self._at_hand(session_id)  # somebody else may have read it meanwhile
            if known is not None:
                return known
            self._place(room)
            if room.info.closed_at is None:
                self._told(replace(room.info, waiting_since=None), room.info, ())
        return room

    async def closed_of(self, gms_user: str, limit: int) -> list[SessionInfo]:
        """Read a customer's closed chats, newest first."""
        infos = await self.of_user(gms_user)
        return [info for info in infos if info.closed_at is not None][:limit]

    def _at_hand(self, session_id: ChatSessionId) -> Room | None:
        return self.open.get(session_id) or self._closed.get(session_id)

    def _place(self, room: Room) -> None:
        session_id = room.info.session_id
        if room.info.closed_at is None:
            self.open[session_id] = room
            return
        self.open.pop(session_id, None)
        self._closed[session_id] = room
        self._closed.move_to_end(session_id)
        while len(self._closed) > MAX_CLOSED_IN_MEMORY:
            self._closed.popitem(last=False)

    async def _read(self, session_id: ChatSessionId) -> Room | None:
        record = await self._store.get(SESSION, session_id)
        if record is None:
            return None
        info, join_word = read_session(session_id, record.value)
        room = Room(info, join_word)
        self._renew(room, info, record.version, await self._events_after(session_id, 0))
        return room

    async def _events_after(self, session_id: ChatSessionId, position: int) -> list[Said]:
        found: list[Said] = []
        while True:
            after = event_key(session_id, position + len(found))
            records = await self._store.find(EVENT, "session", session_id, after=after, limit=PAGE)
            found += [read_said(record.value) for record in records]
            if len(records) < PAGE:
                return found

    @staticmethod
    def _renew(room: Room, info: SessionInfo, version: int, news: Sequence[Said]) -> None:
        """Have a room be what the store says."""
        room.version = version
        room.add(news)
        last = next((one for one in reversed(room.events) if worth_showing(one)), None)
        room.info = caught_up(info, len(room.events), last)

    async def reread(self, session_id: ChatSessionId) -> None:
        """Catch up with what another server did to a room, and tell listeners.

        :raises RoomNotFound: there is none; nothing is kept of it here.
        """
        # Also when it is new here: somebody else may have begun to read it before the news.
        await self._refresh(await self.find(session_id))

    async def _refresh(self, room: Room) -> None:
        async with room.turns:
            await self._catch_up(room)

    async def _catch_up(self, room: Room) -> None:
        """Read what is new of a room; it is our turn.  Events are never changed, only added."""
        session_id = room.info.session_id
        record = await self._store.get(SESSION, session_id)
        if record is None:
            self.open.pop(session_id, None)
            self._closed.pop(session_id, None)
            room.wake()
            raise RoomNotFound("There is no such chat.")
        news = await self._events_after(session_id, len(room.events))
        if record.version == room.version and not news:
            return
        before, (info, _) = room.info, read_session(session_id, record.value)
        self._renew(room, info, record.version, news)
        self._place(room)
        self._published(room, before, [said.event for said in news])

    # Writing

    async def create(self, draft: Draft, join_word: str, user: FlexUser) -> Room:
        """Store a new room with its first events, its word and its user: one unit.

        :raises ConditionFailed: of kind ``chat-join``: the word has made a room
            before; of kind ``chat-session``: the id is taken.
        """
        room = Room(draft.before, join_word)
        conditions: list[Condition] = [Absent(SESSION, draft.info.session_id)]
        extra: list[Change] = [put_user(user, None)]
        if join_word:
            conditions.append(Absent(JOIN, join_word))
            extra.append(Put(JOIN, join_word, draft.info.session_id.encode("ascii")))

        async def store() -> None:
            async with room.turns:
                await self._commit(room, draft, extra, conditions)

        await self._tasks.finish("new chat", store())
        return room

    async def joined_by(self, join_word: str) -> ChatSessionId | None:
        """Which session a word has made, if it is still the word's."""
        record = await self._store.get(JOIN, join_word)
        return None if record is None else ChatSessionId(record.value.decode("ascii"))

    async def change(
        self,
        session_id: ChatSessionId,
        decide: Callable[[Draft], T],
        extra: Callable[[Draft], Sequence[Change]] = lambda draft: (),
    ) -> T:
        """Decide something about a room, and store it; completes whoever waits.

        :param decide: changes the draft, or raises to change nothing; may be called again.
        :param extra: further changes of the same unit.
        :raises RoomNotFound: there is no such room.
        """
        return await self._tasks.finish("change of a chat", self._change(session_id, decide, extra))

    async def _change(
        self,
        session_id: ChatSessionId,
        decide: Callable[[Draft], T],
        extra: Callable[[Draft], Sequence[Change]],
    ) -> T:
        room = await self.find(session_id)
        async with room.turns:
            fresh = not self.shared
            for _ in range(ATTEMPTS):
                draft = self.draft(room)
                try:
                    result = decide(draft)
                except GmsError:
                    if fresh:
                        raise
                    # The news of what makes it possible may be on its way.
                    fresh = True
                    await self._catch_up(room)
                    continue
                if not draft.changed:
                    return result
                try:
                    await self._commit(room, draft, extra(draft), ())
                except ConditionFailed:
                    fresh = True
                    await self._catch_up(room)
                    continue
                return result
        raise Unavailable("The chat is being changed elsewhere; try again.")

    async def _commit(
        self, room: Room, draft: Draft, extra: Sequence[Change], conditions: Sequence[Condition]
    ) -> None:
        info = draft.info
        session_id = info.session_id
        needed: list[Condition] = list(conditions)
        changes: list[Change] = []
        before = replace(draft.before, last_position=info.last_position, last=info.last)
        if before != info or room.version == 0:
            if room.version:
                needed.append(Unchanged(SESSION, session_id, room.version))
            changes.append(put_session(info, self._kept_until(info), room.join_word))
        for said in draft.said:
            needed.append(Absent(EVENT, event_key(session_id, said.event.position)))
            changes.append(put_event(session_id, said))
        changes.extend(extra)
        customer_left = any(party.is_customer for party in draft.left)
        if room.join_word and customer_left:
            changes.append(Delete(JOIN, room.join_word))
        until = self._kept_until(info)
        if until is not None:
            changes.append(Schedule(RETENTION, session_id, until))
        unit = Unit(UnitId(self._ids.uuid()), tuple(changes), tuple(needed))
        committed = await self._store.commit(unit)
        if isinstance(changes[0], Put) and changes[0].kind == SESSION:
            room.version = committed.versions[0]
        room.add(draft.said)
        room.info = info
        self._place(room)
        self._published(room, draft.before, [said.event for said in draft.said])

    def _kept_until(self, info: SessionInfo) -> float | None:
        if info.closed_at is None:
            return None
        options = self.options
        return info.closed_at + max(options.transcript_retention_s, options.closed_session_ttl_s)

    def _published(self, room: Room, before: SessionInfo, events: Sequence[ChatEvent]) -> None:
        self._told(before, room.info, events)
        room.wake()

    # Forgetting

    async def expire(self) -> list[ChatSessionId]:
        """Delete what closed chats leave behind after their time (C12).

        :returns: which chats there were.
        """
        over = await self._store.due(RETENTION, self._wall.now())
        erased = [ChatSessionId(due.key) for due in over]
        for session_id in erased:
            await self.erase(session_id)
        return erased

    async def erase(self, session_id: ChatSessionId) -> None:
        """Delete a closed chat with its events and users; may be repeated."""
        self._closed.pop(session_id, None)
        await erase_chat(self._store, self._ids, session_id)

    async def of_user(self, gms_user: str) -> list[SessionInfo]:
        """Read a user's chats, open and closed, newest first."""
        return await chats_of(self._store, gms_user)
