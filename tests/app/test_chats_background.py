"""Pushes to the device of a comet customer who is away."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_absence import NEWS_TEXT
from gms_twisted.app.chat_answers import Call
from gms_twisted.config.options import ChatOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.chat import NoticeType, Visibility
from gms_twisted.domain.ids import ServiceId
from tests.support.chat_house import ChatHouse

USER = "BuzzBrain"
DEVICE = {"_device_os": "iOS", "_device_notification_id": "b164163348"}


def begin(house: ChatHouse, **data: str) -> ServiceId:
    """Start the chat of a customer with a phone, who then puts it away."""
    house.events.arrive(USER)
    service_id = house.chatting(USER, {**DEVICE, **data}, notify_by="comet")
    house.server.agent_joins()
    house.advance(60)
    house.events.leave(USER, position=house.server.room.last_position)
    return service_id


class FirstPushTests(SynchronousTestCase):
    """When something of the agent's has waited long enough, the device is told."""

    def setUp(self) -> None:
        """A customer who has just gone."""
        self.house = ChatHouse(self)
        self.service_id = begin(self.house)

    def test_after_the_time(self) -> None:
        """An agent's message that has waited 90 s causes one push, and no more."""
        self.house.server.agent_says("Still there?")
        self.house.advance(89)
        self.assertEqual(self.house.devices.sent, [])
        self.house.advance(2)
        (push,) = self.house.devices.sent
        self.assertEqual((push.device_os, push.device_id), ("iOS", "b164163348"))
        self.assertEqual(push.message, NEWS_TEXT)
        self.assertEqual(push.tag, f"service.chat.refresh.{self.service_id.replace('-', '')}")
        self.assertEqual(push.user, USER)
        self.house.advance(400, step=1)
        self.assertEqual(len(self.house.devices.sent), 1)

    def test_nothing_waits(self) -> None:
        """A customer who misses nothing is left alone."""
        self.house.advance(800, step=1)
        self.assertEqual(self.house.devices.sent, [])

    def test_counts_from_the_message(self) -> None:
        """A message long after the client went waits its own time."""
        self.house.advance(300, step=1)
        self.house.server.agent_says("x")
        self.house.advance(89)
        self.assertEqual(self.house.devices.sent, [])
        self.house.advance(2)
        self.assertEqual(len(self.house.devices.sent), 1)

    def test_later_messages_together(self) -> None:
        """What comes after the first push causes another one, together and as late."""
        self.house.server.agent_says("one")
        self.house.advance(91)
        self.house.server.agent_says("two")
        self.house.server.agent_says("three")
        self.house.advance(89)
        self.assertEqual(len(self.house.devices.sent), 1)
        self.house.advance(2)
        first, second = self.house.devices.sent
        self.assertNotEqual(first.event_id, second.event_id)

    def test_back_in_time(self) -> None:
        """A customer who comes back reads, and is not called."""
        self.house.server.agent_says("x")
        self.house.advance(60)
        self.house.events.arrive(USER)
        self.house.advance(200)
        self.assertEqual(self.house.devices.sent, [])

    def test_gone_again(self) -> None:
        """What was read does not count when the customer goes once more."""
        self.house.server.agent_says("x")
        self.house.events.arrive(USER)
        self.house.events.leave(USER, position=self.house.server.room.last_position)
        self.house.advance(300, step=1)
        self.assertEqual(self.house.devices.sent, [])

    def test_lost_with_the_session(self) -> None:
        """A message that was handed over but not received is waiting, too."""
        self.house.events.arrive(USER)
        self.house.server.agent_says("lost")
        self.house.events.leave(USER)
        self.house.advance(91)
        self.assertEqual(len(self.house.devices.sent), 1)

    def test_closed(self) -> None:
        """Nobody is called into a chat that is over."""
        self.house.server.agent_says("bye")
        self.house.server.agent_closes()
        self.house.advance(300, step=1)
        self.assertEqual(self.house.devices.sent, [])

    def test_not_settled(self) -> None:
        """A push that could not be delivered now is made again later, as the same event."""
        self.house.devices.settles = False
        self.house.server.agent_says("x")
        self.house.advance(91)
        self.house.devices.settles = True
        self.house.advance(88)
        self.assertEqual(len(self.house.devices.sent), 1)
        self.house.advance(200, step=1)
        first, second = self.house.devices.sent
        self.assertEqual(first.event_id, second.event_id)

    def test_across_a_restart(self) -> None:
        """Another process neither forgets a push nor makes it twice."""
        self.house.server.agent_says("x")
        self.house.advance(60)
        self.house.kill()
        again = ChatHouse(self, house=self.house)
        again.advance(91)
        self.assertEqual(len(again.devices.sent), 1)
        again.kill()
        third = ChatHouse(self, house=again)
        third.advance(300, step=1)
        self.assertEqual(third.devices.sent, [])


