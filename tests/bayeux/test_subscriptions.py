"""Disconnect, subscribe and unsubscribe.  Bayeux: behaviours 41 to 55."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.authority import ClientRules, Decided
from gms_twisted.bayeux.channels import ChannelName
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.session import Session
from tests.support.bayeux import FakeSocket, World, later

NONE = {"reconnect": "none"}


class DisconnectTests(SynchronousTestCase):
    """Good-bye, from either side."""

    def test_behaviour_041_released(self) -> None:
        """Disconnect succeeds, and the held connect is told to stop."""
        for client in World().each():
            client.online()
            received = {one["channel"]: one for one in client.ask("/meta/disconnect")}
            self.assertTrue(received["/meta/disconnect"]["successful"])
            self.assertTrue(received["/meta/connect"]["successful"])
            self.assertEqual(received["/meta/connect"]["advice"], NONE)

    def test_behaviour_042_queued_go_along(self) -> None:
        """What is queued goes with the released connect, or with the reply."""
        world = World()
        client = world.poll()
        client.online("/a")
        held = client.last
        world.server.publish("/a", 1)
        client.ask("/meta/disconnect")
        self.assertEqual([one["channel"] for one in held.messages], ["/a", "/meta/connect"])
        client.handshake()
        client.subscribe("/a")
        world.server.publish("/a", 2)
        self.assertEqual(
            [one["channel"] for one in client.ask("/meta/disconnect")], ["/a", "/meta/disconnect"]
        )

    def test_behaviour_043_twice(self) -> None:
        """A second disconnect gets 402, without advice."""
        for client in World().each():
            client.online()
            client.ask("/meta/disconnect")
            (reply,) = client.ask("/meta/disconnect")
            self.assertEqual(reply["error"], "402::session_unknown")
            self.assertNotIn("advice", reply)

    def test_behaviour_044_by_the_server(self) -> None:
        """The server's own disconnect is delivered, then the connect is told to stop."""
        world = World()
        for client in world.each():
            client.online()
            world.server.disconnect(world.server.sessions[client.client_id])
            event, reply = client.take()
            self.assertEqual(event, {"channel": "/meta/disconnect", "successful": True})
            self.assertEqual(reply["advice"], NONE)
            self.assertEqual(client.publish("/a", 1)[0]["error"], "402::session_unknown")

    def test_behaviour_045_while_a_decision_is_awaited(self) -> None:
        """A session that ends while its subscribe waits leaves no subscription."""
        world = World()
        waiting, decide = later()

        class Slow(ClientRules):
            def can_subscribe(
                self, session: Session, channel: ChannelName, message: Message, reply: Message
            ) -> Decided:
                return waiting if channel.text == "/a" else True

        world.server.policy = Slow()
        client = world.poll()
        client.online()
        both = ["/first", "/a"]
        subscribing = client.send(client.message("/meta/subscribe", subscription=both))
        self.assertEqual(subscribing.answers, 0)
        client.ask("/meta/disconnect")
        decide(True)
        self.assertEqual(subscribing.messages[-1]["error"], "403::subscribe_failed")
        for name in both:
            self.assertEqual(world.server.channel(name).subscribers, {})
        (reply,) = client.connect()
        self.assertEqual(reply["error"], "402::session_unknown")

    def test_behaviour_046_last_words(self) -> None:
        """A message that is delivered just before a disconnect arrives."""
        world = World()
        for client in world.each():
            client.online()
            session = world.server.sessions[client.client_id]
            world.server.deliver(session, "/bye", "x")
            world.server.disconnect(session)
            self.assertEqual(
                [one["channel"] for one in client.take()],
                ["/bye", "/meta/disconnect", "/meta/connect"],
            )


