"""The Service API's rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.service_count import ServiceCount
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.service_events import ServiceEvent
from gms_twisted.app.service_kinds import Beginning, RequestUnknown
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.app.services import ServiceUnknown
from gms_twisted.config.options import LimitOptions, ServiceOptions
from gms_twisted.domain.errors import (
    Conflict,
    InternalOnly,
    InvalidRequest,
    ServiceNotFound,
    StorageFull,
    TooManyRequests,
)
from gms_twisted.domain.ids import AreaId, GmsUser
from gms_twisted.domain.values import FormValue, InMemory, UploadedFile
from gms_twisted.http.addresses import Networks
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.store.interfaces import Kind
from gms_twisted.store.memory import MemoryStore
from tests.support.chat_house import ChatHouse
from tests.support.nodes import Network
from tests.support.sources import CountingIds, ManualWallClock

USER = GmsUser("BuzzBrain")


class DefinitionTests(SynchronousTestCase):
    """What a section ``service.NAME`` means."""

    def test_both_spellings(self) -> None:
        """Options count with and without underscore; the one with it wins."""
        definition = ServiceDefinition.read(
            ServiceOptions("x", {"type": "built-in", "service": "request-chat", "_ttl": "5"})
        )
        self.assertEqual(definition.service, "request-chat")
        self.assertFalse(definition.orchestrated)
        both = ServiceDefinition.read(ServiceOptions("x", {"ttl": "1", "_ttl": "2"}))
        self.assertEqual(both.options["_ttl"], "2")

    def test_what_runs(self) -> None:
        """``_service``, else ``_name``, else the section's name."""
        for values, service in [
            ({"_service": "a", "_name": "label"}, "a"),
            ({"service": "a"}, "a"),
            ({"_name": "b"}, "b"),
            ({"name": "b"}, "b"),
            ({}, "x"),
        ]:
            self.assertEqual(ServiceDefinition.read(ServiceOptions("x", values)).service, service)

    def test_orchestrated(self) -> None:
        """``ors`` in any case."""
        self.assertTrue(ServiceDefinition.read(ServiceOptions("x", {"_type": "ORS"})).orchestrated)

    def test_V09_option_beats_parameter(self) -> None:
        """A request cannot change what is configured; what is empty is not configured."""
        definition = ServiceDefinition("x", False, "x", {"_a": "option", "_b": ""})
        self.assertEqual(definition.parameter("_a", {"_a": "request"}), "option")
        self.assertEqual(definition.parameter("_b", {"_b": "request"}), "request")
        self.assertEqual(definition.parameter("_c", {}, "default"), "default")

    def test_life(self) -> None:
        """The option, else the request's ``_ttl``, else the default."""
        definition = ServiceDefinition("x", False, "x", {"_ttl": "5"})
        self.assertEqual(definition.life({"_ttl": "9"}, 30.0), 5.0)
        free = ServiceDefinition("x", False, "x")
        self.assertEqual(free.life({"_ttl": "9"}, 30.0), 9.0)
        self.assertEqual(free.life({}, 30.0), 30.0)

    def test_bad_life(self) -> None:
        """A ``_ttl`` of a request that is none is refused by name; of an option, ignored."""
        for text in ("0", "-1", "1.5", " 5", "2147483648", "٣", "x", "1e3"):
            with self.assertRaises(InvalidRequest) as caught:
                ServiceDefinition("x", False, "x").life({"_ttl": text}, 30.0)
            self.assertEqual(caught.exception.parameter, "_ttl")
        broken = ServiceDefinition("x", False, "x", {"_ttl": "x"})
        self.assertEqual(broken.life({}, 30.0), 30.0)

    def test_flags_and_seconds(self) -> None:
        """Yes and no in the usual words; seconds positive, else the default."""
        definition = ServiceDefinition("x", False, "x", {"_a": "Yes", "_b": "off", "_s": "2.5"})
        self.assertTrue(definition.flag("_a", False))
        self.assertFalse(definition.flag("_b", True))
        self.assertTrue(definition.flag("_c", True))
        self.assertEqual(definition.seconds("_s", 1.0), 2.5)
        for text in ("0", "-1", "nan", "inf", "x"):
            bad = ServiceDefinition("x", False, "x", {"_s": text})
            self.assertEqual(bad.seconds("_s", 1.0), 1.0)


