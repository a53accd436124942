"""Requests for Bayeux sessions of other nodes: carried there, and their answers back.

A session lives on the node where it shook hands; its client id says which (``app.nodes``).
Whatever names it is carried to that node as it came, held connects included, and is processed
there as if its client were connected there::

    request  JSON [address, user, browser, secure, vouches, mode, callback, number], LF, messages
    answer   status, length of the header lines, LF, content type, LF, header lines, body

Knows: what is carried.  Does not know: what messages mean.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Container
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.nodes import Peers, node_of
from gms_twisted.bayeux.codec import Message, array, encode
from gms_twisted.bayeux.session import Caller
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import GmsUser
from gms_twisted.http.interfaces import Connection, Peer

KIND = "bayeux"
_PRESS = "bayeux-press"
_NOBODY = Peer("", 0)

CARRY_S = 15.0
"""So much longer than a connect is held may another node take to answer."""


class Answer:
    """What another node answered."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, content_type: bytes, headers: bytes, body: bytes) -> None:
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.body = body


class Carried:
    """A request of another node: the ``http.interfaces.Connection`` that is answered.

    :ivar answered: fires with the answer, written down.
    """

    peer = _NOBODY

    def __init__(self, lost: Callable[[Carried], None]) -> None:
        self.held: object = None
        self.answered: Deferred[bytes] = Deferred(lambda _: lost(self))

    def answer(self, response: bytes) -> None:
        """Never asked: what is carried is not answered with finished responses."""
        raise AssertionError("a carried request has no response of its own")

    def respond(self, status: int, body: bytes, content_type: bytes, headers: bytes = b"") -> None:
        """Give the answer."""
        if not self.answered.called:
            head = b"%d %d\n%b\n" % (status, len(headers), content_type)
            self.answered.callback(b"".join((head, headers, body)))

    def unsent(self) -> int:
        """Nothing waits here; the other node's connection has its own limit."""
        return 0

    def abort(self) -> None:
        """Give no answer."""
        self.answered.cancel()


class Taking(Protocol):
    """Processes what other nodes carry here; ``hotpath.BayeuxHotPath``."""

    def take(
        self, connection: Connection, caller: Caller, mode: str, callback: bytes, body: bytes
    ) -> None:
        """Process a request; answers the connection now or later."""

    def lost(self, connection: Connection) -> None:
        """Forget a request whose client is gone."""

    def pressed(self, connection: Connection) -> None:
        """Answer a request that another one waits behind."""


class BayeuxRelay:
    """Both ends of what is carried.

    :param handshakes: tells the run that a handshake belongs to, ``""`` for any.
    """

    log = Logger()

    def __init__(
        self,
        peers: Peers,
        sessions: Container[str],
        taking: Taking,
        handshakes: Callable[[Message], str] = lambda _: "",
    ) -> None:
        self._peers = peers
        self._sessions = sessions
        self._taking = taking
        self._handshakes = handshakes
        self._numbers = itertools.count()
        self._carried: dict[tuple[str, int], Carried] = {}
        peers.serve_async(KIND, self._take)
        peers.hear(_PRESS, self._pressed)

    # What comes here.

    def home(self, message: Message) -> str:
        """The run that a payload is for, by its first message; ``""``: it is for us.

        A node that is dead, or never was, is nobody's: its clients are told here that they are
        not known.
        """
        named = message.get("clientId")
        if type(named) is not str:
            return "" if named is not None else self._handshakes(message)
        if named in self._sessions:
            return ""
        node = node_of(named)
        return "" if node in (0, self._peers.node) else self._peers.run_at(node)

    def carry(
        self,
        run: str,
        caller: Caller,
        messages: list[Message] | bytes,
        within_s: float,
        mode: str = "json",
        callback: bytes = b"",
    ) -> Request:
        """Have another node answer.

        :param messages: JSON as it came, or what was read of it.
        :param within_s: longer than any connect is held.
        """
        number = next(self._numbers)
        head = [
            *(caller.address, caller.user, caller.browser, caller.secure, caller.cookie_vouches),
            *(mode, callback.decode("ascii"), number),
        ]
        if not isinstance(messages, bytes):
            messages = array([encode(message) for message in messages])
        payload = b"%b\n%b" % (json.dumps(head).encode("ascii"), messages)
        answer = self._peers.call(run, KIND, payload, within_s)
        return Request(self._peers, run, number, Deferred.fromCoroutine(_read(answer)))

    # What other nodes carry here.

    async def _take(self, run: str, payload: bytes) -> bytes:
        head, _, body = payload.partition(b"\n")
        address, user, browser, secure, vouches, mode, callback, number = json.loads(head)
        caller = Caller(
            address,
            None if user is None else GmsUser(user),
            browser,
            secure,
            cookie_vouches=vouches,
        )
        carried = Carried(self._taking.lost)
        self._carried[run, number] = carried
        try:
            self._taking.take(carried, caller, mode, callback.encode("ascii"), body)
            return await carried.answered
        finally:
            del self._carried[run, number]

    def _pressed(self, run: str, payload: bytes) -> None:
        carried = self._carried.get((run, int(payload)))
        if carried is not None:
            self._taking.pressed(carried)


class Request:
    """A request that another node has in hand.

    :ivar answer: fires with an :class:`Answer`; cancel it when the client is gone.
    """

    __slots__ = ("_number", "_peers", "_run", "answer")

    def __init__(self, peers: Peers, run: str, number: int, answer: Deferred[Answer]) -> None:
        self._peers = peers
        self._run = run
        self._number = number
        self.answer = answer

    def press(self) -> None:
        """Have it answered now."""
        self._peers.tell(self._run, _PRESS, b"%d" % self._number)

    def forget(self) -> None:
        """Want no answer any more."""
        self.answer.addErrback(lambda failure: failure.trap(CancelledError, GmsError))
        self.answer.cancel()

    def give(self, connection: Connection, away: Callable[[], None]) -> None:
        """Give the answer to a connection.

        :param away: called when there is none, since the node is away.
        """

        def answered(answer: Answer) -> None:
            if connection.held is self:
                connection.held = None
                connection.respond(answer.status, answer.body, answer.content_type, answer.headers)

        def failed(failure: Failure) -> None:
            if failure.check(CancelledError):
                return
            failure.trap(GmsError)
            if connection.held is self:
                connection.held = None
                away()

        self.answer.addCallbacks(answered, failed)


async def _read(answer: Awaitable[bytes]) -> Answer:
    payload = await answer
    first, _, rest = payload.partition(b"\n")
    status, length = first.split(b" ")
    content_type, _, rest = rest.partition(b"\n")
    end = int(length)
    return Answer(int(status), content_type, rest[:end], rest[end:])
