"""Module ``gsgNotification``: subscriptions and events of sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.gsg_notification import GsgNotification
from gms_twisted.app.operations import Outcome, Owner
from gms_twisted.app.subscription_records import SUBSCRIPTION, Subscription
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.push.attempts import Delivered, Rejected
from gms_twisted.rest.replies import status_for
from gms_twisted.scxml.effects import StartOperation
from tests.support.access import AccessHouse
from tests.support.notification_house import TOKEN, NotificationHouse, SlowStore, subscription
from tests.support.orchestration import OWNER, SESSION, Rig, operation


def ask(element: str, **attributes: object) -> StartOperation:
    """An action of the module."""
    return operation("gsgNotification", element, **attributes)  # type: ignore[arg-type]  # names


class Fixture(SynchronousTestCase):
    """A module over the real subscriptions."""

    def setUp(self) -> None:
        """Build it."""
        self.house = NotificationHouse(self)
        self.configure({})

    def configure(self, options: Mapping[str, str]) -> None:
        """Give the owner's service options."""
        services = AccessHouse(self, more={OWNER.service: {"_type": "ors", **options}}).services
        self.module = GsgNotification(
            self.house.subscriptions,
            self.house.notifications,
            services,
            self.house.tasks,
            self.house.options,
            status_for,
        )
        self.rig = Rig(self, self.module)

    def ask(self, asked: StartOperation, owner: Owner = OWNER) -> Outcome:
        """Carry an action out."""
        running = self.rig.start(asked, owner)
        self.house.turn(until=running)
        outcome = self.successResultOf(running)
        assert outcome is not None
        return outcome

    def subscriptions(self) -> list[Subscription]:
        """What is subscribed."""
        records = self.house.run(self.house.store.scan(SUBSCRIPTION))
        return [Subscription.from_record(one) for one in records]

    def subscription(self) -> Subscription:
        """The only one."""
        (found,) = self.subscriptions()
        return found


class CreateTests(Fixture):
    """``gsgNotification:create``."""

    def test_as_the_samples_do(self) -> None:
        """``expire`` and ``filter`` at the top level, the device's type as apps spell it."""
        content = {
            "subscriberId": SESSION,
            "notificationDetails": {"deviceId": TOKEN, "type": "iOS"},
            "expire": "3600",
            "filter": f"a2c.advanced.service.statuschanged.{SESSION}",
        }
        outcome = self.ask(ask("create", apiVersion=1, content=content))
        self.assertEqual(outcome.event, "gsgNotification.create.done")
        made = self.subscription()
        self.assertEqual(
            outcome.data, {"content": f'{{"id":"{made.subscription_id}"}}', "status": 200}
        )
        self.assertEqual(made.notification_type, NotificationType.IOS)
        self.assertEqual((made.subscriber, made.device_id), (SESSION, TOKEN))
        self.assertEqual(made.expires_at, self.house.wall.now() + 3600)

    def test_json_text(self) -> None:
        """The content may be JSON text."""
        outcome = self.ask(ask("create", apiVersion="1", content=json.dumps(subscription())))
        self.assertEqual(outcome.event, "gsgNotification.create.done")

    def test_comet(self) -> None:
        """A comet subscription needs no device: it is the user of the session's service."""
        content = subscription(None, type="comet")
        self.ask(ask("create", content=content))
        self.assertEqual(self.subscription().device_id, "ann")
        outcome = self.ask(ask("create", content=content), replace(OWNER, user=None))
        self.assertEqual(outcome.event, "error.gsgNotification.create")
        self.assertEqual(outcome.data["status"], 400)

    def test_again(self) -> None:
        """Asked again, as after a restart, there is one subscription still, with its id."""
        first, again = (self.ask(ask("create", content=subscription())) for _ in range(2))
        self.assertEqual(first, again)
        self.assertEqual(len(self.subscriptions()), 1)

    def test_refused(self) -> None:
        """What the API would refuse fails with its code, sentence, body and status."""
        for attributes, status in (
            ({}, 400),
            ({"content": ""}, 400),
            ({"content": "{"}, 400),
            ({"content": '{"a":1,"a":2}'}, 400),
            ({"content": "[" * 100_000}, 400),
            ({"content": [1]}, 400),
            ({"content": {"subscriberId": "\ud800"}}, 400),
            ({"content": '{"subscriberId": "\\ud800"}'}, 400),
            ({"content": {"subscriberId": "s"}}, 400),
            ({"content": subscription(), "apiVersion": "2"}, 404),
            ({"content": subscription(providerName="nobody")}, 400),
            ({"content": {"subscriberId": "s" * self.house.options.max_body}}, 413),
        ):
            outcome = self.ask(ask("create", **attributes))
            self.assertEqual(outcome.event, "error.gsgNotification.create")
            self.assertEqual(outcome.data["status"], status, attributes)
            self.assertEqual(
                json.loads(str(outcome.data["content"])),
                {"message": outcome.data["description"], "exception": outcome.data["error"]},
            )
        self.assertEqual(self.subscriptions(), [])

    def test_provider_of_the_service(self) -> None:
        """The service's provider applies where the subscription names none."""
        self.house.credentials.add("apns", "SalesApp", debug=True, key="k")
        self.house.credentials.add("apns", "Other", key="k")
        self.configure({"_provider_name": "SalesApp", "_use_debug_push_certificate": "true"})
        content = subscription(TOKEN, type="ios")
        self.ask(ask("create", content=content))
        made = self.subscription()
        self.assertEqual((made.provider, made.debug), ("SalesApp", True))
        self.ask(ask("create", content={**content, "providerName": "Other", "filter": "b.*"}))
        (other,) = [one for one in self.subscriptions() if one.filter_text == "b.*"]
        self.assertEqual((other.provider, other.debug), ("Other", False))
        self.assertNotIn("providerName", content)
        odd = {**content, "notificationDetails": {"type": "ios", "properties": [1]}}
        self.assertEqual(self.ask(ask("create", content=odd)).data["status"], 400)


