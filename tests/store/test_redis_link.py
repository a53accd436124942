"""The link to Redis without a Redis: bounds, reasons, what errors mean."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gms_twisted.config.options import StoreOptions
from gms_twisted.domain.errors import StorageFull, StoreReadOnly, Unavailable
from gms_twisted.domain.redis_url import parse_redis_url
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.redis_calls import FULL
from gms_twisted.store.redis_errors import (
    AWAY,
    LATE,
    NoScript,
    RedisRefused,
    error_of,
    harmless,
    unreachable,
)
from gms_twisted.store.redis_link import SAY_EVERY_S, RedisLink
from tests.support.redis_store import Told

MIB = 1 << 20

INFO = b"redis_version:7.0.15\r\n"
FIT = b"+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" + b"$%d\r\n%b\r\n" % (len(INFO), INFO)
FIT += b"*2\r\n$4\r\n1000\r\n$1\r\n0\r\n"


class Wire(StringTransport):
    """A transport that can be aborted."""

    protocol: Any = None

    def abortConnection(self) -> None:
        """End at once."""
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Place:
    """Connections that the test makes or fails."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        """Wait for the test."""
        connecting: Deferred[Any] = Deferred()
        self.waiting.append((factory, connecting))
        return connecting

    def accept(self) -> Any:
        """Connect the one that waits longest, and answer that the server is fit."""
        factory, connecting = self.waiting.pop(0)
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 6379))
        wire = Wire()
        wire.protocol = protocol
        protocol.makeConnection(wire)
        connecting.callback(protocol)
        protocol.dataReceived(FIT)
        return protocol


class LinkTests(SynchronousTestCase):
    """A link whose time and connections are the test's."""

    def setUp(self) -> None:
        """Begin to start one, of one connection."""
        self.clock = Clock()
        self.place = Place()
        options = StoreOptions(
            redis_connections=1, redis_deadline_s=3.0, max_waiting=5, max_waiting_bytes=MIB
        )
        target = parse_redis_url("redis://me:secret-word@h")
        self.link = RedisLink(target, options, self.place, self.clock)
        self.asked: list[Deferred[Any]] = []
        self.starting = Deferred.fromCoroutine(self.link.start())

    def tearDown(self) -> None:
        """Stop it, whatever it still waits for; nothing is left over."""
        for one in (self.starting, *self.asked):
            one.addErrback(lambda _: None)
        stopping = Deferred.fromCoroutine(self.link.stop())
        self.clock.advance(3.0)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def ask(self, *parts: bytes) -> Deferred[Any]:
        """Ask."""
        self.asked.append(Deferred.fromCoroutine(self.link.command(*parts)))
        return self.asked[-1]

    def started(self) -> Any:
        """Connect."""
        protocol = self.place.accept()
        self.clock.advance(0)
        self.successResultOf(self.starting)
        return protocol


