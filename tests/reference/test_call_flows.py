"""The call flows that need no orchestration, through the front door.

Spec: Call Flows, "request-interaction - No Delay" and "Access Number Allocation", each
without and with locking.
"""

from __future__ import annotations

from typing import Any

from tests.support.whole import WholeCase

ANI = "6504669999"


class CallFlows:
    """Each flow; how numbers are given out is the classes' below.

    :cvar strategy: of group DNIS.
    """

    strategy = ""

    def setUp(self) -> None:
        """Make a server."""
        assert isinstance(self, WholeCase)
        self.server = self.whole(
            f"resource.DNIS/_allocation_strategy={self.strategy}",
            "service.request-interaction/_ttl=600",
        )

    def ask(self, **fields: str) -> Any:
        """An application asks for a number."""
        return self.server.service("request-interaction", {"_phone_number": ANI, **fields})

    def assert_matched(self, answer: Any, asked: Any) -> None:
        """A match names the service and where its data is."""
        assert isinstance(self, WholeCase)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(list(answer.json()), ["_id", "_data_id"])
        self.assertEqual(answer.json()["_id"], asked["_id"])

    def assert_nothing_locked(self) -> None:
        """No number is locked, no phone has a booking."""
        assert isinstance(self, WholeCase)
        self.assertEqual((self.server.locked(), self.server.phones()), ([], []))

    def test_request_interaction_no_delay(self) -> None:
        """Spec: "request-interaction - No Delay": ask, call, match, read the data, end."""
        assert isinstance(self, WholeCase)
        asked = self.ask(language="french")
        found = self.server.match(access_number=asked["_access_number"], phone_number=ANI)
        self.assert_matched(found, asked)
        self.assertEqual(self.server.data(found.json()["_data_id"]), {"language": "french"})
        ended = self.server.send("DELETE", f"/genesys/1/service/{asked['_id']}")
        self.assertEqual((ended.status, ended.body), (200, b""))
        self.assertEqual(
            self.server.send("GET", f"/genesys/1/storage/{found.json()['_data_id']}").status, 404
        )
        self.assert_nothing_locked()

    def test_dnis_only(self) -> None:
        """Spec: "DNIS only - no match is done here": the booking runs out by itself."""
        assert isinstance(self, WholeCase)
        asked = self.ask()
        self.assertEqual(bool(self.server.locked()), self.strategy != "RANDOM")
        wait_s = float(asked["_expiration_time"])
        self.server.advance(wait_s, wait_s)
        self.assert_nothing_locked()

    def test_match_dnis_and_ani(self) -> None:
        """Spec: "Match DNIS + ANI"."""
        asked = self.ask()
        found = self.server.match(access_number=asked["_access_number"], phone_number="+1" + ANI)
        self.assert_matched(found, asked)
        self.assert_nothing_locked()

    def test_match_dnis_and_access_code(self) -> None:
        """Spec: "Match DNIS + Access Code"."""
        asked = self.ask(_provide_code="true")
        found = self.server.match(
            access_number=asked["_access_number"], access_code=asked["_access_code"]
        )
        self.assert_matched(found, asked)
        self.assert_nothing_locked()

    def test_no_match(self) -> None:
        """Spec: "No Match": 404, and whoever was meant can still be matched."""
        assert isinstance(self, WholeCase)
        asked = self.ask(_provide_code="true")
        number = asked["_access_number"]
        for fields in (
            {"access_number": "1-888-555-0000"},
            {"access_number": number, "phone_number": "6504660000"},
            {"access_number": number, "access_code": "0"},
        ):
            answer = self.server.match(**fields)
            self.assertEqual(answer.status, 404)
            self.assertEqual(answer.json()["exception"], "gms.access.no_match")
        self.assert_matched(self.server.match(access_number=number), asked)
        self.assertEqual(self.server.match(access_number=number).status, 404)
        self.assert_nothing_locked()


class NoLockingTests(CallFlows, WholeCase):
    """Spec: "Access Number Allocation", "No Locking"."""

    strategy = "RANDOM"


class LockingTests(CallFlows, WholeCase):
    """Spec: "Access Number Allocation", "Locking"."""

    strategy = "LOCKING"

    def test_only_a_single_service(self) -> None:
        """Spec: "Locking": a number is given to one service only; then there is none."""
        phones = [f"650466000{n}" for n in range(4)]
        asked = [self.ask(_phone_number=phone) for phone in phones]
        self.assertEqual(len({one["_access_number"] for one in asked}), 4)
        answer = self.server.try_service("request-interaction", {"_phone_number": ANI})
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json()["exception"], "gms.access.no_number_free")
        self.assertEqual(answer.headers["retry-after"], "30")
        for one in asked:
            self.assert_matched(self.server.match(access_number=one["_access_number"]), one)
        self.ask()
