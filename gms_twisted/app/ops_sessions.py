"""Orchestration sessions for the operator page, and how orchestration is.

A session's data and log may be anybody's secret, so nearly nothing of it is told: of the
data, words that the chart itself has (its states), yes and no, and numbers no longer than
what shows of a phone number; of the log, when, how bad, and what the server itself says.

Knows: sessions in memory.  Does not know: the page, who may see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from gms_twisted.app.health import Health
from gms_twisted.app.hosted_session import HostedSession, Line
from gms_twisted.app.ops_masks import HIDDEN
from gms_twisted.app.ops_services import TELLING
from gms_twisted.app.ops_sources import Json
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.scxml.effects import StartOperation

LOOKED_AT = 2000
"""Most sessions that one search looks at."""
MAX_NAMES = 200
"""Most variables, timers and operations that are told of a session."""
FULL_AT = 0.9
"""Part of the sessions that there may be, from which on somebody should look."""

_LEVELS = {1: "info", 2: "error", 3: "warn", 4: "debug"}
_NAME = re.compile(r"[A-Za-z_$][\w$]{0,63}", re.ASCII)
_EVENT = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_MANY_DIGITS = re.compile(r"\d.*\d.*\d")
_SAID = re.compile(r"[A-Za-z_.' ]+(line \d+)?")
_USER = re.compile(r"//[^/@]*@")
_OF_A_PERSON = re.compile(
    r"latitude|longitude|position|location|(^|_)(lat|lon|lng|age)$|code|pin$|birth", re.IGNORECASE
)
_LARGEST = 99
"""A number that may be seen is no longer than what is seen of a phone number."""


class Elsewhere(Protocol):
    """The client of other servers, as far as its health goes."""

    @property
    def ill(self) -> Sequence[str]:
        """Servers that do not answer."""

    @property
    def unanswered(self) -> bool:
        """Some service has no server left that answers."""


class SessionOverview:
    """Sessions of this process."""

    def __init__(self, orchestrator: EmbeddedOrchestrator) -> None:
        self._orchestrator = orchestrator

    def sessions(self, after: str, limit: int, text: str) -> Json:
        """Page, the latest first; a text that is an id finds it at once."""
        known = self._orchestrator.sessions
        if text and not after and text in known:
            return {"rows": [_row(known[text])], "next": None}
        below = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else None
        total = {} if text else {"total": len(known)}
        wanted, rows, looked, last = text.casefold(), list[Json](), 0, 0
        for session in reversed(known.values()):
            if below is not None and session.number >= below:
                continue
            if len(rows) == limit or looked == LOOKED_AT:
                return {"rows": rows, "next": str(last), **total}
            last = session.number
            looked += 1
            row = _row(session)
            if not wanted or _has(row, wanted):
                rows.append(row)
        return {"rows": rows, "next": None, **total}

    def figures(self) -> Json:
        """``live``, ``awake``, ``started_total``, ``ended_total``."""
        one = self._orchestrator
        return {
            "live": len(one.sessions),
            "awake": len(one.awake),
            "started_total": one.started_total,
            "ended_total": one.ended_total,
        }

    def session(self, session_id: str) -> Json | None:
        """One of them, with ``data``, ``timers``, ``operations`` and ``log``."""
        session = self._orchestrator.sessions.get(session_id)
        if session is None:
            return None
        documents = (session.about.document, *session.about.others.values())
        words = frozenset(state.id for document in documents for state in document.states)
        data = session.interpreter.data()
        return {
            **_row(session),
            "data": dict(_told(name, data[name], words) for name in list(data)[:MAX_NAMES]),
            "timers": [
                {"event": _event(name), "at": at}
                for at, name in session.interpreter.timers()[:MAX_NAMES]
            ],
            "operations": [
                {
                    "module": effect.module if isinstance(effect, StartOperation) else "http",
                    "element": effect.element if isinstance(effect, StartOperation) else "send",
                    "since": session.actions.since[key],
                }
                for key, effect in list(session.actions.owed.items())[:MAX_NAMES]
            ],
            "log": [
                {"at": line.at, "level": _LEVELS.get(line.level, "info"), "text": _plain(line)}
                for line in session.lines
            ],
        }


class OrchestrationHealth:
    """How orchestration is: sessions here, and the servers of others.

    :param here: ``None``: no session runs here.
    """

    def __init__(self, here: EmbeddedOrchestrator | None, elsewhere: Elsewhere) -> None:
        self._here = here
        self._elsewhere = elsewhere

    def health(self) -> Health:
        """Not in order with nearly as many sessions as may be, or servers that do not answer."""
        here, ill = self._here, self._elsewhere.ill
        ok = not self._elsewhere.unanswered
        details: dict[str, object] = {"embedded": here is not None}
        if here is not None:
            live = len(here.sessions)
            ok = ok and live < FULL_AT * here.max_sessions
            details |= {
                "sessions": live,
                "max_sessions": here.max_sessions,
                "awake": len(here.awake),
                "waiting_turns": len(here.turns),
            }
        return Health(ok, {**details, "ill_servers": [without_user(url) for url in ill]})


def without_user(url: str) -> str:
    """A URL without name and password, and without a query."""
    return _USER.sub("//", url.partition("?")[0].partition("#")[0], count=1)


def _row(session: HostedSession) -> Json:
    about, interpreter = session.about, session.interpreter
    return {
        "id": session.session_id,
        "application": without_user(about.source),
        "service": session.session_id if about.service else "",
        "states": list(interpreter.innermost()),
        "started": about.started,
        "ends": session.ends_at,
        "events": session.events,
        "strikes": interpreter.strikes,
        "awake": interpreter.awake,
        "pending": len(session.actions.owed),
    }


def _has(row: Json, wanted: str) -> bool:
    texts = (row["id"], row["application"], row["service"], row["states"])
    return any(wanted in str(text).casefold() for text in texts)


def _told(name: str, value: object, words: frozenset[str]) -> tuple[str, object]:
    """A variable as it may be seen."""
    if not _NAME.fullmatch(name) or _MANY_DIGITS.search(name):
        return HIDDEN, HIDDEN
    if value is None or isinstance(value, bool) or value == "":
        return name, value
    if isinstance(value, int) and abs(value) <= _LARGEST and not _OF_A_PERSON.search(name):
        return name, value
    if isinstance(value, str) and (value in words or name in TELLING):
        return name, value
    return name, HIDDEN


def _event(name: str) -> str:
    """The name of an event, which a chart may make of anything."""
    return name if _EVENT.fullmatch(name) and not _MANY_DIGITS.search(name) else HIDDEN


def _plain(line: Line) -> str:
    return line.plain if _SAID.fullmatch(line.plain) else HIDDEN
