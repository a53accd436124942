"""Access numbers: given out, moved, freed."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.access_codes import NoCodeFree
from gms_twisted.app.access_pools import NumbersTaken
from gms_twisted.app.service_records import SERVICE
from gms_twisted.config.options import LimitOptions, ServerOptions
from gms_twisted.domain.errors import (
    GmsError,
    InternalOnly,
    InvalidRequest,
    ServiceNotFound,
    StorageFull,
    TooManyRequests,
)
from gms_twisted.store.interfaces import Kind, Unit, UnitId
from tests.support.access import ADDRESS, DNIS, PHONE, AccessHouse, group
from tests.support.stepping import SteppingStore

ONE, TWO = "+18885555751", "+18885555752"


class StrategyTests(SynchronousTestCase):
    """How a group gives out its numbers."""

    def test_locks(self) -> None:
        """A number is given to one service at a time, LOCAL, LOCKING and CLUSTER alike."""
        for strategy in ("LOCAL", "LOCKING", "CLUSTER"):
            house = AccessHouse(self, group("DNIS", "5001", "5002", strategy=strategy))
            given = {house.interact(f"650466000{n}")["_access_number"] for n in range(2)}
            self.assertEqual(given, {"5001", "5002"})
            house.refuses(NumbersTaken, _phone_number="6504660009")

    def test_random(self) -> None:
        """Any number, as often as asked, and none is locked."""
        house = AccessHouse(self, group("DNIS", "5001", "5002", strategy="RANDOM"))
        given = [house.interact(f"65046600{n:02}")["_access_number"] for n in range(20)]
        self.assertEqual(set(given), {"5001", "5002"})
        self.assertEqual(house.locked(), [])

    def test_round_robin(self) -> None:
        """One number after the other, from the first again, and none is locked."""
        house = AccessHouse(self, group("DNIS", "1", "2", "3", strategy="ROUND_ROBIN"))
        given = [house.interact(f"650466000{n}")["_access_number"] for n in range(7)]
        self.assertEqual(given, ["1", "2", "3", "1", "2", "3", "1"])
        self.assertEqual(house.locked(), [])

    def test_one_number_in_two_groups(self) -> None:
        """A number is locked for all groups that have it, however they write it."""
        other = group("other", "+1 888 555 5751")
        house = AccessHouse(self, group("DNIS", "1-888-555-5751"), other)
        house.interact()
        house.refuses(
            NumbersTaken, "request-access", _id=str(house.create()), _resource_group="other"
        )

    def test_backup(self) -> None:
        """With every number taken a backup is given out, as often as asked, not locked."""
        house = AccessHouse(self, group("DNIS", "5001", backup=["5009"]))
        given = [house.interact(f"650466000{n}")["_access_number"] for n in range(4)]
        self.assertEqual(given, ["5001", "5009", "5009", "5009"])
        self.assertEqual(house.locked(), ["5001"])
        self.assertEqual(house.counters.value("gms_access_backups_total"), 3)

    def test_empty_group(self) -> None:
        """A group without a number has none free."""
        for strategy in ("LOCAL", "RANDOM", "ROUND_ROBIN"):
            house = AccessHouse(self, group("DNIS", strategy=strategy))
            house.refuses(NumbersTaken, _phone_number=PHONE)
            self.assertEqual(house.run(house.store.usage()).records, 0)

    def test_only_the_free_one(self) -> None:
        """Among hundreds of taken numbers the free one is found."""
        numbers = [f"7{n:03}" for n in range(300)]
        house = AccessHouse(self, group("DNIS", *numbers))
        given = [house.interact(f"6504660{n:03}") for n in range(300)]
        house.end(given[123]["_id"])
        self.assertEqual(house.interact()["_access_number"], given[123]["_access_number"])

    def test_after_a_restart(self) -> None:
        """What was locked before a restart is locked after it."""
        house = AccessHouse(self)
        house.interact()
        again = AccessHouse(self, house=house)
        again.interact("6504660001")
        again.refuses(NumbersTaken, _phone_number="6504660002")
        self.assertEqual(sorted(again.locked()), [ONE, TWO])

    def test_reconfigured(self) -> None:
        """Another group's numbers are given out at once; what is booked stays so."""
        house = AccessHouse(self)
        first = house.interact()
        house.access.reconfigure(ServerOptions(), house.limits, {"DNIS": group("DNIS", "5001")})
        self.assertEqual(house.interact("6504660001")["_access_number"], "5001")
        found = house.match(_access_number=first["_access_number"])
        self.assertEqual(found["_id"], first["_id"])


