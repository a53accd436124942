"""Sessions when something goes wrong: the process ends, the store fails, records are damaged."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gms_twisted.app.operations import Outcome
from gms_twisted.domain.errors import StoreReadOnly, Unavailable
from tests.app.test_orchestrator import ACTION, ECHO, Fixture
from tests.support.orchestrator import OrchestratorHouse


class StopTests(Fixture):
    """The process ends, and sessions go on in the next one."""

    def test_action_that_ends_meanwhile(self) -> None:
        """An action that ends while the process does takes nothing away: it is begun again."""
        house, session = self.started(ACTION)
        house.tell(session, "go")
        house.server.stop()
        house.actions.end("submit", Outcome("queue.submit.done"))
        house.clock.advance(0)
        house.die()
        again = OrchestratorHouse(self, {}, house=house)
        self.assertEqual(len(again.actions.begun), 1)
        again.actions.end("submit", Outcome("queue.submit.done"))
        again.clock.advance(0)
        self.assertEqual(again.states(session), ["b"])

    def test_step_that_is_stored_meanwhile(self) -> None:
        """A step that is stored while the process ends begins nothing, and leaves no timer."""
        house, session = self.started(ACTION)
        held: Deferred[None] = Deferred()
        house.store.held = held
        telling = house.begin(house.server.tell(session, "go", {}))
        house.server.stop()
        self.failureResultOf(telling, Unavailable)
        held.callback(None)
        house.clock.advance(0)
        self.assertEqual(house.actions.begun, [])
        self.assertEqual(house.clock.getDelayedCalls(), [])
        record = house.record(session)
        assert record is not None
        self.assertEqual(len(record.owed), 1)

    def test_whoever_waits(self) -> None:
        """Who waits for a session when the process ends is told to come again, not that it is over.

        Nobody takes its service away because of that.
        """
        house, session = self.started(ECHO)
        asked = house.begin(house.server.request(session, "silence", {}))
        house.store.fault = StoreReadOnly("The store is read-only.")
        ending = Deferred.fromCoroutine(house.tasks.finish("end", house.server.end(session)))
        house.server.stop()
        self.failureResultOf(asked, Unavailable)
        self.failureResultOf(ending, Unavailable)
        house.fail(house.server.request(session, "status", {}), Unavailable)
        house.fail(house.server.start("app", {}), Unavailable)
        self.assertEqual(house.owners.over, [])
