"""The storing of one session's steps, however long it takes, and those who wait for it.

A step that cannot be stored is tried again until it is, and meanwhile nobody waits: whoever
wants to know that something is stored is told that it is not, at once.  One that is refused
because another node has the session is not tried again: nothing of it has happened.

Knows: tries, waiters, leases.  Does not know: what is stored, what a session decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.pauses import pause
from gms_twisted.app.session_records import DOCUMENT
from gms_twisted.domain.errors import GmsError, Unavailable
from gms_twisted.domain.sources import IdSource, Timers
from gms_twisted.store.interfaces import (
    Change,
    ConditionFailed,
    LeaseHeld,
    Put,
    Store,
    Unit,
    UnitId,
)

RETRY_S, MAX_RETRY_S = 2.0, 16.0
"""Until a commit that failed is tried again: the first time, and after many."""


class StoringHost(Protocol):
    """Where it is stored."""

    store: Store
    timers: Timers
    ids: IdSource

    @property
    def kept(self) -> set[str]:
        """Digests of documents that are stored."""

    def conditions(self, session_id: str) -> tuple[LeaseHeld, ...]:
        """What must hold for anything to be written about a session."""

    def lost(self, session_id: str) -> None:
        """Let go of a session that another node has."""


class SessionStoring:
    """One session's steps on their way to the store.

    :param refused: told of each try that failed, for those who wait for more than storing.
    :ivar fault: why the last try failed, ``None``: it did not.
    """

    log = Logger()

    __slots__ = ("_dropped", "_host", "_later", "_now", "_refused", "_session_id", "fault")

    def __init__(
        self, host: StoringHost, session_id: str, refused: Callable[[GmsError], None]
    ) -> None:
        self.fault: GmsError | None = None
        self._host = host
        self._session_id = session_id
        self._refused = refused
        self._now: list[Deferred[None]] = []
        self._later: list[Deferred[None]] = []
        self._dropped = False

    @property
    def awaited(self) -> bool:
        """Somebody waits for the step after the one that is being stored."""
        return bool(self._later)

    def wait(self) -> Deferred[None]:
        """Wait for the next step to be stored; fails when it cannot be."""
        done: Deferred[None] = Deferred()
        self._later.append(done)
        return done

    def begin(self) -> None:
        """The next step has been taken: it is what those wait for."""
        self._now, self._later = self._later, []

    def end(self) -> None:
        """It is stored, and what it decided has begun."""
        waiters, self._now = self._now, []
        _fire(waiters, None)

    def disappoint(self, error: GmsError) -> None:
        """Tell all who wait that it is not stored."""
        waiters = (*self._now, *self._later)
        self._now, self._later = [], []
        _fire(waiters, error)

    def let_go(self) -> None:
        """No step follows; whoever waited for one has nothing to wait for."""
        self.begin()
        self.end()

    def drop(self, error: GmsError) -> None:
        """Store nothing more, whatever is under way: another node has the session."""
        self._dropped = True
        self.disappoint(error)

    async def ours(self) -> bool:
        """See that no other node has the session, before something is done that is not stored."""
        return not self._host.conditions(self._session_id) or await self.commit(())

    async def commit(self, changes: Sequence[Change]) -> bool:
        """Store; ``False``: another node has the session, and nothing was stored."""
        conditions = self._host.conditions(self._session_id)
        unit = Unit(UnitId(self._host.ids.uuid()), tuple(changes), conditions)
        wait_s = RETRY_S
        while not self._dropped:
            try:
                await self._host.store.commit(unit)
                break
            except CancelledError:
                raise
            except ConditionFailed:
                if not self._dropped:
                    self._host.lost(self._session_id)
                return False
            except GmsError as error:
                self._failed(error)
            except Exception:  # noqa: BLE001 - the session must not hang in the middle of a step
                self.log.failure("Failed to store {session}", session=self._session_id)
                self._failed(Unavailable("The session cannot be stored."))
            await pause(self._host.timers, wait_s)
            wait_s = min(2 * wait_s, MAX_RETRY_S)
        else:
            return False
        self.fault = None
        # Not before: another session may be stored, and the process end, while this one is not.
        self._host.kept.update(
            one.key for one in changes if isinstance(one, Put) and one.kind == DOCUMENT
        )
        return True

    def _failed(self, error: GmsError) -> None:
        if self.fault is None:
            self.log.warn(
                "Session {session_id} cannot be stored, tried again: {error}",
                session_id=self._session_id,
                error=error.code,
            )
        self.fault = error
        self._refused(error)
        self.disappoint(error)


def _fire(waiters: Sequence[Deferred[None]], error: GmsError | None) -> None:
    for waiter in waiters:
        if waiter.called:
            continue
        if error is None:
            waiter.callback(None)
        else:
            waiter.errback(error)
