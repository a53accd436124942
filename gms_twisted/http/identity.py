"""Who sends a request: the end user, the client's address, whether it is one of us.

Three modes (option ``server/identity_mode``):

========================  ====================================================
``open``                  the header ``gms_user`` is believed.  For development:
                          the default while every listener is on loopback
``trusted-proxy``         the header is believed when it comes from a proxy on
                          ``server/trusted_proxies``; from anybody else it is refused
``token``                 ``Authorization: Bearer JWT`` says who it is; a header
                          beside it must say the same
========================  ====================================================

In every mode a *visitor token*, which :meth:`Identity.issue_visitor_token` makes
for our own customer page, stands for the user that it was made for.

Knows: headers, tokens, trusted networks.  Does not know: what a user may do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from gms_twisted.config.options import ServerOptions
from gms_twisted.domain.errors import (
    Forbidden,
    GmsError,
    InvalidRequest,
    Unauthorized,
    Unavailable,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import WallClock
from gms_twisted.http.addresses import Networks, parse_address
from gms_twisted.http.interfaces import CallerInfo, Head, Peer, Refusal

MAX_USER_BYTES = 128
MAX_TOKEN_BYTES = 4096
MAX_TOKEN_LIFE_S = 86_400.0
CLOCK_SKEW_S = 60.0
"""How far an issuer's clock may be ahead of ours."""

_VISITOR = "gms-visitor"
_MEMO_SIZE = 4096
_MEMO_KEY_BYTES = 1024
_BEARER = 'Bearer realm="gms"'


class InvalidUser(InvalidRequest):
    """The header ``gms_user`` is not a user's name."""

    code = "gms.identity.invalid_user"


class UntrustedUser(Forbidden):
    """The header ``gms_user`` came from somebody who may not send it."""

    code = "gms.identity.untrusted"


class InvalidToken(Unauthorized):
    """A token is malformed, forged, over, or from the future."""

    code = "gms.identity.invalid_token"


@dataclass(frozen=True, slots=True)
class _Token:
    """A verified token.

    :ivar until: Unix seconds.
    """

    user: GmsUser
    until: float