class AnswerTests(SynchronousTestCase):
    """What clients get."""

    def test_texts(self) -> None:
        """Number, code and time are texts; the number is as it is configured."""
        house = AccessHouse(self, group("DNIS", "1-888-555-5751"))
        answer = house.interact(_provide_code="true")
        self.assertEqual(
            list(answer), ["_id", "_access_number", "_access_code", "_expiration_time"]
        )
        self.assertEqual(answer["_access_number"], "1-888-555-5751")
        self.assertRegex(answer["_access_code"], "^[0-9]{6}$")
        self.assertEqual(answer["_expiration_time"], "30")

    def test_no_code(self) -> None:
        """Without ``_provide_code`` there is none."""
        house = AccessHouse(self)
        for fields in ({}, {"_provide_code": "false"}, {"_provide_code": ""}):
            self.assertNotIn("_access_code", house.interact(**fields))

    def test_pool_health(self) -> None:
        """The option, not a request, adds how many numbers there are; of locking groups only."""
        option = {"_return_pool_health": "true"}
        house = AccessHouse(self, more={"request-interaction": option})
        answer = house.interact()
        self.assertEqual((answer["_pool_size"], answer["_pool_free"]), ("2", "1"))
        self.assertNotIn("_pool_size", AccessHouse(self).interact(_return_pool_health="true"))
        unlocked = group("DNIS", "5001", strategy="RANDOM")
        self.assertNotIn(
            "_pool_size",
            AccessHouse(self, unlocked, more={"request-interaction": option}).interact(),
        )


