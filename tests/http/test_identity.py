"""Who sends a request: users, tokens, addresses seen through proxies."""

from __future__ import annotations

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import ServerOptions
from gms_twisted.domain.errors import InvalidRequest, Unauthorized, Unavailable
from gms_twisted.domain.ids import GmsUser
from gms_twisted.http.identity import Identity, InvalidToken
from gms_twisted.http.interfaces import CallerInfo, Peer, Refusal
from tests.support.heads import LOOPBACK, OUTSIDE, make_head
from tests.support.sources import ManualWallClock

SECRET = "a secret of at least thirty-two bytes"
PROXY = Peer("192.0.2.80", 1)
VISITOR_KEY = b"v" * 32

Headers = tuple[tuple[str, str | bytes], ...]


class IdentityFixture(SynchronousTestCase):
    """Identities of all modes."""

    def setUp(self) -> None:
        """A clock."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)

    def make(self, mode: str = "", *, loopback_only: bool = True, **options: object) -> Identity:
        """An identity of a mode."""
        return Identity(
            ServerOptions(identity_mode=mode, **options),  # type: ignore[arg-type]  # options by name
            self.wall,
            loopback_only=loopback_only,
            visitor_key=VISITOR_KEY,
        )

    def token_mode(self) -> Identity:
        """An identity of mode ``token``."""
        return self.make("token", identity_secret=SECRET)

    def token(self, key: object = SECRET, algorithm: str = "HS256", **claims: object) -> str:
        """A token for ``sam``, good for an hour."""
        made = {"sub": "sam", "exp": self.wall.now() + 3600} | claims
        return jwt.PyJWS().encode(
            json.dumps({k: v for k, v in made.items() if v is not None}).encode(),
            key,  # type: ignore[arg-type]  # keys of several kinds
            algorithm=algorithm,
        )

    def verdict(
        self, identity: Identity, *headers: tuple[str, str | bytes], peer: Peer = LOOPBACK
    ) -> CallerInfo | Refusal:
        """What becomes of a request; the same when asked again."""
        head = make_head("GET", "/genesys/1/node", *headers)
        first = identity.identify(head, peer)
        self.assertEqual(identity.identify(head, peer), first)
        return first

    def user(
        self, identity: Identity, *headers: tuple[str, str | bytes], peer: Peer = LOOPBACK
    ) -> str | None:
        """The user of a request that is not refused."""
        verdict = self.verdict(identity, *headers, peer=peer)
        assert isinstance(verdict, CallerInfo), verdict
        return verdict.user

    def refused(
        self, identity: Identity, *headers: tuple[str, str | bytes], peer: Peer = LOOPBACK
    ) -> Refusal:
        """The refusal of a request."""
        verdict = self.verdict(identity, *headers, peer=peer)
        assert isinstance(verdict, Refusal), verdict
        return verdict


class ModeTests(IdentityFixture):
    """Which mode there is without an option."""

    def test_default(self) -> None:
        """``open`` while every listener is on loopback, else ``trusted-proxy``."""
        self.assertEqual(self.make().mode, "open")
        self.assertEqual(self.make(loopback_only=False).mode, "trusted-proxy")
        self.assertEqual(self.make("open", loopback_only=False).mode, "open")

    def test_token_mode_needs_a_key(self) -> None:
        """Without a key nobody could ever get in: a fault of the configuration."""
        with self.assertRaisesRegex(ValueError, "identity_secret"):
            self.make("token")

    def test_reconfigured(self) -> None:
        """Other options count at once; unusable ones change nothing."""
        identity = self.make("open")
        self.assertEqual(self.user(identity, ("gms_user", "sam"), peer=OUTSIDE), "sam")
        for bad in (
            ServerOptions(identity_mode="token"),
            ServerOptions(identity_mode="trusted-proxy", internal_allow=("x",)),
        ):
            self.assertRaises(ValueError, identity.reconfigure, bad)
            self.assertEqual(identity.mode, "open")
        identity.reconfigure(ServerOptions(identity_mode="trusted-proxy"))
        self.assertEqual(self.refused(identity, ("gms_user", "sam"), peer=OUTSIDE).status, 403)

    def test_bad_key(self) -> None:
        """A key file that holds no fitting public key is a fault too."""
        other = ec.generate_private_key(ec.SECP384R1()).public_key()
        for pem in (b"nonsense", pem_of(other)):
            with self.assertRaisesRegex(ValueError, "identity_key"):
                Identity(
                    ServerOptions(),
                    self.wall,
                    loopback_only=True,
                    visitor_key=VISITOR_KEY,
                    identity_key=pem,
                )


class HeaderTests(IdentityFixture):
    """The header ``gms_user``."""

    def test_B02_malformed(self) -> None:
        """In every mode a header that is no user's name is refused with 400."""
        bad: list[Headers] = [
            (("gms_user", "a"), ("gms_user", "a")),
            (("gms_user", "a,b"),),
            (("gms_user", ""),),
            (("gms_user", "x" * 129),),
            (("gms_user", "\u00e9" * 65),),
            (("gms_user", "a\x01b"),),
            (("gms_user", "a\u0085b"),),
            (("gms_user", "a\u202eb"),),
            (("gms_user", b"\xff\xfe"),),
            (("gms-user", "a"),),
            (("gms-user", "a"), ("gms_user", "a")),
        ]
        for identity in (self.make("open"), self.make("trusted-proxy"), self.token_mode()):
            for headers in bad:
                refusal = self.refused(identity, *headers)
                self.assertEqual(
                    (refusal.status, refusal.code), (400, "gms.identity.invalid_user"), headers
                )

    def test_B02_open(self) -> None:
        """In mode ``open`` anybody is who they say."""
        identity = self.make("open")
        for name in ("sam", "x" * 128, "\u00e9" * 64, "a b", "sam@example.com"):
            self.assertEqual(self.user(identity, ("gms_user", name), peer=OUTSIDE), name)
        self.assertIsNone(self.user(identity))

    def test_B02_trusted_proxy(self) -> None:
        """In mode ``trusted-proxy`` listed proxies are believed, others refused."""
        identity = self.make("trusted-proxy", trusted_proxies=("192.0.2.80",))
        self.assertEqual(self.user(identity, ("gms_user", "sam"), peer=PROXY), "sam")
        self.assertIsNone(self.user(identity, peer=PROXY))
        self.assertIsNone(self.user(identity, peer=OUTSIDE))
        for peer in (OUTSIDE, LOOPBACK):
            refusal = self.refused(identity, ("gms_user", "sam"), peer=peer)
            self.assertEqual((refusal.status, refusal.code), (403, "gms.identity.untrusted"))
            self.assertIn("server/trusted_proxies", refusal.message)
            self.assertIn("server/identity_mode", refusal.message)

    def test_B02_forwarded_address_is_no_proxy(self) -> None:
        """What a client forges cannot make it a proxy."""
        identity = self.make("trusted-proxy", trusted_proxies=("192.0.2.80",))
        refusal = self.refused(
            identity, ("gms_user", "sam"), ("X-Forwarded-For", "192.0.2.80"), peer=OUTSIDE
        )
        self.assertEqual(refusal.status, 403)

    def test_B03_missing(self) -> None:
        """Where a user is needed, the refusal names the proxy's setting."""
        error = self.make("trusted-proxy", trusted_proxies=("192.0.2.80",)).missing_user()
        self.assertIsInstance(error, InvalidRequest)
        self.assertIn("underscores_in_headers", str(error))
        self.assertIsInstance(self.token_mode().missing_user(), Unauthorized)


