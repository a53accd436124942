"""A whole server in memory: every object of the composition root, no socket, no thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from gms_twisted.config.ini import default_path, load
from gms_twisted.config.options import Configuration
from gms_twisted.wiring import Foundation, House, Settings


class DirectPool:
    """A thread pool that calls at once."""

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], call: Callable[..., Any], *args: Any, **more: Any
    ) -> None:
        """Call."""
        done(True, call(*args, **more))


class HouseReactor(MemoryReactorClock):
    """A reactor in memory whose time is the test's, whatever a server wants to measure by.

    :ivar stopped: somebody has asked it to stop.
    """

    stopped = False
    running = True

    def __setattr__(self, name: str, value: object) -> None:
        """Keep our own time."""
        if name != "seconds":
            super().__setattr__(name, value)

    def getThreadPool(self) -> DirectPool:
        """The pool."""
        return DirectPool()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **more: Any) -> None:
        """Call on the next turn."""
        self.callLater(0, call, *args, **more)

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Call: it runs."""
        callable(*args, **kw)

    def stop(self) -> None:
        """Remember."""
        self.stopped = True


def configuration_of(*overrides: str) -> Configuration:
    """The packaged configuration with a store in memory, and what a test overrides."""
    loaded = load(default_path(), ("store/url=memory:", *overrides))
    assert not loaded.faults, loaded.faults
    return loaded.configuration


def settings_for(folder: Path, reread: Callable[[], Any] | None = None) -> Settings:
    """What the command line would say."""
    return Settings(
        data_directory=folder,
        listen=("tcp:8080:interface=127.0.0.1",),
        log_format="json",
        log_level="info",
        log_file="",
        foreground=True,
        reread=reread or (lambda: load(default_path(), ("store/url=memory:",))),
    )


def make_house(folder: Path, *overrides: str) -> tuple[House, HouseReactor]:
    """Build everything, and open the store; nobody listens."""
    reactor = HouseReactor()
    foundation = Foundation(configuration_of(*overrides), settings_for(folder), reactor)
    opened: Deferred[None] = Deferred.fromCoroutine(foundation.store.start())
    assert opened.called
    return House(foundation, (), b"k" * 32), reactor
