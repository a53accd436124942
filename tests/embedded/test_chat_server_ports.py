"""The chat server's ports: agents' programs, hostile peers, opening and closing."""

from __future__ import annotations

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.framing import KEEP_ALIVE
from gms_twisted.chatserver.messages import (
    EventPush,
    FlexLogout,
    FlexRefresh,
    Join,
    Offer,
    Register,
    Release,
    Say,
    Status,
    Tell,
)
from gms_twisted.config.options import ChatOptions, ChatServerOptions
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    EventKind,
    LeaveReason,
    Notice,
    NoticeType,
    PartyType,
    Visibility,
)
from gms_twisted.domain.errors import StoreReadOnly
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.embedded.agent_port import MAX_IN_PROGRESS
from gms_twisted.embedded.chat_server import ChatServer, loopback_endpoints
from gms_twisted.embedded.frames import IDLE_S, PACKET_S
from gms_twisted.store.interfaces import Committed, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.chat_server import AgentClient, ChatWorld, refresh, result_of, talk
from tests.support.sources import CountingIds, ManualWallClock

QUEUE = "Environment:default"


class AgentPortTests(SynchronousTestCase):
    """What an agent's program can do."""

    def setUp(self) -> None:
        """Run a server with a second queue."""
        queues = (QUEUE, "Environment:sales")
        self.world = ChatWorld(self, ChatServerOptions(queues=queues))
        self.flex = self.world.flex()

    def test_offer_join_talk_release(self) -> None:
        """The printed conversation: offer, join, message, typing, release."""
        agent = self.world.agent()
        who, session_id = talk(self.world.customer(self.flex, subject="test", user_data={"k": "v"}))
        self.assertEqual(agent.received[-1], Offer(session_id, QUEUE, "test", {"k": "v"}))
        came = agent.say(Join(2, session_id))
        self.assertEqual(came[-1], Status(2))
        kinds = [one.event.kind for one in came if isinstance(one, EventPush)]
        self.assertEqual(kinds, [EventKind.JOINED, EventKind.JOINED])
        came = agent.say(Say(3, session_id, "hello customer"))
        self.assertIn(Status(3), came)
        agent.say(Tell(4, session_id, Notice(NoticeType.TYPING_STARTED)))
        status = self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 1))
        assert status.transcript is not None
        self.assertEqual(
            [(event.nickname, event.party_type) for event in status.transcript.events],
            [("ksippo", PartyType.AGENT)] * 3,
        )
        self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 4, "hi"))
        last = agent.received[-1]
        assert isinstance(last, EventPush)
        self.assertEqual(last.event.text, "hi")
        self.assertIn(Status(5), agent.say(Release(5, session_id, AfterAction.CLOSE)))

    def test_first_join_takes_it(self) -> None:
        """The second agent is refused; a monitor may come in."""
        _, session_id = talk(self.world.customer(self.flex))
        first, second = self.world.agent("first"), self.world.agent("second")
        self.assertEqual(first.say(Join(2, session_id))[-1], Status(2))
        refused = second.say(Join(2, session_id))[-1]
        assert isinstance(refused, Status)
        self.assertIs(refused.code, ErrorCode.LIMIT_REACHED)
        self.assertEqual(second.say(Join(3, session_id, Visibility.INT))[-1], Status(3))

    def test_offers_of_one_queue(self) -> None:
        """An agent registered for a queue hears of that one only; late ones are told."""
        self.world.customer(self.flex, queue="Environment:sales")
        self.world.customer(self.flex)
        agent = self.world.agent(queue="Environment:sales")
        offers = [one for one in agent.received if isinstance(one, Offer)]
        self.assertEqual([offer.queue for offer in offers], ["Environment:sales"])

    def test_refusals(self) -> None:
        """Each has its code."""
        agent = self.world.agent()
        _, session_id = talk(self.world.customer(self.flex))
        nowhere = ChatSessionId("NOWHERE")
        for request, code in (
            (Register(2, "again"), ErrorCode.MALFORMED),
            (Say(3, session_id, "outside"), ErrorCode.UNKNOWN_SESSION),
            (Join(4, nowhere), ErrorCode.UNKNOWN_SESSION),
            (Release(5, session_id), ErrorCode.UNKNOWN_SESSION),
        ):
            status = agent.say(request)[-1]
            assert isinstance(status, Status)
            self.assertIs(status.code, code)

    def test_first_words_must_be_register(self) -> None:
        """Before that nothing is done."""
        client = AgentClient(self.world.network, self.world.server.agent_factory)
        status = client.say(Join(1, ChatSessionId("S")))[-1]
        assert isinstance(status, Status)
        self.assertIs(status.code, ErrorCode.UNKNOWN_USER)

    def test_unknown_queue(self) -> None:
        """Registering for a queue that is not there is refused, and can be repeated."""
        agent = self.world.agent(queue="Environment:nowhere")
        status = agent.received[-1]
        assert isinstance(status, Status)
        self.assertIs(status.code, ErrorCode.UNKNOWN_QUEUE)
        self.assertEqual(agent.say(Register(2, "ksippo"))[-1], Status(2))

    def test_second_connection_of_an_agent(self) -> None:
        """The older one is dropped; the agent was never gone."""
        agent = self.world.agent()
        talking = talk(self.world.customer(self.flex))
        agent.say(Join(2, talking[1]))
        again = self.world.agent()
        self.world.network.flush()
        self.assertTrue(agent.closed)
        self.keep_customer(70, talking)
        self.assertEqual(again.say(Say(2, talking[1], "hello"))[-1], Status(2))

    def test_malformed_is_answered(self) -> None:
        """A wrong field: code 1 with the number; the connection stays."""
        agent = self.world.agent()
        xml = b'<join ref="7"/>'
        assert agent.transport is not None
        agent.transport.write(len(xml).to_bytes(4, "big") + xml)
        self.world.network.flush()
        status = agent.received[-1]
        assert isinstance(status, Status)
        self.assertEqual((status.ref, status.code), (7, ErrorCode.MALFORMED))

    def test_failing_store(self) -> None:
        """Code 8, and nothing has happened."""
        agent = self.world.agent()
        _, session_id = talk(self.world.customer(self.flex))
        self.world.store.refuse = StoreReadOnly("The disk is broken.")
        status = agent.say(Join(2, session_id))[-1]
        assert isinstance(status, Status)
        self.assertIs(status.code, ErrorCode.INTERNAL)
        self.world.store.refuse = None
        self.assertEqual(agent.say(Join(3, session_id))[-1], Status(3))

    def test_closed_session(self) -> None:
        """Code 5 for whatever is said about it."""
        agent = self.world.agent()
        who, session_id = talk(self.world.customer(self.flex))
        self.flex.ask(lambda ref: FlexLogout(ref, who, session_id, 1))
        for request in (Join(2, session_id), Say(3, session_id, "late")):
            status = agent.say(request)[-1]
            assert isinstance(status, Status)
            self.assertIs(status.code, ErrorCode.SESSION_CLOSED)

    def test_too_many_unanswered_requests(self) -> None:
        """Beyond the limit they are refused at once."""
        agent = self.world.agent()
        _, session_id = talk(self.world.customer(self.flex))
        agent.say(Join(2, session_id))
        gate: Deferred[None] = Deferred()
        commit = self.world.store.commit

        async def slowly(unit: Unit) -> Committed:
            await gate
            return await commit(unit)

        self.world.store.commit = slowly  # type: ignore[method-assign]  # a slow disk
        for ref in range(MAX_IN_PROGRESS):
            self.assertEqual(agent.say(Say(ref + 3, session_id, "x")), [])
        status = agent.say(Say(9999, session_id, "x"))[-1]
        assert isinstance(status, Status)
        self.assertIs(status.code, ErrorCode.LIMIT_REACHED)
        gate.callback(None)
        self.world.network.flush()
        answered = {one.ref for one in agent.received if isinstance(one, Status)}
        self.assertTrue(set(range(3, MAX_IN_PROGRESS + 3)) <= answered)

    def test_C10_agent_comes_back_in_time(self) -> None:
        """Its chats are still its own, and pushed from the beginning."""
        agent = self.world.agent()
        talking = talk(self.world.customer(self.flex))
        session_id = talking[1]
        agent.say(Join(2, session_id))
        agent.leave()
        self.keep_customer(59, talking)
        again = self.world.agent()
        pushed = [one.event.position for one in again.received if isinstance(one, EventPush)]
        self.assertEqual(pushed, [1, 2])
        self.keep_customer(60, talking)
        self.assertEqual(again.say(Say(2, session_id, "back"))[-1], Status(2))

    def test_C10_agent_stays_away(self) -> None:
        """After the grace the chat is back in its queue, and offered again."""
        agent = self.world.agent()
        who, session_id = talk(self.world.customer(self.flex))
        agent.say(Join(2, session_id))
        agent.leave()
        other = self.world.agent("other")
        self.keep_customer(61, (who, session_id))
        offers = [one for one in other.received if isinstance(one, Offer)]
        self.assertEqual([offer.session_id for offer in offers], [session_id])
        status = self.flex.ask(lambda ref: FlexRefresh(ref, who, session_id, 2))
        assert status.transcript is not None
        self.assertEqual(status.transcript.events[0].reason, LeaveReason.TIMEOUT)
        self.assertTrue(self.world.server.rooms.waiting()[0].reopened)

    def keep_customer(self, seconds: float, talking: tuple[ChatCredentials, ChatSessionId]) -> None:
        """Let time pass while the customer polls."""
        while seconds > 0:
            self.world.advance(min(20.0, seconds))
            seconds -= 20.0
            refresh(self.flex, *talking, 99)


