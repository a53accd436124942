"""Services whose logic is a session, whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.builtin.orchestrated import OrchestratedServices
from gms_twisted.app.chat_answers import Call
from gms_twisted.app.chat_permission import NoAgentYet, NoChatHere
from gms_twisted.app.orchestration import (
    AnswerLate,
    ApplicationUnusable,
    OrsUnreachable,
    Reply,
    RequestUnhandled,
    SessionAt,
    SessionOver,
)
from gms_twisted.app.service_kinds import Verbatim
from gms_twisted.app.session_chats import SessionChats
from gms_twisted.config.options import LimitOptions
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound, TooManyRequests, Unavailable
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue, InMemory, UploadedFile
from tests.support.chat_house import ChatHouse
from tests.support.log_lines import LogLines
from tests.support.sessions import FakeSessions, Session

NAME = "request-inbound-poll"
URL = "http://localhost/scxml-services/request-inbound-poll.scxml"
USER = GmsUser("BuzzBrain")
OK = Reply(True, '{"_id": "as the application likes"}')


class Rig:
    """A house with one orchestrated service, and sessions that do as they are told."""

    def __init__(
        self,
        test: SynchronousTestCase,
        options: Mapping[str, str] | None = None,
        ors: OrsOptions | None = None,
    ) -> None:
        configured = {"_type": "ors", "_service": URL, **(options or {})}
        self.house = ChatHouse(test, services={NAME: configured})
        self.sessions = FakeSessions()
        self.sessions.answers["gms.start"] = OK
        house = self.house
        self.removed: list[str] = []
        self.kind = OrchestratedServices(
            house.services,
            self.sessions,
            house.chats,
            house.permission,
            self,
            ors or OrsOptions(),
        )
        house.services.register_orchestrated(self.kind)
        house.keeper.listener = SessionChats(self.sessions, house.tasks, house.clock)

    async def delete_of(self, subscriber: str) -> None:
        """Remember whose subscriptions are removed."""
        self.removed.append(subscriber)

    def create(self, user: GmsUser | None = None, **fields: FormValue) -> Any:
        """Create the service."""
        return self.house.run(self.house.services.create(NAME, fields, user, ""))

    def refused(self, kind: type[Exception], **fields: FormValue) -> Exception:
        """Create it in vain."""
        return self.house.fail(self.house.services.create(NAME, fields, None, ""), kind)

    def only(self) -> tuple[str, Session]:
        """The one session."""
        ((session_id, session),) = self.sessions.sessions.items()
        return session_id, session

    def made(self, **fields: FormValue) -> str:
        """Create one; returns its id."""
        self.create(None, **fields)
        return self.only()[0]

    def ask(self, service_id: str, request: str, **fields: FormValue) -> object:
        """Ask it."""
        return self.house.run(self.house.services.request(service_id, request, fields, None))

    def records(self) -> int:
        """How many records the store has."""
        return self.house.run(self.house.store.usage()).records


class CreateTests(SynchronousTestCase):
    """Creating one."""

    def test_answer_byte_for_byte(self) -> None:
        """A JSON object goes through as the application wrote it, without added members."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = Reply(True, '{"msg":  "hello"}')
        self.assertEqual(rig.create(), Verbatim('{"msg":  "hello"}'))

    def test_answer_that_is_no_object(self) -> None:
        """A bare id, a list or nothing becomes an object with the service's id."""
        for body in ("EKUJPKAQ197CFA6SJQKTJ03DBG00001K", "[1]", "", '"x"', "12"):
            rig = Rig(self)
            rig.sessions.answers["gms.start"] = Reply(True, body)
            answer = rig.create()
            self.assertEqual(answer, Verbatim(f'{{"_id":"{rig.only()[0]}"}}'), body)

    def test_verbose(self) -> None:
        """With ``_verbose`` the answer says where ``status`` is, in the reference's spelling."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = Reply(True, '{"_id":"x","a":1}')
        answer = rig.create(_verbose="True")
        url = f"/genesys/1/service/{rig.only()[0]}/status"
        self.assertEqual(
            answer, Verbatim(f'{{"_id":"x","a":1,"_session_comand_STATUS_URL":"{url}"}}')
        )

    def test_verbose_of_anything(self) -> None:
        """Half a character and long numbers come out as the application wrote them."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = Reply(True, '{"a":"\\ud800","b":123456789012345678901}')
        answer = rig.create(_verbose="1")
        self.assertTrue(answer.body.startswith('{"a":"\\ud800","b":123456789012345678901,'))

    def test_id_is_the_sessions(self) -> None:
        """The service is found by the id of its session, for the user who made it."""
        rig = Rig(self)
        rig.create(USER)
        instance = rig.house.run(rig.house.services.find(rig.only()[0], USER))
        self.assertEqual((instance.name, instance.user), (NAME, USER))
        rig.house.fail(rig.house.services.find(rig.only()[0], GmsUser("other")), ServiceNotFound)

    def test_parameters(self) -> None:
        """The session gets the parameters, and what it needs to find its data again."""
        rig = Rig(self)
        rig.create(USER, _resource_group="DNIS", _id="mine", _service_id="mine", language="fr")
        session_id, session = rig.only()
        instance = rig.house.run(rig.house.services.find(session_id, USER))
        self.assertEqual(
            session.parameters,
            {
                "_resource_group": "DNIS",
                "_type": "ors",
                "_access_info_via_event": "true",
                "_data_id": instance.data_id,
                "_ttl": "3600",
                "_service_name": NAME,
                "gms_user": "BuzzBrain",
            },
        )
        self.assertEqual(session.requests, [("gms.start", {}, session.requests[0][2])])
        data = rig.house.run(rig.house.services.data_of(instance))
        self.assertEqual(data, {"language": "fr"})

    def test_V09_options_win(self) -> None:
        """An option beats the request; passwords and servers are no application's business."""
        rig = Rig(
            self,
            {
                "_resource_group": "ours",
                "_ttl": "60",
                "_username": "u",
                "_password": "secret",
                "_ors": "http://one:7010, http://two:7010",
            },
        )
        rig.create(_resource_group="theirs", _ttl="5", _provide_code="true")
        parameters = rig.only()[1].parameters
        self.assertEqual(parameters["_resource_group"], "ours")
        self.assertEqual(parameters["_ttl"], "60")
        self.assertEqual(parameters["_provide_code"], "true")
        self.assertEqual({"_username", "_password", "_ors"} & parameters.keys(), set())

    def test_default_can_be_switched_off(self) -> None:
        """``ors/pass_defaults`` decides about the default that the reference names."""
        rig = Rig(self, ors=OrsOptions(pass_defaults=False))
        rig.create()
        self.assertNotIn("_access_info_via_event", rig.only()[1].parameters)
        given = Rig(self)
        given.create(_access_info_via_event="false")
        self.assertEqual(given.only()[1].parameters["_access_info_via_event"], "false")

    def test_device_without_underscore(self) -> None:
        """The advanced chat's ``device_os`` is the parameter too; the one with it wins."""
        rig = Rig(self)
        rig.create(device_os="gcm", device_notification_id="x", _device_os="ios")
        parameters = rig.only()[1].parameters
        self.assertEqual(parameters["_device_os"], "ios")
        self.assertEqual(parameters["_device_notification_id"], "x")

    def test_V07_coordinates(self) -> None:
        """Coordinates that are none refuse the creation, and no session is left."""
        for latitude, longitude, named in (
            ("NaN", "2", "_latitude"),
            ("91", "2", "_latitude"),
            ("48", "181", "_longitude"),
            ("48", "", "_longitude"),
        ):
            rig = Rig(self)
            error = rig.refused(InvalidRequest, _latitude=latitude, _longitude=longitude)
            assert isinstance(error, InvalidRequest)
            self.assertEqual(error.parameter, named)
            self.assertEqual(rig.sessions.sessions, {})
            self.assertEqual(rig.records(), 0)

    def test_refused_by_the_application(self) -> None:
        """A negative answer is the client's 400, body as it is; nothing is left."""
        rig = Rig(self)
        body = '{"message": "_phone_number is missing.", "exception": "gms.invalid_request"}'
        rig.sessions.answers["gms.start"] = Reply(False, body)
        self.assertEqual(rig.create(), Verbatim(body, 400))
        self.assertEqual(rig.sessions.sessions, {})
        rig.house.fail(rig.house.services.find(rig.sessions.ended[0], None), ServiceNotFound)

    def test_refused_for_now(self) -> None:
        """A negative answer that says ``gms.unavailable`` is 503, as the reference has it."""
        rig = Rig(self)
        service_id = rig.made()
        for body, status in (
            ('{"exception":"gms.unavailable"}', 503),
            ('{"exception":"gms.node_away"}', 503),
            ('{"exception":"gms.access.no_number_free"}', 503),
            ('{"exception":"gms.invalid_request"}', 400),
            ("[]", 400),
            ("no", 400),
        ):
            rig.sessions.answers["accept"] = Reply(False, body)
            self.assertEqual(rig.ask(service_id, "accept"), Verbatim(body, status))

    def test_operator_alone_decides(self) -> None:
        """Which agents serve and what a poke says is not the customer's to say."""
        rig = Rig(self, {"_poke_message": "Hello"})
        rig.create(_agent_group="VIP", _poke_message="x")
        parameters = rig.only()[1].parameters
        self.assertNotIn("_agent_group", parameters)
        self.assertEqual(parameters["_poke_message"], "Hello")

    def test_application_cannot_run(self) -> None:
        """No service is made of an application that cannot be read, or without a server."""
        for refusal in (ApplicationUnusable("x, line 3: no state", 3), OrsUnreachable()):
            rig = Rig(self)
            rig.sessions.refusal = refusal
            rig.refused(type(refusal))
            self.assertEqual(rig.records(), 0)

    def test_ends_without_an_answer(self) -> None:
        """A session that ends before it answers is the client's failure; nothing is left."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = SessionOver("over")
        rig.refused(SessionOver)
        self.assertEqual(rig.sessions.sessions, {})
        rig.house.fail(rig.house.services.find(rig.sessions.ended[0], None), ServiceNotFound)

    def test_X10_late(self) -> None:
        """A session that does not answer in time goes on, and its service with it."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = AnswerLate("late")
        rig.refused(AnswerLate)
        session_id, _ = rig.only()
        rig.house.run(rig.house.services.find(session_id, None))

    def test_late_is_counted(self) -> None:
        """One whose session did not answer in time lives, and counts as long as it does (V13)."""
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = AnswerLate("late")
        rig.refused(AnswerLate)
        self.assertEqual(list(rig.house.services._count._live), [rig.only()[0]])

    def test_answer_that_cannot_be_read(self) -> None:
        """An answer that is too deep for us, or not as it should be, goes out as it is."""
        body = "[" * 100_000
        rig = Rig(self)
        rig.sessions.answers["gms.start"] = Reply(True, body)
        self.assertEqual(rig.create(), Verbatim(f'{{"_id":"{rig.only()[0]}"}}'))
        rig.sessions.answers["status"] = Reply(True, body)
        self.assertEqual(rig.ask(rig.only()[0], "status"), Verbatim(body))
        rig.sessions.answers["status"] = Reply(False, body)
        self.assertEqual(rig.ask(rig.only()[0], "status"), Verbatim(body, 400))
        rig.sessions.answers["status"] = Reply(False, '{"exception": []}')
        self.assertEqual(rig.ask(rig.only()[0], "status"), Verbatim('{"exception": []}', 400))

    def test_counted(self) -> None:
        """It counts as one service, and not at all once it is over (V13)."""
        rig = Rig(self)
        service_id = rig.made()
        self.assertEqual(list(rig.house.services._count._live), [service_id])
        rig.house.run(rig.kind.session_over(service_id))
        self.assertEqual(list(rig.house.services._count._live), [])


