"""The whole server, asked over connections of bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_records import CALLERS, NUMBERS
from gms_twisted.app.nodes import Alone, Nodes
from gms_twisted.app.subscription_records import SUBSCRIPTION
from gms_twisted.config.options import Configuration
from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.store.interfaces import Store
from gms_twisted.store.memory import MemoryStore
from gms_twisted.wiring import House
from tests.support.chat_house import ChatServerDouble
from tests.support.front import RawConnection, Response
from tests.support.house import HouseReactor, OwnFoundation, configuration_of
from tests.support.sources import CountingIds, ManualWallClock

CUSTOMER = "203.0.113.9"
"""Where customers' requests come from: outside."""

INSIDE = "127.0.0.1"
"""Where the contact centre's come from: on ``server/internal_allow``."""

API = "/genesys/1"
FORM = "application/x-www-form-urlencoded"


class WholeServer:
    """Every object of a server with the packaged configuration and what a test overrides.

    :param chat: there is a chat server, in the test's hands; else none answers.
    :ivar chats: that chat server.
    :ivar houses: all of a process, for each; ``house`` is the first.
    :ivar reactor: its time is the test's.
    """

    def __init__(self, test: SynchronousTestCase, *overrides: str, chat: bool = False) -> None:
        self._test = test
        folder = Path(test.mktemp())
        folder.mkdir()
        self.reactor = HouseReactor()
        self.wall, self.ids = ManualWallClock(self.reactor), CountingIds()
        self.chats = ChatServerDouble(self.reactor, self.wall)
        self.chats.down = not chat
        self._build(
            folder,
            "server/identity_mode=open",
            "server/external_url_base=http://localhost:8080/",
            "limits/v03_per_address=100",
            *overrides,
        )
        self.house = self.houses[0]
        for house in self.houses:
            self._start(house)
        self.settle()

    def _build(self, folder: Path, *overrides: str) -> None:
        store = MemoryStore(self.wall, self.ids)
        self.run(store.start())
        self.houses = [self._house(configuration_of(*overrides), folder, store, Alone())]

    def _house(
        self, configuration: Configuration, folder: Path, store: Store, nodes: Nodes
    ) -> House:
        base = OwnFoundation(
            configuration, folder, self.reactor, self.wall, self.ids, store, self.chats
        )
        return House(base, (), b"k" * 32, nodes)

    def _start(self, house: House) -> None:
        """Start what a process starts."""
        house.comet.start()
        self.run(house.services.start())
        self.run(house.push.start())
        self.run(house.orchestration.start())
        house.push.take_up()
        self.run(house.delivery.start())

    def settle(self) -> None:
        """Let everything go on until nothing follows; no time passes."""
        self.reactor.advance(0)

    def _door(self) -> FrontDoor:
        """Where the next request goes."""
        return self.house.door

    def connect(self, host: str = CUSTOMER) -> RawConnection:
        """Open a connection."""
        return RawConnection(self._door(), host)

    def reconfigure(self, *overrides: str) -> None:
        """Give it another configuration."""
        for house in self.houses:
            house.reconfigure(configuration_of(*overrides))

    def run(self, work: Any) -> Any:
        """Run something to its end."""
        return self._test.successResultOf(Deferred.fromCoroutine(work))

    def run_soon(self, work: Any) -> Any:
        """Run something that has to wait for its turn."""
        running = Deferred.fromCoroutine(work)
        self.reactor.advance(0)
        return self._test.successResultOf(running)

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
        connection = self.connect(host)
        # A few bytes at a time, as on a slow line.
        connection.send("\r\n".join([*lines, "", ""]).encode() + body, 997)
        self.settle()
        (response,) = connection.responses()
        connection.lose()
        return response

    def inside(self, method: str, target: str, fields: Mapping[str, str] | None = None) -> Response:
        """Ask from inside."""
        body = urlencode(fields).encode() if fields else b""
        return self.send(method, target, body, host=INSIDE)

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in small steps, as a reactor sees it."""
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            seconds -= step

    def service(
        self,
        name: str,
        fields: Mapping[str, str] | None = None,
        *,
        host: str = CUSTOMER,
        user: str = "",
    ) -> Any:
        """Create a service, which must succeed; gives the JSON."""
        answer = self.try_service(name, fields, host=host, user=user)
        self._test.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def try_service(
        self,
        name: str,
        fields: Mapping[str, str] | None = None,
        *,
        host: str = CUSTOMER,
        user: str = "",
    ) -> Response:
        """Create a service, or not."""
        body = urlencode(fields or {}).encode()
        headers = {"gms_user": user} if user else {}
        return self.send("POST", f"{API}/service/{name}", body, host=host, headers=headers)

    def ask(
        self,
        service_id: str,
        request: str,
        fields: Mapping[str, str] | None = None,
        *,
        host: str = CUSTOMER,
    ) -> Response:
        """Ask a service."""
        body = urlencode(fields or {}).encode()
        return self.send("POST", f"{API}/service/{service_id}/{request}", body, host=host)

    def tell(self, session_id: str, event: str, **fields: str) -> None:
        """Give a session an event."""
        answer = self.inside("POST", f"/scxml/session/{session_id}/event/{event}", fields)
        self._test.assertEqual(answer.status, 200, answer.body)

    def match(self, **fields: str) -> Response:
        """Tell of a call, as the contact centre does."""
        called = {f"_{name}": value for name, value in fields.items()}
        return self.try_service("match-interaction", called, host=INSIDE)

    def data(self, data_id: str) -> Any:
        """Read what is stored."""
        return self.send("GET", f"{API}/storage/{data_id}").json()

    def sessions(self) -> list[str]:
        """The ids of the sessions that run."""
        found = [house.orchestration.embedded for house in self.houses]
        return [one for each in found if each is not None for one in each.host.sessions]

    def subscriptions(self) -> int:
        """How many subscriptions there are."""
        return len(self.run(self.house.areas._store.scan(SUBSCRIPTION)))

    def numbers_of(self, group: str) -> list[str]:
        """The numbers of a resource group."""
        return list(self.house.configuration.resource_groups[group].numbers.values())

    def locked(self) -> list[str]:
        """The numbers that are locked."""
        store = self.house.areas._store
        return [one.number for one in self.run(store.reservations(NUMBERS))]

    def phones(self) -> list[str]:
        """The phones that have a booking."""
        store = self.house.areas._store
        return [one.number for one in self.run(store.reservations(CALLERS))]


class WholeCase(SynchronousTestCase):
    """Tests of a whole server, which may be more than one process."""

    def whole(self, *overrides: str, chat: bool = False) -> WholeServer:
        """Make it."""
        return WholeServer(self, *overrides, chat=chat)


class CometUser:
    """A customer's program that listens on ``/_genesys``, by long polls that are answered at once.

    :param user: its ``gms_user``.
    """

    def __init__(self, server: WholeServer, user: str) -> None:
        self._server = server
        self._user = user
        self._cookie = ""
        shaken = self._post({"channel": "/meta/handshake", "version": "1.0"})
        self._client_id = shaken[-1]["clientId"]
        self._post({"channel": "/meta/subscribe", "subscription": "/_genesys"})

    def events(self) -> list[Any]:
        """What has come since the last time."""
        connect = {
            "channel": "/meta/connect",
            "connectionType": "long-polling",
            "advice": {"timeout": 0},
        }
        found = [one["data"] for one in self._post(connect) if one["channel"] == "/_genesys"]
        for one in found:
            with suppress(TypeError, ValueError):
                one["message"] = json.loads(one["message"])
        return found

    def _post(self, message: dict[str, Any]) -> Any:
        message |= {"id": "1", "supportedConnectionTypes": ["long-polling"]}
        if message["channel"] != "/meta/handshake":
            message["clientId"] = self._client_id
        headers = {"gms_user": self._user}
        if self._cookie:
            headers["Cookie"] = self._cookie
        answer = self._server.send(
            "POST",
            "/genesys/cometd",
            json.dumps(message).encode(),
            "application/json",
            headers=headers,
        )
        self._cookie = answer.headers.get("set-cookie", "").partition(";")[0] or self._cookie
        return answer.json()
