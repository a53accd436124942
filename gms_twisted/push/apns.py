"""Apple's binary provider interface, for one group of credentials.

An attempt counts as delivered when its bytes were accepted by an established TLS
connection: the gateway says nothing about what it takes.  What it refuses later is told
to :class:`gms_twisted.app.pushing.PushNews`.

Apple closed its own gateway in 2021; the interface lives on in gateways of others.

Knows: settings, payloads, which connection a device's notifications take.  Does not
know: connections' lives (``apns_lane.py``), queues of senders.

Spec: Apple Notification; APNs: "Binary Provider API".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zlib import crc32

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gms_twisted.apns.frames import SIMPLE, TOKEN_BYTES
from gms_twisted.app.pushing import PushNews
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Outcome, Push
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.push.apns_backlog import Entry
from gms_twisted.push.apns_connection import GatewayLink
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_lane import Lane, LaneState
from gms_twisted.push.apns_settings import ApnsSettings
from gms_twisted.push.apple_payload import (
    SPARING,
    PayloadTooLarge,
    apple_expiration,
    apple_payload,
    apple_priority,
)
from gms_twisted.push.attempts import Attempt, Rejected

CONCURRENCY = 2000
"""Attempts that wait at a time: several turns' writes, so that a turn is never short."""


class ApnsTransport:
    """A :class:`gms_twisted.push.attempts.Transport`; connects at the first attempt.

    :param dialer: with the credentials.
    :param news: told what the gateway refuses later.
    :param alarm: told what the operator has to mend and no attempt's result says, and
        ``""`` when that is over; by default it is only logged.
    """

    log = Logger()

    name = "apns"
    max_attempts = 5
    in_order = False

    def __init__(
        self,
        settings: ApnsSettings,
        dialer: Dialer,
        news: PushNews,
        timers: IReactorTime,
        wall: WallClock,
        ids: IdSource,
        counters: Counters,
        alarm: Callable[[str], object] | None = None,
    ) -> None:
        self._settings = settings
        self._dialer = dialer
        self._news = news
        self._wall = wall
        self._alarm = alarm
        self._is_off = False
        self.concurrency = settings.connections if settings.command == SIMPLE else CONCURRENCY
        self._lanes = [
            Lane(settings, self._dial, self, timers, wall, ids, counters)
            for _ in range(settings.connections)
        ]

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that it is a token of this interface: 64 hexadecimal digits."""
        if _token(device_id) is None:
            raise InvalidRequest(
                f"deviceId must be {2 * TOKEN_BYTES} hexadecimal digits.", "deviceId"
            )

    async def attempt(self, push: Push) -> Attempt:
        """Write it to the connection of its device."""
        token = _token(push.device_id)
        if token is None:
            return Rejected("InvalidTokenSize")
        try:
            payload = apple_payload(push, self._settings.max_payload)
        except PayloadTooLarge:
            return Rejected("PayloadTooLarge")
        done: Deferred[Attempt] = Deferred()
        entry = Entry(
            push,
            token,
            payload,
            apple_expiration(push, self._wall.now()),
            max(apple_priority(push), SPARING),
            done,
        )
        lane = self._lanes[crc32(token) % len(self._lanes)]
        return lane.send(entry) or await done

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see."""
        details: dict[str, object] = {
            "gateway": f"{self._settings.host}:{self._settings.port}",
            "connections": sum(lane.state is LaneState.OPEN for lane in self._lanes),
            "waiting": sum(lane.waiting for lane in self._lanes),
            "unconfirmed": sum(lane.kept for lane in self._lanes),
        }
        keystore = self._dialer.keystore.kept
        if keystore is not None:
            details["topic"] = keystore.topic
            details["certificate_expires_at"] = keystore.expires_at
            details["certificate_days"] = keystore.days_left(self._wall.now())
        return details

    async def close(self) -> None:
        """Let the connections end; what would have to be sent again is told as failed."""
        await gatherResults([Deferred.fromCoroutine(lane.close()) for lane in self._lanes])

    async def _dial(self, build: Callable[[], GatewayLink]) -> None:
        await self._dialer.dial(self._settings.host, self._settings.port, build)

    # For the lanes

    def failed_later(self, push: Push, outcome: Outcome) -> None:
        """Pass on what became of a push."""
        self._news.failed_later(push, outcome)

    def alarm(self, sentence: str) -> None:
        """Tell the operator."""
        self.log.error("APNs {host}: {sentence}", host=self._settings.host, sentence=sentence)
        if self._alarm is not None:
            self._alarm(sentence)

    def off(self, sentence: str) -> None:
        """Tell the operator; a connection will show that it is mended."""
        self._is_off = True
        self.alarm(sentence)

    def works(self) -> None:
        """Tell that keystore and certificate are good again."""
        if self._is_off and self._alarm is not None:
            self._alarm("")
        self._is_off = False


def _token(device_id: DeviceId) -> bytes | None:
    """Read a device token; ``None`` if it is none."""
    try:
        token = bytes.fromhex(device_id)
    except ValueError:
        return None
    return token if len(token) == TOKEN_BYTES else None
