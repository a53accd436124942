"""Push gateways for tests: simulators on the network in memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from twisted.internet.defer import Deferred, execute

from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.attempts import Attempt, Transport
from gms_twisted.simulators.c2dm import C2dmSimulator
from gms_twisted.simulators.fcm import FcmSimulator
from gms_twisted.simulators.gateway import Call, HttpGateway, Reply, site
from gms_twisted.simulators.gcm import GcmSimulator
from gms_twisted.simulators.httpcb import CallbackSimulator
from tests.support.net import Net
from tests.support.sources import CountingIds, ManualWallClock

GATEWAY = "10.9.9.9"
"""Where the gateways are: private, as a configured target may be."""

T = TypeVar("T")

Said = tuple[str, Mapping[str, object]]


@functools.cache
def account_key() -> RSAPrivateKey:
    """The key of a service account; made once, for that takes a while."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def push(message: str = "Agent Available", **members: Any) -> Push:
    """A push; members that are not named have everyday values."""
    values: dict[str, Any] = {
        "push_id": "e1.s1",
        "event_id": "e1",
        "notification_type": NotificationType.GCM,
        "device_id": DeviceId("device-1"),
        "properties": {},
        "tag": "a2c.service.statuschanged",
        "message": message,
        "options": {},
        "expires_at": 2e9,
    }
    values.update(members)
    return Push(**values)


class Answering:
    """A gateway of a test's own: answers by a function, remembers what came."""

    def __init__(self, answer: Callable[[Call], Reply]) -> None:
        self.calls: list[Call] = []
        self._answer = answer

    def handle(self, call: Call) -> Reply:
        """Answer."""
        self.calls.append(call)
        return self._answer(call)


class Gateways:
    """The network, with every simulator at hand.

    :ivar said: what simulators showed.
    """

    def __init__(self, **net: Any) -> None:
        self.net = Net(**net)
        self.ids = CountingIds()
        self.wall = ManualWallClock(self.net.clock)
        self.tasks = Tasks()
        self.options = PushOptions()
        self.said: list[Said] = []
        self.signed = 0

    def say(self, what: str, members: Mapping[str, object]) -> None:
        """Remember what a simulator shows."""
        self.said.append((what, members))

    def pushes(self) -> list[Mapping[str, object]]:
        """What devices got."""
        return [members for what, members in self.said if what == "push"]

    def serve(self, gateway: HttpGateway, host: str = GATEWAY, port: int = 80) -> None:
        """Put a gateway on the network."""
        self.net.serve(site(gateway, self.net.clock), host, port)

    def httpcb(self, host: str, port: int = 80) -> CallbackSimulator:
        """A callback server."""
        made = CallbackSimulator(self.say)
        self.serve(made, host, port)
        return made

    def c2dm(self, password: str = "", token: str = "") -> C2dmSimulator:
        """Google's C2DM."""
        made = C2dmSimulator(self.say, self.ids, password, token)
        self.serve(made)
        return made

    def gcm(self, key: str = "key-1") -> GcmSimulator:
        """Google's GCM."""
        made = GcmSimulator(self.say, self.ids, key)
        self.serve(made)
        return made

    def fcm(self, life_s: int = 3600) -> FcmSimulator:
        """Google's FCM."""
        made = FcmSimulator(self.say, self.ids, self.wall, "p1", life_s=life_s, key=account_key())
        self.serve(made)
        return made

    def off_reactor(self, work: Callable[[], T], /) -> Deferred[T]:
        """Stands for a thread: works at once."""
        self.signed += 1
        return execute(work)

    def attempt(self, transport: Transport, one: Push) -> Deferred[Attempt]:
        """Begin an attempt."""
        return self.net.run(transport.attempt(one))


def json_reply(status: int, document: object, **headers: str) -> Reply:
    """An answer with JSON; ``retry_after="5"`` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(document).encode("utf-8")
    return Reply(status, body, {"content-type": "application/json", **named})