class BoundTests(LinkTests):
    """What waits is bounded, and forgotten with its deadline."""

    def test_count(self) -> None:
        """So many calls wait and no more; each deadline makes room."""
        calls = [self.ask(b"GET", b"a") for _ in range(5)]
        self.assertEqual(str(self.failureResultOf(self.ask(b"GET"), Unavailable).value), FULL)
        self.clock.advance(3.0)
        for call in calls:
            self.assertEqual(str(self.failureResultOf(call, Unavailable).value), AWAY)
        self.assertNoResult(self.ask(b"GET", b"a"))

    def test_bytes(self) -> None:
        """So many bytes wait and no more; one call alone may have more."""
        first = self.ask(b"SET", b"a", bytes(2 * MIB))
        self.assertNoResult(first)
        self.assertEqual(str(self.failureResultOf(self.ask(b"GET"), Unavailable).value), FULL)
        first.addErrback(lambda _: None)
        first.cancel()
        self.assertNoResult(self.ask(b"SET", b"a", bytes(MIB // 2)))
        self.assertNoResult(self.ask(b"GET", b"a"))
        self.failureResultOf(self.ask(b"SET", b"a", bytes(MIB // 2)), Unavailable)

    def test_unanswered(self) -> None:
        """What was sent and not answered counts as well."""
        protocol = self.started()
        calls = [self.ask(b"GET", b"a") for _ in range(5)]
        self.failureResultOf(self.ask(b"GET", b"a"), Unavailable)
        protocol.dataReceived(b"$1\r\nx\r\n")
        self.assertEqual(self.successResultOf(calls[0]), b"x")
        self.assertNoResult(self.ask(b"GET", b"a"))

    def test_cancelled(self) -> None:
        """What nobody waits for any more is not sent when a connection comes."""
        cancelled, kept = self.ask(b"SET", b"a", b"1"), self.ask(b"SET", b"b", b"2")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        protocol = self.started()
        sent = protocol.transport.value()
        self.assertNotIn(b"$1\r\na\r\n", sent)
        self.assertIn(b"$1\r\nb\r\n", sent)
        self.assertNoResult(kept)

    def test_late(self) -> None:
        """A connection that owes an answer too long is dropped; nothing is left over."""
        protocol = self.started()
        call = self.ask(b"GET", b"a")
        self.clock.advance(3.0)
        self.assertEqual(str(self.failureResultOf(call, Unavailable).value), LATE)
        self.assertFalse(self.link.is_up)
        self.assertIsNotNone(protocol.why)
        stopping = Deferred.fromCoroutine(self.link.stop())
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReasonTests(LinkTests):
    """Why there is no connection is said."""

    def test_connects_fail(self) -> None:
        """The reason of a connect that failed is kept and said, without the password."""
        with Told() as told:
            _, connecting = self.place.waiting.pop(0)
            connecting.errback(ConnectionRefusedError("nobody listens"))
            self.assertIn("nobody listens", self.link.fault)
            self.clock.advance(3.0)
            self.assertTrue(told.has("Waiting for Redis at redis://me:***@h"), told.lines)
            self.assertTrue(told.has("nobody listens"), told.lines)
            self.assertFalse(told.has("secret-word"))

    def test_no_answer(self) -> None:
        """A server that takes connections and says nothing."""
        factory, connecting = self.place.waiting.pop(0)
        protocol = factory.buildProtocol(None)
        wire = Wire()
        wire.protocol = protocol
        protocol.makeConnection(wire)
        connecting.callback(protocol)
        self.assertIn(b"secret-word", wire.value())
        self.clock.advance(3.0)
        self.assertEqual(self.link.fault, "it did not answer in time")
        self.clock.advance(1.0)
        self.assertEqual(len(self.place.waiting), 1)

    def test_unfit(self) -> None:
        """A server that must not be used ends the start, with a sentence."""
        factory, connecting = self.place.waiting.pop(0)
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(Wire())
        connecting.callback(protocol)
        protocol.dataReceived(b"-WRONGPASS invalid username-password pair\r\n")
        self.clock.advance(0)
        fault = self.failureResultOf(self.starting, StoreFault).value
        self.assertIn("WRONGPASS", str(fault))
        self.assertNotIn("secret-word", str(fault))

    def test_refused(self) -> None:
        """An error without a word of ours is logged without what a client sent, and not often."""
        protocol = self.started()
        with Told() as told:
            for _ in range(3):
                call = self.ask(b"GTE", b"phone-number")
                protocol.dataReceived(
                    b"-ERR unknown command 'GTE', with args beginning with: 'phone-number' \r\n"
                )
                self.failureResultOf(call, RedisRefused)
            lines = [line for line in told.lines if "refused" in line]
            self.assertEqual(len(lines), 1, told.lines)
            self.assertIn("refused GTE: unknown command 'GTE'", lines[0])
            self.assertFalse(told.has("phone-number"))
            self.clock.advance(SAY_EVERY_S)
            self.link.log.debug("that was all")


class ErrorTests(SynchronousTestCase):
    """What errors of Redis mean."""

    def test_words(self) -> None:
        """Words, also in the middle of what a script of an older Redis says."""
        inside = "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -{} it"
        for word, meaning in (
            ("OOM", StorageFull),
            ("MISCONF", StoreReadOnly),
            ("READONLY", Unavailable),
            ("LOADING", Unavailable),
            ("NOREPLICAS", Unavailable),
            ("NOSCRIPT", NoScript),
            ("WRONGTYPE", RedisRefused),
        ):
            self.assertIs(type(error_of(f"{word} something")), meaning, word)
            self.assertIs(type(error_of(inside.format(word))), meaning, word)

    def test_harmless(self) -> None:
        """Keys and arguments are cut out, commands stay."""
        for text, shown in (
            (
                "NOPERM User gms has no permissions to access the 'gms:1:x' key",
                "NOPERM User gms has no permissions to access the '...' key",
            ),
            (
                "NOPERM this user has no permissions to run the 'zadd' command",
                "NOPERM this user has no permissions to run the 'zadd' command",
            ),
            ("ERR unknown command `X`, with args beginning with: `y` ", "unknown command `X`"),
        ):
            self.assertEqual(harmless(text), shown)
        self.assertLessEqual(len(harmless("x" * 10_000)), 200)

    def test_unreachable(self) -> None:
        """Reasons without words have at least a name."""
        self.assertEqual(str(unreachable(ConnectionDone())), "it closed the connection")
        self.assertEqual(str(unreachable(OSError())), "OSError")
