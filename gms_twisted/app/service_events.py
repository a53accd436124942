"""Events that a service publishes about itself, and who is told.

The update of a service's data is announced under a tag, so that whoever runs
the service can react.  Spec: Service API, "update"; Notification API.

Knows: tag and message.  Does not know: subscriptions, devices, filters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.store.interfaces import Change


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that happened to a service.

    :ivar event_id: 32 hexadecimal digits, the same in every repetition.
    :ivar tag: dotted, ``service.updated.39a98e24b03b4191b7561efe8f3b16b8``.
    :ivar message: JSON text.
    :ivar user: whose service it is, if anybody said so.
    """

    event_id: str
    tag: str
    message: str = field(repr=False)
    service_id: ServiceId
    user: GmsUser | None = None


class EventPublisher(Protocol):
    """Takes events in two steps, so that none is lost between a change and its news."""

    def changes_for(self, event: ServiceEvent) -> Sequence[Change]:
        """What must be stored with the change that the event reports (intents)."""

    def published(self, event: ServiceEvent) -> None:
        """The unit with these changes is durable; deliver.  Must be quick and not raise."""


class LocalEvents:
    """An :class:`EventPublisher` inside the process: tells whoever listens, stores nothing."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[ServiceEvent], None]] = []

    def listen(self, listener: Callable[[ServiceEvent], None]) -> None:
        """Tell this one about every event from now on; it must be quick and not raise."""
        self._listeners.append(listener)

    def changes_for(self, event: ServiceEvent) -> Sequence[Change]:
        """Nothing: listeners of this process are told at once, or are gone with it."""
        return ()

    def published(self, event: ServiceEvent) -> None:
        """Tell the listeners."""
        for listener in self._listeners:
            listener(event)
