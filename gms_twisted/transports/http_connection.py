"""One connection to an HTTP/1.1 server, for one request at a time.

Knows: bytes there and back, the end of a connection.  Does not know: which requests, how
long they may take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.app.outgoing import Answer
from gms_twisted.transports.http_answers import AnswerReader, BadAnswer


class ConnectionGone(Exception):
    """The connection ended before the answer did.

    :ivar heard: some of the answer had come.
    """

    def __init__(self, message: str, *, heard: bool) -> None:
        super().__init__(message)
        self.heard = heard


@implementer(IHandshakeListener)
class HttpConnection(Protocol):
    """The client's end.

    :param tls: it is of use only after a handshake.
    :ivar ready: fires when it can be used; fails with why it cannot.
    :ivar usable: it takes a request.
    :ivar served: requests that it has carried.
    :ivar on_lost: told when it ends while it carries none.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self._tls = tls
        self.ready: Deferred[None] = Deferred()
        self._reader: AnswerReader | None = None
        self._answer: Deferred[Answer] | None = None
        self._heard = False
        self.usable = False
        self.served = 0
        self.on_lost: Callable[[HttpConnection], None] | None = None

    def connectionMade(self) -> None:
        """Connected; of use now, unless TLS comes first."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if not self._tls:
            self._open()

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._open()

    def _open(self) -> None:
        self.usable = True
        if not self.ready.called:
            self.ready.callback(None)

    def ask(self, request: bytes, reader: AnswerReader) -> Deferred[Answer]:
        """Send a request; cancel the answer to end the connection.

        :returns: fails with :class:`ConnectionGone` or :class:`BadAnswer`.
        """
        answer: Deferred[Answer] = Deferred(lambda cancelled: self.abort())
        if not self.usable or self.transport is None:
            answer.errback(ConnectionGone("The connection is closed.", heard=False))
            return answer
        self.served += 1
        self.usable = False
        self._heard = False
        self._reader = reader
        self._answer = answer
        self.transport.write(request)
        return answer

    def dataReceived(self, data: bytes) -> None:
        """Read some of the answer."""
        reader = self._reader
        if reader is None:
            # Nobody asked, so whatever it is belongs to no request.
            self.abort()
            return
        self._heard = True
        try:
            complete = reader.receive(data)
        except BadAnswer as error:
            self._finish(Failure(error))
            self.abort()
            return
        if complete:
            self.usable = reader.reusable
            if not self.usable:
                self.abort()
            self._finish(reader.answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over; an answer may be complete by that."""
        self.usable = False
        if not self.ready.called:
            self.ready.errback(reason)
        elif self._reader is not None and self._reader.end():
            self._finish(self._reader.answer)
        elif self._reader is not None:
            gone = ConnectionGone("The connection was lost.", heard=self._heard)
            self._finish(Failure(gone))
        elif self.on_lost is not None:
            self.on_lost(self)

    def abort(self) -> None:
        """End it at once, with whatever it carries."""
        self.usable = False
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    def _finish(self, result: Answer | Failure | None) -> None:
        answer, self._answer, self._reader = self._answer, None, None
        if answer is not None and result is not None and not answer.called:
            answer.callback(result)
