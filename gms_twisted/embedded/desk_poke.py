"""Nudging a customer from the desk: the button *Poke*.

Knows: which chats can be poked, how often.  Does not know: services, devices.
"""

from __future__ import annotations

from typing import Protocol

from gms_twisted.app.interfaces import BayeuxCaller
from gms_twisted.domain.chat_text import clean_text
from gms_twisted.domain.errors import GmsError, NotFound, TooManyRequests
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import Timers
from gms_twisted.embedded.desk_agents import AgentDesk, Call
from gms_twisted.embedded.desk_parameters import Data, chat_of, text_of
from gms_twisted.embedded.desk_shapes import POKE_URL, Shape
from gms_twisted.embedded.rooms import AgentSide, NotInRoom, SessionInfo

POKE_PAUSE_S = 10.0
"""From one poke of a customer to the next."""

MAX_TEXT = 300
"""A poke is a notification: longer ones are cut by devices."""


class CannotPoke(NotFound):
    """The customer's service has nothing to poke."""

    code = "gms.desk.no_poke"


class PokedLately(TooManyRequests):
    """One poke in :data:`POKE_PAUSE_S`, whoever of the agents it was."""


class Poker(Protocol):
    """Pokes customers: :class:`gms_twisted.app.poking.Poking`."""

    async def default_text(self, service_id: str) -> str | None:
        """What is said when the agent says nothing; ``None`` where nobody can be poked."""

    async def poke(self, service_id: str, text: str) -> None:
        """Do it; raises :class:`gms_twisted.domain.errors.GmsError` with the reason."""


class DeskPokes:
    """The call ``poke``.

    :param poker: ``None`` where there are no services to ask.
    """

    def __init__(self, poker: Poker | None, rooms: AgentSide, timers: Timers) -> None:
        self._poker = poker
        self._rooms = rooms
        self._timers = timers
        self._poked: dict[ChatSessionId, float] = {}

    def calls(self) -> dict[str, Call]:
        """By the word in ``do``."""
        return {"poke": self._poke}

    async def offer(self, session: SessionInfo) -> Shape | None:
        """``customer.poke``: ``{"text", "pause_s"}``, ``None`` for a chat without."""
        if self._poker is None or POKE_URL not in session.user_data:
            return None
        try:
            text = await self._poker.default_text(session.service_id)
        except GmsError:
            return None
        return None if text is None else {"text": text, "pause_s": POKE_PAUSE_S}

    async def _poke(self, desk: AgentDesk, caller: BayeuxCaller, data: Data) -> Shape:
        chat = chat_of(data)
        text = clean_text(text_of(data, "text", MAX_TEXT), "text").strip()
        session = self._mine(desk, chat)
        if self._poker is None or POKE_URL not in session.user_data:
            raise CannotPoke("This customer has nothing that could be poked.")
        self._check_pause(chat)
        self._poked[chat] = self._timers.seconds()
        try:
            await self._poker.poke(session.service_id, text)
        except BaseException:
            # The customer has seen nothing, so the agent may try again.
            self._poked.pop(chat, None)
            raise
        return {}

    def _mine(self, desk: AgentDesk, chat: ChatSessionId) -> SessionInfo:
        for session in self._rooms.sessions_of(desk.name):
            if session.session_id == chat:
                return session
        raise NotInRoom("This chat is not yours.")

    def _check_pause(self, chat: ChatSessionId) -> None:
        now = self._timers.seconds()
        self._poked = {one: at for one, at in self._poked.items() if now - at < POKE_PAUSE_S}
        at = self._poked.get(chat)
        if at is not None:
            left_s = POKE_PAUSE_S - (now - at)
            raise PokedLately("This customer was poked a moment ago.", left_s)
