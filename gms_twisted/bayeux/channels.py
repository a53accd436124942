"""Channel names and the channels that exist.

A name is ``/`` and segments.  ``*`` as the last segment stands for exactly one
segment, ``**`` for one or more, and ``{name}`` binds a parameter on the server's
side only.  What concerns a channel is found by a look-up of each pattern that can
match it, root first (``/**``, ``/a/**``, ``/a/*``, ``/a/b``), so publishing costs
the same however many other channels there are.

Knows: names, who subscribes to which, when a channel may be forgotten.
Does not know: messages, queues, clients.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gms_twisted.bayeux.authority import Authorizer
    from gms_twisted.bayeux.session import Session

_CHARACTERS = re.compile(r"/[A-Za-z0-9 !#$()*+\-./@_{}~]+\Z")
_MEMO_SIZE = 4096
_MEMO_LENGTH = 128
_MEMO_SEGMENTS = 16
IDLE_PASSES = 3
"""A channel that nobody uses is removed after so many sweeps in a row."""
MAX_CHANNELS = 100_000
"""Most channels at a time; each has a name of at most ``maxChannelName`` bytes."""


class Kind(Enum):
    """What becomes of a message published to a channel."""

    META = "meta"
    SERVICE = "service"
    BROADCAST = "broadcast"


META, SERVICE, BROADCAST = Kind.META, Kind.SERVICE, Kind.BROADCAST
"""For code that every message goes through: to look a member up in its enumeration costs
0.2 us in Python 3.11, and a publish did so four times."""


class ChannelName:
    """A valid name, taken apart once.

    :ivar text: without a trailing slash: ``/a/`` and ``/a`` are one channel.
    :ivar wild: 0, or how many stars its last segment is.
    :ivar template: has a segment ``{name}``.
    :ivar publishable: names one channel.
    :ivar patterns: every name whose subscribers a message to this one concerns,
        root first, itself last; of a pattern only itself.
    """

    __slots__ = ("kind", "patterns", "publishable", "template", "text", "wild")

    def __init__(self, text: str, segments: list[str]) -> None:
        self.text = text
        last = segments[-1]
        self.wild = len(last) if last in ("*", "**") else 0
        self.template = any(_is_parameter(segment) for segment in segments)
        self.publishable = not self.wild and not self.template
        first = segments[0]
        if first == "meta":
            self.kind = META
        elif first == "service":
            self.kind = SERVICE
        else:
            self.kind = BROADCAST
        self.patterns = _patterns(text, segments) if self.publishable else (text,)


def _is_parameter(segment: str) -> bool:
    return len(segment) > 2 and segment[0] == "{" and segment[-1] == "}"


def _patterns(text: str, segments: list[str]) -> tuple[str, ...]:
    patterns, prefix = ["/**"], ""
    for segment in segments[:-1]:
        prefix += "/" + segment
        patterns.append(prefix + "/**")
    patterns.append(prefix + "/*")
    patterns.append(text)
    return tuple(patterns)


def parse_name(text: str) -> ChannelName | None:
    """Take a name apart; ``None`` when it breaks the grammar.  Bayeux: Channels."""
    if _CHARACTERS.match(text) is None:
        return None
    name = text[:-1] if text[-1] == "/" else text
    segments = name[1:].split("/")
    for segment in segments:
        if not segment.strip(" "):
            return None
    if any(segment in ("*", "**") for segment in segments[:-1]):
        return None
    made = ChannelName(name, segments)
    return None if made.wild and made.template else made


class Names:
    """:func:`parse_name` with a bounded memory of what clients repeat.

    :param max_length: most characters of a name.
    """

    __slots__ = ("_known", "_max_length")

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._known: dict[str, ChannelName] = {}

    def parse(self, text: str) -> ChannelName | None:
        """Take a name apart, ``None`` when it is invalid or too long."""
        known = self._known.get(text)
        if known is not None:
            return known
        if len(text) > self._max_length:
            return None
        name = parse_name(text)
        if name is not None and len(text) <= _MEMO_LENGTH and len(name.patterns) <= _MEMO_SEGMENTS:
            if len(self._known) >= _MEMO_SIZE:
                self._known.clear()
            self._known[text] = name
        return name


def matches(pattern: str, channel: str) -> bool:
    """Tell whether subscribers of a pattern get what is published to a channel.

    Neither is checked; the channel must be a broadcast channel for the answer to
    mean a delivery.
    """
    if pattern == channel:
        return True
    stem, slash, stars = pattern.rpartition("/")
    if stars not in ("*", "**") or channel.endswith(("/*", "/**")):
        return False
    if not channel.startswith(stem + slash):
        return False
    return stars == "**" or "/" not in channel[len(stem) + 1 :]


Listener = Callable[["Session | None", dict[str, object]], "bool | None"]
"""Sees a message on its way into a channel; ``False`` stops it."""


class Channel:
    """A channel or pattern that exists.

    :ivar subscribers: sessions in order of subscription (the values mean nothing).
    :ivar persistent: never removed by the sweep.
    :ivar lazy: messages to it wait for other traffic; of a pattern: to what it matches.
    :ivar lazy_timeout_s: longest wait of such a message, ``None``: the server's.
    :ivar broadcast_to_publisher: overrides the server's choice unless ``None``.
    :ivar open_by: the rules that let any client publish to it, once they have been asked.
    """

    __slots__ = (
        "authorizers",
        "broadcast_to_publisher",
        "idle_passes",
        "lazy",
        "lazy_timeout_s",
        "listeners",
        "name",
        "open_by",
        "persistent",
        "subscribers",
    )

    def __init__(self, name: ChannelName) -> None:
        self.name = name
        self.subscribers: dict[Session, None] = {}
        self.listeners: list[Listener] = []
        self.authorizers: list[Authorizer] = []
        self.persistent = name.kind is not BROADCAST
        self.lazy = False
        self.lazy_timeout_s: float | None = None
        self.broadcast_to_publisher: bool | None = None
        self.open_by: object = None
        self.idle_passes = 0

    @property
    def in_use(self) -> bool:
        """Tell whether the sweep must leave it."""
        return bool(self.persistent or self.subscribers or self.listeners or self.authorizers)


class Channels:
    """All channels that exist."""

    __slots__ = ("_by_name", "_idle")

    def __init__(self) -> None:
        self._by_name: dict[str, Channel] = {}
        self._idle: dict[str, Channel] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def full(self) -> bool:
        """Tell whether no more channels may be made."""
        return len(self._by_name) >= MAX_CHANNELS

    def get(self, name: str) -> Channel | None:
        """Look for a channel by its normal name."""
        return self._by_name.get(name)

    def make(self, name: ChannelName) -> Channel:
        """Return the channel, made when it does not exist."""
        channel = self._by_name.get(name.text)
        if channel is None:
            channel = self._by_name[name.text] = Channel(name)
            if not channel.persistent:
                self._idle[name.text] = channel
        return channel

    def concerned(self, name: ChannelName) -> list[Channel]:
        """List the existing channels whose patterns match, root first."""
        get = self._by_name.get
        return [channel for pattern in name.patterns if (channel := get(pattern)) is not None]

    def used(self, channel: Channel) -> None:
        """Note that a channel has been published or subscribed to."""
        channel.idle_passes = 0

    def left(self, channel: Channel) -> None:
        """Note that a channel lost a subscriber, listener or authorizer."""
        if not channel.in_use:
            channel.idle_passes = 0
            self._idle[channel.name.text] = channel

    def sweep(self) -> int:
        """Count a pass; remove what nobody used for three.  Returns how many went."""
        gone = 0
        for text, channel in list(self._idle.items()):
            if channel.in_use:
                del self._idle[text]
                continue
            channel.idle_passes += 1
            if channel.idle_passes >= IDLE_PASSES:
                del self._idle[text]
                del self._by_name[text]
                gone += 1
        return gone
