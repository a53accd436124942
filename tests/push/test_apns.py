"""The sender of the binary interface against a gateway, over real TLS."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.apns.frames import ENHANCED, SIMPLE
from gms_twisted.app.outgoing import Trust
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.apns_backlog import MAX_ATTEMPTS
from gms_twisted.push.apns_connection import STALL_S
from gms_twisted.push.apns_lane import CONNECT_S, REFUSED_S
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.simulators.apple_certificates import DEVELOPMENT
from tests.push.apns_rig import FOLDER, NOW, Rig, authority
from tests.push.apple import TOKEN


class SenderTestCase(SynchronousTestCase):
    """With a few words for what all tests ask."""

    def finish(self, rig: Rig) -> None:
        """Close, and see that nothing is left to happen."""
        closed = Deferred.fromCoroutine(rig.transport.close())
        rig.network.advance(3.5)
        self.successResultOf(closed)
        self.assertEqual(rig.clock.getDelayedCalls(), [])

    def delivered(self, attempts: list[Deferred[Attempt]]) -> None:
        """See that all are."""
        results = [self.successResultOf(one) for one in attempts]
        self.assertEqual(results, [Delivered()] * len(attempts))


class DeliveryTests(SenderTestCase):
    """Notifications reach the gateway."""

    def test_one_arrives(self) -> None:
        """Delivered when it was written to an established connection, not before."""
        for newest in (False, True):
            rig = Rig(newest=newest)
            (attempt,) = rig.send("a")
            self.assertNoResult(attempt)
            rig.network.advance(0.2)
            self.delivered([attempt])
            self.assertEqual(rig.arrived, ["a"])
            self.finish(rig)

    def test_what_is_sent(self) -> None:
        """Token, expiry and priority go beside the payload; identifiers count from 1."""
        rig = Rig()
        rig.send("a", expires_at=NOW + 90)
        rig.send("b", options={"apple.content-available": "1", "apple.expiry": "0"})
        rig.network.advance(0.2)
        one, two = rig.gateway.arrived
        self.assertEqual((one.token, one.identifier, one.priority), (TOKEN, 1, 10))
        self.assertEqual(one.expiry, NOW + 90)
        self.assertEqual((two.identifier, two.expiry, two.priority), (2, 0, 5))
        self.assertEqual(json.loads(two.payload)["aps"], {"content-available": 1})

    def test_one_connection_for_all(self) -> None:
        """A later attempt uses the connection that is open."""
        rig = Rig()
        for name in "abc":
            rig.send(name)
            rig.network.advance(30)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a", "b", "c"], 1))

    def test_a_device_keeps_its_connection(self) -> None:
        """With several connections each device has one, so that its order is kept."""
        rig = Rig(connections=4)
        tokens = [bytes([number]) * 32 for number in range(40)]
        for name in range(3):
            for token in tokens:
                rig.send(name, token=token)
        rig.network.advance(0.3)
        self.assertEqual(rig.gateway.connected, 4)
        for token in tokens:
            names = [
                json.loads(one.payload)["message"]
                for one in rig.gateway.arrived
                if one.token == token
            ]
            self.assertEqual(names, ["0", "1", "2"])
        self.assertEqual(rig.transport.details()["connections"], 4)

    def test_enhanced_form(self) -> None:
        """Command 1 carries identifier and expiry."""
        rig = Rig(command=ENHANCED)
        rig.send("a", expires_at=NOW + 90)
        rig.network.advance(0.2)
        (one,) = rig.gateway.arrived
        self.assertEqual((one.command, one.identifier, one.expiry), (ENHANCED, 1, NOW + 90))

    def test_simple_form_is_never_pipelined(self) -> None:
        """Command 0: one at a time, a second apart, so that a refusal can be attributed."""
        rig = Rig(command=SIMPLE)
        rig.gateway.script(reject={2: 8})
        attempts = rig.send("a", "b", "c")
        rig.network.advance(0.5)
        self.assertEqual(rig.arrived, ["a"])
        rig.network.advance(3)
        self.delivered(attempts)
        self.assertEqual(rig.arrived, ["a", "c"])
        self.assertEqual(rig.news.reasons, ["b InvalidToken"])
        self.assertEqual(rig.transport.concurrency, 1)

    def test_N10_only_tokens_of_32_bytes(self) -> None:
        """64 hexadecimal digits can be subscribed; others are refused by name."""
        rig = Rig()
        self.successResultOf(Deferred.fromCoroutine(rig.transport.check(DeviceId("0a" * 32), {})))
        for wrong in ("0a" * 31, "0a" * 33, "zz" * 32, ""):
            failed = self.failureResultOf(
                Deferred.fromCoroutine(rig.transport.check(DeviceId(wrong), {})), InvalidRequest
            )
            self.assertEqual(failed.value.parameter, "deviceId")
        (attempt,) = rig.send("a", token=b"short")
        self.assertEqual(self.successResultOf(attempt), Rejected("InvalidTokenSize"))

    def test_N09_too_long_is_never_sent(self) -> None:
        """Above the limit an attempt is refused here; nothing is cut, nobody connects."""
        rig = Rig(max_payload=256)
        (attempt,) = rig.send("x" * 240)
        self.assertEqual(self.successResultOf(attempt), Rejected("PayloadTooLarge"))
        self.assertEqual(rig.network.attempts, 0)

    def test_cancelled_attempt_is_not_written(self) -> None:
        """Who waits no longer gets nothing, and neither does the device."""
        rig = Rig()
        first, second = rig.send("a", "b")
        first.cancel()
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["b"])
        self.failureResultOf(first)
        self.delivered([second])

    def test_N11_certificate_expiry_is_visible(self) -> None:
        """Details tell topic and the certificate's days, once it is loaded."""
        rig = Rig()
        self.assertNotIn("topic", rig.transport.details())
        rig.send("a")
        rig.network.advance(0.2)
        details = rig.transport.details()
        self.assertEqual(details["topic"], "com.example.app")
        self.assertIn(details["certificate_days"], (3649, 3650))
        self.assertEqual((details["connections"], details["unconfirmed"]), (1, 1))
        self.assertNotIn("secret", repr((details, rig.settings)))


