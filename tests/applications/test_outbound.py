"""Services whose customers are called: immediate, delay, poll."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.applications.moments import announce, at, find, start, subscribe, without
from tests.support.application import SESSION, Application

IMMEDIATE = "request-outbound-immediate"
DELAY = "request-outbound-delay"
POLL = "request-outbound-poll"
IDENTITY = {"_id": SESSION}
AVAILABLE = {"_id": SESSION, "_status": "available", "_dialog": "agent_available.html"}


def placed(app: Application) -> None:
    """The call is placed."""
    app.done(app.last("interaction.createcall"), interactionid="call-1")


class MandatoryTests(SynchronousTestCase):
    """Parameters without which there is no service."""

    def test_missing(self) -> None:
        """Each is named in a negative answer, and nothing else happens."""
        for name, parameter in (
            *((IMMEDIATE, "_phone_number"), (POLL, "_phone_number"), (DELAY, "_phone_number")),
            *((DELAY, "_device_os"), (DELAY, "_device_notification_id")),
        ):
            for app in (without(name, parameter), at(name, **{parameter: ""})):
                body = app.negative(start(app))
                expected = f"{parameter} is missing or empty."
                self.assertEqual(body, {"message": expected, "exception": "gms.invalid_request"})
                self.assertTrue(app.ended)
                self.assertEqual(app.started("interaction.createcall"), [])


class ImmediateTests(SynchronousTestCase):
    """request-outbound-immediate."""

    def test_flow(self) -> None:
        """The customer is called, and connected with an agent."""
        app = at(IMMEDIATE)
        request = start(app)
        wanted = app.last("interaction.createcall").attributes
        self.assertEqual(wanted["to"], "+16504660001")
        self.assertEqual(wanted["from"], "gms_preconfig_callorig_rp")
        self.assertEqual(wanted["udata"], {"gms_service_id": SESSION, "gms_data_id": "d1"})
        self.assertIsNone(app.answer(request))
        placed(app)
        self.assertEqual(app.positive(request), IDENTITY)
        app.call()
        find(app)
        app.hang_up()
        self.assertTrue(app.ended)

    def test_refused(self) -> None:
        """A number that cannot be called is the customer's fault, anything else is not."""
        for error, code in (
            ("invaliddestination", "gms.invalid_request"),
            ("timeout", "gms.unavailable"),
            ("unsupported", "gms.unavailable"),
        ):
            app = at(IMMEDIATE)
            request = start(app)
            app.failed(app.last("interaction.createcall"), error)
            self.assertEqual(app.negative(request)["exception"], code)
            self.assertTrue(app.ended)

    def test_quick_customer(self) -> None:
        """A call that is there, or over, before it was said to be placed is answered for too."""
        app = at(IMMEDIATE)
        request = start(app)
        app.call()
        self.assertEqual(app.positive(request), IDENTITY)
        app = at(IMMEDIATE)
        request = start(app)
        app.hang_up()
        app.negative(request)
        self.assertTrue(app.ended)

    def test_no_answer(self) -> None:
        """Nobody is called twice: without an answer the call is hung up and the service ends."""
        for name in (IMMEDIATE, DELAY, POLL):
            app = at(name, "ringing")
            app.wait(59)
            self.assertFalse(app.ended)
            app.wait(1)
            self.assertTrue(app.ended)
            hung_up = app.last("interaction.terminate").attributes
            self.assertEqual(hung_up["interactionid"], "call-1")
            self.assertEqual(len(app.started("interaction.createcall")), 1)


class AcceptTests(SynchronousTestCase):
    """The request accept."""

    def test_too_early(self) -> None:
        """Nobody is called before an agent is available."""
        for name in (DELAY, POLL):
            app = at(name, "looking_for_agent")
            self.assertEqual(app.negative(app.ask("accept"))["exception"], "gms.unavailable")
            self.assertEqual(app.started("interaction.createcall"), [])

    def test_accepted(self) -> None:
        """It is answered once the call is placed; again, it is answered and nothing is done."""
        for name in (DELAY, POLL):
            app = at(name, "offered")
            first = app.ask("accept")
            self.assertIsNone(app.answer(first))
            self.assertEqual(app.positive(app.ask("accept")), IDENTITY)
            placed(app)
            self.assertEqual(app.positive(first), IDENTITY)
            self.assertEqual(app.positive(app.ask("accept")), IDENTITY)
            app.call()
            self.assertEqual(app.positive(app.ask("accept")), IDENTITY)
            self.assertEqual(len(app.started("interaction.createcall")), 1)

    def test_not_at_this_moment(self) -> None:
        """A call that cannot be placed now can be accepted again."""
        for name in (DELAY, POLL):
            app = at(name, "calling")
            told = len(app.published())
            app.failed(app.last("interaction.createcall"), "timeout")
            self.assertEqual(app.state(), "offered")
            second = app.ask("accept")
            placed(app)
            self.assertEqual(app.positive(second), IDENTITY)
            self.assertEqual(len(app.published()), told)

    def test_never(self) -> None:
        """A number that cannot be called ends the service."""
        for name in (DELAY, POLL):
            app = at(name, "offered")
            request = app.ask("accept")
            app.failed(app.last("interaction.createcall"), "invaliddestination")
            self.assertEqual(app.negative(request)["exception"], "gms.invalid_request")
            self.assertIn(app.state(), ("expiring", "over"))
            app.wait(60)
            self.assertTrue(app.ended)

    def test_while_made_sure(self) -> None:
        """It is accepted also while it is made sure that the agent is still there."""
        for name in (DELAY, POLL):
            app = at(name, "looking_again")
            search = app.last("queue.submit").request_id
            app.ask("accept")
            self.assertEqual(app.state(), "calling")
            self.assertEqual(app.last("queue.cancel").attributes["requestid"], search)


class DelayTests(SynchronousTestCase):
    """request-outbound-delay."""

    def test_news(self) -> None:
        """The device hears of waiting, then of the agent, in this order."""
        app = at(DELAY)
        subscribe(app)
        find(app)
        self.assertEqual([kind for kind, _ in app.news()], ["statuschanged"])
        announce(app)
        self.assertEqual(app.news()[1:], [("agentavailable", AVAILABLE)])


class PollTests(SynchronousTestCase):
    """request-outbound-poll."""

    def test_status(self) -> None:
        """It is waiting, then available until the end."""
        app = at(POLL, "looking_for_agent")
        waiting = {"_id": SESSION, "_status": "waiting", "_dialog": "waiting_for_agent.html"}
        self.assertEqual(app.positive(app.ask("status")), waiting)
        for moment in ("offered", "looking_again", "calling", "ringing", "routing", "connected"):
            app = at(POLL, moment)
            self.assertEqual(app.positive(app.ask("status")), AVAILABLE, moment)
        app = at(POLL, "over")
        self.assertEqual(app.positive(app.ask("status")), {"_id": SESSION, "_status": "expired"})