class FilterTests(SynchronousTestCase):
    """What is worth a push."""

    def pushes_for(self, house: ChatHouse, notice: NoticeType) -> int:
        """How many pushes an agent's notice causes."""
        begin(house)
        house.server.agent_notices(notice, "http://example.com/")
        house.advance(100)
        return len(house.devices.sent)

    def test_typing(self) -> None:
        """Typing is not, a pushed URL is."""
        self.assertEqual(self.pushes_for(ChatHouse(self), NoticeType.TYPING_STARTED), 0)
        self.assertEqual(self.pushes_for(ChatHouse(self), NoticeType.PUSH_URL), 1)

    def test_section_option(self) -> None:
        """``push/filtering_chat_events`` says what is not."""
        push = PushOptions(filtering_chat_events=("Notice.PushUrl",))
        self.assertEqual(self.pushes_for(ChatHouse(self, push=push), NoticeType.PUSH_URL), 0)
        house = ChatHouse(self, push=push)
        self.assertEqual(self.pushes_for(house, NoticeType.TYPING_STARTED), 1)

    def test_service_option(self) -> None:
        """``_filtering_chat_events`` of the service beats the section's, also when empty."""
        options = {"_filtering_chat_events": "Notice.PushUrl, Message.Text"}
        house = ChatHouse(self, options=options)
        self.assertEqual(self.pushes_for(house, NoticeType.PUSH_URL), 0)
        house = ChatHouse(self, options={"_filtering_chat_events": ""})
        self.assertEqual(self.pushes_for(house, NoticeType.TYPING_STARTED), 1)

    def test_what_customers_do_not_see(self) -> None:
        """What is for staff only causes no push."""
        house = ChatHouse(self)
        begin(house)
        house.server.agent_notices(NoticeType.PUSH_URL, "x", Visibility.INT)
        house.advance(100)
        self.assertEqual(house.devices.sent, [])

    def test_own_messages(self) -> None:
        """What the customer itself said causes no push."""
        house = ChatHouse(self)
        service_id = begin(house)
        house.events.arrive(USER)
        house.run(house.chats.call(service_id, Call.SEND, {"message": "me"}, None))
        house.events.leave(USER)
        house.advance(200)
        self.assertEqual(house.devices.sent, [])


class OptionTests(SynchronousTestCase):
    """Where time, text and device come from."""

    def test_time_and_text_of_the_section(self) -> None:
        """Section ``chat`` says when, and what."""
        chat = ChatOptions(
            client_timeout_notification_s=20.0, client_timeout_notification_message="Hallo?"
        )
        house = ChatHouse(self, chat=chat)
        begin(house)
        house.server.agent_says("x")
        house.advance(21)
        self.assertEqual([push.message for push in house.devices.sent], ["Hallo?"])

    def test_options_of_the_service(self) -> None:
        """The service's options beat the section's; they name provider and certificate."""
        options = {
            "_client_timeout_notification": "10",
            "_client_timeout_notification_message": "Psst",
            "_provider_name": "SalesApp",
            "_use_debug_push_certificate": "true",
        }
        house = ChatHouse(self, options=options)
        begin(house)
        house.server.agent_says("x")
        house.advance(11)
        (push,) = house.devices.sent
        self.assertEqual((push.message, push.provider, push.debug), ("Psst", "SalesApp", True))

    def test_without_a_device(self) -> None:
        """A service that was created without a device: nobody is called, nothing fails."""
        house = ChatHouse(self)
        begin(house, _device_notification_id="")
        house.server.agent_says("x")
        house.advance(300, step=1)
        self.assertEqual(house.devices.sent, [])
        house.events.arrive(USER)
        self.assertEqual(house.server.room.texts(), ["x"])
