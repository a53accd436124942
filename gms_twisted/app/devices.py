"""What a ``deviceId`` must look like, by the way in which the device is reached.

Devices are compared by the normal form that :func:`check_device` returns: two spellings
of one token are one device.

Spec: Notification API, "deviceId"; Push Notification Service.

Knows: forms.  Does not know: whether a URL may be asked (the outgoing gate judges that),
elliptic curves, which devices there are.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from gms_twisted.app.push_credentials import Transport
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType

MAX_CHARACTERS = 4096
MAX_SESSION_ID_CHARACTERS = 256

DEVICE_ID = "notificationDetails.deviceId"
PROPERTIES = "notificationDetails.properties"

_APNS_DIGITS = 64
_MAX_APNS2_DIGITS = 200
_POINT_BYTES = 65
_UNCOMPRESSED = 4
_AUTH_BYTES = 16
_MAX_HOST = 253

_HEX = re.compile("[0-9a-f]+")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_ADDRESS6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]")
_PATH = "/:?#[]@!$&'()*+,;=%~"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")

ValidPoint = Callable[[bytes], bool]
"""Tells whether 65 bytes, the first a 4, are a point on the curve P-256."""


def check_device(
    notification_type: NotificationType,
    device_id: object,
    properties: Mapping[str, str],
    transport: Transport,
    valid_point: ValidPoint,
) -> DeviceId:
    """Take a ``deviceId`` as a client sent it, in its normal form.

    - APNs: lower-case hexadecimal digits.
    - Callbacks: a URL in ASCII.
    - Web Push: ``{"endpoint":...,"keys":{"auth":...,"p256dh":...}}``, compact, whether it
      came so or in pieces.
    - ``comet``: ``""``; the user is the device, and what a client says is not looked at.
    - Others: as it came, blanks around it aside.

    :param device_id: a value of any JSON type.
    :param properties: of the subscription, ``p256dh`` and ``auth`` among them.
    :raises InvalidRequest: it cannot be one; the parameter is named.
    """
    if transport is Transport.COMET:
        return DeviceId("")
    if device_id is None:
        raise InvalidRequest(f"{DEVICE_ID} is missing.", DEVICE_ID)
    if not isinstance(device_id, str):
        raise InvalidRequest(f"{DEVICE_ID} must be a string.", DEVICE_ID)
    # The reference's own example has a blank before the URL.
    text = device_id.strip()
    if not text:
        raise InvalidRequest(f"{DEVICE_ID} is missing.", DEVICE_ID)
    if len(text) > MAX_CHARACTERS:
        raise _refused(f"is longer than {MAX_CHARACTERS} characters")
    if notification_type is NotificationType.IOS:
        return _apns(text, transport)
    if transport is Transport.HTTPCB:
        return DeviceId(_url(text, DEVICE_ID, ("http", "https")))
    if transport is Transport.ORSCB:
        return _session_id(text)
    if transport is Transport.WEBPUSH:
        return _browser(text, properties, valid_point)
    if not text.isprintable() or any(map(str.isspace, text)):
        raise _refused("has blanks or control characters")
    return DeviceId(text)


def _refused(why: str, parameter: str = DEVICE_ID) -> InvalidRequest:
    return InvalidRequest(f"{parameter} {why}.", parameter)


def _apns(text: str, transport: Transport) -> DeviceId:
    digits = "".join(text.translate({ord("<"): None, ord(">"): None}).split()).lower()
    longer = transport is Transport.APNS2 and len(digits) % 2 == 0
    high = _MAX_APNS2_DIGITS if longer else _APNS_DIGITS
    if not _HEX.fullmatch(digits) or not _APNS_DIGITS <= len(digits) <= high:
        raise _refused(f"is not a device token of {_APNS_DIGITS} hexadecimal digits")
    return DeviceId(digits)


def _session_id(text: str) -> DeviceId:
    # It becomes one segment of a path, where these two would mean others.
    if text in (".", "..") or len(text) > MAX_SESSION_ID_CHARACTERS or not text.isprintable():
        raise _refused("is not the id of an orchestration session")
    return DeviceId(text)


def _url(text: str, parameter: str, schemes: tuple[str, ...]) -> str:
    """Check a URL's syntax; returns it in ASCII, its host in lower case."""
    said = " or ".join(f"{scheme}://" for scheme in schemes)
    if not text.isprintable() or any(map(str.isspace, text)) or "\\" in text:
        raise _refused("is a URL with blanks, backslashes or control characters", parameter)
    if "#" in text:
        raise _refused("is a URL with a fragment", parameter)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _refused("is not a URL", parameter) from None
    if parts.scheme not in schemes or not text[len(parts.scheme) :].startswith("://"):
        raise _refused(f"is not a URL with {said}", parameter)
    if "@" in parts.netloc:
        raise _refused("is a URL with a user's name", parameter)
    # urlsplit reads a port that is not there, and digits of other scripts, as none.
    written = re.fullmatch(r"(.*?)(?::([0-9]{1,5}))?", parts.netloc)
    if written is None or (port is None) != (written[2] is None) or port == 0:
        raise _refused("is a URL with a bad port", parameter)
    host = _host(written[1], parameter)
    shown_port = f":{port}" if port is not None else ""
    path = quote(parts.path or "/", safe=_PATH)
    query = f"?{quote(parts.query, safe=_PATH)}" if parts.query else ""
    url = f"{parts.scheme}://{host}{shown_port}{path}{query}"
    if len(url) > MAX_CHARACTERS:
        raise _refused(f"is longer than {MAX_CHARACTERS} characters", parameter)
    return url


