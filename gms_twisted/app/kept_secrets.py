"""Random keys that are made once and kept in the store.

Knows: names of keys.  Does not know: what they sign.
"""

from __future__ import annotations

from gms_twisted.domain.sources import IdSource
from gms_twisted.store.interfaces import (
    Absent,
    ConditionFailed,
    Kind,
    Put,
    Store,
    Unit,
    UnitId,
)

SECRET = Kind("secret")
VISITOR_KEY = "visitor-key"

_DIGITS = 64


async def kept_secret(store: Store, ids: IdSource, name: str) -> bytes:
    """Read a key, or make and keep it when there is none: 256 random bits.

    Every node of a cluster gets the same one, whoever is first.
    """
    while True:
        record = await store.get(SECRET, name)
        if record is not None:
            return record.value
        secret = ids.hex(_DIGITS).encode("ascii")
        put = Put(SECRET, name, secret)
        try:
            await store.commit(Unit(UnitId(ids.uuid()), (put,), (Absent(SECRET, name),)))
        except ConditionFailed:
            continue
        return secret
