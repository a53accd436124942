"""The contact centre of the home node, as other nodes ask it.

==============  ==========================================  ===========================
``do``          with                                        answer
==============  ==========================================  ===========================
``submit``      a submission; dropping it withdraws it      the selection
``place``       ``id`` of a submission                      ``place``, or null
``withdraw``    ``id`` of a submission                      ``known``
``call``        an outbound call                            ``id``
``terminate``   ``id`` of an interaction                    no members
``redirect``    ``id``, ``target``                          the selection
``attach``      ``id``, ``data``                            no members
``calls``       ``session``, ``dialing``                    ``calls``
``ended``       ``session``                                 no members
==============  ==========================================  ===========================

Failures are errors of the application, which travel as themselves.

Knows: what may be asked.  Does not know: which node asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gms_twisted.app.nodes import HOME, Ownership
from gms_twisted.app.telephony import (
    CallWatcher,
    Interaction,
    OutboundCall,
    Place,
    Selection,
    Submission,
    Target,
)
from gms_twisted.domain.errors import InvalidRequest, NodeAway
from gms_twisted.embedded.centre_words import (
    Words,
    heard,
    made,
    spoken,
    submission_of,
    words_of,
)


class LocalCentre(Protocol):
    """A contact centre in this process: :class:`EmbeddedContactCentre`."""

    def watch(self, watcher: CallWatcher) -> None:
        """Tell this one about every session's interactions from now on."""

    async def submit(self, submission: Submission) -> Selection:
        """Wait until an agent is found; cancelling withdraws the wish."""

    def place(self, submission_id: str) -> Place | None:
        """Where a submission stands."""

    def withdraw(self, submission_id: str) -> bool:
        """Give up a submission."""

    async def create_call(self, call: OutboundCall) -> str:
        """Call somebody."""

    async def terminate(self, interaction_id: str) -> None:
        """Hang up."""

    async def redirect(self, interaction_id: str, target: Target) -> Selection:
        """Send a call to somebody."""

    async def attach(self, interaction_id: str, data: Words) -> None:
        """Add to an interaction's data."""

    def interactions(self, session_id: str, *, dialing: bool = False) -> Sequence[Interaction]:
        """What a session has."""

    def session_ended(self, session_id: str) -> None:
        """Withdraw what a session waits for."""


class NotHome(NodeAway):
    """The node that is asked has no contact centre now; nothing was done."""

    code = "gms.not_home"


class CentreService:
    """Answers other nodes."""

    def __init__(self, ownership: Ownership, centre: LocalCentre) -> None:
        self._ownership = ownership
        self._centre = centre

    async def served(self, run: str, payload: bytes) -> bytes:
        """Answer one call of a node.

        :raises NotHome: this is not the one to ask.
        :raises GmsError: the contact centre refuses.
        """
        if not self._ownership.is_ours(HOME):
            raise NotHome("This node has no contact centre.")
        return spoken(await self.answer(heard(payload)))

    async def answer(self, words: Words) -> Words:
        """Do what is asked.

        :raises GmsError: the contact centre refuses.
        """
        centre = self._centre
        match words["do"]:
            case "submit":
                return words_of(await centre.submit(submission_of(words)))
            case "place":
                place = centre.place(words["id"])
                return {"place": None if place is None else words_of(place)}
            case "withdraw":
                return {"known": centre.withdraw(words["id"])}
            case "call":
                return {"id": await centre.create_call(made(OutboundCall, words))}
            case "terminate":
                await centre.terminate(words["id"])
            case "redirect":
                target = made(Target, words["target"])
                return words_of(await centre.redirect(words["id"], target))
            case "attach":
                await centre.attach(words["id"], words["data"])
            case "calls":
                calls = centre.interactions(words["session"], dialing=words["dialing"])
                return {"calls": [words_of(one) for one in calls]}
            case "ended":
                centre.session_ended(words["session"])
            case _:
                raise InvalidRequest("The contact centre knows no such call.", "do")
        return {}
