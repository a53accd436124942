"""Callbacks to orchestration: the event goes to a session, in order, never in a circle.

Spec: Orchestration Server Callback Notification.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.orchestration import EventReceiver, EventRefused, SessionUnknown
from gms_twisted.app.outgoing import Unreachable
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected
from gms_twisted.push.device_ids import check_token


class OrchestrationCallbacks:
    """A :class:`gms_twisted.push.attempts.Transport` to orchestration sessions.

    :param receiver: knows the sessions.
    """

    name = "orscb"
    # State machines care for the order of their events.
    in_order = True
    concurrency = 100

    def __init__(self, options: PushOptions, receiver: EventReceiver) -> None:
        self._receiver = receiver
        self._max_depth = options.orscb_max_depth
        self.max_attempts = options.retry_attempts

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that there is a session id; whether the session lives, its end may tell."""
        check_token(device_id)

    async def attempt(self, push: Push) -> Attempt:
        """Hand it over once."""
        if push.hops >= self._max_depth:
            return Rejected("TooManyHops")
        try:
            await self._receiver.receive(
                push.device_id, push.tag, push.message, push.hops + 1, push.push_id
            )
        except SessionUnknown:
            return Rejected("SessionUnknown", dead=True)
        except EventRefused as refused:
            return Rejected(refused.reason)
        except Unreachable as error:
            return Again(error.reason, connection=error.reason != "busy")
        except Unavailable:
            return Again("Unavailable")
        return Delivered()

    def details(self) -> Mapping[str, object]:
        """Nothing of its own."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""
