"""What the chat server keeps about a person: to show it, and to delete it.

For the commands that export and delete a user's data (hardening C12).  Works on
the store alone, so that it can be used while no server runs; a running server
uses :meth:`gms_twisted.embedded.room_host.RoomHost.delete_user`, which closes
the user's open chats first.

Knows: the chat server's records.  Does not know: rooms in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gms_twisted.chatserver.events import format_time
from gms_twisted.domain.chat import ChatEvent
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import IdSource
from gms_twisted.embedded.room_records import (
    EVENT,
    JOIN,
    RETENTION,
    SESSION,
    USER,
    read_said,
    read_session,
)
from gms_twisted.embedded.rooms import SessionInfo
from gms_twisted.store.interfaces import Change, Delete, Kind, Store, Unit, UnitId, Unschedule

PAGE = 500
"""Records read or deleted at a time."""


async def chats_of(store: Store, gms_user: str) -> list[SessionInfo]:
    """Read a user's chats, open and closed, newest first; none for ``""``."""
    found: list[SessionInfo] = []
    after = ""
    while gms_user:
        records = await store.find(SESSION, "user", gms_user, after=after, limit=PAGE)
        found.extend(read_session(record.key, record.value)[0] for record in records)
        if len(records) < PAGE:
            break
        after = records[-1].key
    return sorted(found, key=lambda info: info.started_at, reverse=True)


async def export_user(store: Store, gms_user: str) -> list[dict[str, object]]:
    """Give a user's chats as JSON values, for the user to read."""
    exported: list[dict[str, object]] = []
    for info in await chats_of(store, gms_user):
        events = await _events(store, info.session_id)
        exported.append(
            {
                "chatSessionId": info.session_id,
                "startedAt": format_time(info.started_at),
                "endedAt": None if info.closed_at is None else format_time(info.closed_at),
                "queue": info.queue,
                "subject": info.subject,
                "userData": dict(info.user_data),
                "transcript": [_row(event) for event in events],
            }
        )
    return exported


async def erase_chat(
    store: Store, ids: IdSource, session_id: ChatSessionId, join_word: str = ""
) -> None:
    """Delete a chat with its events and users, in slices; may be repeated.

    The chat's own record goes last, so what was interrupted can be found again.
    """
    kinds: Sequence[Kind] = (EVENT, USER)
    for kind in kinds:
        while records := await store.find(kind, "session", session_id, limit=PAGE):
            await _delete(store, ids, [Delete(kind, record.key) for record in records])
    last: list[Change] = [Delete(SESSION, session_id), Unschedule(RETENTION, session_id)]
    if join_word:
        last.append(Delete(JOIN, join_word))
    await _delete(store, ids, last)


async def delete_user(store: Store, ids: IdSource, gms_user: str) -> int:
    """Delete all chats of a user; tells how many there were."""
    infos = await chats_of(store, gms_user)
    for info in infos:
        record = await store.get(SESSION, info.session_id)
        word = "" if record is None else read_session(record.key, record.value)[1]
        owner = await store.get(JOIN, word) if word else None
        mine = owner is not None and owner.value == info.session_id.encode("ascii")
        await erase_chat(store, ids, info.session_id, word if mine else "")
    return len(infos)


async def _delete(store: Store, ids: IdSource, changes: Sequence[Change]) -> None:
    await store.commit(Unit(UnitId(ids.uuid()), tuple(changes)))


async def _events(store: Store, session_id: ChatSessionId) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    after = ""
    while True:
        records = await store.find(EVENT, "session", session_id, after=after, limit=PAGE)
        events.extend(read_said(record.value).event for record in records)
        if len(records) < PAGE:
            return events
        after = records[-1].key


def _row(event: ChatEvent) -> Mapping[str, object]:
    row: dict[str, object] = {
        "position": event.position,
        "seconds": event.time_shift_s,
        "event": event.kind.value,
        "nickname": event.nickname,
        "party": event.party_type.value,
    }
    if event.notice_type is not None:
        row["notice"] = event.notice_type.value
    if event.text:
        row["text"] = event.text
    if event.reason is not None:
        row["reason"] = event.reason.value
    return row