class RequestTests(SynchronousTestCase):
    """Asking one."""

    def test_answer_byte_for_byte(self) -> None:
        """What the session answers goes out as it is, whether JSON or not."""
        rig = Rig(self)
        service_id = rig.made()
        for reply in (Reply(True, "OK"), Reply(True, '{"a":  1}'), Reply(False, "no")):
            rig.sessions.answers["status"] = reply
            answer = rig.ask(service_id, "status", _verbose="true", x="1")
            self.assertEqual(answer, Verbatim(reply.body, 200 if reply.positive else 400))
        name, parameters, _ = rig.only()[1].requests[-1]
        self.assertEqual((name, parameters), ("status", {"_verbose": "true", "x": "1"}))

    def test_update_is_ours(self) -> None:
        """``update`` changes the data and is not passed on."""
        rig = Rig(self)
        service_id = rig.made(a="1")
        self.assertEqual(rig.ask(service_id, "update", b="2"), {})
        instance = rig.house.run(rig.house.services.find(service_id, None))
        data = rig.house.run(rig.house.services.data_of(instance))
        self.assertEqual(data, {"a": "1", "b": "2"})
        self.assertEqual(len(rig.only()[1].requests), 1)

    def test_V07_coordinates(self) -> None:
        """Coordinates of a request are judged before the session hears of it."""
        rig = Rig(self)
        service_id = rig.made()
        work = rig.house.services.request(
            service_id, "reserve", {"_latitude": "48,85", "_longitude": "2"}, None
        )
        error = rig.house.fail(work, InvalidRequest)
        assert isinstance(error, InvalidRequest)
        self.assertEqual(error.parameter, "_latitude")
        self.assertEqual(len(rig.only()[1].requests), 1)

    def test_files(self) -> None:
        """A session takes no files; the error says what does."""
        rig = Rig(self)
        service_id = rig.made()
        file = UploadedFile("a", "text/plain", InMemory(b"x"))
        work = rig.house.services.request(service_id, "reserve", {"picture": file}, None)
        self.assertIn("update", str(rig.house.fail(work, InvalidRequest)))

    def test_session_is_over(self) -> None:
        """A session that is gone takes its service along: the same 404 now and later (G06)."""
        rig = Rig(self)
        service_id = rig.made()
        rig.sessions.sessions.clear()
        work = rig.house.services.request(service_id, "status", {}, None)
        rig.house.fail(work, ServiceNotFound)
        rig.house.fail(rig.house.services.find(service_id, None), ServiceNotFound)

    def test_events_are_no_requests(self) -> None:
        """A name with a dot is an event of ours; a client cannot send one."""
        rig = Rig(self)
        service_id = rig.made()
        for name in ("gms.start", "interaction.present", "gms.chat.started", "."):
            work = rig.house.services.request(service_id, name, {}, None)
            rig.house.fail(work, RequestUnhandled)
        self.assertEqual(len(rig.only()[1].requests), 1)

    def test_unknown_request(self) -> None:
        """What no state takes is 404, and the service stays."""
        rig = Rig(self)
        service_id = rig.made()
        rig.sessions.answers["nonsense"] = RequestUnhandled("none")
        rig.house.fail(
            rig.house.services.request(service_id, "nonsense", {}, None), RequestUnhandled
        )
        rig.house.run(rig.house.services.find(service_id, None))


