"""Bytes of the binary provider interface: notifications, error packets, feedback.

All integers are big-endian; nothing but the fields themselves tells where one ends::

    simple    00 | token length:2 | token | payload length:2 | payload
    enhanced  01 | identifier:4 | expiry:4 | token length:2 | token | payload length:2 | payload
    framed    02 | frame length:4 | item...        item = number:1 | length:2 | data
              items: 1 token, 2 payload, 3 identifier:4, 4 expiry:4, 5 priority:1
    error     08 | status:1 | identifier:4
    feedback  timestamp:4 | token length:2 | token

Expiry is Unix seconds, 0 for "do not keep".  A reader gives the same however the stream
was cut, and what breaks the rules ends in :class:`ProtocolError` and nothing else.

Knows: layouts.  Does not know: what was sent before, what a status means.

APNs: "Binary Provider API", "The Feedback Service".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from gms_twisted.apns.errors import ProtocolError

SIMPLE, ENHANCED, FRAMED, ERROR = 0, 1, 2, 8
"""Commands, a frame's first byte."""

TOKEN_BYTES = 32
ERROR_BYTES = 6
MAX_FRAME_BYTES = 8192
"""Longest frame that a reader takes; a payload has at most 2048 bytes."""

_TOKEN, _PAYLOAD, _IDENTIFIER, _EXPIRY, _PRIORITY = 1, 2, 3, 4, 5
_FIXED = {_IDENTIFIER: 4, _EXPIRY: 4, _PRIORITY: 1}

_LENGTH = Struct(">H")
_NUMBERS = Struct(">II")
_ITEM = Struct(">BH")
_FRAME = Struct(">BI")
_NUMBER_ITEM = Struct(">BHI")
_PRIORITY_ITEM = Struct(">BHB")
_ERROR = Struct(">BBI")
_FEEDBACK = Struct(">IH")


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification as a gateway reads it.

    :ivar token: of any length; empty when there was none.
    :ivar identifier: 0 for the simple form, which has none.
    :ivar expiry: Unix seconds; ``None`` when it was not said.
    """

    token: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    identifier: int = 0
    expiry: int | None = None
    priority: int | None = None
    command: int = FRAMED


@dataclass(frozen=True, slots=True)
class ErrorPacket:
    """What a gateway says before it closes."""

    status: int
    identifier: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """A device that does not have the application any more.

    :ivar since: when that was noticed, Unix seconds.
    """

    since: int
    token: bytes = field(repr=False)


# Writing


def simple(token: bytes, payload: bytes) -> bytes:
    """Make the oldest form, without an identifier: errors cannot be attributed."""
    return b"".join((b"\0", _LENGTH.pack(len(token)), token, _LENGTH.pack(len(payload)), payload))


def enhanced(token: bytes, payload: bytes, identifier: int, expiry: int) -> bytes:
    """Make the second form."""
    return b"".join(
        (
            b"\1",
            _NUMBERS.pack(identifier, expiry),
            _LENGTH.pack(len(token)),
            token,
            _LENGTH.pack(len(payload)),
            payload,
        )
    )


def framed(
    token: bytes,
    payload: bytes,
    identifier: int,
    expiry: int | None = None,
    priority: int | None = None,
) -> bytes:
    """Make the last form: items 1, 2, 3, and 4 and 5 when they are given."""
    tail = _NUMBER_ITEM.pack(_IDENTIFIER, 4, identifier)
    if expiry is not None:
        tail += _NUMBER_ITEM.pack(_EXPIRY, 4, expiry)
    if priority is not None:
        tail += _PRIORITY_ITEM.pack(_PRIORITY, 1, priority)
    head = _ITEM.pack(_TOKEN, len(token)) + token + _ITEM.pack(_PAYLOAD, len(payload))
    length = len(head) + len(payload) + len(tail)
    return b"".join((_FRAME.pack(FRAMED, length), head, payload, tail))


def error_packet(status: int, identifier: int) -> bytes:
    """Make what a gateway says before it closes."""
    return _ERROR.pack(ERROR, status, identifier)


def feedback(since: int, token: bytes) -> bytes:
    """Make one tuple of the feedback service."""
    return _FEEDBACK.pack(since, len(token)) + token


# Reading


class ErrorPacketReader:
    """Reads the one packet that a gateway may send."""

    def __init__(self) -> None:
        self._buffer = b""
        self._done = False

    @property
    def incomplete(self) -> bool:
        """Tell whether a packet has begun and not ended."""
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> ErrorPacket | None:
        """Take bytes; gives the packet when they complete it.

        :raises ProtocolError: it is no error packet.  What follows one is not looked
            at: the gateway has closed by then.
        """
        if self._done:
            return None
        self._buffer += data
        if self._buffer and self._buffer[0] != ERROR:
            self._done, self._buffer = True, b""
            raise ProtocolError("The gateway sent something that is no error packet.")
        if len(self._buffer) < ERROR_BYTES:
            return None
        _, status, identifier = _ERROR.unpack_from(self._buffer)
        self._done, self._buffer = True, b""
        return ErrorPacket(status, identifier)


class FeedbackReader:
    """Cuts the feedback service's stream into tuples.

    Any bytes are tuples; a token longer than any real one is given as it is.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def incomplete(self) -> bool:
        """Tell whether a tuple has begun and not ended."""
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> list[Feedback]:
        """Take bytes and give back the tuples that they complete."""
        buffer = self._buffer
        buffer += data
        tuples: list[Feedback] = []
        start = 0
        while len(buffer) - start >= _FEEDBACK.size:
            since, length = _FEEDBACK.unpack_from(buffer, start)
            end = start + _FEEDBACK.size + length
            if len(buffer) < end:
                break
            tuples.append(Feedback(since, bytes(buffer[end - length : end])))
            start = end
        del buffer[:start]
        return tuples


