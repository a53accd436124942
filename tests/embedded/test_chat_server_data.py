"""What the chat server keeps about a person."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.chatserver.messages import FlexLogout, FlexRefresh
from gms_twisted.domain.chat import ChatCredentials, Notice, NoticeType
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.embedded.chat_data import delete_user, export_user
from gms_twisted.embedded.room_records import EVENT, JOIN, SESSION, USER
from tests.support.chat_server import ChatWorld, refresh, result_of, talk


class ChatDataTests(SynchronousTestCase):
    """C12: export and deletion by user."""

    def setUp(self) -> None:
        """Vasya has an open and a closed chat, Buzz a closed one."""
        self.world = ChatWorld(self)
        self.flex = self.world.flex()
        for user, closed in (("vasya", True), ("buzz", True), ("vasya", False)):
            data = {"gms_user": user, "secret of": user}
            word = f"{user}{closed}"
            who, chat = talk(
                self.world.customer(self.flex, subject=user, user_data=data, dedupe=word)
            )
            refresh(self.flex, who, chat, 0, f"I am {user}")
            self.end(who, chat, closed=closed)
        self.who, self.chat = who, chat

    def end(self, who: ChatCredentials, chat: ChatSessionId, *, closed: bool) -> None:
        """Type a little, and leave perhaps."""
        notice = Notice(NoticeType.TYPING_STARTED)
        self.flex.ask(lambda ref: FlexRefresh(ref, who, chat, 0, notice=notice))
        if closed:
            self.flex.ask(lambda ref: FlexLogout(ref, who, chat, 1))

    def everything(self) -> bytes:
        """All of the chat server's records."""
        found = b""
        for kind in (SESSION, EVENT, USER, JOIN):
            for record in result_of(self, self.world.store.scan(kind)):
                found += record.key.encode() + b" " + record.value
        return found

    def test_C12_export(self) -> None:
        """All chats with all events, as JSON, and nothing of others; no keys."""
        exported = result_of(self, export_user(self.world.store, "vasya"))
        text = json.dumps(exported)
        self.assertEqual(len(exported), 2)
        self.assertEqual(text.count("I am vasya"), 2)
        self.assertNotIn("buzz", text)
        self.assertNotIn(self.who.secure_key, text)
        self.assertEqual(result_of(self, export_user(self.world.store, "")), [])

    def test_C12_delete_on_a_running_server(self) -> None:
        """Open chats end, and nothing of the user is left; others stay."""
        rooms = self.world.server.rooms
        self.assertEqual(result_of(self, rooms.delete_user("vasya")), 2)
        self.assertNotIn(b"vasya", self.everything())
        self.assertIn(b"I am buzz", self.everything())
        self.assertEqual(rooms.waiting(), [])
        status = refresh(self.world.flex(), self.who, self.chat, 0)
        self.assertIn(status.code, {ErrorCode.UNKNOWN_SESSION, ErrorCode.UNKNOWN_USER})
        self.assertEqual(result_of(self, rooms.delete_user("vasya")), 0)
        self.assertEqual(result_of(self, rooms.delete_user("")), 0)

    def test_C12_delete_on_the_store(self) -> None:
        """Without a server the records go all the same."""
        self.world.kill()
        self.assertEqual(result_of(self, delete_user(self.world.store, self.world.ids, "vasya")), 2)
        self.assertNotIn(b"vasya", self.everything())
        self.world.start()
        self.assertEqual(self.world.server.rooms.waiting(), [])
