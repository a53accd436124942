"""The chat servers of a cluster's nodes: one on each, all on one store.

Choice: any server serves any chat, so nobody ever has to reach another node's flex port, which
is on loopback.  Rooms are in the store; each server has all open ones in memory and hears of
what the others change.  A customer is served where GMS carries out the calls for its chat, by
the server of that node.

::

    RoomHost.announce -> tell_all "room" -> RoomHost.reread of the others
    a node comes      -> tell it "room"  -> it rereads all: what it was told may have been lost
    a node is dead    -> whoever owns "home:<alias>" reads all and adopts its people

Knows: who is told what, whose turn it is to adopt.  Does not know: chats, flex, connections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from twisted.logger import Logger

from gms_twisted.app.nodes import HOME, Nodes
from gms_twisted.app.pauses import pause
from gms_twisted.app.tasks import Tasks
from gms_twisted.chatserver.balancer import balancer_answer
from gms_twisted.domain.chat import ChatServerAddress
from gms_twisted.domain.errors import GmsError, NotFound
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import DelayedCall, Timers
from gms_twisted.embedded.chat_server import ChatServer

KIND = "room"

LOOK_S = 1.0
"""How often it is looked for nodes that are dead, and for those that cannot be reached."""

AGAIN_S = 1.0
"""After so long what could not be read is tried again."""


class RoomNodes:
    """Our node's chat server among those of the others; make it before the server starts.

    :param living: gives the aliases of all nodes that live, ours too.
    :param machine: a name of this machine: whoever has the same reaches our loopback ports.
    """

    log = Logger()

    def __init__(
        self,
        server: ChatServer,
        nodes: Nodes,
        living: Callable[[], Collection[str]],
        machine: str,
        timers: Timers,
    ) -> None:
        self._server = server
        self._rooms = server.rooms
        self._nodes = nodes
        self._living = living
        self._machine = machine
        self._timers = timers
        self._tasks = Tasks()
        self._again: dict[str, bool] = {}
        self._others: dict[str, tuple[str, ChatServerAddress]] = {}
        self._seen: frozenset[str] = frozenset()
        self._due = True
        self._looking: DelayedCall | None = None
        self._adopting = False
        self._rooms.share(self._announce)
        nodes.hear(KIND, self._heard)

    def start(self) -> None:
        """Tell others, and look after the people of those that are gone; the server runs."""
        self._nodes.on_change(self._came, self._went)
        for run in self._nodes.reachable:
            self._came(run)
        self._nodes.watch(self._gained, self._giving)
        self._look()

    async def stop(self) -> None:
        """Look no more; before the server stops."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        await self._tasks.stop()

    # Telling and being told.

    def _announce(self, session_id: ChatSessionId) -> None:
        self._nodes.tell_all(KIND, json.dumps({"changed": session_id}).encode())

    def _came(self, run: str) -> None:
        """A node that can be told things from now on may have missed any."""
        server = self._server.address()
        address = None if server is None else [server.alias, server.host, server.port, server.tls]
        said = {"all": True, "machine": self._machine, "server": address}
        self._nodes.tell(run, KIND, json.dumps(said).encode())

    def _went(self, run: str) -> None:
        """What becomes of its people is seen when it is dead."""
        self._others.pop(run, None)

    def _heard(self, run: str, payload: bytes) -> None:
        said = json.loads(payload)
        if "changed" in said:
            self._read(said["changed"])
            return
        if said["server"] is not None:
            known = run in self._others
            self._others[run] = (said["machine"], ChatServerAddress(*said["server"]))
            if not known:
                self._came(run)  # it may not have been there yet when we were
        self._read("")

    def _read(self, key: str) -> None:
        """Read a room, or all for ``""``, once more from now on, however often it is told."""
        begun = key in self._again
        self._again[key] = True
        if not begun:
            self._tasks.spawn("reading what other nodes changed", self._keep_reading(key))

    async def _keep_reading(self, key: str) -> None:
        try:
            while self._again[key]:
                self._again[key] = False
                try:
                    if key:
                        await self._rooms.reread(ChatSessionId(key))
                    else:
                        await self._rooms.reread_all()
                except NotFound:
                    pass  # erased: it is forgotten here, too
                except GmsError as error:
                    self.log.debug("Chats are read later: {error}", error=error.code)
                    self._again[key] = True
                    await pause(self._timers, AGAIN_S)
        finally:
            del self._again[key]

    # Looking after those who are gone.

    def _look(self) -> None:
        self._looking = self._timers.callLater(LOOK_S, self._look)
        living = frozenset(self._living())
        if self._seen - living:
            self._due = True
        self._seen = living
        if len(self._nodes.reachable) < len(living) - 1:
            # Somebody who cannot tell us anything may be changing chats all the same.
            self._read("")
        if self._due and not self._adopting:
            self._adopting = True
            self._tasks.spawn("taking over chats", self._adopt(), f"within {LOOK_S:g} s")

    def _gained(self, shard: str) -> None:
        self._due = True

    async def _giving(self, shard: str) -> None:
        """Nothing: whoever adopts next looks at everything itself."""

    async def _adopt(self) -> None:
        """Take over the people of nodes that are dead, those whose turn is ours."""
        try:
            self._due = False
            await self._rooms.reread_all()
            for alias in sorted(self._rooms.homes() - set(self._living())):
                if self._nodes.is_ours(f"{HOME}:{alias}"):
                    self.log.info("Takes over the chats of node {alias}", alias=alias)
                    await self._server.adopt(alias)
        except GmsError:
            self._due = True
            raise
        finally:
            self._adopting = False

    # The load balancer's page.

    def balancer_page(self, alias: str) -> bytes | None:
        """Name the server with an alias, if it lives on this machine, else ours.

        ``None`` while ours is not running.  Ours does as well in any case: it serves every chat.
        """
        for machine, address in self._others.values():
            if address.alias == alias and machine == self._machine:
                return balancer_answer(address)
        return self._server.balancer_page()
