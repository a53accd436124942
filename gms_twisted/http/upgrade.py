"""From HTTP to a websocket (RFC 6455, chapter 4): is the request in order, and the 101.

PURE.  Knows: the headers of an upgrade.  Does not know: which paths, origins and
callers are welcome, or what follows (``websocket.py``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.http.interfaces import Head, Refusal

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes) -> bytes:
    """Value of ``Sec-WebSocket-Accept`` for a client's ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def wants_websocket(head: Head) -> bool:
    """Tell whether a request asks to become a websocket."""
    return b"websocket" in _tokens(head, b"upgrade")


def check_upgrade(head: Head) -> Refusal | None:
    """Judge the form of an upgrade (RFC 6455, 4.2.1); ``None`` when it may go on.

    A wrong version is answered 426 with the one we speak, all else 400.  Whether the
    path, the origin and the caller are welcome is judged elsewhere.
    """
    if head.method != b"GET" or head.version < (1, 1):
        return _refused("A websocket opens with GET in HTTP/1.1.")
    if head.has_body:
        return _refused("An upgrade to a websocket has no body.", close=True)
    if b"websocket" not in _tokens(head, b"upgrade"):
        return _refused("The header Upgrade does not say websocket.")
    if b"upgrade" not in _tokens(head, b"connection"):
        return _refused("The header Connection does not say Upgrade.")
    if head.headers.get(b"sec-websocket-version") != (b"13",):
        return Refusal(
            426,
            "This server speaks version 13 of the websocket protocol.",
            "gms.websocket_version",
            (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
        )
    if not _key_valid(head.headers.get(b"sec-websocket-key", ())):
        return _refused("The header Sec-WebSocket-Key is not 16 bytes in base64, given once.")
    return None


def offered_protocols(head: Head) -> tuple[str, ...]:
    """List the subprotocols that a client offers, the ones it likes better first."""
    lines = head.headers.get(b"sec-websocket-protocol", ())
    names = (name.strip() for line in lines for name in line.decode("latin-1").split(","))
    return tuple(name for name in names if name)


def upgrade_response(
    head: Head,
    protocol: str | None = None,
    extensions: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """Write the 101 to a request that :func:`check_upgrade` let pass.

    :param protocol: the subprotocol selected, one of :func:`offered_protocols`.
    :param extensions: value of ``Sec-WebSocket-Extensions``, from ``deflate.negotiate``.
    :param headers: further lines.
    """
    key = head.header(b"sec-websocket-key") or b""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key).decode('ascii')}",
    ]
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    if extensions:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _tokens(head: Head, name: bytes) -> list[bytes]:
    lines = head.headers.get(name, ())
    return [token.strip().lower() for line in lines for token in line.split(b",")]


def _key_valid(keys: tuple[bytes, ...]) -> bool:
    if len(keys) != 1 or len(keys[0]) != 24:
        return False
    try:
        return len(base64.b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        return False


def _refused(message: str, close: bool = False) -> Refusal:
    return Refusal(400, message, InvalidRequest.code, close=close)
