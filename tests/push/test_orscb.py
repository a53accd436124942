"""Events for orchestration sessions."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import NoOrchestrator, SessionUnknown
from gms_twisted.app.outgoing import Unreachable
from gms_twisted.domain.errors import InvalidRequest, Unavailable
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected
from gms_twisted.push.orscb import OrchestrationCallbacks
from gms_twisted.simulators.gateway import Reply
from gms_twisted.transports.ors import OrchestrationServers
from tests.support.gateways import GATEWAY, Answering, Gateways, push
from tests.support.net import Silent

SESSION = DeviceId("EKUJPKAQ197CFA6SJQKTJ03DBG00001K")
SECOND, THIRD = "10.9.9.10", "10.9.9.11"


class OrchestrationTests(SynchronousTestCase):
    """Type ``orscb`` with an external Orchestration Server."""

    def setUp(self) -> None:
        """One server that takes everything."""
        self.house = Gateways()
        self.status = {GATEWAY: 200, SECOND: 200, THIRD: 200}
        self.asked: list[str] = []
        self.servers = {host: self.server(host) for host in self.status}
        self.transport = self.transport_to(GATEWAY)

    def server(self, host: str) -> Answering:
        """A server on port 7010."""

        def answer(call: object) -> Reply:
            self.asked.append(host)
            return Reply(self.status[host])

        made = Answering(answer)
        self.house.serve(made, host, 7010)
        return made

    def transport_to(self, *hosts: str, circular: bool = True) -> OrchestrationCallbacks:
        """A transport to some servers."""
        urls = [f"http://{host}:7010/" for host in hosts]
        servers = OrchestrationServers(self.house.net.gate, urls, circular=circular)
        return OrchestrationCallbacks(self.house.options, servers)

    def attempt(self, session: DeviceId = SESSION, hops: int = 0) -> Attempt:
        """Try once."""
        one = push("hé & x", device_id=session, hops=hops)
        return self.successResultOf(self.house.attempt(self.transport, one))

    def test_bytes(self) -> None:
        """Session and event are segments of the path, the message is a form's field."""
        self.assertEqual(self.attempt(), Delivered())
        (call,) = self.servers[GATEWAY].calls
        self.assertEqual(
            (call.method, call.path),
            ("POST", f"/scxml/session/{SESSION}/event/a2c.service.statuschanged"),
        )
        self.assertEqual(call.body, b"message=h%C3%A9+%26+x")
        self.assertEqual(call.media_type, "application/x-www-form-urlencoded")
        self.assertEqual(call.headers["x-notification-hops"], "1")
        self.assertEqual(call.headers["x-notification-id"], "e1.s1")

    def test_segments(self) -> None:
        """Whatever a session id holds, it stays one segment."""
        self.attempt(DeviceId("a/../b?c#d"))
        self.attempt(DeviceId(".."))
        paths = [call.path.split("/")[3] for call in self.servers[GATEWAY].calls]
        self.assertEqual(paths, ["a%2F..%2Fb%3Fc%23d", "%2E%2E"])

    def test_answers(self) -> None:
        """200, 202 and 204 are success; an unknown session is gone; 5xx is tried again."""
        expected: dict[int, Attempt] = {
            200: Delivered(),
            202: Delivered(),
            204: Delivered(),
            404: Rejected("SessionUnknown", dead=True),
            400: Rejected("HTTP400"),
            302: Rejected("HTTP302"),
            429: Again("Unavailable"),
            500: Again("Unavailable"),
        }
        for status, attempt in expected.items():
            self.status[GATEWAY] = status
            self.assertEqual(self.attempt(), attempt)

    def test_in_order(self) -> None:
        """State machines get their events in order."""
        self.assertTrue(self.transport.in_order)

    def test_hops(self) -> None:
        """An event may go round eight times, not more."""
        self.assertEqual(self.attempt(hops=7), Delivered())
        self.assertEqual(self.servers[GATEWAY].calls[0].headers["x-notification-hops"], "8")
        self.assertEqual(self.attempt(hops=8), Rejected("TooManyHops"))
        options = replace(self.house.options, orscb_max_depth=1)
        self.transport = OrchestrationCallbacks(options, NoOrchestrator())
        self.assertEqual(self.attempt(hops=1), Rejected("TooManyHops"))

    def test_next_server(self) -> None:
        """A server that fails is passed over; the one that took the event is asked first next."""
        self.transport = self.transport_to(GATEWAY, SECOND, THIRD)
        self.status[GATEWAY] = 503
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.attempt(), Delivered())
        self.assertEqual(self.asked, [GATEWAY, SECOND, SECOND])

    def test_silent_server(self) -> None:
        """A server that does not answer costs its time, then the next one is asked."""
        self.transport = self.transport_to(GATEWAY, SECOND)
        self.house.net.serve(Silent(), GATEWAY, 7010)
        running = self.house.attempt(self.transport, push(device_id=SESSION))
        self.house.net.advance(10.1)
        self.assertEqual(self.successResultOf(running), Delivered())

    def test_circular_and_linear(self) -> None:
        """Circular begins with the next server for each session, linear with the first."""
        self.transport = self.transport_to(GATEWAY, SECOND)
        for number in range(4):
            self.attempt(DeviceId(f"session-{number}"))
        self.assertEqual(self.asked, [GATEWAY, SECOND, GATEWAY, SECOND])
        self.asked.clear()
        self.transport = self.transport_to(GATEWAY, SECOND, circular=False)
        for number in range(3):
            self.attempt(DeviceId(f"session-{number}"))
        self.assertEqual(self.asked, [GATEWAY] * 3)

    def test_unknown_everywhere(self) -> None:
        """A session is unknown when every server says so, not when one of them is down."""
        self.transport = self.transport_to(GATEWAY, SECOND)
        self.status.update({GATEWAY: 404, SECOND: 404})
        self.assertEqual(self.attempt(), Rejected("SessionUnknown", dead=True))
        self.status[SECOND] = 500
        self.assertEqual(self.attempt(), Again("Unavailable"))
        self.status[SECOND] = 200
        self.assertEqual(self.attempt(), Delivered())

    def test_all_down(self) -> None:
        """When none can be reached, it is tried again."""
        self.transport = self.transport_to("10.9.9.98", "10.9.9.99")
        self.assertEqual(self.attempt(), Again("connect", connection=True))

    def test_target_refused(self) -> None:
        """A server on loopback is not asked unless all listeners are on loopback."""
        self.transport = self.transport_to("127.0.0.1")
        self.assertEqual(self.attempt(), Rejected("TargetRefused"))

    def test_no_servers(self) -> None:
        """A client without servers is a mistake."""
        self.assertRaises(ValueError, OrchestrationServers, self.house.net.gate, ())

    def test_N10_device(self) -> None:
        """A session id is text without blanks."""
        for device in ("", "a b", "x" * 4097, "a\n"):
            checking = self.transport.check(DeviceId(device), {})
            self.failureResultOf(self.house.net.run(checking), InvalidRequest)
        self.successResultOf(self.house.net.run(self.transport.check(SESSION, {})))


class Receiver:
    """Fails as it is told."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Fail, or not."""
        if self._error is not None:
            raise self._error


class ReceiverTests(SynchronousTestCase):
    """Whoever hosts the sessions, failures mean the same."""

    def test_table(self) -> None:
        """Each failure of a receiver."""
        house = Gateways()
        for error, expected in (
            (None, Delivered()),
            (SessionUnknown("x"), Rejected("SessionUnknown", dead=True)),
            (Unreachable("x", "busy"), Again("busy")),
            (Unavailable("x"), Again("Unavailable")),
        ):
            transport = OrchestrationCallbacks(house.options, Receiver(error))
            result = self.successResultOf(house.attempt(transport, push(device_id=SESSION)))
            self.assertEqual(result, expected)

    def test_nobody_orchestrates(self) -> None:
        """Without an orchestrator no session is known."""
        house = Gateways()
        transport = OrchestrationCallbacks(house.options, NoOrchestrator())
        result = self.successResultOf(house.attempt(transport, push(device_id=SESSION)))
        self.assertEqual(result, Rejected("SessionUnknown", dead=True))
