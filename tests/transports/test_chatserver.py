"""GMS as a client of chat servers: calls, failures, choice, TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gms_twisted.app.interfaces import (
    ChatGateway,
    ChatServerUnavailable,
    ChatSessionClosed,
    ChatSessionUnknown,
)
from gms_twisted.chatserver.balancer import balancer_answer
from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.framing import KEEP_ALIVE
from gms_twisted.chatserver.messages import (
    FlexJoin,
    FlexLogin,
    FlexRefresh,
    FlexRequest,
    FlexStatus,
    Join,
    Say,
)
from gms_twisted.chatserver.packets import packet
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.chat import ChatCredentials, ChatServerAddress, Notice, NoticeType
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooLarge
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.transports.chat_links import (
    FIRST_DELAY_S,
    IDLE_S,
    KEEP_ALIVE_S,
    LONGEST_DELAY_S,
    MAX_LINKS,
    SPREAD,
)
from gms_twisted.transports.chatserver import MOVED_S, ChatServers, endpoints
from tests.support.chat_server import (
    FAKE_SESSION,
    FAKE_USER,
    ChatWorld,
    FakeChatServer,
    Network,
    obliging,
)
from tests.support.sources import CountingIds

T = TypeVar("T")
ONE = ChatServerAddress("1", "one.example", 4856)
TWO = ChatServerAddress("2", "two.example", 4856)
SECURE = ChatServerAddress("3", "secure.example", 4853, tls=True)
LIST = ("1=one.example:4856", "2=two.example:4856")
PAGE = "http://lb.example/ChatLBServerInfo.jsp"
QUEUE = "Environment:default"


class Pages:
    """A load balancer's page.

    :ivar answer: what it says.
    :ivar asked: URLs, in order.
    """

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] | Exception = (503, b"")
        self.asked: list[str] = []

    async def __call__(self, url: str) -> tuple[int, bytes]:
        """Answer."""
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class GatewayCase(SynchronousTestCase):
    """A gateway, a network and two fake servers."""

    options = ChatOptions(chat_server=LIST)

    def setUp(self) -> None:
        """Put it together."""
        self.clock = Clock()
        self.network = Network()
        self.one, self.two = FakeChatServer(), FakeChatServer()
        self.network.servers = {ONE: self.one, TWO: self.two}
        self.pages = Pages()
        self.embedded: ChatServerAddress | None = None
        self.gateway = self.make(self.options)

    def make(self, options: ChatOptions) -> ChatServers:
        """Make a gateway."""
        gateway = ChatServers(
            options,
            lambda: self.embedded,
            self.network.endpoint,
            self.pages,
            self.clock,
            CountingIds(),
        )
        as_agreed: ChatGateway = gateway
        del as_agreed
        return gateway

    def begin(self, call: Awaitable[T]) -> Deferred[T]:
        """Start a call and move its bytes."""

        async def run() -> T:
            return await call

        running = Deferred.fromCoroutine(run())
        self.network.flush()
        return running

    def ask(self, call: Awaitable[T]) -> T:
        """A call that succeeds without time passing."""
        result: T = self.successResultOf(self.begin(call))
        return result

    def refused(self, call: Awaitable[object], error: type[GmsError]) -> GmsError:
        """A call that fails without time passing."""
        found: GmsError = self.failureResultOf(self.begin(call), error).value
        return found

    def advance(self, seconds: float) -> None:
        """Let time pass, and bytes move."""
        self.clock.advance(seconds)
        self.network.flush()

    def refresh(
        self, server: ChatServerAddress = ONE, **more: Any
    ) -> Coroutine[Any, Any, tuple[ChatCredentials, Any]]:
        """A refresh of the fake session."""
        return self.gateway.refresh(server, FAKE_USER, FAKE_SESSION, 1, **more)


class CallTests(GatewayCase):
    """What each call sends and gives back."""

    def test_login(self) -> None:
        """Nickname, time zone and data go out; the credentials come back."""
        who = self.ask(self.gateway.login(ONE, "VasyaP", -420, {"a": "b"}))
        self.assertEqual(who, FAKE_USER)
        expected = FlexLogin(1, "VasyaP", time_zone_offset_min=-420, user_data={"a": "b"})
        self.assertEqual(self.one.requests, [expected])

    def test_join(self) -> None:
        """Queue, subject and data go out, with a word made of the service's id."""
        data = {"GMS_ServiceId": "9d6c31d3"}
        _, transcript = self.ask(self.gateway.join(ONE, FAKE_USER, QUEUE, "test", data))
        self.assertEqual(transcript.last_position, 1)
        expected = FlexJoin(1, FAKE_USER, QUEUE, "test", data, dedupe="service/9d6c31d3")
        self.assertEqual(self.one.requests, [expected])

    def test_refresh_sends(self) -> None:
        """Message and notice, each with a word of its own when the caller gives none."""
        self.ask(self.refresh(message="hello", dedupe="mine"))
        self.ask(self.refresh(notice=Notice(NoticeType.TYPING_STARTED)))
        self.ask(self.refresh(wait_s=15.0))
        first, second, third = self.one.requests
        assert isinstance(first, FlexRefresh)
        assert isinstance(second, FlexRefresh)
        assert isinstance(third, FlexRefresh)
        self.assertEqual((first.message, first.dedupe), ("hello", "mine"))
        self.assertEqual(second.notice, Notice(NoticeType.TYPING_STARTED))
        self.assertTrue(second.dedupe)
        self.assertEqual((third.wait_s, third.dedupe), (15.0, ""))

    def test_logout(self) -> None:
        """The last transcript comes back, closed."""
        _, transcript = self.ask(self.gateway.logout(ONE, FAKE_USER, FAKE_SESSION, 1))
        self.assertTrue(transcript.closed)

    def test_newest_credentials_count(self) -> None:
        """What an answer says replaces what was known."""
        newer = ChatCredentials(FAKE_USER.user_id, "0123456789abcdef")

        def renew(request: FlexRequest) -> FlexStatus:
            status = obliging(request)
            return FlexStatus(status.ref, credentials=newer, transcript=status.transcript)

        self.one.behaviour = renew
        who, _ = self.ask(self.refresh())
        self.assertEqual(who, newer)

    def test_error_codes(self) -> None:
        """Each code means something to the caller."""
        for code, error in (
            (ErrorCode.MALFORMED, InvalidRequest),
            (ErrorCode.UNSUPPORTED_VERSION, ChatServerUnavailable),
            (ErrorCode.UNKNOWN_USER, ChatSessionUnknown),
            (ErrorCode.UNKNOWN_SESSION, ChatSessionUnknown),
            (ErrorCode.SESSION_CLOSED, ChatSessionClosed),
            (ErrorCode.UNKNOWN_QUEUE, ChatServerUnavailable),
            (ErrorCode.LIMIT_REACHED, ChatServerUnavailable),
            (ErrorCode.INTERNAL, ChatServerUnavailable),
        ):
            self.one.behaviour = lambda request, code=code: FlexStatus(  # type: ignore[misc]  # default
                request.ref, code, "no"
            )
            self.refused(self.refresh(), error)

    def test_closed_has_the_rest(self) -> None:
        """Code 5 with a transcript gives it; logout takes it for success."""

        def closed(request: FlexRequest) -> FlexStatus:
            transcript = obliging(FlexJoin(1, FAKE_USER, QUEUE)).transcript
            return FlexStatus(request.ref, ErrorCode.SESSION_CLOSED, "closed", None, transcript)

        self.one.behaviour = closed
        error = self.refused(self.refresh(), ChatSessionClosed)
        assert isinstance(error, ChatSessionClosed)
        self.assertEqual(len(error.transcript.events), 1)
        _, transcript = self.ask(self.gateway.logout(ONE, FAKE_USER, FAKE_SESSION, 1))
        self.assertEqual(len(transcript.events), 1)

    def test_too_large(self) -> None:
        """What does not fit into a packet is the caller's fault, and nothing was sent."""
        self.refused(self.refresh(message="&" * 300_000), TooLarge)
        self.assertEqual(self.one.requests, [])
        self.ask(self.refresh())

    def test_answer_for_another_session_is_none(self) -> None:
        """A server that mixes things up is not believed."""
        other = ChatSessionId("ANOTHER")
        call = self.gateway.refresh(ONE, FAKE_USER, other, 1)
        self.refused(call, ChatServerUnavailable)


