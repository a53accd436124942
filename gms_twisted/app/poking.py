"""Nudging a customer who does not answer, on behalf of the agent in the chat.

Spec: Advanced Chat Service API, "Execute 'internal-poke' request".  Agents outside ask the
``poke_url`` that came with the chat; the desk of this process asks for the same request here,
because its agents are not on ``server/internal_allow``.

Knows: which services can be poked, the request and its answers.  Does not know: agents, chats.
"""

from __future__ import annotations

import json

from gms_twisted.app.service_kinds import Verbatim
from gms_twisted.app.services import ServiceInstances, not_found
from gms_twisted.domain.errors import Unavailable

REQUEST = "internal-poke"
MESSAGE = "poke_message"


class PokeRefused(Unavailable):
    """The service's application has said no; the text is its own."""

    code = "gms.poke.refused"


class Poking:
    """Asks services to poke the devices of their customers."""

    def __init__(self, services: ServiceInstances) -> None:
        self._services = services

    async def default_text(self, service_id: str) -> str | None:
        """What a poke says when the agent says nothing, ``""`` when that is refused.

        ``None`` when there is no such service, or its customer cannot be poked: only
        applications can.
        """
        instance = await self._services.peek(service_id)
        if instance is None or instance.session is None:
            return None
        definition = self._services.definition_of(instance)
        return definition.parameter(f"_{MESSAGE}", instance.parameters)

    async def poke(self, service_id: str, text: str) -> None:
        """Have the device told; returns when it was, or when the event waits for it.

        :param text: what it is told; ``""`` for the service's own text.
        :raises ServiceNotFound: the service is over.
        :raises RequestUnknown: it has no such request.
        :raises PokeRefused: it says no, or the device could not be reached.
        """
        instance = await self._services.peek(service_id)
        if instance is None:
            raise not_found()
        fields = {MESSAGE: text} if text else {}
        # The agent asks in the name of whoever owns the service.
        answer = await self._services.request(
            instance.service_id, REQUEST, fields, instance.user, internal=True
        )
        if isinstance(answer, Verbatim) and answer.status != 200:
            raise PokeRefused(_said(answer.body))


def _said(body: str) -> str:
    """An application's sentence: the member ``message`` of JSON, or a text of its own."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = body
    said = answer.get("message") if isinstance(answer, dict) else answer
    return said.strip()[:500] if isinstance(said, str) and said.strip() else "The service said no."
