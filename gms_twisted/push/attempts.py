"""What one attempt to reach a device comes to, and what makes attempts.

A :class:`Transport` speaks to one gateway with one group of credentials.  It tries once
and says what happened; when to try again, how many at a time and when to stop is the
sender's (``sender.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push


class Scope(Enum):
    """Whom a pause concerns."""

    PUSH = "push"
    DEVICE = "device"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The gateway has it.

    :ivar replaced_by: the device's new id (GCM's canonical id), or ``""``.
    """

    replaced_by: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not delivered, and trying again would not help.

    :ivar reason: the gateway's word, or ours.
    :ivar dead: the device is gone; see :class:`gms_twisted.domain.notifications.Outcome`.
    :ivar alarm: a sentence for the operator: credentials or configuration are wrong.
    :ivar off_s: nothing of this sender will work for so long.
    """

    reason: str
    dead: bool = False
    dead_since: float | None = None
    alarm: str = ""
    off_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Again:
    """Not delivered this time.

    :ivar after_s: not before that, as the gateway asks; ``None``: it does not say.
    :ivar scope: who has to wait.
    :ivar base_s: where the back-off starts from; ``None``: option ``push/retry.base``.
    :ivar free: this attempt does not count (the gateway has not looked at it).
    :ivar connection: the connection failed; several in a row open the circuit.
    """

    reason: str
    after_s: float | None = None
    scope: Scope = Scope.PUSH
    base_s: float | None = None
    free: bool = False
    connection: bool = False


Attempt = Delivered | Rejected | Again


class Transport(Protocol):
    """Speaks to one gateway.

    :ivar name: for metrics: ``httpcb``, ``c2dm``, ``gcm``, ``fcm``, ``apns``, ``apns2``...
    :ivar concurrency: most attempts at a time.
    :ivar max_attempts: tries for one push, the first included.
    :ivar in_order: a device's pushes go one after the other (``orscb``).
    """

    name: str
    concurrency: int
    max_attempts: int
    in_order: bool

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """As :meth:`gms_twisted.app.pushing.Pusher.check`."""

    async def attempt(self, push: Push) -> Attempt:
        """Try once.  Has time-outs of its own; raises nothing foreseen."""

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see: connections, certificate's days left; no secrets."""

    async def close(self) -> None:
        """Let go of connections; attempts under way may fail."""