class VectorTests(SenderTestCase):
    """The specification's behaviour vectors."""

    def test_N11_a_second_of_five_is_refused(self) -> None:
        """The third to fifth arrive on the next connection, once each, in order."""
        rig = Rig()
        rig.gateway.script(reject={2: 8})
        attempts = rig.send(1, 2, 3, 4, 5)
        rig.network.advance(0.2)
        self.delivered(attempts)
        self.assertEqual(rig.arrived, ["1", "3", "4", "5"])
        self.assertEqual(rig.gateway.connected, 2)
        self.assertEqual(rig.news.reasons, ["2 InvalidToken"])
        self.assertTrue(rig.news.failed[0][1].dead)
        self.assertEqual(rig.counters.value("apns_error_packets_total", status="8"), 1)
        self.assertEqual(rig.counters.value("apns_resent_total"), 3)
        self.finish(rig)

    def test_N11_b_packet_byte_by_byte(self) -> None:
        """A packet in six pieces is one packet."""
        rig = Rig()
        rig.gateway.script(reject={2: 8}, split=True)
        rig.send(1, 2, 3)
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["1", "3"])
        self.assertEqual(rig.news.reasons, ["2 InvalidToken"])

    def test_N11_c_reset_right_after_the_packet(self) -> None:
        """The packet counts though the connection was reset behind it."""
        rig = Rig()
        rig.gateway.script(reject={2: 8}, reset=True)
        rig.send(1, 2, 3)
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["1", "3"])
        self.assertEqual(rig.news.reasons, ["2 InvalidToken"])

    def test_N11_d_shutdown_names_the_last_accepted(self) -> None:
        """Status 10 for the third: it is accepted, the fourth and fifth go again."""
        rig = Rig()
        rig.gateway.script(reject={3: 10})
        rig.send(1, 2, 3, 4, 5)
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["1", "2", "3", "4", "5"])
        self.assertEqual(rig.news.failed, [])
        self.assertEqual(rig.gateway.connected, 2)

    def test_N11_e_identifier_never_sent(self) -> None:
        """It proves nothing: nothing is refused, the last second's go again, it is counted."""
        rig = Rig()
        rig.send("old")
        rig.network.advance(5)
        rig.send("new")
        rig.network.advance(0.2)
        next(iter(rig.gateway.connections)).say(8, 77)
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["old", "new", "new"])
        self.assertEqual(rig.news.failed, [])
        self.assertEqual(rig.counters.value("apns_window_miss_total"), 1)