class ParameterTests(SynchronousTestCase):
    """What may be asked, and what is asked for."""

    def test_V02_missing_parameters(self) -> None:
        """A missing, empty or malformed parameter is named, and nothing is left behind."""
        more = {"request-interaction": {"_resource_group": ""}}
        house = AccessHouse(self, more=more)
        good = {"_phone_number": PHONE, "_resource_group": "DNIS"}
        for name, text in (
            ("_phone_number", ""),
            ("_phone_number", " "),
            ("_phone_number", "anonymous"),
            ("_phone_number", "6" * 10_240),
            ("_phone_number", "6504669999\n"),
            ("_resource_group", ""),
            ("_resource_group", "nope"),
            ("_resource_group", "x" * 10_240),
            ("_provide_code", "maybe"),
            ("_access_code_length", "0"),
            ("_access_code_length", "33"),
            ("_access_code_length", "six"),
        ):
            error = house.refuses(InvalidRequest, **{**good, name: text})
            self.assertEqual(error.parameter, name)
            self.assertIn(name, str(error))
            self.assertLess(len(str(error)), 200)
        self.assertEqual(house.refuses(InvalidRequest).parameter, "_resource_group")
        self.assertEqual(house.run(house.store.usage()).records, 0)
        self.assertEqual(house.held(ONE, TWO), [])

    def test_V02_store_refuses(self) -> None:
        """When nothing can be stored, no service is half made and no number stays taken."""
        house = AccessHouse(self, group("DNIS", "5001"))
        house.store.refuse = StorageFull("full")
        house.refuses(StorageFull, _phone_number=PHONE)
        house.store.refuse = None
        self.assertEqual(house.held("5001"), [])
        self.assertEqual(house.interact()["_access_number"], "5001")

    def test_no_phone_number_needed(self) -> None:
        """With ``_require_phone_number=false`` it may be absent; a wrong one is still refused."""
        more = {"request-interaction": {"_require_phone_number": "false"}}
        house = AccessHouse(self, more=more)
        self.assertEqual({house.ask()["_access_number"] for _ in range(2)}, set(texts()))
        house.refuses(InvalidRequest, _phone_number="nonsense")

    def test_V09_options_win(self) -> None:
        """A request cannot change what is configured."""
        options = {
            "_provide_code": "true",
            "_access_code_length": "8",
            "_resource_group": "DNIS",
            "_phone_number": "6504660000",
            "_ttl": "20",
            "_booking_expiration_timeout": "10",
        }
        house = AccessHouse(
            self, DNIS, group("other", "5001"), more={"request-interaction": options}
        )
        answer = house.ask(
            _provide_code="false",
            _access_code_length="1",
            _resource_group="other",
            _phone_number="6504661111",
            _ttl="7200",
            _booking_expiration_timeout="1800",
        )
        self.assertEqual(len(answer["_access_code"]), 8)
        self.assertIn(answer["_access_number"], texts())
        self.assertEqual(answer["_expiration_time"], "10")
        (booking,) = house.bookings()
        self.assertEqual(booking.phone, "+16504660000")
        instance = house.run(house.services.find(answer["_id"], None))
        self.assertEqual(instance.life_s, 20)

    def test_V09_a_client_cannot_lock_for_longer(self) -> None:
        """``_booking_expiration_timeout`` of a request to request-interaction does not count."""
        house = AccessHouse(self)
        answer = house.interact(_booking_expiration_timeout="1800", _ttl="7200")
        self.assertEqual(answer["_expiration_time"], "30")

    def test_V10_internal_fields(self) -> None:
        """A request cannot choose ids, nor the number and code that it gets."""
        house = AccessHouse(self)
        answer = house.interact(
            _id="mine",
            _data_id="mine",
            _sessionid="mine",
            _access_number="666",
            _access_code="666",
            _provide_code="true",
            _unknown="x",
        )
        self.assertNotEqual(answer["_id"], "mine")
        self.assertIn(answer["_access_number"], texts())
        instance = house.run(house.services.find(answer["_id"], None))
        self.assertNotEqual(instance.data_id, "mine")
        self.assertFalse({"_id", "_data_id", "_sessionid"} & instance.parameters.keys())
        self.assertEqual(instance.parameters["_unknown"], "x")

    def test_other_requests(self) -> None:
        """The service has no requests of its own."""
        house = AccessHouse(self)
        service_id = house.interact()["_id"]
        for name in ("status", "chat", "reserve"):
            house.fail(house.services.request(service_id, name, {}, None), ServiceNotFound)

    def test_original_phone_number(self) -> None:
        """The phone number stays with the service as it was written."""
        house = AccessHouse(self)
        service_id = house.interact("(650) 466-9999")["_id"]
        instance = house.run(house.services.find(service_id, None))
        self.assertEqual(instance.parameters["_phone_number"], "(650) 466-9999")


def texts() -> list[str]:
    """The packaged spelling of the numbers of :data:`DNIS`."""
    return list(DNIS.numbers.values())


