"""Hosts the Bayeux server: users, events on ``/_genesys``, calls to ``/service/...``.

Events are for a *user* and go to each of the user's sessions that is subscribed to
``/_genesys``, by name or by a pattern that covers it, and to nobody else.  What
comes while no such session exists is kept for a short time.

Knows: users, presence, remote calls.  Does not know: HTTP, websockets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.app.absent import GENESYS, AbsentUsers, is_kept
from gms_twisted.app.comet_callers import CometCaller, Rules
from gms_twisted.app.interfaces import (
    HandshakeElsewhere,
    HandshakeHook,
    HandshakeRefused,
    Offered,
    Presence,
    ServiceHandler,
)
from gms_twisted.app.nodes import Alone, Peers, mark_of
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.users_elsewhere import UsersElsewhere
from gms_twisted.bayeux.authority import Decided
from gms_twisted.bayeux.channels import ChannelName, matches
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.exchange import Exchange
from gms_twisted.bayeux.messages import message_id, object_member
from gms_twisted.bayeux.server import TICK_S, BayeuxServer
from gms_twisted.bayeux.session import Caller, Session
from gms_twisted.bayeux.settings import Settings
from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.domain.errors import GmsError, Unauthorized
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock

LISTED_SUBSCRIPTIONS = 20
"""With ``client_channels = listed``: most subscriptions of a session."""
MAX_CALLS = 100
"""Most remote calls of one session under way."""
MAX_USER_BYTES = 128
SPREAD_S = 5.0
ELSEWHERE_MS = 1000
"""When a client whose session cannot be here, just now, may shake hands again."""
_DRAIN_SLICE = 500
_SERVICE = "/service/"


class TokenReader(Protocol):
    """What identity means to a handshake.

    :ivar mode: ``open``, ``trusted-proxy`` or ``token``.
    """

    @property
    def mode(self) -> str:
        """How users are told."""

    def token_user(self, token: str) -> GmsUser:
        """Tell whom ``ext.token`` stands for.

        :raises Unauthorized: nobody.
        """


class Comet:
    """The Bayeux server of the product: ``UserEvents`` and ``ServiceChannels``.

    :param timers: the reactor, or a test's ``Clock``.
    :param loopback_only: every listener is on a loopback address; decides what an
        empty ``client_channels`` means.
    :param exempt: addresses without limits, ``limits/exempt``.
    :param peers: other nodes; users may be there.
    :param keep_s: how long events for an absent user are kept; 0: not at all.
    :param keep_max: how many of them.
    :ivar second: the time of day, for ``Date``; as new as the last tick.
    :ivar server: the core; transports talk to it.
    """

    log = Logger()

    def __init__(
        self,
        options: BayeuxOptions,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        identity: TokenReader,
        *,
        loopback_only: bool = True,
        exempt: Container[str] = (),
        keep_s: float = 60.0,
        keep_max: int = 100,
        peers: Peers | None = None,
    ) -> None:
        self.options = options
        self.ids = ids
        self.timers = timers
        self.wall = wall
        self._tasks = tasks
        self._identity = identity
        self._loopback_only = loopback_only
        settings, rules = self._rules(options)
        self.server = BayeuxServer(settings, timers, wall, ids, self, rules, exempt)
        peers = peers if peers is not None else Alone()
        self.server.mark = mark_of(peers.node)
        self.server.channel(GENESYS).persistent = True
        self.second = int(wall.now())
        self._absent = AbsentUsers(timers, keep_s, keep_max)
        self._offered: tuple[tuple[str, str, str], bytes | None] | None = None
        self._receivers: dict[GmsUser, dict[Session, int]] = {}
        self._presences: list[Presence] = []
        self._positions: dict[GmsUser, int] = {}
        self._goodbyes: set[Session] = set()
        self._handlers: dict[str, ServiceHandler] = {}
        self._hooks: list[HandshakeHook] = []
        self._flushing: DelayedCall | None = None
        self._ticking: DelayedCall | None = None
        self._swept_at = 0.0
        self._drained: list[Callable[[], bool]] = []
        self._changed: list[Callable[[], None]] = []
        self._elsewhere = UsersElsewhere(peers, self, timers)
        # The last event of a session's queue that no other node has got for its user.
        self._own: dict[Session, bytes | None] = {}

    def _rules(self, options: BayeuxOptions) -> tuple[Settings, Rules]:
        """What the core goes by, and what clients may do."""
        channels = options.client_channels or ("open" if self._loopback_only else "listed")
        settings = settings_from(options)
        if channels == "listed":
            most = min(settings.max_subscriptions, LISTED_SUBSCRIPTIONS)
            settings = replace(settings, max_subscriptions=most)
        listed = options.channels if channels == "listed" else None
        return settings, Rules(self, listed, options.require_user)

    def reconfigure(self, options: BayeuxOptions, identity: TokenReader) -> None:
        """Go on by other options; nobody is disconnected (R13)."""
        self.options = options
        self._identity = identity
        self.server.reconfigure(*self._rules(options))
        for changed in self._changed:
            changed()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call when there are other options: transports have settings of their own."""
        self._changed.append(changed)

    # -- life ---------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count time."""
        self._ticking = self.timers.callLater(TICK_S, self._tick)
        self._swept_at = self.timers.seconds()

    async def drain(self) -> None:
        """Send everybody away: held connects are answered, sockets closed (R12).

        Clients come back at random times within five seconds; new connects are
        answered at once and new handshakes refused from now on.
        """
        self.server.closing = True
        for index, session in enumerate(list(self.server.sessions.values())):
            carrier = session.carrier
            if session.held is not None and carrier is not None:
                pause = round(self.ids.uniform(0.0, SPREAD_S * 1000.0))
                self.server.outbox.answer(session, {"reconnect": "retry", "interval": pause})
            if index % _DRAIN_SLICE == _DRAIN_SLICE - 1:
                await self._next_turn()
        for close in self._drained:
            while close():
                await self._next_turn()

    async def stop(self) -> None:
        """Drain, and count time no more."""
        await self.drain()
        for call in (self._ticking, self._flushing):
            if call is not None and call.active():
                call.cancel()
        self._ticking = self._flushing = None
        self._elsewhere.stop()

    def on_drain(self, close: Callable[[], bool]) -> None:
        """Call when clients are sent away, once a turn till it returns false.

        :param close: closes some sockets, and tells whether there are more.
        """
        self._drained.append(close)

    async def _next_turn(self) -> None:
        turned: Deferred[None] = Deferred()
        self.timers.callLater(0, turned.callback, None)
        await turned

    def _tick(self) -> None:
        """Look at deadlines; at what they left over in the next turn."""
        self.second = int(self.wall.now())
        more = self.server.tick()
        now = self.timers.seconds()
        if now - self._swept_at >= self.options.sweep_period_s:
            self._swept_at = now
            self.server.sweep()
            self._absent.sweep()
            self._elsewhere.sweep()
        self._ticking = self.timers.callLater(0 if more else TICK_S, self._tick)

    # -- bayeux.server.Host ---------------------------------------------------------

    def wake(self) -> None:
        """Flush at the end of this turn."""
        if self._flushing is None:
            self._flushing = self.timers.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        more = True
        try:
            more = self.server.outbox.flush()
        except Exception:  # noqa: BLE001 - one broken connection must not stop all others
            self.log.failure("Failed while messages were delivered")
        if more and self._flushing is None:
            self._flushing = self.timers.callLater(0, self._flush)

    def suspend(self, exchange: Exchange, decided: Decided) -> None:
        """Wait for a decision that takes its time; one that fails refuses."""

        async def wait() -> None:
            try:
                decision = decided if isinstance(decided, bool | str) else await decided
            except CancelledError:
                exchange.fail()
                raise
            except Exception:  # noqa: BLE001 - a policy is the application's code
                self.log.failure("A policy failed")
                decision = False
            try:
                exchange.resume(decision)
            except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
                self.log.failure("A Bayeux message failed")
                exchange.fail()

        self._tasks.spawn("a decision about a Bayeux message", wait())

    def failed(self, what: str, error: Exception) -> None:
        """Log what the application's code raised."""
        self.log.failure("Failed in Bayeux: {what}", failure=Failure(error), what=what)

    def subscribed(self, session: Session, channel: str) -> None:
        """Count a user in when the subscription brings its events."""
        user = session.user
        if user is None or not matches(channel, GENESYS):
            return
        stuck = self._elsewhere.take_stuck(user)
        receivers = self._receivers.setdefault(user, {})
        arriving = not receivers
        receivers[session] = sum(matches(one.name.text, GENESYS) for one in session.subscriptions)
        for fragment in (*stuck, *self._absent.take(user)):
            self.server.outbox.put(session, fragment)
        if self._elsewhere.has(user):
            self._share(session)
        if arriving:
            self._elsewhere.tell_arrived(user)
            if not self._elsewhere.has(user):
                self._arrived(user)

    def unsubscribed(self, session: Session, channel: str) -> None:
        """Count a user out when no subscription brings its events any more."""
        if matches(channel, GENESYS):
            left = any(matches(one.name.text, GENESYS) for one in session.subscriptions)
            if not left:
                self._leave(session)

    def removed(self, session: Session, expired: bool, leftovers: list[bytes]) -> None:
        """Count a session out; keep its undelivered events when its user is gone."""
        user = session.user
        if user is None:
            return
        was_receiver = session in self._receivers.get(user, ())
        position = self._positions.pop(user, None)
        goodbye = session in self._goodbyes
        self._goodbyes.discard(session)
        if session in self._own:
            # Sessions of the user at other nodes have the rest already.
            leftovers = _up_to(leftovers, self._own[session])
        self._leave(session, position, goodbye=goodbye)
        if was_receiver and user not in self._receivers:
            for fragment in leftovers:
                if is_kept(fragment):
                    self.receive(user, fragment)

    def _leave(
        self, session: Session, position: int | None = None, *, goodbye: bool = False
    ) -> None:
        user = session.user
        if user is None:
            return
        self._own.pop(session, None)
        receivers = self._receivers.get(user)
        if receivers is None or receivers.pop(session, None) is None:
            return
        if not receivers:
            del self._receivers[user]
            self._elsewhere.tell_left(user, position, goodbye=goodbye)
            if not self._elsewhere.has(user):
                self._left(user, position, goodbye=goodbye)

    def _arrived(self, user: GmsUser) -> None:
        for presence in self._presences:
            self._tell(presence.arrived, user)

    def _left(self, user: GmsUser, position: int | None, *, goodbye: bool = False) -> None:
        for presence in self._presences:
            self._tell(partial(presence.left, user, position, goodbye=goodbye))

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        self.server.hooks.guarded("presence", None, call, *arguments)

    def disconnecting(self, caller: Caller, session: Session | None, message: Message) -> None:
        """Take the transcript position of a good-bye, also of a forgotten client."""
        ext = object_member(message, "ext") or {}
        position = _position(ext.get("transcriptPosition"))
        user = caller.user if session is None else session.user
        if user is None:
            return
        if session is None:
            if position is not None and not self.is_present(user):
                self._elsewhere.tell_left(user, position, goodbye=False)
                self._left(user, position)
            return
        self._goodbyes.add(session)
        if position is not None:
            self._positions[user] = position

    def called(self, session: Session, channel: ChannelName, message: Message) -> None:
        """Run the handler of a service channel."""
        target = channel.text[len(_SERVICE) :]
        handler = self._handlers.get(target)
        if handler is None:
            return
        caller = self.caller(session)
        _, identifier = message_id(message)
        if caller.calls >= MAX_CALLS:
            failure = {"message": "Too many calls at a time.", "exception": "gms.too_many_requests"}
            if identifier is not None:
                self.server.answer_call(session, channel.text, identifier, False, failure)
            return
        caller.calls += 1
        answering = self._answer(handler, caller, channel.text, identifier, message.get("data"))
        self._tasks.spawn("a remote call", answering)

    async def _answer(
        self,
        handler: ServiceHandler,
        caller: CometCaller,
        channel: str,
        identifier: str | None,
        data: object,
    ) -> None:
        try:
            result, successful = await handler(caller, data), True
        except GmsError as error:
            result, successful = {"message": str(error), "exception": error.code}, False
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
            self.log.failure("Failed in a call to {channel}", channel=channel)
            result = {"message": "The server failed.", "exception": "gms.internal"}
            successful = False
        finally:
            caller.calls -= 1
        if identifier is not None:
            self.server.answer_call(caller.session, channel, identifier, successful, result)

    # -- handshakes -----------------------------------------------------------------

    def caller(self, session: Session) -> CometCaller:
        """Return what hooks and handlers see of a session."""
        known = session.attachment
        if isinstance(known, CometCaller):
            return known
        made = session.attachment = CometCaller(self, session)
        return made

    def admit(self, session: Session, message: Message, reply: Message) -> Decided:
        """Settle a new session's user, then ask the hooks; a refusal says why."""
        ext = object_member(message, "ext") or {}
        try:
            claimed = self._claimed(ext)
            if claimed is not None:
                if session.user is not None and session.user != claimed:
                    raise HandshakeRefused("Header and handshake name different users.")
                session.user = claimed
            for hook in self._hooks:
                hook(self.caller(session), ext)
        except (HandshakeRefused, Unauthorized) as refused:
            reply["ext"] = {"gms": {"message": str(refused), "exception": refused.code}}
            if isinstance(refused, HandshakeElsewhere):
                reply["advice"] = {"reconnect": "retry", "interval": ELSEWHERE_MS}
            return False
        return True

    def _claimed(self, ext: Mapping[str, object]) -> GmsUser | None:
        """The user that a handshake itself names: by token, in mode open by name."""
        token = ext.get("token")
        if isinstance(token, str):
            return self._identity.token_user(token)
        user = ext.get("gms_user")
        if self._identity.mode != "open" or not isinstance(user, str):
            return None
        user = user.strip()
        if not 0 < len(user.encode()) <= MAX_USER_BYTES or not user.isprintable() or "," in user:
            raise HandshakeRefused("ext.gms_user must be 1 to 128 bytes of printable text.")
        return GmsUser(user)

    # -- app.interfaces.ServiceChannels ---------------------------------------------

    def serve(self, target: str, handler: ServiceHandler) -> None:
        """Answer calls to ``/service/<target>``."""
        self._handlers[target] = handler

    def on_handshake(self, hook: HandshakeHook) -> None:
        """Look at every handshake before it succeeds."""
        self._hooks.append(hook)

    def bound(self, attachment: str) -> Sequence[CometCaller]:
        """All sessions to which a handshake hook has attached something of this name."""
        callers = [self.caller(session) for session in self.server.sessions.values()]
        return [caller for caller in callers if attachment in caller.attachments]

    # -- app.interfaces.UserEvents ----------------------------------------------------

    def deliver(self, user: GmsUser, tag: str, message: object, event_id: str = "") -> int:
        """Deliver ``{"id", "message", "tag"}`` to every session of a user.

        :returns: how many sessions it was queued for.
        """
        fragment = self._fragment(tag, message, event_id)
        if fragment is None:
            return 0
        queued = self._spread(user, fragment)
        if not queued and not self.is_present(user) and is_kept(fragment):
            self._absent.keep(user, fragment)
        return queued

    def _spread(self, user: GmsUser, fragment: bytes) -> int:
        """Queue for the user's sessions, and send to other nodes; returns how many there are."""
        receivers = self._receivers.get(user)
        queued = self.server.outbox.spread(list(receivers), fragment) if receivers else 0
        return queued + self._elsewhere.spread(user, fragment)

    def offer(self, user: GmsUser, tag: str, message: object, event_id: str) -> Offered:
        """As :meth:`deliver`, but nothing kept before has to go for it."""
        fragment = self._shared_fragment(tag, message, event_id)
        if fragment is None:
            return Offered.REFUSED
        if self.is_present(user):
            return Offered.QUEUED if self._spread(user, fragment) else Offered.REFUSED
        if not (self._absent.keeps and is_kept(fragment)):
            return Offered.REFUSED
        if self._absent.is_full(user):
            return Offered.FULL
        self._absent.keep(user, fragment)
        return Offered.KEPT

    def _fragment(self, tag: str, message: object, event_id: str) -> bytes | None:
        data = {"id": event_id or self.ids.hex(32), "message": message, "tag": tag}
        return self.server.outbox.extend(None, {"data": data, "channel": GENESYS})

    def _shared_fragment(self, tag: str, message: object, event_id: str) -> bytes | None:
        """The same bytes for everybody whom an event is offered to, one after the other (N06)."""
        if not isinstance(message, str):
            return self._fragment(tag, message, event_id)
        event = (event_id, tag, message)
        if self._offered is None or self._offered[0] != event:
            self._offered = (event, self._fragment(tag, message, event_id))
        return self._offered[1]

    def is_present(self, user: GmsUser) -> bool:
        """Tell whether a session of the user receives ``/_genesys``."""
        return user in self._receivers or self._elsewhere.has(user)

    # -- app.users_elsewhere.UsersHere --------------------------------------------------

    def users_here(self) -> Collection[GmsUser]:
        """Users with a session here that receives ``/_genesys``."""
        return self._receivers

    def take_kept(self, user: GmsUser) -> list[bytes]:
        """Take what is kept for a user."""
        return self._absent.take(user)

    def receive(self, user: GmsUser, fragment: bytes) -> None:
        """Deliver what came for a user, after whom it is sent; nobody there any more: keep it."""
        receivers = self._receivers.get(user)
        if receivers:
            self.server.outbox.spread(list(receivers), fragment)
        elif not self._elsewhere.spread(user, fragment) and is_kept(fragment):
            self._absent.keep(user, fragment)

    def receive_late(self, user: GmsUser, fragments: Iterable[bytes]) -> None:
        """Deliver what is older than anything that is kept for a user, or keep it."""
        if user in self._receivers:
            for fragment in fragments:
                self.receive(user, fragment)
            return
        left = [one for one in fragments if not self._elsewhere.spread(user, one)]
        self._absent.keep_before(user, [one for one in left if is_kept(one)])

    def shared(self, user: GmsUser) -> None:
        """Note what the user's sessions here have got alone."""
        for session in self._receivers.get(user, ()):
            self._share(session)

    def _share(self, session: Session) -> None:
        self._own.setdefault(session, session.queue[-1] if session.queue else None)

    def arrived_elsewhere(self, user: GmsUser) -> None:
        """A user is at another node now."""
        if user not in self._receivers:
            self._arrived(user)

    def lost_a_session(self, user: GmsUser) -> None:
        """A user who is somewhere was at a node, too, that is gone or cannot be reached.

        The session that is left may be the next one of the same client, which has come before we
        heard of the end of the former: what that one had not got it must get.
        """
        if not self._elsewhere.has(user):
            for session in self._receivers.get(user, ()):
                self._own.pop(session, None)
        self._arrived(user)

    def left_elsewhere(self, user: GmsUser, position: int | None, *, goodbye: bool) -> None:
        """A user is at no other node any more."""
        for session in self._receivers.get(user, ()):
            self._own.pop(session, None)
        if user not in self._receivers:
            self._left(user, position, goodbye=goodbye)

    def watch(self, presence: Presence) -> None:
        """Tell this one about every user from now on."""
        self._presences.append(presence)


def settings_from(options: BayeuxOptions) -> Settings:
    """Pick out of the options what the core looks at."""
    names = [one.name for one in fields(Settings)]
    return Settings(**{name: getattr(options, name) for name in names})


def _up_to(fragments: list[bytes], last: bytes | None) -> list[bytes]:
    """The fragments up to that very one; none when it is not among them."""
    for place, fragment in enumerate(fragments):
        if fragment is last:
            return fragments[: place + 1]
    return []


def _position(value: object) -> int | None:
    """``transcriptPosition`` as clients send it: a number, or its text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    return None
