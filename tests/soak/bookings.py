"""Numbers that are booked and stay so: many, from before the fault until after it.

Knows: the Service API.  Does not know: faults, what must hold.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.soak.clients import API, Clients, booked

LIFE_S = 3600
SPARE = 20
"""So many numbers more than bookings: those of which no client learned hold one too."""


class Bookings:
    """Services with a number each, in a group of hardly more numbers.

    When all are made, the clients go on with what is left of the group: they book and delete.
    In the end each booking is matched once, and must be the one that was made.

    :param many: how many stay.
    :param writers: clients.
    :ivar made: of each service that was confirmed, its number.
    """

    name = "bookings"

    def __init__(self, clients: Clients, many: int = 1000, writers: int = 4) -> None:
        self._clients = clients
        self._many = many
        self._writers = writers
        self._phones = count(6_505_000_000)
        self._begun = 0
        self.made: dict[str, str] = {}
        numbers = [f"1-650-557-{number:04}" for number in range(many + SPARE)]
        clients.world.options += (
            "resource.CROWD/_allocation_strategy=LOCAL",
            f"resource.CROWD/_booking_expiration_timeout={LIFE_S}",
            *(f"resource.CROWD/number{at}={number}" for at, number in enumerate(numbers)),
            "service.crowd/_type=builtin",
            "service.crowd/_service=request-interaction",
            "service.crowd/_resource_group=CROWD",
        )

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        return [self._loop() for _ in range(self._writers)]

    async def _loop(self) -> None:
        ours = self._clients
        while not ours.over and self._begun < self._many:
            self._begun += 1
            key, number = await self._book()
            if key:
                self.made[key] = number
            else:
                self._begun -= 1
        while not ours.over:
            key, _ = await self._book()
            if key:
                answer = await ours.ask("DELETE", f"{API}/service/{key}")
                ours.note("access", "delete", key, answer)
            await ours.pause()

    async def _book(self) -> tuple[str, str]:
        ours = self._clients
        fields = {"_phone_number": str(next(self._phones)), "_ttl": str(LIFE_S)}
        answer = await ours.ask("POST", f"{API}/service/crowd", fields)
        got = booked(answer)
        key = got.pop("id", "")
        ours.note("access", "create", key, answer, None, got)
        if not key:
            await ours.pause(answer)
        return key, str(got.get("number", ""))

    async def finish(self) -> None:
        """Match them all."""
        waiting = iter(self.made.items())

        async def match() -> None:
            for key, number in waiting:
                await self._match(key, number)

        await gatherResults([Deferred.fromCoroutine(match()) for _ in range(self._writers)])

    async def _match(self, key: str, number: str) -> None:
        ours = self._clients
        answer = await ours.ask(
            "POST", f"{API}/service/match-interaction", {"_access_number": number}
        )
        found = str(answer.json["_id"]) if answer.status == 200 else ""
        asked = {"number": number, "code": "", "service": key}
        ours.note("access", "match", found, answer, asked)
