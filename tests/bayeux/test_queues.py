"""Order, lazy messages, bounds.  Bayeux: behaviours 97 to 100; hardening B09, B10, B12."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.session import Session
from tests.support.bayeux import COMETD, PollClient, World


class OrderTests(SynchronousTestCase):
    """What leaves when."""

    def test_behaviour_097_deliver_only(self) -> None:
        """A message published while the client has a batch waits for the next connect."""
        world = World(meta_connect_deliver_only=True)
        for client in world.each():
            client.online("/a")
            world.server.publish("/a", 1)
            world.turn()
            self.assertEqual([one.get("data") for one in client.take()], [1, None])
            world.server.publish("/a", 2)
            world.turn()
            self.assertEqual(client.take(), [])
            self.assertEqual(len(client.publish("/b", 1)), 1)
            self.assertEqual([one.get("data") for one in client.connect()], [2, None])
            client.ask("/meta/disconnect")

    def test_batches_of_the_application(self) -> None:
        """Between start and end of a batch nothing leaves; batches nest."""
        world = World()
        client = world.poll()
        client.online("/a")
        session = world.server.sessions[client.client_id]
        outbox = world.server.outbox
        outbox.start_batch(session)
        outbox.start_batch(session)
        world.server.publish("/a", 1)
        world.turn()
        outbox.end_batch(session)
        world.server.publish("/a", 2)
        world.turn()
        self.assertEqual(client.take(), [])
        outbox.end_batch(session)
        world.turn()
        self.assertEqual([one.get("data") for one in client.take()], [1, 2, None])

    def test_behaviour_098_lazy(self) -> None:
        """A lazy message waits for its timer, or for company; a shorter timer wins."""
        world = World()
        client = world.poll()
        client.online("/a", "/quick")
        world.server.channel("/quick").lazy = True
        world.server.channel("/quick").lazy_timeout_s = 1.0
        world.server.publish("/a", 1, lazy=True)
        world.wait(4)
        self.assertEqual(client.take(), [])
        world.wait(1.2)
        self.assertEqual([one.get("data") for one in client.take()], [1, None])
        self.assertEqual(client.connect(), [])
        world.server.publish("/a", 2, lazy=True)
        world.server.publish("/quick", 3)
        world.wait(1.2)
        self.assertEqual([one.get("data") for one in client.take()], [2, 3, None])
        client.connect()
        world.server.publish("/a", 4, lazy=True)
        world.server.publish("/a", 5)
        world.turn()
        self.assertEqual([one.get("data") for one in client.take()], [4, 5, None])

    def test_behaviour_098_never_lost(self) -> None:
        """With lazy messages only, a connect is held; its timeout brings them."""
        world = World(max_lazy_timeout_s=100.0)
        client = world.poll()
        client.online("/a")
        client.last.lose()
        world.server.publish("/a", 1, lazy=True)
        self.assertEqual(client.connect(), [])
        world.wait(61)
        self.assertEqual([one.get("data") for one in client.take()], [1, None])

    def test_behaviour_098_overdue(self) -> None:
        """A lazy message whose time came while nobody polled leaves with the next connect."""
        world = World()
        for client in (world.poll(), world.socket()):
            client.online("/a")
            if isinstance(client, PollClient):
                client.last.lose()
            else:
                client.lose()
                client.open()
            world.server.publish("/a", 1, lazy=True)
            world.wait(6)
            received = client.connect()
            world.turn()
            received += client.take()
            self.assertEqual(received[0]["data"], 1)

    def test_behaviour_099_laziness_of_patterns(self) -> None:
        """A lazy pattern makes what it matches lazy; a parent does not; direct delivery is not."""
        world = World()
        client = world.socket()
        client.online("/**")
        server = world.server
        server.channel("/parent").lazy = True
        server.channel("/wild/*").lazy = True
        server.publish("/parent/child", 1)
        world.turn()
        self.assertEqual(client.take()[0]["data"], 1)
        server.publish("/wild/x", 2)
        world.turn()
        self.assertEqual(client.take(), [])
        server.deliver(server.sessions[client.client_id], "/wild/x", 3)
        world.turn()
        self.assertEqual([one["data"] for one in client.take()], [2, 3])

    def test_behaviour_100_dequeue_hook(self) -> None:
        """The hook sees the queue before every flush, and may change it."""
        world = World()
        client = world.poll()
        client.online("/a")
        calls: list[int] = []

        def newest_only(session: Session, queue: list[bytes], replies: list[bytes]) -> None:
            calls.append(len(queue))
            queue[:] = [b'{"channel":"/added"}', *queue[-1:]]

        world.server.sessions[client.client_id].extra().dequeue = newest_only
        for number in range(3):
            world.server.publish("/a", number)
        world.turn()
        received = client.take()
        self.assertEqual(calls, [3])
        self.assertEqual(
            [(one["channel"], one.get("data")) for one in received[:2]],
            [("/added", None), ("/a", 2)],
        )
        client.publish("/b", 1)
        self.assertEqual(calls, [3, 0])

    def test_behaviour_100_limits(self) -> None:
        """At the bound the oldest goes, the newest goes, or the session does."""
        for policy, expected in (("drop-oldest", [2, 3, 4]), ("drop-newest", [0, 1, 2])):
            world = World(max_queue=3, max_queue_policy=policy)
            client = world.poll()
            client.handshake()
            client.connect()
            client.subscribe("/a")
            for number in range(5):
                world.server.publish("/a", number)
            self.assertEqual([one["data"] for one in client.connect()[:-1]], expected)
            self.assertEqual(world.server.outbox.queued_bytes, 0)
        for bound in ("max_queue", "max_queue_bytes", "max_queued_bytes_total"):
            bounded: dict[str, Any] = {bound: 1024 if "bytes" in bound else 3}
            world = World(**bounded)
            client = world.poll()
            client.handshake()
            client.connect()
            client.subscribe("/a")
            for _ in range(5):
                world.server.publish("/a", "x" * 500)
            self.assertEqual(client.connect()[0]["error"], "402::session_unknown", bound)
            self.assertEqual(world.server.outbox.queued_bytes, 0)

    def test_B10_a_client_that_stops(self) -> None:
        """A client that stops polling is removed in time, and told by 402 and handshake."""
        world = World()
        client = world.poll("Buzz")
        client.online("/_genesys")
        world.wait(61)
        client.take()
        world.server.publish("/_genesys", 1)
        world.wait(31)
        self.assertEqual(world.server.sessions, {})
        self.assertEqual(world.server.outbox.queued_bytes, 0)
        self.assertEqual(client.connect()[0]["advice"]["reconnect"], "handshake")

    def test_slices(self) -> None:
        """A flush stops after its slice and goes on in the next turn."""
        world = World()
        clients = [world.poll() for _ in range(40)]
        for client in clients:
            client.online("/a")
        outbox = world.server.outbox
        moments = iter([0.0, 1.0] * 100)

        class Jumping:
            def seconds(self) -> float:
                return next(moments)

        world.server.publish("/a", 1)
        self.patch(outbox, "_clock", Jumping())
        self.assertTrue(outbox.flush())
        answered = sum(bool(client.received) for client in clients)
        self.assertEqual(answered, 16)


class FaultTests(SynchronousTestCase):
    """One that is broken does not stop the others."""

    def test_R18_a_broken_connection(self) -> None:
        """An exception while one client is answered is logged; all others are answered."""
        world = World()
        clients = [world.poll() for _ in range(3)]
        for client in clients:
            client.online("/a")

        def explode(response: bytes) -> None:
            raise RuntimeError("from the test")

        self.patch(clients[0].last, "answer", explode)
        world.server.publish("/a", 1)
        world.turn()
        world.turn()
        self.assertEqual([bool(client.received) for client in clients], [False, True, True])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        clients[1].connect()
        world.server.publish("/a", 2)
        world.turn()
        self.assertEqual(clients[1].take()[0]["data"], 2)

    def test_R18_a_broken_deadline(self) -> None:
        """An exception at one session's deadline does not keep the others from theirs."""
        world = World()
        clients = [world.poll() for _ in range(3)]
        for client in clients:
            client.online()

        def explode(response: bytes) -> None:
            raise RuntimeError("from the test")

        self.patch(clients[0].last, "answer", explode)
        world.wait(61)
        self.assertEqual([bool(client.received) for client in clients], [False, True, True])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        world.wait(31)
        self.assertEqual(world.server.sessions, {})


