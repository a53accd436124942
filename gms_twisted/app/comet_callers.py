"""What hooks and service handlers see of a Bayeux session, and what clients may do.

Knows: one session, the rules for clients.  Does not know: who else is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gms_twisted.app.absent import GENESYS
from gms_twisted.bayeux.authority import ClientRules, Decided
from gms_twisted.bayeux.channels import ChannelName, matches
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.session import Session
from gms_twisted.domain.ids import ClientId, GmsUser

if TYPE_CHECKING:
    from gms_twisted.app.comet import Comet


class CometCaller:
    """A Bayeux session, as hooks and service handlers see it.

    :ivar attachments: a place for what handshake hooks found out.
    """

    __slots__ = ("_comet", "address", "attachments", "calls", "client_id", "session", "user")

    def __init__(self, comet: Comet, session: Session) -> None:
        self._comet = comet
        self.session = session
        self.client_id: ClientId = session.client_id
        self.user: GmsUser | None = session.user
        self.address = session.address
        self.attachments: dict[str, object] = {}
        self.calls = 0

    def deliver(self, channel: str, data: object) -> bool:
        """Deliver to this session only; ``False`` when it is gone."""
        return self._comet.server.deliver(self.session, channel, data)

    def disconnect(self) -> None:
        """End the session; the client is told ``reconnect: none``."""
        self._comet.server.disconnect(self.session)

    def renew(self) -> None:
        """End the session so that its client shakes hands anew."""
        server, session = self._comet.server, self.session
        if session.held is not None and session.carrier is not None:
            server.outbox.answer(session, {"reconnect": "handshake", "interval": 0})
        server.remove(session, expired=True)

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call once when the session is gone; at once when it is already."""
        if not self.session.alive:
            callback()
            return
        self.session.extra().removal.append(lambda session, expired: callback())


class Rules(ClientRules):
    """The core's rules, with the handshake decided by identity and hooks."""

    def __init__(self, comet: Comet, listed: tuple[str, ...] | None, require_user: bool) -> None:
        super().__init__(listed, (GENESYS,))
        self._comet = comet
        self._require_user = require_user

    def can_handshake(self, session: Session, message: Message, reply: Message) -> Decided:
        """Settle who the session belongs to, then ask the hooks."""
        return self._comet.admit(session, message, reply)

    def can_subscribe(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Refuse events to nobody, when it is so configured."""
        if self._require_user and session.user is None and matches(channel.text, GENESYS):
            return "gms_user_missing"
        return super().can_subscribe(session, channel, message, reply)