class EndTests(SynchronousTestCase):
    """Its end, from either side."""

    def test_deleted(self) -> None:
        """Deleting the service ends the session."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.run(rig.house.services.delete(service_id, None))
        self.assertEqual(rig.sessions.ended, [service_id])
        self.assertEqual(rig.removed, [service_id])
        self.assertEqual(rig.records(), 0)

    def test_deleted_with_its_data(self) -> None:
        """Nothing is left of it, though its session, on ending, has taken the service away."""
        rig = Rig(self)
        service_id = rig.made(a="1")
        rig.sessions.owner = rig.kind
        rig.house.run(rig.house.services.delete(service_id, None))
        self.assertEqual(rig.records(), 0)

    def test_session_over_keeps_the_data(self) -> None:
        """When the session ends the service is over; its data stays for its time."""
        rig = Rig(self)
        service_id = rig.made(a="1")
        instance = rig.house.run(rig.house.services.find(service_id, None))
        rig.house.run(rig.kind.session_over(service_id))
        rig.house.fail(rig.house.services.find(service_id, None), ServiceNotFound)
        self.assertEqual(rig.house.run(rig.house.areas.read(instance.data_id)), {"a": "1"})

    def test_lasts(self) -> None:
        """A session may go on as long as its service lives."""
        rig = Rig(self)
        service_id = rig.made(_ttl="60")
        self.assertEqual(rig.house.run(rig.kind.lasts_until(service_id)), rig.house.wall.now() + 60)
        self.assertEqual(rig.house.run(rig.kind.lasts_until("unknown")), 0.0)


class LostTests(SynchronousTestCase):
    """Services that a killed process has left without a session."""

    def forget(self, rig: Rig, *there: str) -> None:
        """Start again; these sessions are there."""
        rig.house.run(rig.kind.forget_lost(lambda _: True, there.__contains__))

    def test_R01_without_a_session(self) -> None:
        """One whose session was never stored goes, with what it holds; others stay."""
        rig = Rig(self)
        rig.create()
        rig.create()
        first, second = rig.sessions.sessions
        self.forget(rig, first)
        self.assertIsNotNone(rig.house.run(rig.house.services.peek(first)))
        self.assertIsNone(rig.house.run(rig.house.services.peek(second)))

    def test_with_a_chat(self) -> None:
        """One whose session is over stays while its chat goes on."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)
        self.forget(rig)
        rig.house.call(service_id, Call.REFRESH)

    def test_elsewhere(self) -> None:
        """Sessions of other servers are not our business."""
        rig = Rig(self)
        rig.sessions.home = "http://ors1.example:7210"
        service_id = rig.made()
        self.forget(rig)
        self.assertIsNotNone(rig.house.run(rig.house.services.peek(service_id)))


