"""What one session has said, for operators: the last lines of its log.

Knows: lines.  Does not know: who may see them, who speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.logger import Logger

from gms_twisted.domain.sources import WallClock

MAX_LOG = 50
"""So many lines of a session's log are kept for operators."""

MAX_TEXT = 500
"""Most characters of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a session's log.

    :ivar at: Unix seconds.
    :ivar level: 1 reporting, 2 error, 3 warning, 4 debug.
    :ivar text: what the application or an error says; may be anybody's secret.
    :ivar plain: what of it says nothing about anybody, ``""`` for nothing.
    """

    at: float
    level: int
    text: str = field(repr=False)
    plain: str = ""


class SessionLog:
    """The log of one session.

    :ivar lines: the last of it, the latest at the end.
    """

    log = Logger()

    __slots__ = ("_session_id", "_wall", "lines")

    def __init__(self, session_id: str, wall: WallClock) -> None:
        # A list: an empty deque takes 600 bytes.
        self.lines: list[Line] = []
        self._session_id = session_id
        self._wall = wall

    def note(self, level: int, text: str, plain: str = "") -> None:
        """Keep a line; what it says may be anybody's secret.

        :param plain: what of it says nothing about anybody.
        """
        self.lines.append(Line(self._wall.now(), level, text[:MAX_TEXT], plain))
        del self.lines[:-MAX_LOG]
        self.log.debug("Session {session_id}: a line of its log", session_id=self._session_id)
