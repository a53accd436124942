"""Chats on the built-in chat server, over its own wire in memory."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Answer, Call
from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.chat import AfterAction, ChatServerAddress, Notice, NoticeType
from gms_twisted.domain.ids import AgentName, ChatSessionId, GmsUser, ServiceId
from gms_twisted.embedded.rooms import CustomerState
from gms_twisted.transports.chatserver import ChatServers
from tests.support.chat_house import ChatHouse, Ground
from tests.support.chat_server import ChatWorld

T = TypeVar("T")
HERE = ChatServerAddress("1", "127.0.0.1", 4856)
THERE = ChatServerAddress("1", "127.0.0.1", 4857)
AGENT = AgentName("kate")
USER = "BuzzBrain"


async def _no_page(url: str) -> tuple[int, bytes]:
    return 503, b""


class Fixture(SynchronousTestCase):
    """A chat server, a gateway, a house on top.

    :ivar near: the chat server is asked without a connection.
    :ivar options: section ``chat``.
    """

    near = False
    options = ChatOptions(embedded=True)

    def setUp(self) -> None:
        """Put it together."""
        self.world = ChatWorld(self)
        self.where: ChatServerAddress | None = HERE
        self.world.network.servers[HERE] = self.world.server.flex_factory
        gateway = ChatServers(
            self.options,
            lambda: self.where,
            self.world.network.endpoint,
            _no_page,
            self.world.clock,
            self.world.ids,
            lambda server: self.world.server.flex if self.near and server == self.where else None,
        )
        ground = Ground(self.world.clock, self.world.wall, self.world.ids, gateway=gateway)
        self.house = ChatHouse(self, ground=ground, chat=self.options)

    def begin(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Begin something and let its bytes move."""
        running = Deferred.fromCoroutine(work)
        self.world.network.flush()
        return running

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that needs no time."""
        result: T = self.successResultOf(self.begin(work))
        self.world.network.flush()
        return result

    def call(self, service_id: str, call: Call, **fields: str) -> Answer:
        """Call the Chat API."""
        return self.do(self.house.chats.call(service_id, call, fields, None))

    def chatting(self, **fields: str) -> tuple[ServiceId, ChatSessionId]:
        """Create a service and start its chat; gives both ids."""
        service_id = self.house.create({"product": "phone"}, USER)
        answer = self.call(service_id, Call.START, **fields)
        return service_id, ChatSessionId(str(answer["chatSessionId"]))

    def agent_says(self, session_id: ChatSessionId, text: str) -> int:
        """An agent in the chat says something."""
        return self.do(self.world.server.rooms.send(session_id, AGENT, text))

    def delivered(self) -> list[str]:
        """The texts that were handed over since the last call."""
        self.world.network.flush()
        messages = self.house.events.take()
        return [row[2] for message in messages for row in message["transcriptToShow"]]


class PollingTests(Fixture):
    """A polling client."""

    def test_whole_chat(self) -> None:
        """From the queue to the end, positions and rows as printed."""
        service_id, session_id = self.chatting(firstName="Vasya", lastName="P", subject="test")
        (waiting,) = self.world.server.rooms.waiting()
        self.assertEqual(waiting.service_id, service_id)
        self.assertEqual(waiting.gms_user, USER)
        self.assertEqual(waiting.subject, "test")
        self.assertEqual(waiting.user_data["product"], "phone")
        self.do(self.world.server.rooms.accept(session_id, AGENT, "Kate"))
        self.agent_says(session_id, "hello customer")
        answer = self.call(service_id, Call.SEND, message="hello agent")
        self.assertEqual(answer["transcriptPosition"], "4")
        self.assertEqual(
            answer["transcriptToShow"],
            [
                ["Notice.Joined", "Kate", "has joined the session", "0", "AGENT"],
                ["Message.Text", "Kate", "hello customer", "0", "AGENT"],
                ["Message.Text", "VasyaP", "hello agent", "0", "CLIENT"],
            ],
        )
        answer = self.call(service_id, Call.START_TYPING)
        self.assertEqual(answer["transcriptPosition"], "5")
        answer = self.call(service_id, Call.DISCONNECT)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertEqual(answer["transcriptPosition"], "5")
        self.agent_says(session_id, "gone already?")
        answer = self.call(service_id, Call.REFRESH, transcriptPosition="1")
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        rows = answer["transcriptToShow"]
        assert isinstance(rows, list)
        self.assertEqual(
            [row[2] for row in rows],
            [
                "has joined the session",
                "hello customer",
                "hello agent",
                "is typing",
                "has left the session",
            ],
        )

    def test_agent_closes(self) -> None:
        """The refresh after the agent's end has the last rows and the state."""
        service_id, session_id = self.chatting()
        self.do(self.world.server.rooms.accept(session_id, AGENT, "Kate"))
        self.do(self.world.server.rooms.leave(session_id, AGENT, AfterAction.CLOSE))
        answer = self.call(service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        rows = answer["transcriptToShow"]
        assert isinstance(rows, list)
        self.assertIn("has left the session", [row[2] for row in rows])

    def test_restart_of_the_chat_server(self) -> None:
        """On another port after a restart the chat goes on, nothing lost or said twice."""
        service_id, session_id = self.chatting()
        self.call(service_id, Call.SEND, message="one")
        self.world.kill()
        del self.world.network.servers[HERE]
        self.where = None
        refused = self.begin(self.house.chats.call(service_id, Call.SEND, {"message": "2"}, None))
        self.failureResultOf(refused, ChatServerUnavailable)
        server = self.world.start()
        self.where = THERE
        self.world.network.servers[THERE] = server.flex_factory
        self.call(service_id, Call.SEND, message="three")
        transcript = self.do(server.rooms.transcript(session_id))
        self.assertEqual([event.text for event in transcript.events[1:]], ["one", "three"])


class CometTests(Fixture):
    """A client on Bayeux."""

    def setUp(self) -> None:
        """A chat with an agent in it, delivered to a client that is there."""
        super().setUp()
        self.house.events.arrive(USER)
        self.service_id, self.session_id = self.chatting(notify_by="comet", firstName="Buzz")
        self.do(self.world.server.rooms.accept(self.session_id, AGENT, "Kate"))
        self.world.network.flush()
        self.delivered()

    def customer(self) -> CustomerState:
        """Where the agent sees the customer."""
        return self.do(self.world.server.rooms.session(self.session_id)).customer

    def test_both_ways(self) -> None:
        """What each says arrives at once at the other."""
        self.agent_says(self.session_id, "hello")
        self.assertEqual(self.delivered(), ["hello"])
        self.call(self.service_id, Call.SEND, message="hi")
        self.assertEqual(self.delivered(), ["hi"])

    def test_stays_in_the_chat(self) -> None:
        """Held refreshes keep a silent customer in the chat for long."""
        self.world.advance(600)
        self.assertIs(self.customer(), CustomerState.HERE)
        self.agent_says(self.session_id, "still here?")
        self.assertEqual(self.delivered(), ["still here?"])

    def test_C10_away_and_back(self) -> None:
        """The agent sees the customer away after a minute, and here again on return."""
        self.house.events.leave(USER)
        self.world.advance(75)
        self.assertIs(self.customer(), CustomerState.AWAY)
        self.agent_says(self.session_id, "where are you?")
        self.house.events.arrive(USER)
        self.world.network.flush()
        self.assertIs(self.customer(), CustomerState.HERE)
        self.assertIn("where are you?", self.delivered())

    def test_C10_gone_for_good(self) -> None:
        """After ``client_timeout`` the customer has left."""
        self.house.events.leave(USER)
        self.world.advance(920)
        session = self.do(self.world.server.rooms.session(self.session_id))
        self.assertFalse(next(one for one in session.parties if one.is_customer).present)

    def test_lost_connection(self) -> None:
        """A connection cut under a held refresh: nothing is lost."""
        self.world.network.cut()
        self.agent_says(self.session_id, "one")
        self.world.advance(20)
        self.agent_says(self.session_id, "two")
        self.world.advance(1)
        self.assertEqual(self.delivered(), ["one", "two"])

    def test_pushed_url(self) -> None:
        """A URL that the agent pushes arrives."""
        notice = Notice(NoticeType.PUSH_URL, "https://example.com/")
        self.do(self.world.server.rooms.notice(self.session_id, AGENT, notice))
        self.assertEqual(self.delivered(), ["https://example.com/"])

    def test_deleted_service(self) -> None:
        """Deleting the service takes the customer out of the chat."""
        self.do(self.house.services.delete(self.service_id, GmsUser(USER)))
        session = self.do(self.world.server.rooms.session(self.session_id))
        self.assertFalse(next(one for one in session.parties if one.is_customer).present)


class NearPollingTests(PollingTests):
    """The same, asked without a connection."""

    near = True

    def test_no_connection(self) -> None:
        """There is none."""
        self.chatting()
        self.assertEqual(self.world.network.attempts, [])


class NearCometTests(CometTests):
    """Likewise."""

    near = True
