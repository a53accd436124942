"""Routes of the Service API; the rules are in ``app.services``.

Spec: Service API.
"""

from __future__ import annotations

from twisted.web.iweb import IRequest

from gms_twisted.app.service_kinds import Verbatim
from gms_twisted.app.services import ServiceInstances
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import caller_of, form_of
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.replies import JSON_TYPE, body_reply, empty_reply, json_reply
from gms_twisted.rest.root import route
from gms_twisted.rest.service_door import ServiceDoor, refuse_head

BASE = "/genesys/1/service"


class ServicesApi:
    """Create a service, ask it, end it."""

    def __init__(self, services: ServiceInstances, door: ServiceDoor, lookups: LookUps) -> None:
        self._services = services
        self._door = door
        self._lookups = lookups

    @route(
        BASE + "/<service>",
        "POST",
        "GET",
        body=BodyKind.FORM,
        multipart=True,
        stores=True,
        password="service",
    )
    async def create(self, request: IRequest, service: str) -> bytes:
        """Spec: Service API, "Create".  200 with ``_id`` and what the service adds.

        403 for what only internal callers may ask, 404 for unknown services and failed
        matches, 503 when no access number is free.
        """
        refuse_head(request)
        caller = caller_of(request)
        work = self._services.create(
            service,
            form_of(request).fields,
            caller.user,
            caller.address,
            internal=caller.internal,
        )
        answer = await self._door.whole(request, "creating a service", work)
        return _reply(request, answer)

    @route(
        BASE + "/<service_id>/<operation>",
        "POST",
        body=BodyKind.FORM,
        multipart=True,
        stores=True,
    )
    async def ask(self, request: IRequest, service_id: str, operation: str) -> bytes:
        """Spec: Service API, "Service specific Request".  200 with what the service says; 404.

        403 for ``internal-...`` from outside.
        """
        caller = caller_of(request)
        await self._door.check(request, service_id)
        self._lookups.check(caller)
        work = self._services.request(
            service_id,
            operation,
            form_of(request).fields,
            caller.user,
            internal=caller.internal,
        )
        answer = await self._lookups.of(caller, self._door.whole(request, "asking a service", work))
        return _reply(request, answer)

    @route(BASE + "/<service_id>", "DELETE")
    async def delete(self, request: IRequest, service_id: str) -> bytes:
        """End a service: its chat is left, its data removed.  200 and empty; 404."""
        caller = caller_of(request)
        await self._door.check(request, service_id)
        self._lookups.check(caller)
        await self._lookups.of(caller, self._services.delete(service_id, caller.user))
        return empty_reply(request)


def _reply(request: IRequest, answer: object) -> bytes:
    """Answer with JSON, or with what an application said.

    Spec: "Service specific Request".  Choice: labelled as JSON whatever it is, as the
    reference labels even ``OK``.
    """
    if isinstance(answer, Verbatim):
        return body_reply(request, answer.body.encode("utf-8", "replace"), JSON_TYPE, answer.status)
    return json_reply(request, answer)
