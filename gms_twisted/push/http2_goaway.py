"""Takes GOAWAY frames out of what an HTTP/2 server sends.

A server says with GOAWAY that it takes no new streams, and goes on to answer those up to
the last one it names.  The library ``h2`` closes its connection on that frame and refuses
the answers; so it does not get to see it, and the one who reads does what is due.

    frame   length:3 | type:1 | flags:1 | stream:4 | payload      type 7 on stream 0: GOAWAY
    GOAWAY  last stream:4 | error code:4 | data

Knows: where frames begin.  Does not know: what other frames mean, connections.

RFC: 9113, 4.1 and 6.8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_HEAD_BYTES = 9
_GOAWAY = 7
_MOST_BYTES = 16_384
_LAST_BIT = 0x7FFFFFFF


class FrameFault(Exception):
    """A frame is longer than we allow, or a GOAWAY too short or on a stream."""


@dataclass(frozen=True, slots=True)
class Goaway:
    """No new streams.

    :ivar last: the last stream that was or may be worked on.
    :ivar code: why; 0 means that nothing is wrong.
    :ivar data: for people, or JSON with a ``reason``.
    """

    last: int
    code: int
    data: bytes = field(repr=False)


class GoawayFilter:
    """Cuts a byte stream into what is for the library, and GOAWAY frames."""

    def __init__(self) -> None:
        self._head = b""
        self._passing = 0
        self._taking: bytearray | None = None
        self._wanted = 0

    def feed(self, data: bytes) -> list[bytes | Goaway]:
        """Cut what has come, in order; up to 8 bytes of a head stay until the next time.

        :raises FrameFault: the peer breaks the rules; nothing more may be fed.
        """
        pieces: list[bytes | Goaway] = []
        data = self._head + data if self._head else data
        self._head = b""
        size = len(data)
        at = begin = 0
        while at < size:
            if self._taking is not None:
                at = begin = self._take(data, at, pieces)
                continue
            if self._passing:
                step = min(self._passing, size - at)
                self._passing -= step
                at += step
                continue
            if size - at < _HEAD_BYTES:
                self._head = data[at:]
                break
            length = int.from_bytes(data[at : at + 3], "big")
            if length > _MOST_BYTES:
                # The library would wait for all of it before it looks.
                raise FrameFault(f"frame of {length} bytes")
            if data[at + 3] != _GOAWAY:
                self._passing = length + _HEAD_BYTES
                continue
            if at > begin:
                pieces.append(data[begin:at])
            if length < 8 or any(data[at + 5 : at + _HEAD_BYTES]):
                raise FrameFault(f"GOAWAY of {length} bytes")
            at = begin = at + _HEAD_BYTES
            self._taking, self._wanted = bytearray(), length
        if self._taking is None and at > begin:
            pieces.append(data[begin:at])
        return pieces

    def _take(self, data: bytes, at: int, pieces: list[bytes | Goaway]) -> int:
        """Take of a GOAWAY frame what is there."""
        assert self._taking is not None
        end = min(len(data), at + self._wanted - len(self._taking))
        self._taking += data[at:end]
        if len(self._taking) == self._wanted:
            taken, self._taking = bytes(self._taking), None
            last = int.from_bytes(taken[:4], "big") & _LAST_BIT
            pieces.append(Goaway(last, int.from_bytes(taken[4:8], "big"), taken[8:]))
        return end
