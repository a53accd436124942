"""Clients of storage and access numbers, each request to any node.

Knows: the Storage and Service APIs.  Does not know: faults, what must hold.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from itertools import count
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from tests.soak.asking import Answer
from tests.soak.history import History, Operation
from tests.soak.world import World

API = "/genesys/1"
PAUSE_S = 0.05
AFTER_FAILURE_S = 0.3
PROBE_S = 0.25


class Workload(Protocol):
    """Some clients that do one thing."""

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What its clients do, each for itself, until :attr:`Clients.over`."""

    async def finish(self) -> None:
        """Look at what there is at the end, when nothing breaks any more."""


class Clients:
    """What all clients share."""

    def __init__(self, world: World, history: History, random: Random) -> None:
        self.world = world
        self.history = history
        self.random = random
        self._over_at = 0.0
        self._numbers = count(1)

    @property
    def over(self) -> bool:
        """Whether no new work is begun any more."""
        return bool(self._over_at)

    def end(self) -> None:
        """Begin nothing new."""
        self._over_at = self.world.seconds()

    def over_for(self, seconds: float) -> bool:
        """Whether no new work was begun for so long."""
        return self.over and self.world.seconds() > self._over_at + seconds

    def unique(self) -> str:
        """A word that no other operation has."""
        return f"w{next(self._numbers)}"

    def url(self, node: int, path: str) -> str:
        """A path at a node."""
        return f"{self.world.nodes[node - 1].url}{path}"

    def any_node(self) -> int:
        """The number of one."""
        return self.random.randint(1, len(self.world.nodes))

    async def ask(self, method: str, path: str, *rest: Any, node: int = 0, **more: Any) -> Answer:
        """Ask a node, by default any."""
        url = self.url(node or self.any_node(), path)
        answer: Answer = await self.world.asker.ask(method, url, *rest, **more)
        return answer

    async def pause(self, answer: Answer | None = None) -> None:
        """Give the others a turn; a longer one after a failure."""
        failed = answer is not None and not answer.status
        await self.world.sleep(AFTER_FAILURE_S if failed else PAUSE_S)

    def note(
        self,
        workload: str,
        action: str,
        key: str,
        answer: Answer,
        asked: dict[str, Any] | None = None,
        got: dict[str, Any] | None = None,
        node: int = 0,
    ) -> Operation:
        """Note what came of a request."""
        return self.history.add(
            Operation(
                *(workload, action, key, answer.begin, answer.end, answer.outcome),
                asked or {},
                {**(got or {}), **answer.missing},
                node=node,
                status=answer.status,
                why=answer.why,
            )
        )


class Storage:
    """Areas, each with one writer who also reads and, in the end, deletes.

    :param many: clients.
    """

    name = "storage"

    def __init__(self, clients: Clients, many: int = 3) -> None:
        self._clients = clients
        self._many = many

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        return [self._loop() for _ in range(self._many)]

    async def finish(self) -> None:
        """Nothing is left: each client looks at its last area itself."""

    async def _loop(self) -> None:
        ours = self._clients
        while not ours.over:
            value = ours.unique()
            answer = await ours.ask("POST", f"{API}/storage/3600", {"a": value, "b": value})
            key = str(answer.json["id"]) if answer.status == 200 else ""
            ours.note("storage", "create", key, answer, {"value": value})
            if key:
                await self._use(key)
            await ours.pause(answer)

    async def _use(self, key: str) -> None:
        ours = self._clients
        for _ in range(ours.random.randint(2, 12)):
            if ours.over:
                break
            await ours.pause(
                await (self._update(key) if ours.random.random() < 0.5 else self._read(key))
            )
        await self._read(key)
        if ours.random.random() < 0.7:
            answer = await ours.ask("DELETE", f"{API}/storage/{key}")
            ours.note("storage", "delete", key, answer)
            await self._read(key)

    async def _update(self, key: str) -> Answer:
        ours = self._clients
        value = ours.unique()
        answer = await ours.ask("POST", f"{API}/storage/{key}/3600", {"a": value, "b": value})
        ours.note("storage", "update", key, answer, {"value": value})
        return answer

    async def _read(self, key: str) -> Answer:
        ours = self._clients
        answer = await ours.ask("GET", f"{API}/storage/{key}")
        got: dict[str, Any] = {}
        if answer.status == 200:
            said = answer.json
            got = {"value": said["a"]} if said["a"] == said["b"] else {"torn": True, **said}
        ours.note("storage", "read", key, answer, None, got)
        return answer


