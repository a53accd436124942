"""Services whose logic runs in another process, and what becomes of them when that one dies.

A server is the Orchestration Server of another one: it runs the sessions, has the numbers,
the agents and the calls, and sends the pushes.  What customers' programs see must be the
same as from one process.

Run with ``python -m twisted.trial tests.live.orchestration``; ``bin/test orchestration`` does.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.live.attacks import eventually
from tests.live.call_site import ANI, Answer, Centre, Program, is_empty, stored
from tests.live.callbacks import CallbackServer, well
from tests.live.push_attacks import sets, tell
from tests.live.server import Server
from tests.live.several import NODES
from tests.live.several import server as started

UNREACHABLE = (
    '{"exception":"com.genesyslab.gsg.services.ors.OrsServiceException",'
    '"message":"ORS request failed: cannot connect to ORS. IO issue."}'
)
"""The body that the reference prints, byte for byte."""

OPTIONS = sets("limits/exempt=127.0.0.1", "contact-centre/outbound_answer_after=0")
SAN_JOSE = {"_latitude": "37.3382", "_longitude": "-121.8863"}
OCEAN = {"_latitude": "30", "_longitude": "-45"}


class Site:
    """Where customers ask, and where their calls are.

    :param front: the server that customers' programs know.
    :param back: the one that runs the sessions.
    :ivar device: a callback of the customer's program.
    """

    def __init__(self, front: Server, back: Server, devices: CallbackServer) -> None:
        self.program, self.centre = Program(front.url), Centre(back.url)
        self.front, self.back = front, back
        self._devices = devices
        self.device = {"_device_os": "httpcb", "_device_notification_id": f"{devices.url}/x"}
        self.said: list[tuple[int, str]] = []

    def tags(self) -> list[str]:
        """Kinds of the events that have come, once each."""
        return list(dict.fromkeys(one.tag.split(".")[-2] for one in self._devices.got))

    def await_tag(self, kind: str) -> str:
        """Wait until an event of that kind has come; gives its text."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [one.text for one in self._devices.got if f".{kind}." in one.tag]
            return bool(found)

        assert eventually(there, 15.0), f"no {kind} came: {self.tags()}"
        return found[0]

    def forget(self) -> None:
        """A new customer comes: nobody is free, nothing was said."""
        self.said.clear()
        self._devices.got.clear()
        self.centre.agent("away")

    def note(self, answer: Answer) -> Answer:
        """Keep the shape of an answer."""
        self.said.append(answer.shape)
        return answer

    def create(self, service: str, **fields: str) -> str:
        """Create a service; gives its id, which may be none."""
        answer = self.note(self.program.create(service, **fields))
        return str(answer.json.get("_id", ""))

    def ask(self, service_id: str, request: str, **fields: str) -> Answer:
        """Ask a service."""
        return self.note(self.program.ask(service_id, request, **fields))

    def served(self, number: str) -> None:
        """The customer calls, talks, and hangs up."""
        self.centre.call(number)
        self.centre.hang_up(self.centre.only_call("talking"))

    def close(self) -> None:
        """Be gone."""
        self.program.close()
        self.centre.close()


def inbound_immediate(site: Site) -> None:
    """A number at once."""
    site.create("request-inbound-immediate", _phone_number="x")
    site.centre.agent("ready")
    answer = site.note(
        site.program.create("request-inbound-immediate", _phone_number=ANI, _provide_code="true")
    )
    made = answer.json
    site.ask(made["_id"], "status")
    site.ask(made["_id"], "update", language="fr")
    site.served(made["_access_number"])
    site.note(site.program.await_end(made["_id"]))


def inbound_delay(site: Site, service: str = "request-inbound-delay", **place: str) -> None:
    """A push with the number."""
    site.create(service, _phone_number=ANI, **place)
    service_id = site.create(service, _phone_number=ANI, **site.device, **place)
    site.await_tag("statuschanged")
    site.ask(service_id, "reserve")
    site.centre.agent("ready")
    text = site.await_tag("agentavailable")
    site.note(Answer(0, text))
    site.served(Answer(0, text).json["_access_number"])
    site.note(site.program.await_end(service_id))


def inbound_delay_location(site: Site) -> None:
    """The same, near by."""
    for place in ({}, {"_latitude": "x", "_longitude": "1"}, OCEAN):
        site.create("request-inbound-delay-location", **site.device, **place)
    inbound_delay(site, "request-inbound-delay-location", **SAN_JOSE)


