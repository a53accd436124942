"""The chat servers of several nodes: who hears of what, who adopts whose people."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.messages import FlexJoin, FlexLogin, FlexRefresh
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import ChatServerAddress, LeaveReason
from gms_twisted.domain.errors import NotFound, Unavailable
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.embedded.chat_server import ChatServer
from gms_twisted.embedded.room_nodes import AGAIN_S, KIND, LOOK_S, RoomNodes
from gms_twisted.embedded.room_shelf import RoomShelf
from tests.support.chat_server import ChatWorld, FlexClient, refresh, result_of, talk, texts
from tests.support.nodes import MemoryNode, Network

KATE, BEN = AgentName("kate"), AgentName("ben")


class Node:
    """One node's chat server, beside those of others in a :class:`ChatWorld`."""

    def __init__(self, test: NodesTest, alias: str, machine: str = "here") -> None:
        world = self._world = test.world
        self.alias = alias
        self.links: MemoryNode = test.network.node(f"run-{alias}")
        self.server = ChatServer(
            world.store, ChatServerOptions(), world.clock, world.wall, world.ids, alias
        )
        port = 4000 + int(alias)
        test.patch(
            self.server, "address", lambda: ChatServerAddress(alias, "127.0.0.1", port, False)
        )
        self.rooms = self.server.rooms
        self.nodes = RoomNodes(self.server, self.links, lambda: test.living, machine, world.clock)
        result_of(test, self.server.start())
        test.living.add(alias)
        self.nodes.start()

    def flex(self) -> FlexClient:
        """Connect to its flex port."""
        return FlexClient(self._world.network, self.server.flex_factory)


class NodesTest(SynchronousTestCase):
    """Nodes 1, 2 and 3, all in one memory."""

    def setUp(self) -> None:
        """Have three; the world's own server does nothing."""
        self.world = ChatWorld(self)
        result_of(self, self.world.server.stop())
        self.network = Network()
        self.living: set[str] = set()
        self.one, self.two, self.three = Node(self, "1"), Node(self, "2"), Node(self, "3")

    def own(self, node: Node, *names: str) -> None:
        """Have a node own these, or all."""
        result_of(self, self.network.own(node.links.run, *names))

    def kill(self, node: Node) -> None:
        """A node is gone; its clocks with it."""
        self.network.cut(node.links.run)
        result_of(self, node.nodes.stop())
        result_of(self, node.server.stop())

    def dies(self, node: Node) -> None:
        """It is dead, as the registry says some seconds later."""
        self.living.discard(node.alias)
        self.world.advance(LOOK_S)


