"""Pushes for Apple devices, as tests need them."""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push

TOKEN = bytes(range(32))


def apple_push(
    message: str = "Agent Available",
    options: Mapping[str, str] | None = None,
    *,
    token: bytes = TOKEN,
    properties: Mapping[str, str] | None = None,
    loc_args: Mapping[str, str] | None = None,
    expires_at: float = 1_700_000_000.0,
    push_id: str = "e.s",
) -> Push:
    """Make one for a device."""
    return Push(
        push_id,
        "0" * 32,
        NotificationType.IOS,
        DeviceId(token.hex()),
        properties or {},
        "A2C.x",
        message,
        options or {},
        expires_at,
        loc_args=loc_args or {},
    )
