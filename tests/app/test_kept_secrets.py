"""Keys that are made once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.kept_secrets import kept_secret
from gms_twisted.store.interfaces import Committed, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock


class KeptSecretTests(SynchronousTestCase):
    """A key by its name."""

    def setUp(self) -> None:
        """Make a store."""
        self.ids = CountingIds()
        self.store = MemoryStore(ManualWallClock(Clock()), self.ids)

    def secret(self, name: str, store: MemoryStore | None = None) -> bytes:
        """Ask for one."""
        work = kept_secret(store or self.store, self.ids, name)
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_made_once(self) -> None:
        """The same name gives the same key; another name another."""
        first = self.secret("a")
        self.assertEqual(len(first), 64)
        self.assertEqual(self.secret("a"), first)
        self.assertNotEqual(self.secret("b"), first)

    def test_another_node_was_first(self) -> None:
        """When somebody else makes it at the same moment, theirs counts."""
        test = self

        class Raced(MemoryStore):
            async def commit(self, unit: Unit) -> Committed:
                if not test.first:
                    test.first = True
                    test.theirs = await kept_secret(self, test.ids, "a")
                return await super().commit(unit)

        self.first, self.theirs = False, b""
        store = Raced(ManualWallClock(Clock()), self.ids)
        self.assertEqual(self.secret("a", store), self.theirs)
