"""The agent desk's server side: what the desk page may ask, and what it is told.

The page is a Bayeux client that put a ticket into its handshake (``ext.desk``);
it calls ``/service/desk`` and is told about the world on ``/service/desk/event``.
The shapes are in docs/desk-protocol.md.

An agent may have several windows.  Each is one Bayeux session; all get every
event.  When the last one is gone the rooms are told, which start the grace after
which the agent's chats go back to their queues.

Knows: agents, windows, which chats are whose.  Does not know: HTTP, passwords,
how rooms are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.desk_people import NotLoggedIn
from gms_twisted.app.interfaces import BayeuxCaller, HandshakeRefused, ServiceChannels
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import ChatOptions, ChatServerOptions, LimitOptions
from gms_twisted.domain.chat import AfterAction, ChatEvent, Notice, NoticeType
from gms_twisted.domain.chat_text import clean_text
from gms_twisted.domain.errors import (
    Conflict,
    Forbidden,
    GmsError,
    InvalidRequest,
    NotFound,
    TooLarge,
)
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers, WallClock
from gms_twisted.embedded.desk_administration import DeskAdministration
from gms_twisted.embedded.desk_agents import EVENTS, AgentDesk, Call, ReadMarks, Taken
from gms_twisted.embedded.desk_calls import NO_VOICE, DeskCalls
from gms_twisted.embedded.desk_parameters import (
    Data,
    chat_of,
    flag_of,
    position_of,
    pushable_url,
    text_of,
)
from gms_twisted.embedded.desk_poke import DeskPokes, Poker
from gms_twisted.embedded.desk_shapes import (
    Shape,
    agent_shape,
    customer_shape,
    entry_shape,
    events_shape,
    group_of,
    past_shape,
)
from gms_twisted.embedded.rooms import (
    AgentSide,
    AlreadyTaken,
    Dequeued,
    NotInRoom,
    SessionInfo,
)
from gms_twisted.store.interfaces import Store

SERVICE = "desk"
MAX_WINDOWS = 20
LONGEST_TEXT = 1_000_000


class CustomerFiles(Protocol):
    """Finds what a customer's application uploaded with its service."""

    async def __call__(self, service_id: str) -> Sequence[Mapping[str, object]]:
        """``key``, ``filename``, ``type``, ``size`` and ``url`` of each file; none is fine."""


