"""The whole server, asked over connections of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_records import CALLERS, NUMBERS
from tests.support.front import RawConnection, Response
from tests.support.house import make_house

CUSTOMER = "203.0.113.9"
"""Where customers' requests come from: outside."""

INSIDE = "127.0.0.1"
"""Where the contact centre's come from: on ``server/internal_allow``."""

API = "/genesys/1"
FORM = "application/x-www-form-urlencoded"


class WholeServer:
    """Every object of a server with the packaged configuration and what a test overrides."""

    def __init__(self, test: SynchronousTestCase, *overrides: str) -> None:
        self._test = test
        folder = Path(test.mktemp())
        folder.mkdir()
        self.house, self.reactor = make_house(
            folder,
            "server/identity_mode=open",
            "server/external_url_base=http://localhost:8080/",
            "limits/v03_per_address=100",
            *overrides,
        )
        self.run(self.house.services.start())

    def run(self, work: Any) -> Any:
        """Run something to its end."""
        return self._test.successResultOf(Deferred.fromCoroutine(work))

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str = FORM,
        *,
        host: str = CUSTOMER,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request over a new connection."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost:8080"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        elif method == "POST":
            lines.append("Content-Length: 0")
        connection = RawConnection(self.house.door, host)
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        self.reactor.advance(0)
        (response,) = connection.responses()
        connection.lose()
        return response

    def service(
        self, name: str, fields: Mapping[str, str] | None = None, *, host: str = CUSTOMER
    ) -> Any:
        """Create a service, which must succeed; gives the JSON."""
        answer = self.try_service(name, fields, host=host)
        self._test.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def try_service(
        self, name: str, fields: Mapping[str, str] | None = None, *, host: str = CUSTOMER
    ) -> Response:
        """Create a service, or not."""
        body = urlencode(fields or {}).encode()
        return self.send("POST", f"{API}/service/{name}", body, host=host)

    def match(self, **fields: str) -> Response:
        """Tell of a call, as the contact centre does."""
        called = {f"_{name}": value for name, value in fields.items()}
        return self.try_service("match-interaction", called, host=INSIDE)

    def data(self, data_id: str) -> Any:
        """Read what is stored."""
        return self.send("GET", f"{API}/storage/{data_id}").json()

    def locked(self) -> list[str]:
        """The numbers that are locked."""
        store = self.house.areas._store
        return [one.number for one in self.run(store.reservations(NUMBERS))]

    def phones(self) -> list[str]:
        """The phones that have a booking."""
        store = self.house.areas._store
        return [one.number for one in self.run(store.reservations(CALLERS))]