class AdoptTests(SynchronousTestCase):
    """Sessions that another server has started here."""

    def adopt(self, rig: Rig, **parameters: str) -> SessionAt:
        """Start a session, and give it a service."""
        run = rig.house.run
        session: SessionAt = run(rig.sessions.start(URL, parameters))
        run(rig.kind.adopt(session, URL, parameters))
        return session

    def test_service(self) -> None:
        """It is a service of its name, its user, its life; it is over with its session."""
        rig = Rig(self)
        session = self.adopt(
            rig, _service_name="theirs", gms_user=USER, _ttl="60", _x="y", _data_id="z", a="b"
        )
        instance = rig.house.run(rig.house.services.find(session.session_id, USER))
        self.assertEqual(
            (instance.name, instance.service, instance.life_s, instance.parameters),
            ("theirs", URL, 60.0, {"_ttl": "60", "_x": "y"}),
        )
        self.assertEqual(instance.session, session)
        self.assertNotEqual(instance.data_id, "z")
        rig.house.run(rig.kind.session_over(session.session_id))
        rig.house.fail(rig.house.services.find(session.session_id, USER), ServiceNotFound)

    def test_nothing_known(self) -> None:
        """Without a name it has the application's; a life that is none is the default."""
        rig = Rig(self)
        session = self.adopt(rig, _ttl="undefined")
        instance = rig.house.run(rig.house.services.find(session.session_id, None))
        self.assertEqual((instance.name, instance.life_s), (URL[:64], 3600.0))

    def test_V13_counted(self) -> None:
        """They count as services do; the rate of an address is not theirs."""
        rig = Rig(self)
        for _ in range(30):
            self.adopt(rig)
        rig.house.services.reconfigure({}, LimitOptions(v13_services=30), user_control=False)
        session = rig.house.run(rig.sessions.start(URL, {}))
        rig.house.fail(rig.kind.adopt(session, URL, {}), TooManyRequests)


