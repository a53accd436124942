"""The URL map: every route of every chapter on one Klein app, with its plan.

A module of this package is a class whose methods carry :func:`route`; it is put
on the map with :meth:`Api.add`::

    class StorageApi:
        @route("/genesys/1/storage/<ttl>", "POST", body=BodyKind.FORM, multipart=True)
        async def create(self, request: IRequest, ttl: str) -> bytes: ...

    api = Api()
    api.add(StorageApi(areas), NodeApi(state))
    site = Site(api.resource(), parsePOSTFormSubmission=False)

One app and not one inside another, which would cost half as much again for each
request; and most requests reach their route without Klein, by a table that is read from
its map (``lean_routes.py``): one declaration, two dispatchers, the same answers.

What may be asked for before a body is read stands beside the route and is judged by
``admission.py``.

A path is decoded exactly once, as strict UTF-8, segment by segment, so an encoded
slash stays inside its segment (hardening H15).

Knows: paths, methods, plans.  Does not know: what any route does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from traceback import clear_frames
from typing import Any, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter, PathConverter, RequestRedirect, ValidationError

from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, InvalidRequest, NotFound
from gms_twisted.domain.sources import Clock
from gms_twisted.http.interfaces import BodyKind, LeanRoute
from gms_twisted.rest.lean_routes import LeanCall, LeanRoutes
from gms_twisted.rest.refusals import Refusals
from gms_twisted.rest.replies import (
    INTERNAL_CODE,
    INTERNAL_MESSAGE,
    error_reply,
    problem_reply,
)

API_PREFIX = "/genesys/1/"

_NOTHING_HERE = "There is nothing at this URL."
_SEGMENT_SAFE = "!$&'()*+,:;=@-._~"
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

F = TypeVar("F", bound=Callable[..., Awaitable[bytes] | bytes])


class UnknownPath(NotFound):
    """There is nothing at this path."""

    code = "gms.unknown_path"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a request for a route before its body is read.

    :ivar body: what a body may be.
    :ivar multipart: it may be a multipart form, and so as large as one.
    :ivar internal: for callers on ``server/internal_allow`` only.
    :ivar stores: it adds stored data, so it is refused while storage is full.
    :ivar password: whose HTTP Basic authentication it asks for, if any is
        configured: ``"server"``; ``"service"``, the service's that the URL argument
        ``service`` names, else the server's; or nobody's.
    :ivar limit: whose limit of a body it has, if not that of section ``http``: ``"push"``.
    :ivar home: of several nodes only the one that has the desk and the contact centre can
        answer it; the others carry it there.
    """

    body: BodyKind = BodyKind.NONE
    multipart: bool = False
    internal: bool = False
    stores: bool = False
    password: str = ""
    limit: str = ""
    home: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One URL with the methods that it serves, as :func:`route` remembers it."""

    url: str
    methods: tuple[str, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Match:
    """What a request asks for.

    :ivar arguments: by name, from the URL.
    :ivar route: what answers it; ``None``: Klein finds that.
    """

    plan: Plan
    arguments: Mapping[str, str]
    route: LeanRoute | None = None


class MethodRefused(GmsError):
    """The path is there, the method is not.

    :ivar allowed: the methods that are, sorted.
    """

    code = "gms.method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("This URL does not know the method.")
        self.allowed = tuple(allowed)


def route(
    url: str,
    *methods: str,
    body: BodyKind = BodyKind.NONE,
    multipart: bool = False,
    internal: bool = False,
    stores: bool = False,
    password: str = "",
    limit: str = "",
    home: bool = False,
) -> Callable[[F], F]:
    """Serve a URL with a method of a module; may be used several times on one.

    :param url: as Klein has it, ``/genesys/1/storage/<area_id>``; ``<path:rest>``
        takes any number of segments, none of them empty, ``.`` or ``..``.
    :param methods: ``"GET"`` serves ``HEAD`` too; ``OPTIONS`` is always answered.

    The others are those of :class:`Plan`.
    """
    made = Route(url, methods, Plan(body, multipart, internal, stores, password, limit, home))

    def remember(function: F) -> F:
        routes = function.__dict__.setdefault("gms_routes", [])
        routes.append(made)
        return function

    return remember


def canonical_path(path: bytes) -> str:
    """Give a path the one spelling that the URL map compares: still percent-encoded.

    :raises InvalidRequest: an escape is broken, the text is no UTF-8, or it has
        control characters.
    """
    try:
        text = path.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The URL has characters that must be percent-encoded.") from error
    if "%" not in text:
        return text
    return "/".join(_canonical_segment(segment) for segment in text.split("/"))


def _canonical_segment(segment: str) -> str:
    if "%" not in segment:
        return segment
    if _BROKEN_ESCAPE.search(segment):
        raise InvalidRequest("The URL has a broken percent-escape.")
    try:
        decoded = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The URL is not percent-encoded UTF-8.") from error
    if _CONTROL.search(decoded):
        raise InvalidRequest("The URL has control characters.")
    return quote(decoded, safe=_SEGMENT_SAFE)


class _Segment(BaseConverter):
    """An argument of one segment, decoded."""

    def to_python(self, value: str) -> str:
        """Decode; ``.`` and ``..`` are text like any other."""
        return _decoded(value)


def _decoded(segment: str) -> str:
    return unquote(segment, errors="strict")


class _Segments(PathConverter):
    """An argument of several segments, decoded, for files that we ship."""

    def to_python(self, value: str) -> str:
        """Decode; no segment may be one that a file system would understand."""
        decoded = [unquote(segment, errors="strict") for segment in value.split("/")]
        for segment in decoded[:-1]:
            if not segment:
                raise ValidationError
        if any("/" in segment or segment in {".", ".."} for segment in decoded):
            raise ValidationError
        return "/".join(decoded)


class Api:
    """The URL map, and the failures that every route shares.

    :param aliases: prefixes that mean ``/genesys/1/`` (``server/base_path_aliases``).
    :param clock: for the rate of log lines about refusals; without one there are none.
    :ivar refusals: counts what is refused, here and at admission.
    :ivar turn: another one whenever a path may mean something else than before.
    """

    log = Logger()

    def __init__(
        self,
        counters: Counters | None = None,
        aliases: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self.refusals = Refusals(counters if counters is not None else Counters(), clock)
        self.app = Klein()
        self.turn = 0
        self.reconfigure(aliases)
        self._plans: dict[str, Plan] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._table: LeanRoutes | None = None
        url_map = self.app.url_map
        url_map.merge_slashes = False
        url_map.strict_slashes = False
        url_map.redirect_defaults = False
        url_map.converters["default"] = url_map.converters["string"] = _Segment
        url_map.converters["path"] = _Segments
        self._adapter = url_map.bind("localhost")
        self.app.handle_errors(Exception)(self.failed)

    def reconfigure(self, aliases: Sequence[str]) -> None:
        """Follow other aliases from now on."""
        self._aliases = tuple(alias for alias in aliases if alias.startswith("/"))
        self.turn += 1

    def add(self, *modules: object) -> None:
        """Put the routes of these objects on the map."""
        for module in modules:
            for name, function, made in _routes_of(module):
                endpoint = f"{type(module).__name__}.{name} {made.url} {' '.join(made.methods)}"
                self._plans[endpoint] = made.plan
                self._functions[endpoint] = function
                self.app.route(made.url, methods=made.methods, endpoint=endpoint)(
                    _forgetful(function)
                )
        self._table = None
        self.turn += 1

    def path_of(self, path: bytes) -> str:
        """The canonical spelling of a path, aliases resolved.

        :raises InvalidRequest: it has none.
        :raises UnknownPath: it has an empty segment; the URL map would look past it.
        """
        text = canonical_path(path)
        if "//" in text:
            raise UnknownPath(_NOTHING_HERE)
        for alias in self._aliases:
            if text.startswith(alias):
                return API_PREFIX + text[len(alias) :]
        return text

    def match(self, method: str, path: str) -> Match:
        """Find what a canonical path asks for.

        :raises UnknownPath: nothing.
        :raises MethodRefused: nothing with this method.
        """
        if self._table is None:
            self._table = LeanRoutes(self.app.url_map, _decoded)
        found = self._table.find(method, path)
        if found is not None:
            endpoint, arguments = found
            route = LeanCall(self._functions[endpoint], arguments, self.failed)
            return Match(self._plans[endpoint], arguments, route)
        return self.match_by_klein(method, path)

    def match_by_klein(self, method: str, path: str) -> Match:
        """Find the same in Klein's map itself; raises the same."""
        try:
            rule, arguments = self._adapter.match(path, method=method, return_rule=True)
        except MethodNotAllowed as error:
            raise _method_refused(error) from error
        except (HTTPException, RequestRedirect) as error:
            raise UnknownPath(_NOTHING_HERE) from error
        return Match(self._plans[rule.endpoint], arguments)

    def rules(self) -> Iterator[tuple[str, frozenset[str], Plan]]:
        """Every URL with its methods and plan: for tests and descriptions."""
        for rule in self.app.url_map.iter_rules():
            yield rule.rule, frozenset(rule.methods or ()), self._plans[rule.endpoint]

    def resource(self) -> IResource:
        """What ``twisted.web`` asks to render requests that have been admitted."""
        return _ApiResource(self)

    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Answer a failure: a foreseen one with its meaning, any other with 500."""
        error = failure.value
        if request.startedWriting:  # type: ignore[attr-defined]  # of twisted.web's Request
            if not isinstance(error, CancelledError):
                self.log.failure("Failed in the middle of an answer", failure=failure)
            # An answer cut short must not look complete.
            request.channel.abortConnection()  # type: ignore[attr-defined]  # likewise
            return b""
        if isinstance(error, MethodNotAllowed):
            error = _method_refused(error)
        if isinstance(error, MethodRefused):
            request.setHeader(b"Allow", ", ".join(error.allowed).encode("ascii"))
            return problem_reply(request, 405, str(error), error.code)
        if isinstance(error, GmsError):
            self.refusals.count(error.code, request.method)
            return error_reply(request, error)
        if isinstance(error, HTTPException):
            return error_reply(request, UnknownPath(_NOTHING_HERE))
        self.refusals.counters.add("gms_failures_total")
        self.log.failure("Failed: {method} request", failure=failure, method=request.method)
        return problem_reply(request, 500, INTERNAL_MESSAGE, INTERNAL_CODE)


class _ApiResource(KleinResource):
    """Klein's resource, told the path in our spelling."""

    def __init__(self, api: Api) -> None:
        super().__init__(api.app)
        self._api = api

    def render(self, request: Any) -> Any:
        """Route a request.

        Klein would join the decoded segments and so lose where an encoded slash
        was; it gets them encoded, and the map's converters decode them.
        """
        try:
            path = self._api.path_of(request.path)
            request.postpath = [segment.encode("ascii") for segment in path.split("/")[1:]]
            return super().render(request)
        except GmsError as error:
            return error_reply(request, error)
        except HTTPException:
            # Klein looks at Host, though nothing of ours depends on it.
            return error_reply(request, InvalidRequest("The header Host is no host.", "Host"))


def _forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    """A route whose foreseen failures keep nothing of its request.

    A traceback has the frames, and those have the form; nobody reads one of a refusal
    or of a client that went away, but it waits long for the garbage collector.
    """
    if not iscoroutinefunction(function):
        return function

    @wraps(function)
    async def call(*arguments: Any, **named: Any) -> Any:
        try:
            return await function(*arguments, **named)
        except (GmsError, CancelledError) as error:
            clear_frames(error.__traceback__)
            raise

    return call


def _method_refused(error: MethodNotAllowed) -> MethodRefused:
    return MethodRefused(sorted({*(error.valid_methods or ()), "OPTIONS"}))


def _routes_of(module: object) -> Iterator[tuple[str, Callable[..., Any], Route]]:
    for name in dir(type(module)):
        for made in getattr(getattr(type(module), name), "gms_routes", ()):
            yield name, getattr(module, name), made
