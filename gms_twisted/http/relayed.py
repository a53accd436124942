"""A request of a connection here that another node answers.

Knows: one request, how its end is told to the client.  Does not know: which node answers.
"""

from __future__ import annotations

import math
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.http.carried import pack
from gms_twisted.http.interfaces import BodyPlan, Head, Relay
from gms_twisted.http.responses import INTERNAL, error_body, header_lines, refusal_of


class Carrier(Protocol):
    """What it needs of its connection."""

    def relayed(self, response: bytes) -> None:
        """Send a complete response, and go on."""

    def relay_failed(self, status: int, body: bytes, headers: bytes) -> None:
        """Say in JSON why there is none, and go on."""


class Relayed:
    """One request under way to another node."""

    log = Logger()

    def __init__(self, carrier: Carrier, head: Head, plan: BodyPlan) -> None:
        self._carrier: Carrier | None = carrier
        self._head = head
        self._plan = plan
        self._call: Deferred[None] | None = None

    def run(self, relay: Relay, body: bytes) -> None:
        """Send it off; the answer comes at once or later."""
        request = pack(self._head, self._plan, body)
        self._call = Deferred.fromCoroutine(self._run(relay, request))

    def lost(self) -> None:
        """The client is gone: nobody needs the answer."""
        self._carrier = None
        if self._call is not None:
            self._call.addErrback(lambda failure: failure.trap(CancelledError))
            self._call.cancel()

    async def _run(self, relay: Relay, request: bytes) -> None:
        try:
            answer = await relay(self._plan.owner, request)
        except CancelledError:
            raise
        except GmsError as error:
            self._failed(error)
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
            self.log.failure("Failed while a request went to another node")
            self._failed(GmsError(INTERNAL.message))
            return
        if self._carrier is not None:
            self._carrier.relayed(answer)

    def _failed(self, error: GmsError) -> None:
        if self._carrier is None:
            return
        headers: tuple[tuple[str, str], ...] = ()
        if isinstance(error, Unavailable):
            headers = (("Retry-After", str(max(1, math.ceil(error.retry_after_s)))),)
        status = refusal_of(error).status
        body = error_body(str(error), error.code)
        self._carrier.relay_failed(status, body, header_lines(headers))
