"""Device tokens between a feedback service and what is done about them."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.kept_tokens import KeptToken, KeptTokens
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock


class KeptTokensTests(SynchronousTestCase):
    """They stay until they are struck off."""

    def setUp(self) -> None:
        """An empty store, and two services."""
        ids = CountingIds()
        store = MemoryStore(ManualWallClock(Clock()), ids)
        self.tokens = KeptTokens(store, ids, "apns push")
        self.others = KeptTokens(store, ids, "apns push.provider.X debug")

    def kept(self, tokens: KeptTokens) -> list[KeptToken]:
        """What a service has."""
        return list(self.successResultOf(Deferred.fromCoroutine(tokens.kept())))

    def keep(self, tokens: KeptTokens, *kept: KeptToken) -> None:
        """Store some."""
        self.successResultOf(Deferred.fromCoroutine(tokens.keep(kept)))

    def test_until_struck_off(self) -> None:
        """What was stored is there, once, until it is struck off."""
        one, two = KeptToken(5, b"\x01" * 32), KeptToken(7, b"\x02" * 32)
        self.keep(self.tokens, one, two)
        self.keep(self.tokens, one)
        self.assertEqual(self.kept(self.tokens), [one, two])
        self.successResultOf(Deferred.fromCoroutine(self.tokens.strike_off([one])))
        self.assertEqual(self.kept(self.tokens), [two])

    def test_each_service_its_own(self) -> None:
        """Services do not see each other's."""
        self.keep(self.others, KeptToken(5, b"\x01" * 32))
        self.assertEqual(self.kept(self.tokens), [])
        self.assertEqual(len(self.kept(self.others)), 1)

    def test_many(self) -> None:
        """More than fit one read come all."""
        many = [KeptToken(number, number.to_bytes(32, "big")) for number in range(2500)]
        self.keep(self.tokens, *many)
        self.assertEqual(len(self.kept(self.tokens)), 2500)
        self.successResultOf(Deferred.fromCoroutine(self.tokens.strike_off(many)))
        self.assertEqual(self.kept(self.tokens), [])
