"""A publish under way: its deliveries, and who waits for them.

Knows: what is decided and what is not.  Does not know: how anything is delivered or kept.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gms_twisted.app.deliveries import Delivery
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.domain.sources import Timers


class Publication:
    """One event on its way to many.

    :ivar deadline: when the publisher is answered at the latest, on the timers' clock.
    :ivar cut: not everything that matched was tried.
    :ivar is_open: results still count for the answer.
    :ivar is_kept: the record is written; what comes now goes into it.
    :ivar late: results that came in between.
    """

    def __init__(self, event_id: str, tag: str, published: float, deadline: float) -> None:
        self.event_id = event_id
        self.tag = tag
        self.published = published
        self.deadline = deadline
        self.deliveries: list[Delivery] = []
        self.cut = False
        self.is_open = True
        self.is_kept = False
        self.late: list[tuple[Delivery, Outcome, bool]] = []
        self._undecided = 0
        self._decided: Deferred[None] | None = None

    def add(self, delivery: Delivery) -> None:
        """One more to wait for."""
        self.deliveries.append(delivery)
        self._undecided += 1

    def settle(self, delivery: Delivery, outcome: Outcome, *, unsubscribed: bool) -> bool:
        """Note a result; ``False``: it came too late for the answer."""
        if not self.is_open:
            return False
        delivery.take(outcome, unsubscribed=unsubscribed)
        self.abandon()
        return True

    def abandon(self) -> None:
        """Wait for one delivery less."""
        self._undecided -= 1
        if not self._undecided:
            self._give_up()

    async def wait(self, timers: Timers) -> None:
        """Wait until everything is decided, or the deadline."""
        left_s = self.deadline - timers.seconds()
        if not self._undecided:
            return
        self._decided = Deferred()
        # What gives up at the same moment shall count.
        late = timers.callLater(max(0.0, left_s), timers.callLater, 0, self._give_up)
        try:
            await self._decided
        finally:
            if late.active():
                late.cancel()

    def _give_up(self) -> None:
        if self._decided is not None and not self._decided.called:
            self._decided.callback(None)

    def delivery_of(self, push: Push) -> Delivery | None:
        """Find a push's delivery; ``None`` for a push of another round."""
        if push.number < len(self.deliveries):
            found = self.deliveries[push.number]
            return found if found.push.push_id == push.push_id else None
        return None
