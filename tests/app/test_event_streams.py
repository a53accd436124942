"""Events between nodes: none lost with a connection, none twice, in order."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.event_streams import ACK_S, FORGET_S, LATE_S, MAX_BYTES, Event, EventStreams
from gms_twisted.domain.ids import GmsUser
from tests.support.nodes import Network

USER = GmsUser("ü\n1")


def event(number: int) -> bytes:
    """What may be kept for a user who is away."""
    return b'{"data":{"tag":"t%d"},"channel":"/_genesys"}' % number


CHAT = b'{"data":{"tag":"service.chat.refresh.1"},"channel":"/_genesys"}'


class Node:
    """One end."""

    def __init__(self, network: Network, clock: Clock, run: str) -> None:
        self.taken: list[tuple[GmsUser, bytes]] = []
        self.copies: list[bytes] = []
        self.copies_back: list[bytes] = []
        self.returned: list[tuple[GmsUser, list[bytes]]] = []
        self.node = network.node(run)
        self.streams = EventStreams(self.node, clock, self)
        self.node.on_change(self.streams.came, self.streams.went)

    def take(self, user: GmsUser, fragment: bytes, *, is_copy: bool) -> None:
        """Note it."""
        self.taken.append((user, fragment))
        if is_copy:
            self.copies.append(fragment)

    def take_back(self, user: GmsUser, events: Iterable[Event]) -> None:
        """Note it."""
        events = list(events)
        self.returned.append((user, [event.fragment for event in events]))
        self.copies_back += [event.fragment for event in events if event.is_copy]


class EventStreamTests(SynchronousTestCase):
    """From ``a`` to ``b``."""

    def setUp(self) -> None:
        """Have two nodes."""
        self.clock = Clock()
        self.network = Network()
        self.a, self.b = Node(self.network, self.clock, "a"), Node(self.network, self.clock, "b")

    def send(self, *events: bytes) -> None:
        """Send to the other node."""
        for one in events:
            self.assertTrue(self.a.streams.send("b", USER, one))

    def bury(self) -> None:
        """Let dead nodes be dead for long enough."""
        self.a.streams.sweep()
        self.assertEqual(self.a.returned, [])
        self.clock.advance(FORGET_S)
        self.a.streams.sweep()

    def unconfirmed(self) -> int:
        """How many the sender still has."""
        return len(self.a.streams._streams["b"].unconfirmed)

    def test_come_and_confirmed(self) -> None:
        """What has come is forgotten soon after; one confirmation is for all."""
        self.send(event(1), event(2), CHAT)
        self.assertEqual(self.b.taken, [(USER, event(1)), (USER, event(2)), (USER, CHAT)])
        self.assertEqual(self.unconfirmed(), 3)
        self.clock.advance(ACK_S)
        self.assertEqual(self.unconfirmed(), 0)
        self.assertEqual(self.a.streams._streams["b"].bytes, 0)

    def test_lost_with_the_connection(self) -> None:
        """What was under way comes with the next connection, in its place."""
        self.send(event(1))
        self.a.node.swallows = True
        self.send(event(2), event(3))
        self.network.reconnect("a")
        self.send(event(4))
        self.assertEqual([one for _, one in self.b.taken], [event(at) for at in (1, 2, 3, 4)])

    def test_confirmation_lost(self) -> None:
        """What had come but was not confirmed is not taken again."""
        self.b.node.swallows = True
        self.send(event(1), event(2))
        self.clock.advance(ACK_S)
        self.assertEqual(self.unconfirmed(), 2)
        self.network.reconnect("b")
        self.assertEqual(len(self.b.taken), 2)
        self.clock.advance(ACK_S)
        self.assertEqual(self.unconfirmed(), 0)

    def test_chat_events(self) -> None:
        """Those of chats are not sent again: their sender hands over what is missing."""
        self.a.node.swallows = True
        self.send(CHAT, event(1))
        self.network.reconnect("a")
        self.assertEqual([one for _, one in self.b.taken], [event(1)])

    def test_dead_node(self) -> None:
        """What a node took to its end comes back; what it had confirmed does not."""
        self.send(event(1))
        self.clock.advance(ACK_S)
        self.a.node.swallows = True
        self.send(event(2), CHAT, event(3))
        self.a.streams.sweep()
        self.assertEqual(self.a.returned, [], "it lives")
        self.network.cut("b")
        self.bury()
        self.assertEqual(self.a.returned, [(USER, [event(2), event(3)])])
        self.assertEqual(self.a.streams._streams, {})

    def test_not_dead_after_all(self) -> None:
        """A node that was taken for dead and goes on gets the rest, and nothing twice."""
        self.send(event(1))
        self.b.node.swallows = True
        self.clock.advance(ACK_S)
        self.a.node.swallows = True
        self.send(event(2))
        self.network.cut("b")
        for ends in (self.a, self.b):
            ends.streams.sweep()
        self.clock.advance(FORGET_S - 0.1)
        for ends in (self.a, self.b):
            ends.streams.sweep()
        self.network.nodes["b"] = self.b.node
        self.network.reconnect("b")
        self.a.node.swallows = False
        self.network.reconnect("a")
        self.send(event(3))
        self.assertEqual([one for _, one in self.b.taken], [event(at) for at in (1, 2, 3)])
        self.clock.advance(0.2)
        self.a.streams.sweep()
        self.assertEqual((self.a.returned, self.a.streams._dead), ([], {}))

    def test_copies(self) -> None:
        """One that goes to several nodes says so, and comes back of all that die once."""
        third = Node(self.network, self.clock, "c")
        one, copy, other = event(1), event(2), event(3)
        self.a.streams.send("b", USER, one)
        for run in "bc":
            self.a.streams.send(run, USER, copy, is_copy=True)
        self.assertEqual((self.b.copies, third.copies), ([copy], [copy]))
        self.a.streams.send("c", USER, other)
        self.a.node.cut_from |= {"b", "c"}
        stuck = self.a.streams.take(USER, copies=False)
        self.assertEqual(stuck, [one, other])
        for run in "bc":
            self.network.cut(run)
        self.bury()
        self.assertEqual(self.a.returned, [(USER, [copy])])

    def test_copies_for_another_way(self) -> None:
        """Who is nowhere else takes them all, each once."""
        Node(self.network, self.clock, "c")
        self.a.node.swallows = True
        copy = event(1)
        for run in "bc":
            self.a.streams.send(run, USER, copy, is_copy=True)
        self.a.node.cut_from |= {"b", "c"}
        self.assertEqual(self.a.streams.take(USER, copies=True), [copy])
        self.assertEqual(self.a.streams.take(USER, copies=True), [])

    def test_taken_for_another_way(self) -> None:
        """What cannot get to a node is taken for a user who is elsewhere now, once."""
        self.a.node.swallows = True
        self.send(event(1), CHAT)
        self.assertTrue(self.a.streams.send("b", GmsUser("other"), event(2)))
        self.assertEqual(self.a.streams.take(USER, copies=True), [], "it may be there any moment")
        self.a.node.cut_from.add("b")
        self.assertEqual(self.a.streams.take(USER, copies=True), [event(1), CHAT])
        self.assertEqual(self.a.streams.take(USER, copies=True), [])
        self.a.node.cut_from.clear()
        self.network.reconnect("a")
        self.assertEqual(self.b.taken, [(GmsUser("other"), event(2))])

    def test_taken_from_a_node_that_does_not_confirm(self) -> None:
        """It may be dead: all of the user's goes another way, too, and does not come back."""
        self.a.node.swallows = True
        first, second, other = event(1), event(2), event(3)
        self.send(first)
        self.clock.advance(LATE_S)
        self.assertEqual(self.a.streams.take(USER, copies=False), [], "it may be slow")
        self.clock.advance(0.01)
        self.send(second)
        self.a.streams.send("b", GmsUser("other"), other)
        self.assertEqual(self.a.streams.take(USER, copies=False, but="b"), [])
        self.assertEqual(self.a.streams.take(USER, copies=False), [first, second])
        self.assertEqual(self.a.streams.take(USER, copies=False), [])
        self.network.cut("b")
        self.bury()
        back = [(user, fragments) for user, fragments in self.a.returned]
        self.assertEqual(back, [(USER, [first, second]), (GmsUser("other"), [other])])
        self.assertEqual(self.a.copies_back, [first, second])

    def test_bounded(self) -> None:
        """A node that confirms nothing is not sent more than so many bytes."""
        self.a.node.swallows = True
        large = b"x" * (MAX_BYTES // 4)
        self.send(large, large, large, large)
        self.assertFalse(self.a.streams.send("b", USER, b"x"))

    def test_stop(self) -> None:
        """No timer is left."""
        self.send(event(1))
        self.b.streams.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
