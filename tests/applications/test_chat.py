"""request-chat-poll."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.applications.moments import announce, at, find, start, subscribe, without
from tests.support.application import SESSION, Application

CHAT = "request-chat-poll"
TAG = "a2c.advanced.service"
URL = f"/genesys/1/service/{SESSION}"
WAITING = {"_id": SESSION, "_status": "waiting", "_dialog": "waiting_for_agent.html"}
AVAILABLE = {"_id": SESSION, "_status": "available", "_dialog": "agent_available.html"}
BAD = json.dumps({"message": "The device is unknown.", "exception": "gms.invalid_request"})


def plain() -> Application:
    """A chat without a device."""
    return Application(CHAT)


class CreationTests(SynchronousTestCase):
    """gms.start."""

    def test_without_device(self) -> None:
        """It is answered at once, and nobody is subscribed or told."""
        app = plain()
        self.assertEqual(app.positive(start(app)), {"_id": SESSION})
        find(app)
        app.hear("gms.chat.started", param={"chatSessionId": "c1"})
        app.hear("gms.chat.ended", param={})
        app.wait(600)
        self.assertTrue(app.ended)
        self.assertEqual(app.started("gsgNotification.create"), [])
        self.assertEqual(app.started("gsgNotification.publish"), [])

    def test_half_a_device(self) -> None:
        """A device of which the kind or the id is missing, or unknown, is none."""
        for app in (
            without(CHAT, "_device_os"),
            without(CHAT, "_device_notification_id"),
            at(CHAT, _device_os="Windows"),
        ):
            self.assertEqual(app.positive(start(app)), {"_id": SESSION})
            self.assertEqual(app.state(), "looking_for_agent")

    def test_with_device(self) -> None:
        """It is answered once the device is subscribed to all four kinds of events."""
        app = at(CHAT)
        request = start(app)
        filters = [
            content["filter"]
            for one in app.started("gsgNotification.create")
            if isinstance(content := one.attributes["content"], dict)
        ]
        kinds = ("statuschanged", "agentavailable", "expired", "poke")
        self.assertEqual(filters, [f"{TAG}.{kind}.{SESSION}" for kind in kinds])
        for one in app.started("gsgNotification.create"):
            self.assertIsNone(app.answer(request))
            app.done(one)
        self.assertEqual(app.positive(request), {"_id": SESSION})

    def test_device_refused(self) -> None:
        """A device that the server refuses is refused with its words."""
        app = at(CHAT)
        request = start(app)
        app.failed(app.last("gsgNotification.create"), content=BAD)
        self.assertEqual(app.negative(request), json.loads(BAD))
        self.assertTrue(app.ended)


class StatusTests(SynchronousTestCase):
    """status, in the reference's form."""

    def test_forms(self) -> None:
        """A message and the tag that an event of it would have."""
        for moment, message, kind in (
            ("looking_for_agent", WAITING, "statuschanged"),
            ("offered", AVAILABLE, "agentavailable"),
            ("looking_again", AVAILABLE, "agentavailable"),
            ("chatting", AVAILABLE, "agentavailable"),
            ("chat_over", {"_id": SESSION, "_status": "expired"}, "expired"),
            ("over", {"_id": SESSION, "_status": "expired"}, "expired"),
        ):
            app = at(CHAT, moment)
            expected = {"message": message, "tag": f"{TAG}.{kind}.{SESSION}"}
            self.assertEqual(app.positive(app.ask("status")), expected, moment)

    def test_verbose(self) -> None:
        """With _verbose there are URLs: of the request, or of the creation if that says nothing."""
        status = {"_session_comand_STATUS_URL": f"{URL}/status"}
        chat = {"_chatIxnAPI_CREATE_URL": f"{URL}/ixn/chat"}
        app = at(CHAT, "looking_for_agent")
        message = app.positive(app.ask("status", _verbose="true"))["message"]
        self.assertEqual(message, {**WAITING, **status})
        app = at(CHAT, "offered")
        message = app.positive(app.ask("status", _verbose="true"))["message"]
        self.assertEqual(message, {**AVAILABLE, **chat, **status})
        app = at(CHAT, "offered", _verbose="true")
        self.assertEqual(
            app.positive(app.ask("status"))["message"], {**AVAILABLE, **chat, **status}
        )
        message = app.positive(app.ask("status", _verbose="false"))["message"]
        self.assertEqual(message, AVAILABLE)

    def test_news(self) -> None:
        """The device hears of the same, in order."""
        app = at(CHAT)
        subscribe(app)
        find(app)
        self.assertEqual(app.news(), [("statuschanged", WAITING)])
        announce(app)
        self.assertEqual(app.news()[1:], [("agentavailable", AVAILABLE)])
        app.wait(4000)
        self.assertEqual(app.news()[-1], ("expired", {"_id": SESSION, "_status": "expired"}))
        self.assertTrue(app.ended)


