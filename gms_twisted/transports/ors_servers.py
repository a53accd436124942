"""Which Orchestration Server is asked, and which one after it.

Circular begins with the next server for each request, linear always with the first.  A
session lives at one server: that one is asked first, the others of its list only in its
place.

Spec: options ``_ors``, ``_ors_lb_strategy``, ``max_ors_request_attempts``.

PURE.  Knows: lists of servers, where sessions are.  Does not know: what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gms_twisted.app.orchestration import Servers

MAX_HOMES = 10_000
"""Sessions whose server is remembered."""

MAX_LISTS = 1_000
"""Lists of servers that are remembered, with whose turn it is."""

_ALL = ("",)
"""Stands for all servers together where turns are counted."""


class ServerOrder:
    """Decides the order for every request.

    :param servers: those of services that have none of their own.
    :param max_attempts: most servers asked for one request.
    :param of_services: lists of services that have their own, so that a session's other
        servers are known before its service has been asked for.
    """

    def __init__(
        self, servers: Servers, max_attempts: int, of_services: Iterable[Servers] = ()
    ) -> None:
        self._homes: dict[str, str] = {}
        self.reconfigure(servers, max_attempts, of_services)

    def reconfigure(
        self, servers: Servers, max_attempts: int, of_services: Iterable[Servers] = ()
    ) -> None:
        """Go by other lists from now on; where sessions are stays known."""
        self._default = Servers(_clean(servers.urls), servers.circular)
        self._max_attempts = max_attempts
        self._turns: dict[tuple[str, ...], int] = {}
        # In order, the default one first; a dict for its keys.
        self._lists: dict[tuple[str, ...], None] = {}
        for one in (self._default, *of_services):
            self._learn(_clean(one.urls))

    @property
    def everywhere(self) -> Sequence[str]:
        """All servers that are known."""
        return list(dict.fromkeys(url for urls in self._lists for url in urls))

    @property
    def lists(self) -> Sequence[tuple[str, ...]]:
        """The lists that are known, each in its order; none is empty."""
        return list(self._lists)

    def for_start(self, servers: Servers | None = None) -> Sequence[str]:
        """Servers to ask to start a session, in order; empty when there are none.

        :param servers: the service's own; without URLs only its strategy counts.
        """
        chosen = self._default if servers is None else servers
        urls = _clean(chosen.urls) or self._default.urls
        self._learn(urls)
        first = self._turn(urls, len(urls)) if chosen.circular and urls else 0
        return [*urls[first:], *urls[:first]][: self._max_attempts]

    def home_of(self, session_id: str, home: str = "") -> str:
        """Where a session is, as far as is known; else ``""``.

        :param home: where it was started.
        """
        return self._homes.get(session_id) or "".join(_clean((home,)))

    def for_session(self, session_id: str, home: str = "") -> Sequence[str]:
        """Servers to ask for a session, its own first.

        :param home: where it was started, ``""`` if that is not known.
        """
        at = self.home_of(session_id, home)
        if at:
            urls = next((urls for urls in self._lists if at in urls), (at,))
            first = urls.index(at)
        else:
            urls = tuple(self.everywhere)
            first = self._turn(_ALL, len(urls)) if self._default.circular and urls else 0
        return [*urls[first:], *urls[:first]][: self._max_attempts]

    def found(self, session_id: str, url: str) -> None:
        """A session turned out to be at a server."""
        if self._homes.get(session_id) == url:
            return
        if len(self._homes) >= MAX_HOMES:
            del self._homes[next(iter(self._homes))]
        self._homes[session_id] = url

    def over(self, session_id: str) -> None:
        """A session is over."""
        self._homes.pop(session_id, None)

    def _turn(self, urls: tuple[str, ...], count: int) -> int:
        turn = self._turns.get(urls, 0) % count
        self._turns[urls] = turn + 1
        return turn

    def _learn(self, urls: tuple[str, ...]) -> None:
        if not urls or urls in self._lists:
            return
        if len(self._lists) >= MAX_LISTS:
            # Not the first, which is everybody's.
            oldest = list(self._lists)[1]
            del self._lists[oldest]
            self._turns.pop(oldest, None)
        self._lists[urls] = None


def _clean(urls: Iterable[str]) -> tuple[str, ...]:
    """Base URLs without the slash at their end, each once."""
    cleaned = (url.strip().rstrip("/") for url in urls)
    return tuple(dict.fromkeys(url for url in cleaned if url))
