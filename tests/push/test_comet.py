"""Pushes to users on Bayeux."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.interfaces import Offered
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.notifications import NotificationType, Outcome, Push
from gms_twisted.push.comet import MAX_MESSAGE_BYTES, CometPusher
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.push.senders import labels_of
from tests.support.bayeux import World
from tests.support.transports import make_push

BUZZ = GmsUser("Buzz")


def comet_push(message: str = "hello", user: str | None = "Buzz") -> Push:
    """A push to a user."""
    return make_push("Buzz", notification_type=NotificationType.COMET, message=message, user=user)


class CometTests(SynchronousTestCase):
    """Over the real Bayeux server."""

    def setUp(self) -> None:
        """Build it; three events are kept for whoever is away."""
        self.world = World(keep_max=3)
        self.counters = Counters()
        counts = SenderCounts(self.counters, labels_of("comet"))
        self.pusher = CometPusher(self.world.comet, counts)

    def receiver(self, user: str = "Buzz") -> Any:
        """A session of a user that receives events; with what it was handed first."""
        client: Any = self.world.socket(user)
        client.handshake()
        client.first = [
            one["data"]
            for one in client.ask("/meta/subscribe", subscription="/_genesys")
            if one["channel"] == "/_genesys"
        ]
        return client

    def events(self, client: Any) -> list[Any]:
        """What a client has received since then."""
        self.world.turn()
        return [one["data"] for one in client.take()]

    def push(self, push: Push) -> Outcome:
        """Push, at once."""
        return self.successResultOf(Deferred.fromCoroutine(self.pusher.push(push, 5.0)))

    def test_envelope(self) -> None:
        """``{"id", "message", "tag"}`` on ``/_genesys``, for each session of the user."""
        one, two = self.receiver(), self.receiver()
        other = self.receiver("Woody")
        self.assertEqual(self.push(comet_push()), Outcome(True))
        for client in (one, two):
            (event,) = self.events(client)
            self.assertEqual(event, {"id": "e" * 32, "message": "hello", "tag": "a.b"})
        self.assertEqual(self.events(other), [])

    def test_kept(self) -> None:
        """What is kept for a user who is away counts as delivered, and is delivered."""
        self.assertTrue(self.push(comet_push()).delivered)
        client = self.receiver()
        self.assertEqual([one["message"] for one in client.first], ["hello"])

    def test_buffer_full(self) -> None:
        """What does not fit is not delivered, and what was kept before stays."""
        for number in range(3):
            self.assertTrue(self.push(comet_push(str(number))).delivered)
        self.assertEqual(self.push(comet_push("3")), Outcome(False, "buffer full"))
        client = self.receiver()
        self.assertEqual([one["message"] for one in client.first], ["0", "1", "2"])

    def test_room_after_a_time(self) -> None:
        """What is too old makes room."""
        for number in range(3):
            self.push(comet_push(str(number)))
        self.world.wait(61)
        self.assertTrue(self.push(comet_push("new")).delivered)
        client = self.receiver()
        self.assertEqual([one["message"] for one in client.first], ["new"])

    def test_nothing_kept(self) -> None:
        """With ``comet.keep_s = 0`` a user who is away is not reached."""
        world = World(keep_s=0.0)
        self.assertEqual(world.comet.offer(BUZZ, "t", "m", "e" * 32), Offered.REFUSED)

    def test_too_large(self) -> None:
        """1 MiB is the most, in bytes."""
        self.receiver()
        self.assertTrue(self.push(comet_push("x" * MAX_MESSAGE_BYTES)).delivered)
        refused = self.push(comet_push("é" * (MAX_MESSAGE_BYTES // 2 + 1)))
        self.assertEqual(refused, Outcome(False, "too large"))

    def test_no_user(self) -> None:
        """Without a user there is nobody to reach; any user may be addressed."""
        self.assertEqual(self.push(comet_push(user=None)).reason, "no user")
        self.successResultOf(Deferred.fromCoroutine(self.pusher.check(DeviceId("x"), {})))

    def test_counted(self) -> None:
        """Delivered and failed."""
        self.push(comet_push())
        self.push(comet_push(user=None))
        self.assertEqual(self.pusher.details(), {"delivered": 1})
        labels = labels_of("comet")
        failed = self.counters.value("push_failed_total", reason="no user", **labels)
        self.assertEqual(failed, 1)
