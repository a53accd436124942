"""Logging in to the desk, and the customer page's identity.

Routes under ``/desk/api`` and ``/demo/api``; the shapes are in
docs/desk-protocol.md.  Bodies are JSON, which a page of another site cannot send
without our leave (its preflight is refused), and the
cookie is ``SameSite=Strict`` besides (hardening C07).

Knows: cookies, headers, JSON members.  Does not know: the rules of accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from twisted.web.iweb import IRequest

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.desk_people import Agent, Login, NotLoggedIn
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import IdSource
from gms_twisted.http.identity import MAX_TOKEN_LIFE_S, Identity, InvalidToken
from gms_twisted.http.interfaces import BodyKind, ICaller, IForm
from gms_twisted.rest.replies import json_reply
from gms_twisted.rest.root import route

COOKIE = "gms_desk"
CSRF = b"X-Gms-Csrf"
LINK_PAGE = "/desk/#link="
DEMO_SERVICES = ("request-chat", "request-chat-poll")
"""What the customer page can use."""


def _members(request: IRequest) -> Mapping[str, object]:
    document = IForm(request).document
    if not isinstance(document, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    return document


def _text(members: Mapping[str, object], name: str, *, needed: bool = True) -> str:
    value = members.get(name, None if needed else "")
    if not isinstance(value, str) or len(value) > 1000:
        raise InvalidRequest(f"{name}: text of at most 1000 characters.", name)
    return value


def _agent(agent: Agent) -> dict[str, object]:
    return {"name": agent.name, "display_name": agent.display_name, "role": agent.role}


class DeskApi:
    """Log-ins, links and tickets."""

    def __init__(self, accounts: DeskAccounts, tasks: Tasks) -> None:
        self._accounts = accounts
        self._tasks = tasks

    @route("/desk/api/link/<token>", "GET", home=True)
    async def link(self, request: IRequest, token: str) -> bytes:
        """Say what a one-time link is for; 404 when it is no good."""
        link = await self._accounts.link(token)
        return json_reply(
            request,
            {
                "name": link.name,
                "display_name": link.display_name,
                "role": link.role,
                "new": not link.name,
            },
        )

    @route("/desk/api/claim", "POST", body=BodyKind.JSON, home=True)
    async def claim(self, request: IRequest) -> bytes:
        """Use up a one-time link: set a password and log in."""
        members = _members(request)
        login, cookie = await self._tasks.finish(
            "desk claim",
            self._accounts.claim(
                _text(members, "token"),
                _text(members, "name", needed=False),
                _text(members, "display_name", needed=False),
                _text(members, "password"),
            ),
        )
        return self._logged_in(request, login, cookie)

    @route("/desk/api/login", "POST", body=BodyKind.JSON, home=True)
    async def login(self, request: IRequest) -> bytes:
        """Log in; 401 whatever was wrong, 429 after too many failures."""
        members = _members(request)
        login, cookie = await self._tasks.finish(
            "desk login",
            self._accounts.login(
                _text(members, "name"), _text(members, "password"), ICaller(request).address
            ),
        )
        return self._logged_in(request, login, cookie)

    def _logged_in(self, request: IRequest, login: Login, cookie: str) -> bytes:
        secure = "; Secure" if ICaller(request).secure else ""
        line = f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
        request.responseHeaders.addRawHeader(b"Set-Cookie", line.encode("ascii"))
        return json_reply(request, {"agent": _agent(login.agent), "csrf": login.csrf})

    @route("/desk/api/me", "GET", home=True)
    async def me(self, request: IRequest) -> bytes:
        """Say who is logged in; 401 for nobody."""
        login = await self._login(request)
        return json_reply(request, {"agent": _agent(login.agent), "csrf": login.csrf})

    @route("/desk/api/ticket", "POST", body=BodyKind.JSON, home=True)
    async def ticket(self, request: IRequest) -> bytes:
        """Make a ticket for one Bayeux handshake."""
        login = await self._changing(request)
        return json_reply(request, {"ticket": self._accounts.ticket(login), "expires_s": 60})

    @route("/desk/api/logout", "POST", body=BodyKind.JSON, home=True)
    async def logout(self, request: IRequest) -> bytes:
        """End the log-in on the server, its windows too."""
        login = await self._changing(request)
        await self._tasks.finish("desk logout", self._accounts.logout(login))
        gone = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        request.responseHeaders.addRawHeader(b"Set-Cookie", gone.encode("ascii"))
        return json_reply(request, {})

    @route("/desk/api/password", "POST", body=BodyKind.JSON, home=True)
    async def password(self, request: IRequest) -> bytes:
        """Change one's own password."""
        login, members = await self._changing(request), _members(request)
        await self._tasks.finish(
            "desk password",
            self._accounts.change_password(
                login, _text(members, "old"), _text(members, "new"), ICaller(request).address
            ),
        )
        return json_reply(request, {})

    async def _login(self, request: IRequest) -> Login:
        cookie = request.getCookie(COOKIE.encode())
        if not cookie:
            raise NotLoggedIn("Log in first.")
        return await self._accounts.whose(cookie.decode("latin-1"))

    async def _changing(self, request: IRequest) -> Login:
        """The log-in of a call that changes something, with its CSRF value checked."""
        login = await self._login(request)
        self._accounts.check_csrf(login, (request.getHeader(CSRF) or b"").decode("latin-1"))
        return login

    async def operator(self, request: IRequest) -> bool:
        """Tell whether an operator is logged in: for pages that show inner details."""
        try:
            login = await self._login(request)
        except NotLoggedIn:
            return False
        return login.agent.is_operator


class DemoApi:
    """A made-up user for each visitor of the customer page.

    :param services: names of the services that are configured.
    """

    def __init__(
        self, identity: Identity, ids: IdSource, services: Callable[[], Collection[str]]
    ) -> None:
        self._identity = identity
        self._ids = ids
        self._services = services

    @route("/demo/api/services", "GET")
    async def services(self, request: IRequest) -> bytes:
        """Say which services there are of those that the page can use."""
        configured = self._services()
        return json_reply(
            request, {"services": [name for name in DEMO_SERVICES if name in configured]}
        )

    @route("/demo/api/visitor", "POST", body=BodyKind.JSON)
    async def visitor(self, request: IRequest) -> bytes:
        """Make a user and a token for it, or renew the token that the page sends."""
        members = _members(request)
        former = _text(members, "token", needed=False)
        lifetime_s = MAX_TOKEN_LIFE_S
        token = ""
        if former:
            try:
                token = self._identity.renew(former, lifetime_s)
            except InvalidToken:
                token = ""  # over since yesterday: the visitor is a new one
        if not token:
            user = GmsUser(f"visitor-{self._ids.uuid()}")
            token = self._identity.issue_visitor_token(user, lifetime_s)
        answer = {
            "user": self._identity.token_user(token),
            "token": token,
            "expires_s": lifetime_s,
        }
        return json_reply(request, answer)