class PublishTests(Fixture):
    """``gsgNotification:publish``."""

    event = {"tag": "a.b", "message": {"_status": "waiting"}}

    def test_done(self) -> None:
        """Subscribed devices get the event, with the hops of the session."""
        self.house.subscribe()
        outcome = self.ask(ask("publish", apiVersion="1", content=self.event))
        self.assertEqual(
            outcome, Outcome("gsgNotification.publish.done", {"content": "", "status": 200})
        )
        (push,) = self.house.pushes()
        self.assertEqual((push.message, push.hops), ('{"_status":"waiting"}', OWNER.hops))

    def test_nobody(self) -> None:
        """An event for nobody is published all the same."""
        outcome = self.ask(ask("publish", content=self.event))
        self.assertEqual(outcome.event, "gsgNotification.publish.done")

    def test_not_delivered(self) -> None:
        """A device that refuses makes it an error, as the API says 503."""
        self.house.subscribe()
        self.house.transport(answer=Rejected("no"))
        outcome = self.ask(ask("publish", content=self.event))
        self.assertEqual(outcome.event, "error.gsgNotification.publish")
        self.assertEqual(
            (outcome.data["error"], outcome.data["status"]), ("gms.push.not_delivered", 503)
        )

    def test_again(self) -> None:
        """Done again after a restart it reaches nobody a second time, and ends as it did."""
        self.house.subscribe()
        first, again = (self.ask(ask("publish", content=self.event)) for _ in range(2))
        self.assertEqual(first, again)
        self.assertEqual(len(self.house.pushes()), 1)

    def test_cut_off(self) -> None:
        """Cut off before its record was there, it is done again with the same ids."""
        self.house.subscribe()
        self.ask(ask("publish", content=self.event))
        again = NotificationHouse(self, clock=self.house.clock, ids=self.house.ids)
        again.subscribe()
        self.house = again
        self.configure({})
        self.ask(ask("publish", content=self.event))
        self.assertEqual(self.house.pushes()[0].event_id, OWNER.operation_id)

    def test_failed_before(self) -> None:
        """A failure is told again, too."""
        self.house.subscribe()
        self.house.transport(answer=Rejected("no"))
        self.ask(ask("publish", content=self.event))
        self.house.transport(answer=Delivered())
        outcome = self.ask(ask("publish", content=self.event))
        self.assertEqual(outcome.event, "error.gsgNotification.publish")

    def test_without_an_id(self) -> None:
        """Without an id of the action each publish is one of its own."""
        self.house.subscribe()
        for _ in range(2):
            self.ask(ask("publish", content=self.event), replace(OWNER, operation_id=""))
        self.assertEqual(len(self.house.pushes()), 2)

    def test_longest_content(self) -> None:
        """The longest content is that of the API, as it is configured now."""
        content = {"tag": "a.b", "message": "é" * 1100}
        self.assertEqual(self.ask(ask("publish", content=content)).data["status"], 200)
        self.module.reconfigure(replace(self.house.options, max_body=2048))
        again = replace(OWNER, operation_id="8" * 32)
        self.assertEqual(self.ask(ask("publish", content=content), again).data["status"], 413)

    def test_other_actions_are_others(self) -> None:
        """Two publishes of a session are two."""
        self.house.subscribe()
        self.ask(ask("publish", content=self.event))
        self.ask(ask("publish", content=self.event), replace(OWNER, operation_id="8" * 32))
        self.assertEqual(len(self.house.pushes()), 2)

    def test_directed(self) -> None:
        """An event that names a device goes through the service's provider; others do not."""
        self.house.credentials.add("apns", "SalesApp", key="k")
        self.configure({"_provider_name": "SalesApp"})
        details = {"deviceId": TOKEN, "type": "ios"}
        self.ask(ask("publish", content={**self.event, "notificationDetails": details}))
        self.assertEqual(self.house.pushes("apns")[0].provider, "SalesApp")
        self.house.subscribe()
        self.ask(ask("publish", content=self.event), replace(OWNER, operation_id="8" * 32))
        self.assertEqual(len(self.house.pushes()), 1)

    def test_report(self) -> None:
        """Where publishers are told results, so are sessions."""
        self.house = NotificationHouse(self, publish_report=True)
        self.configure({})
        self.house.subscribe()
        outcome = self.ask(ask("publish", content=self.event))
        report = json.loads(str(outcome.data["content"]))
        self.assertEqual((report["delivered"], report["failed"]), (1, 0))

    def test_refused(self) -> None:
        """No tag: 400."""
        outcome = self.ask(ask("publish", content={"message": "m"}))
        self.assertEqual(outcome.data["status"], 400)


