"""The chat server's rooms, hosted: agents' side, listeners, clocks.

:class:`RoomHost` is what the desk and the agents' port program against
(:class:`gms_twisted.embedded.rooms.AgentSide`), and what ``flex.py`` builds the
customers' side on.  Start it before the ports and stop it after them.

Knows: agents, listeners, who is served where.  Does not know: XML,
sockets, flex users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from twisted.logger import Logger

from gms_twisted.app.setbacks import until_done
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import ChatServerOptions
from gms_twisted.domain.chat import (
    AfterAction,
    ChatEvent,
    LeaveReason,
    Notice,
    PartyType,
    Transcript,
    Visibility,
)
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.embedded.agent_grace import AgentGrace
from gms_twisted.embedded.room import Draft, why_dequeued
from gms_twisted.embedded.room_forgetting import Forgetting
from gms_twisted.embedded.room_shelf import RoomShelf
from gms_twisted.embedded.rooms import (
    AlreadyTaken,
    CustomerState,
    Party,
    RoomListener,
    RoomNotFound,
    SessionInfo,
)
from gms_twisted.store.interfaces import Store

T = TypeVar("T")


class RoomHost:
    """All chats of this server; see the module.

    :param home: this server's alias, as the load balancer names it.
    :param announce: told which room was changed here, so that other servers on
        the same store can :meth:`reread` it; ``None`` where there are none.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        options: ChatServerOptions,
        timers: Timers,
        wall: WallClock,
        ids: IdSource,
        home: str = "1",
        announce: Callable[[ChatSessionId], None] | None = None,
    ) -> None:
        self.home = home
        self.tasks = Tasks()
        self._timers = timers
        self.shelf = RoomShelf(store, options, wall, ids, self.tasks, home, self._told)
        self._announce = announce
        self.shelf.shared = announce is not None
        self._listeners: list[RoomListener] = []
        self._grace = AgentGrace(timers, lambda: self.options.agent_grace_s, self._grace_over)
        self._forgetting = Forgetting(self.shelf, self.tasks, timers, self.announce)
        self._running = False

    @property
    def options(self) -> ChatServerOptions:
        """The limits in force."""
        return self.shelf.options

    def reconfigure(self, options: ChatServerOptions) -> None:
        """Take new limits; running clocks keep the old ones."""
        self.shelf.options = options

    async def start(self) -> None:
        """Take up the open chats of the store.

        Agents in them count as gone from now on, until :meth:`agent_back`.
        """
        await self.shelf.load_open()
        self._running = True
        if self._announce is None:
            # Alone on its store: whoever another alias served is ours now.
            for home in self.homes() - {self.home}:
                await self.adopt(home)
        for agent in self._agents_of(self.home):
            self.agent_gone(agent)
        self._forgetting.start()
        self.log.info("Chat server has {count} open chats", count=len(self.shelf.open))

    async def stop(self) -> None:
        """Let begun changes finish and stop all clocks."""
        self._running = False
        self._grace.stop()
        self._forgetting.stop()
        for room in (*self.shelf.open.values(),):
            room.wake()
        await self.tasks.stop()

    @property
    def running(self) -> bool:
        """Tell whether it is between start and stop."""
        return self._running

    # Listeners

    def listen(self, listener: RoomListener) -> None:
        """Tell this one about everything from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: RoomListener) -> None:
        """Tell it nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _told(self, before: SessionInfo, after: SessionInfo, events: Sequence[ChatEvent]) -> None:
        """Pass on what became of a room, whoever did it."""
        # A room that is being made has nobody in it yet, so it was not announced either.
        waited = before.waiting_since is not None and bool(before.parties)
        if waited and after.waiting_since is None:
            reason = why_dequeued(after, events)
            self._each(lambda listener: listener.session_dequeued(after, reason))
        for event in events:
            self._one_event(after, event)
        if after.waiting_since is not None and not waited:
            self._each(lambda listener: listener.session_queued(after))
        if after.closed_at is not None and before.closed_at is None:
            self._each(lambda listener: listener.session_closed(after))
        elif (before.parties, before.customer) != (after.parties, after.customer):
            self._each(lambda listener: listener.session_changed(after))

    def _one_event(self, session: SessionInfo, event: ChatEvent) -> None:
        self._each(lambda listener: listener.event(session, event))

    def _each(self, call: Callable[[RoomListener], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception:  # noqa: BLE001 - one listener's fault must not reach the chat
                self.log.failure("A listener of chats failed")

    async def change(self, session_id: ChatSessionId, decide: Callable[[Draft], T]) -> T:
        """Change a room, announce it, and give back what ``decide`` did."""
        result = await self.shelf.change(session_id, decide)
        self.announce(session_id)
        return result

    def share(self, announce: Callable[[ChatSessionId], None]) -> None:
        """Be one of several servers on this store; before :meth:`start`."""
        self._announce, self.shelf.shared = announce, True

    def announce(self, session_id: ChatSessionId) -> None:
        """Tell other servers that a room was changed or erased here."""
        if self._announce is not None:
            self._announce(session_id)

    async def reread(self, session_id: ChatSessionId) -> None:
        """Catch up with a room that another server changed.

        :raises RoomNotFound: there is none.
        """
        await self.shelf.reread(session_id)

    async def reread_all(self) -> None:
        """Catch up with all open rooms, when it is not known which ones were changed."""
        await self.shelf.load_open()

    # What agents read

    def waiting(self) -> Sequence[SessionInfo]:
        """Read the chats that wait for an agent, longest wait first."""
        infos = [room.info for room in self.shelf.open.values()]
        queued = [(info.waiting_since, info) for info in infos if info.waiting_since is not None]
        return [info for _, info in sorted(queued, key=lambda entry: entry[0])]

    def sessions_of(self, agent: AgentName) -> Sequence[SessionInfo]:
        """Read the open chats that an agent is in, oldest first."""
        infos = (room.info for room in self.shelf.open.values())
        mine = [info for info in infos if agent in info.agents]
        return sorted(mine, key=lambda info: info.started_at)

    async def session(self, session_id: ChatSessionId) -> SessionInfo:
        """Read one chat, open or kept."""
        return (await self.shelf.find(session_id)).info

    async def user_data(self, session_id: ChatSessionId) -> Mapping[str, str]:
        """Read what the application attached to a chat."""
        return (await self.session(session_id)).user_data

    async def transcript(self, session_id: ChatSessionId, after: int = 0) -> Transcript:
        """Read the events after a position, hidden ones too."""
        return (await self.shelf.find(session_id)).transcript(after)

    async def history(self, gms_user: str, limit: int = 50) -> Sequence[SessionInfo]:
        """Read the closed chats of a customer, newest first."""
        return await self.shelf.closed_of(gms_user, limit) if gms_user else []

    # What agents do

    async def accept(
        self, session_id: ChatSessionId, agent: AgentName, nickname: str
    ) -> Transcript:
        """Take a waiting chat; the first wins."""

        def decide(draft: Draft) -> None:
            draft.require_open()
            if draft.agent(agent) is not None:
                return
            if draft.info.waiting_since is None:
                raise AlreadyTaken("Another agent has taken this chat.")
            draft.take_from_queue()
            draft.enter(nickname, PartyType.AGENT, agent=agent)

        await self.change(session_id, decide)
        return await self.transcript(session_id)

    async def enter(
        self,
        session_id: ChatSessionId,
        agent: AgentName,
        nickname: str,
        *,
        visibility: Visibility = Visibility.ALL,
        party_type: PartyType = PartyType.AGENT,
    ) -> Transcript:
        """Go into an open chat whether it waits or not."""

        def decide(draft: Draft) -> None:
            draft.require_open()
            if draft.agent(agent) is not None:
                return
            if visibility is Visibility.ALL and party_type is PartyType.AGENT:
                draft.take_from_queue()
            draft.enter(nickname, party_type, visibility=visibility, agent=agent)

        await self.change(session_id, decide)
        return await self.transcript(session_id)

    async def send(
        self, session_id: ChatSessionId, agent: AgentName, text: str, dedupe: str = ""
    ) -> int:
        """Append a message."""
        return await self.change(
            session_id, lambda draft: draft.say(self._acting(draft, agent), text, dedupe)
        )

    async def notice(
        self, session_id: ChatSessionId, agent: AgentName, notice: Notice, dedupe: str = ""
    ) -> int:
        """Append a notice."""
        return await self.change(
            session_id, lambda draft: draft.tell(self._acting(draft, agent), notice, dedupe)
        )

    async def leave(
        self, session_id: ChatSessionId, agent: AgentName, after_action: AfterAction
    ) -> None:
        """Go out of a chat."""
        stop = self.options.stop_abandoned_interaction
        await self.change(
            session_id,
            lambda draft: draft.leave_and(
                draft.require_agent(agent), after_action, stop_abandoned=stop
            ),
        )

    async def requeue(self, session_id: ChatSessionId, agent: AgentName) -> None:
        """Go out of a chat and put it back into its queue."""
        await self._put_back(session_id, agent, LeaveReason.LEFT)

    async def _put_back(
        self, session_id: ChatSessionId, agent: AgentName, reason: LeaveReason
    ) -> None:
        stop = self.options.stop_abandoned_interaction

        def decide(draft: Draft) -> None:
            party = draft.require_agent(agent)
            if reason is LeaveReason.TIMEOUT and party.home != self.home:
                return  # another server has seen the agent since
            draft.leave(party, reason)
            if draft.info.customer is not CustomerState.GONE:
                draft.put_into_queue()
            draft.settle(stop_abandoned=stop)

        await self.change(session_id, decide)

    @staticmethod
    def _acting(draft: Draft, agent: AgentName) -> Party:
        return draft.settle_in(draft.require_agent(agent))

    # Agents who go and come

    def agent_gone(self, agent: AgentName) -> None:
        """Put an agent's chats back into their queues after the grace (C10)."""
        self._grace.gone(agent, count=self._running)

    def agent_back(self, agent: AgentName) -> None:
        """Nothing happens to its chats."""
        self._grace.back(agent)
        self.tasks.spawn("taking up the chats of an agent", self._settle_in(agent))

    async def _settle_in(self, agent: AgentName) -> None:
        """Note in an agent's chats that it is here now, not at another server."""

        def decide(draft: Draft) -> None:
            party = draft.agent(agent)
            if party is not None:
                draft.settle_in(party)

        async def settle() -> None:
            for session in self.sessions_of(agent):
                with suppress(RoomNotFound):
                    if self._grace.is_here(agent):
                        await self.change(session.session_id, decide)

        await until_done("taking up the chats of an agent", self._timers, settle)

    def _grace_over(self, agent: AgentName) -> None:
        self.tasks.spawn("putting an agent's chats back", self._put_all_back(agent))

    async def _put_all_back(self, agent: AgentName) -> None:
        for session in self.sessions_of(agent):
            if self._grace.is_here(agent):
                return
            self.log.info("Chat {chat} goes back to its queue", chat=session.session_id)
            try:
                await self._put_back(session.session_id, agent, LeaveReason.TIMEOUT)
            except GmsError as error:
                self.log.warn(
                    "Chat {chat} could not be put back: {error}",
                    chat=session.session_id,
                    error=error,
                )
                self.agent_gone(agent)

    async def adopt(self, home: str) -> None:
        """Take over whoever another server served, which is gone for good.

        Its agents get the grace from now on, unless they are here already.

        :raises GmsError: some room could not be changed; the others were.
        """

        def decide(draft: Draft) -> None:
            for party in draft.info.parties:
                if party.present and party.home == home:
                    draft.settle_in(party)

        agents, failed = self._agents_of(home), None
        for room in list(self.shelf.open.values()):
            if not any(party.present and party.home == home for party in room.info.parties):
                continue
            try:
                await self.change(room.info.session_id, decide)
            except GmsError as error:
                failed = error
        for agent in agents:
            if not self._grace.is_here(agent):
                self.agent_gone(agent)
        if failed is not None:
            raise failed

    def homes(self) -> set[str]:
        """Aliases of the servers that last served somebody who is in an open chat."""
        return {
            party.home
            for room in self.shelf.open.values()
            for party in room.info.parties
            if party.present
        }

    def _agents_of(self, home: str) -> set[AgentName]:
        return {
            party.agent
            for room in self.shelf.open.values()
            for party in room.info.parties
            if party.agent is not None and party.present and party.home == home
        }

    # Forgetting

    async def delete_user(self, gms_user: str) -> int:
        """End a user's open chats and delete all of its chats (C12).

        :returns: how many there were.
        """
        return await self._forgetting.delete_user(gms_user)
