"""Clients whose requests land on a node that does not have their session."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.interfaces import Offered
from gms_twisted.app.nodes import mark_of, node_of
from gms_twisted.domain.ids import GmsUser
from tests.support.bayeux import Client, PollClient, World
from tests.support.nodes import Network

USER = GmsUser("u")


class Presences:
    """What a presence is told."""

    def __init__(self, world: World) -> None:
        self.log: list[Any] = []
        world.comet.watch(self)

    def arrived(self, user: GmsUser) -> None:
        """Note it."""
        self.log.append(("arrived", user))

    def left(
        self, user: GmsUser, transcript_position: int | None, *, goodbye: bool = False
    ) -> None:
        """Note it."""
        self.log.append(("left", user, transcript_position, goodbye))


class NodesTest(SynchronousTestCase):
    """Two nodes, ``a`` and ``b``."""

    def setUp(self) -> None:
        """Have two worlds."""
        self.network = Network()
        self.a = World(node=self.network.node("a" * 32))
        self.b = World(node=self.network.node("b" * 32))

    def turn(self) -> None:
        """End the turn of both."""
        self.a.turn()
        self.b.turn()

    def move(self, client: Client) -> None:
        """Have a client's requests land on the other node."""
        client.world = self.b if client.world is self.a else self.a

    def deliver(self, world: World, message: str, tag: str = "t") -> int:
        """Deliver to the user from one node, and end the turn."""
        queued = world.comet.deliver(USER, tag, message)
        self.turn()
        return queued

    def arrive(self, world: World) -> list[Any]:
        """Have the user arrive somewhere; returns the events that are there already."""
        client = world.poll("u")
        client.handshake()
        client.connect()
        got = client.ask("/meta/subscribe", subscription="/_genesys")
        self.turn()
        client.received = [*got, *client.connect()]
        return self.messages(client)

    @staticmethod
    def messages(client: Client) -> list[Any]:
        """The events that a client has got since the last time."""
        return [one["data"]["message"] for one in client.take() if one["channel"] == "/_genesys"]


class MarksTests(SynchronousTestCase):
    """What client ids say."""

    def test_marks(self) -> None:
        """Each node that there may be has a mark of its own, and is read from it."""
        marks = {mark_of(node) for node in range(1, 1296)}
        self.assertEqual(len(marks), 1295)
        self.assertEqual(
            [node_of(mark_of(node) + "x" * 23) for node in (1, 36, 1295)], [1, 36, 1295]
        )

    def test_no_mark(self) -> None:
        """What is no client id of a node names none."""
        self.assertEqual([node_of(text) for text in ("", "0", "-1", "A1xx", "00abc")], [0] * 5)


