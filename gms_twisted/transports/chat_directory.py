"""Which chat server to use: a list, the built-in one, or a load balancer's page.

Knows: options of section ``chat``, the page's forms, who was down lately.  Does
not know: connections, requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import quote

from twisted.logger import Logger

from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.chatserver.balancer import (
    BadBalancerAnswer,
    parse_balancer_answer,
    parse_server_entry,
)
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.chat import ChatServerAddress

ALIAS_PARAMETER = "chatServerLoadBalancerAlias"

AddressProvider = Callable[[], ChatServerAddress | None]
"""Where the built-in server is, ``None`` while it is closed."""


class PageReader(Protocol):
    """Reads a small page over HTTP, with a deadline and a size limit of its own."""

    def __call__(self, url: str) -> Awaitable[tuple[int, bytes]]:
        """Read; gives the status and the body.

        Fails with whatever the client fails with; every failure means "not there".
        """


class ChatDirectory:
    """Chooses servers.

    :param down: tells whether a server could not be reached lately.
    :ivar uses_embedded: it is always the built-in one.
    """

    log = Logger()

    def __init__(
        self,
        options: ChatOptions,
        embedded: AddressProvider,
        read_page: PageReader,
        down: Callable[[ChatServerAddress], bool],
    ) -> None:
        self._url = options.chat_load_balancer_url_path
        self._servers = tuple(map(parse_server_entry, options.chat_server))
        self._embedded = embedded
        self._read_page = read_page
        self._down = down
        self._next = 0
        has_page = self._url.lower().startswith(("http://", "https://"))
        self.uses_embedded = (
            not self._servers and not has_page if options.embedded is None else options.embedded
        )

    async def choose(self, alias: str | None) -> ChatServerAddress:
        """Name a server: that with the alias or its replacement, or any.

        :raises ChatServerUnavailable: none is to be had.
        """
        if self.uses_embedded:
            server = self._embedded()
            if server is None:
                raise ChatServerUnavailable("The built-in chat server is not running.")
            return server
        if self._servers:
            return self._from_list(alias)
        return await self._from_page(alias)

    def _from_list(self, alias: str | None) -> ChatServerAddress:
        """Go round the list, past those that are down while others are not."""
        named = next((one for one in self._servers if one.alias == alias), None)
        if named is not None and not self._down(named):
            return named
        count = len(self._servers)
        order = [self._servers[(self._next + step) % count] for step in range(count)]
        chosen = next((one for one in order if not self._down(one)), named or order[0])
        self._next = (self._servers.index(chosen) + 1) % count
        return chosen

    async def _from_page(self, alias: str | None) -> ChatServerAddress:
        url = self._url
        if alias:
            joiner = "&" if "?" in url else "?"
            url = f"{url}{joiner}{ALIAS_PARAMETER}={quote(alias, safe='')}"
        try:
            status, body = await self._read_page(url)
        except Exception as error:  # noqa: BLE001 - whatever the client's failure, nobody answered
            self.log.warn("The chat load balancer cannot be reached: {error}", error=error)
            raise ChatServerUnavailable("The chat load balancer cannot be reached.") from None
        if status != 200:
            self.log.warn("The chat load balancer answers {status}", status=status)
            raise ChatServerUnavailable("The chat load balancer names no server.")
        try:
            return parse_balancer_answer(body)
        except BadBalancerAnswer as error:
            self.log.warn("The chat load balancer's answer is not understood: {text}", text=error)
            raise ChatServerUnavailable("The chat load balancer names no server.") from None
