"""Tells the logic of a service that its chat has begun or is over.

Knows: names of two events.  Does not know: chats' rules, where sessions run.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.orchestration import Orchestrator
from gms_twisted.app.service_records import ServiceInstance
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError

STARTED, ENDED = "gms.chat.started", "gms.chat.ended"


class SessionChats:
    """A :class:`gms_twisted.app.chat_keeper.ChatListener` for sessions."""

    log = Logger()

    def __init__(self, orchestrator: Orchestrator, tasks: Tasks) -> None:
        self._orchestrator = orchestrator
        self._tasks = tasks

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
        try:
            await self._orchestrator.tell(
                instance.session, event, {"chatSessionId": state.session_id}
            )
        except GmsError as error:
            self.log.debug(
                "Session {session_id} does not hear of its chat: {error}",
                session_id=instance.service_id,
                error=error.code,
            )
