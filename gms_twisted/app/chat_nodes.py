"""Chats on several nodes: each call is carried out by the one that owns the service's shard.

A call that comes to another node is forwarded.  While a shard is between two owners, and when
an answer is lost, the call is made again for a while, and then it is 503.  What was said has a
word, the same in each attempt, so that it is in the chat once; and the owner is told which
answers were lost, so that the client gets what was in them.

Choice: a client that repeats a message after our 503 cannot say that it is the same one.  The
same text for the same position within a minute is; nodes tell each other of such messages.

Knows: who owns what, attempts.  Does not know: chats' rules.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gms_twisted.app.chat_answers import Answer, Call
from gms_twisted.app.chat_permission import NoAgentYet
from gms_twisted.app.chat_records import CHAT, ChatMoved
from gms_twisted.app.chat_requests import Attempt
from gms_twisted.app.chats import Chats
from gms_twisted.app.nodes import Nodes
from gms_twisted.app.pauses import pause
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.domain.errors import NodeAway, Unavailable
from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.domain.sources import IdSource, Timers
from gms_twisted.domain.values import FormValue, InMemory, UploadedFile
from gms_twisted.store.interfaces import Delete

KIND, LOST = "chat", "chat-lost"

PATIENCE_S = 4.0
"""So long a call is tried again, when a shard has no owner or an answer is lost."""

STEP_S = 0.25
"""Pause between two attempts."""

ANSWER_S = 15.0
"""Longest wait for another node's answer."""

REPEAT_S = 60.0
"""A message that comes again within this time after a 503 is the same one."""

_MOST = 10_000
_MOST_MISSED = 20


@dataclass(frozen=True, slots=True)
class Lost:
    """What is unsure about a service's chat, since we answered 503.

    :ivar said: what may have been said: text, and the position that came with it; ``""`` for
        nothing.
    :ivar word: its word.
    :ivar missed: attempts whose answers were lost.
    """

    said: str = ""
    word: str = ""
    missed: tuple[str, ...] = ()


