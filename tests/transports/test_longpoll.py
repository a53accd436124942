"""Long-polling and callback-polling on the wire.  Bayeux: behaviours 74 to 84, 93 to 96."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.interfaces import Head, Peer, Refusal
from tests.support.bayeux import FakeConnection, FakeOrigins, PollClient, World, head

FORM = "application/x-www-form-urlencoded"


class RequestTests(SynchronousTestCase):
    """What a request may look like."""

    def test_behaviour_074_origins(self) -> None:
        """Foreign origins are refused, preflights answered without asking who it is."""
        world = World()
        client = world.poll(origin="https://evil")
        self.assertEqual(client.post(b'{"channel":"/meta/handshake"}').status, 403)
        refused = world.hot.upgrade(head("GET", origin="https://evil"), client.peer)
        assert isinstance(refused, Refusal)
        self.assertEqual(refused.status, 403)
        preflight = world.hot.admit(head("OPTIONS", origin="https://listed"), client.peer)
        assert isinstance(preflight, Refusal)
        self.assertEqual((preflight.status, preflight.message), (200, ""))
        self.assertIn(("Access-Control-Allow-Methods", "GET, POST"), preflight.headers)
        answered = world.poll(origin="https://listed").post(b'{"channel":"/meta/handshake"}')
        self.assertEqual(answered.headers["Access-Control-Allow-Origin"], "https://listed")

    def test_B14_cross_site_form(self) -> None:
        """JSON in a form of another site is refused whatever its type."""
        client = World().poll(origin="https://evil")
        for kind in ("text/plain", FORM, "application/json", ""):
            client.post(b'{"channel":"/meta/handshake"}', content_type=kind)
            self.assertEqual(client.last.status, 403)

    def test_behaviour_075_types(self) -> None:
        """No type, text/plain, text/json and forms with one or more messages are read."""
        handshake = b'{"channel":"/meta/handshake","id":"h"}'
        client = World().poll()
        for kind in ("", "text/plain", "text/json", "APPLICATION/JSON; x=y", FORM):
            self.assertEqual(client.post(handshake, content_type=kind).status, 200, kind)
            self.assertTrue(client.take()[0]["successful"])
        self.assertEqual(client.post(b"\xef\xbb\xbf" + handshake).status, 200)
        client.take()
        client.handshake()
        one = json.dumps(client.message("/a", data="+&=é"))
        two = json.dumps([client.message("/b", data=1), client.message("/c", data=2)])
        body = urlencode([("x", "1"), ("message", one), ("message", two)]).encode()
        client.post(body, content_type=FORM)
        self.assertEqual([one["channel"] for one in client.take()], ["/a", "/b", "/c"])
        self.assertEqual(client.post(b"x=1", content_type=FORM).status, 400)
        self.assertEqual(client.post(handshake, content_type="application/xml").status, 415)
        self.assertEqual(
            client.post(handshake, content_type="application/json;charset=nosuch").status, 415
        )
        self.assertEqual(client.post(handshake, content_encoding="gzip").status, 415)
        self.assertEqual(
            client.post(b"\xff", content_type="application/json;charset=cp1253").status, 400
        )

    def test_behaviour_076_malformed(self) -> None:
        """What is no array of messages is 400, and the session goes on."""
        client = World().poll()
        client.handshake()
        client.connect()
        bodies = (
            b"",
            b"{",
            b"[]",
            b"5",
            b"null",
            b"[1]",
            b'"x"',
            b"[null]",
            b"[[]]",
            b'{"channel":"/meta/\nconnect"}',
            b'{"a":NaN}',
            b'{"a":1e400}',
            b'{"a":"\\ud800"}',
            b'{"a":"\xff"}',
            b'{"channel":"/a"}{}',
            b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
            b"[" * 100_000,
            b'{"a":' + b"1" * 5000 + b"}",
            b"[" + b"{}," * 1000 + b"{}]",
            json.dumps({str(number): 1 for number in range(1001)}).encode(),
            json.dumps({"data": [0] * 10_001}).encode(),
        )
        for body in bodies:
            connection = client.post(body)
            self.assertEqual(connection.status, 400, body[:40])
            self.assertTrue(connection.headers["Content-Type"].startswith("text/plain"))
            self.assertNotIn(b"Traceback", connection.body)
        self.assertEqual(client.take(), [])
        self.assertEqual(client.connect(), [])

    def test_J01_depth(self) -> None:
        """64 levels are read, whichever way they are sent."""
        client = World().poll()
        client.handshake()
        fitting = b'{"channel":"/a","x":' + b"[" * 62 + b"]" * 62 + b"}"
        self.assertEqual(client.post(fitting).status, 200)
        self.assertEqual(client.post(b"[" + fitting + b"]").status, 200)

    def test_B07_too_many_messages(self) -> None:
        """1,000 messages are processed in order, one more is 400."""
        client = World().poll()
        client.handshake()
        client.send(*(client.message("/a", id=str(number)) for number in range(1000)))
        self.assertEqual([one["id"] for one in client.take()], [str(n) for n in range(1000)])
        body = json.dumps([client.message("/a")] * 1001).encode()
        self.assertEqual(client.post(body).status, 400)

    def test_behaviour_077_methods(self) -> None:
        """GET without callback, PUT, DELETE and HEAD are 400, OPTIONS 200."""
        hot, peer = World().hot, Peer("192.0.2.1", 1)
        for method in ("GET", "PUT", "DELETE", "HEAD", "TRACE", "PATCH"):
            refused = hot.admit(head(method), peer)
            assert isinstance(refused, Refusal)
            self.assertEqual((refused.status, refused.message), (400, "Unknown Bayeux Transport"))
        options = hot.admit(head("OPTIONS"), peer)
        assert isinstance(options, Refusal)
        self.assertEqual(options.status, 200)

    def test_behaviour_078_paths(self) -> None:
        """The endpoint, with a slash and with anything below, is one; neighbours are not."""
        world = World()
        for path in ("", "/", "/handshake", "/1.0/connect"):
            self.assertTrue(world.hot.owns(b"/genesys/cometd" + path.encode()))
            client = world.poll()
            client.begin(head(path="/genesys/cometd" + path), b'{"channel":"/meta/handshake"}')
            self.assertTrue(client.take()[0]["successful"])
        self.assertFalse(world.hot.owns(b"/genesys/cometdx"))

    def test_behaviour_079_too_large(self) -> None:
        """A body over the limit is 413 by its length or by its bytes; the next one is fine."""
        world = World(max_message_size=2048)
        client = world.poll()
        client.handshake()
        long = head()
        long.content_length = 2049
        refused = world.hot.admit(long, client.peer)
        assert isinstance(refused, Refusal)
        self.assertEqual(refused.status, 413)
        self.assertEqual(client.post(b" " * 2049).status, 413)
        self.assertTrue(client.connect()[0]["successful"])

    def test_behaviour_080_pipelined(self) -> None:
        """A request behind a held connect makes that one answer first."""
        world = World()
        client = world.poll()
        client.online("/a")
        connection = client.last
        order: list[str] = []
        connection.told = lambda one: order.append(one.messages[-1]["channel"])
        world.hot.pressed(connection)
        connection.request(client.head(), json.dumps(client.message("/b", data=1)).encode())
        self.assertEqual(order, ["/meta/connect", "/b"])

    def test_behaviour_081_six_windows(self) -> None:
        """Six windows of a browser: one connect is held, and publishes pass."""
        world = World()
        windows = [world.poll() for _ in range(6)]
        for window in windows:
            window.cookie = "browser-of-six-windows"
            window.handshake()
            window.connect()
        held = 0
        for window in windows:
            received = window.connect()
            held += not received
            if received:
                self.assertEqual(received[0]["advice"]["interval"], 2000)
        self.assertEqual(held, 1)
        for window in windows:
            self.assertTrue(window.publish("/a", 1)[-1]["successful"])

    test_B15_six_windows = test_behaviour_081_six_windows

    def test_B08_handshake_flood(self) -> None:
        """Too many handshakes are 429 with Retry-After; other messages pass."""
        world = World()
        client = world.poll()
        client.handshake()
        world.limiter.wait_s = 1.2
        connection = client.send({"channel": "/meta/handshake"})
        self.assertEqual((connection.status, connection.headers["Retry-After"]), (429, "2"))
        self.assertTrue(client.connect()[0]["successful"])
        socket = world.socket()
        socket.send({"channel": "/meta/handshake", "id": "1"})
        self.assertEqual(socket.take()[0]["error"], "429::rate_exceeded")

    def test_limits_of_sessions(self) -> None:
        """Above a count of sessions a handshake fails, with advice to come back."""
        for option in ("max_sessions", "max_sessions_per_user", "max_sessions_per_address"):
            limited: dict[str, Any] = {option: 2}
            world = World(**limited)
            client = world.poll("Buzz")
            self.assertEqual(
                [client.handshake()["successful"] for _ in range(3)], [True, True, False]
            )
            reply = client.handshake()
            self.assertEqual(reply["error"], "503::server_overloaded")
            self.assertEqual(reply["advice"], {"reconnect": "retry", "interval": 5000})
            world.wait(31)
            self.assertTrue(client.handshake()["successful"])

    def test_identity_refuses(self) -> None:
        """What identity refuses is answered before the body."""
        connection = FakeConnection(World().hot, Peer("192.0.2.1", 1))
        connection.request(head(gms_user=""), b"{}")
        self.assertEqual(connection.status, 400)

    def test_heads_of_two_addresses(self) -> None:
        """Identical heads of different clients are not mixed up."""
        world = World()
        shared = head()
        one, two = world.poll(host="192.0.2.1"), world.poll(host="192.0.2.2")
        for client in (one, two, one):
            client.begin(shared, b'{"channel":"/meta/handshake"}')
            reply = client.take()[0]
            session = world.server.sessions[reply["clientId"]]
            self.assertEqual(session.address, client.peer.host)

    def test_an_error_of_ours(self) -> None:
        """An exception is logged once, answered 500, and leaves nothing behind (R18)."""
        world = World()
        client = world.poll()
        client.online("/a")

        def explode(*arguments: object) -> None:
            raise RuntimeError("from the test")

        self.patch(world.comet, "subscribed", explode)
        connection = client.send(client.message("/meta/subscribe", subscription="/b"))
        self.assertEqual((connection.status, connection.body), (500, b""))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(world.server.sessions[client.client_id].batches, 0)

    def test_gone_while_waiting(self) -> None:
        """A request whose connection goes before its answer is not answered."""
        world = World()
        client = world.poll()
        client.online()
        client.last.lose()
        self.assertEqual(world.server.outbox.held, 0)
        world.wait(100)
        self.assertEqual(client.last.answers, 0)

    def test_headers_of_answers(self) -> None:
        """Answers are JSON in UTF-8, not to be stored or guessed at."""
        world = World()
        client = world.poll()
        client.handshake()
        client.connect()
        self.assertEqual(
            client.last.headers,
            {
                "Content-Type": "application/json;charset=UTF-8",
                "Cache-Control": "no-cache, no-store",
                "X-Content-Type-Options": "nosniff",
                "Date": "Sat, 09 Jun 2012 22:42:57 GMT",
                "Content-Length": str(len(client.last.body)),
            },
        )


class CallbackTests(SynchronousTestCase):
    """Callback-polling."""

    def test_behaviour_082_callbacks(self) -> None:
        """Callbacks are checked; the script is prefixed, typed and escaped."""
        world = World()
        message = urlencode({"message": '{"channel":"/meta/handshake"}'})
        good = ("a", "$", "_x.y$1", "A" * 64)
        bad = ("", "1a", "a b", "a<b>", "a(", "é", "a\n", "A" * 65, "<script>")
        for callback in good:
            connection = FakeConnection(world.hot, Peer("192.0.2.1", 1))
            query = f"{urlencode({'jsonp': callback})}&{message}&_=123"
            connection.request(head("GET", query=query))
            self.assertEqual(connection.status, 200)
            self.assertEqual(connection.headers["Content-Type"], "text/javascript;charset=UTF-8")
            self.assertTrue(connection.body.startswith(b"/**/" + callback.encode() + b"([{"))
            self.assertTrue(connection.body.endswith(b"}])"))
        for callback in bad:
            connection = FakeConnection(world.hot, Peer("192.0.2.1", 1))
            connection.request(head("GET", query=f"{urlencode({'jsonp': callback})}&{message}"))
            self.assertEqual(
                (connection.status, connection.body), (400, b"Unknown Bayeux Transport"), callback
            )
        client = world.callback()
        client.handshake()
        client.connect()
        client.subscribe("/a")
        world.server.publish("/a", "</script>&\u2028\u2029")
        (event, _) = client.connect()
        self.assertEqual(event["data"], "</script>&\u2028\u2029")
        self.assertIn(b'"\\u003c/script\\u003e\\u0026\\u2028\\u2029"', client.last.body)
        client.begin(head("GET", query="jsonp=a"), b"")
        self.assertEqual(client.last.status, 400)

    test_B13_callback_names = test_behaviour_082_callbacks

    def test_behaviour_083_with_connects_only(self) -> None:
        """Messages leave with connect replies only."""
        world = World()
        client = world.callback()
        client.handshake()
        client.connect()
        client.subscribe("/a")
        received = client.publish("/a", 1)
        self.assertEqual([one["channel"] for one in received if "successful" in one], ["/a"])
        self.assertEqual(len(received), 1)
        self.assertEqual(client.connect()[0], {"channel": "/a", "data": 1})

    def test_behaviour_084_order(self) -> None:
        """What is published by several requests arrives in their order."""
        world = World()
        client = world.callback()
        client.handshake()
        client.connect()
        client.subscribe("/a")
        for number in range(5):
            client.publish("/a", number)
        self.assertEqual([one["data"] for one in client.connect()[:-1]], list(range(5)))

    def test_switched_off(self) -> None:
        """A transport that is not enabled is none."""
        world = World(allowed_transports=("long-polling",))
        connection = FakeConnection(world.hot, Peer("192.0.2.1", 1))
        connection.request(head("GET", query="jsonp=a&message={}"))
        self.assertEqual(connection.status, 400)
        upgrade = world.hot.upgrade(head("GET"), Peer("192.0.2.1", 1))
        assert isinstance(upgrade, Refusal)
        self.assertEqual(upgrade.status, 400)


class BrowserTests(SynchronousTestCase):
    """Several sessions of one browser."""

    def window(self, world: World, cookie: str = "cookie-of-the-browser") -> PollClient:
        """Open a window."""
        client = world.poll()
        client.cookie = cookie
        client.handshake()
        client.connect()
        return client

    def test_behaviour_093_second_window(self) -> None:
        """The second session is told of the first; with interval 0 it fails."""
        world = World()
        one, two = self.window(world), self.window(world)
        self.assertEqual(one.connect(), [])
        (reply,) = two.connect()
        self.assertTrue(reply["successful"])
        self.assertEqual(
            reply["advice"], {"reconnect": "retry", "interval": 2000, "multiple-clients": True}
        )
        world = World(multi_session_interval_s=0.0)
        one, two = self.window(world), self.window(world)
        one.connect()
        (reply,) = two.connect()
        self.assertFalse(reply["successful"])
        self.assertEqual(reply["advice"], {"reconnect": "none", "multiple-clients": True})

    def test_behaviour_094_limits(self) -> None:
        """Two, any number, and none at all."""
        for limit, expected in ((2, 2), (-1, 4), (0, 0)):
            world = World(max_sessions_per_browser=limit)
            windows = [self.window(world) for _ in range(4)]
            self.assertEqual(sum(window.connect() == [] for window in windows), expected)
        self.assertEqual(World(max_sessions_per_browser=0).poll().online().take(), [])

    def test_websockets_do_not_count(self) -> None:
        """A held heartbeat of a websocket takes no connection from the browser's polls."""
        world = World()
        cookie = "cookie-of-the-browser"
        socket = world.socket(origin="http://own", cookie=f"BAYEUX_BROWSER={cookie}")
        socket.online()
        socket.connect()
        # The next one is as plain as nearly all are.
        world.wait(70.0)
        socket.connect()
        self.assertEqual(world.server.sessions[socket.client_id].browser, cookie)
        self.assertEqual(world.server.outbox.held, 1)
        self.assertEqual(self.window(world, cookie).connect(), [])
        self.assertEqual(world.server.outbox.held, 2)

    def test_behaviour_095_the_next_in_line(self) -> None:
        """When the first window goes, another polls, and its advice is normal again."""
        for leaves in (True, False):
            world = World()
            one, two = self.window(world), self.window(world)
            one.connect()
            two.connect()
            if leaves:
                one.ask("/meta/disconnect")
            else:
                one.last.lose()
            self.assertEqual(two.connect(), [])
            world.wait(61)
            (reply,) = two.take()
            self.assertEqual(
                reply["advice"], {"reconnect": "retry", "interval": 0, "timeout": 60000}
            )

    def test_behaviour_096_counted_exactly(self) -> None:
        """However a thousand holds end, none stays counted and none is counted twice."""
        world = World()
        endings = 0
        while endings < 1000:
            one = self.window(world)
            self.assertEqual(one.connect(), [], f"after {endings} endings")
            way = endings % 7
            if way == 0:
                one.last.lose()
            elif way == 1:
                one.ask("/meta/disconnect")
            elif way == 2:
                self.assertEqual(one.connect(), [])  # A duplicate is no second client.
                one.last.lose()
            elif way == 3:
                world.wait(61, step=61)
            elif way == 4:
                world.server.deliver(world.server.sessions[one.client_id], "/a", 1)
                world.turn()
            elif way == 5:
                world.hot.pressed(one.last)
            else:
                world.server.disconnect(world.server.sessions[one.client_id])
                one.last.lose()
            self.assertEqual(world.server.outbox.held, 0)
            endings += 1

    def test_without_a_cookie_nobody_is_counted(self) -> None:
        """Devices without cookies may hold as many as they are."""
        world = World()
        for _ in range(5):
            world.poll().online()
        self.assertEqual(world.server.outbox.held, 5)


