"""Matching calls with services."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_codes import CodesRefused
from gms_twisted.app.access_numbers import NoMatch
from gms_twisted.app.service_records import SERVICE
from gms_twisted.config.options import LimitOptions
from gms_twisted.domain.errors import InvalidRequest, ServiceNotFound
from tests.support.access import PHONE, AccessHouse, group
from tests.support.stepping import SteppingStore

MATCH = "match-interaction"
FREE = group("DNIS", "5001", strategy="RANDOM")


class MatchTests(SynchronousTestCase):
    """Which service a call is for."""

    def test_number_alone(self) -> None:
        """One live service holds the number: it is the one."""
        house = AccessHouse(self)
        asked = house.interact(language="french")
        found = house.match(_access_number=asked["_access_number"])
        self.assertEqual(list(found), ["_id", "_data_id"])
        self.assertEqual(found["_id"], asked["_id"])
        self.assertEqual(house.run(house.areas.read(found["_data_id"])), {"language": "french"})

    def test_number_alone_of_several(self) -> None:
        """Two live services with one number: nobody can tell which."""
        house = AccessHouse(self, FREE)
        first = house.interact("6504660001")
        house.interact("6504660002")
        house.refuses(NoMatch, MATCH, _access_number="5001")
        house.match(_access_number="5001", _phone_number="6504660002")
        self.assertEqual(house.match(_access_number="5001")["_id"], first["_id"])

    def test_number_in_any_spelling(self) -> None:
        """Number and caller are compared as numbers, not as texts."""
        for dialled in ("18885555751", "+1 888 555 5751", "888.555.5751", "0018885555751"):
            house = AccessHouse(self, group("DNIS", "1-888-555-5751"))
            asked = house.interact("(650) 466-9999")
            found = house.match(_access_number=dialled, _phone_number="+16504669999")
            self.assertEqual(found["_id"], asked["_id"])

    def test_name_of_a_routing_point(self) -> None:
        """An access number that is a name is compared as it is written."""
        house = AccessHouse(self, group("DNIS", "RP_Main"))
        house.interact()
        house.refuses(NoMatch, MATCH, _access_number="rp_main")
        house.match(_access_number="RP_Main")

    def test_caller_narrows(self) -> None:
        """Of many with one number the caller's own."""
        house = AccessHouse(self, FREE)
        asked = [house.interact(f"650466000{n}") for n in range(5)]
        house.refuses(NoMatch, MATCH, _access_number="5001", _phone_number="6504669999")
        for n in (3, 0, 4):
            found = house.match(_access_number="5001", _phone_number=f"650466000{n}")
            self.assertEqual(found["_id"], asked[n]["_id"])

    def test_code_narrows(self) -> None:
        """Of many with one number that with the code; caller and code must both fit."""
        house = AccessHouse(self, FREE)
        asked = [house.interact(f"650466000{n}", _provide_code="true") for n in range(5)]
        code = asked[2]["_access_code"]
        fields = {"_access_number": "5001", "_access_code": code}
        house.refuses(NoMatch, MATCH, **fields, _phone_number="6504660001")
        house.refuses(NoMatch, MATCH, _access_number="5002", _access_code=code)
        self.assertEqual(house.match(**fields, _phone_number="6504660002")["_id"], asked[2]["_id"])
        found = house.match(_access_number="5001", _access_code=asked[4]["_access_code"])
        self.assertEqual(found["_id"], asked[4]["_id"])

    def test_a_service_without_what_is_asked_for(self) -> None:
        """A service without a phone number, or a code, fits no call that names one."""
        house = AccessHouse(self)
        service_id = house.create()
        number = house.ask("request-access", _id=service_id, _resource_group="DNIS")[
            "_access_number"
        ]
        house.refuses(NoMatch, MATCH, _access_number=number, _phone_number=PHONE)
        house.refuses(NoMatch, MATCH, _access_number=number, _access_code="123456")
        house.match(_access_number=number, _phone_number="", _access_code="")

    def test_the_latest_of_one_caller(self) -> None:
        """A caller with two services and one number means the later one."""
        house = AccessHouse(self, FREE, group("other", "5001", strategy="RANDOM"))
        first = house.interact()
        house.clock.advance(1)
        second = house.create()
        house.ask("request-access", _id=second, _resource_group="other", _phone_number=PHONE)
        found = [house.match(_access_number="5001", _phone_number=PHONE)["_id"] for _ in range(2)]
        self.assertEqual(found, [second, first["_id"]])

    def test_always_releases(self) -> None:
        """What was matched is free at once, locked or not, and matches no more."""
        for strategy in ("LOCAL", "RANDOM"):
            house = AccessHouse(self, group("DNIS", "5001", strategy=strategy))
            asked = house.interact(_provide_code="true")
            house.match(_access_number="5001", _access_code=asked["_access_code"])
            self.assertEqual((house.held("5001"), house.bookings()), ([], []))
            house.refuses(NoMatch, MATCH, _access_number="5001")
            house.interact("6504660001")
            house.run(house.services.find(asked["_id"], None))

    def test_no_match_releases_nothing(self) -> None:
        """A call that fits nobody leaves everything as it is."""
        house = AccessHouse(self)
        house.interact()
        for fields in (
            {"_access_number": "5999"},
            {"_access_number": "1-888-555-5751", "_phone_number": "6500000000"},
            {"_access_number": "1-888-555-5752", "_phone_number": "anonymous"},
        ):
            house.refuses(NoMatch, MATCH, **fields)
        self.assertEqual(len(house.locked()), 1)

    def test_user_data(self) -> None:
        """``_return_user_data`` adds the data; by option or request."""
        for option, asked in (("", "true"), ("true", ""), ("true", "false")):
            house = AccessHouse(self, more={MATCH: {"_return_user_data": option}})
            number = house.interact(language="french", x="1")["_access_number"]
            found = house.match(_access_number=number, _return_user_data=asked)
            self.assertEqual(list(found), ["_id", "_data_id", "language", "x"])
            self.assertEqual(found["language"], "french")

    def test_V02_mandatory(self) -> None:
        """``_access_number`` is mandatory, and no longer than a number can be."""
        house = AccessHouse(self)
        for fields in ({}, {"_access_number": ""}, {"_access_number": "5" * 65}):
            error = house.refuses(InvalidRequest, MATCH, **fields, _phone_number=PHONE)
            self.assertEqual(error.parameter, "_access_number")
        error = house.refuses(InvalidRequest, MATCH, _access_number="1", _return_user_data="x")
        self.assertEqual(error.parameter, "_return_user_data")

    def test_ended_services_do_not_match(self) -> None:
        """A service that was deleted, or is over, is not found, nor its number held."""
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=1800))
        house.end(house.interact()["_id"])
        house.refuses(NoMatch, MATCH, _access_number="5001")
        house.interact(_ttl="40")
        house.clock.advance(40)
        house.refuses(NoMatch, MATCH, _access_number="5001")

    def test_metrics(self) -> None:
        """Matches and failures are counted."""
        house = AccessHouse(self)
        number = house.interact()["_access_number"]
        house.match(_access_number=number)
        house.refuses(NoMatch, MATCH, _access_number=number)
        count = house.counters.value
        self.assertEqual(count("gms_access_matches_total", result="matched"), 1)
        self.assertEqual(count("gms_access_matches_total", result="none"), 1)
        self.assertEqual(count("gms_access_bookings_total", how="new"), 1)


