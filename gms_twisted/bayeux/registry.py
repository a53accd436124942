"""Which sessions there are, and whether there is room for more.

Knows: ids, counts of users and addresses.  Does not know: how a session begins or ends.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeVar

from gms_twisted.bayeux.session import Session, State
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.ids import GmsUser

Key = TypeVar("Key")


class Registry:
    """All sessions that live.

    :param exempt: addresses that are not counted.
    :ivar sessions: by client id.
    """

    def __init__(self, settings: Settings, exempt: Container[str]) -> None:
        self.sessions: dict[str, Session] = {}
        self.settings = settings
        self._exempt = exempt
        self._by_user: dict[GmsUser, int] = {}
        self._by_address: dict[str, int] = {}

    def has_room(self, session: Session) -> bool:
        """Tell whether one more session may exist: in all, of a user, of an address."""
        settings = self.settings
        if len(self.sessions) >= settings.max_sessions:
            return False
        user = session.user
        if user is not None and self._by_user.get(user, 0) >= settings.max_sessions_per_user:
            return False
        address = session.address
        counted = self._by_address.get(address, 0)
        return counted < settings.max_sessions_per_address or address in self._exempt

    def add(self, session: Session) -> None:
        """Make a session known."""
        session.state = State.HANDSHAKEN
        self.sessions[session.client_id] = session
        if session.user is not None:
            self._by_user[session.user] = self._by_user.get(session.user, 0) + 1
        self._by_address[session.address] = self._by_address.get(session.address, 0) + 1

    def drop(self, session: Session) -> None:
        """Forget a session, if it was known."""
        if self.sessions.pop(session.client_id, None) is None or session.local:
            return
        _count_down(self._by_address, session.address)
        if session.user is not None:
            _count_down(self._by_user, session.user)


def _count_down(counts: dict[Key, int], key: Key) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
