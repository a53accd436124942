"""Requests of the hot path: handed over, and known when they come again.

Knows: what a connection remembers of them (``known.py``), what happens when one fails.
Does not know: how others are read and judged (``channel.py``), any URL.
"""

from __future__ import annotations

from gms_twisted.http.answers import BUSY, READY
from gms_twisted.http.interfaces import BodyPlan, Head
from gms_twisted.http.known import Known, KnownHead
from gms_twisted.http.responses import INTERNAL
from gms_twisted.http.switching import SwitchingConnection


class RepeatingConnection(SwitchingConnection):
    """The part of a connection that hands requests to the hot path, and knows them again."""

    __slots__ = ()

    def _hot(self, head: Head, plan: BodyPlan, body: bytes) -> None:
        door = self._door
        door.counts.hot_requests += 1
        if not self._tuned:
            self._tuned = True
            door.tune(self._tcp)
        assert door.hot is not None
        try:
            door.hot.request(self, head, plan, body)
        except Exception:  # noqa: BLE001  # R18: answered 500, logged once, server goes on
            self._failed()

    def _press(self) -> None:
        """More has come behind a request of the hot path."""
        assert self._door.hot is not None
        try:
            self._door.hot.pressed(self)
        except Exception:  # noqa: BLE001  # as above
            self._failed()

    def _failed(self) -> None:
        request_id = self._door.next_request_id()
        self.log.failure("Failed: request {request_id} of the hot path", request_id=request_id)
        if self._state == BUSY:
            self._refuse(INTERNAL, self._head)

    def _know(self, head: KnownHead, data: bytes, body: bytes) -> None:
        """Know a request that is held: by its head, and when it repeats itself by all of it.

        To look for what may differ costs 9 us, which who comes once only need not pay.
        """
        size = len(data)
        if head.held != size:
            head.held = size
            self._known = head
            return
        hot = self._door.hot
        assert hot is not None
        recurring = hot.recurring(self, head.note, body)
        self._known = Known(data, size - len(body), head.bare, head.plan, recurring)

    def _again(self, known: Known | KnownHead, body: bytes, part: bytes) -> bool:
        """Take a request that is known; ``False``: it must be judged anew."""
        door = self._door
        assert door.hot is not None
        self._state = BUSY
        self._head = known.bare
        self._plan = known.plan
        try:
            if door.hot.repeated(self, known.note, body, part):
                door.counts.hot_requests += 1
                return True
        except Exception:  # noqa: BLE001  # R18
            self._failed()
            return True
        self._state = READY
        self._head = self._plan = None
        return False
