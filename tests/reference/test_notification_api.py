"""The Notification API's printed examples and rules, as requests and replies.

Spec: Notification API.  Requests go through the front door as bytes; callbacks to URLs are
taken by a gateway of the test's.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.http.identity import Identity
from gms_twisted.http.origins import Origins
from gms_twisted.push.attempts import Again, Rejected
from gms_twisted.rest.admission import Passwords, RestAdmission
from gms_twisted.rest.notifications import NotificationsApi
from gms_twisted.rest.root import Api
from tests.support.front import Front, Response, responses_of
from tests.support.notification_house import TOKEN, NotificationHouse, PlainCredentials

UUID = r"\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
BASE = "/genesys/1/notification"
JSON = ("Content-Type", "application/json")

ANDROID_REQUEST = """{
  "subscriberId": "$The_subscriber_9774",
  "notificationDetails": {
    "deviceId": "9774d56d682e549c",
    "type": "android",
    "expire": 30,
    "filter": "ors.context.123456"
  }
}"""


def front_of(house: NotificationHouse) -> Front:
    """A front door."""
    api = Api()
    api.add(NotificationsApi(house.subscriptions, house.notifications, house.tasks))
    server = ServerOptions()
    identity = Identity(server, house.wall, loopback_only=True, visitor_key=b"k" * 32)
    admission = RestAdmission(api, identity, Origins(server), HttpOptions(), Passwords(server, {}))
    return Front(api.resource(), admission=admission, clock=house.clock)


class NotificationFixture(SynchronousTestCase):
    """A server with everything enabled."""

    def setUp(self) -> None:
        """Build it."""
        self.make()

    def make(self, **options: Any) -> None:
        """Build it, with these options."""
        self.houses = self.build(**options)
        self.house = self.houses[0]
        self.fronts = itertools.cycle([front_of(house) for house in self.houses])

    def build(self, **options: Any) -> list[NotificationHouse]:
        """Build what is behind each front door."""
        return [NotificationHouse(self, **options)]

    def send(
        self, method: str, path: str, *headers: tuple[str, str], body: str | bytes = b""
    ) -> Response:
        """Send a request as bytes, a few at a time, and read the answer."""
        data = body.encode() if isinstance(body, str) else body
        lines = [f"{method} {BASE}{path} HTTP/1.1", "Host: localhost:8080"]
        lines += [f"{name}: {value}" for name, value in headers]
        if data:
            lines.append(f"Content-Length: {len(data)}")
        request = "\r\n".join((*lines, "", "")).encode() + data
        connection = next(self.fronts).connect()
        connection.send(request, 997)
        self.house.turn()
        (answer,) = responses_of(connection.received())
        return answer

    def subscribe(self, **members: Any) -> Response:
        """Subscribe to ``a.*`` by a callback, but for what is said otherwise."""
        details = {
            "deviceId": "http://127.0.0.1:9000/a",
            "type": "httpcb",
            "filter": "a.*",
            "expire": 30,
        }
        details.update(members.pop("details", {}))
        document = {"subscriberId": "s", "notificationDetails": details, **members}
        return self.send("POST", "/subscription", JSON, body=json.dumps(document))

    def publish(self, **members: Any) -> Response:
        """Publish."""
        return self.send("POST", "/publish", JSON, body=json.dumps({"tag": "a.b", **members}))

    def told(self, transport: str = "httpcb") -> list[str]:
        """Which devices have been told."""
        return self.house.transport(transport).devices


class StructuresTests(NotificationFixture):
    """Structures."""

    def test_subscription_request(self) -> None:
        """Structures, "subscription request": every member in its printed place."""
        answer = self.subscribe(
            providerName="SalesApp",
            details={
                "deviceId": TOKEN,
                "type": "ios",
                "properties": {"key2": "val2", "debug": "false", "key1": "val1"},
            },
        )
        self.assertEqual(answer.status, 200)
        self.publish()
        (push,) = self.house.pushes("apns")
        self.assertEqual(push.properties, {"key2": "val2", "debug": "false", "key1": "val1"})

    def test_request_for_android(self) -> None:
        """Structures, the request for an Android device, byte for byte; no properties."""
        answer = self.send("POST", "/subscription", JSON, body=ANDROID_REQUEST)
        self.assertEqual(answer.status, 200)
        self.publish(tag="ors.context.123456", message="hello")
        (push,) = self.house.pushes("c2dm")
        self.assertEqual((push.device_id, push.message), ("9774d56d682e549c", "hello"))

    def test_subscription_response(self) -> None:
        """Structures, "subscription response": ``{"id": ...}`` and nothing else."""
        answer = self.subscribe()
        self.assertEqual(list(answer.json()), ["id"])
        self.assertRegex(answer.json()["id"], UUID)

    def test_mandatory(self) -> None:
        """Structures: subscriberId, filter, notificationDetails, type and deviceId."""
        self.assertEqual(self.subscribe(subscriberId="").status, 400)
        self.assertEqual(self.subscribe(notificationDetails=None).status, 400)
        for member in ("filter", "type", "deviceId"):
            self.assertEqual(self.subscribe(details={member: None}).status, 400, member)

    def test_default_expire(self) -> None:
        """Structures: expire is not mandatory, "default value is configurable"."""
        self.make(default_subscription_expiration_s=60.0)
        self.subscribe(details={"expire": None})
        self.house.clock.advance(59)
        self.publish()
        self.house.clock.advance(1)
        self.publish()
        self.assertEqual(len(self.told()), 1)

    def test_types(self) -> None:
        """Structures: ios, android, gcm, comet, httpcb and orscb."""
        for name, transport in (
            ("ios", "apns"), ("android", "c2dm"), ("gcm", "gcm"), ("httpcb", "httpcb"),
            ("orscb", "orscb"),
        ):  # fmt: skip
            details = {"type": name, "deviceId": TOKEN, "filter": f"t.{name}"}
            self.assertEqual(self.subscribe(details=details).status, 200)
            self.publish(tag=f"t.{name}")
            self.assertEqual(self.told(transport), [TOKEN])

    def test_comet(self) -> None:
        """Structures: comet needs neither properties nor deviceId, "but gms_user header"."""
        body = json.dumps(
            {"subscriberId": "s", "notificationDetails": {"type": "comet", "filter": "a.*"}}
        )
        self.assertEqual(self.send("POST", "/subscription", JSON, body=body).status, 400)
        user = ("gms_user", "BuzzBrain")
        self.assertEqual(self.send("POST", "/subscription", JSON, user, body=body).status, 200)
        self.assertEqual(self.publish().status, 200)

    def test_debug(self) -> None:
        """Structures: the debug connection "if debug value is debug or true"."""
        self.house.credentials.add("gcm", debug=True, key="debug")
        for value, debug in (("debug", True), ("true", True), ("false", False), ("on", False)):
            house = self.house
            house.transports.clear()
            house.made.clear()
            # Senders are made anew, so that each shows whose credentials it has.
            for each in self.houses:
                each.senders.reconfigure(house.options, PlainCredentials())
                each.senders.reconfigure(house.options, house.credentials)
            details = {"type": "gcm", "deviceId": "x", "properties": {"debug": value}}
            self.subscribe(details={**details, "filter": "a.b"}, subscriberId=value)
            self.assertEqual({way.debug for way in house.made}, {debug}, value)
            self.publish(notificationDetails=details)
            self.assertEqual({way.debug for way in house.made}, {debug}, value)
            self.assertEqual(self.told("gcm"), ["x"])

    def test_event(self) -> None:
        """Structures, "event": to one device, subscriptions aside."""
        self.subscribe(details={"filter": "*"})
        answer = self.publish(
            message="m",
            mediaType="string",
            notificationDetails={
                "deviceId": "dev",
                "type": "gcm",
                "properties": {"debug": "false"},
            },
        )
        self.assertEqual(answer.status, 200)
        self.assertEqual((self.told(), self.told("gcm")), ([], ["dev"]))

    def test_message(self) -> None:
        """Structures: without a message "the empty string will be sent"; any text is a text."""
        self.subscribe()
        self.publish()
        self.publish(message='{"it": "is not looked into"}')
        texts = [push.message for push in self.house.pushes()]
        self.assertEqual(texts, ["", '{"it": "is not looked into"}'])

    def test_message_that_breaks_the_parser(self) -> None:
        """Structures: then "the BAD_REQUEST response will be returned"."""
        answer = self.send("POST", "/publish", JSON, body='{"tag": "a", "message": "}')
        self.assertEqual(answer.status, 400)

    def test_media_type(self) -> None:
        """Structures: media type application/json; else 415 (Unsupported Media Type)."""
        for path, body in (("/subscription", ANDROID_REQUEST), ("/publish", '{"tag": "a"}')):
            for headers in ((), (("Content-Type", "text/plain"),)):
                self.assertEqual(self.send("POST", path, *headers, body=body).status, 415)


class FiltersAndTagsTests(NotificationFixture):
    """Filters and tags."""

    PRINTED = (
        "*",
        "ors.*",
        "ors.agentavailability.*",
        "ors.agentavailability.agent123.*",
        "ors.agentavailability.agent123.available",
    )

    def test_printed_filters(self) -> None:
        """The tag ors.agentavailability.agent123.available reaches all five, and no others."""
        for number, text in enumerate((*self.PRINTED, "ors", "ors.agent.*", "a.*")):
            self.subscribe(details={"deviceId": f"http://127.0.0.1/{number}", "filter": text})
        self.assertEqual(self.publish(tag="ors.agentavailability.agent123.available").status, 200)
        expected = [f"http://127.0.0.1/{number}" for number in range(len(self.PRINTED))]
        self.assertEqual(sorted(self.told()), expected)

    def test_allowed_channels(self) -> None:
        """The channels printed as allowed are; a last ``!`` and an empty filter are not."""
        for text in ("*", "ors.*", "ors.events.agentavailability.context.1234560", "1_a"):
            self.assertEqual(self.subscribe(details={"filter": text}).status, 200, text)
        for bad in ("", None, "ors.!", "ors!", "ors.a*", "ørs"):
            self.assertEqual(self.subscribe(details={"filter": bad}).status, 400, bad)

    def test_tags(self) -> None:
        """A tag "can not be null or empty string", nor hold a wildcard."""
        tags: tuple[str | None, ...] = (None, "", "*", "a.*", "ä")
        for tag in tags:
            self.assertEqual(self.publish(tag=tag).status, 400, tag)


class ApisTests(NotificationFixture):
    """APIs."""

    def test_create_subscription(self) -> None:
        """Create subscription: 200 OK with an id; 400 BAD REQUEST; 404 NOT FOUND."""
        answer = self.subscribe()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.json()["id"])
        self.assertEqual(self.send("POST", "/subscription", JSON, body="{").status, 400)
        self.make(push_enabled=("comet", "httpcb", "orscb"))
        self.assertEqual(self.subscribe(details={"type": "android"}).status, 404)

    def test_delete_subscription(self) -> None:
        """Delete subscription: 200 OK, nothing returned, and nothing delivered any more."""
        subscription_id = self.subscribe().json()["id"]
        answer = self.send("DELETE", f"/subscription/{subscription_id}")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.publish()
        self.assertEqual(self.told(), [])

    def test_delete_subscription_for_given_subscriber(self) -> None:
        """Delete subscription for given subscriber: all of that one's, nobody else's."""
        self.subscribe(subscriberId="$The_subscriber_9774")
        self.subscribe(subscriberId="$The_subscriber_9774", details={"filter": "*"})
        self.subscribe(subscriberId="other", details={"deviceId": "http://127.0.0.1/other"})
        answer = self.send("DELETE", "/subscription/subscriber/$The_subscriber_9774")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.publish()
        self.assertEqual(self.told(), ["http://127.0.0.1/other"])

    def test_publish_event(self) -> None:
        """Publish event: 200 OK, nothing returned; 400 BAD REQUEST for incorrect syntax."""
        self.subscribe()
        answer = self.publish(message="hello")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.send("POST", "/publish", JSON, body="[").status, 400)

    def test_publish_event_failed(self) -> None:
        """Publish event: "http post to specified url failed or returned not 200": 503."""
        self.subscribe()
        for result in (Rejected("404"), Again("connect", after_s=100.0)):
            self.house.transport().script = [result]
            self.assertEqual(self.publish().status, 503)

    def test_subscription_expires(self) -> None:
        """Structures: expire is "the time in seconds after which the subscription expires"."""
        self.subscribe()
        self.house.clock.advance(30)
        self.publish()
        self.assertEqual(self.told(), [])
