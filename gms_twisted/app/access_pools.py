"""Resource groups at work: which number is given out next.

Spec: request-access; options of resource groups.  What another booking has locked is
known here only roughly, as a hint that saves tries: the store judges.

Knows: groups and how they give out numbers.  Does not know: services, codes, matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.logger import Logger

from gms_twisted.app.access_records import NUMBERS
from gms_twisted.app.health import Health
from gms_twisted.app.phone_numbers import PhoneNumbers
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import ResourceGroup
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.store.interfaces import Store

_GUESSES = 8
_SAY_EVERY_S = 60.0
_EMPTY_GROUP_S = 60.0

LOOK_EVERY_S = 5.0
"""How old what is told of groups may be where other nodes lock numbers too."""


class NumbersTaken(Unavailable):
    """Every access number of a group is taken, and it has no backup (V03)."""

    code = "gms.access.no_number_free"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("Every access number of this group is taken; try again later.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Number:
    """An access number.

    :ivar text: as it is configured, and given out.
    :ivar key: as it is compared.
    """

    text: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pool:
    """A resource group.

    :ivar strategy: ``_allocation_strategy`` as it is configured.
    :ivar locks: a number is given to one booking at a time.
    :ivar in_turn: numbers are given out one after the other.
    :ivar timeout_s: how long a number stays locked.
    """

    name: str
    strategy: str
    locks: bool
    in_turn: bool
    timeout_s: float
    numbers: tuple[Number, ...]
    backups: tuple[Number, ...]

    @classmethod
    def read(cls, group: ResourceGroup, phones: PhoneNumbers) -> Pool:
        """Make the pool of a ``resource.NAME`` section; a number that is there twice counts once.

        ``LOCAL`` asks for a lock on this node.  It gets one in the whole store, which
        is the same with one node and safer with several.
        """
        strategy = group.allocation_strategy
        return cls(
            group.name,
            strategy,
            locks=strategy in ("LOCAL", "LOCKING", "CLUSTER"),
            in_turn=strategy == "ROUND_ROBIN",
            timeout_s=group.booking_expiration_timeout_s,
            numbers=_numbers(group.numbers.values(), phones),
            backups=_numbers(group.backup_resource, phones),
        )

    def gives(self, key: str, locked: bool) -> bool:
        """Tell whether it gives out a number in this way: its own, or a backup."""
        if any(one.key == key for one in self.numbers):
            return locked == self.locks
        return not locked and any(one.key == key for one in self.backups)


def _numbers(texts: Iterable[str], phones: PhoneNumbers) -> tuple[Number, ...]:
    found: dict[str, Number] = {}
    for text in texts:
        key = phones.access(text)
        found.setdefault(key, Number(text, key))
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class PoolHealth:
    """How many numbers of a group are there, and free."""

    size: int
    free: int


class Pools:
    """All resource groups.

    :param low_percent: a group with a smaller share of free numbers is low.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        wall: WallClock,
        ids: IdSource,
        counters: Counters,
        groups: Mapping[str, ResourceGroup],
        phones: PhoneNumbers,
        low_percent: float,
    ) -> None:
        self._store = store
        self._wall = wall
        self._ids = ids
        self._counters = counters
        self._taken: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._said_at: dict[str, float] = {}
        self._looking: Tasks | None = None
        self._looked_at = float("-inf")
        self.reconfigure(groups, phones, low_percent)
        counters.gauge("gms_access_groups_low", lambda: float(len(self._low())))

    def reconfigure(
        self, groups: Mapping[str, ResourceGroup], phones: PhoneNumbers, low_percent: float
    ) -> None:
        """Give out other numbers from now on; what is booked stays booked."""
        self._pools = {name: Pool.read(group, phones) for name, group in groups.items()}
        self._low_percent = low_percent

    def share(self, tasks: Tasks) -> None:
        """Other nodes lock numbers too: whoever asks how groups are has us look again.

        :param tasks: run that.
        """
        self._looking = tasks

    def get(self, name: str) -> Pool | None:
        """The group of a name."""
        return self._pools.get(name)

    def all(self) -> Sequence[Pool]:
        """Every group, in the order of the configuration."""
        return tuple(self._pools.values())

    async def refresh(self) -> None:
        """Read which numbers are locked."""
        held = await self._store.reservations(NUMBERS)
        self._taken = {one.number: one.until for one in held}

    # Giving out.

    async def pick(self, pool: Pool, until: float) -> tuple[Number, bool]:
        """Choose a number; ``True`` with it: it must be locked.

        Unless the unit that locks it finds it taken, it is.  Then ask again.

        :param until: when it will be free again (Unix seconds).
        :raises NumbersTaken: none is free.
        """
        if not pool.locks:
            return self._unlocked(pool), False
        number = self._guess(pool.numbers)
        if number is None:
            await self.refresh()
            number = self._guess(pool.numbers)
        if number is not None:
            self._taken[number.key] = until
            return number, True
        self._say_empty(pool)
        if pool.backups:
            self._counters.add("gms_access_backups_total")
            return self._any(pool.backups), False
        raise NumbersTaken(self._wait_s(pool))

    def seems_free(self, pool: Pool) -> bool:
        """Tell whether :meth:`pick` will find a number, as far as one can know at once."""
        return not pool.locks or self._guess(pool.numbers) is not None

    def freed(self, key: str) -> None:
        """A number is free again, or will be in a moment."""
        self._taken.pop(key, None)

    def _unlocked(self, pool: Pool) -> Number:
        if not pool.numbers:
            self._say_empty(pool)
            raise NumbersTaken(_EMPTY_GROUP_S)
        if not pool.in_turn:
            return self._any(pool.numbers)
        turn = self._turns.get(pool.name, 0) % len(pool.numbers)
        self._turns[pool.name] = turn + 1
        return pool.numbers[turn]

    def _any(self, numbers: Sequence[Number]) -> Number:
        return numbers[self._ids.below(len(numbers))]

    def _guess(self, numbers: Sequence[Number]) -> Number | None:
        """One that seems to be free; each as likely as another."""
        now = self._wall.now()
        if not numbers:
            return None
        for _ in range(_GUESSES):
            number = self._any(numbers)
            if self._taken.get(number.key, 0.0) <= now:
                return number
        free = [one for one in numbers if self._taken.get(one.key, 0.0) <= now]
        return self._any(free) if free else None

    def _wait_s(self, pool: Pool) -> float:
        ends = [self._taken[one.key] for one in pool.numbers if one.key in self._taken]
        return max(1.0, min(ends) - self._wall.now()) if ends else _EMPTY_GROUP_S

    # Telling.

    async def health_of(self, pool: Pool) -> PoolHealth:
        """How a group is, as the store knows it."""
        await self.refresh()
        return self._count(pool)

    def _count(self, pool: Pool) -> PoolHealth:
        now = self._wall.now()
        free = sum(self._taken.get(one.key, 0.0) <= now for one in pool.numbers)
        return PoolHealth(len(pool.numbers), free)

    def _look_again(self) -> None:
        """Have the next one who asks be told what is so now."""
        now = self._wall.now()
        if self._looking is not None and not 0 <= now - self._looked_at < LOOK_EVERY_S:
            self._looked_at = now
            self._looking.spawn("reading which numbers are locked", self._look())

    async def _look(self) -> None:
        try:
            await self.refresh()
        except GmsError:
            self._looked_at = float("-inf")

    def _low(self) -> list[str]:
        self._look_again()
        low = []
        for name, pool in self._pools.items():
            count = self._count(pool)
            if pool.locks and (not count.free or count.free * 100 < self._low_percent * count.size):
                low.append(name)
        return low

    def _say_empty(self, pool: Pool) -> None:
        """An alarm in the log, once a minute for each group."""
        self._counters.add("gms_access_exhausted_total")
        now = self._wall.now()
        if now >= self._said_at.get(pool.name, 0.0) + _SAY_EVERY_S:
            self._said_at[pool.name] = now
            self.log.warn("No access number of group {group} is free", group=pool.name)

    def health(self) -> Health:
        """What health details show: an alarm when few numbers of a group are free."""
        low = self._low()
        groups = {
            name: {"numbers": count.size, "free": count.free, "low": name in low}
            for name, pool in self._pools.items()
            if pool.locks
            for count in (self._count(pool),)
        }
        return Health(not low, {"groups": groups})
