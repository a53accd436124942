"""Connects: held, answered, overtaken.  Bayeux: behaviours 14 to 29."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux import channels
from tests.support.bayeux import World


class ConnectTests(SynchronousTestCase):
    """A connect is held while there is nothing to say."""

    def test_behaviour_014_first_and_second(self) -> None:
        """The first connect returns at once, the second when the timeout is over."""
        world = World()
        for client in world.each():
            client.handshake()
            (first,) = client.connect()
            self.assertEqual(
                first["advice"], {"reconnect": "retry", "interval": 0, "timeout": 60000}
            )
            self.assertEqual(client.connect(), [])
            world.wait(59.9)
            self.assertEqual(client.take(), [])
            world.wait(0.2)
            (reply,) = client.take()
            self.assertTrue(reply["successful"])
            self.assertNotIn("advice", reply)
            client.ask("/meta/disconnect")

    def test_behaviour_015_timeout_zero(self) -> None:
        """``advice.timeout`` 0 returns at once with advice; the next one is held."""
        for client in World().each():
            client.online()
            received = client.connect(advice={"timeout": 0})
            self.assertIn("advice", received[-1])
            self.assertEqual(client.connect(), [])

    def test_behaviour_016_third_is_plain(self) -> None:
        """The third idle connect has neither advice nor multiple-clients."""
        world = World()
        client = world.poll()
        client.online()
        world.wait(61)
        client.take()
        client.connect()
        world.wait(61)
        self.assertEqual(
            client.take(), [{"channel": "/meta/connect", "successful": True, "id": "4"}]
        )

    def test_behaviour_017_with_a_subscribe(self) -> None:
        """A connect that is not alone is not held; replies come in order."""
        for client in World().each():
            client.handshake()
            client.connect()
            client.take()
            client.send(
                client.message("/meta/connect"),
                client.message("/meta/subscribe", subscription="/a"),
            )
            self.assertEqual(
                [one["channel"] for one in client.take()], ["/meta/connect", "/meta/subscribe"]
            )

    def test_behaviour_018_news(self) -> None:
        """A message that waits makes the connect return at once with it."""
        world = World()
        client = world.poll()
        client.handshake()
        client.connect()
        client.subscribe("/a")
        world.server.publish("/a", 1)
        self.assertEqual([one["channel"] for one in client.connect()], ["/a", "/meta/connect"])

    def test_behaviour_019_wakes(self) -> None:
        """Publish by a client, publish by the server, direct delivery: each wakes a connect."""
        world = World()
        other = world.poll()
        other.handshake()
        for client in world.each():
            client.online("/a")
            session = world.server.sessions[client.client_id]
            for wake in (
                lambda: other.publish("/a", "x"),
                lambda: world.server.publish("/a", "x"),
                lambda session=session: world.server.deliver(session, "/a", "x"),
            ):
                client.connect()
                wake()
                world.turn()
                self.assertEqual(client.take()[0], {"channel": "/a", "data": "x"})
            client.ask("/meta/disconnect")

    def test_behaviour_020_duplicate_over_http(self) -> None:
        """The older connect gets the status and no body; the newer is held, nothing is lost."""
        for code in (500, 408):
            world = World(duplicate_meta_connect_http_response_code=code)
            client = world.poll()
            client.online("/a")
            older = client.last
            world.server.publish("/a", 1)  # Queued, not flushed yet.
            (event, _) = client.connect()
            self.assertEqual((older.status, older.body), (code, b""))
            self.assertEqual(event["data"], 1)
            older = client.send(client.message("/meta/connect"))
            newer = client.send(client.message("/meta/connect"))
            self.assertEqual((older.status, older.body, newer.answers), (code, b"", 0))
            world.server.publish("/a", 2)
            world.turn()
            self.assertEqual(client.take()[0]["data"], 2)

    def test_behaviour_021_duplicate_over_websocket(self) -> None:
        """The older connect is never answered, the newer is held."""
        world = World()
        client = world.socket()
        client.online()
        client.connect(id="newer")
        world.wait(61)
        self.assertEqual([one["id"] for one in client.take()], ["newer"])

    def test_behaviour_022_client_timed_out(self) -> None:
        """A client that gave up its connect and sends another loses nothing."""
        world = World()
        client = world.poll()
        client.online("/a")
        client.last.lose()
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual(client.connect()[0]["data"], 1)

    def test_behaviour_023_abort(self) -> None:
        """What is published after a held connect broke comes with the next one."""
        world = World()
        client = world.poll()
        client.online("/a")
        broken = client.last
        broken.lose()
        world.server.publish("/a", 1)
        world.wait(5)
        self.assertEqual(broken.answers, 0)
        self.assertEqual([one.get("data") for one in client.connect()], [1, None])

    def test_behaviour_024_unknown(self) -> None:
        """An unknown client is told to shake hands at once."""
        world = World()
        world.wait(31, step=31)
        for client in world.each():
            (reply,) = client.connect(clientId="nosuch")
            self.assertEqual(reply["error"], "402::session_unknown")
            self.assertEqual(reply["advice"], {"reconnect": "handshake", "interval": 0})

    def test_behaviour_025_race_with_expiry(self) -> None:
        """A connect of a session that has just expired gets handshake, never none."""
        world = World()
        for client in world.each():
            client.handshake()
            client.connect()
            world.server.remove(world.server.sessions[client.client_id], expired=True)
            (reply,) = client.connect()
            self.assertEqual(reply["error"], "402::session_unknown")
            self.assertEqual(reply["advice"]["reconnect"], "handshake")

    def test_behaviour_026_ids(self) -> None:
        """A numeric id is echoed as text, an absent one not at all."""
        for client in World().each():
            self.assertEqual(client.handshake(id=12)["id"], "12")
            client.take()
            client.send({"channel": "/meta/connect", "clientId": client.client_id})
            self.assertNotIn("id", client.take()[0])
            client.send({"channel": "/meta/connect", "clientId": client.client_id, "id": 0})
            client.send({"channel": "/x", "clientId": client.client_id, "id": 7})
            self.assertIn("7", [one.get("id") for one in client.take()])

    def test_behaviour_027_invalid_id(self) -> None:
        """An id that is not alphanumeric is refused with 405 and not echoed."""
        client = World().poll()
        client.handshake()
        identifiers: list[Any] = ["<script>", "", "a b", 1.5, True, [], "x" * 129]
        for odd in identifiers:
            (reply,) = client.publish("/a", 1, id=odd)
            self.assertEqual(reply["error"], "405::message_id_invalid", odd)
            self.assertNotIn("id", reply)
            self.assertEqual(client.last.status, 200)

    def test_behaviour_028_times_of_the_application(self) -> None:
        """When the application changes timeout or interval, the next reply says so."""
        world = World()
        client = world.poll()
        client.online()
        session = world.server.sessions[client.client_id]
        world.server.retime(session, timeout_s=10.0, interval_s=2.0)
        (reply,) = client.connect(advice={"timeout": 0})
        self.assertEqual(
            reply["advice"], {"reconnect": "retry", "interval": 2000, "timeout": 10000}
        )
        client.connect()
        world.wait(9.5)
        self.assertEqual(client.take(), [])
        world.wait(1)
        self.assertNotIn("advice", client.take()[0])

    def test_behaviour_029_interval_of_the_client(self) -> None:
        """A client's interval extends its life and is advised back."""
        world = World()
        client = world.poll()
        client.online()
        (reply,) = client.connect(advice={"timeout": 0, "interval": 20000})
        self.assertEqual(reply["advice"]["interval"], 20000)
        world.wait(45)
        self.assertIn(client.client_id, world.server.sessions)
        world.wait(6)
        self.assertNotIn(client.client_id, world.server.sessions)

    def test_odd_advice_is_ignored(self) -> None:
        """Negative, huge and wrongly typed advice counts as absent."""
        world = World()
        client = world.poll()
        client.online()
        wrong: list[Any] = [{"timeout": -1}, {"timeout": "0"}, {"timeout": True}, 5, [], None]
        for advice in wrong:
            self.assertEqual(client.connect(advice=advice), [], advice)

    def test_further_advice(self) -> None:
        """``maxInterval`` and ``hosts`` are advised when they are configured."""
        world = World(handshake_reconnect=True, hosts=("http://other",))
        client = world.poll()
        client.handshake()
        (reply,) = client.connect()
        self.assertEqual(reply["advice"]["maxInterval"], 30000)
        self.assertEqual(reply["advice"]["hosts"], ["http://other"])

    def test_unknown_meta_channels(self) -> None:
        """Other meta channels cannot be made."""
        client = World().poll()
        client.handshake()
        (reply,) = client.ask("/meta/other")
        self.assertEqual(reply["error"], "403:denied_by_security_policy:channel_create_denied")
        (reply,) = client.ask("/meta/unsubscribe", subscription="/meta/connect")
        self.assertEqual(reply["error"], "403::unsubscribe_failed")

    def test_listeners_on_meta_channels(self) -> None:
        """A listener may stop a connect or a subscribe."""
        world = World()
        client = world.poll()
        client.handshake()
        stop = world.server.listen("/meta/**", lambda session, message: False)
        self.assertEqual(client.connect()[0]["error"], "404::message_deleted")
        self.assertEqual(client.subscribe("/a")["error"], "404::message_deleted")
        stop()
        self.assertTrue(client.connect()[0]["successful"])

    def test_legacy_texts(self) -> None:
        """The older texts have the same numbers."""
        client = World(legacy_error_text=True).poll()
        self.assertEqual(client.connect(clientId="x")[0]["error"], "402::Unknown client")

    def test_as_many_channels_as_there_may_be(self) -> None:
        """When there are too many channels no client makes another one."""
        world = World()
        client = world.poll()
        client.handshake()
        self.patch(channels, "MAX_CHANNELS", len(world.server.channels))
        self.assertEqual(client.subscribe("/a")["error"], "403:too_many:create_denied")
        self.assertEqual(client.publish("/a", 1)[0]["error"], "403:too_many:channel_create_denied")
        self.assertRaises(ValueError, world.server.channel, "a")

    def test_pressed_answers_a_held_connect(self) -> None:
        """A request behind a held connect makes it return as its timeout would."""
        world = World()
        client = world.poll()
        client.online()
        world.hot.pressed(client.last)
        self.assertEqual(
            client.take(), [{"channel": "/meta/connect", "successful": True, "id": "3"}]
        )

    def test_B09_hand_over(self) -> None:
        """An id that was stolen does not displace the connect of its owner."""
        world = World()
        owner, thief = world.poll("owner"), world.poll("thief")
        owner.online("/a")
        held = owner.last
        thief.client_id = owner.client_id
        (reply,) = thief.connect()
        self.assertEqual(reply["error"], "402::session_unknown")
        self.assertEqual(held.answers, 0)
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual(owner.take()[0]["data"], 1)


