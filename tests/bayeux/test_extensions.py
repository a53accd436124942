"""Acknowledgement, time synchronisation and others.  Bayeux: behaviours 101 to 107."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.codec import Message
from tests.support.bayeux import Client, Json, World

ACK = {"ack": True}


def batch(received: list[Json]) -> Any:
    """The batch number of a connect reply."""
    return received[-1]["ext"]["ack"]


def data(received: list[Json]) -> list[Any]:
    """What was delivered."""
    return [one["data"] for one in received if "data" in one]


class Reader:
    """A client that drops what it has already, and acknowledges what it read.

    :ivar got: numbers, in the order in which they came first.
    :ivar last: the last batch.
    """

    def __init__(self) -> None:
        self.got: list[int] = []
        self.last = -1

    def read(self, received: list[Json], lost: bool) -> None:
        """Read a response, unless it got lost."""
        if lost or not received or "ext" not in received[-1]:
            return
        self.got += [number for number in data(received) if not self.got or number > self.got[-1]]
        self.last = batch(received)


class AckTests(SynchronousTestCase):
    """A message stays until the client has it."""

    def acknowledged(self, world: World, client: Client) -> None:
        """Shake hands with acknowledgement and subscribe."""
        self.assertEqual(client.handshake(ext=ACK)["ext"], ACK)
        self.assertEqual(batch(client.connect(ext={"ack": -1})), 1)
        client.subscribe("/a")

    def test_behaviour_101_the_trace(self) -> None:
        """Batches count up; what a lost response had comes again, at once."""
        world = World()
        client = world.poll()
        self.acknowledged(world, client)
        self.assertEqual(client.connect(ext={"ack": 1}), [])
        world.server.publish("/a", "m1")
        world.turn()
        received = client.take()
        self.assertEqual((data(received), batch(received)), (["m1"], 2))
        world.server.publish("/a", "m2")
        received = client.connect(ext={"ack": 1})
        self.assertEqual((data(received), batch(received)), (["m1", "m2"], 3))
        self.assertEqual(client.connect(ext={"ack": 3}), [])
        world.wait(61)
        self.assertEqual(batch(client.take()), 4)

    def test_behaviour_101_hold_or_not(self) -> None:
        """Unacknowledged messages are sent at once, lazy ones alone wait."""
        world = World(max_lazy_timeout_s=2.0)
        client = world.poll()
        self.acknowledged(world, client)
        client.connect(ext={"ack": 1})
        world.server.publish("/a", "m1")
        world.turn()
        client.take()
        self.assertEqual(data(client.connect(ext={"ack": 1})), ["m1"])
        self.assertEqual(client.connect(ext={"ack": 3}), [])
        world.server.publish("/a", "lazy", lazy=True)
        world.wait(3)
        self.assertEqual(data(client.take()), ["lazy"])
        self.assertEqual(client.connect(ext={"ack": 3}), [])

    def test_behaviour_102_over_websocket(self) -> None:
        """Over a websocket batches leave with connects, and survive the socket."""
        world = World()
        client = world.socket()
        self.acknowledged(world, client)
        client.connect(ext={"ack": 1})
        world.server.publish("/a", "m1")
        world.turn()
        received = client.take()
        self.assertEqual((data(received), batch(received)), (["m1"], 2))
        for number in range(5):
            client.lose()
            client.open()
            world.server.publish("/a", number)
            self.assertEqual(data(client.connect(ext={"ack": 1})), ["m1", *range(number + 1)])
        self.assertEqual(client.connect(ext={"ack": 7}), [])

    def test_behaviour_102_overtaken(self) -> None:
        """A connect that overtakes a held one loses nothing."""
        world = World()
        client = world.poll()
        self.acknowledged(world, client)
        client.connect(ext={"ack": 1})
        world.server.publish("/a", 1)
        received = client.connect(ext={"ack": 1})
        self.assertEqual(data(received), [1])

    def test_behaviour_103_announced_only(self) -> None:
        """Who does not ask gets the announcement, and no batches."""
        client = World().poll()
        self.assertEqual(client.handshake()["ext"], ACK)
        self.assertNotIn("ext", client.connect()[0])

    def test_B11_odd_acknowledgements(self) -> None:
        """A future batch is clamped; what is no number counts as absent; going back sends again."""
        world = World()
        client = world.poll()
        self.acknowledged(world, client)
        world.server.publish("/a", 1)
        odd: list[Any] = [None, "2", True, 2.0, [], {}, 0, -5]
        for ack in odd:
            self.assertEqual(data(client.connect(ext={"ack": ack})), [1], ack)
        self.assertEqual(data(client.connect()), [1])
        self.assertEqual(client.connect(ext={"ack": 10**30}), [])
        world.server.publish("/a", 2)
        world.turn()
        self.assertEqual(data(client.take()), [2])

    def test_with_the_handshake_reply(self) -> None:
        """With delivery during the handshake, its reply carries a batch."""
        world = World(allow_message_delivery_during_handshake=True)
        client = world.poll()
        reply = client.handshake(ext=ACK)
        self.assertEqual(reply["ext"], {"ack": {"enabled": True, "batch": 1}})

    def test_the_bound_counts_what_is_not_acknowledged(self) -> None:
        """Unacknowledged messages count against the queue's bound."""
        world = World(max_queue=3, max_queue_policy="drop-oldest")
        client = world.poll()
        self.acknowledged(world, client)
        for number in range(5):
            world.server.publish("/a", number)
            client.connect(ext={"ack": -1})
        self.assertEqual(data(client.connect(ext={"ack": -1})), [2, 3, 4])

    @settings(deadline=None, max_examples=60)
    @given(some.lists(some.tuples(some.integers(0, 4), some.booleans()), max_size=50))
    def test_B11_responses_get_lost(self, steps: list[tuple[int, bool]]) -> None:
        """With random responses lost, every message arrives, in order."""
        world = World()
        client = world.poll()
        client.handshake(ext=ACK)
        client.subscribe("/a")
        reader = Reader()
        sent = 0
        for what, lost in steps:
            if what <= 1:
                world.server.publish("/a", sent)
                sent += 1
            elif what == 2:
                world.turn()
                reader.read(client.take(), lost)
            elif what == 3:
                client.publish("/b", 0)
            else:
                reader.read(client.take(), lost)
                reader.read(client.connect(ext={"ack": reader.last}), lost)
        for _ in range(2):
            received = client.connect(ext={"ack": reader.last}, advice={"timeout": 0})
            reader.read(received, False)
        self.assertEqual(reader.got, list(range(sent)))


