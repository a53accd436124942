"""What clients publish on channels of their own, told to the clients of other nodes.

It is told once to each node and may be lost with a connection between nodes; so may what is
published to a client that is away.

Knows: which messages go round.  Does not know: who is subscribed.
"""

from __future__ import annotations

from collections.abc import Callable

from gms_twisted.app.nodes import Peers
from gms_twisted.bayeux.codec import Message, decode, encode
from gms_twisted.bayeux.server import BayeuxServer

KIND = "publish"


class Broadcasts:
    """Both ends of it.

    :param wanted: tells whether ``cluster/broadcast`` is on.
    """

    def __init__(self, peers: Peers, server: BayeuxServer, wanted: Callable[[], bool]) -> None:
        self._peers = peers
        self._server = server
        self._wanted = wanted
        server.published = self._published
        peers.hear(KIND, self._heard)

    def _published(self, message: Message) -> None:
        if self._wanted() and self._peers.reachable:
            self._peers.tell_all(KIND, encode(message))

    def _heard(self, run: str, payload: bytes) -> None:
        if self._wanted():
            self._server.publish_as_it_is(decode(payload, 1)[0])
