"""A sender and a gateway, joined in memory over real TLS with real certificates."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from gms_twisted.apns.frames import Notification
from gms_twisted.app.outgoing import Trust
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import StoreReadOnly
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.push.apns import ApnsTransport
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.apple_keystore import KeystoreFile
from gms_twisted.push.attempts import Attempt
from gms_twisted.simulators.apns import ApnsGateway, FeedbackService
from gms_twisted.simulators.apple_certificates import Authority, Identity, server_tls
from tests.push.apple import TOKEN, apple_push
from tests.push.wire import Network
from tests.support.sources import CountingIds, ManualWallClock

HOST, PORT, FEEDBACK_PORT = "localhost", 2195, 2196
_FOLDER = tempfile.TemporaryDirectory(prefix="gms-apns-")  # gone when the process ends
FOLDER = Path(_FOLDER.name)
NOW = float(int(datetime.now(UTC).timestamp()))
"""TLS compares certificates with the real date, so that ours follow it."""


@cache
def authority() -> Authority:
    """One for all tests."""
    made = Authority()
    (FOLDER / "ca.pem").write_bytes(made.root_pem())
    return made


@cache
def gateway_identity() -> Identity:
    """The gateway's certificate."""
    return authority().gateway()


@cache
def foreign_authority() -> Authority:
    """One that has not issued our certificate."""
    return Authority("Foreign")


@cache
def keystore_path() -> str:
    """A provider's keystore on disk, password ``secret``."""
    path = FOLDER / "provider.p12"
    path.write_bytes(authority().provider().pkcs12("secret"))
    return str(path)


class News:
    """Notes what is told later.

    :ivar broken: subscriptions cannot be ended now.
    """

    def __init__(self) -> None:
        self.broken = False
        self.failed: list[tuple[Push, Outcome]] = []
        self.dead: list[tuple[DeviceId, float]] = []

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """Note it."""
        self.failed.append((push, outcome))

    async def device_dead(
        self, notification_type: NotificationType, device_id: DeviceId, since: float
    ) -> None:
        """Note it."""
        assert notification_type is NotificationType.IOS
        if self.broken:
            raise StoreReadOnly
        self.dead.append((device_id, since))

    @property
    def reasons(self) -> list[str]:
        """Push ids and reasons, ``3 InvalidToken``."""
        return [f"{push.push_id} {outcome.reason}" for push, outcome in self.failed]


class HighIds(CountingIds):
    """Draws the upper end."""

    def uniform(self, low: float, high: float) -> float:
        """The upper end."""
        return high


class Rig:
    """See the module.

    :param newest: the gateway speaks TLS 1.3.
    :param settings: fields of :class:`ApnsSettings`.
    """

    def __init__(self, *, newest: bool = False, foreign: bool = False, **settings: object) -> None:
        authority()
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock, NOW)
        self.network = Network(self.clock)
        self.gateway = ApnsGateway(self.clock)
        self.feedback = FeedbackService()
        self.news = News()
        self.counters = Counters()
        self.alarms: list[str] = []
        self.demand = True
        for port, factory in ((PORT, self.gateway), (FEEDBACK_PORT, self.feedback)):
            self.network.listen(
                HOST,
                port,
                lambda factory=factory: TLSMemoryBIOFactory(  # type: ignore[misc]
                    server_tls(
                        gateway_identity(),
                        foreign_authority().root if foreign else authority().root,
                        newest=newest,
                    ),
                    False,
                    factory,
                    clock=self.clock,
                ),
            )
        self.settings = ApnsSettings(
            **{  # type: ignore[arg-type]
                "keystore": keystore_path(),
                "password": "secret",
                "host": HOST,
                "port": PORT,
                "feedback_host": HOST,
                "feedback_port": FEEDBACK_PORT,
                "trust": Trust(str(FOLDER / "ca.pem")),
                **settings,
            }
        )
        self.keystore = KeystoreFile(
            self.settings.keystore, self.settings.password, execute, self.wall
        )
        self.dialer = Dialer(
            self.keystore,
            self.settings.trust,
            self.network.endpoint,
            self.clock,
        )
        self.transport = ApnsTransport(
            self.settings,
            self.dialer,
            self.news,
            self.clock,
            self.wall,
            HighIds(),
            self.counters,
            self.alarms.append,
        )

    def send(self, *names: object, token: bytes = TOKEN, **how: object) -> list[Deferred[Attempt]]:
        """Begin an attempt for each name, which is its message and id."""
        return [
            Deferred.fromCoroutine(
                self.transport.attempt(
                    apple_push(
                        str(name),
                        token=token,
                        push_id=str(name),
                        **{"expires_at": NOW + 3600, **how},  # type: ignore[arg-type]
                    )
                )
            )
            for name in names
        ]

    @property
    def arrived(self) -> list[str]:
        """Messages that the gateway accepted, in order."""
        return [message(one) for one in self.gateway.arrived]


def message(one: Notification) -> str:
    """Read a notification's message."""
    return str(json.loads(one.payload)["message"])
