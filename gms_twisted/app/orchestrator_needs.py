"""What the orchestrator needs from others, as interfaces.

Knows: shapes.  Does not know: who implements them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.orchestration import SessionAt
from gms_twisted.scxml.effects import PostEvent, SendToSession, StartOperation
from gms_twisted.scxml.model import Document


class DocumentSource(Protocol):
    """Gives applications."""

    async def load(self, source: str, base: str = "") -> Document:
        """Get a document by URL, or by the name of one that comes with the server.

        :raises ApplicationUnusable: it cannot be read or run.
        """


class ModuleActions(Protocol):
    """Carries out the actions of all modules."""

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome | None:
        """See :meth:`gms_twisted.app.operations.Module.act`; raises nothing."""

    def session_ended(self, session_id: str) -> None:
        """Forget a session, and withdraw what it waits for."""


class Poster(Protocol):
    """Posts events to URLs."""

    async def post(self, effect: PostEvent) -> None:
        """Post it.

        :raises GmsError: it was not taken.
        """


class Everywhere(Protocol):
    """Reaches sessions of all nodes; implemented by ``app/shared_sessions.py``."""

    async def post(
        self, session_id: str, name: str, data: object, *, has_data: bool, raw: str = ""
    ) -> None:
        """See :meth:`gms_twisted.app.orchestration.SessionServer.post`."""

    async def deliver_to(self, effect: SendToSession, origin: str) -> None:
        """Give an event to a session that another one has sent.

        :raises SessionUnknown: there is none.
        :raises NodeAway: its node could not be asked, for a while.
        """


class OwnerRules(Protocol):
    """What the services of sessions want; implemented by ``app/builtin/orchestrated.py``."""

    async def lasts_until(self, session_id: str) -> float:
        """Until when the service lives (Unix seconds), 0 when there is none."""

    async def session_over(self, session_id: str) -> None:
        """The session is at its end: so is the service, and what it holds is free.

        :raises ConditionFailed: another node has the session.
        """

    async def session_gone(self, session_id: str) -> None:
        """All that the session did at its end is done, too: nothing of it may be left."""

    async def adopt(self, session: SessionAt, source: str, parameters: Mapping[str, str]) -> None:
        """Make a service for a session that somebody else has started.

        :raises TooManyRequests: there are too many services.
        :raises Unavailable: another node has the session by now.
        """

    async def forget_lost(
        self, is_meant: Callable[[str], bool], is_there: Callable[[str], bool]
    ) -> None:
        """Take away services whose session was never stored.

        :param is_meant: whether to judge a service, by its id.
        :param is_there: whether a session is here, by its id.
        """