class DeleteTests(Fixture):
    """``gsgNotification:delete`` and ``deleteSubscriber``."""

    def test_delete(self) -> None:
        """One subscription ends; a second time is no fault."""
        kept, gone = self.house.subscribe(), self.house.subscribe(filter_text="b.*")
        for _ in range(2):
            outcome = self.ask(ask("delete", apiVersion="1", subscriptionID=gone))
            self.assertEqual(
                outcome, Outcome("gsgNotification.delete.done", {"content": "", "status": 200})
            )
        self.assertEqual(self.subscription().subscription_id, kept)

    def test_delete_subscriber(self) -> None:
        """All of a subscriber end."""
        for filter_text in ("a.*", "b.*"):
            self.house.subscribe(subscriber=SESSION, filter_text=filter_text)
        self.house.subscribe(subscriber="other")
        outcome = self.ask(ask("deleteSubscriber", apiVersion="1", subscriberID=SESSION))
        self.assertEqual(outcome.event, "gsgNotification.deleteSubscriber.done")
        self.assertEqual(self.subscription().subscriber, "other")

    def test_session_gone(self) -> None:
        """What a session leaves behind ends with it; what others have stays."""
        self.house.subscribe(subscriber=SESSION)
        self.house.subscribe(subscriber="other")
        self.module.session_gone(SESSION)
        self.house.clock.advance(0)
        self.assertEqual(self.subscription().subscriber, "other")

    def test_missing(self) -> None:
        """Without an id there is nothing to delete."""
        for element in ("delete", "deleteSubscriber"):
            outcome = self.ask(ask(element))
            self.assertEqual(outcome.event, f"error.gsgNotification.{element}")
            self.assertEqual(outcome.data["status"], 400)

    def test_unknown(self) -> None:
        """There are no other actions."""
        self.rig.refuses(UnknownElement, ask("query"))

    def test_survives_its_session(self) -> None:
        """What was begun is finished though nobody waits for it any more."""
        first = self.house
        store = SlowStore(first)
        store.slow = False
        self.house = NotificationHouse(self, store=store, clock=first.clock, ids=first.ids)
        self.configure({})
        self.house.subscribe(subscriber=SESSION)
        store.slow = True
        running = self.rig.start(ask("deleteSubscriber", subscriberID=SESSION))
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(len(self.subscriptions()), 1)
        store.release_all()
        self.assertEqual(self.subscriptions(), [])
