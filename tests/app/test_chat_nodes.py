"""Chats on several nodes: each chat is one, and nothing in it is lost or said twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Call
from gms_twisted.app.chat_limits import SendingTooFast
from gms_twisted.app.chat_nodes import KIND
from gms_twisted.app.chat_records import ChatMoved
from gms_twisted.domain.errors import GmsError, InvalidRequest, NodeAway, NotFound, ServiceNotFound
from gms_twisted.domain.ids import AgentName, ChatSessionId, GmsUser, ServiceId
from gms_twisted.domain.values import InMemory, UploadedFile
from tests.support.chat_nodes import ChatCluster, ChatNode, texts
from tests.support.redis_server import SKIP

KATE = AgentName("kate")
USER = "BuzzBrain"
Served = Callable[[str, bytes], Awaitable[bytes]]


class NodesTest(SynchronousTestCase):
    """Two nodes; all is the first one's."""

    skip = SKIP or None

    def setUp(self) -> None:
        """Have two."""
        self.cluster = ChatCluster(self)
        self.one, self.two = self.cluster.node(), self.cluster.node()
        self.one.own()

    def chatting(self, **fields: str) -> ServiceId:
        """Begin a chat at the node that does not own it."""
        service_id = self.two.create(USER)
        self.started = self.two.call(service_id, Call.START, USER, firstName="Eva", **fields)
        return service_id

    def serve(self, node: ChatNode, wrap: Callable[[Served], Served]) -> None:
        """Have a node's answers to others go another way."""
        node.links._handlers[KIND] = wrap(node.links._handlers[KIND])

    def whole(self, node: ChatNode, service_id: str) -> list[str]:
        """Everything that was said in a chat."""
        answer = node.call(service_id, Call.REFRESH, transcriptPosition="0")
        return texts(answer)


def losing(handler: Served, times: int = 1) -> Served:
    """Do what is asked, and lose the answer."""
    left = [times]

    async def serve(run: str, payload: bytes) -> bytes:
        answer = await handler(run, payload)
        left[0] -= 1
        if left[0] >= 0:
            raise NodeAway("The answer is lost.")
        return answer

    return serve


