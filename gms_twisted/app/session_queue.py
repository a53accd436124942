"""Events on their way into one session's external queue.

Who waits for an event to be taken is told that there is no room; what nobody waits for is lost
then, and the log says so once until there is room again.

Knows: what is taken once only, what is lost.  Does not know: who sends events, when they are
taken out.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.domain.errors import TooLarge, TooManyRequests
from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, QueueFull
from gms_twisted.scxml.queued_events import EventTooLarge

MAX_TAKEN = 50
"""So many notifications are remembered, lest one be taken twice."""


class SessionQueue:
    """What goes into the queue of one session.

    :ivar taken: ids of the last notifications that it took, the latest at the end.
    """

    log = Logger()

    __slots__ = ("_hops", "_interpreter", "_losing", "_session_id", "taken")

    def __init__(self, session_id: str, interpreter: Interpreter) -> None:
        self.taken: list[str] = []
        self._session_id = session_id
        self._interpreter = interpreter
        self._hops = 0
        self._losing = False

    def push(self, event: ScxmlEvent) -> None:
        """Put an event in.

        :raises TooManyRequests: too many events wait.
        :raises TooLarge: it is more than an event may have.
        """
        try:
            self._interpreter.push(event)
        except EventTooLarge:
            raise TooLarge("The event is too large for this session.") from None
        except QueueFull:
            raise TooManyRequests("Too many events wait for this session.", 1.0) from None

    def push_once(self, event: ScxmlEvent, hops: int, push_id: str) -> bool:
        """Put an event in; ``False``: it was taken before.

        :param hops: events in a row that led to it.
        :param push_id: what one is known by that comes again, ``""``: it does not.
        :raises TooManyRequests: too many events wait.
        :raises TooLarge: it is more than an event may have.
        """
        if push_id and push_id in self.taken:
            return False
        self.push(event)
        self._hops = max(self._hops, hops)
        if push_id:
            self.taken.append(push_id)
            del self.taken[:-MAX_TAKEN]
        return True

    def offer(self, event: ScxmlEvent) -> bool:
        """Put an event in that nobody waits for; ``False``: it is lost."""
        try:
            self.push(event)
        except (TooManyRequests, TooLarge):
            if not self._losing:
                self._losing = True
                self.log.warn(
                    "Session {session_id} has no room for an event; {name} is lost",
                    session_id=self._session_id,
                    name=event.name,
                )
            return False
        return True

    def has_room(self) -> None:
        """Note that events were taken out: what is lost now is said again."""
        self._losing = False

    def take_hops(self) -> int:
        """Tell the most events in a row that led to what was put in since the last time."""
        hops, self._hops = self._hops, 0
        return hops
