"""Beginning a chat: who the customer is, what the agent gets to see, which queue.

Spec: Chat API, "Start Chat"; Basic Chat Service API.

Knows: the chat server's part of it, the first record.  Does not know: answers,
what follows.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_line import ChatLine
from gms_twisted.app.chat_records import ChatMoved, ChatRecords, ChatState
from gms_twisted.app.chat_requests import StartRequest, attached
from gms_twisted.app.interfaces import ChatGateway
from gms_twisted.app.service_records import ServiceInstance
from gms_twisted.app.services import ServiceInstances, not_found
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.chat import Transcript
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import GmsUser
from gms_twisted.store.interfaces import Absent, ConditionFailed

_CREATE_TRIES = 3


class ChatStarter:
    """Begins chats.

    :param poke_url: where an agent's desktop can poke the customer's device, of a service
        whose application can.
    """

    log = Logger()

    def __init__(
        self,
        services: ServiceInstances,
        records: ChatRecords,
        keeper: ChatKeeper,
        gateway: ChatGateway,
        line: ChatLine,
        options: ChatOptions,
        poke_url: Callable[[ServiceInstance], str],
    ) -> None:
        self._services = services
        self._records = records
        self._keeper = keeper
        self._gateway = gateway
        self._line = line
        self.options = options
        self._poke_url = poke_url

    async def begin(
        self, instance: ServiceInstance, wanted: StartRequest, user: GmsUser | None
    ) -> ChatState:
        """Log in at a chat server, enter the queue, and remember it.

        :raises ServiceNotFound: the service has ended meanwhile.
        :raises ChatServerUnavailable: there is no chat server.
        """
        definition = self._services.definition_of(instance)
        queue = definition.parameter(
            "_chat_endpoint", instance.parameters, self.options.default_chat_endpoint
        )
        stored = await self._services.data_of(instance)
        user = user or instance.user
        ours = {"GMS_ServiceId": str(instance.service_id), "GMS_ServiceName": instance.name}
        if user is not None:
            ours["gms_user"] = str(user)
        if instance.session is not None:
            # Spec: "Execute 'internal-poke' request".
            ours["poke_url"] = self._poke_url(instance)
        data = attached({**stored, **wanted.data}, ours)
        server = await self._gateway.choose()
        self._line.meet(server)
        credentials = await self._gateway.login(
            server, wanted.nickname, int(wanted.time_zone), data
        )
        credentials, transcript = await self._gateway.join(
            server, credentials, queue, wanted.subject, data
        )
        joined = _first_position(transcript)
        state = ChatState(
            service_id=instance.service_id,
            name=instance.name,
            server=server,
            credentials=credentials,
            session_id=transcript.session_id,
            nickname=wanted.nickname,
            started_at=transcript.started_at,
            time_zone=wanted.time_zone,
            joined=joined,
            position=joined,
            known=transcript.last_position,
            closed=transcript.closed,
            user=user if wanted.comet else None,
        )
        state = await self._keep_new(instance, state)
        self.log.info(
            "Chat {session_id} of service {service_id}",
            session_id=state.session_id,
            service_id=state.service_id,
        )
        return state

    async def _keep_new(self, instance: ServiceInstance, state: ChatState) -> ChatState:
        """Store a chat that the chat server has begun; leave it when it cannot be kept."""
        try:
            return await self._create(instance, state)
        except ConditionFailed as failed:
            other = await self._records.find(instance.service_id)
            # A chat server that knows the service gives both the same session.
            if other is None or other.session_id != state.session_id:
                await self._line.leave_quietly(state)
            if other is None:
                raise not_found() from failed
            return other
        except ChatMoved:
            # Whoever has the service now begins the same chat, by the service's id.
            raise
        except GmsError:
            await self._line.leave_quietly(state)
            raise

    async def _create(self, instance: ServiceInstance, state: ChatState) -> ChatState:
        current: ServiceInstance | None = instance
        for remaining in reversed(range(_CREATE_TRIES)):
            if current is None:
                raise not_found()
            try:
                return await self._keeper.create(current, state)
            except ConditionFailed as failed:
                another_chat = isinstance(failed.condition, Absent)
                if another_chat or not remaining:
                    raise
                current = await self._services.peek(instance.service_id)
        raise AssertionError("the last try returns or raises")


def _first_position(transcript: Transcript) -> int:
    """The position of the customer's own joining, the first that it is told."""
    return transcript.events[0].position if transcript.events else transcript.last_position
