"""Requests as bytes, for tests of the front door."""

from __future__ import annotations

HOST = b"Host: gms.example\r\n"
GET_HOT = b"GET /hot HTTP/1.1\r\n" + HOST + b"\r\n"
GET = b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n"

UPGRADE = (
    b"GET /hot HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT = b"\x81\x82\x00\x00\x00\x00hi"


def post(path: bytes, body: bytes, headers: bytes = b"") -> bytes:
    """Make a POST of a form, or of what ``headers`` say."""
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
        path,
        HOST,
        len(body),
        headers or b"Content-Type: application/x-www-form-urlencoded\r\n",
        body,
    )
