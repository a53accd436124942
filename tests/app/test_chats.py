"""The Chat API for polling clients: calls, positions, states."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Answer, Call
from gms_twisted.app.chat_records import ChatNotStarted
from gms_twisted.app.chats import ChatOver
from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.config.options import ChatOptions, LimitOptions
from gms_twisted.domain.chat import ChatServerAddress, NoticeType, Visibility
from gms_twisted.domain.errors import (
    InvalidRequest,
    NotFound,
    ServiceNotFound,
    TooLarge,
    TooManyRequests,
)
from gms_twisted.store.interfaces import Kind
from tests.support.chat_house import ChatHouse


def texts(answer: Answer) -> list[str]:
    """The texts of an answer's rows."""
    rows = answer["transcriptToShow"]
    assert isinstance(rows, list)
    return [row[2] for row in rows]


class StartTests(SynchronousTestCase):
    """``ixn/chat`` begins a chat at the chat server."""

    def test_answer(self) -> None:
        """The short answer has four members, the position is 1 and a string."""
        house = ChatHouse(self)
        answer = house.call(house.create(), Call.START)
        self.assertEqual(
            answer,
            {
                "chatIxnState": "CONNECTED",
                "chatSessionId": "000C2a7VVQRB0000",
                "transcriptPosition": "1",
                "chatServiceMessage": "Chat service is available",
            },
        )

    def test_position_as_number(self) -> None:
        """With ``position_type=number`` the position is a number."""
        house = ChatHouse(self, chat=ChatOptions(position_type="number"))
        answer = house.call(house.create(), Call.START)
        self.assertEqual(answer["transcriptPosition"], 1)

    def test_what_the_agent_gets(self) -> None:
        """Names, e-mail, subject, stored data and the service's id are attached."""
        house = ChatHouse(self)
        service_id = house.create({"product": "phone", "_ttl": "60"}, user="BuzzBrain")
        house.call(
            service_id,
            Call.START,
            "BuzzBrain",
            firstName="Vasya",
            lastName="Pupkin",
            email="Vasya.Pupkin@genesyslab.com",
            subject="test",
            color="red",
        )
        self.assertEqual(
            house.server.room.data,
            {
                "product": "phone",
                "color": "red",
                "fldnFirstName": "Vasya",
                "fldnLastName": "Pupkin",
                "fldnEmailAddress": "Vasya.Pupkin@genesyslab.com",
                "subject": "test",
                "GMS_ServiceId": service_id,
                "GMS_ServiceName": "request-chat",
                "gms_user": "BuzzBrain",
            },
        )
        self.assertEqual(house.server.room.subject, "test")
        self.assertEqual(house.server.room.nickname, "VasyaP")

    def test_C06_data_cannot_pretend(self) -> None:
        """Data named like what we attach does not take its place, nor makes an agent."""
        house = ChatHouse(self)
        service_id = house.create({"GMS_ServiceId": "other", "party_type": "AGENT"})
        house.call(service_id, Call.START, gms_user="boss", userType="AGENT")
        self.assertEqual(house.server.room.data["GMS_ServiceId"], service_id)
        self.assertEqual(house.server.room.events[0].party_type.value, "CLIENT")

    def test_nicknames(self) -> None:
        """Display name, else first name with an initial, else the user, else Customer."""
        cases: list[tuple[dict[str, str], str | None, str]] = [
            ({"userDisplayName": "Vas", "firstName": "Vasya"}, "u", "Vas"),
            ({"firstName": "Vasya", "lastName": "Pupkin"}, "u", "VasyaP"),
            ({"firstName": "Vasya"}, "u", "Vasya"),
            ({"lastName": "Pupkin"}, "u", "u"),
            ({}, None, "Customer"),
        ]
        for fields, user, nickname in cases:
            house = ChatHouse(self)
            house.chatting(user, **fields)
            self.assertEqual(house.server.room.nickname, nickname)

    def test_queue(self) -> None:
        """The service's option beats the request's parameter, which beats the default."""
        for options, parameters, queue in [
            ({}, {}, "Environment:default"),
            ({}, {"_chat_endpoint": "Environment:vip"}, "Environment:vip"),
            ({"_chat_endpoint": "T:q"}, {"_chat_endpoint": "Environment:vip"}, "T:q"),
            ({"chat_endpoint": "T:q"}, {}, "T:q"),
        ]:
            house = ChatHouse(self, options=options)
            house.chatting(None, parameters)
            self.assertEqual(house.server.room.queue, queue)

    def test_C05_start_twice(self) -> None:
        """Starting again gives the same chat and makes no second one."""
        house = ChatHouse(self)
        service_id = house.create()
        first = house.call(service_id, Call.START, firstName="A")
        again = house.call(service_id, Call.START, firstName="B")
        self.assertEqual(first, again)
        self.assertEqual(len(house.server.rooms), 1)

    def test_C05_start_after_the_end(self) -> None:
        """A service has one chat: after its end, starting says that it is over."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.call(service_id, Call.DISCONNECT)
        self.assertEqual(house.call(service_id, Call.START)["chatIxnState"], "DISCONNECTED")

    def test_C05_operations_without_a_chat(self) -> None:
        """Before ``ixn/chat`` every operation is 404."""
        house = ChatHouse(self)
        service_id = house.create()
        for call in set(Call) - {Call.START}:
            house.refused(service_id, call, ChatNotStarted, message="x")

    def test_unknown_service(self) -> None:
        """A chat needs a service."""
        house = ChatHouse(self)
        house.refused("nonsense", Call.START, ServiceNotFound)

    def test_no_chat_server(self) -> None:
        """Without a chat server nothing is begun; later it works."""
        house = ChatHouse(self)
        service_id = house.create()
        house.server.down = True
        house.refused(service_id, Call.START, ChatServerUnavailable)
        house.server.down = False
        self.assertEqual(house.call(service_id, Call.START)["transcriptPosition"], "1")

    def test_malformed(self) -> None:
        """Bad parameters are refused by name, and no chat is begun."""
        house = ChatHouse(self)
        service_id = house.create()
        for name, value in [
            ("notify_by", "pigeon"),
            ("clientTimeZoneOffset", "PDT"),
            ("clientTimeZoneOffset", "1441"),
            ("firstName", "x" * 257),
            ("subject", "\ud800"),
        ]:
            error = house.refused(service_id, Call.START, InvalidRequest, **{name: value})
            assert isinstance(error, InvalidRequest)
            self.assertEqual(error.parameter, name)
        self.assertEqual(house.server.rooms, {})

    def test_names_are_one_line(self) -> None:
        """Control characters do not get into nickname and subject."""
        house = ChatHouse(self)
        house.chatting(userDisplayName=" Va\x00s\r\nya\x1b ", subject="a\tb\nc\x85")
        self.assertEqual(house.server.room.nickname, "Vas ya")
        self.assertEqual(house.server.room.subject, "a b c")

    def test_verbose(self) -> None:
        """With ``_verbose`` in any spelling all members are there, in the printed order."""
        for word in ("true", "True", "1"):
            house = ChatHouse(self)
            answer = house.call(
                house.create(), Call.START, _verbose=word, clientTimeZoneOffset="-420"
            )
            self.assertEqual(len(answer), 18)
            self.assertEqual(answer["clientTimeZoneOffset"], "-420")


class RefreshTests(SynchronousTestCase):
    """Positions and rows."""

    def setUp(self) -> None:
        """A chat of VasyaP."""
        self.house = ChatHouse(self)
        self.service_id = self.house.chatting(firstName="Vasya", lastName="Pupkin")

    def test_only_what_is_new(self) -> None:
        """Without a position a refresh brings what this service has not seen."""
        self.house.server.agent_joins()
        self.house.advance(28)
        self.house.server.agent_says("hello customer")
        answer = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "TRANSCRIPT")
        self.assertEqual(answer["transcriptPosition"], "3")
        self.assertEqual(
            answer["transcriptToShow"],
            [
                ["Notice.Joined", "ksippo", "has joined the session", "0", "AGENT"],
                ["Message.Text", "ksippo", "hello customer", "28", "AGENT"],
            ],
        )
        self.assertEqual(answer["startedAt"], "2012-06-09T22:26:17Z")
        again = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(again["transcriptToShow"], [])
        self.assertEqual(again["transcriptPosition"], "3")

    def test_own_message_in_the_same_answer(self) -> None:
        """A refresh with a message shows that message."""
        for call in (Call.REFRESH, Call.SEND):
            answer = self.house.call(self.service_id, call, message="aaa")
            self.assertEqual(
                answer["transcriptToShow"], [["Message.Text", "VasyaP", "aaa", "0", "CLIENT"]]
            )

    def test_two_pollers_share(self) -> None:
        """What one poller of a service has got the other does not get again."""
        self.house.server.agent_says("x")
        self.assertTrue(self.house.call(self.service_id, Call.REFRESH)["transcriptToShow"])
        self.assertFalse(self.house.call(self.service_id, Call.REFRESH)["transcriptToShow"])

    def test_C04_from_a_position(self) -> None:
        """0 is from the very start, 1 is after one's own joining."""
        self.house.server.agent_says("x")
        self.house.call(self.service_id, Call.REFRESH)
        for position, count in (("0", 2), ("1", 1), ("2", 0)):
            answer = self.house.call(self.service_id, Call.REFRESH, transcriptPosition=position)
            self.assertEqual(len(texts(answer)), count)
            self.assertEqual(answer["transcriptPosition"], "2")

    def test_C04_ahead_of_the_server(self) -> None:
        """A position ahead is the server's own: nothing new, then everything new."""
        self.house.server.agent_says("x")
        answer = self.house.call(self.service_id, Call.REFRESH, transcriptPosition="2147483648")
        self.assertEqual(answer["transcriptToShow"], [])
        self.assertEqual(answer["transcriptPosition"], "2")
        answer = self.house.call(
            self.service_id, Call.SEND, transcriptPosition="99", message="mine"
        )
        self.assertEqual(
            answer["transcriptToShow"], [["Message.Text", "VasyaP", "mine", "0", "CLIENT"]]
        )

    def test_C04_malformed(self) -> None:
        """Not a number, negative or too large is refused by name."""
        for text in ("-1", "x", "1.0", "2147483649", str(2**63), "+1", "٣", "0x1"):
            error = self.house.refused(
                self.service_id, Call.REFRESH, InvalidRequest, transcriptPosition=text
            )
            assert isinstance(error, InvalidRequest)
            self.assertEqual(error.parameter, "transcriptPosition")

    def test_C04_across_a_restart(self) -> None:
        """After a restart a refresh goes on where the service was."""
        self.house.server.agent_says("x")
        self.house.call(self.service_id, Call.REFRESH)
        self.house.kill()
        house = ChatHouse(self, house=self.house)
        house.server.agent_says("y")
        answer = house.call(self.service_id, Call.REFRESH)
        self.assertEqual(answer["transcriptPosition"], "3")
        self.assertEqual(
            answer["transcriptToShow"], [["Message.Text", "ksippo", "y", "0", "AGENT"]]
        )

    def test_hidden_events_count(self) -> None:
        """What is for staff only is not shown, but has a position."""
        self.house.server.agent_notices(NoticeType.CUSTOM, "secret", Visibility.INT)
        answer = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(answer["transcriptToShow"], [])
        self.assertEqual(answer["transcriptPosition"], "2")

    def test_long_transcripts_in_parts(self) -> None:
        """What does not fit into one answer of the chat server comes with the next."""
        for number in range(5):
            self.house.server.agent_says(str(number))
        self.house.call(self.service_id, Call.REFRESH)
        self.house.server.part = 2
        answer = self.house.call(self.service_id, Call.REFRESH, transcriptPosition="1")
        read = texts(answer)
        self.assertEqual(answer["transcriptPosition"], "3")
        for _ in range(2):
            answer = self.house.call(self.service_id, Call.REFRESH)
            read += texts(answer)
        self.assertEqual(read, ["0", "1", "2", "3", "4"])
        self.assertEqual(answer["transcriptPosition"], "6")

    def test_typing(self) -> None:
        """Typing notices move the position by one and are shown in their long forms."""
        answer = self.house.call(self.service_id, Call.START_TYPING)
        self.assertEqual(
            answer["transcriptToShow"],
            [["Notice.TypingStarted", "VasyaP", "is typing", "0", "CLIENT"]],
        )
        self.assertEqual(answer["transcriptPosition"], "2")
        answer = self.house.call(self.service_id, Call.STOP_TYPING)
        self.assertEqual(
            answer["transcriptToShow"],
            [["Notice.TypingStopped", "VasyaP", "stopped typing", "0", "CLIENT"]],
        )
        self.assertEqual(answer["transcriptPosition"], "3")

    def test_pushed_url_and_custom(self) -> None:
        """An agent's URL and custom notice are shown with their text."""
        self.house.server.agent_notices(NoticeType.PUSH_URL, "https://example.com/")
        self.house.server.agent_notices(NoticeType.CUSTOM, "hm")
        self.house.server.agent_notices(NoticeType.USER_UPDATE_NICK, "boss")
        answer = self.house.call(self.service_id, Call.REFRESH)
        self.assertEqual(
            answer["transcriptToShow"],
            [
                ["Notice.PushUrl", "ksippo", "https://example.com/", "0", "AGENT"],
                ["Notice.Custom", "ksippo", "hm", "0", "AGENT"],
            ],
        )
        self.assertEqual(answer["transcriptPosition"], "4")

    def test_empty_message(self) -> None:
        """An empty message makes a refresh a plain one; ``send`` refuses it by name."""
        answer = self.house.call(self.service_id, Call.REFRESH, message="\x00")
        self.assertEqual(answer["transcriptToShow"], [])
        for fields in ({}, {"message": ""}, {"message": "\x07"}):
            error = self.house.refused(self.service_id, Call.SEND, InvalidRequest, **fields)
            assert isinstance(error, InvalidRequest)
            self.assertEqual(error.parameter, "message")

    def test_C01_text_is_stored_as_sent(self) -> None:
        """Markup stays; control characters but tab and newline go; surrogates are refused."""
        text = "<script>alert(1)</script>\t{{x}}\n\u202e"
        self.house.call(self.service_id, Call.SEND, message=text + "\x00\x1b\x9b\r")
        self.assertEqual(self.house.server.room.texts(), [text])
        self.house.refused(self.service_id, Call.SEND, InvalidRequest, message="\ud800")

    def test_C02_message_too_long(self) -> None:
        """4,000 characters go, one more is refused as too large."""
        self.house.call(self.service_id, Call.SEND, message="ä" * 4000)
        self.house.refused(self.service_id, Call.SEND, TooLarge, message="ä" * 4001)
        self.assertEqual(len(self.house.server.room.texts()), 1)