class TimeTests(SynchronousTestCase):
    """How long a number is kept."""

    def test_runs_out(self) -> None:
        """After its time-out a number is free for others, at that moment."""
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=10))
        house.interact(_ttl="100")
        house.clock.advance(9.9)
        error = house.refuses(NumbersTaken, _phone_number="6504660001")
        self.assertLessEqual(error.retry_after_s, 1.0)
        house.clock.advance(0.1)
        house.interact("6504660001")

    def test_order_of_timeouts(self) -> None:
        """Request of request-access, option, group; each within 5 and 1800 seconds."""
        for asked, option, expected in (
            ("", "", "40"),
            ("", "50", "50"),
            ("60", "50", "60"),
            ("60", "", "60"),
            ("1", "", "5"),
            ("-7", "", "5"),
            ("9999", "", "1800"),
            ("", "2000", "1800"),
        ):
            more = {
                "request-access": {"_booking_expiration_timeout": option},
                "request-chat": {"_ttl": "36000"},
            }
            house = AccessHouse(self, group("DNIS", "5001", timeout_s=40), more=more)
            answer = house.ask(
                "request-access",
                _id=house.create(),
                _resource_group="DNIS",
                _booking_expiration_timeout=asked,
            )
            self.assertEqual(answer["_expiration_time"], expected)
        error = house.refuses(
            InvalidRequest,
            "request-access",
            _id="x",
            _resource_group="DNIS",
            _booking_expiration_timeout="soon",
        )
        self.assertEqual(error.parameter, "_booking_expiration_timeout")

    def test_no_longer_than_the_service(self) -> None:
        """A booking ends with its service."""
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=600))
        self.assertEqual(house.interact(_ttl="20")["_expiration_time"], "20")
        house.clock.advance(20)
        self.assertEqual(house.held("5001"), [])
        house.interact("6504660001")

    def test_unlocked_numbers_live_with_the_service(self) -> None:
        """A time-out is one of locks: without a lock a service is matched as long as it lives."""
        house = AccessHouse(self, group("DNIS", "5001", strategy="RANDOM"))
        answer = house.interact(_ttl="7200")
        self.assertEqual(answer["_expiration_time"], "7200")
        house.clock.advance(7199)
        self.assertEqual(
            house.match(_access_number="5001", _phone_number=PHONE)["_id"], answer["_id"]
        )

    def test_deleted_service(self) -> None:
        """A deleted service lets go of its number at once."""
        house = AccessHouse(self, group("DNIS", "5001"))
        house.end(house.interact(_provide_code="true")["_id"])
        self.assertEqual((house.held("5001"), house.bookings()), ([], []))
        self.assertEqual(house.interact("6504660001")["_access_number"], "5001")

    def test_service_that_ends_earlier(self) -> None:
        """A service whose end is moved to an earlier moment takes its booking along."""
        more = {"request-chat": {"_ttl": "100"}}
        house = AccessHouse(self, group("DNIS", "5001", timeout_s=1800), more=more)
        service_id = house.create()
        self.renew(house, service_id, 3000.0)
        house.ask("request-access", _id=service_id, _resource_group="DNIS", _provide_code="1")
        self.renew(house, service_id, 40.0)
        house.clock.advance(99.9)
        self.assertEqual(len(house.held("5001")), 2)
        house.clock.advance(0.1)
        self.assertEqual((house.held("5001"), house.bookings()), ([], []))

    @staticmethod
    def renew(house: AccessHouse, service_id: str, life_s: float) -> None:
        """Move the end of a service, as its chat does."""
        instance = house.run(house.services.find(service_id, None))
        renewal = house.run(house.services.renewal(instance, life_s, exactly=True))
        unit = Unit(UnitId(house.ids.uuid()), renewal.changes, renewal.conditions)
        house.run(house.store.commit(unit))


