"""Whether a Redis may hold our data, asked with each new connection.

It must be new enough, must not drop keys by itself, must let us run all commands of our scripts
(a script that is stopped half-way leaves its work half done), and must have the data that this
process began with.

Data that is not what it was, because it was wiped or another server answers, is not mixed with
what this process has in mind: nothing is read or written until the data is back, or the process
was started anew.

Knows: ``INFO``, the key ``identity``.  Does not know: connections, other keys.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gms_twisted.domain.sources import IdSource
from gms_twisted.store.redis_errors import NotYet, UnfitServer, harmless
from gms_twisted.store.redis_link import Ask, RedisLink, Script

OLDEST = (6, 2)
"""The first version of Redis that does all that is asked of it."""

PROBE = """
local at, refused = KEYS[1] .. 'probe', {}
local function try(...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then refused[#refused + 1] = found.err end
end
try('DEL', at)
for _, one in ipairs({'GET', 'INCR', 'EXISTS', 'UNLINK', 'HGETALL'}) do try(one, at) end
try('SET', at, '', 'EX', '60')
try('UNLINK', at)
for _, one in ipairs({'HSET', 'HSETNX'}) do try(one, at, 'a', '1') end
for _, one in ipairs({'HGET', 'HMGET', 'HSTRLEN', 'HDEL'}) do try(one, at, 'a') end
try('HINCRBY', at, 'a', '1')
try('DEL', at)
try('ZADD', at, '0', 'a')
for _, one in ipairs({'ZSCORE', 'ZREM'}) do try(one, at, 'a') end
try('ZRANGE', at, '0', '-1')
try('ZRANGEBYSCORE', at, '-inf', '+inf')
try('ZRANGEBYLEX', at, '-', '+')
try('TIME')
try('SCAN', '0', 'COUNT', '1')
try('DEL', at)
return refused
"""
"""All commands of all scripts, and of ours outside of them: the errors; leaves nothing."""

_PROBE = Script(PROBE)


class Fitness:
    """What one process wants of its Redis.

    :param told: told the time of each server, Unix seconds.
    :ivar identity: of the data that was found first; ``b""`` before that.
    """

    log = Logger()

    def __init__(
        self,
        link: RedisLink,
        prefix: bytes,
        ids: IdSource,
        told: Callable[[float], None] | None = None,
    ) -> None:
        self.identity = b""
        self._told = told
        self._link = link
        self._prefix = prefix
        self._ids = ids
        self._is_strange = False

    async def check(self, info: dict[str, str], ask: Ask) -> None:
        """See whether a server is fit; see ``redis_link``.

        :raises UnfitServer: it must not be used.
        :raises NotYet: it has no data, or not ours.
        """
        version = tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2])
        if version < OLDEST:
            raise UnfitServer(
                f"it is version {info.get('redis_version')}, at least "
                f"{'.'.join(map(str, OLDEST))} is needed"
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise UnfitServer(
                f"its maxmemory-policy is {policy}, so it may drop data at any time; "
                "set it to noeviction"
            )
        await self._try_all(ask)
        await self._compare(ask)
        if self._told is not None and "server_time_usec" in info:
            self._told(int(info["server_time_usec"]) / 1e6)
        if not self.identity and info.get("aof_enabled") == "0":
            self.log.warn(
                "Redis at {url} writes no append-only file: what it confirmed is lost when it "
                "ends (appendonly yes, appendfsync always)",
                url=self._link.target.shown,
            )

    async def _try_all(self, ask: Ask) -> None:
        """See whether we may run all that scripts run.

        A full memory or disk is no reason not to read.
        """
        refused = await ask(b"EVAL", _PROBE.text, b"1", self._prefix)
        await ask(b"EVALSHA", _PROBE.digest, b"1", self._prefix)
        if self._link.options.redis_replicas:
            await ask(b"WAIT", b"0", b"1")
        for text in refused:
            said = text.decode("utf-8", "replace")
            if "permission" in said or "can't run this command" in said or "can't access" in said:
                raise UnfitServer(f"its user may not do all that is needed: {harmless(said)}")

    async def _compare(self, ask: Ask) -> None:
        """Take the identity of the data, or hold it against the one taken."""
        key = self._prefix + b"identity"
        found = await ask(b"GET", key)
        if found is None and not self.identity:
            # Only then: a full Redis refuses to set it, also if it is there.
            await ask(b"SET", key, self._ids.uuid().encode("ascii"), b"NX")
            found = await ask(b"GET", key)
            if found is None:
                raise NotYet("it keeps nothing")
        if self.identity and found != self.identity:
            if not self._is_strange:
                self._is_strange = True
                self.log.critical(
                    "The data in Redis at {url} is not what it was: it was wiped, or is another's. "
                    "Nothing is read or written until it is back; to go on with what is there "
                    "now, restart this process",
                    url=self._link.target.shown,
                )
            raise NotYet("its data is not what it was")
        self.identity, self._is_strange = found, False
