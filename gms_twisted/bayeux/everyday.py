"""The connects and publications that nearly all are, done without an exchange.

Such a message is alone in its payload, its client is known and up to date, and it
asks for nothing special.  Whatever else there may be to a connect is in
``meta.connect``, to a publication in ``publishing``.

Knows: when nothing is special.  Does not know: what is done when something is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gms_twisted.bayeux.authority import ClientRules
from gms_twisted.bayeux.channels import BROADCAST
from gms_twisted.bayeux.codec import MalformedPayload, Message, decode, encode
from gms_twisted.bayeux.messages import CONNECT, MAX_ID, delivery
from gms_twisted.bayeux.publishing import spread, take_token
from gms_twisted.bayeux.session import Caller, Carrier, Session, State

if TYPE_CHECKING:
    from gms_twisted.bayeux.server import BayeuxServer

_CONNECTED = State.CONNECTED
"""To look a member of an enumeration up costs 0.2 us in Python 3.11."""

_PLAIN = {"channel", "clientId", "connectionType", "id"}
_ID = b'"id":"'


def hold(
    server: BayeuxServer, message: Message, caller: Caller, carrier: Carrier, held: object
) -> Session | None:
    """Hold a connect, if that is all there is to do.

    :returns: the session; ``None`` when the message must go the whole way.
    """
    named, identifier = message.get("clientId"), message.get("id")
    session = server.sessions.get(named) if type(named) is str else None
    if (
        session is None
        or type(identifier) is not str
        or not (identifier.isalnum() and identifier.isascii() and len(identifier) <= MAX_ID)
        or "advice" in message
        or not _is_plain(server, session, caller, carrier)
        or (
            ("ext" in message or session.acks is not None)
            and not _acknowledged(server, session, message)
        )
        or not _hold(server, session, identifier.encode(), caller, carrier, held)
    ):
        return None
    return session


def hold_again(
    server: BayeuxServer,
    session: Session,
    identifier: bytes,
    caller: Caller,
    carrier: Carrier,
    held: object,
) -> bool:
    """Hold a connect that has nothing but what :func:`place_of_id` allows, and another id.

    :param session: of the client that it names.
    :returns: false when it must be read, and go the whole way.
    """
    return (
        identifier.isalnum()
        and len(identifier) <= MAX_ID
        and session.acks is None
        and _is_plain(server, session, caller, carrier)
        and _hold(server, session, identifier, caller, carrier, held)
    )


def publish(server: BayeuxServer, session: Session, message: Message) -> bytes | None:
    """Publish to a channel that exists, if nobody but its subscribers is concerned.

    Measured gain on a websocket, against an exchange: 3 of 11 us in process, and a quarter of
    all CPU time of a request, with the kernel's.

    :param session: of the client, which has been found to be the one it says.
    :returns: the encoded reply; ``None`` when the message must go the whole way, and
        nothing has been published or counted yet.
    """
    text, identifier = message.get("channel"), message.get("id")
    channel = server.channels.get(text) if type(text) is str else None
    hooks, policy = server.hooks, server.policy
    if (
        channel is None
        or message.get("clientId") != session.client_id
        or type(identifier) is not str
        or not (identifier.isalnum() and identifier.isascii() and len(identifier) <= MAX_ID)
        or session.extras is not None
        or not session.alive
        or hooks.extensions
        or hooks.listening
        or hooks.authorizers
    ):
        return None
    name = channel.name
    if (
        name.kind is not BROADCAST
        or not name.publishable
        # Any other rule may take its time, and is not asked twice.
        or type(policy).can_publish is not ClientRules.can_publish
        or policy.can_publish(session, name, message, {}) is not True
    ):
        return None
    now = server.clock.seconds()
    rate = server.settings.publishes_per_s
    if rate is not None and not take_token(session, rate, now):
        return None
    server.touch(session, name.text, now)
    spread(server, channel, message, session)
    if server.published is not None:
        server.published(delivery(message, name.text))
    return b'{"id":"%b","channel":"%b","successful":true}' % (
        identifier.encode(),
        name.text.encode(),
    )


def place_of_id(payload: bytes) -> tuple[int, int] | None:
    """Find the id of a connect that has nothing else that could change.

    The payload must be written as we would write it: then whatever letters and digits
    stand there instead, it is the same message with another id.

    :returns: from where to where; ``None`` when there may be more to it.
    """
    try:
        messages = decode(payload)
    except MalformedPayload:
        return None
    message = messages[0]
    identifier = message.get("id")
    if (
        len(messages) > 1
        or message.keys() != _PLAIN
        or message["channel"] != CONNECT
        or not (type(identifier) is str and identifier.isalnum() and identifier.isascii())
        or any(type(value) is not str for value in message.values())
        or payload not in (encode(messages), encode(message))
    ):
        return None
    start = payload.index(_ID) + len(_ID)
    return start, start + len(identifier)


def _is_plain(server: BayeuxServer, session: Session, caller: Caller, carrier: Carrier) -> bool:
    """Tell whether a session has nothing to be told, and nobody looks at every message."""
    hooks = server.hooks
    return not (
        session.state is not _CONNECTED
        or session.urgent
        or session.wake
        or session.advise
        or session.held is not None
        or session.extras is not None
        or session.settings is not carrier.settings
        or hooks.listening
        or hooks.extensions
        or server.closing
    ) and session.usable_by(caller, server.settings.trust_client_session)


def _hold(
    server: BayeuxServer,
    session: Session,
    identifier: bytes,
    caller: Caller,
    carrier: Carrier,
    held: object,
) -> bool:
    """Hold, unless the browser has no room for one more, or nothing is held."""
    timeout = session.timeout_s
    if timeout is None:
        timeout = session.settings.timeout_s
    browser = caller.browser
    if timeout <= 0 or (browser is not None and not server.outbox.room(browser)):
        return False
    if browser is not None:
        # They are equal; of one text for all that is kept, the other one is let go (0.1 KB).
        browser = caller.browser = session.browser
    session.expire_at = 0.0
    session.cycle += 1
    session.next_interval_s = None
    session.carrier = carrier
    session.reply = b'{"id":"%b","successful":true,"channel":"/meta/connect"}' % identifier
    server.outbox.hold(session, held, timeout, browser)
    return True


def _acknowledged(server: BayeuxServer, session: Session, message: Message) -> bool:
    """Take an acknowledgement; ``False`` when a connect has more than that to say."""
    ext = message.get("ext")
    if ext is not None:
        if type(ext) is not dict or len(ext) != 1 or type(ext.get("ack")) is not int:
            return False
        server.outbox.acknowledge(session, ext["ack"])
    return session.acks is None or not server.outbox.must_resend(session)