class AtOnceTests(SynchronousTestCase):
    """Hardening V05: who is first gets the service, nobody else."""

    def test_V05_twice(self) -> None:
        """The second match of one booking finds nothing."""
        house = AccessHouse(self)
        number = house.interact()["_access_number"]
        house.match(_access_number=number)
        house.refuses(NoMatch, MATCH, _access_number=number)

    def test_V05_a_hundred_at_once(self) -> None:
        """Of a hundred at the same time, a step at a time in turn, exactly one gets it."""
        house = AccessHouse(self)
        store = SteppingStore(house.store)
        slow = AccessHouse(self, house=house, store=store)
        for round_number in range(10):
            number = house.interact(_provide_code="true")["_access_number"]
            store.hold()
            results: list[object] = []
            for _ in range(100):
                work = slow.services.create(
                    MATCH,
                    {"_access_number": number, "_phone_number": PHONE},
                    None,
                    "",
                    internal=True,
                )
                Deferred.fromCoroutine(work).addBoth(results.append)
            step = 0
            while store.waiting:
                store.let(step * (round_number + 7))
                step += 1
            won = [one for one in results if isinstance(one, dict)]
            lost = [one.check(NoMatch) for one in results if not isinstance(one, dict)]  # type: ignore[attr-defined]
            self.assertEqual((len(won), len(lost)), (1, 99))
            self.assertNotIn(None, lost)
            store.free()


