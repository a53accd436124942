"""Publishing and delivery.  Bayeux: behaviours 56 to 67."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.interfaces import BayeuxCaller
from gms_twisted.domain.errors import InvalidRequest
from tests.support.bayeux import World


class PublishTests(SynchronousTestCase):
    """From one client to all that are concerned."""

    def test_behaviour_056_what_arrives(self) -> None:
        """The publisher gets its id, subscribers channel and data without ids."""
        world = World()
        for number, client in enumerate(world.each()):
            listener = world.each()[number]
            listener.online("/a")
            client.handshake()
            (reply,) = client.publish("/a", {"x": 1}, id="77")
            self.assertEqual(reply, {"channel": "/a", "id": "77", "successful": True})
            world.turn()
            self.assertEqual(listener.take()[0], {"channel": "/a", "data": {"x": 1}})
            listener.ask("/meta/disconnect")

    def test_behaviour_057_one_copy(self) -> None:
        """Overlapping patterns of one session bring one copy."""
        world = World()
        client = world.poll()
        client.online("/**", "/a/**", "/a/b/*", "/a/b/c")
        world.server.publish("/a/b/c", 1)
        world.turn()
        self.assertEqual([one["channel"] for one in client.take()], ["/a/b/c", "/meta/connect"])

    def test_behaviour_058_everything_but(self) -> None:
        """``/**`` brings neither meta nor service messages."""
        world = World()
        client = world.poll()
        client.online("/**")
        other = world.poll()
        other.online()
        other.publish("/service/x", 1)
        world.turn()
        self.assertEqual(client.take(), [])

    def test_behaviour_059_not_to_oneself(self) -> None:
        """The echo can be switched off for the server, a channel, a session."""
        for where in ("server", "channel", "session"):
            world = World(broadcast_to_publisher=where != "server")
            client, other = world.poll(), world.poll()
            client.handshake()
            client.subscribe("/a")
            other.online("/a")
            if where == "channel":
                world.server.channel("/a").broadcast_to_publisher = False
            if where == "session":
                world.server.sessions[client.client_id].echo = False
            self.assertEqual(len(client.publish("/a", 1)), 1, where)
            world.turn()
            self.assertEqual(other.take()[0]["data"], 1)

    def test_no_data(self) -> None:
        """Null and nothing are delivered without a member ``data``."""
        client = World().socket()
        client.online("/a")
        client.send(client.message("/a", data=None), client.message("/a"))
        self.assertEqual(client.take()[:2], [{"channel": "/a"}, {"channel": "/a"}])

    def test_behaviour_060_falsy(self) -> None:
        """Falsy data is delivered unchanged."""
        client = World().socket()
        client.online("/a")
        falsy: list[Any] = [0, "", False, [], {}, 0.0]
        for data in falsy:
            event, _ = client.publish("/a", data)
            self.assertEqual((event["data"], type(event["data"])), (data, type(data)))

    def test_behaviour_061_text(self) -> None:
        """Text that is not ASCII arrives intact, also from a declared charset."""
        world = World()
        client = world.poll()
        client.handshake()
        client.subscribe("/a")
        self.assertEqual(client.publish("/a", "π 😀")[0]["data"], "π 😀")
        self.assertIn("π 😀".encode(), client.last.body)
        body = json.dumps(client.message("/a", data="αβγ"), ensure_ascii=False)
        client.post(
            body.encode("iso-8859-7"), content_type='Application/JSON; charset="ISO-8859-7"'
        )
        self.assertEqual(client.take()[0]["data"], "αβγ")

    def test_behaviour_062_service_echo(self) -> None:
        """What a service delivers comes in the same response, before the acknowledgement."""
        world = World()

        async def echo(caller: BayeuxCaller, data: object) -> object:
            caller.deliver("/service/echo", data)
            return "done"

        world.comet.serve("echo", echo)
        client = world.poll()
        client.online()
        held = client.last
        received = client.publish("/service/echo", "hi", id="c1")
        self.assertEqual(received[0], {"channel": "/service/echo", "data": "hi"})
        self.assertEqual(
            received[1],
            {"channel": "/service/echo", "id": "c1", "successful": True, "data": "done"},
        )
        self.assertEqual(received[2], {"channel": "/service/echo", "id": "c1", "successful": True})
        world.turn()
        self.assertEqual(held.answers, 0)

    def test_behaviour_063_before_the_first_connect(self) -> None:
        """What is delivered before the first connect rides on the next response."""
        world = World()
        client = world.poll()
        client.handshake()
        world.server.deliver(world.server.sessions[client.client_id], "/x", 1)
        world.turn()
        self.assertEqual(client.connect()[0], {"channel": "/x", "data": 1})

    def test_behaviour_063_remote_calls(self) -> None:
        """Result and failure of a remote call have the request's id, also when late."""
        world = World()
        waiting: Deferred[object] = Deferred()

        async def work(caller: BayeuxCaller, data: object) -> object:
            if data == "later":
                return await waiting
            raise InvalidRequest("No such thing.", "data")

        world.comet.serve("work", work)
        client = world.socket()
        client.online()
        (failed, _) = client.publish("/service/work", "now", id="f")
        self.assertEqual((failed["id"], failed["successful"]), ("f", False))
        self.assertEqual(
            failed["data"], {"message": "No such thing.", "exception": "gms.invalid_request"}
        )
        self.assertEqual(len(client.publish("/service/work", "later", id="l")), 1)
        waiting.callback({"ok": 1})
        world.turn()
        self.assertEqual(
            client.take(),
            [{"channel": "/service/work", "id": "l", "successful": True, "data": {"ok": 1}}],
        )

    def test_a_handler_that_breaks(self) -> None:
        """A handler's own error is a failure for the client, without its text."""
        world = World()

        async def broken(caller: BayeuxCaller, data: object) -> object:
            raise KeyError("secret")

        world.comet.serve("broken", broken)
        client = world.socket()
        client.online()
        failed = client.publish("/service/broken", 1)[0]
        self.assertEqual(
            failed["data"], {"message": "The server failed.", "exception": "gms.internal"}
        )
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_behaviour_064_swallowed(self) -> None:
        """A message that a listener or an extension stops is 404."""
        world = World()
        client = world.poll()
        client.handshake()
        stop = world.server.listen("/a", lambda session, message: False)
        self.assertEqual(client.publish("/a", 1)[0]["error"], "404::message_deleted")
        stop()
        self.assertTrue(client.publish("/a", 1)[0]["successful"])

        class Swallow:
            def incoming(self, session: object, message: dict[str, Any]) -> bool:
                return message.get("data") != "secret"

            def outgoing(self, session: object, message: dict[str, Any]) -> bool:
                message.setdefault("seen", True)
                return True

        world.server.add_extension(Swallow())
        (reply,) = client.publish("/a", "secret")
        self.assertEqual((reply["error"], reply["seen"]), ("404::message_deleted", True))

    def test_behaviour_065_batch(self) -> None:
        """Subscribe and publish in one payload: the own message comes first, replies in order."""
        for client in World().each():
            if client.transport == "callback-polling":
                continue
            client.handshake()
            client.take()
            client.send(
                client.message("/meta/subscribe", subscription="/a", id="1"),
                client.message("/a", data="x", id="2"),
                client.message("/b", data="y", id="3"),
            )
            received = client.take()
            self.assertEqual(received[0], {"channel": "/a", "data": "x"})
            self.assertEqual([one["id"] for one in received[1:]], ["1", "2", "3"])

    def test_behaviour_066_ten_thousand(self) -> None:
        """10,000 messages arrive complete and in order, over every transport."""
        world = World(max_queue=20_000)
        clients = world.each()
        for client in clients:
            client.online("/a")
        seen: dict[str, list[int]] = {client.transport: [] for client in clients}
        for number in range(10_000):
            world.server.publish("/a", number)
            if number % 97 == 0:
                world.turn()
                for client in clients:
                    received = client.take()
                    seen[client.transport] += [one["data"] for one in received if "data" in one]
                    if any(one["channel"] == "/meta/connect" for one in received):
                        seen[client.transport] += [
                            one["data"] for one in client.connect() if "data" in one
                        ]
        world.turn()
        for client in clients:
            rest = [one["data"] for one in client.take() if "data" in one]
            self.assertEqual(seen[client.transport] + rest, list(range(10_000)), client.transport)

    def test_behaviour_067_patterns(self) -> None:
        """Publishing to a pattern is refused."""
        for client in World().each():
            client.handshake()
            for name in ("/a/*", "/**", "/*"):
                self.assertEqual(client.publish(name, 1)[0]["error"], "405::channel_invalid")

    def test_members_that_pass_and_that_do_not(self) -> None:
        """Unknown members pass to subscribers; what clients obey does not."""
        client = World().socket()
        client.online("/a")
        event, _ = client.publish(
            "/a",
            1,
            extra=[1],
            ext={"x": 1},
            advice={"reconnect": "none"},
            successful=False,
            error="x",
            lazy=True,
        )
        self.assertEqual(event, {"channel": "/a", "data": 1, "extra": [1], "ext": {"x": 1}})

    def test_big_numbers(self) -> None:
        """Whole numbers beyond 64 bits keep their value."""
        client = World().socket()
        client.online("/a")
        event, _ = client.publish("/a", [2**64 + 1, -(2**70), 12345678901234567890])
        self.assertEqual(event["data"], [2**64 + 1, -(2**70), 12345678901234567890])

    def test_a_rate(self) -> None:
        """A session that publishes too fast gets 429 and its message goes nowhere."""
        world = World(publishes_per_s=2.0)
        client = world.socket()
        client.online("/a")
        answers = [client.publish("/a", number)[-1] for number in range(3)]
        self.assertEqual([one["successful"] for one in answers], [True, True, False])
        self.assertEqual(answers[2]["error"], "429::rate_exceeded")
        world.wait(1)
        self.assertTrue(client.publish("/a", 1)[-1]["successful"])

    def test_B17_odd_types(self) -> None:
        """Messages with members of odd types fail alone; their neighbours succeed."""
        world = World()
        client = world.poll()
        client.handshake()
        client.take()
        odd: list[dict[str, Any]] = [
            {"channel": 5, "id": "1"},
            {"id": "2"},
            {"channel": "/a", "id": {"x": 1}},
            {"channel": "/a", "id": "9" * 5000},
            {"channel": "/a", "ext": 5, "advice": "x", "id": "5"},
            {"channel": "/a\x00", "id": "6"},
        ]
        client.send(*({**one, "clientId": client.client_id, "data": {}} for one in odd))
        self.assertEqual(
            [one.get("error", "")[:3] for one in client.take()],
            ["405", "400", "405", "405", "", "405"],
        )


class AnyPayloadTests(SynchronousTestCase):
    """Whatever comes is answered."""

    @settings(deadline=None, max_examples=60)
    @given(
        some.lists(
            some.dictionaries(
                some.sampled_from(
                    ["channel", "id", "clientId", "data", "ext", "advice", "subscription"]
                ),
                some.one_of(
                    some.none(),
                    some.booleans(),
                    some.integers(),
                    some.floats(allow_nan=False, allow_infinity=False),
                    some.sampled_from(
                        [
                            "/meta/connect",
                            "/meta/subscribe",
                            "/meta/unsubscribe",
                            "/meta/disconnect",
                            "/a",
                            "/**",
                            "ID",
                        ]
                    ),
                    some.text(max_size=5),
                    some.lists(some.text(max_size=3), max_size=2),
                    some.dictionaries(some.sampled_from(["ack", "timeout"]), some.integers()),
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def test_B17_any_members(self, messages: list[dict[str, Any]]) -> None:
        """Any members of any types: 200, and never an error of ours."""
        world = World()
        client = world.poll()
        client.online("/a")
        for message in messages:
            for name, value in message.items():
                if value == "ID":
                    message[name] = client.client_id
        connection = client.send(*messages)
        world.turn()
        self.assertIn(connection.status, (0, 200))
        self.assertEqual(self.flushLoggedErrors(), [])