class CallTests(NodesTest):
    """Calls that land anywhere."""

    def test_any_node(self) -> None:
        """Asked here and there a client gets everything once, as from one server."""
        service_id = self.chatting()
        self.assertEqual(self.started["chatIxnState"], "CONNECTED")
        shown = []
        for number in range(6):
            node = (self.one, self.two)[number % 2]
            shown += texts(node.call(service_id, Call.SEND, message=f"m{number}"))
        self.assertEqual(shown, [f"m{number}" for number in range(6)])
        self.assertEqual(texts(self.two.call(service_id, Call.REFRESH)), [])
        self.assertEqual(len(self.one.server.rooms.waiting()), 1)

    def test_at_once(self) -> None:
        """Two polls at a time at two nodes share what is new."""
        service_id = self.chatting()
        self.one.call(service_id, Call.REFRESH)
        session_id = ChatSessionId(str(self.started["chatSessionId"]))
        self.cluster.run(self.two.server.rooms.accept(session_id, KATE, "Kate"))
        polls = [node.asks(service_id, Call.REFRESH) for node in (self.one, self.two, self.one)]
        shown = [text for poll in polls for text in texts(self.cluster.over(poll))]
        self.assertEqual(shown, ["has joined the session"])

    def test_errors_as_here(self) -> None:
        """What is refused there is refused here, in the same words."""
        service_id = self.chatting()
        other = self.two.create("somebody")
        refused: list[tuple[Any, ...]] = [
            (service_id, Call.REFRESH, "stranger", {}, ServiceNotFound),
            # Several kinds have its code; which one comes back is not known.
            (other, Call.REFRESH, "somebody", {}, NotFound),
            (service_id, Call.SEND, USER, {}, InvalidRequest),
            (service_id, Call.REFRESH, USER, {"transcriptPosition": "x"}, InvalidRequest),
        ]
        for asked, call, user, fields, kind in refused:
            errors = [
                self.cluster.fails(node.asks(asked, call, user, fields), kind)
                for node in (self.one, self.two)
            ]
            self.assertEqual(vars(errors[0]), vars(errors[1]))
            codes = {error.code for error in errors if isinstance(error, GmsError)}
            self.assertEqual(len(codes), 1)
            self.assertEqual(str(errors[0]), str(errors[1]))

    def test_too_fast(self) -> None:
        """A chat's rates are the same wherever it is asked, with when to try again."""
        service_id = self.chatting()
        refused: list[Exception] = []
        for number in range(30):
            sending = self.two.asks(service_id, Call.SEND, USER, {"message": f"m{number}"})
            self.cluster.ended(sending)
            if isinstance(sending.result, Failure):
                refused.append(self.failureResultOf(sending, SendingTooFast).value)
        self.assertGreater(len(refused), 0)
        self.assertGreater(min(vars(error)["retry_after_s"] for error in refused), 0)

    def test_files(self) -> None:
        """A file where there must be none is one there as well; others do no harm."""
        service_id = self.two.create(USER)
        file = UploadedFile("a.png", "image/png", InMemory(b"\x89" * 100))
        wrong = self.two.asks(service_id, Call.START, USER, {"firstName": file})
        error = self.cluster.fails(wrong, InvalidRequest)
        self.assertEqual(vars(error), {"parameter": "firstName"})
        answer = self.two.call(service_id, Call.START, USER, picture=file)
        self.assertEqual(answer["chatIxnState"], "CONNECTED")

    def test_request_of_a_service(self) -> None:
        """``chat`` of a service that says at its creation who chats begins it there."""
        who = {"firstName": "Eva", "lastName": "P", "email": "e@example.com", "subject": "s"}
        service_id = self.two.create(USER, "request-chat-delay", **who)
        answer: Any = self.cluster.run(
            self.two.house.services.request(service_id, "chat", {}, GmsUser(USER))
        )
        self.assertEqual(answer["chatIxnState"], "CONNECTED")
        (waiting,) = self.one.server.rooms.waiting()
        self.assertEqual({party.home for party in waiting.parties}, {"1"})

    def test_deleted_elsewhere(self) -> None:
        """A service that is deleted at another node leaves its chat, and is told nothing."""
        service_id = self.chatting(notify_by="comet")
        self.assertEqual(len(self.one.house.delivery), 1)
        self.cluster.run(self.two.house.services.delete(service_id, GmsUser(USER)))
        self.cluster.until(lambda: not len(self.one.house.delivery))
        self.assertEqual(self.one.server.rooms.waiting(), [])
        self.assertIsNone(self.cluster.run(self.one.house.records.find(service_id)))


