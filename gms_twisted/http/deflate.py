"""``permessage-deflate`` (RFC 7692), each message on its own.

PURE.  Both sides give up context between messages.  So a connection keeps no
compressor between its messages, and a message for many is compressed once: the same
bytes go to every client with the same agreement.

Knows: the extension's parameters, bounded inflating (hardening W02).  Does not know:
frames other than the one it makes, connections.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"
_AFTER_LAST_BLOCK = (b"", _TAIL, b"\x00" + _TAIL)
_MAX_BITS = 15
_MIN_BITS = 9  # zlib does not write raw streams with a window of 256 bytes


class TooMuch(Exception):
    """A message inflates above its limit."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was negotiated.

    :ivar window_bits: size of our compressor's window, as a power of two; 9 to 15.
    :ivar window_asked: the client asked for that size, so the answer repeats it.
    """

    window_bits: int = _MAX_BITS
    window_asked: bool = False

    def answer(self) -> str:
        """Value of our ``Sec-WebSocket-Extensions``."""
        text = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
        if self.window_asked:
            text += f"; server_max_window_bits={self.window_bits}"
        return text

    def deflate(self, payload: bytes) -> bytes:
        """Compress a message; its frame has RSV1 set."""
        compressor = zlib.compressobj(wbits=-self.window_bits)
        return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def negotiate(lines: Iterable[bytes]) -> Agreement | None:
    """Take the first offer that we can keep; ``None`` when there is none.

    :param lines: the values of ``Sec-WebSocket-Extensions``.  Other extensions, and
        offers with parameters unknown, given twice or out of range, are passed over.
    """
    for line in lines:
        for offer in line.decode("latin-1").split(","):
            name, *parameters = (part.strip() for part in offer.split(";"))
            if name.lower() == NAME:
                agreement = _agree(parameters)
                if agreement is not None:
                    return agreement
    return None


def _agree(parameters: list[str]) -> Agreement | None:
    pairs = [parameter.partition("=") for parameter in parameters]
    named = {name.strip().lower(): (equals, value.strip(' "')) for name, equals, value in pairs}
    if len(named) != len(pairs):
        return None
    bits = _MAX_BITS
    for name, (equals, value) in named.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if equals:
                return None
        elif name == "client_max_window_bits":
            # We inflate with the largest window, which reads all smaller ones.
            if equals and value not in _BITS:
                return None
        elif name == "server_max_window_bits":
            if value not in _BITS or int(value) < _MIN_BITS:
                return None
            bits = int(value)
        else:
            return None
    return Agreement(bits, "server_max_window_bits" in named)


_BITS = frozenset(str(bits) for bits in range(8, _MAX_BITS + 1))


class Inflater:
    """Inflates one message, piece by piece."""

    __slots__ = ("_zlib",)

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-_MAX_BITS)

    def inflate(self, data: bytes, final: bool, room: int) -> bytes:
        """Inflate a piece of at most ``room`` bytes; never makes more than one above it.

        :param final: the message ends with this piece.
        :raises TooMuch: there is more than ``room`` in it.
        :raises ValueError: it is not deflated data, or goes on after its last block.
        """
        if final:
            data += _TAIL
        try:
            piece = self._zlib.decompress(data, room + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(piece) > room:
            raise TooMuch
        if self._zlib.eof and self._zlib.unused_data not in _AFTER_LAST_BLOCK:
            raise ValueError("data after the last block")
        return piece
