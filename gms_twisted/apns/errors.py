"""What can go wrong on the wire of the binary provider interface."""

from __future__ import annotations


class ProtocolError(Exception):
    """The other side broke the rules; the connection is of no use any more."""
