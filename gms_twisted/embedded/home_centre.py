"""The one contact centre of several nodes, as the sessions of each see it.

Where home is, everything goes straight to the contact centre there; elsewhere it is asked over
the link.  A question that cannot be put waits a little for home to be there (again); it may be
put twice, and means the same then.

When home is lost its calls are gone, as they are after a restart: wishes for an agent that
had reached it end as cancelled, and sessions are told that their calls are over.  The next
home begins with none.

Knows: where home is, which calls and wishes of sessions here are there.
Does not know: agents, queues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gms_twisted.app.nodes import HOME, Nodes
from gms_twisted.app.pauses import pause
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import (
    DELETED,
    CallWatcher,
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
    TelephonyFailed,
)
from gms_twisted.domain.errors import NodeAway
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.embedded.call_news import CallNews
from gms_twisted.embedded.centre_service import CentreService, LocalCentre, NotHome
from gms_twisted.embedded.centre_words import Words, heard, made, spoken, words_of

KIND = "centre"

LOOK_S = 1.0
"""How often it is looked whether home is still where our calls are, and tried again."""

WAIT_S = 20.0
"""So long a question waits for home; a dead one is known, and replaced, within ten seconds."""

WITHIN_S = 10.0
"""Time for an answer that comes at once."""

MAX_WAIT_S = 40 * 86_400.0
"""Time for one that comes when an agent is found, or answers."""

MAX_CALLS = 10_000
"""Calls of sessions here that are known to be at home; the oldest is forgotten first."""


class HomeCentre:
    """A :class:`gms_twisted.app.telephony.ContactCentre`, wherever it is.

    :param local: the contact centre of this process, which is the one while this is home.
    :ivar news: tells sessions of their calls.
    """

    def __init__(self, nodes: Nodes, local: LocalCentre, timers: Timers, tasks: Tasks) -> None:
        self._nodes = nodes
        self._local = local
        self._timers = timers
        self._tasks = tasks
        self._service = CentreService(nodes, local)
        self._withdrawn: dict[str, bool] = {}
        self._calls: dict[str, tuple[str, Interaction]] = {}
        self._timer: DelayedCall | None = None
        self.news = CallNews(nodes, timers, tasks, self._heard)
        local.watch(self.news)
        nodes.serve_async(KIND, self._service.served)
        nodes.watch(lambda shard: None, self._giving)

    def watch(self, watcher: CallWatcher) -> None:
        """Tell this one about interactions of the sessions here."""
        self.news.watch(watcher)

    def stop(self) -> None:
        """Do nothing more by itself."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # Finding agents.

    async def submit(self, submission: Submission) -> Selection:
        """Wait until an agent is found; cancelling withdraws the wish.

        :raises NodeAway: there is no contact centre, for a while.
        """
        if self._nodes.is_ours(HOME):
            return await self._local.submit(submission)
        self._withdrawn[submission.submission_id] = False
        try:
            return await self._submit(submission)
        finally:
            self._withdrawn.pop(submission.submission_id, None)

    async def _submit(self, submission: Submission) -> Selection:
        words = {**words_of(submission), "do": "submit"}
        nodes, begun_at = self._nodes, ""
        until = self._timers.seconds() + WAIT_S
        while True:
            home = nodes.owner(HOME)
            if begun_at and home != begun_at:
                raise TelephonyFailed("cancelled", "The contact centre has begun anew.")
            if self._withdrawn.get(submission.submission_id):
                raise TelephonyFailed("cancelled", "It was withdrawn.")
            if nodes.is_ours(HOME):
                return await self._local.submit(submission)
            if home in nodes.reachable:
                try:
                    payload = await nodes.call(home, KIND, spoken(words), MAX_WAIT_S)
                    return made(Selection, heard(payload))
                except NotHome:
                    pass
                except NodeAway:
                    begun_at = home
            if not begun_at and self._timers.seconds() >= until:
                raise NodeAway("The contact centre cannot be reached.")
            await pause(self._timers, LOOK_S)

    async def place(self, submission_id: str) -> Place | None:
        """Where a submission stands."""
        if self._nodes.is_ours(HOME):
            return self._local.place(submission_id)
        found = (await self._ask({"do": "place", "id": submission_id}))["place"]
        return None if found is None else made(Place, found)

    async def withdraw(self, submission_id: str) -> bool:
        """Give up a submission."""
        if self._nodes.is_ours(HOME):
            return self._local.withdraw(submission_id)
        if submission_id in self._withdrawn:
            # It may be between two tries.
            self._withdrawn[submission_id] = True
        known: bool = (await self._ask({"do": "withdraw", "id": submission_id}))["known"]
        return known

    # Calls.

    async def create_call(self, call: OutboundCall) -> str:
        """Call somebody; returns when the call is placed."""
        if self._nodes.is_ours(HOME):
            return await self._local.create_call(call)
        # What happens to the call may be told sooner than that it is placed.
        self.news.held.append(call.session_id)
        try:
            words = await self._ask({**words_of(call), "do": "call"})
        finally:
            self.news.held.remove(call.session_id)
        interaction_id: str = words["id"]
        if interaction_id not in self._calls:
            number, source = call.destination, call.source
            placed = Interaction(
                *(interaction_id, "outbound", "dialing", number, source, call.user_data, 0.0),
                session_id=call.session_id,
            )
            self._keep(self._nodes.owner(HOME), placed)
        return interaction_id

    async def terminate(self, interaction_id: str) -> None:
        """Hang up."""
        if self._nodes.is_ours(HOME):
            await self._local.terminate(interaction_id)
        else:
            await self._ask({"do": "terminate", "id": interaction_id})

    async def redirect(self, interaction_id: str, target: Target) -> Selection:
        """Send a call to somebody, who is rung.

        :raises NodeAway: home cannot be reached; it may have been done.
        """
        nodes = self._nodes
        if nodes.is_ours(HOME):
            return await self._local.redirect(interaction_id, target)
        words = {"do": "redirect", "id": interaction_id, "target": words_of(target)}
        # Once only: whoever is rung twice for one wish would not know why.
        payload = await nodes.call(nodes.owner(HOME), KIND, spoken(words), MAX_WAIT_S)
        return made(Selection, heard(payload))

    async def attach(self, interaction_id: str, data: Mapping[str, str]) -> None:
        """Add to an interaction's data."""
        if self._nodes.is_ours(HOME):
            await self._local.attach(interaction_id, data)
        else:
            await self._ask({"do": "attach", "id": interaction_id, "data": dict(data)})

    async def interactions(
        self, session_id: str, *, dialing: bool = False
    ) -> Sequence[Interaction]:
        """What a session has, oldest first.

        :raises NodeAway: there is no contact centre to ask, for a while.
        """
        if self._nodes.is_ours(HOME):
            return self._local.interactions(session_id, dialing=dialing)
        words = await self._ask({"do": "calls", "session": session_id, "dialing": dialing})
        found = [made(Interaction, one) for one in words["calls"]]
        home = self._nodes.owner(HOME)
        for one in found:
            self._keep(home, one)
        return found

    def session_ended(self, session_id: str) -> None:
        """Withdraw what a session waits for; a call that nobody talks on is hung up."""
        if self._nodes.is_ours(HOME):
            self._local.session_ended(session_id)
            return
        self._forget_session(session_id)
        self._tasks.spawn("the calls of a session that ended", self._session_ended(session_id))

    async def _session_ended(self, session_id: str) -> None:
        try:
            await self._ask({"do": "ended", "session": session_id})
        except NodeAway:
            return  # the next home has no calls

    # How it is done.

    async def _ask(self, words: Words) -> Words:
        """Ask home, wherever it is by now.

        :raises NodeAway: it was not there for :data:`WAIT_S`.
        """
        nodes = self._nodes
        until = self._timers.seconds() + WAIT_S
        while True:
            if nodes.is_ours(HOME):
                return await self._service.answer(words)
            home = nodes.owner(HOME)
            if home in nodes.reachable:
                try:
                    return heard(await nodes.call(home, KIND, spoken(words), WITHIN_S))
                except NodeAway:
                    pass
            if self._timers.seconds() >= until:
                raise NodeAway("The contact centre cannot be reached.")
            await pause(self._timers, LOOK_S)

    def _heard(self, run: str, session_id: str, event: str, interaction: Interaction) -> None:
        """Note what home tells of a call of a session here."""
        if event == DELETED:
            self._calls.pop(interaction.interaction_id, None)
        else:
            self._keep(run, interaction)

    def _keep(self, home: str, call: Interaction) -> None:
        self._calls[call.interaction_id] = (home, call)
        if len(self._calls) > MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._calls:
            self._timer = self._timers.callLater(LOOK_S, self._look)

    def _look(self) -> None:
        """Tell sessions of calls that were at a home which is gone."""
        self._timer = None
        home = self._nodes.owner(HOME)
        gone = [one for one, (run, _) in self._calls.items() if run != home]
        for interaction_id in gone:
            _, call = self._calls.pop(interaction_id)
            self.news.tell(call.session_id, DELETED, replace(call, state="ended"))
        self._arm()

    async def _giving(self, shard: str) -> None:
        """Forget the calls of sessions that go on elsewhere."""
        for _, call in list(self._calls.values()):
            if self._nodes.shard(call.session_id) == shard:
                self._calls.pop(call.interaction_id, None)

    def _forget_session(self, session_id: str) -> None:
        for _, call in list(self._calls.values()):
            if call.session_id == session_id:
                self._calls.pop(call.interaction_id, None)