class ChatTests(SynchronousTestCase):
    """Its chat.  Spec: Advanced Chat Service API."""

    def test_503_before_an_agent(self) -> None:
        """No call of the Chat API before the service said that an agent is there."""
        rig = Rig(self)
        service_id = rig.made()
        for call in (Call.START, Call.REFRESH, Call.DISCONNECT):
            rig.house.refused(service_id, call, NoAgentYet)
        rig.sessions.answers["status"] = Reply(True, '{"message":{"_status":"waiting"}}')
        rig.ask(service_id, "status")
        rig.house.refused(service_id, Call.START, NoAgentYet)

    def test_status_says_available(self) -> None:
        """An answer with ``_status`` available allows it, at the top or in ``message``."""
        for body in (
            '{"_status":"available"}',
            '{"message":{"_status":"available"},"tag":"a2c.x"}',
        ):
            rig = Rig(self)
            service_id = rig.made()
            rig.sessions.answers["status"] = Reply(True, body)
            rig.ask(service_id, "status")
            answer = rig.house.call(service_id, Call.START)
            self.assertEqual(answer["chatIxnState"], "CONNECTED")

    def test_event_says_available(self) -> None:
        """So does an event whose tag ends in ``agentavailable.`` and the id."""
        rig = Rig(self)
        service_id = rig.made()
        for tag in (f"a2c.agentavailable{service_id}", "a2c.agentavailable.other", service_id):
            rig.house.permission.published(tag)
            rig.house.refused(service_id, Call.START, NoAgentYet)
        rig.house.permission.published(f"A2C.advanced.service.agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)

    def test_event_while_the_store_is_away(self) -> None:
        """What nobody says again is stored as soon as that can be."""
        rig = Rig(self)
        service_id = rig.made()
        log = LogLines(self)
        rig.house.store.refuse = Unavailable("Redis cannot be reached.")
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.clock.advance(0.5)
        rig.house.store.refuse = None
        rig.house.refused(service_id, Call.START, NoAgentYet)
        rig.house.clock.advance(0.5)
        rig.house.call(service_id, Call.START)
        expected = (
            "Not done for now: storing that an agent is available; again until it is done: "
            "Redis cannot be reached. (gms.unavailable)"
        )
        self.assertEqual(log.lines(), [expected])

    def test_waiting_again(self) -> None:
        """An agent who is gone again takes it back, but not a chat that has begun."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.sessions.answers["status"] = Reply(True, '{"_status":"waiting"}')
        rig.ask(service_id, "status")
        rig.house.refused(service_id, Call.START, NoAgentYet)
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)
        rig.ask(service_id, "status")
        rig.house.call(service_id, Call.REFRESH)

    def test_not_verified(self) -> None:
        """``chat/verify_agent_available`` switches this off."""
        rig = Rig(self)
        rig.house.permission._verify = lambda: False
        rig.house.call(rig.made(), Call.START)

    def test_other_kinds_have_none(self) -> None:
        """A service that never chats has no chat."""
        rig = Rig(self)
        instance = rig.house.run(rig.house.services.find(rig.made(), None))
        plain = replace(instance, session=None, service="request-interaction")
        rig.house.fail(rig.house.permission.check(plain), NoChatHere)

    def test_session_hears_of_it(self) -> None:
        """The session is told that its chat has begun and that it is over."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.permission.published(f"agentavailable.{service_id}")
        chat = rig.house.call(service_id, Call.START)["chatSessionId"]
        rig.house.call(service_id, Call.DISCONNECT)
        heard = [(name, data) for name, data in rig.only()[1].events]
        self.assertEqual([name for name, _ in heard], ["gms.chat.started", "gms.chat.ended"])
        for _, data in heard:
            assert isinstance(data, dict)
            self.assertEqual(data["param"], {"chatSessionId": chat})

    def test_poke_url(self) -> None:
        """The agent's desktop finds ``poke_url`` among the chat's data."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)
        poke_url = rig.house.server.room.data["poke_url"]
        self.assertEqual(poke_url, f"http://localhost:8080/poke/{service_id}")

    def test_chat_outlives_the_session(self) -> None:
        """A session that ends leaves a chat that goes on its service."""
        rig = Rig(self)
        service_id = rig.made()
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)
        rig.house.run(rig.kind.session_over(service_id))
        rig.house.call(service_id, Call.REFRESH)
        rig.house.call(service_id, Call.DISCONNECT)
        rig.house.run(rig.kind.session_over(service_id))
        rig.house.fail(rig.house.services.find(service_id, None), ServiceNotFound)


class RaceTests(SynchronousTestCase):
    """What happens in between."""

    def test_deleted_while_it_starts(self) -> None:
        """A service deleted before ``gms.start`` is answered: the client hears how it went."""
        rig = Rig(self)
        answer: Deferred[Reply] = Deferred()
        rig.sessions.answers["gms.start"] = answer
        made = Deferred.fromCoroutine(rig.house.services.create(NAME, {}, None, ""))
        self.assertNoResult(made)
        service_id = rig.only()[0]
        rig.house.run(rig.house.services.delete(service_id, None))
        answer.errback(SessionOver("over"))
        self.failureResultOf(made, SessionOver)
        self.assertEqual(rig.records(), 0)

    def test_record(self) -> None:
        """Where the session runs is in the service's record, after a restart too."""
        rig = Rig(self)
        service_id = rig.made()
        again = ChatHouse(self, house=rig.house)
        instance = again.run(again.services.find(service_id, None))
        self.assertEqual(instance.session, SessionAt(service_id))