class HostileTests(SynchronousTestCase):
    """Peers that break the rules, or stop in the middle."""

    def setUp(self) -> None:
        """Run a server."""
        self.world = ChatWorld(self)

    def test_C11_garbage_closes(self) -> None:
        """Garbage, a huge length, XML tricks: closed; others are not disturbed."""
        good = self.world.flex()
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xff\xff\xff",
            b"\0\0\0\x05hello",
            b"\0\0\0\x0e<!DOCTYPE a><a",
        ):
            flex = self.world.flex()
            flex.write(data)
            self.assertTrue(flex.closed, data)
        self.assertIsNone(self.world.customer(good).code)

    def test_unfinished_packet_has_a_deadline(self) -> None:
        """A packet that trickles does not live longer than its time."""
        flex = self.world.flex()
        flex.write(b"\0\0\0\x50<flexLogin")
        for _ in range(3):
            self.world.advance(PACKET_S / 3 - 0.1)
            self.assertFalse(flex.closed)
            flex.write(b" ")
        self.world.advance(1)
        self.assertTrue(flex.closed)

    def test_idle_connection_is_closed(self) -> None:
        """Keep-alives keep it, silence ends it."""
        flex = self.world.flex()
        self.world.advance(IDLE_S - 1)
        flex.write(KEEP_ALIVE)
        self.world.advance(IDLE_S - 1)
        self.assertFalse(flex.closed)
        self.world.advance(2)
        self.assertTrue(flex.closed)


