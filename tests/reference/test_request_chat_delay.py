"""request-chat-delay, as its chapter says.

Spec: Orchestration Server-based Services, "request-chat-delay".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.access import AccessHouse
from tests.support.service_client import post_form, service_client

BASE = "/genesys/1/service"
VASYA = "firstName=Vasya&lastName=Pupkin&email=v%40example.com&subject=test"


class RequestChatDelayTests(SynchronousTestCase):
    """Creation, and the request ``chat``."""

    def setUp(self) -> None:
        """Make a server."""
        self.house = AccessHouse(self)
        self.client = service_client(self.house)

    def test_create(self) -> None:
        """Spec: "Create Request Data" and "Create Response Data"."""
        answer = post_form(self.client, f"{BASE}/request-chat-delay", VASYA)
        self.assertEqual((answer.status, list(answer.json())), (200, ["_id"]))
        for name in ("firstName", "lastName", "email", "subject"):
            body = "&".join(part for part in VASYA.split("&") if not part.startswith(name))
            answer = post_form(self.client, f"{BASE}/request-chat-delay", body)
            self.assertEqual(answer.status, 400)
            self.assertIn(name, answer.json()["message"])

    def test_chat(self) -> None:
        """Spec: "Specific Requests", "chat": no parameters; three members at least."""
        service_id = post_form(self.client, f"{BASE}/request-chat-delay", VASYA).json()["_id"]
        answer = post_form(self.client, f"{BASE}/{service_id}/chat")
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["chatIxnState"], "CONNECTED")
        self.assertEqual(answer.json()["transcriptPosition"], "1")
        self.assertEqual(answer.json()["chatServiceMessage"], "Chat service is available")
        sent = post_form(self.client, f"{BASE}/{service_id}/ixn/chat/send", "message=hello")
        self.assertEqual(sent.json()["transcriptToShow"][0][2], "hello")

    def test_comet(self) -> None:
        """Spec: ``device_os``, "comet" for chat messages to be delivered via cometd."""
        body = VASYA + "&device_os=comet"
        created = post_form(self.client, f"{BASE}/request-chat-delay", body, "BuzzBrain").json()
        answer = post_form(self.client, f"{BASE}/{created['_id']}/chat", "", "BuzzBrain")
        self.assertEqual(answer.json()["comet_channel"], "/_genesys")
        self.house.end(created["_id"])
