"""Users, events, calls, presence.  Bayeux: behaviours 108 to 110, and what GMS adds."""

from __future__ import annotations

import json
from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.absent import AbsentUsers
from gms_twisted.app.interfaces import (
    BayeuxCaller,
    HandshakeRefused,
    Offered,
    Presence,
    ServiceChannels,
    UserEvents,
)
from gms_twisted.domain.ids import GmsUser
from tests.support.bayeux import World

BUZZ = GmsUser("Buzz")


class Watcher:
    """Writes down who comes and goes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def arrived(self, user: GmsUser) -> None:
        """Somebody came."""
        self.seen.append(("arrived", user))

    def left(
        self, user: GmsUser, transcript_position: int | None, *, goodbye: bool = False
    ) -> None:
        """Somebody went."""
        how = "took leave" if goodbye else "left"
        self.seen.append((how, user, str(transcript_position)))


class QuickStartTests(SynchronousTestCase):
    """Spec: Quick Start Examples, "Using CometD to Receive Event Updates"."""

    def test_behaviour_108_three_replies(self) -> None:
        """The three replies have the printed members, values and lengths."""
        world = World()
        client = world.poll("BuzzBrain")

        def exchange(body: str) -> bytes:
            head = client.head(
                content_type="application/json;charset=UTF-8", accept_encoding="gzip,deflate"
            )
            return client.begin(head, body.encode()).body

        handshake = exchange(
            '{"version":"1.0","minimumVersion":"0.9","channel":"/meta/handshake","id":"0"}'
        )
        client_id = json.loads(handshake)[0]["clientId"]
        self.assertEqual(
            json.loads(handshake),
            [
                {
                    "id": "0",
                    "minimumVersion": "1.0",
                    "supportedConnectionTypes": ["websocket", "callback-polling", "long-polling"],
                    "successful": True,
                    "channel": "/meta/handshake",
                    "ext": {"ack": True},
                    "clientId": client_id,
                    "version": "1.0",
                }
            ],
        )
        self.assertEqual((len(client_id), len(handshake)), (25, 230))
        connect = exchange(
            f'{{"channel":"/meta/connect","clientId":"{client_id}","id":"1",'
            '"connectionType":"long-polling"}'
        )
        self.assertEqual(
            json.loads(connect),
            [
                {
                    "id": "1",
                    "successful": True,
                    "advice": {"interval": 0, "reconnect": "retry", "timeout": 60000},
                    "channel": "/meta/connect",
                }
            ],
        )
        self.assertEqual(len(connect), 116)
        subscribe = exchange(
            f'[{{"channel":"/meta/subscribe","subscription":"/_genesys",'
            f'"clientId":"{client_id}","id":"2"}}]'
        )
        self.assertEqual(
            json.loads(subscribe),
            [
                {
                    "id": "2",
                    "subscription": "/_genesys",
                    "successful": True,
                    "channel": "/meta/subscribe",
                }
            ],
        )
        self.assertEqual(len(subscribe), 85)

    def test_behaviour_109_events(self) -> None:
        """An event has id, message and tag, comes before the connect reply, keeps its id."""
        world = World()
        client = world.poll("Buzz")
        client.handshake(ext={"ack": True})
        client.connect(ext={"ack": -1})
        client.subscribe("/_genesys")
        client.connect(ext={"ack": 1})
        world.comet.deliver(BUZZ, "service.chat.refresh.x", {"chatIxnState": "TRANSCRIPT"})
        world.turn()
        event, reply = client.take()
        self.assertEqual(set(event), {"data", "channel"})
        self.assertEqual(event["channel"], "/_genesys")
        self.assertEqual(set(event["data"]), {"id", "message", "tag"})
        self.assertRegex(event["data"]["id"], r"\A[0-9a-f]{32}\Z")
        self.assertEqual(reply["channel"], "/meta/connect")
        again = client.connect(ext={"ack": 1})
        self.assertEqual(again[0], event)

    def test_behaviour_110_devices_and_absence(self) -> None:
        """Two devices get every event; what comes for nobody waits, for a bounded time."""
        world = World()
        self.assertEqual(world.comet.deliver(BUZZ, "t", "early", "e" * 32), 0)
        world.wait(50)
        one, two = world.poll("Buzz"), world.socket("Buzz")
        one.handshake()
        one.connect()
        received = one.ask("/meta/subscribe", subscription="/_genesys")
        self.assertEqual(received[0]["data"], {"id": "e" * 32, "message": "early", "tag": "t"})
        self.assertEqual(received[1]["channel"], "/meta/subscribe")
        one.connect()
        two.online("/_genesys")
        self.assertEqual(world.comet.deliver(BUZZ, "t", "both"), 2)
        world.turn()
        self.assertEqual(one.take()[0]["data"]["message"], "both")
        self.assertEqual(two.take()[0]["data"]["message"], "both")

    def test_N06_an_event_offered_to_many_is_encoded_once(self) -> None:
        """Users share the bytes of an event; another event, or another text, has its own."""
        world = World()
        users = [GmsUser(f"user {number}") for number in range(3)]
        for event_id, message in (("e" * 32, "one"), ("e" * 32, "two"), ("f" * 32, "two")):
            for user in users:
                self.assertIs(world.comet.offer(user, "t", message, event_id), Offered.KEPT)
        kept = [world.comet._absent.take(user) for user in users]
        for fragments in zip(*kept, strict=True):
            self.assertEqual(len({id(fragment) for fragment in fragments}), 1)
        data = [json.loads(fragment)["data"] for fragment in kept[0]]
        self.assertEqual([one["message"] for one in data], ["one", "two", "two"])
        self.assertEqual([one["id"] for one in data], ["e" * 32, "e" * 32, "f" * 32])

    def test_what_is_kept_ends(self) -> None:
        """After 60 s, or beyond 100 events, what was kept is gone; 0 keeps nothing."""
        world = World()
        world.comet.deliver(BUZZ, "t", "old")
        world.wait(61)
        for number in range(120):
            world.comet.deliver(BUZZ, "t", number)
        client = world.socket("Buzz")
        client.handshake()
        received = client.ask("/meta/subscribe", subscription="/**")
        self.assertEqual([one["data"]["message"] for one in received[:-1]], list(range(20, 120)))
        nothing = World(keep_s=0.0)
        nothing.comet.deliver(BUZZ, "t", "x")
        late = nothing.socket("Buzz")
        late.handshake()
        self.assertEqual(len(late.ask("/meta/subscribe", subscription="/_genesys")), 1)

    def test_what_an_expired_session_had(self) -> None:
        """Events that a vanished client never got wait for its next session."""
        world = World()
        client = world.poll("Buzz")
        client.online("/_genesys", "/other")
        client.last.lose()
        world.comet.deliver(BUZZ, "t", 1)
        world.server.publish("/other", "not kept")
        world.wait(31)
        self.assertFalse(world.comet.is_present(BUZZ))
        world.comet.deliver(BUZZ, "t", 2)
        client.handshake()
        received = client.ask("/meta/subscribe", subscription="/_genesys")
        self.assertEqual([one["data"]["message"] for one in received[:-1]], [1, 2])

    def test_require_user(self) -> None:
        """With ``requireUser`` nobody subscribes to events without a user."""
        world = World(require_user=True)
        client = world.poll()
        client.handshake()
        for channel in ("/_genesys", "/*", "/**"):
            self.assertEqual(
                client.subscribe(channel)["error"], "403:gms_user_missing:subscribe_denied"
            )
        self.assertTrue(client.subscribe("/other")["successful"])
        known = world.poll("Buzz")
        known.handshake()
        self.assertTrue(known.subscribe("/_genesys")["successful"])


class PresenceTests(SynchronousTestCase):
    """Others are told when users come and go."""

    def test_first_and_last(self) -> None:
        """The first subscription arrives, the last session's end leaves; between is silence."""
        world = World()
        watcher = Watcher()
        world.comet.watch(watcher)
        one, two = world.poll("Buzz"), world.socket("Buzz")
        one.online("/_genesys", "/*")
        two.online("/**")
        one.ask("/meta/unsubscribe", subscription="/_genesys")
        self.assertTrue(world.comet.is_present(BUZZ))
        one.ask("/meta/disconnect")
        self.assertEqual(watcher.seen, [("arrived", "Buzz")])
        two.ask("/meta/unsubscribe", subscription="/**")
        self.assertEqual(watcher.seen[1:], [("left", "Buzz", "None")])
        self.assertFalse(world.comet.is_present(BUZZ))

    def test_expiry_leaves(self) -> None:
        """A client that vanishes leaves when its session expires."""
        world = World()
        watcher = Watcher()
        world.comet.watch(watcher)
        client = world.socket("Buzz")
        client.online("/_genesys")
        client.lose()
        world.wait(29)
        self.assertTrue(world.comet.is_present(BUZZ))
        world.wait(2)
        self.assertEqual(watcher.seen[-1], ("left", "Buzz", "None"))

    def test_transcript_position(self) -> None:
        """A good-bye says how far the client has read, also one for a forgotten client."""
        world = World()
        watcher = Watcher()
        world.comet.watch(watcher)
        client = world.poll("Buzz")
        client.online("/_genesys")
        client.ask("/meta/disconnect", ext={"transcriptPosition": 7})
        self.assertEqual(watcher.seen[-1], ("took leave", "Buzz", "7"))
        connection = client.send(
            client.message("/meta/disconnect", ext={"transcriptPosition": "9"})
        )
        self.assertEqual((connection.status, client.take()[0]["successful"]), (200, False))
        self.assertEqual(watcher.seen[-1], ("left", "Buzz", "9"))
        count = len(watcher.seen)
        values: list[object] = ["x", -1, True, 1.5, [], "9" * 11]
        for odd in values:
            client.ask("/meta/disconnect", ext={"transcriptPosition": odd})
        self.assertEqual(len(watcher.seen), count)

    def test_a_watcher_that_raises(self) -> None:
        """An exception of one that watches harms neither the client nor the others."""

        class Broken(Watcher):
            def arrived(self, user: GmsUser) -> None:
                raise ValueError("from the test")

        world = World()
        watcher = Watcher()
        world.comet.watch(Broken())
        world.comet.watch(watcher)
        client = world.poll("Buzz")
        client.handshake()
        self.assertTrue(client.subscribe("/_genesys")["successful"])
        self.assertEqual(watcher.seen, [("arrived", "Buzz")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class HandshakeTests(SynchronousTestCase):
    """Who a session belongs to."""

    def test_names_and_tokens(self) -> None:
        """``ext.gms_user`` counts in mode open, ``ext.token`` always; both must agree."""
        world = World()
        sessions = world.server.sessions
        client = world.socket()
        client.handshake(ext={"gms_user": " Buzz "})
        self.assertEqual(sessions[client.client_id].user, "Buzz")
        self.assertTrue(client.connect()[0]["successful"])
        world.identity.mode = "trusted-proxy"
        client = world.socket()
        client.handshake(ext={"gms_user": "Buzz"})
        self.assertIsNone(sessions[client.client_id].user)
        client.handshake(ext={"token": "token-Woody"})
        self.assertEqual(sessions[client.client_id].user, "Woody")
        self.assertEqual(client.handshake(ext={"token": "x"})["error"], "403::handshake_denied")
        named = world.poll("Buzz")
        self.assertTrue(named.handshake(ext={"token": "token-Buzz"})["successful"])
        reply = named.handshake(ext={"token": "token-Woody"})
        self.assertEqual(reply["advice"], {"reconnect": "none"})

    def test_odd_names(self) -> None:
        """A name that no header could have is refused; what is no text counts as absent."""
        client = World().poll()
        for odd in ("", "a,b", "a\nb", "x" * 129):
            self.assertFalse(client.handshake(ext={"gms_user": odd})["successful"], odd)
        values: list[object] = [5, None, [], {}]
        for absent in values:
            self.assertTrue(client.handshake(ext={"gms_user": absent})["successful"])

    def test_hooks(self) -> None:
        """A hook sees every handshake, leaves something behind, or refuses."""
        world = World()
        gone: list[str] = []

        def hook(caller: BayeuxCaller, ext: Mapping[str, object]) -> None:
            if ext.get("bad"):
                raise HandshakeRefused("The ticket is no good.")
            caller.attachments["agent"] = "anna"
            caller.when_gone(lambda: gone.append(caller.client_id))

        async def who(caller: BayeuxCaller, data: object) -> object:
            return caller.attachments["agent"]

        world.comet.on_handshake(hook)
        world.comet.serve("who", who)
        client = world.socket()
        reply = client.handshake(ext={"bad": 1})
        self.assertEqual(reply["error"], "403::handshake_denied")
        self.assertEqual(
            reply["ext"]["gms"],
            {"message": "The ticket is no good.", "exception": "gms.bayeux.handshake_refused"},
        )
        client.online()
        self.assertEqual(client.publish("/service/who", 1)[0]["data"], "anna")
        client.ask("/meta/disconnect")
        self.assertEqual(gone, [client.client_id])


class CallTests(SynchronousTestCase):
    """Calls of service channels."""

    def test_callers(self) -> None:
        """A handler can deliver to its caller and send it away."""
        world = World()
        callers: list[BayeuxCaller] = []

        async def meet(caller: BayeuxCaller, data: object) -> object:
            callers.append(caller)
            return None

        world.comet.serve("meet", meet)
        client = world.socket("Buzz", host="198.51.100.7")
        client.online()
        client.publish("/service/meet", 1)
        (caller,) = callers
        self.assertEqual(
            (caller.client_id, caller.user, caller.address),
            (client.client_id, "Buzz", "198.51.100.7"),
        )
        self.assertTrue(caller.deliver("/service/meet/event", {"x": 1}))
        world.turn()
        self.assertEqual(client.take(), [{"channel": "/service/meet/event", "data": {"x": 1}}])
        caller.disconnect()
        self.assertEqual(client.take()[-1]["advice"], {"reconnect": "none"})
        self.assertFalse(caller.deliver("/service/meet/event", 1))
        gone: list[bool] = []
        caller.when_gone(lambda: gone.append(True))
        self.assertEqual(gone, [True])

    def test_too_many_at_a_time(self) -> None:
        """The 101st call under way fails."""
        world = World()

        async def never(caller: BayeuxCaller, data: object) -> object:
            return await Deferred[object]()

        world.comet.serve("never", never)
        client = world.socket()
        client.online()
        for _ in range(100):
            self.assertEqual(len(client.publish("/service/never", 1)), 1)
        failed, _ = client.publish("/service/never", 1)
        self.assertEqual(failed["data"]["exception"], "gms.too_many_requests")
        self.successResultOf(Deferred.fromCoroutine(world.tasks.stop()))

    def test_a_channel_that_nobody_serves(self) -> None:
        """Publishing there is acknowledged and nothing more."""
        client = World().socket()
        client.online()
        self.assertEqual(len(client.publish("/service/none", 1)), 1)


class ShutdownTests(SynchronousTestCase):
    """R12: clients are sent away kindly."""

    def test_R12_drain(self) -> None:
        """Held connects are answered with a random interval, sockets closed with 1001."""
        world = World()
        poll, socket = world.poll(), world.socket()
        poll.online()
        socket.online()
        self.successResultOf(Deferred.fromCoroutine(world.comet.stop()))
        self.assertEqual(poll.take()[0]["advice"], {"reconnect": "retry", "interval": 2500})
        assert socket.socket.closed is not None
        self.assertEqual(socket.socket.closed[0], 1001)
        self.assertEqual(poll.connect()[0]["advice"], {"reconnect": "retry", "interval": 2500})
        self.assertEqual(world.poll().handshake()["error"], "503::server_overloaded")
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_R12_many(self) -> None:
        """A thousand held connects are answered in slices."""
        world = World(max_sessions_per_address=2000)
        clients = [world.poll().online() for _ in range(1001)]
        stopping = Deferred.fromCoroutine(world.comet.drain())
        self.assertEqual(sum(bool(client.received) for client in clients), 500)
        world.turn()
        world.turn()
        self.successResultOf(stopping)
        self.assertTrue(all(client.received for client in clients))


class AbsentUsersTests(SynchronousTestCase):
    """What is kept for the absent is bounded."""

    def test_bounds(self) -> None:
        """Too many users, or bytes: the longest absent lose; the sweep forgets the old."""
        world = World()
        absent = AbsentUsers(world.clock, 60.0, 100)
        for number in range(20_001):
            absent.keep(GmsUser(str(number)), b"x")
        self.assertEqual(len(absent), 20_000)
        self.assertEqual(absent.take(GmsUser("0")), [])
        absent.keep(GmsUser("big"), b"x" * (32 * 1024 * 1024))
        self.assertEqual(len(absent), 1)
        world.clock.advance(61)
        absent.sweep()
        self.assertEqual(len(absent), 0)

    def test_older_ones(self) -> None:
        """They come first, are the first to go, and are kept no longer than what came later."""
        world = World()
        user = GmsUser("u")
        absent = AbsentUsers(world.clock, 60.0, 3)
        absent.keep_before(user, [b"1", b"2"])
        self.assertEqual(absent.take(user), [b"1", b"2"])
        absent.keep(user, b"3")
        world.clock.advance(30)
        absent.keep(user, b"4")
        absent.keep_before(user, [b"1", b"2"])
        world.clock.advance(29)
        kept = [one for _, one in absent._kept[user]]
        self.assertEqual(kept, [b"2", b"3", b"4"])
        world.clock.advance(1)
        self.assertEqual(absent.take(user), [b"4"])
        self.assertEqual(absent._bytes, 0)


class AgreementTests(SynchronousTestCase):
    """The agreements that this part implements."""

    def test_shapes(self) -> None:
        """Comet is what others see as events and service channels."""
        events: UserEvents = World().comet
        channels: ServiceChannels = World().comet
        presence: Presence = Watcher()
        events.watch(presence)
        self.assertTrue(callable(channels.serve))
