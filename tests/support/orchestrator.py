"""An orchestrator on a test's clock: real interpreters, a store in memory, actions that wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.interaction import interaction_object
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import ApplicationUnusable, Reply, SessionAt
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.app.session_host import SessionHost
from gms_twisted.app.session_records import SESSION, SessionRecord
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import TooManyRequests, Unavailable
from gms_twisted.scxml.effects import PostEvent, StartOperation
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import Committed, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

HEAD = (
    '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="a" '
    'xmlns:ws="http://www.genesyslab.com/modules/ws" '
    'xmlns:queue="http://www.genesyslab.com/modules/queue">'
)


class Documents:
    """Applications by name.

    :ivar texts: what there is, without the first and last element.
    :ivar comment: what they end with; other bytes make another document.
    :ivar faults: what reading one raises, by name.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.faults: dict[str, Exception] = {}
        self.comment = ""
        self.asked: list[tuple[str, str]] = []

    async def load(self, source: str, base: str = "") -> Document:
        """Read one."""
        self.asked.append((source, base))
        name = source.rpartition("/")[2].partition("#")[0]
        if name in self.faults:
            raise self.faults[name]
        if name not in self.texts:
            raise ApplicationUnusable("It cannot be read.")
        return load_document(
            (HEAD + self.texts[name] + self.comment + "</scxml>").encode(), f"http://x/{name}"
        )