class NewsTests(NodesTest):
    """What one does, the others hear."""

    def test_everywhere_at_once(self) -> None:
        """A chat is in every queue, out of it, and what is said is there, with nothing asked."""
        who, chat = talk(self.world.customer(self.one.flex()))
        nodes = (self.one, self.two, self.three)
        for node in nodes:
            self.assertEqual([one.session_id for one in node.rooms.waiting()], [chat])
        result_of(self, self.two.rooms.accept(chat, KATE, "Kate"))
        self.assertEqual([node.rooms.waiting() for node in nodes], [[], [], []])
        self.assertEqual([len(node.rooms.sessions_of(KATE)) for node in nodes], [1, 1, 1])
        result_of(self, self.three.rooms.transcript(chat))
        refresh(self.one.flex(), who, chat, 2, "hi")
        self.assertEqual(self.three.rooms.sessions_of(KATE)[0].last_position, 3)

    def test_held_refresh(self) -> None:
        """A customer who waits at one node is answered when an agent speaks at another."""
        flex = self.one.flex()
        who, chat = talk(self.world.customer(flex))
        ref = flex.begin(lambda ref: FlexRefresh(ref, who, chat, 1, wait_s=20.0))
        self.assertIsNone(flex.answer(ref))
        result_of(self, self.two.rooms.accept(chat, KATE, "Kate"))
        answer = flex.answer(ref)
        assert answer is not None
        self.assertEqual(texts(answer), [(2, "newParty")])

    def test_missed_while_cut_off(self) -> None:
        """Who comes is told, and reads everything: also chats it has never heard of."""
        who, chat = talk(self.world.customer(self.one.flex()))
        self.patch(self.one.links, "tell", lambda *_: False)
        refresh(self.one.flex(), who, chat, 1, "unheard")
        _, other = talk(self.world.customer(self.one.flex()))
        self.assertEqual(len(self.two.rooms.waiting()), 1)
        self.two.links._hearers[KIND](
            self.one.links.run, json.dumps({"all": True, "machine": "x", "server": None}).encode()
        )
        self.assertEqual([one.session_id for one in self.two.rooms.waiting()], [chat, other])
        self.assertEqual(self.two.rooms.waiting()[0].last_position, 2)

    def test_comes(self) -> None:
        """A node that comes makes the others read all, since they cannot have heard it before."""
        read: list[tuple[str, str]] = []
        for node in (self.one, self.two):
            self.patch(node.nodes, "_read", lambda key, node=node: read.append((node.alias, key)))
        Node(self, "4")
        self.assertEqual(set(read), {("1", ""), ("2", "")})

    def test_no_connection(self) -> None:
        """While a node that lives cannot be reached, the others look for what it does."""
        self.network.cut(self.one.links.run)
        talk(self.world.customer(self.one.flex()))
        self.assertEqual(self.two.rooms.waiting(), [])
        self.world.advance(LOOK_S)
        self.assertEqual(len(self.two.rooms.waiting()), 1)

    def test_store_away(self) -> None:
        """What cannot be read now is read a moment later."""
        find, failing = RoomShelf.find, [True]

        async def fails(shelf: RoomShelf, session_id: ChatSessionId) -> object:
            if failing[0] and shelf is self.two.rooms.shelf:
                raise Unavailable("away")
            return await find(shelf, session_id)

        self.patch(RoomShelf, "find", fails)
        talk(self.world.customer(self.one.flex()))
        self.assertEqual(self.two.rooms.waiting(), [])
        failing[0] = False
        self.world.advance(AGAIN_S)
        self.assertEqual(len(self.two.rooms.waiting()), 1)

    def test_told_often_read_once(self) -> None:
        """However often a room is told of while it is read, it is read once more."""
        _, chat = talk(self.world.customer(self.one.flex()))
        reads: list[Deferred[None]] = []

        def reading(session_id: ChatSessionId) -> Deferred[None]:
            reads.append(Deferred())
            return reads[-1]

        self.patch(self.two.rooms, "reread", reading)
        for _ in range(5):
            self.one.rooms.announce(chat)
        self.assertEqual(len(reads), 1)
        reads[0].callback(None)
        self.assertEqual(len(reads), 2)
        reads[1].callback(None)
        self.one.rooms.announce(chat)
        self.assertEqual(len(reads), 3)
        reads[2].callback(None)

    def test_late_news(self) -> None:
        """An agent who was let in elsewhere a moment ago is not refused here."""
        _, chat = talk(self.world.customer(self.one.flex()))
        self.patch(self.one.links, "tell", lambda *_: False)
        result_of(self, self.one.rooms.accept(chat, KATE, "Kate"))
        self.assertEqual(result_of(self, self.two.rooms.send(chat, KATE, "hello")), 3)
        refused = Deferred.fromCoroutine(self.two.rooms.send(chat, BEN, "me too"))
        self.assertEqual(self.failureResultOf(refused).value.code, "gms.chat.not_in_room")

    def test_customer_from_elsewhere(self) -> None:
        """A customer's first refresh at another node has what was said at the former one."""
        who, chat = talk(self.world.customer(self.one.flex()))
        self.patch(self.one.links, "tell", lambda *_: False)
        refresh(self.one.flex(), who, chat, 1, "unheard")
        status = refresh(self.two.flex(), who, chat, 1)
        self.assertEqual(texts(status), [(2, "unheard")])

    def test_a_user_is_deleted(self) -> None:
        """At one node, wherever the chats are; no node has any of it at hand any more."""
        flex = self.one.flex()
        login = flex.ask(lambda ref: FlexLogin(ref, "Eva", user_data={"gms_user": "eva"}))
        who = login.credentials
        assert who is not None
        join = flex.ask(lambda ref: FlexJoin(ref, who, "Environment:default"))
        assert join.transcript is not None
        chat = join.transcript.session_id
        self.assertEqual(result_of(self, self.two.rooms.delete_user("eva")), 1)
        for node in (self.one, self.two, self.three):
            self.assertEqual(node.rooms.waiting(), [])
            self.assertIsNone(node.rooms.shelf._at_hand(chat))
            asked = Deferred.fromCoroutine(node.rooms.session(chat))
            self.failureResultOf(asked, NotFound)


