"""Routes of the Notification API: bodies, methods, statuses, who may ask."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import ServerOptions
from gms_twisted.domain.errors import StoreReadOnly
from gms_twisted.push.attempts import Delivered, Rejected
from gms_twisted.store.interfaces import Committed, Kind, Unit
from gms_twisted.store.memory import MemoryStore
from tests.support.notification_house import (
    JSON,
    NotificationHouse,
    notification_client,
    post_json,
    subscription,
)
from tests.support.rest_client import Exchange

BASE = "/genesys/1/notification"
SUBSCRIBE, PUBLISH = f"{BASE}/subscription", f"{BASE}/publish"


class Fixture(SynchronousTestCase):
    """A house behind the URL map."""

    def setUp(self) -> None:
        """Build it."""
        self.make()

    def make(self, **options: Any) -> None:
        """Build it, with these options."""
        self.house = NotificationHouse(self, **options)
        self.client = notification_client(self.house)

    def post(self, target: str, document: object, *headers: tuple[str, str]) -> Exchange:
        """Post JSON."""
        return post_json(self.client, target, document, *headers)

    def subscribe(self, *headers: tuple[str, str], **members: Any) -> Exchange:
        """Subscribe."""
        return self.post(SUBSCRIBE, subscription(**members), *(JSON, *headers))

    def live(self) -> list[str]:
        """Ids of all live subscriptions."""
        return [one.key for one in self.house.run(self.house.store.scan(Kind("subscription")))]

    def assert_refused(self, exchange: Exchange, status: int, code: str, word: str = "") -> None:
        """A refusal has its status, its stable word, and names the member."""
        self.assertEqual((exchange.status, exchange.json()["exception"]), (status, code))
        self.assertIn(word, exchange.json()["message"])


class SubscribeTests(Fixture):
    """``POST subscription``."""

    def test_created(self) -> None:
        """200 with the id."""
        answer = self.subscribe()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json(), {"id": self.live()[0]})
        self.assertIn("application/json", answer.header("content-type") or "")

    def test_bad_request(self) -> None:
        """400, and the message names the member."""
        code = "gms.invalid_request"
        answer = self.subscribe(type="pigeon")
        self.assert_refused(answer, 400, code, "notificationDetails.type")
        self.assert_refused(self.subscribe(filter_text="a*"), 400, code, "filter")
        self.assert_refused(self.subscribe(expire=0), 400, code, "expire")
        self.assert_refused(
            self.subscribe(providerName="No"), 400, "gms.push.provider_unknown", "providerName"
        )
        self.assert_refused(self.post(SUBSCRIBE, []), 400, code, "object")
        self.assertEqual(self.live(), [])

    def test_not_json(self) -> None:
        """Whatever is no JSON object is 400; names given twice, NaN, broken UTF-8 too."""
        whole = json.dumps(subscription()).encode()
        for body in (
            b"{", b"null", b"5", b"\xff", whole + b"x", whole[:-1] + b',"expire":1}',
            whole[:-1] + b',"x":NaN}', whole[:-1] + b',"x":Infinity}', b"   ",
        ):  # fmt: skip
            self.assertEqual(self.post(SUBSCRIBE, body).status, 400, body)
        self.assertEqual(self.live(), [])
        self.assertEqual(self.post(SUBSCRIBE, b"\xef\xbb\xbf" + whole).status, 200)

    def test_comet_needs_a_user(self) -> None:
        """400 without the header ``gms_user``, 200 with it."""
        document = {"device": None, "type": "comet"}
        answer = self.subscribe(**document)
        self.assert_refused(answer, 400, "gms.invalid_request", "gms_user")
        self.assertEqual(self.subscribe(("gms_user", "Buzz"), **document).status, 200)

    def test_not_enabled(self) -> None:
        """404."""
        self.make(push_enabled=("comet",))
        self.assert_refused(self.subscribe(), 404, "gms.push.type_disabled", "httpcb")

    def test_no_credentials(self) -> None:
        """404; what is configured and broken is 503."""
        debug = {"properties": {"debug": "true"}}
        answer = self.subscribe(type="gcm", details=debug)
        self.assert_refused(answer, 404, "gms.push.no_credentials")
        self.house.factories.clear()
        self.assert_refused(self.subscribe(type="gcm"), 503, "gms.push.credentials_broken")

    def test_N07_too_many(self) -> None:
        """429, and when to come again."""
        self.make(max_subscriptions_per_subscriber=1)
        self.subscribe(expire=77)
        answer = self.subscribe(filter_text="b")
        self.assert_refused(answer, 429, "gms.too_many_requests")
        self.assertEqual(answer.header("retry-after"), "77")


class MediaTypeTests(Fixture):
    """Spec: "All POST request MUST specify media type application/json"."""

    def test_others(self) -> None:
        """Another one, or none, is 415; before the body is looked at."""
        for target in (SUBSCRIBE, PUBLISH):
            for headers in (
                [("Content-Type", "text/plain")],
                [("Content-Type", "application/x-www-form-urlencoded")],
                [("Content-Type", "application/jsonp")],
                [("X", "y")],
            ):
                answer = post_json(self.client, target, b"{", *headers)
                self.assert_refused(answer, 415, "gms.unsupported_media_type")
            answer = post_json(self.client, target, {"tag": "a"}, ("Content-Type", "text/json"))
            self.assert_refused(answer, 415, "gms.unsupported_media_type")

    def test_parameters_and_case(self) -> None:
        """Parameters are allowed, and case does not count."""
        for value in ("application/json; charset=UTF-8", "Application/JSON", "application/json;"):
            answer = self.post(PUBLISH, {"tag": "a"}, ("Content-Type", value))
            self.assertEqual(answer.status, 200, value)

    def test_empty(self) -> None:
        """The right type and no body is 400."""
        answer = self.client.send("POST", PUBLISH, JSON)
        self.assert_refused(answer, 400, "gms.invalid_request", "body")

    def test_too_large(self) -> None:
        """Above ``push/max_body`` 413, on the head already."""
        self.make(max_body=2000)
        body = json.dumps({"tag": "a", "message": "x" * 1900}).encode()
        self.assertEqual(self.post(PUBLISH, body).status, 200)
        self.assert_refused(self.post(PUBLISH, body + b" " * 100), 413, "gms.too_large")


class DeleteTests(Fixture):
    """``DELETE subscription/...``."""

    def test_one(self) -> None:
        """200 and empty, each time."""
        subscription_id = self.subscribe().json()["id"]
        for which in (subscription_id, subscription_id, "nonsense"):
            answer = self.client.send("DELETE", f"{SUBSCRIBE}/{which}")
            self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.live(), [])

    def test_of_a_subscriber(self) -> None:
        """The name is percent-encoded, slashes included; nobody else's go."""
        self.subscribe(subscriber="a/b ü")
        self.subscribe(subscriber="a/b ü", filter_text="b")
        other = self.subscribe(subscriber="a").json()["id"]
        for _ in range(2):
            answer = self.client.send("DELETE", f"{SUBSCRIBE}/subscriber/a%2Fb%20%C3%BC")
            self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.live(), [other])

    def test_paths(self) -> None:
        """An empty segment is 404; so is ``subscriber`` without a name, for it is no id."""
        for path in ("/subscriber", "/subscriber/", "/subscriber/a/b", "//x", "/subscriber//"):
            self.assertEqual(self.client.send("DELETE", SUBSCRIBE + path).status, 404, path)

    def test_methods(self) -> None:
        """Others are 405 and say which there are."""
        for method, path, allow in (
            ("GET", "/subscription", "OPTIONS, POST"),
            ("DELETE", "/subscription", "OPTIONS, POST"),
            ("GET", "/publish", "OPTIONS, POST"),
            ("GET", "/subscription/x", "DELETE, OPTIONS"),
            ("GET", "/subscription/subscriber/x", "DELETE, OPTIONS"),
            ("POST", "/delivery/x", "GET, HEAD, OPTIONS"),
        ):
            answer = self.client.send(method, BASE + path)
            self.assertEqual((answer.status, answer.header("allow")), (405, allow), path)