class Actions:
    """Actions that end when a test says so.

    :ivar running: those that have begun and not ended, by element.
    :ivar begun: all that were begun: owner, operation.
    :ivar cancelled: elements of those that were cancelled.
    :ivar at_once: how all end, at once; ``None``: when a test says so.
    """

    def __init__(self) -> None:
        self.at_once: Outcome | None = None
        self.running: dict[str, tuple[Deferred[Outcome | None], Tell]] = {}
        self.begun: list[tuple[Owner, StartOperation]] = []
        self.cancelled: list[str] = []
        self.ended: list[str] = []

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Wait."""
        self.begun.append((owner, operation))
        if self.at_once is not None:
            return self.at_once

        def cancel(_: Deferred[Outcome | None]) -> None:
            self.cancelled.append(operation.element)

        waiting: Deferred[Outcome | None] = Deferred(cancel)
        self.running[operation.element] = waiting, tell
        return await waiting

    def session_ended(self, session_id: str) -> None:
        """Remember."""
        self.ended.append(session_id)

    def end(self, element: str, outcome: Outcome | None) -> None:
        """End one."""
        self.running.pop(element)[0].callback(outcome)


class Posts:
    """A web that takes every event, or none.

    :ivar fault: what a post raises, ``None`` for nothing.
    :ivar held: a post waits for it.
    """

    def __init__(self) -> None:
        self.held: Deferred[None] | None = None
        self.fault: Exception | None = None
        self.posted: list[PostEvent] = []
        self.works = True

    async def post(self, effect: PostEvent) -> None:
        """Take it."""
        self.posted.append(effect)
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.chainDeferred(waiting)
            await waiting
        if self.fault is not None:
            raise self.fault
        if not self.works:
            raise Unavailable("The answer is 503.")


class Owners:
    """Services of sessions: how long they live, which are over.

    :ivar fault: what looking for one raises, ``None`` for nothing.
    """

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.lives: dict[str, float] = {}
        self.over: list[str] = []
        self.gone: list[str] = []
        self.adopted: list[str] = []
        self.full = False

    async def lasts_until(self, session_id: str) -> float:
        """As the test has it."""
        if self.fault is not None:
            raise self.fault
        return self.lives.get(session_id, 0.0)

    async def session_over(self, session_id: str) -> None:
        """Remember."""
        if self.fault is not None:
            raise self.fault
        self.over.append(session_id)

    async def session_gone(self, session_id: str) -> None:
        """Remember."""
        self.gone.append(session_id)

    async def forget_lost(
        self, is_meant: Callable[[str], bool], is_there: Callable[[str], bool]
    ) -> None:
        """Remember those that live without a session."""
        lost = [one for one in self.lives if is_meant(one) and not is_there(one)]
        self.over.extend(lost)

    async def adopt(self, session: SessionAt, source: str, parameters: Mapping[str, str]) -> None:
        """Remember, if there is room."""
        if self.full:
            raise TooManyRequests("Full.", 1.0)
        self.adopted.append(session.session_id)


class FaultyStore(MemoryStore):
    """A store that can refuse to write.

    :ivar fault: what every commit raises, ``None`` for nothing.
    :ivar held: a commit waits for it.
    :ivar commits: how many there were.
    """

    fault: Exception | None = None
    held: Deferred[None] | None = None
    commits = 0

    async def commit(self, unit: Unit) -> Committed:
        """Write, or not."""
        self.commits += 1
        if self.held is not None:
            await self.held
        if self.fault is not None:
            raise self.fault
        return await super().commit(unit)


class OrchestratorHouse:
    """Everything that sessions need.

    :param house: an earlier one, whose store and clock go on (a restart).
    :param lives: until when the services of sessions live.
    :param store: another house's, whose sessions the test itself has recovered.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        texts: Mapping[str, str],
        options: OrsOptions | None = None,
        house: OrchestratorHouse | None = None,
        lives: Mapping[str, float] | None = None,
        store: FaultyStore | None = None,
    ) -> None:
        self._test = test
        self.clock: Clock = house.clock if house else Clock()
        self.wall: ManualWallClock = house.wall if house else ManualWallClock(self.clock)
        self.ids: CountingIds = house.ids if house else CountingIds()
        if house is not None:
            store = house.store
        self.store: FaultyStore = store or FaultyStore(self.wall, self.ids)
        self.tasks = Tasks()
        self.documents = Documents(texts)
        self.actions, self.posts, self.owners = Actions(), Posts(), Owners()
        self.counters = Counters()
        self.timeout_s = 10.0
        self.given_back = 0
        self.thread_time_s: Callable[[], float] = lambda: 0.0
        options = options or OrsOptions()
        host = SessionHost(
            self.store,
            self.clock,
            self.wall,
            self.ids,
            self.tasks,
            self.counters,
            self.documents,
            self.actions,
            self.posts,
            interaction_object,
            lambda: "http://localhost:8080/",
            options,
            lambda: self.timeout_s,
            lambda: self.thread_time_s(),
            self._give_back,
        )
        self.server = EmbeddedOrchestrator(host, options)
        self.owners.lives.update(lives or {})
        host.owners = self.owners
        if house is not None:
            self.run(host.recover())
        test.addCleanup(self.die)

    def _give_back(self) -> None:
        self.given_back += 1

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end, which must not have to wait for time to pass."""
        result: T = self._test.successResultOf(self.begin(work))
        return result

    def begin(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run something as far as it comes."""
        running = Deferred.fromCoroutine(work)
        self.clock.advance(0)
        return running

    def fail(self, work: Coroutine[Any, Any, Any], kind: type[Exception]) -> Exception:
        """Run something that must raise."""
        failure = self._test.failureResultOf(self.begin(work), kind)
        assert isinstance(failure.value, Exception)
        return failure.value

    def start(self, name: str, **parameters: str) -> SessionAt:
        """Start an application."""
        return self.run(self.server.start(name, parameters))

    def ask(self, session: SessionAt, name: str, **parameters: str) -> Reply:
        """Ask a session, which must answer at once."""
        return self.run(self.server.request(session, name, parameters))

    def tell(self, session: SessionAt, name: str, **parameters: str) -> None:
        """Give a session an event."""
        self.run(self.server.tell(session, name, parameters))

    def states(self, session: SessionAt) -> list[str]:
        """The active states of a session."""
        found = self.run(self.server.query(session.session_id))["state"]
        assert isinstance(found, list)
        return found

    def data(self, session: SessionAt) -> Any:
        """The data of a session."""
        return self.run(self.server.query(session.session_id))["data"]

    def record(self, session: SessionAt) -> SessionRecord | None:
        """What the store has of it."""
        stored = self.run(self.store.get(SESSION, session.session_id))
        return None if stored is None else SessionRecord.from_record(stored)

    def die(self) -> None:
        """As when the process ends, however it does."""
        self.server.host.stop()
        self._test.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))
