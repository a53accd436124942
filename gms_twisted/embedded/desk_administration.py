"""What operators do at the desk: see all agents, add them, let them in and out.

Knows: accounts.  Does not know: chats, calls, windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.interfaces import BayeuxCaller
from gms_twisted.domain.errors import Forbidden
from gms_twisted.domain.ids import AgentName
from gms_twisted.embedded.desk_agents import AgentDesk, Call
from gms_twisted.embedded.desk_parameters import Data, flag_of, text_of
from gms_twisted.embedded.desk_shapes import Shape, agent_shape


class DeskAdministration:
    """The calls that only operators may make.

    :param states: of every agent who was here since the start.
    :param voice: what an agent does on the telephone, ``None`` where there is none.
    """

    def __init__(
        self,
        accounts: DeskAccounts,
        states: Callable[[], Mapping[AgentName, str]],
        voice: Callable[[AgentName], str | None],
    ) -> None:
        self._accounts = accounts
        self._states = states
        self._voice = voice

    def calls(self) -> dict[str, Call]:
        """By the word in ``do``."""
        return {
            "agents": self._agents,
            "agent_add": self._add,
            "agent_link": self._link,
            "agent_enable": self._enable,
        }

    async def _agents(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        _check(desk)
        states = self._states()
        return {
            "agents": [
                agent_shape(agent, states.get(agent.name, "offline"), self._voice(agent.name))
                for agent in await self._accounts.agents()
            ]
        }

    async def _add(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        _check(desk)
        token = await self._accounts.add(
            text_of(data, "name"), text_of(data, "display_name"), text_of(data, "role", 16)
        )
        return {"link": f"/desk/#link={token}"}

    async def _link(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        _check(desk)
        return {"link": f"/desk/#link={await self._accounts.new_link(text_of(data, 'name'))}"}

    async def _enable(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        _check(desk)
        await self._accounts.enable(AgentName(text_of(data, "name")), flag_of(data, "enabled"))
        return {}


def _check(desk: AgentDesk) -> None:
    if not desk.agent.is_operator:
        raise Forbidden("Only operators may do this.")