class PublishTests(Fixture):
    """``POST publish``."""

    def test_delivered(self) -> None:
        """200, empty, with the record's id."""
        self.subscribe()
        answer = self.post(PUBLISH, {"tag": "a.b"})
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.header("content-length"), "0")
        delivery_id = answer.header("x-delivery-id")
        record = self.client.get(f"{BASE}/delivery/{delivery_id}")
        self.assertEqual((record.status, record.json()["delivered"]), (200, 1))

    def test_not_delivered(self) -> None:
        """503 with the record's id; not an invitation to do all of it again."""
        self.subscribe()
        self.house.transport().script = [Rejected("404")]
        answer = self.post(PUBLISH, {"tag": "a.b"})
        self.assert_refused(answer, 503, "gms.push.not_delivered")
        self.assertIsNone(answer.header("retry-after"))
        record = self.client.get(f"{BASE}/delivery/{answer.header('x-delivery-id')}").json()
        self.assertEqual(record["results"][0]["reason"], "404")

    def test_report(self) -> None:
        """``publish.report`` adds the results, to a 503 too."""
        self.make(publish_report=True)
        subscription_id = self.subscribe().json()["id"]
        answer = self.post(PUBLISH, {"tag": "a.b"}).json()
        self.assertEqual((answer["delivered"], answer["failed"]), (1, 0))
        self.assertEqual(answer["results"][0]["id"], subscription_id)
        self.house.transport().script = [Rejected("404")]
        answer = self.post(PUBLISH, {"tag": "a.b"}).json()
        self.assertEqual((answer["exception"], answer["failed"]), ("gms.push.not_delivered", 1))

    def test_bad_request(self) -> None:
        """400 with the member's name."""
        code = "gms.invalid_request"
        self.assert_refused(self.post(PUBLISH, {"tag": "a."}), 400, code, "tag")
        self.assert_refused(self.post(PUBLISH, {"tag": "a", "locArgs": 1}), 400, code, "locArgs")
        directed = {"tag": "a", "notificationDetails": {"type": "gcm"}}
        answer = self.post(PUBLISH, directed)
        self.assert_refused(answer, 400, code, "notificationDetails.deviceId")

    def test_directed_to_nowhere(self) -> None:
        """404 when the type is not enabled."""
        self.make(push_enabled=("comet",))
        directed = {"tag": "a", "notificationDetails": {"type": "gcm", "deviceId": "x"}}
        self.assert_refused(self.post(PUBLISH, directed), 404, "gms.push.type_disabled")

    def test_hops(self) -> None:
        """The header ``X-Notification-Hops`` is a number."""
        self.subscribe(type="orscb")
        self.post(PUBLISH, {"tag": "a.b"}, JSON, ("X-Notification-Hops", "3"))
        self.assertEqual(self.house.pushes("orscb")[0].hops, 3)
        for bad in ("x", "-1", "1.5", "", "12345678"):
            answer = self.post(PUBLISH, {"tag": "a.b"}, JSON, ("X-Notification-Hops", bad))
            self.assertEqual(answer.status, 400, bad)

    def test_ending(self) -> None:
        """503 with ``Retry-After`` while we are ending."""
        self.house.notifications.close()
        answer = self.post(PUBLISH, {"tag": "a.b"})
        self.assert_refused(answer, 503, "gms.unavailable")
        self.assertEqual(answer.header("retry-after"), "5")

    def test_no_such_record(self) -> None:
        """404."""
        answer = self.client.get(f"{BASE}/delivery/nonsense")
        self.assert_refused(answer, 404, "gms.push.delivery_unknown")