class CreateTests(SynchronousTestCase):
    """Creating a service."""

    def test_answer(self) -> None:
        """The answer has ``_id``, and nothing else without ``_verbose``."""
        house = ChatHouse(self)
        answer = house.run(house.services.create("request-chat", {}, None, "192.0.2.1"))
        self.assertEqual(list(answer), ["_id"])
        self.assertRegex(str(answer["_id"]), "^[0-9a-f-]{36}$")

    def test_data_and_parameters(self) -> None:
        """Underscored fields are the service's, all others are data in storage."""
        house = ChatHouse(self)
        photo = UploadedFile("a.png", "image/png", InMemory(b"\x89PNG"))
        service_id = house.create(
            {"_ttl": "60", "_x": "1", "_data_id": "mine", "language": "french", "photo": photo},
            user="BuzzBrain",
        )
        instance = house.run(house.services.find(service_id, USER))
        self.assertEqual(instance.parameters, {"_ttl": "60", "_x": "1"})
        self.assertEqual(instance.user, USER)
        data = house.run(house.services.data_of(instance))
        self.assertEqual(data["language"], "french")
        self.assertEqual(
            data["photo"],
            f"http://localhost:8080/genesys/1/storage/binary/{instance.data_id}/photo",
        )

    def test_service_and_data_are_one_unit(self) -> None:
        """When the store refuses, there is neither a service nor an area."""
        house = ChatHouse(self)
        house.store.refuse = StorageFull("full")
        house.fail(house.services.create("request-chat", {"a": "b"}, None, ""), StorageFull)
        house.store.refuse = None
        self.assertEqual(house.run(house.store.scan(Kind("service"))), [])
        self.assertEqual(house.run(house.store.scan(Kind("area"))), [])

    def test_V01_unknown_name(self) -> None:
        """Unknown, odd and over-long names are not found."""
        house = ChatHouse(self)
        for name in ("nope", "../request-chat", "x" * 10_000, "", "request-chat\x00"):
            house.fail(house.services.create(name, {}, None, ""), ServiceUnknown)

    def test_V01_longest_name(self) -> None:
        """A configured name of 64 bytes works, a longer one is never found."""
        services = {name: {"_service": "request-chat"} for name in ("n" * 64, "n" * 65)}
        house = ChatHouse(self, services=services)
        house.create(name="n" * 64)
        house.fail(house.services.create("n" * 65, {}, None, ""), ServiceUnknown)

    def test_nothing_runs_it(self) -> None:
        """A service whose kind is not there is not found."""
        house = ChatHouse(self, services={"x": {"_service": "nonsense"}, "y": {"_type": "ors"}})
        for name in ("x", "y"):
            house.fail(house.services.create(name, {}, None, ""), ServiceUnknown)

    def test_V02_refused_parameter(self) -> None:
        """A bad parameter leaves nothing behind."""
        house = ChatHouse(self)
        file = UploadedFile("a", "text/plain", InMemory(b""))
        bad: list[Mapping[str, FormValue]] = [{"_ttl": "x"}, {"_phone": file}, {"": "x"}]
        for fields in bad:
            house.fail(house.services.create("request-chat", fields, None, ""), InvalidRequest)
        self.assertEqual(house.run(house.store.usage()).records, 0)

    def test_V13_rate_of_an_address(self) -> None:
        """Twenty a minute of one address; another one is not touched."""
        house = ChatHouse(self)
        for _ in range(20):
            house.create(address="192.0.2.1")
        error = house.fail(
            house.services.create("request-chat", {}, None, "192.0.2.1"), TooManyRequests
        )
        assert isinstance(error, TooManyRequests)
        self.assertAlmostEqual(error.retry_after_s, 3.0)
        house.create(address="192.0.2.2")
        house.clock.advance(3.0)
        house.create(address="192.0.2.1")

    def test_V13_those_of_all_nodes(self) -> None:
        """Services that other nodes make and end count."""
        network, clock = Network(), Clock()
        wall = ManualWallClock(clock)
        store = MemoryStore(wall, CountingIds())
        limits = LimitOptions(v13_services=2)
        one, two = (
            ServiceCount(store, wall, AddressLimiter(clock, 1, 1, Networks(())), limits, node)
            for node in (network.node("a"), network.node("b"))
        )
        one.keep("1", wall.now() + 60)
        two.keep("2", wall.now() + 60)
        for count in (one, two):
            self.assertRaises(TooManyRequests, count.check_room)
        one.drop("1")
        two.check_room()

    def test_V13_how_many_there_are(self) -> None:
        """At the limit the next is refused until one has ended, across a restart too."""
        house = ChatHouse(self, limits=LimitOptions(v13_services=2))
        first = house.create()
        house.clock.advance(10)
        house.create()
        error = house.fail(house.services.create("request-chat", {}, None, ""), TooManyRequests)
        assert isinstance(error, TooManyRequests)
        self.assertAlmostEqual(error.retry_after_s, 20.0)
        again = ChatHouse(self, limits=LimitOptions(v13_services=2), house=house)
        again.fail(again.services.create("request-chat", {}, None, ""), TooManyRequests)
        again.run(again.services.delete(first, None))
        again.create()
        again.clock.advance(31)
        again.create()

    def test_kind_may_refuse(self) -> None:
        """What a kind raises refuses the service, and it does not count."""
        house = ChatHouse(
            self, limits=LimitOptions(v13_services=1), services={"x": {"_service": "refusing"}}
        )
        house.services.register("refusing", _Refusing())
        for _ in range(3):
            house.fail(house.services.create("x", {"a": "b"}, None, ""), Conflict)
        house.create()
        self.assertEqual(len(house.run(house.store.scan(Kind("area")))), 1)


