"""Bayeux sessions of the desk and the operator page: only the home node has any.

Agents and operators see what exists once, so their sessions are where it is.  A handshake for
one that comes in at another node is carried there, and so is all that follows.  While no node
is home it is refused in a way that has the page try again.  When home goes to another node, its
pages shake hands anew.

Knows: what such a handshake looks like.  Does not know: agents, how messages travel.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.interfaces import BayeuxCaller, HandshakeElsewhere, ServiceChannels
from gms_twisted.app.nodes import HOME, Ownership
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.messages import HANDSHAKE, object_member

_PAGES = ("desk", "ops")
"""Members of a handshake's ``ext`` that hold a ticket."""


def handshake_owner(message: Message) -> str | None:
    """Tell whose a handshake is, as a name for :meth:`Ownership.owner`.

    :returns: ``None`` for a session that any node can have, and for what is no handshake.
    """
    if message.get("channel") != HANDSHAKE:
        return None
    return HOME if _is_for_home(object_member(message, "ext") or {}) else None


def _is_for_home(ext: Mapping[str, object]) -> bool:
    # Nearly all have none; to ask for each page costs 1 us.
    return bool(ext) and any(ext.get(page) is not None for page in _PAGES)


class HomeSessions:
    """Keeps these sessions at home; to be made before those who read the tickets."""

    def __init__(self, ownership: Ownership, channels: ServiceChannels) -> None:
        self._ownership = ownership
        self._channels = channels
        channels.on_handshake(self._handshake)
        ownership.watch(lambda shard: None, self._giving)

    def run_of(self, message: Message) -> str:
        """The run that a handshake is to be carried to; ``""``: it stays here."""
        owner = handshake_owner(message)
        if owner is None or self._ownership.is_ours(owner):
            return ""
        run = self._ownership.owner(owner)
        # While nobody has it, or we are about to give it, it is refused here for now.
        return "" if run == self._ownership.run else run

    def _handshake(self, caller: BayeuxCaller, ext: Mapping[str, object]) -> None:
        if _is_for_home(ext) and not self._ownership.is_ours(HOME):
            raise HandshakeElsewhere("This page is served by another node.")

    async def _giving(self, shard: str) -> None:
        """Send everybody away before home is another node's."""
        if shard == self._ownership.shard(HOME):
            for page in _PAGES:
                for caller in self._channels.bound(page):
                    caller.renew()
