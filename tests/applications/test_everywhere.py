"""What can happen at any time, at every moment of every application."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.applications.moments import PARAMETERS, at, everywhere, find, finish_all, reserve
from tests.support.application import NAMES, SESSION, Application

CHAT = "request-chat-poll"
VOICE = [name for name in NAMES if name != CHAT]
WITH_DEVICE = [name for name in NAMES if "_device_os" in PARAMETERS[name]]
SERVING = {"routing", "between_tries", "connected"}
STARTING = {"waiting_for_start", "subscribing", "locating"}
GONE = {"expiring", "over", "chat_over"}
REQUESTS = {
    "request-chat-poll": ("status", "internal-poke"),
    "request-inbound-delay": ("reserve",),
    "request-inbound-delay-location": ("reserve",),
    "request-inbound-immediate": (),
    "request-inbound-poll": ("status", "reserve"),
    "request-outbound-delay": ("accept",),
    "request-outbound-immediate": (),
    "request-outbound-poll": ("status", "accept"),
}


def expire(app: Application) -> None:
    """Let the life of the service end, and whatever then has a bound of its own."""
    app.wait(3600)
    for _ in range(10):
        if app.ended:
            return
        if app.state() == "routing":
            app.failed(app.last("queue.submit"), "timeout")
        app.wait(60)


class AnyMomentTests(SynchronousTestCase):
    """Every state of every application."""

    def test_life_ends(self) -> None:
        """When its life is over a service ends, wherever it is, and leaves no subscription."""
        for name, moment in everywhere():
            app = at(name, moment)
            expire(app)
            self.check_end(app, (name, moment))

    def check_end(self, app: Application, where: object) -> None:
        """It came to its end in good order."""
        self.assertTrue(app.ended, where)
        self.assertEqual(app.complaints(), [], where)
        deleted = app.started("gsgNotification.deleteSubscriber")
        expected = [SESSION] if "_device_os" in app.parameters else []
        self.assertEqual([one.attributes["subscriberID"] for one in deleted], expected, where)
        self.assertEqual(app.trace[-1], ("ended", "done"), where)

    def test_end_is_told(self) -> None:
        """A device is told once that a service has expired, unless its customer is served."""
        for name, moment in everywhere(*WITH_DEVICE):
            app = at(name, moment)
            expire(app)
            kinds = [kind for kind, _ in app.news()]
            served = moment in ("ringing", "connected", "chat_over")
            self.assertEqual(kinds.count("expired"), 0 if served else 1, (name, moment))

    def test_call_over(self) -> None:
        """When its call is over a service ends at once; it only finishes a last event."""
        for name, moment in everywhere(*VOICE):
            app = at(name, moment)
            app.hang_up()
            if moment == "expiring":
                app.wait(10)
            self.check_end(app, (name, moment))

    def test_call_comes(self) -> None:
        """A customer on the line comes first, whatever the service was doing."""
        for name, moment in everywhere(*VOICE):
            app = at(name, moment)
            app.call()
            if moment in SERVING:
                # The one that it has, told again.
                self.assertEqual(app.state(), moment, name)
                self.assertEqual(app.started("interaction.terminate"), [], name)
            else:
                self.assertEqual(app.state(), "routing", (name, moment))
                submitted = app.last("queue.submit").attributes
                self.assertEqual(submitted["interactionid"], "call-1")
                find(app)
                app.hang_up()
                self.check_end(app, (name, moment))

    def test_search_given_up(self) -> None:
        """A search that a call interrupts is withdrawn; no other is."""
        for name, moment in everywhere(*VOICE):
            app = at(name, moment)
            searches = app.started("queue.submit")
            app.call()
            cancelled = [one.attributes["requestid"] for one in app.started("queue.cancel")]
            searching = moment in ("looking_for_agent", "looking_again")
            self.assertEqual(cancelled, [searches[-1].request_id] if searching else [])

    def test_second_call(self) -> None:
        """While a customer is served, a second call is hung up on and changes nothing."""
        for name, moment in everywhere(*VOICE):
            if moment in SERVING:
                app = at(name, moment)
                app.call("call-2")
                hung_up = app.last("interaction.terminate").attributes
                self.assertEqual(hung_up["interactionid"], "call-2")
                app.hang_up("call-2")
                self.assertEqual(app.state(), moment)

    def test_requests(self) -> None:
        """Each request is answered at any moment, however often it comes."""
        for name, moment in everywhere():
            for request in ("gms.start", *REQUESTS[name]):
                app = at(name, moment)
                asked = [app.ask(request) for _ in range(3)]
                finish_all(app)
                answers = [app.answer(one) for one in asked]
                self.assertNotIn(None, answers, (name, moment, request))
                self.assertEqual(app.complaints(), [])

    def test_answers_too_late(self) -> None:
        """The end of an action that nobody waits for any more changes nothing."""
        ends = (
            *("queue.submit.done", "error.queue.submit", "queue.cancel.done"),
            *("gsgBasedServices.reserve.done", "error.gsgBasedServices.reserve"),
            *("gsgNotification.publish.done", "error.gsgNotification.publish"),
            *("voice.createcall.done", "error.voice.createcall", "queue.submit.requestid"),
            *("gms.nearest.done", "error.gms.nearest", "interaction.terminate.done"),
            *("error.script.ReferenceError", "error.interaction.terminate"),
        )
        for name, moment in everywhere():
            app = at(name, moment)
            before = len(app.effects)
            for end in ends:
                app.hear(end, requestid="f" * 32, error="timeout", content="{}")
                app.hear(end)
            self.assertEqual((app.state(), len(app.effects)), (moment, before), name)

    def test_events_of_the_name_of_states(self) -> None:
        """Timers of other moments go off without harm."""
        timers = ("pause.over", "recheck.due", "farewell.over", "access.expired", "news.late")
        for name, moment in everywhere():
            app = at(name, moment)
            own = {"pausing", "between_tries", "offered", "waiting_for_call", "agent_found"}
            if moment not in own | GONE:
                for timer in timers:
                    app.hear(timer)
                self.assertEqual(app.state(), moment, name)

    def test_terminated(self) -> None:
        """Somebody else may end a session at any moment."""
        for name, moment in everywhere():
            app = at(name, moment)
            app.terminate()
            self.assertTrue(app.ended)
            self.assertEqual(app.trace[-1], ("ended", "terminated"), (name, moment))
            self.assertEqual(app.complaints(), [])


class LifeTests(SynchronousTestCase):
    """How long a service lives."""

    def test_its_ttl(self) -> None:
        """It ends when its ttl is over and no second before."""
        for name in NAMES:
            app = at(name, "waiting_for_start", _ttl="7")
            app.wait(6.9)
            self.assertEqual(app.state(), "waiting_for_start")
            app.wait(0.2)
            app.wait(60)
            self.assertTrue(app.ended, name)

    def test_unusable(self) -> None:
        """A ttl that is none counts as an hour, one that is too long as a month."""
        for ttl, seconds in (
            *(("", 3600), ("soon", 3600), ("-5", 3600), ("1e9", 3600), ("0", 1)),
            *(("9999999999", 31 * 86400), ("99999999999999999999", 3600)),
        ):
            app = at("request-inbound-poll", "waiting_for_start", _ttl=ttl)
            app.wait(seconds - 0.5)
            self.assertFalse(app.ended, ttl)
            app.wait(1)
            self.assertTrue(app.ended, ttl)


class AgentSearchTests(SynchronousTestCase):
    """How an agent is waited for."""

    SEARCHING = [name for name, moment in everywhere() if moment == "looking_for_agent"]

    def test_finds_only(self) -> None:
        """An agent of the group is looked for; nobody is sent anything."""
        for name in self.SEARCHING:
            wanted = at(name, "looking_for_agent", _agent_group="VIP").last("queue.submit")
            self.assertIn(wanted.attributes["route"], (False, "false"))
            targets = wanted.children[0]
            self.assertEqual(targets.attributes["type"], "agentgroup")
            self.assertEqual(targets.children[0].attributes["name"], "VIP")

    def test_default_group(self) -> None:
        """Without _agent_group it is Billing."""
        for name in self.SEARCHING:
            wanted = at(name, "looking_for_agent").last("queue.submit")
            self.assertEqual(wanted.children[0].children[0].attributes["name"], "Billing")

    def test_as_long_as_it_lives(self) -> None:
        """That nobody is free is no failure: it looks again until its life is over."""
        for name in self.SEARCHING:
            app = at(name, "looking_for_agent", _ttl="100000")
            for _ in range(100):
                app.failed(app.last("queue.submit"), "timeout")
                self.assertEqual(app.state(), "pausing")
                app.wait(10)
                self.assertEqual(app.state(), "looking_for_agent")
            self.assertEqual(len(app.started("queue.submit")), 101)

    def test_gives_up(self) -> None:
        """After thirty failures in a row it gives up, and says so."""
        for name in self.SEARCHING:
            app = at(name, "looking_for_agent")
            for number in range(30):
                self.assertEqual(app.state(), "looking_for_agent", (name, number))
                app.failed(app.last("queue.submit"), "unknown")
                if number < 29:
                    app.wait(10)
            self.assertIn(app.state(), ("expiring", "over"))
            app.wait(60)
            self.assertTrue(app.ended)
            if name in WITH_DEVICE:
                self.assertEqual(app.news()[-1][0], "expired")

    def test_failures_in_a_row(self) -> None:
        """A search that only took long ends the row."""
        app = at("request-inbound-poll", "looking_for_agent")
        for error in [*["unknown"] * 29, "timeout", *["unknown"] * 29]:
            app.failed(app.last("queue.submit"), error)
            app.wait(10)
        self.assertEqual(app.state(), "looking_for_agent")

    def test_still_there(self) -> None:
        """From time to time it makes sure of the agent, and tells nobody while one is there."""
        for name in self.SEARCHING:
            app = at(name, "looking_again")
            told = len(app.published())
            find(app)
            self.assertEqual(app.state(), "offered", name)
            self.assertEqual(len(app.published()), told)

    def test_gone(self) -> None:
        """An agent who is gone makes the customer wait again, and the device hears of it."""
        for name in self.SEARCHING:
            app = at(name, "looking_again")
            app.failed(app.last("queue.submit"), "timeout")
            self.assertEqual(app.state(), "looking_for_agent", name)
            if name in WITH_DEVICE:
                self.assertEqual(app.news()[-1][0], "statuschanged")
                self.assertEqual(app.news()[-1][1]["_status"], "waiting")

    def test_found_again(self) -> None:
        """The next agent is announced as the first one was."""
        app = at("request-inbound-delay", "looking_again")
        app.failed(app.last("queue.submit"), "timeout")
        app.done(app.last("gsgNotification.publish"))
        find(app)
        reserve(app)
        kinds = [kind for kind, _ in app.news()]
        self.assertEqual(kinds, ["statuschanged", "agentavailable"] * 2)


class RoutingTests(SynchronousTestCase):
    """How a call gets to an agent."""

    ROUTED = [name for name, moment in everywhere() if moment == "routing"]

    def test_sent(self) -> None:
        """The call is sent to an agent of the group."""
        for name in self.ROUTED:
            wanted = at(name, "routing", _agent_group="VIP").last("queue.submit")
            self.assertIn(wanted.attributes["route"], (True, "true"))
            self.assertEqual(wanted.attributes["interactionid"], "call-1")
            self.assertEqual(wanted.children[0].children[0].attributes["name"], "VIP")

    def test_tries(self) -> None:
        """After three tries the caller is hung up on, and the service ends."""
        for name in self.ROUTED:
            app = at(name, "routing")
            before = len(app.started("queue.submit"))
            for number in range(3):
                self.assertEqual(app.state(), "routing", (name, number))
                self.assertEqual(app.started("interaction.terminate"), [])
                app.failed(app.last("queue.submit"), "timeout")
                app.wait(10)
            self.assertEqual(len(app.started("queue.submit")), before + 2)
            hung_up = app.last("interaction.terminate").attributes
            self.assertEqual(hung_up["interactionid"], "call-1")
            app.hang_up()
            app.wait(10)
            self.assertTrue(app.ended, name)
            if name in WITH_DEVICE:
                self.assertEqual(app.news()[-1][0], "expired")

    def test_overdue(self) -> None:
        """A caller who waits is not hung up on because the service's life is over."""
        for name in self.ROUTED:
            app = at(name, "routing")
            app.wait(3601)
            self.assertEqual(app.state(), "routing", name)
            find(app)
            self.assertTrue(app.ended)
            self.assertEqual(app.started("interaction.terminate"), [])

    def test_conversation_goes_on(self) -> None:
        """The end of the service's life does not end a conversation."""
        for name in self.ROUTED:
            app = at(name, "connected")
            app.wait(3601)
            self.assertTrue(app.ended, name)
            self.assertEqual(app.started("interaction.terminate"), [])