class MovingTests(NodesTest):
    """Chats whose node changes."""

    def test_killed(self) -> None:
        """The other one goes on with transcript and positions; the dead one writes no more."""
        service_id = self.chatting()
        texts(self.two.call(service_id, Call.SEND, message="one"))
        session_id = ChatSessionId(str(self.started["chatSessionId"]))
        self.cluster.run(self.two.server.rooms.accept(session_id, KATE, "Kate"))
        self.cluster.run(self.two.server.rooms.send(session_id, KATE, "hello"))
        self.one.kill()
        self.two.own()
        answer = self.two.call(service_id, Call.SEND, message="two")
        self.assertEqual(texts(answer), ["has joined the session", "hello", "two"])
        self.assertEqual(answer["chatSessionId"], session_id)
        self.assertEqual(answer["transcriptPosition"], "5")
        # Where the former server was may be somebody else's here.
        self.assertEqual({address.alias for address in self.two.wires.attempts}, {"2"})
        self.assertEqual(
            self.whole(self.two, service_id),
            ["has joined the session", "one", "has joined the session", "hello", "two"],
        )

    def test_paused(self) -> None:
        """Who does not know that it has lost a chat writes nothing, and sends it on later."""
        service_id = self.chatting()
        state = self.cluster.run(self.one.house.records.read(service_id))
        self.two.take(service_id)
        writing = self.one.house.records.change(state, lambda one: replace(one, position=99))
        self.cluster.fails(self.cluster.begin(writing), ChatMoved)
        sending = self.one.asks(service_id, Call.SEND, USER, {"message": "hi"})
        self.cluster.until(lambda: self.cluster.clock.getDelayedCalls())
        self.cluster.run(self.one.links.rest(self.one.links.shard(service_id)))
        self.cluster.pass_time(1.0)
        self.assertEqual(texts(self.cluster.over(sending)), ["hi"])
        self.assertEqual(self.whole(self.two, service_id), ["has joined the session", "hi"])

    def test_begun_while_it_moves(self) -> None:
        """A chat that its node could not keep any more is the same chat at the next one."""
        service_id = self.two.create(USER)
        self.two.take(service_id)
        running = self.one.asks(service_id, Call.START, USER)
        self.cluster.until(lambda: self.one.server.rooms.waiting())
        (begun,) = self.one.server.rooms.waiting()
        answer = self.two.call(service_id, Call.START, USER)
        self.assertEqual(answer["chatSessionId"], begun.session_id)
        (waiting,) = self.two.server.rooms.waiting()
        self.assertEqual(answer["chatSessionId"], waiting.session_id)
        self.cluster.run(self.one.links.rest(self.one.links.shard(service_id)))
        self.cluster.pass_time(1.0)
        self.assertEqual(self.cluster.over(running)["chatSessionId"], waiting.session_id)
        self.assertIsNone(
            self.cluster.run(self.two.server.rooms.session(waiting.session_id)).closed_at
        )

    def test_between_owners(self) -> None:
        """While nobody has it, it is 503 and nothing happens; whoever gets it in time answers."""
        service_id = self.chatting()
        self.one.kill()
        self.cluster.network.owners.clear()
        refused = self.two.asks(service_id, Call.SEND, USER, {"message": "hi"})
        self.cluster.pass_time(5.0)
        self.cluster.fails(refused, ChatMoved)
        waiting = self.two.asks(service_id, Call.SEND, USER, {"message": "ho"})
        self.cluster.pass_time(1.0)
        self.two.own()
        self.cluster.pass_time(1.0)
        self.assertEqual(texts(self.cluster.over(waiting)), ["ho"])

    def test_not_ready(self) -> None:
        """A new owner that has not taken up everything yet lets calls wait."""
        service_id = self.chatting()
        self.two.own()
        self.two.house.delivery._behind = True
        asking = [node.asks(service_id, Call.REFRESH) for node in (self.one, self.two)]
        self.cluster.pass_time(2.0)
        self.assertEqual([one.called for one in asking], [False, False])
        self.two.house.delivery._behind = False
        self.cluster.pass_time(1.0)
        for one in asking:
            self.cluster.over(one)


