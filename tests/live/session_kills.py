"""A power cut in the middle of services whose logic is a session (X09).

Each kind of waiting is under way when the server is killed: for an agent, for a call, for a
timer, for the end of an action, for a push to arrive.

Run with ``python -m twisted.trial tests.live.session_kills``; ``bin/test orchestration`` does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_records import BOOKING
from gms_twisted.app.service_records import SERVICE
from gms_twisted.app.session_records import SESSION
from tests.live.attacks import eventually
from tests.live.call_site import ANI, Centre, Program, is_empty, keys, stored
from tests.live.callbacks import OK, Callback, CallbackServer
from tests.live.canary import Wrong
from tests.live.push_attacks import sets, tell
from tests.live.several import server as started

BOOKING_S = 40
NUMBERS = tuple(f"+1650555010{number}" for number in range(4))
MANY = tuple(f"+1650556{number:04}" for number in range(400))

APPLICATION = """
<scxml version="1.0" initial="on" xmlns="http://www.w3.org/2005/07/scxml"
  xmlns:ws="http://www.genesyslab.com/modules/ws"
  xmlns:queue="http://www.genesyslab.com/modules/queue"
  xmlns:session="http://www.genesyslab.com/modules/session">
  <datamodel><data id="fired" expr="0"/><data id="done" expr="0"/><data id="request"/></datamodel>
  <state id="on">
    <transition event="gms.start">
      <ws:response requestid="_event.sendid" resultcode="JSON.stringify({'_id': _sessionid})"/>
      <send event="'ring'" delay="_data._delay + 's'"/>
    </transition>
    <transition event="act">
      <session:fetch requestid="_data.request" srcexpr="_data._url" timeout="8"/>
      <ws:response requestid="_event.sendid" resultcode="'begun'"/>
    </transition>
    <transition event="session.fetch.done error.session.fetch"
      cond="_event.data.requestid === _data.request">
      <assign location="_data.done" expr="_data.done + 1"/>
    </transition>
    <transition event="ring">
      <assign location="_data.fired" expr="_data.fired + 1"/>
      <session:fetch srcexpr="_data._url + '/ring/' + _sessionid"/>
    </transition>
    <transition event="status">
      <ws:response requestid="_event.sendid"
        resultcode="JSON.stringify({'_status': _data.fired + ' ' + _data.done})"/>
    </transition>
    <transition event="stop" target="off">
      <ws:response requestid="_event.sendid" resultcode="'over'"/>
    </transition>
  </state>
  <final id="off"/>
