"""Who we are to browsers' push services: keys, tokens, the command that makes a key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.commands import parser
from gms_twisted.push.apple_token import read_signing_key
from gms_twisted.push.vapid import MAX_ORIGINS, VapidTokens, public_key_text
from gms_twisted.vapid import make_vapid_key
from tests.support.sources import ManualWallClock

T = TypeVar("T")
START = 1_700_000_000.0
HOUR_S = 3600.0


class TokenTests(SynchronousTestCase):
    """One token for each origin, for 12 hours."""

    def setUp(self) -> None:
        """A key and a clock."""
        self.wall = ManualWallClock(Clock(), START)
        self.key = generate_private_key(SECP256R1())
        self.signed = 0
        self.held: list[Callable[[], object]] | None = None
        self.tokens = VapidTokens(self.key, "mailto:ops@example.com", self.wall, self.in_thread)

    def in_thread(self, work: Callable[[], T], /) -> Deferred[T]:
        """Do it now, or hold it."""
        self.signed += 1
        if self.held is None:
            return execute(work)
        done: Deferred[T] = Deferred()
        self.held.append(lambda: done.callback(work()))
        return done

    def header(self, origin: str = "https://push.example") -> str:
        """Ask for a header."""
        return self.successResultOf(Deferred.fromCoroutine(self.tokens.header(origin)))

    def test_claims(self) -> None:
        """Audience, end, subject; the key beside it."""
        word, _, rest = self.header().partition(" ")
        fields = dict(part.split("=", 1) for part in rest.split(", "))
        self.assertEqual((word, fields["k"]), ("vapid", public_key_text(self.key)))
        claims = jwt.decode(
            fields["t"],
            self.key.public_key(),
            algorithms=["ES256"],
            audience="https://push.example",
            options={"verify_exp": False},
        )
        self.assertEqual(
            claims,
            {
                "aud": "https://push.example",
                "exp": int(START + 12 * HOUR_S),
                "sub": "mailto:ops@example.com",
            },
        )

    def test_kept(self) -> None:
        """Until an hour before its end, one for each origin."""
        first = self.header()
        self.wall.jump = 10.9 * HOUR_S
        self.assertEqual(self.header(), first)
        self.assertNotEqual(self.header("https://other.example"), first)
        self.assertEqual(self.signed, 2)
        self.wall.jump = 11 * HOUR_S
        self.assertNotEqual(self.header(), first)
        self.assertEqual(self.signed, 3)

    def test_clock_set_back(self) -> None:
        """A token that would live above 12 hours is made anew."""
        self.header()
        self.wall.jump = -20 * HOUR_S
        self.header()
        self.assertEqual(self.signed, 2)

    def test_single_flight(self) -> None:
        """Many who ask at once: one signature."""
        self.held = []
        asked = [Deferred.fromCoroutine(self.tokens.header("https://a")) for _ in range(4)]
        self.assertEqual(len(self.held), 1)
        self.held[0]()
        self.assertEqual(len({self.successResultOf(one) for one in asked}), 1)

    def test_bounded(self) -> None:
        """So many origins are remembered, the newest."""
        self.tokens = VapidTokens(
            self.key, "https://example.com", self.wall, lambda work: execute(work)
        )
        for number in range(MAX_ORIGINS + 5):
            self.header(f"https://{number}.example")
        self.assertEqual(repr(self.tokens), f"<VapidTokens for {MAX_ORIGINS} origins>")

    def test_subject(self) -> None:
        """It must be an address or a page."""
        for subject in ("", "ops@example.com", "http://example.com", "mailto:a\nb"):
            self.assertRaises(
                CredentialsBroken, VapidTokens, self.key, subject, self.wall, self.in_thread
            )


class CommandTests(SynchronousTestCase):
    """``bin/gms vapid``."""

    def run_it(self, path: Path, subject: str = "mailto:a@b.example") -> tuple[int, str, str]:
        """Run it: status, what it said, what it complained of."""
        said: list[str] = []
        complaints: list[str] = []
        status = make_vapid_key(path, subject, said.append, complaints.append)
        return status, "\n".join(said), "\n".join(complaints)

    def test_makes_a_key(self) -> None:
        """A P-256 key for its owner's eyes; public key and options are shown."""
        path = Path(self.mktemp())
        status, said, complaints = self.run_it(path)
        self.assertEqual((status, complaints), (0, ""))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        key = read_signing_key(path.read_bytes(), "webpush.private_key")
        self.assertIn(public_key_text(key), said.splitlines())
        self.assertIn(f"webpush.private_key = {path.absolute()}", said)
        self.assertIn("webpush.subject = mailto:a@b.example", said)
        self.assertNotIn("PRIVATE", said)

    def test_never_overwrites(self) -> None:
        """A file or link that is there stays as it is."""
        path = Path(self.mktemp())
        path.write_text("kept")
        link = Path(self.mktemp())
        os.symlink(path, link)
        for place in (path, link):
            status, said, complaints = self.run_it(place)
            self.assertEqual((status, said), (1, ""))
            self.assertIn("exists", complaints)
        self.assertEqual(path.read_text(), "kept")

    def test_faults(self) -> None:
        """A bad subject, a directory that is not there: said, and no file made."""
        path = Path(self.mktemp())
        self.assertEqual(self.run_it(path, "ops@example.com")[0], 2)
        self.assertFalse(path.exists())
        status, _, complaints = self.run_it(path / "key.pem")
        self.assertEqual(status, 1)
        self.assertIn("cannot be written", complaints)

    def test_registered(self) -> None:
        """The command line knows it."""
        chosen = parser().parse_args(["vapid", "key.pem", "--subject", "https://example.com"])
        self.assertEqual((chosen.file, chosen.subject), ("key.pem", "https://example.com"))
