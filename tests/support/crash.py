"""A workload that is killed again and again, and the model that checks what is left.

A child process works on the store's file and dies at a given step, or in the middle
of a write.  It tells the parent over a pipe what it began and what was answered; the
parent does the same with a :class:`MemoryStore`.  The next child first looks whether
the file holds what was answered, and the unanswered operation wholly or not at all.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.values import InMemory
from gms_twisted.store.interfaces import (
    CHUNK_BYTES,
    Absent,
    Change,
    Condition,
    Delete,
    Intend,
    Kind,
    NumberFree,
    Put,
    Record,
    Release,
    Reserve,
    Schedule,
    Store,
    Strike,
    Unchanged,
    Unit,
    UnitId,
    Unschedule,
)
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.sources import ManualWallClock
from tests.support.sqlite import make_sqlite

T = TypeVar("T")

STEP_S = 7.0
"""Time between two operations."""

AREA, CHAT = Kind("area"), Kind("chat")
KINDS = (AREA, CHAT)
POOL, QUEUE, TOPIC = "DNIS", "timers", "push"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that ends at once."""
    results: list[T] = []
    failures: list[BaseException] = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: failures.append(failure.value)
    )
    if failures:
        raise failures[0]
    return results[0]


def in_child(work: Callable[[], object]) -> object:
    """Do something in a child process, and return what it returned, by way of JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - the parent reports it
            os.write(writing, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    result: object = json.loads(answer)
    return result


class World:
    """A store and its time, which follows from the number of the operation.

    :ivar after_unit: called after each unit, committed or refused.
    """

    def __init__(self, make: Callable[[ManualWallClock], Store]) -> None:
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.store = make(self.wall)
        self.after_unit: Callable[[], object] = lambda: None

    def set_time(self, number: int) -> None:
        """Set the time of an operation."""
        self.clock.rightNow = number * STEP_S

    def operate(self, number: int) -> str:
        """Carry out an operation; returns what was answered, as text."""
        self.set_time(number)
        return run(_OPERATIONS[number % len(_OPERATIONS)](self, number))

    async def commit(
        self, number: int, *changes: Change, when: tuple[Condition, ...] = (), part: int = 0
    ) -> str:
        """Commit a unit whose id follows from the operation."""
        unit = Unit(UnitId(f"unit-{number}-{part}"), changes, when)
        try:
            answer = repr((await self.store.commit(unit)).versions)
        except GmsError as error:
            answer = error.code
        self.after_unit()
        return answer

    def dump(self) -> object:
        """Take everything that can be seen; files by content, since ids differ."""
        return run(self._dump())

    async def _dump(self) -> object:
        records = [
            [await self._shown(record) for record in await self.store.scan(kind)] for kind in KINDS
        ]
        found = [
            [record.key for record in await self.store.find(AREA, "user", f"u{user}")]
            for user in range(3)
        ]
        return (
            records,
            found,
            list(await self.store.reservations(POOL)),
            list(await self.store.due(QUEUE, 1e12)),
            list(await self.store.intents(TOPIC)),
        )

    async def _shown(self, record: Record) -> object:
        contents: list[list[bytes]] = []
        for file_id in record.files:
            chunks: list[bytes] = []
            while (chunk := await self.store.read_chunk(file_id, len(chunks))) is not None:
                chunks.append(chunk)
            assert await self.store.file_size(file_id) == sum(map(len, chunks))
            contents.append(chunks)
        return (record.key, record.value, record.expires_at, record.version, contents)


async def _replace(world: World, n: int) -> str:
    """Replace records; two in one unit, so that a half would show."""
    return await world.commit(
        n,
        Put(AREA, f"k{n % 5}", b"%d" % n, indexes={"user": f"u{n % 3}"}),
        Put(AREA, "latest", b"%d" % n),
    )


async def _upload(world: World, n: int) -> str:
    """Keep a file and claim it; the record's former file goes."""
    size = (0, 10, CHUNK_BYTES, CHUNK_BYTES + 1)[n // 8 % 4]
    file_id = await world.store.keep_file(InMemory(bytes([n % 256]) * size))
    return await world.commit(n, Put(AREA, f"f{n % 3}", b"%d" % n, files=(file_id,)))


async def _book(world: World, n: int) -> str:
    """Reserve a number if it is free, and remember for whom."""
    number, until = str(n % 3), world.wall.now() + 40
    return await world.commit(
        n,
        Reserve(POOL, number, f"h{n}", until),
        Put(CHAT, f"booking{number}", b"h%d" % n, until),
        when=(NumberFree(POOL, number),),
    )


async def _timers(world: World, n: int) -> str:
    """Move a timer, forget another."""
    return await world.commit(n, Schedule(QUEUE, f"t{n % 4}", n), Unschedule(QUEUE, f"t{n % 7}"))


async def _send(world: World, n: int) -> str:
    """Store a message that lives a while, and intend to push it."""
    return await world.commit(
        n,
        Put(CHAT, f"message{n}", b"text", world.wall.now() + 60, {"chat": "c"}),
        Intend(f"push-{n}", TOPIC, b"%d" % n),
    )


async def _sent(world: World, n: int) -> str:
    """Strike off the push of the operation before; delete, and let go of a number."""
    return await world.commit(
        n,
        Strike(f"push-{n - 1}"),
        Delete(AREA, f"k{n % 5}"),
        Release(POOL, str(n % 3), f"h{n - 3}"),
    )


async def _crowd(world: World, n: int) -> str:
    """Several units at once, of which some must be refused."""
    name, other = f"race{n % 2}", f"one{n % 5}"
    units = [
        world.commit(n, Put(AREA, name, b"%d" % n), Put(AREA, "latest", b"%d" % n), part=0),
        world.commit(n, Put(AREA, other, b"x"), when=(Unchanged(AREA, name, n),), part=1),
        world.commit(n, Put(CHAT, other, b"%d" % n), when=(Absent(AREA, other),), part=2),
    ]
    return repr(await gatherResults([Deferred.fromCoroutine(unit) for unit in units]))


async def _sweep(world: World, n: int) -> str:
    """Give back what is over."""
    while await world.store.sweep(50):
        pass
    return "swept"


_OPERATIONS = (_replace, _upload, _book, _timers, _send, _sent, _crowd, _sweep)


class DieAt:
    """Faults: the process is killed before its ``count``-th step."""

    def __init__(self, count: int, tell: Callable[[str, object], None]) -> None:
        self._left = count
        self._tell = tell

    def before(self, step: str) -> None:
        """Count, and die."""
        self._left -= 1
        if not self._left:
            self._tell("killed", step)
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Crashes:
    """A store's file, its model, and the children that work on it.

    :ivar number: the operation that comes next, or that was cut short.
    :ivar begun: it was begun and not answered.
    :ivar killed_at: how often a child was killed before each step.
    """

    path: Path
    number: int = 0
    begun: bool = False
    killed_at: dict[str, int] = field(default_factory=dict)
    answered: int = 0

    def __post_init__(self) -> None:
        self.model = World(lambda wall: MemoryStore(wall, SystemIds()))

    def die_at_step(self, count: int) -> None:
        """Let a child work until its ``count``-th step."""

        def work(tell: Callable[[str, object], None]) -> None:
            faults = DieAt(count, tell)
            self._work(
                tell, World(lambda wall: make_sqlite(self.path, wall, SystemIds(), faults=faults))
            )

        self._fork(work)

    def die_in_write(self, beyond: int) -> None:
        """Let a child work until a write reaches so many bytes beyond the log's end.

        The kernel ends it in the middle of that write: a torn page.
        """

        def work(tell: Callable[[str, object], None]) -> None:
            world = World(lambda wall: make_sqlite(self.path, wall, SystemIds()))
            run(world.store.start())
            log = self.path.with_name(f"{self.path.name}-wal")
            limit = max(self.path.stat().st_size, log.stat().st_size) + beyond
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            self._work(tell, world, is_started=True)

        self._fork(work)

    def finish(self) -> None:
        """Look a last time."""
        self._fork(lambda tell: self._look(tell, self._opened()))

    def _opened(self) -> World:
        world = World(lambda wall: make_sqlite(self.path, wall, SystemIds()))
        run(world.store.start())
        return world

    # In the child.

    def _work(
        self, tell: Callable[[str, object], None], world: World, is_started: bool = False
    ) -> None:
        if not is_started:
            run(world.store.start())
        self._look(tell, world)
        for number in range(self.number, self.number + 1000):
            tell("begun", number)
            tell("answered", world.operate(number))

    def _look(self, tell: Callable[[str, object], None], world: World) -> None:
        """Compare the file with the model, before and after the unanswered operation."""
        moment = max(0, self.number if self.begun else self.number - 1)
        world.set_time(moment)
        self.model.set_time(moment)
        found = world.dump()
        states = [self.model.dump()]
        if self.begun:
            states += self._states_of(self.number)
        if found not in states:
            tell("wrong", f"operation {self.number}: {found!r} is none of {states!r}")
            os._exit(1)

    def _states_of(self, number: int) -> list[object]:
        """What the model looks like after each unit of an operation."""
        states: list[object] = []
        self.model.after_unit = lambda: states.append(self.model.dump())
        self.model.operate(number)
        return states

    # In the parent.

    def _fork(self, work: Callable[[Callable[[str, object], None]], None]) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._be_child(writing, work)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            lines = pipe.read().splitlines()
        os.waitpid(child, 0)
        for line in lines:
            self._heard(*json.loads(line))

    def _heard(self, what: str, value: object) -> None:
        match what:
            case "begun":
                assert value == self.number, (value, self.number)
                self.begun = True
            case "answered":
                expected = self.model.operate(self.number)
                assert value == expected, f"operation {self.number}: {value}, not {expected}"
                self.begun = False
                self.number += 1
                self.answered += 1
            case "killed":
                self.killed_at[str(value)] = self.killed_at.get(str(value), 0) + 1
            case "wrong":
                raise AssertionError(value)

    @staticmethod
    def _be_child(writing: int, work: Callable[[Callable[[str, object], None]], None]) -> NoReturn:
        def tell(what: str, value: object) -> None:
            os.write(writing, json.dumps([what, value]).encode() + b"\n")

        try:
            work(tell)
        except BaseException:  # noqa: BLE001 - the parent reports it
            tell("wrong", traceback.format_exc())
        finally:
            os._exit(0)
