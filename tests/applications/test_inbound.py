"""Services whose customers call: immediate, delay, delay-location, poll."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.applications.moments import (
    ACCESS,
    announce,
    at,
    find,
    near,
    reserve,
    start,
    subscribe,
    without,
)
from tests.support.application import SESSION, Application, named

IMMEDIATE = "request-inbound-immediate"
DELAY = "request-inbound-delay"
LOCATION = "request-inbound-delay-location"
POLL = "request-inbound-poll"
BAD = json.dumps({"message": "All numbers are taken.", "exception": "gms.access.taken"})
TAG = "a2c.advanced.service"


class MandatoryTests(SynchronousTestCase):
    """Parameters without which there is no service."""

    def test_missing(self) -> None:
        """Each is named in a negative answer, and nothing else happens."""
        for name, parameter in (
            *((IMMEDIATE, "_resource_group"), (POLL, "_resource_group")),
            *((DELAY, "_resource_group"), (DELAY, "_device_os")),
            *((DELAY, "_device_notification_id"), (LOCATION, "_device_notification_id")),
            *((LOCATION, "_device_os"), (LOCATION, "_latitude"), (LOCATION, "_longitude")),
        ):
            for app in (without(name, parameter), at(name, **{parameter: " "})):
                body = app.negative(start(app))
                expected = {
                    "message": f"{parameter} is missing or empty.",
                    "exception": "gms.invalid_request",
                }
                self.assertEqual(body, expected)
                self.assertTrue(app.ended)
                done = [named(one) for one in app.under_way()]
                self.assertIn(done, ([], ["gsgNotification.deleteSubscriber"]))

    def test_optional(self) -> None:
        """The phone number is not needed."""
        for name in (IMMEDIATE, DELAY, LOCATION, POLL):
            app = without(name, "_phone_number")
            start(app)
            self.assertFalse(app.ended, name)

    def test_devices(self) -> None:
        """Kinds of devices go by their names here; customers have no other sessions as devices."""
        for word, kind in (
            *(("iOS", "ios"), ("Android", "android"), ("GCM", "gcm"), ("fcm", "fcm")),
            *(("webpush", "webpush"), ("httpcb", "httpcb"), ("customhttp", "customhttp")),
        ):
            app = at(DELAY, _device_os=word)
            start(app)
            details = subscription_of(app, 0)["notificationDetails"]
            self.assertEqual(
                details, {"type": kind, "deviceId": app.parameters["_device_notification_id"]}
            )
        for word in ("orscb", "Windows", "ios|gcm", "iosx"):
            app = at(DELAY, _device_os=word)
            self.assertIn("_device_os must be", str(app.negative(start(app))["message"]))

    def test_comet(self) -> None:
        """A comet client needs no device id: it is known by its gms_user."""
        app = without(DELAY, "_device_notification_id")
        app = Application(DELAY, {**app.parameters, "_device_os": "comet"})
        start(app)
        self.assertEqual(subscription_of(app, 0)["notificationDetails"], {"type": "comet"})

    def test_flag(self) -> None:
        """Whether access data come with the event is true or false, and nothing else."""
        for word in ("maybe", "2"):
            app = at(DELAY, _access_info_via_event=word)
            self.assertIn("_access_info_via_event", str(app.negative(start(app))["message"]))
        for word in ("TRUE", "no", "1", "Off", ""):
            app = at(DELAY, _access_info_via_event=word)
            start(app)
            self.assertFalse(app.ended)


def subscription_of(app: Application, number: int) -> dict[str, object]:
    """The content of a subscription that was made."""
    content = app.started("gsgNotification.create")[number].attributes["content"]
    assert isinstance(content, dict)
    return content


class ImmediateTests(SynchronousTestCase):
    """request-inbound-immediate."""

    def test_number(self) -> None:
        """The creation is answered with the access data; a call in time gets to an agent."""
        app = at(IMMEDIATE, _provide_code="true", _booking_expiration_timeout="40")
        request = start(app)
        self.assertIsNone(app.answer(request))
        wanted = dict(app.last("gsgBasedServices.reserve").attributes)
        wanted.pop("requestid", None)
        self.assertEqual(
            wanted,
            {
                "_id": SESSION,
                "_resource_group": "DNIS",
                "_provide_code": "true",
                "_phone_number": "+16504660001",
                "_booking_expiration_timeout": "40",
            },
        )
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)
        app.call()
        find(app)
        self.assertEqual(app.state(), "connected")
        app.hang_up()
        self.assertTrue(app.ended)

    def test_left_out(self) -> None:
        """What the customer did not say is left out of the reservation."""
        app = without(IMMEDIATE, "_phone_number")
        start(app)
        wanted = set(app.last("gsgBasedServices.reserve").attributes) - {"requestid"}
        self.assertEqual(wanted, {"_id", "_resource_group"})

    def test_only_what_there_is(self) -> None:
        """The answer has no code where there is none, and nothing that is not access data."""
        app = at(IMMEDIATE)
        request = start(app)
        content = {"_access_number": "5001", "_expiration_time": "30", "_pool_free": "3"}
        app.done(app.last("gsgBasedServices.reserve"), content=json.dumps(content))
        expected = {"_id": SESSION, "_access_number": "5001", "_expiration_time": "30"}
        self.assertEqual(app.positive(request), expected)

    def test_none_left(self) -> None:
        """When no number can be had, the creation is refused with what the server says."""
        app = at(IMMEDIATE)
        request = start(app)
        app.failed(app.last("gsgBasedServices.reserve"), "gms.access.taken", content=BAD)
        self.assertEqual(app.negative(request), json.loads(BAD))
        self.assertTrue(app.ended)

    def test_no_answer_of_the_server(self) -> None:
        """An answer that holds no number, or is no JSON, is a refusal in our own words."""
        for content in ("", "{", "null", "[]", "{}", '{"_access_number":{"a":1}}', 5, None):
            app = at(IMMEDIATE)
            request = start(app)
            app.done(app.last("gsgBasedServices.reserve"), content=content)
            self.assertIn("message", app.negative(request) | {"message": ""}, content)
            self.assertTrue(app.ended)
            self.assertEqual(app.complaints(), [])

    def test_nobody_calls(self) -> None:
        """It ends when the number is somebody else's, a little later than that."""
        app = at(IMMEDIATE, "waiting_for_call")
        app.wait(30)
        self.assertFalse(app.ended)
        app.wait(5)
        self.assertTrue(app.ended)

    def test_no_time_said(self) -> None:
        """Without an expiration the number is kept as long as the service lives."""
        app = at(IMMEDIATE, _ttl="100")
        start(app)
        app.done(app.last("gsgBasedServices.reserve"), content='{"_access_number":"5001"}')
        app.wait(99)
        self.assertFalse(app.ended)
        app.wait(1)
        self.assertTrue(app.ended)


