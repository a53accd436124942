"""All clients: sessions, dispatch, publish, sweep.

Start reading here.  A transport turns bytes into messages (``codec.decode``) and
calls :meth:`BayeuxServer.begin`; what is to be sent comes back through the
transport's :class:`gms_twisted.bayeux.session.Carrier`.  The host gives time:
:meth:`BayeuxServer.tick` for deadlines, :meth:`BayeuxServer.sweep` for channels,
``outbox.flush`` at the end of a loop turn that woke it.

Knows: sessions by id, the pipeline of a message.  Does not know: HTTP, sockets,
``/_genesys``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from typing import Protocol

from gms_twisted.bayeux import meta, publishing
from gms_twisted.bayeux.authority import BY_POLICY, Authorizer, ClientRules, Decided, Policy
from gms_twisted.bayeux.channels import (
    BROADCAST,
    META,
    Channel,
    ChannelName,
    Channels,
    Listener,
    Names,
)
from gms_twisted.bayeux.codec import Message, encode
from gms_twisted.bayeux.exchange import Exchange, Handling, check_handshake
from gms_twisted.bayeux.extensions import (
    Extension,
    Timestamp,
    answer_timesync,
    is_inactive,
    mark_activity,
)
from gms_twisted.bayeux.hooks import Hooks
from gms_twisted.bayeux.messages import (
    CONNECT,
    HANDSHAKE,
    Error,
    error_text,
    message_id,
    milliseconds,
    object_member,
)
from gms_twisted.bayeux.outbox import Outbox
from gms_twisted.bayeux.registry import Registry
from gms_twisted.bayeux.session import Caller, Carrier, Session, State
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.ids import ClientId, GmsUser
from gms_twisted.domain.sources import Clock, IdSource, WallClock
from gms_twisted.domain.wheel import TimerWheel

SPREAD_S = 30.0
"""So long after the start, clients that we do not know come back at random times."""
SPREAD_OVER_S = 5.0
TICK_S = 0.1
"""How exactly deadlines are met, and how often :meth:`BayeuxServer.tick` is called."""
_PER_TICK = 500


class Host(Protocol):
    """What the core tells the application, and asks of it."""

    def wake(self) -> None:
        """``outbox.flush`` is to be called at the end of this turn."""

    def suspend(self, exchange: Exchange, decided: Decided) -> None:
        """Wait for a decision, then call ``exchange.resume`` with it."""

    def failed(self, what: str, error: Exception) -> None:
        """Log that a listener, extension or policy raised."""

    def subscribed(self, session: Session, channel: str) -> None:
        """A session is subscribed to a channel or pattern."""

    def unsubscribed(self, session: Session, channel: str) -> None:
        """It is not any more, though the session goes on."""

    def removed(self, session: Session, expired: bool, leftovers: list[bytes]) -> None:
        """A session is over; what was queued for it is lost unless taken now."""

    def called(self, session: Session, channel: ChannelName, message: Message) -> None:
        """Something was published to a service channel."""

    def disconnecting(self, caller: Caller, session: Session | None, message: Message) -> None:
        """A client, known or not, says good-bye."""


class BayeuxServer:
    """The server without its transports.

    :param exempt: addresses that are not counted.
    :ivar mark: what client ids begin with: where their sessions are.
    :ivar published: told what clients publish, as subscribers see it, if anybody asks.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        wall: WallClock,
        ids: IdSource,
        host: Host,
        policy: Policy | None = None,
        exempt: Container[str] = (),
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.wall = wall
        self.ids = ids
        self.host = host
        self.policy: Policy = policy or ClientRules()
        self.names = Names(settings.max_channel_name)
        self.channels = Channels()
        self._wheel: TimerWheel[Session] = TimerWheel(clock.seconds(), TICK_S)
        self._due: deque[Session] = deque()
        self.hooks = Hooks(self.channels, host.failed)
        self.outbox = Outbox(
            settings, clock, wall, self.hooks, self._wheel, host.wake, self.overflow
        )
        self.registry = Registry(settings, exempt)
        self.sessions = self.registry.sessions
        self.closing = False
        self.mark = ""
        self.published: Callable[[Message], None] | None = None
        self._spread_until = clock.seconds() + SPREAD_S
        if settings.timestamp:
            self.add_extension(Timestamp(wall))

    def reconfigure(self, settings: Settings, policy: Policy) -> None:
        """Go on by other settings; sessions take theirs over with their next connect."""
        self.settings = self.outbox.settings = self.registry.settings = settings
        self.policy = policy
        self.names = Names(settings.max_channel_name)

    # -- payloads ---------------------------------------------------------------

    def begin(
        self,
        messages: list[Message],
        caller: Caller,
        carrier: Carrier,
        held: object,
        bound: Session | None = None,
        adopt: bool = True,
    ) -> Exchange:
        """Take a payload; call :meth:`Exchange.run` on what comes back.

        :param bound: the session that the connection stands for.
        :param adopt: without one, take the session that the first message names.
        :raises MalformedPayload: a handshake stands where it must not.
        """
        messages = check_handshake(messages)
        session = bound
        if session is None and adopt:
            named = messages[0].get("clientId")
            if type(named) is str:
                found = self.sessions.get(named)
                if found is not None and found.usable_by(
                    caller, self.settings.trust_client_session
                ):
                    session = found
        if messages[0].get("channel") == HANDSHAKE:
            session = None
        elif session is not None and carrier.pushes and session.carrier is not carrier:
            self._move(session, carrier)
        return Exchange(self, messages, caller, carrier, held, session)

    def _move(self, session: Session, carrier: Carrier) -> None:
        """Deliver by another socket from now on, before any connect is held there.

        A long poll that is held goes on until the first connect on the socket.
        """
        former = session.carrier
        if session.held is None or (former is not None and former.pushes):
            self.outbox.unhold(session)
            session.carrier = carrier
            self.outbox.mark(session)

    def handle(self, exchange: Exchange, message: Message) -> bytes | Handling | None:
        """Process one message: its encoded reply, nothing, or what is still to be done.

        The steps and their order are those of the protocol's pipeline.
        """
        channel = message.get("channel")
        known, identifier = message_id(message)
        reply: Message = {} if identifier is None else {"id": identifier}
        if channel is None:
            return self.refuse(None, reply, Error.CHANNEL_MISSING)
        name = self.names.parse(channel) if type(channel) is str else None
        if type(channel) is str and len(channel) <= self.settings.max_channel_name:
            reply["channel"] = channel
        if name is None:
            return self.refuse(None, reply, Error.CHANNEL_INVALID)
        if not known and self.settings.validate_message_fields:
            return self.refuse(None, reply, Error.ID_INVALID)
        session = exchange.session
        extended = self.hooks.extensions or (session is not None and session.extras is not None)
        if extended and not self.hooks.incoming(session, message):
            return self.refuse(session, reply, Error.MESSAGE_DELETED)
        if name.text == HANDSHAKE:
            return meta.handshake(self, exchange, message, reply)
        if session is None or not session.alive or message.get("clientId") != session.client_id:
            return self._unknown(exchange, name, message, reply)
        now = self.clock.seconds()
        if name.text == CONNECT:
            return meta.connect(self, exchange, session, message, reply)
        self.touch(session, name.text, now)
        if name.kind is META:
            handler = meta.HANDLERS.get(name.text)
            if handler is None:
                return self.refuse(session, reply, Error.CHANNEL_CREATE_DENIED, BY_POLICY)
            if not self.hooks.heard(session, name, message):
                return self.refuse(session, reply, Error.MESSAGE_DELETED)
            return handler(self, exchange, session, message, reply)
        return publishing.publish(self, exchange, session, name, message, reply)

    def _unknown(
        self, exchange: Exchange, name: ChannelName, message: Message, reply: Message
    ) -> bytes | None:
        if name.text == CONNECT:
            reply["advice"] = {"reconnect": "handshake", "interval": self._return_ms()}
        elif name.text == "/meta/disconnect":
            self.host.disconnecting(exchange.caller, None, message)
        return self.refuse(None, reply, Error.SESSION_UNKNOWN)

    def _return_ms(self) -> int:
        """When an unknown client may shake hands: at once, except after a restart."""
        if self.clock.seconds() >= self._spread_until:
            return 0
        return milliseconds(self.ids.uniform(0.0, SPREAD_OVER_S))

    def spread_returns(self) -> None:
        """Spread reconnects from now on: another node has gone."""
        self._spread_until = self.clock.seconds() + SPREAD_S

    def touch(self, session: Session, channel: str, now: float) -> None:
        """Count a message as a sign of life."""
        if session.expire_at:
            life = session.max_interval_s
            until = now + (session.settings.max_interval_s if life is None else life)
            session.expire_at = max(session.expire_at, until)
        mark_activity(session, channel, now)

    def carries(self, exchange: Exchange, session: Session, connect: bool) -> bool:
        """Tell whether what waits for a session leaves with this answer."""
        if exchange.greeting is not None:
            return exchange.carrier.settings.allow_message_delivery_during_handshake
        if not session.alive or not (session.queue or session.extras or connect):
            return False
        if session.batches:
            return connect
        deliver_only = session.deliver_only or exchange.carrier.deliver_only
        return connect or not deliver_only

    def greet(self, exchange: Exchange, reply: Message) -> bytes | None:
        """Finish a handshake reply, once it is known what goes with it."""
        session = exchange.session
        if session is None:
            return self.outbox.extend(None, reply)
        ext = object_member(reply, "ext") or {}
        if session.settings.allow_message_delivery_during_handshake:
            reply["x-messages"] = len(exchange.deliveries)
            if session.acks is not None:
                ext["ack"] = {"enabled": True, "batch": session.acks.batch - 1}
        sync = answer_timesync(session, self.wall.now())
        if sync is not None:
            ext["timesync"] = sync
        if ext:
            reply["ext"] = ext
        self.outbox.await_connect(session)
        return self.outbox.extend(session, reply)

    # -- replies ----------------------------------------------------------------

    def refuse(
        self, session: Session | None, reply: Message, error: Error, reason: str = ""
    ) -> bytes | None:
        """Encode a failed reply."""
        reply["successful"] = False
        reply["error"] = error_text(error, reason, self.settings.legacy_error_text)
        return self.outbox.extend(session, reply)

    def accept(self, session: Session | None, reply: Message) -> bytes | None:
        """Encode a successful reply."""
        reply["successful"] = True
        return self.outbox.extend(session, reply)

    # -- extensions, listeners, decisions ----------------------------------------

    def add_extension(self, extension: Extension) -> None:
        """Let an extension see all messages."""
        self.hooks.extensions.append(extension)

    def listen(self, channel: str, listener: Listener) -> Callable[[], None]:
        """Let a listener see what goes into a channel or pattern; returns how to stop it."""
        return self.hooks.listen(self.channel(channel), listener)

    def authorize(self, channel: str, authorizer: Authorizer) -> Callable[[], None]:
        """Let an authorizer decide about a channel or pattern; returns how to remove it."""
        return self.hooks.authorize(self.channel(channel), authorizer)

    def suspend(self, exchange: Exchange, decided: Decided) -> None:
        """Let the host wait for a decision."""
        session = exchange.session
        limit = self.settings.max_processing_s
        if session is not None and limit is not None and limit > 0:
            session.busy_since = self.clock.seconds()
            until = session.busy_since + limit
            self._wheel.set(session, min(until, session.wheel_deadline))
        self.host.suspend(exchange, decided)

    # -- the application's side ----------------------------------------------------

    def channel(self, name: str) -> Channel:
        """Return a channel, made when missing.

        :raises ValueError: the name is invalid.
        """
        parsed = self.names.parse(name)
        if parsed is None:
            raise ValueError(f"{name!r} is not a channel name")
        return self.channels.make(parsed)

    def publish(self, channel: str, data: object, *, lazy: bool = False) -> int:
        """Publish for the application; returns how many sessions it was queued for."""
        made = self.channel(channel)
        message: Message = {"channel": made.name.text}
        if data is not None:
            message["data"] = data
        return publishing.spread(self, made, message, None, lazy)

    def publish_as_it_is(self, message: Message) -> int:
        """Publish what a client of another node has published."""
        name = self.names.parse(str(message.get("channel")))
        if name is None or name.kind is not BROADCAST or not name.publishable:
            return 0
        if name.text not in self.channels and self.channels.full:
            return 0
        return publishing.spread(self, self.channels.make(name), message, None)

    def deliver(self, session: Session, channel: str, data: object, *, lazy: bool = False) -> bool:
        """Deliver to one session, subscribed or not; ``False`` when it is over."""
        message: Message = {"channel": channel}
        if data is not None:
            message["data"] = data
        return self.deliver_message(session, message, lazy=lazy)

    def deliver_message(self, session: Session, message: Message, *, lazy: bool = False) -> bool:
        """Deliver a message as it is."""
        fragment = self.outbox.extend(None, message)
        if fragment is None or not session.alive:
            return False
        wait = session.settings.max_lazy_timeout_s if lazy else None
        return self.outbox.put(session, fragment, wait)

    def answer_call(
        self, session: Session, channel: str, identifier: str, successful: bool, data: object
    ) -> bool:
        """Deliver the result of a remote call.  Bayeux: Service channels."""
        return self.deliver_message(
            session,
            {"channel": channel, "id": identifier, "successful": successful, "data": data},
        )

    def retime(
        self,
        session: Session,
        *,
        timeout_s: float | None = None,
        interval_s: float | None = None,
        max_interval_s: float | None = None,
    ) -> None:
        """Give a session times of its own; the client is advised with its next reply."""
        if timeout_s is not None:
            session.timeout_s, session.advise = timeout_s, True
        if interval_s is not None:
            session.interval_s, session.advise = interval_s, True
        if max_interval_s is not None:
            session.max_interval_s = max_interval_s

    def local_session(self, user: GmsUser | None = None) -> Session:
        """Make a session of the application's own, which never expires."""
        session = self.new_session(Caller("", user), self.settings)
        session.local = True
        session.state = State.CONNECTED
        self.sessions[session.client_id] = session
        return session

    # -- life of sessions --------------------------------------------------------

    def new_session(self, caller: Caller, settings: Settings) -> Session:
        """Make a session that nobody knows yet."""
        client_id = self.ids.client_id()
        if self.mark:
            client_id = self.mark + client_id[len(self.mark) :]
        session = Session(ClientId(client_id), caller, settings)
        session.deliver_only = settings.meta_connect_deliver_only
        if self.settings.max_inactivity_s is not None:
            extras = session.extra()
            extras.max_inactivity_s = self.settings.max_inactivity_s
            extras.active_at = self.clock.seconds()
        return session

    def disconnect(self, session: Session, exchange: Exchange | None = None) -> None:
        """End a session for the application; the client is told.

        :param exchange: tell it with the answer to this payload of its.
        """
        if not session.alive:
            return
        fragment = encode({"channel": "/meta/disconnect", "successful": True})
        self.outbox.put(session, fragment)
        if exchange is not None:
            exchange.deliveries += self.outbox.take(session, exchange.replies)
        self.remove(session)

    def overflow(self, session: Session) -> None:
        """End a session that is too far behind; its client finds out by a 402."""
        self.remove(session, overflow=True)

    def remove(self, session: Session, *, expired: bool = False, overflow: bool = False) -> None:
        """End a session.  What it holds is answered, what waits goes along."""
        if not session.alive:
            return
        session.end(expired=expired)
        self.registry.drop(session)
        for channel in session.subscriptions:
            channel.subscribers.pop(session, None)
            self.channels.left(channel)
        session.subscriptions.clear()
        carrier = session.carrier
        if not (expired or overflow) and carrier is not None:
            if carrier.pushes and not session.deliver_only and session.queue:
                carrier.push(session)
            if session.held is not None:
                self.outbox.answer(session)
        self.outbox.unhold(session)
        self._wheel.clear(session)
        leftovers = self.outbox.discard(session)
        if session.extras is not None:
            for listener in session.extras.removal:
                self.hooks.guarded("a removal listener", None, listener, session, expired)
        self.host.removed(session, expired, leftovers)
        if carrier is not None:
            carrier.ended(session, overflow)
        session.carrier = None

    # -- time --------------------------------------------------------------------

    def tick(self) -> bool:
        """Look at sessions whose deadline has come; tell whether some are left.

        To be called ten times a second, and again next turn when some are left.
        """
        now = self.clock.seconds()
        due = self._due
        due.extend(self._wheel.expired(now))
        for _ in range(min(len(due), _PER_TICK)):
            session = due.popleft()
            if session.alive:
                # What goes wrong with one session is no reason to forget the others.
                self.hooks.guarded("the deadline of a session", None, self._look_at, session, now)
        return bool(due)

    def _look_at(self, session: Session, now: float) -> None:
        """Do what is due for a session."""
        limit = self.settings.max_processing_s
        if limit is not None and session.busy_since and now >= session.busy_since + limit:
            self.remove(session, expired=True)
            return
        if session.expire_at and now >= session.expire_at:
            carrier = session.carrier
            if carrier is None or not carrier.is_writing(session):
                self.remove(session, expired=True)
                return
            session.expire_at = now + session.settings.max_interval_s
        if session.lazy_at and now >= session.lazy_at:
            session.lazy_at = 0.0
            session.wake = True
            self.outbox.mark(session)
        if session.hold_until and now >= session.hold_until:
            if is_inactive(session, now):
                self.disconnect(session)
                return
            self.outbox.answer(session)
        later = [when for when in (session.expire_at, session.lazy_at, session.hold_until) if when]
        if later:
            self._wheel.set(session, min(later))

    def sweep(self) -> None:
        """Forget channels that nobody uses; to be called every ``sweepPeriod``."""
        self.channels.sweep()