class OneBookingTests(SynchronousTestCase):
    """Hardening V03: nobody gets more numbers by asking again."""

    def test_V03_repeat_moves_the_booking(self) -> None:
        """The same phone gets the same number for the new service: new code, clock anew."""
        house = AccessHouse(self, more={"request-interaction": {"_provide_code": "true"}})
        first = house.interact()
        house.clock.advance(20)
        again = house.interact("+1 (650) 466-9999")
        self.assertNotEqual(first["_id"], again["_id"])
        self.assertEqual(first["_access_number"], again["_access_number"])
        self.assertNotEqual(first["_access_code"], again["_access_code"])
        self.assertEqual(again["_expiration_time"], "30")
        self.assertEqual(len(house.locked()), 1)
        house.clock.advance(20)
        number = first["_access_number"]
        house.refuses(
            GmsError,
            "match-interaction",
            _access_number=number,
            _access_code=first["_access_code"],
        )
        found = house.match(_access_number=number, _access_code=again["_access_code"])
        self.assertEqual(found["_id"], again["_id"])
        self.assertEqual(house.held(ONE, TWO), [])

    def test_V03_repeat_with_the_last_number(self) -> None:
        """With every number taken a repeat still gets its own, and no backup."""
        for backup in ((), ("5009",)):
            house = AccessHouse(self, group("DNIS", "5001", backup=backup))
            for _ in range(3):
                self.assertEqual(house.interact()["_access_number"], "5001")
            again = AccessHouse(self, group("DNIS", "5001", backup=backup), house=house)
            self.assertEqual(again.interact()["_access_number"], "5001")
            self.assertEqual(len(again.bookings()), 1)

    def test_V03_first_service_lives_on(self) -> None:
        """The service whose booking has moved stays, and its end frees nothing of the other."""
        house = AccessHouse(self)
        first, again = house.interact(), house.interact()
        house.run(house.services.find(first["_id"], None))
        house.end(first["_id"])
        self.assertEqual(len(house.locked()), 1)
        self.assertEqual(house.match(_access_number=again["_access_number"])["_id"], again["_id"])

    def test_V03_one_for_each_group(self) -> None:
        """In another group the same phone gets another number."""
        house = AccessHouse(self, DNIS, group("other", "5001"))
        service_id = house.interact()["_id"]
        instance = house.run(house.services.find(service_id, None))
        self.assertEqual(instance.name, "request-interaction")
        answer = house.ask(
            "request-access",
            _id=house.create(),
            _resource_group="other",
            _phone_number=PHONE,
        )
        self.assertEqual(answer["_access_number"], "5001")
        self.assertEqual(len(house.locked()), 2)

    def test_V03_number_is_gone_from_the_group(self) -> None:
        """A number that the group has no more is not given again; the old booking ends."""
        house = AccessHouse(self, group("DNIS", "5001"))
        house.interact()
        house.access.reconfigure(ServerOptions(), house.limits, {"DNIS": group("DNIS", "5002")})
        self.assertEqual(house.interact()["_access_number"], "5002")
        self.assertEqual(house.locked(), ["5002"])

    def test_V03_unlocked_booking_is_not_kept_by_a_group_that_locks(self) -> None:
        """A group that has begun to lock gives a locked number."""
        house = AccessHouse(self, group("DNIS", "5001", strategy="RANDOM"))
        house.interact()
        house.access.reconfigure(ServerOptions(), house.limits, {"DNIS": group("DNIS", "5001")})
        house.interact()
        self.assertEqual(house.locked(), ["5001"])

    def test_V03_flood_of_one_phone(self) -> None:
        """A hundred requests of one phone lock one number."""
        house = AccessHouse(self)
        self.assertEqual(len({house.interact()["_access_number"] for _ in range(100)}), 1)
        self.assertEqual(len(house.locked()), 1)

    def test_V03_flood_of_one_address(self) -> None:
        """Five numbers in ten minutes for one address; a repeat of one phone is none more."""
        numbers = [f"50{n:02}" for n in range(10)]
        limits = LimitOptions(v13_services_per_min=1000)
        house = AccessHouse(self, group("DNIS", *numbers, timeout_s=1800), limits=limits)
        for index in range(4):
            house.interact(f"650466000{index}", _ttl="3600")
        house.interact("6504660000", _ttl="3600")
        house.interact("6504660004", _ttl="3600")
        error = house.refuses(TooManyRequests, _phone_number="6504660005")
        self.assertAlmostEqual(error.retry_after_s, 120.0)
        self.assertEqual(len(house.locked()), 5)
        self.assertEqual(len(house.run(house.store.scan(SERVICE))), 6)
        other = {"_phone_number": "6504660006"}
        house.run(house.services.create("request-interaction", other, None, "192.0.2.9"))
        house.clock.advance(120)
        house.interact("6504660007")

    def test_V03_address_on_the_exempt_list(self) -> None:
        """An exempt address has no limit of its own."""
        numbers = [f"50{n:02}" for n in range(20)]
        house = AccessHouse(self, group("DNIS", *numbers), limits=LimitOptions())
        for index in range(20):
            fields = {"_phone_number": f"65046600{index:02}"}
            house.run(house.services.create("request-interaction", fields, None, "127.0.0.1"))

    def test_V03_refused_requests_do_not_count(self) -> None:
        """A request that got no number leaves the address its five."""
        limits = LimitOptions(v13_services_per_min=1000)
        house = AccessHouse(self, group("DNIS"), limits=limits)
        for _ in range(20):
            house.refuses(NumbersTaken, _phone_number=PHONE)

    def test_V03_unlocked_numbers_do_not_count(self) -> None:
        """Numbers that are not locked cannot run out, so there is no limit of theirs."""
        unlocked = group("DNIS", "5001", strategy="RANDOM")
        house = AccessHouse(self, unlocked, limits=LimitOptions(v13_services_per_min=1000))
        for index in range(20):
            house.interact(f"65046600{index:02}")

    def test_V03_empty_group(self) -> None:
        """All taken: refused with the time until one is free; no service is made, an alarm is."""
        house = AccessHouse(self)
        house.interact("6504660000")
        house.clock.advance(10)
        house.interact("6504660001")
        error = house.refuses(NumbersTaken, _phone_number="6504660002")
        self.assertAlmostEqual(error.retry_after_s, 20.0)
        self.assertEqual(len(house.run(house.store.scan(SERVICE))), 2)
        self.assertEqual(len(house.run(house.store.scan(Kind("area")))), 2)
        self.assertEqual(house.counters.value("gms_access_exhausted_total"), 1)

    def test_V03_low_groups_are_told(self) -> None:
        """A group with few free numbers is an alarm in health, and counts in the metric."""
        numbers = [f"50{n:02}" for n in range(10)]
        unlocked = group("free", "1", strategy="RANDOM")
        house = AccessHouse(self, group("DNIS", *numbers), unlocked)
        low = {one.name: one for one in house.counters.samples()}["gms_access_groups_low"]
        self.assertEqual((low.kind, low.value), ("gauge", 0.0))
        for index in range(9):
            self.assertTrue(house.access.pools.health().ok)
            house.interact(f"650466000{index}")
        health = house.access.pools.health()
        self.assertFalse(health.ok)
        self.assertEqual(
            health.details, {"groups": {"DNIS": {"numbers": 10, "free": 1, "low": True}}}
        )
        low = {one.name: one for one in house.counters.samples()}["gms_access_groups_low"]
        self.assertEqual(low.value, 1.0)
        house.clock.advance(30)
        self.assertTrue(house.access.pools.health().ok)

    def test_G07_alarm_tells_no_secret(self) -> None:
        """Bookings hide numbers, phones and codes when they are shown."""
        house = AccessHouse(self)
        house.interact(_provide_code="true")
        (booking,) = house.bookings()
        shown = repr(booking)
        for secret in (booking.number, booking.text, booking.phone, booking.code):
            self.assertTrue(secret)
            self.assertNotIn(secret, shown)