def inbound_poll(site: Site) -> None:
    """A status to ask for, then a number."""
    service_id = site.create("request-inbound-poll", _phone_number=ANI)
    for request in ("status", "reserve", "accept", "nothing-such"):
        site.ask(service_id, request)
    site.centre.agent("ready")
    site.note(site.program.await_status(service_id, "available"))
    site.ask(service_id, "reserve", _latitude="91", _longitude="1")
    near = site.ask(service_id, "reserve", _provide_code="true", **SAN_JOSE).json
    site.served(near["_access_number"])
    site.note(site.program.await_end(service_id))


def outbound_immediate(site: Site) -> None:
    """Called at once."""
    for number in ("", "1"):
        site.create("request-outbound-immediate", _phone_number=number)
    site.centre.agent("ready")
    service_id = site.create("request-outbound-immediate", _phone_number=ANI)
    called(site, service_id)


def outbound_delay(site: Site) -> None:
    """A push, accepted, called."""
    service_id = site.create("request-outbound-delay", _phone_number=ANI, **site.device)
    site.await_tag("statuschanged")
    site.ask(service_id, "accept")
    site.centre.agent("ready")
    site.note(Answer(0, site.await_tag("agentavailable")))
    site.ask(service_id, "accept")
    called(site, service_id)


def outbound_poll(site: Site) -> None:
    """A status to ask for, accepted, called."""
    service_id = site.create("request-outbound-poll", _phone_number=ANI)
    site.ask(service_id, "status")
    site.ask(service_id, "accept")
    site.centre.agent("ready")
    site.note(site.program.await_status(service_id, "available"))
    site.ask(service_id, "accept")
    called(site, service_id)


def called(site: Site, service_id: str) -> None:
    """The customer is called, answers, and hangs up."""
    site.centre.customer(site.centre.only_call("dialing"), "answered")
    site.centre.hang_up(site.centre.only_call("talking"))
    site.note(site.program.await_end(service_id))


def chat_poll(site: Site, service: str = "request-chat-poll") -> None:
    """A status to ask for, a chat, a nudge."""
    service_id = site.create(service, _verbose="true", **site.device)
    site.ask(service_id, "status", _verbose="true")
    site.ask(service_id, "ixn/chat")
    site.ask(service_id, "internal-poke", poke_message="Still there?")
    site.centre.agent("ready")
    site.program.await_status(service_id, "available")
    site.ask(service_id, "status", _verbose="true")
    chat = site.program.ask(service_id, "ixn/chat", firstName="Peter")
    site.said.append((chat.status, " ".join(sorted(chat.json))))
    # The session hears of the chat a moment later.
    poked: list[Answer] = []

    def pokes() -> bool:
        poked.append(site.program.ask(service_id, "internal-poke", poke_message="Still there?"))
        return poked[-1].status == 200

    assert eventually(pokes, 15.0), poked[-1]
    site.note(poked[-1])
    site.note(Answer(0, site.await_tag("poke")))
    site.ask(service_id, "ixn/chat/disconnect")
    site.said.append((site.program.delete(service_id), "deleted"))
    site.ask(service_id, "status")


def advanced_chat_poll(site: Site) -> None:
    """The same by its other name."""
    chat_poll(site, "advanced-chat-poll")


FLOWS: tuple[Callable[[Site], None], ...] = (
    inbound_immediate,
    inbound_delay,
    inbound_delay_location,
    inbound_poll,
    outbound_immediate,
    outbound_delay,
    outbound_poll,
    chat_poll,
    advanced_chat_poll,
)


class ExternalCase(SynchronousTestCase):
    """With servers that run sessions for others."""

    def setUp(self) -> None:
        """Have a device."""
        self.devices = CallbackServer(well, keep=True)
        self.addCleanup(self.devices.close)
        self.options = (*OPTIONS, *sets(f"push/httpcb.allow=127.0.0.1:{self.devices.port}"))

    def server(self, *options: str) -> Server:
        """Start one."""
        server = started(*self.options, *sets(*options))
        self.addCleanup(server.__exit__, None, None, None)
        server.start()
        return server

    def front(self, *backs: str, more: tuple[str, ...] = ()) -> Server:
        """Start one whose sessions run elsewhere."""
        return self.server(f"server/_ors={','.join(backs)}", *more)

    def site(self, front: Server, back: Server) -> Site:
        """Both together."""
        site = Site(front, back, self.devices)
        self.addCleanup(site.close)
        return site

    def assert_nothing_left(self, *servers: Server) -> None:
        """No service, session, number or subscription is left."""
        for one in servers:
            if not eventually(functools.partial(is_empty, one), 10.0):
                self.fail(f"left: {stored(one)}")


