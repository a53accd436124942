"""Open chats and agents, for the operator page.

Knows: rooms, accounts.  Does not know: the page, who may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.domain.ids import AgentName, ChatSessionId
from gms_twisted.embedded.desk_shapes import group_of
from gms_twisted.embedded.room_host import RoomHost
from gms_twisted.embedded.rooms import AgentSide, SessionInfo

Row = Mapping[str, object]


class ChatOverview:
    """Implements ``app.ops_sources.ChatSource``.

    :param states: state of every agent who was here since the start.
    """

    def __init__(
        self,
        rooms: AgentSide,
        accounts: DeskAccounts,
        states: Callable[[], Mapping[AgentName, str]],
    ) -> None:
        self._rooms = rooms
        self._accounts = accounts
        self._states = states

    def chats(self) -> Sequence[Row]:
        """Chats that wait, longest wait first, then those that agents are in, oldest first."""
        found: dict[ChatSessionId, SessionInfo] = {
            session.session_id: session for session in self._rooms.waiting()
        }
        for name in self._states():
            for session in self._rooms.sessions_of(name):
                found.setdefault(session.session_id, session)
        return [_row(session) for session in found.values()]

    async def agents(self) -> Sequence[Row]:
        """All accounts, by name."""
        states = self._states()
        return [
            {
                "name": agent.name,
                "display_name": agent.display_name,
                "role": agent.role,
                "enabled": agent.enabled,
                "state": states.get(agent.name, "offline"),
                "chats": len(self._rooms.sessions_of(agent.name)),
            }
            for agent in await self._accounts.agents()
        ]


def served(rooms: RoomHost) -> int:
    """How many open chats have their customer at this chat server."""
    return sum(
        any(party.is_customer and party.home == rooms.home for party in room.info.parties)
        for room in rooms.shelf.open.values()
    )


def _row(session: SessionInfo) -> Row:
    return {
        "id": session.session_id,
        "group": group_of(session.queue),
        "nickname": session.nickname,
        "agents": list(session.agents),
        "waiting": session.waiting_since is not None,
        "since": session.waiting_since or session.started_at,
        "started": session.started_at,
        "service": session.service_id,
        "customer": session.customer.value,
        "reopened": session.reopened,
    }