class _Refusing:
    """A kind of service that has no room."""

    default_life_s = 5.0
    idle = False

    async def start(self, beginning: Beginning) -> Mapping[str, object]:
        """Refuse."""
        raise Conflict("No room.")

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """Echo."""
        return {"request": request}

    async def end(self, instance: ServiceInstance) -> Changes:
        """Nothing to give up."""
        return Changes()


class _Short(_Refusing):
    """A kind whose services live for five seconds in all."""

    async def start(self, beginning: Beginning) -> Mapping[str, object]:
        """Begin."""
        await beginning.store(Changes())
        return {"_id": beginning.service_id}


class FindTests(SynchronousTestCase):
    """Whose service it is, and how long."""

    def test_idle_time(self) -> None:
        """``request-chat`` lives for 30 s without a use; a use counts anew, for its data too."""
        house = ChatHouse(self)
        service_id = house.create({"a": "b"})
        for _ in range(5):
            house.clock.advance(25)
            instance = house.run(house.services.find(service_id, None))
            house.run(house.services.touch(instance))
        self.assertEqual(house.run(house.services.data_of(instance)), {"a": "b"})
        house.clock.advance(31)
        house.fail(house.services.find(service_id, None), ServiceNotFound)
        self.assertEqual(house.run(house.store.scan(Kind("area"))), [])

    def test_not_every_use_is_a_write(self) -> None:
        """As long as most of its life is left, a use does not touch the store."""
        house = ChatHouse(self)
        service_id = house.create()
        house.clock.advance(5)
        instance = house.run(house.services.find(service_id, None))
        house.run(house.services.touch(instance))
        self.assertEqual(house.run(house.services.find(service_id, None)).version, 1)

    def test_age(self) -> None:
        """A service that is not idle-counted ends after its life, used or not."""
        house = ChatHouse(self, services={"x": {"_service": "short"}})
        house.services.register("short", _Short())
        service_id = house.create(name="x")
        house.clock.advance(4)
        house.run(house.services.touch(house.run(house.services.find(service_id, None))))
        house.clock.advance(1)
        house.fail(house.services.find(service_id, None), ServiceNotFound)

    def test_V11_somebody_else(self) -> None:
        """Another user is refused always; no user at all, with ``user_control`` only."""
        for control, user, found in [
            (False, "BuzzBrain", True),
            (False, "Mallory", False),
            (False, None, True),
            (True, "BuzzBrain", True),
            (True, "Mallory", False),
            (True, None, False),
        ]:
            house = ChatHouse(self, user_control=control)
            service_id = house.create(user="BuzzBrain")
            look = house.services.find(service_id, GmsUser(user) if user else None)
            if found:
                house.run(look)
            else:
                house.fail(look, ServiceNotFound)

    def test_V11_nobodys_service(self) -> None:
        """A service made without a user belongs to who knows its id."""
        house = ChatHouse(self)
        service_id = house.create()
        house.run(house.services.find(service_id, USER))
        strict = ChatHouse(self, user_control=True, house=house)
        strict.fail(strict.services.find(service_id, USER), ServiceNotFound)

    def test_G06_all_look_the_same(self) -> None:
        """Unknown, expired and somebody else's differ in nothing."""
        house = ChatHouse(self)
        expired = house.create()
        house.clock.advance(31)
        others = house.create(user="BuzzBrain")
        errors = [
            house.fail(house.services.find(service_id, GmsUser("Mallory")), ServiceNotFound)
            for service_id in ("nonsense", expired, others)
        ]
        self.assertEqual(len({(type(error), str(error)) for error in errors}), 1)


