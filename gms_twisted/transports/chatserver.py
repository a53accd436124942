"""Chat servers as GMS uses them: :class:`gms_twisted.app.interfaces.ChatGateway`.

Requests name their user, so any connection carries them.  One that gets no
answer is asked once more, on another connection or of the replacement that the
directory names; what it says has a word with it (``dedupe``), so that the
server does it only once (hardening C11).

Knows: requests and what their answers mean.  Does not know: sockets, services.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger

from gms_twisted.app.interfaces import (
    ChatServerUnavailable,
    ChatSessionClosed,
    ChatSessionUnknown,
)
from gms_twisted.chatserver.errors import ErrorCode, PacketTooLarge
from gms_twisted.chatserver.fields import MAX_NAME_CHARS, MAX_WAIT_S
from gms_twisted.chatserver.messages import (
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexStatus,
)
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatServerAddress,
    Notice,
    Transcript,
    UserData,
)
from gms_twisted.domain.errors import InvalidRequest, TooLarge
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.domain.sources import IdSource, Timers
from gms_twisted.transports.chat_directory import AddressProvider, ChatDirectory, PageReader
from gms_twisted.transports.chat_links import LinkLost, RequestBuilder, ServerLinks
from gms_twisted.transports.near_chat import NearChat, NearServer

MAX_SERVERS = 64
"""Servers to which connections are kept; the longest unused idle one goes first."""

MOVED_S = 30.0
"""How long requests for a server go to its replacement before it is tried again."""

SERVICE_KEY = "GMS_ServiceId"

EndpointMaker = Callable[[ChatServerAddress], IStreamClientEndpoint]


def endpoints(
    reactor: IReactorTime, authorities: Sequence[Certificate] | None = None
) -> EndpointMaker:
    """Make endpoints for servers' addresses.

    :param reactor: with TCP, threads for names, and time.
    :param authorities: whose certificates count; ``None`` for the platform's list.
        The certificate's name must be the server's host, always.
    """
    root = None if authorities is None else trustRootFromCertificates(authorities)

    def make(server: ChatServerAddress) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(reactor, server.host, server.port)
        if not server.tls:
            return plain
        return wrapClientTLS(optionsForClientTLS(server.host, root), plain)

    return make


class ChatServers:
    """All chat servers; see the module.  Nothing to start; :meth:`stop` at the end.

    :param options: section ``chat``; its limits can be replaced by :meth:`reconfigure`.
    :param embedded: where the built-in server is.
    :param make_endpoint: see :func:`endpoints`.
    :param read_page: reads the load balancer's page.
    :param near: what answers at an address without a connection, if it is in this process.
    """

    log = Logger()

    def __init__(
        self,
        options: ChatOptions,
        embedded: AddressProvider,
        make_endpoint: EndpointMaker,
        read_page: PageReader,
        timers: Timers,
        ids: IdSource,
        near: Callable[[ChatServerAddress], NearServer | None] = lambda server: None,
    ) -> None:
        self._options = options
        self._near = near
        self._asking_near = NearChat(timers)
        self._embedded = embedded
        self._make_endpoint = make_endpoint
        self._read_page = read_page
        self._timers = timers
        self._ids = ids
        self._stopped = False
        self._links: OrderedDict[ChatServerAddress, ServerLinks] = OrderedDict()
        self._moved: OrderedDict[ChatServerAddress, tuple[ChatServerAddress, float]] = OrderedDict()
        self._directory = ChatDirectory(options, embedded, read_page, self._is_down)

    def reconfigure(self, options: ChatOptions) -> None:
        """Take new options; open connections stay.

        :raises ValueError: an entry of ``chat_server`` is wrong; nothing has changed.
        """
        self._directory = ChatDirectory(options, self._embedded, self._read_page, self._is_down)
        self._options = options
        self._moved.clear()

    async def stop(self) -> None:
        """Close all connections; what is unanswered fails."""
        self._stopped = True
        self._asking_near.stop()
        for links in self._links.values():
            links.stop()

    # ChatGateway

    @property
    def alike(self) -> bool:
        """Tell whether every server that is named serves every chat: the built-in ones do."""
        return self._directory.uses_embedded

    async def choose(self, alias: str | None = None) -> ChatServerAddress:
        """Ask which server to use."""
        return await self._directory.choose(alias)

    async def login(
        self,
        server: ChatServerAddress,
        nickname: str,
        time_zone_offset_min: int | None,
        user_data: UserData,
    ) -> ChatCredentials:
        """Register a user.  Repeated, it makes a user that nobody uses, who is forgotten."""
        name = nickname[:MAX_NAME_CHARS]
        status = await self._ask(
            server,
            lambda ref: FlexLogin(
                ref, name, time_zone_offset_min=time_zone_offset_min, user_data=user_data
            ),
        )
        if status.code is not None:
            raise _error(status)
        if status.credentials is None:
            raise ChatServerUnavailable("The chat server's answer is incomplete.")
        return status.credentials

    async def join(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        queue: str,
        subject: str,
        user_data: UserData,
    ) -> tuple[ChatCredentials, Transcript]:
        """Create a session; one service has one, however often this is repeated."""
        service_id = user_data.get(SERVICE_KEY, "")
        word = f"service/{service_id}"[:MAX_NAME_CHARS] if service_id else self._ids.hex(32)
        status = await self._ask(
            server,
            lambda ref: FlexJoin(ref, credentials, queue, subject, user_data, dedupe=word),
        )
        return _result(status, credentials, None, 0)

    async def refresh(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
        *,
        message: str | None = None,
        notice: Notice | None = None,
        dedupe: str = "",
        wait_s: float = 0.0,
    ) -> tuple[ChatCredentials, Transcript]:
        """Send and receive."""
        if not dedupe and (message is not None or notice is not None):
            dedupe = self._ids.hex(32)
        wait_s = max(0.0, min(wait_s, MAX_WAIT_S))
        status = await self._ask(
            server,
            lambda ref: FlexRefresh(
                ref,
                credentials,
                session_id,
                position,
                message,
                notice=notice,
                wait_s=wait_s,
                dedupe=dedupe,
            ),
            wait_s,
        )
        return _result(status, credentials, session_id, position)

    def is_quiet(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> bool:
        """Ask the server of this process, if it is that one."""
        if self._stopped or self._moved:
            return False
        near = self._near(server)
        return near is not None and near.is_quiet(credentials, session_id, position)

    async def logout(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> tuple[ChatCredentials, Transcript]:
        """Leave; having left before is no fault."""
        status = await self._ask(
            server, lambda ref: FlexLogout(ref, credentials, session_id, position)
        )
        try:
            return _result(status, credentials, session_id, position)
        except ChatSessionClosed as closed:
            return status.credentials or credentials, closed.transcript

    # Asking

    async def _ask(
        self, server: ChatServerAddress, build: RequestBuilder, wait_s: float = 0.0
    ) -> FlexStatus:
        """Ask, and once more when there is no answer.

        :raises ChatServerUnavailable: there is none the second time either.
        """
        if self._stopped:
            raise ChatServerUnavailable("The server is being stopped.")
        timeout_s = self._options.request_timeout_s + wait_s
        first = self._where(server) if self._moved else server
        try:
            return await self._ask_once(first, build, timeout_s)
        except LinkLost as lost:
            self.log.info(
                "Chat server {alias} did not answer: {error}", alias=first.alias, error=lost
            )
            late = lost.late
        if self._stopped:
            raise ChatServerUnavailable("The server is being stopped.")
        second = await self.choose(server.alias or None)
        if late and second == first:
            raise ChatServerUnavailable("The chat server did not answer in time.")
        try:
            status = await self._ask_once(second, build, timeout_s)
        except LinkLost as lost:
            raise ChatServerUnavailable(str(lost)) from None
        if second != server:
            self._moved[server] = (second, self._timers.seconds() + MOVED_S)
            self._moved.move_to_end(server)
            if len(self._moved) > MAX_SERVERS:
                self._moved.popitem(last=False)
        return status

    async def _ask_once(
        self, server: ChatServerAddress, build: RequestBuilder, timeout_s: float
    ) -> FlexStatus:
        near = self._near(server)
        try:
            if near is not None:
                return await self._asking_near.ask(near.handle, build, timeout_s)
            return await self._links_to(server).ask(build, timeout_s)
        except PacketTooLarge:
            raise TooLarge("The chat request is too large.") from None

    def _where(self, server: ChatServerAddress) -> ChatServerAddress:
        """The server, or what lately had to stand in for it."""
        moved = self._moved.get(server)
        if moved is None:
            return server
        if moved[1] <= self._timers.seconds():
            del self._moved[server]
            return server
        return moved[0]

    def _links_to(self, server: ChatServerAddress) -> ServerLinks:
        links = self._links.get(server)
        if links is None:
            links = ServerLinks(
                server,
                self._make_endpoint(server),
                self._timers,
                self._ids,
                self._options.request_timeout_s,
            )
            self._links[server] = links
            self._drop_unused()
        self._links.move_to_end(server)
        return links

    def _drop_unused(self) -> None:
        """Forget servers that have not been used for long (a page may name ever new ones)."""
        for server, links in list(self._links.items()):
            if len(self._links) <= MAX_SERVERS:
                return
            if links.idle:
                del self._links[server]

    def _is_down(self, server: ChatServerAddress) -> bool:
        links = self._links.get(server)
        return links is not None and links.down


def _result(
    status: FlexStatus,
    credentials: ChatCredentials,
    session_id: ChatSessionId | None,
    position: int,
) -> tuple[ChatCredentials, Transcript]:
    """What an answer with a transcript says.

    :raises ChatSessionClosed: the chat is over; others of :func:`_error` when it says no.
    """
    transcript = status.transcript
    if status.code is ErrorCode.SESSION_CLOSED and (transcript or session_id):
        rest = transcript or Transcript(session_id or ChatSessionId(""), 0.0, position, True)
        raise ChatSessionClosed(rest)
    if status.code is not None:
        raise _error(status)
    wrong = session_id is not None and transcript is not None
    if transcript is None or (wrong and transcript.session_id != session_id):
        raise ChatServerUnavailable("The chat server's answer is incomplete.")
    return status.credentials or credentials, transcript


def _error(status: FlexStatus) -> Exception:
    match status.code:
        case ErrorCode.UNKNOWN_USER | ErrorCode.UNKNOWN_SESSION | ErrorCode.SESSION_CLOSED:
            return ChatSessionUnknown("The chat server does not know the chat session.")
        case ErrorCode.MALFORMED:
            return InvalidRequest("The chat server refuses the request.")
        case ErrorCode.UNKNOWN_QUEUE:
            return ChatServerUnavailable("The chat server does not know the queue.")
        case ErrorCode.LIMIT_REACHED:
            return ChatServerUnavailable("The chat server is at its limit.")
        case _:
            return ChatServerUnavailable("The chat server cannot do it now.")
