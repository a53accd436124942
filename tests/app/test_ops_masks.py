"""Tests of what an operator may see of a value (hardening G07)."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.ops_masks import MAX_ITEMS, MAX_TEXT, masked_phone, short_device, shown


class MaskTests(SynchronousTestCase):
    """Names say what is hidden, whoever tells."""

    def test_phones(self) -> None:
        """Two digits are left; of a short number nothing."""
        self.assertEqual(masked_phone("+1 (415) 555-0134"), "***34")
        self.assertEqual(masked_phone("1234"), "***")
        for name in ("phone", "ani", "_phone_number", "Phone"):
            self.assertEqual(shown({name: "+14155550134"}), {name: "***34"})
            self.assertEqual(shown({name: 14155550134}), {name: "***"})

    def test_devices(self) -> None:
        """Eight characters of a device id."""
        self.assertEqual(short_device("a" * 64), "aaaaaaaa\u2026")
        self.assertEqual(short_device("short"), "short")
        self.assertEqual(shown({"device": "b" * 20}), {"device": "bbbbbbbb\u2026"})

    def test_codes_and_secrets(self) -> None:
        """Nothing of them, as text or number, however deep."""
        secret = "canary-4711"
        row = {
            "code": secret, "access_code": 4711, "apiKey": secret, "private_key": secret,
            "provider": {"password": secret, "list": [{"auth_key": secret}]},
            "refresh_token": [secret],
        }  # fmt: skip
        self.assertNotIn("4711", json.dumps(shown(row)))

    def test_what_is_left_out(self) -> None:
        """Texts to people and properties do not appear, not even their names."""
        row = {"id": "x", "message": "Dear Vasya", "properties": {"a": 1}, "payload": "p"}
        self.assertEqual(shown(row), {"id": "x"})

    def test_bounds(self) -> None:
        """Long texts, long lists and deep values are cut; what is no JSON is hidden."""
        deep: Any = "end"
        for _ in range(20):
            deep = [deep]
        long = shown({"text": "x" * 5000, "rows": list(range(2000)), "deep": deep})
        assert isinstance(long, dict)
        self.assertEqual(len(long["text"]), MAX_TEXT + 1)
        self.assertEqual(len(long["rows"]), MAX_ITEMS)
        self.assertIn("***", json.dumps(long["deep"]))
        self.assertEqual(
            shown([b"bytes", object(), float("nan"), None]), ["***", "***", None, None]
        )

    def test_what_stays(self) -> None:
        """Ids, numbers, flags and plain words."""
        row = {"id": "39a98e24", "free": 3, "debug": False, "ends": None, "number": "+18005550100"}
        self.assertEqual(shown(row), row)