class ExpiryTests(SynchronousTestCase):
    """Sessions end when their client stays away.  Bayeux: behaviours 30 to 40."""

    def test_behaviour_030_expires(self) -> None:
        """Without a connect a session ends after interval and maxInterval."""
        for number in range(3):
            world = World(interval_s=2.0)
            client = world.each()[number]
            client.handshake()
            world.wait(31.5)
            self.assertIn(client.client_id, world.server.sessions)
            world.wait(1.0)
            self.assertNotIn(client.client_id, world.server.sessions)

    def test_behaviour_031_publishing_postpones(self) -> None:
        """A client that publishes lives on, and ends maxInterval after its last message."""
        world = World()
        client = world.poll()
        client.handshake()
        for _ in range(4):
            world.wait(20)
            self.assertTrue(client.publish("/a", 1)[0]["successful"])
        world.wait(29)
        self.assertIn(client.client_id, world.server.sessions)
        world.wait(2)
        self.assertNotIn(client.client_id, world.server.sessions)

    def test_behaviour_032_a_held_connect_lives(self) -> None:
        """A held connect keeps a session, however long it is held."""
        world = World(timeout_s=500.0)
        for client in world.each():
            client.online()
        world.wait(499, step=7)
        self.assertEqual(len(world.server.sessions), 3)

    def test_behaviour_033_own_life(self) -> None:
        """A session's own maxInterval beats the server's."""
        world = World()
        client = world.poll()
        client.handshake()
        world.server.retime(world.server.sessions[client.client_id], max_interval_s=5.0)
        client.connect()
        world.wait(6)
        self.assertNotIn(client.client_id, world.server.sessions)

    def test_behaviour_034_told_once(self) -> None:
        """Expiry unsubscribes and tells with true; a good-bye with false; each once."""
        world = World()
        ended: list[bool] = []
        for leaves in (False, True):
            client = world.poll()
            client.handshake()
            client.subscribe("/a")
            session = world.server.sessions[client.client_id]
            session.extra().removal.append(lambda session, expired: ended.append(expired))
            if leaves:
                client.ask("/meta/disconnect")
            world.wait(40)
            channel = world.server.channel("/a")
            self.assertEqual(channel.subscribers, {})
        self.assertEqual(ended, [True, False])

    def test_behaviour_035_nothing_for_the_dead(self) -> None:
        """Delivering to an expired session queues nothing and says so."""
        world = World()
        client = world.poll()
        client.handshake()
        session = world.server.sessions[client.client_id]
        world.wait(40)
        self.assertFalse(world.server.deliver(session, "/a", 1))
        self.assertEqual((session.queue, world.server.outbox.queued_bytes), ([], 0))

    def test_behaviour_036_local(self) -> None:
        """Sessions of the application itself never expire."""
        world = World()
        session = world.server.local_session()
        world.wait(500, step=20)
        self.assertTrue(session.alive)

    def test_behaviour_037_slow_reader(self) -> None:
        """A session does not expire while its answer is still being read."""
        world = World()
        client = world.poll()
        client.online("/a")
        connection = client.last
        connection.stuck = 1000
        world.server.publish("/a", 1)
        world.wait(50)
        self.assertIn(client.client_id, world.server.sessions)
        connection.stuck = 0
        world.wait(70)
        self.assertNotIn(client.client_id, world.server.sessions)
        self.assertEqual(client.connect()[0]["advice"]["reconnect"], "handshake")

    def test_behaviour_038_broken_connections(self) -> None:
        """Sockets and polls that break leave no session behind."""
        world = World(max_sessions_per_address=100_000)
        for _ in range(250):
            socket, poll = world.socket(), world.poll()
            socket.online()
            socket.lose()
            poll.online()
            poll.last.lose()
        world.wait(31)
        self.assertEqual(world.server.sessions, {})
        self.assertEqual(world.server.outbox.held, 0)

    def test_behaviour_039_a_listener_that_raises(self) -> None:
        """An exception in a listener ends neither the sweep nor the message."""
        world = World()
        clients = [world.poll() for _ in range(2)]

        def explode(session: object, what: object) -> None:
            raise ValueError("from the test")

        world.server.listen("/a", explode)
        for client in clients:
            client.handshake()
            world.server.sessions[client.client_id].extra().removal.append(explode)
        self.assertTrue(clients[0].publish("/a", 1)[0]["successful"])
        world.wait(40)
        self.assertEqual(world.server.sessions, {})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)

    def test_behaviour_040_restart(self) -> None:
        """After a restart old ids get 402, with returns spread over five seconds (B16)."""
        before, after = World(), World()
        client = before.poll()
        client.handshake()
        late = after.poll()
        late.client_id = "before" + client.client_id
        (reply,) = late.connect()
        self.assertEqual(reply["advice"], {"reconnect": "handshake", "interval": 2500})

    test_B16_restart = test_behaviour_040_restart
