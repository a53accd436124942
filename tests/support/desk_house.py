"""The agent desk on real rooms, and its windows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.interfaces import BayeuxCaller, HandshakeHook, ServiceHandler
from gms_twisted.app.tasks import Tasks
from gms_twisted.chatserver.messages import FlexJoin, FlexLogin, FlexLogout, FlexRefresh
from gms_twisted.config.options import ChatOptions, ChatServerOptions, LimitOptions
from gms_twisted.domain.chat import ChatCredentials
from gms_twisted.domain.ids import ChatSessionId, ClientId, GmsUser
from gms_twisted.embedded.desk import Desk
from gms_twisted.embedded.desk_calls import DeskCalls
from gms_twisted.embedded.desk_poke import Poker
from gms_twisted.embedded.flex import FlexSide
from gms_twisted.embedded.passwords import ScryptHasher
from gms_twisted.embedded.room_host import RoomHost
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.sources import ManualWallClock

T = TypeVar("T")
Shape = dict[str, Any]


class Window:
    """A Bayeux session of the desk page.

    :ivar events: what was delivered.
    """

    def __init__(self, name: str) -> None:
        self.client_id = ClientId(name)
        self.user: GmsUser | None = None
        self.address = "127.0.0.1"
        self.attachments: dict[str, object] = {}
        self.events: list[Shape] = []
        self.ended = False
        self._gone: list[Callable[[], None]] = []

    def deliver(self, channel: str, data: object) -> bool:
        """Keep it."""
        assert channel == "/service/desk/event"
        self.events.append(cast(Shape, data))
        return True

    def disconnect(self) -> None:
        """End the session."""
        self.ended = True
        self.close()

    def renew(self) -> None:
        """End the session."""
        self.disconnect()

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Remember whom to tell."""
        self._gone.append(callback)

    def close(self) -> None:
        """The browser window is closed, or the session swept."""
        gone, self._gone = self._gone, []
        for callback in gone:
            callback()

    def of_type(self, kind: str) -> list[Shape]:
        """The events of a type."""
        return [event for event in self.events if event["type"] == kind]


class Channels:
    """Service channels with nobody between."""

    def __init__(self) -> None:
        self.handlers: dict[str, ServiceHandler] = {}
        self.hooks: list[HandshakeHook] = []

    def serve(self, target: str, handler: ServiceHandler) -> None:
        """Remember a handler."""
        self.handlers[target] = handler

    def on_handshake(self, hook: HandshakeHook) -> None:
        """Remember a hook."""
        self.hooks.append(hook)

    def bound(self, attachment: str) -> list[BayeuxCaller]:
        """None is known here."""
        return []


class NoLimit:
    """A throttle that stops nobody."""

    def wait_s(self, key: str) -> float:
        """Now."""
        return 0.0

    def take(self, key: str) -> float:
        """Now."""
        return 0.0

    def give_back(self, key: str) -> None:
        """Nothing was taken."""


class DeskCase(SynchronousTestCase):
    """A desk with the agents ada (operator) and bob."""

    options = ChatOptions(canned=("hi=Hello, how can I help?",))

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        self.ids = SystemIds()
        self.store = MemoryStore(self.wall, self.ids)
        self.names = 0
        self.open_server()
        operator = self.run_now(self.accounts.first_link())
        assert operator is not None
        self.logins = {
            "ada": self.run_now(self.accounts.claim(operator, "ada", "Ada", "correct horse"))[0]
        }
        bob = self.run_now(self.accounts.add("bob", "Bob", "agent"))
        self.logins["bob"] = self.run_now(self.accounts.claim(bob, "", "", "correct horse"))[0]

    def open_server(self) -> None:
        """Start everything on the store, as after a restart."""
        hasher = ScryptHasher(lambda call, *args: succeed(call(*args)), self.ids, cost=16)
        self.accounts = DeskAccounts(self.store, self.ids, self.clock, self.wall, hasher, NoLimit())
        self.rooms = RoomHost(self.store, ChatServerOptions(), self.clock, self.wall, self.ids, "1")
        self.channels = Channels()
        self.desk = Desk(
            self.rooms,
            self.accounts,
            self.channels,
            self.store,
            self.clock,
            self.wall,
            self.ids,
            Tasks(),
            self.files,
            self.options,
            ChatServerOptions(),
            LimitOptions(),
            self.voice(),
            self.poker(),
        )
        self.run_now(self.rooms.start())
        self.flex = FlexSide(self.rooms, self.store, self.clock, self.wall, self.ids)
        self.flex.start()

    def voice(self) -> DeskCalls | None:
        """The contact centre's side: none here."""
        return None

    def poker(self) -> Poker | None:
        """Who nudges customers: nobody here."""
        return None

    async def files(self, service_id: str) -> Sequence[Mapping[str, object]]:
        """One picture for every service."""
        return [{"key": "pic", "filename": "a.png", "type": "image/png", "size": 3, "url": "u"}]

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that needs no time."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def handshake(self, ticket: str) -> Window:
        """Open a window with a ticket; no call has been made yet."""
        self.names += 1
        window = Window(f"window{self.names}")
        for hook in self.channels.hooks:
            hook(window, {"desk": {"ticket": ticket}})
        return window

    def window(self, agent: str) -> Window:
        """Open a window of an agent and say hello."""
        window = self.handshake(self.accounts.ticket(self.logins[agent]))
        self.call(window, "hello")
        return window

    def call(self, window: Window, do: str, **members: object) -> Any:
        """Make a call that succeeds."""
        return self.run_now(self.asked(window, do, **members))

    def refused(self, window: Window, error: type[Exception], do: str, **members: object) -> Any:
        """Make a call that fails."""
        work = Deferred.fromCoroutine(self.asked(window, do, **members))
        return self.failureResultOf(work, error).value

    async def asked(self, window: Window, do: str, **members: object) -> object:
        """Make a call."""
        return await self.channels.handlers["desk"](window, {"do": do, **members})

    def customer(self, nickname: str = "VasyaP", user: str = "vasya", **more: str) -> Customer:
        """A customer starts a chat."""
        login = self.run_now(self.flex.handle(FlexLogin(1, nickname)))
        assert login.credentials is not None
        data = {
            "fldnFirstName": "Vasya",
            "fldnEmailAddress": "v@example.com",
            "GMS_ServiceId": "service-1",
            "gms_user": user,
            "product": "shoes",
            **more,
        }
        join = FlexJoin(2, login.credentials, "Environment:default", "test", data)
        status = self.run_now(self.flex.handle(join))
        assert status.transcript is not None
        return Customer(self, login.credentials, status.transcript.session_id)


class Customer:
    """The other side of a chat."""

    def __init__(self, case: DeskCase, credentials: ChatCredentials, chat: ChatSessionId) -> None:
        self._case = case
        self._credentials = credentials
        self.chat = chat

    def say(self, text: str) -> None:
        """Send a message."""
        request = FlexRefresh(3, self._credentials, self.chat, 0, message=text)
        self._case.run_now(self._case.flex.handle(request))

    def leave(self) -> None:
        """Go."""
        self._case.run_now(self._case.flex.handle(FlexLogout(4, self._credentials, self.chat, 0)))

    def sees(self) -> list[str]:
        """The texts of the transcript."""
        status = self._case.run_now(
            self._case.flex.handle(FlexRefresh(5, self._credentials, self.chat, 0))
        )
        assert status.transcript is not None
        return [event.text for event in status.transcript.events if event.text]
