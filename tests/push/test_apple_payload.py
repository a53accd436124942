"""What a notification says on an Apple device."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.push.apple_payload import (
    MAX_EXPIRATION,
    OptionWarnings,
    PayloadTooLarge,
    apple_background,
    apple_expiration,
    apple_payload,
    apple_priority,
)
from tests.push.apple import apple_push

VECTOR = (
    "7b22617073223a7b22616c657274223a22486920c3a9222c226261646765223a337d2c226d65737361676522"
    "3a224167656e7420417661696c61626c65227d"
)
TEXTS = st.text(st.characters(codec=None), max_size=300)


class ApplePayloadTests(SynchronousTestCase):
    """``aps`` comes from the options, ``message`` from the event."""

    def setUp(self) -> None:
        """Note what is warned of."""
        self.warned: list[tuple[str, str]] = []

    def warn(self, option: str, value: str) -> None:
        """Note it."""
        self.warned.append((option, value))

    def aps(self, **options: str) -> object:
        """Read ``aps`` for options, whose names are written with ``_`` for ``.``."""
        named = {
            f"apple.{name.replace('__', '.').replace('_', '-')}": options[name] for name in options
        }
        return json.loads(apple_payload(apple_push(options=named), 2048, self.warn))["aps"]

    def test_vector(self) -> None:
        """The payload of the specification's vectors, byte for byte."""
        push = apple_push(options={"apple.alertMessage": "Hi é", "apple.badge": "3"})
        self.assertEqual(apple_payload(push, 63).hex(), VECTOR)

    def test_aps_is_there_though_empty(self) -> None:
        """Without options ``aps`` is an empty object."""
        self.assertEqual(
            apple_payload(apple_push("Hallo Ü"), 2048), '{"aps":{},"message":"Hallo Ü"}'.encode()
        )

    def test_every_plain_entry(self) -> None:
        """Badge and switches are numbers, the others texts; other options count nothing."""
        push = apple_push(
            options={
                "apple.alertMessage": "Hi",
                "apple.badge": " 0 ",
                "apple.sound": "a.caf",
                "apple.content-available": "true",
                "apple.mutable-content": "1",
                "apple.category": "CALL",
                "apple.keystore": "/secret",
                "android.collapse_key": "k",
            }
        )
        self.assertEqual(
            json.loads(apple_payload(push, 2048))["aps"],
            {
                "alert": "Hi",
                "badge": 0,
                "sound": "a.caf",
                "content-available": 1,
                "mutable-content": 1,
                "category": "CALL",
            },
        )

    def test_empty_option_is_not_sent(self) -> None:
        """An option set to nothing switches the entry off."""
        self.assertEqual(
            self.aps(
                alertMessage="", alertMessage__body="", badge="", sound="", content_available="",
                category="", title="",
            ),
            {},
        )  # fmt: skip
        self.assertEqual(self.warned, [])

    def test_switched_off(self) -> None:
        """A switch that is off is left out."""
        self.assertEqual(self.aps(content_available="false", mutable_content="0"), {})
        self.assertEqual(self.warned, [])

    def test_message_stands_in_the_texts(self) -> None:
        """``${message}`` is the message, whatever that holds."""
        push = apple_push(
            "a ${message} b",
            {
                "apple.alertMessage.body": "<${message}>",
                "apple.title": "T ${message}",
                "apple.alertMessage.loc-key": "${message}",
            },
        )
        self.assertEqual(
            json.loads(apple_payload(push, 2048))["aps"]["alert"],
            {"title": "T a ${message} b", "body": "<a ${message} b>", "loc-key": "${message}"},
        )
        plain = apple_push("x", {"apple.alertMessage": "${message}!"})
        self.assertEqual(json.loads(apple_payload(plain, 2048))["aps"], {"alert": "x!"})

    def test_alert_entries(self) -> None:
        """Any entry beside the text makes the alert a dictionary."""
        push = apple_push(
            options={
                "apple.alertMessage": "plain",
                "apple.alertMessage.action-loc-key": "PLAY",
                "apple.alertMessage.loc-key": "FORMAT",
                "apple.alertMessage.loc-argnames": "customer.name, shelf ,,nobody",
                "apple.alertMessage.launch-image": "i.png",
            },
            properties={"shelf": "7", "customer.name": "not this"},
            loc_args={"customer.name": "Doe"},
        )
        self.assertEqual(
            json.loads(apple_payload(push, 2048))["aps"]["alert"],
            {
                "action-loc-key": "PLAY",
                "loc-key": "FORMAT",
                "launch-image": "i.png",
                "loc-args": ["Doe", "7", ""],
                "body": "plain",
            },
        )

    def test_body_beats_the_plain_text(self) -> None:
        """Both set: the entry is the body."""
        self.assertEqual(
            self.aps(alertMessage="plain", alertMessage__body="body"), {"alert": {"body": "body"}}
        )

    def test_unusable_values_are_left_out(self) -> None:
        """Each unusable number or switch is told and not sent."""
        for value in ("x", "-1", "1.5", "٣", "2147483648", "99999999999999999999"):
            self.assertEqual(self.aps(badge=value), {})
            self.assertEqual(self.warned.pop(), ("apple.badge", value))
        self.assertEqual(self.aps(content_available="maybe"), {})
        self.assertEqual(self.warned, [("apple.content-available", "maybe")])

    def test_warned_once_for_each_option(self) -> None:
        """The log has one line for an option, however often it is met."""
        warn = OptionWarnings()
        with capturedLogs() as lines:
            for _ in range(3):
                apple_payload(apple_push(options={"apple.badge": "x"}), 99, warn)
                apple_priority(apple_push(options={"apple.priority": "high"}), warn)
        self.assertEqual(len(lines), 2)

    def test_N09_limit_is_exact_and_nothing_is_cut(self) -> None:
        """The limit counts bytes of UTF-8; one more is refused with both numbers."""
        whole = '{"aps":{},"message":"éé"}'.encode()
        self.assertEqual(apple_payload(apple_push("éé"), len(whole)), whole)
        with self.assertRaises(PayloadTooLarge) as caught:
            apple_payload(apple_push("éé"), len(whole) - 1)
        self.assertEqual((caught.exception.size, caught.exception.limit), (27, 26))

    @settings(deadline=None, max_examples=150)
    @given(TEXTS, TEXTS, st.integers(20, 900))
    def test_N09_any_text(self, message: str, alert: str, limit: int) -> None:
        """Any text, half characters too, gives JSON in UTF-8 inside the limit, or a refusal."""
        push = apple_push(message, {"apple.alertMessage": alert, "apple.sound": message})
        try:
            payload = apple_payload(push, limit)
        except PayloadTooLarge as refused:
            self.assertGreater(refused.size, limit)
            return
        self.assertLessEqual(len(payload), limit)
        sent = json.loads(payload.decode("utf-8"))
        if message.isascii():
            self.assertEqual(sent["message"], message)

    def test_N09_half_characters(self) -> None:
        """A lone surrogate becomes U+FFFD, a pair one character."""
        payload = apple_payload(apple_push("a\ud800b \ud83d\ude00"), 99)
        self.assertEqual(json.loads(payload)["message"], "a\ufffdb \U0001f600")


