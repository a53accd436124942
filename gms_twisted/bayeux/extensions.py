"""Extensions: what may look at every message, and those that come with Bayeux.

An extension that edits messages is paid for by every message; the acknowledgement
and time-synchronisation extensions are therefore part of the session and not
written against this interface.

Knows: messages on their way in and out.  Does not know: queues.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.messages import CONNECT, milliseconds
from gms_twisted.bayeux.session import Session
from gms_twisted.domain.sources import WallClock

ACCURATE_MS = 25
"""A client whose clock is this near needs no further answers.  Bayeux: timesync."""


class Extension(Protocol):
    """Sees messages and may edit them in place.

    Server-wide ones see broadcasts once, with no session, since all subscribers
    share the bytes; those of a session see its own copy.
    """

    def incoming(self, session: Session | None, message: Message) -> bool:
        """Look at a message from a client; ``False`` deletes it."""

    def outgoing(self, session: Session | None, message: Message) -> bool:
        """Look at a reply or delivery; ``False`` deletes it."""


class Timestamp:
    """Adds ``timestamp`` to everything that goes out: ISO 8601, UTC, milliseconds."""

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall

    def incoming(self, session: Session | None, message: Message) -> bool:
        """Let it pass."""
        return True

    def outgoing(self, session: Session | None, message: Message) -> bool:
        """Say when it leaves."""
        moment = datetime.fromtimestamp(self._wall.now(), UTC)
        message["timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.") + (
            f"{moment.microsecond // 1000:03d}Z"
        )
        return True


def mark_activity(session: Session, channel: str, now: float) -> None:
    """Note that a client did something; polling is not doing something."""
    if session.extras is not None and channel != CONNECT:
        session.extras.active_at = now


def is_inactive(session: Session, now: float) -> bool:
    """Tell whether a session has done nothing for longer than it may."""
    extras = session.extras
    return (
        extras is not None
        and extras.max_inactivity_s is not None
        and now - extras.active_at > extras.max_inactivity_s
    )


def note_timesync(session: Session, ext: Message, wall_now: float) -> None:
    """Remember a client's question about the time, to be answered with its reply."""
    asked = ext.get("timesync")
    if type(asked) is not dict:
        return
    sent, lag, offset = asked.get("tc"), asked.get("l"), asked.get("o", 0)
    if not _is_number(sent) or not _is_number(offset) or not (lag is None or _is_number(lag)):
        return
    received = milliseconds(wall_now)
    answer: Message = {"tc": sent, "ts": received}
    extras = session.extra()
    if lag is not None:
        extras.lag = lag
        accuracy = sent + offset + lag - received
        if lag != 0 and abs(accuracy) < ACCURATE_MS:
            return
        answer["a"] = accuracy
    extras.sync = answer


def answer_timesync(session: Session, wall_now: float) -> Message | None:
    """Take the answer to a client's question, if it asked one."""
    extras = session.extras
    if extras is None or extras.sync is None:
        return None
    answer, extras.sync = extras.sync, None
    received = answer["ts"]
    if type(received) is int:
        answer["p"] = milliseconds(wall_now) - received
    return answer


def _is_number(value: object) -> bool:
    return (type(value) is int or type(value) is float) and abs(value) < 2**53
