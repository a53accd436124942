"""Routes of the Chat API, version 1; the rules are in ``app.chats``, or another node's.

Spec: Chat API.  GET does what POST does, with parameters in the query: programs
in the field use both.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from twisted.web.iweb import IRequest

from gms_twisted.app.chat_answers import Answer, Call
from gms_twisted.domain.errors import NotFound
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import caller_of, form_of
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.replies import json_reply
from gms_twisted.rest.root import route
from gms_twisted.rest.service_door import ServiceDoor, refuse_head

CHAT = "/genesys/1/service/<service_id>/ixn/chat"

_CALLS = {call.value: call for call in Call if call.value}


class OperationUnknown(NotFound):
    """There is no such operation on a chat."""

    code = "gms.unknown_path"


class ChatCalls(Protocol):
    """Carries out calls, wherever the chat is."""

    def call(
        self, service_id: str, call: Call, fields: Mapping[str, FormValue], user: GmsUser | None
    ) -> Coroutine[Any, Any, Answer]:
        """See :meth:`gms_twisted.app.chats.Chats.call`."""


class ChatApi:
    """Start a chat, and every operation on it."""

    def __init__(self, chats: ChatCalls, door: ServiceDoor, lookups: LookUps) -> None:
        self._chats = chats
        self._door = door
        self._lookups = lookups

    @route(CHAT, "POST", "GET", body=BodyKind.FORM, multipart=True)
    async def start(self, request: IRequest, service_id: str) -> bytes:
        """Spec: Chat API, "Start Chat".  200 with the chat object; 404; 503."""
        return await self._call(request, service_id, Call.START)

    @route(CHAT + "/<operation>", "POST", "GET", body=BodyKind.FORM, multipart=True)
    async def operate(self, request: IRequest, service_id: str, operation: str) -> bytes:
        """Spec: Chat API, "Refresh Chat" and after.  200 with the chat object; 404; 503."""
        call = _CALLS.get(operation)
        if call is None:
            raise OperationUnknown("There is nothing at this URL.")
        return await self._call(request, service_id, call)

    async def _call(self, request: IRequest, service_id: str, call: Call) -> bytes:
        refuse_head(request)
        caller = caller_of(request)
        await self._door.check(request, service_id)
        self._lookups.check(caller)
        work = self._chats.call(service_id, call, form_of(request).fields, caller.user)
        answer = await self._lookups.of(caller, self._door.whole(request, "calling a chat", work))
        return json_reply(request, answer)
