"""The load balancer's page for chat servers: which one to use.

GMS itself asks its built-in server directly; the page is for whoever follows
``checkChatServiceLoadBalancerPath`` of an answer of the Chat API, and for other
GMS processes that share this chat server.

Knows: the page's URL.  Does not know: chats.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.iweb import IRequest

from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import form_of
from gms_twisted.rest.replies import body_reply
from gms_twisted.rest.root import route

JSON = "application/json"
ALIAS = "chatServerLoadBalancerAlias"
DEFAULT_PATH = "/WebAPI812/SimpleSamples812/ChatHA/ChatLBServerInfo.jsp"


def page_path(option: str) -> str:
    """The path of our page, as ``chat/chat_load_balancer_url_path`` says.

    A whole URL there names somebody else's page; ours then stays at the default.
    """
    path = option.partition("?")[0]
    good = path.startswith("/") and not set(path) & set("<>{}\\ ")
    return path if good else DEFAULT_PATH


def balancer_page(option: str, answer: Callable[[str], bytes | None]) -> object:
    """Make the module for :meth:`gms_twisted.rest.root.Api.add`.

    :param option: ``chat/chat_load_balancer_url_path``.
    :param answer: takes the alias asked for, ``""`` for any; the page of a built-in chat
        server, ``None`` while there is none.
    """

    class BalancerPage:
        """One URL, known only at start."""

        @route(page_path(option), "GET", body=BodyKind.FORM)
        def show(self, request: IRequest) -> bytes:
            """200 with the server; 503 without one.

            An alias that no server has gets a server all the same, with
            its own alias: that is how a session learns of the replacement.
            """
            page = answer(form_of(request).text(ALIAS))
            if page is None:
                raise ChatServerUnavailable("The chat server is not running.")
            return body_reply(request, page, JSON)

    return BalancerPage()
