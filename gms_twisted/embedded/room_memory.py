"""One room in memory: its events as far as they are known, and who waits for news.

Knows: events, waiting.  Does not know: the store, rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from gms_twisted.app.turns import Turns
from gms_twisted.domain.chat import ChatEvent, Transcript
from gms_twisted.embedded.room import Said
from gms_twisted.embedded.rooms import SessionInfo


class Room:
    """A room in memory.

    :ivar events: all of them, so that position ``n`` is at ``n - 1``.
    :ivar words: positions of what was said with a word.
    :ivar version: of its record in the store, 0 before there is one.
    :ivar join_word: what recognises a repeated join, ``""`` for nothing.
    """

    def __init__(self, info: SessionInfo, join_word: str = "") -> None:
        self.info = info
        self.events: list[ChatEvent] = []
        self.words: dict[str, int] = {}
        self.version = 0
        self.join_word = join_word
        self.turns = Turns()
        self._waiting: set[Deferred[None]] = set()

    def transcript(self, after: int = 0) -> Transcript:
        """All that staff may see after a position."""
        info = self.info
        return Transcript(
            info.session_id,
            info.started_at,
            info.last_position,
            info.closed_at is not None,
            tuple(self.events[max(0, after) :]),
        )

    def add(self, news: Sequence[Said]) -> None:
        """Have more events."""
        for said in news:
            self.events.append(said.event)
            if said.word:
                self.words[said.word] = said.event.position

    def news(self) -> Deferred[None]:
        """Fires at the next change; cancel it to wait no longer."""

        def forget(waiter: Deferred[None]) -> None:
            self._waiting.discard(waiter)

        waiter: Deferred[None] = Deferred(forget)
        self._waiting.add(waiter)
        return waiter

    def wake(self) -> None:
        """Fire whatever :meth:`news` gave out."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            waiter.callback(None)
