"""Module ``queue``: an agent is found, waited for, given up; and who asks too often waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules import queue
from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.queue import GAP_S, Queue
from gms_twisted.app.operations import Outcome
from gms_twisted.app.telephony import Target, TelephonyFailed
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.scxml.effects import Child, StartOperation
from tests.support.orchestration import CALL, OWNER, FakeCentre, Rig, operation

BILLING = Child(
    "targets",
    {},
    (Child("target", {"name": "Billing", "type": "agentgroup", "statserver": "Stat_Server"}),),
)
OTHER = replace(OWNER, session_id="0" * 32)


def submit(*children: Child, request_id: str = "r1", **attributes: Any) -> StartOperation:
    """Ask for an agent."""
    return operation(
        "queue", "submit", *(children or (BILLING,)), request_id=request_id, **attributes
    )


class Fixture(SynchronousTestCase):
    """A module over a contact centre."""

    def setUp(self) -> None:
        """Build it."""
        self.clock = Clock()
        self.centre = FakeCentre(calls={"i1": CALL})
        self.queue = Queue(self.centre, self.clock)
        self.rig = Rig(self, self.queue)

    def tearDown(self) -> None:
        """Nothing is left."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.queue._sessions, {})


class SubmitTests(Fixture):
    """``queue:submit``."""

    def test_found(self) -> None:
        """The event names the agent, the number, and the target that the agent was found by."""
        running = self.rig.start(submit(interactionid="i1"))
        self.assertNoResult(running)
        self.centre.find("r1")
        self.assertEqual(
            self.successResultOf(running),
            Outcome(
                "queue.submit.done",
                {
                    "interactionid": "i1",
                    "targetselected": "7001@Switch.A",
                    "targetcomponentselected": "Lee@Stat_Server.A",
                    "targetobjectselected": "Billing@Stat_Server.GA",
                    "vqselected": "",
                    "resource": {
                        "dn": "7001",
                        "switch": "Switch",
                        "type": "agent",
                        "agent": "Lee",
                        "group": "Billing",
                    },
                },
            ),
        )

    def test_request_id_at_once(self) -> None:
        """The session hears of the request before anything is found."""
        running = self.rig.start(submit())
        self.assertEqual(self.rig.told, [Outcome("queue.submit.requestid")])
        self.centre.find("r1")
        self.successResultOf(running)

    def test_what_is_asked(self) -> None:
        """Attributes may be numbers, booleans or their texts."""
        for route, timeout, priority in (("false", "300", "7"), (False, 300, 7)):
            running = self.rig.start(submit(route=route, timeout=timeout, priority=priority))
            (asked,) = self.centre.submitted
            self.assertEqual(
                (asked.submission_id, asked.session_id, asked.route),
                ("r1", OWNER.session_id, False),
            )
            self.assertEqual((asked.timeout_s, asked.priority), (300.0, 7))
            self.assertEqual(asked.targets, (Target("Billing", "agentgroup", "Stat_Server"),))
            self.centre.submitted.clear()
            self.centre.find("r1")
            self.successResultOf(running)

    def test_defaults(self) -> None:
        """Without a word the call is routed, and waited for as long as it takes, from then on."""
        running = self.rig.start(submit(), replace(OWNER, since=7.5))
        (asked,) = self.centre.submitted
        self.assertEqual((asked.route, asked.timeout_s, asked.priority), (True, None, 0))
        self.assertEqual(asked.since, 7.5)
        self.centre.find("r1")
        self.successResultOf(running)

    def test_not_found(self) -> None:
        """The centre's failure is the action's."""
        running = self.rig.start(submit())
        self.centre.fail("r1", "timeout")
        self.assertEqual(self.failureResultOf(running, TelephonyFailed).value.reason, "timeout")

    def test_bad_attributes(self) -> None:
        """What cannot be read is named, and nothing is asked for."""
        for attributes, name in (
            ({"timeout": "soon"}, "timeout"),
            ({"timeout": -1}, "timeout"),
            ({"timeout": "nan"}, "timeout"),
            ({"timeout": "1e999"}, "timeout"),
            ({"route": "perhaps"}, "route"),
            ({"priority": {}}, "priority"),
        ):
            rig = Rig(self, Queue(self.centre, self.clock))
            error = rig.refuses(InvalidRequest, submit(**attributes))
            self.assertEqual(error.parameter, name)
        self.assertEqual(self.centre.submitted, [])

    def test_longest_timeout(self) -> None:
        """A longer time than a month counts as that."""
        running = self.rig.start(submit(timeout=1e12))
        self.assertEqual(self.centre.submitted[0].timeout_s, queue.MAX_TIMEOUT_S)
        self.centre.find("r1")
        self.successResultOf(running)

    def test_cancelled_with_the_session(self) -> None:
        """Cancelling the action withdraws it."""
        running = self.rig.start(submit())
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(self.centre.waiting, {})

    def test_calls_of_others(self) -> None:
        """A call that is not the session's own is unknown, and that counts as a failure."""
        self.centre.calls["i2"] = replace(CALL, interaction_id="i2", session_id="other")
        for interaction_id in ("i2", "i9", "i2"):
            error = self.rig.refuses(TelephonyFailed, submit(interactionid=interaction_id))
            self.assertEqual(error.reason, "unknown")
        self.assertEqual(self.centre.submitted, [])
        running = self.rig.start(submit(interactionid="i1"))
        self.assertNoResult(running)
        self.clock.advance(GAP_S)
        self.centre.find("r1")
        self.successResultOf(running)

    def test_unknown_element(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, operation("queue", "release"))


