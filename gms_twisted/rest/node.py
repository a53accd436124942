"""Route of the Node API.  Spec: Node API."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from gms_twisted.app.health import NodeHealth
from gms_twisted.http.interfaces import ICaller
from gms_twisted.rest.replies import empty_reply
from gms_twisted.rest.root import route

USER_SEEN = b"X-Gms-User-Seen"


class NodeApi:
    """What load balancers ask."""

    def __init__(self, health: NodeHealth) -> None:
        self._health = health

    @route("/genesys/1/node", "GET")
    def query(self, request: IRequest) -> bytes:
        """200 and empty; 503 while draining or when the store cannot write.

        Says in a header whether a ``gms_user`` has arrived: that is how the command
        ``self-check`` finds out that a proxy on the way drops it (hardening B03).
        """
        if ICaller(request).user is not None:
            request.setHeader(USER_SEEN, b"yes")
        return empty_reply(request, 200 if self._health.ready else 503)
