"""Attacks through services and access numbers, as in ``attacks.py``.

Run with ``python -m twisted.trial tests.live.service_attacks``; ``bin/test attacks`` does.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from http.client import HTTPResponse
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from tests.live.attacks import OPTIONS, AttackCase, Foe, eventually, request
from tests.live.canary import FORM, Connection
from tests.live.push_attacks import sets, tell

SERVICE = "/genesys/1/service"
NUMBERS = tuple(f"+1650555010{number}" for number in range(10))
BOOKING_S = 5.0


class ServiceCase(AttackCase):
    """With a group of ten numbers that are kept for five seconds."""

    options = (
        *OPTIONS,
        *sets(
            "resource.FEW/_allocation_strategy=LOCAL",
            f"resource.FEW/_booking_expiration_timeout={BOOKING_S:.0f}",
            *(f"resource.FEW/number{at}={number}" for at, number in enumerate(NUMBERS)),
            "service.few/_type=builtin",
            "service.few/_service=request-interaction",
            "service.few/_resource_group=FEW",
            "service.few/_provide_code=true",
            "service.match-interaction/_type=builtin",
        ),
    )

    def ask(self, source: str, service: str, **fields: str) -> tuple[int, Any]:
        """Create a service, from an address."""
        asking = Connection(f"http://127.0.0.1:{self.port}", source=source)
        body = urlencode(fields).encode()
        status, said = asking.ask("POST", f"{SERVICE}/{service}", body, **FORM)
        asking.close()
        return status, json.loads(said)

    def book(self, phone: int, source: str = "127.0.0.1") -> tuple[int, Any]:
        """Ask for a number to call."""
        return self.ask(source, "few", _phone_number=f"650466{phone:04}")


class FloodTests(ServiceCase):
    """Too many of everything."""

    def test_G01_G03_V13_floods_of_services(self) -> None:
        """One address has its rate; many addresses together have a limit."""
        self.options = (*self.options, *sets("limits/v13_services=200"))
        one: Counter[int] = Counter()
        many: Counter[int] = Counter()
        with self.attack() as server:
            nodes = len(server.each)
            for _ in range(200):
                one[self.ask("127.0.0.2", "request-chat", product="flood")[0]] += 1
            for number in range(300):
                source = f"127.0.2.{1 + number % 30}"
                many[self.ask(source, "request-chat", product="flood")[0]] += 1
            self.linger()
        tell(f"one address: {dict(one)}, thirty: {dict(many)} ... ")
        self.assertEqual(one.keys(), {200, 429})
        # Some come back while the flood goes on.
        # An address is counted by each node.
        self.assertTrue(20 * nodes <= one[200] <= 30 * nodes, one)
        self.assertEqual(many.keys(), {200, 429})
        self.assertLess(one[200] + many[200], 200)
        self.assertGreater(one[200] + many[200], 190)

    def test_G01_G03_V03_exhaustion_of_a_group(self) -> None:
        """Ten numbers are given to ten; more follow when bookings end, one by one or in time."""
        given: list[Any] = []
        statuses: Counter[int] = Counter()
        with self.attack() as server:
            nodes = len(server.each)
            began = time.monotonic()
            for number in range(40 * nodes):
                status, said = self.book(number, f"127.0.3.{1 + number // (8 * nodes)}")
                statuses[status] += 1
                if status == 200:
                    given.append(said)
            self.assertLess(time.monotonic() - began, BOOKING_S, "too slow to be exhausted")
            # Five for an address from each node, so that the first two, or the first one with
            # two nodes, have all; then none is left for the others.
            self.assertEqual(statuses, {200: 10, 429: 6, 503: 40 * nodes - 16})
            self.assertEqual(len({one["_access_number"] for one in given}), len(NUMBERS))
            deleting = Connection(f"http://127.0.0.1:{self.port}")
            deleting.good("DELETE", f"{SERVICE}/{given[0]['_id']}")
            deleting.close()
            status, said = self.book(1000)
            self.assertEqual((status, said["_access_number"]), (200, given[0]["_access_number"]))
            fields = {"_access_number": given[1]["_access_number"]}
            self.assertEqual(self.ask("127.0.0.1", "match-interaction", **fields)[0], 200)
            status, said = self.book(1001)
            self.assertEqual((status, said["_access_number"]), (200, given[1]["_access_number"]))
            self.assertEqual(self.book(1002)[0], 503)
            again: list[str] = []

            def recovered() -> bool:
                status, said = self.book(2000 + len(again))
                if status == 200:
                    again.append(said["_access_number"])
                return len(again) >= 10

            self.assertTrue(eventually(recovered, 3 * BOOKING_S), again)
            took_s = time.monotonic() - began
            # The eight of the beginning first, then the two of later; none is held twice.
            self.assertEqual(len(set(again)), len(NUMBERS))
        tell(f"{dict(statuses)}; all ten again after {took_s:.1f} s ... ")


class MatchTests(ServiceCase):
    """Calls that are told of by somebody who should not, or by too many."""

    def test_G01_G03_V04_brute_force_of_access_codes(self) -> None:
        """One caller has five guesses; with others' numbers no code fits."""
        statuses: Counter[int] = Counter()
        with self.attack() as server:
            _, victim = self.book(1)
            number, code = victim["_access_number"], victim["_access_code"]
            each = [Connection(one.url) for one in server.each]
            turns = cycle(each)

            def guess(caller: int, guessed: str) -> int:
                fields = {
                    "_access_number": number,
                    "_access_code": guessed,
                    "_phone_number": f"650466{caller:04}",
                }
                path = f"{SERVICE}/match-interaction"
                status, _ = next(turns).ask("POST", path, urlencode(fields).encode(), **FORM)
                return status

            for value in range(100):
                self.assertNotEqual(guess(2 + value, code), 200)
            right = int(code)
            for value in range(1000):
                guessed = f"{(right + 1 + value) % 1_000_000:06}"
                statuses[guess(1, guessed)] += 1
            self.assertEqual(statuses, {404: 5, 429: 995})
            self.assertEqual(guess(1, code), 429)
            # Who has not guessed is let in.
            _, other = self.book(5000)
            number, code = other["_access_number"], other["_access_code"]
            self.assertEqual(guess(5000, code), 200)
            for asking in each:
                asking.close()
            self.linger()
        tell(f"{dict(statuses)} ... ")

    def test_G01_G03_V05_a_hundred_matches_at_once(self) -> None:
        """Exactly one gets the service."""
        rounds = 0
        with self.attack():
            foes = [Foe(self.port, "127.0.0.1") for _ in range(100)]
            for foe in foes:
                self.addCleanup(foe.close)
            for rounds in self.rounds(5):
                status, booked = self.book(rounds)
                self.assertEqual(status, 200)
                fields = {
                    "_access_number": booked["_access_number"],
                    "_phone_number": f"650466{rounds:04}",
                }
                path = f"{SERVICE}/match-interaction"
                asked = request(path, FORM["Content-Type"], urlencode(fields).encode())
                for foe in foes:
                    foe.send(asked)
                found = [self.answer(foe) for foe in foes]
                statuses = Counter(status for status, _ in found)
                self.assertEqual(statuses, {200: 1, 404: 99})
                [matched] = [said for status, said in found if status == 200]
                self.assertEqual(matched["_id"], booked["_id"])
            for foe in foes:
                foe.close()
        tell(f"{rounds + 1} bookings ... ")

    def answer(self, foe: Foe) -> tuple[int, Any]:
        """Status and JSON of one answer."""
        answer = HTTPResponse(foe.socket)
        answer.begin()
        return answer.status, json.loads(answer.read())
