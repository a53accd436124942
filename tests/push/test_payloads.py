"""Bodies for gateways: what they hold, what no text can break."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.push.payloads import (
    MAX_C2DM,
    MAX_FCM,
    MAX_GCM,
    AndroidOptions,
    MessageTooBig,
    c2dm_form,
    clean,
    custom_body,
    fcm_body,
    fcm_template,
    gcm_body,
    gcm_template,
    text_body,
)

# Everything that a text can hold: surrogates too, quotes, controls, overrides.
TEXTS = st.text(st.characters(exclude_categories=())) | st.text(
    "\"\\\u202e\u0000\ud83d\ude00\ud800\n'}{&=%+ é€", max_size=300
)
PLAIN = AndroidOptions()


class TextTests(SynchronousTestCase):
    """Whatever the text, a body is valid."""

    @given(TEXTS)
    def test_N09_callback(self, message: str) -> None:
        """A callback's body is UTF-8, and the message itself where it can be."""
        text = text_body(message).decode("utf-8")
        self.assertEqual(text, clean(message))

    @given(TEXTS, TEXTS)
    def test_N09_custom(self, device: str, message: str) -> None:
        """The JSON of customhttp reads back."""
        document = json.loads(custom_body(device, message).decode("utf-8"))
        self.assertEqual(document, {"deviceId": clean(device), "message": clean(message)})

    @given(TEXTS, TEXTS, TEXTS)
    def test_N09_c2dm(self, device: str, message: str, key: str) -> None:
        """The form of C2DM reads back, or the message is too big."""
        options = AndroidOptions.read({"android.collapse_key": key})
        try:
            body = c2dm_form(device, "a.b", message, options)
        except MessageTooBig as error:
            self.assertGreater(error.size, MAX_C2DM)
            return
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict")
        self.assertEqual(form["data.message"], [clean(message)])
        self.assertEqual(form["registration_id"], [clean(device)])
        self.assertEqual(form["collapse_key"], [clean(key) or "a.b"])

    @given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
    def test_N09_gcm(self, message: str, devices: list[str], key: str) -> None:
        """The JSON of GCM reads back."""
        options = AndroidOptions.read({"android.collapse_key": key})
        document = json.loads(gcm_body(devices, gcm_template(message, options)).decode("utf-8"))
        self.assertEqual(document["data"], {"message": clean(message)})
        self.assertEqual(document["registration_ids"], [clean(one) for one in devices])
        self.assertEqual(document.get("collapse_key", ""), clean(key))

    @given(TEXTS, TEXTS, TEXTS)
    def test_N09_fcm(self, message: str, device: str, title: str) -> None:
        """The JSON of FCM reads back."""
        options = AndroidOptions.read({"fcm.title": title, "fcm.body": "${message}"})
        try:
            body = fcm_body(device, fcm_template(message, options))
        except MessageTooBig:
            return
        document = json.loads(body.decode("utf-8"))
        self.assertEqual(document["message"]["token"], clean(device))
        self.assertEqual(document["message"]["data"], {"message": clean(message)})
        self.assertEqual(document["message"]["notification"]["body"], clean(message))

    def test_surrogates(self) -> None:
        """Two halves are joined; one alone becomes U+FFFD."""
        self.assertEqual(clean("\ud83d\ude00"), "\U0001f600")
        self.assertEqual(clean("a\ud800b"), "a\ufffdb")


