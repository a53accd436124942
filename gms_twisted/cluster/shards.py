"""Who owns what: everything that must have one owner is in one of 64 shards.

A chat, a session, a batch of retries belongs to the shard that its id falls into, and the shard
to a run of a node, under an *epoch* that is higher with each new owner.  An owner's writes
carry :meth:`Shards.lease`: once somebody else has the shard they are refused, whatever the
former owner believes.

Each run looks at all shards when somebody has come or gone and now and then, in one script that
also takes what is free: shards that nobody has, or whose owner is dead, up to a fair share.  Who
has more than that gives some back, after having come to rest with what is in them.

Choice: an epoch is the microsecond in which the shard was taken, by the clock of Redis, not the
next number: a fail-over that loses the last write cannot make two owners with the same one.

Choice: 64 shards, not a lease for each thing: a beat keeps them all, a take-over is one step, and
every node knows from 64 words where to send a request.

Knows: shards, epochs, fair shares.  Does not know: what is in a shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gms_twisted.cluster.registry import LIB, Scripts
from gms_twisted.domain.errors import GmsError
from gms_twisted.store.interfaces import LeaseHeld
from gms_twisted.store.redis_link import Script

SHARDS = 64
"""How many there are, for all nodes and for good: an id's shard never changes."""


def shard_of(name: str) -> int:
    """Which shard an id belongs to."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return int.from_bytes(digest, "big") % SHARDS


def lease_name(shard: int) -> str:
    """What its lease is called in conditions of units."""
    return f"shard:{shard}"


_LIB = (
    LIB
    + """
local epochs, owners = prefix .. 'epochs', prefix .. 'owners'
local function all(key)
  local flat, found = redis.call('HGETALL', key), {}
  for place = 1, #flat, 2 do found[flat[place]] = flat[place + 1] end
  return found
end
"""
)

_LOOK = Script(
    _LIB
    + """
