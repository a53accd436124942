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
from gms_twisted.rest.replies import body_reply
from gms_twisted.rest.root import route

JSON = "application/json"
DEFAULT_PATH = "/WebAPI812/SimpleSamples812/ChatHA/ChatLBServerInfo.jsp"


def page_path(option: str) -> str:
    """The path of our page, as ``chat/chat_load_balancer_url_path`` says.

    A whole URL there names somebody else's page; ours then stays at the default.
    """
    path = option.partition("?")[0]
    good = path.startswith("/") and not set(path) & set("<>{}\\ ")
    return path if good else DEFAULT_PATH


def balancer_page(option: str, answer: Callable[[], bytes | None]) -> object:
    """Make the module for :meth:`gms_twisted.rest.root.Api.add`.

    :param option: ``chat/chat_load_balancer_url_path``.
    :param answer: the page of the built-in chat server, ``None`` while that is closed.
    """

    class BalancerPage:
        """One URL, known only at start."""

        @route(page_path(option), "GET")
        def show(self, request: IRequest) -> bytes:
            """200 with the server; 503 without one.

            An alias that is not the server's gets the server all the same, with
            its own alias: that is how a session learns of the replacement.
            """
            page = answer()
            if page is None:
                raise ChatServerUnavailable("The chat server is not running.")
            return body_reply(request, page, JSON)

    return BalancerPage()