class GuessingTests(SynchronousTestCase):
    """Hardening V04: guessing codes."""

    def wrong(self, house: AccessHouse, kind: type[Exception], **more: str) -> None:
        """Give a wrong code."""
        house.refuses(kind, MATCH, _access_number="5001", _access_code="x", **more)

    def test_V04_brute_force(self) -> None:
        """After five wrong codes the caller is refused, with the right one too, for a while."""
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=1800))
        code = house.interact(_provide_code="true", _ttl="3600")["_access_code"]
        for _ in range(5):
            self.wrong(house, NoMatch, _phone_number=PHONE)
        self.wrong(house, CodesRefused, _phone_number=PHONE)
        right = {"_access_number": "5001", "_access_code": code, "_phone_number": PHONE}
        error = house.refuses(CodesRefused, MATCH, **right)
        self.assertAlmostEqual(error.retry_after_s, 600.0)
        count = house.counters.value
        self.assertEqual(count("gms_access_wrong_codes_total"), 5)
        self.assertEqual(count("gms_access_matches_total", result="refused"), 2)
        house.clock.advance(600)
        house.match(**right)

    def test_V04_others_are_not_touched(self) -> None:
        """Another caller of the same number, and calls without a code, go on."""
        house = AccessHouse(self, FREE)
        asked = house.interact("6504660001", _provide_code="true")
        for _ in range(5):
            self.wrong(house, NoMatch, _phone_number=PHONE)
        house.interact("6504660002")
        house.match(_access_number="5001", _phone_number="6504660002")
        house.match(
            _access_number="5001",
            _access_code=asked["_access_code"],
            _phone_number="6504660001",
        )

    def test_V04_right_codes_do_not_count(self) -> None:
        """Any number of right codes is welcome."""
        house = AccessHouse(self)
        for _ in range(20):
            asked = house.interact(_provide_code="true")
            house.match(_access_number=asked["_access_number"], _access_code=asked["_access_code"])

    def test_V04_hidden_callers_are_one(self) -> None:
        """Callers who hide their numbers share their tries."""
        house = AccessHouse(self, limits=LimitOptions(v04_tries=2))
        self.wrong(house, NoMatch, _phone_number="anonymous")
        self.wrong(house, NoMatch, _phone_number="Restricted")
        self.wrong(house, CodesRefused, _phone_number="anonymous")

    def test_V04_a_run_of_guesses(self) -> None:
        """A thousand guesses of a caller within ten minutes come to five looks."""
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=1800))
        code = house.interact(_provide_code="true", _ttl="1800")["_access_code"]
        looks = 0
        for guess in range(1000):
            text = f"{guess:06}"
            if text == code:
                continue
            work = house.services.create(
                MATCH, {"_access_number": "5001", "_access_code": text}, None, "", internal=True
            )
            looks += not isinstance(house.fail(work, NoMatch, CodesRefused), CodesRefused)
            house.clock.advance(0.5)
        self.assertEqual(looks, 5)


class GoneTests(SynchronousTestCase):
    """Services that end while somebody works on them."""

    def test_two_deletions_at_once(self) -> None:
        """Both are told that it is gone; nothing stays held."""
        house = AccessHouse(self)
        service_id = house.interact()["_id"]
        store = SteppingStore(house.store)
        slow = AccessHouse(self, house=house, store=store)
        store.hold()
        done: list[object] = []
        for _ in range(2):
            Deferred.fromCoroutine(slow.services.delete(service_id, None)).addBoth(done.append)
        step = 0
        while store.waiting:
            store.let(step)
            step += 1
        self.assertEqual(done, [None, None])
        self.assertEqual(house.locked(), [])

    def test_access_for_a_service_that_is_just_deleted(self) -> None:
        """In any order of steps: a number and a service, or neither."""
        for first in range(12):
            house = AccessHouse(self)
            service_id = house.create()
            store = SteppingStore(house.store)
            slow = AccessHouse(self, house=house, store=store)
            store.hold()
            results: list[object] = []
            asked = {"_id": service_id, "_resource_group": "DNIS", "_phone_number": PHONE}
            works = (
                slow.services.create("request-access", asked, None, "", internal=True),
                slow.services.delete(service_id, None),
            )
            for work in works:
                Deferred.fromCoroutine(work).addBoth(results.append)
            step = 0
            while store.waiting:
                store.let(first >> step % 4 & 1)
                step += 1
            self.assertEqual(len(results), 2)
            self.assertEqual(house.run(house.store.scan(SERVICE)), [])
            self.assertEqual((house.locked(), house.bookings()), ([], []))
            house.fail(house.services.find(service_id, None), ServiceNotFound)