class RefusalTests(SenderTestCase):
    """What becomes of the notification that a packet names."""

    def test_N11_late_packet(self) -> None:
        """Everything written before a late packet arrives goes again, ahead of newer ones."""
        rig = Rig()
        rig.gateway.script(reject={1: 8}, delay_s=3.0)
        rig.send("bad")
        for name in range(5):
            rig.network.advance(0.5)
            rig.send(name)
        rig.network.advance(0.45)
        rig.send("newer")
        rig.network.advance(2)
        self.assertEqual(rig.arrived, ["0", "1", "2", "3", "4", "newer"])
        self.assertEqual(rig.news.reasons, ["bad InvalidToken"])
        self.finish(rig)

    def test_N11_packet_after_minutes(self) -> None:
        """The last ones stay in the window however old they are."""
        rig = Rig()
        rig.gateway.script(reject={1: 8}, delay_s=200.0)
        rig.send("bad", "good")
        rig.network.advance(201, 1.0)
        self.assertEqual(rig.arrived, ["good"])

    def test_statuses(self) -> None:
        """Each status has its word; 5 and 8 mean a dead device, 3, 6 and 128 an alarm."""
        for status, reason, dead in (
            (2, "MissingDeviceToken", False),
            (3, "MissingTopic", False),
            (4, "MissingPayload", False),
            (5, "InvalidTokenSize", True),
            (6, "InvalidTopicSize", False),
            (7, "InvalidPayloadSize", False),
            (8, "InvalidToken", True),
            (128, "ProtocolError", False),
            (255, "Unknown", False),
            (77, "Other", False),
        ):
            rig = Rig()
            rig.gateway.script(reject={1: status})
            rig.send("a")
            rig.network.advance(0.2)
            ((_, outcome),) = rig.news.failed
            self.assertEqual((outcome.reason, outcome.dead), (reason, dead), status)
            self.assertEqual(bool(rig.alarms), status in (3, 6, 128), status)
            self.assertEqual(rig.arrived, [])
            word = "other" if status == 77 else str(status)
            self.assertEqual(rig.counters.value("apns_error_packets_total", status=word), 1)

    def test_processing_error_is_tried_again(self) -> None:
        """Status 1: again after a pause, with the others going on meanwhile."""
        rig = Rig()
        rig.gateway.script(reject={1: 1})
        rig.send("a", "b")
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["b"])
        rig.network.advance(3)
        self.assertEqual(rig.arrived, ["b", "a"])
        self.assertEqual(rig.news.failed, [])
        self.finish(rig)

    def test_processing_error_again_and_again(self) -> None:
        """After so many attempts it has failed."""
        rig = Rig()
        rig.gateway.script(reject=dict.fromkeys(range(1, 9), 1))
        rig.send("a")
        rig.network.advance(200, 1.0)
        ((_, outcome),) = rig.news.failed
        self.assertEqual((outcome.reason, outcome.attempts), ("ProcessingError", MAX_ATTEMPTS))

    def test_expired_is_not_sent_again(self) -> None:
        """What is of no use any more when a packet comes is told as failed."""
        rig = Rig()
        rig.gateway.script(reject={1: 8}, delay_s=10.0)
        rig.send("bad")
        rig.send("brief", expires_at=NOW + 5)
        rig.send("long")
        rig.network.advance(11)
        self.assertEqual(rig.arrived, ["long"])
        self.assertEqual(rig.news.reasons, ["brief expired", "bad InvalidToken"])

    def test_gateway_that_swallows(self) -> None:
        """One that closes in silence each time: with pauses, and not for ever."""
        rig = Rig()
        rig.gateway.script(reject_tokens={TOKEN: 1}, mute=True)
        rig.send("a")
        rig.network.advance(300, 0.5)
        self.assertEqual(rig.news.reasons, ["a lost"])
        self.assertEqual(rig.gateway.connected, MAX_ATTEMPTS)

    def test_gateway_that_takes_nothing(self) -> None:
        """Status 10 before the first one: it goes again, but not at once."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(0.1, 0.01)
        next(iter(rig.gateway.connections)).say(10, 0)
        rig.network.advance(0.5)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a"], 1))
        self.assertEqual(
            rig.counters.value("push_connects_total", transport="apns", result="packet"), 1
        )
        rig.network.advance(2)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a", "a"], 2))

    def test_refused_among_those_sent_again(self) -> None:
        """A second refusal while much is still owed: one device's order is kept."""
        rig = Rig()
        rig.gateway.script(reject={10: 8, 20: 8, 300: 8}, delay_s=0.3)
        rig.send(*range(1500))
        rig.network.advance(0.2)
        rig.gateway.script(delay_s=0.0)
        rig.network.advance(1)
        self.assertEqual(len(rig.news.failed), 3)
        refused = {push.push_id for push, _ in rig.news.failed}
        self.assertEqual(rig.arrived, [str(n) for n in range(1500) if str(n) not in refused])

    def test_window_that_was_too_small(self) -> None:
        """After a packet for one that is no longer kept, twice as many are."""
        rig = Rig(window=1, window_s=0)
        for name in range(4):
            rig.send(name)
            rig.network.advance(1)
        self.assertEqual(rig.transport.details()["unconfirmed"], 1)
        next(iter(rig.gateway.connections)).say(8, 2)
        rig.network.advance(1)
        self.assertEqual(rig.counters.value("apns_window_miss_total"), 1)
        for name in range(4):
            rig.send(name)
            rig.network.advance(1)
        self.assertEqual(rig.transport.details()["unconfirmed"], 2)

    def test_garbage_from_the_gateway(self) -> None:
        """What is no error packet ends the connection as silence does."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(5)
        (connection,) = rig.gateway.connections
        assert connection.transport is not None
        connection.transport.write(b"HTTP/1.1 400 Bad Request\r\n")
        rig.send("b")
        rig.network.advance(1)
        self.assertEqual(Counter(rig.arrived)["a"], 1)
        self.assertIn("b", rig.arrived)


class SilenceTests(SenderTestCase):
    """Connections end without a packet."""

    def test_N11_last_second_goes_again(self) -> None:
        """What was written in the last second may be lost, so it is sent again."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(3)
        rig.send("b", "c")
        rig.network.advance(0.9)
        next(iter(rig.gateway.connections)).reset()
        rig.network.advance(0.5)
        self.assertEqual(rig.arrived, ["a", "b", "c", "b", "c"])
        self.assertEqual(rig.news.failed, [])

    def test_older_than_a_second_counts_as_delivered(self) -> None:
        """A packet would have come."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(3)
        rig.send("b")
        rig.network.advance(1.1)
        next(iter(rig.gateway.connections)).reset()
        rig.network.advance(0.5)
        self.assertEqual(rig.arrived, ["a", "b"])

    def test_N11_closed_within_a_second(self) -> None:
        """An end right after the beginning is answered by a pause, not by connecting at once."""
        rig = Rig()
        rig.gateway.script(silent=frozenset((1,)))
        rig.send("a")
        rig.network.advance(1.5)
        self.assertEqual(rig.gateway.connected, 1)
        (attempt,) = rig.send("b")
        answer = self.successResultOf(attempt)
        assert isinstance(answer, Again)
        self.assertEqual((answer.scope, answer.free), (Scope.SENDER, True))
        rig.network.advance(2)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a", "a"], 2))

    def test_resend_on_eof_switched_off(self) -> None:
        """With the option off nothing is sent again, so nothing comes twice."""
        rig = Rig(resend_on_eof=False)
        rig.send("a")
        rig.network.advance(3)
        rig.send("b")
        rig.network.advance(0.5)
        next(iter(rig.gateway.connections)).reset()
        rig.network.advance(0.5)
        self.assertEqual(rig.arrived, ["a", "b"])

    def test_end_while_idle_is_normal(self) -> None:
        """Nothing goes again, and nobody connects before there is something to send."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(60, 1.0)
        next(iter(rig.gateway.connections)).end()
        rig.network.advance(60, 1.0)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a"], 1))
        rig.send("b")
        rig.network.advance(0.2)
        self.assertEqual((rig.arrived, rig.gateway.connected), (["a", "b"], 2))
        self.finish(rig)

    def test_idle_connection_is_closed(self) -> None:
        """Unused for apple.idle it is closed in order, and opened again on demand."""
        rig = Rig(idle_s=600)
        rig.send("a")
        rig.network.advance(400, 1.0)
        rig.send("b")
        rig.network.advance(599, 1.0)
        self.assertEqual(len(rig.gateway.connections), 1)
        rig.network.advance(2, 0.5)
        self.assertEqual(len(rig.gateway.connections), 0)
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        rig.send("c")
        rig.network.advance(0.2)
        self.assertEqual(rig.arrived, ["a", "b", "c"])

    def test_N11_gateway_that_reads_nothing(self) -> None:
        """Above 64 KiB nothing more is written; after a while the connection is given up."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(3)
        rig.network.clients[0].stuck = True
        attempts = rig.send(*("x" * 1500 for _ in range(200)))
        rig.network.advance(1)
        written = [one for one in attempts if one.called]
        self.assertLess(len(written), 120)
        self.assertLess(len(rig.network.clients[0].buffer), 3 * 65536)
        rig.network.advance(STALL_S)
        for one in attempts[len(written) :]:
            self.assertEqual(self.successResultOf(one), Again("timeout", connection=True))
        rig.network.advance(5)
        self.assertEqual(len(rig.arrived), 1 + len(written))
        self.finish(rig)

    def test_pause_ends_when_there_is_room(self) -> None:
        """A slow gateway only slows: all arrive, on one connection."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(3)
        rig.network.clients[0].stuck = True
        attempts = rig.send(*range(1000))
        rig.network.advance(5)
        rig.network.clients[0].stuck = False
        rig.network.advance(1)
        self.delivered(attempts)
        self.assertEqual((len(rig.arrived), rig.gateway.connected), (1001, 1))
        self.finish(rig)


