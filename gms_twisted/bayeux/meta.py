"""The meta channels: handshake, connect, subscribe, unsubscribe, disconnect.

Each handler gets the beginning of its reply (``id`` and ``channel``) and returns the
encoded reply, or a generator when it may have to wait for a decision.

Knows: what each meta channel does.  Does not know: how replies travel.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from gms_twisted.bayeux.authority import BY_POLICY, Decided, Decision, Operation
from gms_twisted.bayeux.channels import BROADCAST, META, SERVICE, Channel, ChannelName
from gms_twisted.bayeux.codec import Message, encode
from gms_twisted.bayeux.exchange import Exchange, Handling
from gms_twisted.bayeux.extensions import is_inactive, note_timesync
from gms_twisted.bayeux.messages import (
    DISCONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Error,
    advised_s,
    milliseconds,
    object_member,
    version_above_one,
)
from gms_twisted.bayeux.outbox import NONE
from gms_twisted.bayeux.session import Acks, Session, State

if TYPE_CHECKING:
    from gms_twisted.bayeux.server import BayeuxServer

Subscribing = Generator[Decided, Decision, "tuple[Error, str] | None"]
"""Returns how a subscription is refused, ``None`` when it is not."""

VERSION = "1.0"
OVERLOAD_MS = 5000


def reason_of(decision: Decision) -> str:
    """The middle part of a refusal."""
    return decision if isinstance(decision, str) else BY_POLICY


def handshake(
    server: BayeuxServer, exchange: Exchange, message: Message, reply: Message
) -> bytes | Handling | None:
    """Make a new session, whatever the client had before.  Bayeux: Handshake."""
    settings = server.settings
    exchange.session = None
    wanted = message.get("supportedConnectionTypes")
    if settings.strict_negotiation and type(wanted) is list and not _in_common(server, wanted):
        reply["supportedConnectionTypes"] = list(settings.allowed_transports)
        reply["advice"] = NONE
        return server.refuse(None, reply, Error.TYPES_UNSUPPORTED)
    if version_above_one(message.get("minimumVersion")):
        reply["advice"] = NONE
        return server.refuse(None, reply, Error.VERSION_UNSUPPORTED)
    session = server.new_session(exchange.caller, exchange.carrier.settings)
    decided = server.hooks.decide(server.policy.can_handshake, session, message, reply)
    if isinstance(decided, bool | str):
        return _welcome(server, exchange, session, message, reply, decided)
    return _welcome_later(server, exchange, session, message, reply, decided)


def _welcome_later(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    message: Message,
    reply: Message,
    decided: Decided,
) -> Handling:
    """Finish a handshake when it is decided."""
    decision = yield decided
    return _welcome(server, exchange, session, message, reply, decision)


def _welcome(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    message: Message,
    reply: Message,
    decision: Decision,
) -> bytes | None:
    """Finish a handshake that is decided."""
    settings = server.settings
    if decision is not True:
        advice = object_member(reply, "advice")
        reply["advice"] = {"reconnect": "none", **(advice or {})}
        return server.refuse(None, reply, Error.HANDSHAKE_DENIED)
    if server.closing or not server.registry.has_room(session):
        reply["advice"] = {"reconnect": "retry", "interval": OVERLOAD_MS}
        return server.refuse(None, reply, Error.OVERLOADED)
    if exchange.carrier.pushes:
        session.carrier = exchange.carrier
    session.advise = not settings.advice_in_handshake
    ext = object_member(message, "ext") or {}
    answer_ext = object_member(reply, "ext") or {}
    if ext.get("ack") is True:
        session.acks = Acks()
        session.deliver_only = True
    if session.acks is not None or settings.announce_ack:
        answer_ext["ack"] = True
    if "timesync" in ext:
        note_timesync(session, ext, server.wall.now())
    server.registry.add(session)
    server.outbox.await_connect(session)
    exchange.session = session
    reply.update(
        successful=True,
        version=VERSION,
        minimumVersion=VERSION,
        supportedConnectionTypes=list(settings.allowed_transports),
        clientId=session.client_id,
    )
    if answer_ext:
        reply["ext"] = answer_ext
    if settings.advice_in_handshake:
        reply["advice"] = server.outbox.normal_advice(session)
    if server.hooks.listening:
        server.hooks.heard(session, server.channel(HANDSHAKE).name, message)
    exchange.greeting = reply
    return None


def _in_common(server: BayeuxServer, wanted: list[object]) -> bool:
    """Tell whether a transport suits both sides; a client that names none takes any."""
    return not wanted or any(one in server.settings.allowed_transports for one in wanted)


def connect(
    server: BayeuxServer, exchange: Exchange, session: Session, message: Message, reply: Message
) -> bytes | None:
    """Hold a connect until there is news, or answer it at once.  Bayeux: Connect."""
    name = server.names.parse("/meta/connect")
    if name is not None and not server.hooks.heard(session, name, message):
        return server.refuse(session, reply, Error.MESSAGE_DELETED)
    outbox = server.outbox
    if session.held is not None and session.carrier is not None:
        session.carrier.displace(outbox.unhold(session))
    first = session.state is not State.CONNECTED
    session.state = State.CONNECTED
    session.expire_at = 0.0
    carrier = exchange.carrier
    settings = carrier.settings
    if session.settings is not settings:
        # It moved to another transport, or the options were changed.
        session.advise = True
        session.settings = settings
        session.deliver_only = session.acks is not None or settings.meta_connect_deliver_only
    session.carrier = carrier
    timeout = settings.timeout_s if session.timeout_s is None else session.timeout_s
    advice = message.get("advice")
    session.next_interval_s = asked = None
    if type(advice) is dict:
        session.advise = True
        asked = advised_s(advice, "timeout")
        session.next_interval_s = advised_s(advice, "interval")
        if asked is not None:
            timeout = min(asked, timeout)
    ext = message.get("ext")
    if type(ext) is dict:
        _connect_extensions(server, session, ext)
    identifier = reply.get("id")
    session.reply = (
        b'{"successful":true,"channel":"/meta/connect"}'
        if identifier is None
        else b'{"id":"%b","successful":true,"channel":"/meta/connect"}' % str(identifier).encode()
    )
    if session.extras is not None and is_inactive(session, server.clock.seconds()):
        server.disconnect(session, exchange)
        exchange.answer_connect()
        return None
    news = session.urgent or session.wake
    if (
        first
        or timeout <= 0
        or len(exchange.messages) > 1
        or (news and not (carrier.pushes and not session.deliver_only))
        or (session.acks is not None and asked is None and outbox.must_resend(session))
        or not _may_hold(server, exchange, session)
    ):
        exchange.answer_connect()
        return None
    browser = None if carrier.pushes else exchange.caller.browser
    outbox.hold(session, exchange.held, timeout, browser)
    if news:
        outbox.mark(session)
    exchange.holding = True
    return None


def _may_hold(server: BayeuxServer, exchange: Exchange, session: Session) -> bool:
    """Tell whether the browser, and the process, have room for one more held request."""
    carrier, browser = exchange.carrier, exchange.caller.browser
    if carrier.pushes:
        return True
    if server.closing:
        exchange.advice = {
            "reconnect": "retry",
            "interval": milliseconds(server.ids.uniform(0.0, 5.0)),
        }
        return False
    if browser is None or server.outbox.room(browser):
        return True
    pause = server.settings.multi_session_interval_s
    if pause > 0:
        exchange.advice = {
            "reconnect": "retry",
            "interval": milliseconds(pause),
            "multiple-clients": True,
        }
    else:
        exchange.advice = {"reconnect": "none", "multiple-clients": True}
        session.reply = session.reply.replace(b'"successful":true', b'"successful":false')
    return False


def _connect_extensions(server: BayeuxServer, session: Session, ext: Message) -> None:
    batch = ext.get("ack")
    if session.acks is not None and type(batch) is int:
        server.outbox.acknowledge(session, batch)
    if "timesync" in ext:
        note_timesync(session, ext, server.wall.now())


def _subscription(
    server: BayeuxServer, message: Message, reply: Message
) -> list[ChannelName] | Error:
    """Read the field ``subscription``; the reply repeats it as it is."""
    wanted = message.get("subscription")
    if wanted is None:
        return Error.SUBSCRIPTION_MISSING
    texts = wanted if type(wanted) is list else [wanted]
    if not texts or len(texts) > server.settings.max_subscription_names:
        return Error.SUBSCRIPTION_INVALID
    names: list[ChannelName] = []
    for text in texts:
        name = server.names.parse(text) if type(text) is str else None
        if name is None or name.template:
            return Error.SUBSCRIPTION_INVALID
        names.append(name)
    reply["subscription"] = wanted
    return names


def subscribe(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    message: Message,
    reply: Message,
) -> Handling:
    """Subscribe to all the names, or to none.  Bayeux: Subscribe."""
    names = _subscription(server, message, reply)
    if isinstance(names, Error):
        if "subscription" in message and len(encode(message["subscription"])) <= 1024:
            reply["subscription"] = message["subscription"]
        return server.refuse(session, reply, names)
    added: list[Channel] = []
    for name in names:
        refusal = yield from _may_subscribe(server, session, name, message, reply)
        if refusal is None and not session.alive:
            refusal = (Error.SUBSCRIBE_FAILED, "")
        if refusal is not None:
            for channel in added:
                if channel.subscribers.pop(session, channel) is None:
                    session.subscriptions.remove(channel)
                server.channels.left(channel)
            return server.refuse(session, reply, *refusal)
        if name.kind is SERVICE:
            continue
        channel = server.channels.make(name)
        if session not in channel.subscribers:
            channel.subscribers[session] = None
            session.subscriptions.append(channel)
            added.append(channel)
    for name in names:
        if name.kind is BROADCAST:
            server.host.subscribed(session, name.text)
    return server.accept(session, reply)


def _may_subscribe(
    server: BayeuxServer,
    session: Session,
    name: ChannelName,
    message: Message,
    reply: Message,
) -> Subscribing:
    if name.kind is META:
        return Error.SUBSCRIBE_FAILED, ""
    policy = server.policy
    if name.text not in server.channels:
        decision = yield server.hooks.decide(policy.can_create, session, name, message, reply)
        if decision is True:
            decision = server.hooks.authorized(Operation.CREATE, session, name)
        if decision is True and server.channels.full:
            decision = "too_many"
        if decision is not True:
            return Error.CREATE_DENIED, reason_of(decision)
    decision = yield server.hooks.decide(policy.can_subscribe, session, name, message, reply)
    if decision is True:
        decision = server.hooks.authorized(Operation.SUBSCRIBE, session, name)
    channel = server.channels.get(name.text)
    is_new = channel is None or session not in channel.subscribers
    full = len(session.subscriptions) >= server.settings.max_subscriptions
    if decision is True and is_new and full:
        decision = "too_many"
    return None if decision is True else (Error.SUBSCRIBE_DENIED, reason_of(decision))


def unsubscribe(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    message: Message,
    reply: Message,
) -> bytes | None:
    """Unsubscribe; what is queued already is still delivered.  Bayeux: Unsubscribe."""
    names = _subscription(server, message, reply)
    if isinstance(names, Error):
        return server.refuse(session, reply, names)
    for name in names:
        if name.kind is META:
            return server.refuse(session, reply, Error.UNSUBSCRIBE_FAILED)
        if name.kind is BROADCAST and name.text not in server.channels:
            return server.refuse(session, reply, Error.CHANNEL_MISSING)
    for name in names:
        channel = server.channels.get(name.text)
        if channel is not None and channel.subscribers.pop(session, channel) is None:
            session.subscriptions.remove(channel)
            server.channels.left(channel)
            server.host.unsubscribed(session, name.text)
    return server.accept(session, reply)


def disconnect(
    server: BayeuxServer,
    exchange: Exchange,
    session: Session,
    message: Message,
    reply: Message,
) -> bytes | None:
    """End the session; a held connect is answered at once.  Bayeux: Disconnect."""
    encoded = server.accept(session, reply)
    if session.held is None:
        exchange.deliveries += server.outbox.take(session, exchange.replies)
    server.host.disconnecting(exchange.caller, session, message)
    server.remove(session)
    return encoded


Handler = Callable[["BayeuxServer", Exchange, Session, Message, Message], "bytes | Handling | None"]

HANDLERS: dict[str, Handler] = {
    SUBSCRIBE: subscribe,
    UNSUBSCRIBE: unsubscribe,
    DISCONNECT: disconnect,
}