class BeforeConnectTests(SynchronousTestCase):
    """B12: no moment of a session is without a queue."""

    def test_B12_handshake_and_reconnect(self) -> None:
        """What comes between handshake and connect, and between connects, is delivered."""
        world = World()
        client = world.poll()
        client.handshake()
        session = world.server.sessions[client.client_id]
        for number in range(3):
            world.server.deliver(session, "/a", number)
            world.turn()
            self.assertEqual([one.get("data") for one in client.connect()], [number, None])


class HandOverTests(SynchronousTestCase):
    """B09, B12: whatever happens in whatever order, nothing is lost or doubled."""

    @settings(deadline=None, max_examples=60)
    @given(some.lists(some.integers(0, 6), max_size=60))
    def test_B09_interleavings(self, steps: list[int]) -> None:
        """Connects, duplicates, publishes, turns and time in any order: complete, in order."""
        world = World(duplicate_meta_connect_http_response_code=408)
        client = world.poll()
        client.handshake()
        client.subscribe("/a")
        sent = 0
        received: list[int] = []
        for step in steps:
            if step <= 1:
                world.server.publish("/a", sent)
                sent += 1
            elif step == 2:
                client.send(client.message("/meta/connect"))
            elif step == 3:
                world.turn()
            elif step == 4:
                world.wait(7, step=7)
            elif step == 5:
                client.send(client.message("/b", data=0))
            elif client.last.answers == 0 and not client.last.gone:
                client.last.lose()
        client.send(client.message("/meta/connect", advice={"timeout": 0}))
        received = [one["data"] for one in client.take() if one["channel"] == "/a"]
        if client.client_id in world.server.sessions:
            self.assertEqual(received, list(range(sent)))
        else:
            self.assertEqual(received, list(range(len(received))))


class SixTabsTests(SynchronousTestCase):
    """B15: six tabs of one browser."""

    @settings(deadline=None, max_examples=40)
    @given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 3)), max_size=60))
    def test_behaviour_096_one_poll_at_most(self, steps: list[tuple[int, int]]) -> None:
        """At most one connect is held, and after everybody left the next one is."""
        world = World(**COMETD)
        tabs: list[PollClient] = []
        for _ in range(6):
            tab = world.poll()
            tab.cookie = "one-browser-with-six-tabs"
            tab.handshake()
            tab.connect()
            tabs.append(tab)
        for number, what in steps:
            tab = tabs[number]
            if what == 0:
                tab.connect()
            elif what == 1 and tab.last.answers == 0 and not tab.last.gone:
                tab.last.lose()
            elif what == 2:
                world.wait(11, step=11)
            else:
                tab.publish("/a", 1)
            self.assertLessEqual(world.server.outbox.held, 1)
        for tab in tabs:
            tab.ask("/meta/disconnect")
        tab.handshake()
        tab.connect()
        self.assertEqual(tab.connect(), [])
