"""Routes of the Service API: bodies, methods, statuses."""

from __future__ import annotations

import base64
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.orchestration import Reply
from gms_twisted.config.options import LimitOptions, ServerOptions
from gms_twisted.domain.chat import ChatCredentials, ChatServerAddress, Transcript, UserData
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.store.interfaces import Committed, Kind, Record, Unit
from gms_twisted.store.memory import MemoryStore
from tests.app.test_orchestrated import Rig
from tests.support.chat_house import ChatHouse, ChatServerDouble
from tests.support.rest_client import Exchange
from tests.support.service_client import FORM, post_form, service_client

BASE = "/genesys/1/service"
JSON = ("Content-Type", "application/json")


def basic(pair: str) -> tuple[str, str]:
    """A header of HTTP Basic authentication."""
    return "Authorization", "Basic " + base64.b64encode(pair.encode()).decode()


class Fixture(SynchronousTestCase):
    """A house behind the URL map."""

    def setUp(self) -> None:
        """Build it."""
        self.house = ChatHouse(self)
        self.client = service_client(self.house)

    def create(self, body: str = "", user: str | None = None) -> str:
        """Create ``request-chat`` and return its id."""
        answer = post_form(self.client, f"{BASE}/request-chat", body, user)
        self.assertEqual(answer.status, 200, answer.body)
        service_id: str = answer.json()["_id"]
        return service_id

    def data_of(self, service_id: str) -> Any:
        """What is stored for a service."""
        instance = self.house.run(self.house.services.peek(service_id))
        assert instance is not None
        return self.client.get(f"/genesys/1/storage/{instance.data_id}").json()

    def assert_refused(self, exchange: Exchange, status: int, code: str) -> None:
        """A refusal has its status and its stable word, in JSON."""
        self.assertEqual((exchange.status, exchange.json()["exception"]), (status, code))
        self.assertTrue(exchange.json()["message"])


class ApplicationTests(SynchronousTestCase):
    """Answers of applications."""

    def test_halves_of_characters(self) -> None:
        """Half a character, as scripts can make one, is a question mark in the answer."""
        rig = Rig(self)
        service_id = rig.made()
        rig.sessions.answers["status"] = Reply(True, '"\ud83d"')
        answer = post_form(service_client(rig.house), f"{BASE}/{service_id}/status", "", None)
        self.assertEqual((answer.status, answer.body), (200, b'"?"'))