class SameTests(ExternalCase):
    """One process or two."""

    def test_every_service(self) -> None:
        """Each answers the same, byte for byte apart from ids and numbers, and leaves nothing."""
        alone = self.server()
        back = self.server()
        front = self.front(back.url)
        one, two = self.site(alone, alone), self.site(front, back)
        answers = 0
        for flow in FLOWS:
            said = []
            for site in (one, two):
                site.forget()
                flow(site)
                said.append((list(site.said), site.tags()))
            self.assertEqual(said[0], said[1], flow.__name__)
            answers += len(one.said)
        for site in (one, two):
            self.assertEqual(site.centre.query("0" * 32), None)
            site.centre.agent("logout")
        self.assert_nothing_left(alone, back)
        # What ended over there is known here when somebody asks, or its time is over.
        self.assert_nothing_left(front)
        tell(f"{len(FLOWS)} services, {answers} answers ... ")
        for server in (alone, front, back):
            self.assertNotIn("Traceback", server.said)

    def test_deleted(self) -> None:
        """Deleting a service ends its session over there, and frees its number."""
        back = self.server()
        site = self.site(self.front(back.url), back)
        made = site.program.made("request-inbound-immediate", _phone_number=ANI)
        self.assertIsNotNone(site.centre.query(made["_id"]))
        self.assertEqual(stored(back)["held"], 2)
        self.assertEqual(site.program.delete(made["_id"]), 200)
        self.assertIsNone(site.centre.query(made["_id"]))
        self.assert_nothing_left(site.front, back)


class AwayTests(ExternalCase):
    """Servers that are away."""

    def test_killed_and_back(self) -> None:
        """Nobody there: 500 with the printed body; back again, its sessions go on."""
        back = self.server()
        site = self.site(self.front(back.url), back)
        polling = site.program.made("request-inbound-poll", _phone_number=ANI)["_id"]
        number = site.program.made("request-inbound-immediate", _phone_number="6504660001")
        back.kill()
        for answer in (
            site.program.create("request-inbound-poll"),
            site.program.ask(polling, "status"),
        ):
            self.assertEqual((answer.status, answer.body), (500, UNREACHABLE))
        back.start()
        site.close()
        self.assertEqual(site.program.ask(polling, "status").json["_status"], "waiting")
        site.centre.agent("ready")
        site.program.await_status(polling, "available")
        call = site.centre.call(number["_access_number"], "6504660001")
        site.centre.only_call("talking")
        site.centre.hang_up(call)
        site.program.await_end(number["_id"])
        self.assertEqual(site.program.delete(polling), 200)
        self.assert_nothing_left(site.front, back)
        self.assertNotIn("Traceback", site.front.said)

    def test_one_of_two(self) -> None:
        """With one of two servers dead all is well, in either order and by either strategy."""
        back = self.server()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for strategy in ("circular", "linear"):
            more = (f"server/_ors_lb_strategy={strategy}",)
            site = self.site(self.front(dead, back.url, more=more), back)
            ids = [site.program.made("request-inbound-poll")["_id"] for _ in range(4)]
            for service_id in ids:
                self.assertEqual(site.program.ask(service_id, "status").status, 200)
                self.assertEqual(site.program.delete(service_id), 200)
            site.front.stop()
        self.assert_nothing_left(back)

    def test_each_where_it_is(self) -> None:
        """Sessions are shared by two servers; each is asked where it is, over a restart too."""
        backs = [self.server(), self.server()]
        site = self.site(self.front(*(one.url for one in backs)), backs[0])
        ids = [site.program.made("request-inbound-poll")["_id"] for _ in range(6)]
        counts = [stored(one)["scxml-session"] for one in backs]
        # Each node in front takes its turns by itself.
        self.assertIn(sorted(counts), [[3, 3]] if NODES == 1 else [[3, 3], [2, 4], [1, 5], [0, 6]])
        site.front.restart()
        site.close()
        for service_id in ids:
            self.assertEqual(site.program.ask(service_id, "status").status, 200)
        backs[0].kill()
        answers = [site.program.ask(service_id, "status").status for service_id in ids]
        self.assertEqual(sorted(answers), [200] * counts[1] + [500] * counts[0])
        for service_id, status in zip(ids, answers, strict=True):
            if status == 200:
                self.assertEqual(site.program.delete(service_id), 200)
        self.assert_nothing_left(backs[1])