class DelayTests(SynchronousTestCase):
    """request-inbound-delay."""

    def test_subscriptions(self) -> None:
        """The device is subscribed to three kinds of events before the creation is answered."""
        app = at(DELAY, _ttl="1800")
        request = start(app)
        created = [subscription_of(app, number) for number in range(3)]
        kinds = ("statuschanged", "agentavailable", "expired")
        for content, kind in zip(created, kinds, strict=True):
            self.assertEqual(content["subscriberId"], SESSION)
            self.assertEqual(content["filter"], f"{TAG}.{kind}.{SESSION}")
            self.assertEqual(content["expire"], 1860)
        for one in app.started("gsgNotification.create"):
            self.assertIsNone(app.answer(request))
            app.done(one)
        self.assertEqual(app.positive(request), {"_id": SESSION})

    def test_device_refused(self) -> None:
        """A device that the server refuses is refused at creation, with the server's words."""
        for number in range(3):
            app = at(DELAY)
            request = start(app)
            created = app.started("gsgNotification.create")
            for one in created[:number]:
                app.done(one)
            app.failed(created[number], "gms.invalid_request", content=BAD)
            self.assertEqual(app.negative(request), json.loads(BAD))
            self.assertTrue(app.ended)
            self.assertEqual(len(app.started("gsgNotification.deleteSubscriber")), 1)

    def test_with_access_data(self) -> None:
        """By default the news of an agent has the access data."""
        app = at(DELAY, "looking_for_agent", _provide_code="true")
        waiting = {"_id": SESSION, "_status": "waiting", "_dialog": "waiting_for_agent.html"}
        self.assertEqual(app.news(), [("statuschanged", waiting)])
        find(app)
        self.assertEqual(app.state(), "reserving")
        self.assertEqual(app.last("gsgBasedServices.reserve").attributes["_provide_code"], "true")
        reserve(app)
        available = {"_status": "available", "_dialog": "agent_available.html", **ACCESS}
        self.assertEqual(app.news()[1:], [("agentavailable", available)])
        app.call()
        find(app)
        app.hang_up()
        self.assertTrue(app.ended)
        self.assertEqual(len(app.news()), 2)

    def test_without_access_data(self) -> None:
        """With _access_info_via_event=false it has none, and reserve gives them."""
        app = at(DELAY, "looking_for_agent", _access_info_via_event="false")
        find(app)
        self.assertEqual(app.state(), "offered")
        self.assertEqual(app.started("gsgBasedServices.reserve"), [])
        available = {"_id": SESSION, "_status": "available", "_dialog": "agent_available.html"}
        self.assertEqual(app.news()[-1], ("agentavailable", available))
        request = app.ask("reserve", _provide_code="true")
        self.assertEqual(app.last("gsgBasedServices.reserve").attributes["_provide_code"], "true")
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)

    def test_in_order(self) -> None:
        """The news of an agent waits until that of waiting is out, ten seconds at most."""
        app = at(DELAY, "agent_found")
        announce(app)
        self.assertEqual(app.state(), "reserving")
        app = at(DELAY, "agent_found")
        app.wait(9)
        self.assertEqual(app.state(), "agent_found")
        app.wait(1)
        self.assertEqual(app.state(), "reserving")

    def test_not_delivered(self) -> None:
        """News that do not get through stop nothing."""
        app = at(DELAY)
        subscribe(app)
        app.failed(app.last("gsgNotification.publish"), "gms.push.not_delivered")
        find(app)
        self.assertEqual(app.state(), "reserving")

    def test_no_number(self) -> None:
        """A reservation that fails is made again a little later, for the next agent."""
        app = at(DELAY, "reserving")
        for _ in range(3):
            app.failed(app.last("gsgBasedServices.reserve"), content=BAD)
            self.assertEqual(app.state(), "pausing")
            app.wait(10)
            find(app)
        reserve(app)
        self.assertEqual([kind for kind, _ in app.news()], ["statuschanged", "agentavailable"])

    def test_never_a_number(self) -> None:
        """After thirty in a row it gives up."""
        app = at(DELAY, "reserving")
        for number in range(30):
            self.assertEqual(app.state(), "reserving", number)
            app.failed(app.last("gsgBasedServices.reserve"), content=BAD)
            app.wait(10)
            if not app.ended and app.state() == "looking_for_agent":
                find(app)
        self.assertEqual(app.news()[-1][0], "expired")
        app.wait(10)
        self.assertTrue(app.ended)

    def test_expired(self) -> None:
        """The last news goes out before the subscriptions are deleted."""
        app = at(DELAY, "looking_for_agent")
        app.wait(3600)
        expired = {"_id": SESSION, "_status": "expired"}
        self.assertEqual(app.news()[-1], ("expired", expired))
        self.assertEqual(app.started("gsgNotification.deleteSubscriber"), [])
        announce(app)
        self.assertTrue(app.ended)
        deleted = app.last("gsgNotification.deleteSubscriber").attributes
        self.assertEqual(deleted["subscriberID"], SESSION)