class ProcessingTests(SynchronousTestCase):
    """Decisions that take their time."""

    def slow(self, world: World) -> Callable[[bool], None]:
        """Have publishing wait for a decision; returns how to decide."""
        waiting, decide = later()

        class Slow(ClientRules):
            def can_publish(
                self, session: Session, channel: ChannelName, message: Message, reply: Message
            ) -> Decided:
                return waiting

        world.server.policy = Slow()
        return decide

    def test_in_order(self) -> None:
        """What comes after a message that waits, waits too; on a socket the next payload."""
        for channel in ("/known", "/new"):
            world = World()
            world.server.channel("/known")
            decide = self.slow(world)
            client = world.socket()
            client.online()
            self.assertEqual(client.publish(channel, 1, id="1"), [])
            client.send(client.message("/meta/subscribe", subscription="/b", id="2"))
            self.assertEqual(client.take(), [])
            decide(True)
            self.assertEqual([one["id"] for one in client.take()], ["1", "2"])

    def test_a_socket_with_too_much_waiting(self) -> None:
        """The 101st payload that waits closes the socket."""
        world = World()
        decide = self.slow(world)
        client = world.socket()
        client.online()
        for _ in range(102):
            client.publish("/a", 1)
        assert client.socket.closed is not None
        self.assertEqual(client.socket.closed[0], 1013)
        client.lose()
        decide(True)
        self.assertEqual(client.take(), [])

    def test_a_session_that_is_stuck(self) -> None:
        """With a limit on processing, a session that is stuck ends; others do not."""
        world = World(max_processing_s=5.0, timeout_s=20.0)
        decide = self.slow(world)
        stuck, other = world.poll(), world.poll()
        stuck.online()
        other.online()
        connection = stuck.send(stuck.message("/a", data=1))
        world.wait(6)
        self.assertNotIn(stuck.client_id, world.server.sessions)
        self.assertIn(other.client_id, world.server.sessions)
        decide(True)
        self.assertEqual(connection.messages[-1]["error"], "402::session_unknown")

    def test_a_decision_that_fails(self) -> None:
        """A policy whose answer is a failure refuses."""
        world = World()
        waiting: Deferred[bool] = Deferred()

        class Failing(ClientRules):
            def can_publish(
                self, session: Session, channel: ChannelName, message: Message, reply: Message
            ) -> Decided:
                return waiting

        world.server.policy = Failing()
        client = world.poll()
        client.online()
        connection = client.send(client.message("/a", data=1))
        waiting.errback(ValueError("from the test"))
        self.assertEqual(
            connection.messages[-1]["error"], "403:denied_by_security_policy:publish_denied"
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_gone_meanwhile(self) -> None:
        """A request whose connection goes while it waits is finished, and not answered."""
        world = World()
        decide = self.slow(world)
        client = world.poll()
        client.online("/a")
        connection = client.send(client.message("/a", data=1))
        connection.lose()
        decide(True)
        self.assertEqual(connection.answers, 0)
        world.turn()
        self.assertEqual([one.get("data") for one in client.take()], [1, None])

    def test_an_error_of_ours(self) -> None:
        """An exception after a decision is logged, and the client gets its answer (R18)."""
        for transport in range(3):
            world = World()
            decide = self.slow(world)
            client = world.each()[transport]
            client.online()
            sent = client.send(client.message("/a", data=1))

            def explode(*arguments: object) -> None:
                raise RuntimeError("from the test")

            self.patch(world.server, "accept", explode)
            decide(True)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
            if isinstance(sent, FakeSocket):
                assert sent.closed is not None
                self.assertEqual(sent.closed[0], 1011)
            else:
                self.assertEqual((sent.status, sent.body), (500, b""))
            self.assertEqual(world.server.sessions[client.client_id].batches, 0)


class SubscribeTests(SynchronousTestCase):
    """Subscriptions, all or none."""

    def test_behaviour_047_forms(self) -> None:
        """Name, array and patterns; the reply repeats them with their type."""
        for client in World().each():
            client.handshake()
            for wanted in ("/a", ["/a"], ["/a", "/b/*", "/c/**"], "/*", "/**"):
                reply = client.subscribe(wanted)
                self.assertTrue(reply["successful"])
                self.assertEqual(reply["subscription"], wanted)

    def test_behaviour_048_wrong(self) -> None:
        """Missing, of the wrong type, empty or invalid: each has its error."""
        client = World().poll()
        client.handshake()
        reply = client.ask("/meta/subscribe")[0]
        self.assertEqual(reply["error"], "403::subscription_missing")
        odd: list[Any] = [5, {}, [], [5], ["/a", None], "a", "/a:b", "/", "", ["/a"] * 257]
        for wanted in odd:
            reply = client.subscribe(wanted)
            self.assertEqual(reply["error"], "403::subscription_invalid", wanted)

    def test_behaviour_049_all_or_none(self) -> None:
        """One refused element, and nothing is subscribed."""
        world = World()
        client = world.poll()
        client.handshake()
        client.subscribe("/kept")
        reply = client.subscribe(["/kept", "/a", "/meta/x"])
        self.assertEqual(reply["error"], "403::subscribe_failed")
        session = world.server.sessions[client.client_id]
        self.assertEqual([one.name.text for one in session.subscriptions], ["/kept"])
        self.assertEqual(world.server.publish("/a", 1), 0)

    def test_behaviour_050_meta_and_service(self) -> None:
        """Meta channels are refused; service channels succeed and record nothing."""
        world = World()
        client = world.poll()
        client.handshake()
        for channel in ("/meta/connect", "/meta/*", "/meta/**"):
            self.assertEqual(client.subscribe(channel)["error"], "403::subscribe_failed")
        self.assertTrue(client.subscribe("/service/x")["successful"])
        self.assertTrue(client.ask("/meta/unsubscribe", subscription="/service/x")[0]["successful"])
        self.assertEqual(world.server.sessions[client.client_id].subscriptions, [])

    def test_behaviour_051_idempotent(self) -> None:
        """Subscribing twice brings one copy; unsubscribing what one has not, succeeds."""
        world = World()
        one, two = world.poll(), world.poll()
        one.handshake()
        two.handshake()
        one.subscribe("/a")
        one.subscribe(["/a", "/a"])
        self.assertEqual(world.server.publish("/a", 1), 1)
        self.assertTrue(two.ask("/meta/unsubscribe", subscription="/a")[0]["successful"])
        self.assertEqual(world.server.publish("/a", 1), 1)

    def test_behaviour_052_unknown_channel(self) -> None:
        """Unsubscribing from a channel that does not exist is 400."""
        client = World().poll()
        client.handshake()
        (reply,) = client.ask("/meta/unsubscribe", subscription="/nobody")
        self.assertEqual(reply["error"], "400::channel_missing")
        (reply,) = client.ask("/meta/unsubscribe")
        self.assertEqual(reply["error"], "403::subscription_missing")

    def test_behaviour_053_round_trip(self) -> None:
        """Subscribe, unsubscribe, disconnect, come back: nothing is left over."""
        world = World()
        for client in world.each():
            for _ in range(3):
                client.online("/a")
                self.assertEqual(world.server.publish("/a", 1), 1)
                client.ask("/meta/unsubscribe", subscription="/a")
                self.assertEqual(world.server.publish("/a", 1), 0)
                client.ask("/meta/disconnect")
        self.assertEqual(world.server.channel("/a").subscribers, {})

    def test_behaviour_054_trailing_slash(self) -> None:
        """``/a/`` and ``/a`` are one channel; the reply says what was sent."""
        world = World()
        client = world.poll()
        client.handshake()
        self.assertEqual(client.subscribe("/a/")["subscription"], "/a/")
        self.assertEqual(world.server.publish("/a", 1), 1)
        received = client.publish("/a/", 2)
        self.assertEqual([one["channel"] for one in received], ["/a", "/a", "/a/"])

    def test_behaviour_055_structure(self) -> None:
        """Names that break the structure get a failed reply and no server error."""
        client = World().poll()
        client.handshake()
        for name in ("/a/*/b", "/a/**/b", "/a//b", "//", "/ ", "/a/ /b", "/" + "x" * 512, "/{a}/*"):
            self.assertEqual(
                client.subscribe(name)["error"], "403::subscription_invalid", name[:20]
            )
            self.assertEqual(client.publish(name, 1)[0]["error"], "405::channel_invalid")
            self.assertEqual(client.last.status, 200)
        self.assertEqual(client.subscribe("/{a}")["error"], "403::subscription_invalid")
        self.assertEqual(client.publish("/{a}", 1)[0]["error"], "405::channel_invalid")
        self.assertTrue(client.subscribe("/a*b")["successful"])

    def test_the_limit_of_a_session(self) -> None:
        """A session that subscribes too much is refused, and goes on."""
        client = World(max_subscriptions=2).poll()
        client.handshake()
        client.subscribe(["/a", "/b"])
        self.assertEqual(client.subscribe("/c")["error"], "403:too_many:subscribe_denied")
        self.assertTrue(client.subscribe("/a")["successful"])

    def test_B04_listed_channels(self) -> None:
        """With listed channels nothing else can be used, patterns neither."""
        world = World(loopback_only=False, channels=("/_genesys", "/news"))
        client = world.poll("Buzz")
        client.handshake()
        for name in ("/**", "/*", "/_genesys/*", "/other", "/news/x"):
            self.assertEqual(
                client.subscribe(name)["error"], "403:denied_by_security_policy:create_denied"
            )
        for name in ("/_genesys", "/news", "/service/x"):
            self.assertTrue(client.subscribe(name)["successful"], name)
        self.assertTrue(client.publish("/news", 1)[-1]["successful"])
        self.assertEqual(
            client.publish("/other", 1)[-1]["error"],
            "403:denied_by_security_policy:channel_create_denied",
        )
        self.assertEqual(world.server.settings.max_subscriptions, 20)

    def test_B04_flood(self) -> None:
        """10,000 subscriptions and segments do no harm."""
        client = World().poll()
        client.handshake()
        refused = 0
        for start in range(0, 10_000, 250):
            names = [f"/flood/{number}" for number in range(start, start + 250)]
            refused += not client.subscribe(names)["successful"]
        self.assertEqual(refused, 36)
        session = client.world.server.sessions[client.client_id]
        self.assertEqual(len(session.subscriptions), 1000)

    def test_the_sweep_forgets_channels(self) -> None:
        """A channel that nobody uses is gone after three sweeps, and comes back at need."""
        world = World()
        client = world.poll()
        client.online()
        client.publish("/a", 1)
        self.assertIn("/a", world.server.channels)
        world.wait(5)
        self.assertNotIn("/a", world.server.channels)
        self.assertTrue(client.publish("/a", 1)[0]["successful"])
        self.assertIn("/_genesys", world.server.channels)
