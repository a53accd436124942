"""Which processes share a Redis: each says every two seconds that it lives.

A process is a *run* of a *node*: the node is a number (``server/node_id``) that the operator
gives, the run a random word of each start.  A run that has said nothing for
:data:`SILENCE_S` is dead to all others, by the clock of Redis, whatever it does itself: what it
owned may be taken from it, and writes that it still makes under its old epochs are refused.

Knows: beats, runs, the clock of Redis.  Does not know: what runs own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.store.interfaces import StoreFault
from gms_twisted.store.redis_link import Reply, Script

BEAT_S = 2.0
"""Time between two beats."""

SILENCE_S = 8.0
"""So long without a beat, and a run is dead; noticed by the next beat of another, within 10 s."""

STEADY = int(SILENCE_S / BEAT_S)
"""Beats in a row that went well, until all others had the time for one."""

LIB = """
if redis.replicate_commands then redis.replicate_commands() end
local prefix, node, run = KEYS[1], ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local alive, nodes, runs = prefix .. 'alive', prefix .. 'nodes', prefix .. 'runs'
local function lives(one)
  local until_ = redis.call('ZSCORE', alive, one)
  return until_ and tonumber(until_) > now
end
local function beat()
  redis.call('ZADD', alive, string.format('%.6f', now + tonumber(ARGV[3])), run)
end
local function forget(one)
  redis.call('ZREM', alive, one)
  redis.call('HDEL', runs, one)
end
local function living()
  return redis.call('ZRANGEBYSCORE', alive, string.format('(%.6f', now), '+inf')
