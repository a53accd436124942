"""The chat server's records: what a chat is in the store.

=================  ==============================  =====================================
kind               key                             value
=================  ==============================  =====================================
``chat-session``   session id                      all but the events; indexes ``state``
                                                   (``open`` or ``closed``) and ``user``
``chat-event``     ``<session id>/<position>``     one event; index ``session``
``chat-user``      flex user id                    key, nickname, session and party;
                                                   index ``session``
``chat-join``      word of a join                  session id that it made
=================  ==============================  =====================================

Positions in keys have eight digits, so that keys sort as positions do.  A closed
chat is due in queue :data:`RETENTION` when its time is over; its events and users
are deleted then, in slices.

Knows: JSON, kinds, keys.  Does not know: when what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gms_twisted.domain.chat import (
    ChatEvent,
    EventKind,
    LeaveReason,
    NoticeType,
    PartyType,
    Visibility,
)
from gms_twisted.domain.ids import AgentName, ChatSessionId, ChatUserId
from gms_twisted.embedded.room import Said
from gms_twisted.embedded.rooms import CustomerState, Party, SessionInfo
from gms_twisted.store.interfaces import Kind, Put

SESSION = Kind("chat-session")
EVENT = Kind("chat-event")
USER = Kind("chat-user")
JOIN = Kind("chat-join")

RETENTION = "chat-retention"
"""Queue of closed chats, by session id."""

OPEN = "open"
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class FlexUser:
    """A user of the flex port.

    :ivar session_id: the session it joined, ``None`` before.
    :ivar user_data: what came with the login; the session has it afterwards.
    """

    user_id: ChatUserId
    secure_key: str = field(repr=False)
    nickname: str
    session_id: ChatSessionId | None = None
    party_id: str = ""
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def event_key(session_id: ChatSessionId, position: int) -> str:
    """The key of an event's record."""
    return f"{session_id}/{position:08d}"


def _event_value(event: ChatEvent) -> dict[str, object]:
    value: dict[str, object] = {
        "kind": event.kind.value,
        "position": event.position,
        "shift": event.time_shift_s,
        "party": event.party_id,
        "nickname": event.nickname,
        "type": event.party_type.value,
    }
    if event.visibility is not Visibility.ALL:
        value["visibility"] = event.visibility.value
    if event.text:
        value["text"] = event.text
    if event.notice_type is not None:
        value["notice"] = event.notice_type.value
    if event.message_type:
        value["message_type"] = event.message_type
    if event.reason is not None:
        value["reason"] = event.reason.value
    return value


def _event(value: dict[str, Any]) -> ChatEvent:
    notice, reason = value.get("notice"), value.get("reason")
    return ChatEvent(
        kind=EventKind(value["kind"]),
        position=value["position"],
        time_shift_s=value["shift"],
        party_id=value["party"],
        nickname=value["nickname"],
        party_type=PartyType(value["type"]),
        visibility=Visibility(value.get("visibility", "ALL")),
        text=value.get("text", ""),
        notice_type=NoticeType(notice) if notice else None,
        message_type=value.get("message_type", ""),
        reason=LeaveReason(reason) if reason else None,
    )


def put_event(session_id: ChatSessionId, said: Said) -> Put:
    """The change that stores an event."""
    value = _event_value(said.event)
    if said.word:
        value["word"] = said.word
    key = event_key(session_id, said.event.position)
    return Put(EVENT, key, _dump(value), indexes={"session": session_id})


def read_said(value: bytes) -> Said:
    """The reverse of :func:`put_event`."""
    document = json.loads(value)
    return Said(_event(document), document.get("word", ""))


def put_session(info: SessionInfo, expires_at: float | None, join_word: str) -> Put:
    """The change that stores a chat without its events."""
    value = {
        "queue": info.queue,
        "subject": info.subject,
        "user_data": dict(info.user_data),
        "started_at": info.started_at,
        "last_position": info.last_position,
        "parties": [_party_value(party) for party in info.parties],
        "waiting_since": info.waiting_since,
        "reopened": info.reopened,
        "closed_at": info.closed_at,
        "last": None if info.last is None else _event_value(info.last),
        "customer": info.customer.value,
        "customer_since": info.customer_since,
        "join_word": join_word,
    }
    indexes = {"state": OPEN if info.closed_at is None else CLOSED}
    if info.gms_user:
        indexes["user"] = info.gms_user
    return Put(SESSION, info.session_id, _dump(value), expires_at, indexes)


def read_session(session_id: str, value: bytes) -> tuple[SessionInfo, str]:
    """The reverse of :func:`put_session`: the chat and the word of its join.

    ``last_position`` and ``last`` are those of the time of writing; see :func:`caught_up`.
    """
    document = json.loads(value)
    last = document["last"]
    info = SessionInfo(
        session_id=ChatSessionId(session_id),
        queue=document["queue"],
        subject=document["subject"],
        user_data=document["user_data"],
        started_at=document["started_at"],
        last_position=document["last_position"],
        parties=tuple(_party(party) for party in document["parties"]),
        waiting_since=document["waiting_since"],
        reopened=document["reopened"],
        closed_at=document["closed_at"],
        last=None if last is None else _event(last),
        customer=CustomerState(document["customer"]),
        customer_since=document["customer_since"],
    )
    return info, document["join_word"]


def caught_up(info: SessionInfo, last_position: int, last: ChatEvent | None) -> SessionInfo:
    """A chat as its events say; its record is not rewritten for each of them."""
    return replace(info, last_position=last_position, last=last or info.last)


def _party_value(party: Party) -> dict[str, object]:
    return {
        "id": party.party_id,
        "nickname": party.nickname,
        "type": party.party_type.value,
        "visibility": party.visibility.value,
        "users": list(party.user_ids),
        "agent": party.agent,
        "joined": party.joined,
        "left": party.left,
        "home": party.home,
    }


def _party(value: dict[str, Any]) -> Party:
    agent = value["agent"]
    return Party(
        party_id=value["id"],
        nickname=value["nickname"],
        party_type=PartyType(value["type"]),
        visibility=Visibility(value["visibility"]),
        user_ids=tuple(ChatUserId(user) for user in value["users"]),
        agent=None if agent is None else AgentName(agent),
        joined=value["joined"],
        left=value["left"],
        home=value["home"],
    )


def put_user(user: FlexUser, expires_at: float | None) -> Put:
    """The change that stores a flex user."""
    value = {
        "key": user.secure_key,
        "nickname": user.nickname,
        "session": user.session_id,
        "party": user.party_id,
        "user_data": dict(user.user_data),
    }
    indexes = {} if user.session_id is None else {"session": user.session_id}
    return Put(USER, user.user_id, _dump(value), expires_at, indexes)


def read_user(user_id: str, value: bytes) -> FlexUser:
    """The reverse of :func:`put_user`."""
    document = json.loads(value)
    session = document["session"]
    return FlexUser(
        ChatUserId(user_id),
        document["key"],
        document["nickname"],
        None if session is None else ChatSessionId(session),
        document["party"],
        document["user_data"],
    )
