"""Reads and judges what the desk page sends.

Each helper takes the call's data and a member's name, and raises
:class:`gms_twisted.domain.errors.InvalidRequest` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import ChatSessionId

Data = Mapping[str, object]


def text_of(data: Data, name: str, limit: int = 256) -> str:
    """A text of at most ``limit`` characters."""
    value = data.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidRequest(f"{name}: text of at most {limit} characters.", name)
    return value


def chat_of(data: Data, name: str = "chat") -> ChatSessionId:
    """The id of a chat."""
    return ChatSessionId(text_of(data, name, 64))


def flag_of(data: Data, name: str) -> bool:
    """``true`` or ``false``."""
    value = data.get(name)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name}: true or false.", name)
    return value


def position_of(data: Data, name: str, default: int | None = None) -> int:
    """A transcript position."""
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise InvalidRequest(f"{name}: a position, 0 or more.", name)
    return value


def pushable_url(text: str, hosts: Sequence[str]) -> str:
    """A URL that may be pushed to a customer (hardening C09).

    :param hosts: allowed hosts, their subdomains included; ``*`` for all.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise InvalidRequest("url: not a URL.", "url") from error
    if parts.scheme not in ("http", "https") or not host or not url.isprintable():
        raise InvalidRequest("url: only http and https addresses can be pushed.", "url")
    if parts.username is not None or " " in url or "\\" in url:
        raise InvalidRequest("url: not a plain address.", "url")
    if "*" not in hosts and not any(
        host == one.lower() or host.endswith("." + one.lower()) for one in hosts
    ):
        raise InvalidRequest("url: this host is not in chat/push_url_hosts.", "url")
    return url
