"""Apple's service over HTTP/2, simulated: it checks requests as strictly as Apple does.

Knows: what a request must look like, and how Apple answers.  Does not know: HTTP/2's
frames, the server that sends.

APNs: "Sending notification requests to APNs".
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.types import Options
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from gms_twisted.domain.sources import WallClock
from gms_twisted.simulators.http2_server import Exchange, Http2Server

MAX_PAYLOAD_BYTES = 4096
MAX_VOIP_BYTES = 5120
TOKEN_LIFE_S = 3600.0
REMEMBERED = 1000

_PATH = re.compile(r"/3/device/([0-9a-f]+)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)
_TYPES = frozenset(
    (
        *("alert", "background", "voip", "complication", "fileprovider", "mdm"),
        *("location", "liveactivity", "pushtotalk"),
    )
)
_ONCE = ("authorization", "apns-id", "apns-topic", "apns-priority", "apns-expiration")

Say = Callable[[str, Mapping[str, object]], object]
"""Told what happened, and what belongs to it."""


@dataclass(frozen=True)
class Act:
    """What to do with one request instead of delivering it.

    :ivar status: 200 delivers after all.
    :ivar timestamp_ms: when the device went, for 410.
    :ivar delay_s: before the answer.
    :ivar reset: end the stream with this RST_STREAM code.
    :ivar goaway: say before the answer that this is the last stream.
    :ivar drop: lose the connection.
    :ivar silent: never answer.
    :ivar most_streams: allow so many from now on.
    """

    status: int = 200
    reason: str = ""
    timestamp_ms: int | None = None
    retry_after: str = ""
    delay_s: float = 0.0
    reset: int | None = None
    goaway: int | None = None
    goaway_code: int = 0
    drop: bool = False
    silent: bool = False
    most_streams: int | None = None


@dataclass(frozen=True)
class Shown:
    """A notification that a device would get."""

    token: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    payload: bytes = field(repr=False)


class Apns2Simulator(Factory):
    """Makes the gateway's end of connections; wants TLS with ``h2`` under it.

    :param say: told what a device gets, and what is refused.
    :param key: what tokens must be signed with; ``None``: any key is believed.
    :param team: whose tokens they must be, ``""`` for anybody's.
    :param tokens: demanded; without, the certificate in TLS is what counts.
    :ivar script: what to do with the next good requests.
    :ivar by_device: what to do with those of a device.
    :param first_streams: allowed until a request has succeeded, then ``streams``.
    """

    noisy = False

    def __init__(
        self,
        timers: IReactorTime,
        wall: WallClock,
        say: Say = lambda what, members: None,
        *,
        key: EllipticCurvePublicKey | None = None,
        team: str = "",
        tokens: bool = True,
        first_streams: int = 1,
        streams: int = 100,
    ) -> None:
        self._timers = timers
        self._wall = wall
        self._say = say
        self._key = key
        self._team = team
        self._tokens = tokens
        self._first_streams = first_streams
        self._streams = streams
        self.script: deque[Act] = deque()
        self.by_device: dict[str, Act] = {}
        self.shown: deque[Shown] = deque(maxlen=REMEMBERED)
        self.delivered = 0
        self.refused = 0
        self.connections: list[Http2Server] = []
        self._good_tokens: dict[str, float] = {}

    def buildProtocol(self, addr: object) -> Http2Server:
        """One more connection."""
        server = Http2Server(self._timers, self._asked, self._first_streams)
        self.connections = [one for one in self.connections if one.alive] + [server]
        return server

    def _asked(self, exchange: Exchange) -> None:
        """Judge a request, or do what the script says."""
        status, reason = self._judge(exchange)
        act = Act(status, reason)
        device = exchange.header(":path").removeprefix("/3/device/")
        if status == 200 and device in self.by_device:
            act = self.by_device[device]
        elif status == 200 and self.script:
            act = self.script.popleft()
        if act.most_streams is not None:
            exchange.server.allow_streams(act.most_streams)
        if act.goaway is not None:
            exchange.server.goaway(act.goaway, act.goaway_code, b'{"reason":"Shutdown"}')
        if act.drop:
            exchange.server.drop()
        elif act.reset is not None:
            exchange.server.reset(exchange, act.reset)
        elif act.delay_s:
            self._timers.callLater(act.delay_s, self._answer, exchange, act)
        elif not act.silent:
            self._answer(exchange, act)

    def _answer(self, exchange: Exchange, act: Act) -> None:
        if not exchange.waits:
            return
        headers = []
        if exchange.header("apns-id"):
            headers.append(("apns-id", exchange.header("apns-id")))
        if act.retry_after:
            headers.append(("retry-after", act.retry_after))
        if act.status == 200:
            self._deliver(exchange)
            exchange.server.answer(exchange, 200, headers)
            return
        self.refused += 1
        self._say("refused", {"status": act.status, "reason": act.reason})
        body: dict[str, object] = {"reason": act.reason}
        if act.timestamp_ms is not None:
            body["timestamp"] = act.timestamp_ms
        exchange.server.answer(exchange, act.status, headers, json.dumps(body).encode())

    def _deliver(self, exchange: Exchange) -> None:
        token = exchange.header(":path").removeprefix("/3/device/")
        self.delivered += 1
        self.shown.append(Shown(token, dict(exchange.headers), exchange.body))
        payload = exchange.body.decode("utf-8", "replace")
        kind = exchange.header("apns-push-type") or "alert"
        self._say("ios", {"device": f"{token[:8]}...", "type": kind, "payload": payload})
        if not exchange.server.trusted:
            exchange.server.trusted = True
            if self._first_streams != self._streams:
                exchange.server.allow_streams(self._streams)

    # -- what a request must look like -------------------------------------------------------

    def _judge(self, exchange: Exchange) -> tuple[int, str]:
        """Status and reason, ``(200, "")`` for a good one."""
        if exchange.header(":method") != "POST":
            return 405, "MethodNotAllowed"
        path = _PATH.fullmatch(exchange.header(":path"))
        if path is None:
            return 404, "BadPath"
        for check in (self._judge_token, _judge_headers, _judge_payload):
            reason = check(exchange)
            if reason:
                return STATUSES.get(reason, 400), reason
        if len(path[1]) < 64 or len(path[1]) % 2:
            return 400, "BadDeviceToken"
        return 200, ""

    def _judge_token(self, exchange: Exchange) -> str:
        if not self._tokens:
            return ""
        word, _, token = exchange.header("authorization").partition(" ")
        if word.lower() != "bearer" or not token:
            return "MissingProviderToken"
        issued = self._good_tokens.get(token)
        if issued is None:
            issued = self._verified(token)
            if issued is None:
                return "InvalidProviderToken"
            if len(self._good_tokens) >= REMEMBERED:
                self._good_tokens.clear()
            self._good_tokens[token] = issued
        if self._wall.now() - issued > TOKEN_LIFE_S:
            return "ExpiredProviderToken"
        return ""

    def _verified(self, token: str) -> float | None:
        """When a token was issued, ``None`` when it is no good one."""
        options: Options = {"verify_iat": False, "verify_signature": self._key is not None}
        try:
            head = jwt.get_unverified_header(token)
            claims = jwt.decode(token, self._key or "", algorithms=["ES256"], options=options)
        except jwt.InvalidTokenError:
            return None
        issued = claims.get("iat")
        good = (
            head.get("alg") == "ES256"
            and isinstance(head.get("kid"), str)
            and len(head["kid"]) == 10
            and isinstance(claims.get("iss"), str)
            and self._team in ("", claims["iss"])
            and isinstance(issued, int)
        )
        return float(issued) if good and issued is not None else None


def _judge_headers(exchange: Exchange) -> str:
    if any(exchange.names(name) > 1 for name in _ONCE):
        return "DuplicateHeaders"
    if not exchange.header("apns-topic"):
        return "MissingTopic"
    # Clients of before it existed send none.
    kind = exchange.header("apns-push-type") or "alert"
    if kind not in _TYPES:
        return "InvalidPushType"
    priority = exchange.header("apns-priority") or "10"
    if priority not in ("10", "5", "1") or (kind == "background" and priority == "10"):
        return "BadPriority"
    expiration = exchange.header("apns-expiration") or "0"
    if not (expiration.isascii() and expiration.isdigit()):
        return "BadExpirationDate"
    if exchange.header("apns-id") and not _UUID.fullmatch(exchange.header("apns-id")):
        return "BadMessageId"
    if len(exchange.header("apns-collapse-id").encode()) > 64:
        return "BadCollapseId"
    return ""


def _judge_payload(exchange: Exchange) -> str:
    if not exchange.body:
        return "PayloadEmpty"
    voip = exchange.header("apns-push-type") == "voip"
    if len(exchange.body) > (MAX_VOIP_BYTES if voip else MAX_PAYLOAD_BYTES):
        return "PayloadTooLarge"
    try:
        payload = json.loads(exchange.body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or not isinstance(payload.get("aps"), dict):
        return "PayloadEmpty"
    return ""


STATUSES = {
    "Unregistered": 410,
    "TooManyRequests": 429,
    "TooManyProviderTokenUpdates": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
    "BadCertificate": 403,
    "Forbidden": 403,
    "PayloadTooLarge": 413,
    "MissingProviderToken": 403,
    "InvalidProviderToken": 403,
    "ExpiredProviderToken": 403,
}
"""Of reasons; all others have 400."""
