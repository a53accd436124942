"""Module ``gsgStorage`` (prefix ``storage``): areas of keys and values.

Its actions stand for requests to the Storage API::

    create   POST   /genesys/1/storage/{ttl}         content -> {"id": ...}
    update   POST   /genesys/1/storage/{id}/{ttl}    content -> {}
    query    GET    /genesys/1/storage/{id}          -> all keys
             GET    /genesys/1/storage/{id}/{key}    -> the value as text
    delete   DELETE /genesys/1/storage/{id}

``content`` is an object, whose members and those of ``<param>`` are keys and texts.

Spec: Storage API.  Knows: attributes.  Does not know: areas.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.modules.failures import ApiOutcomes, StatusOf, UnknownElement
from gms_twisted.app.modules.values import members, needed, text, texts
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError, InvalidRequest, TooLarge
from gms_twisted.domain.ids import AreaId
from gms_twisted.scxml.effects import StartOperation

MAX_TTL_S = 2_147_483_647
MAX_CONTENT_BYTES = 128 * 1024
"""Most text that a session is told of an area: it goes into its script's memory."""


class GsgStorage:
    """A :class:`gms_twisted.app.operations.Module`."""

    prefix = "gsgStorage"

    def __init__(self, areas: StorageAreas, tasks: Tasks, status_of: StatusOf) -> None:
        self._areas = areas
        self._tasks = tasks
        self._outcomes = ApiOutcomes(self.prefix, status_of)

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``create``, ``update``, ``query``, ``delete``; the event has ``content``, ``status``.

        A ``create`` that is done again after a restart finds the area that it made.
        """
        element = operation.element
        actions = {
            "create": self._create,
            "update": self._update,
            "query": self._query,
            "delete": self._delete,
        }
        action = actions.get(element)
        if action is None:
            raise UnknownElement
        try:
            work = action(owner, operation)
            answer = await self._tasks.finish("an action of gsgStorage", work)
        except GmsError as error:
            return self._outcomes.failed(element, error)
        if isinstance(answer, str):
            return Outcome(f"gsgStorage.{element}.done", {"content": answer, "status": 200})
        return self._outcomes.done(element, answer)

    async def _create(self, owner: Owner, operation: StartOperation) -> object:
        fields, ttl_s = _fields(operation), _ttl(operation)
        area_id = _area_id(owner.operation_id) if owner.operation_id else None
        return {"id": await self._areas.create(fields, ttl_s, area_id)}

    async def _update(self, owner: Owner, operation: StartOperation) -> object:
        area_id = AreaId(needed(operation.attributes, "id"))
        await self._areas.update(area_id, _fields(operation), _ttl(operation))
        return {}

    async def _query(self, owner: Owner, operation: StartOperation) -> object:
        area_id = AreaId(needed(operation.attributes, "id"))
        key = text(operation.attributes, "key")
        values = await self._areas.open(area_id)
        if values.text_bytes > MAX_CONTENT_BYTES:
            raise TooLarge(f"The area holds more than {MAX_CONTENT_BYTES} bytes of text.")
        if key:
            return await self._areas.read_key(area_id, key)
        return {name: value async for name, value in values.items()}

    async def _delete(self, owner: Owner, operation: StartOperation) -> object:
        await self._areas.delete(AreaId(needed(operation.attributes, "id")))
        return None


def _area_id(operation_id: str) -> AreaId:
    """An operation's id in the shape of an area's."""
    parts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return AreaId("-".join(operation_id[first:last] for first, last in parts))


def _fields(operation: StartOperation) -> Mapping[str, str]:
    """Keys and values; null counts as absent, objects are kept as JSON text."""
    return texts({**members(operation.attributes, "content"), **operation.params})


def _ttl(operation: StartOperation) -> int:
    """``ttl``, seconds."""
    given = needed(operation.attributes, "ttl").strip()
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 11 else 0
    if not 1 <= seconds <= MAX_TTL_S:
        raise InvalidRequest(f"ttl must be a whole number from 1 to {MAX_TTL_S}.", "ttl")
    return seconds
