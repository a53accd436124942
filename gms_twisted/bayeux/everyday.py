"""The connect that nearly all connects are, held without an exchange.

It is alone in its payload, its client is known and up to date, and it asks for
nothing.  Whatever else there may be to a connect is in ``meta.connect``.

Knows: when nothing is special.  Does not know: what is done when something is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.messages import MAX_ID
from gms_twisted.bayeux.session import Caller, Carrier, Session, State

if TYPE_CHECKING:
    from gms_twisted.bayeux.server import BayeuxServer

_CONNECTED = State.CONNECTED
"""To look a member of an enumeration up costs 0.3 us in Python 3.11."""


def hold(
    server: BayeuxServer, message: Message, caller: Caller, carrier: Carrier, held: object
) -> Session | None:
    """Hold a connect, if that is all there is to do.

    :returns: the session; ``None`` when the message must go the whole way.
    """
    named, identifier = message.get("clientId"), message.get("id")
    session = server.sessions.get(named) if type(named) is str else None
    outbox, hooks = server.outbox, server.hooks
    if (
        session is None
        or type(identifier) is not str
        or not (identifier.isalnum() and identifier.isascii() and len(identifier) <= MAX_ID)
        # It has nothing to be told, and nothing is special about it.
        or session.state is not _CONNECTED
        or session.urgent
        or session.wake
        or session.advise
        or session.held is not None
        or session.extras is not None
        or session.settings is not carrier.settings
        or "advice" in message
        # Nobody looks at every message.
        or hooks.listening
        or hooks.extensions
        or server.closing
        or not session.usable_by(caller, server.settings.trust_client_session)
        or (
            ("ext" in message or session.acks is not None)
            and not _acknowledged(server, session, message)
        )
    ):
        return None
    timeout = session.timeout_s
    if timeout is None:
        timeout = session.settings.timeout_s
    browser = caller.browser
    if timeout <= 0 or (browser is not None and not outbox.room(browser)):
        return None
    if browser is not None:
        # They are equal; of one text for all that is kept, the other one is let go (0.1 KB).
        browser = caller.browser = session.browser
    session.expire_at = 0.0
    session.cycle += 1
    session.next_interval_s = None
    session.carrier = carrier
    session.reply = b'{"id":"%b","successful":true,"channel":"/meta/connect"}' % identifier.encode()
    outbox.hold(session, held, timeout, browser)
    return session


def _acknowledged(server: BayeuxServer, session: Session, message: Message) -> bool:
    """Take an acknowledgement; ``False`` when a connect has more than that to say."""
    ext = message.get("ext")
    if ext is not None:
        if type(ext) is not dict or len(ext) != 1 or type(ext.get("ack")) is not int:
            return False
        server.outbox.acknowledge(session, ext["ack"])
    return session.acks is None or not server.outbox.must_resend(session)
