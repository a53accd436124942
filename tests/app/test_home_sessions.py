"""Tests of the Bayeux sessions that only one of several nodes has."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.home_sessions import HomeSessions, handshake_owner
from gms_twisted.app.interfaces import BayeuxCaller, HandshakeRefused
from gms_twisted.app.nodes import HOME, Alone
from gms_twisted.bayeux.codec import Message
from tests.support.bayeux import Client, World
from tests.support.nodes import Network

DESK = {"desk": {"ticket": "one"}}
OPS = {"ops": {"ticket": "one"}}


class OwnerTests(SynchronousTestCase):
    """Whose a handshake is."""

    def test_home(self) -> None:
        """One with a ticket of the desk or the operator page belongs to home."""
        tickets: list[object] = [DESK, OPS, {**DESK, "ack": True}, {"desk": {}}, {"ops": "odd"}]
        for ext in tickets:
            message: Message = {"channel": "/meta/handshake", "version": "1.0", "ext": ext}
            self.assertEqual(handshake_owner(message), HOME, ext)

    def test_anybody(self) -> None:
        """Customers' sessions may be anywhere."""
        odd: list[object] = [None, {}, {"token": "x"}, {"desk": None}, "desk", ["desk"]]
        for ext in odd:
            message: Message = {"channel": "/meta/handshake", "ext": ext}
            self.assertIsNone(handshake_owner(message), ext)
        self.assertIsNone(handshake_owner({"channel": "/meta/handshake"}))

    def test_no_handshake(self) -> None:
        """Other messages belong to their session's node, whatever they say."""
        for channel in ("/meta/connect", "/service/desk", None, 1):
            self.assertIsNone(handshake_owner({"channel": channel, "ext": DESK}))


class HomeSessionTests(SynchronousTestCase):
    """Where they may be."""

    def setUp(self) -> None:
        """Two nodes, each with a Bayeux server; the first is home."""
        network = Network()
        self.network = network
        self.nodes = [network.node("one"), network.node("two")]
        self.successResultOf(Deferred.fromCoroutine(network.own("one")))
        self.worlds = [World(), World()]
        self.homes: list[HomeSessions] = []
        for node, world in zip(self.nodes, self.worlds, strict=True):
            self.homes.append(HomeSessions(node, world.comet))
            world.comet.on_handshake(self.redeem)

    def redeem(self, caller: BayeuxCaller, ext: Mapping[str, object]) -> None:
        """Take the ticket, as the desk does."""
        for page in ("desk", "ops"):
            ticket = ext.get(page)
            if isinstance(ticket, dict):
                if ticket["ticket"] != "one":
                    raise HandshakeRefused("No.")
                caller.attachments[page] = ticket

    def clients(self, number: int) -> list[Client]:
        """One for each transport."""
        world = self.worlds[number]
        return [world.poll(), world.socket()]

    def test_at_home(self) -> None:
        """The home node has them."""
        for client in self.clients(0):
            for ext in (DESK, OPS):
                self.assertTrue(client.handshake(ext=ext)["successful"])

    def test_elsewhere(self) -> None:
        """Any other refuses what is not carried, in a way that the page tries again."""
        for client in self.clients(1):
            for ext in (DESK, OPS):
                reply = client.handshake(ext=ext)
                self.assertFalse(reply["successful"])
                self.assertEqual(reply["advice"], {"reconnect": "retry", "interval": 1000})
                code = reply["ext"]["gms"]["exception"]
                self.assertEqual(code, "gms.bayeux.handshake_elsewhere")
        self.assertEqual(len(self.worlds[1].server.sessions), 0)

    def test_carried_to(self) -> None:
        """A handshake that can be carried goes to home, unless nobody is."""
        desk: Message = {"channel": "/meta/handshake", "ext": DESK}
        customer: Message = {"channel": "/meta/handshake", "ext": {}}
        here, there = self.homes
        self.assertEqual((here.run_of(desk), there.run_of(desk)), ("", "one"))
        self.assertEqual((here.run_of(customer), there.run_of(customer)), ("", ""))
        self.network.owners.clear()
        self.assertEqual(there.run_of(desk), "")

    def test_customers(self) -> None:
        """They are welcome at both."""
        for number in (0, 1):
            for client in self.clients(number):
                self.assertTrue(client.handshake(ext={"ack": True})["successful"])

    def test_refused_for_another_reason(self) -> None:
        """A bad ticket is final, as ever."""
        (client, _) = self.clients(0)
        reply = client.handshake(ext={"desk": {"ticket": "two"}})
        self.assertEqual(reply["advice"], {"reconnect": "none"})

    def test_home_moves(self) -> None:
        """Pages are told to shake hands anew, customers notice nothing."""
        pages = self.clients(0)
        customer = self.worlds[0].poll()
        customer.online("/a")
        for page, ext in zip(pages, (DESK, OPS), strict=True):
            page.online(ext=ext)
            page.take()
        gone: list[str] = []
        for caller in self.worlds[0].comet.bound("desk"):
            caller.when_gone(lambda: gone.append("desk"))
        self.successResultOf(Deferred.fromCoroutine(self.network.own("two", HOME)))
        for page in pages:
            (last,) = page.take()
            self.assertEqual(last["channel"], "/meta/connect")
            self.assertEqual(last["advice"]["reconnect"], "handshake")
            (unknown,) = page.connect()
            self.assertTrue(unknown["error"].startswith("402:"))
        self.assertEqual(gone, ["desk"])
        self.assertEqual(customer.take(), [])
        self.assertEqual(len(self.worlds[0].server.sessions), 1)
        self.assertTrue(self.worlds[1].poll().handshake(ext=DESK)["successful"])
        self.assertFalse(self.worlds[0].poll().handshake(ext=DESK)["successful"])

    def test_other_shards_move(self) -> None:
        """Nobody is sent away for them."""
        (page, _) = self.clients(0)
        page.online(ext=DESK)
        name = next(f"id-{n}" for n in range(99) if self.nodes[0].shard(f"id-{n}") != self.home)
        self.successResultOf(Deferred.fromCoroutine(self.network.own("two", name)))
        self.assertEqual(page.take(), [])

    @property
    def home(self) -> str:
        """The shard of home."""
        return self.nodes[0].shard(HOME)

    def test_alone(self) -> None:
        """One process has them all."""
        world = World()
        HomeSessions(Alone(), world.comet)
        self.assertTrue(world.poll().handshake(ext=DESK)["successful"])
