"""Chats that are forgotten: their time is over, or their customer wants it (C12).

Knows: retention, users.  Does not know: parties, listeners.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.embedded.room import Draft
from gms_twisted.embedded.room_shelf import RoomShelf

SWEEP_S = 60.0
"""How often the transcripts whose time is over are looked for."""


class Forgetting:
    """Deletes closed chats from the store, ours and those of other servers on it.

    :param changed: told which chat was changed or erased.
    """

    log = Logger()

    def __init__(
        self,
        shelf: RoomShelf,
        tasks: Tasks,
        timers: Timers,
        changed: Callable[[ChatSessionId], None],
    ) -> None:
        self._shelf = shelf
        self._tasks = tasks
        self._timers = timers
        self._changed = changed
        self._sweep: DelayedCall | None = None
        self._running = False

    def start(self) -> None:
        """Look at once, and then regularly."""
        self._running = True
        self._arm(0.0)

    def stop(self) -> None:
        """Look no more."""
        self._running = False
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()
        self._sweep = None

    def _arm(self, delay_s: float) -> None:
        if self._running:
            self._sweep = self._timers.callLater(delay_s, self._begin)

    def _begin(self) -> None:
        again = f"within {SWEEP_S:g} s"
        self._tasks.spawn("deleting old transcripts", self._delete_old(), again)

    async def _delete_old(self) -> None:
        try:
            erased = await self._shelf.expire()
            for session_id in erased:
                self._changed(session_id)
            if erased:
                self.log.info("Deleted {count} old transcripts", count=len(erased))
        finally:
            self._arm(SWEEP_S)

    async def delete_user(self, gms_user: str) -> int:
        """End a user's open chats and delete all of its chats; tells how many there were."""
        for info in await self._shelf.of_user(gms_user):
            if info.closed_at is None:
                await self._shelf.change(info.session_id, _end)
                self._changed(info.session_id)
        erased = 0
        for info in await self._shelf.of_user(gms_user):
            if info.closed_at is not None:
                await self._shelf.erase(info.session_id)
                self._changed(info.session_id)
                erased += 1
        return erased


def _end(draft: Draft) -> None:
    if draft.info.closed_at is None:
        draft.close()
