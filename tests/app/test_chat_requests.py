"""What clients say, cleaned and judged."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_requests import (
    MAX_DATA_CHARS,
    MAX_DATA_ITEM_CHARS,
    StartRequest,
    TalkRequest,
    attached,
)
from gms_twisted.app.chat_rows import row, started_at
from gms_twisted.domain.chat import ChatEvent, EventKind, NoticeType, PartyType
from gms_twisted.domain.chat_text import clean_line, clean_text
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import GmsUser

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


class CleaningTests(SynchronousTestCase):
    """Text on its way into a transcript."""

    @settings(deadline=None, max_examples=100)
    @given(ANY_TEXT)
    def test_C01_whatever_is_accepted_can_be_written(self, text: str) -> None:
        """Cleaned text is UTF-8 and JSON without control characters but tab and newline."""
        try:
            cleaned = clean_text(text, "message")
        except InvalidRequest:
            self.assertTrue(any("\ud800" <= character <= "\udfff" for character in text))
            return
        json.loads(json.dumps(cleaned).encode("utf-8"))
        self.assertNotRegex(cleaned, "[\x00-\x08\x0b-\x1f\x7f-\x9f]")
        self.assertEqual(clean_text(cleaned, "message"), cleaned)

    def test_lines(self) -> None:
        """A line has no line ends, and no spaces around it; too long is refused by name."""
        self.assertEqual(clean_line("\ta\r\nb\x00 ", "subject", 3), "a b")
        with self.assertRaises(InvalidRequest) as caught:
            clean_line("abcd", "subject", 3)
        self.assertEqual(caught.exception.parameter, "subject")


class AttachedTests(SynchronousTestCase):
    """What the agent gets to see."""

    def test_long_values_are_cut(self) -> None:
        """A long value is cut; the whole of it is in storage."""
        kept = attached({"a": "x" * 10_000}, {})
        self.assertEqual(len(kept["a"]), MAX_DATA_ITEM_CHARS)

    def test_too_much_in_all(self) -> None:
        """The first are left out when there is too much; what is ours always stays."""
        data = {f"k{number}": "x" * 4000 for number in range(50)}
        kept = attached(data, {"GMS_ServiceId": "id"})
        self.assertEqual(kept["GMS_ServiceId"], "id")
        self.assertIn("k49", kept)
        self.assertNotIn("k0", kept)
        size = sum(len(name) + len(value) for name, value in kept.items())
        self.assertLessEqual(size, MAX_DATA_CHARS)

    def test_what_cannot_be_said_is_left_out(self) -> None:
        """Values with lone surrogates and over-long names do not stop a chat."""
        kept = attached({"a": "\ud800", "n" * 300: "x", "b": "y"}, {})
        self.assertEqual(kept, {"b": "y"})


class StartTests(SynchronousTestCase):
    """Parameters of ``ixn/chat``."""

    def test_all_optional(self) -> None:
        """Without any parameter a chat is polled, by Customer, in UTC."""
        request = StartRequest.read({}, None)
        self.assertEqual(
            (request.comet, request.nickname, request.subject, request.time_zone),
            (False, "Customer", "", "0"),
        )

    def test_time_zones(self) -> None:
        """Signs and zeros are tolerated and written the short way."""
        for given_text, kept in (("-420", "-420"), ("+60", "60"), ("0330", "330"), ("-0", "0")):
            request = StartRequest.read({"clientTimeZoneOffset": given_text}, None)
            self.assertEqual(request.time_zone, kept)

    def test_notify_by(self) -> None:
        """``comet`` in any case."""
        self.assertTrue(StartRequest.read({"notify_by": "Comet"}, GmsUser("u")).comet)

    def test_no_secrets_in_repr(self) -> None:
        """Names, subjects and messages stay out of logs."""
        request = StartRequest.read({"firstName": "Vasya", "subject": "divorce"}, None)
        self.assertNotIn("Vasya", repr(request))
        self.assertNotIn("divorce", repr(request))
        self.assertNotIn("hello", repr(TalkRequest.read({"message": "hello"}, 10)))


class RowTests(SynchronousTestCase):
    """Rows of ``transcriptToShow``."""

    def test_five_strings(self) -> None:
        """Every row that is shown is five strings, the seconds an integer."""
        for kind in EventKind:
            for notice in (None, *NoticeType):
                for party in PartyType:
                    event = ChatEvent(kind, 1, 7, "1", "n", party, text="t", notice_type=notice)
                    printed = row(event)
                    if printed is not None:
                        self.assertEqual([type(item) for item in printed], [str] * 5)
                        self.assertEqual(int(printed[3]), 7)
                        self.assertEqual(printed[4], party.value)

    def test_own_custom_notice(self) -> None:
        """What GMS tells the agent about the customer is not shown to the customer."""
        event = ChatEvent(
            EventKind.NOTICE,
            1,
            0,
            "1",
            "n",
            PartyType.CLIENT,
            text="gone",
            notice_type=NoticeType.CUSTOM,
        )
        self.assertIsNone(row(event))

    def test_started_at(self) -> None:
        """UTC, whole seconds."""
        self.assertEqual(started_at(1_339_280_777.9), "2012-06-09T22:26:17Z")
