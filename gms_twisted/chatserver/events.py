"""Transcripts and their events <-> XML elements.

Knows: ``transcript``, ``newParty``, ``partyLeft``, ``message``, ``notice``.
Does not know: requests.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from gms_twisted.chatserver.errors import ProtocolError
from gms_twisted.chatserver.xmltext import Element, escape_text, write
from gms_twisted.domain.chat import (
    ChatEvent,
    EventKind,
    LeaveReason,
    NoticeType,
    PartyType,
    Transcript,
    Visibility,
)
from gms_twisted.domain.ids import ChatSessionId

_NUMBER = re.compile("[0-9]{1,10}", re.ASCII)
_MAX_NUMBER = 2**31 - 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIME_FORM = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)
_KINDS = {kind.value: kind for kind in EventKind}

E = TypeVar("E", bound=Enum)


def _number(element: Element, key: str, default: int | None = None) -> int:
    text = element.attributes.get(key)
    if text is None and default is not None:
        return default
    if text is None or not _NUMBER.fullmatch(text) or int(text) > _MAX_NUMBER:
        raise ProtocolError(f"{element.name}: bad or missing {key}")
    return int(text)


def _word(element: Element, key: str, words: type[E], default: E) -> E:
    text = element.attributes.get(key)
    if text is None:
        return default
    try:
        return words(text)
    except ValueError:
        raise ProtocolError(f"{element.name}: bad {key}") from None


def format_time(unix_s: float) -> str:
    """UTC with whole seconds, ``2012-06-09T22:26:17Z``."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime(_TIME)


def parse_time(text: str) -> float:
    """The reverse of :func:`format_time`.

    :raises ProtocolError: it has another form.
    """
    try:
        if not _TIME_FORM.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ProtocolError("transcript: bad startedAt") from None


def write_event(event: ChatEvent) -> str:
    """Write one event."""
    attributes: dict[str, object] = {
        "position": event.position,
        "timeShift": event.time_shift_s,
        "partyId": event.party_id,
        "nickname": event.nickname,
        "userType": event.party_type.value,
        "visibility": event.visibility.value,
        "reason": event.reason.value if event.reason else None,
        "type": event.notice_type.value if event.notice_type else None,
        "messageType": event.message_type or None,
    }
    return write(event.kind.value, attributes, escape_text(event.text))


def read_event(element: Element) -> ChatEvent:
    """Read one event.

    :raises ProtocolError: it is none.
    """
    kind = _KINDS.get(element.name)
    if kind is None:
        raise ProtocolError("A transcript holds an unknown element.")
    notice_type = reason = None
    if kind is EventKind.NOTICE:
        # Choice: a notice of a kind we do not know is shown as a custom one.
        word = element.attributes.get("type")
        known = word in {one.value for one in NoticeType}
        notice_type = NoticeType(word) if known else NoticeType.CUSTOM
    if kind is EventKind.LEFT:
        reason = _word(element, "reason", LeaveReason, LeaveReason.LEFT)
    return ChatEvent(
        kind=kind,
        position=_number(element, "position"),
        time_shift_s=_number(element, "timeShift", 0),
        party_id=element.attributes.get("partyId", ""),
        nickname=element.attributes.get("nickname", ""),
        party_type=_word(element, "userType", PartyType, PartyType.EXTERNAL),
        visibility=_word(element, "visibility", Visibility, Visibility.ALL),
        text=element.text,
        notice_type=notice_type,
        message_type=element.attributes.get("messageType", ""),
        reason=reason,
    )


def write_transcript(transcript: Transcript) -> str:
    """Write a transcript with its events."""
    attributes: dict[str, object] = {
        "sessionId": transcript.session_id,
        "startedAt": format_time(transcript.started_at),
        "lastPosition": transcript.last_position,
        "state": "closed" if transcript.closed else "open",
    }
    return write("transcript", attributes, "".join(map(write_event, transcript.events)))


def read_transcript(element: Element) -> Transcript:
    """Read a transcript.

    :raises ProtocolError: a field is wrong, or positions do not strictly increase
        up to ``lastPosition`` (hardening C04).
    """
    session_id = element.attributes.get("sessionId")
    state = element.attributes.get("state", "open")
    if not session_id or state not in {"open", "closed"}:
        raise ProtocolError("transcript: bad sessionId or state")
    events = tuple(map(read_event, element.children))
    positions = [event.position for event in events]
    last = _number(element, "lastPosition")
    if any(b <= a for a, b in pairwise(positions)):
        raise ProtocolError("transcript: positions do not increase")
    if positions and not 1 <= positions[0] <= positions[-1] <= last:
        raise ProtocolError("transcript: positions out of range")
    return Transcript(
        ChatSessionId(session_id),
        parse_time(element.attributes.get("startedAt", "")),
        last,
        state == "closed",
        events,
    )
