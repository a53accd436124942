"""Which shards' sessions run in this process: taken up when gained, at rest before they are given.

::

    gained -> its sessions are read from the store -> ready: what is unknown here is unknown
    giving -> not ready: refused with "not now" -> all its sessions at rest -> gone from here
    lost   -> not ready -> its sessions dropped, nothing written, nobody told

Between two owners nobody can say that a session is unknown: whoever asks is told to come again.

Knows: shards, in what order they are taken up.  Does not know: what sessions are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.nodes import Ownership
from gms_twisted.app.pauses import pause
from gms_twisted.app.setbacks import Setback
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError, NodeAway
from gms_twisted.domain.sources import Timers
from gms_twisted.store.interfaces import LeaseHeld

AGAIN_S = 1.0
"""Until a shard that could not be read is read again."""

ALL = ""
"""The one shard of a process that is alone."""

_DRAWS = 2000
"""Ids that are drawn for one of our own; with one shard of 64 that is enough."""


class Residents(Protocol):
    """Those who live in shards."""

    async def take_up(self, shard: str, is_wanted: Callable[[], bool]) -> None:
        """Go on with all that is stored in a shard.

        :param is_wanted: whether it is still ours, without a break; asked after each wait.
        :raises GmsError: the store cannot be read.
        """

    async def come_to_rest(self, shard: str) -> None:
        """Let everything in a shard end or be stored, and know it no more."""

    def drop(self, shard: str) -> None:
        """Know nothing in a shard any more; writes nothing, tells nobody."""

    async def taken_up(self, shards: Sequence[str]) -> None:
        """Look after what is left over in shards that have been taken up."""


class SessionShards:
    """Shards of this process, as far as sessions go."""

    log = Logger()

    def __init__(
        self, nodes: Ownership, residents: Residents, tasks: Tasks, timers: Timers
    ) -> None:
        self.alone = nodes.shard("") == ALL
        self._nodes = nodes
        self._residents = residents
        self._tasks = tasks
        self._timers = timers
        self._ready: set[str] = {ALL}
        self._words: dict[str, str] = {}
        self._times: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._working = False
        self._first: Deferred[None] | None = None
        self._setback = Setback("taking up sessions", f"within {AGAIN_S:g} s")

    # What others ask.

    def word(self, session_id: str) -> str:
        """The shard that an id belongs to; the same object for all of a shard."""
        word = self._nodes.shard(session_id)
        return self._words.setdefault(word, word)

    def conditions(self, session_id: str) -> tuple[LeaseHeld, ...]:
        """What must hold for anything to be written about a session."""
        return self._nodes.conditions(session_id)

    def is_ready(self, session_id: str) -> bool:
        """Whether all sessions of its shard are known here."""
        return self._nodes.shard(session_id) in self._ready

    def check(self, session_id: str) -> None:
        """See that what is not known here is unknown.

        :raises NodeAway: it may be known elsewhere, or soon.
        """
        if not self.is_ready(session_id):
            raise NodeAway("The session is on its way to another node.")

    @property
    def can_begin(self) -> bool:
        """Whether sessions can begin here."""
        return self.alone or len(self._ready) > 1

    def draw(self, new_id: Callable[[], str]) -> str:
        """Make an id of our own.

        :raises NodeAway: nothing is ours, as for a moment after the start.
        """
        for _ in range(_DRAWS):
            found = new_id()
            if self._nodes.is_ours(found) and self.is_ready(found):
                return found
        raise NodeAway("This node has nothing of its own yet.")

    # Coming and going.

    async def start(self) -> None:
        """Take up what is ours, and from now on what becomes ours; returns when the first is."""
        if self.alone:
            return
        self._nodes.watch(self._gained, self._giving)
        if self._working:
            self._first = Deferred()
            await self._first

    def lost(self, session_id: str) -> None:
        """Another node has the shard of a session."""
        shard = self._nodes.shard(session_id)
        if shard != ALL:
            self._leave(shard)
            self._residents.drop(shard)

    def _leave(self, shard: str) -> int:
        self._ready.discard(shard)
        self._wanted.discard(shard)
        self._times[shard] = times = self._times.get(shard, 0) + 1
        return times

    def _gained(self, shard: str) -> None:
        if shard == ALL:
            return
        # It may have been another's meanwhile.
        self._leave(shard)
        self._residents.drop(shard)
        self._wanted.add(shard)
        if not self._working:
            self._working = True
            self._tasks.spawn("taking up sessions", self._take_up_all())

    async def _giving(self, shard: str) -> None:
        self._leave(shard)
        await self._residents.come_to_rest(shard)

    async def _take_up_all(self) -> None:
        done: list[str] = []
        try:
            while self._wanted:
                shard = min(self._wanted)
                times = self._times[shard]
                if await self._take_up(shard, times):
                    done.append(shard)
            if done:
                self._tasks.spawn("sessions' leavings", self._residents.taken_up(done))
        finally:
            self._working = False
            first, self._first = self._first, None
            if first is not None:
                first.callback(None)

    async def _take_up(self, shard: str, times: int) -> bool:
        try:
            await self._residents.take_up(shard, lambda: self._times[shard] == times)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - nobody else takes the shard up
            if isinstance(error, GmsError):
                self._setback.failed(error)
            else:
                self.log.failure("Failed to take up {shard}", shard=shard)
            if self._times[shard] == times:
                self._residents.drop(shard)
            await pause(self._timers, AGAIN_S)
            return False
        self._setback.over()
        if self._times[shard] != times:
            return False
        self._wanted.discard(shard)
        self._ready.add(shard)
        return True