class AdoptionTests(NodesTest):
    """A node dies; its chats go on."""

    def test_by_one(self) -> None:
        """Whose turn it is takes over; the customer has the full time, then it is gone."""
        _, chat = talk(self.world.customer(self.one.flex()))
        self.own(self.three)
        self.own(self.two, "home:1")
        self.kill(self.one)
        self.world.advance(5)
        home = self.two.rooms.waiting()[0].parties[0].home
        self.assertEqual(home, "1")
        self.dies(self.one)
        for node in (self.two, self.three):
            self.assertEqual(node.rooms.waiting()[0].parties[0].home, "2")
        self.world.advance(40)
        self.assertEqual(len(self.three.rooms.waiting()), 1)
        self.world.advance(10)
        self.assertEqual(self.three.rooms.waiting(), [])
        events = result_of(self, self.three.rooms.transcript(chat)).events
        self.assertEqual(events[-1].reason, LeaveReason.TIMEOUT)

    def test_the_customer_goes_on(self) -> None:
        """A customer who is served by a third node meanwhile is not taken for silent."""
        who, chat = talk(self.world.customer(self.one.flex()))
        refresh(self.one.flex(), who, chat, 1, "to one")
        self.own(self.two)
        self.kill(self.one)
        self.dies(self.one)
        flex = self.three.flex()
        status = refresh(flex, who, chat, 1, "to three")
        self.assertEqual(texts(status), [(2, "to one"), (3, "to three")])
        for _ in range(6):
            self.world.advance(20)
            refresh(flex, who, chat, 3)
        room = result_of(self, self.two.rooms.session(chat))
        self.assertIsNone(room.closed_at)
        self.assertEqual(room.parties[0].home, "3")

    def test_an_agent_comes_back(self) -> None:
        """Its chats wait for it for the grace, wherever it comes back; after that they wait."""
        who, chat = talk(self.world.customer(self.three.flex()))
        _, other = talk(self.world.customer(self.three.flex()))
        for agent, mine in ((KATE, chat), (BEN, other)):
            result_of(self, self.one.rooms.accept(mine, agent, agent))
        self.own(self.two)
        self.kill(self.one)
        self.dies(self.one)
        self.three.rooms.agent_back(KATE)
        flex = self.three.flex()
        for _ in range(4):
            self.world.advance(20)
            refresh(flex, who, chat, 1)
        self.assertEqual(result_of(self, self.two.rooms.session(chat)).agents, (KATE,))
        self.assertEqual(result_of(self, self.three.rooms.session(other)).agents, ())

    def test_unheard_of(self) -> None:
        """A chat that the dead one had told nobody about is adopted, too."""
        self.patch(self.one.links, "tell", lambda *_: False)
        _, chat = talk(self.world.customer(self.one.flex()))
        self.own(self.two)
        self.kill(self.one)
        self.dies(self.one)
        self.assertEqual(result_of(self, self.two.rooms.session(chat)).parties[0].home, "2")

    def test_not_while_it_lives(self) -> None:
        """A node that only cannot be reached keeps its people."""
        talk(self.world.customer(self.one.flex()))
        self.own(self.two)
        self.network.cut(self.one.links.run)
        self.world.advance(30)
        self.assertEqual(self.two.rooms.waiting()[0].parties[0].home, "1")

    def test_one_fails(self) -> None:
        """One chat that cannot be changed does not keep the others, and is tried again."""
        _, first = talk(self.world.customer(self.one.flex()))
        talk(self.world.customer(self.one.flex()))
        self.own(self.two)
        change, failing = self.two.rooms.shelf.change, [True]

        async def changing(session_id: ChatSessionId, decide: Any, *more: Any) -> object:
            if session_id == first and failing[0]:
                failing[0] = False
                raise Unavailable("away")
            return await change(session_id, decide, *more)

        self.patch(self.two.rooms.shelf, "change", changing)
        self.kill(self.one)
        self.dies(self.one)
        homes = [one.parties[0].home for one in self.two.rooms.waiting()]
        self.assertEqual(homes, ["1", "2"])
        self.world.advance(LOOK_S)
        homes = [one.parties[0].home for one in self.two.rooms.waiting()]
        self.assertEqual(homes, ["2", "2"])

    def test_gained_later(self) -> None:
        """Whoever gets the turn later, takes over then."""
        talk(self.world.customer(self.one.flex()))
        self.kill(self.one)
        self.dies(self.one)
        self.world.advance(10)
        self.assertEqual(self.two.rooms.waiting()[0].parties[0].home, "1")
        self.own(self.three)
        self.world.advance(LOOK_S)
        self.assertEqual(self.two.rooms.waiting()[0].parties[0].home, "3")


class PageTests(NodesTest):
    """The load balancer's page."""

    def port(self, node: Node, alias: str) -> int:
        """Whose port a node names."""
        page = node.nodes.balancer_page(alias)
        assert page is not None
        return int(json.loads(page)["webapi_port"])

    def test_by_alias(self) -> None:
        """The one that is asked for, while it lives; else its own, which does as well."""
        self.assertEqual(self.port(self.two, "1"), 4001)
        self.assertEqual(self.port(self.one, "3"), 4003)
        self.assertEqual(self.port(self.one, ""), 4001)
        self.assertEqual(self.port(self.one, "nobody"), 4001)
        self.kill(self.one)
        self.assertEqual(self.port(self.two, "1"), 4002)

    def test_on_another_machine(self) -> None:
        """A port on another machine's loopback is no use to anybody here."""
        Node(self, "4", "there")
        self.assertEqual(self.port(self.one, "4"), 4001)
