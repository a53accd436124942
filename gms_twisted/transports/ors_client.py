"""Sessions at external Orchestration Servers: start them, ask them, end them.

A start goes to one server after the other until one has taken it, but never to a second
one when the first may have read it.  What follows goes to the server where the session
is, and to another of its list only when that one takes no connection.

Knows: what answers mean, what may be tried again.  Does not know: how the order of
servers comes about, why a session is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from twisted.logger import Logger

from gms_twisted.app.orchestration import (
    FORM_TYPE,
    AnswerLate,
    AnswerUnusable,
    ApplicationUnusable,
    OrsUnreachable,
    Reply,
    RequestUnhandled,
    Servers,
    SessionAt,
    SessionOver,
    SessionUnknown,
)
from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Unreachable
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.transports.ors_messages import (
    START,
    code_of,
    cookie_of,
    form_body,
    reason_of,
    retry_after_s,
    session_id_of,
    session_path,
    text_of,
)
from gms_twisted.transports.ors_servers import ServerOrder

MAX_ANSWER = 256 * 1024
"""Bytes of an answer."""

MAX_ILL = 1_000
"""Servers that are remembered to have failed, so that the log says it once."""

_BAD, _UNKNOWN, _OVER, _MANY, _NOT_NOW, _LATE = 400, 404, 410, 429, 503, 504


@dataclass(frozen=True, slots=True)
class _Failure:
    """A server that gave no answer.

    :ivar final: no other one is asked: this one may have read the request, or it is we
        who have no connection left.
    :ivar late: it took too long to answer.
    """

    final: bool = False
    late: bool = False


class OrsClient:
    """An :class:`gms_twisted.app.orchestration.Orchestrator` over HTTP.

    :param order: decides which server is asked.
    :param limits: of one request; ``total_s`` is the time for an answer
        (``ors/request_timeout``), of answers :data:`MAX_ANSWER` bytes are taken.
    """

    log = Logger()

    def __init__(self, gate: Gate, order: ServerOrder, limits: Limits) -> None:
        self._gate = gate
        self._order = order
        self._ill: set[str] = set()
        self.reconfigure(limits)

    def reconfigure(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        self._limits = replace(limits, body_bytes=MAX_ANSWER)

    @property
    def ill(self) -> Sequence[str]:
        """Servers that have failed since they last answered; of those that are known."""
        return [url for url in self._order.everywhere if url in self._ill]

    @property
    def unanswered(self) -> bool:
        """Tell whether some service has no server left that answers."""
        return any(all(url in self._ill for url in urls) for urls in self._order.lists)

    async def start(
        self,
        source: str,
        parameters: Mapping[str, str],
        servers: Servers | None = None,
        start_at: float | None = None,
        *,
        hold: bool = False,
    ) -> SessionAt:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.start`."""
        fields: dict[str, object] = {**parameters, "src": source}
        if start_at is not None:
            fields["idealtime"] = str(max(0, round(start_at * 1000)))
        body = form_body(fields)
        full: float | None = None
        for url in self._order.for_start(servers):
            answer = await self._post(url, START, body)
            if isinstance(answer, _Failure):
                if answer.final:
                    break
                continue
            if 200 <= answer.status < 300:
                return self._started(url, answer)
            if answer.status == _BAD:
                raise ApplicationUnusable(reason_of(answer))
            if answer.status == _MANY:
                full = retry_after_s(answer)
                continue
            self._trouble(url, f"answers {answer.status} to a start")
            if answer.status >= 500 and answer.status != _NOT_NOW:
                # It may have started the session, and failed after that.
                break
        if full is not None:
            raise TooManyRequests("The Orchestration Server has too many sessions.", full)
        raise OrsUnreachable

    async def request(
        self,
        session: SessionAt,
        name: str,
        parameters: Mapping[str, object],
        content_type: str = FORM_TYPE,
    ) -> Reply:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.request`.

        Always sent as a form, see ``ors_messages.form_body``.
        """
        path = session_path(session.session_id, "request", name)
        answer = await self._ask(session, path, form_body(parameters))
        if answer.cut:
            raise AnswerUnusable(f"The session's answer is longer than {MAX_ANSWER} bytes.")
        return Reply(answer.status != _BAD, text_of(answer))

    async def tell(self, session: SessionAt, name: str, parameters: Mapping[str, object]) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.tell`."""
        path = session_path(session.session_id, "event", name)
        await self._ask(session, path, form_body(parameters))

    async def end(self, session: SessionAt) -> None:
        """See :meth:`gms_twisted.app.orchestration.Orchestrator.end`."""
        try:
            await self._ask(session, session_path(session.session_id, "terminate"), b"")
        except (SessionUnknown, SessionOver):
            pass
        except AnswerLate:
            raise OrsUnreachable from None
        self._order.over(session.session_id)

    def _started(self, url: str, answer: Answer) -> SessionAt:
        session_id = session_id_of(answer)
        if session_id is None:
            self._trouble(url, "does not tell the id of a session that it has started")
            raise AnswerUnusable("The Orchestration Server did not tell the session's id.")
        self._order.found(session_id, url)
        return SessionAt(session_id, url, cookie_of(answer.cookies))

    async def _ask(self, session: SessionAt, path: str, body: bytes) -> Answer:
        """Ask where the session is; gives an answer of status 2xx or 400.

        Others of the list are asked when its own server takes no connection, and believed
        when they know the session; when they do not, it may still be where it was.
        """
        session_id = session.session_id
        home = self._order.home_of(session_id, session.home)
        failed = False
        for url in self._order.for_session(session_id, session.home):
            answer = await self._post(url, path, body, session.cookie)
            if isinstance(answer, _Failure):
                if answer.late:
                    raise AnswerLate("The session did not answer in time.")
                if answer.final:
                    raise OrsUnreachable
                failed = True
                continue
            if answer.status == _UNKNOWN and code_of(answer) == RequestUnhandled.code:
                self._order.found(session_id, url)
                raise RequestUnhandled("This service has no such request.")
            if answer.status == _UNKNOWN:
                if url == home:
                    self._order.over(session_id)
                    raise SessionUnknown("The Orchestration Server does not know the session.")
                continue
            return self._judged(session_id, url, answer)
        if failed:
            raise OrsUnreachable
        raise SessionUnknown("No Orchestration Server knows the session.")

    def _judged(self, session_id: str, url: str, answer: Answer) -> Answer:
        status = answer.status
        if status == _OVER:
            self._order.over(session_id)
            raise SessionOver("The session ended before it answered.")
        if status == _LATE:
            raise AnswerLate("The session did not answer in time.")
        if status == _MANY:
            sentence = "The Orchestration Server has too much to do."
            raise TooManyRequests(sentence, retry_after_s(answer))
        if 200 <= status < 300 or status == _BAD:
            self._order.found(session_id, url)
            return answer
        self._trouble(url, f"answers {status} to a request")
        raise OrsUnreachable

    async def _post(self, url: str, path: str, body: bytes, cookie: str = "") -> Answer | _Failure:
        headers = {"Content-Type": FORM_TYPE}
        if cookie:
            headers["Cookie"] = cookie
        try:
            answer = await self._gate.request(
                "POST", url + path, headers, body, self._limits, configured=True
            )
        except TargetRefused as error:
            self._trouble(url, str(error))
            return _Failure()
        except Unreachable as error:
            self._trouble(url, str(error))
            final = error.sent or error.reason == "busy"
            return _Failure(final, late=error.sent and error.reason == "timeout")
        if answer.status < 500 and url in self._ill:
            self._ill.discard(url)
            self.log.info("Orchestration Server {url} answers again", url=url)
        return answer

    def _trouble(self, url: str, what: str) -> None:
        """Tell the operator, once until the server is well again."""
        if url in self._ill:
            return
        if len(self._ill) >= MAX_ILL:
            self._ill.clear()
        self._ill.add(url)
        self.log.warn("Orchestration Server {url}: {what}", url=url, what=what)