def _host(text: str, parameter: str) -> str:
    if _ADDRESS6.fullmatch(text):
        return text.lower()
    host = text
    try:
        if not text.isascii() and len(text) <= _MAX_HOST:
            host = text.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    labels = host.removesuffix(".").split(".")
    if len(host) > _MAX_HOST or not all(
        len(label) < 64 and _HOST.fullmatch(label) for label in labels
    ):
        raise _refused("is a URL without a valid host", parameter)
    return host.lower()


def _browser(text: str, properties: Mapping[str, str], valid_point: ValidPoint) -> DeviceId:
    if text.startswith("{"):
        subscription = _subscription(text)
        endpoint, keys = subscription.get("endpoint"), subscription.get("keys")
        where, names = DEVICE_ID, f"{DEVICE_ID}.keys"
        if not isinstance(endpoint, str) or not isinstance(keys, dict):
            raise _refused("is not a PushSubscription with endpoint and keys")
    else:
        endpoint, keys = text, properties
        where, names = DEVICE_ID, PROPERTIES
    url = _url(endpoint.strip(), where, ("https",))
    point = _decoded(keys.get("p256dh"), f"{names}.p256dh", _POINT_BYTES)
    auth = _decoded(keys.get("auth"), f"{names}.auth", _AUTH_BYTES)
    if point[0] != _UNCOMPRESSED or not valid_point(point):
        raise _refused("is not a public key on P-256", f"{names}.p256dh")
    normal = {"endpoint": url, "keys": {"auth": _encoded(auth), "p256dh": _encoded(point)}}
    return DeviceId(json.dumps(normal, separators=(",", ":")))


def _subscription(text: str) -> dict[str, object]:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _refused("is not a JSON object in which each name stands once") from None
    assert isinstance(found, dict)
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def _decoded(value: object, parameter: str, length: int) -> bytes:
    if value is None or value == "":
        raise InvalidRequest(f"{parameter} is missing.", parameter)
    data = b""
    if isinstance(value, str) and _BASE64URL.fullmatch(value.strip()):
        text = value.strip().rstrip("=")
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            data = b""
    if len(data) != length:
        raise _refused(f"is not {length} bytes in base64url", parameter)
    return data


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