class Desk:
    """Agents at their desks.  Implements ``RoomListener``.

    :param voice: their calls; ``None``: there is no contact centre.
    :param poker: nudges customers; ``None``: none can be.
    """

    log = Logger()

    def __init__(
        self,
        rooms: AgentSide,
        accounts: DeskAccounts,
        channels: ServiceChannels,
        store: Store,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        files: CustomerFiles,
        chat: ChatOptions,
        chat_server: ChatServerOptions,
        limits: LimitOptions,
        voice: DeskCalls | None = None,
        poker: Poker | None = None,
    ) -> None:
        self._rooms = rooms
        self._accounts = accounts
        self._timers = timers
        self._wall = wall
        self._tasks = tasks
        self._files = files
        self._chat = chat
        self._chat_server = chat_server
        self._limits = limits
        self._voice = voice
        self._marks = ReadMarks(store, wall, ids, chat.chat_session_ttl_s)
        self._pokes = DeskPokes(poker, rooms, timers)
        self._desks: dict[AgentName, AgentDesk] = {}
        self._calls: dict[str, Call] = {
            "hello": self._hello,
            "state": self._state,
            "accept": self._accept,
            "open": self._open,
            "send": self._send,
            "typing": self._typing,
            "push_url": self._push_url,
            "read": self._read,
            "end": self._end,
            "requeue": self._requeue,
            "history": self._history,
            "past": self._past,
            **self._pokes.calls(),
            **DeskAdministration(accounts, self.states, self._voice_of).calls(),
            **(NO_VOICE if voice is None else voice.calls()),
        }
        channels.on_handshake(self._handshake)
        channels.serve(SERVICE, self._call)
        rooms.listen(self)
        accounts.when_ended(self._login_ended)

    def reconfigure(
        self, chat: ChatOptions, chat_server: ChatServerOptions, limits: LimitOptions
    ) -> None:
        """Take other limits and texts; open windows see them after their next hello."""
        self._chat = chat
        self._chat_server = chat_server
        self._limits = limits
        if self._voice is not None:
            self._voice.grace_s = chat_server.agent_grace_s

    # Windows

    def _handshake(self, caller: BayeuxCaller, ext: Mapping[str, object]) -> None:
        """Bind a window to its agent; a handshake without ``ext.desk`` is not ours."""
        desk = ext.get("desk")
        if desk is None:
            return
        ticket = desk.get("ticket") if isinstance(desk, Mapping) else None
        try:
            name, login = self._accounts.redeem(ticket if isinstance(ticket, str) else "")
        except NotLoggedIn as error:
            raise HandshakeRefused(str(error)) from error
        caller.attachments["desk"] = (name, login)

    async def _window(self, caller: BayeuxCaller) -> AgentDesk:
        """Find the desk of a caller, opening it with the caller's first call."""
        bound = caller.attachments.get("desk")
        if not isinstance(bound, tuple):
            raise Forbidden("This connection has not logged in to the desk.")
        name, login = bound
        agent = await self._accounts.agent(name)
        if agent is None or not agent.enabled:
            raise Forbidden("This account is disabled.")
        desk = self._desks.get(name)
        if desk is None:
            keep_s = self._chat_server.closed_session_ttl_s
            fresh = AgentDesk(agent, self._rooms, self._timers, keep_s)
            fresh.read = await self._marks.load(name)
            if self._voice is not None:
                await self._voice.prepare(name)
            desk = self._desks.setdefault(name, fresh)
            for session in self._rooms.sessions_of(name):
                desk.chats.add(session.session_id)
                await desk.count_unread(session)
        desk.agent = agent
        if caller in desk.windows:
            return desk
        ends_at = await self._accounts.login_ends(login)
        if ends_at is None:
            raise Forbidden("This log-in is over.")
        if caller not in desk.windows:
            if len(desk.windows) >= MAX_WINDOWS:
                raise Conflict(f"At most {MAX_WINDOWS} windows of one agent.")
            was_empty = not desk.windows
            desk.windows[caller] = login
            if was_empty:
                self._rooms.agent_back(name)
                if self._voice is not None:
                    self._voice.opened(desk)
            left_s = max(0.0, ends_at - self._wall.now())
            over = self._timers.callLater(left_s, self._login_ended, name, login)
            caller.when_gone(lambda: self._window_gone(name, caller, over))
        return desk

    def _window_gone(self, name: AgentName, caller: BayeuxCaller, over: DelayedCall) -> None:
        if over.active():
            over.cancel()
        desk = self._desks.get(name)
        if desk is None or desk.windows.pop(caller, None) is None or desk.windows:
            return
        self._rooms.agent_gone(name)
        if self._voice is not None:
            self._voice.closed(desk)
        self.log.info("Agent {agent} has no window open", agent=name)

    def _login_ended(self, name: AgentName, key: str) -> None:
        desk = self._desks.get(name)
        if desk is None:
            return
        reason = "logout" if key else "disabled"
        for caller, login in list(desk.windows.items()):
            if not key or login == key:
                caller.deliver(EVENTS, {"type": "signed_out", "reason": reason})
                caller.disconnect()

    def states(self) -> Mapping[AgentName, str]:
        """``ready``, ``away`` or ``offline`` of every agent who was here since the start."""
        return {
            name: desk.state if desk.windows else "offline" for name, desk in self._desks.items()
        }

    def _voice_of(self, name: AgentName) -> str | None:
        return None if self._voice is None else self._voice.state_of(name)

    # Calls

    async def _call(self, caller: BayeuxCaller, data: object) -> object:
        if not isinstance(data, Mapping):
            raise InvalidRequest("data: an object with a member do.", "data")
        call = self._calls.get(text_of(data, "do", 32))
        if call is None:
            raise InvalidRequest("do: no such call.", "do")
        desk = await self._window(caller)
        return await self._tasks.finish("desk call", call(desk, caller, data))

    async def _hello(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chats = [*self._rooms.sessions_of(desk.name), *desk.finished.values()]
        canned = (entry.partition("=") for entry in self._chat.canned)
        return {
            "agent": agent_shape(desk.agent, desk.state, self._voice_of(desk.name)),
            "queue": [entry_shape(session) for session in self._rooms.waiting()],
            "chats": [desk.summary(session) for session in chats],
            "groups": [group_of(queue) for queue in self._chat_server.queues],
            "settings": {
                "canned": [{"key": key.strip(), "text": text} for key, _, text in canned],
                "amber_s": self._chat.queue_amber_s,
                "red_s": self._chat.queue_red_s,
                "max_message": self._limits.c02_message_chars,
                "push_hosts": list(self._chat.push_url_hosts),
            },
            "voice": None if self._voice is None else self._voice.hello(desk),
            "now": self._wall.now(),
        }

    async def _state(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        state = text_of(data, "state", 16)
        if state not in ("ready", "away"):
            raise InvalidRequest("state: ready or away.", "state")
        if state != desk.state:
            desk.state = state
            desk.tell({"type": "agent_state", "state": state}, besides=caller)
            if self._voice is not None:
                self._voice.state_changed(desk)
        return {"state": state}

    async def _accept(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        try:
            await self._rooms.accept(chat, desk.name, desk.agent.display_name)
        except AlreadyTaken as error:
            raise Taken("Another agent was first.") from error
        return await self._whole(desk, chat, 0)

    async def _open(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        if chat not in desk.finished:
            self._mine(desk, chat)
        return await self._whole(desk, chat, position_of(data, "after", 0))

    async def _send(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        text = clean_text(text_of(data, "text", LONGEST_TEXT), "text")
        if len(text) > self._limits.c02_message_chars:
            raise TooLarge(f"text: at most {self._limits.c02_message_chars} characters.")
        if not text.strip():
            raise InvalidRequest("text: must not be empty.", "text")
        position = await self._rooms.send(chat, desk.name, text, text_of(data, "ref", 64))
        desk.typing.discard(chat)
        return {"position": position}

    async def _typing(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat, on = chat_of(data), flag_of(data, "on")
        if on == (chat in desk.typing):
            return {}
        kind = NoticeType.TYPING_STARTED if on else NoticeType.TYPING_STOPPED
        await self._rooms.notice(chat, desk.name, Notice(kind))
        (desk.typing.add if on else desk.typing.discard)(chat)
        return {}

    async def _push_url(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        url = pushable_url(text_of(data, "url", 2000), self._chat.push_url_hosts)
        notice = Notice(NoticeType.PUSH_URL, url)
        return {"position": await self._rooms.notice(chat, desk.name, notice)}

    async def _read(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat, position = chat_of(data), position_of(data, "position")
        session = desk.finished.get(chat) or self._mine(desk, chat)
        position = min(position, session.last_position)
        if position <= desk.read.get(chat, 0):
            return {}
        desk.read[chat] = position
        await desk.count_unread(session)
        await self._marks.save(desk.name, chat, position)
        desk.tell_changed(session, besides=caller)
        return {}

    async def _end(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        if chat in desk.finished:
            desk.forget(chat)
        else:
            await self._rooms.leave(chat, desk.name, AfterAction.CLOSE)
        return {}

    async def _requeue(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        await self._rooms.requeue(chat_of(data), desk.name)
        return {}

    async def _history(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        session = await self._seen(desk, chat_of(data))
        past = await self._rooms.history(session.gms_user)
        return {"chats": [past_shape(one) for one in past if one.session_id != session.session_id]}

    async def _past(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        session = await self._seen(desk, chat_of(data))
        earlier = await self._rooms.session(chat_of(data, "earlier"))
        if not session.gms_user or earlier.gms_user != session.gms_user:
            raise NotFound("No such earlier chat of this customer.")
        transcript = await self._rooms.transcript(earlier.session_id)
        return {"events": events_shape(earlier, transcript, desk.name)}

    # Chats

    def _mine(self, desk: AgentDesk, chat: ChatSessionId) -> SessionInfo:
        for session in self._rooms.sessions_of(desk.name):
            if session.session_id == chat:
                return session
        raise NotInRoom("This chat is not yours.")

    async def _seen(self, desk: AgentDesk, chat: ChatSessionId) -> SessionInfo:
        """A chat that this agent may look into: its own, or one that waits."""
        if chat in desk.finished:
            return desk.finished[chat]
        for session in self._rooms.waiting():
            if session.session_id == chat:
                return session
        return self._mine(desk, chat)

    async def _whole(self, desk: AgentDesk, chat: ChatSessionId, after: int) -> Shape:
        session = await self._rooms.session(chat)
        transcript = await self._rooms.transcript(chat, after)
        if session.closed_at is None:
            desk.chats.add(chat)
        await desk.count_unread(session)
        try:
            files = [dict(one) for one in await self._files(session.service_id)]
        except GmsError:
            files = []  # the service may have ended before the chat
        return {
            "summary": desk.summary(session),
            "events": events_shape(session, transcript, desk.name),
            "customer": customer_shape(session, files, await self._pokes.offer(session)),
        }

    # What happens in the rooms

    def session_queued(self, session: SessionInfo) -> None:
        """Every agent sees the queue."""
        for desk in self._desks.values():
            desk.tell({"type": "queue_added", "entry": entry_shape(session)})

    def session_dequeued(self, session: SessionInfo, reason: Dequeued) -> None:
        """Every agent sees the queue."""
        event: Shape = {
            "type": "queue_removed",
            "chat": session.session_id,
            "reason": reason.value,
        }
        for desk in self._desks.values():
            desk.tell(event)

    def event(self, session: SessionInfo, event: ChatEvent) -> None:
        """The agents of a chat see what is said in it."""
        for name in session.agents:
            desk = self._desks.get(name)
            if desk is not None:
                desk.happened(session, event)

    def session_changed(self, session: SessionInfo) -> None:
        """The agents of a chat see its state; those no longer in it lose it."""
        for name, desk in self._desks.items():
            if name in session.agents:
                desk.chats.add(session.session_id)
                desk.tell_changed(session)
            elif session.session_id in desk.chats:
                desk.drop(session.session_id)

    def session_closed(self, session: SessionInfo) -> None:
        """A chat that ended stays in the lists of its agents for a while."""
        for desk in self._desks.values():
            if session.session_id in desk.chats:
                desk.finish(session)