class RelayTests(NodesTest):
    """Requests carried to the node of a session."""

    def test_ids_say_the_node(self) -> None:
        """A client id is as long as ever and begins with its node."""
        client = self.b.poll("u")
        client.handshake()
        self.assertEqual(client.client_id[:2], "02")
        self.assertEqual(len(client.client_id), 25)

    def test_whole_life_elsewhere(self) -> None:
        """Subscribe, connect, publish and disconnect may land anywhere."""
        for client in (self.a.poll("u"), self.a.callback("u")):
            client.handshake()
            self.move(client)
            self.assertTrue(client.subscribe("/x")["successful"])
            self.assertTrue(client.connect()[0]["successful"])
            self.assertEqual(client.connect(), [], "held over there")
            self.move(client)
            got = client.publish("/x", 1)
            self.turn()
            self.assertIn({"channel": "/x", "data": 1}, [*got, *client.take()])
            self.move(client)
            self.assertTrue(client.ask("/meta/disconnect")[0]["successful"])
            self.assertEqual(len(self.a.server.sessions), 0)

    def test_held_elsewhere(self) -> None:
        """A connect that is held over there is answered with what comes, from wherever."""
        client = self.a.poll("u").online("/_genesys")
        self.move(client)
        self.deliver(self.a, "1")
        self.assertEqual(self.messages(client), ["1"])
        self.assertEqual(client.connect(), [])
        self.deliver(self.b, "2")
        self.assertEqual(self.messages(client), ["2"])

    def test_client_gone(self) -> None:
        """With the client's connection the connect over there is let go; nothing is lost."""
        client = self.a.poll("u")
        client.online("/_genesys")
        self.move(client)
        self.deliver(self.a, "1")
        client.take()
        self.assertEqual(client.connect(), [])
        client.last.lose()
        self.assertIsNone(self.a.server.sessions[client.client_id].held)
        self.deliver(self.b, "2")
        client.received = client.connect()
        self.assertEqual(self.messages(client), ["2"])

    def test_browser_cookie(self) -> None:
        """The cookie that vouches for a session is looked at over there."""
        client = self.a.poll()
        client.keeps_cookie = True
        client.handshake()
        self.move(client)
        self.assertTrue(client.subscribe("/x")["successful"])
        client.cookie = "another"
        self.assertFalse(client.subscribe("/y")["successful"])

    def test_other_user(self) -> None:
        """A session is no more another user's over there than here."""
        client = self.a.poll("u")
        client.handshake()
        thief = self.b.poll("v")
        thief.client_id = client.client_id
        reply = thief.subscribe("/_genesys")
        self.assertFalse(reply["successful"])
        self.assertTrue(reply["error"].startswith("402"))

    def test_pressed(self) -> None:
        """A request behind a connect that is held over there has it answered."""
        client = self.a.poll("u").online()
        assert isinstance(client, PollClient)
        client.world.hot.pressed(client.last)
        self.move(client)
        client.take()
        self.assertEqual(client.connect(), [])
        self.b.hot.pressed(client.last)
        self.assertTrue(client.take()[0]["successful"])

    def test_malformed(self) -> None:
        """What is no Bayeux payload is refused where it lands."""
        client = self.a.poll("u")
        client.handshake()
        self.move(client)
        body = b'[{"channel":"/x","clientId":"%b"},{"channel":"/meta/handshake"}]'
        self.assertEqual(client.post(body % client.client_id.encode()).status, 400)

    def test_dead_node(self) -> None:
        """A client whose node is dead is told to shake hands, at a time of its own."""
        client = self.a.poll("u").online("/_genesys")
        self.network.cut("a" * 32)
        self.b.server.spread_returns()
        self.move(client)
        reply = client.connect()[0]
        self.assertTrue(reply["error"].startswith("402"))
        self.assertEqual(reply["advice"]["reconnect"], "handshake")
        self.assertGreater(reply["advice"]["interval"], 0)

    def test_restarted_node(self) -> None:
        """A node that was started again does not know the clients of before."""
        client = self.a.poll("u").online()
        self.network.cut("a" * 32)
        again = World(node=self.network.node("c" * 32))
        again.server.mark = "01"
        self.move(client)
        self.assertTrue(client.connect()[0]["error"].startswith("402"))

    def test_node_that_does_not_answer(self) -> None:
        """While a node lives that cannot be reached, its clients are told to come again."""
        client = self.a.poll("u")
        client.online()
        self.move(client)
        a = self.network.nodes["a" * 32]
        a._handlers.clear()
        client.connect()
        self.assertEqual(client.last.status, 503)
        self.assertIn("Retry-After", client.last.headers)


