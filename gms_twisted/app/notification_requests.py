"""An event as a client publishes it: JSON -> checked values.

Spec: Notification API, "event".  Knows: members.  Does not know: who subscribes, languages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from gms_twisted.app.localization import Arguments, check_arguments
from gms_twisted.app.subscription_requests import (
    DEVICE,
    Target,
    details_of,
    object_of,
    read_provider,
    read_target,
)
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.tags import check_tag

# The reference spells it both ways.
_LOCALIZED = {"localizestring", "localizedstring"}


@dataclass(frozen=True, slots=True)
class Event:
    """What is published.

    :ivar message: text, or a message's id when ``localized``; never looked into.
    :ivar arguments: for a localized text.
    :ivar provider: directed: whose credentials; else: only subscriptions of this provider.
    :ivar target: the one device that is meant; ``None``: whoever subscribes.
    :ivar hops: how many events in a row led to this one.
    """

    tag: str
    message: str = field(default="", repr=False)
    localized: bool = False
    arguments: Arguments = field(default_factory=Arguments, repr=False)
    provider: str = ""
    target: Target | None = None
    hops: int = 0


def read_event(document: object, options: PushOptions, hops: int = 0) -> Event:
    """Take a request's body apart.

    :raises InvalidRequest: something is missing or wrong; names the member.
    """
    members = object_of(document)
    tag = check_tag(members.get("tag"), "tag", allow_hyphen=options.tags_allow_hyphen)
    details = details_of(members)
    target = None
    if details is not None:
        target = read_target(details)
        if not target.device:
            raise InvalidRequest(f"{DEVICE} is missing.", DEVICE)
    return Event(
        tag=tag,
        message=_message(members.get("message")),
        localized=_is_localized(members.get("mediaType")),
        arguments=check_arguments(members.get("locArgs")),
        provider=read_provider(members),
        target=target,
        hops=hops,
    )


def _message(value: object) -> str:
    """Spec: "it ALWAYS interprets message as String"."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _is_localized(value: object) -> bool:
    if value is None or value == "string":
        return False
    if isinstance(value, str) and value in _LOCALIZED:
        return True
    raise InvalidRequest("mediaType must be string or localizestring.", "mediaType")
