"""The Chat API's printed examples for the basic service, as requests and replies.

Spec: Chat API.  Identifiers, hosts and times are those of the captures as far as
a server chooses them; ``ject=`` and ``ify_by=`` are read as what they were before
the page damaged them, ``&subject=`` and ``&notify_by=``.
"""

from __future__ import annotations

from typing import Any

from gms_twisted.domain.chat import NoticeType
from tests.support.whole import FORM, WholeCase

BASE = "http://localhost:8080/genesys/1/service"
HEADERS = {"Accept-Encoding": "gzip,deflate"}
VASYA = b"firstName=Vasya&lastName=Pupkin&email=Vasya.Pupkin@genesyslab.com&subject=test"


def verbose_members(service_id: str, alias: str = "350") -> dict[str, str]:
    """The long members as printed, with what the server double chooses."""
    chat = f"/genesys/1/service/{service_id}/ixn/chat"
    return {
        "userId": "015E4FD3CD890001",
        "secureKey": "b306749dabfa0001",
        "checkChatServiceLoadBalancerPath": (
            "/WebAPI812/SimpleSamples812/ChatHA/ChatLBServerInfo.jsp"
            f"?chatServerLoadBalancerAlias={alias}"
        ),
        "chatServerLoadBalancerAlias": alias,
        "chatServerHost": "135.225.51.225",
        "chatWebApiPort": "4856",
        "isTLSrequired": "false",
        "clientTimeZoneOffset": "-420",
        "_chatIxnAPI_SEND_URL": f"{chat}/send",
        "_chatIxnAPI_REFRESH_URL": f"{chat}/refresh",
        "_chatIxnAPI_START_TYPING_URL": f"{chat}/startTyping",
        "_chatIxnAPI_STOP_TYPING_URL": f"{chat}/stopTyping",
        "_chatIxnAPI_DISCONNECT_URL": f"{chat}/disconnect",
        "_chatIxnAPI_REFRESH_FROM_START_URL": f"{chat}/refresh?transcriptPosition=1",
    }