class NotificationReader:
    """Cuts a provider's stream into notifications, as a gateway does.

    Sizes of tokens and payloads are not judged here, a missing item is an empty one:
    a gateway has a status for each.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken = False

    @property
    def incomplete(self) -> bool:
        """Tell whether a notification has begun and not ended."""
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> list[Notification]:
        """Take bytes and give back the notifications that they complete.

        :raises ProtocolError: the stream cannot be read any further.  It is raised by
            the call after the one that gave the notifications before that place.
        """
        if self._broken:
            raise ProtocolError("The stream is broken.")
        buffer = self._buffer
        buffer += data
        found: list[Notification] = []
        start = 0
        try:
            while start < len(buffer):
                one, end = _notification(buffer, start)
                if one is None:
                    break
                found.append(one)
                start = end
        except ProtocolError:
            self._broken = True
            self._buffer = bytearray()
            if not found:
                raise
            return found
        del buffer[:start]
        return found


def _notification(buffer: bytearray, start: int) -> tuple[Notification | None, int]:
    """Read one at a place; ``None`` when it is not all there."""
    command = buffer[start]
    if command == FRAMED:
        return _framed(buffer, start)
    if command == SIMPLE:
        head = start + 1
        identifier, expiry = 0, None
    elif command == ENHANCED:
        head = start + 9
        if len(buffer) < head:
            return None, start
        identifier, expiry = _NUMBERS.unpack_from(buffer, start + 1)
    else:
        raise ProtocolError(f"There is no command {command}.")
    token, end = _field(buffer, head)
    if token is None:
        return None, start
    payload, end = _field(buffer, end)
    if payload is None:
        return None, start
    return Notification(token, payload, identifier, expiry, None, command), end


def _field(buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    """Read a length and so many bytes; ``None`` when they are not all there."""
    if len(buffer) < start + 2:
        return None, start
    (length,) = _LENGTH.unpack_from(buffer, start)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"A field of {length} bytes is above {MAX_FRAME_BYTES}.")
    end = start + 2 + length
    if len(buffer) < end:
        return None, start
    return bytes(buffer[start + 2 : end]), end


def _framed(buffer: bytearray, start: int) -> tuple[Notification | None, int]:
    at = start + _FRAME.size
    if len(buffer) < at:
        return None, start
    _, length = _FRAME.unpack_from(buffer, start)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"A frame of {length} bytes is above {MAX_FRAME_BYTES}.")
    end = at + length
    if len(buffer) < end:
        return None, start
    items: dict[int, bytes] = {}
    while at < end:
        if end - at < _ITEM.size:
            raise ProtocolError("A frame ends inside an item's head.")
        number, size = _ITEM.unpack_from(buffer, at)
        at += _ITEM.size
        if not _TOKEN <= number <= _PRIORITY or number in items:
            raise ProtocolError(f"Item {number} is unknown or there twice.")
        if at + size > end or size != _FIXED.get(number, size):
            raise ProtocolError(f"Item {number} has the wrong length {size}.")
        items[number] = bytes(buffer[at : at + size])
        at += size
    expiry, priority = items.get(_EXPIRY), items.get(_PRIORITY)
    return (
        Notification(
            items.get(_TOKEN, b""),
            items.get(_PAYLOAD, b""),
            int.from_bytes(items.get(_IDENTIFIER, b"")),
            None if expiry is None else int.from_bytes(expiry),
            None if priority is None else priority[0],
        ),
        end,
    )