local count, found, free, mine = tonumber(ARGV[3]), {}, {}, 0
local epoch_of, owner_of, alive_now, runs_now = all(epochs), all(owners), {}, living()
for _, one in ipairs(runs_now) do alive_now[one] = true end
if not alive_now[run] then return {'late'} end
for shard = 0, count - 1 do
  local name = 'shard:' .. shard
  local owner = owner_of[name] or ''
  if not alive_now[owner] then owner = '' end
  if owner == '' then free[#free + 1] = shard end
  if owner == run then mine = mine + 1 end
  found[shard + 1] = { owner, epoch_of[name] or '0' }
end
local share = math.ceil(count / #runs_now)
if ARGV[4] == '1' then free = {} end
for _, shard in ipairs(free) do
  if mine >= share then break end
  local name = 'shard:' .. shard
  local epoch = math.max(tonumber(epoch_of[name] or '0') + 1, math.floor(now * 1000000))
  local text = string.format('%.0f', epoch)
  redis.call('HSET', epochs, name, text)
  redis.call('HSET', owners, name, run)
  found[shard + 1] = { run, text }
  mine = mine + 1
end
return {'seen', share, found}
"""
)
"""``node run shards ending``: takes what is free, unless it ends; all owners with their epochs."""

_GIVE = Script(
    _LIB
    + """
local name = 'shard:' .. ARGV[3]
if redis.call('HGET', owners, name) == run then redis.call('HDEL', owners, name) end
return 1
"""
)
"""``node run shard``."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a shard is.

    :ivar run: ``""`` for nobody's.
    """

    run: str
    epoch: int


NOBODY = Owner("", 0)


class Shards:
    """The shards as one run sees them.

    :param gained: called when a shard has become ours; to begin with what is in it.
    :param giving: awaited before a shard of ours is given back: to come to rest with it.
    :param stays: a name whose shard is never given for the balance, and is the last at the end.
    """

    log = Logger()

    def __init__(
        self,
        redis: Scripts,
        prefix: bytes,
        node: int,
        run: str,
        gained: Callable[[int], None],
        giving: Callable[[int], Awaitable[None]],
        stays: str = "",
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._stays = shard_of(stays) if stays else -1
        self._who = (b"%d" % node, run.encode("ascii"))
        self._run = run
        self._gained = gained
        self._giving = giving
        self._owners: list[Owner] = [NOBODY] * SHARDS
        self._leaving: set[int] = set()
        self._looking = False
        self._settled = False
        self._ending = False

    # What others ask.

    def owner(self, name: str) -> str:
        """The run that has an id's shard, as of the last look; ``""`` for nobody."""
        return self._owners[shard_of(name)].run

    def is_ours(self, name: str) -> bool:
        """Whether an id is ours to act on; not while its shard is being given back."""
        shard = shard_of(name)
        return self._owners[shard].run == self._run and shard not in self._leaving

    def lease(self, name: str) -> LeaseHeld:
        """The condition for what is written about an id of ours."""
        shard = shard_of(name)
        return LeaseHeld(lease_name(shard), self._owners[shard].epoch)

    def ours(self) -> frozenset[int]:
        """The shards that are ours."""
        mine = (shard for shard, owner in enumerate(self._owners) if owner.run == self._run)
        return frozenset(mine)

    def counts(self) -> Counter[str]:
        """How many each run has; ``""``: those that nobody has."""
        return Counter(owner.run for owner in self._owners)

    @property
    def is_settled(self) -> bool:
        """Whether the last look found nothing to do, here or elsewhere."""
        return self._settled

    # Looking.

    async def look(self, *, take: bool = True) -> None:
        """See who has what, take what is free, give back what is too much.

        :param take: ``False``: only see.

        Does nothing while it is looking already: to give something back may take long.

        :raises GmsError: Redis cannot be asked; what was known stays.
        """
        if self._looking:
            return
        self._looking = True
        try:
            await self._look(take)
        finally:
            self._looking = False

    async def _look(self, take: bool) -> None:
        before = self._owners
        word, *rest = await self._redis.script(
            *(_LOOK, self._prefix, *self._who, b"%d" % SHARDS),
            *(b"%d" % (self._ending or not take),),
            writes=True,
        )
        if word != b"seen":
            return  # the registry tells of it
        share, found = rest
        self._settled = False
        self._owners = [Owner(run.decode("ascii"), int(epoch)) for run, epoch in found]
        for shard, owner in enumerate(self._owners):
            if owner.run == self._run and owner != before[shard]:
                self._gained(shard)
        if not take:
            return
        for shard in await self._give_these(self._rested()[share:]):
            # Those who are told have let go of it.
            self._gained(shard)
        counts = self.counts()
        self._settled = "" not in counts and max(counts.values()) <= share

    async def give_all(self) -> None:
        """Give everything back, at the end; nothing is taken any more.

        What stays is the last: what is in other shards may still need it.
        """
        self._ending = True
        rested = self._rested()
        await self._give_these([shard for shard in rested if shard != self._stays])
        await self._give_these([shard for shard in rested if shard == self._stays])

    async def _give_these(self, shards: Sequence[int]) -> list[int]:
        """Give these back, all at once, for each may take long; returns what was not given."""
        giving = [Deferred.fromCoroutine(self._give(shard)) for shard in shards]
        for each in giving:
            await each
        return [shard for shard in shards if self._owners[shard].run == self._run]

    def _rested(self) -> list[int]:
        """What may be given, the one that stays first: a share is never less than one."""
        return sorted(self.ours() - self._leaving, key=lambda one: (one != self._stays, one))

    async def _give(self, shard: int) -> None:
        self._leaving.add(shard)
        try:
            await self._giving(shard)
            await self._redis.script(_GIVE, self._prefix, *self._who, b"%d" % shard, writes=True)
            self._owners[shard] = Owner("", self._owners[shard].epoch)
        except GmsError as error:
            self.log.warn(
                "Shard {shard} could not be given back: {error}", shard=shard, error=error.code
            )
        finally:
            self._leaving.discard(shard)
