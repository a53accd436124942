"""Publishing: from one client, or the application, to everybody concerned.

Knows: who gets a message.  Does not know: how it reaches them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gms_twisted.bayeux.authority import Decided, Decision, Operation
from gms_twisted.bayeux.channels import BROADCAST, SERVICE, Channel, ChannelName
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.exchange import Exchange, Handling
from gms_twisted.bayeux.messages import Error, delivery
from gms_twisted.bayeux.meta import reason_of
from gms_twisted.bayeux.session import Session

if TYPE_CHECKING:
    from gms_twisted.bayeux.server import BayeuxServer

_PUBLISH = Operation.PUBLISH


def publish(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    name: ChannelName,
    message: Message,
    reply: Message,
) -> bytes | Handling | None:
    """Take a message from a client.  Bayeux: Publish."""
    if not name.publishable:
        return server.refuse(session, reply, Error.CHANNEL_INVALID)
    rate = server.settings.publishes_per_s
    if rate is not None and not take_token(session, rate, server.clock.seconds()):
        return server.refuse(session, reply, Error.RATE_EXCEEDED)
    if name.text in server.channels or name.kind is SERVICE:
        policy = server.policy
        asked = server.hooks.decide(policy.can_publish, session, name, message, reply)
        if isinstance(asked, bool | str):
            return _decided(server, session, name, message, reply, asked)
        return _publish_later(server, session, name, message, reply, asked)
    return _publish_to_new(server, session, name, message, reply)


def _publish_to_new(
    server: BayeuxServer, session: Session, name: ChannelName, message: Message, reply: Message
) -> Handling:
    """Publish to a channel that does not exist yet."""
    hooks, policy = server.hooks, server.policy
    decision = yield hooks.decide(policy.can_create, session, name, message, reply)
    if decision is True:
        decision = hooks.authorized(Operation.CREATE, session, name)
    if decision is True and server.channels.full:
        decision = "too_many"
    if decision is not True:
        return server.refuse(session, reply, Error.CHANNEL_CREATE_DENIED, reason_of(decision))
    decision = yield hooks.decide(policy.can_publish, session, name, message, reply)
    return _decided(server, session, name, message, reply, decision)


def _publish_later(
    server: BayeuxServer,
    session: Session,
    name: ChannelName,
    message: Message,
    reply: Message,
    asked: Decided,
) -> Handling:
    """Publish when the policy has decided."""
    decision = yield asked
    return _decided(server, session, name, message, reply, decision)


def _decided(
    server: BayeuxServer,
    session: Session,
    name: ChannelName,
    message: Message,
    reply: Message,
    decision: Decision,
) -> bytes | None:
    """Publish, now that the policy has decided."""
    if decision is True:
        decision = server.hooks.authorized(_PUBLISH, session, name)
    if decision is not True:
        return server.refuse(session, reply, Error.PUBLISH_DENIED, reason_of(decision))
    if not session.alive:
        return server.refuse(session, reply, Error.SESSION_UNKNOWN)
    reply.pop("advice", None)
    reply.pop("ext", None)
    if not server.hooks.heard(session, name, message):
        return server.refuse(session, reply, Error.MESSAGE_DELETED)
    if name.kind is SERVICE:
        server.host.called(session, name, message)
    else:
        spread(server, server.channels.make(name), message, session)
        if server.published is not None:
            server.published(delivery(message, name.text))
    return server.accept(session, reply)


def spread(
    server: BayeuxServer,
    channel: Channel,
    message: Message,
    publisher: Session | None,
    lazy: bool = False,
) -> int:
    """Queue a message for everybody whose subscriptions match; returns for how many.

    What a client publishes is stripped of what is the client's own business, then
    encoded once.  Several matching subscriptions of a session make one copy.
    """
    server.channels.used(channel)
    waits: list[float] = []
    by_default = lazy
    audiences: list[dict[Session, None]] = []
    for concerned in server.channels.concerned(channel.name):
        if concerned.subscribers:
            audiences.append(concerned.subscribers)
        if concerned.lazy and (concerned is channel or concerned.name.wild):
            if concerned.lazy_timeout_s is None:
                by_default = True
            else:
                waits.append(concerned.lazy_timeout_s)
    if not audiences or channel.name.kind is not BROADCAST:
        return 0
    seen = message if publisher is None else delivery(message, channel.name.text)
    fragment = server.outbox.extend(None, seen)
    if fragment is None:
        return 0
    everybody: Iterable[Session] = audiences[0]
    if len(audiences) > 1:
        merged: dict[Session, None] = {}
        for audience in audiences:
            merged.update(audience)
        everybody = merged
    if publisher is not None and not _echoes(server, channel, publisher):
        everybody = [session for session in everybody if session is not publisher]
    if not (waits or by_default):
        return server.outbox.spread(everybody, fragment)
    if lazy and waits:
        by_default = False
    return sum(
        server.outbox.put(
            session,
            fragment,
            min([*waits, session.settings.max_lazy_timeout_s] if by_default else waits),
        )
        for session in list(everybody)
    )


def _echoes(server: BayeuxServer, channel: Channel, publisher: Session) -> bool:
    """Tell whether somebody gets what it publishes itself."""
    if not publisher.echo:
        return False
    own = channel.broadcast_to_publisher
    return server.settings.broadcast_to_publisher if own is None else own


def take_token(session: Session, rate: float, now: float) -> bool:
    """Count a publish against a session's rate; a second's worth may come at once."""
    burst = max(1.0, rate)
    if not session.publishes_at:
        session.publishes = burst
    else:
        session.publishes = min(burst, session.publishes + (now - session.publishes_at) * rate)
    session.publishes_at = now or 1e-9
    if session.publishes < 1.0:
        return False
    session.publishes -= 1.0
    return True
