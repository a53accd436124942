"""One payload on its way through the server.

Messages are processed strictly in order, each to its end before the next.  A
handler that must wait for a decision is a generator that yields what it waits for;
the exchange then goes on when the host has the answer.  Most never wait, and for
those everything happens in one call.

Knows: the order of messages and of what is answered.  Does not know: what a message
means, how an answer is written.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from gms_twisted.bayeux.authority import Decided, Decision
from gms_twisted.bayeux.codec import MalformedPayload, Message
from gms_twisted.bayeux.messages import CONNECT, HANDSHAKE
from gms_twisted.bayeux.session import Caller, Carrier, Session

if TYPE_CHECKING:
    from gms_twisted.bayeux.server import BayeuxServer

Handling = Generator[Decided, Decision, bytes | None]
"""A handler that may wait; returns the encoded reply, ``None`` for none."""


class Exchange:
    """A payload, and what is answered to it.

    :ivar held: how its carrier knows the request, given back with the answer.
    :ivar session: for which it is processed, ``None`` when it names none.
    :ivar handshake: the handshake reply, which goes first.
    :ivar deliveries: queued messages that go along, before other replies.
    :ivar replies: in order of the requests.
    :ivar holding: its connect is held, so that nothing is answered now.
    :ivar abandoned: its connection is gone; do not answer.
    """

    __slots__ = (
        "_batched",
        "_connect_at",
        "_handling",
        "_index",
        "_server",
        "abandoned",
        "advice",
        "caller",
        "carrier",
        "deliveries",
        "done",
        "greeting",
        "handshake",
        "held",
        "holding",
        "messages",
        "replies",
        "session",
    )

    def __init__(
        self,
        server: BayeuxServer,
        messages: list[Message],
        caller: Caller,
        carrier: Carrier,
        held: object,
        session: Session | None,
    ) -> None:
        self._server = server
        self.messages = messages
        self.caller = caller
        self.carrier = carrier
        self.held = held
        self.session = session
        self.handshake: bytes | None = None
        self.greeting: Message | None = None
        self.deliveries: list[bytes] = []
        self.replies: list[bytes] = []
        self.holding = False
        self.advice: Message | None = None
        self.abandoned = False
        self.done = False
        self._index = 0
        self._connect_at = -1
        self._batched = False
        self._handling: Handling | None = None

    def run(self) -> None:
        """Process the payload; calls the carrier when there is something to answer.

        When this raises, call :meth:`fail`.
        """
        session = self.session
        if session is not None and self.messages[0].get("channel") != CONNECT:
            self._batched = True
            session.batches += 1
        self._go_on()

    def _go_on(self) -> None:
        handle = self._server.handle
        messages = self.messages
        while self._index < len(messages):
            message = messages[self._index]
            self._index += 1
            outcome = handle(self, message)
            if outcome is None:
                continue
            if isinstance(outcome, bytes):
                self.replies.append(outcome)
                continue
            self._handling = outcome
            if not self._advance(None):
                return
        self._finish()

    def _advance(self, decision: Decision | None) -> bool:
        """Go on with a handler; ``False`` when it waits."""
        handling = self._handling
        assert handling is not None, "nothing waits for a decision"
        try:
            while True:
                asked = next(handling) if decision is None else handling.send(decision)
                if isinstance(asked, bool | str):
                    decision = asked
                    continue
                self._server.suspend(self, asked)
                return False
        except StopIteration as over:
            self._handling = None
            if over.value is not None:
                self.replies.append(over.value)
            return True

    def resume(self, decision: Decision) -> None:
        """Go on: what a handler waited for is decided.

        When this raises, call :meth:`fail`.
        """
        if self._handling is None:
            return
        if self.session is not None:
            self.session.busy_since = 0.0
        if self._advance(decision):
            self._go_on()

    def fail(self) -> None:
        """Give up after an error of ours: nothing stays behind, and the client is told."""
        session = self.session
        if session is not None and not self.done:
            session.batches -= self._batched
            session.busy_since = 0.0
            if session.alive and session.held is None and not session.expire_at:
                self._server.outbox.await_connect(session)
        self._handling = None
        gone = self.abandoned
        self.done = self.abandoned = True
        if not gone:
            self.carrier.failed(self)

    def answer_connect(self) -> None:
        """Answer a connect of this payload with the payload's other replies."""
        session = self.session
        assert session is not None, "a connect without a session is refused before"
        # Of several connects in a payload the last one's reply takes advice and batch.
        self._connect_at = len(self.replies)
        self.replies.append(session.reply)

    def _finish(self) -> None:
        self.done = True
        session = self.session
        server = self._server
        if session is not None:
            if self._batched:
                session.batches -= 1
            if self.holding:
                return
            outbox = server.outbox
            connect = self._connect_at >= 0
            if not self.abandoned and server.carries(self, session, connect):
                self.deliveries += outbox.take(session, self.replies)
            if connect:
                self.replies[self._connect_at] = outbox.connect_reply(session, self.advice)
                if self.advice is not None:
                    session.advise = True  # What was special holds for this once.
                if session.alive:
                    outbox.await_connect(session)
            elif session.queue and not session.batches:
                outbox.mark(session)
        if self.greeting is not None:
            self.handshake = server.greet(self, self.greeting)
        if not self.abandoned:
            self.carrier.finished(self)

    def fragments(self) -> list[bytes]:
        """Everything that is answered, in order, for one array."""
        if self.handshake is None:
            return self.deliveries + self.replies if self.deliveries else self.replies
        return [self.handshake, *self.deliveries, *self.replies]


def check_handshake(messages: list[Message]) -> list[Message]:
    """See to it that a handshake is alone: what follows it is ignored.

    :raises MalformedPayload: a handshake follows something else.
    """
    if messages[0].get("channel") == HANDSHAKE:
        return messages[:1]
    for message in messages:
        if message.get("channel") == HANDSHAKE:
            raise MalformedPayload("A handshake must come first.")
    return messages