class PokeTests(SynchronousTestCase):
    """internal-poke."""

    def test_poke(self) -> None:
        """The agent's message is pushed, and the answer is OK once it is out."""
        app = at(CHAT, "chatting")
        request = app.ask("internal-poke", poke_message='Hello? {"x"}')
        self.assertIsNone(app.answer(request))
        self.assertEqual(app.published()[-1], ("poke", 'Hello? {"x"}'))
        announce(app)
        answer = app.answer(request)
        assert answer is not None
        self.assertEqual((answer.positive, answer.body), (True, "OK"))

    def test_option(self) -> None:
        """Without a message it is the service's; without that the agent is told to give one."""
        app = at(CHAT, "chatting")
        app.ask("internal-poke")
        self.assertEqual(app.published()[-1], ("poke", "Are you there?"))
        app = at(CHAT, "chatting", _poke_message="")
        self.assertIn("poke_message", str(app.negative(app.ask("internal-poke"))["message"]))

    def test_only_in_a_chat(self) -> None:
        """There is nobody to be nudged before a chat and after it."""
        for moment in ("looking_for_agent", "offered", "chat_over", "over"):
            app = at(CHAT, moment)
            body = app.negative(app.ask("internal-poke", poke_message="Hello?"))
            self.assertEqual(body["exception"], "gms.unavailable", moment)

    def test_no_device(self) -> None:
        """Without a device there is nothing to nudge with."""
        app = plain()
        start(app)
        find(app)
        app.hear("gms.chat.started", param={"chatSessionId": "c1"})
        body = app.negative(app.ask("internal-poke", poke_message="Hello?"))
        self.assertEqual(body["exception"], "gms.unavailable")
        self.assertIn("device", str(body["message"]))

    def test_not_delivered(self) -> None:
        """A message that does not get through is told to the agent."""
        app = at(CHAT, "chatting")
        request = app.ask("internal-poke", poke_message="Hello?")
        app.failed(app.last("gsgNotification.publish"), "gms.push.not_delivered", content=BAD)
        self.assertEqual(app.negative(request), json.loads(BAD))

    def test_several(self) -> None:
        """Several at once get each its own answer."""
        app = at(CHAT, "chatting")
        requests = [app.ask("internal-poke", poke_message=str(number)) for number in range(3)]
        published = app.started("gsgNotification.publish")[-3:]
        app.done(published[2])
        app.failed(published[0])
        app.done(published[1])
        answers = [app.answer(request) for request in requests]
        self.assertEqual([one and one.positive for one in answers], [False, True, True])
        self.assertEqual(app.data()["pokes"], {})


class ChatTests(SynchronousTestCase):
    """The chat itself."""

    def test_over(self) -> None:
        """Ten minutes after the chat the service is gone, without news."""
        app = at(CHAT, "chat_over")
        app.wait(599)
        self.assertFalse(app.ended)
        app.wait(1)
        self.assertTrue(app.ended)
        self.assertNotIn("expired", [kind for kind, _ in app.news()])

    def test_agents_come_and_go(self) -> None:
        """While a chat goes on, no agent is looked for."""
        app = at(CHAT, "chatting")
        searches = len(app.started("queue.submit"))
        app.wait(3000)
        self.assertEqual(len(app.started("queue.submit")), searches)

    def test_begun_at_any_moment(self) -> None:
        """A chat that the server has let begin counts, whatever the session thought."""
        app = at(CHAT, "looking_again")
        search = app.last("queue.submit").request_id
        app.hear("gms.chat.started", param={"chatSessionId": "c1"})
        self.assertEqual(app.state(), "chatting")
        self.assertEqual(app.last("queue.cancel").attributes["requestid"], search)
        self.assertEqual(app.data()["chat"], "c1")
