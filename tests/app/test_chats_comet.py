"""Chats that are delivered on ``/_genesys``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import COMET_MESSAGE, Call
from gms_twisted.config.options import ChatOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.chat import EventKind, NoticeType, PartyType, Visibility
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound
from gms_twisted.domain.ids import ServiceId
from gms_twisted.store.interfaces import Committed, Kind, Unit
from tests.support.chat_house import ChatHouse

USER = "BuzzBrain"


def texts(messages: list[Any]) -> list[str]:
    """The texts of all rows."""
    return [row[2] for message in messages for row in message["transcriptToShow"]]


def begin(house: ChatHouse, **fields: str) -> ServiceId:
    """Start a comet chat of a client that is there."""
    house.events.arrive(USER)
    return house.chatting(USER, notify_by="comet", firstName="Buzz", lastName="Brain", **fields)


class AnswerTests(SynchronousTestCase):
    """What HTTP calls answer in comet mode."""

    def test_create_superset(self) -> None:
        """Create answers everything that any client looks for, without ``_verbose`` too."""
        house = ChatHouse(self)
        service_id = house.create(user=USER)
        answer = house.call(service_id, Call.START, USER, notify_by="comet")
        self.assertEqual(
            answer["message"], "Messages will sent over CometD service channel /_genesys"
        )
        self.assertEqual(answer["_id"], service_id)
        self.assertEqual(answer["comet_channel"], "/_genesys")
        self.assertEqual(answer["chatIxnState"], "CONNECTED")
        self.assertEqual(answer["transcriptPosition"], "1")
        urls = [name for name in answer if name.startswith("_chatIxnAPI_")]
        self.assertEqual(len(urls), 6)

    def test_other_calls_superset(self) -> None:
        """Other calls have an empty list, and long members with ``_verbose`` only."""
        house = ChatHouse(self)
        service_id = begin(house)
        for call in (Call.REFRESH, Call.SEND, Call.START_TYPING, Call.STOP_TYPING):
            answer = house.call(service_id, call, message="x")
            self.assertEqual(answer["message"], COMET_MESSAGE)
            self.assertEqual(answer["transcriptToShow"], [])
            self.assertNotIn("secureKey", answer)
            self.assertIn("secureKey", house.call(service_id, call, message="x", _verbose="1"))

    def test_shape_message(self) -> None:
        """With ``comet_response=message`` only disconnect answers a chat object."""
        house = ChatHouse(self, chat=ChatOptions(comet_response="message"))
        service_id = house.create(user=USER)
        answer = house.call(service_id, Call.START, USER, notify_by="comet")
        self.assertEqual(answer, {"message": COMET_MESSAGE})
        self.assertEqual(house.call(service_id, Call.REFRESH), {"message": COMET_MESSAGE})
        answer = house.call(service_id, Call.DISCONNECT)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertNotIn("message", answer)

    def test_shape_short(self) -> None:
        """With ``comet_response=short`` calls in between answer id and channel."""
        house = ChatHouse(self, chat=ChatOptions(comet_response="short"))
        service_id = house.create(user=USER)
        answer = house.call(service_id, Call.START, USER, notify_by="comet")
        self.assertEqual(
            list(answer),
            ["chatIxnState", "chatSessionId", "transcriptPosition", "chatServiceMessage"],
        )
        self.assertEqual(
            house.call(service_id, Call.SEND, message="x"),
            {"_id": service_id, "comet_channel": "/_genesys"},
        )

    def test_without_a_user(self) -> None:
        """Without ``gms_user`` a comet chat is refused, the header named."""
        house = ChatHouse(self)
        error = house.refused(house.create(), Call.START, InvalidRequest, notify_by="comet")
        assert isinstance(error, InvalidRequest)
        self.assertEqual(error.parameter, "gms_user")
        self.assertIn("gms_user", str(error))
        self.assertEqual(house.server.rooms, {})

    def test_user_of_the_service(self) -> None:
        """The header on the request that created the service is enough."""
        house = ChatHouse(self)
        house.events.arrive(USER)
        service_id = house.create(user=USER)
        house.call(service_id, Call.START, notify_by="comet")
        self.assertEqual(house.events.delivered[0][0], USER)


class DeliveryTests(SynchronousTestCase):
    """What comes on ``/_genesys``."""

    def setUp(self) -> None:
        """A comet chat, its first message taken."""
        self.house = ChatHouse(self)
        self.service_id = begin(self.house)
        self.first = self.house.events.delivered[0]
        self.house.events.take()

    def test_first_message(self) -> None:
        """The first message has an empty list, a numeric position and state TRANSCRIPT."""
        user, tag, message, event_id = self.first
        self.assertEqual(user, USER)
        self.assertEqual(tag, f"service.chat.refresh.{self.service_id}")
        self.assertRegex(event_id, "^[0-9a-f]{32}$")
        self.assertEqual(
            message,
            {
                "chatIxnState": "TRANSCRIPT",
                "chatSessionId": "000C2a7VVQRB0000",
                "transcriptPosition": 1,
                "chatServiceMessage": "Chat service is available",
                "transcriptToShow": [],
                "startedAt": "2012-06-09T22:26:17Z",
            },
        )

    def test_events_as_they_happen(self) -> None:
        """Each event comes at once, in order, with its position."""
        self.house.server.agent_joins()
        self.house.server.agent_notices(NoticeType.TYPING_STARTED)
        self.house.server.agent_says("hello")
        messages = self.house.events.take()
        self.assertEqual([message["transcriptPosition"] for message in messages], [2, 3, 4])
        self.assertEqual(texts(messages), ["has joined the session", "is typing", "hello"])

    def test_bayeux_28_echo(self) -> None:
        """The client's own message comes back as an event."""
        self.house.call(self.service_id, Call.SEND, message="hello agent")
        (message,) = self.house.events.take()
        self.assertEqual(
            message["transcriptToShow"],
            [["Message.Text", "BuzzB", "hello agent", "0", "CLIENT"]],
        )
        self.assertNotIn("secureKey", message)

    def test_verbose_echo(self) -> None:
        """A message sent with ``_verbose`` comes back with the long members, once."""
        self.house.call(self.service_id, Call.REFRESH, message="hello agent", _verbose="true")
        self.house.call(self.service_id, Call.REFRESH, message="again")
        first, second = self.house.events.take()
        self.assertIn("_chatIxnAPI_SEND_URL", first)
        self.assertNotIn("_chatIxnAPI_SEND_URL", second)

    def test_bayeux_22_ids(self) -> None:
        """Ids differ from event to event."""
        for number in range(5):
            self.house.server.agent_says(str(number))
        ids = {event_id for _, _, _, event_id in self.house.events.delivered}
        self.assertEqual(len(ids), 5)

    def test_one_held_refresh(self) -> None:
        """The chat server holds one request for each chat, 15 s, and is asked no more."""
        del self.house.server.refreshes[:]
        self.house.advance(60)
        self.assertEqual(self.house.server.refreshes, [(1, 15.0)] * 4)
        self.assertEqual(len(self.house.server.room.holding), 1)

    def test_hidden_events(self) -> None:
        """What is for staff only is not delivered and does not make the delivery spin."""
        self.house.server.agent_notices(NoticeType.CUSTOM, "x", Visibility.INT)
        self.assertEqual(self.house.events.take(), [])
        self.assertEqual(len(self.house.server.room.holding), 1)
        self.house.server.agent_says("y")
        self.assertEqual(texts(self.house.events.take()), ["y"])

    def test_end_by_the_agent(self) -> None:
        """The last rows come, then a message with state DISCONNECTED."""
        self.house.server.agent_closes()
        rows, end = self.house.events.take()
        self.assertEqual(rows["chatIxnState"], "TRANSCRIPT")
        self.assertEqual(texts([rows]), ["has left the session"])
        self.assertEqual(end["chatIxnState"], "DISCONNECTED")
        self.assertEqual(end["chatServiceMessage"], "Chat was finished")
        self.assertEqual(end["transcriptToShow"], [])
        answer = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")

    def test_end_by_the_client(self) -> None:
        """After disconnect the client hears of it, and the delivery ends in time."""
        answer = self.house.call(self.service_id, Call.DISCONNECT)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertEqual(self.house.events.take()[-1]["chatIxnState"], "DISCONNECTED")
        self.assertEqual(len(self.house.delivery), 0)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_end_by_the_client_is_told_once(self) -> None:
        """A client that comes back for its next chat hears no more of the one it ended."""
        self.house.call(self.service_id, Call.DISCONNECT)
        self.house.events.take()
        self.house.events.leave(USER)
        self.house.events.arrive(USER)
        self.house.advance(60)
        self.assertEqual(self.house.events.take(), [])

    def test_end_by_a_client_that_is_gone(self) -> None:
        """A client that left Bayeux and then the chat hears nothing of it on return."""
        self.house.events.leave(USER)
        self.house.call(self.service_id, Call.DISCONNECT)
        self.assertEqual(len(self.house.delivery), 0)
        self.house.events.arrive(USER)
        self.house.advance(60)
        self.assertEqual(self.house.events.take(), [])

    def test_read_after_the_end(self) -> None:
        """A refresh that names a position gets a chat that is over again, and its position."""
        self.house.server.agent_says("hello")
        self.house.call(self.service_id, Call.DISCONNECT)
        self.house.events.take()
        answer = self.house.call(self.service_id, Call.REFRESH, transcriptPosition="1")
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        messages = self.house.events.take()
        self.assertEqual(texts(messages)[-2:], ["hello", "has left the session"])
        self.assertEqual(messages[-1]["chatIxnState"], "DISCONNECTED")
        self.assertEqual(answer["transcriptPosition"], str(messages[-1]["transcriptPosition"]))
        self.assertEqual(len(self.house.delivery), 0)

    def test_deleted_service(self) -> None:
        """Nothing goes on for a service that was deleted."""
        self.house.run(self.house.services.delete(self.service_id, None))
        self.assertEqual(len(self.house.delivery), 0)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_live_for_days(self) -> None:
        """A chat whose client is there lives on without any call."""
        self.house.advance(2 * 86_400, step=15)
        self.house.server.agent_says("still there?")
        self.assertEqual(texts(self.house.events.take()), ["still there?"])
        self.house.call(self.service_id, Call.REFRESH)

    def test_large_catch_up(self) -> None:
        """A client that reads a long chat again gets each event by the id that it had."""
        for number in range(250):
            self.house.server.agent_says(str(number))
        before = [event_id for _, _, _, event_id in self.house.events.delivered]
        self.house.events.take()
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="1")
        after = [event_id for _, _, _, event_id in self.house.events.delivered]
        self.assertEqual(after, before)
        messages = self.house.events.take()
        self.assertEqual(texts(messages), [str(number) for number in range(250)])

    def test_long_transcripts_in_parts(self) -> None:
        """Parts come one after the other, and the end after the last."""
        self.house.events.leave(USER)
        for number in range(5):
            self.house.server.agent_says(str(number))
        self.house.server.agent_closes()
        self.house.advance(20)
        self.house.server.part = 2
        self.house.events.arrive(USER)
        messages = self.house.events.take()
        self.assertEqual(texts(messages), ["0", "1", "2", "3", "4", "has left the session"])
        states = [message["chatIxnState"] for message in messages]
        self.assertEqual(states, ["TRANSCRIPT"] * (len(states) - 1) + ["DISCONNECTED"])

    def test_position_in_answers(self) -> None:
        """Answers name the position up to which events were handed over."""
        self.house.server.agent_says("x")
        answer = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(answer["transcriptPosition"], "2")


