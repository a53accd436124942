"""Module ``gsgBasedServices``: a number to call, and whose call it is.

Its actions stand for requests to the Service API::

    reserve   POST /genesys/1/service/request-access
    match     POST /genesys/1/service/match-interaction

Every attribute that the script has a value for is a field of the form.

Spec: Orchestration Server-based Services, "Samples"; Access Information Utility Services.
Knows: names.  Does not know: bookings.
"""

from __future__ import annotations

from gms_twisted.app.builtin import match_interaction, request_access
from gms_twisted.app.modules.failures import ApiOutcomes, StatusOf, UnknownElement
from gms_twisted.app.modules.values import text
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.services import ServiceInstances
from gms_twisted.domain.errors import GmsError
from gms_twisted.scxml.effects import StartOperation

_SERVICES = {"reserve": request_access.NAME, "match": match_interaction.NAME}


class GsgBasedServices:
    """A :class:`gms_twisted.app.operations.Module`."""

    prefix = "gsgBasedServices"

    def __init__(self, services: ServiceInstances, status_of: StatusOf) -> None:
        self._services = services
        self._outcomes = ApiOutcomes(self.prefix, status_of)

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``reserve`` and ``match``; the event has ``content`` and ``status``.

        A ``reserve`` that is done again for the same service gives the number that it has.
        """
        element = operation.element
        service = _SERVICES.get(element)
        if service is None:
            raise UnknownElement
        attributes = operation.attributes
        try:
            fields = {
                name: text(attributes, name)
                for name, value in attributes.items()
                # A script's null is as absent as in a JSON body of the API.
                if value is not None
            }
            # Applications are the operator's, so they may ask what is internal.
            answer = await self._services.create(service, fields, owner.user, "", internal=True)
        except GmsError as error:
            return self._outcomes.failed(element, error)
        return self._outcomes.done(element, answer)
