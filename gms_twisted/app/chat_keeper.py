"""How long a chat is remembered, whoever changes it.

A live chat keeps itself and its service for ``chat/chat_session_ttl`` from each
use; one that is over, for the time in which its client may still look.

Knows: lives of chats and services.  Does not know: what changes, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gms_twisted.app.chat_records import ChatRecords, ChatState
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.app.services import RENEWED_AT, ServiceInstances
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.sources import WallClock

ENDED_CHAT_S = 600.0
"""A chat that is over can be read so long; its service lives at least as long."""


class ChatListener(Protocol):
    """Told when chats begin and end; must be quick and not raise."""

    def began(self, instance: ServiceInstance, state: ChatState) -> None:
        """A chat is there."""

    def ended(self, instance: ServiceInstance, state: ChatState) -> None:
        """A chat is over."""


class ChatKeeper:
    """Changes of chats, each one unit with what keeps chat and service alive.

    :ivar listener: told of beginnings and ends, once there is somebody.
    """

    def __init__(
        self,
        records: ChatRecords,
        services: ServiceInstances,
        wall: WallClock,
        options: ChatOptions,
    ) -> None:
        self._records = records
        self._services = services
        self._wall = wall
        self.options = options
        self.listener: ChatListener | None = None

    async def create(self, instance: ServiceInstance, state: ChatState) -> ChatState:
        """Store a new chat.

        :raises ConditionFailed: the service has a chat already, or changed meanwhile.
        """
        life_s = self.options.chat_session_ttl_s
        renewal = await self._services.renewal(instance, life_s, exactly=True)
        state = await self._records.create(state, self._wall.now() + life_s, renewal)
        if self.listener is not None:
            self.listener.began(instance, state)
        return state

    def lives_on(self, state: ChatState) -> bool:
        """Tell whether a chat that goes on need not be kept alive yet."""
        left_s = state.expires_at - self._wall.now()
        return left_s >= RENEWED_AT * self.options.chat_session_ttl_s

    async def change(self, state: ChatState, change: Callable[[ChatState], ChatState]) -> ChatState:
        """Store what ``change`` makes of a chat, the end of its life included.

        :raises ChatNotStarted: it is gone meanwhile.
        """
        if state.closed:
            return await self._records.change(state, change)
        wanted = change(state)
        ends = wanted.closed
        if not ends and self.lives_on(state):
            if wanted is state:
                return state
            return await self._records.change(state, change)
        life_s = self.options.chat_session_ttl_s
        renewal = Changes()
        instance = await self._services.peek(state.service_id)
        if instance is not None:
            if ends:
                life_s = max(ENDED_CHAT_S, instance.life_s if instance.idle else 0.0)
            renewal = await self._services.renewal(instance, life_s, exactly=ends)
        expires_at = self._wall.now() + life_s

        def with_end(before: ChatState) -> ChatState:
            return replace(change(before), expires_at=expires_at)

        changed = await self._records.change(state, with_end, renewal)
        if ends and instance is not None and self.listener is not None:
            self.listener.ended(instance, changed)
        return changed
