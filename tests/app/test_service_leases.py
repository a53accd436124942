"""Services and their sessions are put together, and taken apart, by the session's owner only."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Call
from gms_twisted.app.nodes import Alone
from gms_twisted.app.orchestration import SessionAt, SessionUnknown
from gms_twisted.app.orchestrators import Orchestrators
from gms_twisted.app.session_chats import SessionChats
from gms_twisted.app.shared_sessions import PAUSES_S
from gms_twisted.domain.errors import NodeAway
from gms_twisted.store.interfaces import ConditionFailed, LeaseHeld
from tests.app.test_orchestrated import URL, Rig
from tests.support.sessions import FakeSessions


class Leases(Alone):
    """Everything is ours, as far as we know.

    :ivar epoch: 0 is what the store in memory holds, any other one is lost.
    """

    def __init__(self) -> None:
        self.epoch = 0

    def conditions(self, name: str) -> tuple[LeaseHeld, ...]:
        """One, whatever the name is."""
        return (LeaseHeld("shard:1", self.epoch),)


class LeaseTests(SynchronousTestCase):
    """What is written is under the lease of the session."""

    def setUp(self) -> None:
        """A house with one orchestrated service."""
        self.rig = Rig(self)
        self.leases = Leases()
        self.rig.kind._nodes = self.leases

    def there(self, service_id: str) -> bool:
        """Whether a service is."""
        return self.rig.house.run(self.rig.house.services.peek(service_id)) is not None

    def test_created(self) -> None:
        """A service whose session has moved before it was stored is not made: not now."""
        self.rig.made()
        before = self.rig.records()
        self.leases.epoch = 1
        self.rig.refused(NodeAway)
        self.assertEqual(self.rig.records(), before)
        self.assertEqual(len(self.rig.sessions.ended), 1)

    def test_adopted(self) -> None:
        """Nor is one for a session that was started for another."""
        self.leases.epoch = 1
        work = self.rig.kind.adopt(SessionAt("S" * 32), URL, {})
        self.rig.house.fail(work, NodeAway)
        self.assertFalse(self.there("S" * 32))
        self.leases.epoch = 0
        self.rig.house.run(self.rig.kind.adopt(SessionAt("S" * 32), URL, {}))
        self.assertTrue(self.there("S" * 32))

    def test_over(self) -> None:
        """A former owner takes no service away."""
        service_id = self.rig.made()
        self.leases.epoch = 1
        self.rig.house.fail(self.rig.kind.session_over(service_id), ConditionFailed)
        self.rig.house.run(self.rig.kind.forget_lost(lambda _: True, lambda _: False))
        self.assertTrue(self.there(service_id))
        self.leases.epoch = 0
        self.rig.house.run(self.rig.kind.forget_lost(lambda _: False, lambda _: False))
        self.assertTrue(self.there(service_id))
        self.rig.house.run(self.rig.kind.session_over(service_id))
        self.assertFalse(self.there(service_id))

    def test_unknown_by_then(self) -> None:
        """A session that was unknown to its former owner is not lost: not now."""
        service_id = self.rig.made()
        self.rig.sessions.sessions.clear()
        self.leases.epoch = 1
        asked = self.rig.house.services.request(service_id, "status", {}, None)
        self.rig.house.fail(asked, NodeAway)
        self.assertTrue(self.there(service_id))

    def test_away(self) -> None:
        """While its session is between two nodes a service is neither asked nor deleted."""
        service_id = self.rig.made()
        self.rig.sessions.answers["status"] = NodeAway("no")
        asked = self.rig.house.services.request(service_id, "status", {}, None)
        self.rig.house.fail(asked, NodeAway)
        held = self.rig.sessions.held = Deferred[None]()
        deleting = Deferred.fromCoroutine(self.rig.house.services.delete(service_id, None))
        held.errback(NodeAway("no"))
        self.failureResultOf(deleting, NodeAway)
        self.assertTrue(self.there(service_id))

    def test_elsewhere(self) -> None:
        """Sessions of other servers have no owner among us."""
        self.leases.epoch = 1
        self.rig.sessions.home = "http://ors1.example:7210"
        service_id = self.rig.made()
        self.rig.house.run(self.rig.kind.session_over(service_id))
        self.assertFalse(self.there(service_id))


class Moving(FakeSessions):
    """Sessions that are between two nodes for so many tries."""

    tries = 0

    async def tell(self, session: SessionAt, name: str, parameters: object) -> None:
        """Take one, or not now."""
        self.tries -= 1
        if self.tries >= 0:
            raise NodeAway("no")
        assert isinstance(parameters, dict)
        await super().tell(session, name, parameters)


class NewsTests(SynchronousTestCase):
    """News of a chat reaches a session that moves."""

    def told(self, tries: int) -> list[str]:
        """Start a chat while its session moves; what the session has heard in the end."""
        rig = Rig(self)
        moving = Moving()
        moving.tries = tries
        rig.house.keeper.listener = SessionChats(moving, rig.house.tasks, rig.house.clock)
        service_id = rig.made()
        moving.sessions = rig.sessions.sessions
        rig.house.permission.published(f"agentavailable.{service_id}")
        rig.house.call(service_id, Call.START)
        for pause_s in PAUSES_S:
            rig.house.clock.advance(pause_s)
        return [name for name, _ in rig.only()[1].events]

    def test_told_again(self) -> None:
        """It is told again for some seconds, and once in the end."""
        for tries in (0, 1, len(PAUSES_S)):
            self.assertEqual(self.told(tries), ["gms.chat.started"])
        self.assertEqual(self.told(len(PAUSES_S) + 1), [])


class Receiver:
    """Takes events for its sessions.

    :ivar taken: what it took.
    """

    def __init__(self, *sessions: str) -> None:
        self.sessions = sessions
        self.taken: list[str] = []
        self.fault: Exception | None = None

    def has(self, session_id: str) -> bool:
        """It may have any."""
        return True

    async def receive(
        self, session_id: str, event: str, message: str, hops: int, push_id: str
    ) -> None:
        """Take one."""
        if self.fault is not None:
            raise self.fault
        if session_id not in self.sessions:
            raise SessionUnknown("no")
        self.taken.append(event)


class ReceiverTests(SynchronousTestCase):
    """Pushes to sessions, with other servers beside us."""

    def test_ours_or_theirs(self) -> None:
        """What no node of ours knows goes to the others; what may be ours just now waits."""
        ours, theirs = Receiver("a"), Receiver("b")
        both = Orchestrators(ours, None)  # type: ignore[arg-type]  # only receives
        for id_ in ("a", "b"):
            receiving = Deferred.fromCoroutine(both.receive(id_, f"1{id_}", "m", 1, "p"))
            if id_ == "b":
                self.failureResultOf(receiving, SessionUnknown)
        both.events = theirs
        for id_ in ("a", "b"):
            self.successResultOf(Deferred.fromCoroutine(both.receive(id_, f"2{id_}", "m", 1, "p")))
        self.assertEqual((ours.taken, theirs.taken), (["1a", "2a"], ["2b"]))
        ours.fault = NodeAway("no")
        waiting = Deferred.fromCoroutine(both.receive("b", "3b", "m", 1, "p"))
        self.failureResultOf(waiting, NodeAway)
        self.assertEqual(theirs.taken, ["2b"])
