"""Services and chats put together over a chat server that lives in the test.

:class:`ChatServerDouble` has the semantics of a chat server as its flex clients
see them (numbered events, held refreshes, words that make repetitions harmless);
tests play the agent on it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.builtin.access import AccessServices
from gms_twisted.app.builtin.request_chat import NAME, RequestChat
from gms_twisted.app.builtin.request_chat_delay import NAME as REQUEST_CHAT_DELAY
from gms_twisted.app.builtin.request_chat_delay import RequestChatDelay
from gms_twisted.app.chat_answers import Answer, Call, ChatAnswers
from gms_twisted.app.chat_delivery import CometDelivery
from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_limits import ChatLimits
from gms_twisted.app.chat_line import ChatLine
from gms_twisted.app.chat_nodes import ChatNodes
from gms_twisted.app.chat_permission import ChatPermission
from gms_twisted.app.chat_records import ChatRecords
from gms_twisted.app.chat_start import ChatStarter
from gms_twisted.app.chats import Chats
from gms_twisted.app.interfaces import (
    ChatGateway,
    ChatServerUnavailable,
    ChatSessionClosed,
    ChatSessionUnknown,
    Presence,
    UserEvents,
)
from gms_twisted.app.nodes import Alone, Nodes
from gms_twisted.app.rates import Rates
from gms_twisted.app.service_data import ServiceAreas
from gms_twisted.app.service_definitions import read_definitions
from gms_twisted.app.service_events import LocalEvents
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import (
    ChatOptions,
    LimitOptions,
    ResourceGroup,
    ServerOptions,
    ServiceOptions,
    StorageOptions,
)
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.chat import (
    ChatCredentials,
    ChatEvent,
    ChatServerAddress,
    EventKind,
    LeaveReason,
    Notice,
    NoticeType,
    PartyType,
    Transcript,
    UserData,
    Visibility,
)
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import ChatSessionId, ChatUserId, DeviceId, GmsUser, ServiceId
from gms_twisted.domain.values import FormValue
from gms_twisted.http.addresses import Networks
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.store.memory import MemoryStore
from tests.support.sources import CountingIds, ManualWallClock

T = TypeVar("T")

SERVER = ChatServerAddress("350", "135.225.51.225", 4856)


@dataclass
class ChatRoom:
    """One chat at the server double."""

    session_id: ChatSessionId
    credentials: ChatCredentials
    nickname: str
    queue: str
    subject: str
    data: Mapping[str, str]
    started_at: float
    events: list[ChatEvent] = field(default_factory=list)
    closed: bool = False
    left: bool = False
    words: set[str] = field(default_factory=set)
    holding: list[Deferred[None]] = field(default_factory=list)

    @property
    def last_position(self) -> int:
        """Position of the last event."""
        return self.events[-1].position if self.events else 0

    def texts(self, kind: EventKind = EventKind.MESSAGE) -> list[str]:
        """What was said."""
        return [event.text for event in self.events if event.kind is kind]

    def notices(self) -> list[NoticeType | None]:
        """Which notices were appended."""
        return [event.notice_type for event in self.events if event.kind is EventKind.NOTICE]


class ChatServerDouble:
    """A chat server in the test's hands; a ``ChatGateway``.

    :ivar down: nothing answers.
    :ivar holds: a refresh with ``wait_s`` is held; else answered at once.
    :ivar address: what the balancer says now.
    :ivar part: most events of one answer.
    :ivar dead: servers that do not answer any more.
    :ivar refreshes: position and wait of each refresh, in order.
    """

    alike = False

    def __init__(self, clock: Clock, wall: ManualWallClock) -> None:
        self._clock = clock
        self._wall = wall
        self.rooms: dict[ChatSessionId, ChatRoom] = {}
        self.down = False
        self.holds = True
        self.part = 10_000
        self.address = SERVER
        self.dead: set[ChatServerAddress] = set()
        self.logins = 0
        self.logouts = 0
        self.refreshes: list[tuple[int, float]] = []

    def reconfigure(self, options: ChatOptions) -> None:
        """Go on as the test says."""

    @property
    def room(self) -> ChatRoom:
        """The only room."""
        (room,) = self.rooms.values()
        return room

    def _reach(self, server: ChatServerAddress) -> None:
        if self.down or server in self.dead:
            raise ChatServerUnavailable("No chat server answers.")

    async def choose(self, alias: str | None = None) -> ChatServerAddress:
        """Name :attr:`address`."""
        if self.down:
            raise ChatServerUnavailable("No chat server answers.")
        return self.address

    async def login(
        self,
        server: ChatServerAddress,
        nickname: str,
        time_zone_offset_min: int | None,
        user_data: UserData,
    ) -> ChatCredentials:
        """Make credentials."""
        self._reach(server)
        self.logins += 1
        self._nickname = nickname
        return ChatCredentials(
            ChatUserId(f"015E4FD3CD89{self.logins:04X}"), f"b306749dabfa{self.logins:04x}"
        )

    async def join(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        queue: str,
        subject: str,
        user_data: UserData,
    ) -> tuple[ChatCredentials, Transcript]:
        """Make a room."""
        self._reach(server)
        session_id = ChatSessionId(f"000C2a7VVQRB{len(self.rooms):04d}")
        room = ChatRoom(
            session_id,
            credentials,
            self._nickname,
            queue,
            subject,
            dict(user_data),
            self._wall.now(),
        )
        self.rooms[session_id] = room
        self.append(room, EventKind.JOINED, "1", room.nickname, PartyType.CLIENT)
        return credentials, self._transcript(room, 0)

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
        """Append, hold if there is nothing new, tell what is."""
        self._reach(server)
        self.refreshes.append((position, wait_s))
        room = self._room(credentials, session_id)
        if room.closed or room.left:
            return self._rest(credentials, room, position)
        if dedupe not in room.words:
            if dedupe:
                room.words.add(dedupe)
            if message is not None:
                self.append(room, EventKind.MESSAGE, "1", room.nickname, PartyType.CLIENT, message)
            if notice is not None:
                self.append(
                    room,
                    EventKind.NOTICE,
                    "1",
                    room.nickname,
                    PartyType.CLIENT,
                    notice.text,
                    notice_type=notice.notice_type,
                )
        if self.holds and wait_s > 0 and position >= room.last_position:
            await self._hold(room, wait_s)
            self._reach(server)
        return self._rest(credentials, room, position)

    def is_quiet(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> bool:
        """It has to be asked, as one over a connection has."""
        return False

    def _rest(
        self, credentials: ChatCredentials, room: ChatRoom, position: int
    ) -> tuple[ChatCredentials, Transcript]:
        transcript = self._transcript(room, position)
        if transcript.closed:
            raise ChatSessionClosed(transcript)
        return credentials, transcript

    async def _hold(self, room: ChatRoom, wait_s: float) -> None:
        waiting: Deferred[None] = Deferred()
        call = self._clock.callLater(wait_s, self._release, room, waiting)
        room.holding.append(waiting)
        try:
            await waiting
        finally:
            if call.active():
                call.cancel()
            if waiting in room.holding:
                room.holding.remove(waiting)

    @staticmethod
    def _release(room: ChatRoom, waiting: Deferred[None]) -> None:
        if waiting in room.holding:
            room.holding.remove(waiting)
            waiting.callback(None)

    async def logout(
        self,
        server: ChatServerAddress,
        credentials: ChatCredentials,
        session_id: ChatSessionId,
        position: int,
    ) -> tuple[ChatCredentials, Transcript]:
        """Leave; the room stays open for the agent."""
        self._reach(server)
        self.logouts += 1
        room = self._room(credentials, session_id)
        if not room.left:
            self.append(
                room,
                EventKind.LEFT,
                "1",
                room.nickname,
                PartyType.CLIENT,
                reason=LeaveReason.LEFT,
            )
            room.left = True
            self.wake(room)
        return credentials, self._transcript(room, position)

    def _room(self, credentials: ChatCredentials, session_id: ChatSessionId) -> ChatRoom:
        room = self.rooms.get(session_id)
        if room is None or room.credentials != credentials:
            raise ChatSessionUnknown("The chat server does not know the chat session.")
        return room

    def _transcript(self, room: ChatRoom, position: int) -> Transcript:
        events = tuple(
            event
            for event in room.events
            if event.position > position and event.visibility is Visibility.ALL
        )
        reached, over = room.last_position, room.closed or room.left
        if len(events) > self.part:
            events = events[: self.part]
            reached, over = events[-1].position, False
        return Transcript(room.session_id, room.started_at, reached, over, events)

    def append(
        self,
        room: ChatRoom,
        kind: EventKind,
        party_id: str,
        nickname: str,
        party_type: PartyType,
        text: str = "",
        *,
        notice_type: NoticeType | None = None,
        visibility: Visibility = Visibility.ALL,
        reason: LeaveReason | None = None,
    ) -> int:
        """Append an event and answer who waits for one."""
        position = room.last_position + 1
        room.events.append(
            ChatEvent(
                kind,
                position,
                int(self._wall.now() - room.started_at),
                party_id,
                nickname,
                party_type,
                visibility,
                text,
                notice_type,
                reason=reason,
            )
        )
        self.wake(room)
        return position

    @staticmethod
    def wake(room: ChatRoom) -> None:
        """Answer who waits."""
        holding, room.holding = room.holding, []
        for waiting in holding:
            waiting.callback(None)

    # The agent.

    def agent_joins(self, nickname: str = "ksippo") -> int:
        """An agent enters the only room."""
        return self.append(self.room, EventKind.JOINED, "2", nickname, PartyType.AGENT)

    def agent_says(self, text: str, nickname: str = "ksippo") -> int:
        """It says something."""
        return self.append(self.room, EventKind.MESSAGE, "2", nickname, PartyType.AGENT, text)

    def agent_notices(
        self, notice_type: NoticeType, text: str = "", visibility: Visibility = Visibility.ALL
    ) -> int:
        """It types, pushes a URL, ..."""
        return self.append(
            self.room,
            EventKind.NOTICE,
            "2",
            "ksippo",
            PartyType.AGENT,
            text,
            notice_type=notice_type,
            visibility=visibility,
        )

    def agent_closes(self) -> int:
        """It leaves, and the chat is over."""
        room = self.room
        room.closed = True
        return self.append(room, EventKind.LEFT, "2", "ksippo", PartyType.AGENT)


class UserEventsDouble:
    """Bayeux, as far as events for users go.

    :ivar delivered: user, tag, message and id of everything, in order.
    :ivar refuses: nothing can be handed over, whoever is present.
    """

    def __init__(self) -> None:
        self.delivered: list[tuple[GmsUser, str, Any, str]] = []
        self.present: set[GmsUser] = set()
        self.refuses = False
        self._watchers: list[Presence] = []

    def deliver(self, user: GmsUser, tag: str, message: object, event_id: str = "") -> int:
        """Keep it for the test."""
        if self.refuses:
            return 0
        self.delivered.append((user, tag, message, event_id))
        return 1 if user in self.present else 0

    def is_present(self, user: GmsUser) -> bool:
        """Tell whether the test says so."""
        return user in self.present

    def watch(self, presence: Presence) -> None:
        """Tell this one."""
        self._watchers.append(presence)

    def arrive(self, user: str) -> None:
        """A session of the user is there."""
        self.present.add(GmsUser(user))
        for watcher in self._watchers:
            watcher.arrived(GmsUser(user))

    def leave(self, user: str, position: int | None = None, *, goodbye: bool = False) -> None:
        """The user's last session is gone."""
        self.present.discard(GmsUser(user))
        for watcher in self._watchers:
            watcher.left(GmsUser(user), position, goodbye=goodbye)

    def take(self) -> list[Any]:
        """The messages since the last call."""
        messages = [message for _, _, message, _ in self.delivered]
        self.delivered.clear()
        return messages