class LostAnswerTests(NodesTest):
    """Answers that are lost between two nodes."""

    def test_said_once(self) -> None:
        """A message whose answer is lost is sent again, and is in the chat once."""
        service_id = self.chatting()
        self.serve(self.one, losing)
        sending = self.two.asks(service_id, Call.SEND, USER, {"message": "hi"})
        self.cluster.until(lambda: self.cluster.clock.getDelayedCalls())
        self.cluster.pass_time(1.0)
        self.assertEqual(texts(self.cluster.over(sending)), ["hi"])
        self.assertEqual(self.whole(self.two, service_id), ["has joined the session", "hi"])

    def failed(self, service_id: str, call: Call, fields: dict[str, str]) -> None:
        """A call at the second node that is 503 although the first has done it."""
        kept = self.one.links._handlers[KIND]
        self.serve(self.one, lambda handler: losing(handler, 100))
        asking = self.two.asks(service_id, call, USER, fields)
        self.cluster.pass_time(6.0)
        self.cluster.fails(asking, NodeAway)
        self.one.links._handlers[KIND] = kept

    def test_repeated_by_the_client(self) -> None:
        """After a 503 the same message again, wherever, is the same message; later ones are not."""
        service_id = self.chatting()
        self.failed(service_id, Call.SEND, {"message": "hi"})
        self.assertEqual(texts(self.one.call(service_id, Call.SEND, USER, message="hi")), ["hi"])
        self.assertEqual(texts(self.two.call(service_id, Call.SEND, USER, message="hi")), ["hi"])
        expected = ["has joined the session", "hi", "hi"]
        self.assertEqual(self.whole(self.two, service_id), expected)

    def test_poll_before_the_repetition(self) -> None:
        """A poll in between shows it; the repetition is still the same message."""
        service_id = self.chatting()
        self.failed(service_id, Call.SEND, {"message": "hi"})
        self.assertEqual(texts(self.two.call(service_id, Call.REFRESH)), ["hi"])
        self.assertEqual(texts(self.two.call(service_id, Call.SEND, USER, message="hi")), [])
        self.assertEqual(self.whole(self.two, service_id), ["has joined the session", "hi"])

    def test_poll_that_fails_too(self) -> None:
        """A poll that is 503 as well changes nothing of that."""
        service_id = self.chatting()
        self.failed(service_id, Call.SEND, {"message": "hi"})
        self.failed(service_id, Call.REFRESH, {})
        self.assertEqual(texts(self.one.call(service_id, Call.SEND, USER, message="hi")), ["hi"])
        self.assertEqual(self.whole(self.two, service_id), ["has joined the session", "hi"])

    def test_shown_since(self) -> None:
        """A node that does not know that the client has got it by now does not show it again."""
        service_id = self.chatting()
        session_id = ChatSessionId(str(self.started["chatSessionId"]))
        self.cluster.run(self.one.server.rooms.accept(session_id, KATE, "Kate"))
        self.failed(service_id, Call.REFRESH, {})
        self.patch(self.two.links, "tell_all", lambda *_: None)
        shown = ["has joined the session"]
        self.assertEqual(texts(self.two.call(service_id, Call.REFRESH)), shown)
        self.assertEqual(texts(self.one.call(service_id, Call.REFRESH)), [])

    def test_poll(self) -> None:
        """What was in a lost answer is in the next one, once."""
        service_id = self.chatting()
        session_id = ChatSessionId(str(self.started["chatSessionId"]))
        self.cluster.run(self.one.server.rooms.accept(session_id, KATE, "Kate"))
        self.failed(service_id, Call.REFRESH, {})
        self.cluster.run(self.one.server.rooms.send(session_id, KATE, "hello"))
        answer = self.one.call(service_id, Call.REFRESH)
        self.assertEqual(texts(answer), ["has joined the session", "hello"])
        self.assertEqual(texts(self.two.call(service_id, Call.REFRESH)), [])


