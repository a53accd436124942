"""Transcript events as the Chat API prints them.

Spec: Chat API, "Chat Interaction API Resources".  A row of ``transcriptToShow``
is ``[type, nickname, text, seconds, party type]``, five strings.

Knows: the printed forms.  Does not know: chats, time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from gms_twisted.domain.chat import ChatEvent, EventKind, NoticeType, PartyType, Visibility

Row = list[str]

# Choice: the reference's list has "Notice.TypingStart" and "Notice.TypingStop", nearly
# all of its examples the long forms, and programs in the field know only these.
_NOTICES: dict[NoticeType | None, tuple[str, str]] = {
    NoticeType.TYPING_STARTED: ("Notice.TypingStarted", "is typing"),
    NoticeType.TYPING_STOPPED: ("Notice.TypingStopped", "stopped typing"),
    NoticeType.PUSH_URL: ("Notice.PushUrl", ""),
    NoticeType.CUSTOM: ("Notice.Custom", ""),
}


def row(event: ChatEvent) -> Row | None:
    """Print an event; ``None`` for one that customers do not see.

    Not seen: notices of a kind that the reference does not have, and custom notices
    of a customer, which are what we ourselves tell the agent about its connection;
    and what is for staff only, should a chat server ever send it.
    """
    if event.visibility is not Visibility.ALL:
        return None
    match event.kind:
        case EventKind.JOINED:
            kind, text = "Notice.Joined", "has joined the session"
        case EventKind.LEFT:
            kind, text = "Notice.Left", "has left the session"
        case EventKind.MESSAGE:
            kind, text = "Message.Text", event.text
        case EventKind.NOTICE:
            own = event.party_type is PartyType.CLIENT
            if event.notice_type not in _NOTICES or (
                own and event.notice_type is NoticeType.CUSTOM
            ):
                return None
            kind, text = _NOTICES[event.notice_type]
            text = text or event.text
    return [kind, event.nickname, text, str(event.time_shift_s), event.party_type.value]


def rows(events: Iterable[ChatEvent], after: int = 0) -> list[Row]:
    """Print the events above a position that customers see."""
    printed = (row(event) for event in events if event.position > after)
    return [each for each in printed if each is not None]


@lru_cache(10_000)
def started_at(seconds: float) -> str:
    """Print a Unix time as the reference does: UTC, whole seconds, ``Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
