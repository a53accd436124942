"""Reads small pages over HTTP: the load balancer page of a chat server.

Knows: treq.  Does not know: what the page says.
"""

from __future__ import annotations

from typing import Any

import treq
from twisted.web.client import Agent, HTTPConnectionPool

TIMEOUT_S = 5.0
MAX_PAGE_BYTES = 65_536


class PageTooLarge(Exception):
    """The page is larger than anything that a load balancer would say."""


class HttpPages:
    """A :class:`gms_twisted.transports.chat_directory.PageReader`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._agent = Agent(
            reactor, connectTimeout=TIMEOUT_S, pool=HTTPConnectionPool(reactor, persistent=False)
        )

    async def __call__(self, url: str) -> tuple[int, bytes]:
        """Read a page; gives status and body within five seconds, or fails."""
        answer: Any = await treq.get(
            url, agent=self._agent, timeout=TIMEOUT_S, allow_redirects=False, reactor=self._reactor
        )
        body = bytearray()

        def collect(data: bytes) -> None:
            body.extend(data)
            if len(body) > MAX_PAGE_BYTES:
                raise PageTooLarge(url[:100])

        await treq.collect(answer, collect)
        return answer.code, bytes(body)
