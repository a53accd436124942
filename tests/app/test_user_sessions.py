"""What sessions know of a user is shown and deleted (C12), in a whole server."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.service_records import SERVICE
from gms_twisted.app.session_records import SESSION
from gms_twisted.app.user_sessions import UserSessions
from gms_twisted.domain.errors import NodeAway
from tests.app import test_shared_sessions as shared
from tests.app.test_orchestrated import USER, Rig
from tests.support.session_nodes import SessionNode
from tests.support.whole import WholeServer

NAME = "request-inbound-poll"
FIELDS = {"_phone_number": "+14155550134", "_agent_group": "Billing", "note": "canary"}


class UserSessionTests(SynchronousTestCase):
    """Two users with a service each, one with a session that has none."""

    def setUp(self) -> None:
        """Make them."""
        self.server = WholeServer(self)
        self.users = self.server.house.orchestration.users
        self.server.service(NAME, FIELDS, user="ann")
        [self.service] = self.server.sessions()
        self.server.service(NAME, FIELDS, user="ben")
        embedded = self.server.house.orchestration.embedded
        assert embedded is not None
        started = embedded.start(NAME, {"gms_user": "ann", "note": "canary"})
        self.bare: SessionAt = self.server.run_soon(started)

    def export(self, user: str) -> Any:
        """What a user is shown."""
        return self.server.run(self.users.export(user))

    def stored(self) -> list[str]:
        """The ids of sessions and services that are stored."""
        store = self.server.house._base.store
        kinds = [self.server.run(store.scan(kind)) for kind in (SESSION, SERVICE)]
        return [record.key for records in kinds for record in records]

    def test_C12_shown(self) -> None:
        """The user's sessions with their data, and nobody else's."""
        service, bare = self.export("ann")
        self.assertEqual((service["id"], service["service"]), (self.service, NAME))
        self.assertEqual(service["parameters"]["_phone_number"], "+14155550134")
        self.assertEqual(service["data"]["_phone_number"], "+14155550134")
        self.assertEqual((bare["id"], bare["data"]["note"]), (self.bare.session_id, "canary"))
        self.assertTrue(bare["states"])
        json.dumps([service, bare])
        self.assertEqual([len(self.export(user)) for user in ("ben", "eve", "")], [1, 0, 0])

    def test_C12_deleted(self) -> None:
        """The user's sessions are ended and their services gone; others' go on."""
        before = len(self.stored())
        self.assertEqual(self.server.run_soon(self.users.end("ann")), 2)
        self.assertEqual(self.export("ann"), [])
        self.assertEqual(len(self.server.sessions()), 1)
        left = self.stored()
        self.assertNotIn(self.service, left)
        self.assertNotIn(self.bare.session_id, left)
        self.assertEqual(len(left), before - 3)
        self.assertEqual(len(self.export("ben")), 1)

    def test_C12_nobody(self) -> None:
        """No name is nobody's name, and not that of sessions without a user."""
        self.server.service(NAME, FIELDS)
        before = len(self.server.sessions())
        for user in ("", "eve"):
            self.assertEqual(self.server.run_soon(self.users.end(user)), 0)
        self.assertEqual(len(self.server.sessions()), before)


class NodeTests(shared.Fixture):
    """Sessions of a user at two nodes."""

    def users(self, node: SessionNode) -> UserSessions:
        """Of one node; who has no service."""
        services: Any = NoServices()
        return UserSessions(node.store, node.clock, services, node.here, node.sessions, node.nodes)

    async def test_C12_all_nodes(self) -> None:
        """Those of other nodes are shown and ended, too; nobody else's."""
        one, two = self.users(self.one), self.users(self.two)
        await self.world.own(self.two, SessionAt("a"), SessionAt("b"))
        mine = [await node.session("echo", gms_user="ann") for node in (self.one, self.two)]
        other = await self.two.session("echo", gms_user="ben")
        for users in (one, two):
            rows = await self.one.do(users.export("ann"))
            self.assertEqual({row["id"] for row in rows}, {each.session_id for each in mine})
            self.assertEqual([row["states"] for row in rows], [["a"], ["a"]])
            self.assertEqual(await self.one.do(users.export("")), [])
        self.assertEqual(await self.one.do(one.end("")), 0)
        self.assertEqual(await self.one.do(one.end("ann")), 2)
        self.assertEqual(await self.two.do(two.export("ann")), [])
        self.assertEqual(await self.one.states(other), ["a"])

    async def test_C12_no_answer(self) -> None:
        """A node that does not answer is not taken for one that has nothing."""
        users = self.users(self.one)
        await self.refused(self.one, users.export("ann"), NodeAway)
        await self.refused(self.one, users.end("ann"), NodeAway)


class NoServices:
    """There are none."""

    async def delete(self, service_id: str, user: str | None) -> None:
        """There is nothing to delete."""


class ElsewhereTests(SynchronousTestCase):
    """Sessions on other servers are known by their services."""

    def test_C12_shown_and_deleted(self) -> None:
        """What the service knows is shown; deleting ends the session."""
        rig = Rig(self)
        rig.create(USER, _language="en")
        house = rig.house
        users = UserSessions(house.store, house.clock, house.services, None)
        session_id, _ = rig.only()
        [row] = house.run(users.export(USER))
        self.assertEqual((row["id"], row["parameters"]), (session_id, {"_language": "en"}))
        self.assertNotIn("data", row)
        self.assertEqual(house.run(users.end(USER)), 1)
        self.assertEqual(rig.sessions.ended, [session_id])
        self.assertEqual(house.run(users.export(USER)), [])
