"""One node has applied its configuration, and the others read theirs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.nodes import Alone
from gms_twisted.app.reloads import KIND, Configured, Reloads
from tests.support.log_lines import LogLines
from tests.support.nodes import MemoryNode, Network
from tests.support.sources import ManualWallClock

AWAY = "has not answered whether it has read its configuration"


class ReloadsTests(SynchronousTestCase):
    """Machines 1, 2 and 3; the second has two workers."""

    def setUp(self) -> None:
        """Nobody refuses."""
        self.network = Network()
        self.log = LogLines(self)
        self.read: list[int] = []
        self.refused: dict[int, str] = {}
        self.reloads = {
            number: self.made(self.network.node(f"run{number}"), number)
            for number in (1, 202, 201, 3)
        }

    def made(self, node: MemoryNode, number: int) -> Reloads:
        """What a node with a number has."""
        node.node = number

        def read() -> str:
            self.read.append(number)
            return self.refused.get(number, "")

        return Reloads(node, read, is_worker=number > 100)

    def tell(self, number: int) -> None:
        """Have one tell all others."""
        self.successResultOf(Deferred.fromCoroutine(self.reloads[number].tell_others()))

    def test_all_others_read_theirs(self) -> None:
        """Each once, and none tells others."""
        self.tell(1)
        self.assertEqual(sorted(self.read), [3, 201, 202])
        expected = [f"Configuration applied by node {node} (host-{node})" for node in (3, 201, 202)]
        asked = ["Node 1 has applied its configuration: reads ours again"] * 3
        self.assertEqual(sorted(self.log.lines(LogLevel.info)), sorted([*expected, *asked]))
        self.assertEqual(self.log.lines(), [])

    def test_a_worker_leaves_its_machine_to_the_parent(self) -> None:
        """It tells those of other machines."""
        self.tell(202)
        self.assertEqual(sorted(self.read), [1, 3])

    def test_what_the_first_of_a_machine_refuses(self) -> None:
        """Its other workers never see; other machines do."""
        self.refused[201] = "gms.ini:7: http/max_body: much is no number"
        self.tell(1)
        self.assertEqual(sorted(self.read), [3, 201])
        expected = (
            "Configuration not applied by node 201 (host-201), the old one stays there: "
            "gms.ini:7: http/max_body: much is no number"
        )
        self.assertEqual(self.log.lines(LogLevel.error), [expected])

    def test_out_of_reach(self) -> None:
        """A node that cannot be told is named; the others are told."""
        self.network.nodes["run1"].cut_from.add("run201")
        self.tell(1)
        self.assertEqual(sorted(self.read), [3, 202])
        (line,) = self.log.lines()
        self.assertIn(f"Node 201 (host-201) {AWAY}", line)

    def test_an_answer_that_is_none(self) -> None:
        """As from another version."""

        async def stammer(run: str, payload: bytes) -> bytes:
            return b"[]"

        self.network.nodes["run3"].serve_async(KIND, stammer)
        self.tell(1)
        (line,) = self.log.lines()
        self.assertIn(f"Node 3 (host-3) {AWAY}", line)

    def test_all_machines_at_once(self) -> None:
        """One that is slow holds up no other."""
        slow: Deferred[bytes] = Deferred()

        async def wait(run: str, payload: bytes) -> bytes:
            return await slow

        self.network.nodes["run3"].serve_async(KIND, wait)
        telling = Deferred.fromCoroutine(self.reloads[1].tell_others())
        self.assertEqual(self.read, [201, 202])
        self.assertNoResult(telling)
        slow.callback(b'{"refused": ""}')
        self.successResultOf(telling)

    def test_alone(self) -> None:
        """There is nobody to tell."""
        alone = Reloads(Alone(), lambda: "", is_worker=False)
        self.successResultOf(Deferred.fromCoroutine(alone.tell_others()))
        self.assertEqual(self.log.events, [])


class ConfiguredTests(SynchronousTestCase):
    """Since when a configuration counts."""

    def test_applied_and_refused(self) -> None:
        """A refusal changes nothing but that it is known, until one is applied."""
        clock = Clock()
        configured = Configured(ManualWallClock(clock, 100.0))
        clock.advance(5)
        configured.was_read("")
        clock.advance(5)
        configured.was_read("gms.ini:7: no")
        self.assertEqual((configured.at, configured.refused), (105.0, "gms.ini:7: no"))
        configured.was_read("")
        self.assertEqual((configured.at, configured.refused), (110.0, ""))
