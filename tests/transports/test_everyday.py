"""Publications that need no exchange: the same script with and without, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.comet_callers import Rules
from gms_twisted.bayeux.authority import ClientRules, Decided
from gms_twisted.bayeux.channels import ChannelName
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.everyday import publish
from gms_twisted.bayeux.session import Session
from tests.support.bayeux import Client, FakeConnection, FakeSocket, PollClient, SocketClient, World

Script = Callable[[World, Client], None]


def _plain(world: World, client: Client) -> None:
    client.send(client.message("/a", data={"x": 1}))
    client.send([client.message("/a", data="in an array")])
    client.send(client.message("/a", data=[]), client.message("/a", data=0))


def _odd(world: World, client: Client) -> None:
    """Members that are missing, of another kind, or more than usual."""
    client.subscribe("/*")
    client.subscribe("/**")
    world.server.channel("/service/x")
    message = {"channel": "/a", "clientId": client.client_id, "id": "7", "data": 1}
    for members in (
        {"data": None},
        {"id": 5},
        {"id": 10**40},
        {"id": ""},
        {"id": "no-no"},
        {"id": "9" * 129},
        {"id": None},
        {"clientId": "nobody"},
        {"clientId": 5},
        {"channel": "/a/"},
        {"channel": "/*"},
        {"channel": "/**"},
        {"channel": "/new/one"},
        {"channel": "/{x}"},
        {"channel": "//"},
        {"channel": 5},
        {"channel": ["/a"]},
        {"channel": "/service/x"},
        {"channel": "/meta/unknown"},
        {"channel": "/meta/subscribe"},
        {"channel": "/meta/connect"},
        {"channel": "/_genesys"},
        {"channel": "/_genesys/x"},
        {"more": "passes through"},
        {"lazy": True},
        {"ext": {"x": 1}},
        {"advice": {"x": 1}},
    ):
        client.send({**message, **members})
    for missing in message:
        client.send({name: value for name, value in message.items() if name != missing})


def _unsubscribed(world: World, client: Client) -> None:
    client.ask("/meta/unsubscribe", subscription="/a")
    _plain(world, client)


def _patterns(world: World, client: Client) -> None:
    client.subscribe("/**")
    client.subscribe("/b/*")
    client.send(client.message("/b/c", data=1))
    client.send(client.message("/b/c", data=2))


def _lazy(world: World, client: Client) -> None:
    world.server.channel("/a").lazy = True
    _plain(world, client)


def _not_to_itself(world: World, client: Client) -> None:
    world.server.channel("/a").broadcast_to_publisher = False
    _plain(world, client)


def _in_a_batch(world: World, client: Client) -> None:
    session = world.server.sessions[client.client_id]
    world.server.outbox.start_batch(session)
    _plain(world, client)
    world.server.outbox.end_batch(session)


def _something_waits(world: World, client: Client) -> None:
    world.server.publish("/a", "before")
    _plain(world, client)


def _over(world: World, client: Client) -> None:
    world.server.remove(world.server.sessions[client.client_id])
    _plain(world, client)


def _authorized(world: World, client: Client) -> None:
    world.server.authorize("/a", lambda operation, session, name: False)
    _plain(world, client)


def _own_extension(world: World, client: Client) -> None:
    class Extension:
        def incoming(self, session: Session | None, message: Message) -> bool:
            return message.get("data") != 0

        def outgoing(self, session: Session | None, message: Message) -> bool:
            message["seen"] = True
            return True

    session = world.server.sessions[client.client_id]
    session.extra().extensions.append(Extension())
    _plain(world, client)


def _closed(world: World, client: Client) -> None:
    """What was open is closed by other rules, and open again."""
    server = world.server
    before = server.policy
    for policy in (ClientRules(("/b",)), before, ClientRules(closed=("/a",)), ClientRules()):
        _plain(world, client)
        server.reconfigure(server.settings, policy)
        _plain(world, client)


def _connects(world: World, client: Client) -> None:
    """Connects of all kinds, with and without something that waits."""
    second = world.socket("Buzz")
    second.online()
    second.lose()
    client.connect(clientId=second.client_id)
    for number in range(4):
        client.connect()
        client.connect(ext={"ack": number})
        client.connect(ext={"ack": number}, advice={"timeout": 0})
        client.connect(ext={"ack": "x"}, clientId="nobody")
        client.connect(id=number)
        world.server.publish("/a", number)
        world.turn()
        world.server.publish("/c", number)
        client.connect(ext={"ack": number})
        world.turn()
    for _ in range(2):
        # The connect before is answered, so that this one finds something, and nobody held.
        world.wait(70.0)
        world.server.publish("/a", "waits")
        client.connect()
        world.turn()
    client.connect()


def _moved(world: World, client: Client) -> None:
    """The session has gone elsewhere, and its former way brings one more."""
    new = world.poll("Buzz") if isinstance(client, SocketClient) else world.socket("Buzz")
    new.client_id = client.client_id
    for data in range(3):
        new.connect()
        for _ in range(3):
            client.send(client.message("/a", data=data))
            world.server.publish("/a", "news")
            world.turn()


def _stranger(world: World, client: Client) -> None:
    """Somebody else names the session."""
    other = world.poll("Bo")
    other.client_id = client.client_id
    (refused,) = other.publish("/a", 1)
    assert refused["error"] == "402::session_unknown", refused


def _late(world: World, client: Client) -> None:
    """The publication is a sign of life: without one the session ends."""
    if isinstance(client, PollClient):
        client.last.lose()
    else:
        assert isinstance(client, SocketClient)
        client.lose()
        client.open()
    for _ in range(4):
        world.wait(8.0)
        client.send(client.message("/a", data=1))


SCRIPTS: tuple[Script, ...] = (
    _plain,
    _odd,
    _unsubscribed,
    _patterns,
    _lazy,
    _not_to_itself,
    _in_a_batch,
    _something_waits,
    _over,
    _authorized,
    _own_extension,
    _closed,
    _connects,
    _moved,
    _stranger,
    _late,
)


def run(script: Script, kind: str, *, whole_way: bool, ack: bool, **options: Any) -> list[Any]:
    """Run a script; returns everything that anybody got, in the pieces in which it came."""
    world = World(**options)
    if whole_way:
        # Where somebody listens, every message goes through an exchange.
        world.server.listen("/nowhere", lambda session, message: None)
    seen: list[Any] = []
    client = getattr(world, kind)("Buzz")
    other = world.socket("Woody")
    ext = {"ext": {"ack": True}} if ack else {}
    client.online("/a", "/c", **ext)
    other.online("/a", "/b/c")
    collect(client, "client", seen)
    collect(other, "other", seen)
    script(world, client)
    world.turn()
    session = world.server.sessions.get(client.client_id)
    state = None
    if session is not None:
        state = (len(session.queue), session.queued_bytes, session.urgent, session.expire_at)
        seen.append((state, session.publishes, session.batches, session.held is not None))
    outbox = world.server.outbox
    return [*seen, outbox.queued_bytes, outbox.sent, outbox.held]


def collect(client: Client, name: str, seen: list[Any]) -> None:
    """Note everything that a client gets from now on."""
    if isinstance(client, SocketClient):
        told = client.socket.told

        def note(payload: bytes) -> None:
            told(payload)
            seen.append((name, payload))

        client.socket.told = note
        opened = client.open

        def reopen() -> None:
            opened()
            collect(client, name, seen)

        client.open = reopen  # type: ignore[method-assign]  # the test's own client
        return
    assert isinstance(client, PollClient)
    answered = client._answered

    def answer(connection: FakeConnection) -> None:
        answered(connection)
        seen.append((name, connection.status, connection.headers, connection.body))

    client._answered = answer  # type: ignore[method-assign]  # as above
    client.last.told = answer


class TwoWaysTests(SynchronousTestCase):
    """With an exchange or without: answers, deliveries and what is left behind are the same."""

    def compare(self, **options: Any) -> None:
        """Run all scripts by all transports."""
        for script in SCRIPTS:
            for kind in ("poll", "callback", "socket"):
                for ack in (False, True):
                    one = run(script, kind, whole_way=False, ack=ack, **options)
                    two = run(script, kind, whole_way=True, ack=ack, **options)
                    self.assertEqual(one, two, f"{script.__name__} {kind} ack={ack} {options}")

    def test_defaults(self) -> None:
        """As the server is delivered."""
        self.compare()

    def test_rates(self) -> None:
        """A client that publishes more often than it may."""
        self.compare(publishes_per_s=2.0)

    def test_bounds(self) -> None:
        """A client whose own publications are too much for its queue."""
        for policy in ("disconnect", "drop-oldest", "drop-newest"):
            self.compare(max_queue=1, max_queue_policy=policy)

    def test_listed_channels(self) -> None:
        """Clients may use some channels only."""
        self.compare(client_channels="listed", channels=("/a", "/b/c"))

    def test_deliver_only(self) -> None:
        """Messages leave with connects only."""
        self.compare(meta_connect_deliver_only=True)

    def test_an_extension(self) -> None:
        """Everything that leaves is changed."""
        self.compare(timestamp=True)

    def test_inactive_clients(self) -> None:
        """Sessions that have times of their own to keep."""
        self.compare(max_inactivity_s=20.0)


class WayTests(SynchronousTestCase):
    """Which way is taken: what the scripts above compare is not twice the same."""

    def setUp(self) -> None:
        """A client on a websocket."""
        self.world = World()
        self.client = self.world.socket()
        self.client.online("/a")
        self.session = next(iter(self.world.server.sessions.values()))
        self.message = {
            "channel": "/a",
            "clientId": self.client.client_id,
            "id": "7",
            "data": 1,
        }

    def test_short(self) -> None:
        """A plain publication needs no exchange."""
        reply = publish(self.world.server, self.session, self.message)
        assert reply is not None
        expected = {"id": "7", "channel": "/a", "successful": True}
        self.assertEqual(list(json.loads(reply).items()), list(expected.items()))

    def test_a_service(self) -> None:
        """A call is for the application."""
        self.world.server.channel("/service/x")
        self.message["channel"] = "/service/x"
        self.assertIsNone(publish(self.world.server, self.session, self.message))

    def test_a_listener(self) -> None:
        """Somebody listens."""
        self.world.server.listen("/b", lambda session, message: None)
        self.assertIsNone(publish(self.world.server, self.session, self.message))

    def test_another_rule(self) -> None:
        """A rule that is not ours is asked once, by the exchange."""
        asked: list[str] = []

        class Other(Rules):
            def can_publish(
                self, session: Session, channel: ChannelName, message: Message, reply: Message
            ) -> Decided:
                asked.append(channel.text)
                return "not_today"

        self.world.server.policy = Other(self.world.comet, None, require_user=False)
        (refused,) = self.client.publish("/a", 1)
        self.assertEqual(refused["error"], "403:not_today:publish_denied")
        self.assertEqual(asked, ["/a"])

    def test_fails(self) -> None:
        """When something of ours raises the socket is closed, and the failure is logged."""

        def failing(message: Message) -> None:
            raise ValueError("a fault of ours")

        self.world.server.published = failing
        self.client.send(self.message)
        socket = self.client.socket
        assert isinstance(socket, FakeSocket)
        self.assertEqual(socket.closed, (1011, "The server failed."))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
