"""Talking to the chat server about one chat.

Whatever the chat server says about a chat ends up in an :class:`Exchange`: also
that it is over, and that it has never heard of it.  When the server that a chat
was begun on is gone, the balancer is asked who took over, once, and the chat
goes on there; a message carries the same word both times, so it is said once.

Knows: the gateway and its failures.  Does not know: the store, clients.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from twisted.logger import Logger

from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.interfaces import (
    ChatGateway,
    ChatServerUnavailable,
    ChatSessionClosed,
    ChatSessionUnknown,
)
from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatEvent,
    ChatServerAddress,
    Notice,
    Transcript,
)
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.sources import IdSource

_Call = Callable[[ChatServerAddress], Awaitable[tuple[ChatCredentials, Transcript]]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of a request to the chat server.

    :ivar reached: how far ``events`` go: the chat's last position, or less when a long
        transcript comes in several parts.
    :ivar closed: nothing will follow.
    """

    server: ChatServerAddress
    credentials: ChatCredentials
    events: tuple[ChatEvent, ...]
    reached: int
    closed: bool

    def applied_to(self, state: ChatState) -> ChatState:
        """The chat as it is known now; what the client has got does not change by this."""
        known, closed = max(state.known, self.reached), state.closed or self.closed
        if (
            known == state.known
            and closed == state.closed
            and self.server == state.server
            and self.credentials == state.credentials
        ):
            return state
        return replace(
            state, server=self.server, credentials=self.credentials, known=known, closed=closed
        )


MAX_MET = 1000
"""Most server addresses that are remembered as good."""


class ChatLine:
    """Requests of chats to their servers."""

    log = Logger()

    def __init__(self, gateway: ChatGateway, ids: IdSource) -> None:
        self._gateway = gateway
        self._ids = ids
        self._met: set[ChatServerAddress] = set()

    def meet(self, server: ChatServerAddress) -> None:
        """The balancer has named this address since we were started."""
        if len(self._met) >= MAX_MET:
            self._met.clear()
        self._met.add(server)

    async def refresh(
        self,
        state: ChatState,
        position: int,
        *,
        message: str | None = None,
        notice: Notice | None = None,
        dedupe: str = "",
        wait_s: float = 0.0,
    ) -> Exchange:
        """Send and receive.

        :param dedupe: names what is sent; made when empty.
        :raises ChatServerUnavailable: no answer, also not from a replacement.
        """
        if not dedupe and (message is not None or notice is not None):
            dedupe = self._ids.hex(32)

        def call(
            server: ChatServerAddress,
        ) -> Awaitable[tuple[ChatCredentials, Transcript]]:
            return self._gateway.refresh(
                server,
                state.credentials,
                state.session_id,
                position,
                message=message,
                notice=notice,
                dedupe=dedupe,
                wait_s=wait_s,
            )

        return await self._ask(state, call)

    def is_quiet(self, state: ChatState) -> bool:
        """Make a refresh after what is known, if it is known at once that it brings nothing."""
        return self._gateway.is_quiet(
            state.server, state.credentials, state.session_id, state.known
        )

    async def leave(self, state: ChatState, position: int) -> Exchange:
        """Take the customer out of the chat: it is over for this side.

        :raises ChatServerUnavailable: as :meth:`refresh`.
        """

        def call(
            server: ChatServerAddress,
        ) -> Awaitable[tuple[ChatCredentials, Transcript]]:
            return self._gateway.logout(server, state.credentials, state.session_id, position)

        return replace(await self._ask(state, call), closed=True)

    async def leave_quietly(self, state: ChatState) -> None:
        """Leave a chat that nobody will ask for again; its server forgets it anyway."""
        try:
            await self.leave(state, state.known)
        except GmsError:
            self.log.warn("Chat {session_id} is left behind", session_id=state.session_id)

    async def _ask(self, state: ChatState, call: _Call) -> Exchange:
        first = await self._current(state.server)
        try:
            return await self._ask_server(state, first, call)
        except ChatServerUnavailable:
            server = await self._gateway.choose(state.server.alias)
            if server == first:
                raise
            self.log.info(
                "Chat {session_id} goes on at server {alias}",
                session_id=state.session_id,
                alias=server.alias,
            )
            return await self._ask_server(state, server, call)

    async def _current(self, server: ChatServerAddress) -> ChatServerAddress:
        """Where a server is now; a stored address may be out of date.

        Choice: an answer of the balancer is good as long as the chat, but not beyond our
        own restart: the built-in server takes another free port then.
        """
        if server in self._met:
            return server
        try:
            named = await self._gateway.choose(server.alias)
        except ChatServerUnavailable:
            return server
        # Another alias would be a take-over, which nothing has called for yet; unless any
        # server does, as those of the nodes of a cluster: the other may not be in our reach.
        same = named.alias == server.alias or self._gateway.alike
        current = named if same else server
        self.meet(current)
        return current

    async def _ask_server(
        self, state: ChatState, server: ChatServerAddress, call: _Call
    ) -> Exchange:
        try:
            credentials, transcript = await call(server)
        except ChatSessionClosed as closed:
            transcript, credentials = replace(closed.transcript, closed=True), state.credentials
        except ChatSessionUnknown:
            # Choice: a chat that we know was there, so for its client it is over rather
            # than unknown.
            return Exchange(server, state.credentials, (), state.known, closed=True)
        return Exchange(
            server,
            credentials,
            transcript.events,
            transcript.last_position,
            transcript.closed,
        )
