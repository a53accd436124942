"""The basic chat service, ``request-chat``.

Spec: Basic Chat Service API; Genesys Mobile Services-based Services, "request-chat".
Creating it keeps the application's data; the chat begins with ``ixn/chat``,
whenever the customer is ready.

Knows: what is special about this service.  Does not know: chats' rules, HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gms_twisted.app.chat_answers import chat_url
from gms_twisted.app.service_kinds import Beginning, RequestUnknown
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue

NAME = "request-chat"

_YES = frozenset({"true", "1", "yes", "on"})


class RequestChat:
    """A :class:`gms_twisted.app.service_kinds.ServiceKind` for ``request-chat``.

    :param end_chat: leaves the chat of a service that is deleted.
    """

    default_life_s = 30.0
    # Choice: the reference's 30 s are too short for a chat, so they count from the last use.
    idle = True

    def __init__(self, end_chat: Callable[[ServiceInstance], Awaitable[Changes]]) -> None:
        self._end_chat = end_chat

    async def start(self, beginning: Beginning) -> Mapping[str, object]:
        """Nothing happens yet.  With ``_verbose`` the answer says where the chat begins."""
        await beginning.store(Changes())
        answer: dict[str, object] = {}
        verbose = beginning.definition.parameter("_verbose", beginning.parameters)
        if verbose.strip().lower() in _YES:
            # With hyphens, as printed; request-chat-poll has underscores.
            answer["_chatIxnAPI-CREATE-URL"] = chat_url(beginning.service_id)
        answer["_id"] = beginning.service_id
        return answer

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """Refuse: there are none but those that every service has."""
        raise RequestUnknown("This service has no such request.")

    async def end(self, instance: ServiceInstance) -> Changes:
        """Leave the chat."""
        return await self._end_chat(instance)