class Identity:
    """Tells who sends a request.

    :param loopback_only: every listener is on a loopback address.
    :param visitor_key: at least 32 random bytes, kept from start to start; may come
        later, with :meth:`use_visitor_key`, since the store opens after we are made.
    :param identity_key: the PEM text of the file that ``server/identity_key`` names.
    :raises ValueError: an option is unusable; one sentence for the operator.
    """

    def __init__(
        self,
        options: ServerOptions,
        wall: WallClock,
        *,
        loopback_only: bool,
        visitor_key: bytes = b"",
        identity_key: bytes = b"",
    ) -> None:
        self._wall = wall
        self._loopback_only = loopback_only
        self._visitor_key = visitor_key
        self._jws = PyJWS()
        self._callers: dict[tuple[object, ...], CallerInfo | Refusal] = {}
        self._tokens: dict[str, _Token] = {}
        self.reconfigure(options, identity_key)

    def reconfigure(self, options: ServerOptions, identity_key: bytes = b"") -> None:
        """Follow other options from now on.

        :raises ValueError: one is unusable; nothing changes.
        """
        mode = options.identity_mode or ("open" if self._loopback_only else "trusted-proxy")
        keys = _token_keys(options.identity_secret, identity_key)
        if mode == "token" and not keys:
            raise ValueError(
                "server/identity_mode is token, so server/identity_secret or "
                "server/identity_key must be set"
            )
        proxies, internal = Networks(options.trusted_proxies), Networks(options.internal_allow)
        self.mode = mode
        self._keys = keys
        self._proxies = proxies
        self._internal = internal
        self._hops = options.trusted_hops
        self._callers.clear()
        self._tokens.clear()

    def use_visitor_key(self, key: bytes) -> None:
        """Sign and verify visitor tokens with this key from now on."""
        self._visitor_key = key
        self._tokens.clear()

    def identify(self, head: Head, peer: Peer) -> CallerInfo | Refusal:
        """Say who sends a request, or why it is refused (400, 401, 403).

        The same headers from the same address have the same answer, so answers
        are remembered; those that depend on a token's age are not.
        """
        headers = head.headers
        if b"authorization" in headers:
            return self._judge(headers, peer)
        key = (
            peer.host,
            peer.secure,
            headers.get(b"gms_user"),
            headers.get(b"gms-user"),
            headers.get(b"x-forwarded-for"),
            headers.get(b"x-forwarded-proto"),
            headers.get(b"forwarded"),
        )
        known = self._callers.get(key)
        if known is None:
            known = self._judge(headers, peer)
            lines = [line for values in key[2:] for line in values or ()]
            if sum(map(len, lines)) <= _MEMO_KEY_BYTES:
                if len(self._callers) >= _MEMO_SIZE:
                    self._callers.clear()
                self._callers[key] = known
        return known

    def token_user(self, token: str) -> GmsUser:
        """Tell whom a token stands for: ``ext.token`` of a handshake.

        A token of the configured issuer counts in mode ``token`` only, a visitor
        token always.

        :raises InvalidToken: it stands for nobody.
        """
        return self._verify(token).user

    def issue_visitor_token(self, user: GmsUser, lifetime_s: float) -> str:
        """Make a token of ours for a user that we made up, valid in every mode.

        :param lifetime_s: at most a day.
        :raises Unavailable: there is no key yet.
        """
        if not self._visitor_key:
            raise Unavailable("The server is still starting.")
        claims = {"sub": user, "exp": int(self._wall.now() + min(lifetime_s, MAX_TOKEN_LIFE_S))}
        return self._jws.encode(
            json.dumps(claims).encode(),
            self._visitor_key,
            algorithm="HS256",
            headers={"kid": _VISITOR},
        )

    def renew(self, token: str, lifetime_s: float) -> str:
        """Make a new visitor token from one that is still valid.

        :raises InvalidToken: it is not, or is not one of ours.
        """
        if not self._is_visitors(token):
            raise InvalidToken("Only the tokens of visitors can be renewed.")
        return self.issue_visitor_token(self._verify(token).user, lifetime_s)

    def missing_user(self) -> GmsError:
        """Make the error for a request that needs a user and names none (B03)."""
        if self.mode == "token":
            return Unauthorized(
                "This request needs a user: send the header Authorization with Bearer and a token."
            )
        return InvalidRequest(
            "This request needs the header gms_user and none has arrived. Some proxies drop "
            "header names with an underscore: with nginx, set underscores_in_headers on.",
            "gms_user",
        )

    def _judge(self, headers: Mapping[bytes, Sequence[bytes]], peer: Peer) -> CallerInfo | Refusal:
        try:
            user = self._user(headers, peer)
        except InvalidRequest as error:
            return Refusal(400, str(error), error.code)
        except Unauthorized as error:
            challenge = f'{_BEARER}, error="invalid_token"'
            return Refusal(401, str(error), error.code, (("WWW-Authenticate", challenge),))
        except Forbidden as error:
            return Refusal(403, str(error), error.code)
        address, certain, secure = self._origin(headers, peer)
        return CallerInfo(address, user, certain and address in self._internal, secure)

    def _user(self, headers: Mapping[bytes, Sequence[bytes]], peer: Peer) -> GmsUser | None:
        """The user that a request proves, ``None`` when it names nobody."""
        claimed = _claimed_user(headers)
        token = self._bearer(headers)
        if token is not None:
            user = self._verify(token).user
            if claimed is not None and claimed != user:
                raise UntrustedUser("The header gms_user does not name the user of the token.")
            return user
        if claimed is None or self.mode == "open":
            return claimed
        if self.mode == "token":
            raise Unauthorized(
                "The header gms_user needs a token beside it: Authorization with Bearer "
                "and a token."
            )
        if peer.host in self._proxies:
            return claimed
        raise UntrustedUser(
            "The header gms_user is accepted from the proxies in server/trusted_proxies only; "
            "see also server/identity_mode."
        )

    def _bearer(self, headers: Mapping[bytes, Sequence[bytes]]) -> str | None:
        """The token of a request, if it has one that is meant for us.

        Outside mode ``token`` only visitor tokens are: a gateway in front may use
        the header for itself.
        """
        for line in headers.get(b"authorization", ()):
            scheme, _, token = line.partition(b" ")
            if scheme.lower() != b"bearer":
                continue
            text = token.strip().decode("latin-1")
            if self.mode == "token" or text in self._tokens or self._is_visitors(text):
                return text
        return None

    def _is_visitors(self, token: str) -> bool:
        return self._token_header(token).get("kid") == _VISITOR

    def _token_header(self, token: str) -> Mapping[str, object]:
        """What a token says about itself, unverified; empty when it is none."""
        if len(token) > MAX_TOKEN_BYTES:
            return {}
        try:
            return self._jws.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            return {}

    def _verify(self, token: str) -> _Token:
        now = self._wall.now()
        known = self._tokens.get(token)
        if known is None:
            known = self._decode(token, now)
            if len(self._tokens) >= _MEMO_SIZE:
                self._tokens.clear()
            self._tokens[token] = known
        # Also for a known one: the clock may have been set back.
        if not now < known.until <= now + MAX_TOKEN_LIFE_S + CLOCK_SKEW_S:
            raise InvalidToken("The token is over, or its exp is more than a day ahead.")
        return known

    def _decode(self, token: str, now: float) -> _Token:
        """Check a token's signature and claims.

        The library would read the process's clock for ``exp`` and ``nbf``, so it
        checks the signature only.
        """
        try:
            if self._is_visitors(token):
                if not self._visitor_key:
                    raise InvalidToken("The token cannot be verified yet.")
                payload = self._jws.decode(token, self._visitor_key, algorithms=["HS256"])
            else:
                payload = self._decode_configured(token)
            claims = json.loads(payload)
        except (PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken("The token cannot be verified.") from error
        if not isinstance(claims, dict):
            raise InvalidToken("The token cannot be verified.")
        until, since = _number(claims.get("exp")), _number(claims.get("nbf", 0))
        if until is None or since is None:
            raise InvalidToken("The token has no exp, or one that is not a number.")
        if since > now + CLOCK_SKEW_S:
            raise InvalidToken("The token is not valid yet.")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _is_user(subject):
            raise InvalidToken("The token's sub is not a user's name.")
        return _Token(GmsUser(subject), until)

    def _decode_configured(self, token: str) -> bytes:
        if self.mode != "token":
            raise InvalidToken("Tokens of an issuer count in server/identity_mode token only.")
        algorithm = str(self._token_header(token).get("alg"))
        key = self._keys.get(algorithm)
        if key is None:
            raise InvalidToken("The token is signed in a way that is not configured.")
        payload: bytes = self._jws.decode(token, key, algorithms=[algorithm])
        return payload

    def _origin(
        self, headers: Mapping[bytes, Sequence[bytes]], peer: Peer
    ) -> tuple[str, bool, bool]:
        """The client's address, whether it is sure, and whether its connection is TLS.

        Choice: ``X-Forwarded-For`` beats ``Forwarded``.  Proxies add to the one they
        know and pass the other on as the client wrote it, and nearly all know the first.
        """
        if peer.host not in self._proxies:
            return peer.host, True, peer.secure
        addresses = _listed(headers.get(b"x-forwarded-for", ()))
        protocols = _listed(headers.get(b"x-forwarded-proto", ()))
        if not addresses:
            hops = [_forwarded(one) for one in _listed(headers.get(b"forwarded", ()))]
            addresses = [hop.get("for", "") for hop in hops]
            protocols = protocols or [hop.get("proto", "") for hop in hops]
        secure = peer.secure
        if protocols:
            secure = self._hop(protocols).lower() == "https"
        if not addresses:
            return peer.host, True, secure
        address = parse_address(_without_port(self._hop(addresses)))
        if address is None:
            return peer.host, False, secure
        return str(address), True, secure

    def _hop(self, values: Sequence[str]) -> str:
        """What the outermost of our own proxies wrote: each adds one on the right."""
        return values[-min(self._hops, len(values))]


def _token_keys(
    secret: str, public_key: bytes
) -> dict[str, bytes | RSAPublicKey | EllipticCurvePublicKey]:
    """The key for each algorithm that is accepted; one key never serves two kinds."""
    keys: dict[str, bytes | RSAPublicKey | EllipticCurvePublicKey] = {}
    if secret:
        keys["HS256"] = secret.encode()
    if public_key:
        try:
            key = load_pem_public_key(public_key)
        except ValueError as error:
            raise ValueError("server/identity_key is not a public key in PEM form") from error
        if isinstance(key, RSAPublicKey):
            keys["RS256"] = key
        elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            keys["ES256"] = key
        else:
            raise ValueError("server/identity_key must be an RSA or a P-256 key")
    return keys


def _claimed_user(headers: Mapping[bytes, Sequence[bytes]]) -> GmsUser | None:
    """The user that the header names (B02), believed or not."""
    if b"gms-user" in headers:
        raise InvalidUser("The header is called gms_user, with an underscore.", "gms_user")
    lines = headers.get(b"gms_user")
    if lines is None:
        return None
    if len(lines) != 1:
        raise InvalidUser("The header gms_user must occur once.", "gms_user")
    try:
        user = lines[0].decode("utf-8")
    except UnicodeDecodeError:
        user = ""
    if not _is_user(user):
        raise InvalidUser(
            f"The header gms_user must be 1 to {MAX_USER_BYTES} bytes of printable text "
            "without a comma.",
            "gms_user",
        )
    return GmsUser(user)


def _is_user(text: str) -> bool:
    return (
        0 < len(text.encode("utf-8", "replace")) <= MAX_USER_BYTES
        and text.isprintable()
        and text == text.strip()
        and "," not in text
    )


def _number(value: object) -> float | None:
    """A JSON number that a clock could show."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
        return float(value)
    return None


def _listed(lines: Sequence[bytes]) -> list[str]:
    """The elements of a comma list that may go over several lines."""
    return [part.strip() for part in b",".join(lines).decode("latin-1").split(",") if part.strip()]


def _forwarded(element: str) -> dict[str, str]:
    """The parameters of one ``Forwarded`` element.  RFC: 7239, section 4."""
    pairs = (part.partition("=") for part in element.split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _without_port(text: str) -> str:
    """``192.0.2.1:80`` and ``[2001:db8::1]:80`` without their ports."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, _ = text.partition(":")
    return host if colon and ":" not in text[len(host) + 1 :] else text
