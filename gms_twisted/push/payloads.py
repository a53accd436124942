"""What goes to each gateway: an event and its options -> the body of a request.

A serialiser writes every body, so no text can break one; what is too long for a gateway
is refused with its size in bytes, never cut.  Options that cannot be read are left out
and named, for the log.

PURE.  Knows: bodies, formatting options, size limits.  Does not know: credentials, URLs,
answers.

Spec: Android Notification; HttpCallback Notification.  C2DM, GCM and FCM: "Send".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from gms_twisted.domain.errors import TooLarge

MAX_C2DM = 1024
MAX_GCM = 4096
MAX_FCM = 4096
"""Bytes of what the application gets: names and values."""

MAX_GCM_DEVICES = 1000
"""Registration ids of one request."""

MAX_COLLAPSE_KEY = 64
MAX_TIME_TO_LIVE = 2_419_200
"""Seconds: four weeks."""

_YES = frozenset(("true", "yes", "1", "on"))
_NO = frozenset(("false", "no", "0", "off"))
_PRIORITIES = frozenset(("normal", "high"))

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Json = Mapping[str, object]


class MessageTooBig(TooLarge):
    """The message is above what the gateway takes.

    :ivar size: bytes it has.
    :ivar limit: bytes it may have.
    """

    code = "gms.push.message_too_big"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The message has {size} bytes; at most {limit} are allowed.")
        self.size = size
        self.limit = limit


def clean(text: str) -> str:
    """Make a text that UTF-8 can hold: pairs of surrogates joined, single ones replaced."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _json(value: object) -> bytes:
    return _encode(value).encode("utf-8")


def text_body(message: str) -> bytes:
    """The body of a callback: the message and nothing else, in UTF-8."""
    return clean(message).encode("utf-8")


def custom_body(device_id: str, message: str) -> bytes:
    """The body for ``customhttp``: JSON with ``deviceId`` and ``message``."""
    return _json({"deviceId": clean(device_id), "message": clean(message)})


@dataclass(frozen=True, slots=True)
class AndroidOptions:
    """Formatting options ``android.*`` and ``fcm.*``, read.

    ``None`` and ``""`` mean: do not send.

    :ivar unreadable: names of options whose values are of no use.
    """

    collapse_key: str = ""
    delay_while_idle: bool | None = None
    time_to_live_s: int | None = None
    priority: str = ""
    package: str = ""
    dry_run: bool | None = None
    title: str = ""
    body: str = ""
    blocks: Mapping[str, Json] | None = None
    unreadable: tuple[str, ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, str]) -> AndroidOptions:
        """Read what an event's options say."""
        bad: list[str] = []
        blocks = {
            platform: block
            for platform in ("android", "apns", "webpush")
            if (block := _block(options, f"fcm.{platform}.json", bad)) is not None
        }
        priority = options.get("android.priority", "").strip().lower()
        if priority and priority not in _PRIORITIES:
            bad.append("android.priority")
            priority = ""
        return cls(
            collapse_key=clean(options.get("android.collapse_key", "")),
            delay_while_idle=_boolean(options, "android.delayWhileIdle", bad),
            time_to_live_s=_seconds(options, "android.timeToLive", bad),
            priority=priority,
            package=clean(options.get("android.restrictedPackageName", "")),
            dry_run=_boolean(options, "android.dryRun", bad),
            title=clean(options.get("fcm.title", "")),
            body=clean(options.get("fcm.body", "")),
            blocks=blocks or None,
            unreadable=tuple(bad),
        )


def _boolean(options: Mapping[str, str], name: str, bad: list[str]) -> bool | None:
    text = options.get(name, "").strip().lower()
    if text in _YES or text in _NO:
        return text in _YES
    if text and text != "none":
        bad.append(name)
    return None


def _seconds(options: Mapping[str, str], name: str, bad: list[str]) -> int | None:
    text = options.get(name, "").strip()
    if not text or text == "none":
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        bad.append(name)
        return None
    # A number outside a documented range counts as its nearest end.
    return min(max(int(text), 0), MAX_TIME_TO_LIVE)


