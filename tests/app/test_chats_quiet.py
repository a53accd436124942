"""Refreshes that bring nothing: the same without asking the chat server as with it.

Each fact holds for a chat server on its wire, where every refresh is a request; and for one
that is near, where most refreshes are made without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from gms_twisted.app.chat_answers import Call
from gms_twisted.app.chat_records import ChatNotStarted, ChatState
from gms_twisted.app.chat_requests import Attempt
from gms_twisted.app.chats import ChatOver
from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.config.options import ChatOptions, LimitOptions
from gms_twisted.domain.chat import AfterAction, Visibility
from gms_twisted.domain.errors import ServiceNotFound, TooManyRequests
from gms_twisted.domain.ids import AgentName, ChatSessionId, GmsUser
from gms_twisted.embedded.rooms import CustomerState
from tests.app.test_chats_served import AGENT, HERE, THERE, USER, Fixture
from tests.support.chat_server import refresh

LISTENER = AgentName("lis")
SILENCE_S = 45
"""A customer without a request so long has left."""


class QuietTests(Fixture):
    """A chat that a client polls."""

    def setUp(self) -> None:
        """A chat in which nobody has said anything."""
        super().setUp()
        self.service_id, self.session_id = self.chatting(firstName="Vasya")

    def refresh(self, **fields: str) -> dict[str, Any]:
        """Poll."""
        return self.call(self.service_id, Call.REFRESH, **fields)

    def quiet(self, position: str) -> dict[str, Any]:
        """What is answered when there is nothing new."""
        return {
            "chatIxnState": "TRANSCRIPT",
            "chatSessionId": self.session_id,
            "transcriptPosition": position,
            "chatServiceMessage": "Chat service is available",
            "transcriptToShow": [],
            "startedAt": "2012-06-09T22:26:17Z",
        }

    def texts(self, answer: dict[str, Any]) -> list[str]:
        """What an answer shows."""
        return [row[2] for row in answer["transcriptToShow"]]

    def is_in_the_chat(self) -> bool:
        """Tell whether the chat server still has the customer."""
        info = self.do(self.world.server.rooms.session(self.session_id))
        return next(one for one in info.parties if one.is_customer).present

    def wait(self, seconds: float, every_s: float) -> None:
        """Poll for a time."""
        for _ in range(int(seconds / every_s)):
            self.world.advance(every_s)
            self.assertEqual(self.refresh(), self.quiet("1"))

    def test_nothing_new(self) -> None:
        """The chat object as it was, whether or not the client says how far it is."""
        self.assertEqual(self.refresh(), self.quiet("1"))
        self.assertEqual(self.refresh(transcriptPosition="1"), self.quiet("1"))
        self.assertEqual(self.refresh(transcriptPosition=" 1 ", message=""), self.quiet("1"))

    def test_verbose(self) -> None:
        """What a client asks for beside it is there, too."""
        answer = self.refresh(_verbose="true")
        self.assertEqual(answer["secureKey"], self.refresh(_verbose="1")["secureKey"])
        self.assertEqual(answer["chatServerHost"], HERE.host)

    def test_news(self) -> None:
        """What was said comes once, and again to who asks for it."""
        self.refresh()
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.agent_says(self.session_id, "hello")
        answer = self.refresh(transcriptPosition="1")
        self.assertEqual(self.texts(answer), ["has joined the session", "hello"])
        self.assertEqual(self.refresh(), self.quiet("3"))
        self.assertEqual(self.refresh(transcriptPosition="3"), self.quiet("3"))
        self.assertEqual(self.texts(self.refresh(transcriptPosition="2")), ["hello"])
        self.assertEqual(self.refresh(transcriptPosition="3"), self.quiet("3"))

    def test_hidden(self) -> None:
        """What only the staff sees moves the position."""
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.refresh()
        rooms = self.world.server.rooms
        self.do(rooms.enter(self.session_id, LISTENER, "Lis", visibility=Visibility.INT))
        self.assertEqual(self.refresh(), self.quiet("3"))
        self.assertEqual(self.refresh(), self.quiet("3"))

    def test_C04_ahead(self) -> None:
        """A position that the chat has not reached is its end."""
        self.assertEqual(self.refresh(transcriptPosition="9"), self.quiet("1"))

    def test_own_words(self) -> None:
        """A message with a refresh is said, and so is one that follows a quiet one."""
        self.refresh()
        self.assertEqual(self.texts(self.refresh(message="a")), ["a"])
        self.assertEqual(self.texts(self.call(self.service_id, Call.SEND, message="b")), ["b"])
        self.assertEqual(self.refresh(), self.quiet("3"))

    def test_typing(self) -> None:
        """Other calls are what they are."""
        self.refresh()
        answer = self.call(self.service_id, Call.START_TYPING)
        self.assertEqual(self.texts(answer), ["is typing"])

    def test_stays_in_the_chat(self) -> None:
        """Who polls is there; who stops has left."""
        self.wait(4 * SILENCE_S, SILENCE_S - 1)
        self.assertTrue(self.is_in_the_chat())
        self.world.advance(SILENCE_S + 1)
        self.assertFalse(self.is_in_the_chat())
        self.assertEqual(self.refresh()["chatIxnState"], "DISCONNECTED")

    def test_over(self) -> None:
        """The end of a chat is told, by whoever it ends."""
        self.refresh()
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.refresh()
        self.do(self.world.server.rooms.leave(self.session_id, AGENT, AfterAction.CLOSE))
        self.assertEqual(self.refresh()["chatIxnState"], "DISCONNECTED")
        self.assertEqual(self.refresh()["chatIxnState"], "DISCONNECTED")

    def test_left(self) -> None:
        """So is that the customer has left it."""
        self.refresh()
        self.call(self.service_id, Call.DISCONNECT)
        self.assertEqual(self.refresh()["chatIxnState"], "DISCONNECTED")

    def test_V11_whose(self) -> None:
        """A service of somebody else is not there, and one that was deleted is not, either."""
        self.refresh()
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, GmsUser("another"))
        self.failureResultOf(self.begin(work), ServiceNotFound)
        self.do(self.house.services.delete(self.service_id, GmsUser(USER)))
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), ServiceNotFound)

    def test_not_begun(self) -> None:
        """A service without a chat has none to refresh."""
        service_id = self.house.create()
        work = self.house.chats.call(service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), ChatNotStarted)

    def test_C03_too_often(self) -> None:
        """Each one counts."""
        limits = LimitOptions(c03_refresh_per_s=1.0, c03_refresh_burst=5)
        self.house.chats.reconfigure(self.options, limits)
        for _ in range(5):
            self.refresh()
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), TooManyRequests)

    def test_behind_a_message(self) -> None:
        """A refresh that comes while a message is on its way waits for that."""
        self.refresh()
        near, self.near = self.near, False
        say = Deferred.fromCoroutine(self.say("one"))
        self.near = near
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None)
        polled = Deferred.fromCoroutine(work)
        self.assertNoResult(say)
        self.assertNoResult(polled)
        self.world.network.flush()
        self.assertEqual(self.texts(self.successResultOf(say)), ["one"])
        self.assertEqual(self.successResultOf(polled), self.quiet("2"))

    async def say(self, text: str) -> dict[str, Any]:
        """Say something."""
        return await self.house.chats.call(self.service_id, Call.SEND, {"message": text}, None)

    def change(self, change: Callable[[ChatState], ChatState]) -> None:
        """Have the record of the chat be another one."""
        state = self.do(self.house.records.read(self.service_id))
        self.do(self.house.records.change(state, change))

    def test_long_transcript(self) -> None:
        """A client that has got a part of what is known gets the next."""
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.refresh()
        self.change(lambda state: replace(state, position=1))
        self.assertEqual(self.texts(self.refresh()), ["has joined the session"])

    def test_over_for_us(self) -> None:
        """What is over on our side is over, whatever the chat server thinks of it."""
        self.refresh()
        self.change(lambda state: replace(state, closed=True))
        self.assertEqual(self.refresh()["chatIxnState"], "DISCONNECTED")
        options = replace(self.options, chat_400_response_on_disconnected=True)
        self.house.chats.reconfigure(options, LimitOptions())
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), ChatOver)

    def test_lost_answers(self) -> None:
        """Where an answer was lost, what it brought comes again."""
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        first = Attempt("", "first", frozenset())
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None, first)
        self.assertEqual(self.texts(self.do(work)), ["has joined the session"])
        again = Attempt("", "second", frozenset({"first"}))
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None, again)
        self.assertEqual(self.texts(self.do(work)), ["has joined the session"])

    def test_server_gone(self) -> None:
        """Without a chat server nothing is known."""
        self.refresh()
        self.do(self.world.server.stop())
        del self.world.network.servers[HERE]
        self.where = None
        work = self.house.chats.call(self.service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), ChatServerUnavailable)

    def test_server_moved(self) -> None:
        """One on another port after a restart goes on."""
        self.refresh()
        self.world.kill()
        del self.world.network.servers[HERE]
        server = self.world.start()
        self.where = THERE
        self.world.network.servers[THERE] = server.flex_factory
        self.assertEqual(self.refresh(), self.quiet("1"))
        self.wait(2 * SILENCE_S, SILENCE_S - 1)
        self.assertTrue(self.is_in_the_chat())


class CometTests(Fixture):
    """A chat that is delivered on Bayeux."""

    def test_C10_heard(self) -> None:
        """A refresh is no poll, but a sign that the client is there."""
        self.house.events.arrive(USER)
        service_id, session_id = self.chatting(notify_by="comet")
        self.world.network.flush()
        self.house.events.leave(USER)
        for _ in range(10):
            self.world.advance(50)
            self.call(service_id, Call.REFRESH)
        session = self.do(self.world.server.rooms.session(session_id))
        self.assertIs(session.customer, CustomerState.HERE)
        self.world.advance(75)
        session = self.do(self.world.server.rooms.session(session_id))
        self.assertIs(session.customer, CustomerState.AWAY)


class ShortLifeTests(Fixture):
    """A chat that is remembered for a minute only."""

    options = replace(ChatOptions(embedded=True), chat_session_ttl_s=60.0)

    def test_kept_alive(self) -> None:
        """Polls keep the chat and its service; without any both are forgotten."""
        service_id, _ = self.chatting()
        for _ in range(30):
            self.world.advance(10)
            self.call(service_id, Call.REFRESH)
        self.world.advance(61)
        work = self.house.chats.call(service_id, Call.REFRESH, {}, None)
        self.failureResultOf(self.begin(work), ChatNotStarted, ServiceNotFound)


class NearQuietTests(QuietTests):
    """The same, asked without a connection."""

    near = True

    def test_nobody_is_asked(self) -> None:
        """A quiet refresh is no request; any other is."""
        asked: list[object] = []
        flex = self.world.server.flex
        assert flex is not None
        handle = flex.handle

        async def counted(request: Any, *more: Any) -> Any:
            asked.append(request)
            return await handle(request, *more)

        flex.handle = counted  # type: ignore[assignment]  # counts
        for fields in ({}, {"transcriptPosition": "1"}, {"_verbose": "true"}):
            self.refresh(**fields)
        self.assertEqual(asked, [])
        self.refresh(message="one")
        self.assertEqual(len(asked), 1)
        self.refresh(transcriptPosition="1")
        self.assertEqual(len(asked), 2)

    def test_C11_somebody_else(self) -> None:
        """With a wrong key, for another chat or at another position it says nothing."""
        flex = self.world.server.flex
        assert flex is not None
        client = self.world.flex()
        who = self.world.customer(client).credentials
        assert who is not None
        state = self.do(self.house.records.read(self.service_id))
        mine = state.credentials
        self.assertTrue(flex.is_quiet(mine, self.session_id, 1))
        self.assertFalse(flex.is_quiet(replace(mine, secure_key="x"), self.session_id, 1))
        self.assertFalse(flex.is_quiet(who, self.session_id, 1))
        self.assertFalse(flex.is_quiet(mine, ChatSessionId("000C2A7VVQRB001U"), 1))
        self.assertFalse(flex.is_quiet(mine, self.session_id, 0))
        self.assertFalse(flex.is_quiet(mine, self.session_id, 2))
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.call(self.service_id, Call.DISCONNECT)
        self.assertFalse(flex.is_quiet(mine, self.session_id, 3))

    def test_home_of_another(self) -> None:
        """A customer whom another server has by now is not this one's to hear."""
        one, state = self.world.server, self.do(self.house.records.read(self.service_id))
        assert one.flex is not None
        self.assertTrue(one.flex.is_quiet(state.credentials, self.session_id, 1))
        two = self.world.start("2")
        assert two.flex is not None
        self.do(one.rooms.reread(self.session_id))
        self.assertFalse(one.flex.is_quiet(state.credentials, self.session_id, 1))
        refresh(self.world.flex(), state.credentials, self.session_id, 1)
        self.assertTrue(two.flex.is_quiet(state.credentials, self.session_id, 1))


class NearCometTests(CometTests):
    """Likewise."""

    near = True


class NearShortLifeTests(ShortLifeTests):
    """Likewise."""

    near = True
