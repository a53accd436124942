"""What can go wrong on a chat-server connection.

:class:`ProtocolError` and its kinds: the peer broke the rules.
:class:`IllegalMove`: a request that is well-formed comes at the wrong moment.
:class:`PacketTooLarge`: we tried to.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Error codes of an answer (chat server: requests and answers)."""

    MALFORMED = 1
    UNSUPPORTED_VERSION = 2
    UNKNOWN_USER = 3
    UNKNOWN_SESSION = 4
    SESSION_CLOSED = 5
    UNKNOWN_QUEUE = 6
    LIMIT_REACHED = 7
    INTERNAL = 8


class ProtocolError(Exception):
    """The peer broke the rules; the connection must be closed."""


class BadRequest(ProtocolError):
    """A packet is well-formed but wrong, and can be answered.

    :ivar ref: the request's number, for the answer; the connection may go on.
    """

    def __init__(self, message: str, ref: int) -> None:
        super().__init__(message)
        self.ref = ref


class IllegalMove(Exception):
    """A request comes when it is not legal.

    :ivar code: how to answer it.
    """

    def __init__(self, message: str, code: ErrorCode) -> None:
        super().__init__(message)
        self.code = code


class PacketTooLarge(Exception):
    """A packet of ours would be above :data:`gms_twisted.chatserver.framing.MAX_FRAME_BYTES`."""
