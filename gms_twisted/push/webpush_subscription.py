"""Where a browser can be reached, and with which keys messages to it are locked.

    {"endpoint": "https://...", "keys": {"p256dh": "...", "auth": "..."}}

That is a browser's PushSubscription as JSON text; or the endpoint is the device's id and
the keys are properties of the subscription.

Knows: what a subscription must hold.  Does not know: which hosts may be asked.

RFC: 8291, 3.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from gms_twisted.domain.errors import InvalidRequest

MAX_TEXT = 4096
POINT_BYTES = 65
AUTH_BYTES = 16


@dataclass(frozen=True, slots=True)
class BrowserSubscription:
    """One browser.

    :ivar origin: of the endpoint, ``https://host`` or ``https://host:port``.
    :ivar expires_at: Unix seconds, ``None`` when the browser does not say.
    """

    endpoint: str = field(repr=False)
    origin: str
    host: str
    port: int
    key: EllipticCurvePublicKey = field(repr=False)
    auth: bytes = field(repr=False)
    expires_at: float | None


def read_subscription(device_id: str, properties: Mapping[str, str]) -> BrowserSubscription:
    """Read a device's id and properties.

    :raises InvalidRequest: something is missing or not what it must be.
    """
    if len(device_id) > MAX_TEXT:
        raise InvalidRequest(f"deviceId is longer than {MAX_TEXT} characters.", "deviceId")
    expires_at = None
    if device_id.lstrip().startswith("{"):
        endpoint, p256dh, auth, expires_at = _from_json(device_id)
    else:
        endpoint = device_id.strip()
        p256dh, auth = properties.get("p256dh", ""), properties.get("auth", "")
    origin, host, port = _origin(endpoint)
    return BrowserSubscription(
        endpoint=endpoint,
        origin=origin,
        host=host,
        port=port,
        key=_point(_decoded("p256dh", p256dh, POINT_BYTES)),
        auth=_decoded("auth", auth, AUTH_BYTES),
        expires_at=expires_at,
    )


def _from_json(text: str) -> tuple[str, str, str, float | None]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("deviceId is no PushSubscription in JSON.", "deviceId") from error
    keys = found.get("keys")
    endpoint = found.get("endpoint")
    if not isinstance(endpoint, str) or not isinstance(keys, dict):
        raise InvalidRequest("deviceId must have the members endpoint and keys.", "deviceId")
    expires = found.get("expirationTime")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int | float)):
        raise InvalidRequest("expirationTime must be a number or null.", "expirationTime")
    p256dh, auth = (keys.get(name, "") for name in ("p256dh", "auth"))
    for name, value in (("p256dh", p256dh), ("auth", auth)):
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a text.", name)
    # Browsers count milliseconds.
    return endpoint, p256dh, auth, None if expires is None else expires / 1000.0


def _origin(endpoint: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest("The endpoint is no URL.", "deviceId") from error
    host = parts.hostname or ""
    if (
        parts.scheme != "https"
        or not host
        or parts.username is not None
        or "#" in endpoint
        or not (endpoint.isascii() and endpoint.isprintable())
        or " " in endpoint
    ):
        raise InvalidRequest("The endpoint must be a https URL.", "deviceId")
    named = f"[{host}]" if ":" in host else host
    if port in (None, 443):
        return f"https://{named}", host, 443
    return f"https://{named}:{port}", host, port or 0


def _decoded(name: str, text: str, length: int) -> bytes:
    """Read base64url; some clients pad it, or use the other alphabet."""
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    if not plain:
        raise InvalidRequest(f"{name} is missing.", name)
    data = b""
    if len(plain) <= 2 * length and all(one.isalnum() or one in "-_" for one in plain):
        try:
            data = urlsafe_b64decode(plain.encode("ascii") + b"=" * (-len(plain) % 4))
        except (NotBase64, UnicodeEncodeError):
            data = b""
    if len(data) != length:
        raise InvalidRequest(f"{name} must be {length} bytes in base64url.", name)
    return data


def _point(data: bytes) -> EllipticCurvePublicKey:
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError as error:
        raise InvalidRequest("p256dh is no point of the curve P-256.", "p256dh") from error
