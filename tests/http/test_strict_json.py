"""JSON that every reader understands the same way, within limits."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.http.strict_json import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_MEMBERS,
    MAX_VALUES,
    dumps,
    loads,
)

_WHOLE = st.integers(-(2**53), 2**53)
_TEXT = st.text()
_VALUES = st.recursive(
    st.none() | st.booleans() | _WHOLE | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(_TEXT.filter(lambda name: "\0" not in name), inner, max_size=5)
    ),
    max_leaves=20,
)
_PIECES = st.lists(
    st.sampled_from(
        [
            *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"d800", b"\\u0000"),
            *(b'"a"', b"1", b"-", b".", b"e", b"9" * 20, b"null", b"true", b"NaN"),
            *(b"\xff", b"\xef\xbb\xbf", b" "),
        ]
    )
    | st.binary(max_size=4),
    max_size=30,
).map(b"".join)


class StrictJsonTests(SynchronousTestCase):
    """What is refused, with which sentence, and what is not."""

    def refused(self, data: bytes, words: str) -> None:
        """Check that ``data`` is refused with a sentence that has ``words``."""
        error = self.assertRaises(InvalidRequest, loads, data)
        self.assertIn(words, str(error))
        self.assertTrue(str(error).endswith("."), str(error))

    def test_J01_as_deep_as_allowed(self) -> None:
        """64 levels are read, of lists and of objects."""
        self.assertIsInstance(loads(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH), list)
        self.assertIsInstance(loads(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH), dict)

    def test_J01_too_deep(self) -> None:
        """One level more is refused, and so is any number more, closed or not."""
        for depth in (MAX_DEPTH + 1, 300, 1024, 1025, 20_000):
            self.refused(b"[" * depth + b"]" * depth, "64 deep")
        self.refused(b"[" * 15_000, "64 deep")
        self.refused(b'{"a":[' * 33 + b"]}" * 33, "64 deep")
        self.refused(b"[" * 1_000_000, "values")

    def test_J01_a_scalar_is_no_level(self) -> None:
        """What stands in the deepest list does not count as deeper."""
        deepest = b'["text", {}]'
        self.refused(b"[" * (MAX_DEPTH - 1) + deepest + b"]" * (MAX_DEPTH - 1), "64 deep")
        loads(b"[" * (MAX_DEPTH - 2) + deepest + b"]" * (MAX_DEPTH - 2))

    def test_J01_output_does_not_recurse_without_end(self) -> None:
        """What is nested too deep to be written raises, and what loads accepts is not."""
        value: object = 1
        for _ in range(5000):
            value = [value]
        self.assertRaises(TypeError, dumps, value)

    def test_J02_numbers_that_are_none(self) -> None:
        """``NaN``, ``Infinity`` and numbers above a double are refused."""
        for text in (b"NaN", b"Infinity", b"-Infinity", b"[NaN]", b"nan", b"-NaN"):
            self.refused(text, "not JSON")
        for text in (b"1e400", b"-1e400", b'{"a":1e999999999}'):
            self.refused(text, "too large")

    def test_J02_never_written(self) -> None:
        """A float without a JSON form is written as ``null``."""
        self.assertEqual(dumps([float("nan"), float("inf"), 1.5]), b"[null,null,1.5]")

    def test_J03_integers_that_a_double_cannot_hold(self) -> None:
        """Integers outside +-2**53 are refused however long; inside they are exact."""
        for number in (2**53, -(2**53), 0):
            self.assertEqual(loads(b"[%d]" % number), [number])
        for number in (2**53 + 1, -(2**53) - 1, 2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**40):
            self.refused(b'{"a":[%d]}' % number, "2^53")
        for digits in (400, 5000, 1_000_000):
            self.refused(b"9" * digits, "too large")

    def test_J03_large_floats_are_no_integers(self) -> None:
        """A number written with a point or an exponent is a double, however large."""
        self.assertEqual(
            loads(b"[1e300, 12345678901234567890.0, 1E19]"), [1e300, 1.2345678901234567e19, 1e19]
        )
        self.assertEqual(loads(b'["12345678901234567890", 1e20]'), ["12345678901234567890", 1e20])
        self.refused(b"[1e300, 12345678901234567890]", "2^53")

    def test_J04_a_name_twice(self) -> None:
        """The same name twice in one object is refused, also spelt with escapes."""
        self.refused(b'{"a":1,"a":1}', "same name twice")
        self.refused(b'{"a":1,"\\u0061":2}', "same name twice")
        self.refused(b'[{"x":{"b":1,"c":{},"b":[]}}]', "same name twice")
        self.refused(b'{"":1,"":2}', "same name twice")

    def test_J04_colons_and_quotes_in_texts(self) -> None:
        """Texts may hold every punctuation mark without looking like members."""
        value = {"a:b": ':"{[,', 'q"': '\\":\\', "\\": ["a\\\\", '":"'], "z": {"a:b": 1}}
        self.assertEqual(loads(json.dumps(value).encode()), value)

    def test_J05_half_pairs(self) -> None:
        """Half of a surrogate pair is refused, as value and as name; a pair is a character."""
        for text in (b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"', b'{"\\udfff":1}'):
            self.refused(text, "surrogate")
        self.assertEqual(loads(b'"\\ud83d\\ude00"'), "\N{GRINNING FACE}")
        self.assertRaises(TypeError, dumps, "\ud800")

    def test_J05_nul_in_names(self) -> None:
        """NUL is refused in names; in values it is for whoever knows what they mean."""
        self.refused(b'{"a\\u0000":1}', "NUL")
        self.assertEqual(loads(b'"a\\u0000"'), "a\0")
        self.refused(b'"a\x00"', "not JSON")

    def test_J06_utf_8_only(self) -> None:
        """Other encodings and broken UTF-8 are refused; a leading mark is skipped once."""
        for text in ('{"a":1}'.encode(code) for code in ("utf-16", "utf-16-le", "utf-32")):
            self.refused(text, "The body is not")
        for text in (b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'{"\xe2\x82":1}'):
            self.refused(text, "not UTF-8")
        self.assertEqual(loads(b'\xef\xbb\xbf{"a":1}'), {"a": 1})
        self.assertRaises(InvalidRequest, loads, b"\xef\xbb\xbf\xef\xbb\xbf1")

    def test_J07_wrong_types_are_seen(self) -> None:
        """Each JSON type keeps its own Python type, so that wrong ones can be refused."""
        document = loads(b'[1, 1.0, true, null, "1", [], {}]')
        assert isinstance(document, list)
        self.assertEqual(
            [type(value) for value in document],
            [int, float, bool, type(None), str, list, dict],
        )

    def test_J08_members_and_elements(self) -> None:
        """1,000 members and 10,000 elements are read, one more of either is refused."""
        members = [b'"%d":0' % number for number in range(MAX_MEMBERS + 1)]
        loads(b"{" + b",".join(members[:-1]) + b"}")
        self.refused(b"{" + b",".join(members) + b"}", "1000 members")
        loads(b"[" + b",".join([b"0"] * MAX_ELEMENTS) + b"]")
        self.refused(b"[" + b",".join([b"0"] * (MAX_ELEMENTS + 1)) + b"]", "10000 elements")

    def test_J08_values_in_all(self) -> None:
        """The whole document has a bound too, met before any object is made of it."""
        row = b"[" + b",".join([b"{}"] * 999) + b"]"
        self.refused(b"[" + b",".join([row] * (MAX_VALUES // 1000)) + b"]", "20000 values")
        self.refused(b'""' * (2 * MAX_VALUES + 1), "20000 values")
        self.assertEqual(loads(b'"' + b"," * 100_000 + b'"'), "," * 100_000)

    def test_J09_nothing_or_too_much(self) -> None:
        """Empty, blank, ``null``, cut short and more than one document are refused."""
        for text in (b"", b"  \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf "):
            self.refused(text, "is empty")
        self.refused(b" null ", "is null")
        for text in (b"{} {}", b"1 2", b"{}x", b"nullnull", b"[1],"):
            self.refused(text, "after its end")
        for text in (b"[", b'{"a"', b'"', b"[1,]", b"{,}", b"01", b"+1", b"'a'", b"// x\n1"):
            self.refused(text, "not JSON")

    def test_null_on_request(self) -> None:
        """``null`` is a document for those who ask for it, and so is one within a document."""
        self.assertIsNone(loads(b"null", allow_null=True))
        self.assertEqual(loads(b'{"a":null}'), {"a": None})

    def test_names_what_is_wrong_and_where(self) -> None:
        """The sentence names the text as the caller does, and the place."""
        error = self.assertRaises(InvalidRequest, loads, b'{\n "a" 1}', what="parameter udata")
        self.assertEqual(str(error), "The parameter udata is not JSON (line 2, column 6).")

    def test_written_compact(self) -> None:
        """Output has no blanks and plain UTF-8."""
        self.assertEqual(dumps({"a": [1, "\u00e4"]}), '{"a":[1,"\u00e4"]}'.encode())

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=200) | _PIECES)
    @example(b"\xef\xbb\xbf")
    @example(b"-")
    def test_J10_any_bytes(self, data: bytes) -> None:
        """Any bytes give a value or a refusal, and whatever is accepted can be written again."""
        try:
            value = loads(data)
        except InvalidRequest as error:
            self.assertLess(len(str(error)), 200)
        else:
            self.assertEqual(loads(dumps(value)), value)

    @settings(deadline=None, max_examples=100)
    @given(_VALUES)
    def test_J10_any_value(self, value: object) -> None:
        """Any value within the limits comes back as it was written, by us or by others."""
        self.assertEqual(loads(dumps(value), allow_null=True), value)
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
            self.assertEqual(loads(text.encode(), allow_null=True), value)