class InternalTests(Fixture):
    """Hardening N13: not for the Internet."""

    CALLS = (
        ("POST", "/subscription"),
        ("DELETE", "/subscription/x"),
        ("DELETE", "/subscription/subscriber/x"),
        ("POST", "/publish"),
        ("GET", "/delivery/x"),
    )

    def test_N13_outside(self) -> None:
        """403 for everything, before anything is read or done."""
        client = notification_client(self.house, address="203.0.113.5")
        subscription_id = self.subscribe().json()["id"]
        for method, path in self.CALLS:
            answer = client.send(method, BASE + path, JSON, body=b"{" if method == "POST" else b"")
            self.assert_refused(answer, 403, "gms.internal_only", "server/internal_allow")
        client.send("DELETE", f"{SUBSCRIBE}/{subscription_id}")
        self.assertEqual(self.live(), [subscription_id])

    def test_N13_listed(self) -> None:
        """Addresses on ``server/internal_allow`` may."""
        server = ServerOptions(internal_allow=("203.0.113.0/24",))
        client = notification_client(self.house, server=server, address="203.0.113.5")
        self.assertEqual(post_json(client, PUBLISH, {"tag": "a"}).status, 200)
        elsewhere = notification_client(self.house, server=server)
        self.assertEqual(post_json(elsewhere, PUBLISH, {"tag": "a"}).status, 403)

    def test_N13_pages_of_others(self) -> None:
        """A page of another site, open on an internal machine, may not."""
        answer = self.post(PUBLISH, {"tag": "a"}, JSON, ("Origin", "https://evil.example"))
        self.assertEqual(answer.status, 403)