class ChatExampleTests(WholeCase):
    """Each example, in the order of the chapter."""

    def setUp(self) -> None:
        """Make a server at the examples' address."""
        self.server = self.whole(chat=True)

    def post(self, target: str, body: bytes = b"") -> Any:
        """Send a request of the reference; gives the JSON of a 200."""
        path = target.removeprefix("http://localhost:8080")
        answer = self.server.send("POST", path, body, FORM, headers=HEADERS)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["content-type"].partition(";")[0], "application/json")
        self.assertEqual(answer.headers["pragma"], "no-cache")
        return answer.json()

    def service(self) -> str:
        """Create the service of an example."""
        service_id: str = self.post(f"{BASE}/request-chat")["_id"]
        return service_id

    def chatting(self) -> str:
        """Create a service and its chat, as user of the zone of the captures."""
        service_id = self.service()
        self.post(f"{BASE}/{service_id}/ixn/chat", VASYA + b"&clientTimeZoneOffset=-420")
        return service_id

    def test_service_api_resources_basic_chat(self) -> None:
        """Spec: "Service API Resources", Basic Chat: only the id."""
        answer = self.post(f"{BASE}/request-chat")
        self.assertEqual(list(answer), ["_id"])
        self.assertRegex(answer["_id"], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_service_api_resources_basic_chat_verbose(self) -> None:
        """Spec: "Service API Resources", Basic Chat with ``_verbose``: where the chat begins."""
        answer = self.post(f"{BASE}/request-chat?_verbose=true")
        self.assertEqual(list(answer), ["_chatIxnAPI-CREATE-URL", "_id"])
        self.assertEqual(
            answer["_chatIxnAPI-CREATE-URL"], f"/genesys/1/service/{answer['_id']}/ixn/chat"
        )

    def test_create_basic_chat_service(self) -> None:
        """Spec: "Create basic chat service", Example: ``_verbose`` in the body."""
        answer = self.post(f"{BASE}/request-chat", b"_verbose=true")
        self.assertEqual(list(answer), ["_chatIxnAPI-CREATE-URL", "_id"])

    def test_create_chat_interaction(self) -> None:
        """Spec: "Chat Interaction API Resources", create: four members."""
        answer = self.post(
            f"{BASE}/{self.service()}/ixn/chat"
            "?firstName=Buzz&lastName=Brain&subject=French&email=b.b%40gmail.com"
        )
        self.assertEqual(
            list(answer.items()),
            [
                ("chatIxnState", "CONNECTED"),
                ("chatSessionId", "000C2a7VVQRB0000"),
                ("transcriptPosition", "1"),
                ("chatServiceMessage", "Chat service is available"),
            ],
        )
        self.assertEqual(self.server.chats.room.data["fldnEmailAddress"], "b.b@gmail.com")
        self.assertEqual(self.server.chats.room.subject, "French")

    def test_start_chat(self) -> None:
        """Spec: "Start Chat", Example: all members, in the printed order."""
        service_id = self.service()
        answer = self.post(
            f"{BASE}/{service_id}/ixn/chat?_verbose=true", VASYA + b"&clientTimeZoneOffset=-420"
        )
        expected = {
            "chatIxnState": "CONNECTED",
            "chatSessionId": "000C2a7VVQRB0000",
            "transcriptPosition": "1",
            "chatServiceMessage": "Chat service is available",
            **verbose_members(service_id),
        }
        self.assertEqual(list(answer.items()), list(expected.items()))
        data = self.server.chats.room.data
        self.assertEqual(data["fldnFirstName"], "Vasya")
        self.assertEqual(data["fldnLastName"], "Pupkin")
        self.assertEqual(data["fldnEmailAddress"], "Vasya.Pupkin@genesyslab.com")

    def test_refresh_resources(self) -> None:
        """Spec: "Chat Interaction API Resources", refresh with a message in the query."""
        service_id = self.chatting()
        self.server.advance(35)
        self.server.chats.agent_joins()
        self.server.advance(7)
        self.server.chats.agent_notices(NoticeType.TYPING_STARTED)
        self.server.advance(6)
        self.server.chats.agent_says("hello customer")
        self.server.advance(23)
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/refresh?message=hello%20agent")
        expected = {
            "chatIxnState": "TRANSCRIPT",
            "chatSessionId": "000C2a7VVQRB0000",
            "transcriptPosition": "5",
            "chatServiceMessage": "Chat service is available",
            "transcriptToShow": [
                ["Notice.Joined", "ksippo", "has joined the session", "35", "AGENT"],
                ["Notice.TypingStarted", "ksippo", "is typing", "42", "AGENT"],
                ["Message.Text", "ksippo", "hello customer", "48", "AGENT"],
                ["Message.Text", "VasyaP", "hello agent", "71", "CLIENT"],
            ],
            "startedAt": "2012-06-09T22:26:17Z",
        }
        self.assertEqual(list(answer.items()), list(expected.items()))

    def test_refresh_chat(self) -> None:
        """Spec: "Refresh Chat", Example: message in the body, all members."""
        service_id = self.chatting()
        self.server.advance(18)
        self.server.chats.agent_joins()
        self.server.advance(3)
        self.server.chats.agent_notices(NoticeType.TYPING_STARTED)
        self.server.advance(7)
        self.server.chats.agent_says("hello customer")
        self.server.advance(144)
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/refresh?_verbose=true", b"message=aaa")
        expected = {
            "chatIxnState": "TRANSCRIPT",
            "chatSessionId": "000C2a7VVQRB0000",
            "transcriptPosition": "5",
            "chatServiceMessage": "Chat service is available",
            "transcriptToShow": [
                ["Notice.Joined", "ksippo", "has joined the session", "18", "AGENT"],
                ["Notice.TypingStarted", "ksippo", "is typing", "21", "AGENT"],
                ["Message.Text", "ksippo", "hello customer", "28", "AGENT"],
                ["Message.Text", "VasyaP", "aaa", "172", "CLIENT"],
            ],
            "startedAt": "2012-06-09T22:26:17Z",
            **verbose_members(service_id),
        }
        self.assertEqual(list(answer.items()), list(expected.items()))

    def test_start_and_stop_typing(self) -> None:
        """Spec: "Start Typing", "Stop Typing", Examples: one row each, the position moves."""
        service_id = self.chatting()
        self.server.advance(57)
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/startTyping")
        printed = {
            "chatIxnState": "TRANSCRIPT",
            "transcriptPosition": "2",
            "chatServiceMessage": "Chat service is available",
            "transcriptToShow": [["Notice.TypingStarted", "VasyaP", "is typing", "57", "CLIENT"]],
            "startedAt": "2012-06-09T22:26:17Z",
        }
        self.assertEqual(answer, {**printed, "chatSessionId": "000C2a7VVQRB0000"})
        self.server.advance(20)
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/stopTyping")
        printed = {
            "chatIxnState": "TRANSCRIPT",
            "transcriptPosition": "3",
            "chatServiceMessage": "Chat service is available",
            "transcriptToShow": [
                ["Notice.TypingStopped", "VasyaP", "stopped typing", "77", "CLIENT"]
            ],
            "startedAt": "2012-06-09T22:26:17Z",
        }
        self.assertEqual(answer, {**printed, "chatSessionId": "000C2a7VVQRB0000"})

    def test_disconnect(self) -> None:
        """Spec: "Disconnect from chat session", Example: the position is repeated."""
        service_id = self.chatting()
        position = self.post(f"{BASE}/{service_id}/ixn/chat/stopTyping")["transcriptPosition"]
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/disconnect")
        self.assertEqual(
            answer,
            {
                "chatIxnState": "DISCONNECTED",
                "chatSessionId": "000C2a7VVQRB0000",
                "transcriptPosition": position,
                "chatServiceMessage": "Chat was finished",
            },
        )

    def test_disconnect_verbose(self) -> None:
        """Spec: "COMETD Based Chat API", "Disconnect chat session": all members."""
        service_id = self.chatting()
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/disconnect", b"_verbose=true")
        self.assertEqual(
            answer,
            {
                "chatIxnState": "DISCONNECTED",
                "transcriptPosition": "1",
                "chatServiceMessage": "Chat was finished",
                "chatSessionId": "000C2a7VVQRB0000",
                **verbose_members(service_id),
            },
        )

    def test_refresh_from_start(self) -> None:
        """Spec: ``_chatIxnAPI_REFRESH_FROM_START_URL``: everything after one's own joining."""
        service_id = self.chatting()
        self.server.chats.agent_joins()
        self.post(f"{BASE}/{service_id}/ixn/chat/refresh", b"message=hi")
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/refresh?transcriptPosition=1")
        self.assertEqual(
            [row[2] for row in answer["transcriptToShow"]],
            [
                "has joined the session",
                "hi",
            ],
        )
