"""The Push Notification Service's printed examples, from the request to the other side.

Spec: Push Notification Service.
"""

from __future__ import annotations

import json

from gms_twisted.push.httpcb import HttpCallbacks
from gms_twisted.push.orscb import OrchestrationCallbacks
from gms_twisted.simulators.gateway import Reply
from tests.reference.test_notification_api import JSON, NotificationFixture
from tests.support.front import Response, responses_of
from tests.support.gateways import Answering, Gateways
from tests.support.notification_house import NotificationHouse

HTTPCB_REQUEST = """{ "subscriberId": "A1",
  "notificationDetails": {
    "deviceId": " http://localhost:8080/gms-web/gms/httpcb_notification/value/suffix",
    "type": "httpcb"
  },
  "filter": "*" }"""

LOCALIZED_REQUEST = """{ "subscriberId": "A1",
  "notificationDetails": {
    "deviceId": " http://localhost:8080/gms-web/gms/httpcb_notification/value/suffix",
    "type": "httpcb"},
  "language": "de",
  "filter": "*" }"""


class Sessions:
    """Orchestration sessions; an ``EventReceiver``."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str]] = []

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Take an event."""
        self.received.append((session_id, event, message))


class PushNotificationServiceTests(NotificationFixture):
    """Each kind of notification with the other side's bytes."""

    def setUp(self) -> None:
        """A network with a server for callbacks on localhost, and orchestration."""
        self.status = 200
        self.gateways = Gateways(loopback=True)
        self.gateways.net.resolver.names["localhost"] = ["127.0.0.1"]
        self.callbacks = Answering(lambda call: Reply(self.status, b"ignored"))
        self.gateways.serve(self.callbacks, "127.0.0.1", 8080)
        self.sessions = Sessions()
        self.make(clock=self.gateways.net.clock)
        for house in self.houses:
            self.use(house)

    def use(self, house: NotificationHouse) -> None:
        """Have real transports for callbacks."""
        gate = self.gateways.net.gate
        house.factories["httpcb"] = lambda way: HttpCallbacks(  # type: ignore[assignment,return-value]  # a real one
            house.options, gate, house.wall
        )
        house.factories["orscb"] = lambda way: OrchestrationCallbacks(  # type: ignore[assignment,return-value]  # a real one
            house.options, self.sessions
        )

    def post(self, path: str, body: str) -> Response:
        """Send a request, and let the network come to rest."""
        connection = next(self.fronts).connect()
        data = body.encode()
        head = f"POST /genesys/1/notification{path} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"{JSON[0]}: {JSON[1]}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.send(head.encode() + data, 997)
        for _ in range(20):
            self.house.turn(20)
            self.gateways.net.settle()
        (answer,) = responses_of(connection.received())
        return answer

    def test_http_callback_notification(self) -> None:
        """HttpCallback Notification: a POST to the URL, "body will be the plain string"."""
        self.assertEqual(self.post("/subscription", HTTPCB_REQUEST).status, 200)
        event = {"tag": "ors.agentavailability", "message": '{"any": "Größe"}'}
        self.assertEqual(self.post("/publish", json.dumps(event)).status, 200)
        (call,) = self.callbacks.calls
        self.assertEqual(call.method, "POST")
        self.assertEqual(call.path, "/gms-web/gms/httpcb_notification/value/suffix")
        self.assertEqual(call.body.decode(), '{"any": "Größe"}')

    def test_http_callback_other_than_200(self) -> None:
        """HttpCallback Notification: "if the response status is not 200" it has failed."""
        self.assertEqual(self.post("/subscription", HTTPCB_REQUEST).status, 200)
        for status in (201, 204, 302, 404):
            self.status = status
            answer = self.post("/publish", json.dumps({"tag": "a", "message": "x"}))
            self.assertEqual(answer.status, 503, status)

    def test_localization_of_push_messages(self) -> None:
        """Localization of push messages: the subscription's language decides."""
        self.assertEqual(self.post("/subscription", LOCALIZED_REQUEST).status, 200)
        event = {"tag": "a.b", "message": "welcome", "mediaType": "localizestring"}
        self.assertEqual(self.post("/publish", json.dumps(event)).status, 200)
        (call,) = self.callbacks.calls
        self.assertEqual(call.body, b"welcome@de")

    def test_orchestration_server_callback(self) -> None:
        """Orchestration Server Callback Notification: session, event name, message."""
        body = {
            "subscriberId": "A1",
            "notificationDetails": {
                "deviceId": "EKUJPKAQ197CFA6SJQKTJ03DBG00001H",
                "type": "orscb",
            },
            "filter": "service.*",
        }
        self.assertEqual(self.post("/subscription", json.dumps(body)).status, 200)
        event = {"tag": "service.updated.1", "message": "m"}
        self.assertEqual(self.post("/publish", json.dumps(event)).status, 200)
        self.assertEqual(
            self.sessions.received,
            [("EKUJPKAQ197CFA6SJQKTJ03DBG00001H", "service.updated.1", "m")],
        )
