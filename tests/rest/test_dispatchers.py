"""Two dispatchers, one declaration: what goes round Klein is answered as Klein would answer it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from zope.interface import implementer

from gms_twisted.app.nodes import HOME
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.domain.errors import GmsError, InvalidRequest, NotFound, TooManyRequests
from gms_twisted.http.carried import MAX_CARRIED
from gms_twisted.http.identity import Identity
from gms_twisted.http.interfaces import (
    Admission,
    BodyKind,
    BodyPlan,
    Head,
    ICaller,
    IForm,
    LeanRoute,
    Peer,
    Refusal,
)
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.replies import empty_reply, json_reply, text_reply
from gms_twisted.rest.root import Api, Match, MethodRefused, route
from gms_twisted.transports.relay import NodeRelay
from tests.support.front import Front, RawConnection
from tests.support.heads import make_head
from tests.support.nodes import Network
from tests.support.sources import ManualWallClock
from tests.support.whole import API, CUSTOMER, INSIDE, WholeServer

SHOP = "https://shop.example"
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get")
ARGUMENTS = ("x", "a%2Fb", "caf%C3%A9", "%2e%2E", "a+b%20", "60", "%ff")
BODIES = (
    ("application/x-www-form-urlencoded", b"a=1&b=%C3%A9"),
    ("application/json", b'{"a": "1"}'),
    ("text/xml", b"<a/>"),
    ("application/x-www-form-urlencoded", b"a=%zz"),
)
_ARGUMENT = re.compile("<[^>]*>")
_WORD = re.compile(
    rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9A-V]{16}\b|[0-9a-fA-F]{24,}"
    rb"|eyJ[\w.-]+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?|Date: [^\r]*|\d{10}\.\d+"
)


def by_klein(admission: Admission) -> Admission:
    """The same admission, but Klein finds every route."""

    def admit(head: Head, peer: Peer) -> Refusal | BodyPlan:
        verdict = admission(head, peer)
        return replace(verdict, route=None) if isinstance(verdict, BodyPlan) else verdict

    return admit


def masked(answer: bytes) -> bytes:
    """An answer without what is made up for each request."""
    return _WORD.sub(b"*", answer)


def request(
    method: str, target: str, *lines: str, body: bytes = b"", kind: str = "", host: str = "gms"
) -> bytes:
    """A request as bytes."""
    if body:
        lines = (*lines, f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    head = "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""))
    return head.encode() + body


class EveryRouteTests(SynchronousTestCase):
    """The whole server, twice: as it is, and with Klein in the way of every request."""

    def setUp(self) -> None:
        """Make both."""
        overrides = (f"server/allowed_origins={SHOP}", "limits/s01_misses_per_min=100000")
        self.lean = WholeServer(self, *overrides)
        self.klein = WholeServer(self, *overrides)
        self.klein.house.door.admission = by_klein(self.klein.house.door.admission)
        self.compared = 0

    def same(self, data: bytes, host: str = CUSTOMER, **ids: tuple[str, str]) -> bytes:
        """Send the same to both; gives the first one's answer.

        :param ids: what stands for a name in braces, at each of the two.
        """
        answers = []
        for at, server in enumerate((self.lean, self.klein)):
            sent = data
            for name, words in ids.items():
                sent = sent.replace(f"{{{name}}}".encode(), words[at].encode())
            connection = RawConnection(server.house.door, host)
            connection.send(sent)
            server.reactor.advance(0)
            answers.append((connection.received(), connection.closed))
            connection.lose()
        (lean, lean_closed), (klein, klein_closed) = answers
        self.assertEqual((masked(lean), lean_closed), (masked(klein), klein_closed), data)
        self.compared += 1
        return lean

    def targets(self) -> Iterator[tuple[str, bool]]:
        """Every declared URL, with all kinds of arguments and in wrong spellings.

        :returns: also whether it is the URL as it is meant.
        """
        for url in sorted({rule for rule, _, _ in self.lean.house.api.rules()}):
            for argument in ARGUMENTS if "<" in url else ("",):
                yield _ARGUMENT.sub(argument, url), argument in {"", "x"}
            plain = _ARGUMENT.sub("x", url)
            yield from ((f"{plain}{more}", False) for more in ("/", "//", "/y", "?q=1", "%2F"))
            yield plain.upper(), False
            yield plain.replace("/genesys/1/", "/gms-web/gms/1/"), False
            yield plain.rpartition("/")[0] or "/", False

    def test_every_rule(self) -> None:
        """Each URL, method, spelling, body and origin has one answer."""
        for target, meant in self.targets():
            for method in METHODS if meant else ("GET", "POST", "DELETE"):
                self.same(request(method, target))
            if meant:
                self.same(request("GET", target, f"Origin: {SHOP}", "gms_user: jim"), INSIDE)
                self.same(request("GET", target, "Origin: https://evil.example"), INSIDE)
                self.same(request("POST", target, "Expect: 100-continue"))
                self.same(request("GET", target, "Connection: close", "Range: bytes=0-1"))
                for kind, body in BODIES:
                    self.same(request("POST", target, body=body, kind=kind), INSIDE)
        self.assertGreater(self.compared, 1500)
        self.flushLoggedErrors()

    def test_odd_hosts(self) -> None:
        """Also what Klein has against a ``Host`` is said."""
        for host in ("", "a..b", "x" * 64, "[::1]:80", "[::1", "gms:99999", "1.2.3.4:80", "a_b"):
            self.same(request("GET", f"{API}/node", host=host))
        self.same(b"GET /genesys/1/node HTTP/1.0\r\n\r\n")
        self.same(b"GET /genesys/1/node HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    def test_course_of_things(self) -> None:
        """What is there: areas, services and chats, from their beginning to their end."""

        def made(path: str, member: str, body: bytes = b"Key1=Value1&Key2=V%C3%A4l") -> Any:
            ids = []
            for server in (self.lean, self.klein):
                answer = server.send("POST", API + path, body, host=INSIDE)
                ids.append(answer.json()[member])
            return tuple(ids)

        form = BODIES[0]
        ids = {
            "area": made("/storage/600", "id"),
            "service": made("/service/request-chat", "_id"),
            "many": made("/storage/600", "id", b"&".join(b"k%d=" % n + b"v" * 40_000
                                                          for n in range(5))),
        }  # fmt: skip
        for method, path in (
            *((method, f"/storage/{{area}}{key}") for key in ("", "/Key1", "/Key2", "/none")
              for method in ("GET", "HEAD", "OPTIONS")),
            ("GET", "/storage/{many}"), ("HEAD", "/storage/{many}"), ("POST", "/storage/{area}/90"),
            ("GET", "/storage/{area}"), ("DELETE", "/storage/{area}"),
            ("DELETE", "/storage/{area}"), ("GET", "/storage/{area}"),
            ("POST", "/service/{service}/ixn/chat/refresh"),
            ("POST", "/service/{service}/ixn/chat"), ("GET", "/service/{service}/ixn/chat/refresh"),
            ("HEAD", "/service/{service}/ixn/chat/refresh"),
            ("POST", "/service/{service}/ixn/chat/send"),
            ("POST", "/service/{service}/ixn/chat/startTyping"),
            ("POST", "/service/{service}/ixn/chat/nothing"),
            ("GET", "/service/{service}/ixn/chat/refresh?transcriptPosition=0"),
            ("POST", "/service/{service}/ixn/chat/disconnect"),
            ("DELETE", "/service/{service}"), ("DELETE", "/service/{service}"),
        ):  # fmt: skip
            body = form[1] + b"&message=hello" if method == "POST" else b""
            self.same(request(method, API + path, body=body, kind=form[0]), INSIDE, **ids)

    def test_most_go_round_klein(self) -> None:
        """Every rule of fixed segments and plain arguments does; those with a path do not."""
        api = self.lean.house.api
        for url, methods, _ in api.rules():
            for method in methods:
                match = api.match(method, _ARGUMENT.sub("x", url))
                round_klein = "<path:" not in url and not url.endswith("/")
                self.assertEqual(match.route is not None, round_klein, (method, url))


@implementer(IPushProducer)
class Pieces:
    """Writes three pieces, when it is asked to go on."""

    def __init__(self, request: Any, done: Deferred[None]) -> None:
        self._request, self._done = request, done

    def resumeProducing(self) -> None:
        """Go on."""

    def pauseProducing(self) -> None:
        """Wait."""

    def stopProducing(self) -> None:
        """Be gone."""

    def run(self) -> None:
        """Write all."""
        for piece in (b"one", b"two", b"three"):
            self._request.write(piece)
        self._request.unregisterProducer()
        self._done.callback(None)


class Odd:
    """Routes that do what few routes do.

    :ivar waiting: what a route waits for.
    """

    def __init__(self) -> None:
        self.waiting: Deferred[bytes] = Deferred()
        self.ends: list[str] = []

    def _answers(self) -> dict[str, Callable[[Any], Any]]:
        return {
            name.removeprefix("do_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("do_")
        }

    @route("/odd/<what>", "GET", "POST", body=BodyKind.FORM)
    async def odd(self, request: IRequest, what: str) -> bytes:
        """Do something odd."""
        answer: bytes = await self._answers()[what](request)
        return answer

    @route("/plain/<what>", "GET")
    def plain(self, request: IRequest, what: str) -> bytes:
        """Do something at once."""
        return text_reply(request, what)

    @route("/late/<what>", "GET")
    def late(self, request: IRequest, what: str) -> Deferred[bytes]:
        """Give a Deferred."""
        return self.waiting

    @route("/broken/<what>", "GET")
    def broken(self, request: IRequest, what: str) -> bytes:
        """Fail at once."""
        raise ValueError("secret")

    @route("/huge/<what>", "GET")
    async def huge(self, request: IRequest, what: str) -> bytes:
        """More than one node sends to another."""
        return b"x" * (MAX_CARRIED + 1)

    async def do_said(self, request: Any) -> bytes:
        """Tell all that a route can read."""
        caller = ICaller(request)
        said = {
            "fields": dict(IForm(request).fields),
            "caller": [caller.user, caller.address, caller.internal],
            "method": request.method.decode(),
            "path": request.path.decode(),
            "uri": request.uri.decode(),
            "header": (request.getHeader(b"X-One") or b"").decode(),
            "text": request.getHeader("x-one"),
            "none": request.getHeader("x-none"),
            "cookie": (request.getCookie(b"two") or b"").decode(),
            "no cookie": request.getCookie(b"three") is None,
            "all": request.requestHeaders.getRawHeaders("x-one"),
        }
        return json_reply(request, said)

    async def do_headers(self, request: Any) -> bytes:
        """Set headers in every way."""
        request.setHeader(b"x-odd-NAME", b"one\r\nX-Evil: two")
        request.setHeader(b"ETag", b'"x"')
        request.setHeader(b"Server", b"theirs")
        request.setHeader(b"cache-control", b"max-age=9")
        request.setHeader(b"Vary", b"Accept")
        request.setHeader(b"Content-Length", b"999")
        return b"body"

    async def do_more_headers(self, request: Any) -> bytes:
        """Set some before and some after the headers are looked at."""
        request.setHeader(b"X-A", b"1")
        request.responseHeaders.setRawHeaders("X-B", ["2", "3"])
        request.responseHeaders.addRawHeader(b"Set-Cookie", b"a=b")
        request.setHeader(b"X-A", b"4")
        return b"body"

    async def do_empty(self, request: Any) -> bytes:
        """Nothing."""
        return empty_reply(request)

    async def do_status(self, request: Any) -> bytes:
        """A status of its own."""
        request.setResponseCode(299)
        return b"x"

    async def do_bodiless(self, request: Any) -> bytes:
        """A status that has no body."""
        request.setResponseCode(304)
        return b"not sent"

    async def do_large(self, request: Any) -> bytes:
        """More than leaves in one piece, without a length."""
        return b"x" * 70_000

    async def do_html(self, request: Any) -> bytes:
        """A library's page."""
        request.setResponseCode(404)
        request.setHeader(b"Content-Type", b"text/html")
        return b"<h1>No</h1>"

    async def do_written(self, request: Any) -> bytes:
        """In pieces."""
        request.write(b"one")
        request.write(b"two")
        return b"three"

    async def do_produced(self, request: Any) -> bytes:
        """From a producer."""
        done: Deferred[None] = Deferred()
        producer = Pieces(request, done)
        request.registerProducer(producer, True)
        producer.run()
        await done
        return b""

    async def do_refused(self, request: Any) -> bytes:
        """Fail as foreseen."""
        raise InvalidRequest("No.", "field")

    async def do_too_many(self, request: Any) -> bytes:
        """Likewise, with a header."""
        raise TooManyRequests("No.", 2.5)

    async def do_method(self, request: Any) -> bytes:
        """Likewise, another one."""
        raise MethodRefused(("GET",))

    async def do_fail(self, request: Any) -> bytes:
        """Fail otherwise."""
        request.setHeader(b"X-Never", b"seen")
        raise ValueError("secret")

    async def do_cut(self, request: Any) -> bytes:
        """Fail in the middle."""
        request.write(b"half")
        raise NotFound("secret")

    async def do_wait(self, request: Any) -> bytes:
        """Wait."""
        try:
            return await self.waiting
        finally:
            self.ends.append("ended")


