"""Where a visitor of the customer page stands in the queue.

Route ``/demo/api/queue``; its shape is in docs/desk-protocol.md.  The Chat API has
nothing of the kind, so apps in the field do without.

Knows: JSON members, tokens.  Does not know: how chats wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.web.iweb import IRequest

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.http.identity import Identity
from gms_twisted.http.interfaces import BodyKind, IForm
from gms_twisted.rest.replies import json_reply
from gms_twisted.rest.root import route


class WaitingChat(Protocol):
    """As much of a waiting chat as is needed here."""

    @property
    def queue(self) -> str:
        """The queue that it is in."""

    @property
    def service_id(self) -> str:
        """The service that it belongs to."""

    @property
    def gms_user(self) -> str:
        """Whose it is."""


class WaitingRoom(Protocol):
    """Knows the chats that wait for an agent."""

    def waiting(self) -> Sequence[WaitingChat]:
        """Read them, longest wait first."""


class WaitingApi:
    """Tells visitors their place."""

    def __init__(self, identity: Identity, rooms: WaitingRoom) -> None:
        self._identity = identity
        self._rooms = rooms

    @route("/demo/api/queue", "POST", body=BodyKind.JSON)
    async def place(self, request: IRequest) -> bytes:
        """Say how many chats of the same queue wait up to and with this one.

        ``{"position": null}`` when it does not wait, or is not the visitor's; 401
        when the token is no good.
        """
        members = IForm(request).document
        token = members.get("token") if isinstance(members, Mapping) else None
        service = members.get("service") if isinstance(members, Mapping) else None
        if not isinstance(token, str) or not isinstance(service, str) or len(token) > 1000:
            raise InvalidRequest("The body must be a JSON object with token and service.")
        user = self._identity.token_user(token)
        return json_reply(request, {"position": self._position(user, service)})

    def _position(self, user: str, service: str) -> int | None:
        waiting = self._rooms.waiting()
        mine = next((chat for chat in waiting if service and chat.service_id == service), None)
        if mine is None or mine.gms_user != user:
            return None
        queue = [chat.service_id for chat in waiting if chat.queue == mine.queue]
        return queue.index(service) + 1
