"""The signed token that names us to browsers' push services.

    Authorization: vapid t=JWT, k=PUBLIC KEY

A token is for one origin, good for 12 hours, and used until an hour before its end.

Knows: keys, origins, the token's age.  Does not know: requests.

RFC: 8292.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import OrderedDict

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.threads import RunInThread

LIFE_S = 12 * 3600.0
RENEW_BEFORE_S = 3600.0
MAX_ORIGINS = 1000


def base64url(data: bytes) -> str:
    """Write base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def public_key_text(key: EllipticCurvePrivateKey) -> str:
    """The public key as browsers take it, ``applicationServerKey``."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64url(point)


class VapidTokens:
    """Tokens by one key, one for each origin.

    :param subject: whom to ask about us, ``mailto:`` or ``https:``.
    :param in_thread: signs off the reactor's thread.
    :raises CredentialsBroken: the subject is neither.
    """

    def __init__(
        self,
        key: EllipticCurvePrivateKey,
        subject: str,
        wall: WallClock,
        in_thread: RunInThread,
    ) -> None:
        if not subject.startswith(("mailto:", "https://")) or not subject.isprintable():
            raise CredentialsBroken("webpush.subject must begin with mailto: or https://.")
        self._key = key
        self._subject = subject
        self._wall = wall
        self._in_thread = in_thread
        self._tail = f", k={public_key_text(key)}"
        self._made: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._signing: dict[str, list[Deferred[None]]] = {}

    def __repr__(self) -> str:
        return f"<VapidTokens for {len(self._made)} origins>"

    async def header(self, origin: str) -> str:
        """The value of ``Authorization`` for an origin.

        Signed once for all who ask meanwhile.
        """
        while True:
            text, ends = self._made.get(origin, ("", 0.0))
            now = self._wall.now()
            # A clock that was set back must not make a token that lives too long.
            if now < ends - RENEW_BEFORE_S and ends <= now + LIFE_S:
                return text
            waiting = self._signing.get(origin)
            if waiting is None:
                return await self._renew(origin, now + LIFE_S)
            turn: Deferred[None] = Deferred()
            waiting.append(turn)
            await turn

    def forget(self, origin: str) -> None:
        """A push service does not like its token; the next one is new."""
        self._made.pop(origin, None)

    async def _renew(self, origin: str, ends: float) -> str:
        self._signing[origin] = []
        claims = {"aud": origin, "exp": int(ends), "sub": self._subject}
        try:
            token = await self._in_thread(lambda: jwt.encode(claims, self._key, algorithm="ES256"))
            text = f"vapid t={token}{self._tail}"
            self._made[origin] = (text, ends)
            self._made.move_to_end(origin)
            while len(self._made) > MAX_ORIGINS:
                self._made.popitem(last=False)
            return text
        finally:
            for turn in self._signing.pop(origin):
                turn.callback(None)
