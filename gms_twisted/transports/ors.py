"""Client of external Orchestration Servers: events for their sessions.

A server that cannot be reached or fails is passed over for the next one of the list.  A
session lives at one of them and only that one knows it, so "unknown" is believed when all
that answered say so.

Choice: the list need not be one server's several addresses, so a 404 of one is not the
last word; the server that took an event is asked first for the session's next one.

Knows: the HTTP interface, the list.  Does not know: why events are sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

from gms_twisted.app.orchestration import EventRefused, SessionUnknown
from gms_twisted.app.outgoing import Gate, Limits, TargetRefused, Unreachable
from gms_twisted.domain.errors import Unavailable

MAX_STICKY = 10_000
"""Sessions whose server is remembered."""

_TAKEN = frozenset((200, 202, 204))
_AGAIN = frozenset((408, 429))


class OrchestrationServers:
    """A :class:`gms_twisted.app.orchestration.EventReceiver` over HTTP.

    :param urls: ``server/_ors``, at least one.
    :param circular: begin with the next server each time; else always with the first.
    :param max_attempts: most servers asked for one event.
    :param limits: of one request.
    """

    def __init__(
        self,
        gate: Gate,
        urls: Sequence[str],
        *,
        circular: bool = True,
        max_attempts: int = 10,
        limits: Limits = Limits(10.0, 10.0, 65_536),  # noqa: B008 - frozen
    ) -> None:
        if not urls:
            raise ValueError("there is no Orchestration Server")
        self._gate = gate
        self._urls = [url.strip().rstrip("/") for url in urls]
        self._circular = circular
        self._max_attempts = max_attempts
        self._limits = limits
        self._next = 0
        self._homes: dict[str, int] = {}

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Notification-Id": push_id,
            "X-Notification-Hops": str(hops),
        }
        path = event_path(session_id, event)
        body = event_body(message)
        unknown = False
        failed: Unavailable | None = None
        for number in self._order(session_id):
            try:
                answer = await self._gate.request(
                    "POST", self._urls[number] + path, headers, body, self._limits, configured=True
                )
            except TargetRefused as refused:
                raise EventRefused(f"server/_ors: {refused}", "TargetRefused") from None
            except Unreachable as error:
                failed = error
                continue
            if answer.status in _TAKEN:
                self._remember(session_id, number)
                return
            if answer.status == 404:
                unknown = True
            elif answer.status in _AGAIN or answer.status >= 500:
                failed = Unavailable(f"An Orchestration Server answers {answer.status}.")
            else:
                sentence = f"An Orchestration Server answers {answer.status}."
                raise EventRefused(sentence, f"HTTP{answer.status}")
        if unknown and failed is None:
            self._homes.pop(session_id, None)
            raise SessionUnknown("No Orchestration Server has this session.")
        raise failed or Unreachable("No Orchestration Server can be reached.", "connect")

    def _order(self, session_id: str) -> Iterator[int]:
        """Servers by their numbers, in the order in which they are asked."""
        count = len(self._urls)
        first = self._homes.get(session_id)
        if first is None:
            first = self._next if self._circular else 0
            self._next = (self._next + 1) % count
        for step in range(min(count, self._max_attempts)):
            yield (first + step) % count

    def _remember(self, session_id: str, number: int) -> None:
        if self._homes.get(session_id) == number:
            return
        if len(self._homes) >= MAX_STICKY:
            del self._homes[next(iter(self._homes))]
        self._homes[session_id] = number


def event_path(session_id: str, event: str) -> str:
    """The path of an event, ``/scxml/session/{id}/event/{name}``; both are one segment."""
    return f"/scxml/session/{_segment(session_id)}/event/{_segment(event)}"


def _segment(text: str) -> str:
    # A segment of dots alone would be taken for a way up.
    escaped = quote(text, safe="", errors="replace")
    return escaped.replace(".", "%2E") if not escaped.strip(".") else escaped


def event_body(message: str) -> bytes:
    """The body: a form with ``message``."""
    return urlencode({"message": message}, errors="replace").encode("ascii")