class BodyTests(Fixture):
    """What a body may be, and how methods count."""

    def test_forms(self) -> None:
        """Url-encoded, with and without a charset."""
        for content_type in (
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=UTF-8",
        ):
            answer = self.client.send(
                "POST",
                f"{BASE}/request-chat",
                ("Content-Type", content_type),
                body=b"language=fran%C3%A7ais",
            )
            self.assertEqual(self.data_of(answer.json()["_id"]), {"language": "français"})

    def test_multipart_with_a_file(self) -> None:
        """A file of a multipart form goes into storage, byte for byte."""
        body = (
            b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nfrench\r\n'
            b'--b\r\nContent-Disposition: form-data; name="FileKey"; filename="MyPic.png"\r\n'
            b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x00\r\n--b--\r\n"
        )
        answer = self.client.send(
            "POST",
            f"{BASE}/request-chat",
            ("Content-Type", "multipart/form-data; boundary=b"),
            body=body,
        )
        data = self.data_of(answer.json()["_id"])
        self.assertEqual(data["language"], "french")
        path = data["FileKey"].removeprefix("http://localhost:8080")
        self.assertEqual(self.client.get(path).body, b"\x89PNG\r\n\x00")

    def test_json(self) -> None:
        """JSON, also labelled as a form; numbers and booleans are text, null is absent."""
        for header in (JSON, FORM):
            answer = self.client.send(
                "POST",
                f"{BASE}/request-chat",
                header,
                body=b'{"a": "x", "n": 5, "b": true, "z": null, "_verbose": true}',
            )
            self.assertEqual(answer.status, 200, answer.body)
            self.assertIn("_chatIxnAPI-CREATE-URL", answer.json())
            self.assertEqual(self.data_of(answer.json()["_id"]), {"a": "x", "n": "5", "b": "true"})

    def test_json_of_other_shapes(self) -> None:
        """Members that are objects or lists, and other documents, are 400."""
        for body in (b'{"a": {}}', b'{"a": []}', b"[]", b'"x"', b"{"):
            answer = self.client.send("POST", f"{BASE}/request-chat", JSON, body=body)
            self.assertEqual(answer.status, 400, body)
        self.assertEqual(self.house.run(self.house.store.scan(Kind("service"))), [])

    def test_no_body_needs_no_type(self) -> None:
        """Without a body there is nothing to be labelled."""
        self.assertEqual(self.client.send("POST", f"{BASE}/request-chat").status, 200)

    def test_other_types(self) -> None:
        """A body of another type, or of none, is 415."""
        for headers in ([("Content-Type", "text/plain")], []):
            answer = self.client.send("POST", f"{BASE}/request-chat", *headers, body=b"a=b")
            self.assert_refused(answer, 415, "gms.unsupported_media_type")

    def test_get(self) -> None:
        """GET creates like POST, with parameters from the query."""
        answer = self.client.send("GET", f"{BASE}/request-chat?_verbose=1&a=b")
        self.assertIn("_chatIxnAPI-CREATE-URL", answer.json())
        self.assertEqual(self.data_of(answer.json()["_id"]), {"a": "b"})

    def test_head_creates_nothing(self) -> None:
        """HEAD is refused where GET would do something."""
        answer = self.client.send("HEAD", f"{BASE}/request-chat")
        self.assertEqual(answer.status, 405)
        self.assertEqual(self.house.run(self.house.store.scan(Kind("service"))), [])

    def test_query_and_body(self) -> None:
        """Both count, the body first."""
        service_id = post_form(self.client, f"{BASE}/request-chat?a=1&b=2", "b=3").json()["_id"]
        self.assertEqual(self.data_of(service_id), {"a": "1", "b": "3"})

    def test_verbose_spellings(self) -> None:
        """``true``, ``True`` and ``1`` are yes."""
        for word, verbose in (("true", True), ("True", True), ("1", True), ("false", False)):
            answer = post_form(self.client, f"{BASE}/request-chat", f"_verbose={word}")
            self.assertEqual("_chatIxnAPI-CREATE-URL" in answer.json(), verbose)

    def test_older_paths(self) -> None:
        """The prefix of the reference's older examples means the same."""
        answer = post_form(self.client, "/gms-web/gms/1/service/request-chat")
        self.assertEqual(answer.status, 200)


