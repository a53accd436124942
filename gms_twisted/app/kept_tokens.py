"""Device tokens that a feedback service named, between reading and acting.

Reading them empties the service's list, so they are on disk before anything is done.

Knows: the store.  Does not know: the service, what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gms_twisted.domain.sources import IdSource
from gms_twisted.store.interfaces import Change, Delete, Kind, Put, Store, Unit, UnitId

TOKEN = Kind("feedback-token")

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A device that is gone.

    :ivar since: when that was noticed, Unix seconds.
    """

    since: int
    token: bytes = field(repr=False)


class KeptTokens:
    """The tokens of one service.

    :param name: of the service's sender; one of few.
    """

    def __init__(self, store: Store, ids: IdSource, name: str) -> None:
        self._store = store
        self._ids = ids
        self._name = name

    async def keep(self, tokens: Sequence[KeptToken]) -> None:
        """Store them; durable on return.  The same again changes nothing."""
        await self._commit(
            [Put(TOKEN, self._key(one), b"", None, {"name": self._name}) for one in tokens]
        )

    async def kept(self) -> Sequence[KeptToken]:
        """Read all that are stored."""
        found: list[KeptToken] = []
        after = ""
        while True:
            records = await self._store.find(TOKEN, "name", self._name, after=after, limit=_PAGE)
            for record in records:
                _, since, token = record.key.rsplit(":", 2)
                found.append(KeptToken(int(since), bytes.fromhex(token)))
            if len(records) < _PAGE:
                return found
            after = records[-1].key

    async def strike_off(self, tokens: Sequence[KeptToken]) -> None:
        """Forget them: they were acted on."""
        await self._commit([Delete(TOKEN, self._key(one)) for one in tokens])

    def _key(self, one: KeptToken) -> str:
        return f"{self._name}:{one.since}:{one.token.hex()}"

    async def _commit(self, changes: Sequence[Change]) -> None:
        for start in range(0, len(changes), _PAGE):
            part = tuple(changes[start : start + _PAGE])
            await self._store.commit(Unit(UnitId(self._ids.uuid()), part))
