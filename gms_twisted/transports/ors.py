"""Events for sessions at external Orchestration Servers.

A server that cannot be reached or fails is passed over for the next one of the list.  A
session lives at one of them and only that one knows it, so "unknown" is believed when all
that answered say so.

Choice: the list need not be one server's several addresses, so a 404 of one is not the
last word; the server that took an event is asked first for the session's next one.

Knows: the HTTP interface, what may be tried again.  Does not know: the order of servers,
why events are sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from gms_twisted.app.orchestration import FORM_TYPE, EventRefused, Servers, SessionUnknown
from gms_twisted.app.outgoing import Gate, Limits, TargetRefused, Unreachable
from gms_twisted.domain.errors import Unavailable
from gms_twisted.transports.ors_messages import form_body, session_path
from gms_twisted.transports.ors_servers import ServerOrder

LIMITS = Limits(10.0, 10.0, 65_536)

_TAKEN = frozenset((200, 202, 204))
_AGAIN = frozenset((408, 429))


class OrsEvents:
    """A :class:`gms_twisted.app.orchestration.EventReceiver` over HTTP.

    :param order: decides which server is asked; knows at least one.
    :param limits: of one request.
    """

    def __init__(
        self,
        gate: Gate,
        order: ServerOrder,
        limits: Limits = LIMITS,
    ) -> None:
        if not order.everywhere:
            raise ValueError("there is no Orchestration Server")
        self._gate = gate
        self._order = order
        self._limits = limits

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.EventReceiver.receive`."""
        headers = {
            "Content-Type": FORM_TYPE,
            "X-Notification-Id": push_id,
            "X-Notification-Hops": str(hops),
        }
        path = session_path(session_id, "event", event)
        body = form_body({"message": message})
        unknown = False
        failed: Unavailable | None = None
        for url in self._order.for_session(session_id):
            try:
                answer = await self._gate.request(
                    "POST", url + path, headers, body, self._limits, configured=True
                )
            except TargetRefused as refused:
                raise EventRefused(f"server/_ors: {refused}", "TargetRefused") from None
            except Unreachable as error:
                failed = error
                continue
            if answer.status in _TAKEN:
                self._order.found(session_id, url)
                return
            if answer.status == 404:
                unknown = True
            elif answer.status in _AGAIN or answer.status >= 500:
                failed = Unavailable(f"An Orchestration Server answers {answer.status}.")
            else:
                sentence = f"An Orchestration Server answers {answer.status}."
                raise EventRefused(sentence, f"HTTP{answer.status}")
        if unknown and failed is None:
            self._order.over(session_id)
            raise SessionUnknown("No Orchestration Server has this session.")
        raise failed or Unreachable("No Orchestration Server can be reached.", "connect")


class OrchestrationServers(OrsEvents):
    """The same where nobody else asks the servers.

    :param urls: ``server/_ors``, at least one.
    :param circular: begin with the next server each time; else always with the first.
    :param max_attempts: most servers asked for one event.
    """

    def __init__(
        self,
        gate: Gate,
        urls: Sequence[str],
        *,
        circular: bool = True,
        max_attempts: int = 10,
        limits: Limits = LIMITS,
    ) -> None:
        order = ServerOrder(Servers(tuple(urls), circular), max_attempts)
        super().__init__(gate, order, limits)
