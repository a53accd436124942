"""Names of the sections that configure push: whose they are, and for which events.

::

    push                                 general, and the default provider
    push.provider.event[.TAG]            events, whoever the provider
    push.provider.NAME                   a provider
    push.provider.NAME.event[.TAG]       events of a provider

So no provider can be called ``event``, and none has a dot in its name.

Spec: Push Notification Service, "Providers".

PURE.  Knows: names.  Does not know: options.
"""

from __future__ import annotations

from dataclasses import dataclass

PUSH = "push"
PROVIDER = "push.provider."
_EVENT = "event"


@dataclass(frozen=True, slots=True)
class PushSection:
    """What a section's name says.

    :ivar provider: ``""`` for all of them, or for the default one.
    :ivar event: ``None`` when it is not about events; else the beginning of the tags
        meant, ``""`` for all tags.
    """

    provider: str
    event: str | None


def parse_push_section(name: str) -> PushSection | None:
    """Read a section's name; ``None`` when it is none of push."""
    if name == PUSH:
        return PushSection("", None)
    if not name.startswith(PROVIDER):
        return None
    rest = name[len(PROVIDER) :]
    first, dot, more = rest.partition(".")
    if first == _EVENT:
        return _events("", dot, more)
    if not dot:
        return PushSection(first, None) if first else None
    word, dot, more = more.partition(".")
    return _events(first, dot, more) if first and word == _EVENT else None


def _events(provider: str, dot: str, tag: str) -> PushSection | None:
    return None if dot and not tag else PushSection(provider, tag)


def is_provider_name(name: str) -> bool:
    """Tell whether a provider may be called that."""
    return bool(name) and name != _EVENT and "." not in name
