"""The signed token that names us to Apple when there is no certificate.

Apple counts how often a team's tokens change, and refuses those that change more than
every 20 minutes or are older than an hour.  So there is one token for each key, shared by
all connections and senders, renewed when it is 50 minutes old, and early only when Apple
calls it expired.

Knows: keys, the token's age.  Does not know: requests.

APNs: "Establishing a token-based connection"; RFC: 7515, 7518 (ES256).
"""

from __future__ import annotations

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.threads import RunInThread

RENEW_S = 50 * 60.0
YOUNG_S = 20 * 60.0

_NAME_LENGTH = 10


def read_signing_key(pem: bytes, option: str) -> EllipticCurvePrivateKey:
    """Read a private P-256 key, PEM without a password.

    :param option: where it was named, for the error.
    :raises CredentialsBroken: it is none.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise CredentialsBroken(f"{option} names no file with a private key in PEM.") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise CredentialsBroken(f"{option} names a key that is not of the curve P-256.")
    return key


class ProviderToken:
    """One team's token by one key.

    :param in_thread: signs off the reactor's thread.
    """

    log = Logger()

    def __init__(
        self,
        key: EllipticCurvePrivateKey,
        key_id: str,
        team_id: str,
        wall: WallClock,
        in_thread: RunInThread,
    ) -> None:
        for option, value in (("apple.key_id", key_id), ("apple.team_id", team_id)):
            if len(value) != _NAME_LENGTH or not value.isalnum() or not value.isascii():
                raise CredentialsBroken(f"{option} must be {_NAME_LENGTH} letters and digits.")
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._wall = wall
        self._in_thread = in_thread
        self._token = ""
        self._issued = 0.0
        self._signing: list[Deferred[None]] | None = None
        self.renewals = 0

    def __repr__(self) -> str:
        return f"<ProviderToken of team {self._team_id}>"

    def age_s(self) -> float:
        """Seconds since it was signed; of a clock set back, 0."""
        return max(0.0, self._wall.now() - self._issued)

    @property
    def fresh(self) -> str:
        """The token, or ``""`` when :meth:`current` has to sign first."""
        return self._token if self._token and self.age_s() < RENEW_S else ""

    async def current(self) -> str:
        """The token; signed anew when it is old, once for all who ask meanwhile."""
        if not self.fresh:
            await self._renew()
        return self._token

    async def refused(self, token: str) -> bool:
        """Apple calls a token expired: make another, when that is allowed.

        :returns: whether :meth:`current` is another one; if not, the clock is wrong.
        """
        if self._token != token:
            return True
        if self.age_s() <= YOUNG_S:
            return False
        await self._renew()
        return True

    async def _renew(self) -> None:
        if self._signing is not None:
            turn: Deferred[None] = Deferred()
            self._signing.append(turn)
            await turn
            return
        self._signing = []
        issued = self._wall.now()
        try:
            self._token = await self._in_thread(lambda: self._signed(int(issued)))
            self._issued = issued
            self.renewals += 1
            self.log.info("New token for team {team}", team=self._team_id)
        finally:
            waiting, self._signing = self._signing, None
            for turn in waiting:
                turn.callback(None)

    def _signed(self, issued: int) -> str:
        return jwt.encode(
            {"iss": self._team_id, "iat": issued},
            self._key,
            algorithm="ES256",
            headers={"kid": self._key_id, "typ": None},
        )


class ProviderTokens:
    """All tokens, one for each team and key, whoever uses them."""

    def __init__(self, wall: WallClock, in_thread: RunInThread) -> None:
        self._wall = wall
        self._in_thread = in_thread
        self._tokens: dict[tuple[str, str, int, int], ProviderToken] = {}

    def find(self, pem: bytes, key_id: str, team_id: str) -> ProviderToken:
        """The token of a key, made at the first call.

        :param pem: the key file's content.
        :raises CredentialsBroken: key or names cannot be used.
        """
        key = read_signing_key(pem, "apple.auth_key")
        point = key.public_key().public_numbers()
        name = (team_id, key_id, point.x, point.y)
        token = self._tokens.get(name)
        if token is None:
            token = ProviderToken(key, key_id, team_id, self._wall, self._in_thread)
            self._tokens[name] = token
        return token
