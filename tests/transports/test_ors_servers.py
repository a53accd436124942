"""The order in which Orchestration Servers are asked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import Servers
from gms_twisted.transports.ors_servers import MAX_HOMES, MAX_LISTS, ServerOrder

A, B, C, D = (f"http://{name}:7010" for name in "abcd")


def order_of(
    *urls: str, circular: bool = True, attempts: int = 10, services: tuple[Servers, ...] = ()
) -> ServerOrder:
    """Make an order."""
    return ServerOrder(Servers(urls, circular), attempts, services)


class StartTests(SynchronousTestCase):
    """Where a session is started."""

    def test_circular(self) -> None:
        """Each start begins with the next server, and goes round."""
        order = order_of(A, B, C)
        starts = [order.for_start() for _ in range(4)]
        self.assertEqual(starts, [[A, B, C], [B, C, A], [C, A, B], [A, B, C]])

    def test_linear(self) -> None:
        """Each start begins with the first."""
        order = order_of(A, B, circular=False)
        self.assertEqual([order.for_start() for _ in range(2)], [[A, B], [A, B]])

    def test_attempts(self) -> None:
        """No more servers than attempts, and no server twice for want of others."""
        order = order_of(A, B, C, attempts=2)
        self.assertEqual([order.for_start() for _ in range(2)], [[A, B], [B, C]])
        self.assertEqual(order_of(A, attempts=3).for_start(), [A])

    def test_urls(self) -> None:
        """Blanks and a slash at the end do not make another server."""
        self.assertEqual(order_of(f" {A}/ ", A, B).for_start(), [A, B])

    def test_none(self) -> None:
        """Without servers nobody is asked."""
        self.assertEqual((order_of().for_start(), order_of().for_session("s")), ([], []))

    def test_service(self) -> None:
        """A service's own servers are asked, by its own strategy, with turns of their own."""
        order = order_of(A, B)
        own, linear = Servers((C, D)), Servers((C, D), circular=False)
        starts = [order.for_start(one) for one in (own, None, linear, own)]
        self.assertEqual(starts, [[C, D], [A, B], [C, D], [D, C]])

    def test_service_with_a_strategy_only(self) -> None:
        """The servers are everybody's then."""
        order = order_of(A, B)
        linear = Servers((), circular=False)
        self.assertEqual([order.for_start(linear) for _ in range(2)], [[A, B], [A, B]])


class SessionTests(SynchronousTestCase):
    """Where a session is asked."""

    def test_home(self) -> None:
        """Its own server first, then the others of its list, whatever the strategy."""
        for circular in (True, False):
            order = order_of(A, B, C, circular=circular)
            for _ in range(2):
                self.assertEqual(order.for_session("s", B + "/"), [B, C, A])

    def test_attempts(self) -> None:
        """No more servers than attempts."""
        self.assertEqual(order_of(A, B, C, attempts=2).for_session("s", B), [B, C])

    def test_home_of_a_service(self) -> None:
        """Servers of a service stand in for each other, and for no others."""
        order = order_of(A, B, services=(Servers((C, D)),))
        self.assertEqual(order.for_session("s", C), [C, D])
        self.assertEqual(order.for_session("s", "http://gone:1"), ["http://gone:1"])

    def test_learned(self) -> None:
        """A list is known from its first start on."""
        order = order_of(A)
        order.for_start(Servers((C, D)))
        self.assertEqual(order.for_session("s", D), [D, C])

    def test_found(self) -> None:
        """A session that turned up at another server is asked there, until it is over."""
        order = order_of(A, B)
        order.found("s", B)
        self.assertEqual((order.home_of("s", A), order.for_session("s", A)), (B, [B, A]))
        order.over("s")
        self.assertEqual((order.home_of("s", A), order.for_session("s", A)), (A, [A, B]))

    def test_unknown_home(self) -> None:
        """All servers are asked, the default ones first; circular ones by turns."""
        order = order_of(A, B, services=(Servers((C,)),))
        asked = [order.for_session("s") for _ in range(2)]
        self.assertEqual(asked, [[A, B, C], [B, C, A]])
        self.assertEqual(order.for_start(), [A, B])
        order = order_of(A, B, circular=False)
        self.assertEqual([order.for_session("s") for _ in range(2)], [[A, B], [A, B]])


class BoundTests(SynchronousTestCase):
    """What is remembered is bounded."""

    def test_homes(self) -> None:
        """The oldest is forgotten."""
        order = order_of(A, B)
        for number in range(MAX_HOMES + 1):
            order.found(str(number), B)
        self.assertEqual(order.home_of("0"), "")
        self.assertEqual((order.home_of("1"), order.home_of(str(MAX_HOMES))), (B, B))

    def test_lists(self) -> None:
        """The oldest of services is forgotten, never the default one."""
        order = order_of(A, B)
        for number in range(MAX_LISTS):
            order.for_start(Servers((f"http://{number}", C)))
        self.assertEqual(order.for_session("s", "http://0"), ["http://0"])
        self.assertEqual(order.for_session("s", "http://1"), ["http://1", C])
        self.assertEqual(order.for_session("s", A), [A, B])

    def test_reconfigured(self) -> None:
        """Other lists count at once; where sessions are stays known."""
        order = order_of(A, B, services=(Servers((D,)),))
        order.found("s", B)
        order.reconfigure(Servers((B, C), circular=False), 1)
        self.assertEqual((order.for_start(), order.for_session("s")), ([B], [B]))
        self.assertEqual(order.everywhere, [B, C])