class TokenTests(IdentityFixture):
    """``Authorization: Bearer``."""

    def test_B02_token(self) -> None:
        """In mode ``token`` the token says who it is; a header must agree."""
        identity = self.token_mode()
        bearer = ("Authorization", f"Bearer {self.token()}")
        self.assertEqual(self.user(identity, bearer, peer=OUTSIDE), "sam")
        self.assertEqual(self.user(identity, bearer, ("gms_user", "sam")), "sam")
        self.assertEqual(self.user(identity, ("Authorization", f"bearer  {self.token()}")), "sam")
        self.assertIsNone(self.user(identity))
        self.assertEqual(self.refused(identity, bearer, ("gms_user", "eve")).status, 403)
        self.assertEqual(self.refused(identity, ("gms_user", "sam")).status, 401)

    def test_B02_bad_tokens(self) -> None:
        """Anything but a fitting token is 401 and says what is asked for."""
        identity, now = self.token_mode(), self.wall.now()
        head, payload, signature = self.token().split(".")
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for token in (
            *("", "x", "a.b.c", "..", f"{head}.{payload}.", f"{head}.{payload}.{signature}x"),
            *(f"{head}.{payload[:-2]}.{signature}", "[" * 4000, "x" * 5000),
            self.token(key="another secret of thirty-two bytes"),
            self.token(key=None, algorithm="none"),
            self.token(key=rsa_key, algorithm="RS256"),
            self.token(key=SECRET * 2, algorithm="HS512"),
            self.token(exp=now),
            self.token(exp=now - 1),
            self.token(exp=now + 2 * 86_400),
            self.token(exp=None),
            self.token(exp="tomorrow"),
            self.token(exp=True),
            self.token(exp=1e300),
            self.token(nbf=now + 600),
            self.token(sub=None),
            self.token(sub=""),
            self.token(sub=7),
            self.token(sub="a,b"),
            self.token(sub="x" * 129),
            self.token(sub="\ud800"),
        ):
            refusal = self.refused(identity, ("Authorization", f"Bearer {token}"))
            self.assertEqual(
                (refusal.status, refusal.code), (401, "gms.identity.invalid_token"), token
            )
            self.assertIn("Bearer", dict(refusal.headers)["WWW-Authenticate"])
            self.assertRaises(InvalidToken, identity.token_user, token)

    def test_B02_a_known_token_ends_too(self) -> None:
        """A token that was good once is refused when its time is over."""
        identity = self.token_mode()
        bearer = ("Authorization", f"Bearer {self.token()}")
        self.assertEqual(self.user(identity, bearer), "sam")
        self.clock.advance(3600)
        self.assertEqual(self.refused(identity, bearer).status, 401)

    def test_B02_our_clock_counts(self) -> None:
        """Tokens are judged by the clock that we are given, not by the process's."""
        self.assertGreater(time.time(), self.wall.now() + 86_400)
        self.assertEqual(self.token_mode().token_user(self.token()), "sam")

    def test_B02_public_keys(self) -> None:
        """A public key verifies its own algorithm only, and is no HS256 secret."""
        private: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }
        for algorithm, key in private.items():
            pem = pem_of(key.public_key())
            identity = Identity(
                ServerOptions(identity_mode="token"),
                self.wall,
                loopback_only=False,
                visitor_key=VISITOR_KEY,
                identity_key=pem,
            )
            good = self.token(key=key, algorithm=algorithm)
            self.assertEqual(identity.token_user(good), "sam")
            self.assertRaises(InvalidToken, identity.token_user, self.token())

    def test_other_modes_ignore_other_tokens(self) -> None:
        """Outside mode ``token`` a gateway may use the header for itself."""
        for identity in (self.make("open"), self.make("trusted-proxy")):
            for value in (f"Bearer {self.token()}", "Bearer x", "Basic eDp5", "", "Bearer"):
                self.assertIsNone(self.user(identity, ("Authorization", value)))
            self.assertRaises(InvalidToken, identity.token_user, self.token())

    def test_memory(self) -> None:
        """What is remembered about tokens and headers is bounded."""
        identity = self.make("open")
        for number in range(5000):
            identity.identify(make_head("GET", "/", ("gms_user", f"u{number}")), LOOPBACK)
        self.assertLessEqual(len(identity._callers), 4096)
        identity.identify(make_head("GET", "/", ("Forwarded", "x" * 8000)), LOOPBACK)
        self.assertNotIn(8000, [len(str(key)) // 8000 * 8000 for key in identity._callers])


class VisitorTokenTests(IdentityFixture):
    """Tokens for the visitors of our own page."""

    def test_valid_in_every_mode(self) -> None:
        """A visitor is the user that the token was made for, whatever the mode."""
        for identity in (self.make("open"), self.make("trusted-proxy"), self.token_mode()):
            token = identity.issue_visitor_token(GmsUser("visitor-1"), 600)
            self.assertEqual(identity.token_user(token), "visitor-1")
            bearer = ("Authorization", f"Bearer {token}")
            self.assertEqual(self.user(identity, bearer, peer=OUTSIDE), "visitor-1")
            refusal = self.refused(identity, bearer, ("gms_user", "sam"), peer=OUTSIDE)
            self.assertEqual(refusal.status, 403)

    def test_ends(self) -> None:
        """It ends after its time, which is a day at most."""
        identity = self.make("open")
        token = identity.issue_visitor_token(GmsUser("v"), 600)
        long_one = identity.issue_visitor_token(GmsUser("v"), 1e9)
        self.clock.advance(600)
        self.assertRaises(InvalidToken, identity.token_user, token)
        self.assertEqual(self.refused(identity, ("Authorization", f"Bearer {token}")).status, 401)
        self.assertEqual(identity.token_user(long_one), "v")
        self.clock.advance(86_400)
        self.assertRaises(InvalidToken, identity.token_user, long_one)

    def test_renewed(self) -> None:
        """A visitor's token that is still valid gives a new one for the same visitor."""
        identity = self.token_mode()
        token = identity.issue_visitor_token(GmsUser("v"), 600)
        self.clock.advance(500)
        renewed = identity.renew(token, 600)
        self.clock.advance(500)
        self.assertEqual(identity.token_user(renewed), "v")
        for other in (token, self.token(), "x"):
            self.assertRaises(InvalidToken, identity.renew, other, 600)

    def test_kept_key(self) -> None:
        """The same key makes the same tokens valid after a restart, another does not."""
        token = self.make("open").issue_visitor_token(GmsUser("v"), 600)
        self.assertEqual(self.make("open").token_user(token), "v")
        other = Identity(ServerOptions(), self.wall, loopback_only=True, visitor_key=b"w" * 32)
        self.assertRaises(InvalidToken, other.token_user, token)

    def test_key_that_comes_later(self) -> None:
        """Without a key there are no visitors yet, and an empty one verifies nothing."""
        identity = Identity(ServerOptions(), self.wall, loopback_only=True)
        self.assertRaises(Unavailable, identity.issue_visitor_token, GmsUser("v"), 60)
        token = self.make("open").issue_visitor_token(GmsUser("v"), 600)
        self.assertRaises(InvalidToken, identity.token_user, token)
        identity.use_visitor_key(VISITOR_KEY)
        self.assertEqual(identity.token_user(token), "v")

    def test_issuers_secret_makes_no_visitors(self) -> None:
        """The issuer's secret does not sign visitor tokens."""
        forged = jwt.PyJWS().encode(
            json.dumps({"sub": "v", "exp": self.wall.now() + 60}).encode(),
            SECRET,
            algorithm="HS256",
            headers={"kid": "gms-visitor"},
        )
        self.assertRaises(InvalidToken, self.token_mode().token_user, forged)


class AddressTests(IdentityFixture):
    """The client's address."""

    def caller(self, peer: Peer, *headers: tuple[str, str], hops: int = 1) -> CallerInfo:
        """The caller behind the proxies 192.0.2.80 to .95."""
        identity = self.make(trusted_proxies=("192.0.2.80/28",), trusted_hops=hops)
        verdict = self.verdict(identity, *headers, peer=peer)
        assert isinstance(verdict, CallerInfo)
        return verdict

    def test_H22_forged(self) -> None:
        """From anybody but a listed proxy the headers mean nothing."""
        caller = self.caller(
            OUTSIDE,
            ("X-Forwarded-For", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1;proto=https"),
            ("X-Forwarded-Proto", "https"),
        )
        self.assertEqual(caller, CallerInfo("203.0.113.9"))

    def test_H22_hops(self) -> None:
        """Only what our own proxies added counts: so many from the right."""
        forged = "127.0.0.1, 198.51.100.7, 192.0.2.90"
        for hops, address in ((1, "192.0.2.90"), (2, "198.51.100.7"), (3, "127.0.0.1")):
            caller = self.caller(PROXY, ("X-Forwarded-For", forged), hops=hops)
            self.assertEqual((caller.address, caller.internal), (address, hops == 3))

    def test_H22_lines_and_spellings(self) -> None:
        """Several lines are one list; ports and brackets are no part of an address."""
        for value, address in {
            "198.51.100.7": "198.51.100.7",
            " 198.51.100.7 ": "198.51.100.7",
            "198.51.100.7:4711": "198.51.100.7",
            "[2001:db8::1]:80": "2001:db8::1",
            "2001:db8::1": "2001:db8::1",
            "::ffff:198.51.100.7": "198.51.100.7",
        }.items():
            caller = self.caller(
                PROXY, ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", value)
            )
            self.assertEqual(caller.address, address, value)

    def test_H22_forwarded(self) -> None:
        """``Forwarded`` counts where there is no ``X-Forwarded-For``."""
        header = ("Forwarded", 'for=127.0.0.1, For="[2001:db8::1]:99";proto=HTTPS')
        self.assertEqual(self.caller(PROXY, header), CallerInfo("2001:db8::1", None, False, True))
        caller = self.caller(PROXY, header, ("X-Forwarded-For", "198.51.100.7"))
        self.assertEqual(caller.address, "198.51.100.7")

    def test_H22_unreadable(self) -> None:
        """What is no address makes nobody internal."""
        identity = self.make(trusted_proxies=("127.0.0.1",))
        for value in ("unknown", "_hidden", "localhost", "127.0.0.1.5", "x" * 300):
            verdict = self.verdict(identity, ("X-Forwarded-For", value))
            self.assertEqual(verdict, CallerInfo("127.0.0.1", None, False, False))

    def test_proxy_for_itself(self) -> None:
        """A proxy that names nobody asks for itself."""
        self.assertEqual(self.caller(PROXY).address, "192.0.2.80")

    def test_secure(self) -> None:
        """TLS is what the socket says, or what a trusted proxy says."""
        self.assertTrue(self.caller(Peer("203.0.113.9", 1, secure=True)).secure)
        for value, secure in (("https", True), ("http", False), ("http, https", True)):
            caller = self.caller(PROXY, ("X-Forwarded-Proto", value))
            self.assertEqual(caller.secure, secure, value)

    def test_internal(self) -> None:
        """Loopback is internal by default; the list can be another."""
        self.assertTrue(self.caller(LOOPBACK).internal)
        self.assertTrue(self.caller(Peer("::1", 1)).internal)
        self.assertFalse(self.caller(OUTSIDE).internal)
        identity = self.make(internal_allow=("203.0.113.0/24",))
        verdict = self.verdict(identity, peer=OUTSIDE)
        assert isinstance(verdict, CallerInfo)
        self.assertTrue(verdict.internal)


def pem_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """A public key as the file holds it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
