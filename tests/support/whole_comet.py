"""A Bayeux client of a whole server, whose polls are held."""

from __future__ import annotations

import json
from typing import Any, cast

from tests.support.bayeux import Client
from tests.support.front import RawConnection
from tests.support.whole import CUSTOMER, WholeServer


class WholeClient(Client):
    """Polls, each request on a connection of its own, to whichever node is next.

    :ivar last: the connection of the latest request.
    """

    transport = "long-polling"

    def __init__(self, server: WholeServer, user: str) -> None:
        super().__init__(cast("Any", server), {"gms_user": user}, CUSTOMER)
        self._server = server
        self._open: list[RawConnection] = []
        self.last: RawConnection

    def send(self, *messages: Any) -> RawConnection:
        """Post a payload."""
        body = json.dumps(messages[0] if len(messages) == 1 else list(messages)).encode()
        lines = ["POST /genesys/cometd HTTP/1.1", "Host: localhost:8080"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.last = self._server.connect()
        self._open.append(self.last)
        self.last.send("\r\n".join([*lines, "", ""]).encode() + body)
        self._server.settle()
        return self.last

    def take(self) -> list[dict[str, Any]]:
        """Take what has come since the last time."""
        waiting = []
        for connection in self._open:
            answers = connection.responses()
            for answer in answers:
                assert answer.status == 200, answer
                self.received += answer.json()
            if not answers:
                waiting.append(connection)
        self._open = waiting
        return super().take()
