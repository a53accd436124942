"""Connections that become websockets.

Knows: when they do, and who has their bytes from then on.  Does not know: frames
(``websocket.py``), what is said in them.
"""

from __future__ import annotations

from twisted.logger import Logger

from gms_twisted.domain.wheel import NEVER
from gms_twisted.http.answers import SOCKET, AnsweringConnection
from gms_twisted.http.interfaces import Head, Refusal, Upgrade
from gms_twisted.http.upgrade import check_upgrade, upgrade_response
from gms_twisted.http.websocket_end import WebSocketEnd

_NO_SOCKET = Refusal(404, "There is no websocket at this URL.", "gms.unknown_path", close=True)


class SwitchingConnection(AnsweringConnection):
    """The part of a connection that is a websocket, or is to be one."""

    __slots__ = ()

    log = Logger()

    def _upgrade(self, head: Head, rest: bytes) -> None:
        """Become a websocket, if everybody agrees."""
        door = self._door
        refusal = check_upgrade(head) if head.hot else _NO_SOCKET
        if refusal is None:
            assert door.hot is not None
            accepted = door.hot.upgrade(head, self.peer)
            if isinstance(accepted, Upgrade):
                self._open(head, accepted, rest)
                return
            refusal = accepted
        # What follows a refused upgrade may already be frames (hardening W06).
        self._refuse(
            Refusal(
                refusal.status,
                refusal.message,
                refusal.code,
                refusal.headers,
                plain=refusal.plain,
                close=True,
            ),
            head,
        )

    def _open(self, head: Head, accepted: Upgrade, rest: bytes) -> None:
        door = self._door
        door.tune(self._tcp)
        door.counts.websockets += 1
        extensions, reader = door.frame_reader(head, accepted)
        end = WebSocketEnd(self, accepted.handler, reader)
        self._work = end
        self._state = SOCKET
        self.transport.write(
            upgrade_response(head, accepted.protocol, extensions, accepted.headers)
        )
        self._head = None
        self.due_in(NEVER)
        try:
            end.opened()
        except Exception:  # noqa: BLE001  # R18
            self._socket_failed(end)
        if rest and self._state == SOCKET:
            self._socket(rest)

    def _socket(self, data: bytes) -> None:
        end = self._work
        assert isinstance(end, WebSocketEnd)
        try:
            end.received(data)
        except Exception:  # noqa: BLE001  # R18
            self._socket_failed(end)

    def _socket_failed(self, end: WebSocketEnd) -> None:
        self.log.failure("Failed on a websocket")
        end.failed()
