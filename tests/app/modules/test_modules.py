"""All actions: every end is an event, and there is a limit to how many run at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.modules import MAX_AT_ONCE, Modules
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.outgoing import Unreachable
from gms_twisted.app.telephony import TelephonyFailed
from gms_twisted.domain.errors import NotFound
from gms_twisted.scxml.effects import StartOperation
from tests.support.orchestration import OWNER, Rig, operation

DONE = Outcome("x.walk.done", {"steps": 1})


class Scripted:
    """A module that does what the test says."""

    prefix = "x"

    def __init__(self, does: Callable[[], Awaitable[Outcome | None]]) -> None:
        self.does = does

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """Do it."""
        return await self.does()


class ModulesTests(SynchronousTestCase):
    """One module, called ``walking``, whose events begin with ``x``."""

    def rig(self, does: Callable[[], Awaitable[Outcome | None]]) -> Rig:
        """Put a module behind the front."""
        return Rig(self, Modules({"walking": Scripted(does)}))

    def raising(self, error: Exception) -> Outcome:
        """What a session is told of an error."""

        async def fails() -> Outcome:
            raise error

        return self.rig(fails).ask(operation("walking", "walk"))

    def test_outcome(self) -> None:
        """What a module says is what the session is told."""

        async def done() -> Outcome:
            return DONE

        self.assertEqual(self.rig(done).ask(operation("walking", "walk")), DONE)

    def test_nothing_to_tell(self) -> None:
        """A module may have nothing to say."""

        async def nothing() -> None:
            return None

        running = self.rig(nothing).start(operation("walking", "walk"))
        self.assertIsNone(self.successResultOf(running))

    def test_foreseen(self) -> None:
        """A failure is told by its code, or the word that its kind has."""
        for error, word in (
            (NotFound("Gone."), "gms.not_found"),
            (TelephonyFailed("invalidsource", "Gone."), "invalidsource"),
            (Unreachable("Gone.", "dns"), "dns"),
        ):
            self.assertEqual(
                self.raising(error),
                Outcome("error.x.walk", {"error": word, "description": "Gone."}),
            )

    def test_unforeseen(self) -> None:
        """A fault of ours is logged, and the session hears that there was one, not which."""
        outcome = self.raising(ZeroDivisionError("secret"))
        self.assertEqual((outcome.event, outcome.data["error"]), ("error.x.walk", "internal"))
        self.assertNotIn("secret", str(outcome.data))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unsupported(self) -> None:
        """What nobody does is an event, too."""
        outcome = self.raising(UnknownElement())
        self.assertEqual((outcome.event, outcome.data["error"]), ("error.x.walk", "unsupported"))
        rig = Rig(self, Modules({}))
        for module in ("dialog", "classification", "statistic", "resource", "brewing"):
            outcome = rig.ask(operation(module, "play"))
            self.assertEqual(outcome.event, f"error.{module}.play")
            self.assertEqual(outcome.data["error"], "unsupported")

    def test_largest_event(self) -> None:
        """An answer that would not fit into an event is a failure."""
        text = "é"

        async def done() -> Outcome:
            return Outcome("x.walk.done", {"content": text})

        rig = Rig(self, Modules({"walking": Scripted(done)}, event_bytes=20))
        text = "é" * 3
        self.assertEqual(rig.ask(operation("walking", "walk")).event, "x.walk.done")
        text = "é" * 3 + "e"
        outcome = rig.ask(operation("walking", "walk"))
        self.assertEqual((outcome.event, outcome.data["error"]), ("error.x.walk", "toolarge"))

    def test_session_gone(self) -> None:
        """Those who clear are told, and nobody else."""
        ended: list[str] = []
        gone: list[str] = []
        Modules({}, [ended.append], clear=[gone.append]).session_gone("s")
        self.assertEqual((ended, gone), ([], ["s"]))

    def test_session_ended(self) -> None:
        """Whoever keeps something of a session is told of its end."""
        ended: list[str] = []
        Modules({}, [ended.append, ended.append]).session_ended("s")
        self.assertEqual(ended, ["s", "s"])

    def test_cancelled(self) -> None:
        """An action that is cancelled tells nothing."""
        running = self.rig(Deferred).start(operation("walking", "walk"))
        running.cancel()
        self.failureResultOf(running, CancelledError)

    def test_most_at_once(self) -> None:
        """One more than 32 of a session fails; of another session it does not, nor later."""
        held: list[Deferred[Outcome | None]] = []

        def hold() -> Deferred[Outcome | None]:
            held.append(Deferred())
            return held[-1]

        rig = self.rig(hold)
        running = [rig.start(operation("walking", "walk")) for _ in range(MAX_AT_ONCE)]
        outcome = rig.ask(operation("walking", "walk"))
        self.assertEqual((outcome.event, outcome.data["error"]), ("error.x.walk", "busy"))
        self.assertEqual(len(held), MAX_AT_ONCE)
        self.assertNoResult(
            rig.start(operation("walking", "walk"), replace(OWNER, session_id="other"))
        )
        held[0].callback(DONE)
        self.assertEqual(self.successResultOf(running[0]), DONE)
        self.assertNoResult(rig.start(operation("walking", "walk")))
        self.assertEqual(len(held), MAX_AT_ONCE + 2)

    def test_nothing_is_kept(self) -> None:
        """However actions end, nothing is remembered of their session."""
        modules = Modules({"walking": Scripted(Deferred)})
        rig = Rig(self, modules)
        running = [rig.start(operation("walking", "walk")) for _ in range(2)]
        for one in running:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        rig.ask(operation("brewing", "brew"))
        self.assertEqual(modules._running, {})
