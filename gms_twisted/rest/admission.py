"""What is judged on the complete head of a request, before one byte of its body.

In this order: the path (400, 404), the method (405; ``OPTIONS`` is answered here,
for browsers ask without credentials), the port it came in on (403), who sends it
(400, 401, 403), whether it may ask for internal things (403), name and password
(401), the type of the body (415), its size (413), room for what it brings (507).

Knows: heads, plans.  Does not know: bodies, what routes do.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hmac import compare_digest

from gms_twisted.app.nodes import HOME
from gms_twisted.config.options import HttpOptions, ServerOptions, ServiceOptions
from gms_twisted.domain.errors import (
    Forbidden,
    GmsError,
    InternalOnly,
    PasswordRequired,
    TooLarge,
    UnsupportedMedia,
)
from gms_twisted.http.forms import media_type
from gms_twisted.http.identity import Identity
from gms_twisted.http.interfaces import (
    BodyKind,
    BodyPlan,
    CallerInfo,
    Head,
    LeanRoute,
    Peer,
    Refusal,
)
from gms_twisted.http.origins import Origins
from gms_twisted.rest.replies import refusal_for
from gms_twisted.rest.root import Api, Match, MethodRefused, Plan

_PLAIN_HOST = re.compile(
    rb"(?:[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
"""A host that Klein has nothing against."""

FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
JSON_TYPE = "application/json"


class PortRestricted(Forbidden):
    """The path is closed on the port that the request came in on."""

    code = "gms.port_restricted"


class PortRestrictions:
    """Section ``port_restrictions``: which paths answer on which ports only.

    :param section: ports and ranges by URL pattern, ``{"/genesys/1/storage/*": "81,8080-8090"}``.
    :raises ValueError: ports are not numbers; the text names the pattern.
    """

    def __init__(self, section: Mapping[str, str]) -> None:
        self.reconfigure(section)

    def reconfigure(self, section: Mapping[str, str]) -> None:
        """Follow another section from now on.

        :raises ValueError: as at the beginning; nothing changes.
        """
        self._rules = [
            (_pattern(url), frozenset(_ports(url, ports))) for url, ports in section.items()
        ]

    def refuse(self, path: str, port: int) -> bool:
        """Tell whether a path is closed on a port; the strictest pattern counts."""
        return bool(self._rules) and any(
            pattern.fullmatch(path) and port not in ports for pattern, ports in self._rules
        )


class Passwords:
    """HTTP Basic authentication: options ``username`` and ``password``.

    A service that has its own pair accepts only that one.
    """

    def __init__(self, server: ServerOptions, services: Mapping[str, ServiceOptions]) -> None:
        self.reconfigure(server, services)

    def reconfigure(self, server: ServerOptions, services: Mapping[str, ServiceOptions]) -> None:
        """Follow other options from now on."""
        self._server = _pair(server.username, server.password)
        self._services = {
            name: pair
            for name, service in services.items()
            if (
                pair := _pair(
                    service.values.get("_username", ""), service.values.get("_password", "")
                )
            )
        }

    @property
    def any(self) -> bool:
        """Tell whether one is asked for anywhere."""
        return self._server is not None or bool(self._services)

    def check(self, authorization: bytes | None, service: str = "") -> None:
        """Check what a request proves.

        :param authorization: the header, if it came.
        :param service: the name of the service that is asked, if one is.
        :raises PasswordRequired: it is not what is configured.
        """
        wanted = self._services.get(service, self._server)
        if wanted is None:
            return
        scheme, _, credentials = (authorization or b"").partition(b" ")
        try:
            given = b64decode(credentials.strip(), validate=True)
        except ValueError:
            given = b""
        # Both are compared always: the time must not tell which was wrong.
        if not compare_digest(given, wanted) or scheme.lower() != b"basic":
            raise PasswordRequired("User name and password are required.")


class _Meaning:
    """What a head asks for, as long as the URL map stays as it is; see :attr:`Head.note`."""

    __slots__ = ("checked", "match", "path", "plan", "turn")

    def __init__(self, path: str, match: Match, turn: int) -> None:
        self.path = path
        self.match = match
        self.turn = turn
        #: The last one; nearly always the next is the same.
        self.plan: BodyPlan | None = None
        #: By which limits its body has been found good.
        self.checked: tuple[int, HttpOptions] | None = None


class RestAdmission:
    """An :class:`gms_twisted.http.interfaces.Admission` over the URL map.

    :param room: raises when no more data can be taken; asked for routes that store.
    :param limits: tell the largest body of routes that have a limit of their own, by the
        name in their plan.
    :param elsewhere: tells whether a name is another node's (:class:`app.nodes.Ownership`).
    """

    def __init__(
        self,
        api: Api,
        identity: Identity,
        origins: Origins,
        http: HttpOptions,
        passwords: Passwords,
        ports: PortRestrictions | None = None,
        room: Callable[[], None] = lambda: None,
        limits: Mapping[str, Callable[[], int]] | None = None,
        elsewhere: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._api = api
        self._identity = identity
        self._origins = origins
        self._http = http
        self._passwords = passwords
        self._ports = ports or PortRestrictions({})
        self._room = room
        self._limits = limits or {}
        self._elsewhere = elsewhere

    def reconfigure(self, http: HttpOptions) -> None:
        """Follow other limits from now on; the other parts are told for themselves."""
        self._http = http

    def __call__(self, head: Head, peer: Peer) -> Refusal | BodyPlan:
        """Refuse a request, or say how its body is to be read."""
        headers = self._origins.headers(head, peer)
        try:
            meaning = head.note
            if not isinstance(meaning, _Meaning) or meaning.turn != self._api.turn:
                path = self._api.path_of(head.path)
                if head.method == b"OPTIONS":
                    return self._options(head, peer, path)
                meaning = head.note = self._meaning(head, path)
            match = meaning.match
            if self._ports.refuse(meaning.path, peer.local_port):
                raise PortRestricted("This URL is not available on this port.")
            caller = self._identity.identify(head, peer)
            if isinstance(caller, Refusal):
                return self._refused(head, caller, headers)
            if caller.internal and not self._origins.allowed(head, peer):
                # A page of another site, open on an internal machine, is not internal.
                caller = replace(caller, internal=False)
            self._check(meaning, head, caller)
        except MethodRefused as error:
            allow = ("Allow", ", ".join(error.allowed))
            refusal = Refusal(405, str(error), error.code, (allow,), close=head.has_body)
            return self._refused(head, refusal, headers)
        except GmsError as error:
            return self._refused(head, refusal_for(error, close=head.has_body), headers)
        plan = match.plan
        limit = self._limit_of(plan)
        multipart = self._http.max_body_multipart if plan.multipart else limit
        owner = HOME if plan.home and self._elsewhere(HOME) else ""
        made = meaning.plan
        if (
            made is None
            or made.caller is not caller
            or made.limit != limit
            or made.multipart_limit != multipart
            or made.headers != headers
            or made.owner != owner
        ):
            made = BodyPlan(plan.body, limit, multipart, caller, headers, owner, match.route)
            meaning.plan = made
        return made

    def route_of(self, head: Head) -> LeanRoute | None:
        """What answers a request that another node has admitted; ``None``: Klein finds it."""
        try:
            return self._meaning(head, self._api.path_of(head.path)).match.route
        except GmsError:
            return None

    def _meaning(self, head: Head, path: str) -> _Meaning:
        """Find what a head asks for; the same for all heads that are the same."""
        match = self._api.match(head.method.decode("ascii", "replace"), path)
        host = head.header(b"host")
        if match.route is not None and (host is None or not _PLAIN_HOST.fullmatch(host)):
            # Klein refuses some hosts, though nothing of ours depends on them.
            match = replace(match, route=None)
        return _Meaning(path, match, self._api.turn)

    def _limit_of(self, plan: Plan) -> int:
        own = self._limits.get(plan.limit)
        return self._http.max_body if own is None else own()

    def _refused(
        self, head: Head, refusal: Refusal, headers: tuple[tuple[str, str], ...]
    ) -> Refusal:
        """A refusal with what browsers must be told, counted."""
        self._api.refusals.count(refusal.code, head.method)
        return Refusal(
            refusal.status,
            refusal.message,
            refusal.code,
            (*refusal.headers, *headers),
            plain=refusal.plain,
            close=refusal.close or head.has_body,
        )

    def _options(self, head: Head, peer: Peer, path: str) -> Refusal:
        """Answer ``OPTIONS``, a browser's preflight most of the time."""
        try:
            self._api.match("OPTIONS", path)
            allowed: tuple[str, ...] = ("OPTIONS",)
        except MethodRefused as error:
            allowed = error.allowed
        methods = ", ".join(allowed)
        headers = (("Allow", methods), *self._origins.preflight(head, peer, methods))
        return Refusal(200, "", "", headers, plain=True, close=head.has_body)

    def _check(self, meaning: _Meaning, head: Head, caller: CallerInfo) -> None:
        match = meaning.match
        plan = match.plan
        if plan.internal and not caller.internal:
            raise InternalOnly("This URL is for internal use; see server/internal_allow.")
        if plan.password:
            service = match.arguments.get("service", "") if plan.password == "service" else ""
            self._passwords.check(head.header(b"authorization"), service)
        if head.has_body:
            # The same for the same head, as long as limits are.
            limits = self._limit_of(plan), self._http
            if meaning.checked != limits:
                self._check_body(plan, head)
                meaning.checked = limits
        if plan.stores:
            self._room()

    def _check_body(self, plan: Plan, head: Head) -> None:
        kind = _media_type(head)
        limit = self._limit_of(plan)
        if plan.body is BodyKind.ANY:
            if kind == MULTIPART_TYPE:
                raise UnsupportedMedia("The body must not be in parts.")
        elif plan.body is not BodyKind.NONE:
            if kind not in _types_of(plan):
                raise UnsupportedMedia(
                    "The body must be of type " + " or ".join(_types_of(plan)) + "."
                )
            if kind == MULTIPART_TYPE:
                limit = self._http.max_body_multipart
        if head.content_length is not None and head.content_length > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")


