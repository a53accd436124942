"""One agent at work: windows, unread marks, the chats in the list.

Knows: what an agent's list holds and how far the agent has looked.  Does not
know: calls, rooms' rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from gms_twisted.app.desk_people import Agent
from gms_twisted.app.interfaces import BayeuxCaller
from gms_twisted.domain.chat import ChatEvent
from gms_twisted.domain.errors import Conflict
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.embedded.desk_parameters import Data
from gms_twisted.embedded.desk_shapes import (
    Shape,
    counts_as_unread,
    event_shape,
    summary_shape,
)
from gms_twisted.embedded.rooms import AgentSide, SessionInfo
from gms_twisted.store.interfaces import Kind, Put, Store, Unit, UnitId

EVENTS = "/service/desk/event"
MARKS = Kind("desk-mark")
MAX_FINISHED = 100


class Taken(Conflict):
    """Another agent was first."""

    code = "gms.desk.taken"


class ReadMarks:
    """How far each agent has looked into each chat; survives a restart."""

    def __init__(self, store: Store, wall: WallClock, ids: IdSource, lifetime_s: float) -> None:
        self._store = store
        self._wall = wall
        self._ids = ids
        self._lifetime_s = lifetime_s

    async def load(self, agent: AgentName) -> dict[ChatSessionId, int]:
        """Read an agent's marks."""
        return {
            ChatSessionId(record.key.partition("/")[2]): json.loads(record.value)
            for record in await self._store.find(MARKS, "agent", agent)
        }

    async def save(self, agent: AgentName, chat: ChatSessionId, position: int) -> None:
        """Keep one mark."""
        put = Put(
            MARKS,
            f"{agent}/{chat}",
            json.dumps(position).encode(),
            self._wall.now() + self._lifetime_s,
            {"agent": agent},
        )
        await self._store.commit(Unit(UnitId(self._ids.uuid()), (put,)))


class AgentDesk:
    """One agent's desk, seen in all of the agent's windows.

    :ivar state: ``ready`` or ``away``.
    :ivar windows: Bayeux sessions, with the key of the log-in of each.
    :ivar chats: chats the agent is in.
    :ivar finished: chats that ended lately, kept in the list until they age out.
    :ivar typing: chats in which the customer sees "is typing".
    """

    def __init__(self, agent: Agent, rooms: AgentSide, timers: Timers, keep_s: float) -> None:
        self.agent = agent
        self.state = "away"
        self.windows: dict[BayeuxCaller, str] = {}
        self.chats: set[ChatSessionId] = set()
        self.finished: dict[ChatSessionId, SessionInfo] = {}
        self.typing: set[ChatSessionId] = set()
        self.read: dict[ChatSessionId, int] = {}
        self._unread: dict[ChatSessionId, int] = {}
        self._rooms = rooms
        self._timers = timers
        self._keep_s = keep_s

    @property
    def name(self) -> AgentName:
        """The agent's stable name."""
        return self.agent.name

    def tell(self, event: Shape, besides: BayeuxCaller | None = None) -> None:
        """Deliver to every window, or to every other one."""
        for caller in list(self.windows):
            if caller is not besides:
                caller.deliver(EVENTS, event)

    def summary(self, session: SessionInfo) -> Shape:
        """A chat in this agent's list."""
        chat = session.session_id
        return summary_shape(session, self.name, self._unread.get(chat, 0), self.read.get(chat, 0))

    def tell_changed(self, session: SessionInfo, besides: BayeuxCaller | None = None) -> None:
        """Show a chat's new state."""
        self.tell({"type": "chat_changed", "summary": self.summary(session)}, besides)

    async def count_unread(self, session: SessionInfo) -> None:
        """Count anew what the agent has not looked at."""
        chat = session.session_id
        news = await self._rooms.transcript(chat, self.read.get(chat, 0))
        self._unread[chat] = sum(map(counts_as_unread, news.events))

    def happened(self, session: SessionInfo, event: ChatEvent) -> None:
        """Show one event of a chat that the agent is in."""
        chat = session.session_id
        shape = event_shape(session, event, self.name)
        if counts_as_unread(event):
            self._unread[chat] = self._unread.get(chat, 0) + 1
        elif shape["mine"] and shape["type"] == "message":
            self._unread[chat] = 0
            self.read[chat] = event.position
        unread = self._unread.get(chat, 0)
        self.tell({"type": "chat_event", "chat": chat, "event": shape, "unread": unread})

    def finish(self, session: SessionInfo) -> None:
        """Keep a chat that has ended in the list for a while."""
        chat = session.session_id
        self.chats.discard(chat)
        while len(self.finished) >= MAX_FINISHED:
            self.forget(next(iter(self.finished)))
        self.finished[chat] = session
        self._timers.callLater(self._keep_s, self.forget, chat)
        self.tell_changed(session)

    def forget(self, chat: ChatSessionId) -> None:
        """Take an ended chat out of the list."""
        if self.finished.pop(chat, None) is not None:
            self.drop(chat)

    def drop(self, chat: ChatSessionId) -> None:
        """Take a chat out of the list."""
        self.chats.discard(chat)
        self._unread.pop(chat, None)
        self.read.pop(chat, None)
        self.typing.discard(chat)
        self.tell({"type": "chat_gone", "chat": chat})


Call = Callable[[AgentDesk, BayeuxCaller, Data], Coroutine[Any, Any, Shape]]
"""Carries out one call of the page, and returns its result."""