class Access:
    """Services with numbers: booked, matched, moved, deleted, or left to run out.

    :param many: clients.
    """

    name = "access"

    def __init__(self, clients: Clients, many: int = 4) -> None:
        self._clients = clients
        self._many = many
        self._phones = count(6_504_000_000)

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        return [self._loop() for _ in range(self._many)]

    async def finish(self) -> None:
        """Numbers run out by themselves."""

    async def _loop(self) -> None:
        ours = self._clients
        while not ours.over:
            coded = ours.random.random() < 0.3
            fields = {"_phone_number": str(next(self._phones)), "_ttl": "20"}
            if coded:
                fields |= {"_provide_code": "true", "_access_code_length": "4"}
            name = "soak-code" if coded else "soak-number"
            answer = await ours.ask("POST", f"{API}/service/{name}", fields)
            got = booked(answer)
            key = got.pop("id", "")
            ours.note("access", "create", key, answer, None, got)
            if key:
                await self._use(key, got)
            await ours.pause(answer)

    async def _use(self, key: str, got: dict[str, Any]) -> None:
        ours = self._clients
        await ours.world.sleep(ours.random.random() * 2)
        way = ours.random.random()
        if way < 0.15:
            fields = {"_id": key, "_resource_group": "SOAK"}
            answer = await ours.ask("POST", f"{API}/service/request-access", fields)
            moved = booked(answer)
            moved.pop("id", "")
            ours.note("access", "move", key, answer, None, moved)
            got = moved or got
            await ours.pause(answer)
        if way < 0.6:
            await self._match(got)
            if ours.random.random() < 0.5:
                await self._match(got)
        elif way < 0.8:
            answer = await ours.ask("DELETE", f"{API}/service/{key}")
            ours.note("access", "delete", key, answer)
            await self._match(got)

    async def _match(self, got: dict[str, Any]) -> None:
        ours = self._clients
        asked = {"number": got["number"], "code": got["code"]}
        fields = {"_access_number": got["number"]}
        if got["code"]:
            fields["_access_code"] = got["code"]
        answer = await ours.ask("POST", f"{API}/service/match-interaction", fields)
        found = str(answer.json["_id"]) if answer.status == 200 else ""
        ours.note("access", "match", found, answer, asked)


class Probe:
    """Asks all the time, without waiting for answers: what a load balancer's clients feel.

    Writes one area at any node; who wins does not matter.
    """

    name = "probe"

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._key = ""

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        return [self._loop()]

    async def finish(self) -> None:
        """There is nothing to look at."""

    async def _loop(self) -> None:
        ours = self._clients
        while not self._key:
            answer = await ours.ask("POST", f"{API}/storage/86400", {"a": "0"})
            self._key = str(answer.json["id"]) if answer.status == 200 else ""
            await ours.pause(answer)
        while not ours.over:
            Deferred.fromCoroutine(self._once())
            await ours.world.sleep(PROBE_S)

    async def _once(self) -> None:
        ours, node = self._clients, self._clients.any_node()
        path = f"{API}/storage/{self._key}/86400"
        answer = await ours.ask("POST", path, {"a": ours.unique()}, node=node, patience=5.0)
        ours.note("probe", "update", self._key, answer, node=node)


def booked(answer: Answer) -> dict[str, Any]:
    """What an answer with a number says."""
    if answer.status != 200:
        return {}
    said = answer.json
    return {
        "id": said["_id"],
        "number": said["_access_number"],
        "code": said.get("_access_code", ""),
        "expires_s": float(said["_expiration_time"]),
    }
