"""A transport whose gateway is the test: it says what each attempt comes to."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.attempts import Attempt, Delivered


def make_push(
    device: str = "d",
    *,
    event: str = "e" * 32,
    subscription: str = "s",
    notification_type: NotificationType = NotificationType.HTTPCB,
    tag: str = "a.b",
    message: str = "hello",
    user: str | None = None,
) -> Push:
    """Make a push, whatever else it holds."""
    return Push(
        push_id=f"{event}.{subscription}",
        event_id=event,
        notification_type=notification_type,
        device_id=DeviceId(device),
        properties={},
        tag=tag,
        message=message,
        options={},
        expires_at=2_000_000_000.0,
        user=None if user is None else GmsUser(user),
    )


_DELIVERED = Delivered()


class ScriptedTransport:
    """A :class:`gms_twisted.push.attempts.Transport` of the test's.

    :ivar script: what the next attempts come to; then ``answer``.
    :ivar answer: what an attempt comes to without a script; ``None``: it stays under way
        until the test says (:meth:`say`).
    :ivar tried: every attempt so far.
    :ivar most: how many were under way at a time.
    :ivar refused: a device that :meth:`check` refuses.
    :ivar certificate_days: how long its certificate is still good.
    """

    name = "scripted"

    def __init__(
        self,
        *script: Attempt | BaseException | None,
        answer: Attempt | None = _DELIVERED,
        concurrency: int = 100,
        max_attempts: int = 5,
        in_order: bool = False,
    ) -> None:
        self.script = list(script)
        self.answer = answer
        self.concurrency = concurrency
        self.max_attempts = max_attempts
        self.in_order = in_order
        self.tried: list[Push] = []
        self.under_way: list[tuple[Push, Deferred[Attempt]]] = []
        self.most = 0
        self.refused = ""
        self.closed = False
        self.certificate_days = 90

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """Refuse one device."""
        if device_id == self.refused:
            raise InvalidRequest("deviceId is not one.", "notificationDetails.deviceId")

    async def attempt(self, push: Push) -> Attempt:
        """Try once."""
        self.tried.append(push)
        result = self.script.pop(0) if self.script else self.answer
        if isinstance(result, BaseException):
            raise result
        if result is not None:
            return result
        waiting: Deferred[Attempt] = Deferred()
        self.under_way.append((push, waiting))
        self.most = max(self.most, len(self.under_way))
        return await waiting

    def say(self, result: Attempt, index: int = 0) -> None:
        """End an attempt that is under way, the oldest unless told otherwise."""
        self.under_way.pop(index)[1].callback(result)

    @property
    def devices(self) -> list[str]:
        """The devices of all attempts, in order."""
        return [str(push.device_id) for push in self.tried]

    def details(self) -> Mapping[str, object]:
        """Something to show."""
        return {"certificate_days": self.certificate_days}

    async def close(self) -> None:
        """Note it."""
        self.closed = True
