"""The chat over CometD, step by step as the reference shows it, with polls that are held.

Spec: "COMETD Based Chat API"; "Using CometD to Receive Event Updates".
"""

from __future__ import annotations

from typing import Any

from gms_twisted.domain.chat import NoticeType
from tests.support.whole import FORM, WholeCase
from tests.support.whole_comet import WholeClient

BASE = "/genesys/1/service"
USER = "BuzzBrain"
CREATE = (
    "_verbose=true&notify_by=comet&firstName=Buzz&lastName=Brain&subject=French"
    "&email=b.b%40gmail.com"
)


class CometChatTests(WholeCase):
    """One chat from handshake to disconnect."""

    def setUp(self) -> None:
        """Make a server that knows a chat server."""
        self.server = self.whole(chat=True)
        self.chats = self.server.chats

    def post(self, target: str, body: str = "", user: str | None = None) -> Any:
        """Call the REST side; gives the JSON of a 200."""
        headers = {"gms_user": user} if user else {}
        answer = self.server.send("POST", target, body.encode(), FORM, headers=headers)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def online(self) -> WholeClient:
        """Shake hands, connect, subscribe to ``/_genesys`` and poll."""
        client = WholeClient(self.server, USER)
        client.online("/_genesys")
        return client

    def events(self, client: WholeClient) -> list[Any]:
        """What the held poll brought, with a new one held at once."""
        self.server.settle()
        data: list[Any] = []
        while received := client.take():
            data += [one["data"] for one in received if one["channel"] == "/_genesys"]
            if any(one["channel"] == "/meta/connect" for one in received):
                client.send(client.message("/meta/connect", connectionType="long-polling"))
            self.server.settle()
        return data

    def begin(self) -> tuple[WholeClient, str]:
        """Go on-line, create the service and the chat, take the first event."""
        client = self.online()
        service_id = self.post(f"{BASE}/request-chat", "_verbose=true", USER)["_id"]
        self.post(f"{BASE}/{service_id}/ixn/chat", CREATE, USER)
        self.events(client)
        return client, service_id

    def test_create_service_and_chat(self) -> None:
        """The service's answer, the chat's, and the first event with an empty list."""
        client = self.online()
        service = self.post(f"{BASE}/request-chat", "_verbose=true", USER)
        service_id = service["_id"]
        self.assertEqual(
            service["_chatIxnAPI-CREATE-URL"], f"/genesys/1/service/{service_id}/ixn/chat"
        )
        answer = self.post(service["_chatIxnAPI-CREATE-URL"], CREATE, USER)
        self.assertEqual(
            answer["message"], "Messages will sent over CometD service channel /_genesys"
        )
        (event,) = self.events(client)
        self.assertEqual(list(event), ["id", "message", "tag"])
        self.assertRegex(event["id"], "^[0-9a-f]{32}$")
        self.assertEqual(event["tag"], f"service.chat.refresh.{service_id}")
        message = event["message"]
        self.assertEqual(message["transcriptPosition"], 1)
        self.assertEqual(message["chatServiceMessage"], "Chat service is available")
        self.assertEqual(message["chatIxnState"], "TRANSCRIPT")
        self.assertEqual(message["transcriptToShow"], [])
        self.assertRegex(message["startedAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(message["chatSessionId"], answer["chatSessionId"])

    def test_polling_agent_messages(self) -> None:
        """Joined, typing and a message, each in one poll, with positions counting up."""
        client, _ = self.begin()
        self.server.advance(21)
        self.chats.agent_joins("kate")
        (joined,) = self.events(client)
        self.assertEqual(
            joined["message"]["transcriptToShow"],
            [["Notice.Joined", "kate", "has joined the session", "21", "AGENT"]],
        )
        self.chats.agent_notices(NoticeType.TYPING_STARTED)
        (typing,) = self.events(client)
        self.assertEqual(
            typing["message"]["transcriptToShow"][0][:3:2],
            [
                "Notice.TypingStarted",
                "is typing",
            ],
        )
        self.chats.agent_says("hello customer")
        (said,) = self.events(client)
        self.assertEqual(said["message"]["transcriptToShow"][0][2], "hello customer")
        positions = [one["message"]["transcriptPosition"] for one in (joined, typing, said)]
        self.assertEqual(positions, [2, 3, 4])
        self.assertEqual(len({joined["id"], typing["id"], said["id"]}), 3)

    def test_send_client_chat_message(self) -> None:
        """The message is answered with where to look, and comes back with all members."""
        client, service_id = self.begin()
        answer = self.post(
            f"{BASE}/{service_id}/ixn/chat/refresh", "_verbose=true&message=hello+agent"
        )
        self.assertEqual(
            answer["message"], "Messages will sent over CometD service channel /_genesys"
        )
        (echo,) = self.events(client)
        message = echo["message"]
        self.assertEqual(
            message["transcriptToShow"],
            [["Message.Text", "BuzzB", "hello agent", "0", "CLIENT"]],
        )
        for name in (
            "chatServerLoadBalancerAlias",
            "clientTimeZoneOffset",
            "checkChatServiceLoadBalancerPath",
            "chatServerHost",
            "userId",
            "isTLSrequired",
            "_chatIxnAPI_SEND_URL",
            "_chatIxnAPI_REFRESH_FROM_START_URL",
        ):
            self.assertIn(name, message)

    def test_quick_start_refresh(self) -> None:
        """Spec: "Refresh chat transcript", quick start: id and channel are in the answer."""
        _, service_id = self.begin()
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/refresh")
        self.assertEqual(answer["_id"], service_id)
        self.assertEqual(answer["comet_channel"], "/_genesys")

    def test_disconnect(self) -> None:
        """The answer repeats the position of the last event; the channel says the end."""
        client, service_id = self.begin()
        self.chats.agent_joins()
        (joined,) = self.events(client)
        answer = self.post(f"{BASE}/{service_id}/ixn/chat/disconnect", "_verbose=true")
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertEqual(answer["chatServiceMessage"], "Chat was finished")
        self.assertEqual(answer["transcriptPosition"], str(joined["message"]["transcriptPosition"]))
        self.assertEqual(self.events(client)[-1]["message"]["chatIxnState"], "DISCONNECTED")

    def test_events_reach_their_user_only(self) -> None:
        """Another user's client gets nothing (B06)."""
        other = WholeClient(self.server, "Mallory")
        other.online("/_genesys")
        client, _ = self.begin()
        self.chats.agent_says("secret")
        self.assertTrue(self.events(client))
        self.assertEqual(self.events(other), [])

    def test_background_and_return(self) -> None:
        """A disconnect with ``ext.transcriptPosition``; on return only what is newer."""
        client, service_id = self.begin()
        self.chats.agent_joins()
        self.chats.agent_says("one")
        self.events(client)
        reply = client.ask("/meta/disconnect", ext={"transcriptPosition": "3"})
        self.assertTrue(reply[-1]["successful"])
        self.chats.agent_says("two")
        self.server.advance(61)
        self.assertEqual(self.chats.room.notices(), [NoticeType.CUSTOM])
        self.assertEqual(self.texts_on_return(), ["two", "stopped typing"])
        self.post(f"{BASE}/{service_id}/ixn/chat/refresh")

    def test_position_of_a_forgotten_client(self) -> None:
        """A disconnect of an unknown client id fails, and its position counts all the same."""
        client, _ = self.begin()
        self.chats.agent_says("one")
        self.chats.agent_says("two")
        self.events(client)
        client.last.lose()
        self.server.advance(35)
        reply = client.ask("/meta/disconnect", ext={"transcriptPosition": "2"})
        self.assertFalse(reply[-1]["successful"])
        self.assertEqual(self.texts_on_return(), ["two"])

    def texts_on_return(self) -> list[str]:
        """What a new session of the user gets at once."""
        client = WholeClient(self.server, USER)
        client.handshake()
        client.connect()
        received = client.ask("/meta/subscribe", subscription="/_genesys")
        client.send(client.message("/meta/connect", connectionType="long-polling"))
        self.server.settle()
        received += client.take()
        data = [one["data"] for one in received if one["channel"] == "/_genesys"]
        return [row[2] for one in data for row in one["message"]["transcriptToShow"]]

    def test_events_that_were_never_fetched(self) -> None:
        """What waited in a session that expired comes on return, once and in order."""
        client, _ = self.begin()
        self.server.advance(60)
        self.events(client)
        client.last.lose()
        self.chats.agent_says("one")
        self.chats.agent_says("two")
        self.server.advance(35)
        self.chats.agent_says("three")
        self.assertEqual(self.texts_on_return(), ["one", "two", "three"])
