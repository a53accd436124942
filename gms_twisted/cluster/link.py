"""One connection from node to node: who is at its ends, and frames.

Each node calls each other one: what a node asks goes over the connection it made itself, and
comes back over the same.  So two nodes have two connections, and neither has to wait its turn.

::

    acceptor: 16 bytes it has thrown
    caller:   16 bytes it has thrown, its run, HMAC-SHA256 of ("call", both, both runs)
    acceptor: HMAC-SHA256 of ("take", both, both runs)

with ``cluster/secret`` as the key: neither end learns the secret, and neither can be played back.
Then frames, each a 4-byte length (Twisted's ``Int32StringReceiver``), a letter and a body:

======  ===================================  ==========================================
letter  body                                 says
======  ===================================  ==========================================
``T``   kind, NUL, payload                   tells something; nothing is answered
``C``   number (4), kind, NUL, payload       calls; answered with ``A`` or ``E``, once
``A``   number (4), payload                  the answer
``E``   number (4), code, NUL, text          refused or failed
``X``   number (4)                           the caller wants no answer any more
``P``   nothing                              lives, every two seconds; answered with ``P``
======  ===================================  ==========================================

Knows: the wire.  Does not know: which nodes there are, what kinds mean.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from gms_twisted.domain.sources import DelayedCall, IdSource, Timers

BEAT_S = 2.0
"""Time between two signs of life."""

QUIET_S = 6.0
"""So long without one, and the connection is dropped."""

MAX_FRAME = 24 * 1024 * 1024
"""Largest frame; a larger one ends the connection."""

MAX_UNSENT = 32 * 1024 * 1024
"""Bytes that may wait for the other end to read; more, and the connection is dropped."""

_NONCE = 16
_NUMBER = struct.Struct(">I")


class Ends(Protocol):
    """What a connection asks of the node it belongs to.

    :ivar run: ours, 32 characters.
    :ivar secret: the key.
    """

    run: str
    secret: bytes
    ids: IdSource
    timers: Timers

    is_closed: bool
    """Connections wait until :meth:`Link.take`."""

    def admits(self, link: Link) -> bool:
        """Tell whether one who has the secret may call us."""

    def heard(self, link: Link, kind: str, payload: bytes) -> None:
        """Take what is told."""

    def asked(self, link: Link, number: int, kind: str, payload: bytes) -> None:
        """Take a call."""

    def dropped(self, link: Link, number: int) -> None:
        """Forget a call that its caller wants no answer to."""

    def answered(self, link: Link, number: int, payload: bytes) -> None:
        """Take an answer."""

    def refused(self, link: Link, number: int, code: str, text: str) -> None:
        """Take a refusal."""

    def opened(self, link: Link) -> None:
        """Know a connection whose other end has shown that it has the secret."""

    def closed(self, link: Link) -> None:
        """Forget an opened connection."""


@implementer(IPushProducer)
class Link(Int32StringReceiver):
    """One end of a connection.

    :param peer: the run to be called; ``""``: we are called.
    :ivar peer: the run at the other end, once :attr:`is_open`.
    :ivar calls: what the other end has asked and we have not answered, by number.
    """

    MAX_LENGTH = MAX_FRAME

    def __init__(self, ends: Ends, peer: str = "") -> None:
        self.peer = peer
        self.is_open = False
        self.is_caller = bool(peer)
        self.calls: dict[int, Any] = {}
        self._ends = ends
        self._ours = bytes.fromhex(ends.ids.hex(2 * _NONCE))
        self._theirs = b""
        self._full = False
        self._unsent = 0
        self._heard_at = 0.0
        self._beat: DelayedCall | None = None

    # Coming about.

    def connectionMade(self) -> None:
        """Begin with what we have thrown."""
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._heard_at = self._ends.timers.seconds()
        self._beat = self._ends.timers.callLater(BEAT_S, self._live)
        if not self.is_caller:
            self.sendString(self._ours)

    def _proof(self, word: bytes) -> bytes:
        """What shows that an end has the secret, for this connection only."""
        ours, theirs = (self._ours, self._ends.run), (self._theirs, self.peer)
        caller, taker = (ours, theirs) if self.is_caller else (theirs, ours)
        said = b"\n".join((word, caller[0], taker[0], caller[1].encode(), taker[1].encode()))
        return hmac.new(self._ends.secret, said, sha256).digest()

    def _greeted(self, frame: bytes) -> None:
        """Take one of the three frames before all others."""
        if not self.is_caller:
            self._theirs, self.peer = frame[:_NONCE], frame[_NONCE:-32].decode("ascii", "replace")
            if not hmac.compare_digest(frame[-32:], self._proof(b"call")):
                self.abort()
                return
            if not self._ends.admits(self):
                self.abort()
                return
            if self._ends.is_closed:
                return  # :meth:`take` follows
            self.take()
            return
        if not self._theirs:
            self._theirs = frame
            self.sendString(self._ours + self._ends.run.encode("ascii") + self._proof(b"call"))
            return
        if not hmac.compare_digest(frame, self._proof(b"take")):
            self.abort()
            return
        self.is_open = True
        self._ends.opened(self)

    def take(self) -> None:
        """Take a connection whose caller has shown that it has the secret."""
        self.sendString(self._proof(b"take"))
        self.is_open = True
        self._ends.opened(self)

    # Frames.

    def stringReceived(self, string: bytes) -> None:
        """Take a frame."""
        self._heard_at = self._ends.timers.seconds()
        if not self.is_open:
            self._greeted(string)
            return
        letter = string[:1]
        if letter == b"T":
            kind, _, payload = string[1:].partition(b"\0")
            self._ends.heard(self, kind.decode("ascii", "replace"), payload)
        elif letter == b"P":
            if not self.is_caller:
                self.send(b"P")
        elif len(string) < 5:
            self.abort()
        else:
            self._numbered(letter, _NUMBER.unpack_from(string, 1)[0], string[5:])

    def _numbered(self, letter: bytes, number: int, body: bytes) -> None:
        ends = self._ends
        if letter == b"C":
            kind, _, payload = body.partition(b"\0")
            ends.asked(self, number, kind.decode("ascii", "replace"), payload)
        elif letter == b"A":
            ends.answered(self, number, body)
        elif letter == b"E":
            code, _, text = body.partition(b"\0")
            ends.refused(self, number, code.decode("utf-8"), text.decode("utf-8", "replace"))
        elif letter == b"X":
            ends.dropped(self, number)
        else:
            self.abort()

    def lengthLimitExceeded(self, length: int) -> None:
        """Have no frame that is too large."""
        self.abort()

    # Sending.

    def send(self, *parts: bytes) -> None:
        """Send a frame, given in parts."""
        transport: Any = self.transport
        length = sum(map(len, parts))
        transport.writeSequence((_NUMBER.pack(length), *parts))
        if self._full:
            self._unsent += length
            if self._unsent > MAX_UNSENT:
                self.abort()

    def tell(self, kind: bytes, payload: bytes) -> None:
        """Tell something."""
        self.send(b"T", kind, b"\0", payload)

    def call(self, number: int, kind: bytes, payload: bytes) -> None:
        """Ask something."""
        self.send(b"C", _NUMBER.pack(number), kind, b"\0", payload)

    def answer(self, number: int, payload: bytes) -> None:
        """Answer a call."""
        self.send(b"A", _NUMBER.pack(number), payload)

    def refuse(self, number: int, code: str, text: str) -> None:
        """Refuse a call."""
        said = f"{code}\0{text}".encode("utf-8", "replace")
        self.send(b"E", _NUMBER.pack(number), said)

    def drop(self, number: int) -> None:
        """Want no answer any more."""
        self.send(b"X", _NUMBER.pack(number))

    # Life.

    def _live(self) -> None:
        timers = self._ends.timers
        self._beat = timers.callLater(BEAT_S, self._live)
        if timers.seconds() - self._heard_at > QUIET_S:
            self.abort()
        elif self.is_open and self.is_caller:
            self.send(b"P")

    def abort(self) -> None:
        """Drop the connection now."""
        transport: Any = self.transport
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say so, if it was open."""
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        if self.is_open:
            self.is_open = False
            self._ends.closed(self)

    # IPushProducer: how much waits for the other end.

    def pauseProducing(self) -> None:
        """Count what is sent from now on."""
        self._full = True
        self._unsent = 0

    def resumeProducing(self) -> None:
        """Count no more."""
        self._full = False

    def stopProducing(self) -> None:
        """Nothing to stop: the loss of the connection follows."""