class ReserveTests(SynchronousTestCase):
    """The request reserve of all that have it."""

    def test_too_early(self) -> None:
        """There is nothing to be had while no agent is available."""
        for name in (DELAY, LOCATION, POLL):
            app = at(name, "looking_for_agent")
            body = app.negative(app.ask("reserve"))
            self.assertEqual(body["exception"], "gms.unavailable")
            self.assertEqual(app.started("gsgBasedServices.reserve"), [])

    def test_who_decides(self) -> None:
        """What the service has been given as _provide_code beats the request's."""
        for name in (DELAY, LOCATION, POLL):
            for given, asked, wanted in (
                *(("", "true", "true"), ("false", "true", "false"), ("true", "", "true")),
                *(("true", "false", "true"), ("", "", "false")),
            ):
                app = at(name, "offered", _provide_code=given)
                app.ask("reserve", _provide_code=asked)
                sent = app.last("gsgBasedServices.reserve").attributes["_provide_code"]
                self.assertEqual(sent, wanted, (name, given, asked))

    def test_several(self) -> None:
        """Several at once get each its own answer, in whatever order these come."""
        for name in (DELAY, LOCATION, POLL):
            app = at(name, "offered")
            requests = [app.ask("reserve") for _ in range(3)]
            wanted = app.started("gsgBasedServices.reserve")[-3:]
            for number in (2, 0):
                content = json.dumps({**ACCESS, "_access_code": str(number)})
                app.done(wanted[number], content=content)
            app.failed(wanted[1], content=BAD)
            self.assertEqual(app.positive(requests[0])["_access_code"], "0")
            self.assertEqual(app.negative(requests[1]), json.loads(BAD))
            self.assertEqual(app.positive(requests[2])["_access_code"], "2")
            self.assertEqual(app.data()["reservations"], {})

    def test_after_a_call(self) -> None:
        """A reservation that ends when the call is there already is answered all the same."""
        app = at(POLL, "offered")
        request = app.ask("reserve")
        app.call()
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)
        self.assertEqual(app.state(), "routing")