class DeliveryOptionTests(SynchronousTestCase):
    """Priority and expiry go beside the payload."""

    def test_priority(self) -> None:
        """10 unless set to 5; an unusable value counts nothing."""
        for value, priority in (("", 10), ("5", 5), (" 10 ", 10), ("1", 1), ("7", 10)):
            push = apple_push(options={"apple.priority": value})
            self.assertEqual(apple_priority(push, lambda *_: None), priority, value)

    def test_background_is_never_urgent(self) -> None:
        """What only wakes the application has 5, whatever is set."""
        silent = {"apple.content-available": "1", "apple.priority": "10"}
        self.assertEqual(apple_priority(apple_push(options=silent)), 5)
        self.assertTrue(apple_background(apple_push(options=silent)))
        for name in ("alertMessage", "badge", "sound", "title"):
            seen = {**silent, f"apple.{name}": "3"}
            self.assertEqual(apple_priority(apple_push(options=seen)), 10, name)
        self.assertFalse(apple_background(apple_push(options={"apple.category": "C"})))

    def test_expiration(self) -> None:
        """Seconds from now when set, 0 stays 0, else the event's own end."""
        for value, moment in (
            ("60", 1061), ("0", 0), ("", 1_700_000_000), ("x", 1_700_000_000),
            ("2147483647", MAX_EXPIRATION),
        ):  # fmt: skip
            push = apple_push(options={"apple.expiry": value})
            self.assertEqual(apple_expiration(push, 1000.5, lambda *_: None), moment, value)
        self.assertEqual(apple_expiration(apple_push(expires_at=1e12), 0.0), MAX_EXPIRATION)
