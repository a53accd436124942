"""Interpreters of sessions: made, restored, with the limits that the options set.

Knows: what each interpreter is given.  Does not know: sessions, when they run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.sources import IdSource
from gms_twisted.scxml.interpreter import Interpreter
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.settings import Limits

_PATH = "scxml/session/"
_END = "basichttp"


class Interpreters:
    """Makes interpreters.

    :param location: base URL of this server; ends in ``/``.
    :param thread_time: CPU seconds of this thread; without it only single scripts have a
        limit, and not all those of one step together.
    :ivar options: count for those that are made from now on.
    """

    def __init__(
        self,
        ids: IdSource,
        location: Callable[[], str],
        options: OrsOptions,
        thread_time: Callable[[], float] | None,
    ) -> None:
        self.options = options
        self._ids = ids
        self._location = location
        self._thread_time = thread_time

    def make(
        self, document: Document, session_id: str, parameters: Mapping[str, str]
    ) -> Interpreter:
        """Make one for a new session."""
        return Interpreter(
            document,
            session_id,
            limits=self._limits(),
            parameters=parameters,
            location=self.address(session_id),
            server=self._server(),
            new_id=self._new_id,
            thread_time=self._thread_time,
        )

    def restore(
        self,
        document: Document,
        session_id: str,
        saved: bytes,
        others: Mapping[str, Document],
    ) -> Interpreter:
        """Make one as it was saved.

        :param others: documents that its session invoked, by URL.
        :raises SnapshotError: that cannot be.
        """
        return Interpreter.restore(
            document,
            session_id,
            saved,
            limits=self._limits(),
            location=self.address(session_id),
            server=self._server(),
            new_id=self._new_id,
            documents=others,
            thread_time=self._thread_time,
        )

    def address(self, session_id: str) -> str:
        """Where a session takes events that are posted."""
        return f"{self._location()}{_PATH}{session_id}/{_END}"

    def session_at(self, url: str) -> str | None:
        """Whose address that is, ``None`` for nobody's here."""
        before, found, rest = url.partition(_PATH)
        session_id, _, end = rest.partition("/")
        ours = bool(found) and before == self._location() and end == _END
        return session_id if ours else None

    def _server(self) -> Mapping[str, object]:
        return {"name": "gms_twisted", "cluster": "", "url": self._location()}

    def _new_id(self) -> str:
        return self._ids.hex(32)

    def _limits(self) -> Limits:
        options = self.options
        return Limits(
            evaluation_s=options.evaluation_s,
            # G02: after a script that was stopped the rest of its block still has a little time,
            # and not as much again for each.
            turn_s=options.evaluation_s * 1.5,
            heap_bytes=options.heap,
            event_microsteps=options.microsteps,
            queued_events=options.queued_events,
            pending_sends=options.timers,
            sends_per_s=options.sends_per_s,
        )