class ChatNodes:
    """The Chat API's rules, wherever a chat is; else as :class:`gms_twisted.app.chats.Chats`.

    :param ready: tells whether all that belongs to chats of ours has been taken up.
    """

    def __init__(
        self,
        chats: Chats,
        nodes: Nodes,
        ids: IdSource,
        timers: Timers,
        ready: Callable[[], bool],
    ) -> None:
        self._chats = chats
        self._nodes = nodes
        self._ids = ids
        self._timers = timers
        self._ready = ready
        self._lost: OrderedDict[str, tuple[Lost, float]] = OrderedDict()
        nodes.serve_async(KIND, self._asked)
        nodes.hear(LOST, self._told)
        nodes.watch(lambda shard: None, self._giving)

    async def call(
        self,
        service_id: str,
        call: Call,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> Answer:
        """Carry out a call of the Chat API; returns the chat object.

        :raises Unavailable: the chat is between two nodes, or the answer was lost.
        :raises GmsError: as :meth:`gms_twisted.app.chats.Chats.call`.
        """
        if not self._nodes.run:
            return await self._chats.call(service_id, call, fields, user)
        lost = self._lost_of(service_id)
        said = _said(fields)
        word = lost.word if said and said == lost.said else self._ids.hex(32)
        missed = list(lost.missed)
        until = self._timers.seconds() + PATIENCE_S
        while True:
            attempt = Attempt(word, self._ids.hex(16), frozenset(missed))
            try:
                answer = await self._attempt(service_id, call, fields, user, attempt)
            except NoAgentYet:
                raise  # nothing has happened
            except Unavailable as error:
                missed.append(attempt.call)
                again = isinstance(error, ChatMoved | NodeAway)
                if again and self._timers.seconds() + STEP_S < until:
                    await pause(self._timers, STEP_S)
                    continue
                unsure = Lost(said, word) if said else lost
                self._note(service_id, replace(unsure, missed=tuple(missed[-_MOST_MISSED:])))
                raise
            if said and lost.said:
                self._note(service_id, Lost())
            elif missed:
                self._note(service_id, replace(lost, missed=()))
            return answer

    async def begin(
        self,
        instance: ServiceInstance,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> Answer:
        """Do what :attr:`Call.START` does, for a request of the service's own."""
        return await self.call(instance.service_id, Call.START, fields, user)

    async def is_going_on(self, instance: ServiceInstance) -> bool:
        """Tell whether the service has a chat that has not ended."""
        return await self._chats.is_going_on(instance)

    async def end(self, instance: ServiceInstance) -> Changes:
        """Leave the chat of a service that is about to be deleted; what removes its record.

        :raises Unavailable: the chat is between two nodes.
        """
        service_id = instance.service_id
        if not self._nodes.run or self._nodes.is_ours(service_id):
            return await self._chats.end(instance)
        left = json.loads(await self._ask(service_id, {"id": service_id}))
        return Changes((Delete(CHAT, service_id),)) if left else Changes()

    # One attempt.

    async def _attempt(
        self,
        service_id: str,
        call: Call,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
        attempt: Attempt,
    ) -> Answer:
        if self._nodes.is_ours(service_id):
            self._check(service_id)
            return await self._chats.call(service_id, call, fields, user, attempt)
        asked = {
            "id": service_id,
            "call": call.value,
            "fields": {name: _written(value) for name, value in fields.items()},
            "user": user,
            "attempt": [attempt.word, attempt.call, *attempt.missed],
        }
        answer: Answer = json.loads(await self._ask(service_id, asked))
        return answer

    async def _ask(self, service_id: str, asked: Mapping[str, object]) -> bytes:
        owner = self._nodes.owner(service_id)
        if owner in ("", self._nodes.run):
            raise ChatMoved("No node has this chat now; try again.")
        return await self._nodes.call(owner, KIND, json.dumps(asked).encode(), ANSWER_S)

    async def _asked(self, run: str, payload: bytes) -> bytes:
        """Do what another node asks."""
        asked: dict[str, Any] = json.loads(payload)
        service_id = asked["id"]
        self._check(service_id)
        if "call" not in asked:
            return json.dumps(await self._chats.leave(ServiceId(service_id))).encode()
        word, call, *missed = asked["attempt"]
        answer = await self._chats.call(
            service_id,
            Call(asked["call"]),
            {name: _value(value) for name, value in asked["fields"].items()},
            None if asked["user"] is None else GmsUser(asked["user"]),
            Attempt(word, call, frozenset(missed)),
        )
        return json.dumps(answer).encode()

    def _check(self, service_id: str) -> None:
        if not self._nodes.is_ours(service_id) or not self._ready():
            raise ChatMoved("Another node has this chat now; try again.")

    async def _giving(self, shard: str) -> None:
        """Come to rest with the chats of a shard."""
        await self._chats.rest(lambda service_id: self._nodes.shard(service_id) == shard)

    # What is unsure.

    def _lost_of(self, service_id: str) -> Lost:
        lost, since = self._lost.get(service_id, (Lost(), 0.0))
        return lost if self._timers.seconds() - since <= REPEAT_S else Lost()

    def _note(self, service_id: str, lost: Lost) -> None:
        """Remember what is unsure, or that all is sure, and tell everybody."""
        self._keep(service_id, lost)
        said = {"id": service_id, **asdict(lost)}
        self._nodes.tell_all(LOST, json.dumps(said).encode())

    def _told(self, run: str, payload: bytes) -> None:
        said = json.loads(payload)
        lost = Lost(said["said"], said["word"], tuple(said["missed"]))
        self._keep(said["id"], lost)

    def _keep(self, service_id: str, lost: Lost) -> None:
        self._lost.pop(service_id, None)
        if lost.missed or lost.said:
            self._lost[service_id] = (lost, self._timers.seconds())
            if len(self._lost) > _MOST:
                self._lost.popitem(last=False)


def _said(fields: Mapping[str, FormValue]) -> str:
    """What a call says, to compare; ``""`` for nothing."""
    message, position = fields.get("message", ""), fields.get("transcriptPosition", "")
    return json.dumps([message, position]) if isinstance(message, str) and message else ""


def _written(value: FormValue) -> object:
    """A field's value as JSON.  No call reads a file; that it is one is all that matters."""
    return value if isinstance(value, str) else [value.filename, value.content_type]


def _value(written: Any) -> FormValue:
    if isinstance(written, str):
        return written
    filename, content_type = written
    return UploadedFile(filename, content_type, InMemory(b""))
