"""Requests for Bayeux sessions of other nodes: carried there, and their answers back.

A session lives on the node where it shook hands; its client id says which (``app.nodes``).
Whatever names it is carried to that node as it came, held connects included, and is processed
there as if its client were connected there::

    request  JSON [address, user, browser, secure, vouches, mode, callback, quick], LF, number, LF,
             messages
    answer   "R", a whole response, where the first node has nothing to add (``quick``); or
             "P", status, length of the header lines, LF, content type, LF, header lines, body

What comes before the messages is worked out once for all requests of a client, at both ends.

Knows: what is carried.  Does not know: what messages mean.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Container
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.nodes import Asked, Peers, node_of
from gms_twisted.bayeux.codec import Message, array, encode
from gms_twisted.bayeux.session import Caller
from gms_twisted.domain.errors import GmsError, NodeAway
from gms_twisted.domain.ids import GmsUser
from gms_twisted.http.interfaces import Connection, Peer

KIND = "bayeux"
_PRESS = "bayeux-press"
_NOBODY = Peer("", 0)

MAX_NOTES = 10_000
"""Clients of other nodes of whom something is remembered."""

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

    :param over: called when it is answered, or its client has gone.
    """

    __slots__ = ("_asked", "_over", "held")
    peer = _NOBODY

    def __init__(self, asked: Asked, over: Callable[[], None]) -> None:
        self.held: object = None
        self._asked = asked
        self._over = over

    def answer(self, response: bytes) -> None:
        """Give a whole response."""
        self._over()
        self._asked.answer(b"R" + response)

    def respond(self, status: int, body: bytes, content_type: bytes, headers: bytes = b"") -> None:
        """Give the parts of one."""
        self._over()
        head = b"P%d %d\n%b\n" % (status, len(headers), content_type)
        self._asked.answer(b"".join((head, headers, body)))

    def unsent(self) -> int:
        """Nothing waits here; the other node's connection has its own limit."""
        return 0

    def abort(self) -> None:
        """Give no answer."""
        self._over()
        self._asked.refuse(NodeAway("The request was dropped."))


class Taking(Protocol):
    """Processes what other nodes carry here; ``hotpath.BayeuxHotPath``."""

    def note(self, caller: Caller, mode: str, callback: bytes, quick: bool) -> object:
        """What is to be known for all requests of a client."""

    def take(self, connection: Connection, note: object, body: bytes) -> None:
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
        self._notes: dict[bytes, object] = {}
        peers.serve(KIND, self._take)
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

    @staticmethod
    def head(
        caller: Caller, mode: str = "json", callback: bytes = b"", *, quick: bool = False
    ) -> bytes:
        """What :meth:`carry` needs, the same for all requests of a client.

        :param quick: a response needs no lines of its own.
        """
        known = (caller.address, caller.user, caller.browser, caller.secure, caller.cookie_vouches)
        return json.dumps([*known, mode, callback.decode("ascii"), quick]).encode("ascii")

    def carry(
        self, run: str, head: bytes, messages: list[Message] | bytes, within_s: float
    ) -> Request:
        """Have another node answer.

        :param messages: JSON as it came, or what was read of it.
        :param within_s: longer than any connect is held.
        """
        number = next(self._numbers)
        if not isinstance(messages, bytes):
            messages = array([encode(message) for message in messages])
        payload = b"%b\n%d\n%b" % (head, number, messages)
        return Request(self._peers, run, number, self._peers.call(run, KIND, payload, within_s))

    # What other nodes carry here.

    def _take(self, asked: Asked) -> None:
        head, number, body = asked.payload.split(b"\n", 2)
        note = self._notes.get(head)
        if note is None:
            note = self._note(head)
        key = (asked.run, int(number))
        carried = Carried(asked, lambda: self._forget(key))
        self._carried[key] = carried

        def cancelled() -> None:
            self._forget(key)
            self._taking.lost(carried)

        asked.cancelled = cancelled
        self._taking.take(carried, note, body)

    def _forget(self, key: tuple[str, int]) -> None:
        self._carried.pop(key, None)

    def _note(self, head: bytes) -> object:
        address, user, browser, secure, vouches, mode, callback, quick = json.loads(head)
        user = None if user is None else GmsUser(user)
        caller = Caller(address, user, browser, secure, cookie_vouches=vouches)
        if len(self._notes) >= MAX_NOTES:
            self._notes.clear()
        note = self._notes[head] = self._taking.note(caller, mode, callback.encode("ascii"), quick)
        return note

    def _pressed(self, run: str, payload: bytes) -> None:
        carried = self._carried.get((run, int(payload)))
        if carried is not None:
            self._taking.pressed(carried)


class Request:
    """A request that another node has in hand.

    :ivar answer: fires with what it answered; cancel it when the client is gone.
    """

    __slots__ = ("_number", "_peers", "_run", "answer")

    def __init__(self, peers: Peers, run: str, number: int, answer: Deferred[bytes]) -> None:
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

        def answered(payload: bytes) -> None:
            if connection.held is not self:
                return
            connection.held = None
            if payload[:1] == b"R":
                connection.answer(payload[1:])
                return
            answer = read(payload)
            connection.respond(answer.status, answer.body, answer.content_type, answer.headers)

        def failed(failure: Failure) -> None:
            if failure.check(CancelledError):
                return
            failure.trap(GmsError)
            if connection.held is self:
                connection.held = None
                away()

        self.answer.addCallbacks(answered, failed)


def read(payload: bytes) -> Answer:
    """Take the parts of a response apart."""
    first, _, rest = payload[1:].partition(b"\n")
    status, length = first.split(b" ")
    content_type, _, rest = rest.partition(b"\n")
    end = int(length)
    return Answer(int(status), content_type, rest[:end], rest[end:])