@dataclass(frozen=True)
class SentPush:
    """What a device was sent."""

    device_os: str
    device_id: DeviceId
    user: GmsUser | None
    tag: str
    message: str
    event_id: str
    provider: str
    debug: bool


class DevicesDouble:
    """Devices of customers; a ``DeviceNotifier``.

    :ivar settles: what is answered.
    :ivar sent: all pushes, in order.
    """

    def __init__(self) -> None:
        self.settles = True
        self.sent: list[SentPush] = []

    async def notify(
        self,
        device_os: str,
        device_id: DeviceId,
        user: GmsUser | None,
        tag: str,
        message: str,
        event_id: str,
        *,
        provider: str,
        debug: bool,
    ) -> bool:
        """Keep it for the test."""
        push = SentPush(device_os, device_id, user, tag, message, event_id, provider, debug)
        self.sent.append(push)
        return self.settles


@dataclass
class Ground:
    """What a house may stand on: time and ids, and real things in the place of doubles.

    :ivar events: the bus, for :class:`UserEventsDouble`.
    :ivar gateway: chat servers, for :class:`ChatServerDouble`.
    :ivar nodes: other nodes, for none.
    """

    clock: Clock
    wall: ManualWallClock
    ids: CountingIds
    events: UserEvents | None = None
    gateway: ChatGateway | None = None
    nodes: Nodes | None = None