def _types_of(plan: Plan) -> tuple[str, ...]:
    if plan.body is BodyKind.JSON:
        return (JSON_TYPE,)
    return (FORM_TYPE, MULTIPART_TYPE, JSON_TYPE) if plan.multipart else (FORM_TYPE, JSON_TYPE)


def _media_type(head: Head) -> str:
    """The type without its parameters, lower case; ``""`` for none or several."""
    values = head.headers.get(b"content-type", ())
    if len(values) != 1:
        return ""
    found = media_type(head)
    return JSON_TYPE if found == "text/json" else found


def _pair(username: str, password: str) -> bytes | None:
    """What Basic authentication sends for a pair; ``None`` unless both are set."""
    return f"{username}:{password}".encode() if username and password else None


def _pattern(url: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in url.split("*")), re.DOTALL)


def _ports(url: str, text: str) -> list[int]:
    """Read ``81,90,8080-8090``."""
    ports: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            first, last = int(low), int(high if dash else low)
        except ValueError as error:
            raise ValueError(
                f"port_restrictions/{url}: {part.strip()!r} is no port and no range"
            ) from error
        if not 0 < first <= last < 65536:
            raise ValueError(f"port_restrictions/{url}: {part.strip()!r} is out of range")
        ports.extend(range(first, last + 1))
    return ports