class OptionTests(SynchronousTestCase):
    """Options may differ by transport, and change while clients are there."""

    def test_by_transport(self) -> None:
        """The most specific prefix wins."""
        world = World(
            specific={
                "long-polling": {"timeout_s": 20.0, "interval_s": 1.0},
                "long-polling.jsonp": {"timeout_s": 10.0},
                "ws": {"timeout_s": 30.0, "meta_connect_deliver_only": True},
            }
        )
        advised = []
        for client in world.each():
            client.handshake()
            advice = client.connect()[0]["advice"]
            advised.append((advice["timeout"], advice["interval"]))
        self.assertEqual(advised, [(20000, 1000), (10000, 1000), (30000, 0)])
        socket = world.socket()
        socket.online("/a")
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual([one["channel"] for one in socket.take()], ["/a", "/meta/connect"])

    def cookie(self, world: World, secure: bool = False, **headers: str) -> str:
        """The cookie that a handshake is answered with; its value is the session's."""
        client = world.poll(**headers)
        client.peer = Peer("192.0.2.1", 40_000, secure)
        client_id = client.handshake()["clientId"]
        value = str(world.server.sessions[client_id].browser)
        text = client.last.headers["Set-Cookie"]
        self.assertEqual(text.count(value), 1)
        return text.replace(value, "VALUE")

    def test_cookie(self) -> None:
        """It is as configured, whatever else an answer says; other options hold at once."""
        world = World()
        self.assertEqual(self.cookie(world), "BAYEUX_BROWSER=VALUE; Path=/; HttpOnly; SameSite=Lax")
        listed = self.cookie(world, origin="https://listed")
        self.assertEqual(listed, self.cookie(world))
        options = replace(
            world.options,
            browser_cookie_name="a",
            browser_cookie_path="/%b=c",
            browser_cookie_domain="gms.example",
            browser_cookie_max_age_s=60,
            browser_cookie_http_only=False,
            browser_cookie_secure=True,
            browser_cookie_same_site="None",
            browser_cookie_partitioned=True,
        )
        world.comet.reconfigure(options, world.identity)
        plain = "a=VALUE; Path=/%b=c; Domain=gms.example; Max-Age=60; SameSite=None; Partitioned"
        self.assertEqual(self.cookie(world), plain)
        secure = plain.replace("; SameSite", "; Secure; SameSite")
        self.assertEqual(self.cookie(world, secure=True), secure)

    def test_R13_other_options(self) -> None:
        """New options hold from the next connect on; nobody is disconnected."""
        world = World()
        poll, socket = world.poll(), world.socket()
        poll.online("/a")
        socket.online("/a")
        options = replace(world.options, timeout_s=10.0, max_message_size=2048)
        world.comet.reconfigure(options, world.identity)
        world.server.publish("/a", 1)
        world.turn()
        self.assertEqual(poll.take()[0]["data"], 1)
        self.assertEqual(socket.take()[0]["data"], 1)
        self.assertEqual(poll.connect(), [])
        world.wait(10.5)
        self.assertEqual(poll.take()[0]["advice"]["timeout"], 10000)
        self.assertEqual(poll.post(b" " * 2049).status, 413)
        listed = replace(options, client_channels="listed")
        world.comet.reconfigure(listed, world.identity)
        self.assertFalse(poll.subscribe("/b")["successful"])

    def test_origins_and_identity(self) -> None:
        """Heads that were judged before are judged again."""
        world = World()
        client = world.poll()
        request = client.head()
        client.begin(request, b'{"channel":"/meta/handshake"}')

        class Nobody(FakeOrigins):
            def allowed(self, head: Head, peer: Peer) -> bool:
                return False

        world.hot.reconfigure(world.identity, Nobody())
        client.begin(request, b'{"channel":"/meta/handshake"}')
        self.assertEqual(client.last.status, 403)

    def test_repeated_heads_under_other_rules(self) -> None:
        """A head that its connection knows is judged anew after a change, never taken."""
        world = World()
        client = world.poll()
        request = client.head()
        connection = client.begin(request, b'{"channel":"/meta/handshake"}')
        self.assertTrue(world.hot.repeated(connection, request.note, b"[]", b"[]"))
        self.assertEqual(connection.status, 400)
        world.hot.reconfigure(world.identity, FakeOrigins())
        self.assertFalse(world.hot.repeated(connection, request.note, b"[]", b"[]"))

    def test_a_token_is_asked_for_each_time(self) -> None:
        """What a head with a token says is not remembered."""
        world = World()
        client = world.poll()
        request = client.head(authorization="Bearer x")
        client.begin(request, b'{"channel":"/meta/handshake"}')
        self.assertIsNone(request.note)
        self.assertTrue(client.take()[0]["successful"])
