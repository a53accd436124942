"""Who may use a session and a channel.  Bayeux: behaviours 68 to 73."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.authority import ClientRules, Decided, Operation
from gms_twisted.bayeux.channels import ChannelName
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.session import Session
from gms_twisted.domain.ids import GmsUser
from tests.support.bayeux import COMETD, World

UNKNOWN = "402::session_unknown"


class BindingTests(SynchronousTestCase):
    """A session is used by those it was made for."""

    def test_behaviour_068_another_session(self) -> None:
        """A foreign clientId is 402, alone and in a batch; the victim stays connected."""
        world = World()
        victim = world.poll("victim")
        victim.online("/a")
        held = victim.last
        for attacker in world.each("attacker"):
            attacker.online()
            for channel in ("/meta/connect", "/meta/subscribe", "/meta/disconnect", "/a"):
                (reply,) = attacker.ask(channel, clientId=victim.client_id, subscription="/b")
                self.assertEqual(reply["error"], UNKNOWN, channel)
            attacker.send(
                attacker.message("/b", data=1), attacker.message("/a", clientId=victim.client_id)
            )
            self.assertEqual(
                [one["successful"] for one in attacker.take() if "successful" in one],
                [True, False],
            )
        self.assertEqual(held.answers, 0)
        self.assertIn(victim.client_id, world.server.sessions)

    test_B01_stolen_id = test_behaviour_068_another_session

    def test_behaviour_069_cookie(self) -> None:
        """The cookie is set once and used again; without it, trust decides."""
        for trust in (False, True):
            world = World(**{**COMETD, "trust_client_session": trust})
            client = world.poll()
            client.handshake()
            line = client.last.headers["Set-Cookie"]
            self.assertRegex(line, r"\ABAYEUX_BROWSER=[\w-]{16,}; Path=/; HttpOnly; SameSite=Lax\Z")
            cookie = line.split("=", 1)[1].split(";")[0]
            client.cookie = cookie
            client.connect()
            self.assertEqual(client.connect(), [])
            client.handshake()
            self.assertNotIn("Set-Cookie", client.last.headers)
            client.connect()
            client.cookie = ""
            received = client.connect()
            if trust:
                self.assertEqual(received, [])
            else:
                self.assertEqual(received[0]["error"], UNKNOWN)
            client.cookie = "another"
            self.assertEqual(client.connect()[0]["error"], UNKNOWN)

    def test_behaviour_069_attributes(self) -> None:
        """The cookie's attributes are what the options say."""
        world = World(
            browser_cookie_name="B",
            browser_cookie_path="/genesys",
            browser_cookie_domain="example.com",
            browser_cookie_max_age_s=60,
            browser_cookie_http_only=False,
            browser_cookie_secure=True,
            browser_cookie_same_site="None",
            browser_cookie_partitioned=True,
        )
        client = world.poll()
        client.handshake()
        attributes = client.last.headers["Set-Cookie"].split("; ")[1:]
        self.assertEqual(
            attributes,
            ["Path=/genesys", "Domain=example.com", "Max-Age=60", "SameSite=None", "Partitioned"],
        )

    def test_behaviour_070_user(self) -> None:
        """A different user is refused, the same one needs no cookie."""
        world = World(trust_client_session=False)
        client = world.poll("Buzz")
        client.handshake()
        self.assertTrue(client.connect()[0]["successful"])
        client.headers["gms_user"] = "Woody"
        self.assertEqual(client.connect()[0]["error"], UNKNOWN)

    def test_an_id_alone_is_not_enough_for_a_user(self) -> None:
        """A session with a user is not used on its id alone, trust or not."""
        client = World(trust_client_session=True).poll("Buzz")
        client.keeps_cookie = True
        client.handshake()
        cookie, client.cookie = client.cookie, ""
        client.headers["gms_user"] = ""
        self.assertEqual(client.connect()[0]["error"], UNKNOWN)
        client.cookie = cookie
        self.assertTrue(client.connect()[0]["successful"])

    def test_B13_a_script_of_another_site(self) -> None:
        """With callback-polling a cookie does not stand for its user."""
        client = World().callback("Buzz")
        client.keeps_cookie = True
        client.handshake()
        client.headers["gms_user"] = ""
        self.assertEqual(client.connect()[0]["error"], UNKNOWN)


