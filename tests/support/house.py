"""A whole server in memory: every object of the composition root, no socket, no thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import MemoryReactorClock

from gms_twisted.app.interfaces import ChatGateway
from gms_twisted.app.nodes import Alone, Nodes
from gms_twisted.config.ini import default_path, load
from gms_twisted.config.options import Configuration
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.store.interfaces import Store
from gms_twisted.wiring import Foundation, House, Settings


class DirectPool:
    """A thread pool that calls at once."""

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], call: Callable[..., Any], *args: Any, **more: Any
    ) -> None:
        """Call."""
        done(True, call(*args, **more))


class HousePort:
    """A listening port in memory.

    :ivar reading: it accepts connections.
    :ivar closed: it does not listen any more.
    """

    connected = True

    def __init__(self, address: IAddress, factory: Any) -> None:
        self.factory = factory
        self.reading = True
        self.closed = False
        self._address = address

    def getHost(self) -> IAddress:
        """Where it listens."""
        return self._address

    def stopReading(self) -> None:
        """Accept nothing for now."""
        self.reading = False

    def startReading(self) -> None:
        """Accept."""
        self.reading = True

    def stopListening(self) -> None:
        """Close."""
        self.reading, self.closed = False, True

    def fileno(self) -> int:
        """Its descriptor."""
        return 90

    @property
    def socket(self) -> HousePort:
        """What :meth:`close` closes."""
        return self

    def close(self) -> None:
        """Close the descriptor."""
        self.closed = True


class HouseReactor(MemoryReactorClock):
    """A reactor in memory whose time is the test's, whatever a server wants to measure by.

    :ivar ports: all that have been opened.
    :ivar stopped: somebody has asked it to stop.
    """

    stopped = False
    running = True

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[HousePort] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Open a port."""
        taken = [one.getHost() for one in self.ports if not one.closed]
        address = IPv4Address("TCP", interface or "0.0.0.0", port or 40_000 + len(self.ports))
        if address in taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        self.ports.append(HousePort(address, factory))
        return self.ports[-1]

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> Any:
        """Open a Unix socket."""
        self.ports.append(HousePort(UNIXAddress(address), factory))
        return self.ports[-1]

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


def settings_for(
    folder: Path,
    reread: Callable[[], Any] | None = None,
    listen: tuple[str, ...] = ("tcp:8080:interface=127.0.0.1",),
) -> Settings:
    """What the command line would say."""
    return Settings(
        data_directory=folder,
        config_path=folder / "gms.ini",
        listen=listen,
        log_format="json",
        log_level="info",
        log_file="",
        foreground=True,
        reread=reread or (lambda: load(default_path(), ("store/url=memory:",))),
    )


class OwnFoundation(Foundation):
    """What a server stands on, with the test's store, time and ids.

    :param gateway: chat servers; ``None``: as configured.
    """

    def __init__(
        self,
        configuration: Configuration,
        folder: Path,
        reactor: HouseReactor,
        wall: WallClock,
        ids: IdSource,
        store: Store,
        gateway: ChatGateway | None = None,
    ) -> None:
        self._given = wall, ids, store
        super().__init__(configuration, settings_for(folder), reactor)
        if gateway is not None:
            self.gateway = gateway  # type: ignore[assignment]  # as good as one

    def _store(self) -> Store:
        """The store; all that is made after it has the same time and ids."""
        wall, ids, store = self._given
        self.wall, self.ids = wall, ids  # type: ignore[assignment]  # the test's
        return store


def make_house(
    folder: Path,
    *overrides: str,
    nodes: Nodes | None = None,
    reactor: HouseReactor | None = None,
) -> tuple[House, HouseReactor]:
    """Build everything, and open the store; nobody listens.

    :param nodes: other nodes; ``None`` for none.
    :param reactor: one that is shared.
    """
    reactor = reactor or HouseReactor()
    foundation = Foundation(configuration_of(*overrides), settings_for(folder), reactor)
    opened: Deferred[None] = Deferred.fromCoroutine(foundation.store.start())
    assert opened.called
    return House(foundation, (), b"k" * 32, nodes or Alone()), reactor
