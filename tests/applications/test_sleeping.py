"""Whether a session sleeps or is stored between its events makes no difference."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.interpreter import Interpreter
from tests.applications.moments import disturbed, everywhere, finish_all
from tests.support.application import SESSION, Application, Between

_awake: dict[tuple[str, str], list[object]] = {}
"""Traces of sessions that never slept."""

REQUESTS = ("gms.start", "status", "reserve", "accept", "internal-poke")


def asleep(app: Application, interpreter: Interpreter) -> Interpreter:
    """Put it to sleep; it must be able to."""
    assert interpreter.sleep(), f"{app.document.name} in {app.state()} stays awake"
    assert not interpreter.awake
    return interpreter


def stored(app: Application, interpreter: Interpreter) -> Interpreter:
    """Store it and make another one of that, as a restart does."""
    saved = interpreter.save()
    assert saved is not None, f"{app.document.name} in {app.state()} cannot be stored"
    interpreter.close()
    return Interpreter.restore(app.document, SESSION, saved, **app.world())


def story(name: str, moment: str, between: Between | None) -> Application:
    """Go to a moment, ask everything there, let everything succeed, and live to the end."""
    app = disturbed(name, moment, between)
    for request in REQUESTS:
        app.ask(request, poke_message="Hello?", _latitude="48.9", _longitude="2.3")
    finish_all(app)
    app.wait(3600)
    app.hang_up()
    app.wait(60)
    return app


class SleepTests(SynchronousTestCase):
    """The same story, awake and asleep."""

    def check(self, between: Between) -> None:
        """Compare, for every moment of every application."""
        for name, moment in everywhere():
            if (name, moment) not in _awake:
                app = story(name, moment, None)
                self.assertTrue(app.ended, (name, moment))
                _awake[name, moment] = app.trace
            app = story(name, moment, between)
            self.assertEqual(app.trace, _awake[name, moment], (name, moment))

    def test_sleep(self) -> None:
        """Sleep between all events is not noticed."""
        self.check(asleep)

    def test_restart(self) -> None:
        """A restart between all events is not noticed."""
        self.check(stored)