class ChatHouse:
    """Everything that services and chats need, on one test clock.

    :param house: an earlier one, whose store and chat server go on (a restart).
    :param ground: what it stands on instead of doubles.
    :param groups: resource groups.
    :param store: where everything is, instead of a store in memory of its own.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        *,
        chat: ChatOptions | None = None,
        limits: LimitOptions | None = None,
        options: Mapping[str, str] | None = None,
        services: Mapping[str, Mapping[str, str]] | None = None,
        user_control: bool = False,
        push: PushOptions | None = None,
        house: ChatHouse | None = None,
        ground: Ground | None = None,
        groups: Mapping[str, ResourceGroup] | None = None,
        server: ServerOptions | None = None,
        store: Any = None,
    ) -> None:
        self.test = test
        source = house or ground
        self.clock: Clock = source.clock if source else Clock()
        self.wall: ManualWallClock = source.wall if source else ManualWallClock(self.clock)
        self.ids: CountingIds = source.ids if source else CountingIds()
        self.store: MemoryStore = store or (
            house.store if house else MemoryStore(self.wall, self.ids)
        )
        self.server: ChatServerDouble = (
            house.server if house else ChatServerDouble(self.clock, self.wall)
        )
        self.events = UserEventsDouble()
        bus: UserEvents = self.events if ground is None or ground.events is None else ground.events
        gateway: ChatGateway = (
            self.server if ground is None or ground.gateway is None else ground.gateway
        )
        nodes: Nodes = Alone() if ground is None or ground.nodes is None else ground.nodes
        self.published = LocalEvents()
        self.devices = DevicesDouble()
        self.tasks = Tasks()
        self.chat_options = chat or ChatOptions()
        self.limits = limits or LimitOptions()
        self.areas = StorageAreas(
            self.store,
            self.ids,
            self.wall,
            self.clock,
            StorageOptions(),
            lambda: "http://localhost:8080/",
        )
        configured = {NAME: {"_type": "builtin", "_service": NAME, **(options or {})}}
        configured |= {name: dict(values) for name, values in (services or {}).items()}
        self.services = ServiceInstances(
            self.store,
            ServiceAreas(self.areas, self.store, self.wall),
            self.tasks,
            self.wall,
            self.ids,
            read_definitions(
                {name: ServiceOptions(name, values) for name, values in configured.items()}
            ),
            self.limits,
            Rates(
                self.clock, self.limits.v13_services_per_min / 60, self.limits.v13_services_per_min
            ),
            self.published,
            user_control=user_control,
        )
        self.records = ChatRecords(self.store, self.ids, nodes)
        self.keeper = ChatKeeper(self.records, self.services, self.wall, self.chat_options)
        self.line = ChatLine(gateway, self.ids)
        self.answers = ChatAnswers(self.chat_options)
        self.delivery = CometDelivery(
            self.records,
            self.keeper,
            self.line,
            bus,
            self.answers,
            self.services,
            self.tasks,
            self.devices,
            self.clock,
            self.chat_options,
            push or PushOptions(),
            nodes=nodes,
        )
        self.chat_limits = ChatLimits(self.clock, self.limits)
        self.permission = ChatPermission(
            self.store,
            self.ids,
            self.records,
            self.tasks,
            self.clock,
            lambda: self.chat_options.verify_agent_available,
        )
        self.chats = Chats(
            self.services,
            self.records,
            self.keeper,
            ChatStarter(
                self.services,
                self.records,
                self.keeper,
                gateway,
                self.line,
                self.chat_options,
                lambda instance: f"http://localhost:8080/poke/{instance.service_id}",
            ),
            self.line,
            self.delivery,
            self.answers,
            self.chat_limits,
            self.permission,
            self.tasks,
            self.clock,
            self.chat_options,
        )
        self.calls = ChatNodes(self.chats, nodes, self.ids, self.clock, lambda: self.delivery.ready)
        self.services.register(NAME, RequestChat(self.calls.end))
        self.services.register(
            REQUEST_CHAT_DELAY,
            RequestChatDelay(
                self.calls.begin,
                self.calls.end,
                self.services.data_of,
                self.services.definition_of,
            ),
        )
        self.counters = Counters()
        locks = self.limits.v03_per_address
        self.access = AccessServices(
            self.store,
            self.wall,
            self.clock,
            self.ids,
            self.counters,
            self.services,
            AddressLimiter(self.clock, locks / 600.0, locks, Networks(self.limits.exempt)),
            server or ServerOptions(),
            self.limits,
            groups or {},
        )
        self.run(self.services.start())
        self.run(self.delivery.start())
        test.addCleanup(self.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end, which must not have to wait."""
        result: T = self.test.successResultOf(Deferred.fromCoroutine(work))
        return result

    def fail(self, work: Coroutine[Any, Any, Any], *kinds: type[Exception]) -> Exception:
        """Run something that must raise one of these."""
        failure = self.test.failureResultOf(Deferred.fromCoroutine(work), *kinds)
        assert isinstance(failure.value, Exception)
        return failure.value

    def stop(self) -> None:
        """As at shutdown; nothing may be left on the clock."""
        self.run(self.tasks.stop())

    def kill(self) -> None:
        """The process dies: its work ends, its store stays as it is."""
        self.run(self.tasks.stop())

    def advance(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass in small steps, as a reactor sees it."""
        left = seconds
        while left > 0:
            self.clock.advance(min(step, left))
            left -= step

    # Short forms.

    def create(
        self,
        fields: Mapping[str, FormValue] | None = None,
        user: str | None = None,
        name: str = NAME,
        address: str = "192.0.2.1",
    ) -> ServiceId:
        """Create a service."""
        answer = self.run(
            self.services.create(name, fields or {}, GmsUser(user) if user else None, address)
        )
        return ServiceId(str(answer["_id"]))

    def call(
        self, service_id: str, call: Call, user: str | None = None, **fields: FormValue
    ) -> Answer:
        """Call the Chat API."""
        who = GmsUser(user) if user else None
        return self.run(self.chats.call(service_id, call, fields, who))

    def refused(
        self,
        service_id: str,
        call: Call,
        kind: type[Exception],
        user: str | None = None,
        **fields: FormValue,
    ) -> Exception:
        """Call the Chat API in vain."""
        who = GmsUser(user) if user else None
        return self.fail(self.chats.call(service_id, call, fields, who), kind)

    def chatting(
        self,
        user: str | None = None,
        data: Mapping[str, FormValue] | None = None,
        /,
        **fields: FormValue,
    ) -> ServiceId:
        """Create a service and start its chat."""
        service_id = self.create(data, user)
        self.call(service_id, Call.START, user, **fields)
        return service_id