end
local function others(found, first)
  local known, flat, new = {}, {}, {}
  for place = first, #ARGV do known[ARGV[place]] = true end
  for _, one in ipairs(found) do
    if one ~= run then
      flat[#flat + 1], flat[#flat + 2] = one, ''
      if not known[one] then new[#new + 1] = one end
    end
  end
  if #new == 0 then return flat end
  local abouts, place = redis.call('HMGET', runs, unpack(new)), 0
  for at = 1, #flat, 2 do
    if not known[flat[at]] then
      place = place + 1
      flat[at + 1] = abouts[place] or ''
    end
  end
  return flat
end
"""
"""``others(runs that live, first place of those known in ARGV)``: the others, each followed by what
it is about; ``''`` for those that are known."""

_JOIN = Script(
    LIB
    + """
local former = redis.call('HGET', nodes, node)
if former and former ~= run and lives(former) then
  local about = redis.call('HGET', runs, former) or '{}'
  if cjson.decode(about).place ~= cjson.decode(ARGV[4]).place then return {'taken', about} end
end
if former and former ~= run then forget(former) end
local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', string.format('%.6f', now - 3600))
for _, one in ipairs(gone) do forget(one) end
redis.call('HSET', nodes, node, run)
redis.call('HSET', runs, run, ARGV[4])
beat()
return {'joined', others(living(), 5)}
"""
)
"""``node run silence about``; forgets runs that were dead for an hour."""

_BEAT = Script(
    LIB
    + """
local found, word = living(), 'late'
for _, one in ipairs(found) do
  if one == run then word = 'joined' end
end
-- Whoever has taken our number has made us dead before.
if word == 'late' then
  local now_is = redis.call('HGET', nodes, node)
  if not now_is then return {'unknown', {}} end
  if now_is ~= run then return {'gone', {}} end
end
beat()
return {word, others(found, 4), clock[1], clock[2]}
"""
)
"""``node run silence``, runs that are known; ``unknown``: there is no list, or not ours."""

_LEAVE = Script(
    LIB
    + """
if redis.call('HGET', nodes, node) == run then redis.call('HDEL', nodes, node) end
forget(run)
return 1
"""
)
"""``node run``."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node.

    :ivar run: a random word.
    :ivar place: of its data directory, a random word that stays: two runs of one place are never
        there at once, since the directory is locked.
    :ivar address: of the machine, for people.
    :ivar started: Unix seconds.
    :ivar link: where other nodes reach it, ``HOST:PORT``; ``""``: not at all.
    """

    node: int
    run: str
    place: str
    address: str
    started: float
    link: str = ""

    def about(self) -> bytes:
        """What the others can read."""
        return json.dumps(
            {
                "node": self.node,
                "run": self.run,
                "place": self.place,
                "address": self.address,
                "started": self.started,
                "link": self.link,
            }
        ).encode("ascii")

    @classmethod
    def of(cls, about: bytes) -> Run:
        """Read what another wrote."""
        said = json.loads(about)
        return cls(*(said[name] for name in cls.__slots__))


class Scripts(Protocol):
    """Runs scripts in Redis; ``redis_link.RedisLink``."""

    async def script(self, script: Script, *arguments: bytes, writes: bool = False) -> Reply:
        """See :meth:`gms_twisted.store.redis_link.RedisLink.script`."""


class Registry:
    """Keeps a run in the list of those that live.

    When beats have failed, Redis may have been away for all: then nobody is taken for dead before
    :data:`STEADY` beats in a row went well, since the others were as silent as we were.

    :param lost: called when this process must not go on, with the reason; no beat follows.
    :param late: awaited when we were silent so long that others may have taken us for dead;
        returns why we must not go on, ``""`` when nothing of ours was taken.
    :param told: told the time of Redis with each beat, Unix seconds.
    :param seen: awaited after each beat, the first aside; with what it needs Redis itself for.
    :ivar others: runs of other nodes that live, as of the last beat.
    :ivar beaten_at: when the last beat was confirmed, by our own timers.
    """

    log = Logger()

    def __init__(
        self,
        redis: Scripts,
        prefix: bytes,
        run: Run,
        timers: Timers,
        lost: Callable[[str], None],
        seen: Callable[[], Awaitable[None]] | None = None,
        told: Callable[[float], None] = lambda _: None,
        late: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self.run = run
        self._seen = seen
        self._late = late
        self._good = STEADY
        self._told = told
        self.others: tuple[Run, ...] = ()
        self.beaten_at = timers.seconds()
        self._redis = redis
        self._prefix = prefix
        self._timers = timers
        self._lost = lost
        self._call: DelayedCall | None = None
        self._beating: Deferred[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Join; then go on beating.

        :raises StoreFault: our number is another's that lives.
        """
        word, answer = await self._tell(_JOIN, self._silence(), self.run.about())
        if word == b"taken":
            other = Run.of(answer)
            raise StoreFault(
                f"Node {self.run.node} is running at {other.address} already: give each process a "
                "server/node_id of its own"
            )
        self._see(answer)
        self._wait()

    async def stop(self) -> None:
        """Leave; what we owned may be taken at once."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._beating is not None:
            self._beating.cancel()
        try:
            await self._tell(_LEAVE)
        except GmsError as error:
            self.log.info("Redis could not be told of our end: {error}", error=error.code)

    def beat_now(self) -> None:
        """Do not wait for the next beat, unless one is under way."""
        if self._call is not None and self._call.active():
            self._call.cancel()
            self._beat()

    async def beaten(self) -> None:
        """Wait for a beat that is under way."""
        if self._beating is not None:
            await self._beating

    def _silence(self) -> bytes:
        return b"%.3f" % SILENCE_S

    async def _tell(self, script: Script, *arguments: bytes) -> Reply:
        node, run = b"%d" % self.run.node, self.run.run.encode("ascii")
        return await self._redis.script(script, self._prefix, node, run, *arguments, writes=True)

    @property
    def is_steady(self) -> bool:
        """Whether those who are silent can be taken for dead."""
        return self._good >= STEADY

    def _see(self, others: Reply) -> None:
        known = {one.run.encode("ascii"): one for one in self.others}
        pairs = zip(others[::2], others[1::2], strict=True)
        runs = (Run.of(about) if about else known.get(run) for run, about in pairs)
        found = tuple(run for run in runs if run is not None)
        if not self.is_steady:
            nodes = {one.node for one in found}
            found += tuple(one for one in self.others if one.node not in nodes)
        self.others = found
        self.beaten_at = self._timers.seconds()

    def _wait(self) -> None:
        self._call = self._timers.callLater(BEAT_S, self._beat)

    def _beat(self) -> None:
        self._beating = Deferred.fromCoroutine(self._beat_once())

    async def _beat_once(self) -> None:
        try:
            known = (one.run.encode("ascii") for one in self.others)
            word, others, *now = await self._tell(_BEAT, self._silence(), *known)
        except CancelledError:
            return
        except GmsError:
            # Redis is away; whether we were silent too long, the next answer says.
            word = b""
        if self._stopped:
            return
        if word == b"gone":
            self._lost(f"Another process is node {self.run.node} now")
            return
        # What does not know us is not the Redis that we began with; the store says so.
        is_known = word not in (b"", b"unknown")
        self._good = min(STEADY, self._good + 1) if word == b"joined" else 0
        if is_known:
            self._see(others)
            self._told(int(now[0]) + int(now[1]) / 1e6)
        with suppress(GmsError):  # Redis has gone away since; the next beat looks again
            if word == b"late" and self._late is not None:
                why = await self._late()
                if why:
                    self._lost(why)
                    return
        self._wait()
        if is_known and self._seen is not None:
            with suppress(GmsError):
                await self._seen()
