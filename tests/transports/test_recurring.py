"""Connects that come again and again over one connection, through the front door."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.everyday import Change, change_of
from tests.http.wire import post
from tests.support.bayeux import FakeOrigins, World
from tests.support.front import Front, RawConnection, Response

URL = b"/genesys/cometd"
JSON = b"Content-Type: application/json\r\n"


class ChangeTests(SynchronousTestCase):
    """Where a connect may differ from the one before it, when nothing else in it can."""

    def test_plain(self) -> None:
        """In an array or bare, wherever the id stands."""
        message = {"channel": "/meta/connect", "clientId": "c", "connectionType": "x", "id": "42"}
        first = {"id": "42", **message}
        for sent in (message, [message], first, [first]):
            payload = json.dumps(sent, separators=(",", ":")).encode()
            change = change_of(payload)
            assert change is not None
            start, stop, between = change
            self.assertEqual((payload[start:stop], between), (b"42", b""))
            other = payload[:start] + b"77" + payload[stop:]
            self.assertEqual(json.loads(other), json.loads(payload.replace(b"42", b"77")))

    def test_acknowledging(self) -> None:
        """From the id to the number, and what stands between them."""
        message = {"channel": "/meta/connect", "connectionType": "x", "id": "42", "clientId": "c"}
        for number in (0, 7, 10**17):
            sent = {**message, "ext": {"ack": number}}
            payload = json.dumps([sent], separators=(",", ":")).encode()
            between = b'","clientId":"c","ext":{"ack":'
            start = payload.index(b"42")
            stop = payload.index(b"}}]")
            self.assertEqual(change_of(payload), Change(start, stop, between))
            self.assertEqual(payload[start:stop], b"42%b%d" % (between, number))

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
            f'[{{{fields},"id":"42","ext":null}}]',
            f'[{{{fields},"id":"42","ext":{{}}}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":-1}}}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":true}}}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":"1"}}}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":1.5}}}}]',
            f'[{{{fields},"id":"42","ext":{{"ack":1,"timesync":{{}}}}}}]',
            f'[{{{fields},"ext":{{"ack":1}},"id":"42"}}]',
            f'[{{{fields},"ext":{{"ack":1}}}}]',
            f'[{{{fields},"id":"42","advice":{{"timeout":0}}}}]',
            f'[{{{fields},"id":"42"}},{{{fields},"id":"43"}}]',
            f'[{{{fields.replace("connect", "subscribe", 1)},"id":"42"}}]',
            f'[{{{fields.replace(":", ": ", 1)},"id":"42"}}]',
            '[{"channel":"/meta/connect","clientId":1,"connectionType":"x","id":"42"}]',
            "nonsense",
        ):
            self.assertIsNone(change_of(payload.encode()), payload)


class RecurringTests(SynchronousTestCase):
    """A connect that is sent again with another id is what it would be if it were read."""

    ext: ClassVar[dict[str, object]] = {}

    def setUp(self) -> None:
        """A client that holds a connect, for the second time."""
        self.batch = 0
        self.world = World()
        self.front = Front(hot=self.world.hot, clock=self.world.clock)
        self.connection = self.front.connect()
        handshake: dict[str, object] = {"channel": "/meta/handshake", "version": "1.0"}
        (reply,) = self.ask({**handshake, "supportedConnectionTypes": ["long-polling"], **self.ext})
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
        ext = {"ext": {"ack": self.batch}} if self.ext else {}
        return self.message("/meta/connect", connectionType="long-polling", id=identifier, **ext)

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
        answers = [one for answer in self.connection.responses() for one in answer.json()]
        for one in answers:
            self.batch = one.get("ext", {}).get("ack", self.batch)
        return answers

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


class AcknowledgingTests(RecurringTests):
    """The same of clients that acknowledge what they get."""

    ext: ClassVar[dict[str, object]] = {"ext": {"ack": True}}

    def test_nothing_is_kept(self) -> None:
        """What a client says it has is forgotten when it says so, and not before."""
        for number in range(3, 10):
            event, reply = self.publish(number)
            self.assertEqual((event["data"], reply["ext"]["ack"]), (number, number))
            self.assertEqual(len(self.session.queue), 1)
            self.assertEqual(self.ask(self.connect(str(number))), [])
            self.assertEqual((self.session.queue, self.session.queued_bytes), ([], 0))
        self.assertEqual(self.world.server.outbox.queued_bytes, 0)

    def test_sent_again(self) -> None:
        """What it has not got comes at once, with what has come since."""
        self.publish("kept")
        self.ask(self.connect("3"))
        self.publish("lost")
        self.batch -= 1
        self.world.server.publish("/a", "new")
        first, second, reply = self.ask(self.connect("4"))
        self.assertEqual((first["data"], second["data"], reply["id"]), ("lost", "new", "4"))
        self.assertEqual(self.ask(self.connect("5")), [])
        self.assertEqual(self.session.queue, [])

    def test_not_a_number(self) -> None:
        """What is no number in JSON, but as long as one, is refused and changes nothing."""
        for batch in range(3, 12):
            self.publish(batch)
            self.assertEqual(self.ask(self.connect(str(batch))), [])
        for wrong in (b"01", b"00", b"+1", b"1_", b"\xb21", b"1a"):
            with self.subTest(wrong):
                self.publish("kept")
                body = json.dumps([self.connect("12")], separators=(",", ":")).encode()
                changed = body.replace(b'"ack":%d' % self.batch, b'"ack":' + wrong)
                self.connection.send(post(URL, changed, JSON))
                (answer,) = self.connection.responses()
                self.assertEqual((answer.status, len(self.session.queue)), (400, 1))
                self.assertEqual(self.send(body), [])
                self.assertEqual(self.session.queue, [])

    def test_beyond_the_last(self) -> None:
        """A number beyond the last counts as that; it must be one that can be read."""
        for digits in (2, 308):
            with self.subTest(digits):
                for _ in range(3):
                    self.publish("has come")
                    self.batch = 10**digits - 1
                    self.assertEqual(self.ask(self.connect("33")), [])
                    self.assertEqual(self.session.queue, [])
                self.publish("kept")
                last, self.batch = self.batch, 10**digits - 1
                body = json.dumps([self.connect("33")], separators=(",", ":")).encode()
                if digits == 2:
                    wrong = body.replace(b"99", b"0%d" % last)
                else:
                    wrong = body.replace(b'"33"', b'"3"').replace(b"}}]", b"9}}]")
                self.assertEqual(len(wrong), len(body))
                self.connection.send(post(URL, wrong, JSON))
                (answer,) = self.connection.responses()
                self.assertEqual((answer.status, len(self.session.queue)), (400, 1))
                self.batch = last
                self.assertEqual(self.ask(self.connect("3")), [])

    def test_longer_and_shorter(self) -> None:
        """Id and number may share their length otherwise than before: it is read."""
        for batch in range(3, 10):
            self.publish(batch)
            self.ask(self.connect("100"))
        _, reply = self.publish("last")
        self.assertEqual(reply["ext"]["ack"], 10)
        self.assertEqual(self.ask(self.connect("99")), [])
        self.assertEqual(self.session.queue, [])
        _, reply = self.publish("more")
        self.assertEqual(reply["id"], "99")

    def test_an_id_that_looks_like_more(self) -> None:
        """Only what stands between the two divides them."""
        self.publish(1)
        body = json.dumps([self.connect("3")], separators=(",", ":")).encode()
        body = body.replace(b'"id":"3","ext":{"ack":3}', b'"id":"3","ext":{"kca":3}')
        self.connection.send(post(URL, body, JSON))
        self.world.turn()
        (answer,) = self.connection.responses()
        self.assertEqual([one["id"] for one in answer.json() if "id" in one], ["3"])
        self.assertEqual(len(self.session.queue), 1)


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
