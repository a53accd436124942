"""Connects that come again and again over one connection, through the front door."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.everyday import place_of_id
from tests.http.wire import post
from tests.support.bayeux import FakeOrigins, World
from tests.support.front import Front, RawConnection, Response

URL = b"/genesys/cometd"
JSON = b"Content-Type: application/json\r\n"


class PlaceTests(SynchronousTestCase):
    """Where the id of a connect is, when nothing else in it can differ."""

    def test_plain(self) -> None:
        """In an array or bare, wherever the id stands."""
        message = {"channel": "/meta/connect", "clientId": "c", "connectionType": "x", "id": "42"}
        first = {"id": "42", **message}
        for sent in (message, [message], first, [first]):
            payload = json.dumps(sent, separators=(",", ":")).encode()
            place = place_of_id(payload)
            assert place is not None
            start, stop = place
            self.assertEqual(payload[start:stop], b"42")
            other = payload[:start] + b"77" + payload[stop:]
            self.assertEqual(json.loads(other), json.loads(payload.replace(b"42", b"77")))

    def test_not_plain(self) -> None:
        """Not where there is more, where it is written otherwise, or in another message."""
        fields = '"channel":"/meta/connect","clientId":"c","connectionType":"x"'
        for payload in (
            f'[{{{fields},"id":42}}]',
            f'[{{{fields},"id":"4-2"}}]',
            f'[{{{fields},"id":""}}]',
            f"[{{{fields}}}]",
            f'[{{{fields},"id": "42"}}]',
            f'[{{{fields},"id":"42","id":"42"}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":1}}}}]',
            f'[{{{fields},"id":"42","advice":{{"timeout":0}}}}]',
            f'[{{{fields},"id":"42"}},{{{fields},"id":"43"}}]',
            f'[{{{fields.replace("connect", "subscribe", 1)},"id":"42"}}]',
            f'[{{{fields.replace(":", ": ", 1)},"id":"42"}}]',
            '[{"channel":"/meta/connect","clientId":1,"connectionType":"x","id":"42"}]',
            "nonsense",
        ):
            self.assertIsNone(place_of_id(payload.encode()), payload)


class RecurringTests(SynchronousTestCase):
    """A connect that is sent again with another id is what it would be if it were read."""

    def setUp(self) -> None:
        """A client that holds a connect, for the second time."""
        self.world = World()
        self.front = Front(hot=self.world.hot, clock=self.world.clock)
        self.connection = self.front.connect()
        handshake: dict[str, object] = {"channel": "/meta/handshake", "version": "1.0"}
        (reply,) = self.ask({**handshake, "supportedConnectionTypes": ["long-polling"]})
        self.client_id = reply["clientId"]
        self.ask(self.message("/meta/subscribe", subscription="/a"))
        (reply,) = self.ask(self.connect("1"))
        for data in (None, "again"):
            if data is not None:
                self.publish(data)
            self.assertEqual(self.ask(self.connect("2")), [])
        self.session = self.world.server.sessions[self.client_id]

    def message(self, channel: str, **fields: object) -> dict[str, object]:
        """Make a message of the client's."""
        return {"channel": channel, "clientId": self.client_id, **fields}

    def connect(self, identifier: str) -> dict[str, object]:
        """Make a connect."""
        return self.message("/meta/connect", connectionType="long-polling", id=identifier)

    def ask(self, *messages: dict[str, object]) -> list[Any]:
        """Send messages; returns what has been answered, nothing when they are held."""
        return self.send(json.dumps(messages, separators=(",", ":")).encode())

    def send(self, body: bytes, headers: bytes = JSON) -> list[Any]:
        """Send a payload; returns what has been answered."""
        self.connection.send(post(URL, body, headers))
        return self.answers()

    def answers(self) -> list[Any]:
        """The messages that have come."""
        self.world.turn()
        return [one for answer in self.connection.responses() for one in answer.json()]

    def publish(self, data: object) -> list[Any]:
        """Let something come for the client; returns what it gets."""
        self.world.server.publish("/a", data)
        return self.answers()

    def test_answered_by_its_own_id(self) -> None:
        """Each is held, and answered with what it was sent with."""
        for number in ("3", "4", "x"):
            event, _ = self.publish(number)
            self.assertEqual(event["data"], number)
            self.assertEqual(self.ask(self.connect(number)), [])
            self.assertIsNotNone(self.session.held)
        _, reply = self.publish("last")
        self.assertEqual((reply["id"], reply["successful"]), ("x", True))

    def test_a_longer_id(self) -> None:
        """It is read, and known from then on."""
        for number in ("3", "10", "11", "100"):
            self.publish(number)
            self.assertEqual(self.ask(self.connect(number)), [])
        _, reply = self.publish("last")
        self.assertEqual(reply["id"], "100")

    def test_other_messages_between(self) -> None:
        """Whatever else comes over the connection is read, and what repeats is known again."""
        for number in ("3", "4"):
            sent = self.message("/b", data=number * 99, id="p")
            reply = self.ask(sent)[-1]
            self.assertEqual((reply["channel"], reply["successful"]), ("/b", True))
            self.assertEqual(self.ask(self.connect(number)), [])
            event, reply = self.publish(number)
            self.assertEqual((event["data"], reply["id"]), (number, number))
            self.assertEqual(self.ask(self.connect(number * 2)), [])
            self.publish(number)

    def test_timeout(self) -> None:
        """It is held as long as any."""
        self.publish(1)
        self.ask(self.connect("3"))
        self.world.wait(59.0)
        self.assertEqual(self.answers(), [])
        self.world.wait(1.5)
        (reply,) = self.answers()
        self.assertEqual(reply["id"], "3")

    def test_news_that_waits(self) -> None:
        """It is answered at once when something came while there was none."""
        self.publish(1)
        self.world.server.publish("/a", 2)
        self.world.turn()
        event, reply = self.ask(self.connect("3"))
        self.assertEqual((event["data"], reply["id"]), (2, "3"))
        self.assertEqual(self.ask(self.connect("4")), [])

    def test_a_session_that_is_over(self) -> None:
        """It is told so."""
        self.publish(1)
        self.world.server.remove(self.session)
        (reply,) = self.ask(self.connect("3"))
        self.assertEqual(reply["error"], "402::session_unknown")
        self.assertEqual(reply["advice"]["reconnect"], "handshake")

    def test_no_id_at_all(self) -> None:
        """What is no id, but as long as one, is read and judged."""
        self.publish(1)
        body = json.dumps([self.connect("#")], separators=(",", ":")).encode()
        self.assertEqual(self.send(body)[0]["error"], "405::message_id_invalid")
        self.connection.send(post(URL, body.replace(b"#", b'"'), JSON))
        self.assertEqual([one.status for one in self.connection.responses()], [400])

    def test_another_client(self) -> None:
        """Somebody else's id over the same connection is looked up."""
        self.publish(1)
        other = self.connect("3")
        other["clientId"] = self.client_id[::-1]
        self.assertEqual(self.ask(other)[0]["error"], "402::session_unknown")

    def test_advice_meanwhile(self) -> None:
        """Advice that is due is given, whatever is known."""
        self.publish(1)
        self.world.server.retime(self.session, interval_s=1.5)
        self.assertEqual(self.ask(self.connect("3")), [])
        _, reply = self.publish(2)
        self.assertEqual(reply["advice"]["interval"], 1500)

    def test_second_connection_takes_over(self) -> None:
        """A connect over another connection displaces it, and is displaced by the next here."""
        self.publish(1)
        self.ask(self.connect("3"))
        mine, self.connection = self.connection, self.front.connect()
        self.assertEqual(self.ask(self.connect("4")), [])
        displaced = mine.responses()
        self.assertEqual([one.body for one in displaced], [b""])
        other, self.connection = self.connection, mine
        self.assertEqual(self.ask(self.connect("5")), [])
        self.assertEqual(len(other.responses()), 1)
        _, reply = self.publish(2)
        self.assertEqual(reply["id"], "5")

    def test_other_rules(self) -> None:
        """After a change of the rules it is judged by the new ones."""

        class Nobody(FakeOrigins):
            def allowed(self, head: object, peer: object) -> bool:
                return False

        self.publish(1)
        self.world.hot.reconfigure(self.world.identity, Nobody())
        body = json.dumps([self.connect("3")], separators=(",", ":")).encode()
        self.connection.send(post(URL, body, JSON))
        self.assertEqual([one.status for one in self.connection.responses()], [403])

    def test_closing(self) -> None:
        """A server that closes sends it away."""
        self.publish(1)
        self.world.server.closing = True
        (reply,) = self.ask(self.connect("3"))
        self.assertEqual(reply["advice"]["reconnect"], "retry")

    def test_room_of_a_browser(self) -> None:
        """A connect that is held again counts among those of its browser."""
        cookie = b"Cookie: BAYEUX_BROWSER=%b\r\n" % str(self.session.browser).encode()
        self.publish(1)
        for number in ("3", "4"):
            body = json.dumps([self.connect(number)], separators=(",", ":")).encode()
            self.assertEqual(self.send(body, JSON + cookie), [])
            self.assertFalse(self.world.server.outbox.room(str(self.session.browser)))
            self.publish(number)
            self.assertTrue(self.world.server.outbox.room(str(self.session.browser)))
        self.world.server.outbox.hold(
            self.world.server.local_session(), self, 9, self.session.browser
        )
        body = json.dumps([self.connect("5")], separators=(",", ":")).encode()
        (reply,) = self.send(body, JSON + cookie)
        self.assertTrue(reply["advice"]["multiple-clients"])

    def test_lost(self) -> None:
        """A client that goes while it holds one again has its time to come back."""
        self.publish(1)
        self.ask(self.connect("3"))
        self.connection.lose()
        self.assertIsNone(self.session.held)
        self.assertTrue(self.session.expire_at)


