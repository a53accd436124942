"""The memory store keeps the contract."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from gms_twisted.domain.errors import StorageFull
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import Put, Store
from gms_twisted.store.memory import MemoryStore
from tests.store import contract


class MemoryStoreTests(contract.StoreContract, TestCase):
    """The contract, in memory."""

    def make_store(self) -> Store:
        """Make a memory store."""
        return MemoryStore(self.wall, self.ids)

    async def test_refuse(self) -> None:
        """Set to refuse, it raises that error for each write, and reads go on."""
        assert isinstance(self.store, MemoryStore)
        await self.commit(Put(contract.AREA, "a", b"1"))
        self.store.refuse = StorageFull("The disk is full.")
        self.assertIs(await self.refusal(Put(contract.AREA, "a", b"2")), self.store.refuse)
        with self.assertRaises(StorageFull):
            await self.store.keep_file(InMemory(b""))
        self.assertEqual(await self.value("a"), b"1")
        self.assertFalse((await self.store.usage()).writable)