</scxml>
"""
"""Rings after ``_delay`` seconds, at ``_url``, which ``act`` also asks; ``_status`` counts both."""


class KillCase(SynchronousTestCase):
    """One server, and a web that can be silent."""

    def setUp(self) -> None:
        """Start them."""
        folder = TemporaryDirectory(prefix="gms-live-")
        self.addCleanup(folder.cleanup)
        application = Path(folder.name) / "ring.scxml"
        application.write_text(APPLICATION)
        self.up = threading.Event()
        self.web = CallbackServer(self.behave, keep=True)
        self.addCleanup(self.web.close)
        self.stamps: list[tuple[float, str]] = []
        self.server = started(
            *sets(
                "limits/exempt=127.0.0.1",
                "contact-centre/outbound_answer_after=0",
                f"push/httpcb.allow=127.0.0.1:{self.web.port}",
                "push/retry.background=true",
                f"ors/document_roots={folder.name}",
                "service.ring/_type=ors",
                f"service.ring/_service={application.as_uri()}",
                "resource.FEW/_allocation_strategy=LOCAL",
                f"resource.FEW/_booking_expiration_timeout={BOOKING_S}",
                *(f"resource.FEW/number{at}={number}" for at, number in enumerate(NUMBERS)),
                "resource.MANY/_allocation_strategy=LOCAL",
                *(f"resource.MANY/number{at}={number}" for at, number in enumerate(MANY)),
                "service.request-inbound-immediate/_resource_group=FEW",
                "service.many/_type=ors",
                "service.many/_service=request-inbound-immediate",
                "service.many/_resource_group=MANY",
                "service.request-inbound-poll/_resource_group=FEW",
            )
        )
        self.addCleanup(self.server.__exit__, None, None, None)
        self.server.start()
        self.program, self.centre = Program(self.server.url), Centre(self.server.url)
        self.addCleanup(self.program.close)
        self.addCleanup(self.centre.close)
        self.device = {"_device_os": "httpcb", "_device_notification_id": f"{self.web.url}/device"}

    def behave(self, connection: socket.socket, callback: Callback) -> bool:
        """Note when somebody asked; do not answer a word before the power is back."""
        self.stamps.append((time.time(), callback.path))
        if not self.up.is_set() and not callback.path.startswith("/ring"):
            connection.settimeout(20.0)
            connection.recv(1)
            return False
        connection.sendall(OK)
        return True

    def restart(self) -> None:
        """The power is back."""
        self.server.start()
        self.up_at = time.time()
        self.program.close()
        self.centre.close()


class WaitingTests(KillCase):
    """Killed while everything waits."""

    def ring(self, delay_s: float) -> str:
        """Start a session that rings after so long."""
        made = self.program.made("ring", _delay=str(delay_s), _url=f"{self.web.url}/page")
        return str(made["_id"])

    def rung(self, session_id: str) -> list[float]:
        """When it has."""
        return [at for at, path in self.stamps if path.endswith(f"/ring/{session_id}")]

    def status(self, service_id: str) -> str:
        """The status that a service tells."""
        return str(self.program.ask(service_id, "status").json["_status"])

    def tags(self) -> Counter[str]:
        """What has come to the device: the last two parts of the tags."""
        found = [one.tag.split(".")[-2:] for one in self.web.got if one.path == "/device"]
        return Counter(".".join(parts) for parts in found)

    def test_X09_R01_everything_under_way(self) -> None:
        """Timers fire once, at their time; numbers stay held; what was asked and owed is done."""
        program, centre = self.program, self.centre
        began = time.time()
        in_time, overdue = self.ring(12.0), self.ring(2.0)
        acting = self.ring(300.0)
        self.assertEqual(program.ask(acting, "act").body, "begun")
        polling = program.made("request-inbound-poll", _phone_number=ANI)["_id"]
        chatting = program.made("request-chat-poll")["_id"]
        outbound = program.made("request-outbound-poll", _phone_number=ANI)["_id"]
        reserved = program.made("request-inbound-immediate", _phone_number="6504660001")
        expiring = program.made("request-inbound-immediate", _phone_number="6504660002", _ttl="4")
        # The service answers only when its device is subscribed; the push follows.
        delayed = program.made("request-inbound-delay", _phone_number="6504660003", **self.device)
        waiting = f"statuschanged.{delayed['_id']}"
        self.assertTrue(eventually(lambda: bool(self.tags()[waiting]), 5.0), "no push is tried")
        self.assertLess(time.time(), began + 2.0, "too slow: the timer is not overdue")
        before = stored(self.server)
        self.server.kill()
        time.sleep(max(0.0, began + 5.0 - time.time()))
        self.up.set()
        self.restart()
        # Timers.
        self.assertTrue(eventually(lambda: bool(self.rung(overdue)), 5.0), "it never rang")
        self.assertEqual(self.status(overdue), "1 0")
        self.assertTrue(eventually(lambda: bool(self.rung(in_time)), 10.0), "it never rang")
        [rung] = self.rung(in_time)
        # Several nodes may take longer than that to be sure that those before are dead.
        late_s = rung - max(began + 12.0, self.up_at)
        self.assertTrue(rung >= began + 12.0 and late_s < 2.0, late_s)
        # What was asked for is asked for again, and told of once.
        self.assertTrue(eventually(lambda: self.status(acting) == "0 1", 5.0))
        # The push that was owed; once more is no fault, never would be one.
        self.assertTrue(
            eventually(
                lambda: any("/device" in path for at, path in self.stamps if at > began + 5), 20.0
            ),
            "the push never came",
        )
        # Services wait on, numbers are held.
        for service_id in (polling, chatting, outbound):
            self.assertIn("waiting", program.ask(service_id, "status").body)
        taken = reserved["_access_number"]
        others = [
            program.create("request-inbound-immediate", _phone_number=f"650466100{number}")
            for number in range(5)
        ]
        given = [one.json["_access_number"] for one in others if one.status == 200]
        self.assertNotIn(taken, given)
        self.assertEqual(len(given), 3)
        self.assertEqual(program.await_end(expiring["_id"]).status, 404)
        # Everything to its end.
        centre.agent("ready")
        call = centre.call(taken, "6504660001")
        centre.only_call("talking")
        centre.hang_up(call)
        self.assertEqual(program.await_end(reserved["_id"]).status, 404)
        program.await_status(polling, "available")
        program.await_status(outbound, "available")
        ids = [one.json["_id"] for one in others if one.status == 200]
        for service_id in (polling, chatting, outbound, delayed["_id"], *ids):
            self.assertEqual(program.delete(service_id), 200)
        for service_id in (in_time, overdue, acting):
            self.assertEqual(program.ask(service_id, "stop").status, 200)
        self.assertTrue(eventually(lambda: is_empty(self.server), 10.0), stored(self.server))
        self.assertEqual([len(self.rung(one)) for one in (in_time, overdue, acting)], [1, 1, 0])
        tell(
            f"{before['scxml-session']} sessions killed; a timer {1000 * late_s:.0f} ms late, "
            f"{len(self.web.got)} requests to the web ... "
        )
        self.assertNotIn("Traceback", self.server.said)


class CreationTests(KillCase):
    """Killed while services are made."""

    def test_R01_whole_or_not_at_all(self) -> None:
        """What was answered is there, with its number; nothing is there by half."""
        made: list[tuple[str, str]] = []
        stop = threading.Event()

        def create(first: int) -> None:
            program = Program(self.server.url)
            # Wrong: what a balancer says once nobody is there.
            with contextlib.suppress(HTTPException, OSError, Wrong):
                for number in range(first, len(MANY), 4):
                    if stop.is_set():
                        break
                    said = program.made("many", _phone_number=f"650467{number:04}", a="b")
                    made.append((said["_id"], said["_access_number"]))
            program.close()

        threads = [
            threading.Thread(target=create, args=(first,), daemon=True) for first in range(4)
        ]
        for one in threads:
            one.start()
        self.assertTrue(eventually(lambda: len(made) >= 100, 20.0), "too slow")
        self.server.kill()
        stop.set()
        for one in threads:
            one.join(10.0)
        self.assertLess(len(made), len(MANY), "it was killed too late")
        self.restart()
        self.assertEqual(len({number for _, number in made}), len(made))
        for service_id, _ in made:
            # It has no such request, but it is there.
            self.assertIn("unknown_request", self.program.ask(service_id, "status").body)
            self.assertEqual(self.centre.query(service_id)["state"][-1], "waiting_for_call")
        services, sessions, bookings = (
            keys(self.server, kind) for kind in (SERVICE, SESSION, BOOKING)
        )
        self.assertEqual(services, sessions)
        self.assertLessEqual({one for one, _ in made}, services)
        self.assertGreaterEqual(len(bookings), len(made))
        for service_id in services:
            self.assertEqual(self.program.delete(service_id), 200)
        self.assertTrue(eventually(lambda: is_empty(self.server), 10.0), stored(self.server))
        tell(f"{len(made)} answered, {len(services)} there ... ")
        self.assertNotIn("Traceback", self.server.said)
