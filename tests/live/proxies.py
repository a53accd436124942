"""The server behind a real haproxy and a real nginx, each with the file that we ship.

Run with ``python -m twisted.trial tests.live.proxies``; ``bin/test proxies`` does.  The proxies
are started before the nodes.  :data:`NODES` live nodes and one dead address stand behind them; with
more than one node all share a Redis of their own.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import urlopen

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gms_twisted.config.options import HttpOptions
from tests.live.clients import run_clients
from tests.live.fronts import INSIDE, LIMIT_S, OUTSIDE, DeadAddress, Front, Grave, missing, until
from tests.live.server import Server
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object

NODES = int(os.environ.get("GMS_PROXIED_NODES", "2"))
"""How many nodes live behind a proxy."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON_TYPE = "application/json"
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=between"}
BODY_LIMIT = HttpOptions().max_body_multipart
NO_SERVER = "has no server available"
FILE_LIMIT = 10 * 1024 * 1024


class Site:
    """A proxy with nodes behind it.

    :param mode: ``server/identity_mode`` of the nodes.
    """

    def __init__(self, kind: str, mode: str = "trusted-proxy", nodes: int = NODES) -> None:
        ports = [free_port() for _ in range(nodes)]
        self._dead = DeadAddress()
        self.front = Front(kind, [*ports, self._dead.port])
        self._redis = RedisServer() if nodes > 1 else None
        shared = (
            ()
            if self._redis is None
            else ("--set", f"store/url={self._redis.url}", "--set", "cluster/secret=of the test")
        )
        self.nodes = [
            Server(
                "--set", f"server/node_id={number}",
                "--set", f"server/identity_mode={mode}",
                "--set", f"server/trusted_proxies={INSIDE}",
                "--set", f"server/internal_allow={INSIDE}",
                "--set", f"server/external_url_base={self.front.url}/",
                "--set", "bayeux/client_channels=open",
                "--set", "bayeux/browserCookieSecure=true",
                *shared,
                port=port,
            )
            for number, port in enumerate(ports, 1)
        ]  # fmt: skip

    def start(self) -> Site:
        """Start the proxy, then the nodes; return when requests get through."""
        self.front.start()
        if self._redis is not None:
            self._redis.start()
        for node in self.nodes:
            node.start()
        self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Wait until the proxy has seen that a node is there."""
        until(self.is_up, "a node behind the proxy")

    def is_up(self) -> bool:
        """Tell whether requests get through."""
        return self.front.ask("GET", "/genesys/1/node").status == 200

    def restart(self) -> None:
        """Kill all nodes and start them again."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.start()
        self.wait_until_up()

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.stop()
        self.front.stop()
        self._dead.close()
        if self._redis is not None:
            self._redis.remove()


@cache
def shared_site(kind: str) -> Site:
    """The one site of a kind, for all tests that do it no harm."""
    made = Site(kind)
    atexit.register(made.stop)
    return made.start()