class LocationTests(SynchronousTestCase):
    """request-inbound-delay-location."""

    def test_nearest(self) -> None:
        """Numbers are those of the group that is nearest."""
        app = at(LOCATION)
        start(app)
        place = app.last("gms.nearest").attributes
        self.assertEqual((place["latitude"], place["longitude"]), ("48.8566", "2.3522"))
        app = at(LOCATION, "reserving")
        group = app.last("gsgBasedServices.reserve").attributes["_resource_group"]
        self.assertEqual(group, "paris:france")

    def test_nowhere(self) -> None:
        """A place that is none, or near nothing, is refused with the reason."""
        for reason in ("_latitude is not a number like 48.8566.", "No group is near."):
            app = at(LOCATION)
            request = start(app)
            app.failed(app.last("gms.nearest"), "gms.invalid_request", description=reason)
            body = {"message": reason, "exception": "gms.invalid_request"}
            self.assertEqual(app.negative(request), body)
            self.assertTrue(app.ended)

    def test_once_subscribed(self) -> None:
        """The device is subscribed once the place is known."""
        app = at(LOCATION)
        start(app)
        self.assertEqual(app.started("gsgNotification.create"), [])
        app = at(LOCATION)
        near(app)
        self.assertEqual(len(app.started("gsgNotification.create")), 3)


class PollTests(SynchronousTestCase):
    """request-inbound-poll."""

    def test_flow(self) -> None:
        """Status until an agent is there, reserve, call."""
        app = at(POLL)
        self.assertEqual(app.positive(start(app)), {"_id": SESSION})
        waiting = {"_id": SESSION, "_status": "waiting", "_dialog": "waiting_for_agent.html"}
        for _ in range(3):
            self.assertEqual(app.positive(app.ask("status")), waiting)
        find(app)
        available = {"_id": SESSION, "_status": "available", "_dialog": "agent_available.html"}
        self.assertEqual(app.positive(app.ask("status")), available)
        request = app.ask("reserve")
        group = app.last("gsgBasedServices.reserve").attributes["_resource_group"]
        self.assertEqual(group, "DNIS")
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)
        app.call()
        find(app)
        self.assertEqual(app.positive(app.ask("status")), available)
        app.hang_up()
        self.assertTrue(app.ended)

    def test_place(self) -> None:
        """With a place numbers are those of the nearest group, the code as it was asked for."""
        app = at(POLL, "offered")
        request = app.ask("reserve", _latitude="48.9", _longitude="2.3", _provide_code="true")
        self.assertEqual(app.started("gsgBasedServices.reserve"), [])
        app.done(app.last("gms.nearest"), group="paris:france", distance_km=5)
        wanted = app.last("gsgBasedServices.reserve").attributes
        self.assertEqual(wanted["_resource_group"], "paris:france")
        self.assertEqual(wanted["_provide_code"], "true")
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)

    def test_numbers(self) -> None:
        """Coordinates that come as numbers, as JSON has them, count as well."""
        app = at(POLL, "offered")
        app.ask("reserve", _latitude=48.9, _longitude=0)
        place = app.last("gms.nearest").attributes
        self.assertEqual((place["latitude"], place["longitude"]), ("48.9", "0"))

    def test_nothing_near(self) -> None:
        """Where no group is near, the service's own one gives the number."""
        app = at(POLL, "offered")
        request = app.ask("reserve", _latitude="0", _longitude="0")
        app.failed(app.last("gms.nearest"), "gms.place.none_near", description="No.")
        group = app.last("gsgBasedServices.reserve").attributes["_resource_group"]
        self.assertEqual(group, "DNIS")
        reserve(app)
        self.assertEqual(app.positive(request), ACCESS)

    def test_no_place(self) -> None:
        """Coordinates that are none are refused, and so is one alone."""
        app = at(POLL, "offered")
        request = app.ask("reserve", _latitude="91", _longitude="0")
        reason = "_latitude is not within 90 degrees."
        app.failed(app.last("gms.nearest"), "gms.invalid_request", description=reason)
        self.assertEqual(app.negative(request)["message"], reason)
        for given, missing in (("_latitude", "_longitude"), ("_longitude", "_latitude")):
            request = app.ask("reserve", **{given: "1"})
            expected = f"{missing} is missing or empty."
            self.assertEqual(app.negative(request)["message"], expected)
        self.assertEqual(app.started("gsgBasedServices.reserve"), [])
        self.assertEqual(app.state(), "offered")

    def test_given_up(self) -> None:
        """For a minute it says that it has given up."""
        app = at(POLL, "over")
        self.assertEqual(app.positive(app.ask("status")), {"_id": SESSION, "_status": "expired"})
        app.negative(app.ask("reserve"))
        app.wait(60)
        self.assertTrue(app.ended)