class PollingServerTests(SynchronousTestCase):
    """A chat server that does not hold requests."""

    def test_polled_at_the_rate(self) -> None:
        """It is asked every ``chat_refresh_rate`` and events come within that time."""
        house = ChatHouse(self)
        house.server.holds = False
        begin(house)
        house.events.take()
        house.server.refreshes.clear()
        house.server.agent_says("x")
        house.advance(1.0)
        self.assertEqual(texts(house.events.take()), ["x"])
        house.advance(10.0)
        self.assertLessEqual(len(house.server.refreshes), 13)


class AbsenceTests(SynchronousTestCase):
    """The client goes away and comes back (C10)."""

    def setUp(self) -> None:
        """A comet chat with an agent in it."""
        self.house = ChatHouse(self)
        self.service_id = begin(self.house)
        self.house.server.agent_joins()
        self.house.events.take()
        self.house.advance(60)

    def test_missed_events_come_on_return(self) -> None:
        """Nothing is handed over while nobody is there, and nothing is lost."""
        self.house.events.leave(USER)
        self.house.server.agent_says("are you there?")
        self.assertEqual(self.house.events.take(), [])
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take()), ["are you there?"])

    def test_client_says_how_far_it_was(self) -> None:
        """After a disconnect with a position, delivery starts again after it."""
        self.house.server.agent_says("one")
        self.house.server.agent_says("two")
        self.house.events.take()
        self.house.events.leave(USER, position=3)
        self.house.server.agent_says("three")
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take()), ["two", "three"])

    def test_refresh_after_the_return(self) -> None:
        """The refresh that a client makes when it is back brings nothing twice."""
        self.house.server.agent_says("one")
        self.house.events.leave(USER, position=2)
        self.house.events.take()
        self.house.server.agent_says("two")
        self.house.events.arrive(USER)
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="2")
        self.assertEqual(texts(self.house.events.take()), ["one", "two"])
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="2")
        self.assertEqual(texts(self.house.events.take()), ["one", "two"])

    def test_refresh_before_the_return(self) -> None:
        """A position in a refresh that is made while away counts for the return."""
        self.house.server.agent_says("one")
        self.house.server.agent_says("two")
        self.house.events.leave(USER)
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="3")
        self.house.events.take()
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take()), ["two"])

    def test_refresh_from_further_back(self) -> None:
        """A client that is back and knows less than was thought gets the rest as well."""
        self.house.server.agent_says("one")
        self.house.events.leave(USER, position=3)
        self.house.events.arrive(USER)
        self.house.events.take()
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="2")
        self.assertEqual(texts(self.house.events.take()), ["one"])

    def test_return_while_news_are_stored(self) -> None:
        """A client that comes back in the middle of a commit loses nothing."""
        store = self.house.store
        waiting: list[Deferred[None]] = []
        commit = store.commit

        async def slow(unit: Unit) -> Committed:
            step: Deferred[None] = Deferred()
            waiting.append(step)
            await step
            return await commit(unit)

        self.house.server.agent_says("one")
        self.house.events.leave(USER, position=2)
        self.house.events.take()
        store.commit = slow  # type: ignore[method-assign]  # stands still
        self.house.server.agent_says("two")
        self.assertTrue(waiting)
        self.house.events.arrive(USER)
        store.commit = commit  # type: ignore[method-assign]  # goes on
        for step in waiting:
            step.callback(None)
        self.assertEqual(texts(self.house.events.take()), ["one", "two"])

    def test_position_said_late(self) -> None:
        """A position that comes for an unknown client id, after the expiry, counts too."""
        self.house.server.agent_says("one")
        self.house.events.leave(USER)
        self.house.events.leave(USER, position=3)
        self.house.events.take()
        self.house.server.agent_says("two")
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take()), ["two"])

    def test_position_ahead(self) -> None:
        """A position ahead of the chat is the chat's own."""
        self.house.events.leave(USER, position=99)
        self.house.server.agent_says("x")
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take()), ["x"])

    def test_possibly_unreceived_events_come_again(self) -> None:
        """What was handed over shortly before the session expired comes again, same id."""
        self.house.server.agent_says("lost?")
        (_, _, _, before) = self.house.events.delivered[-1]
        self.house.advance(31)
        self.house.events.take()
        self.house.events.leave(USER)
        self.house.events.arrive(USER)
        (_, _, message, after) = self.house.events.delivered[-1]
        self.assertEqual(texts([message]), ["lost?"])
        self.assertEqual(before, after)

    def test_another_session(self) -> None:
        """A session beside one that may be lost gets what may be lost with it, by the same ids."""
        self.house.server.agent_says("long ago")
        self.house.advance(60)
        self.house.events.take()
        self.house.server.agent_says("lost?")
        before = self.house.events.delivered[-1]
        self.house.advance(31)
        self.house.events.take()
        self.house.events.arrive(USER)
        self.assertEqual(self.house.events.delivered, [before])
        self.house.server.agent_says("next")
        self.assertEqual(texts(self.house.events.take()), ["lost?", "next"])

    def test_another_session_after_the_end(self) -> None:
        """It is told that the chat is over, as long as that may be lost."""
        self.house.server.agent_closes()
        self.house.events.take()
        self.house.events.arrive(USER)
        self.assertEqual(self.house.events.take()[-1]["chatIxnState"], "DISCONNECTED")
        self.house.advance(60)
        self.house.events.arrive(USER)
        self.assertEqual(self.house.events.take(), [])

    def test_C10_agent_is_told(self) -> None:
        """After a minute the agent gets a custom notice, once; the customer never sees it."""
        self.house.events.leave(USER)
        self.house.advance(59)
        self.assertEqual(self.house.server.room.notices(), [])
        self.house.advance(300)
        self.assertEqual(self.house.server.room.notices(), [NoticeType.CUSTOM])
        self.house.server.agent_says("x")
        self.house.events.arrive(USER)
        self.assertEqual(
            self.house.server.room.notices(), [NoticeType.CUSTOM, NoticeType.TYPING_STOPPED]
        )
        self.assertEqual(texts(self.house.events.take()), ["x", "stopped typing"])

    def test_C10_text_of_the_notice(self) -> None:
        """The service's option says what the agent is told."""
        house = ChatHouse(self, options={"_agent_timeout_notification_message": "Weg."})
        begin(house)
        house.events.leave(USER)
        house.advance(61)
        self.assertEqual(house.server.room.events[-1].text, "Weg.")

    def test_C10_customer_leaves_for_good(self) -> None:
        """After ``client_timeout`` the customer is taken out; on return it hears of the end."""
        self.house.events.leave(USER)
        self.house.advance(899, step=1)
        self.assertFalse(self.house.server.room.left)
        self.house.advance(2)
        self.assertTrue(self.house.server.room.left)
        self.house.events.arrive(USER)
        self.assertEqual(self.house.events.take()[-1]["chatIxnState"], "DISCONNECTED")

    def test_service_option_client_timeout(self) -> None:
        """``_client_timeout`` of the service beats the section's."""
        house = ChatHouse(self, options={"_client_timeout": "20"})
        begin(house)
        house.events.leave(USER)
        house.advance(21)
        self.assertTrue(house.server.room.left)

    def test_calls_are_a_sign_of_life(self) -> None:
        """A client that only makes HTTP calls is not given up."""
        self.house.events.leave(USER)
        for _ in range(10):
            self.house.advance(50, step=1)
            self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(self.house.server.room.notices(), [])

    def test_kept_in_the_chat(self) -> None:
        """The chat server hears of a customer that is gone every 15 s at least."""
        self.house.events.leave(USER)
        for _ in range(20):
            del self.house.server.refreshes[:]
            self.house.advance(16)
            self.assertTrue(self.house.server.refreshes)

    def test_never_there(self) -> None:
        """A chat made before the client subscribes begins with the first message then."""
        house = ChatHouse(self)
        house.chatting(USER, notify_by="comet")
        house.server.agent_joins()
        self.assertEqual(house.events.take(), [])
        house.events.arrive(USER)
        first, second = house.events.take()
        self.assertEqual(first["transcriptToShow"], [])
        self.assertEqual(texts([second]), ["has joined the session"])

    def test_end_while_gone(self) -> None:
        """A chat that ended meanwhile: the missed rows and the end come on return."""
        self.house.events.leave(USER)
        self.house.server.agent_says("bye")
        self.house.server.agent_closes()
        self.house.advance(100)
        self.house.events.arrive(USER)
        messages = self.house.events.take()
        self.assertEqual(texts(messages), ["bye", "has left the session"])
        self.assertEqual(messages[-1]["chatIxnState"], "DISCONNECTED")

    def test_goodbye_after_the_end(self) -> None:
        """A client that heard of the end and took leave does not hear of it again."""
        self.house.server.agent_closes()
        self.assertEqual(self.house.events.take()[-1]["chatIxnState"], "DISCONNECTED")
        self.house.events.leave(USER, goodbye=True)
        self.assertEqual(len(self.house.delivery), 0)
        self.house.events.arrive(USER)
        self.assertEqual(self.house.events.take(), [])

    def test_lost_after_the_end(self) -> None:
        """A client that was lost when it was told the end, or is not that far, is told again."""
        for position, goodbye in ((None, False), (2, True)):
            self.setUp()
            self.house.server.agent_closes()
            self.house.events.take()
            self.house.events.leave(USER, position, goodbye=goodbye)
            self.house.events.arrive(USER)
            self.assertEqual(self.house.events.take()[-1]["chatIxnState"], "DISCONNECTED")

    def test_goodbye_in_a_chat(self) -> None:
        """Taking leave while the chat goes on ends nothing."""
        self.house.events.leave(USER, goodbye=True)
        self.house.server.agent_says("x")
        self.house.events.arrive(USER)
        self.assertEqual(texts(self.house.events.take())[-1], "x")

    def test_end_while_gone_for_ever(self) -> None:
        """Nothing is left of a chat that nobody comes back to."""
        self.house.events.leave(USER)
        self.house.server.agent_closes()
        self.house.advance(700, step=1)
        self.assertEqual(len(self.house.delivery), 0)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_read_again(self) -> None:
        """A refresh that names an earlier position gets everything after it again."""
        self.house.server.agent_says("x")
        self.house.events.take()
        self.house.call(self.service_id, Call.REFRESH, transcriptPosition="1")
        self.assertEqual(texts(self.house.events.take()), ["has joined the session", "x"])


