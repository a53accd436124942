"""A visitor's place in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.options import ServerOptions
from gms_twisted.domain.ids import GmsUser
from gms_twisted.http.identity import Identity
from gms_twisted.rest.root import Api
from gms_twisted.rest.waiting import WaitingApi, WaitingChat
from tests.support.rest_client import RestClient
from tests.support.sources import ManualWallClock


@dataclass(frozen=True)
class Waits:
    """A chat in a queue."""

    service_id: str
    gms_user: str
    queue: str = "Environment:default"


@dataclass
class Room:
    """Chats that wait."""

    chats: list[Waits]

    def waiting(self) -> Sequence[WaitingChat]:
        """Read them."""
        return self.chats


class PlaceTests(SynchronousTestCase):
    """``POST /demo/api/queue``."""

    def setUp(self) -> None:
        """Make a queue of three and one that waits elsewhere."""
        self.identity = Identity(
            ServerOptions(), ManualWallClock(Clock()), loopback_only=True, visitor_key=b"k" * 32
        )
        room = Room(
            [
                Waits("s1", "visitor-1"),
                Waits("s2", "visitor-2", "Environment:billing"),
                Waits("s3", "visitor-3"),
            ]
        )
        api = Api()
        api.add(WaitingApi(self.identity, room))
        self.client = RestClient(api)

    def ask(self, user: str, service: object) -> object:
        """Ask as a visitor."""
        token = self.identity.issue_visitor_token(GmsUser(user), 3600)
        answer = self.client.request(
            "POST", "/demo/api/queue", document={"token": token, "service": service}
        )
        return answer.json()["position"] if answer.status == 200 else answer.status

    def test_counts_the_same_queue(self) -> None:
        """Chats of other queues are not before one."""
        self.assertEqual(self.ask("visitor-3", "s3"), 2)
        self.assertEqual(self.ask("visitor-2", "s2"), 1)

    def test_nobody_elses_place(self) -> None:
        """Another visitor's chat, and one that does not wait, have no place."""
        self.assertIsNone(self.ask("visitor-1", "s3"))
        self.assertIsNone(self.ask("visitor-1", "s9"))
        self.assertIsNone(self.ask("visitor-1", ""))

    def test_bad_token_or_body(self) -> None:
        """A forged token is 401, a body of another shape 400."""
        forged = {"token": "a.b.c", "service": "s1"}
        self.assertEqual(
            self.client.request("POST", "/demo/api/queue", document=forged).status, 401
        )
        self.assertEqual(self.ask("visitor-1", 7), 400)
        self.assertEqual(self.client.request("POST", "/demo/api/queue", document=[]).status, 400)
