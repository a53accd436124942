"""Websocket frames as clients send them, right and wrong ones."""

from __future__ import annotations

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
MASK = bytes.fromhex("37fa213d")


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length: bytes | None = None,
) -> bytes:
    """Make a frame.

    :param reserved: RSV1 to RSV3 as they stand in byte 0, ``0x40`` for RSV1.
    :param mask: ``None`` leaves it out.
    :param length: the length field's bytes after the first, which then says 127 or 126
        by how many there are; for wrong and wasteful lengths.
    """
    first = (0x80 if fin else 0) | reserved | opcode
    size = len(payload)
    if length is not None:
        short = 127 if len(length) == 8 else 126
    elif size < 126:
        short, length = size, b""
    elif size < 0x10000:
        short, length = 126, size.to_bytes(2, "big")
    else:
        short, length = 127, size.to_bytes(8, "big")
    if mask is None:
        return bytes((first, short)) + length + payload
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((first, short | 0x80)) + length + mask + masked


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Make what a close frame carries."""
    return code.to_bytes(2, "big") + reason
