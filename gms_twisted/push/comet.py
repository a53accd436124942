"""Pushes to users on Bayeux: an event on ``/_genesys`` for each of the user's sessions.

Needs no queue of its own: the Bayeux server has one for each session, and keeps events of
users who are away for a short time.  What is kept counts as delivered.

Spec: Notification API, "comet".  Knows: users, the size of an event.  Does not know:
sessions, channels.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.interfaces import Offered, UserOffers
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.push.sender_counts import SenderCounts

MAX_MESSAGE_BYTES = 1024 * 1024

_REASONS = {Offered.FULL: "buffer full", Offered.REFUSED: "user absent"}


class CometPusher:
    """A :class:`gms_twisted.app.pushing.Pusher` over the Bayeux server."""

    def __init__(self, events: UserOffers, counts: SenderCounts) -> None:
        self._events = events
        self._counts = counts

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """Any user may be addressed; whether one is there shows when something comes."""

    async def push(self, push: Push, give_up_s: float) -> Outcome:
        """Queue an event for a user, at once."""
        outcome = self._outcome(push)
        counts = self._counts
        counts.finished += 1
        if outcome.delivered:
            counts.delivered += 1
        else:
            counts.failed(outcome.reason)
        return outcome

    def _outcome(self, push: Push) -> Outcome:
        if push.user is None:
            return Outcome(False, "no user")
        if len(push.message) > MAX_MESSAGE_BYTES or len(push.message.encode()) > MAX_MESSAGE_BYTES:
            return Outcome(False, "too large")
        offered = self._events.offer(push.user, push.tag, push.message, push.event_id)
        reason = _REASONS.get(offered, "")
        return Outcome(not reason, reason)

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see."""
        return {"delivered": self._counts.delivered}
