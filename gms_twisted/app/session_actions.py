"""What one session has begun outside and what has not come to its end.

An action is noted with the step that decided it, begun once that step is stored, and struck
off when it has ended.  What is noted is begun again by the next process, with the same ids.

Knows: what is owed, how ends are told.  Does not know: steps, the store, requests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.session_log import SessionLog
from gms_twisted.app.session_records import OwedEffect
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.scxml.effects import Effect, PostEvent, StartOperation
from gms_twisted.scxml.events import ScxmlEvent

_LONG = {("queue", "submit")}
"""Actions that wait for a person: nothing waits for their end."""

MAX_POSTS = 32
"""Most events of one session on their way to URLs; actions of modules have a bound of their own."""


class ActionHost(Protocol):
    """Who carries actions out."""

    tasks: Tasks
    ids: IdSource
    wall: WallClock

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Carry an action out."""

    async def post_out(self, effect: PostEvent) -> None:
        """Post an event to a URL.

        :raises GmsError: it was not taken.
        """


class Actor(Protocol):
    """The session that acts."""

    def hear(self, event: ScxmlEvent) -> None:
        """Take an event; raises nothing."""

    def struck_off(self) -> None:
        """An action has ended, and what is stored is not true any more."""


class SessionActions:
    """Actions of one session.

    :param owner: the session, without an action.
    :param own_log: where operators see what could not be done.
    :ivar owed: what has not come to its end, by id.
    :ivar since: when each of these was decided, Unix seconds.
    """

    log = Logger()

    __slots__ = ("_actor", "_host", "_own_log", "_owner", "_running", "_stopped", "owed", "since")

    def __init__(self, host: ActionHost, owner: Owner, actor: Actor, own_log: SessionLog) -> None:
        self.owed: dict[str, OwedEffect] = {}
        self.since: dict[str, float] = {}
        self._host = host
        self._owner = owner
        self._actor: Actor | None = actor
        self._own_log = own_log
        self._running: dict[str, Deferred[None]] = {}
        self._stopped = False

    @property
    def under_way(self) -> int:
        """How many have begun and not ended."""
        return len(self._running)

    @property
    def soon_over(self) -> int:
        """How many of these are over soon."""
        owed = [self.owed.get(key) for key in self._running]
        long = sum(
            isinstance(one, StartOperation) and (one.module, one.element) in _LONG for one in owed
        )
        return len(owed) - long

    def resume(self, owed: Mapping[str, OwedEffect], since: Mapping[str, float]) -> None:
        """Know what an earlier process has left; it may not have noted since when."""
        self.owed = dict(owed)
        self.since = {**dict.fromkeys(owed, self._host.wall.now()), **since}

    def stop(self) -> None:
        """Hold still: whatever comes of them now, the next process begins them again."""
        self._stopped = True

    def abandon(self) -> None:
        """Let go of what is under way; whoever has the session now waits for it himself."""
        running, self._running = self._running, {}
        for one in running.values():
            one.cancel()

    def forget(self) -> None:
        """Know the session no more; in a circle both would stay until a collector looks."""
        self._actor = None

    def take(self, effects: Sequence[Effect]) -> Sequence[str]:
        """Note the actions among a step's effects; returns their ids, see :meth:`begin`."""
        fresh: list[str] = []
        now = self._host.wall.now()
        posts = sum(isinstance(one, PostEvent) for one in self.owed.values())
        for effect in effects:
            if isinstance(effect, StartOperation):
                key = effect.request_id
            elif not isinstance(effect, PostEvent):
                continue
            elif posts >= MAX_POSTS:
                sentence = f"{MAX_POSTS} posts are on their way already."
                self._note(f"{effect.url}: {sentence}", sentence)
                self._not_posted(effect)
                continue
            else:
                key = self._host.ids.hex(32)
                posts += 1
            self.owed[key] = effect
            self.since[key] = now
            fresh.append(key)
        return fresh

    def begin(self, keys: Collection[str], hops: int = 0) -> None:
        """Begin these, as far as they are owed and have not begun.

        :param hops: events in a row that led here.
        """
        for key in keys:
            if key not in self.owed or key in self._running:
                continue
            work = self._do(key, self.owed[key], hops)
            running = self._host.tasks.spawn("an action of a session", work)
            if not running.called:
                self._running[key] = running

    def drop(self, but: Collection[str] = ()) -> None:
        """Give all up, but these."""
        for key in [one for one in self.owed if one not in but]:
            self._strike_off(key)
            running = self._running.pop(key, None)
            if running is not None:
                running.cancel()

    def _strike_off(self, key: str) -> bool:
        """Owe this no longer; ``False``: it was not owed."""
        self.since.pop(key, None)
        return self.owed.pop(key, None) is not None

    async def _do(self, key: str, effect: OwedEffect, hops: int) -> None:
        outcome: Outcome | None = None
        posted = True
        if isinstance(effect, PostEvent):
            posted = await self._post(effect)
        else:
            owner = replace(self._owner, hops=hops, operation_id=key, since=self.since[key])
            outcome = await self._host.act(owner, effect, lambda news: self._tell(effect, news))
        self._running.pop(key, None)
        if self._stopped or not self._strike_off(key):
            return
        if isinstance(effect, StartOperation) and outcome is not None:
            self._tell(effect, outcome)
        elif isinstance(effect, PostEvent) and not posted:
            self._not_posted(effect)
        if self._actor is not None:
            self._actor.struck_off()

    async def _post(self, effect: PostEvent) -> bool:
        try:
            await self._host.post_out(effect)
        except CancelledError:
            raise
        except GmsError as error:
            self._note(f"{effect.url}: {error}", "An event could not be posted.")
            return False
        except Exception:  # noqa: BLE001 - the session must hear of every end
            self.log.failure("Failed to post for {session}", session=self._owner.session_id)
            return False
        return True

    def _tell(self, operation: StartOperation, outcome: Outcome) -> None:
        data = {"requestid": operation.request_id, **outcome.data}
        self._hear(ScxmlEvent(outcome.event, data))

    def _not_posted(self, effect: PostEvent) -> None:
        name = "error.communication"
        self._hear(ScxmlEvent(name, type="platform", send_id=effect.send_id, has_data=False))

    def _hear(self, event: ScxmlEvent) -> None:
        if self._actor is not None:
            self._actor.hear(event)

    def _note(self, text: str, plain: str) -> None:
        if self._actor is not None:
            self._own_log.note(2, text, plain)
