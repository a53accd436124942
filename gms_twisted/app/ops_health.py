"""Since when the node is as it is: what ``/health`` says, with a memory.

Knows: the last few changes.  Does not know: what makes a part healthy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gms_twisted.app.health import NodeHealth
from gms_twisted.domain.sources import WallClock

CHANGES = 20
"""How many changes are remembered."""


@dataclass(frozen=True, slots=True)
class _Seen:
    ok: bool
    since: float


class HealthWatch:
    """Looks at the node's health again and again; :meth:`look` is to be called regularly.

    :param facts: what else to show: version, addresses, who is believed; no secrets.
    """

    def __init__(
        self,
        health: NodeHealth,
        wall: WallClock,
        facts: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._health = health
        self._wall = wall
        self._facts = facts
        self._started = wall.now()
        self._word = ""
        self._seen: dict[str, _Seen] = {}
        self._changes: deque[Mapping[str, object]] = deque(maxlen=CHANGES)

    def look(self) -> None:
        """Notice what has changed since the last look."""
        self.details()

    def details(self) -> Mapping[str, object]:
        """Everything, as a JSON object; times are Unix seconds."""
        now = self._wall.now()
        seen = self._health.details()
        parts = seen["parts"]
        assert isinstance(parts, Mapping)
        word = str(seen["status"])
        if self._word not in ("", word):
            self._changes.appendleft({"at": now, "what": word, "ok": word == "ready"})
        if self._word != word:
            self._word = word
            self._seen.pop("", None)
        whole = self._notice("", bool(seen["ok"]), now)
        shown = []
        for name, part in parts.items():
            known = self._notice(name, bool(part["ok"]), now)
            details = {key: value for key, value in part.items() if key != "ok"}
            shown.append({"name": name, "ok": known.ok, "since": known.since, "details": details})
        return {
            "status": word,
            "ok": whole.ok,
            "since": whole.since,
            "started": self._started,
            "parts": shown,
            "changes": list(self._changes),
            "facts": dict(self._facts()),
        }

    def _notice(self, name: str, ok: bool, now: float) -> _Seen:
        before = self._seen.get(name)
        if before is not None and before.ok == ok:
            return before
        # What was in order from the first look on, was so from the start.
        since = self._started if before is None and ok and not self._changes else now
        self._seen[name] = _Seen(ok, since)
        if before is not None and name:
            self._changes.appendleft({"at": now, "what": name, "ok": ok})
        return self._seen[name]
