"""Module ``gsgStorage``: areas of the Storage API."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules import gsg_storage
from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.gsg_storage import GsgStorage
from gms_twisted.app.operations import Outcome, Owner
from gms_twisted.domain.ids import AreaId
from gms_twisted.rest.replies import status_for
from tests.support.access import AccessHouse
from tests.support.orchestration import OWNER, Rig, operation

AGAIN = replace(OWNER, operation_id="8" * 32)


class StorageTests(SynchronousTestCase):
    """A module over the real areas."""

    def setUp(self) -> None:
        """Build it."""
        self.house = AccessHouse(self)
        self.rig = Rig(self, GsgStorage(self.house.areas, self.house.tasks, status_for))

    def ask(self, element: str, owner: Owner = OWNER, **attributes: Any) -> Outcome:
        """Carry an action out."""
        return self.rig.ask(operation("gsgStorage", element, **attributes), owner)

    def create(self, owner: Owner = OWNER, **attributes: Any) -> AreaId:
        """Make an area; gives its id."""
        outcome = self.ask("create", owner, ttl=60, **attributes)
        self.assertEqual(outcome.event, "gsgStorage.create.done")
        area_id: str = json.loads(str(outcome.data["content"]))["id"]
        return AreaId(area_id)

    def status(self, element: str, **attributes: Any) -> object:
        """The status of a refusal."""
        outcome = self.ask(element, **attributes)
        self.assertEqual(outcome.event, f"error.gsgStorage.{element}")
        return outcome.data["status"]

    def test_create(self) -> None:
        """Keys are the members of the content and the parameters, values texts."""
        area_id = self.create(
            content={"a": "1", "b": True, "c": {"d": 2}, "e": None}, params={"f": 5}
        )
        self.assertEqual(
            self.house.run(self.house.areas.read(area_id)),
            {"a": "1", "b": "true", "c": '{"d":2}', "f": "5"},
        )
        self.house.clock.advance(60)
        self.assertEqual(self.status("query", id=area_id), 404)

    def test_create_again(self) -> None:
        """Done again after a restart there is one area still; another action makes another."""
        first = self.create(content={"a": "1"})
        self.assertEqual(self.create(content={"a": "1"}), first)
        self.assertNotEqual(self.create(AGAIN, content={"a": "1"}), first)
        self.assertRegex(first, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_update(self) -> None:
        """Keys are set, others stay."""
        area_id = self.create(content={"a": "1", "b": "2"})
        outcome = self.ask("update", id=area_id, ttl="60", content='{"a":"3"}')
        self.assertEqual(
            outcome, Outcome("gsgStorage.update.done", {"content": "{}", "status": 200})
        )
        content = str(self.ask("query", id=area_id).data["content"])
        self.assertEqual(json.loads(content), {"a": "3", "b": "2"})

    def test_query_one(self) -> None:
        """One key is its text."""
        area_id = self.create(content={"a": '"é'})
        self.assertEqual(
            self.ask("query", id=area_id, key="a"),
            Outcome("gsgStorage.query.done", {"content": '"é', "status": 200}),
        )
        self.assertEqual(self.status("query", id=area_id, key="b"), 404)

    def test_delete(self) -> None:
        """An area is removed; a second time there is none."""
        area_id = self.create(content={"a": "1"})
        outcome = self.ask("delete", id=area_id)
        self.assertEqual(outcome, Outcome("gsgStorage.delete.done", {"content": "", "status": 200}))
        self.assertEqual(self.status("delete", id=area_id), 404)

    def test_refused(self) -> None:
        """What the API would refuse fails with its status."""
        ttl: object
        for ttl in (None, "", 0, -1, 1.5, "1e3", 2**31, "9" * 11, {}):
            self.assertEqual(self.status("create", ttl=ttl, content={"a": "1"}), 400)
        self.assertEqual(self.status("create", ttl=60, content={"_a": "1"}), 400)
        self.assertEqual(self.status("create", ttl=60, content=[1]), 400)
        self.assertEqual(self.status("update", id="none", ttl=60, content={}), 404)
        for element in ("update", "query", "delete"):
            self.assertEqual(self.status(element, ttl=60), 400)

    def test_largest_answer(self) -> None:
        """No more text than the limit goes into a script."""
        self.patch(gsg_storage, "MAX_CONTENT_BYTES", 10)
        area_id = self.create(content={"a": "1" * 10})
        self.assertEqual(self.ask("query", id=area_id).event, "gsgStorage.query.done")
        area_id = self.create(AGAIN, content={"a": "1" * 11})
        self.assertEqual(self.status("query", id=area_id), 413)

    def test_unknown(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, operation("gsgStorage", "reserve"))
