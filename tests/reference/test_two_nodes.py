"""The chapters of the reference once more, asked of two nodes on one Redis in turn."""

from __future__ import annotations

from types import ModuleType

from tests.reference import (
    test_call_flows,
    test_orchestrated_flows,
    test_request_interaction,
    test_service_api,
)
from tests.support.redis_server import SKIP
from tests.support.whole import WholeCase, WholeServer
from tests.support.whole_nodes import WholeNodes


class TwoNodes(WholeCase):
    """Makes two nodes where one server is asked for."""

    skip = SKIP or None

    def whole(self, *overrides: str, chat: bool = False) -> WholeServer:
        """Make them."""
        return WholeNodes(self, *overrides, chat=chat)


def on_two_nodes(*chapters: ModuleType) -> dict[str, type]:
    """The same test cases, on two nodes."""
    return {
        name: type(name, (TwoNodes, case), {"__module__": __name__, "__doc__": case.__doc__})
        for chapter in chapters
        for name, case in vars(chapter).items()
        if isinstance(case, type) and issubclass(case, WholeCase) and case is not WholeCase
    }


globals().update(
    on_two_nodes(
        test_call_flows, test_orchestrated_flows, test_request_interaction, test_service_api
    )
)
