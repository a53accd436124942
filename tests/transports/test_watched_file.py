"""Tests of :mod:`gms_twisted.transports.watched_file`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.transports.watched_file import WatchedFile
from tests.support.house import DirectPool


class PoolReactor:
    """As much of a reactor as a thread pool needs."""

    def getThreadPool(self) -> DirectPool:
        """A pool that calls at once."""
        return DirectPool()

    def callFromThread(self, call: Any, *args: Any) -> None:
        """Call."""
        call(*args)


class WatchedFileTests(SynchronousTestCase):
    """What is known of a file."""

    def setUp(self) -> None:
        """Write one."""
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"hello")
        self.file = WatchedFile(str(self.path), 8, PoolReactor())

    def read(self) -> bytes:
        """Read it."""
        return self.successResultOf(Deferred.fromCoroutine(self.file.read()))

    def test_read(self) -> None:
        """It is read up to one byte above the limit."""
        self.assertEqual(self.read(), b"hello")
        self.path.write_bytes(b"x" * 100)
        self.assertEqual(self.read(), b"x" * 9)

    def test_stamp(self) -> None:
        """The stamp changes with time, size and identity, and with nothing else."""
        first = self.file.stamp()
        self.assertEqual(self.file.stamp(), first)
        self.path.write_bytes(b"hell")
        second = self.file.stamp()
        os.utime(self.path, ns=(0, 10**18))
        third = self.file.stamp()
        other = self.path.with_suffix(".new")
        other.write_bytes(b"hell")
        os.utime(other, ns=(0, 10**18))
        other.replace(self.path)
        self.assertEqual(len({first, second, third, self.file.stamp()}), 4)

    def test_not_there(self) -> None:
        """A file that is not there has no stamp and cannot be read."""
        self.path.unlink()
        self.assertIsNone(self.file.stamp())
        failure = self.failureResultOf(Deferred.fromCoroutine(self.file.read()))
        failure.trap(FileNotFoundError)
        self.assertIsNone(WatchedFile("a\x00b", 8, PoolReactor()).stamp())