def api_of(*modules: object) -> Api:
    """The map of some routes."""
    api = Api()
    api.add(*modules)
    return api


def rest_admission(api: Api, clock: Clock) -> RestAdmission:
    """An admission over a map."""
    server = ServerOptions(allowed_origins=(SHOP,), identity_mode="open")
    wall = ManualWallClock(clock)
    return RestAdmission(
        api,
        Identity(server, wall, loopback_only=True, visitor_key=b"k" * 32),
        Origins(server),
        HttpOptions(),
        Passwords(server, {}),
    )


class OddTests(SynchronousTestCase):
    """Whatever a route does comes to the same bytes."""

    def setUp(self) -> None:
        """Make both."""
        self.odds: list[Odd] = []
        self.fronts: list[Front] = []
        for lean in (True, False):
            odd, clock = Odd(), Clock()
            api = api_of(odd)
            admission = rest_admission(api, clock)
            self.odds.append(odd)
            self.fronts.append(self.front(api, admission, clock, lean=lean))

    def front(self, api: Api, admission: RestAdmission, clock: Clock, *, lean: bool) -> Front:
        """A front door."""
        judge = admission if lean else by_klein(admission)
        return Front(api.resource(), admission=judge, clock=clock)

    def both(
        self, data: bytes, then: Callable[[Odd, RawConnection], None] = lambda odd, connection: None
    ) -> bytes:
        """Send the same to both, do something, and compare."""
        answers = []
        for odd, front in zip(self.odds, self.fronts, strict=True):
            connection = front.connect()
            connection.send(data)
            then(odd, connection)
            front.clock.advance(0)
            answers.append((connection.received(), connection.closed))
        lean, klein = answers
        self.assertEqual(lean, klein, data)
        return lean[0]

    def test_all(self) -> None:
        """Each of them, for GET and HEAD and POST, on connections that stay and that do not."""
        for what in self.odds[0]._answers():
            if what == "wait":
                continue
            for method in ("GET", "HEAD", "POST"):
                for lines in ((), ("Connection: close",), (f"Origin: {SHOP}",)):
                    more = ("X-One: 1", "X-One: 2", "Cookie: one=1; two=2; odd", "Cookie: five=6")
                    self.both(request(method, f"/odd/{what}?a=b", *lines, *more))
            self.both(request("GET", f"/odd/{what}") * 3)
            self.both(f"GET /odd/{what} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        self.flushLoggedErrors()

    def test_at_once(self) -> None:
        """Routes that are no coroutines."""
        self.assertIn(b"\r\n\r\nx", self.both(request("GET", "/plain/x")))
        answer = self.both(request("GET", "/broken/x"))
        self.assertIn(b" 500 ", answer)
        self.assertNotIn(b"secret", answer)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_later(self) -> None:
        """An answer, or a failure, that comes later."""
        ends: tuple[bytes | Exception, ...] = (b"late", InvalidRequest("No."), ValueError("secret"))
        for target in ("/odd/wait", "/late/x"):
            for end in ends:
                for odd in self.odds:
                    odd.waiting = Deferred()

                def finish(odd: Odd, connection: RawConnection) -> None:
                    self.assertEqual(connection.received(), b"")
                    if isinstance(end, bytes):  # noqa: B023  # called in this turn of the loop
                        odd.waiting.callback(end)  # noqa: B023
                    else:
                        odd.waiting.errback(end)  # noqa: B023

                self.assertIn(b"HTTP/1.1 ", self.both(request("GET", target), finish))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)

    def test_gone_while_it_waits(self) -> None:
        """A route whose client is gone is cancelled; what it says then is not sent."""

        def lose(odd: Odd, connection: RawConnection) -> None:
            connection.lose()
            self.assertEqual(odd.ends, ["ended"])

        self.assertEqual(self.both(request("GET", "/odd/wait"), lose), b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_gone_and_failed(self) -> None:
        """What fails after its client is gone is logged, if it was not foreseen to end so."""
        for odd in self.odds:
            odd.waiting = Deferred(lambda waiting: waiting.errback(ValueError("late")))

        def lose(odd: Odd, connection: RawConnection) -> None:
            connection.lose()

        self.both(request("GET", "/odd/wait"), lose)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_next_request(self) -> None:
        """What waits behind a request that waits is answered after it."""

        def finish(odd: Odd, connection: RawConnection) -> None:
            odd.waiting.callback(b"first")

        answer = self.both(request("GET", "/odd/wait") + request("GET", "/plain/second"), finish)
        self.assertLess(answer.index(b"first"), answer.index(b"second"))


class CarriedOddTests(OddTests):
    """The same, of requests that come in at another node and are carried here."""

    def front(self, api: Api, admission: RestAdmission, clock: Clock, *, lean: bool) -> Front:
        """The front door of that node, before the one that answers."""
        network = Network()
        home, asked = network.node("home"), network.node("asked")
        self.successResultOf(Deferred.fromCoroutine(network.own("home")))

        def admit(head: Head, peer: Peer) -> Refusal | BodyPlan:
            verdict = admission(head, peer)
            return replace(verdict, owner=HOME) if isinstance(verdict, BodyPlan) else verdict

        find: Callable[[Head], LeanRoute | None] = admission.route_of if lean else lambda _: None
        there = Front(api.resource(), admission=admission, clock=clock, find_route=find)
        relays = NodeRelay(home), NodeRelay(asked)
        relays[0].serve(there.door.carried)
        return Front(Resource(), admission=admit, clock=clock, relay=relays[1])

    def test_too_large(self) -> None:
        """What cannot be carried back is an answer too, and its route hears that it is over."""
        self.assertIn(b" 500 ", self.both(request("GET", "/huge/x")))

    def test_produced(self) -> None:
        """What is made in pieces arrives whole."""
        answer = self.both(request("GET", "/odd/produced"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertIn(b"\r\nContent-Length: ", answer)

    def test_found(self) -> None:
        """What answers is found as where a request comes in, and nothing is where Klein decides."""
        admission = rest_admission(api_of(Odd()), Clock())
        for target, host, found in (
            ("/plain/x", "gms", True),
            ("/plain/%78", "gms", True),
            ("/nothing", "gms", False),
            ("/plain/x", "a_b", False),
            ("/plain/%zz", "gms", False),
        ):
            head = make_head("GET", target, ("Host", host))
            self.assertEqual(admission.route_of(head) is not None, found, (target, host))
        self.assertIsNone(admission.route_of(make_head("PUT", "/plain/x", ("Host", "gms"))))


SEGMENTS = st.sampled_from(("a", "b", "c", "<x>", "<y>", "<path:z>", "<int:n>", ""))
RULES = st.lists(
    st.tuples(
        st.lists(SEGMENTS, min_size=1, max_size=4),
        st.sets(st.sampled_from(("GET", "POST", "DELETE")), min_size=1),
    ),
    min_size=1,
    max_size=8,
)
PATHS = st.lists(
    st.lists(st.sampled_from(("a", "b", "c", "7", "d%2Fe", "")), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
)


class TableTests(SynchronousTestCase):
    """The table and werkzeug, over rules that nobody has thought of."""

    @given(RULES, PATHS)
    @example([(["a", "<path:z>"], {"GET"}), (["<x>", "<y>"], {"GET"})], [["a", "b"]])
    @example([(["a", ""], {"GET"}), (["<x>"], {"GET"})], [["a"], ["a", ""], ["b"]])
    @example([(["a"], {"POST"}), (["<x>"], {"GET"})], [["a"], ["b"]])
    @example([(["a", "<x>", "c"], {"GET"}), (["<y>", "b"], {"GET"})], [["a", "b"], ["a", "c"]])
    @example([(["<x>", "<y>"], {"GET"})], [["", "b"], ["a", ""], ["d%2Fe", "7"]])
    def test_same_as_klein(
        self, rules: list[tuple[list[str], set[str]]], paths: list[list[str]]
    ) -> None:
        """What the table finds is what werkzeug finds."""
        api = Api()
        for at, (segments, methods) in enumerate(rules):
            names = [one for one in segments if one.startswith("<")]
            if len(set(names)) < len(names) or "" in segments[:-1]:
                continue

            @route("/" + "/".join(segments), *methods)
            async def answer(self: object, request: IRequest, **arguments: str) -> bytes:
                return b""

            api.add(type(f"Module{at}", (), {"answer": answer})())
        for path in paths:
            target = "/" + "/".join(path)
            for method in ("GET", "HEAD", "POST", "DELETE", "PUT"):
                self.assertEqual(
                    _outcome(api.match, method, target),
                    _outcome(api.match_by_klein, method, target),
                    (method, target),
                )


def _outcome(match: Callable[[str, str], Match], method: str, target: str) -> object:
    try:
        found = match(method, target)
    except MethodRefused as error:
        return error.allowed
    except GmsError as error:
        return type(error)
    return id(found.plan), dict(found.arguments)
