"""Module ``gms``, our own: what the bundled applications need and the reference has no word for.

Namespace ``http://gms-twisted.org/modules/gms/v1``::

    <gms:nearest latitude="_data._latitude" longitude="_data._longitude"/>

Knows: elements, members of events.  Does not know: groups.
"""

from __future__ import annotations

from gms_twisted.app.modules.failures import UnknownElement, failure_of
from gms_twisted.app.modules.values import text
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.places import Places, read_place
from gms_twisted.domain.errors import InvalidRequest, NotFound
from gms_twisted.scxml.effects import StartOperation


class NoGroupNear(NotFound):
    """No configured resource group is near enough."""

    code = "gms.place.none_near"


class Gms:
    """A :class:`gms_twisted.app.operations.Module`."""

    prefix = "gms"

    def __init__(self, places: Places) -> None:
        self._places = places

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``nearest``: ``gms.nearest.done`` has ``group`` and ``distance_km``.

        ``error.gms.nearest`` has ``parameter``, the one that cannot be read, else ``""``.
        """
        if operation.element != "nearest":
            raise UnknownElement
        attributes = operation.attributes
        try:
            place = read_place(text(attributes, "latitude"), text(attributes, "longitude"))
        except InvalidRequest as error:
            return failure_of("error.gms.nearest", error, {"parameter": error.parameter})
        found = self._places.nearest(*place)
        if found is None:
            nowhere = NoGroupNear("There is no resource group near this place.")
            return failure_of("error.gms.nearest", nowhere, {"parameter": ""})
        return Outcome("gms.nearest.done", {"group": found.name, "distance_km": round(found.km, 3)})