class SocketRelayTests(NodesTest):
    """Websockets that land on another node."""

    def test_socket_elsewhere(self) -> None:
        """A session goes on over a socket at another node: held connects, events, replies."""
        client = self.a.socket("u").online("/_genesys")
        client.lose()  # type: ignore[attr-defined]  # it is a socket's
        other = self.b.socket("u")
        other.client_id = client.client_id
        self.assertEqual(other.connect(), [], "held over there")
        self.assertTrue(other.subscribe("/x")["successful"], "a held connect is in nobody's way")
        self.deliver(self.b, "1")
        self.assertEqual(self.messages(other), ["1"])

    def test_socket_lost(self) -> None:
        """With the socket its requests over there are given up."""
        client = self.a.poll("u")
        client.handshake()
        other = self.b.socket("u")
        other.client_id = client.client_id
        other.connect()
        other.connect()
        session = self.a.server.sessions[client.client_id]
        self.assertIsNotNone(session.held)
        other.lose()
        self.assertIsNone(session.held)

    def test_dead_node(self) -> None:
        """A socket's client whose node is dead is told to shake hands on it."""
        client = self.a.socket("u").online()
        self.network.cut("a" * 32)
        other = self.b.socket("u")
        other.client_id = client.client_id
        self.assertTrue(other.connect()[0]["error"].startswith("402"))
        self.assertTrue(other.handshake()["successful"])

    def test_own_session_first(self) -> None:
        """A socket that has a session here carries nothing away for another id."""
        client = self.a.poll("u")
        client.handshake()
        other = self.b.socket("u").online()
        reply = other.ask("/meta/subscribe", subscription="/x", clientId=client.client_id)[0]
        self.assertFalse(reply["successful"])


