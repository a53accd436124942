"""Killed processes and lost power: what was answered is there, nothing is half there."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.sqlite_care import check_file
from gms_twisted.system import SystemIds
from tests.support.crash import Crashes, World, run
from tests.support.sqlite import make_sqlite

KILLS_AT_STEPS = 200
KILLS_IN_WRITES = 60


class KilledProcessTests(SynchronousTestCase):
    """``kill -9`` at any moment."""

    def test_R01_killed_before_each_step(self) -> None:
        """Killed at 200 steps in turn, the store holds what was answered, each unit whole."""
        crashes = Crashes(Path(self.mktemp()) / "gms.db")
        for number in range(KILLS_AT_STEPS):
            crashes.die_at_step(1 + number * 7 % 43)
        crashes.finish()
        self.assertEqual(sum(crashes.killed_at.values()), KILLS_AT_STEPS)
        for step in ("begin", "savepoint", "Put", "chunk", "unit", "totals", "commit", "answer"):
            self.assertIn(step, crashes.killed_at)
        self.assertGreater(crashes.answered, KILLS_AT_STEPS // 2)
        self.assertEqual(check_file(crashes.path), [])

    def test_R01_killed_in_a_write(self) -> None:
        """Killed in the middle of 60 writes to the disk, it holds what was answered."""
        crashes = Crashes(Path(self.mktemp()) / "gms.db")
        crashes.die_at_step(60)
        for number in range(KILLS_IN_WRITES):
            crashes.die_in_write(1 + number * 1237 % 50_021)
        crashes.finish()
        self.assertGreater(crashes.answered, KILLS_IN_WRITES // 2)
        self.assertEqual(check_file(crashes.path), [])


class PowerLossTests(SynchronousTestCase):
    """What was not synced is gone, or is garbage."""

    BEFORE, AFTER = 8, 24

    def setUp(self) -> None:
        """Record a workload: the log's length and the model's state after each unit."""
        self.base = Path(self.mktemp())
        path = self.base / "gms.db"
        log = path.with_name("gms.db-wal")
        model = World(lambda wall: MemoryStore(wall, SystemIds()))
        world = World(lambda wall: make_sqlite(path, wall, SystemIds()))
        run(world.store.start())
        for number in range(self.BEFORE):  # the last one is a sweep, which empties the log
            self.assertEqual(world.operate(number), model.operate(number))
        self.file = path.read_bytes()
        self.states = [(self.BEFORE - 1, model.dump())]
        self.lengths = [log.stat().st_size]
        self.assertEqual(self.lengths, [0])
        for number in range(self.BEFORE, self.BEFORE + self.AFTER):
            model.after_unit = partial(self.note, number, model)
            world.after_unit = lambda: self.lengths.append(log.stat().st_size)
            self.assertEqual(world.operate(number), model.operate(number))
        self.assertEqual(len(self.states), len(self.lengths))
        self.assertEqual(path.read_bytes(), self.file)
        self.log = log.read_bytes()
        run(world.store.stop())

    def note(self, number: int, model: World) -> None:
        """Note what the model looks like now."""
        self.states.append((number, model.dump()))

    def recovered(self, log: bytes) -> World:
        """Open what is left on the disk."""
        directory = self.base / "left"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "gms.db").write_bytes(self.file)
        (directory / "gms.db-wal").write_bytes(log)
        world = World(lambda wall: make_sqlite(directory / "gms.db", wall, SystemIds()))
        run(world.store.start())
        return world

    def check(self, cut: int, log: bytes) -> None:
        """What was answered before the cut is there, and nothing of what came after."""
        answered = sum(length <= cut for length in self.lengths) - 1
        world = self.recovered(log)
        moment, expected = self.states[answered]
        world.set_time(moment)
        found = world.dump()
        run(world.store.stop())
        self.assertEqual(found, expected, f"cut at {cut}")

    def frames(self) -> list[int]:
        """Where the log's frames end."""
        page = 4096 + 24
        self.assertEqual((len(self.log) - 32) % page, 0)
        return list(range(32, len(self.log) + 1, page))

    def test_R02_cut_at_each_sync(self) -> None:
        """Cut where an answer was given, the log gives exactly what was answered."""
        for length in self.lengths:
            self.check(length, self.log[:length])

    def test_R02_cut_between_frames(self) -> None:
        """Cut after any frame, the log gives what was answered before."""
        frames = self.frames()
        for cut in frames[:: max(1, len(frames) // 80)]:
            self.check(cut, self.log[:cut])

    def test_R02_cut_in_frames(self) -> None:
        """Cut in the middle of a frame, the log gives what was answered before."""
        for number in range(60):
            cut = 1 + number * len(self.log) // 61
            self.check(cut, self.log[:cut])

    def test_R02_garbage_after_the_cut(self) -> None:
        """Sectors that were not synced may hold anything, later frames included."""
        for number in range(40):
            cut = 1 + number * len(self.log) // 41
            rest = bytearray(self.log[cut:])
            rest[: 1 + len(rest) // 3] = b"\xa5" * (1 + len(rest) // 3)
            self.check(cut, self.log[:cut] + bytes(rest))
