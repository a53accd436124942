"""Who may do what: the policy for everything, authorizers for single channels.

A decision is ``True``, ``False``, or a reason of one word, which becomes the middle
of the error: ``403:<reason>:publish_denied``.  A policy may take its time and return
an awaitable; what can decide at once should, since nothing is faster.

Knows: sessions, channels, decisions.  Does not know: what is done about them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Protocol

from gms_twisted.bayeux.channels import META, SERVICE, ChannelName, Channels
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.session import Session

Decision = bool | str
Decided = Decision | Awaitable[Decision]

BY_POLICY = "denied_by_security_policy"
BY_NOBODY = "denied_by_not_granting"


class Operation(Enum):
    """What an authorizer is asked about."""

    CREATE = "create"
    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"


Authorizer = Callable[[Operation, Session, ChannelName], "bool | str | None"]
"""Grants with ``True``, denies with ``False`` or a reason, ignores with ``None``."""


class Policy(Protocol):
    """Decides about every handshake, creation, subscription and publication.

    ``reply`` is the beginning of the reply: what a policy puts there as ``advice``
    and ``ext`` goes out with a refusal.  An exception counts as ``False``.
    """

    def can_handshake(self, session: Session, message: Message, reply: Message) -> Decided:
        """Decide about a handshake; the session is new and not known to anybody yet."""

    def can_create(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Decide whether a channel that does not exist may be made for a client."""

    def can_subscribe(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Decide about a subscription."""

    def can_publish(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Decide about a publication."""


class ClientRules:
    """The policy for clients: what is closed, and what is open.

    :param listed: the only channels that clients may use besides ``/service/``;
        patterns are refused then.  ``None``: any.
    :param closed: clients publish neither to these nor below.
    """

    def __init__(
        self, listed: Iterable[str] | None = None, closed: Iterable[str] = ("/_genesys",)
    ) -> None:
        self._listed = None if listed is None else frozenset(listed)
        self._closed = tuple(closed)
        self._below = tuple(name + "/" for name in self._closed)

    def can_handshake(self, session: Session, message: Message, reply: Message) -> Decided:
        """Anybody may."""
        return True

    def can_create(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """What may be used may be made."""
        return self._may_use(channel)

    def can_subscribe(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """What may be used may be subscribed to."""
        return self._may_use(channel)

    def can_publish(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """What may be used and is not closed may be published to."""
        text = channel.text
        if text in self._closed or text.startswith(self._below):
            return False
        return self._may_use(channel)

    def _may_use(self, channel: ChannelName) -> bool:
        if channel.kind is META or channel.template:
            return False
        if self._listed is None or channel.kind is SERVICE:
            return True
        return not channel.wild and channel.text in self._listed


def authorize(
    channels: Channels, operation: Operation, session: Session, name: ChannelName
) -> Decision:
    """Ask the authorizers on a channel and on every pattern that covers it.

    None at all: granted.  Any that denies: denied.  Else one must grant.
    """
    asked = granted = False
    for channel in channels.concerned(name):
        for authorizer in channel.authorizers:
            asked = True
            verdict = authorizer(operation, session, name)
            if verdict is not None and verdict is not True:
                return verdict
            granted = granted or verdict is True
    return granted or not asked or BY_NOBODY