class RequestTests(SynchronousTestCase):
    """Requests to a service."""

    def test_update(self) -> None:
        """Data is added and replaced, the answer is empty, and the news names both ids."""
        house = ChatHouse(self)
        heard: list[ServiceEvent] = []
        house.published.listen(heard.append)
        service_id = house.create({"a": "1", "b": "2"}, user="BuzzBrain")
        answer = house.run(
            house.services.request(service_id, "update", {"b": "3", "c": "4", "_d": "5"}, USER)
        )
        self.assertEqual(answer, {})
        instance = house.run(house.services.find(service_id, USER))
        self.assertEqual(
            house.run(house.services.data_of(instance)), {"a": "1", "b": "3", "c": "4"}
        )
        (event,) = heard
        self.assertEqual(event.tag, "service.updated." + service_id.replace("-", ""))
        self.assertEqual(
            json.loads(event.message), {"_id": service_id, "_data_id": instance.data_id}
        )
        self.assertEqual(event.user, USER)

    def test_update_keeps_it_alive(self) -> None:
        """An update counts as a use; new keys live as long as the old ones."""
        house = ChatHouse(self)
        service_id = house.create({"a": "1"})
        house.clock.advance(20)
        house.run(house.services.request(service_id, "update", {"b": "2"}, None))
        house.clock.advance(25)
        instance = house.run(house.services.find(service_id, None))
        self.assertEqual(house.run(house.services.data_of(instance)), {"a": "1", "b": "2"})

    def test_bad_update(self) -> None:
        """A refused update is not announced."""
        house = ChatHouse(self)
        heard: list[ServiceEvent] = []
        house.published.listen(heard.append)
        service_id = house.create()
        house.fail(house.services.request(service_id, "update", {"": "x"}, None), InvalidRequest)
        self.assertEqual(heard, [])

    def test_unknown_request(self) -> None:
        """Any other request to ``request-chat`` is not found."""
        house = ChatHouse(self)
        service_id = house.create()
        for name in ("status", "gms.start", "", "internal-poke"):
            work = house.services.request(service_id, name, {}, None, internal=True)
            house.fail(work, RequestUnknown)

    def test_V12_internal_requests(self) -> None:
        """Requests named ``internal-...`` from outside are refused, of any service or none."""
        house = ChatHouse(self)
        for service_id in (house.create(), "nonsense"):
            for name in ("internal-poke", "internal-"):
                house.fail(house.services.request(service_id, name, {}, None), InternalOnly)

    def test_request_of_a_kind(self) -> None:
        """What a kind answers goes out."""
        house = ChatHouse(self, services={"x": {"_service": "short"}})
        house.services.register("short", _Short())
        service_id = house.create(name="x")
        answer = house.run(house.services.request(service_id, "status", {}, None))
        self.assertEqual(answer, {"request": "status"})

    def test_delete(self) -> None:
        """A deleted service is unknown, and its data is gone."""
        house = ChatHouse(self)
        service_id = house.create({"a": "b"})
        house.fail(house.services.delete("nonsense", None), ServiceNotFound)
        house.run(house.services.delete(service_id, None))
        house.fail(house.services.delete(service_id, None), ServiceNotFound)
        self.assertEqual(house.run(house.store.scan(Kind("area"))), [])

    def test_definition_gone(self) -> None:
        """A service whose section was removed by a reload can still be found."""
        house = ChatHouse(self)
        service_id = house.create()
        house.services.definitions = {}
        instance = house.run(house.services.find(service_id, None))
        self.assertEqual(house.services.definition_of(instance).options, {})


class InterruptionTests(SynchronousTestCase):
    """The one who asked goes away in the middle."""

    def test_creation_is_finished(self) -> None:
        """A creation whose client is gone is there wholly."""
        house = ChatHouse(self)
        slow = _SlowData(house)
        house.services._data = slow  # what the store does slowly, here stands still
        asked = Deferred.fromCoroutine(house.services.create("request-chat", {}, None, ""))
        asked.cancel()
        self.failureResultOf(asked)
        slow.go.callback(None)
        self.assertEqual(len(house.run(house.store.scan(Kind("service")))), 1)
        self.assertEqual(len(house.run(house.store.scan(Kind("area")))), 1)


class _SlowData:
    """Service data that waits before anything."""

    def __init__(self, house: ChatHouse) -> None:
        self._real = house.services._data
        self.go: Deferred[None] = Deferred()

    async def changes_for_create(
        self, area_id: AreaId, fields: Mapping[str, FormValue], ttl_s: float
    ) -> Any:
        """Wait, then do it."""
        await self.go
        return await self._real.changes_for_create(area_id, fields, ttl_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
