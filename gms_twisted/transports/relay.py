"""Requests for the node in charge: carried there as a whole, and answered there.

Any request may land on any node.  What lives on one node only (the desk, the contact centre) is
asked of its owner, over the link between the two; the client sees no difference.  While nobody
is in charge, or the owner cannot be reached, the answer is 503 with a ``Retry-After``.

Knows: owners, calls.  Does not know: what a request is (``http.carried``), who needs which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gms_twisted.app.nodes import Nodes
from gms_twisted.domain.errors import NodeAway

KIND = "http"

WITHIN_S = 60.0
"""Time for an answer.  A hash of a password is the slowest of what is asked for."""


class NodeRelay:
    """An :class:`gms_twisted.http.interfaces.Relay` over the links between nodes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._answer: Callable[[bytes], Awaitable[bytes]] | None = None

    def serve(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer what other nodes carry here.

        :param answer: takes a request, gives the complete answer.
        """
        self._answer = answer
        self._nodes.serve_async(KIND, self._served)

    def elsewhere(self, owner: str) -> bool:
        """Tell whether a request for an owner is not ours to answer."""
        return not self._nodes.is_ours(owner)

    async def __call__(self, owner: str, request: bytes) -> bytes:
        """Have a request answered by the owner of a name.

        :raises NodeAway: there is none, or it cannot be reached; it may have acted.
        """
        if self._nodes.is_ours(owner):
            # It has become ours while the body came.
            return await self._answered(request)
        run = self._nodes.owner(owner)
        if run in ("", self._nodes.run):
            raise NodeAway("No node is in charge at the moment.")
        payload = b"".join((owner.encode("utf-8"), b"\0", request))
        return await self._nodes.call(run, KIND, payload, WITHIN_S)

    async def _served(self, run: str, payload: bytes) -> bytes:
        owner, _, request = payload.partition(b"\0")
        if not self._nodes.is_ours(owner.decode("utf-8")):
            # No further: two nodes that know different owners would pass it on for ever.
            raise NodeAway("This node is not in charge.")
        return await self._answered(request)

    async def _answered(self, request: bytes) -> bytes:
        if self._answer is None:
            raise NodeAway("This node is not ready yet.")
        return await self._answer(request)
