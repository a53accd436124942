"""The SQLite store keeps the contract, with threads and without."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gms_twisted.store.interfaces import Store
from gms_twisted.store.workers import ThreadWorker
from tests.store import contract
from tests.support.sqlite import make_sqlite


class SqliteStoreTests(contract.StoreContract, TestCase):
    """The contract, in a file, all in one thread."""

    def make_store(self) -> Store:
        """Make a store."""
        return make_sqlite(Path(self.mktemp()) / "gms.db", self.wall, self.ids)


class ThreadedSqliteStoreTests(contract.StoreContract, TestCase):
    """The contract, in a file, with the threads of a running server."""

    def make_store(self) -> Store:
        """Make a store."""
        workers = partial(ThreadWorker, cast("IReactorFromThreads", reactor))
        path = Path(self.mktemp()) / "gms.db"
        return make_sqlite(path, self.wall, self.ids, workers=workers)
