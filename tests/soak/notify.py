"""Publishers of running numbers, and the users who are told on Bayeux.

Knows: the Notification API, comet.  Does not know: faults, what must hold.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Sequence
from typing import Any

from tests.soak.clients import API, Clients
from tests.soak.comet import CometReader

LATER_S = 8.0
"""So long after the last publish users still listen."""


class Notify:
    """Users, each with a publisher and a subscription of its own.

    :param many: users; every other one acknowledges.
    """

    name = "notify"

    def __init__(self, clients: Clients, many: int = 4) -> None:
        self._clients = clients
        self._users = [f"soak-user-{number}" for number in range(many)]
        self.readers = [
            CometReader(clients, user, self._taker(user), ack=number % 2 == 0)
            for number, user in enumerate(self._users)
        ]

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        ours = self._clients
        reading = [one.go(lambda: ours.over_for(LATER_S)) for one in self.readers]
        return [*reading, *(self._publish(user) for user in self._users)]

    async def finish(self) -> None:
        """All was told."""

    def _taker(self, user: str) -> Any:
        def taken(session: str, data: dict[str, Any]) -> None:
            message = json.loads(data["message"])
            self._clients.history.told(
                "notify", "event", user, session=session, number=message["number"], id=data["id"]
            )

        return taken

    async def _publish(self, user: str) -> None:
        ours = self._clients
        tag = f"soak.{user}".replace("-", "_")
        wanted = {
            "subscriberId": user,
            "filter": tag,
            "expire": 86400,
            "notificationDetails": {"type": "comet"},
        }
        path = f"{API}/notification/subscription"
        answer = None
        while not ours.over and (answer is None or answer.status != 200):
            answer = await ours.ask("POST", path, document=wanted, headers={"gms_user": user})
            await ours.pause(answer)
        number = 0
        while not ours.over:
            number += 1
            event = {"tag": tag, "message": json.dumps({"number": number})}
            node = ours.any_node()
            answer = await ours.ask(
                "POST", f"{API}/notification/publish", document=event, node=node
            )
            ours.note("notify", "publish", user, answer, {"number": number}, node=node)
            await ours.pause(answer)