class RestartTests(SynchronousTestCase):
    """The process dies and starts again."""

    def test_all_chats_go_on(self) -> None:
        """After a restart every live comet chat is delivered, nothing lost."""
        house = ChatHouse(self)
        house.events.arrive(USER)
        services = [house.chatting(USER, notify_by="comet") for _ in range(3)]
        rooms = list(house.server.rooms.values())
        house.advance(60)
        house.kill()
        for number, room in enumerate(rooms):
            house.server.append(room, EventKind.JOINED, "2", f"agent{number}", PartyType.AGENT)
        again = ChatHouse(self, house=house)
        self.assertEqual(len(again.delivery), 3)
        again.events.arrive(USER)
        delivered = {
            (tag, message["transcriptToShow"][0][1])
            for _, tag, message, _ in again.events.delivered
        }
        self.assertEqual(
            delivered,
            {
                (f"service.chat.refresh.{service_id}", f"agent{number}")
                for number, service_id in enumerate(services)
            },
        )

    def test_repetition_has_the_same_id(self) -> None:
        """What was handed over just before the crash comes again with the id it had."""
        house = ChatHouse(self)
        begin(house)
        house.server.agent_says("x")
        before = [event_id for _, _, _, event_id in house.events.delivered]
        house.kill()
        again = ChatHouse(self, house=house)
        again.events.arrive(USER)
        self.assertEqual([event_id for _, _, _, event_id in again.events.delivered], before)

    def test_received_events_do_not_come_again(self) -> None:
        """What was handed over long before the crash does not come again."""
        house = ChatHouse(self)
        begin(house)
        house.server.agent_says("x")
        house.advance(90)
        house.kill()
        again = ChatHouse(self, house=house)
        again.events.arrive(USER)
        again.server.agent_says("y")
        self.assertEqual(texts(again.events.take()), ["y"])

    def test_position_survives(self) -> None:
        """What the client said when it went away is remembered across a restart."""
        house = ChatHouse(self)
        begin(house)
        house.server.agent_says("x")
        house.server.agent_says("y")
        house.events.leave(USER, position=2)
        house.kill()
        again = ChatHouse(self, house=house)
        again.events.arrive(USER)
        self.assertEqual(texts(again.events.take()), ["y"])

    def test_finished_chats_rest(self) -> None:
        """A chat whose client knows the end is not taken up again."""
        house = ChatHouse(self)
        service_id = begin(house)
        house.call(service_id, Call.DISCONNECT)
        house.advance(120, step=1)
        house.kill()
        self.assertEqual(len(ChatHouse(self, house=house).delivery), 0)

    def test_without_any_chat(self) -> None:
        """The store has nothing of kind chat before the first."""
        house = ChatHouse(self)
        self.assertEqual(house.run(house.store.scan(Kind("chat"))), [])