class RequestAccessTests(SynchronousTestCase):
    """A number for a service that is there."""

    def test_any_kind_of_service(self) -> None:
        """A chat's service gets a number; it is freed when the service ends."""
        house = AccessHouse(self)
        service_id = house.create()
        answer = house.ask("request-access", _id=service_id, _resource_group="DNIS")
        self.assertEqual(list(answer), ["_id", "_access_number", "_expiration_time"])
        self.assertEqual(answer["_id"], service_id)
        self.assertEqual(house.match(_access_number=answer["_access_number"])["_id"], service_id)
        house.ask("request-access", _id=service_id, _resource_group="DNIS")
        house.end(service_id)
        self.assertEqual(house.held(ONE, TWO), [])

    def test_no_instance(self) -> None:
        """It makes no service of its own, nor does a match."""
        house = AccessHouse(self)
        service_id = house.create()
        house.ask("request-access", _id=service_id, _resource_group="DNIS")
        self.assertEqual(len(house.run(house.store.scan(SERVICE))), 1)

    def test_service_that_is_not_there(self) -> None:
        """Unknown, ended and expired services are not found; no number is locked."""
        house = AccessHouse(self)
        ended, expired = house.create(), house.create()
        house.end(ended)
        house.clock.advance(31)
        for service_id in ("nonsense", ended, expired):
            house.refuses(ServiceNotFound, "request-access", _id=service_id, _resource_group="DNIS")
        self.assertEqual(house.held(ONE, TWO), [])

    def test_V02_mandatory(self) -> None:
        """``_id`` and ``_resource_group`` are mandatory."""
        house = AccessHouse(self)
        error = house.refuses(InvalidRequest, "request-access", _resource_group="DNIS")
        self.assertEqual(error.parameter, "_id")
        error = house.refuses(InvalidRequest, "request-access", _id=house.create())
        self.assertEqual(error.parameter, "_resource_group")

    def test_again(self) -> None:
        """A second request for one service gives the same number with another code."""
        house = AccessHouse(self)
        service_id = house.create()
        fields = {"_id": service_id, "_resource_group": "DNIS", "_provide_code": "true"}
        first, again = house.ask("request-access", **fields), house.ask("request-access", **fields)
        self.assertEqual(first["_access_number"], again["_access_number"])
        self.assertNotEqual(first["_access_code"], again["_access_code"])
        self.assertEqual(len(house.bookings()), 1)

    def test_again_from_another_group(self) -> None:
        """A number of another group takes the place of the first."""
        house = AccessHouse(self, DNIS, group("other", "5001"))
        service_id = house.create()
        house.ask("request-access", _id=service_id, _resource_group="DNIS")
        house.ask("request-access", _id=service_id, _resource_group="other")
        self.assertEqual(house.locked(), ["5001"])

    def test_V12_internal_only(self) -> None:
        """From outside both utility services are refused, whatever their parameters."""
        house = AccessHouse(self)
        for name in ("request-access", "match-interaction"):
            house.fail(house.services.create(name, {}, None, ADDRESS), InternalOnly)


