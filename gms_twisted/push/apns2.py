"""Apple's service over HTTP/2: the transport ``apns2`` of type ``ios``.

    POST /3/device/TOKEN      {"aps": {...}, "message": "..."}
    authorization: bearer JWT (or our certificate in TLS)
    apns-topic, apns-push-type, apns-priority, apns-expiration, apns-collapse-id, apns-id

What differs from push to push is never put into the header table, what stays the same is,
and costs one byte each from the second request on.

Knows: requests.  Does not know: connections, what answers mean, what waits.

APNs: "Sending notification requests to APNs".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from hpack import HeaderTuple, NeverIndexedHeaderTuple
from twisted.internet.defer import Deferred

from gms_twisted.app.outgoing import Unreachable
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.apns2_answers import EXPIRED_TOKEN, Said, judge, leaves, read
from gms_twisted.push.apple_payload import (
    SPARING,
    PayloadTooLarge,
    apple_background,
    apple_expiration,
    apple_payload,
    apple_priority,
    warn_once,
)
from gms_twisted.push.apple_token import ProviderToken
from gms_twisted.push.attempts import Again, Attempt, Rejected
from gms_twisted.push.http2_pool import Http2Pool
from gms_twisted.push.http2_words import Headers, NotProcessed, Response, Unanswered

MAX_PAYLOAD_BYTES = 4096
MAX_VOIP_BYTES = 5120
MAX_COLLAPSE_BYTES = 64

_TOKEN_DIGITS = range(64, 201, 2)
_HEX = frozenset("0123456789abcdefABCDEF")
_PUSH_TYPES = frozenset(
    (
        *("alert", "background", "voip", "complication", "fileprovider", "mdm"),
        *("location", "liveactivity", "pushtotalk"),
    )
)
# RFC: 9562, 6.6: any UUID may be a name space; this one is ours.
_NAME_SPACE = bytes.fromhex("5f0c6bd0a1e54b0c9b6f8f5d1f2b7a31")


def apns_id(push_id: str) -> str:
    """Make the ``apns-id`` of a push, the same for each of its repetitions.

    RFC: 9562, version 5.
    """
    # Not a secret: SHA-1 is what the version says.
    digest = bytearray(
        hashlib.sha1(_NAME_SPACE + push_id.encode(), usedforsecurity=False).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Apns2Transport:
    """A :class:`gms_twisted.push.attempts.Transport` to Apple's service.

    :param pool: connections to it; of one team and environment only.
    :param authority: host, with the port unless that is 443.
    :param topic: the application's bundle id.
    :param token: ``None``: our certificate in TLS says who we are.
    :param max_payload: a lower limit than Apple's, bytes.
    :param expires_at: of the certificate, Unix seconds.
    """

    name = "apns2"
    in_order = False

    def __init__(
        self,
        pool: Http2Pool,
        authority: str,
        topic: str,
        wall: WallClock,
        *,
        token: ProviderToken | None = None,
        max_payload: int | None = None,
        expires_at: float | None = None,
        concurrency: int = 500,
        max_attempts: int = 5,
    ) -> None:
        self.concurrency = concurrency
        self.max_attempts = max_attempts
        self._pool = pool
        self._wall = wall
        self._token = token
        self._max_payload = max_payload
        self._expires_at = expires_at
        self._begin = [
            HeaderTuple(b":method", b"POST"),
            HeaderTuple(b":scheme", b"https"),
            HeaderTuple(b":authority", authority.encode("ascii")),
        ]
        self._topic = HeaderTuple(b"apns-topic", topic.encode("utf-8")) if topic else None

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """Apple does not promise a length; 32 to 100 bytes, in hexadecimal digits."""
        if len(device_id) not in _TOKEN_DIGITS or not _HEX.issuperset(device_id):
            raise InvalidRequest(
                "deviceId must be a device token: 64 to 200 hexadecimal digits.", "deviceId"
            )

    async def attempt(self, push: Push) -> Attempt:
        """Send it.

        When the connection is lost under it, nobody knows what became of it: it is sent
        once more, with the same ``apns-id``.
        """
        kind = _push_type(push)
        limit = MAX_VOIP_BYTES if kind == b"voip" else MAX_PAYLOAD_BYTES
        try:
            payload = apple_payload(push, min(limit, self._max_payload or limit))
        except PayloadTooLarge:
            return Rejected("PayloadTooLarge")
        headers = self._headers(push, kind)
        try:
            try:
                said = await self._ask(headers, payload)
            except Unanswered as error:
                if error.reason in ("timeout", "closed"):
                    raise
                said = await self._ask(headers, payload)
        except Unanswered as error:
            if error.reason in ("timeout", "closed"):
                return Again(error.reason, connection=error.reason == "timeout")
            return Rejected(error.reason)
        except NotProcessed as error:
            return Again(error.reason)
        except Unreachable as error:
            return Again(error.reason, connection=True)
        if said.reason == EXPIRED_TOKEN and self._token is not None:
            text = "Apple calls a new token expired; this machine's clock is wrong."
            return Rejected(EXPIRED_TOKEN, alarm=text, off_s=60.0)
        return judge(said)

    async def _ask(self, headers: Headers, payload: bytes) -> Said:
        """Ask; with another token when Apple calls ours expired."""
        token = self._token
        if token is None:
            return self._read(await self._pool.request(headers, payload))
        signed = token.fresh or await token.current()
        said = self._read(await self._request(headers, signed, payload))
        if said.reason == EXPIRED_TOKEN and await token.refused(signed):
            signed = await token.current()
            said = self._read(await self._request(headers, signed, payload))
        return said

    def _request(self, headers: Headers, signed: str, payload: bytes) -> Deferred[Response]:
        bearer = NeverIndexedHeaderTuple(b"authorization", b"bearer " + signed.encode("ascii"))
        return self._pool.request([*headers, bearer], payload)

    def _read(self, response: Response) -> Said:
        said = read(response, self._wall.now())
        if leaves(said):
            response.via.retire()
        return said

    def _headers(self, push: Push, kind: bytes) -> Headers:
        """All but the token."""
        priority = apple_priority(push)
        if kind == b"background":
            priority = min(priority, SPARING)
        expiration = str(apple_expiration(push, self._wall.now())).encode()
        path = b"/3/device/" + push.device_id.lower().encode("ascii")
        headers = [
            *self._begin,
            NeverIndexedHeaderTuple(b":path", path),
            HeaderTuple(b"apns-push-type", kind),
            HeaderTuple(b"apns-priority", b"%d" % priority),
            NeverIndexedHeaderTuple(b"apns-expiration", expiration),
            NeverIndexedHeaderTuple(b"apns-id", apns_id(push.push_id).encode()),
        ]
        if self._topic is not None:
            headers.append(self._topic)
        collapse = push.options.get("apple.collapseId", "")
        if collapse:
            value = collapse.encode("utf-8", "replace")
            if len(value) <= MAX_COLLAPSE_BYTES and collapse.isprintable():
                headers.append(NeverIndexedHeaderTuple(b"apns-collapse-id", value))
            else:
                warn_once("apple.collapseId", collapse)
        return headers

    def details(self) -> Mapping[str, object]:
        """Connections, the token's age, the certificate's days."""
        details = dict(self._pool.details())
        if self._token is not None:
            details["token_age_s"] = round(self._token.age_s()) if self._token.renewals else None
            details["token_renewals"] = self._token.renewals
        if self._expires_at is not None:
            details["certificate_days"] = int((self._expires_at - self._wall.now()) // 86_400)
        return details

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


def _push_type(push: Push) -> bytes:
    """The kind: as configured, else by what the device would show."""
    word = push.options.get("apple.pushType", "").strip()
    if word in _PUSH_TYPES:
        return word.encode()
    if word:
        warn_once("apple.pushType", word)
    return b"background" if apple_background(push) else b"alert"
