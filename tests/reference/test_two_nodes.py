"""The chapters of the reference twice more: of two nodes in turn, and of one that owns nothing.

What is left out asks no server: how a localization file and the options of an event are read,
and the Node API, which is each node's own.
"""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.store.redis import RedisStore
from tests.reference import (
    test_call_flows,
    test_chat_api,
    test_comet_chat,
    test_notification_api,
    test_orchestrated_flows,
    test_push_notification_service,
    test_request_chat_delay,
    test_request_interaction,
    test_service_api,
    test_storage_api,
)
from tests.support.nodes import Network
from tests.support.notification_house import NotificationHouse
from tests.support.redis_server import SKIP
from tests.support.sources import CountingIds, ManualWallClock
from tests.support.turning import Turning
from tests.support.whole import WholeCase, WholeServer
from tests.support.whole_nodes import OthersNodes, WholeNodes


class TwoServers:
    """Makes two nodes where a chapter asks for one server."""

    skip = SKIP or None

    def whole(self, *overrides: str, chat: bool = False) -> WholeServer:
        """Make them."""
        assert isinstance(self, SynchronousTestCase)
        return WholeNodes(self, *overrides, chat=chat)


class OthersServers(TwoServers):
    """Makes two nodes, and asks the one that owns nothing."""

    def whole(self, *overrides: str, chat: bool = False) -> WholeServer:
        """Make them."""
        assert isinstance(self, SynchronousTestCase)
        return OthersNodes(self, *overrides, chat=chat)


class TurnedHouse(NotificationHouse):
    """A notification service whose turns are long enough for Redis."""

    turning: Turning

    def turn(self, times: int = 200, *, until: Deferred[Any] | None = None) -> None:
        """Let everything go on; no time passes."""
        self.turning.settle()


class TwoSenders:
    """Makes two notification services with the same gateways where a chapter asks for one."""

    skip = SKIP or None

    def build(self, *, clock: Clock | None = None, **options: Any) -> list[NotificationHouse]:
        """Make them."""
        assert isinstance(self, SynchronousTestCase)
        clock = clock or Clock()
        turning, ids = Turning(self, clock), CountingIds()
        self.addCleanup(turning.end)
        made: list[NotificationHouse] = []
        prefix = f"{self.id()}:{next(_NUMBERS)}:".encode("ascii")
        network = Network()
        for node in ("1", "2"):
            store = RedisStore(turning.link(), ManualWallClock(clock), ids, node, prefix=prefix)
            turning.run(store.start())
            peers = network.node(node)
            house = TurnedHouse(self, store=store, clock=clock, ids=ids, peers=peers, **options)
            house.turning = turning
            first = made[0] if made else house
            house.transports, house.made = first.transports, first.made
            options["credentials"] = first.credentials
            made.append(house)
            self.addCleanup(turning.run, house.tasks.stop())
        return made


_NUMBERS = itertools.count(1)
"""A test may make several, which have nothing to do with each other."""


def on_two_nodes(
    twice: type, base: type, *chapters: ModuleType, beginning: str = ""
) -> dict[str, type]:
    """Test cases of chapters once more.

    :param twice: makes two of what ``base`` makes one of.
    :param beginning: of the names of the cases.
    """
    return {
        beginning + name: type(
            beginning + name, (twice, case), {"__module__": __name__, "__doc__": case.__doc__}
        )
        for chapter in chapters
        for name, case in vars(chapter).items()
        if isinstance(case, type) and issubclass(case, base) and case is not base
    }


OWNED = (
    test_call_flows,
    test_chat_api,
    test_comet_chat,
    test_orchestrated_flows,
    test_request_chat_delay,
    test_request_interaction,
    test_service_api,
)
"""Chapters of what has an owner."""

globals().update(
    on_two_nodes(TwoServers, WholeCase, *OWNED, test_storage_api)
    | on_two_nodes(OthersServers, WholeCase, *OWNED, beginning="Others")
    | on_two_nodes(
        TwoSenders,
        test_notification_api.NotificationFixture,
        test_notification_api,
        test_push_notification_service,
    )
)
