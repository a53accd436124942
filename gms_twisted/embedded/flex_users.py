"""Who has logged in on the flex port: a few at hand, all in the store.

Knows: ids, keys, who is pending.  Does not know: chats.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Mapping

from gms_twisted.chatserver.conversation import refuse
from gms_twisted.chatserver.errors import ErrorCode
from gms_twisted.domain.chat import ChatCredentials
from gms_twisted.domain.ids import ChatUserId
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.embedded.room_records import USER, FlexUser, put_user, read_user
from gms_twisted.store.interfaces import Store, Unit, UnitId

PENDING_S = 120.0
"""How long a user may take from login to join."""


class FlexUsers:
    """Users and their keys.

    :param limit: most users that have logged in and not joined.
    """

    def __init__(self, store: Store, wall: WallClock, ids: IdSource, limit: int) -> None:
        self._store = store
        self._wall = wall
        self._ids = ids
        self._limit = limit
        self._at_hand: OrderedDict[ChatUserId, FlexUser] = OrderedDict()
        self._pending: OrderedDict[ChatUserId, float] = OrderedDict()

    async def login(self, nickname: str, user_data: Mapping[str, str]) -> FlexUser:
        """Register somebody.

        :raises IllegalMove: too many have logged in and not joined.
        """
        now = self._wall.now()
        while self._pending and next(iter(self._pending.values())) <= now:
            self._pending.popitem(last=False)
        if len(self._pending) >= self._limit:
            raise refuse(ErrorCode.LIMIT_REACHED)
        user = FlexUser(
            ChatUserId(self._ids.hex(16).upper()), self._ids.hex(16), nickname, user_data=user_data
        )
        self._pending[user.user_id] = now + PENDING_S
        unit = Unit(UnitId(self._ids.uuid()), (put_user(user, now + PENDING_S),))
        await self._store.commit(unit)
        self.remember(user)
        return user

    def remember(self, user: FlexUser) -> None:
        """Keep a user at hand as it is now."""
        if user.session_id is not None:
            self._pending.pop(user.user_id, None)
        self._at_hand[user.user_id] = user
        self._at_hand.move_to_end(user.user_id)
        while len(self._at_hand) > 2 * self._limit:
            self._at_hand.popitem(last=False)

    async def find(self, credentials: ChatCredentials) -> FlexUser | None:
        """Get a user whose key is right, ``None`` for everybody else."""
        user = self._at_hand.get(credentials.user_id)
        if user is None or user.session_id is None:
            # A user at hand without a session may have joined through another server.
            record = await self._store.get(USER, credentials.user_id)
            if record is None:
                return None
            user = read_user(record.key, record.value)
            self.remember(user)
        return user if _is_right(user, credentials) else None

    def at_hand(self, credentials: ChatCredentials) -> FlexUser | None:
        """Get a user whose key is right and who is known without asking the store."""
        user = self._at_hand.get(credentials.user_id)
        return user if user is not None and _is_right(user, credentials) else None


def _is_right(user: FlexUser, credentials: ChatCredentials) -> bool:
    return hmac.compare_digest(
        user.secure_key.encode("utf-8"), credentials.secure_key.encode("utf-8", "replace")
    )
