"""One Bayeux client, as the server sees it.

States and legal moves::

    NEW -> HANDSHAKEN -> CONNECTED -> DISCONNECTED
                 |            |  `--> EXPIRED
                 `------------`-----> either

A session is state only: slots that the delivery path reads and writes directly,
because it does so for every message of every client.  What few sessions need
stands in :class:`Extras`, so that an idle client costs a few hundred bytes.

Knows: what is kept about a client.  Does not know: JSON, connections, other clients.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.ids import ClientId, GmsUser
from gms_twisted.domain.wheel import NEVER, NOWHERE

if TYPE_CHECKING:
    from gms_twisted.bayeux.channels import Channel
    from gms_twisted.bayeux.exchange import Exchange
    from gms_twisted.bayeux.extensions import Extension


class State(Enum):
    """Where in its life a session is."""

    NEW = "new"
    HANDSHAKEN = "handshaken"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    EXPIRED = "expired"


class Caller:
    """Who sends a payload, as its transport knows it.

    :ivar address: the client's address.
    :ivar user: the verified end user.
    :ivar browser: the value of the browser's cookie.
    :ivar secure: the client's connection is TLS.
    :ivar cookie_vouches: the cookie may stand for the user of its session; not
        where other sites can make a browser send it.
    """

    __slots__ = ("address", "browser", "cookie_vouches", "secure", "user")

    def __init__(
        self,
        address: str,
        user: GmsUser | None = None,
        browser: str | None = None,
        secure: bool = False,
        *,
        cookie_vouches: bool = True,
    ) -> None:
        self.address = address
        self.user = user
        self.browser = browser
        self.secure = secure
        self.cookie_vouches = cookie_vouches


class Carrier(Protocol):
    """Brings bytes to sessions: a polling transport, or one websocket.

    :ivar name: the transport's name on the wire.
    :ivar pushes: messages leave without a held connect.
    :ivar deliver_only: messages leave with connect replies only, whoever asks.
    """

    name: str
    pushes: bool
    deliver_only: bool

    @property
    def settings(self) -> Settings:
        """What its sessions live by; another object when it changes."""

    def answer(self, held: object, fragments: list[bytes], reply: bytes) -> None:
        """Answer a held connect: queued messages, then its reply."""

    def push(self, session: Session) -> None:
        """Send what waits, as far as the client takes it; for carriers that push."""

    def displace(self, held: object) -> None:
        """End a held connect that a newer one of the same session replaces."""

    def finished(self, exchange: Exchange) -> None:
        """Answer a payload that has been processed."""

    def failed(self, exchange: Exchange) -> None:
        """Answer a payload that could not be processed, for a reason of ours."""

    def is_writing(self, session: Session) -> bool:
        """Tell whether an answer to a session is still on its way to a slow client."""

    def ended(self, session: Session, overflow: bool) -> None:
        """Take note that a session is over; ``overflow``: it was too far behind."""


class Acks:
    """The acknowledged queue: what was sent stays until the client has it.

    The session's queue is the unacknowledged queue; the first :attr:`sent` of it
    have been sent.  Bayeux: Acknowledgement extension.

    :ivar batch: the number of the next batch, from 1.
    :ivar marks: for each batch under way, its number and how long the queue was.
    """

    __slots__ = ("batch", "marks", "sent")

    def __init__(self) -> None:
        self.batch = 1
        self.sent = 0
        # A list, since there is nearly always one: of a deque the empty one takes 0.6 KB.
        self.marks: list[tuple[int, int]] = []

    def mark(self, length: int) -> int:
        """Count a batch that holds the whole queue; returns its number."""
        self.sent = length
        if self.marks and self.marks[-1][1] == length:
            self.marks.pop()  # The later number covers the same messages.
        number = self.batch
        self.marks.append((number, length))
        self.batch = number + 1
        return number

    def received(self, batch: int) -> int:
        """Take an acknowledgement; returns how many messages to drop from the front.

        A number that was never sent counts as the last that was.
        """
        marks = self.marks
        covered = gone = 0
        for number, end in marks:
            if number > batch:
                break
            covered, gone = covered + 1, end
        if covered == len(marks):
            marks.clear()
            self.sent = max(0, self.sent - gone)
        elif covered:
            del marks[:covered]
            self.dropped(gone)
        return gone

    def dropped(self, count: int) -> None:
        """Note that so many messages left the front of the queue."""
        self.sent = max(0, self.sent - count)
        self.marks = [(number, max(0, end - count)) for number, end in self.marks]


class Lazy(bytes):
    """A fragment that wakes nobody: it leaves with other traffic or by its timer."""

    __slots__ = ()


DequeueHook = Callable[["Session", list[bytes], list[bytes]], None]
"""Sees the live queue and the replies before every flush; may change the queue."""

RemovalListener = Callable[["Session", bool], None]
"""Called once when a session is over; true when it expired."""


class Extras:
    """What few sessions have."""

    __slots__ = ("active_at", "dequeue", "extensions", "lag", "max_inactivity_s", "removal", "sync")

    def __init__(self) -> None:
        self.extensions: list[Extension] = []
        self.dequeue: DequeueHook | None = None
        self.removal: list[RemovalListener] = []
        self.sync: Message | None = None
        self.lag: float | None = None
        self.active_at = 0.0
        self.max_inactivity_s: float | None = None


class Session:
    """A client between handshake and end.

    Times are seconds of the server's clock; 0 means "not set" for deadlines.

    :ivar alive: messages for it are taken.
    :ivar browser: the browser's cookie value that it belongs to.
    :ivar carrier: who brings it messages now.
    :ivar held: the held connect, as its carrier knows it, or ``None``.
    :ivar reply: the reply to the latest connect, encoded when the connect came.
    :ivar counted: the browser whose held connects this hold counts among.
    :ivar settings: those of the carrier that it last connected by.
    :ivar urgent: queued messages that are neither lazy nor sent before.
    :ivar wake: lazy messages have waited long enough.
    :ivar timeout_s, interval_s, max_interval_s: override the server's; set through
        :meth:`gms_twisted.bayeux.server.BayeuxServer.retime`.
    :ivar next_timeout_s, next_interval_s: advised by the client for its latest connect.
    :ivar advise: the next connect reply carries advice.
    :ivar batches: nesting of batches; above 0 nothing is flushed.
    :ivar echo: gets what it publishes itself.
    :ivar local: made by the application; never expires.
    :ivar attachment: whatever the application keeps with it.
    """

    __slots__ = (
        "acks",
        "address",
        "advise",
        "alive",
        "attachment",
        "batches",
        "browser",
        "busy_since",
        "carrier",
        "client_id",
        "counted",
        "deliver_only",
        "dirty",
        "echo",
        "expire_at",
        "extras",
        "held",
        "hold_until",
        "interval_s",
        "lazy_at",
        "local",
        "max_interval_s",
        "next_interval_s",
        "next_timeout_s",
        "publishes",
        "publishes_at",
        "queue",
        "queued_bytes",
        "reply",
        "settings",
        "state",
        "subscriptions",
        "timeout_s",
        "urgent",
        "user",
        "wake",
        "wheel_deadline",
        "wheel_slot",
    )

    def __init__(self, client_id: ClientId, caller: Caller, settings: Settings) -> None:
        self.client_id = client_id
        self.settings = settings
        self.user = caller.user
        self.browser = caller.browser
        self.address = caller.address
        self.state = State.NEW
        self.alive = True
        self.carrier: Carrier | None = None
        self.held: object = None
        self.reply = b""
        self.counted: str | None = None
        self.queue: list[bytes] = []
        self.queued_bytes = 0
        self.urgent = 0
        self.wake = False
        self.dirty = False
        self.batches = 0
        self.lazy_at = 0.0
        self.hold_until = 0.0
        self.expire_at = 0.0
        self.wheel_deadline = NEVER
        self.wheel_slot = NOWHERE
        self.busy_since = 0.0
        self.timeout_s: float | None = None
        self.interval_s: float | None = None
        self.max_interval_s: float | None = None
        self.next_timeout_s: float | None = None
        self.next_interval_s: float | None = None
        self.advise = True
        self.deliver_only = False
        self.echo = True
        self.local = False
        self.acks: Acks | None = None
        self.extras: Extras | None = None
        # A list, since nearly all have one or two; Channel.subscribers tells who has which.
        self.subscriptions: list[Channel] = []
        self.publishes = 0.0
        self.publishes_at = 0.0
        self.attachment: object = None

    def end(self, *, expired: bool) -> None:
        """Take no more messages."""
        self.state = State.EXPIRED if expired else State.DISCONNECTED
        self.alive = False
        self.expire_at = 0.0

    def extra(self) -> Extras:
        """Return what few sessions have, made when missing."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    def usable_by(self, caller: Caller, trust: bool) -> bool:
        """Tell whether somebody who names this session may use it.

        A cookie that is sent must be the session's; a user that is named must be
        the session's.  A session with a user is never used on its id alone; one
        without needs the cookie, unless ``trust`` is on.
        """
        browser = caller.browser
        if browser is not None and browser != self.browser:
            return False
        if self.user is not None:
            vouched = browser is not None and caller.cookie_vouches
            return caller.user == self.user or (caller.user is None and vouched)
        return browser is not None or trust
