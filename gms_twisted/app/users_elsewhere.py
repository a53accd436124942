"""Users whose Bayeux sessions are on other nodes: who is where, events sent after them.

Each node tells the others which users receive ``/_genesys`` on it, all of them to a node that
comes, then every change.  So each knows where an event has to go, without asking::

    user   {"here": [user, ...], "all": true}    those who are there, and (``all``) no others
           {"gone": user, "position": 5|null, "goodbye": false}

An event that is kept because its user is nowhere goes to the node where the user arrives.  With
a connection between nodes the users behind it count as gone.  How events go is in
``event_streams``.

Knows: users by node.  Does not know: sessions, connections.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Protocol

from gms_twisted.app.event_streams import Event, EventStreams
from gms_twisted.app.nodes import Peers
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.sources import Timers

_PART = 1000
"""Most users in one message."""


class UsersHere(Protocol):
    """What is asked of this node, and told to it."""

    def users_here(self) -> Collection[GmsUser]:
        """Users who receive ``/_genesys`` here."""

    def take_kept(self, user: GmsUser) -> list[bytes]:
        """Take what is kept for a user who is away."""

    def receive(self, user: GmsUser, fragment: bytes) -> None:
        """Deliver what another node has for a user, or keep it."""

    def receive_late(self, user: GmsUser, fragments: Iterable[bytes]) -> None:
        """Deliver what is older than anything that is kept for a user, or keep it."""

    def shared(self, user: GmsUser) -> None:
        """From now on another node gets what comes for a user, too."""

    def arrived_elsewhere(self, user: GmsUser) -> None:
        """A user who was nowhere is at another node now."""

    def lost_a_session(self, user: GmsUser) -> None:
        """A user who is somewhere was at a node, too, that is gone or cannot be reached."""

    def left_elsewhere(self, user: GmsUser, position: int | None, *, goodbye: bool) -> None:
        """A user is at no other node any more, or has told its position once more."""


class UsersElsewhere:
    """Who is on other nodes."""

    def __init__(self, peers: Peers, here: UsersHere, timers: Timers) -> None:
        self._peers = peers
        self._here = here
        self._at: dict[GmsUser, set[str]] = {}
        self._of: dict[str, set[GmsUser]] = {}
        self._streams = EventStreams(peers, timers, self)
        peers.hear("user", self._heard)
        peers.on_change(self._came, self._went)

    def has(self, user: GmsUser) -> bool:
        """Tell whether a user is at another node."""
        return user in self._at

    def __len__(self) -> int:
        return len(self._at)

    # What this node tells.

    def tell_arrived(self, user: GmsUser) -> None:
        """A user is here now."""
        if self._peers.reachable:
            self._peers.tell_all("user", _encoded({"here": [user]}))

    def tell_left(self, user: GmsUser, position: int | None, *, goodbye: bool) -> None:
        """A user is not here any more."""
        if self._peers.reachable:
            left = {"gone": user, "position": position, "goodbye": goodbye}
            self._peers.tell_all("user", _encoded(left))

    def spread(self, user: GmsUser, fragment: bytes) -> int:
        """Send an event after a user; returns to how many nodes."""
        send, runs = self._streams.send, self._at.get(user)
        if not runs:
            return 0
        is_copy = len(runs) > 1 or user in self._here.users_here()
        return sum(send(run, user, fragment, is_copy=is_copy) for run in runs)

    def sweep(self) -> None:
        """Take back what is for nodes that are dead; to be called now and then."""
        self._streams.sweep()

    def take_stuck(self, user: GmsUser) -> list[bytes]:
        """Take what is on its way to the user at nodes that cannot be reached now.

        To be called when a session of the user comes here, and before it is counted.
        """
        return self._streams.take(user, copies=not self._is_somewhere(user))

    def stop(self) -> None:
        """Do nothing more by itself."""
        self._streams.stop()

    def _is_somewhere(self, user: GmsUser) -> bool:
        return user in self._at or user in self._here.users_here()

    # app.event_streams.Receiver

    def take(self, user: GmsUser, fragment: bytes, *, is_copy: bool) -> None:
        """Deliver it; of a user who has gone, other sessions have got the copy that is theirs."""
        if is_copy and user in self._at and user not in self._here.users_here():
            return
        self._here.receive(user, fragment)

    def take_back(self, user: GmsUser, events: Iterable[Event]) -> None:
        """Deliver it to where the user is now; whoever was there before has got the copies."""
        is_somewhere = self._is_somewhere(user)
        self._here.receive_late(
            user, [event.fragment for event in events if not (is_somewhere and event.is_copy)]
        )

    def _came(self, run: str) -> None:
        """Tell a node that comes everything."""
        self._streams.came(run)
        users = list(self._here.users_here())
        for at in range(0, len(users) or 1, _PART):
            part = {"here": users[at : at + _PART], "all": at == 0}
            self._peers.tell(run, "user", _encoded(part))

    # What other nodes tell.

    def _heard(self, run: str, payload: bytes) -> None:
        said = json.loads(payload)
        if "gone" in said:
            user = GmsUser(said["gone"])
            self._forget(run, user)
            self._tell_left(user, said["position"], goodbye=said["goodbye"])
            return
        here = [GmsUser(user) for user in said["here"]]
        if said.get("all"):
            for user in self._of.get(run, set()).difference(here):
                self._forget(run, user)
                self._tell_left(user, None, goodbye=False)
        for user in here:
            self._arrived(run, user)

    def _arrived(self, run: str, user: GmsUser) -> None:
        is_new = user not in self._at
        stuck = self._streams.take(user, copies=not self._is_somewhere(user), but=run)
        if is_new:
            self._here.shared(user)
        self._at.setdefault(user, set()).add(run)
        self._of.setdefault(run, set()).add(user)
        for fragment in (*stuck, *self._here.take_kept(user)):
            self._streams.send(run, user, fragment)
        if is_new:
            self._here.arrived_elsewhere(user)

    def _forget(self, run: str, user: GmsUser) -> None:
        """Take a user from a node."""
        at = self._at.get(user)
        if at is None or run not in at:
            return
        at.discard(run)
        if not at:
            del self._at[user]
        of = self._of[run]
        of.discard(user)
        if not of:
            del self._of[run]

    def _tell_left(self, user: GmsUser, position: int | None, *, goodbye: bool) -> None:
        if user not in self._at:
            self._here.left_elsewhere(user, position, goodbye=goodbye)

    def _went(self, run: str) -> None:
        """Count all users of a node as gone; it tells anew when it comes back."""
        self._streams.went(run)
        for user in list(self._of.get(run, ())):
            self._forget(run, user)
            if self._is_somewhere(user):
                self._here.lost_a_session(user)
            else:
                self._tell_left(user, None, goodbye=False)


def _encoded(message: object) -> bytes:
    return json.dumps(message).encode("ascii")