class OtherExtensionTests(SynchronousTestCase):
    """Time, activity, binary data, reload."""

    def test_behaviour_104_timesync(self) -> None:
        """The first question is answered, an accurate client is not, an inaccurate is."""
        world = World()
        client = world.poll()
        now = round(world.wall.now() * 1000)
        reply = client.handshake(ext={"timesync": {"tc": now - 500, "l": 0, "o": 0}})
        self.assertEqual(reply["ext"]["timesync"], {"tc": now - 500, "ts": now, "p": 0, "a": -500})
        client.connect()
        received = client.connect(
            ext={"timesync": {"tc": now - 510, "l": 10, "o": 500}}, advice={"timeout": 0}
        )
        self.assertNotIn("ext", received[0])
        client.connect(ext={"timesync": {"tc": now - 900, "l": 10, "o": 500}})
        world.wait(60.5)
        answer = client.take()[0]["ext"]["timesync"]
        self.assertEqual((answer["a"], answer["ts"]), (-390, now))
        self.assertAlmostEqual(answer["p"], 60_000, delta=500)

    def test_timesync_of_old_clients_and_odd_ones(self) -> None:
        """Without a lag there is always an answer; odd values are ignored."""
        world = World()
        client = world.poll()
        reply = client.handshake(ext={"timesync": {"tc": 5, "o": 1}})
        self.assertEqual(set(reply["ext"]["timesync"]), {"tc", "ts", "p"})
        odd: list[Any] = [5, {}, {"tc": "x"}, {"tc": 1, "o": "y"}, {"tc": 1, "l": []}]
        for value in odd:
            self.assertNotIn("timesync", client.handshake(ext={"timesync": value})["ext"])

    def test_behaviour_105_activity(self) -> None:
        """A client that only polls is disconnected; deliveries may count as activity."""
        for mode in ("client", "client-server"):
            world = World(max_inactivity_s=100.0, activity_mode=mode)
            client = world.poll()
            client.online("/a")
            received: list[Json] = []
            for _ in range(4):
                world.wait(40)
                world.server.publish("/a", 1)
                world.turn()
                received += client.take()
                received += client.connect()
            gone = any(one["channel"] == "/meta/disconnect" for one in received)
            self.assertEqual(gone, mode == "client")
            self.assertEqual(
                client.publish("/b", 1)[-1].get("error", ""),
                "402::session_unknown" if gone else "",
            )

    def test_behaviour_106_binary(self) -> None:
        """Binary data passes unchanged."""
        client = World().socket()
        client.online("/a")
        value = {"data": "HelloWorld", "last": True, "meta": {"name": "x"}}
        event, _ = client.publish("/a", value, ext={"binary": {}})
        self.assertEqual((event["data"], event["ext"]), (value, {"binary": {}}))

    def test_behaviour_107_reload(self) -> None:
        """A page that comes back with the old id and timeout 0 is advised and gets its messages."""
        world = World()
        client = world.poll()
        client.online("/a")
        client.last.lose()
        world.server.publish("/a", 1)
        received = client.connect(advice={"timeout": 0})
        self.assertEqual(data(received), [1])
        self.assertEqual(received[-1]["advice"]["reconnect"], "retry")

    def test_timestamp(self) -> None:
        """Everything that goes out says when, when that is switched on."""
        world = World(timestamp=True)
        client = world.poll()
        client.online("/a")
        client.publish("/a", 1)
        client.connect(advice={"timeout": 0})
        world.server.publish("/a", 1)
        for one in [client.handshake(), *client.connect()]:
            self.assertRegex(one["timestamp"], r"\A2012-06-09T22:42:57\.000Z\Z")

    def test_an_extension_that_hides(self) -> None:
        """An extension of the server may delete broadcasts and replies; one that raises may not."""
        world = World()

        class Hide:
            def incoming(self, session: object, message: Message) -> bool:
                raise ValueError("from the test")

            def outgoing(self, session: object, message: Message) -> bool:
                return message.get("data") != "hidden" and message.get("id") != "hidden"

        world.server.add_extension(Hide())
        client = world.poll()
        client.online("/a")
        self.assertEqual(world.server.publish("/a", "hidden"), 0)
        session = world.server.sessions[client.client_id]
        self.assertFalse(world.server.deliver(session, "/a", "hidden"))
        connection = client.send(client.message("/b", data=1, id="hidden"))
        self.assertEqual(connection.messages, [])
        self.assertGreater(len(self.flushLoggedErrors(ValueError)), 0)

    def test_an_extension_of_a_session(self) -> None:
        """A session's own extension edits its copy, and nobody else's."""
        world = World()
        one, two = world.poll(), world.poll()

        class Mark:
            def incoming(self, session: object, message: Message) -> bool:
                return True

            def outgoing(self, session: object, message: Message) -> bool:
                message["marked"] = True
                return message.get("data") != "hidden"

        one.online("/a")
        two.online("/a")
        world.server.sessions[one.client_id].extra().extensions.append(Mark())
        world.server.publish("/a", "hidden")
        world.server.publish("/a", "seen")
        world.turn()
        self.assertEqual(one.take()[0], {"channel": "/a", "data": "seen", "marked": True})
        self.assertEqual(two.take()[0], {"channel": "/a", "data": "hidden"})