class PortsTests(SynchronousTestCase):
    """Opening and closing."""

    def setUp(self) -> None:
        """A server that is not started."""
        self.reactor = MemoryReactorClock()
        wall, ids = ManualWallClock(self.reactor), CountingIds()
        self.server = ChatServer(
            MemoryStore(wall, ids), ChatServerOptions(), self.reactor, wall, ids, alias="350"
        )

    def test_both_ports_on_loopback(self) -> None:
        """The options' ports, on 127.0.0.1 only."""
        options = ChatOptions(flex_port=4856, agent_port=4857)
        result_of(self, self.server.bind(*loopback_endpoints(self.reactor, options)))
        bound = [(port, interface) for port, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(bound, [(4856, "127.0.0.1"), (4857, "127.0.0.1")])

    def test_connections_before_start_are_refused(self) -> None:
        """Nobody gets in before the chats are there."""
        self.assertIsNone(self.server.flex_factory.buildProtocol(None))
        result_of(self, self.server.start())
        self.assertIsNotNone(self.server.flex_factory.buildProtocol(None))

    def test_taken_port_raises(self) -> None:
        """A port that is taken is the operator's to hear about."""

        class Taken:
            def listen(self, factory: object) -> Deferred[object]:
                raise error.CannotListenError("127.0.0.1", 4857, OSError())

        flex = TCP4ServerEndpoint(self.reactor, 4856, interface="127.0.0.1")
        binding = Deferred.fromCoroutine(self.server.bind(flex, Taken()))  # type: ignore[arg-type]
        self.failureResultOf(binding, error.CannotListenError)
        self.assertIsNone(self.server.address())

    def test_address_and_page(self) -> None:
        """The address has alias and port; the page says the same."""
        self.assertIsNone(self.server.address())
        self.assertIsNone(self.server.balancer_page())
        result_of(self, self.server.bind(*loopback_endpoints(self.reactor, ChatOptions())))
        address = self.server.address()
        assert address is not None
        self.assertEqual((address.alias, address.host), ("350", "127.0.0.1"))
        page = self.server.balancer_page()
        assert page is not None
        self.assertIn(b'"alias":"350"', page)

    def test_stop_leaves_no_timer(self) -> None:
        """Held refreshes are answered, clocks stopped, connections ended."""
        world = ChatWorld(self)
        flex = world.flex()
        who, session_id = talk(world.customer(flex))
        agent = world.agent()
        agent.say(Join(2, session_id))
        held = flex.begin(lambda ref: FlexRefresh(ref, who, session_id, 2, wait_s=15))
        result_of(self, world.server.stop())
        self.assertIsNotNone(flex.answer(held))
        world.network.flush()
        self.assertTrue(flex.closed)
        self.assertTrue(agent.closed)
        self.assertEqual(world.clock.getDelayedCalls(), [])