class CodeTests(SynchronousTestCase):
    """Access codes."""

    def test_unique_among_live_bookings(self) -> None:
        """No code of a number is given twice, to the last; then none is left."""
        house = AccessHouse(self, group("DNIS", "5001", strategy="RANDOM"))
        more = {"_provide_code": "true", "_access_code_length": "1"}
        given = [house.interact(f"65046600{n:02}", **more) for n in range(10)]
        codes = {one["_access_code"] for one in given}
        self.assertEqual(codes, set("0123456789"))
        house.refuses(NoCodeFree, _phone_number="6504660099", **more)
        house.end(given[3]["_id"])
        again = house.interact("6504660099", **more)
        self.assertEqual(again["_access_code"], given[3]["_access_code"])

    def test_prefix_of_the_node(self) -> None:
        """Codes begin with the node's digits."""
        house = AccessHouse(self, server=ServerOptions(access_code_prefix="7-9"))
        answer = house.interact(_provide_code="true")
        self.assertRegex(answer["_access_code"], "^[789][0-9]{5}$")

    def test_prefix_as_long_as_the_code(self) -> None:
        """The original's own failure; nothing is made, and the number stays free."""
        house = AccessHouse(self, server=ServerOptions(access_code_prefix="999"))
        error = house.refuses(
            GmsError, _phone_number=PHONE, _provide_code="true", _access_code_length="3"
        )
        self.assertEqual(
            (str(error), error.code), ("n must be positive", "java.lang.IllegalArgumentException")
        )
        self.assertEqual(house.run(house.store.usage()).records, 0)
        self.assertEqual(house.held(ONE, TWO), [])


class InterruptionTests(SynchronousTestCase):
    """The one who asked goes away in the middle."""

    def test_booking_is_finished(self) -> None:
        """A request whose client is gone is carried out: service and booking, both."""
        house = AccessHouse(self)
        store = SteppingStore(house.store)
        slow = AccessHouse(self, house=house, store=store)
        store.hold()
        asked = Deferred.fromCoroutine(
            slow.services.create("request-interaction", {"_phone_number": PHONE}, None, ADDRESS)
        )
        asked.cancel()
        self.failureResultOf(asked)
        store.free()
        self.assertEqual(len(house.run(house.store.scan(SERVICE))), 1)
        self.assertEqual(len(house.bookings()), 1)
