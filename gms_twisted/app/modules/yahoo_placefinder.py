"""Module ``yahoo_placefinder``: the city of a place.

The public service of this name is gone.  Its answer is made from the resource groups that are
configured, without asking anybody; or a server that speaks like it is asked.

Spec: Orchestration Server-based Services, "Samples".
Knows: the answer's form.  Does not know: cities.
"""

from __future__ import annotations

from urllib.parse import urlencode

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.values import json_text, number_text, text
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.outgoing import Gate, Limits
from gms_twisted.app.places import Places, read_place
from gms_twisted.domain.errors import NotFound, Unavailable
from gms_twisted.scxml.effects import StartOperation

LIMITS = Limits(connect_s=2.0, total_s=5.0, body_bytes=64 * 1024, wait_s=5.0)


class NoCityNear(NotFound):
    """No configured city is near enough."""

    code = "gms.place.none_near"


class PlaceFinderFailed(Unavailable):
    """The server that was asked gave no answer of use."""

    code = "gms.place.finder_failed"


class YahooPlacefinder:
    """A :class:`gms_twisted.app.operations.Module`.

    :param url: ask this server (``ors/placefinder_url``); empty: nobody.
    """

    prefix = "yahoo_placefinder"

    def __init__(self, places: Places, gate: Gate, url: str = "") -> None:
        self._places = places
        self._gate = gate
        self._url = url

    def reconfigure(self, url: str) -> None:
        """Ask another server, or nobody, from now on."""
        self._url = url

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``query_location`` of ``lat`` and ``long``; ``appid`` is for the server that is asked.

        :raises InvalidRequest: a coordinate is none; names it.
        :raises NotFound: no city is near.
        :raises GmsError: the server cannot be asked.
        """
        if operation.element != "query_location":
            raise UnknownElement
        attributes = operation.attributes
        place = read_place(text(attributes, "lat"), text(attributes, "long"))
        if self._url:
            content = await self._ask(*place, text(attributes, "appid"))
        else:
            city = self._places.city_of(*place)
            if city is None:
                raise NoCityNear("There is no city near this place.")
            result = {"city": city.city, "state": city.state}
            content = json_text({"ResultSet": {"Results": [result]}})
        return Outcome("yahoo_placefinder.query_location.done", {"content": content, "status": 200})

    async def _ask(self, latitude: float, longitude: float, app_id: str) -> str:
        query = urlencode(
            {"appid": app_id, "lat": number_text(latitude), "long": number_text(longitude)}
        )
        url = f"{self._url}{'&' if '?' in self._url else '?'}{query}"
        answer = await self._gate.request("GET", url, {}, b"", LIMITS, configured=True)
        if not 200 <= answer.status < 300 or answer.cut:
            raise PlaceFinderFailed(f"The place finder answered {answer.status}, or too much.")
        return answer.body.decode("utf-8", "replace")