class GapTests(Fixture):
    """A session that fails again and again is slowed down."""

    def lose(self, times: int) -> None:
        """Submit in vain so often, without a gap."""
        for _ in range(times):
            running = self.rig.start(submit())
            self.centre.fail("r1")
            self.failureResultOf(running, TelephonyFailed)

    def test_first_failures_are_free(self) -> None:
        """After two failures in a row the third submission goes at once."""
        self.lose(2)
        running = self.rig.start(submit())
        self.assertIn("r1", self.centre.waiting)
        self.centre.find("r1")
        self.successResultOf(running)

    def test_gap(self) -> None:
        """After the third, the next waits until the gap is over, and the one after that too."""
        self.lose(3)
        for _ in range(2):
            running = self.rig.start(submit())
            self.clock.advance(GAP_S - 0.01)
            self.assertEqual(self.centre.waiting, {})
            self.clock.advance(0.01)
            self.centre.fail("r1")
            self.failureResultOf(running, TelephonyFailed)

    def test_time_passed_counts(self) -> None:
        """Who comes later than the gap does not wait."""
        self.lose(3)
        self.clock.advance(GAP_S)
        running = self.rig.start(submit())
        self.centre.find("r1")
        self.successResultOf(running)

    def test_two_at_once(self) -> None:
        """Two that wait go one gap apart."""
        self.lose(3)
        first, second = self.rig.start(submit()), self.rig.start(submit(request_id="r2"))
        self.clock.advance(GAP_S)
        self.assertEqual(list(self.centre.waiting), ["r1"])
        self.clock.advance(GAP_S)
        self.assertEqual(list(self.centre.waiting), ["r1", "r2"])
        for running, request_id in ((first, "r1"), (second, "r2")):
            self.centre.find(request_id)
            self.successResultOf(running)

    def test_success_ends_it(self) -> None:
        """With an agent found the counting begins anew."""
        self.lose(2)
        running = self.rig.start(submit())
        self.centre.find("r1")
        self.successResultOf(running)
        self.lose(3)

    def test_unreadable_counts(self) -> None:
        """A submission that cannot be read waits and counts like any other."""
        for _ in range(3):
            self.rig.refuses(InvalidRequest, submit(timeout="soon"))
        running = self.rig.start(submit(timeout="soon"))
        self.assertNoResult(running)
        self.clock.advance(GAP_S)
        self.failureResultOf(running, InvalidRequest)

    def test_other_sessions(self) -> None:
        """Nobody else waits."""
        self.lose(3)
        running = self.rig.start(submit(), OTHER)
        self.centre.find("r1")
        self.successResultOf(running)

    def test_cancelled_in_the_gap(self) -> None:
        """Ended while it waits, it is never asked for."""
        self.lose(3)
        running = self.rig.start(submit())
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.clock.advance(GAP_S)
        self.assertEqual(len(self.centre.submitted), 3)

    def test_given_up_in_the_gap(self) -> None:
        """``queue:cancel`` reaches one that waits for its turn."""
        self.lose(3)
        running = self.rig.start(submit())
        self.rig.ask(operation("queue", "cancel", requestid="r1"))
        self.assertEqual(self.failureResultOf(running, TelephonyFailed).value.reason, "cancelled")

    def test_giving_up_is_no_failure(self) -> None:
        """A submission that was cancelled costs nothing."""
        for _ in range(4):
            running = self.rig.start(submit())
            self.assertIn("r1", self.centre.waiting)
            self.rig.ask(operation("queue", "cancel", requestid="r1"))
            self.failureResultOf(running, TelephonyFailed)

    def test_forgotten(self) -> None:
        """Failures are forgotten with the session, and beyond the limit the oldest first."""
        self.lose(3)
        self.queue.session_ended(OWNER.session_id)
        self.assertEqual(len(self.queue._paces), 0)
        self.patch(queue, "MAX_PACED", 2)
        for number in range(3):
            owner = replace(OWNER, session_id=str(number))
            running = self.rig.start(submit(), owner)
            self.centre.fail("r1")
            self.failureResultOf(running, TelephonyFailed)
        self.assertEqual(list(self.queue._paces), ["1", "2"])


