"""The modules of orchestration over the contact centre of this process."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gms_twisted.app.modules.interaction import Interactions
from gms_twisted.app.modules.queue import Queue
from gms_twisted.app.nodes import Alone
from gms_twisted.app.operations import Outcome
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import TelephonyFailed
from gms_twisted.embedded.home_centre import HomeCentre
from gms_twisted.scxml.effects import Child, StartOperation
from tests.support.contact_centre import CentreCase
from tests.support.orchestration import SESSION, Rig, operation

BILLING = Child("targets", {"type": "agentgroup"}, (Child("target", {"name": "Billing"}),))


def call_to(number: str) -> StartOperation:
    """Call a customer."""
    return StartOperation("r1", "interaction", "createcall", {"from": "rp", "to": number})


class ModulesTests(CentreCase):
    """What an application asks for comes to pass."""

    def setUp(self) -> None:
        """Build the modules."""
        super().setUp()
        home = HomeCentre(Alone(), self.centre, self.clock, Tasks())
        self.queue = Rig(self, Queue(home, self.clock))
        self.calls = Rig(self, Interactions(home))

    def start(self, request_id: str, **attributes: object) -> Deferred[Outcome | None]:
        """Submit the session's call to Billing."""
        asked = StartOperation(request_id, "queue", "submit", attributes, {}, (BILLING,))
        return self.queue.start(asked)

    def test_routed(self) -> None:
        """The done event names the call, the agent's number and the group."""
        call = self.call_in(SESSION).interaction_id
        running = self.start("r1", route="true")
        place = self.queue.ask(operation("queue", "query", requestid="r1", request_id="r2"))
        self.assertEqual((place.event, place.data["positioninqueue"]), ("queue.query.done", 1))
        self.ready("ann")
        outcome = self.successResultOf(running)
        assert outcome is not None
        self.assertEqual(outcome.event, "queue.submit.done")
        self.assertEqual(outcome.data["interactionid"], call)
        self.assertEqual(outcome.data["targetselected"], "7001@Embedded.A")
        self.assertEqual(outcome.data["targetobjectselected"], "Billing.GA")
        self.assertEqual(self.state(call), ("talking", "ann"))

    def test_timed_out(self) -> None:
        """It fails with the word of the module."""
        running = self.start("r1", route="false", timeout="30")
        self.clock.advance(30)
        error = self.failureResultOf(running, TelephonyFailed).value
        self.assertEqual(error.reason, "timeout")

    def test_cancelled(self) -> None:
        """By the application: the submission is out of the line."""
        running = self.start("r1")
        self.queue.ask(operation("queue", "cancel", requestid="r1", request_id="r2"))
        self.failureResultOf(running, TelephonyFailed)
        self.assertEqual(len(self.centre.exchange.line), 0)

    def test_called_and_sent(self) -> None:
        """A customer is called, answers, is sent to an agent by number, and is hung up on."""
        asked = call_to("6504669999")
        call = self.calls.ask(asked).data["interactionid"]
        self.clock.advance(3)
        self.assertEqual(self.sessions.told, [f"{SESSION} added", f"{SESSION} present"])
        self.ready("ann")
        self.calls.ask(operation("interaction", "redirect", to="7001"))
        self.assertEqual(self.state(str(call)), ("talking", "ann"))
        self.calls.ask(operation("interaction", "terminate", interactionid=call))
        self.assertEqual(self.sessions.told[2:], [f"{SESSION} deleted"])

    def test_impossible_number(self) -> None:
        """Nobody is called."""
        asked = call_to("12")
        error = self.calls.refuses(TelephonyFailed, asked)
        self.assertEqual(error.reason, "invaliddestination")

    def test_data(self) -> None:
        """It is attached to the call of the session."""
        call = self.call_in(SESSION, a="1").interaction_id
        self.calls.ask(operation("interaction", "attach", udata={"b": 2}))
        self.assertEqual(self.admin.call(call).user_data, {"a": "1", "b": "2"})