class EndTests(SynchronousTestCase):
    """What is answered once a chat is over."""

    def test_disconnect(self) -> None:
        """The position is repeated, the state is DISCONNECTED."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.agent_says("x")
        house.call(service_id, Call.REFRESH)
        self.assertEqual(
            house.call(service_id, Call.DISCONNECT),
            {
                "chatIxnState": "DISCONNECTED",
                "chatSessionId": "000C2a7VVQRB0000",
                "transcriptPosition": "2",
                "chatServiceMessage": "Chat was finished",
            },
        )
        self.assertTrue(house.server.room.left)

    def test_C05_double_disconnect(self) -> None:
        """Leaving again is answered the same and does nothing."""
        house = ChatHouse(self)
        service_id = house.chatting()
        first = house.call(service_id, Call.DISCONNECT)
        self.assertEqual(house.call(service_id, Call.DISCONNECT), first)
        self.assertEqual(house.server.logouts, 1)

    def test_C05_calls_after_disconnect(self) -> None:
        """Later calls say that it is over; what was said can be read from the start."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.agent_says("x")
        house.call(service_id, Call.DISCONNECT)
        for call in (Call.SEND, Call.REFRESH, Call.START_TYPING, Call.STOP_TYPING):
            answer = house.call(service_id, call, message="late", transcriptPosition="1")
            self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
            self.assertEqual(answer["chatServiceMessage"], "Chat was finished")
            rows = answer["transcriptToShow"]
            assert isinstance(rows, list)
            self.assertEqual(rows[0][2], "x")
        self.assertNotIn("late", house.server.room.texts())

    def test_agent_ends(self) -> None:
        """The refresh that finds the chat over still shows the last rows."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.agent_says("bye")
        house.server.agent_closes()
        answer = house.call(service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertEqual(
            answer["transcriptToShow"],
            [
                ["Message.Text", "ksippo", "bye", "0", "AGENT"],
                ["Notice.Left", "ksippo", "has left the session", "0", "AGENT"],
            ],
        )
        again = house.call(service_id, Call.REFRESH)
        self.assertEqual(again["transcriptToShow"], [])

    def test_forgotten_by_the_chat_server(self) -> None:
        """A chat that its server does not know any more is over."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.rooms.clear()
        answer = house.call(service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")
        self.assertEqual(answer["transcriptToShow"], [])

    def test_400_after_the_end(self) -> None:
        """With the option, calls to a chat that is over are 400; disconnect is not."""
        for chat, options in [
            (ChatOptions(chat_400_response_on_disconnected=True), {}),
            (ChatOptions(), {"_chat_400_response_on_disconnected": "true"}),
        ]:
            house = ChatHouse(self, chat=chat, options=options)
            service_id = house.chatting()
            house.call(service_id, Call.DISCONNECT)
            house.refused(service_id, Call.REFRESH, ChatOver)
            house.call(service_id, Call.DISCONNECT)

    def test_chat_server_down_afterwards(self) -> None:
        """That a chat is over is known without its server."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.call(service_id, Call.DISCONNECT)
        house.server.down = True
        answer = house.call(service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")


class FaultTests(SynchronousTestCase):
    """The chat server goes away."""

    def test_unavailable_and_back(self) -> None:
        """A call fails while no server answers; afterwards nothing is lost or said twice."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.agent_says("x")
        house.server.down = True
        house.refused(service_id, Call.REFRESH, ChatServerUnavailable)
        house.refused(service_id, Call.DISCONNECT, ChatServerUnavailable)
        house.server.down = False
        answer = house.call(service_id, Call.REFRESH)
        self.assertEqual(
            answer["transcriptToShow"], [["Message.Text", "ksippo", "x", "0", "AGENT"]]
        )

    def test_take_over(self) -> None:
        """When the balancer names another server the chat goes on there, for good."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.server.dead.add(house.server.address)
        house.server.address = ChatServerAddress("351", "127.0.0.2", 4857, tls=True)
        answer = house.call(service_id, Call.SEND, message="still here", _verbose="1")
        self.assertEqual(answer["chatServerHost"], "127.0.0.2")
        self.assertEqual(answer["chatWebApiPort"], "4857")
        self.assertEqual(answer["isTLSrequired"], "true")
        self.assertEqual(answer["chatServerLoadBalancerAlias"], "351")
        self.assertEqual(house.server.room.texts(), ["still here"])
        house.kill()
        again = ChatHouse(self, house=house)
        again.server.address = ChatServerAddress("9", "never.asked", 1)
        again.call(service_id, Call.REFRESH)

    def test_moved_while_we_were_away(self) -> None:
        """After our restart a server's new port is found without trying the old one."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.kill()
        again = ChatHouse(self, house=house)
        again.server.address = ChatServerAddress("350", "135.225.51.225", 5000)
        answer = again.call(service_id, Call.REFRESH, _verbose="1")
        self.assertEqual(answer["chatWebApiPort"], "5000")

    def test_balancer_that_knows_no_aliases(self) -> None:
        """A balancer that names another server does not move a chat whose server answers."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.kill()
        again = ChatHouse(self, house=house)
        again.server.address = ChatServerAddress("9", "elsewhere", 1)
        answer = again.call(service_id, Call.REFRESH, _verbose="1")
        self.assertEqual(answer["chatServerHost"], "135.225.51.225")


class LimitTests(SynchronousTestCase):
    """Hardening C02, C03: how fast one chat may be used."""

    def test_C02_message_flood(self) -> None:
        """Twenty at once, then five a second, else 429 with when to come back."""
        house = ChatHouse(self)
        service_id = house.chatting()
        for _ in range(20):
            house.call(service_id, Call.SEND, message="x")
        error = house.refused(service_id, Call.SEND, TooManyRequests, message="x")
        assert isinstance(error, TooManyRequests)
        self.assertAlmostEqual(error.retry_after_s, 0.2)
        house.advance(1.0)
        for _ in range(5):
            house.call(service_id, Call.SEND, message="x")
        house.refused(service_id, Call.SEND, TooManyRequests, message="x")

    def test_C02_endless_flood(self) -> None:
        """Who never stops is told why and put out."""
        house = ChatHouse(self)
        service_id = house.chatting()
        for _ in range(20):
            house.call(service_id, Call.SEND, message="x")
        for _ in range(201):
            house.refused(service_id, Call.SEND, TooManyRequests, message="x")
        self.assertTrue(house.server.room.left)
        self.assertEqual(house.server.room.notices(), [NoticeType.CUSTOM])
        answer = house.call(service_id, Call.REFRESH)
        self.assertEqual(answer["chatIxnState"], "DISCONNECTED")

    def test_C02_typing_is_merged(self) -> None:
        """A burst of typing notices is never refused, and the server gets few of them."""
        house = ChatHouse(self)
        service_id = house.chatting()
        for _ in range(5):
            house.call(service_id, Call.START_TYPING)
        self.assertEqual(house.server.room.notices(), [NoticeType.TYPING_STARTED])

    def test_C02_last_typing_notice_arrives(self) -> None:
        """After a burst of changes the last one is what the agent sees in the end."""
        house = ChatHouse(self)
        service_id = house.chatting()
        for _ in range(3):
            house.call(service_id, Call.START_TYPING)
            house.call(service_id, Call.STOP_TYPING)
        house.call(service_id, Call.START_TYPING)
        self.assertEqual(
            house.server.room.notices(), [NoticeType.TYPING_STARTED, NoticeType.TYPING_STOPPED]
        )
        house.advance(1.5)
        self.assertEqual(house.server.room.notices()[-1], NoticeType.TYPING_STARTED)
        self.assertEqual(len(house.server.room.notices()), 3)

    def test_C03_refresh_flood(self) -> None:
        """Twenty at once, then two a second; the chat survives."""
        house = ChatHouse(self)
        service_id = house.chatting()
        for _ in range(20):
            house.call(service_id, Call.REFRESH)
        house.refused(service_id, Call.REFRESH, TooManyRequests)
        house.advance(0.5)
        house.call(service_id, Call.REFRESH)
        house.refused(service_id, Call.REFRESH, TooManyRequests)

    def test_C03_start_flood(self) -> None:
        """Starting again and again is refused too, with the chat left alone."""
        house = ChatHouse(self)
        service_id = house.create()
        for _ in range(20):
            house.call(service_id, Call.START)
        house.refused(service_id, Call.START, TooManyRequests)
        house.call(service_id, Call.REFRESH)

    def test_C03_one_chat_only(self) -> None:
        """A flood in one chat does not touch another."""
        house = ChatHouse(self, limits=LimitOptions(c03_refresh_burst=1))
        first, second = house.chatting(), house.chatting()
        house.call(first, Call.REFRESH)
        house.refused(first, Call.REFRESH, TooManyRequests)
        house.call(second, Call.REFRESH)


class LifeTests(SynchronousTestCase):
    """How long chats and their services are remembered."""

    def test_live_chat_keeps_its_service(self) -> None:
        """Thirty seconds are the life of a service without a chat only."""
        house = ChatHouse(self)
        idle, chatting = house.create(), house.chatting(None, {"k": "v"})
        house.clock.advance(3600)
        house.refused(idle, Call.START, ServiceNotFound)
        house.call(chatting, Call.REFRESH)
        instance = house.run(house.services.find(chatting, None))
        self.assertEqual(house.run(house.services.data_of(instance)), {"k": "v"})

    def test_forgotten_without_any_call(self) -> None:
        """After ``chat_session_ttl`` without a call a chat is unknown, with everything."""
        house = ChatHouse(self, chat=ChatOptions(chat_session_ttl_s=100))
        service_id = house.chatting(None, {"k": "v"})
        house.clock.advance(60)
        house.call(service_id, Call.REFRESH)
        house.clock.advance(99)
        house.call(service_id, Call.REFRESH)
        house.clock.advance(101)
        house.refused(service_id, Call.REFRESH, ServiceNotFound)
        self.assertEqual(house.run(house.store.scan(Kind("area"))), [])
        self.assertEqual(house.run(house.store.scan(Kind("chat"))), [])

    def test_after_the_end(self) -> None:
        """A chat that is over can be read for ten minutes, then service and data go."""
        house = ChatHouse(self)
        service_id = house.chatting(None, {"k": "v"})
        house.call(service_id, Call.DISCONNECT)
        house.clock.advance(599)
        house.call(service_id, Call.REFRESH)
        house.clock.advance(2)
        house.refused(service_id, Call.REFRESH, NotFound)
        self.assertEqual(house.run(house.store.scan(Kind("area"))), [])

    def test_deleting_the_service(self) -> None:
        """Deleting a service leaves its chat and removes its data."""
        house = ChatHouse(self)
        service_id = house.chatting(None, {"k": "v"})
        house.run(house.services.delete(service_id, None))
        self.assertTrue(house.server.room.left)
        for kind in ("service", "chat", "area"):
            self.assertEqual(house.run(house.store.scan(Kind(kind))), [])
        house.refused(service_id, Call.REFRESH, ServiceNotFound)


class ReloadTests(SynchronousTestCase):
    """New options while chats go on."""

    def test_options_and_limits(self) -> None:
        """They count from the next call, for chats that are there too."""
        house = ChatHouse(self)
        service_id = house.chatting()
        house.chats.reconfigure(
            ChatOptions(position_type="number", chat_400_response_on_disconnected=True),
            LimitOptions(c03_refresh_burst=1),
        )
        self.assertEqual(house.call(service_id, Call.REFRESH)["transcriptPosition"], 1)
        house.refused(service_id, Call.REFRESH, TooManyRequests)
        house.call(service_id, Call.DISCONNECT)
        house.refused(service_id, Call.SEND, ChatOver, message="x")

    def test_services(self) -> None:
        """New definitions and limits count for services that are created from now on."""
        house = ChatHouse(self)
        house.create()
        house.services.reconfigure({}, LimitOptions(), user_control=True)
        house.fail(house.services.create("request-chat", {}, None, ""), ServiceNotFound)
