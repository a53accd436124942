"""What happens to calls, told to their sessions wherever they run.

The home node tells a session of its own at once, as ever.  One of another node is told over
the link, in order, each event once it is known that the one before has been taken: while the
session has no owner, or its new owner has not read it yet, its events wait, for a minute at
most.  After that it learns what calls it has when it is taken up.

Knows: events, who owns sessions, numbers that tell an event that comes twice.
Does not know: what sessions make of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from twisted.logger import Logger

from gms_twisted.app.nodes import Nodes
from gms_twisted.app.pauses import pause
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import CallWatcher, Interaction
from gms_twisted.domain.errors import GmsError, NodeAway
from gms_twisted.domain.sources import Timers
from gms_twisted.embedded.centre_words import heard, made, spoken, words_of

KIND = "call-event"

AGAIN_S = 1.0
"""Until an event that was not taken is tried again."""

GIVE_UP_S = 60.0
"""So long an event waits for its session."""

WITHIN_S = 10.0

MAX_WAITING = 1000
"""Events that wait for one session; the oldest goes first."""

MAX_HEARD = 10_000
"""Sessions whose last event is remembered."""


class _Event:
    __slots__ = ("interaction", "name", "number", "since")

    def __init__(self, name: str, interaction: Interaction, number: int, since: float) -> None:
        self.name = name
        self.interaction = interaction
        self.number = number
        self.since = since


class CallNews:
    """A ``CallWatcher`` of the contact centre here; tells sessions here and elsewhere.

    :param is_ready: whether what is not known here of a session that is ours is unknown.
    :param told: given each event that came from another node, with the node, before sessions
        here are.
    :ivar held: sessions here that are to be told nothing for a moment.
    """

    log = Logger()

    def __init__(
        self,
        nodes: Nodes,
        timers: Timers,
        tasks: Tasks,
        told: Callable[[str, str, str, Interaction], None],
        is_ready: Callable[[str], bool] = lambda session_id: True,
    ) -> None:
        self.is_ready = is_ready
        self.held: list[str] = []
        self._nodes = nodes
        self._timers = timers
        self._tasks = tasks
        self._told = told
        self._watchers: list[CallWatcher] = []
        self._waiting: dict[str, deque[_Event]] = {}
        self._number = 0
        self._heard: OrderedDict[str, tuple[str, int]] = OrderedDict()
        nodes.serve_async(KIND, self._served)

    def watch(self, watcher: CallWatcher) -> None:
        """Tell this one about interactions of sessions here."""
        self._watchers.append(watcher)

    # At home.

    def happened(self, session_id: str, event: str, interaction: Interaction) -> None:
        """See :meth:`gms_twisted.app.telephony.CallWatcher.happened`."""
        waiting = self._waiting.get(session_id)
        if waiting is None and self._is_here(session_id):
            self.tell(session_id, event, interaction)
            return
        self._number += 1
        made_event = _Event(event, interaction, self._number, self._timers.seconds())
        if waiting is not None:
            waiting.append(made_event)
            if len(waiting) > MAX_WAITING:
                waiting.popleft()
            return
        self._waiting[session_id] = deque((made_event,))
        self._tasks.spawn("events of calls", self._deliver(session_id))

    def tell(self, session_id: str, event: str, interaction: Interaction) -> None:
        """Tell a session here."""
        for watcher in self._watchers:
            watcher.happened(session_id, event, interaction)

    def _is_here(self, session_id: str) -> bool:
        if not self._nodes.is_ours(session_id) or not self.is_ready(session_id):
            return False
        return session_id not in self.held

    async def _deliver(self, session_id: str) -> None:
        """Have a session's events taken, one by one."""
        try:
            for event in self._events(session_id):
                while not await self._taken(session_id, event):
                    if self._timers.seconds() - event.since >= GIVE_UP_S:
                        self.log.warn(
                            "Session {session_id} could not be told of a call",
                            session_id=session_id,
                        )
                        break
                    await pause(self._timers, AGAIN_S)
        finally:
            self._waiting.pop(session_id, None)

    def _events(self, session_id: str) -> Iterator[_Event]:
        waiting = self._waiting[session_id]
        while waiting:
            yield waiting.popleft()

    async def _taken(self, session_id: str, event: _Event) -> bool:
        if self._is_here(session_id):
            self.tell(session_id, event.name, event.interaction)
            return True
        run = self._nodes.owner(session_id)
        if run in ("", self._nodes.run):
            return False
        words = {
            "session": session_id,
            "event": event.name,
            "number": event.number,
            "call": words_of(event.interaction),
        }
        try:
            await self._nodes.call(run, KIND, spoken(words), WITHIN_S)
        except NodeAway:
            return False
        except GmsError as error:
            self.log.warn("A session was not told of a call: {error}", error=error.code)
        return True

    # At the owner.

    async def _served(self, run: str, payload: bytes) -> bytes:
        words = heard(payload)
        session_id: str = words["session"]
        if not self._is_here(session_id):
            raise NodeAway("The session is not here, or not yet.")
        known, number = self._heard.pop(session_id, ("", 0))
        is_new = known != run or words["number"] > number
        self._heard[session_id] = (run, max(words["number"], number if known == run else 0))
        if len(self._heard) > MAX_HEARD:
            self._heard.popitem(last=False)
        if is_new:
            interaction = made(Interaction, words["call"])
            self._told(run, session_id, words["event"], interaction)
            self.tell(session_id, words["event"], interaction)
        return b""
