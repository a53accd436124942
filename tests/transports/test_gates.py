"""One gate for each kind of target."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer, Limits, TargetRefused
from gms_twisted.push.tls import client_tls
from gms_twisted.transports.gates import Gates
from gms_twisted.transports.outgoing import OutgoingGate
from gms_twisted.transports.targets import AllowList, Policy
from tests.support.house import HouseReactor

LIMITS = Limits(connect_s=2.0, total_s=5.0)


class GatesTests(SynchronousTestCase):
    """Callbacks, browsers and gateways."""

    def setUp(self) -> None:
        """Gates with room for two connections each."""
        self.reactor = HouseReactor()
        self.gates = Gates(self.reactor, Policy(AllowList()), client_tls, per_route=1, total=2)
        self.addCleanup(self.gates.close)

    def post(self, gate: OutgoingGate, host: str, *, configured: bool = False) -> Deferred[Answer]:
        """Ask an address that says nothing."""
        asking: Deferred[Answer] = Deferred.fromCoroutine(
            gate.request("POST", f"http://{host}/", {}, b"", LIMITS, configured=configured)
        )
        asking.addErrback(lambda ignored: None)
        return asking

    def hosts(self) -> list[Any]:
        """The addresses that were dialled."""
        return [one[0] for one in self.reactor.tcpClients]

    def test_silent_callbacks_hold_up_nobody_else(self) -> None:
        """They take all connections that callbacks may have, and none of a gateway's."""
        for number in range(5):
            self.post(self.gates.callbacks, f"93.184.216.{number + 1}")
        self.assertEqual(len(self.hosts()), 2)
        self.post(self.gates.gateways, "10.0.0.9", configured=True)
        self.post(self.gates.browsers, "93.184.216.99")
        self.assertEqual(self.hosts()[2:], ["10.0.0.9", "93.184.216.99"])

    def test_reconfigure(self) -> None:
        """All go by the new rules and limits, and who waits gains by them at once."""
        for number in range(5):
            self.post(self.gates.callbacks, f"93.184.216.{number + 1}")
        with self.assertRaises(TargetRefused):
            self.gates.browsers._judged("http://10.0.0.9/", False)
        self.gates.reconfigure(Policy(AllowList(("10.0.0.0/8",))), 1, 4)
        self.assertEqual(len(self.hosts()), 4)
        self.gates.browsers._judged("http://10.0.0.9/", False)
