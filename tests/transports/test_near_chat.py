"""The chat server of the own process, asked without a connection."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import ErrorCode, PacketTooLarge
from gms_twisted.chatserver.framing import MAX_FRAME_BYTES
from gms_twisted.chatserver.messages import FlexLogin, FlexRefresh, FlexRequest, FlexStatus
from gms_twisted.chatserver.packets import packet, read_flex_answer
from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatEvent,
    EventKind,
    PartyType,
    Transcript,
)
from gms_twisted.domain.ids import ChatSessionId, ChatUserId
from gms_twisted.transports.chat_links import LinkLost
from gms_twisted.transports.near_chat import NearChat

USER = ChatCredentials(ChatUserId("015E4FD3CD890036"), "b306749dabfa1cf6")
SESSION = ChatSessionId("000C2A7VVQRB001U")
QUIET = FlexStatus(1, None, "", USER, Transcript(SESSION, 1339280777.0, 3, False))


def said(text: str, nickname: str = "kate") -> FlexStatus:
    """An answer with one message."""
    event = ChatEvent(EventKind.MESSAGE, 3, 5, "2", nickname, PartyType.AGENT, text=text)
    return FlexStatus(1, None, "", USER, Transcript(SESSION, 1339280777.0, 3, False, (event,)))


def refresh(message: str | None = None) -> Callable[[int], FlexRequest]:
    """A poll, or a message."""
    return lambda ref: FlexRefresh(ref, USER, SESSION, 3, message, dedupe="word")


class NearChatTests(SynchronousTestCase):
    """What is asked and answered, and when."""

    def setUp(self) -> None:
        """Nothing was asked."""
        self.clock = Clock()
        self.near = NearChat(self.clock)
        self.asked: list[FlexRequest] = []
        self.answer: FlexStatus | Deferred[FlexStatus] = QUIET

    async def handle(self, request: FlexRequest) -> FlexStatus:
        """Answer."""
        self.asked.append(request)
        return await self.answer if isinstance(self.answer, Deferred) else self.answer

    def ask(self, build: Callable[[int], FlexRequest]) -> Deferred[FlexStatus]:
        """Ask, for 10 s at most."""
        return Deferred.fromCoroutine(self.near.ask(self.handle, build, 10.0))

    def test_a_poll(self) -> None:
        """Nothing new is answered at once, as the wire would have it, and no timer is left."""
        self.assertEqual(self.successResultOf(self.ask(refresh())), QUIET)
        self.assertEqual(read_flex_answer(packet(QUIET)[4:]), QUIET)
        self.assertEqual(self.asked, [refresh()(1)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_as_the_wire(self) -> None:
        """What no packet can hold does not get through, in neither direction."""
        self.answer = said("a\x00b\r\n\ufffe<&>", 'k"\x01\t')
        answer = self.successResultOf(self.ask(refresh("x\x08y <z>\r\n")))
        self.assertEqual(answer, said("ab\r\n<&>", 'k"\t'))
        self.assertEqual(self.asked, [refresh("xy <z>\r\n")(1)])
        self.successResultOf(
            self.ask(lambda ref: FlexLogin(ref, "n\x00", user_data={"a": "\x02b"}))
        )
        self.assertEqual(self.asked[-1], FlexLogin(1, "n", user_data={"a": "b"}))

    def test_malformed(self) -> None:
        """What the server would refuse to read it does not see."""
        status = self.successResultOf(self.ask(lambda ref: FlexLogin(ref, "")))
        self.assertEqual((status.code, self.asked), (ErrorCode.MALFORMED, []))

    def test_too_large(self) -> None:
        """A request that does not fit is not asked; an answer that does not is an error."""
        large = "x" * MAX_FRAME_BYTES
        self.failureResultOf(self.ask(refresh(large)), PacketTooLarge)
        self.assertEqual(self.asked, [])
        self.answer = said(large)
        self.assertEqual(self.successResultOf(self.ask(refresh())).code, ErrorCode.INTERNAL)

    def test_later(self) -> None:
        """An answer may take its time."""
        self.answer = Deferred()
        asking = self.ask(refresh())
        self.clock.advance(9.9)
        self.assertNoResult(asking)
        self.answer.callback(QUIET)
        self.assertEqual(self.successResultOf(asking), QUIET)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_C11_too_late(self) -> None:
        """But no more than it may; what the server does is done all the same."""
        self.answer = Deferred()
        asking = self.ask(refresh("hello"))
        self.clock.advance(10.0)
        self.assertTrue(self.failureResultOf(asking, LinkLost).value.late)
        self.answer.callback(QUIET)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_waits(self) -> None:
        """Who asks may go away; the server does not notice."""
        ended: list[str] = []
        waiting: Deferred[FlexStatus] = Deferred(lambda _: ended.append("cancelled"))
        self.answer = waiting
        asking = self.ask(refresh("hello"))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual((ended, self.clock.getDelayedCalls()), ([], []))
        waiting.callback(QUIET)

    def test_stop(self) -> None:
        """At the end everything fails that waits."""
        self.answer = Deferred()
        asking = self.ask(refresh())
        self.near.stop()
        self.failureResultOf(asking, LinkLost)
        self.answer.callback(QUIET)
        self.near.stop()

    def test_server_ends(self) -> None:
        """What the server lets go when it ends has no answer."""
        self.answer = Deferred()
        asking = self.ask(refresh())
        self.answer.cancel()
        self.failureResultOf(asking, LinkLost)
        self.answer = Deferred()
        self.answer.cancel()
        self.failureResultOf(self.ask(refresh()), LinkLost)