class ConnectingTests(SenderTestCase):
    """Connections that do not come about."""

    def test_N11_back_off(self) -> None:
        """Attempts fail at once; the next connection waits longer each time, to 60 s."""
        rig = Rig()
        rig.network.refuse = True
        pauses = []
        for _ in range(8):
            (attempt,) = rig.send("a")
            self.assertEqual(self.successResultOf(attempt), Again("refused", connection=True))
            (early,) = rig.send("b")
            answer = self.successResultOf(early)
            assert isinstance(answer, Again) and answer.after_s is not None
            self.assertEqual((answer.scope, answer.free), (Scope.SENDER, True))
            pauses.append(answer.after_s)
            rig.clock.advance(answer.after_s)
        self.assertEqual(pauses, [2, 4, 8, 16, 32, 60, 60, 60])
        rig.network.refuse = False
        (attempt,) = rig.send("c")
        rig.network.advance(0.2)
        self.delivered([attempt])
        self.assertEqual(
            rig.counters.value("push_connects_total", transport="apns", result="refused"), 8
        )
        self.assertEqual(
            rig.counters.value("push_connects_total", transport="apns", result="ok"), 1
        )

    def test_no_connection_in_time(self) -> None:
        """After 10 s without TLS it is given up; whatever comes later does nothing."""
        rig = Rig()
        rig.network.hang = True
        (attempt,) = rig.send("a")
        rig.clock.advance(CONNECT_S)
        self.assertEqual(self.successResultOf(attempt), Again("timeout", connection=True))
        self.assertTrue(rig.network.pending[0].called)
        self.finish(rig)

    def test_handshake_that_never_ends(self) -> None:
        """A connection without TLS is dropped after 10 s."""
        rig = Rig()
        (attempt,) = rig.send("a")
        rig.network.clients[0].stuck = True
        rig.network.advance(CONNECT_S + 0.1)
        self.assertEqual(self.successResultOf(attempt), Again("timeout", connection=True))
        self.assertTrue(rig.network.clients[0].closing)
        self.finish(rig)

    def test_unknown_name(self) -> None:
        """A name that has no address is told by its word."""
        rig = Rig()
        rig.network.hang = True
        (attempt,) = rig.send("a")
        rig.network.pending[0].errback(DNSLookupError())
        self.assertEqual(self.successResultOf(attempt), Again("dns", connection=True))

    def test_gateway_that_we_do_not_trust(self) -> None:
        """Without its authority's certificate nothing is sent."""
        rig = Rig(trust=Trust())
        (attempt,) = rig.send("a")
        rig.network.advance(0.2)
        self.assertEqual(self.successResultOf(attempt), Again("tls", connection=True))
        self.assertEqual(rig.gateway.total, 0)

    def test_N11_certificate_refused(self) -> None:
        """The gateway's alert puts the sender off for a minute, with an alarm."""
        for newest in (False, True):
            rig = Rig(newest=newest, foreign=True)
            (attempt,) = rig.send("a")
            rig.network.advance(0.3)
            answer = self.successResultOf(attempt)
            assert isinstance(answer, Rejected)
            self.assertEqual((answer.reason, answer.off_s), ("certificate_refused", REFUSED_S))
            self.assertTrue(answer.alarm)
            (early,) = rig.send("b")
            later = self.successResultOf(early)
            assert isinstance(later, Rejected)
            self.assertTrue(REFUSED_S - 1 < later.off_s <= REFUSED_S)
            self.assertEqual((rig.gateway.total, rig.news.failed), (0, []))
            rig.network.advance(REFUSED_S)
            rig.send("c")
            self.assertEqual(rig.network.attempts, 2)

    def test_N11_certificate_refused_late(self) -> None:
        """An alert that comes after something was written: all of that has failed."""
        rig = Rig(newest=True, foreign=True)
        attempts = rig.send("a", "b")
        client = rig.network.clients[0]
        other = client.other
        assert other is not None
        client.move()
        other.move()  # our side of TLS is done; what the gateway says to that is on its way
        other.stuck = True
        rig.network.advance(0.5)
        self.delivered(attempts)
        other.stuck = False
        rig.network.advance(0.2)
        self.assertEqual(rig.news.reasons, ["a certificate_refused", "b certificate_refused"])
        self.assertEqual(rig.alarms, ["The APNs gateway refuses our certificate."])
        self.finish(rig)

    def test_N11_the_alarm_ends(self) -> None:
        """A connection shows that keystore and certificate are good again; not the topic."""
        rig = Rig()
        rig.transport.off("The keystore cannot be read.")
        rig.send("a")
        rig.network.advance(0.3)
        self.assertEqual(rig.alarms, ["The keystore cannot be read.", ""])
        rig.gateway.script(reject={2: 3})
        rig.send("b")
        rig.network.advance(0.3)
        rig.send("c")
        rig.network.advance(0.3)
        self.assertEqual(rig.network.attempts, 2)
        self.assertEqual(len(rig.alarms), 3)
        self.assertIn("topic", rig.alarms[2])
        self.finish(rig)

    def test_N11_owed_after_broken_credentials(self) -> None:
        """What had to be sent again is told as failed when the keystore has gone bad."""
        rig = Rig()
        path = FOLDER / "vanishing.p12"
        path.write_bytes(authority().provider(days=1).pkcs12("secret"))
        rig = Rig(keystore=str(path))
        rig.gateway.script(reject={1: 8}, delay_s=0.4)
        rig.send("bad", "good")
        rig.network.advance(0.2)
        rig.wall.jump = 2 * 86_400
        rig.network.advance(0.5)
        self.assertEqual(sorted(rig.news.reasons), ["bad InvalidToken", "good expired"])

    def test_keystore_that_cannot_be_used(self) -> None:
        """A missing file, a wrong password, another environment: off, and an alarm says why."""
        wrong = FOLDER / "wrong.p12"
        wrong.write_bytes(authority().provider(environments=[DEVELOPMENT]).pkcs12("secret"))
        for settings_, words in (
            ({"keystore": str(FOLDER / "none.p12")}, "No such file"),
            ({"password": "other"}, "wrong password"),
            ({"keystore": str(wrong)}, "not for the production gateway"),
        ):
            rig = Rig(**settings_)  # type: ignore[arg-type]
            (attempt,) = rig.send("a")
            answer = self.successResultOf(attempt)
            assert isinstance(answer, Rejected)
            self.assertEqual((answer.reason, answer.off_s), ("credentials_broken", REFUSED_S))
            self.assertIn(words, answer.alarm)
            self.assertNotIn("other", answer.alarm)
            self.finish(rig)

    def test_mended_keystore(self) -> None:
        """After the minute the file is read again."""
        path = FOLDER / "mended.p12"
        path.unlink(missing_ok=True)
        rig = Rig(keystore=str(path))
        rig.send("a")
        path.write_bytes(authority().provider().pkcs12("secret"))
        rig.clock.advance(REFUSED_S)
        (attempt,) = rig.send("b")
        rig.network.advance(0.2)
        self.delivered([attempt])

    def test_trust_anchors_that_cannot_be_read(self) -> None:
        """A wrong apple.ca_file is named."""
        rig = Rig(trust=Trust(str(FOLDER / "none.pem")))
        (attempt,) = rig.send("a")
        answer = self.successResultOf(attempt)
        assert isinstance(answer, Rejected)
        self.assertIn("apple.ca_file", answer.alarm)

    def test_owed_waits_for_the_next_connection(self) -> None:
        """What is to be sent again survives failed connections, and goes first."""
        rig = Rig()
        rig.gateway.script(reject={1: 8})
        rig.send("bad", "owed")
        rig.network.advance(0.04, 0.01)
        rig.network.refuse = True
        rig.network.advance(1)
        rig.network.refuse = False
        rig.send("new")
        rig.network.advance(5)
        self.assertEqual(rig.arrived[0], "owed")


