"""Requests over connections of their own, and what their answers mean for a history.

Knows: HTTP from the client's side, outcomes.  Does not know: any API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlencode

import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers

from tests.soak.history import Outcome

CONNECT_S = 2.0
PATIENCE_S = 12.0
"""As long clients wait for an answer."""

BUSY = ("gms.access.no_number_free", "gms.access.busy", "gms.access.no_code_free")
"""Refusals with 503 that change nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    :ivar status: 0 when there is none.
    :ivar why: the error in a few words.
    """

    status: int
    body: bytes
    begin: float
    end: float
    outcome: Outcome
    why: str = ""

    @property
    def json(self) -> Any:
        """The body, read; None when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def missing(self) -> dict[str, Any]:
        """For ``got``: whether it says that there is no such thing."""
        return {"missing": True} if self.status == 404 else {}


class Asker:
    """Sends requests, never twice.

    :param seconds: since the run began.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        pool = HTTPConnectionPool(reactor, persistent=False)
        pool.retryAutomatically = False
        # Not treq's client: its cookies would make one browser of all users.
        self._agent = Agent(reactor, pool=pool, connectTimeout=CONNECT_S)

    async def ask(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str] | None = None,
        *,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE_S,
    ) -> Answer:
        """Ask once.

        :param fields: a form, for the body.
        :param document: JSON, for the body.
        """
        begin = self._seconds()
        said: Any = {name: [value] for name, value in (headers or {}).items()}
        body = b""
        if document is not None:
            said["Content-Type"], body = ["application/json"], json.dumps(document).encode()
        elif fields is not None:
            said["Content-Type"] = ["application/x-www-form-urlencoded"]
            body = urlencode(fields).encode()
        try:
            asked = Deferred.fromCoroutine(self._ask(method, url, said, body))
            status, got = await asked.addTimeout(patience, self._reactor)
        except Exception as error:  # noqa: BLE001 - every failure is one outcome or the other
            unsent = isinstance(error, ConnectError | ConnectingCancelledError)
            outcome = Outcome.REFUSED if unsent else Outcome.UNKNOWN
            return Answer(0, b"", begin, self._seconds(), outcome, type(error).__name__)
        return Answer(status, got, begin, self._seconds(), *_meaning(status, got))

    async def _ask(self, method: str, url: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        producer = FileBodyProducer(BytesIO(body)) if body else None
        asked: Any = self._agent.request(
            method.encode(), url.encode(), Headers(headers), cast("Any", producer)
        )
        answer = await asked
        return answer.code, await treq.content(answer)


def _meaning(status: int, body: bytes) -> tuple[Outcome, str]:
    if status < 400:
        return Outcome.DONE, ""
    try:
        why = str(json.loads(body)["exception"])
    except (ValueError, KeyError, TypeError):
        why = ""
    unsure = status >= 500 and why not in BUSY
    return Outcome.UNKNOWN if unsure else Outcome.REFUSED, why
