"""Work that does not belong on the reactor: signing, as an interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class RunInThread(Protocol):
    """``deferToThread`` of a reactor, or a test's direct call."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Do it off the reactor; fires on the reactor."""