class FaultTests(SynchronousTestCase):
    """The chat server goes away under a comet chat."""

    def test_outage(self) -> None:
        """Delivery waits, asks again ever more slowly, and goes on without a gap."""
        house = ChatHouse(self)
        begin(house)
        house.events.take()
        house.server.down = True
        house.server.wake(house.server.room)
        house.advance(120)
        house.server.down = False
        house.server.agent_says("x")
        house.advance(16)
        self.assertEqual(texts(house.events.take()), ["x"])

    def test_end_during_an_outage(self) -> None:
        """The last rows of a chat that ended are asked for again before they are given up."""
        house = ChatHouse(self)
        service_id = begin(house)
        house.events.take()
        house.events.leave(USER)
        house.server.agent_says("bye")
        house.server.agent_closes()
        house.call(service_id, Call.REFRESH)
        house.server.down = True
        house.events.arrive(USER)
        house.advance(3)
        house.server.down = False
        house.advance(5)
        messages = house.events.take()
        self.assertEqual(texts(messages), ["bye", "has left the session"])
        self.assertEqual(messages[-1]["chatIxnState"], "DISCONNECTED")

    def test_end_with_the_chat_server_gone(self) -> None:
        """That a chat is over reaches its client in the end, also without its last rows."""
        house = ChatHouse(self)
        service_id = begin(house)
        house.events.leave(USER)
        house.server.agent_closes()
        house.call(service_id, Call.REFRESH)
        house.events.take()
        house.server.down = True
        house.events.arrive(USER)
        house.advance(30)
        self.assertEqual(house.events.take()[-1]["chatIxnState"], "DISCONNECTED")

    def test_chat_forgotten(self) -> None:
        """A chat that its server does not know any more is over for the client."""
        house = ChatHouse(self)
        begin(house)
        house.events.take()
        house.server.rooms.clear()
        house.advance(16)
        self.assertEqual(house.events.take()[-1]["chatIxnState"], "DISCONNECTED")

    def test_store_fails_for_a_while(self) -> None:
        """Delivery survives a store that refuses to write."""
        house = ChatHouse(self)
        begin(house)
        house.events.take()
        house.store.refuse = ServiceNotFound("broken")
        house.server.agent_says("x")
        house.advance(20)
        house.store.refuse = None
        house.advance(20)
        self.assertIn("x", texts(house.events.take()))

    def test_shutdown(self) -> None:
        """Nothing is left on the clock when the tasks are stopped."""
        house = ChatHouse(self)
        begin(house)
        house.stop()
        self.assertEqual(house.clock.getDelayedCalls(), [])


class ReloadTests(SynchronousTestCase):
    """New options while a chat is delivered."""

    def test_client_timeout(self) -> None:
        """They count for chats that are going on."""
        house = ChatHouse(self)
        begin(house)
        house.events.leave(USER)
        house.delivery.reconfigure(ChatOptions(client_timeout_s=20), PushOptions())
        house.advance(31)
        self.assertTrue(house.server.room.left)