class CookieTests(SynchronousTestCase):
    """Clients whose heads differ in their cookies only are judged as one, and told apart."""

    def setUp(self) -> None:
        """A front door."""
        self.world = World()
        self.front = Front(hot=self.world.hot, clock=self.world.clock)

    def client(self, host: str = "127.0.0.1") -> tuple[RawConnection, str, bytes]:
        """Shake hands; gives the connection, the client's id and its cookie."""
        connection = self.front.connect(host)
        handshake: dict[str, object] = {"channel": "/meta/handshake", "version": "1.0"}
        types = {"supportedConnectionTypes": ["long-polling"]}
        (answer,) = self.send(connection, {**handshake, **types})
        cookie = answer.headers["set-cookie"].partition(";")[0].encode()
        return connection, answer.json()[0]["clientId"], b"Cookie: %b\r\n" % cookie

    def send(
        self, connection: RawConnection, message: dict[str, object], headers: bytes = b""
    ) -> list[Response]:
        """Send a message; gives what has been answered."""
        connection.send(post(URL, json.dumps([message]).encode(), JSON + headers))
        return connection.responses()

    def subscribe(self, client: tuple[RawConnection, str, bytes], cookie: bytes) -> Response:
        """Subscribe with a cookie, the client's or another's."""
        message = {"channel": "/meta/subscribe", "clientId": client[1], "subscription": "/a"}
        (answer,) = self.send(client[0], {**message}, cookie)
        return answer

    def test_each_is_its_own(self) -> None:
        """A client is known by its cookie, and by nobody else's."""
        clients = [self.client() for _ in range(4)]
        for client in clients:
            self.assertTrue(self.subscribe(client, client[2]).json()[0]["successful"])
        browsers = {self.world.server.sessions[client[1]].browser for client in clients}
        self.assertEqual(len(browsers), 4)
        for client, other in zip(clients, clients[::-1], strict=True):
            (reply,) = self.subscribe(client, other[2]).json()
            self.assertEqual(reply["error"], "402::session_unknown")

    def test_other_users(self) -> None:
        """Whatever else there is in a head is judged for each."""
        for user, status in ((b"u", 200), (b"", 400), (b"u", 200)):
            client = self.client()
            answer = self.subscribe(client, client[2] + b"gms_user: %b\r\n" % user)
            self.assertEqual(answer.status, status)

    def test_other_addresses(self) -> None:
        """So is where it comes from."""
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            client = self.client(host)
            self.subscribe(client, client[2])
            known: Any = client[0].protocol._known
            self.assertEqual(known.note.caller.address, host)

    def test_other_rules(self) -> None:
        """After a change of the rules nobody is judged by the former ones."""

        class Nobody(FakeOrigins):
            def allowed(self, head: object, peer: object) -> bool:
                return False

        clients = [self.client() for _ in range(3)]
        self.subscribe(clients[0], clients[0][2])
        self.world.hot.reconfigure(self.world.identity, Nobody())
        for client in clients[1:]:
            self.assertEqual(self.subscribe(client, client[2]).status, 403)
