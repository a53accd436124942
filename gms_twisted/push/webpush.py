"""Browsers: the transport ``webpush``.

    POST ENDPOINT              salt:16 | record size:4 | 65 | key:65 | locked message
    TTL, Urgency, Topic        Content-Encoding: aes128gcm
    Authorization: vapid t=JWT, k=KEY

Each subscription names a push service of its own, so what is a sender's business with
other transports is one origin's here: how long it wants to be left alone, and whether
connections to it fail.

Knows: requests and answers.  Does not know: sockets, what waits.

RFC: 8030, 8188, 8291, 8292.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping

import http_ece  # type: ignore[import-untyped]  # ships no types
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from twisted.logger import Logger

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import Clock, WallClock
from gms_twisted.push.apple_payload import warn_once
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected
from gms_twisted.push.http_answers import retry_after_s
from gms_twisted.push.vapid import VapidTokens
from gms_twisted.push.webpush_subscription import BrowserSubscription, read_subscription

MAX_TEXT_BYTES = 3993
"""Of a message, so that what is sent has at most 4096."""

DEFAULT_TTL_S = 86_400
MAX_TTL_S = 2_419_200
URGENCIES = frozenset(("very-low", "low", "normal", "high"))

MAX_ORIGINS = 1000
MAX_MISMATCHES = 10_000
_MISMATCHES = 3
_RECORD_BYTES = 4096
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LIMITS = Limits(connect_s=5.0, total_s=10.0)
_TRUST = Trust()

Salted = Callable[[], tuple[EllipticCurvePrivateKey, bytes | None]]
"""Makes the key and salt of one message."""


def fresh_key() -> tuple[EllipticCurvePrivateKey, bytes | None]:
    """A new key; the library draws the salt."""
    return generate_private_key(SECP256R1()), None


def locked(text: bytes, browser: BrowserSubscription, salted: Salted = fresh_key) -> bytes:
    """Encrypt a message for one browser.

    RFC: 8291, 4: one record; 103 bytes more than the text.
    """
    key, salt = salted()
    body: bytes = http_ece.encrypt(
        text,
        salt=salt,
        private_key=key,
        dh=browser.key,
        auth_secret=browser.auth,
        version="aes128gcm",
        rs=_RECORD_BYTES,
    )
    return body


class AllowedHosts:
    """Which push services may be asked: names, ``*.NAME`` for all below, with ``:PORT``.

    :param names: empty: all public ones.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(name.strip().lower() for name in names if name.strip())

    def listed(self, host: str, port: int) -> bool:
        """Tell whether the operator wrote this very host."""
        return host in self._names or f"{host}:{port}" in self._names

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a host may be asked."""
        if not self._names or self.listed(host, port):
            return True
        labels = host.split(".")
        return any(
            f"*.{'.'.join(labels[number:])}" in self._names for number in range(1, len(labels))
        )


class _Origin:
    """One push service: failures in a row, and how long it is left alone."""

    __slots__ = ("failures", "reason", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        self.reason = ""


class WebPushTransport:
    """A :class:`gms_twisted.push.attempts.Transport` to browsers' push services.

    :param tokens: who we are.
    :param circuit_failures: so many failed connections in a row to one origin...
    :param circuit_open_s: ...and nothing is sent there for so long.
    """

    log = Logger()
    name = "webpush"
    in_order = False

    def __init__(
        self,
        gate: Gate,
        tokens: VapidTokens,
        clock: Clock,
        wall: WallClock,
        *,
        allow_hosts: tuple[str, ...] = (),
        trust: Trust = _TRUST,
        salted: Salted = fresh_key,
        circuit_failures: int = 5,
        circuit_open_s: float = 30.0,
        concurrency: int = 100,
        max_attempts: int = 5,
    ) -> None:
        self.concurrency = concurrency
        self.max_attempts = max_attempts
        self._gate = gate
        self._tokens = tokens
        self._clock = clock
        self._wall = wall
        self._hosts = AllowedHosts(allow_hosts)
        self._trust = trust
        self._salted = salted
        self._circuit_failures = circuit_failures
        self._circuit_open_s = circuit_open_s
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._mismatches: OrderedDict[DeviceId, int] = OrderedDict()

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """Endpoint, keys, and whether the host may be asked."""
        browser = read_subscription(device_id, properties)
        if not self._hosts.allows(browser.host, browser.port):
            raise InvalidRequest(
                "The endpoint's host is not one that push/webpush.allow_hosts allows.", "deviceId"
            )
        await self._gate.check(
            browser.endpoint, configured=self._hosts.listed(browser.host, browser.port)
        )

    async def attempt(self, push: Push) -> Attempt:
        """Encrypt it and hand it to the browser's push service."""
        try:
            browser = read_subscription(push.device_id, push.properties)
        except InvalidRequest:
            return Rejected("bad subscription")
        if not self._hosts.allows(browser.host, browser.port):
            return Rejected("host not allowed")
        if browser.expires_at is not None and browser.expires_at <= self._wall.now():
            return Rejected("expired", dead=True, dead_since=browser.expires_at)
        text = push.message.encode("utf-8", "replace")
        if len(text) > MAX_TEXT_BYTES:
            return Rejected("PayloadTooLarge")
        origin = self._origin(browser.origin)
        now = self._clock.seconds()
        if origin.until > now:
            # Nobody has looked at it, and others need not wait.
            return Again(origin.reason, after_s=origin.until - now, free=True)
        if origin.failures >= self._circuit_failures:
            # One goes ahead to see; the others wait for what it finds.
            origin.until = now + self._circuit_open_s
        headers = self._headers(push)
        headers["Authorization"] = await self._tokens.header(browser.origin)
        body = b""
        if text:
            body = locked(text, browser, self._salted)
            headers["Content-Encoding"] = "aes128gcm"
            headers["Content-Type"] = "application/octet-stream"
        try:
            answer = await self._gate.request(
                "POST",
                browser.endpoint,
                headers,
                body,
                _LIMITS,
                trust=self._trust,
                configured=self._hosts.listed(browser.host, browser.port),
            )
        except TargetRefused:
            return Rejected("target refused")
        except Unreachable as error:
            self._note_failure(browser.origin, origin)
            return Again(error.reason)
        if origin.failures >= self._circuit_failures:
            origin.until = 0.0
        origin.failures = 0
        return self._judge(answer, push.device_id, browser, origin)

    def _headers(self, push: Push) -> dict[str, str]:
        """All but who we are; unusable options do not count."""
        options = push.options
        ttl = options.get("webpush.ttl", "").strip()
        seconds = DEFAULT_TTL_S
        if ttl.isascii() and ttl.isdigit() and len(ttl) < 10:
            seconds = min(int(ttl), MAX_TTL_S)
        elif ttl:
            warn_once("webpush.ttl", ttl)
        headers = {"TTL": str(seconds)}
        urgency = options.get("webpush.urgency", "").strip()
        if urgency and urgency not in URGENCIES:
            warn_once("webpush.urgency", urgency)
            urgency = ""
        headers["Urgency"] = urgency or "normal"
        topic = options.get("webpush.topic", "").strip()
        if topic and _TOPIC.fullmatch(topic):
            headers["Topic"] = topic
        elif topic:
            warn_once("webpush.topic", topic)
        return headers

    # -- answers ----------------------------------------------------------------------------

    def _judge(
        self, answer: Answer, device: DeviceId, browser: BrowserSubscription, origin: _Origin
    ) -> Attempt:
        status = answer.status
        reason = f"status {status}"
        if status in (200, 201, 202, 204):
            self._mismatches.pop(device, None)
            return Delivered()
        if status in (401, 403):
            return self._refused(answer, device, browser)
        if status in (404, 410):
            return Rejected(reason, dead=True)
        if status != 429 and status < 500:
            return Rejected(reason)
        after_s = retry_after_s(answer.headers, self._wall.now())
        if after_s:
            origin.until = self._clock.seconds() + after_s
            origin.reason = reason
        return Again(reason, after_s=after_s)

    def _refused(self, answer: Answer, device: DeviceId, browser: BrowserSubscription) -> Attempt:
        """Our token is wrong for all, or our key for this browser.

        A browser subscribed with another key of ours stays so for ever; when that was
        said three times, the subscription is of no use.
        """
        reason = f"status {answer.status}"
        if _names_key(answer.body):
            count = self._mismatches.pop(device, 0) + 1
            if count >= _MISMATCHES:
                return Rejected("key mismatch", dead=True)
            self._mismatches[device] = count
            if len(self._mismatches) > MAX_MISMATCHES:
                self._mismatches.popitem(last=False)
            return Rejected("key mismatch")
        self._tokens.forget(browser.origin)
        alarm = f"{browser.origin} refuses our VAPID token: {reason}."
        return Rejected(reason, alarm=alarm)

    def _origin(self, name: str) -> _Origin:
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = _Origin()
            while len(self._origins) > MAX_ORIGINS:
                self._origins.popitem(last=False)
        else:
            self._origins.move_to_end(name)
        return origin

    def _note_failure(self, name: str, origin: _Origin) -> None:
        origin.failures += 1
        if origin.failures >= self._circuit_failures:
            if origin.failures == self._circuit_failures:
                self.log.warn(
                    "{origin}: {failures} connections failed in a row",
                    origin=name,
                    failures=origin.failures,
                )
            origin.until = self._clock.seconds() + self._circuit_open_s
            origin.reason = "circuit open"

    def details(self) -> Mapping[str, object]:
        """What an operator wants to see: which push services are left alone."""
        now = self._clock.seconds()
        return {
            "origins": len(self._origins),
            "paused": {
                name: round(origin.until - now, 1)
                for name, origin in self._origins.items()
                if origin.until > now
            },
        }

    async def close(self) -> None:
        """Connections are the gate's."""


def _names_key(body: bytes) -> bool:
    """Tell whether an answer says that the keys do not match.

    Choice: there is no standard word; the services in the field write of a key, of
    credentials of the sender, or of a mismatch.
    """
    text = body.decode("utf-8", "replace").lower()
    return any(words in text for words in ("mismatch", "not correspond", "not match"))
