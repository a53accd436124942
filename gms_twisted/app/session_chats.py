"""Tells the logic of a service that its chat has begun or is over.

While the session is on its way from one node to another it is told again, for a while.

Knows: names of two events.  Does not know: chats' rules, where sessions run.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.orchestration import Orchestrator
from gms_twisted.app.pauses import pause
from gms_twisted.app.service_records import ServiceInstance
from gms_twisted.app.shared_sessions import PAUSES_S
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError, NodeAway
from gms_twisted.domain.sources import Timers

STARTED, ENDED = "gms.chat.started", "gms.chat.ended"


class SessionChats:
    """A :class:`gms_twisted.app.chat_keeper.ChatListener` for sessions."""

    log = Logger()

    def __init__(self, orchestrator: Orchestrator, tasks: Tasks, timers: Timers) -> None:
        self._orchestrator = orchestrator
        self._tasks = tasks
        self._timers = timers

    def began(self, instance: ServiceInstance, state: ChatState) -> None:
        """Tell the session, with ``chatSessionId``."""
        self._say(STARTED, instance, state)

    def ended(self, instance: ServiceInstance, state: ChatState) -> None:
        """Tell the session, likewise."""
        self._say(ENDED, instance, state)

    def _say(self, event: str, instance: ServiceInstance, state: ChatState) -> None:
        if instance.session is not None:
            self._tasks.spawn("news of a chat", self._tell(event, instance, state))

    async def _tell(self, event: str, instance: ServiceInstance, state: ChatState) -> None:
        assert instance.session is not None
        told = {"chatSessionId": state.session_id}
        try:
            for pause_s in PAUSES_S:
                try:
                    return await self._orchestrator.tell(instance.session, event, told)
                except NodeAway:
                    await pause(self._timers, pause_s)
            await self._orchestrator.tell(instance.session, event, told)
        except GmsError as error:
            self.log.debug(
                "Session {session_id} does not hear of its chat: {error}",
                session_id=instance.service_id,
                error=error.code,
            )
