"""What is remembered about the chat of a service.

One record of kind ``chat`` under the service's id, changed with optimistic
versions: a change is a function of the state, and is made again when somebody
else was faster.

Knows: the store.  Does not know: chat servers, answers, who changes what.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.service_records import Changes
from gms_twisted.domain.chat import ChatCredentials, ChatServerAddress
from gms_twisted.domain.errors import NotFound, Unavailable
from gms_twisted.domain.ids import ChatSessionId, ChatUserId, GmsUser, ServiceId
from gms_twisted.domain.sources import IdSource
from gms_twisted.store.interfaces import (
    Absent,
    Condition,
    ConditionFailed,
    Kind,
    LeaseHeld,
    Put,
    Record,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

CHAT = Kind("chat")

COMET_INDEX = "comet"
"""Index of the chats that are delivered on ``/_genesys``, value :data:`COMET_LIVE`."""

COMET_LIVE = "live"

UNANNOUNCED = -1
"""As :attr:`ChatState.delivered`: not even the first, empty message is delivered."""

_TRIES = 8
_encode = json.JSONEncoder(separators=(",", ":")).encode
_PAGE = 500


class ChatMoved(Unavailable):
    """Another node has the chat, or will have it in a moment; asking again reaches that one."""

    code = "gms.chat.moved"


class ChatNotStarted(NotFound):
    """The service has no chat, or it is over for long."""

    code = "gms.chat.not_found"


@dataclass(frozen=True, slots=True)
class ChatState:
    """A chat, as this side sees it.

    :ivar name: the service's name, whose options count.
    :ivar joined: position of the customer's own joining.
    :ivar position: of the last event that the service's polling client has got.
    :ivar known: the highest position that the chat server has told us.
    :ivar closed: the chat is over.
    :ivar user: to whom it is delivered on ``/_genesys``; ``None``: it is polled.
    :ivar delivered: of a comet chat: everything up to here has reached the client.
    :ivar handed: of a comet chat, on several nodes: everything up to here was handed over to
        the sessions of its user by a node that then gave the chat to another one.
    :ivar pushed: of an absent client: its device was told of everything up to here.
    :ivar told: the agent knows that the customer cannot be reached.
    :ivar finished: a comet chat is over and the client knows, from us or since it was its wish.
    :ivar call: of a polled chat, on several nodes: the attempt that moved ``position`` last.
    :ivar previous: after which position that one's answer began.
    :ivar expires_at: when it is forgotten, Unix seconds.
    """

    service_id: ServiceId
    name: str
    server: ChatServerAddress
    credentials: ChatCredentials
    session_id: ChatSessionId
    nickname: str = field(repr=False)
    started_at: float
    time_zone: str
    joined: int
    position: int
    known: int
    closed: bool = False
    user: GmsUser | None = None
    delivered: int = UNANNOUNCED
    pushed: int = 0
    told: bool = False
    finished: bool = False
    handed: int = UNANNOUNCED
    call: str = ""
    previous: int = 0
    expires_at: float = 0.0
    version: int = 0

    @property
    def comet(self) -> bool:
        """Tell whether it is delivered on ``/_genesys``."""
        return self.user is not None

    def to_put(self) -> Put:
        """The change that stores it."""
        server, credentials = self.server, self.credentials
        document = {
            "name": self.name,
            "server": [server.alias, server.host, server.port, server.tls],
            "credentials": [credentials.user_id, credentials.secure_key],
            "session_id": self.session_id,
            "nickname": self.nickname,
            "started_at": self.started_at,
            "time_zone": self.time_zone,
            "joined": self.joined,
            "position": self.position,
            "known": self.known,
            "closed": self.closed,
            "user": self.user,
            "delivered": self.delivered,
            "pushed": self.pushed,
            "told": self.told,
            "finished": self.finished,
        }
        if self.handed > UNANNOUNCED:
            document["handed"] = self.handed
        if self.call:
            document |= {"call": self.call, "previous": self.previous}
        value = _encode(document).encode()
        indexes = {COMET_INDEX: COMET_LIVE} if self.comet and not self.finished else {}
        return Put(CHAT, self.service_id, value, self.expires_at, indexes)

    @classmethod
    def from_record(cls, record: Record) -> ChatState:
        """Read a record of kind :data:`CHAT`."""
        document = json.loads(record.value.decode())
        alias, host, port, tls = document.pop("server")
        user_id, secure_key = document.pop("credentials")
        user = document.pop("user")
        return cls(
            service_id=ServiceId(record.key),
            server=ChatServerAddress(alias, host, port, tls),
            credentials=ChatCredentials(ChatUserId(user_id), secure_key),
            user=None if user is None else GmsUser(user),
            expires_at=record.expires_at or 0.0,
            version=record.version,
            **document,
        )


_STATE_OF = ChatState.from_record


class ChatRecords:
    """The states of chats in the store.

    :param owned: only the owner of a chat writes it.
    """

    def __init__(self, store: Store, ids: IdSource, owned: Ownership | None = None) -> None:
        self._store = store
        self._ids = ids
        self._owned = owned or Alone()

    async def find(self, service_id: ServiceId) -> ChatState | None:
        """Read a chat, ``None`` when there is none (any more)."""
        record = await self._store.get(CHAT, service_id)
        return None if record is None else record.made(_STATE_OF)

    async def read(self, service_id: ServiceId) -> ChatState:
        """Read a chat.

        :raises ChatNotStarted: there is none.
        """
        state = await self.find(service_id)
        if state is None:
            raise ChatNotStarted("This service has no chat.")
        return state

    async def comet_chats(self) -> list[ChatState]:
        """Read every chat whose delivery on ``/_genesys`` goes on."""
        found: list[ChatState] = []
        after = ""
        while True:
            records = await self._store.find(
                CHAT, COMET_INDEX, COMET_LIVE, after=after, limit=_PAGE
            )
            found += [ChatState.from_record(record) for record in records]
            if len(records) < _PAGE:
                return found
            after = records[-1].key

    async def create(self, state: ChatState, expires_at: float, also: Changes) -> ChatState:
        """Store a new chat.

        :param also: belongs into the same unit.
        :raises ConditionFailed: the service has a chat already, or changed meanwhile.
        :raises ChatMoved: it is not ours any more.
        """
        state = replace(state, expires_at=expires_at)
        version = await self._commit(state, Absent(CHAT, state.service_id), also)
        return replace(state, version=version)

    async def change(
        self,
        state: ChatState,
        change: Callable[[ChatState], ChatState],
        also: Changes | None = None,
    ) -> ChatState:
        """Store what ``change`` makes of a chat; nothing is written when that is the same.

        :param state: as read before; read again whenever somebody else was faster.
        :param also: belongs into the same unit; left out of repetitions, since what
            it depends on may be what changed.
        :raises ChatNotStarted: it is gone meanwhile.
        :raises ChatMoved: it is not ours any more.
        """
        also = also or Changes()
        for remaining in reversed(range(_TRIES)):
            changed = change(state)
            if changed is state or changed == state:
                return state
            unchanged = Unchanged(CHAT, state.service_id, state.version)
            try:
                version = await self._commit(changed, unchanged, also)
            except ConditionFailed:
                if not remaining:
                    raise
                state, also = await self.read(state.service_id), Changes()
            else:
                return replace(changed, version=version)
        raise AssertionError("the last try returns or raises")

    async def _commit(self, state: ChatState, condition: Condition, also: Changes) -> int:
        """Store a chat while it is ours; gives the version of its record."""
        # The lease first: who has lost it must not try again.
        conditions = (*self._owned.conditions(state.service_id), condition, *also.conditions)
        changes = (state.to_put(), *also.changes)
        try:
            done = await self._store.commit(Unit(UnitId(self._ids.uuid()), changes, conditions))
        except ConditionFailed as failed:
            if isinstance(failed.condition, LeaseHeld):
                raise ChatMoved("Another node has this chat now; try again.") from None
            raise
        return done.versions[0]
