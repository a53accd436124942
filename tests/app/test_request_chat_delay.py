"""The service request-chat-delay."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Call
from gms_twisted.app.chat_records import CHAT
from gms_twisted.app.service_kinds import RequestUnknown
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue, InMemory, UploadedFile
from tests.support.access import AccessHouse

NAME = "request-chat-delay"
VASYA: dict[str, FormValue] = {
    "firstName": "Vasya",
    "lastName": "Pupkin",
    "email": "vasya@example.com",
    "subject": "shoes",
}
USER = GmsUser("BuzzBrain")


class CreateTests(SynchronousTestCase):
    """What is asked when it is created."""

    def test_answer(self) -> None:
        """The answer has ``_id`` only; no chat has begun."""
        house = AccessHouse(self)
        answer = house.run(house.services.create(NAME, VASYA, None, ""))
        self.assertEqual(list(answer), ["_id"])
        self.assertEqual(house.server.rooms, {})

    def test_V02_mandatory(self) -> None:
        """Each of the four is mandatory, as a text; nothing is left behind."""
        house = AccessHouse(self)
        file = UploadedFile("a", "text/plain", InMemory(b"x"))
        for name in VASYA:
            bad: tuple[FormValue | None, ...] = (None, "", " ", file)
            for value in bad:
                fields = {key: text for key, text in VASYA.items() if key != name}
                if value is not None:
                    fields[name] = value
                error = house.fail(house.services.create(NAME, fields, None, ""), InvalidRequest)
                assert isinstance(error, InvalidRequest)
                self.assertEqual(error.parameter, name)
        self.assertEqual(house.run(house.store.usage()).records, 0)


class ChatTests(SynchronousTestCase):
    """Its request ``chat``."""

    def setUp(self) -> None:
        """Make a house."""
        self.house = AccessHouse(self)

    def chat(self, service_id: str, user: GmsUser | None = None, **fields: FormValue) -> object:
        """Begin the chat."""
        return self.house.run(self.house.services.request(service_id, "chat", fields, user))

    def test_poll(self) -> None:
        """The chat begins with what was said at the creation, and is answered as ``ixn/chat``."""
        service_id = self.house.create({**VASYA, "product": "boots"}, name=NAME)
        answer = self.chat(service_id)
        assert isinstance(answer, dict)
        self.assertEqual(
            list(answer),
            ["chatIxnState", "chatSessionId", "transcriptPosition", "chatServiceMessage"],
        )
        self.assertEqual(answer["chatIxnState"], "CONNECTED")
        room = self.house.server.room
        self.assertEqual((room.nickname, room.subject), ("VasyaP", "shoes"))
        self.assertEqual(room.data["fldnEmailAddress"], "vasya@example.com")
        self.assertEqual(room.data["product"], "boots")

    def test_twice(self) -> None:
        """A second request gives the same chat."""
        service_id = self.house.create(VASYA, name=NAME)
        first, again = self.chat(service_id), self.chat(service_id)
        self.assertEqual(first, again)
        self.assertEqual(len(self.house.server.rooms), 1)

    def test_operations(self) -> None:
        """Every call of the Chat API works on it, ``ixn/chat`` too."""
        service_id = self.house.create(VASYA, name=NAME)
        self.chat(service_id)
        self.house.call(service_id, Call.START)
        self.house.call(service_id, Call.SEND, message="hello")
        self.assertEqual(self.house.server.room.texts(), ["hello"])
        answer = self.house.call(service_id, Call.DISCONNECT)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")

    def test_comet(self) -> None:
        """``device_os=comet`` at the creation, in either spelling, delivers on ``/_genesys``."""
        for name in ("device_os", "_device_os"):
            service_id = self.house.create({**VASYA, name: "Comet"}, user=USER, name=NAME)
            answer = self.chat(service_id)
            assert isinstance(answer, dict)
            self.assertEqual(answer["chatIxnState"], "CONNECTED")
            self.assertIn("comet_channel", answer)
            self.assertTrue(self.house.run(self.house.records.read(service_id)).comet)
            self.house.end(service_id)

    def test_comet_by_who_asks(self) -> None:
        """The user of the request counts when the creation had none."""
        service_id = self.house.create({**VASYA, "device_os": "comet"}, name=NAME)
        work = self.house.services.request(service_id, "chat", {}, None)
        error = self.house.fail(work, InvalidRequest)
        assert isinstance(error, InvalidRequest)
        self.assertEqual(error.parameter, "gms_user")
        self.chat(service_id, USER)
        state = self.house.run(self.house.records.read(service_id))
        self.assertEqual(state.user, USER)
        self.house.end(service_id)

    def test_V09_option(self) -> None:
        """The option ``_device_os`` beats what the request says."""
        house = AccessHouse(self, more={NAME: {"_device_os": "comet"}})
        service_id = house.create({**VASYA, "_device_os": "ios"}, user=USER, name=NAME)
        house.run(house.services.request(service_id, "chat", {}, USER))
        self.assertTrue(house.run(house.records.read(service_id)).comet)
        house.end(service_id)

    def test_other_requests(self) -> None:
        """There is no other request."""
        service_id = self.house.create(VASYA, name=NAME)
        for name in ("status", "Chat", ""):
            work = self.house.services.request(service_id, name, {}, None)
            self.house.fail(work, RequestUnknown)

    def test_V11_somebody_else(self) -> None:
        """Another user cannot begin it."""
        service_id = self.house.create(VASYA, user="BuzzBrain", name=NAME)
        work = self.house.services.request(service_id, "chat", {}, GmsUser("Mallory"))
        self.house.fail(work, ServiceNotFound)

    def test_end(self) -> None:
        """Ending the service leaves the chat."""
        service_id = self.house.create(VASYA, name=NAME)
        self.chat(service_id)
        self.house.end(service_id)
        self.assertTrue(self.house.server.room.left)
        self.assertEqual(self.house.run(self.house.store.scan(CHAT)), [])
