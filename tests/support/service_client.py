"""A client of the Service and Chat APIs, admission and form readers included."""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.config.options import HttpOptions, ServerOptions, ServiceOptions
from gms_twisted.http.addresses import Networks
from gms_twisted.http.identity import Identity
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.http.origins import Origins
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.chat import ChatApi
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.root import Api
from gms_twisted.rest.service_door import ServiceDoor
from gms_twisted.rest.services import ServicesApi
from gms_twisted.rest.storage import StorageApi
from tests.support.chat_house import ChatHouse
from tests.support.heads import LOOPBACK
from tests.support.rest_client import Exchange, RestClient

FORM = ("Content-Type", "application/x-www-form-urlencoded")


def service_client(
    house: ChatHouse,
    *,
    server: ServerOptions | None = None,
    passwords: Mapping[str, Mapping[str, str]] | None = None,
    misses: int = 1000,
) -> RestClient:
    """Put a house behind the URL map.

    :param passwords: ``_username`` and ``_password`` by service.
    :param misses: how many unknown identifiers an address may ask for at once.
    """
    server = server or ServerOptions()
    checks = Passwords(
        server,
        {name: ServiceOptions(name, values) for name, values in (passwords or {}).items()},
    )
    lookups = LookUps(AddressLimiter(house.clock, 1.0, misses, Networks([])))
    door = ServiceDoor(house.services, checks, house.tasks)
    api = Api(aliases=server.base_path_aliases)
    api.add(
        ServicesApi(house.services, door, lookups),
        ChatApi(house.chats, door, lookups),
        StorageApi(house.areas, house.tasks, lookups),
    )
    identity = Identity(server, house.wall, loopback_only=True, visitor_key=b"k" * 32)
    admission = RestAdmission(api, identity, Origins(server), HttpOptions(), checks)
    return RestClient(api, admission, LOOPBACK)


def post_form(client: RestClient, target: str, body: str = "", user: str | None = None) -> Exchange:
    """Post as the reference's examples do: a form, with ``gms_user`` perhaps."""
    headers = [FORM, *([("gms_user", user)] if user else [])]
    return client.send("POST", target, *headers, body=body.encode())
