"""The server's side of RFC 6455 after the upgrade: frames out, frames in.

PURE.  A frame of the wire::

    byte 0   FIN 0x80 | RSV1 0x40 (compressed) | RSV2 0x20 | RSV3 0x10 | opcode 0x0f
    byte 1   MASK 0x80 | length 0..125, or 126: two more bytes, or 127: eight more
             the mask, 4 bytes, in every frame of a client and in none of ours
             the payload, each byte XORed with the mask's byte at position modulo 4

Masks are taken off with one big-integer XOR, and what is broadcast is framed once.

Knows: frames, messages, close codes, limits (hardening W02, W05).  Does not know: what
messages mean, ``Origin``, timers, sockets.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from gms_twisted.http.deflate import Agreement, Inflater, TooMuch

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _RSV1, _RSV, _OPCODE, _MASKED, _LENGTH = 0x80, 0x40, 0x70, 0x0F, 0x80, 0x7F
_MAX_CONTROL = 125

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNACCEPTABLE = 1003
NO_CODE = 1005
INVALID_DATA = 1007
POLICY = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011
TRY_LATER = 1013


def close_code_valid(code: int) -> bool:
    """Tell whether a close frame may carry a code (RFC 6455, 7.4, and IANA's registry)."""
    return code in _CLOSE_CODES or 3000 <= code <= 4999


_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


def text_frame(payload: bytes) -> bytes:
    """Frame a whole text message; ``payload`` is UTF-8."""
    return _frame(_FIN | _TEXT, payload)


def deflated_text_frame(payload: bytes, agreement: Agreement) -> bytes:
    """Frame a whole text message, compressed as was negotiated."""
    return _frame(_FIN | _RSV1 | _TEXT, agreement.deflate(payload))


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return b"%c%c%b" % (first, length, payload)
    if length < 0x10000:
        return b"%c\x7e%b%b" % (first, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, length.to_bytes(8, "big"), payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """Frame a ping; at most 125 bytes."""
    return _frame(_FIN | _PING, payload[:_MAX_CONTROL])


def pong_frame(payload: bytes = b"") -> bytes:
    """Frame the answer to a ping, which repeats its payload."""
    return _frame(_FIN | _PONG, payload[:_MAX_CONTROL])


def close_frame(code: int = NO_CODE, reason: str = "") -> bytes:
    """Frame a close; a long reason is cut between characters.

    :param code: :data:`NO_CODE`, or any that cannot be sent, gives a close without one.
    """
    if not close_code_valid(code):
        return _frame(_FIN | _CLOSE, b"")
    text = reason.encode("utf-8", "replace")[: _MAX_CONTROL - 2]
    whole = text.decode("utf-8", "ignore").encode()
    return _frame(_FIN | _CLOSE, code.to_bytes(2, "big") + whole)


@dataclass(frozen=True, slots=True)
class Binary:
    """A whole binary message; who takes none closes with :data:`UNACCEPTABLE`."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by :func:`pong_frame`."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping, or a sign of life that nobody asked for."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The client closes; the last event.

    :ivar code: :data:`NO_CODE` when it gave none.  To be sent back.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The client broke a rule or a limit; the last event.

    :ivar code: to be sent in a close frame, with the reason.
    """

    code: int
    reason: str


Event = bytes | Binary | Ping | Pong | Closed | Broken
"""Bytes are a whole text message, valid UTF-8."""


class _Violation(Exception):
    """Becomes :class:`Broken`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.broken = Broken(code, reason)


class FrameReader:
    """Turns a client's bytes into messages and control frames.

    Gives the same events however the bytes are cut.  After :class:`Closed` or
    :class:`Broken` whatever else comes is dropped.

    :param max_message: most bytes of a message, counted while it is inflated.
    :param max_fragments: most frames of a message.
    :param max_control_per_s: most control frames in a second.
    :param deflate: compressed messages were negotiated (each on its own, see
        ``deflate.negotiate``).
    """

    __slots__ = (
        "_control_count",
        "_control_since",
        "_decoder",
        "_deflate",
        "_ended",
        "_fragments",
        "_inflater",
        "_kind",
        "_max_control",
        "_max_fragments",
        "_max_message",
        "_need",
        "_parts",
        "_rest",
        "_size",
    )

    def __init__(
        self,
        max_message: int,
        max_fragments: int = 100,
        max_control_per_s: int = 20,
        deflate: bool = False,
    ) -> None:
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._max_control = max_control_per_s
        self._deflate = deflate
        self._ended = False
        self._rest = bytearray()
        self._need = 0
        self._kind = _CONTINUATION  # of the message under way; none
        self._parts: list[bytes] = []
        self._size = 0
        self._fragments = 0
        self._inflater: Inflater | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._control_since = float("-inf")
        self._control_count = 0

    @property
    def ended(self) -> bool:
        """Tell whether the last event has been given."""
        return self._ended

    def receive(self, data: bytes, now: Callable[[], float]) -> list[Event]:
        """Take the next bytes; ``now`` is asked for the rate of control frames."""
        events: list[Event] = []
        if self._ended:
            return events
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return events
            data = bytes(self._rest)
            self._rest.clear()
        position = 0
        try:
            if not self._kind:
                position = _whole_texts(data, self._max_message, events)
            while position < len(data) and (size := self._frame_size(data, position)):
                self._read_frame(data, position, size, now, events)
                position += size
        except _Violation as violation:
            events.append(violation.broken)
            self._ended = True
        if self._ended:
            self._forget_message()
        elif position < len(data):
            self._rest += memoryview(data)[position:]
        return events

    def _frame_size(self, data: bytes, start: int) -> int:
        """Size of the frame at ``start``, judged by its head; 0 when there is none yet."""
        available = len(data) - start
        if available < 2 or self._ended:
            self._need = 2
            return 0
        first, second = data[start], data[start + 1]
        self._check_first(first, second & _LENGTH)
        if not second & _MASKED:
            raise _Violation(PROTOCOL_ERROR, "frame without a mask")
        length = second & _LENGTH
        if length < 126:
            size = 6 + length
        else:
            extended = 2 if length == 126 else 8
            if available < 2 + extended:
                self._need = 2 + extended
                return 0
            length = int.from_bytes(data[start + 2 : start + 2 + extended], "big")
            if length < (126 if extended == 2 else 0x10000) or length >= 1 << 63:
                raise _Violation(PROTOCOL_ERROR, "length not in its shortest form")
            size = 6 + extended + length
        if length + self._size > self._max_message and not first & 0x8:
            raise _Violation(TOO_BIG, f"message above {self._max_message} bytes")
        if available < size:
            self._need = size
            return 0
        return size

    def _check_first(self, first: int, length: int) -> None:
        """Judge a frame's first byte; ``length`` is the short one of the second."""
        opcode = first & _OPCODE
        reserved = first & _RSV
        if reserved and not (reserved == _RSV1 and self._deflate and opcode in (_TEXT, _BINARY)):
            raise _Violation(PROTOCOL_ERROR, "reserved bit set")
        if opcode in (_CLOSE, _PING, _PONG):
            if not first & _FIN or length > _MAX_CONTROL:
                raise _Violation(PROTOCOL_ERROR, "control frame in fragments or too long")
        elif opcode == _CONTINUATION:
            if not self._kind:
                raise _Violation(PROTOCOL_ERROR, "continuation of nothing")
        elif opcode in (_TEXT, _BINARY):
            if self._kind:
                raise _Violation(PROTOCOL_ERROR, "new message inside another")
        else:
            raise _Violation(PROTOCOL_ERROR, "unknown opcode")

    def _read_frame(
        self, data: bytes, start: int, size: int, now: Callable[[], float], events: list[Event]
    ) -> None:
        first, short = data[start], data[start + 1] & _LENGTH
        head = 6 if short < 126 else 8 if short == 126 else 14
        payload = _unmasked(data, start + head, start + size)
        if first & 0x8:
            self._control(first & _OPCODE, payload, now(), events)
        else:
            self._data(first, payload, events)

    # -- data frames --

    def _data(self, first: int, payload: bytes, events: list[Event]) -> None:
        """Take a frame of a message that is fragmented, compressed or binary."""
        final = bool(first & _FIN)
        self._kind = first & _OPCODE or self._kind
        if first & _RSV1:
            self._inflater = Inflater()
        self._fragments += 1
        if self._fragments > self._max_fragments:
            raise _Violation(POLICY, f"message of more than {self._max_fragments} fragments")
        if self._inflater is not None:
            payload = self._inflate(self._inflater, payload, final)
        self._size += len(payload)
        if self._kind == _TEXT:
            self._decode(payload, final)
        if payload:
            self._parts.append(payload)
        if final:
            message = b"".join(self._parts)
            events.append(message if self._kind == _TEXT else Binary(message))
            self._forget_message()

    def _inflate(self, inflater: Inflater, payload: bytes, final: bool) -> bytes:
        try:
            return inflater.inflate(payload, final, self._max_message - self._size)
        except TooMuch:
            raise _Violation(TOO_BIG, f"message above {self._max_message} bytes") from None
        except ValueError:
            raise _Violation(INVALID_DATA, "not deflated data") from None

    def _decode(self, payload: bytes, final: bool) -> None:
        """Check a piece of text as soon as it is there, across characters cut in two."""
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            self._decoder.decode(payload, final)
        except UnicodeDecodeError:
            raise _Violation(INVALID_DATA, "text that is not UTF-8") from None

    def _forget_message(self) -> None:
        self._kind = _CONTINUATION
        self._parts = []
        self._size = self._fragments = 0
        self._inflater = self._decoder = None
        if self._ended:
            self._rest = bytearray()

    # -- control frames --

    def _control(self, opcode: int, payload: bytes, now: float, events: list[Event]) -> None:
        if now - self._control_since >= 1.0:
            self._control_since = now
            self._control_count = 0
        self._control_count += 1
        if opcode == _CLOSE:
            events.append(_closed(payload))
            self._ended = True
        elif self._control_count > self._max_control:
            raise _Violation(POLICY, f"more than {self._max_control} control frames a second")
        else:
            events.append(Ping(payload) if opcode == _PING else Pong(payload))


def _closed(payload: bytes) -> Closed:
    if not payload:
        return Closed(NO_CODE, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not close_code_valid(code):
        raise _Violation(PROTOCOL_ERROR, "close code that may not be sent")
    try:
        return Closed(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise _Violation(INVALID_DATA, "close reason that is not UTF-8") from None


def _whole_texts(data: bytes, max_message: int, events: list[Event]) -> int:
    """Take texts of one frame below 64 KiB from the front: nearly all that clients send.

    Returns where the first frame begins that is not one, or is not in order.
    """
    position, available = 0, len(data)
    while available - position >= 8 and data[position] == _FIN | _TEXT:
        short = data[position + 1] - _MASKED
        if 0 <= short < 126:
            start = position + 6
            stop = start + short
        elif short == 126:
            start = position + 8
            stop = start + int.from_bytes(data[position + 2 : position + 4], "big")
            if stop - start < 126:
                break
        else:
            break
        if stop > available or stop - start > max_message:
            break
        payload = _unmasked(data, start, stop)
        if not payload.isascii() and not _is_utf_8(payload):
            break
        events.append(payload)
        position = stop
    return position


def _is_utf_8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unmasked(data: bytes, start: int, end: int) -> bytes:
    """Take the mask, which stands before ``start``, off the payload."""
    length = end - start
    stream = (data[start - 4 : start] * (length + 3 >> 2))[:length]
    plain = int.from_bytes(data[start:end], "little") ^ int.from_bytes(stream, "little")
    return plain.to_bytes(length, "little")
