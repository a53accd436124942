"""What the decisions need from outside, as interfaces.

Implemented in ``transports`` and ``embedded``; the tests have fakes that speak
the real wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatServerAddress,
    Notice,
    Transcript,
    UserData,
)
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.ids import ChatSessionId, ClientId, GmsUser


class ChatServerUnavailable(Unavailable):
    """No chat server answered in time; whether the request took effect is unknown."""

    code = "gms.chat.server_unavailable"


class ChatSessionUnknown(GmsError):
    """The chat server does not know the session, or the key is wrong."""

    code = "gms.chat.session_unknown"


class ChatSessionClosed(GmsError):
    """The chat is over.

    :ivar transcript: its rest after the position asked for, ``closed`` true.
    """

    code = "gms.chat.session_closed"

    def __init__(self, transcript: Transcript) -> None:
        super().__init__("The chat session is closed.")
        self.transcript = transcript


class ChatGateway(Protocol):
    """Chat servers, as a flex client sees them.  .

    Each call names its user, so any connection will do; a call whose connection
    is lost is tried once more on another one (on the replacement server, when the
    load balancer names one) before :class:`ChatServerUnavailable` is raised.
    ``dedupe`` makes the repetition harmless: the server appends a message or
    notice with the same word only once.
    """

    @property
    def alike(self) -> bool:
        """Tell whether every server that is named serves every chat."""

    async def choose(self, alias: str | None = None) -> ChatServerAddress:
        """Ask which server to use; with an alias: that one, or its replacement.

        :raises ChatServerUnavailable: none is to be had.
        """

    async def login(
        self,
        server: ChatServerAddress,
        nickname: str,
        time_zone_offset_min: int | None,
        user_data: UserData,
    ) -> ChatCredentials:
        """Register a user."""

    async def join(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        queue: str,
        subject: str,
        user_data: UserData,
    ) -> tuple[ChatCredentials, Transcript]:
        """Create a session and put it into a queue, ``Environment:default``."""

    async def refresh(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
        *,
        message: str | None = None,
        notice: Notice | None = None,
        dedupe: str = "",
        wait_s: float = 0.0,
    ) -> tuple[ChatCredentials, Transcript]:
        """Send and receive: what came after ``position``, the own message included.

        With ``wait_s``, an answer without news is held back that long.

        :raises ChatSessionUnknown: no such session or user.
        :raises ChatSessionClosed: it is over; has the rest of the transcript.
        :raises ChatServerUnavailable: no answer.
        """

    def is_quiet(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> bool:
        """Make a refresh that says nothing, if it is known at once that it brings nothing.

        :returns: whether that is so: the chat goes on and ``position`` is its last.  Otherwise
            nothing was done; :meth:`refresh` tells more.
        """

    async def logout(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> tuple[ChatCredentials, Transcript]:
        """Leave; the session closes when nobody who matters is left."""


class Presence(Protocol):
    """Told when end users come and go on Bayeux."""

    def arrived(self, user: GmsUser) -> None:
        """A session of the user now receives ``/_genesys``."""

    def left(
        self, user: GmsUser, transcript_position: int | None, *, goodbye: bool = False
    ) -> None:
        """The user's last such session is gone.

        :param transcript_position: what ``ext.transcriptPosition`` of its
            ``/meta/disconnect`` said (also of one for an unknown client), if anything.
        :param goodbye: the client has ended the session itself, everything delivered
            to it in its hands.
        """


CHAT_REFRESH_TAG = "service.chat.refresh."
"""What tags of chat events begin with.  Nobody keeps these for users who are away:
their sender hands over itself what a user has missed, which would come twice."""


class Offered(Enum):
    """What became of an event that was offered to a user."""

    QUEUED = "queued"
    """Queued for at least one session."""
    KEPT = "kept"
    """Nobody is there; kept for a short time."""
    FULL = "full"
    """Nobody is there, and as much is kept for the user as may be."""
    REFUSED = "refused"
    """Nobody is there and nothing is kept, or an extension held it back."""


class UserEvents(Protocol):
    """Delivery on ``/_genesys``: per user, never broadcast."""

    def deliver(self, user: GmsUser, tag: str, message: object, event_id: str = "") -> int:
        """Deliver ``{"id", "message", "tag"}`` to every session of a user.

        Nobody there: kept for a short, bounded time and delivered on the next
        matching subscribe, but not with a :data:`CHAT_REFRESH_TAG`.

        :param message: JSON value, or text.
        :param event_id: 32 hex digits, the same in every repetition; made when empty.
        :returns: how many sessions it was queued for.
        """

    def is_present(self, user: GmsUser) -> bool:
        """Tell whether a session of the user receives ``/_genesys``."""

    def watch(self, presence: Presence) -> None:
        """Tell this one about every user from now on."""


class UserOffers(Protocol):
    """Delivery on ``/_genesys`` for those who must know whether it worked."""

    def offer(self, user: GmsUser, tag: str, message: object, event_id: str) -> Offered:
        """As :meth:`UserEvents.deliver`, but nothing kept before has to go for it."""


class BayeuxCaller(Protocol):
    """A Bayeux session that calls one of our service channels.

    :ivar attachments: a place for what handshake hooks found out (``"agent"``).
    """

    client_id: ClientId
    user: GmsUser | None
    address: str
    attachments: dict[str, object]

    def deliver(self, channel: str, data: object) -> bool:
        """Deliver to this session only; ``False`` when it is gone."""

    def disconnect(self) -> None:
        """End the session; the client is told ``reconnect: none``."""

    def renew(self) -> None:
        """End the session so that its client shakes hands anew, at whatever node that is."""

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call once when the session is gone, however it ended."""


class HandshakeRefused(GmsError):
    """A handshake hook says no; its text becomes the reason."""

    code = "gms.bayeux.handshake_refused"


class HandshakeElsewhere(HandshakeRefused):
    """Not at this node, or not yet; it may succeed in a moment."""

    code = "gms.bayeux.handshake_elsewhere"


ServiceHandler = Callable[[BayeuxCaller, object], Awaitable[object]]
"""Takes the caller and ``data``; what it returns goes back as the remote call's
result, and a :class:`gms_twisted.domain.errors.GmsError` as its failure
``{"message", "exception"}``."""

HandshakeHook = Callable[[BayeuxCaller, Mapping[str, object]], None]
"""Takes the new session and the handshake's ``ext``; raises :class:`HandshakeRefused`."""


class ServiceChannels(Protocol):
    """Our side of ``/service/...``: remote calls by Bayeux clients."""

    def serve(self, target: str, handler: ServiceHandler) -> None:
        """Answer calls to ``/service/<target>``."""

    def on_handshake(self, hook: HandshakeHook) -> None:
        """Look at every handshake before it succeeds."""

    def bound(self, attachment: str) -> Sequence[BayeuxCaller]:
        """All sessions to which a handshake hook has attached something of this name."""
