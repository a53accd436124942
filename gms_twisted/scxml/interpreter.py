"""A session of a state chart: events in, macrosteps, effects out.

SCXML: "Algorithm for SCXML Interpretation".  A macrostep can be left in the middle and gone
on with later; between steps a session may sleep (``snapshot``).

Knows: the algorithm and the life of a session.  Does not know: what scripts mean, clocks,
who carries effects out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from gms_twisted.scxml import snapshot
from gms_twisted.scxml.bridge import ScriptFailed
from gms_twisted.scxml.configuration import Configuration
from gms_twisted.scxml.effects import Effect
from gms_twisted.scxml.events import PLATFORM, ScxmlEvent
from gms_twisted.scxml.invocations import Invocation
from gms_twisted.scxml.machine import Ended, Outbox, Setting
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.queued_events import QueuedEvent, QueueFull, queued
from gms_twisted.scxml.selection import select
from gms_twisted.scxml.settings import Limits

__all__ = ["Interpreter", "QueueFull", "Step"]


class Step(Enum):
    """How far a step came."""

    STABLE = "stable"
    """A stable configuration: commit now."""
    MORE = "more"
    """In the middle of a macrostep: step again in a later turn."""
    FINISHED = "finished"
    """Over."""


class Interpreter(Configuration):
    """One session, with the charts that it invoked.

    :param location: where it takes posted events, ``""`` for nowhere.
    :param parameters: what it is started with.
    :param server: what ``_genesys.session.server`` shows.
    :param new_id: 32 hexadecimal digits.
    :param thread_time: CPU seconds of the calling thread, see ``bridge.Bridge``.
    :ivar ended_by: ``""`` while it lives, then ``done``, ``terminated``, ``limit`` or
        ``error``; ``ended_why`` a sentence for the log.
    :ivar done_data: what its final state handed back, a JSON value.
    :ivar strikes: overruns so far; ``microsteps`` done so far.
    """

    __slots__ = ()

    def __init__(
        self,
        document: Document,
        session_id: str,
        *,
        limits: Limits,
        new_id: Callable[[], str],
        parameters: Mapping[str, str] | None = None,
        location: str = "",
        server: Mapping[str, object] | None = None,
        thread_time: Callable[[], float] | None = None,
    ) -> None:
        setting = Setting(limits, server or {}, new_id, Outbox(), thread_time)
        super().__init__(document, session_id, location, setting)
        self._arguments = {name: json.dumps(value) for name, value in (parameters or {}).items()}
        self.done_data: object = None

    # What the host calls

    def start(self, now: float) -> None:
        """Have the next step enter the initial configuration."""
        self._now = self._send_time = now
        self._started = True

    def push(self, event: ScxmlEvent) -> None:
        """Put an event into the external queue; an answer goes to the chart that asked.

        :raises QueueFull: too many wait, or the event is too large.
        """
        limits = self._setting.limits
        owner = self._owner(event)
        if len(owner._external) >= limits.queued_events:
            raise QueueFull("too many events wait")
        made = queued(event, limits.payload_bytes, limits.json_depth)
        owner._external.append(made)

    def step(self, now: float) -> Step:
        """Go on: one external event's macrostep at most, 200 microsteps of it at most."""
        self._now = now
        if self.ended_by:
            return Step.FINISHED
        self._elements = 0
        self._asking = False
        if self._bridge is not None:
            self._bridge.spent_s = 0.0
        try:
            return self._step()
        except Ended:
            pass
        except ScriptFailed as exc:
            # Something of our own failed, as it does where a heap is full to the brim.
            self.ended_by, self.ended_why = "error", f"its script context is unusable: {exc}"
        self._over()
        return Step.FINISHED

    def terminate(self, now: float) -> None:
        """Have the next step end the session, its exit handlers included."""
        self._now = now
        self._terminating = True

    @property
    def pending(self) -> bool:
        """A step would do something."""
        return not self.ended_by and (
            self._terminating
            or self._asking
            or self._has_work()
            or any(child.pending for child in self._children())
        )

    def take_effects(self) -> list[Effect]:
        """What the host is to do, in order; told once."""
        effects = self._setting.effects
        taken = list(effects)
        effects.clear()
        return taken

    def next_deadline(self) -> float | None:
        """When the first delayed event is due, Unix seconds."""
        found = [pending.due for pending in self._pending]
        for child in self._children():
            due = child.next_deadline()
            if due is not None:
                found.append(due)
        return min(found, default=None)

    @property
    def struck(self) -> int:
        """Overruns since it is in memory, those of charts that it invoked among them."""
        return self._setting.struck

    def timers(self) -> list[tuple[float, str]]:
        """When which delayed event is due (Unix seconds), the first one first."""
        found = [(pending.due, pending.event.name) for pending in self._pending]
        for child in self._children():
            found += child.timers()
        return sorted(found)

    def handle_deadline(self, now: float) -> None:
        """Put what is due into its queue, the oldest first."""
        self._now = now
        if self.ended_by:
            return
        due = [pending for pending in self._pending if pending.due <= now]
        if due:
            self._pending = [pending for pending in self._pending if pending.due > now]
            due.sort(key=lambda pending: pending.due)
            # What goes to others is an effect, and wants a step to be taken after.
            self._root()._asking = True
            try:
                for pending in due:
                    self._deliver(pending)
            except Ended:
                self._over()
                return
            if self._internal and self._stable:
                self._stable = False
                self._event_count = 0
        for child in self._children():
            child.handle_deadline(now)

    def set_interactions(self, interactions: Sequence[Mapping[str, object]]) -> None:
        """Fill ``_genesys.ixn.interactions``, for the events from now on."""
        self._interactions = json.dumps(list(interactions))
        if self._bridge is not None:
            with contextlib.suppress(ScriptFailed):
                self._bridge.system("interactions", self._interactions)
        for child in self._children():
            child.set_interactions(interactions)

    def states(self) -> Sequence[str]:
        """Ids of the active states, in document order."""
        return [self._document.states[place].id for place in sorted(self._config)]

    def innermost(self) -> Sequence[str]:
        """Ids of the active states that have no states in them: where it is, in few words."""
        return [self._document.states[place].id for place in self._leaves()]

    @property
    def awake(self) -> bool:
        """Has a script context, or a chart that it invoked has one."""
        return self._bridge is not None or any(child.awake for child in self._children())

    def sleep(self) -> bool:
        """Drop the script context; the next step that needs one makes it again.

        :returns: ``False`` if the variables are no plain data, and it stays awake.
        """
        if not self.stable or self._variables() is None:
            return False
        self._bridge = None
        asleep = [child.sleep() for child in self._children()]
        return all(asleep)

    def data(self) -> Mapping[str, object]:
        """The variables as JSON values, without waking it; what is none is left out."""
        if self._bridge is None:
            return snapshot.shown(self._data_text)
        try:
            found = json.loads(self._bridge.system("show")[1:])
        except (ScriptFailed, ValueError, RecursionError):
            return {}
        return dict(found)

    def save(self) -> bytes | None:
        """Everything about it, JSON.

        ``None`` in the middle of a macrostep, or if its variables are no plain data.
        """
        record = snapshot.record_of(self)
        return None if record is None else json.dumps(record, separators=(",", ":")).encode()

    @classmethod
    def restore(
        cls,
        document: Document,
        session_id: str,
        saved: bytes,
        *,
        limits: Limits,
        new_id: Callable[[], str],
        location: str = "",
        server: Mapping[str, object] | None = None,
        documents: Mapping[str, Document] | None = None,
        thread_time: Callable[[], float] | None = None,
    ) -> Interpreter:
        """Make what :meth:`save` wrote; without script context.

        :param documents: by URL, those of ``snapshot.documents_of``.
        :raises SnapshotError: it is not of this document, or one is missing.
        """
        made = cls(
            document,
            session_id,
            limits=limits,
            new_id=new_id,
            location=location,
            server=server,
            thread_time=thread_time,
        )
        snapshot.fill(made, snapshot.read(saved), documents or {})
        return made

    def close(self) -> None:
        """Drop everything."""
        for child in self._children():
            child.close()
        self._bridge = None
        self._invocations = {}
        self._pending = []
        self._external.clear()
        self._internal.clear()

    # Steps

    def _has_work(self) -> bool:
        if self._initialised:
            return not self._stable or bool(self._external)
        return self._started

    def _step(self) -> Step:
        if self._terminating:
            self._terminate()
        if not self._initialised:
            if not self._started:
                return Step.STABLE
            self._stable = False
            self._event_count = 0
            self._initialise()
            return self._macrostep(self._setting.limits.turn_microsteps - 1)
        if not self._stable:
            return self._macrostep(self._setting.limits.turn_microsteps)
        children = self._waiting_children()
        if children and not children[0].stable:
            return self._step_child(children)
        if children and (not self._external or self._child_turn):
            self._child_turn = False
            return self._step_child(children)
        self._child_turn = True
        if not self._external:
            return Step.STABLE
        self._event_count = 0
        self._stable = False
        self._take_external(self._external.popleft())
        return self._macrostep(self._setting.limits.turn_microsteps - 1)

    def _take_external(self, event: QueuedEvent) -> None:
        self._bind(event)
        if self._invocations:
            self._tell_invocations(event)
        enabled = select(self._document, self._leaves(), event.name, self._holds)
        if enabled:
            self._microstep(enabled)
        self._count()

    def _macrostep(self, budget: int) -> Step:
        """Do what needs no external event.

        :param budget: microsteps that are left in this turn.
        """
        while True:
            if budget <= 0 or (
                self._bridge is not None
                and self._bridge.spent_s > self._setting.limits.evaluation_s
            ):
                return Step.MORE
            budget -= 1
            enabled = select(self._document, self._leaves(), None, self._holds)
            if not enabled:
                if not self._internal:
                    self._begin_invocations()
                    if self._internal:
                        continue
                    self._stable = True
                    return Step.STABLE
                event = self._internal.popleft()
                self._bind(event)
                enabled = select(self._document, self._leaves(), event.name, self._holds)
            if enabled:
                self._microstep(enabled)
            self._count()

    def _count(self) -> None:
        self.microsteps += 1
        self._event_count += 1
        if self._event_count >= self._setting.limits.event_microsteps:
            self._error("script", "an event led to too many microsteps", 0)
            self._end_by(
                "limit", f"an event led to {self._setting.limits.event_microsteps} microsteps"
            )

    @property
    def stable(self) -> bool:
        """Is not in the middle of a macrostep, nor is a chart that it invoked."""
        return self._stable and all(child.stable for child in self._children())

    def _initialise(self) -> None:
        self._initialised = True
        self._initialise_data()
        root = self._document.states[0]
        assert root.initial is not None
        self._run_block(root.initial.block)
        self._enter([root.initial])
        self._count()

    # Ends

    def _terminate(self) -> None:
        if self._initialised:
            if self._current is not None:
                # The same whether the session slept or not.
                self._bind(self._current)
            self._exit_all()
        self._end_by("terminated", "terminated from outside")

    def _over(self) -> None:
        """Let go of what a session that has ended needs no more."""
        self._terminating = False
        self._stable = True
        self.close()

    # Children

    def _step_child(self, waiting: list[Invocation]) -> Step:
        invocation = waiting[0]
        child = invocation.child
        assert child is not None
        # The next one is another's turn.
        self._invocations.pop(invocation.id, None)
        self._invocations[invocation.id] = invocation
        step = child.step(self._now)
        if self.ended_by:
            raise Ended
        if step is Step.FINISHED:
            invocation.child, invocation.over = None, True
            if child.ended_by == "done":
                done = QueuedEvent(
                    f"done.invoke.{invocation.id}",
                    child._done_text,
                    PLATFORM,
                    invoke_id=invocation.id,
                )
                self._enqueue_external(done, self)
            else:
                self._child_broke(invocation, child)
        return Step.MORE if step is Step.MORE else Step.STABLE

    def _child_broke(self, invocation: Invocation, child: Interpreter) -> None:
        # Choice: a chart that ended by a limit cannot say done; its parent learns of it.
        event = QueuedEvent(
            "error.communication",
            json.dumps({"description": child.ended_why, "reason": child.ended_by}),
            PLATFORM,
            invoke_id=invocation.id,
        )
        self._enqueue_external(event, self)
        if child.ended_by == "limit":
            self._strike(f"the chart it invoked ended: {child.ended_why}")
