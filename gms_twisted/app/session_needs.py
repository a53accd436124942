"""What a session needs of those around it, as an interface.

Knows: shapes.  Does not know: who implements them, what sessions are made of.
"""

from __future__ import annotations

from typing import Protocol

from gms_twisted.app.session_actions import ActionHost
from gms_twisted.app.session_storing import StoringHost
from gms_twisted.app.session_turns import AwakeSessions, SessionTurns
from gms_twisted.scxml.effects import SendToSession
from gms_twisted.scxml.model import Document


class Host(ActionHost, StoringHost, Protocol):
    """Where a session runs."""

    turns: SessionTurns
    awake: AwakeSessions

    @property
    def alone(self) -> bool:
        """No other node keeps or removes documents."""

    def shard(self, session_id: str) -> str:
        """The shard that a session belongs to, ``""`` where there is only this process."""

    async def load(self, url: str, base: str) -> Document:
        """Get the document of an invoked chart.

        :param base: URL of the document that invokes it.
        :raises ApplicationUnusable: it cannot be read or run.
        """

    def deliver(self, effect: SendToSession, origin: str) -> bool:
        """Give an event to another session; ``False``: there is none.

        :param origin: id of the session that sends it.
        """

    async def lasts_until(self, session_id: str) -> float:
        """How long a session whose time is up may go on (Unix seconds); the past: no longer.

        :raises GmsError: that cannot be read.
        """

    async def release(self, session_id: str) -> None:
        """Free what a session holds outside, its service first of all."""

    def dropped(self) -> None:
        """Note that a script context is gone."""

    def gone(self, session_id: str) -> None:
        """Forget a session."""

    def count(self, name: str, by: int = 1) -> None:
        """Count something that happened to a session."""