class DeniesAll(ClientRules):
    """Denies everything but handshakes, with advice."""

    def _deny(self, reply: Message) -> Decided:
        reply["advice"] = {"reconnect": "none"}
        reply["ext"] = {"why": "test"}
        return "closed_today"

    def can_create(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Deny what is not there yet."""
        return self._deny(reply) if channel.text.startswith("/new") else True

    def can_subscribe(
        self, session: Session, channel: ChannelName, message: Message, reply: Message
    ) -> Decided:
        """Deny."""
        return self._deny(reply)

    can_publish = can_subscribe


class PolicyTests(SynchronousTestCase):
    """Policies and authorizers decide."""

    def test_behaviour_071_denials(self) -> None:
        """Denials carry the policy's reason, advice and ext."""
        world = World()
        world.server.policy = DeniesAll()
        client = world.poll()
        client.handshake()
        replies = [
            client.subscribe("/new"),
            client.subscribe("/old"),
            client.publish("/new", 1)[0],
            client.publish("/old", 1)[0],
        ]
        self.assertEqual(
            [one["error"] for one in replies],
            [
                "403:closed_today:create_denied",
                "403:closed_today:subscribe_denied",
                "403:closed_today:channel_create_denied",
                "403:closed_today:publish_denied",
            ],
        )
        for one in replies:
            self.assertEqual((one["advice"], one["ext"]), ({"reconnect": "none"}, {"why": "test"}))

    def test_a_policy_that_raises(self) -> None:
        """An exception in a policy denies."""

        class Broken(ClientRules):
            def can_publish(
                self, session: Session, channel: ChannelName, message: Message, reply: Message
            ) -> Decided:
                raise ValueError("from the test")

        world = World()
        world.server.policy = Broken()
        client = world.poll()
        client.handshake()
        self.assertEqual(
            client.publish("/a", 1)[0]["error"], "403:denied_by_security_policy:publish_denied"
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_behaviour_072_authorizers(self) -> None:
        """None grants, ignoring denies, deny beats grant, ``/**`` applies, removal counts."""
        world = World()
        server = world.server
        client = world.poll()
        client.handshake()

        def outcome() -> str:
            reply = client.publish("/a/b", 1)[-1]
            return "" if reply["successful"] else reply["error"]

        self.assertEqual(outcome(), "")
        stop_ignoring = server.authorize("/**", lambda what, session, name: None)
        self.assertEqual(outcome(), "403:denied_by_not_granting:publish_denied")
        stop_granting = server.authorize("/a/**", lambda what, session, name: True)
        self.assertEqual(outcome(), "")
        stop_denying = server.authorize(
            "/a/b", lambda what, session, name: "full" if what is Operation.PUBLISH else None
        )
        self.assertEqual(outcome(), "403:full:publish_denied")
        self.assertTrue(client.subscribe("/a/b")["successful"])
        stop_denying()
        self.assertEqual(outcome(), "")
        stop_granting()
        stop_ignoring()
        self.assertEqual(outcome(), "")
        server.authorize("/c", lambda what, session, name: False)
        self.assertEqual(
            client.subscribe("/c")["error"], "403:denied_by_security_policy:subscribe_denied"
        )

    def test_behaviour_073_events_of_a_user(self) -> None:
        """Nobody publishes to ``/_genesys``; events reach all sessions of their user only."""
        world = World()
        phone, tablet, other = world.poll("Buzz"), world.socket("Buzz"), world.poll("Woody")
        for client in (phone, tablet, other):
            client.online("/_genesys")
        for name in ("/_genesys", "/_genesys/", "/_genesys/x"):
            (reply,) = other.publish(name, {"id": "1"})
            self.assertEqual(reply["error"][:4], "403:", name)
        other.connect()
        self.assertEqual(world.comet.deliver(GmsUser("Buzz"), "t", "m"), 2)
        world.turn()
        self.assertEqual(phone.take()[0]["data"]["message"], "m")
        self.assertEqual(tablet.take()[0]["data"]["message"], "m")
        self.assertEqual(other.take(), [])

    test_B05_publish_to_server_channels = test_behaviour_073_events_of_a_user


class UserDeliveryTests(SynchronousTestCase):
    """B06: what is for one user reaches no other."""

    @settings(deadline=None, max_examples=10)
    @given(some.data())
    def test_B06_no_message_crosses(self, data: some.DataObject) -> None:
        """100 users with three sessions each: every event reaches its user's, and only those."""
        world = World()
        users = [f"user{number}" for number in range(100)]
        clients = []
        for user in users:
            made = [world.poll(user), world.socket(user), world.poll(user)]
            for client, channel in zip(made, ("/_genesys", "/*", "/**"), strict=True):
                client.online(channel)
            clients.append(made)
        expected: dict[str, list[int]] = {user: [] for user in users}
        for number in range(data.draw(some.integers(1, 30))):
            user = data.draw(some.sampled_from(users))
            self.assertEqual(world.comet.deliver(GmsUser(user), "t", number), 3)
            expected[user].append(number)
            if data.draw(some.booleans()):
                world.turn()
        world.turn()
        for user, made in zip(users, clients, strict=True):
            for client in made:
                received = client.take()
                if client.transport == "long-polling" and received:
                    received += client.connect(advice={"timeout": 0})
                got = [one["data"]["message"] for one in received if "data" in one]
                self.assertEqual(got, expected[user])
