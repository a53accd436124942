"""JSON in and out.  Bayeux: long-polling 4 and 5; hardening J01, J02, J06, J08 to J10."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.codec import MalformedPayload, array, decode, encode, padded
from gms_twisted.bayeux.messages import delivery, version_above_one

values = some.recursive(
    some.one_of(
        some.none(),
        some.booleans(),
        some.integers(-(2**80), 2**80),
        some.floats(allow_nan=False, allow_infinity=False),
        some.text(some.characters(exclude_categories=["Cs"]), max_size=8),
    ),
    lambda inner: some.one_of(
        some.lists(inner, max_size=4), some.dictionaries(some.text("abc", max_size=3), inner)
    ),
    max_leaves=12,
)


class DecodeTests(SynchronousTestCase):
    """What is a payload."""

    def test_forms(self) -> None:
        """One object, or an array of objects."""
        self.assertEqual(decode(b'{"a":1}'), [{"a": 1}])
        self.assertEqual(decode(b' [{"a":1},{}] '), [{"a": 1}, {}])

    def test_duplicates(self) -> None:
        """Of duplicate names the last wins, also where numbers are long."""
        self.assertEqual(decode(b'{"a":1,"a":2}'), [{"a": 2}])
        self.assertEqual(decode(b'{"a":1,"a":9999999999999999999999}'), [{"a": 10**22 - 1}])

    def test_J02_not_finite(self) -> None:
        """NaN and infinity are neither read nor written."""
        for text in (b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e400}'):
            self.assertRaises(MalformedPayload, decode, text)
        self.assertEqual(encode(float("nan")), b"null")

    def test_J03_long_numbers(self) -> None:
        """Long numbers keep their value; absurd ones are refused."""
        self.assertEqual(
            decode(b'{"a":123456789012345678901234567890}')[0]["a"], int("1234567890" * 3)
        )
        self.assertRaises(MalformedPayload, decode, b'{"a":' + b"9" * 5000 + b"}")

    def test_long_digits_in_texts(self) -> None:
        """Digits in a text are a text."""
        digits = "1234567890" * 3
        for text in (digits, f"T{digits}", f" {digits}", f":{digits}", f"-{digits}"):
            self.assertEqual(decode(json.dumps({"a": text}).encode())[0]["a"], text)

    def test_J06_bytes(self) -> None:
        """UTF-8 with or without a mark; nothing else."""
        self.assertEqual(decode(b"\xef\xbb\xbf{}"), [{}])
        for body in (b"\xff\xfe{\x00}\x00", b'{"a":"\xc3"}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf"):
            self.assertRaises(MalformedPayload, decode, body)

    def test_J08_bounds(self) -> None:
        """1,000 members and 10,000 elements are read, one more is not."""
        members = {str(number): 1 for number in range(1000)}
        self.assertEqual(decode(json.dumps(members).encode()), [members])
        self.assertRaises(MalformedPayload, decode, json.dumps({**members, "x": 1}).encode())
        decode(json.dumps({"a": [0] * 10_000}).encode())
        self.assertRaises(MalformedPayload, decode, json.dumps({"a": [0] * 10_001}).encode())

    @settings(deadline=None, max_examples=100)
    @given(some.dictionaries(some.text("abc", max_size=3), values, max_size=5))
    def test_round_trip(self, message: dict[str, Any]) -> None:
        """What is read can be written, and says the same."""
        text = json.dumps(message).encode()
        (read,) = decode(text)
        self.assertEqual(read, message)
        self.assertEqual(json.loads(encode(read)), message)

    @settings(deadline=None, max_examples=100)
    @given(some.binary(max_size=60))
    def test_J10_any_bytes(self, body: bytes) -> None:
        """Any bytes are messages, or malformed; never anything else."""
        with contextlib.suppress(MalformedPayload):
            self.assertTrue(all(type(one) is dict for one in decode(body)))


class EncodeTests(SynchronousTestCase):
    """What goes out."""

    def test_compact(self) -> None:
        """No spaces, no escapes that need not be."""
        self.assertEqual(encode({"a": ["é", 1.5]}), '{"a":["é",1.5]}'.encode())
        self.assertEqual(array([b"{}", b"{}"]), b"[{},{}]")

    def test_what_is_no_json(self) -> None:
        """What cannot be written raises, deep or foreign."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for value in (object(), {1, 2}, deep):
            self.assertRaises(TypeError, encode, value)

    def test_padding(self) -> None:
        """The script has a comment in front, and nothing in it ends an element or a line."""
        script = padded(b"f", encode([{"a": "</script>&\u2028\u2029\u20aa"}]))
        self.assertEqual(
            script,
            '/**/f([{"a":"\\u003c/script\\u003e\\u0026\\u2028\\u2029\u20aa"}])'.encode(),
        )


class MessageTests(SynchronousTestCase):
    """Small things about messages."""

    def test_versions(self) -> None:
        """What is no version asks for nothing."""
        self.assertTrue(version_above_one("10"))
        for value in ("1.x", "one", "", None, 2, "1.0.0", "0.99"):
            self.assertFalse(version_above_one(value), value)

    def test_deliveries_keep_unknown_members(self) -> None:
        """Unknown members pass, odd ext does not."""
        self.assertEqual(
            delivery({"channel": "/a/", "x": 1, "ext": 5, "data": None}, "/a"),
            {"channel": "/a", "x": 1},
        )
