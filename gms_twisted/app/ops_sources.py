"""What the operator page shows, as interfaces; implemented by those who own it.

Every method gives plain JSON values, ready to be sent.  Times are Unix seconds,
durations end in ``_s``.  Lists come in *pages*: ``{"rows": [...], "next": TEXT}``,
where ``next`` is what to pass as ``after`` for the rest and ``None`` at the end.
A page may have fewer rows than asked for, even none, and still a ``next``: whoever
searches in a store looks at so many records and no more at a time.

What must not be seen is masked once more on its way out (``ops_masks``), by the names
of members: call a phone number ``phone``, an access code ``code``, a device's id
``device``.

Knows: shapes.  Does not know: who implements them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Json = Mapping[str, object]


class ServiceSource(Protocol):
    """Live service instances."""

    async def services(self, after: str, limit: int, text: str) -> Json:
        """Page of ``id``, ``name``, ``service``, ``user``, ``created``, ``ends``, ``idle``.

        :param text: part of an id, a name or a user; ``""`` for all.
        """

    async def service(self, service_id: str) -> Json | None:
        """One of them, with ``parameters``; ``None`` when there is none."""


class ChatSource(Protocol):
    """Open chats, and who answers them."""

    def chats(self) -> Sequence[Json]:
        """Rows of ``id``, ``group``, ``nickname``, ``agents``, ``waiting``, ``since``, ``service``.

        Those that wait come first, longest wait first.
        """

    async def agents(self) -> Sequence[Json]:
        """Rows of ``name``, ``display_name``, ``role``, ``state``, ``enabled``, ``chats``."""


class NodeSource(Protocol):
    """The nodes that live."""

    async def nodes(self) -> Sequence[Json]:
        """Rows of ``node``, ``address``, ``started``, ``here``, ``home``, ``reachable``.

        Further ``shards`` (``None`` for a process that is alone), ``answered``, and of a node
        that has: ``status``, ``ok``, ``configured`` (when its configuration was last applied),
        ``refused`` (why a later one was not, ``""``: none was), ``bayeux`` (sessions),
        ``users``, ``orchestration`` (sessions, ``None`` where none run), ``chats`` (open ones,
        ``None`` without a chat server), ``lag_s`` (the longest of the last minute),
        ``memory_bytes`` and ``deliveries`` (a second).
        """


class SessionSource(Protocol):
    """Orchestration sessions of all nodes."""

    async def sessions(self, after: str, limit: int, text: str) -> Json:
        """Page of ``id``, ``application``, ``service``, ``states``, ``started``, ``ends``.

        The states are the innermost ones.  Further ``events`` (taken since the start),
        ``strikes`` (limits it ran into), ``awake`` (has a script context) and ``pending``
        (operations under way), and ``node``, its number, where there are several; the latest
        session first.  With ``live`` and ``awake`` now, ``started_total`` and ``ended_total``
        since the start, all nodes together, and ``away``: numbers of those that did not answer.

        :param text: an id, or part of one, of an application or a state; ``""`` for all.
        """

    async def session(self, session_id: str) -> Json | None:
        """One of them, ``None`` when there is none.

        :raises NodeAway: its node does not answer.

        With ``data`` (by name, masked by whoever tells it), ``timers`` (``event``, ``at``),
        ``operations`` (``module``, ``element``, ``since``) and ``log`` (``at``, ``level``,
        ``text``, the last line last; masked likewise).
        """


class CallSource(Protocol):
    """Calls and agent groups of the contact centre."""

    def calls(self, after: str, limit: int, text: str) -> Json:
        """Page of ``call``, ``direction``, ``state``, ``number``, ``dnis``, ``group``, ``service``.

        Further ``service_name``, ``since``, ``answered``, ``ended`` and ``agent``.  Numbers
        are masked by whoever tells them; oldest first.

        :param text: an id, or part of any of these; ``""`` for all.
        """

    def groups(self, after: str, limit: int, text: str) -> Json:
        """Page of ``name``, ``agents`` (signed in), ``ready``, ``waiting``, ``longest_since``."""


class NumberSource(Protocol):
    """Access numbers in their groups, and who holds them."""

    async def groups(self) -> Sequence[Json]:
        """Rows of ``name``, ``strategy``, ``numbers``, ``held``, ``free``."""

    async def bookings(self, group: str) -> Sequence[Json]:
        """Rows of ``number``, ``service``, ``until``, ``phone``, ``code`` of each held number.

        :raises NotFound: there is no such group.
        """


class NotificationSource(Protocol):
    """Subscriptions, and what became of publishes."""

    async def subscriptions(self, after: str, limit: int, text: str) -> Json:
        """Page of ``id``, ``subscriber``, ``filter``, ``type``, ``device``, ``provider``.

        Further ``ends`` (``None``: never) and ``enabled``.

        :param text: part of an id, a subscriber, a filter or a type; ``""`` for all.
        """

    async def deliveries(self, after: str, limit: int) -> Json:
        """Page of ``id``, ``tag``, ``at``, ``devices``, ``delivered``, ``failed``, newest first."""

    async def delivery(self, delivery_id: str) -> Json | None:
        """One of them, ``None`` when there is none.

        With ``results``, one for each device: ``subscription`` (``None`` for an event
        directed to a device), ``type``, ``status`` (``delivered``, ``failed``, ``pending``:
        tried again later, ``undecided``: under way), ``reason``, ``attempts``,
        ``unsubscribed``.
        """


class SenderSource(Protocol):
    """The ways to devices."""

    def senders(self) -> Sequence[Json]:
        """Rows of ``transport``, ``provider``, ``debug``, ``queue``, ``in_flight``, ``circuit``.

        Further ``last_error`` and ``days_left``: of the certificate, ``None`` where
        there is none.  ``circuit`` is ``closed`` (works), ``open`` or ``half-open``.
        """


class ProblemSource(Protocol):
    """The last warnings and failures of the logs of all nodes."""

    async def problems(self, after: str, limit: int, text: str) -> Json:
        """Page of ``id``, ``at``, ``level``, ``who``, ``text``, ``traceback``.

        Further ``node``, its number, where there are several; the newest of each are in every
        page.  Beside the rows ``total`` and ``away``: numbers of nodes whose rows are missing.
        """


@dataclass(frozen=True)
class OpsSources:
    """Everybody who tells something; ``None``: that section says "not available"."""

    services: ServiceSource | None = None
    chats: ChatSource | None = None
    numbers: NumberSource | None = None
    notifications: NotificationSource | None = None
    senders: SenderSource | None = None
    problems: ProblemSource | None = None
    sessions: SessionSource | None = None
    calls: CallSource | None = None
    nodes: NodeSource | None = None


def listed(rows: Sequence[Json], after: str, limit: int, text: str) -> Json:
    """Page of rows that are all at hand; ``after`` counts them.

    :param text: some value of a row contains it, whatever the case.
    """
    wanted = text.casefold()
    found = [row for row in rows if not wanted or matches(row, wanted)]
    begin = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    end = begin + limit
    return {
        "rows": found[begin:end],
        "next": str(end) if end < len(found) else None,
        "total": len(found),
    }


def matches(row: Json, wanted: str) -> bool:
    """Tell whether a text, case-folded, stands in some value of a row."""
    return any(
        wanted in str(value).casefold() for value in row.values() if isinstance(value, str | list)
    )


async def searched(
    page_of: Callable[[str, int], Awaitable[Json]], after: str, limit: int, text: str
) -> Json:
    """Page of rows that contain a text, from a source that cannot search.

    Looks at :data:`SEARCHED` rows at most; the page's ``next`` goes on from there.
    """
    wanted = text.casefold()
    found: list[Json] = []
    looked = 0
    cursor: str | None = after
    while cursor is not None and looked < SEARCHED and len(found) < limit:
        page = await page_of(cursor, min(limit, SEARCHED - looked))
        rows = page.get("rows")
        assert isinstance(rows, Sequence)
        found += [row for row in rows if not wanted or matches(row, wanted)]
        looked += max(len(rows), 1)
        following = page.get("next")
        cursor = following if isinstance(following, str) else None
    return {"rows": found, "next": cursor}


SEARCHED = 1000
"""Most rows that one search looks at."""