class CancelTests(Fixture):
    """``queue:cancel`` and ``queue:query``."""

    def test_by_request_id(self) -> None:
        """That submission ends with ``cancelled``; others go on."""
        first, second = self.rig.start(submit()), self.rig.start(submit(request_id="r2"))
        done = self.rig.ask(operation("queue", "cancel", request_id="c", requestid="r1"))
        self.assertEqual(done, Outcome("queue.cancel.done"))
        self.assertEqual(self.failureResultOf(first, TelephonyFailed).value.reason, "cancelled")
        self.assertNoResult(second)
        self.centre.find("r2")
        self.successResultOf(second)

    def test_by_name(self) -> None:
        """All that wait for a target end, named by its name or its short form."""
        for name in ("Billing", "Billing@Stat_Server.GA"):
            both = [self.rig.start(submit(request_id=one)) for one in ("r1", "r2")]
            self.rig.ask(operation("queue", "cancel", queue=name))
            for running in both:
                self.failureResultOf(running, TelephonyFailed)

    def test_unknown(self) -> None:
        """What does not wait cannot be cancelled or asked about; nor what is another session's."""
        running = self.rig.start(submit(), OTHER)
        for element in ("cancel", "query"):
            for request_id in ("r1", "r9"):
                asked = operation("queue", element, request_id="c", requestid=request_id)
                error = self.rig.refuses(TelephonyFailed, asked)
                self.assertEqual(error.reason, "unknown")
        self.rig.refuses(InvalidRequest, operation("queue", "cancel"))
        self.centre.find("r1")
        self.successResultOf(running)

    def test_query(self) -> None:
        """It tells priority, position and whole seconds of waiting."""
        first, second = (
            self.rig.start(submit()),
            self.rig.start(submit(request_id="r2", priority=5)),
        )
        self.assertEqual(
            self.rig.ask(operation("queue", "query", request_id="q", requestid="r2")),
            Outcome("queue.query.done", {"priority": 5, "positioninqueue": 2, "invqwaittime": 12}),
        )
        for running, request_id in ((first, "r1"), (second, "r2")):
            self.centre.find(request_id)
            self.successResultOf(running)