class DeliveryTests(NodesTest):
    """Chats that are delivered on ``/_genesys``."""

    def setUp(self) -> None:
        """A client that is there, and its chat."""
        super().setUp()
        self.cluster.events.arrive(USER)
        self.service_id = self.chatting(notify_by="comet")
        self.session_id = ChatSessionId(str(self.started["chatSessionId"]))
        self.cluster.run(self.one.server.rooms.accept(self.session_id, KATE, "Kate"))
        self.cluster.until(lambda: "has joined the session" in self.shown())

    def says(self, node: ChatNode, text: str) -> None:
        """The agent says something at a node, and it is handed over."""
        self.cluster.run(node.server.rooms.send(self.session_id, KATE, text))
        self.cluster.until(lambda: text in self.shown())

    def shown(self) -> list[str]:
        """All rows that were handed over, in order."""
        return [
            row[2]
            for _, _, message, _ in self.cluster.events.delivered
            for row in message["transcriptToShow"]
        ]

    def test_by_the_owner(self) -> None:
        """One node delivers, whoever is asked and wherever the agent is."""
        self.assertEqual([len(self.one.house.delivery), len(self.two.house.delivery)], [1, 0])
        self.says(self.two, "a")
        self.two.call(self.service_id, Call.SEND, USER, message="b")
        self.cluster.until(lambda: "b" in self.shown())
        expected = ["has joined the session", "has joined the session", "a", "b"]
        self.assertEqual(self.shown(), expected[1:])

    def test_given(self) -> None:
        """Given to another node it goes on there, with what was not handed over yet."""
        self.says(self.one, "a")
        self.two.own()
        self.cluster.until(lambda: len(self.two.house.delivery))
        self.assertEqual(len(self.one.house.delivery), 0)
        self.says(self.one, "b")
        self.says(self.two, "c")
        self.assertEqual(self.shown(), ["has joined the session", "a", "b", "c"])

    def test_killed(self) -> None:
        """After a kill nothing is missing; what comes twice has the same id."""
        self.says(self.one, "a")
        self.says(self.one, "b")
        self.one.kill()
        self.two.own()
        self.says(self.two, "c")
        events = {event_id: message for _, _, message, event_id in self.cluster.events.delivered}
        rows = [row[2] for message in events.values() for row in message["transcriptToShow"]]
        self.assertEqual(rows, ["has joined the session", "a", "b", "c"])

    def test_killed_before_it_came(self) -> None:
        """What a node has handed over and not brought to the client's node comes from another."""
        self.cluster.events.take()
        for text in ("a", "b", "c"):
            self.says(self.one, text)
        self.cluster.events.take()
        self.one.kill()
        self.two.own()
        self.says(self.two, "d")
        self.assertEqual(self.shown()[-4:], ["a", "b", "c", "d"])

    def test_killed_long_after_it_came(self) -> None:
        """What was handed over long ago does not come again."""
        self.says(self.one, "a")
        self.cluster.pass_time(60.0, 1.0)
        self.says(self.one, "b")
        self.cluster.events.take()
        self.one.kill()
        self.two.own()
        self.says(self.two, "c")
        self.assertEqual(self.shown(), ["b", "c"])

    def test_refused(self) -> None:
        """What no session takes is not handed over: it is tried again, in order."""
        self.says(self.one, "a")
        self.cluster.events.refuses = True
        for text in ("b", "c"):
            self.cluster.run(self.one.server.rooms.send(self.session_id, KATE, text))
        self.cluster.pass_time(60.0, 1.0)
        self.cluster.events.refuses = False
        self.cluster.pass_time(16.0, 1.0)
        self.assertEqual(self.shown(), ["has joined the session", "a", "b", "c"])

    def test_refused_in_between(self) -> None:
        """What was taken before is not handed over again."""
        for text in ("a", "b"):
            self.says(self.one, text)
        events, deliver = self.cluster.events, self.cluster.events.deliver

        def twice(user: GmsUser, tag: str, message: object, event_id: str = "") -> int:
            events.refuses = len(events.delivered) == 2
            return deliver(user, tag, message, event_id)

        events.take()
        events.deliver = twice  # type: ignore[method-assign]  # takes two
        self.two.call(self.service_id, Call.REFRESH, USER, transcriptPosition="1")
        self.cluster.until(lambda: events.refuses)
        events.deliver = deliver  # type: ignore[method-assign]  # takes all
        events.refuses = False
        self.cluster.pass_time(16.0, 1.0)
        self.assertEqual(self.shown(), ["has joined the session", "a", "b"])

    def test_refused_from_the_start(self) -> None:
        """The first message too, which has no rows."""
        self.cluster.events.refuses = True
        service_id = self.chatting(notify_by="comet")
        self.cluster.pass_time(3.0)
        self.cluster.events.take()
        self.cluster.events.refuses = False
        self.cluster.pass_time(16.0, 1.0)
        [(_, tag, message, _)] = self.cluster.events.delivered
        self.assertTrue(tag.endswith(service_id))
        self.assertEqual(message["transcriptToShow"], [])

    def test_gone_meanwhile(self) -> None:
        """A client that comes back elsewhere gets what it has missed."""
        self.says(self.one, "a")
        self.cluster.events.leave(USER, position=3)
        self.cluster.pass_time(1.0)
        self.one.kill()
        self.two.own()
        self.cluster.until(lambda: len(self.two.house.delivery))
        self.cluster.run(self.two.server.rooms.send(self.session_id, KATE, "b"))
        self.cluster.events.take()
        self.cluster.events.arrive(USER)
        self.cluster.until(lambda: "b" in self.shown())
        self.assertEqual(self.shown(), ["b"])

    def test_lost(self) -> None:
        """Who does not know that it has lost a chat delivers nothing of it any more."""
        self.says(self.one, "a")
        self.cluster.events.take()
        self.two.take(self.service_id)
        self.cluster.until(lambda: len(self.two.house.delivery))
        for text in ("b", "c"):
            self.says(self.two, text)
        self.cluster.until(lambda: not len(self.one.house.delivery))
        events = [event_id for _, _, _, event_id in self.cluster.events.delivered]
        self.assertLessEqual(len(events), len(set(events)) + 1)
        self.assertEqual(self.shown()[-2:], ["b", "c"])
