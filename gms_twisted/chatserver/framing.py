"""Bytes of a chat-server connection <-> packets.

A packet is 4 bytes length, unsigned, big endian, then so many bytes.  Length 0
is a keep-alive and carries nothing.  A length above 1 MiB breaks the rules, and
is noticed with its fourth byte, so a huge prefix costs no memory.

Knows: lengths.  Does not know: what is in a packet.
"""

from __future__ import annotations

from struct import Struct

from gms_twisted.chatserver.errors import PacketTooLarge, ProtocolError

MAX_FRAME_BYTES = 1024 * 1024
KEEP_ALIVE = b"\0\0\0\0"

_LENGTH = Struct(">I")


def frame(payload: bytes) -> bytes:
    """Put the length before a packet.

    :raises PacketTooLarge: it is above :data:`MAX_FRAME_BYTES`.
    """
    if len(payload) > MAX_FRAME_BYTES:
        raise PacketTooLarge(f"A packet of {len(payload)} bytes is above {MAX_FRAME_BYTES}.")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream into packets, however the network cut it before."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken = False

    @property
    def incomplete(self) -> bool:
        """Tell whether a packet has begun and not ended."""
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take bytes and give back the packets that they complete, keep-alives left out.

        :raises ProtocolError: a length is above the limit; nothing more is
            accepted then.  Packets completed before it by the same bytes are lost
            with the connection.
        """
        if self._broken:
            raise ProtocolError("The stream is broken.")
        buffer = self._buffer
        buffer += data
        packets: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME_BYTES:
                self._broken = True
                self._buffer = bytearray()
                raise ProtocolError(f"A packet of {length} bytes is above {MAX_FRAME_BYTES}.")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            if length:
                packets.append(bytes(buffer[start + _LENGTH.size : end]))
            start = end
        if start:
            del buffer[:start]
        return packets
