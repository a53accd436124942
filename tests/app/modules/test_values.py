"""JSON values out of a script, as actions want them."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules import values
from gms_twisted.app.modules.values import (
    any_text,
    flag,
    members,
    needed,
    number,
    read_json,
    text,
    texts,
)
from gms_twisted.domain.errors import InvalidRequest


class TextTests(SynchronousTestCase):
    """Values as text."""

    def test_as_in_a_form(self) -> None:
        """Numbers and booleans are written as a script writes them."""
        for value, expected in (
            ("a", "a"),
            (None, ""),
            (True, "true"),
            (False, "false"),
            (5, "5"),
            (5.0, "5"),
            (-0.25, "-0.25"),
            (1e300, "1e+300"),
        ):
            self.assertEqual(text({"x": value}, "x"), expected)
        self.assertEqual(text({}, "x", "default"), "default")

    def test_no_objects(self) -> None:
        """An object is no text, and the attribute is named."""
        nothing: object
        for nothing in ({}, [1]):
            error = self.assertRaises(InvalidRequest, text, {"x": nothing}, "x")
            self.assertEqual(error.parameter, "x")

    def test_any(self) -> None:
        """Where any value may stand, objects are JSON; null is left out."""
        self.assertEqual(any_text({"a": [1, "é"]}), '{"a":[1,"é"]}')
        self.assertEqual(texts({"a": 1, "b": None, "c": [True]}), {"a": "1", "c": "[true]"})

    def test_halves_of_pairs(self) -> None:
        """Half of a surrogate pair becomes the sign for what cannot be read; a pair is one."""
        self.assertEqual(text({"x": "a\ud800b"}, "x"), "a\ufffdb")
        self.assertEqual(text({"x": "\ud83d\ude00é"}, "x"), "\U0001f600é")
        self.assertEqual(texts({"\udc00": ["\ud800"]}), {"\ufffd": '["\ufffd"]'})

    def test_too_deep(self) -> None:
        """A value that nests without end is refused."""
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        self.assertRaises(InvalidRequest, any_text, deep)

    def test_needed(self) -> None:
        """Missing and empty are the same."""
        for attributes in ({}, {"x": ""}, {"x": None}):
            error = self.assertRaises(InvalidRequest, needed, attributes, "x")
            self.assertEqual(error.parameter, "x")


class OtherTests(SynchronousTestCase):
    """Numbers, flags, objects."""

    def test_numbers(self) -> None:
        """Digits count as a number; too large ones as the largest; what is none is refused."""
        for value, expected in (("30", 30.0), (1.5, 1.5), (0, 0.0), (101, 100.0), ("", None)):
            self.assertEqual(number({"x": value}, "x", 0.0, 100.0), expected)
        for bad in ("abc", -1, "nan", "inf", math.inf, "1e999", "1" * 33, [1]):
            self.assertRaises(InvalidRequest, number, {"x": bad}, "x", 0.0, 100.0)

    def test_flags(self) -> None:
        """Yes and no in their spellings; anything else is refused."""
        for value in (True, "true", "TRUE", 1, "yes"):
            self.assertIs(flag({"x": value}, "x", False), True)
        for value in (False, "false", 0, "no"):
            self.assertIs(flag({"x": value}, "x", True), False)
        self.assertIs(flag({}, "x", True), True)
        self.assertRaises(InvalidRequest, flag, {"x": "maybe"}, "x", True)

    def test_objects(self) -> None:
        """An object, its JSON text, or nothing."""
        for value in ({"a": 1}, '{"a":1}'):
            self.assertEqual(members({"x": value}, "x"), {"a": 1})
        self.assertEqual(members({}, "x"), {})
        for bad in ([1], "[1]", "{", 5):
            self.assertRaises(InvalidRequest, members, {"x": bad}, "x")

    def test_json(self) -> None:
        """No NaN, no name twice, no depth without end, no more than the limit."""
        for bad in ("NaN", '{"a":1,"a":2}', "[" * 100_000, "", "1 2"):
            self.assertRaises(InvalidRequest, read_json, bad, "x")
        self.patch(values, "MAX_JSON_CHARS", 3)
        self.assertEqual(read_json("[1]", "x"), [1])
        self.assertRaises(InvalidRequest, read_json, "[12]", "x")