class SharingTests(GatewayCase):
    """One connection carries many requests."""

    def test_one_connection_for_all(self) -> None:
        """Requests to one server share a connection."""
        for _ in range(5):
            self.ask(self.refresh())
        self.assertEqual(self.network.attempts, [ONE])

    def test_answers_in_any_order(self) -> None:
        """Each answer finds its request."""
        self.one.behaviour = lambda request: None
        calls = [self.begin(self.refresh()) for _ in range(3)]
        for ref in (3, 1, 2):
            self.one.send(packet(obliging(FlexJoin(ref, FAKE_USER, QUEUE))))
            self.network.flush()
            self.successResultOf(calls[ref - 1])

    def test_byte_by_byte(self) -> None:
        """Answers may come in any pieces, with keep-alives between."""
        self.one.behaviour = lambda request: None
        call = self.begin(self.refresh())
        for byte in KEEP_ALIVE + packet(obliging(FlexJoin(1, FAKE_USER, QUEUE))):
            self.assertNoResult(call)
            self.one.send(bytes([byte]))
            self.network.flush()
        self.successResultOf(call)

    def test_late_answer_means_nothing(self) -> None:
        """Nor does one to a number that was never used."""
        self.one.behaviour = lambda request: None
        call = self.begin(self.refresh())
        call.addErrback(lambda failure: failure.trap(CancelledError) and None)
        call.cancel()
        for ref in (1, 77):
            self.one.send(packet(obliging(FlexJoin(ref, FAKE_USER, QUEUE))))
        self.network.flush()
        self.one.behaviour = obliging
        self.ask(self.refresh())
        self.assertEqual(self.network.attempts, [ONE])

    def test_busy_server_gets_more_connections(self) -> None:
        """Many held requests are spread over a few connections."""
        self.one.behaviour = lambda request: None
        calls = [self.begin(self.refresh(wait_s=60)) for _ in range(SPREAD * MAX_LINKS + 50)]
        self.assertEqual(len(self.one.open), MAX_LINKS)
        self.assertEqual(len(self.one.requests), len(calls))

    def test_idle_connection_is_closed(self) -> None:
        """It is kept alive while it is used, and closed when not."""
        self.ask(self.refresh())
        self.advance(KEEP_ALIVE_S)
        self.assertEqual(len(self.one.open), 1)
        self.advance(IDLE_S - KEEP_ALIVE_S)
        self.assertEqual(self.one.open, [])
        self.ask(self.refresh())
        self.assertEqual(self.network.attempts, [ONE, ONE])

    def test_stop_leaves_nothing(self) -> None:
        """Unanswered requests fail, connections close, no timer is left."""
        self.one.behaviour = lambda request: None
        self.network.stuck.add(TWO)
        calls = [self.begin(self.refresh(server)) for server in (ONE, TWO)]
        self.ask(self.gateway.stop())
        for call in calls:
            self.failureResultOf(call, ChatServerUnavailable)
        self.assertEqual(self.one.open, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FaultTests(GatewayCase):
    """C11: bad servers and bad networks."""

    def test_C11_lost_connection_is_retried_once_with_the_same_word(self) -> None:
        """Closed in the middle: the same request goes out again, harmlessly."""
        answers = [None, obliging]

        def once(request: FlexRequest) -> FlexStatus | None:
            answer = answers.pop(0)
            return answer(request) if answer else None

        self.one.behaviour = once
        call = self.begin(self.refresh(message="hello"))
        self.one.close()
        self.network.flush()
        self.successResultOf(call)
        first, second = self.one.requests
        self.assertEqual(first, second)

    def test_C11_in_flight_requests_fail_exactly_once(self) -> None:
        """When the server goes for good, each gets one failure."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.one.behaviour = lambda request: None
        ended: list[object] = []
        for _ in range(20):
            self.begin(self.refresh()).addBoth(ended.append)
        del self.network.servers[ONE]
        self.one.close()
        self.network.flush()
        self.advance(60)
        self.assertEqual(len(ended), 20)

    def test_C11_rule_breakers_are_dropped(self) -> None:
        """Garbage, an endless line, a huge length, tricks: no answer, and another try."""
        for data in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"x" * 2_000_000,
            b"\xff\xff\xff\xff",
            b"\0\0\0\x05hello",
            b"\0\0\0\x20<!DOCTYPE a [<!ENTITY b 'c'>]><a",
            b'\0\0\0\x19<flexStatus ref="1" a="b"/>'[:29],
        ):
            with self.subTest(data=data[:20]):
                self.setUp()
                self.one.behaviour = lambda request, data=data: data  # type: ignore[misc]  # default
                self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
                self.refused(self.refresh(), ChatServerUnavailable)
                self.assertEqual(self.one.open, [])
                self.advance(LONGEST_DELAY_S)
                self.one.behaviour = obliging
                self.ask(self.refresh())

    def test_C11_slow_server(self) -> None:
        """After exactly the time there is a failure; the silent connection is dropped."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.one.behaviour = lambda request: b"\0"
        self.ask_late(self.begin(self.refresh()), 10.0)
        self.one.behaviour = lambda request: None
        self.network.cut()
        self.advance(LONGEST_DELAY_S)
        self.ask_late(self.begin(self.refresh()), 10.0)
        self.assertEqual(self.one.open, [])

    def ask_late(self, call: Deferred[T], seconds: float) -> None:
        """A call fails at a time, not before."""
        self.advance(seconds - 0.1)
        self.assertNoResult(call)
        self.advance(0.1)
        self.failureResultOf(call, ChatServerUnavailable)

    def test_held_refresh_has_longer(self) -> None:
        """The wait is added to the time for an answer."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.one.behaviour = lambda request: None
        self.ask_late(self.begin(self.refresh(wait_s=15.0)), 25.0)

    def test_C11_one_late_answer_does_not_drop_others(self) -> None:
        """A connection that is otherwise alive stays."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.one.behaviour = lambda request: None
        late = self.begin(self.refresh())
        self.one.behaviour = obliging
        self.advance(5)
        self.ask(self.refresh())
        self.advance(5)
        self.failureResultOf(late, ChatServerUnavailable)
        self.assertEqual(len(self.one.open), 1)

    def test_C11_connection_that_is_never_made(self) -> None:
        """A network that swallows everything costs no more than the time for an answer."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.network.stuck.add(ONE)
        call = self.begin(self.refresh())
        self.advance(10)
        self.failureResultOf(call, ChatServerUnavailable)

    def test_C11_back_off(self) -> None:
        """A server that refuses is left alone, longer each time, and then tried again."""
        self.gateway = self.make(ChatOptions(chat_server=LIST[:1]))
        self.one.refuse = True
        for number in range(8):
            before = len(self.network.attempts)
            for _ in range(10):
                self.refused(self.refresh(), ChatServerUnavailable)
            self.assertEqual(len(self.network.attempts), before + 1)
            self.advance(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**number))
        self.one.refuse = False
        self.ask(self.refresh())

    def test_C11_transcript_is_re_read_after_a_loss(self) -> None:
        """The repeated refresh asks from the same position: no gap, no duplicate."""
        self.one.behaviour = lambda request: None
        call = self.begin(self.refresh(wait_s=15.0))
        self.one.behaviour = obliging
        self.network.cut()
        self.network.flush()
        self.successResultOf(call)
        positions = [
            request.position for request in self.one.requests if isinstance(request, FlexRefresh)
        ]
        self.assertEqual(positions, [1, 1])


class ChoiceTests(GatewayCase):
    """Which server is used."""

    def test_list_goes_round(self) -> None:
        """Without an alias the servers take turns."""
        chosen = [self.ask(self.gateway.choose()) for _ in range(4)]
        self.assertEqual(chosen, [ONE, TWO, ONE, TWO])

    def test_alias_names_one(self) -> None:
        """With an alias it is that one."""
        self.assertEqual([self.ask(self.gateway.choose("2")) for _ in range(3)], [TWO] * 3)

    def test_replacement_is_used_and_remembered(self) -> None:
        """A request for a dead server goes to another one, and later ones directly."""
        self.one.refuse = True
        self.ask(self.refresh())
        self.assertEqual(self.network.attempts, [ONE, TWO])
        self.ask(self.refresh())
        self.assertEqual(self.network.attempts, [ONE, TWO])
        self.assertEqual(len(self.two.requests), 2)
        self.one.refuse = False
        self.advance(MOVED_S)
        self.ask(self.refresh())
        self.assertEqual(len(self.one.requests), 1)

    def test_dead_server_is_not_chosen(self) -> None:
        """New chats go past a server that is down, until all are."""
        self.one.refuse = True
        self.ask(self.refresh())
        self.assertEqual([self.ask(self.gateway.choose()) for _ in range(2)], [TWO, TWO])
        self.assertEqual(self.ask(self.gateway.choose("1")), TWO)
        self.two.refuse = True
        self.two.close()
        self.network.flush()
        self.refused(self.refresh(TWO), ChatServerUnavailable)
        self.assertEqual(self.ask(self.gateway.choose("1")), ONE)

    def test_wrong_list_is_refused(self) -> None:
        """A list that is not understood raises, also on reload."""
        wrong = ChatOptions(chat_server=("nonsense",))
        with self.assertRaises(ValueError):
            self.make(wrong)
        with self.assertRaises(ValueError):
            self.gateway.reconfigure(wrong)
        self.ask(self.gateway.choose())

    def test_reload(self) -> None:
        """A new list counts from now on."""
        self.gateway.reconfigure(ChatOptions(chat_server=LIST[1:]))
        self.assertEqual(self.ask(self.gateway.choose()), TWO)

    def test_embedded_is_the_default(self) -> None:
        """Without any server configured it is the built-in one, while it runs."""
        gateway = self.make(ChatOptions())
        self.refused(gateway.choose(), ChatServerUnavailable)
        self.embedded = ONE
        self.assertEqual(self.ask(gateway.choose()), ONE)
        self.assertEqual(self.ask(gateway.choose("other")), ONE)
        self.assertEqual(self.pages.asked, [])


class BalancerTests(GatewayCase):
    """The load balancer's page."""

    options = ChatOptions(chat_load_balancer_url_path=PAGE)

    def test_page_is_asked_with_the_alias(self) -> None:
        """Without one first, later with it."""
        self.pages.answer = (200, balancer_answer(ONE))
        self.assertEqual(self.ask(self.gateway.choose()), ONE)
        self.ask(self.gateway.choose("35&0"))
        self.assertEqual(self.pages.asked, [PAGE, f"{PAGE}?chatServerLoadBalancerAlias=35%260"])

    def test_replacement_comes_from_the_page(self) -> None:
        """After a failed request the page is asked with the alias."""
        self.one.refuse = True
        self.pages.answer = (200, balancer_answer(TWO))
        self.ask(self.refresh())
        self.assertEqual(self.pages.asked, [f"{PAGE}?chatServerLoadBalancerAlias=1"])
        self.assertEqual(len(self.two.requests), 1)

    def test_no_good_page(self) -> None:
        """An error, another status, an answer that is not understood: unavailable."""
        for answer in (
            OSError("no route"),
            (404, b"gone"),
            (200, b"<html>It works!</html>"),
            (200, b""),
        ):
            self.pages.answer = answer
            self.refused(self.gateway.choose(), ChatServerUnavailable)
        self.flushLoggedErrors()

    def test_servers_are_not_piled_up(self) -> None:
        """A page that names ever new servers does not fill the memory."""
        for number in range(300):
            server = ChatServerAddress(str(number), f"h{number}.example", 1)
            self.pages.answer = (200, balancer_answer(server))
            self.refused(self.refresh(server), ChatServerUnavailable)
        self.assertLess(len(self.gateway._links), 70)


def certificate(name: str) -> PrivateCertificate:
    """A certificate for a host name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    text = signed.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(text)
    return loaded


@implementer(IStreamClientEndpoint)
class SecureEndpoint:
    """``wrapClientTLS`` with a clock of the test's."""

    def __init__(self, plain: IStreamClientEndpoint, options: Any, clock: Clock) -> None:
        self._plain = plain
        self._options = options
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect with TLS; gives the protocol inside."""
        factory = TLSMemoryBIOFactory(self._options, True, protocolFactory, clock=self._clock)
        connecting: Deferred[Any] = self._plain.connect(factory)
        return connecting.addCallback(lambda outer: outer.wrappedProtocol)


class TlsTests(GatewayCase):
    """Servers that need TLS."""

    options = ChatOptions(chat_server=("3=secure.example:4853;tls",))

    def secure(self, name: str) -> None:
        """Put a server with a certificate for a name at the address."""
        private = certificate(name)
        server = TLSMemoryBIOFactory(private.options(), False, self.one, clock=self.clock)
        self.network.servers[SECURE] = server
        root = trustRootFromCertificates([Certificate(private.original)])
        options = optionsForClientTLS(SECURE.host, root)
        self.network.wrap[SECURE] = lambda plain: SecureEndpoint(plain, options, self.clock)

    def begin(self, call: Awaitable[T]) -> Deferred[T]:
        """Start a call and move its bytes; TLS needs a few rounds."""
        running = super().begin(call)
        for _ in range(10):
            self.advance(0)
        return running

    def test_right_name(self) -> None:
        """With the server's own name all goes well."""
        self.secure(SECURE.host)
        self.ask(self.refresh(SECURE))

    def test_C11_wrong_name(self) -> None:
        """A certificate for another name: no request goes out, and there is a back-off."""
        self.secure("other.example")
        self.refused(self.refresh(SECURE), ChatServerUnavailable)
        self.assertEqual(self.one.requests, [])
        attempts = len(self.network.attempts)
        self.refused(self.refresh(SECURE), ChatServerUnavailable)
        self.assertEqual(len(self.network.attempts), attempts)

    def test_endpoints(self) -> None:
        """Addresses become TCP or TLS connections to their host."""
        reactor = MemoryReactorClock()
        make = endpoints(reactor, [])
        for server in (
            ChatServerAddress("1", "127.0.0.1", 4856),
            ChatServerAddress("2", "127.0.0.1", 4853, True),
        ):
            make(server).connect(self.one).addErrback(lambda failure: None)
        self.assertEqual(
            [client[:2] for client in reactor.tcpClients],
            [("127.0.0.1", 4856), ("127.0.0.1", 4853)],
        )


class EmbeddedTests(SynchronousTestCase):
    """The gateway and the real chat server, kills included."""

    def setUp(self) -> None:
        """A world with a gateway."""
        self.world = ChatWorld(self)
        self.network = self.world.network
        self.addresses = [ONE]
        self.network.servers = {ONE: self.world.server.flex_factory}
        self.gateway = ChatServers(
            ChatOptions(),
            lambda: self.addresses[0],
            self.network.endpoint,
            Pages(),
            self.world.clock,
            CountingIds(),
        )

    def begin(self, call: Awaitable[T]) -> Deferred[T]:
        """Start a call and move its bytes."""

        async def run() -> T:
            return await call

        running = Deferred.fromCoroutine(run())
        self.network.flush()
        return running

    def ask(self, call: Awaitable[T]) -> T:
        """A call that succeeds without time passing."""
        result: T = self.successResultOf(self.begin(call))
        return result

    def chat(self) -> tuple[ChatServerAddress, ChatCredentials, ChatSessionId]:
        """Start a chat."""
        server = self.ask(self.gateway.choose())
        who = self.ask(self.gateway.login(server, "VasyaP", None, {}))
        data = {"GMS_ServiceId": "service-1"}
        who, transcript = self.ask(self.gateway.join(server, who, QUEUE, "test", data))
        return server, who, transcript.session_id

    def restart(self) -> None:
        """Kill the chat server's side and start it again on the same store."""
        self.network.servers = {}
        self.network.cut()
        result: Deferred[None] = Deferred.fromCoroutine(self.world.server.stop())
        self.successResultOf(result)
        self.world.start()
        self.network.servers = {ONE: self.world.server.flex_factory}

    def test_C11_near_and_stopped(self) -> None:
        """Once the gateway is stopped it asks nobody, a server of the own process neither."""
        near = ChatServers(
            ChatOptions(),
            lambda: ONE,
            self.network.endpoint,
            Pages(),
            self.world.clock,
            CountingIds(),
            lambda server: self.world.server.flex,
        )
        who = self.ask(near.login(ONE, "VasyaP", None, {}))
        self.assertEqual(self.network.attempts, [])
        who, transcript = self.ask(near.join(ONE, who, QUEUE, "test", {}))
        session_id = transcript.session_id
        self.assertTrue(near.is_quiet(ONE, who, session_id, 1))
        self.ask(near.stop())
        self.assertFalse(near.is_quiet(ONE, who, session_id, 1))
        refused = self.begin(near.join(ONE, who, QUEUE, "test", {}))
        self.failureResultOf(refused, ChatServerUnavailable)
        self.assertEqual(self.network.attempts, [])

    def test_whole_chat(self) -> None:
        """Create, talk, end."""
        server, who, session_id = self.chat()
        agent = self.world.agent()
        agent.say(Join(2, session_id))
        held = self.begin(self.gateway.refresh(server, who, session_id, 2, wait_s=15))
        self.assertNoResult(held)
        agent.say(Say(3, session_id, "hello customer"))
        _, transcript = self.successResultOf(held)
        self.assertEqual([event.text for event in transcript.events], ["hello customer"])
        _, transcript = self.ask(
            self.gateway.refresh(server, who, session_id, 3, message="hello agent")
        )
        self.assertEqual([event.text for event in transcript.events], ["hello agent"])
        _, transcript = self.ask(self.gateway.logout(server, who, session_id, 4))
        self.assertTrue(transcript.closed)
        with self.subTest("again"):
            _, transcript = self.ask(self.gateway.logout(server, who, session_id, 4))
            self.assertTrue(transcript.closed)

    def test_R01_kill_and_restart(self) -> None:
        """Nothing lost, nothing doubled, and the same session goes on."""
        server, who, session_id = self.chat()
        self.ask(self.gateway.refresh(server, who, session_id, 1, message="one", dedupe="w1"))
        self.restart()
        self.ask(self.gateway.refresh(server, who, session_id, 1, message="one", dedupe="w1"))
        _, transcript = self.ask(
            self.gateway.refresh(server, who, session_id, 0, message="two", dedupe="w2")
        )
        said = [(event.position, event.text) for event in transcript.events if event.text]
        self.assertEqual(said, [(2, "one"), (3, "two")])

    def test_R01_answer_lost_on_the_way(self) -> None:
        """The server did it, the answer was lost: the retry does not do it again."""
        server, who, session_id = self.chat()
        call: Deferred[object] = Deferred.fromCoroutine(
            self.gateway.refresh(server, who, session_id, 1, message="once")
        )
        pump = self.network._pumps[-1]
        data = pump.clientIO.getOutBuffer()
        pump.serverIO.bufferReceived(data)  # the server has it, and its answer is under way
        self.network.cut()
        self.network.flush()
        self.successResultOf(call)
        _, transcript = self.ask(self.gateway.refresh(server, who, session_id, 1))
        self.assertEqual([event.text for event in transcript.events], ["once"])

    def test_repeated_start_is_one_chat(self) -> None:
        """Login and join of the same service, after a crash of ours: the same session."""
        _, _, session_id = self.chat()
        self.assertEqual(self.chat()[2], session_id)

    def test_take_over_by_another_server(self) -> None:
        """The replacement that the directory names carries on, seamlessly."""
        server, who, session_id = self.chat()
        self.ask(self.gateway.refresh(server, who, session_id, 1, message="one"))
        held = self.begin(self.gateway.refresh(server, who, session_id, 2, wait_s=15))
        self.world.start("2")
        self.network.servers = {TWO: self.world.server.flex_factory}
        self.addresses[0] = TWO
        self.network.cut()
        self.network.flush()
        self.assertNoResult(held)
        _, transcript = self.ask(self.gateway.refresh(server, who, session_id, 0, message="two"))
        self.assertEqual([event.text for event in transcript.events if event.text], ["one", "two"])
        _, transcript = self.successResultOf(held)
        self.assertEqual([event.text for event in transcript.events], ["two"])
