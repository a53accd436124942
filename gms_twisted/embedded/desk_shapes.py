"""What the desk page is told about chats: the shapes of docs/desk-protocol.md.

Knows: the page's words.  Does not know: sessions, Bayeux, who may see what.
"""

from __future__ import annotations

from gms_twisted.app.desk_people import Agent
from gms_twisted.domain.chat import ChatEvent, EventKind, NoticeType, Transcript, Visibility
from gms_twisted.domain.ids import AgentName
from gms_twisted.embedded.rooms import SessionInfo

Shape = dict[str, object]

_NOTICES = {
    NoticeType.TYPING_STARTED: "typing_started",
    NoticeType.TYPING_STOPPED: "typing_stopped",
    NoticeType.PUSH_URL: "push_url",
    NoticeType.CUSTOM: "custom",
    NoticeType.USER_UPDATE_NICK: "nick",
}
_KINDS = {EventKind.JOINED: "joined", EventKind.LEFT: "left", EventKind.MESSAGE: "message"}
_PASSING = frozenset({"typing_started", "typing_stopped"})
POKE_URL = "poke_url"
"""Among a chat's data: its customer can be poked."""

_OWN_KEYS = frozenset(
    {"fldnFirstName", "fldnLastName", "fldnEmailAddress", "GMS_ServiceId", "gms_user", POKE_URL}
)


def group_of(queue: str) -> str:
    """The group that people see: the queue ``Environment:default`` without its tenant."""
    return queue.partition(":")[2] or queue


def entry_shape(session: SessionInfo) -> Shape:
    """A chat that waits."""
    return {
        "chat": session.session_id,
        "service": session.service_id,
        "nickname": session.nickname,
        "subject": session.subject,
        "group": group_of(session.queue),
        "since": session.waiting_since,
        "email": session.email,
        "reopened": session.reopened,
    }


def event_shape(session: SessionInfo, event: ChatEvent, agent: AgentName) -> Shape:
    """One event, as one agent sees it."""
    kind = _KINDS.get(event.kind) or _NOTICES.get(event.notice_type or NoticeType.CUSTOM, "custom")
    party = next((one for one in session.parties if one.party_id == event.party_id), None)
    shape: Shape = {
        "position": event.position,
        "type": kind,
        "text": event.text,
        "nickname": event.nickname,
        "party": event.party_type.value,
        "at": session.started_at + event.time_shift_s,
        "mine": party is not None and party.agent == agent,
    }
    if event.reason is not None:
        shape["reason"] = event.reason.value
    if event.visibility is not Visibility.ALL:
        shape["hidden"] = True
    return shape


def events_shape(session: SessionInfo, transcript: Transcript, agent: AgentName) -> list[Shape]:
    """A transcript without what has passed: typing long ago interests nobody."""
    shapes = [event_shape(session, event, agent) for event in transcript.events]
    return [shape for shape in shapes if shape["type"] not in _PASSING]


def counts_as_unread(event: ChatEvent) -> bool:
    """Tell whether an event is news for an agent who did not look."""
    return event.kind is EventKind.MESSAGE and event.party_type.value != "AGENT"


def summary_shape(session: SessionInfo, agent: AgentName, unread: int, read: int) -> Shape:
    """A chat in an agent's list."""
    return {
        "chat": session.session_id,
        "service": session.service_id,
        "nickname": session.nickname,
        "subject": session.subject,
        "group": group_of(session.queue),
        "since": session.waiting_since or session.started_at,
        "started": session.started_at,
        "unread": unread,
        "last": None if session.last is None else event_shape(session, session.last, agent),
        "state": "open" if session.closed_at is None else "closed",
        "customer": session.customer.value,
        "customer_since": session.customer_since,
        "read": read,
    }


def customer_shape(session: SessionInfo, files: list[Shape], poke: Shape | None) -> Shape:
    """What is known about the customer; ``poke`` where it can be poked."""
    return {
        "nickname": session.nickname,
        "first_name": session.first_name,
        "last_name": session.last_name,
        "email": session.email,
        "gms_user": session.gms_user,
        "service": session.service_id,
        "data": {key: text for key, text in session.user_data.items() if key not in _OWN_KEYS},
        "files": files,
        "poke": poke,
    }


def past_shape(session: SessionInfo) -> Shape:
    """An earlier chat of a customer."""
    return {
        "chat": session.session_id,
        "subject": session.subject,
        "started": session.started_at,
        "ended": session.closed_at,
        "agents": list(session.agent_nicknames),
        "last": None if session.last is None else session.last.text[:200],
    }


def agent_shape(agent: Agent, state: str, voice: str | None) -> Shape:
    """An agent, for the one who is it and for operators."""
    return {
        "name": agent.name,
        "display_name": agent.display_name,
        "role": agent.role,
        "state": state,
        "enabled": agent.enabled,
        "voice": voice,
    }