class StatusTests(Fixture):
    """What is refused, and how."""

    def test_unknown_name(self) -> None:
        """An unknown service name is 404."""
        self.assert_refused(post_form(self.client, f"{BASE}/nope"), 404, "gms.service.unknown_name")

    def test_update(self) -> None:
        """Update answers ``{}``; the data is there."""
        service_id = self.create("a=1")
        answer = post_form(self.client, f"{BASE}/{service_id}/update", "b=2")
        self.assertEqual((answer.status, answer.body), (200, b"{}"))
        self.assertEqual(self.data_of(service_id), {"a": "1", "b": "2"})

    def test_unknown_request(self) -> None:
        """Other requests to ``request-chat`` are 404; GET is no way to make one."""
        service_id = self.create()
        answer = post_form(self.client, f"{BASE}/{service_id}/status")
        self.assert_refused(answer, 404, "gms.service.unknown_request")
        self.assertEqual(self.client.send("GET", f"{BASE}/{service_id}/update").status, 405)

    def test_delete(self) -> None:
        """Delete is 200 and empty; then everything is 404."""
        service_id = self.create()
        answer = self.client.send("DELETE", f"{BASE}/{service_id}")
        self.assertEqual((answer.status, answer.body), (200, b""))
        answer = self.client.send("DELETE", f"{BASE}/{service_id}")
        self.assert_refused(answer, 404, "gms.service.not_found")

    def test_G06_same_bytes(self) -> None:
        """Unknown, expired and somebody else's service answer the same bytes."""
        expired = self.create()
        self.house.clock.advance(31)
        others = self.create(user="BuzzBrain")
        answers = {
            (
                method,
                self.client.send(method, f"{BASE}/{service_id}{rest}", ("gms_user", "M")).status,
                self.client.send(method, f"{BASE}/{service_id}{rest}", ("gms_user", "M")).body,
            )
            for service_id in ("nonsense", expired, others)
            for method, rest in (
                ("POST", "/update"),
                ("DELETE", ""),
                ("POST", "/ixn/chat"),
                ("POST", "/ixn/chat/refresh"),
            )
        }
        self.assertEqual({status for _, status, _ in answers}, {404})
        self.assertEqual(len(answers), 2)

    def test_V11_two_users(self) -> None:
        """Only the creator, or somebody who does not say who it is, may use a service."""
        service_id = self.create(user="BuzzBrain")
        for user, status in (("Mallory", 404), ("BuzzBrain", 200), (None, 200)):
            answer = post_form(self.client, f"{BASE}/{service_id}/update", "a=1", user)
            self.assertEqual(answer.status, status)

    def test_V13_flood(self) -> None:
        """Too many creations are 429 with ``Retry-After``."""
        house = ChatHouse(self, limits=LimitOptions(v13_services_per_min=1))
        client = service_client(house)
        post_form(client, f"{BASE}/request-chat")
        answer = post_form(client, f"{BASE}/request-chat")
        self.assert_refused(answer, 429, "gms.too_many_requests")
        self.assertEqual(answer.header("Retry-After"), "60")

    def test_S01_guessing(self) -> None:
        """Who asks for too many unknown services is told to wait."""
        client = service_client(self.house, misses=3)
        for _ in range(3):
            self.assertEqual(post_form(client, f"{BASE}/guess/update").status, 404)
        self.assertEqual(post_form(client, f"{BASE}/guess/update").status, 429)

    def test_V02_bad_ttl(self) -> None:
        """A bad parameter is named."""
        answer = post_form(self.client, f"{BASE}/request-chat", "_ttl=never")
        self.assert_refused(answer, 400, "gms.invalid_request")
        self.assertIn("_ttl", answer.json()["message"])


class PasswordTests(Fixture):
    """HTTP Basic authentication of services."""

    def test_server_and_service(self) -> None:
        """A service's own pair counts for it alone, by name and by id; the server's elsewhere."""
        options = ServerOptions(username="server", password="one")
        services = {"guarded": {"_username": "service", "_password": "two"}}
        house = ChatHouse(self, services={"guarded": {"_service": "request-chat"}})
        client = service_client(house, server=options, passwords=services)
        ids = {}
        for name, pair, other in (
            ("request-chat", "server:one", "service:two"),
            ("guarded", "service:two", "server:one"),
        ):
            self.assertEqual(client.send("POST", f"{BASE}/{name}").status, 401)
            self.assertEqual(client.send("POST", f"{BASE}/{name}", basic(other)).status, 401)
            answer = client.send("POST", f"{BASE}/{name}", basic(pair))
            ids[name] = answer.json()["_id"]
            for rest in ("/update", "/ixn/chat", "/ixn/chat/refresh"):
                target = f"{BASE}/{ids[name]}{rest}"
                self.assertEqual(client.send("POST", target).status, 401)
                self.assertEqual(client.send("POST", target, basic(other)).status, 401)
                self.assertEqual(client.send("POST", target, basic(pair)).status, 200)
        self.assertEqual(client.send("POST", f"{BASE}/nonsense/update").status, 401)


