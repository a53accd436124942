"""Routes of the Storage API; the rules are in ``app.storage_areas``.

Spec: Storage API.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.web.iweb import IRequest

from gms_twisted.app.area_files import StoredFile
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import AreaId
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import caller_of, form_of
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.replies import empty_reply, json_reply, text_reply
from gms_twisted.rest.root import route
from gms_twisted.rest.streaming import JOINED, send_pieces, stream_json

BASE = "/genesys/1/storage"
MAX_TTL_S = 2_147_483_647
OPAQUE_TYPE = "application/octet-stream"

_TTL = re.compile("[0-9]{1,10}", re.ASCII)
_SAFE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})
_SAFE_FAMILY = re.compile(r"(audio|video)/[a-z0-9][a-z0-9.+-]{0,126}", re.ASCII)
_RANGE = re.compile(rb"bytes=([0-9]{0,19})-([0-9]{0,19})")

T = TypeVar("T")


class StorageApi:
    """Create, update, query, delete.

    :param cross_origin: other sites may use us (``server/allowed_origins``), so
        their pages may show stored pictures.
    """

    def __init__(
        self, areas: StorageAreas, tasks: Tasks, lookups: LookUps, *, cross_origin: bool = False
    ) -> None:
        self._areas = areas
        self._tasks = tasks
        self._lookups = lookups
        self._resource_policy = b"cross-origin" if cross_origin else b"same-origin"

    @route(
        BASE + "/<ttl>",
        "POST",
        body=BodyKind.FORM,
        multipart=True,
        stores=True,
        password="server",
    )
    async def create(self, request: IRequest, ttl: str) -> bytes:
        """Spec: Storage API, "Create".  200 with ``{"id": ...}``."""
        form = form_of(request)
        _check_document(form)
        work = self._areas.create(form.fields, parse_ttl(ttl))
        area_id = await self._finish("creating a storage area", form, work)
        return json_reply(request, {"id": area_id})

    @route(
        BASE + "/<area_id>/<ttl>",
        "POST",
        body=BodyKind.FORM,
        multipart=True,
        stores=True,
        password="server",
    )
    async def update(self, request: IRequest, area_id: str, ttl: str) -> bytes:
        """Spec: Storage API, "Update".  200 with ``{}``; 404 if there is no such area."""
        form = form_of(request)
        _check_document(form)
        ttl_s = parse_ttl(ttl)
        caller = caller_of(request)
        self._lookups.check(caller)
        work = self._areas.update(AreaId(area_id), form.fields, ttl_s)
        await self._lookups.of(caller, self._finish("updating a storage area", form, work))
        return json_reply(request, {})

    @route(BASE + "/<area_id>", "GET", password="server")
    async def query(self, request: IRequest, area_id: str) -> bytes:
        """Spec: Storage API, "Query (all keys)".  200 with all of them; 404."""
        caller = caller_of(request)
        self._lookups.check(caller)
        values = await self._lookups.of(caller, self._areas.open(AreaId(area_id)))
        if values.text_bytes <= JOINED:
            return json_reply(request, await values.all())
        return await stream_json(request, values.items())

    @route(BASE + "/<area_id>/<key>", "GET", password="server")
    async def query_key(self, request: IRequest, area_id: str, key: str) -> bytes:
        """Spec: Storage API, "Query (one key)".  200 with the value as text; 404."""
        caller = caller_of(request)
        self._lookups.check(caller)
        value = await self._lookups.of(caller, self._areas.read_key(AreaId(area_id), key))
        return text_reply(request, value)

    @route(BASE + "/binary/<area_id>/<key>", "GET", password="server")
    async def query_file(self, request: IRequest, area_id: str, key: str) -> bytes:
        """Spec: Storage API, "Query (one binary key)".  200, 206 or 416; 404."""
        caller = caller_of(request)
        self._lookups.check(caller)
        file = await self._lookups.of(caller, self._areas.open_file(AreaId(area_id), key))
        return await self._send(request, file)

    @route(BASE + "/<area_id>", "DELETE", password="server")
    async def delete(self, request: IRequest, area_id: str) -> bytes:
        """Spec: Storage API, "Delete".  200 and empty; 404."""
        caller = caller_of(request)
        self._lookups.check(caller)
        work = self._areas.delete(AreaId(area_id))
        await self._lookups.of(caller, self._tasks.finish("deleting a storage area", work))
        return empty_reply(request)

    async def _finish(self, what: str, form: Form, work: Coroutine[Any, Any, T]) -> T:
        """Do what changes the store, whatever becomes of the client meanwhile."""

        async def whole() -> T:
            try:
                return await work
            finally:
                form.close()

        return await self._tasks.finish(what, whole())

    async def _send(self, request: Any, file: StoredFile) -> bytes:
        """Send a file in a way that no browser runs it (S11), or one stretch of it (H19)."""
        first, length, status = parse_range(request.getHeader(b"range"), file.size)
        request.setResponseCode(status)
        for name, value in (
            (b"Content-Type", served_type(file.content_type).encode("ascii")),
            (b"Content-Disposition", disposition(file.filename).encode("ascii")),
            (b"Content-Security-Policy", b"default-src 'none'; sandbox"),
            (b"Cross-Origin-Resource-Policy", self._resource_policy),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Cache-Control", b"no-cache, no-store"),
            (b"Accept-Ranges", b"bytes"),
            (b"Content-Length", b"%d" % length),
        ):
            request.setHeader(name, value)
        if status == 416:
            request.setHeader(b"Content-Range", b"bytes */%d" % file.size)
        elif status == 206:
            last = first + length - 1
            request.setHeader(b"Content-Range", b"bytes %d-%d/%d" % (first, last, file.size))
        if length and request.method != b"HEAD":
            await send_pieces(request, file.pieces(first, length))
        return b""


def parse_ttl(text: str) -> int:
    """Read a lifetime in seconds (S04).

    Python's own number parser takes signs, spaces, underscores and the digits of
    every script; here only ASCII digits are.

    :raises InvalidRequest: it is not a number from 1 to 2147483647.
    """
    seconds = int(text) if _TTL.fullmatch(text) else 0
    if not 1 <= seconds <= MAX_TTL_S:
        raise InvalidRequest(f"ttl must be a whole number from 1 to {MAX_TTL_S}.", "ttl")
    return seconds


def parse_range(header: bytes | None, size: int) -> tuple[int, int, int]:
    """Read ``Range``: where to begin, how much, and with which status.

    RFC: 9110, section 14.  One range is honoured; with more, or with anything
    that is none, the whole file is the answer (H19).
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == b"bytes=-":
        return 0, size, 200
    if not match[1]:
        length = min(int(match[2]), size)
        return (size - length, length, 206) if length else (0, 0, 416)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return 0, size, 200
    if first >= size:
        return 0, 0, 416
    return first, min(last, size - 1) - first + 1, 206


def served_type(content_type: str) -> str:
    """The type that a stored file is served as (S11): the sender's, if it is harmless."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return "text/plain; charset=utf-8"
    if kind in _SAFE_TYPES or _SAFE_FAMILY.fullmatch(kind):
        return kind
    return OPAQUE_TYPE


def disposition(filename: str) -> str:
    """``Content-Disposition`` that makes browsers save a file, whatever its name is.

    RFC: 6266 and 8187.
    """
    encoded = quote(filename.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    return f"attachment; filename*=UTF-8''{encoded or 'file'}"


def _check_document(form: Form) -> None:
    """A JSON body must be an object of strings.

    :raises InvalidRequest: it is not.
    """
    if form.document is None:
        return
    if not isinstance(form.document, dict):
        raise InvalidRequest("The JSON body must be an object.")
    for name, value in form.document.items():
        if not isinstance(value, str):
            raise InvalidRequest("The members of the JSON body must be strings.", name)
