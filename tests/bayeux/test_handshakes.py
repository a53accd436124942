"""Handshakes.  Bayeux: behaviours 1 to 13."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.authority import ClientRules, Decided
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.session import Session
from gms_twisted.system import SystemIds
from tests.support.bayeux import COMETD, World


class Refusing(ClientRules):
    """A policy that lets nobody in."""

    def __init__(self, advice: Message | None = None) -> None:
        super().__init__()
        self._advice = advice

    def can_handshake(self, session: Session, message: Message, reply: Message) -> Decided:
        """Refuse, perhaps with advice of its own."""
        if self._advice is not None:
            reply["advice"] = self._advice
            reply["ext"] = {"challenge": "abc"}
        return False


class HandshakeTests(SynchronousTestCase):
    """A handshake makes a session."""

    def test_behaviour_001_object_and_array(self) -> None:
        """A bare object and an array of one both succeed, over every transport."""
        for client in World().each():
            client.send({"channel": "/meta/handshake", "version": "1.0"})
            client.send([{"channel": "/meta/handshake", "version": "1.0"}])
            self.assertEqual([one["successful"] for one in client.take()], [True, True])

    def test_behaviour_002_reply(self) -> None:
        """The reply has versions, clientId, transports, success and the id."""
        for client in World().each():
            reply = client.handshake(id="aB9")
            self.assertEqual(
                {name: reply[name] for name in ("id", "version", "minimumVersion", "successful")},
                {"id": "aB9", "version": "1.0", "minimumVersion": "1.0", "successful": True},
            )
            self.assertEqual(
                reply["supportedConnectionTypes"],
                ["websocket", "callback-polling", "long-polling"],
            )
            self.assertRegex(reply["clientId"], r"\A[0-9a-z]{25,26}\Z")

    def test_behaviour_003_bare_minimum(self) -> None:
        """Transports, version and id may all be missing."""
        for client in World().each():
            client.send({"channel": "/meta/handshake"})
            (reply,) = client.take()
            self.assertTrue(reply["successful"])
            self.assertNotIn("id", reply)

    def test_behaviour_004_no_common_transport(self) -> None:
        """No common transport fails with reconnect none; the option accepts it."""
        reply = World().poll().handshake(supportedConnectionTypes=["flash"])
        self.assertEqual(reply["error"], "403::connection_types_unsupported")
        self.assertEqual(reply["advice"], {"reconnect": "none"})
        self.assertIn("long-polling", reply["supportedConnectionTypes"])
        lenient = World(strict_negotiation=False).poll()
        self.assertTrue(lenient.handshake(supportedConnectionTypes=["flash"])["successful"])

    def test_behaviour_005_minimum_version(self) -> None:
        """A minimum above 1.0 fails; 0.9 and 1.0beta pass."""
        client = World().poll()
        for version in ("1.1", "2", "1.0.1"):
            reply = client.handshake(minimumVersion=version)
            self.assertEqual(reply["error"], "403::version_unsupported")
            self.assertEqual(reply["advice"], {"reconnect": "none"})
        for version in ("0.9", "1.0beta", "1.0", "1"):
            self.assertTrue(client.handshake(minimumVersion=version)["successful"], version)

    def test_behaviour_006_denied(self) -> None:
        """A denied handshake has 403 and none, and leaves neither session nor cookie."""
        world = World()
        world.server.policy = Refusing()
        client = world.poll()
        reply = client.handshake()
        self.assertEqual(reply["error"], "403::handshake_denied")
        self.assertEqual(reply["advice"], {"reconnect": "none"})
        self.assertNotIn("clientId", reply)
        self.assertEqual(world.server.sessions, {})
        self.assertNotIn("Set-Cookie", client.last.headers)

    def test_behaviour_007_advice_of_the_policy(self) -> None:
        """Advice and ext of the policy survive in the denied reply."""
        world = World()
        world.server.policy = Refusing({"reconnect": "handshake", "interval": 500})
        reply = world.poll().handshake()
        self.assertEqual(reply["advice"], {"reconnect": "handshake", "interval": 500})
        self.assertEqual(reply["ext"], {"challenge": "abc"})

    def test_behaviour_008_second_handshake(self) -> None:
        """A second handshake makes a second session; the first lives until it expires."""
        world = World()
        client = world.poll()
        first = client.handshake()["clientId"]
        second = client.handshake()["clientId"]
        self.assertNotEqual(first, second)
        self.assertTrue(client.connect(clientId=first)[0]["successful"])
        self.assertEqual(set(world.server.sessions), {first, second})
        world.wait(31)
        self.assertEqual(world.server.sessions, {})

    def test_behaviour_009_expired_id(self) -> None:
        """A handshake that names an expired session makes a fresh one."""
        world = World()
        client = world.poll()
        old = client.handshake()["clientId"]
        world.wait(31)
        reply = client.handshake(clientId=old)
        self.assertTrue(reply["successful"])
        self.assertNotEqual(reply["clientId"], old)

    def test_behaviour_010_alone(self) -> None:
        """What follows a handshake is ignored; a handshake in second place is refused."""
        world = World()
        client = world.poll()
        client.send(
            {"channel": "/meta/handshake"}, {"channel": "/meta/subscribe", "subscription": "/a"}
        )
        self.assertEqual(len(client.take()), 1)
        client.handshake()
        connection = client.send(
            client.message("/meta/subscribe", subscription="/a"), {"channel": "/meta/handshake"}
        )
        self.assertEqual(connection.status, 400)
        self.assertNotIn("/a", world.server.channels)
        socket = world.socket()
        socket.send({"channel": "/a", "data": 1}, {"channel": "/meta/handshake"})
        self.assertEqual(socket.socket.closed and socket.socket.closed[0], 1011)

    def test_behaviour_011_after_failure(self) -> None:
        """Subscribe and publish after a failed handshake get 402."""
        for client in World().each():
            client.handshake(minimumVersion="2.0")
            self.assertEqual(client.subscribe("/a")["error"], "402::session_unknown")
            self.assertEqual(client.publish("/a", 1)[0]["error"], "402::session_unknown")

    def test_behaviour_012_ids(self) -> None:
        """100,000 client ids are unique and of the alphabet."""
        ids = SystemIds()
        made = {ids.client_id() for _ in range(100_000)}
        self.assertEqual(len(made), 100_000)
        pattern = re.compile(r"[0-9a-z]{25,26}\Z")
        self.assertTrue(all(pattern.match(one) for one in made))

    def test_behaviour_013_delivery_with_the_reply(self) -> None:
        """What is queued during a handshake waits, or goes along when that is allowed."""
        for allowed in (False, True):
            world = World(allow_message_delivery_during_handshake=allowed)
            server = world.server

            def greet(session: Session | None, message: Message, world: World = world) -> None:
                assert session is not None
                world.server.deliver(session, "/welcome", "hello")

            server.listen("/meta/handshake", greet)
            client = world.poll()
            client.send({"channel": "/meta/handshake"})
            received = client.take()
            client.client_id = received[0]["clientId"]
            if allowed:
                self.assertEqual(received[0]["x-messages"], 1)
                self.assertEqual(received[1], {"channel": "/welcome", "data": "hello"})
            else:
                self.assertEqual(len(received), 1)
                self.assertNotIn("x-messages", received[0])
                self.assertEqual(client.connect()[0], {"channel": "/welcome", "data": "hello"})

    def test_cometd_profile(self) -> None:
        """The other profile advises in the handshake reply and announces no extension."""
        client = World(**COMETD).poll()
        client.keeps_cookie = True
        reply = client.handshake()
        self.assertEqual(reply["advice"], {"interval": 0, "reconnect": "retry", "timeout": 30000})
        self.assertNotIn("ext", reply)
        self.assertNotIn("advice", client.connect()[0])