def _block(options: Mapping[str, str], name: str, bad: list[str]) -> Json | None:
    text = options.get(name, "").strip()
    if not text:
        return None
    try:
        block = json.loads(clean(text), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        block = None
    if isinstance(block, dict):
        cleaned: object = json.loads(clean(_encode(block)))
        if isinstance(cleaned, dict):
            return cleaned
    bad.append(name)
    return None


def _no_constant(word: str) -> object:
    raise ValueError(word)


def collapse_key(options: AndroidOptions, tag: str) -> str:
    """The key that C2DM insists on: the option's, else the tag.

    Choice: a tag of more than 64 characters is given as the beginning of its SHA-256.
    """
    if options.collapse_key:
        return options.collapse_key
    if len(tag) <= MAX_COLLAPSE_KEY:
        return tag
    return hashlib.sha256(clean(tag).encode("utf-8")).hexdigest()[:32]


def c2dm_form(device_id: str, tag: str, message: str, options: AndroidOptions) -> bytes:
    """The body of a send to C2DM: a form.

    :raises MessageTooBig: name and value of ``data.message`` are above 1,024 bytes.
    """
    text = clean(message)
    _check(len(b"message") + len(text.encode("utf-8")), MAX_C2DM)
    fields = {
        "registration_id": clean(device_id),
        "collapse_key": collapse_key(options, tag),
        "data.message": text,
    }
    if options.delay_while_idle:
        # C2DM: its presence turns it on, whatever the value.
        fields["delay_while_idle"] = "1"
    return urlencode(fields).encode("ascii")


def gcm_template(message: str, options: AndroidOptions) -> bytes:
    """What a send to GCM holds besides its devices; equal for pushes that can go together.

    :raises MessageTooBig: the data is above 4,096 bytes.
    """
    text = clean(message)
    _check(len(b"message") + len(text.encode("utf-8")), MAX_GCM)
    body: dict[str, object] = {"data": {"message": text}}
    if options.collapse_key:
        body["collapse_key"] = options.collapse_key
    if options.time_to_live_s is not None:
        body["time_to_live"] = options.time_to_live_s
    if options.delay_while_idle is not None:
        body["delay_while_idle"] = options.delay_while_idle
    if options.package:
        body["restricted_package_name"] = options.package
    if options.dry_run is not None:
        body["dry_run"] = options.dry_run
    return _json(body)


def gcm_body(device_ids: Sequence[str], template: bytes) -> bytes:
    """The body of a send to GCM: a template, and up to 1,000 devices."""
    ids = _json([clean(one) for one in device_ids])
    return b'{"registration_ids":' + ids + b"," + template[1:]


def fcm_template(message: str, options: AndroidOptions) -> tuple[bytes, bytes]:
    """What surrounds the token in a send to FCM: the beginning and the end.

    :raises MessageTooBig: the message, its token aside, is above 4,096 bytes.
    """
    text = clean(message)
    content: dict[str, object] = {"data": {"message": text}}
    notification = {}
    if options.title:
        notification["title"] = options.title
    if options.body:
        notification["body"] = options.body.replace("${message}", text)
    if notification:
        content["notification"] = notification
    android: dict[str, object] = {}
    if options.collapse_key:
        android["collapse_key"] = options.collapse_key
    if options.priority:
        android["priority"] = options.priority.upper()
    if options.time_to_live_s is not None:
        android["ttl"] = f"{options.time_to_live_s}s"
    if options.package:
        android["restricted_package_name"] = options.package
    blocks = options.blocks or {}
    # Members of an operator's block count more than those made of the old attributes; FCM
    # reads them in either spelling, but not in both at once.
    if android or "android" in blocks:
        block = blocks.get("android", {})
        ours = {name: value for name, value in android.items() if _camel(name) not in block}
        content["android"] = {**ours, **block}
    for platform in ("apns", "webpush"):
        if platform in blocks:
            content[platform] = blocks[platform]
    written = _json(content)
    _check(len(written), MAX_FCM)
    first = (
        b'{"validate_only":true,"message":{"token":'
        if options.dry_run
        else (b'{"message":{"token":')
    )
    return first, b"," + written[1:] + b"}"


def fcm_body(device_id: str, template: tuple[bytes, bytes]) -> bytes:
    """The body of a send to FCM."""
    return template[0] + _json(clean(device_id)) + template[1]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise MessageTooBig(size, limit)