class ProxyTests(_Base):
    """What holds for either proxy; a case mixes this in and names its kind."""

    kind = ""

    def setUp(self) -> None:
        """Nothing can be tried without the program."""
        if reason := missing(self.kind):
            raise SkipTest(reason)

    def site(self, mode: str) -> Site:
        """Start a site of this test's own."""
        made = Site(self.kind, mode)
        self.addCleanup(made.stop)
        return made.start()

    def front(self, *ports: int) -> Front:
        """Start a proxy of this test's own before these ports."""
        made = Front(self.kind, ports)
        self.addCleanup(made.stop)
        return made.start()

    def dead(self) -> int:
        """A port that refuses connections until the test is over."""
        made = DeadAddress()
        self.addCleanup(made.close)
        return made.port

    @contextmanager
    def graves(self) -> Iterator[tuple[Front, Callable[[str], int]]]:
        """A proxy before two nodes that die of every request, and how often they saw one."""
        graves = [Grave(), Grave()]
        front = Front(self.kind, [grave.port for grave in graves])
        try:
            yield front.start(), lambda words: sum(grave.seen[words] for grave in graves)
        finally:
            front.stop()
            for grave in graves:
                grave.close()

    def test_without_a_node_it_says_503(self) -> None:
        """With ``Retry-After``, and in no JSON that a Bayeux client could take for an answer."""
        front = self.front(self.dead(), self.dead())
        for method, path in (("GET", "/genesys/1/node"), ("POST", "/genesys/cometd")):
            answer = front.ask(method, path, b"[]" if method == "POST" else None, JSON)
            self.assertEqual(answer.status, 503, answer)
            self.assertEqual(answer.headers["retry-after"], "5")
            self.assertEqual(answer.headers["content-type"], "text/plain")
            self.assertEqual(answer.body, b"No node is up.")

    def test_a_dead_node_is_skipped(self) -> None:
        """No client sees it, whatever the request does."""
        front = shared_site(self.kind).front
        for _ in range(20):
            self.assertEqual(front.ask("GET", "/genesys/1/node").status, 200)
            answer = front.ask("POST", "/genesys/1/storage/60", b"Key1=Value1", FORM)
            self.assertEqual(answer.status, 200, answer)

    def test_the_first_to_meet_a_dead_node_does_not_notice(self) -> None:
        """Neither do those whose requests are sent once only: nothing was sent yet."""
        node = int(shared_site(self.kind).nodes[0].url.rpartition(":")[2])
        for method, path in (
            ("GET", "/genesys/1/node"),
            ("POST", "/genesys/1/service/request-chat"),
            ("GET", "/genesys/1/service/request-chat"),
        ):
            front = self.front(self.dead(), node)
            answer = front.ask(method, path, b"a=b" if method == "POST" else None, FORM)
            self.assertEqual(answer.status, 200, (method, path, answer))

    def test_what_a_dying_node_may_have_done_is_not_asked_twice(self) -> None:
        """Requests by POST, and those by GET that do something; reading may be repeated."""
        chat = "/genesys/1/service/1/ixn/chat/send?message=hello"
        for method, path, repeated in (
            ("POST", "/genesys/1/storage/60", False),
            ("GET", "/genesys/1/service/request-chat", False),
            ("GET", chat, False),
            ("GET", "/genesys/cometd?jsonp=f&message=%5B%5D", False),
            ("GET", "/genesys/1/storage/1", True),
        ):
            with self.graves() as (front, seen):
                answer = front.ask(method, path, b"Key1=1" if method == "POST" else None, FORM)
                self.assertEqual(answer.status, 502, (path, answer))
                times = seen(f"{method} {path}")
                self.assertEqual(times > 1, repeated, f"{path} was asked {times} times")
                self.assertGreater(times, 0, path)

    def test_B03_gms_user_arrives_from_those_who_may_name_users(self) -> None:
        """From others it is removed, so that the node does not believe it."""
        front = shared_site(self.kind).front
        for source, seen in ((INSIDE, "yes"), (OUTSIDE, None)):
            answer = front.ask("GET", "/genesys/1/node", None, {"gms_user": "vasya"}, source)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.headers.get("x-gms-user-seen"), seen, source)

    def test_nodes_learn_the_address_of_the_client(self) -> None:
        """And do not believe what a client says of itself."""
        front = shared_site(self.kind).front
        lies = {"X-Forwarded-For": INSIDE, "Forwarded": f"for={INSIDE}", "X-Forwarded-Proto": "x"}
        self.assertEqual(front.ask("GET", "/health").headers["content-type"][:16], JSON_TYPE)
        for headers in ({}, lies):
            answer = front.ask("GET", "/health", None, headers, OUTSIDE)
            self.assertEqual((answer.status, answer.body), (200, b"ready"))

    def test_nodes_learn_that_clients_use_tls(self) -> None:
        """So the cookie is marked Secure, which ``bayeux/browserCookieSecure`` asks for."""
        front = shared_site(self.kind).front
        body = json.dumps([{"channel": "/meta/handshake", "version": "1.0"}]).encode()
        for lies in ({}, {"X-Forwarded-Proto": "http"}):
            answer = front.ask("POST", "/genesys/cometd", body, {**JSON, **lies})
            self.assertTrue(json.loads(answer.body)[0]["successful"], answer)
            self.assertIn("Secure", answer.headers["set-cookie"])

    def test_what_is_internal_is_closed_to_others(self) -> None:
        """Under every spelling of its path."""
        front = shared_site(self.kind).front
        for path in (
            "/metrics",
            "/%6detrics",
            "/%6fps/",
            "/embedded/calls",
            "/scxml/session/1/query",
            "/ops/",
            "/genesys/1/notification/delivery/1",
            "/gms-web/gms/1/notification/delivery/1",
            "/genesys/1/%6eotification/delivery/1",
        ):
            outside = front.ask("GET", path, source=OUTSIDE)
            self.assertEqual(outside.status, 403, (path, outside))
            self.assertEqual(json.loads(outside.body)["exception"], "gms.internal_only")
            self.assertNotEqual(front.ask("GET", path).status, 403, path)

    def test_plain_http_is_sent_to_https(self) -> None:
        """With a status that keeps the method."""
        front = shared_site(self.kind).front
        connection = http.client.HTTPConnection(INSIDE, front.plain_port, timeout=LIMIT_S)
        self.addCleanup(connection.close)
        connection.request("POST", "/demo/?x=1", b"Key1=1", {**FORM, "Host": "gms.example.com"})
        answer = connection.getresponse()
        self.assertEqual(answer.status, 308)
        self.assertEqual(answer.getheader("Location"), "https://gms.example.com/demo/?x=1")

    def test_a_chat_from_beginning_to_end(self) -> None:
        """The Chat API as an app uses it."""
        front = shared_site(self.kind).front

        def call(path: str, **fields: str) -> dict[str, object]:
            headers = {**FORM, "gms_user": "vasya"}
            answer = front.ask("POST", path, urlencode(fields).encode(), headers)
            self.assertEqual(answer.status, 200, (path, answer))
            found = json.loads(answer.body)
            assert isinstance(found, dict)
            return found

        service = call("/genesys/1/service/request-chat", product="shoes")["_id"]
        chat = f"/genesys/1/service/{service}/ixn/chat"
        self.assertEqual(call(chat, firstName="Vasya")["chatIxnState"], "CONNECTED")
        call(f"{chat}/send", message="hello agent")
        self.assertIn("hello agent", json.dumps(call(f"{chat}/refresh", transcriptPosition="1")))
        self.assertEqual(call(f"{chat}/disconnect")["chatIxnState"], "DISCONNECTED")

    def test_an_upload_at_the_limit_gets_through_and_not_a_byte_more(self) -> None:
        """``http/max_body_multipart``, and ``http/max_body`` of what has no files."""
        front = shared_site(self.kind).front
        body = upload(BODY_LIMIT)
        stored = front.ask("POST", "/genesys/1/storage/600", body, MULTIPART)
        self.assertEqual(stored.status, 200, stored)
        area = json.loads(stored.body)["id"]
        back = front.ask("GET", f"/genesys/1/storage/binary/{area}/first")
        self.assertEqual((back.status, back.body == b"x" * FILE_LIMIT), (200, True))
        late = front.ask("POST", "/genesys/1/storage/600", upload(BODY_LIMIT + 1), MULTIPART)
        self.assertEqual(late.status, 413)

    def test_a_refusal_at_the_head_arrives_and_no_node_is_blamed(self) -> None:
        """Though the client, and so the proxy, goes on sending the body."""
        front = shared_site(self.kind).front
        form = b"Key1=" + b"x" * (4 * HttpOptions().max_body)
        for _ in range(5):
            self.assertEqual(front.ask("POST", "/genesys/1/storage/600", form, FORM).status, 413)
            self.assertEqual(front.ask("POST", "/nothing", form, FORM).status, 404)
            self.assertEqual(front.ask("GET", "/genesys/1/node").status, 200)

    def test_a_head_at_the_limit_gets_through(self) -> None:
        """``http/max_header_block``, which is more than proxies take by default."""
        front = shared_site(self.kind).front
        half = "x" * (HttpOptions().max_header_line - 100)
        answer = front.ask(
            "GET", "/genesys/1/node", None, {"X-First": half, "X-Second": half[:7900]}
        )
        self.assertEqual(answer.status, 200, answer)

    def test_R12_an_upload_under_way_outlives_its_node(self) -> None:
        """The proxy lets a node that ends finish, though it answers no health check any more."""
        site = self.site("open")
        plain = socket.create_connection((INSIDE, site.front.port))
        with site.front.trust().wrap_socket(plain, server_hostname=INSIDE) as wire:
            wire.settimeout(LIMIT_S)
            body = upload(1_000_000)
            wire.sendall(
                b"POST /genesys/1/storage/60 HTTP/1.1\r\nHost: gms\r\nContent-Length: %d\r\n"
                b"Content-Type: %s\r\n\r\n"
                % (len(body), MULTIPART["Content-Type"].encode())
                + body[:500_000]
            )
            until(lambda: self.has_company(site), "the upload")
            before = site.front.said.count(NO_SERVER)
            for node in site.nodes:
                os.kill(node.pid, signal.SIGTERM)
            until(lambda: self.has_seen_the_end(site.front, before), "a proxy without a node")
            wire.sendall(body[500_000:])
            answer = wire.recv(65536)
        self.assertEqual(answer.split(b"\r\n")[0], b"HTTP/1.1 200 OK", answer)

    def has_company(self, site: Site) -> bool:
        """Tell whether a node has another connection than the one that asks."""
        for node in site.nodes:
            with urlopen(f"{node.url}/metrics", timeout=LIMIT_S) as answer:
                if "gms_http_open 1\n" not in answer.read().decode():
                    return True
        return False

    def has_seen_the_end(self, front: Front, before: int) -> bool:
        """Tell whether a proxy counts no node as up: haproxy says so, nginx finds out."""
        if self.kind == "haproxy":
            return front.said.count(NO_SERVER) > before
        return front.ask("GET", "/genesys/1/node").status == 503

    def test_real_clients_talk_chat_and_survive_a_restart_of_all_nodes(self) -> None:
        """Each over websockets and over long-polling."""
        site = self.site("open")
        certificate = str(site.front.certificate)
        back_at = 0.0

        def restart() -> None:
            nonlocal back_at
            site.restart()
            back_at = time.monotonic()

        results = run_clients(
            site.front.url,
            restart,
            [],
            NODE_EXTRA_CA_CERTS=certificate,
            SSL_CERT_FILE=certificate,
        )
        self.assertEqual(results, [True] * len(results))
        self.assertTrue(results)
        # Faye takes a failure in JSON for an answer, and waits 60 s for another.
        self.assertLess(time.monotonic() - back_at, 50.0)


class HaproxyTests(ProxyTests, SynchronousTestCase):
    """With ``etc/haproxy.cfg``."""

    kind = "haproxy"


class NginxTests(ProxyTests, SynchronousTestCase):
    """With ``etc/nginx.conf``."""

    kind = "nginx"


def upload(size: int) -> bytes:
    """A multipart body of so many bytes; its first file is as large as it may be."""
    part = b'--between\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\n%s\r\n'
    first = min(FILE_LIMIT, size // 2) if size < FILE_LIMIT else FILE_LIMIT
    body = part % (b"first", b"x" * first)
    rest = size - len(body) - len(part % (b"second", b"")) - len(b"--between--\r\n")
    return body + part % (b"second", b"y" * rest) + b"--between--\r\n"