class ClosingTests(SenderTestCase):
    """The end of a sender."""

    def test_waits_for_a_packet(self) -> None:
        """Within a second of the last write a packet may come: what it says is told."""
        rig = Rig()
        rig.gateway.script(reject={1: 8}, delay_s=0.5)
        rig.send("bad", "after")
        rig.network.advance(0.2)
        closed = Deferred.fromCoroutine(rig.transport.close())
        self.assertNoResult(closed)
        rig.network.advance(0.6)
        self.successResultOf(closed)
        self.assertEqual(rig.news.reasons, ["bad InvalidToken", "after closed"])

    def test_nothing_to_wait_for(self) -> None:
        """Without a recent write it ends at once, and for good."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(5)
        closed = Deferred.fromCoroutine(rig.transport.close())
        self.successResultOf(closed)
        (attempt,) = rig.send("b")
        self.assertEqual(self.successResultOf(attempt), Again("closed", free=True))
        self.finish(rig)
        self.assertEqual(len(rig.gateway.connections), 0)

    def test_while_connecting(self) -> None:
        """Attempts that wait end."""
        rig = Rig()
        rig.network.hang = True
        (attempt,) = rig.send("a")
        self.finish(rig)
        self.assertEqual(self.successResultOf(attempt), Again("closed", free=True))

    def test_gateway_that_does_not_answer(self) -> None:
        """A close that the gateway does not answer ends by itself."""
        rig = Rig()
        rig.send("a")
        rig.network.advance(5)
        other = rig.network.clients[0].other
        assert other is not None
        other.stuck = True
        self.finish(rig)
        self.assertTrue(rig.network.clients[0].gone)

    def test_with_something_to_try_again(self) -> None:
        """What waits after a processing error is told as failed."""
        rig = Rig()
        rig.gateway.script(reject={1: 1})
        rig.send("a")
        rig.network.advance(0.2)
        self.finish(rig)
        self.assertEqual(rig.news.reasons, ["a closed"])


STEPS = st.lists(
    st.tuples(st.sampled_from(("send", "send", "send", "reset", "end", "wait")), st.integers(1, 9)),
    max_size=14,
)


class ModelTests(SenderTestCase):
    """Random bursts, refusals and broken connections."""

    @settings(deadline=None, max_examples=40)
    @given(STEPS, st.sets(st.integers(0, 60), max_size=8), st.sampled_from((0.0, 0.3)))
    def test_N11_none_lost(
        self, steps: list[tuple[str, int]], bad: set[int], delay_s: float
    ) -> None:
        """Each is accepted or told as refused; twice only when a connection broke."""
        rig = Rig()
        rig.gateway.script(
            reject_tokens={number.to_bytes(32): 8 for number in bad}, delay_s=delay_s
        )
        sent = 0
        broken = False
        for step, number in steps:
            if step == "send":
                for _ in range(number):
                    rig.send(sent, token=sent.to_bytes(32))
                    sent += 1
            elif step == "wait":
                rig.network.advance(number / 4)
            else:
                rig.network.advance(2)
                for connection in list(rig.gateway.connections):
                    broken = True
                    connection.reset() if step == "reset" else connection.end()
            rig.network.advance(0.01 * number, 0.01)
        rig.network.advance(200, 0.5)
        times = Counter(rig.arrived)
        refused = {int(push.push_id) for push, _ in rig.news.failed}
        good = set(range(sent)) - bad
        self.assertEqual({int(name) for name in times}, good)
        self.assertEqual(refused, set(range(sent)) & bad)
        self.assertEqual(len(rig.news.failed), len(refused))
        if not broken:
            self.assertEqual(set(times.values()) - {1}, set())
        self.finish(rig)
