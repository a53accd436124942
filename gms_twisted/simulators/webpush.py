"""A browser and its push service, simulated: hands out subscriptions, reads what comes.

    POST /subscribe      -> {"endpoint": ..., "keys": {"p256dh": ..., "auth": ...}}
    POST /push/NUMBER    <- a message, as a push service gets it

Knows: what a request must look like, and how to unlock a message.  Does not know: the
server that sends.

RFC: 8030, 8188, 8291, 8292.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import http_ece  # type: ignore[import-untyped]  # ships no types
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.web.http import Request
from twisted.web.resource import Resource

from gms_twisted.domain.sources import IdSource, WallClock

MAX_BODY_BYTES = 4096
MAX_AHEAD_S = 86_400.0
REMEMBERED = 1000

_VAPID = re.compile(r"vapid\s+t=([A-Za-z0-9_.-]+)\s*,\s*k=([A-Za-z0-9_-]+)", re.I)
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")

Say = Callable[[str, Mapping[str, object]], object]
"""Told what happened, and what belongs to it."""


@dataclass(frozen=True)
class Act:
    """What to answer to one good message instead of 201."""

    status: int
    retry_after: str = ""
    body: str = ""


@dataclass(frozen=True)
class Got:
    """A message that a browser would show."""

    number: int
    text: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass
class Browser:
    """A subscription, and the keys that only the browser has."""

    number: int
    key: EllipticCurvePrivateKey = field(repr=False)
    auth: bytes = field(repr=False)
    vapid: str = ""


class WebPushSimulator:
    """The service's rules, without a socket.

    :param say: told what a browser shows, and what is refused.
    :param origin: where it listens, ``https://host:port``; part of endpoints.
    :param key: the only public key that may sign, base64url; ``""``: any.
    """

    def __init__(
        self,
        wall: WallClock,
        ids: IdSource,
        say: Say = lambda what, members: None,
        origin: str = "",
        key: str = "",
    ) -> None:
        self._wall = wall
        self._ids = ids
        self._say = say
        self.origin = origin
        self._key = key
        self.script: deque[Act] = deque()
        self.by_browser: dict[int, Act] = {}
        self.got: deque[Got] = deque(maxlen=REMEMBERED)
        self.complaints: deque[str] = deque(maxlen=REMEMBERED)
        self._browsers: dict[int, Browser] = {}

    def subscribe(self) -> dict[str, object]:
        """Make a browser's subscription; the oldest goes when there are too many."""
        number = max(self._browsers, default=0) + 1
        key = generate_private_key(SECP256R1())
        browser = Browser(number, key, bytes.fromhex(self._ids.hex(32)))
        self._browsers[number] = browser
        if len(self._browsers) > REMEMBERED:
            del self._browsers[min(self._browsers)]
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {
            "endpoint": f"{self.origin}/push/{number}",
            "expirationTime": None,
            "keys": {"p256dh": _base64url(point), "auth": _base64url(browser.auth)},
        }

    def receive(self, number: int, headers: dict[str, str], body: bytes) -> Act:
        """Judge one message; ``headers`` by lower-case name."""
        browser = self._browsers.get(number)
        if browser is None:
            return self._complain(410, "no such subscription")
        fault = self._judge_vapid(headers.get("authorization", ""))
        if fault:
            return self._complain(403, fault)
        ttl = headers.get("ttl", "")
        if not (ttl.isascii() and ttl.isdigit()):
            return self._complain(400, "TTL is missing or no number")
        if headers.get("urgency", "normal") not in ("very-low", "low", "normal", "high"):
            return self._complain(400, "Urgency is none of the four words")
        if "topic" in headers and not _TOPIC.fullmatch(headers["topic"]):
            return self._complain(400, "Topic is not 1 to 32 characters of base64url")
        if len(body) > MAX_BODY_BYTES:
            return self._complain(413, "the body is too large")
        try:
            text = self._unlock(browser, headers, body)
        except (http_ece.ECEException, ValueError, UnicodeDecodeError) as error:
            return self._complain(400, f"the body cannot be unlocked: {error}")
        act = self.by_browser.get(number)
        if act is None and self.script:
            act = self.script.popleft()
        if act is not None and act.status >= 300:
            return act
        self.got.append(Got(number, text, headers))
        self._say("webpush", {"browser": number, "text": text})
        return Act(201)

    def _judge_vapid(self, value: str) -> str:
        """What is wrong with who the sender says it is."""
        found = _VAPID.fullmatch(value.strip())
        if found is None:
            return "Authorization is not vapid t=..., k=..."
        if self._key and found[2] != self._key:
            return "the key does not correspond to the one subscribed with"
        try:
            point = urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
            key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
            claims = jwt.decode(
                found[1],
                key,
                algorithms=["ES256"],
                options={"verify_aud": False, "verify_exp": False},
            )
        except (jwt.InvalidTokenError, NotBase64, ValueError) as error:
            return f"the token cannot be believed: {error}"
        now = self._wall.now()
        ends, subject = claims.get("exp"), claims.get("sub", "")
        if claims.get("aud") != self.origin:
            return "aud is not this service's origin"
        if not isinstance(ends, int | float) or not now < ends <= now + MAX_AHEAD_S:
            return "exp is past, or more than a day ahead"
        if not isinstance(subject, str) or not subject.startswith(("mailto:", "https:")):
            return "sub is neither mailto: nor https:"
        return ""

    def _unlock(self, browser: Browser, headers: dict[str, str], body: bytes) -> str:
        if not body:
            return ""
        if headers.get("content-encoding", "") != "aes128gcm":
            raise ValueError("Content-Encoding is not aes128gcm")
        if len(body) < 21 + 65 + 17 or body[20] != 65:
            raise ValueError("it is too short, or names no key")
        text: bytes = http_ece.decrypt(
            body, private_key=browser.key, auth_secret=browser.auth, version="aes128gcm"
        )
        return text.decode("utf-8")

    def _complain(self, status: int, sentence: str) -> Act:
        self.complaints.append(sentence)
        self._say("refused", {"status": status, "reason": sentence})
        return Act(status, body=sentence)


class WebPushResource(Resource):
    """The simulator's URLs, for twisted.web's ``Site``."""

    isLeaf = True

    def __init__(self, simulator: WebPushSimulator) -> None:
        super().__init__()
        self._simulator = simulator

    def render_POST(self, request: Request) -> bytes:
        """Subscribe a browser, or take a message for one."""
        path = urlsplit(request.uri.decode("ascii", "replace")).path
        if path == "/subscribe":
            request.setHeader(b"content-type", b"application/json")
            return json.dumps(self._simulator.subscribe()).encode()
        number = path.removeprefix("/push/")
        if not (number.isascii() and number.isdigit()):
            request.setResponseCode(404)
            return b""
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        act = self._simulator.receive(
            int(number[:9]), headers, request.content.read() if request.content else b""
        )
        request.setResponseCode(act.status)
        if act.retry_after:
            request.setHeader(b"retry-after", act.retry_after.encode())
        if act.status == 201:
            request.setHeader(b"location", f"{self._simulator.origin}/message/1".encode())
        return act.body.encode()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
