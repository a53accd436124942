"""The connects and publications that nearly all are, done without an exchange.

Such a message is alone in its payload, its client is known and up to date, and it
asks for nothing special.  Whatever else there may be to a connect is in
``meta.connect``, to a publication in ``publishing``.

Knows: when nothing is special.  Does not know: what is done when something is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gms_twisted.bayeux.authority import ClientRules, Policy
from gms_twisted.bayeux.channels import BROADCAST, Channel
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
_ACK = b'"ext":{"ack":'
_ACK_DIGITS = 18


class Change(NamedTuple):
    """What may differ between a connect and the next one of its client.

    :ivar start: where its id begins in the payload.
    :ivar stop: where its id ends, or the number that acknowledges a batch.
    :ivar between: what stands between the two; empty when nothing is acknowledged.
    """

    start: int
    stop: int
    between: bytes


def hold(
    server: BayeuxServer, message: Message, caller: Caller, carrier: Carrier, held: object
) -> Session | None:
    """Hold a connect, if that is all there is to do; then see to ``Outbox.tell``.

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
            and not _takes_ext(server, session, message)
        )
        or not _hold(server, session, identifier.encode(), caller, carrier, held)
    ):
        return None
    return session


def hold_again(
    server: BayeuxServer,
    session: Session,
    part: bytes,
    between: bytes,
    caller: Caller,
    carrier: Carrier,
    held: object,
) -> bool:
    """As :func:`hold` of a connect that differs from the last one where a :class:`Change` is.

    :param session: of the client that it names.
    :param part: what stands there now.
    :param between: as in :class:`Change`.
    :returns: false when it must be read, and go the whole way.
    """
    batch = None
    if between:
        part, _, number = part.partition(between)
        # No other digits are a number in JSON.
        if not number.isdigit() or len(number) > _ACK_DIGITS or b"00" <= number < b"1":
            return False
        batch = int(number)
    return (
        part.isalnum()
        and len(part) <= MAX_ID
        and _is_plain(server, session, caller, carrier)
        and (session.acks is None or _acknowledged(server, session, batch))
        and _hold(server, session, part, caller, carrier, held)
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
    if channel.open_by is not policy and not _opens(policy, channel, session, message):
        return None
    name = channel.name
    now = server.clock.seconds()
    rate = server.settings.publishes_per_s
    if rate is not None and not take_token(session, rate, now):
        return None
    if session.expire_at:
        server.touch(session, name.text, now)
    spread(server, channel, message, session)
    if server.published is not None:
        server.published(delivery(message, name.text))
    return b'{"id":"%b","channel":"%b","successful":true}' % (
        identifier.encode(),
        name.text.encode(),
    )


def change_of(payload: bytes) -> Change | None:
    """Find what may differ in a connect when it comes again.

    The payload must be written as we would write it: then whatever letters and digits
    stand there instead, it is the same message with another id and another number.

    :returns: ``None`` when there may be more to it.
    """
    try:
        messages = decode(payload)
    except MalformedPayload:
        return None
    message = messages[0]
    identifier, ext = message.get("id"), message.get("ext")
    texts = {name: value for name, value in message.items() if name != "ext"}
    if (
        len(messages) > 1
        or texts.keys() != _PLAIN
        or texts["channel"] != CONNECT
        or not (type(identifier) is str and identifier.isalnum() and identifier.isascii())
        or any(type(value) is not str for value in texts.values())
        or payload not in (encode(messages), encode(message))
    ):
        return None
    start = payload.index(_ID) + len(_ID)
    stop = start + len(identifier)
    if "ext" not in message:
        return Change(start, stop, b"")
    number = ext["ack"] if type(ext) is dict and ext.keys() == {"ack"} else None
    if type(number) is not int or number < 0:
        return None
    digits = payload.index(_ACK) + len(_ACK)
    if digits < stop:
        return None
    return Change(start, digits + len(b"%d" % number), payload[stop:digits])


def _opens(policy: Policy, channel: Channel, session: Session, message: Message) -> bool:
    """Tell whether anybody may publish to a channel, and remember that its rules say so."""
    name = channel.name
    if (
        name.kind is not BROADCAST
        or not name.publishable
        # These look at the name only.  Any other may take its time, and is not asked twice.
        or type(policy).can_publish is not ClientRules.can_publish
        or policy.can_publish(session, name, message, {}) is not True
    ):
        return False
    channel.open_by = policy
    return True


def _is_plain(server: BayeuxServer, session: Session, caller: Caller, carrier: Carrier) -> bool:
    """Tell whether a session needs nothing special, and nobody looks at every message."""
    hooks = server.hooks
    return not (
        session.state is not _CONNECTED
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
    # A websocket takes none of the browser's connections.
    browser = None if carrier.pushes else caller.browser
    if timeout <= 0 or (browser is not None and not server.outbox.room(browser)):
        return False
    if browser is not None:
        # They are equal; of one text for all that is kept, the other one is let go (0.1 KB).
        browser = caller.browser = session.browser
    session.expire_at = 0.0
    session.next_interval_s = None
    session.carrier = carrier
    session.reply = b'{"id":"%b","successful":true,"channel":"/meta/connect"}' % identifier
    server.outbox.hold(session, held, timeout, browser)
    return True


def _takes_ext(server: BayeuxServer, session: Session, message: Message) -> bool:
    """Take what an extension says; ``False`` when it is more than an acknowledgement."""
    ext = message.get("ext")
    if ext is None:
        return _acknowledged(server, session, None)
    if type(ext) is not dict or len(ext) != 1 or type(ext.get("ack")) is not int:
        return False
    return _acknowledged(server, session, ext["ack"])


def _acknowledged(server: BayeuxServer, session: Session, batch: int | None) -> bool:
    """Take an acknowledgement; ``False`` when something must be sent again."""
    if batch is not None:
        server.outbox.acknowledge(session, batch)
    return session.acks is None or not server.outbox.must_resend(session)
