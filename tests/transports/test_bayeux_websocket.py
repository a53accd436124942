"""Bayeux over websockets.  Bayeux: behaviours 85 to 92."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.interfaces import Peer, Refusal
from tests.support.bayeux import COMETD, FakeSocket, World, head


def arrays(socket: FakeSocket) -> list[list[dict[str, object]]]:
    """Take the frames of a socket apart."""
    frames, socket.frames = socket.frames, []
    return [json.loads(frame) for frame in frames]


class SocketTests(SynchronousTestCase):
    """One socket, one session."""

    def test_behaviour_085_frames(self) -> None:
        """Replies of a payload share a frame; deliveries have one each, or one for all."""
        for cometd, expected in ((True, [1, 1, 1]), (False, [3])):
            world = World(**COMETD) if cometd else World()
            client = world.socket()
            client.online("/a")
            arrays(client.socket)
            client.send(client.message("/b", data=1, id="1"), client.message("/c", data=1, id="2"))
            (replies,) = arrays(client.socket)
            self.assertEqual([one["id"] for one in replies], ["1", "2"])
            for number in range(3):
                world.server.publish("/a", number)
            world.turn()
            frames = arrays(client.socket)
            self.assertEqual([len(frame) for frame in frames], expected)
            self.assertEqual([one["data"] for frame in frames for one in frame], [0, 1, 2])

    def test_frames_of_acknowledged_messages(self) -> None:
        """They share a frame with the connect's reply if so many may, held or not."""
        for most, expected in ((-1, [4]), (4, [4]), (3, [3, 1]), (1, [1, 1, 1, 1])):
            for held in (False, True):
                for listening in (False, True):
                    with self.subTest(most=most, held=held, listening=listening):
                        world = World(ws_messages_per_frame=most)
                        if listening:
                            world.server.listen("/nowhere", lambda session, message: None)
                        client = world.socket()
                        client.online("/a", ext={"ack": True})
                        world.wait(70.0)
                        if held:
                            client.connect(ext={"ack": 1})
                        arrays(client.socket)
                        for number in range(3):
                            world.server.publish("/a", number)
                        if not held:
                            client.connect(ext={"ack": 1})
                        world.turn()
                        frames = arrays(client.socket)
                        self.assertEqual([len(frame) for frame in frames], expected)
                        flat = [one["channel"] for frame in frames for one in frame]
                        self.assertEqual(flat, ["/a"] * 3 + ["/meta/connect"])

    def test_the_handshake_reply_is_alone(self) -> None:
        """The handshake reply has a frame of its own."""
        client = World().socket()
        client.handshake()
        self.assertEqual(len(arrays(client.socket)), 1)

    def test_behaviour_086_the_heartbeat(self) -> None:
        """Deliveries do not answer the held connect, except in deliver-only mode."""
        for deliver_only in (False, True):
            world = World(meta_connect_deliver_only=deliver_only)
            client = world.socket()
            client.online("/a")
            world.server.publish("/a", 1)
            world.turn()
            channels = [one["channel"] for one in client.take()]
            self.assertEqual(channels, ["/a", "/meta/connect"] if deliver_only else ["/a"])

    def test_behaviour_087_resumes(self) -> None:
        """A new socket takes the session over; events come there before any connect is held."""
        world = World()
        client = world.socket()
        client.online("/a")
        client.lose()
        world.server.publish("/a", 1)
        world.turn()
        client.open()
        client.send(client.message("/b", data=0))
        received = client.take()
        self.assertEqual(received[0], {"channel": "/a", "data": 1})
        self.assertTrue(received[1]["successful"])
        world.server.publish("/a", 2)
        world.turn()
        self.assertEqual(client.take(), [{"channel": "/a", "data": 2}])
        self.assertEqual(client.connect(), [])

    def test_from_polling_to_a_socket_and_back(self) -> None:
        """The newest connect wins, whatever brings it; the client is advised again."""
        world = World()
        poll = world.poll("Buzz")
        poll.online("/a")
        held = poll.last
        socket = world.socket("Buzz")
        socket.client_id = poll.client_id
        self.assertEqual(socket.connect(), [])
        self.assertEqual((held.status, held.body), (500, b""))
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual(socket.take(), [{"channel": "/a", "data": 1}])
        self.assertEqual(poll.connect(), [])
        world.server.publish("/a", 2)
        world.turn()
        self.assertEqual(socket.take(), [])
        event, reply = poll.take()
        self.assertEqual((event["data"], reply["advice"]["reconnect"]), (2, "retry"))
        socket.lose()
        self.assertEqual(poll.connect(), [])

    def test_behaviour_088_a_handshake_for_each(self) -> None:
        """When each connection must shake hands, an old id is 402."""
        world = World(ws_require_handshake_per_connection=True)
        client = world.socket()
        client.online()
        client.lose()
        client.open()
        self.assertEqual(client.connect()[0]["error"], "402::session_unknown")
        self.assertTrue(client.handshake()["successful"])

    def test_behaviour_089_subprotocols(self) -> None:
        """None selected unless configured; then it must be offered."""
        peer = Peer("192.0.2.1", 1)
        for wanted, offered, expected in (
            ("", "", None),
            ("", "bayeux", None),
            ("bayeux", "x, bayeux", "bayeux"),
        ):
            upgrade = World(ws_protocol=wanted).hot.upgrade(
                head("GET", sec_websocket_protocol=offered), peer
            )
            assert not isinstance(upgrade, Refusal)
            self.assertEqual(upgrade.protocol, expected)
        for offered in ("", "other"):
            refused = World(ws_protocol="bayeux").hot.upgrade(
                head("GET", sec_websocket_protocol=offered), peer
            )
            assert isinstance(refused, Refusal)
            self.assertEqual(refused.status, 400)

    def test_behaviour_090_bad_payloads(self) -> None:
        """Payloads that are none close the socket with 1011; the session lives on."""
        world = World()
        for body in (b"{", b"[]", b"5", b"[1]", b"[" + b"{}," * 1000 + b"{}]"):
            client = world.socket()
            client.online()
            client.handler.received(body)
            assert client.socket.closed is not None
            self.assertEqual(client.socket.closed[0], 1011)
            self.assertIn(client.client_id, world.server.sessions)
        upgrade = world.hot.upgrade(head("GET"), Peer("192.0.2.1", 1))
        assert not isinstance(upgrade, Refusal)
        self.assertEqual(upgrade.max_message_bytes, 64 * 1024)

    def test_behaviour_091_slow_reader(self) -> None:
        """A peer that does not read leaves its messages queued, and goes on when it reads."""
        world = World()
        client = world.socket()
        client.online("/a")
        client.socket.stuck = 300 * 1024
        for number in range(3):
            world.server.publish("/a", number)
            world.turn()
        self.assertEqual(client.take(), [])
        session = world.server.sessions[client.client_id]
        self.assertEqual(len(session.queue), 3)
        client.socket.stuck = 0
        client.handler.drained()
        world.turn()
        self.assertEqual([one["data"] for one in client.take()], [0, 1, 2])

    def test_W03_never_reading(self) -> None:
        """A peer that never reads is closed with 1013 when its queue is full."""
        world = World(max_queue=10)
        client = world.socket()
        client.online("/a")
        client.socket.stuck = 300 * 1024
        for number in range(11):
            world.server.publish("/a", number)
            world.turn()
        assert client.socket.closed is not None
        self.assertEqual(client.socket.closed[0], 1013)
        self.assertEqual(world.server.sessions, {})
        self.assertEqual(world.server.outbox.queued_bytes, 0)

    def test_a_peer_that_asks_but_does_not_read(self) -> None:
        """Answers that pile up unread close the socket."""
        client = World().socket()
        client.online()
        client.socket.stuck = 2 * 1024 * 1024
        client.publish("/a", 1)
        assert client.socket.closed is not None
        self.assertEqual(client.socket.closed[0], 1013)

    def test_a_write_that_stalls(self) -> None:
        """A socket that takes nothing for the idle time is dropped, though it talks."""
        world = World(ws_idle_timeout_s=100.0)
        client = world.socket()
        client.online("/a")
        client.socket.stuck = 300 * 1024
        world.server.publish("/a", 1)
        for _ in range(6):
            world.wait(20)
            client.handler.ponged()
            client.connect()
        world.wait(25)
        self.assertTrue(client.socket.aborted)

    def test_W04_no_pong(self) -> None:
        """A quiet peer is pinged every 25 s and closed after two without an answer."""
        world = World(timeout_s=1000.0)
        client = world.socket()
        client.online()
        world.wait(26, step=1)
        self.assertEqual(client.socket.pings, 1)
        client.handler.ponged()
        world.wait(26, step=1)
        self.assertEqual((client.socket.pings, client.socket.closed), (2, None))
        world.wait(52, step=1)
        assert client.socket.closed is not None
        self.assertEqual(client.socket.closed[0], 1001)
        client.lose()
        self.assertIn(client.client_id, world.server.sessions)

    def test_behaviour_092_context(self) -> None:
        """User and cookie come from the upgrade, and sockets do not mix."""
        world = World()
        one, two = world.socket("Buzz"), world.socket("Woody")
        one.handshake()
        two.handshake()
        sessions = world.server.sessions
        self.assertEqual(sessions[one.client_id].user, "Buzz")
        self.assertEqual(sessions[two.client_id].user, "Woody")
        browser = world.socket(origin="http://own", cookie="BAYEUX_BROWSER=abc")
        device = world.socket(cookie="BAYEUX_BROWSER=abc")
        browser.handshake()
        device.handshake()
        self.assertEqual(sessions[browser.client_id].browser, "abc")
        self.assertIsNone(sessions[device.client_id].browser, "W01")

    def test_W01_foreign_origin(self) -> None:
        """An upgrade from a page of another site is refused, one without origin accepted."""
        world = World()
        refused = world.hot.upgrade(head("GET", origin="null"), Peer("192.0.2.1", 1))
        assert isinstance(refused, Refusal)
        self.assertEqual(refused.status, 403)
        self.assertNotIsInstance(world.hot.upgrade(head("GET"), Peer("192.0.2.1", 1)), Refusal)

    def test_other_ids_on_a_socket(self) -> None:
        """A socket stands for one session; other ids, and none, are 402."""
        world = World()
        one, two = world.socket(), world.socket()
        one.online()
        two.online()
        self.assertEqual(one.publish("/a", 1, clientId=two.client_id)[0]["error"][:3], "402")
        one.send({"channel": "/a", "data": 1})
        self.assertEqual(one.take()[0]["error"][:3], "402")

    def test_a_second_handshake(self) -> None:
        """A second handshake replaces the socket's session; the first one expires."""
        world = World()
        client = world.socket()
        client.online()
        first = client.client_id
        client.online("/a")
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual(client.take(), [{"channel": "/a", "data": 1}])
        world.wait(31)
        self.assertEqual(set(world.server.sessions), {client.client_id} - {first})

    def test_an_error_of_ours(self) -> None:
        """An exception is logged once and closes the socket."""
        world = World()
        client = world.socket()
        client.online()

        def explode(*arguments: object) -> None:
            raise RuntimeError("from the test")

        self.patch(world.comet, "subscribed", explode)
        client.send(client.message("/meta/subscribe", subscription="/b"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        assert client.socket.closed is not None
        self.assertEqual(client.socket.closed[0], 1011)

    def test_no_timers_are_left(self) -> None:
        """Sockets that are gone leave no delayed call."""
        world = World()
        before = len(world.clock.getDelayedCalls())
        clients = [world.socket() for _ in range(3)]
        for client in clients:
            client.online()
        for client in clients:
            client.lose()
        world.turn()
        self.assertEqual(len(world.clock.getDelayedCalls()), before)