class UsersTests(NodesTest):
    """Events for users who are at other nodes."""

    def test_each_session_once(self) -> None:
        """An event reaches each session of its user, wherever it is, once and in order."""
        here, there = self.a.poll("u").online("/_genesys"), self.b.poll("u").online("/_genesys")
        self.assertEqual(self.deliver(self.a, "1"), 2)
        for client in (here, there):
            self.assertEqual(self.messages(client), ["1"])
            self.assertEqual(client.connect(), [])
        for number in range(5):
            self.b.comet.deliver(USER, "t", str(number))
        self.turn()
        for client in (here, there):
            self.assertEqual(self.messages(client), [str(number) for number in range(5)])

    def test_presence_everywhere(self) -> None:
        """A user is there while any node has it; all nodes are told once."""
        seen = [Presences(self.a), Presences(self.b)]
        one, two = self.a.poll("u").online("/_genesys"), self.b.poll("u").online("/_genesys")
        for presence in seen:
            self.assertEqual(presence.log, [("arrived", USER)])
        one.ask("/meta/disconnect")
        for world in (self.a, self.b):
            self.assertTrue(world.comet.is_present(USER))
        two.ask("/meta/disconnect", ext={"transcriptPosition": 7})
        for presence in seen:
            self.assertEqual(presence.log[1:], [("left", USER, 7, True)])
        self.assertFalse(self.a.comet.is_present(USER))

    def test_goodbye_of_a_forgotten_client(self) -> None:
        """A position told after the session was forgotten reaches all nodes."""
        seen = Presences(self.b)
        client = self.a.poll("u")
        client.client_id = "01" + "z" * 23
        client.ask("/meta/disconnect", ext={"transcriptPosition": 3})
        self.assertEqual(seen.log, [("left", USER, 3, False)])

    def test_kept_until_arrival_elsewhere(self) -> None:
        """What is kept for a user goes to the node where the user arrives, before what is new."""
        self.assertEqual(self.deliver(self.a, "kept"), 0)
        self.assertEqual(self.arrive(self.b), ["kept"])

    def test_offered(self) -> None:
        """An offer says whether the user is anywhere."""
        self.assertEqual(self.a.comet.offer(USER, "t", "m", "1" * 32), Offered.KEPT)
        self.b.poll("u").online("/_genesys")
        self.assertEqual(self.a.comet.offer(USER, "t", "m", "2" * 32), Offered.QUEUED)

    def test_leftovers_go_after_the_user(self) -> None:
        """What a session that times out leaves behind reaches its user at another node."""
        old = self.a.poll("u")
        old.handshake()
        old.connect()
        old.subscribe("/_genesys")
        self.deliver(self.a, "1")
        new = self.b.poll("u")
        new.handshake()
        new.connect()
        new.subscribe("/_genesys")
        self.a.wait(30)
        self.assertEqual(self.a.server.sessions, {})
        new.received = new.connect()
        self.assertEqual(self.messages(new), ["1"])

    def test_leftovers_that_another_session_has_got(self) -> None:
        """What came when the user was at another node already does not come there again."""
        old, new = self.a.poll("u"), self.b.poll("u")
        for client in (old, new):
            client.handshake()
            client.connect()
        old.subscribe("/_genesys")
        self.deliver(self.a, "1")
        new.subscribe("/_genesys")
        self.deliver(self.a, "2")
        self.deliver(self.b, "3")
        new.received = new.connect()
        self.assertEqual(self.messages(new), ["2", "3"])
        self.a.wait(30)
        self.assertEqual(self.a.server.sessions, {})
        new.received = new.connect()
        self.assertEqual(self.messages(new), ["1"])

    def test_leftovers_after_the_other_session(self) -> None:
        """What came when the user was nowhere else any more is kept."""
        old, new = self.a.poll("u"), self.b.poll("u")
        old.online("/_genesys")
        new.online("/_genesys")
        new.ask("/meta/disconnect")
        old.last.lose()
        self.deliver(self.a, "1")
        self.a.wait(31)
        self.assertEqual(self.arrive(self.b), ["1"])

    def test_node_gone(self) -> None:
        """Users of a node that is gone are gone; what comes is kept for their return."""
        seen = Presences(self.b)
        self.a.poll("u").online("/_genesys")
        self.network.cut("a" * 32)
        self.assertEqual(seen.log, [("arrived", USER), ("left", USER, None, False)])
        self.assertEqual(self.deliver(self.b, "kept"), 0)
        self.assertEqual(self.arrive(self.b), ["kept"])

    def test_node_gone_with_one_of_two_sessions(self) -> None:
        """Who has another session may be the same client, and is told to have arrived again."""
        third = World(node=self.network.node("c" * 32))
        here, afar = Presences(self.a), Presences(third)
        self.b.poll("u").online("/_genesys")
        self.a.poll("u").online("/_genesys")
        self.network.cut("b" * 32)
        for seen in (here, afar):
            self.assertEqual(seen.log, [("arrived", USER)] * 2)
        self.assertEqual(self.a.comet._own, {})

    def test_connection_broke(self) -> None:
        """What was on its way when a connection broke comes with the next one."""
        client = self.b.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.assertEqual(self.deliver(self.a, "1"), 1)
        self.network.reconnect("a" * 32)
        self.turn()
        self.assertEqual(self.messages(client), ["1"])

    def test_moved_while_a_connection_was_broken(self) -> None:
        """Who comes to another node gets what was on its way before what came later."""
        self.b.poll("u").online("/_genesys")
        a = self.network.nodes["a" * 32]
        a.swallows = True
        self.deliver(self.a, "1")
        a.cut_from.add("b" * 32)
        for _, went in a._changes:
            went("b" * 32)
        self.deliver(self.a, "2")
        self.assertEqual(self.arrive(self.a), ["1", "2"])

    def test_died_with_what_was_on_its_way(self) -> None:
        """What a dead node took along is kept for its user's return."""
        self.b.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.deliver(self.a, "1")
        self.network.cut("b" * 32)
        self.a.wait(30)
        self.assertEqual(self.arrive(self.a), ["1"])

    def test_died_before_what_came_later(self) -> None:
        """What a dead node took along comes before what was kept since, whenever it is found."""
        self.b.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.deliver(self.a, "1")
        self.deliver(self.a, "2")
        self.network.cut("b" * 32)
        self.deliver(self.a, "3")
        self.a.wait(30)
        self.assertEqual(self.arrive(self.a), ["1", "2", "3"])

    def test_moved_before_the_death_was_noticed(self) -> None:
        """Who comes to another node gets what the dead one took along, before what is new."""
        self.b.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.deliver(self.a, "1")
        self.a.wait(1)
        self.deliver(self.a, "2")
        self.assertEqual(self.arrive(self.a), ["1", "2"])
        self.network.cut("b" * 32)
        self.a.wait(30)
        self.assertEqual(self.arrive(self.a), [], "they do not come again")

    def test_told_again_where_it_is(self) -> None:
        """A node that comes back, and has not confirmed for long, gets each event once."""
        client = self.b.poll("u").online("/_genesys")
        self.network.nodes["b" * 32].swallows = True
        self.deliver(self.a, "1")
        self.a.wait(1)
        self.network.reconnect("b" * 32)
        self.turn()
        self.assertEqual(self.messages(client), ["1"])
        client.received = client.connect()
        self.assertEqual(self.messages(client), [])

    def test_died_with_a_copy(self) -> None:
        """A session that goes on gets nothing twice because another one's node died."""
        there, here = self.b.poll("u").online("/_genesys"), self.a.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.assertEqual(self.deliver(self.a, "1"), 2)
        self.assertEqual(self.messages(here), ["1"])
        self.assertEqual(here.connect(), [])
        self.network.cut("b" * 32)
        self.a.wait(20)
        self.assertEqual(self.messages(here), [])
        self.assertEqual(there.world, self.b)

    def test_died_with_all_copies(self) -> None:
        """A user who was at several nodes, all of them dead, gets what they took along once."""
        third = World(node=self.network.node("c" * 32))
        for world in (self.b, third):
            world.poll("u").online("/_genesys")
        self.network.nodes["a" * 32].swallows = True
        self.assertEqual(self.deliver(self.a, "1"), 2)
        for run in "bc":
            self.network.cut(run * 32)
        self.a.wait(30)
        self.assertEqual(self.arrive(self.a), ["1"])

    def test_left_while_a_copy_came(self) -> None:
        """A copy for a session that has just left is not for others."""
        third = World(node=self.network.node("c" * 32))
        there, other = self.b.poll("u").online("/_genesys"), third.poll("u").online("/_genesys")
        a, c = self.network.nodes["a" * 32], self.network.nodes["c" * 32]
        there.ask("/meta/disconnect")
        # What a believes, which has not heard yet.
        a.told("b" * 32, "user", b'{"here": ["u"]}')
        self.assertEqual(self.deliver(self.a, "1"), 2)
        third.turn()
        self.assertEqual(self.messages(other), ["1"])
        other.received = other.connect()
        third.turn()
        self.assertEqual(self.messages(other), [])
        self.assertIn("b" * 32, c.reachable)

    def test_node_comes(self) -> None:
        """A node that comes is told who is where."""
        self.a.poll("u").online("/_genesys")
        late = World(node=self.network.node("c" * 32))
        self.assertTrue(late.comet.is_present(USER))


class BroadcastTests(NodesTest):
    """What clients publish on channels of their own."""

    def test_everywhere(self) -> None:
        """It reaches subscribers of all nodes, once, without what is the publisher's own."""
        readers = [self.a.poll("u").online("/x"), self.b.poll("v").online("/x", "/**")]
        writer = self.a.poll("w")
        writer.handshake()
        writer.publish("/x", {"n": 1}, ext={"e": 1})
        self.turn()
        for reader in readers:
            got = [one for one in reader.take() if one["channel"] == "/x"]
            self.assertEqual(got, [{"channel": "/x", "data": {"n": 1}, "ext": {"e": 1}}])

    def test_not_for_services(self) -> None:
        """Calls of service channels are the business of one node."""
        reader = self.b.poll("v").online("/**")
        writer = self.a.poll("w")
        writer.handshake()
        writer.publish("/service/x", 1)
        self.turn()
        self.assertEqual(reader.take(), [])