class SizeTests(SynchronousTestCase):
    """Limits are in bytes, names included; nothing is cut."""

    def test_N09_at_the_limit(self) -> None:
        """The last byte that fits, and the first that does not."""
        overhead = len(json.dumps({"data": {"message": ""}}, separators=(",", ":")))
        for build, limit in (
            (lambda text: c2dm_form("d", "t", text, PLAIN), MAX_C2DM - len("message")),
            (lambda text: gcm_template(text, PLAIN), MAX_GCM - len("message")),
            (lambda text: fcm_template(text, PLAIN), MAX_FCM - overhead),
        ):
            text = "é" * (limit // 2) + "a" * (limit % 2)
            build(text)
            error = self.assertRaises(MessageTooBig, build, f"{text}a")
            self.assertEqual(error.size, error.limit + 1)

    def test_collapse_key_of_long_tags(self) -> None:
        """A tag of up to 64 characters is the key of C2DM, a longer one is hashed."""
        for tag, expected in (("a" * 64, "a" * 64), ("a" * 65, "635361c48bb9eab14198e76ea8ab7f1a")):
            form = parse_qs(c2dm_form("d", tag, "m", PLAIN).decode("ascii"))
            self.assertEqual(form["collapse_key"], [expected])


class OptionTests(SynchronousTestCase):
    """Formatting options in bodies."""

    OPTIONS = {
        "android.collapse_key": "k",
        "android.delayWhileIdle": "true",
        "android.timeToLive": "108",
        "android.priority": "high",
        "android.restrictedPackageName": "a.b",
        "android.dryRun": "no",
    }

    def test_c2dm(self) -> None:
        """Byte by byte; only a true delay_while_idle is sent."""
        body = c2dm_form("R 1", "t", "é & x", AndroidOptions.read(self.OPTIONS))
        self.assertEqual(
            body,
            b"registration_id=R+1&collapse_key=k&data.message=%C3%A9+%26+x&delay_while_idle=1",
        )
        self.assertNotIn(b"delay", c2dm_form("R", "t", "m", PLAIN))

    def test_gcm(self) -> None:
        """Byte by byte; what is unset is left out."""
        template = gcm_template("é", AndroidOptions.read(self.OPTIONS))
        self.assertEqual(
            gcm_body(["R1", "R2"], template).decode("utf-8"),
            '{"registration_ids":["R1","R2"],"data":{"message":"é"},"collapse_key":"k",'
            '"time_to_live":108,"delay_while_idle":true,"restricted_package_name":"a.b",'
            '"dry_run":false}',
        )
        self.assertEqual(
            gcm_body(["R1"], gcm_template("", PLAIN)),
            b'{"registration_ids":["R1"],"data":{"message":""}}',
        )

    def test_fcm_plain(self) -> None:
        """Without options there are token and data only, as apps of old read them."""
        self.assertEqual(
            fcm_body("T", fcm_template("m", PLAIN)),
            b'{"message":{"token":"T","data":{"message":"m"}}}',
        )

    def test_fcm_old_attributes(self) -> None:
        """The attributes of GCM in FCM's words; delayWhileIdle has no counterpart."""
        document = json.loads(fcm_body("T", fcm_template("m", AndroidOptions.read(self.OPTIONS))))
        self.assertEqual(
            document["message"]["android"],
            {
                "collapse_key": "k",
                "priority": "HIGH",
                "ttl": "108s",
                "restricted_package_name": "a.b",
            },
        )
        self.assertNotIn("validate_only", document)

    def test_fcm_dry_run(self) -> None:
        """A trial is ``validate_only``."""
        options = AndroidOptions.read({"android.dryRun": "1"})
        document = json.loads(fcm_body("T", fcm_template("m", options)))
        self.assertIs(document["validate_only"], True)

    def test_fcm_blocks(self) -> None:
        """An operator's blocks go along, and beat the old attributes."""
        options = AndroidOptions.read(
            {
                **self.OPTIONS,
                "fcm.title": "News",
                "fcm.body": "It says: ${message}",
                "fcm.android.json": '{"priority":"NORMAL","direct_boot_ok":true}',
                "fcm.apns.json": '{"headers":{"apns-priority":"5"}}',
                "fcm.webpush.json": '{"headers":{"TTL":"60"}}',
            }
        )
        message = json.loads(fcm_body("T", fcm_template("m", options)))["message"]
        self.assertEqual(message["notification"], {"title": "News", "body": "It says: m"})
        self.assertEqual(message["android"]["priority"], "NORMAL")
        self.assertEqual(message["android"]["ttl"], "108s")
        self.assertEqual(message["apns"], {"headers": {"apns-priority": "5"}})
        self.assertEqual(message["webpush"], {"headers": {"TTL": "60"}})

    def test_fcm_blocks_in_the_other_spelling(self) -> None:
        """A member that the block spells ``collapseKey`` is not sent as ``collapse_key`` too."""
        block = '{"collapseKey":"theirs","ttl":"5s"}'
        options = AndroidOptions.read({**self.OPTIONS, "fcm.android.json": block})
        self.assertEqual(options.collapse_key, self.OPTIONS["android.collapse_key"])
        android = json.loads(fcm_body("T", fcm_template("m", options)))["message"]["android"]
        self.assertEqual(android["collapseKey"], "theirs")
        self.assertNotIn("collapse_key", android)

    def test_unreadable(self) -> None:
        """What cannot be read is left out and named; empty means "do not send"."""
        read = AndroidOptions.read(
            {
                "android.delayWhileIdle": "maybe",
                "android.timeToLive": "soon",
                "android.priority": "urgent",
                "android.dryRun": "",
                "fcm.android.json": "[1]",
                "fcm.apns.json": "{",
                "fcm.webpush.json": '{"a":NaN}',
            }
        )
        self.assertEqual(
            sorted(read.unreadable),
            [
                *("android.delayWhileIdle", "android.priority", "android.timeToLive"),
                *("fcm.android.json", "fcm.apns.json", "fcm.webpush.json"),
            ],
        )
        self.assertEqual(
            (read.delay_while_idle, read.time_to_live_s, read.priority, read.dry_run, read.blocks),
            (None, None, "", None, None),
        )

    def test_time_to_live_in_range(self) -> None:
        """A number outside the range counts as its nearest end."""
        for text, expected in (("0", 0), ("-5", 0), ("9999999", 2_419_200), ("2419200", 2_419_200)):
            read = AndroidOptions.read({"android.timeToLive": text})
            self.assertEqual((read.time_to_live_s, read.unreadable), (expected, ()))