class Gate:
    """Lets everything through but the numbered step, which stands still.

    :ivar go: makes the step go on, once it stands.
    """

    def __init__(self) -> None:
        self.stand_at = 0
        self.steps = 0
        self.go: Deferred[None] | None = None

    async def step(self) -> None:
        """Come by."""
        self.steps += 1
        if self.steps == self.stand_at:
            self.go = Deferred()
            await self.go


class StandingStore(MemoryStore):
    """Every read and write comes by a gate."""

    def __init__(self, house: ChatHouse, gate: Gate) -> None:
        super().__init__(house.wall, house.ids)
        self._gate = gate

    async def commit(self, unit: Unit) -> Committed:
        """Come by, then do it."""
        await self._gate.step()
        return await super().commit(unit)

    async def get(self, kind: Kind, key: str) -> Record | None:
        """Come by, then do it."""
        await self._gate.step()
        return await super().get(kind, key)


class StandingServer(ChatServerDouble):
    """Every request to the chat server comes by a gate."""

    gate = Gate()

    async def choose(self, alias: str | None = None) -> ChatServerAddress:
        """Come by, then do it."""
        await self.gate.step()
        return await super().choose(alias)

    async def join(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        queue: str,
        subject: str,
        user_data: UserData,
    ) -> tuple[ChatCredentials, Transcript]:
        """Come by, then do it."""
        await self.gate.step()
        return await super().join(server, credentials, queue, subject, user_data)

    async def logout(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> tuple[ChatCredentials, Transcript]:
        """Come by, then do it."""
        await self.gate.step()
        return await super().logout(server, credentials, session_id, position)


class InterruptionTests(SynchronousTestCase):
    """The client goes away in the middle of a writing route."""

    def test_never_half(self) -> None:
        """At each step of each writing route: what was begun is there wholly, or not at all."""
        for method, rest in (
            ("POST", "request-chat"),
            ("POST", "{}/update?a=b"),
            ("POST", "{}/ixn/chat"),
            ("POST", "{}/ixn/chat/send?message=x"),
            ("POST", "{}/ixn/chat/disconnect"),
            ("DELETE", "{}"),
        ):
            number = 0
            while self.interrupted(method, rest, number + 1):
                number += 1
            self.assertGreater(number, 0, rest)

    def interrupted(self, method: str, rest: str, number: int) -> bool:
        """Go away at a step; ``False`` when the route has not so many."""
        bare = ChatHouse(self)
        gate = Gate()
        bare.store = StandingStore(bare, gate)
        bare.server = StandingServer(bare.clock, bare.wall)
        bare.server.gate = gate
        house = ChatHouse(self, house=bare)
        client = service_client(house)
        service_id = house.chatting() if "chat/" in rest else house.create()
        gate.stand_at = gate.steps + number
        exchange = client.send(method, f"{BASE}/{rest.format(service_id)}")
        if gate.go is None:
            self.assertTrue(exchange.done, rest)
            self.check(house, rest, begun=True)
            return False
        exchange.disconnect()
        gate.go.callback(None)
        self.check(house, rest, begun=False)
        return True

    def check(self, house: ChatHouse, rest: str, *, begun: bool) -> None:
        """Services and their data go together; so do chats and what the chat server has."""
        services = house.run(house.store.scan(Kind("service")))
        areas = house.run(house.store.scan(Kind("area")))
        chats = house.run(house.store.scan(Kind("chat")))
        self.assertEqual(len(services), len(areas), rest)
        expected = {"request-chat": 2, "{}": 0}.get(rest, 1)
        self.assertIn(len(services), {expected} if begun else {expected, 1})
        if rest.endswith("ixn/chat"):
            self.assertEqual(len(chats), len(house.server.rooms))
        if "disconnect" in rest:
            state = ChatState.from_record(chats[0])
            self.assertEqual(state.closed, house.server.room.left)
        if begun and "send" in rest:
            self.assertEqual(house.server.room.texts(), ["x"])
