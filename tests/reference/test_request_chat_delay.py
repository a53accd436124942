"""request-chat-delay, as its chapter says.

Spec: Orchestration Server-based Services, "request-chat-delay".
"""

from __future__ import annotations

from tests.support.front import Response
from tests.support.whole import FORM, WholeCase

BASE = "/genesys/1/service"
VASYA = "firstName=Vasya&lastName=Pupkin&email=v%40example.com&subject=test"


class RequestChatDelayTests(WholeCase):
    """Creation, and the request ``chat``."""

    def setUp(self) -> None:
        """Make a server."""
        self.server = self.whole(chat=True)

    def post(self, target: str, body: str = "", user: str = "") -> Response:
        """Post a form."""
        headers = {"gms_user": user} if user else {}
        return self.server.send("POST", target, body.encode(), FORM, headers=headers)

    def test_create(self) -> None:
        """Spec: "Create Request Data" and "Create Response Data"."""
        answer = self.post(f"{BASE}/request-chat-delay", VASYA)
        self.assertEqual((answer.status, list(answer.json())), (200, ["_id"]))
        for name in ("firstName", "lastName", "email", "subject"):
            body = "&".join(part for part in VASYA.split("&") if not part.startswith(name))
            answer = self.post(f"{BASE}/request-chat-delay", body)
            self.assertEqual(answer.status, 400)
            self.assertIn(name, answer.json()["message"])

    def test_chat(self) -> None:
        """Spec: "Specific Requests", "chat": no parameters; three members at least."""
        service_id = self.post(f"{BASE}/request-chat-delay", VASYA).json()["_id"]
        answer = self.post(f"{BASE}/{service_id}/chat")
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["chatIxnState"], "CONNECTED")
        self.assertEqual(answer.json()["transcriptPosition"], "1")
        self.assertEqual(answer.json()["chatServiceMessage"], "Chat service is available")
        sent = self.post(f"{BASE}/{service_id}/ixn/chat/send", "message=hello")
        self.assertEqual(sent.json()["transcriptToShow"][0][2], "hello")

    def test_comet(self) -> None:
        """Spec: ``device_os``, "comet" for chat messages to be delivered via cometd."""
        body = VASYA + "&device_os=comet"
        created = self.post(f"{BASE}/request-chat-delay", body, "BuzzBrain").json()
        answer = self.post(f"{BASE}/{created['_id']}/chat", "", "BuzzBrain")
        self.assertEqual(answer.json()["comet_channel"], "/_genesys")
        deleted = self.server.send("DELETE", f"{BASE}/{created['_id']}")
        self.assertEqual(deleted.status, 200)
