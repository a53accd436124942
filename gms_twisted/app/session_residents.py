"""The sessions of one shard: gone on with, brought to rest, dropped.

Knows: which sessions are in a shard, in what order all goes.  Does not know: when a shard comes
or goes, how a session runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.logger import Logger

from gms_twisted.app.hosted_session import HostedSession
from gms_twisted.app.kept_documents import KeptDocuments
from gms_twisted.app.nodes import Ownership
from gms_twisted.app.pauses import Slice, pause, within
from gms_twisted.app.session_recovery import RecoveringHost, SessionRecovery
from gms_twisted.app.telephony import Interaction
from gms_twisted.domain.errors import GmsError

REST_S = 5.0
"""Longest time for the sessions of a shard to come to rest; what is under way then is begun
again by the next owner, as after a crash."""

ABANDON_S = 30.0
"""So long what a session that is gone has under way is left alone: its next owner has begun the
same by then, and an agent that it waits for is not given up in between."""

ASK_AGAIN_S = 2.0
"""Until calls that could not be asked for are asked for again."""

DOCUMENTS = "scxml-documents"
"""Name of what one node looks after: the documents that are stored."""

Calls = Callable[[str], Awaitable[Sequence[Interaction]]]


class Home(RecoveringHost, Protocol):
    """Where they live."""

    async def forget_lost(self, is_meant: Callable[[str], bool]) -> None:
        """Take away services of sessions that were never stored."""


class SessionResidents:
    """What :class:`gms_twisted.app.session_shards.SessionShards` moves.

    :param facts: a call as applications see it.
    :param calls: asks for a session's calls.
    """

    log = Logger()

    def __init__(
        self,
        home: Home,
        recovery: SessionRecovery,
        kept: KeptDocuments,
        nodes: Ownership,
        facts: Callable[[Interaction], Mapping[str, object]],
        calls: Calls | None,
    ) -> None:
        self._home = home
        self._recovery = recovery
        self._kept = kept
        self._nodes = nodes
        self._facts = facts
        self._calls = calls
        self._turn = DeferredLock()

    async def take_up(self, shard: str, is_wanted: Callable[[], bool]) -> None:
        """Go on with all sessions that are stored in a shard."""
        await self._recovery.index(self._nodes.shard)
        for session in await self._recovery.take_up(shard, is_wanted):
            if session.interactions:
                self._home.tasks.spawn("the calls of a session", self._ask_for_calls(session))

    async def taken_up(self, shards: Sequence[str]) -> None:
        """Take away services whose session was never stored; look after documents."""
        taken = frozenset(shards)
        try:
            await self._home.forget_lost(
                lambda session_id: (
                    self._nodes.shard(session_id) in taken and self._nodes.is_ours(session_id)
                )
            )
            await self.forget_documents()
        except GmsError as error:
            self.log.warn("Sessions' leavings stay: {error}", error=error.code)

    async def come_to_rest(self, shard: str) -> None:
        """Let all sessions of a shard end or be stored, and know them no more."""
        resting: list[Deferred[None]] = []
        await self._each(shard, lambda session: resting.append(session.rest()))
        if resting:
            await within(self._home.timers, REST_S, DeferredList(resting))
        await self._each(shard, self._drop)

    async def _each(self, shard: str, do: Callable[[HostedSession], None]) -> None:
        """Do something with all in a shard, in slices; many shards may be given at once."""
        await self._turn.acquire()
        try:
            breath = Slice(self._home.timers)
            for session in self._in(shard):
                if self._home.sessions.get(session.session_id) is session:
                    do(session)
                await breath.breathe()
        finally:
            self._turn.release()

    def drop(self, shard: str) -> None:
        """Know nothing of a shard any more."""
        for session in self._in(shard):
            self._drop(session)

    def _drop(self, session: HostedSession) -> None:
        del self._home.sessions[session.session_id]
        session.drop()
        if session.actions.under_way:
            self._home.timers.callLater(ABANDON_S, session.actions.abandon)

    async def forget_documents(self) -> None:
        """Remove documents that no session of any node runs; one node does it for all."""
        if self._nodes.is_ours(DOCUMENTS):
            await self._kept.forget_for_all(lambda: self._nodes.conditions(DOCUMENTS))

    def _in(self, shard: str) -> list[HostedSession]:
        return [one for one in self._home.sessions.values() if one.shard == shard]

    async def _ask_for_calls(self, session: HostedSession) -> None:
        """See which of its calls a session has still; the contact centre may be away."""
        while self._home.sessions.get(session.session_id) is session:
            try:
                found = [] if self._calls is None else await self._calls(session.session_id)
            except GmsError as error:
                self.log.debug(
                    "Calls of session {session_id} cannot be asked for: {error}",
                    session_id=session.session_id,
                    error=error.code,
                )
                await pause(self._home.timers, ASK_AGAIN_S)
                continue
            if not session.over:
                session.reconcile({one.interaction_id: self._facts(one) for one in found})
            return