class _HeldStore(MemoryStore):
    """A store whose commits wait for the test."""

    def __init__(self, house: NotificationHouse) -> None:
        super().__init__(house.wall, house.ids)
        self.held: list[Deferred[None]] = []
        self.holds = False

    async def commit(self, unit: Unit) -> Committed:
        """Wait, then commit."""
        if self.holds:
            turn: Deferred[None] = Deferred()
            self.held.append(turn)
            await turn
        return await super().commit(unit)

    def release(self) -> None:
        """Commit what waits, and wait no more."""
        self.holds = False
        while self.held:
            self.held.pop(0).callback(None)


class GoneTests(Fixture):
    """Clients that go away in the middle."""

    def setUp(self) -> None:
        """Build it on a store that can be held."""
        super().setUp()
        self.store = _HeldStore(self.house)
        self.make(store=self.store)

    def test_subscribe(self) -> None:
        """What was begun is finished."""
        self.store.holds = True
        self.subscribe().disconnect()
        self.store.release()
        self.assertEqual(len(self.live()), 1)

    def test_delete(self) -> None:
        """So are both kinds of ending."""
        one = self.subscribe().json()["id"]
        self.store.holds = True
        self.client.send("DELETE", f"{SUBSCRIBE}/{one}").disconnect()
        self.store.release()
        self.assertEqual(self.live(), [])
        self.subscribe()
        self.store.holds = True
        self.client.send("DELETE", f"{SUBSCRIBE}/subscriber/s").disconnect()
        self.store.release()
        self.assertEqual(self.live(), [])

    def test_publish(self) -> None:
        """Deliveries under way go on, and the record is written."""
        gateway = self.house.transport(answer=None)
        self.subscribe()
        exchange = self.post(PUBLISH, {"tag": "a.b"})
        exchange.disconnect()
        self.store.holds = True
        gateway.say(Delivered())
        self.store.release()
        (record,) = self.house.run(self.store.scan(Kind("delivery")))
        self.assertEqual(json.loads(record.value)["results"][0]["status"], "delivered")

    def test_store_refuses(self) -> None:
        """503, and nothing is there."""
        self.store.refuse = StoreReadOnly("no")
        self.assertEqual(self.subscribe().status, 503)
        self.store.refuse = None
        self.assertEqual(self.live(), [])
