"""Tests of :mod:`gms_twisted.domain.tags` (hardening N05).

Spec: Notification API, "Filters and tags".
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.tags import (
    MAX_LENGTH,
    check_filter,
    check_tag,
    filters_matching,
    matches,
)

BAD = (
    *("", None, 5, True, ["a"], {"a": 1}, ".a", "a.", "a..b", "a b", "a-b", "\xe9", " a", "a "),
    *("a*", "a.*.b", "*.a", "**", "a.**", "a.!", "!", ".", ".*", "a..*", "a.*.*", "a\n", "a\x00"),
    *("(a+)+$", "a.[b]", "a?", "a|b", "\u0661", "\uff41", "\ud800", "x" * (MAX_LENGTH + 1)),
)

TABLE = (
    ("*", "a", True),
    ("ors.*", "ors.a", True),
    ("ors.*", "ors.a.b.c", True),
    ("ors.*", "ors", False),
    ("ors.*", "orsx.a", False),
    ("ors.*", "ORS.a", False),
    ("ors.a", "ors.a.b", False),
    ("ors.a", "ors.a", True),
    ("A2C.*", "A2C.service.statuschanged.agentavailable", True),
)

SEGMENTS = st.text("aB1_", min_size=1, max_size=2)
TAGS = st.lists(SEGMENTS, min_size=1, max_size=4).map(".".join)
FILTERS = st.just("*") | TAGS | TAGS.map(lambda tag: f"{tag}.*")


def reference_matcher(filter_text: str, tag: str) -> bool:
    """Say what the grammar's prose says, part by part."""
    wanted, parts = filter_text.split("."), tag.split(".")
    if wanted == ["*"]:
        return True
    if wanted[-1] == "*":
        return len(parts) >= len(wanted) and parts[: len(wanted) - 1] == wanted[:-1]
    return parts == wanted


class GrammarTests(SynchronousTestCase):
    """What a tag and a filter look like."""

    def test_N05_refused(self) -> None:
        """Anything else is refused with the parameter's name, tag and filter alike."""
        for value in BAD:
            with self.assertRaises(InvalidRequest, msg=repr(value)) as caught:
                check_tag(value)
            self.assertEqual(caught.exception.parameter, "tag")
            self.assertIn("tag", str(caught.exception))
            with self.assertRaises(InvalidRequest, msg=repr(value)) as caught:
                check_filter(value)
            self.assertEqual(caught.exception.parameter, "filter")

    def test_N05_wildcards_in_tags(self) -> None:
        """A tag has no wildcard."""
        for value in ("*", "a.*"):
            with self.assertRaises(InvalidRequest):
                check_tag(value)
            self.assertEqual(check_filter(value), value)

    def test_taken(self) -> None:
        """Letters, digits and underscores in any order, up to the length."""
        for value in ("a", "1", "_", "9a.B_c.0", "x" * MAX_LENGTH):
            self.assertEqual(check_tag(value), value)
            self.assertEqual(check_filter(value), value)

    def test_length_counts_the_wildcard(self) -> None:
        """A filter's wildcard is part of its length."""
        self.assertEqual(len(check_filter("x" * (MAX_LENGTH - 2) + ".*")), MAX_LENGTH)
        with self.assertRaises(InvalidRequest):
            check_filter("x" * (MAX_LENGTH - 1) + ".*")

    def test_hyphen(self) -> None:
        """A hyphen is allowed where the option says so, and nothing else with it."""
        self.assertEqual(check_tag("a-b.c-", allow_hyphen=True), "a-b.c-")
        self.assertEqual(check_filter("a-b.*", allow_hyphen=True), "a-b.*")
        with self.assertRaises(InvalidRequest):
            check_tag("a-b c", allow_hyphen=True)

    @settings(max_examples=300)
    @given(st.text(st.sampled_from("aZ0_.*-! \xe9"), max_size=8))
    def test_N05_any_text(self, text: str) -> None:
        """The parser takes exactly the grammar's language."""
        for check, grammar in (
            (check_tag, r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"),
            (check_filter, r"\*|[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?"),
        ):
            try:
                taken = check(text) == text
            except InvalidRequest:
                taken = False
            self.assertEqual(taken, re.fullmatch(grammar, text) is not None, repr(text))


class MatchingTests(SynchronousTestCase):
    """Which filter matches which tag."""

    def test_table(self) -> None:
        """The specification's table."""
        for filter_text, tag, expected in TABLE:
            self.assertEqual(matches(filter_text, tag), expected, (filter_text, tag))

    def test_the_reference_s_example(self) -> None:
        """The five filters that the reference lists for its tag, in either direction."""
        tag = "ors.agentavailability.agent123.available"
        for one in (
            *("*", "ors.*", "ors.agentavailability.*", "ors.agentavailability.agent123.*"),
            tag,
        ):
            self.assertTrue(matches(one, tag), one)
            self.assertIn(one, filters_matching(tag))
        self.assertEqual(len(filters_matching(tag)), 5)

    @settings(max_examples=400)
    @given(FILTERS, TAGS)
    def test_N05_against_a_reference_matcher(self, filter_text: str, tag: str) -> None:
        """Matching agrees with the prose, and so do the texts that an index is asked for."""
        expected = reference_matcher(filter_text, tag)
        self.assertEqual(matches(filter_text, tag), expected)
        self.assertEqual(filter_text in filters_matching(tag), expected)

    @given(FILTERS, TAGS)
    def test_without_case(self, filter_text: str, tag: str) -> None:
        """With the option, matching is that of the lower-case texts."""
        expected = reference_matcher(filter_text.lower(), tag.lower())
        self.assertEqual(matches(filter_text, tag, case_sensitive=False), expected)
        self.assertEqual(
            filter_text.lower() in filters_matching(tag, case_sensitive=False), expected
        )

    def test_as_many_as_parts(self) -> None:
        """The longest tag asks an index for one text per part, and one more."""
        tag = ".".join("a" * 512)
        self.assertEqual(len(filters_matching(tag)), 513)
        self.assertEqual(len(set(filters_matching(tag))), 513)
