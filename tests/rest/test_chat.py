"""Routes of the Chat API: methods, spellings, statuses."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import ChatOptions, LimitOptions
from tests.support.chat_house import ChatHouse
from tests.support.rest_client import Exchange
from tests.support.service_client import post_form, service_client

BASE = "/genesys/1/service"


class Fixture(SynchronousTestCase):
    """A house behind the URL map, with a service."""

    def setUp(self) -> None:
        """Build it."""
        self.build(ChatHouse(self))

    def build(self, house: ChatHouse) -> None:
        """Put a house behind the URL map and create a service."""
        self.house = house
        self.client = service_client(house)
        self.service_id: str = post_form(self.client, f"{BASE}/request-chat").json()["_id"]
        self.chat = f"{BASE}/{self.service_id}/ixn/chat"

    def post(self, rest: str = "", body: str = "", user: str | None = None) -> Exchange:
        """Post to the chat."""
        return post_form(self.client, self.chat + rest, body, user)

    def good(self, rest: str = "", body: str = "", user: str | None = None) -> Any:
        """Post to the chat and read the chat object."""
        answer = self.post(rest, body, user)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def assert_refused(self, exchange: Exchange, status: int, code: str) -> None:
        """A refusal has its status and its stable word, in JSON."""
        self.assertEqual((exchange.status, exchange.json()["exception"]), (status, code))
        self.assertTrue(exchange.json()["message"])


class RouteTests(Fixture):
    """URLs and methods."""

    def test_get_is_post(self) -> None:
        """GET does what POST does, with parameters in the query."""
        answer = self.client.send("GET", f"{self.chat}?firstName=Vasya&_verbose=True")
        self.assertEqual(answer.json()["chatIxnState"], "CONNECTED")
        self.assertIn("_chatIxnAPI_SEND_URL", answer.json())
        answer = self.client.send("GET", f"{self.chat}/refresh?message=hello%20agent")
        self.assertEqual(answer.json()["transcriptToShow"][0][1:3], ["Vasya", "hello agent"])
        self.assertEqual(self.client.send("HEAD", f"{self.chat}/refresh").status, 405)

    def test_all_given_urls_work(self) -> None:
        """Each of the six URLs of the verbose answer can be used as it is."""
        answer = self.good("", "_verbose=true")
        urls = [url for name, url in sorted(answer.items()) if name.startswith("_chatIxnAPI_")]
        self.assertEqual(len(urls), 6)
        disconnect = answer["_chatIxnAPI_DISCONNECT_URL"]
        for url in [*(url for url in urls if url != disconnect), disconnect]:
            self.assertEqual(post_form(self.client, url, "message=x").status, 200, url)

    def test_unknown_operation(self) -> None:
        """Anything else below the chat is 404."""
        self.good()
        self.assert_refused(self.post("/dance"), 404, "gms.unknown_path")

    def test_form_kinds(self) -> None:
        """Multipart and JSON are read as well as url-encoded forms; others are 415."""
        self.good()
        multipart = b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nhi\r\n--b--\r\n'
        for content_type, body, status in (
            ("multipart/form-data; boundary=b", multipart, 200),
            ("application/json", b'{"message": "hi"}', 200),
            ("application/x-www-form-urlencoded", b'{"message": "hi"}', 200),
            ("text/plain", b"message=hi", 415),
        ):
            answer = self.client.send(
                "POST", f"{self.chat}/send", ("Content-Type", content_type), body=body
            )
            self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(self.house.server.room.texts(), ["hi"] * 3)

    def test_file_for_text(self) -> None:
        """A file where text is expected is refused by name."""
        self.good()
        body = (
            b'--b\r\nContent-Disposition: form-data; name="message"; filename="a"\r\n'
            b"\r\nhi\r\n--b--\r\n"
        )
        answer = self.client.send(
            "POST",
            f"{self.chat}/send",
            ("Content-Type", "multipart/form-data; boundary=b"),
            body=body,
        )
        self.assert_refused(answer, 400, "gms.invalid_request")
        self.assertIn("message", answer.json()["message"])

    def test_type_of_answers(self) -> None:
        """Answers are JSON that no cache keeps."""
        answer = self.post()
        self.assertEqual(answer.header("Content-Type"), "application/json;charset=UTF-8")
        self.assertEqual(answer.header("Cache-Control"), "no-cache, no-store")


class RefusalTests(Fixture):
    """Statuses of what does not work."""

    def test_no_chat_yet(self) -> None:
        """An operation before ``ixn/chat`` is 404."""
        self.assert_refused(self.post("/refresh"), 404, "gms.chat.not_found")

    def test_no_chat_server(self) -> None:
        """Without a chat server it is 503 with ``Retry-After``."""
        self.house.server.down = True
        answer = self.post()
        self.assert_refused(answer, 503, "gms.chat.server_unavailable")
        self.assertTrue(answer.header("Retry-After"))

    def test_C02_too_long(self) -> None:
        """A message that is too long is 413."""
        self.good()
        answer = self.post("/send", "message=" + "x" * 4001)
        self.assert_refused(answer, 413, "gms.chat.message_too_long")

    def test_C03_flood(self) -> None:
        """Refreshing too fast is 429 with ``Retry-After``."""
        self.build(ChatHouse(self, limits=LimitOptions(c03_refresh_burst=1)))
        self.good()
        self.good("/refresh")
        answer = self.post("/refresh")
        self.assert_refused(answer, 429, "gms.too_many_requests")
        self.assertEqual(answer.header("Retry-After"), "1")

    def test_C04_position(self) -> None:
        """A position that is no number is 400."""
        self.good()
        answer = self.post("/refresh", "transcriptPosition=first")
        self.assert_refused(answer, 400, "gms.invalid_request")

    def test_after_the_end(self) -> None:
        """200 with DISCONNECTED; with the option 400, which has ``exception``."""
        self.good()
        self.good("/disconnect")
        self.assertEqual(self.good("/refresh")["chatIxnState"], "DISCONNECTED")
        self.build(ChatHouse(self, chat=ChatOptions(chat_400_response_on_disconnected=True)))
        self.good()
        self.good("/disconnect")
        self.assert_refused(self.post("/refresh"), 400, "gms.chat.disconnected")

    def test_comet_without_user(self) -> None:
        """``notify_by=comet`` without ``gms_user`` is 400 and names the header."""
        answer = self.post("", "notify_by=comet")
        self.assert_refused(answer, 400, "gms.invalid_request")
        self.assertIn("gms_user", answer.json()["message"])

    def test_G07_no_secret_in_errors(self) -> None:
        """No refusal shows the secure key."""
        key = self.good("", "_verbose=1")["secureKey"]
        self.house.server.down = True
        for rest in ("/refresh", "/send", "/disconnect", "/dance"):
            self.assertNotIn(key.encode(), self.post(rest, "message=x").body)
