"""The chat service ``request-chat-delay``: who chats is said when it is created.

Spec: Orchestration Server-based Services, "request-chat-delay".  Its request ``chat``
begins the chat, whenever the customer is ready; everything else is the Chat API.

Knows: what is special about this service.  Does not know: chats' rules, HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_kinds import Beginning, RequestUnknown
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue

NAME = "request-chat-delay"

_MANDATORY = ("firstName", "lastName", "email", "subject")
_SAID = (*_MANDATORY, "userDisplayName", "clientTimeZoneOffset")
_REQUEST = "chat"

StartChat = Callable[
    [ServiceInstance, Mapping[str, FormValue], GmsUser | None], Awaitable[Mapping[str, object]]
]


class RequestChatDelay:
    """A :class:`gms_twisted.app.service_kinds.ServiceKind` for ``request-chat-delay``.

    :param start_chat: does what ``ixn/chat`` does.
    :param end_chat: leaves the chat of a service that is deleted.
    :param data_of: reads the application's data.
    :param definition_of: the definition of an instance.
    """

    default_life_s = 30.0
    # Choice: as request-chat, from the last use.
    idle = True

    def __init__(
        self,
        start_chat: StartChat,
        end_chat: Callable[[ServiceInstance], Awaitable[Changes]],
        data_of: Callable[[ServiceInstance], Awaitable[Mapping[str, str]]],
        definition_of: Callable[[ServiceInstance], ServiceDefinition],
    ) -> None:
        self._start_chat = start_chat
        self._end_chat = end_chat
        self._data_of = data_of
        self._definition_of = definition_of

    async def start(self, beginning: Beginning) -> Mapping[str, object]:
        """Keep who the customer is.

        :raises InvalidRequest: one of the mandatory parameters is missing or empty.
        """
        for name in _MANDATORY:
            value = beginning.data.get(name, "")
            if not isinstance(value, str) or not value.strip():
                raise InvalidRequest(f"{name} is missing or empty.", name)
        await beginning.store(Changes())
        return {"_id": beginning.service_id}

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """``chat`` begins the chat with what was said at the creation; there is no other.

        With ``device_os=comet`` at the creation it is delivered on ``/_genesys``.
        """
        if request != _REQUEST:
            raise RequestUnknown("This service has no such request.")
        data = await self._data_of(instance)
        said: dict[str, FormValue] = {name: data[name] for name in _SAID if name in data}
        # Choice: both spellings; the one with the underscore wins, as of options.
        asked = {"_device_os": data.get("device_os", "")} | dict(instance.parameters)
        device = self._definition_of(instance).parameter("_device_os", asked)
        if device.strip().lower() == "comet":
            said["notify_by"] = "comet"
        return await self._start_chat(instance, {**said, **fields}, user)

    async def end(self, instance: ServiceInstance) -> Changes:
        """Leave the chat."""
        return await self._end_chat(instance)
