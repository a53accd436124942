"""Tests of :mod:`gms_twisted.app.localization` (hardening L02, L04, N14).

Spec: Push Notification Service, "Localization of push messages"; Localization File.
"""

from __future__ import annotations

import errno
import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.localization import (
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MISSING_ARGUMENT,
    MISSING_LOCALE,
    UNKNOWN_ID,
    Arguments,
    Localization,
    Localized,
    LocalizedEvent,
    check_arguments,
    substitute,
)
from gms_twisted.app.localization_file import read_table
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest


def file(*locales: str, message: str = "m") -> bytes:
    """A file with one message, whose locales are ``LANGUAGE=TEXT``, without text just named."""
    made = []
    for one in locales:
        language, equals, text = one.partition("=")
        inner = f'<entry key="text">{text}</entry>' if equals else '<entry key="x">y</entry>'
        made.append(f'<locale language="{language}">{inner}</locale>')
    return f'<messages><message id="{message}">{"".join(made)}</message></messages>'.encode()


def each(*languages: str) -> bytes:
    """A file with one message, whose text in each language is the language's name."""
    return file(*(f"{language}={language}" for language in languages))


class ChoiceTests(SynchronousTestCase):
    """Which language a subscription gets."""

    def setUp(self) -> None:
        """Count."""
        self.counters = Counters()

    def used(self, data: bytes, language: str | None, default: str = "", message: str = "m") -> str:
        """The text that is used."""
        event = LocalizedEvent(read_table(data), default, message, Arguments(), self.counters)
        return event.in_language(language).text

    def test_table(self) -> None:
        """The specification's table."""
        for language, data, default, expected in (
            ("en_US", each("en_US", "de"), "", "en_US"),
            ("en_US", each("en", "de"), "", "en"),
            ("en", each("en_US", "en_GB"), "", "en_US"),
            ("en_GB", each("en_US", "de"), "", "en_US"),
            ("it", each("en_US", "de"), "", "m"),
            ("it", each("en_US", "de"), "en", "en_US"),
            ("de", file("de", "en=en"), "en", "en"),
            (None, each("en"), "en", "m"),
            ("", each("en"), "en", "m"),
            ("EN-us", each("en_US"), "", "en_US"),
            ("de", file("de="), "", ""),
            ("en", each("eng_US"), "", "m"),
            ("en_GB", file("en", "en_AU=au", "en_US=us"), "", "au"),
        ):
            self.assertEqual(self.used(data, language, default), expected, (language, default))

    def test_L02_counted(self) -> None:
        """An unknown id and a missing language go out as the id and are counted apart."""
        self.assertEqual(self.used(each("de"), "de", message="other"), "other")
        self.assertEqual(self.counters.value(UNKNOWN_ID), 1)
        self.assertEqual(self.used(each("de"), "it"), "m")
        self.assertEqual(self.counters.value(MISSING_LOCALE), 1)
        self.assertEqual(self.used(each("de"), None, message="other"), "other")
        self.assertEqual(self.counters.value(UNKNOWN_ID), 1)

    def test_once_for_each_language(self) -> None:
        """A thousand subscriptions of one language cost one text."""
        event = LocalizedEvent(
            read_table(file("de=a $x")), "", "m", check_arguments({"x": "1"}), self.counters
        )
        first = event.in_language("de")
        self.assertIs(event.in_language("DE"), first)
        self.assertEqual(first, Localized("a 1"))

    def test_entries(self) -> None:
        """Other entries come along, with arguments put in; the text is not among them."""
        data = (
            b'<messages><message id="m"><locale language="de"><entry key="text">t</entry>'
            b'<entry key="title">Hallo $x $y</entry></locale></message></messages>'
        )
        event = LocalizedEvent(
            read_table(data), "", "m", check_arguments({"x": "1"}), self.counters
        )
        self.assertEqual(event.in_language("de").entries, {"title": "Hallo 1 $y"})
        self.assertEqual(self.counters.value(MISSING_ARGUMENT), 1)

    def test_texts_are_hidden(self) -> None:
        """No text is in a representation."""
        self.assertNotIn("secret", repr(Localized("secret", {"a": "secret"})))
        self.assertNotIn("secret", repr(check_arguments({"secret": "secret"})))


class ArgumentTests(SynchronousTestCase):
    """``locArgs`` of both styles."""

    def put(self, text: str, arguments: object) -> tuple[str, int]:
        """Put arguments into a text."""
        return substitute(text, check_arguments(arguments))

    def test_table(self) -> None:
        """The specification's table of values and references."""
        doe: object = {"customer": {"lastname": "Doe"}}
        rows: tuple[tuple[str, object, str, int], ...] = (
            ("$a", {"a": "$b"}, "$b", 0),
            ("$a", {"a": "$b", "b": "x"}, "$b", 0),
            ("$a", {"a": 5}, "5", 0),
            ("$a", {"a": 1.50}, "1.5", 0),
            ("$a", {"a": True}, "true", 0),
            ("$a", {"a": False}, "false", 0),
            ("$a", {"a": None}, "$a", 1),
            ("$a", {"a": ["x"]}, "$a", 1),
            ("$a", {"a": {"b": "x"}}, "$a", 1),
            ("$a", {}, "$a", 1),
            ("$A", {"a": "x"}, "$A", 1),
            ("$ $- ${ ${a b} ${} $. 5$", {"a": "x"}, "$ $- ${ ${a b} ${} $. 5$", 0),
            ("$$a", {"a": "x"}, "$x", 0),
            ("$customer.lastname.", doe, "Doe.", 0),
            ("$customer.lastname.Thanks", doe, "Doe.Thanks", 0),
            ("$customer.lastname-Team", doe, "Doe-Team", 0),
            ("$customer.lastnames", doe, "$customer.lastnames", 1),
            ("$a.b.c", {"a": "1", "a.b": "2"}, "2.c", 0),
            ("$a.b.c", {"a": "1"}, "1.b.c", 0),
            ("$a.b", {"a": "1", "a.b": None}, "$a.b", 1),
            ("$5", {}, "$5", 1),
            ("$5", {"5": "x"}, "x", 0),
            ("${a.b}x", {"a": {"b": "1"}}, "1x", 0),
            ("${a.b.c}", {"a": {"b": "1"}}, "${a.b.c}", 1),
            ("${a-b}", {"a-b": "1"}, "1", 0),
            ("$a-b", {"a-b": "1"}, "$a-b", 1),
            ("\u00e4$a\u00e4", {"a": "x"}, "\u00e4x\u00e4", 0),
        )
        for text, arguments, expected, missing in rows:
            self.assertEqual(self.put(text, arguments), (expected, missing), (text, arguments))

    def test_both_styles_mixed(self) -> None:
        """Dotted names inside objects, and objects inside dotted names."""
        self.assertEqual(
            self.put("$customer.name.last", {"customer": {"name.last": "Doe"}})[0], "Doe"
        )
        self.assertEqual(self.put("$a.b.c", {"a.b": {"c": "x"}})[0], "x")

    def test_literally_dotted_wins(self) -> None:
        """On a clash the dotted name at the top wins, wherever it stands."""
        self.assertEqual(self.put("$a.b", {"a": {"b": "1"}, "a.b": "2"})[0], "2")
        self.assertEqual(self.put("$a.b", {"a.b": "2", "a": {"b": "1"}})[0], "2")

    def test_no_object(self) -> None:
        """``locArgs`` is an object or nothing."""
        self.assertEqual(check_arguments(None), Arguments())
        bad: tuple[object, ...] = ([], "x", 5, True, 0, "")
        for value in bad:
            with self.assertRaises(InvalidRequest) as caught:
                check_arguments(value)
            self.assertEqual(caught.exception.parameter, "locArgs")

    def test_long_names(self) -> None:
        """Names, their parts joined, have a bound, so that depth does not multiply them."""
        half = "x" * (MAX_NAME_CHARACTERS // 2)
        check_arguments({half: {half[1:]: "1"}})
        with self.assertRaises(InvalidRequest):
            check_arguments({half: {half: "1"}})

    def test_deep(self) -> None:
        """Objects as deep as the parser lets through are taken without recursion."""
        deep: object = "x"
        for _ in range(64):
            deep = {"a": deep}
        self.assertEqual(self.put("$" + ".".join("a" * 64), deep)[0], "x")

    def test_long_reference(self) -> None:
        """A reference of a thousand parts costs no more than names have parts."""
        name = ".".join("a" * 1000)
        self.assertEqual(self.put(f"${name}", {"a": "1"}), (f"1{name[1:]}", 0))

    def test_size_is_bounded(self) -> None:
        """Values for which no message has room stay references."""
        big = "x" * (MAX_TEXT_CHARACTERS // 2)
        text, missing = self.put("$a$a$a", {"a": big})
        self.assertEqual(missing, 2)
        self.assertLessEqual(len(text), MAX_TEXT_CHARACTERS)
        self.assertTrue(text.endswith("$a$a"))

    @given(
        st.text(st.sampled_from("$ab.{}-%s <&"), max_size=24),
        st.dictionaries(
            st.sampled_from(("a", "b", "s", "a.b")),
            st.text(st.sampled_from("$ab{}%s\\<&0"), max_size=6),
        ),
    )
    def test_N14_single_pass(self, text: str, values: dict[str, str]) -> None:
        """What is put in is never looked at again, whatever stands in it."""
        marks = {name: chr(0xE000 + place) for place, name in enumerate(values)}
        marked, missing = self.put(text, marks)
        expected = marked
        for name, mark in marks.items():
            expected = expected.replace(mark, values[name])
        self.assertEqual(self.put(text, values), (expected, missing))
        if "$" not in text:
            self.assertEqual(expected, text)


class FakeFile:
    """A file that a test owns.

    :ivar data: what stands in it, or why it cannot be read; ``None``: it is not there.
    :ivar held: while set, whoever reads waits for it.
    """

    def __init__(self, data: bytes | OSError | None) -> None:
        self.data = data
        self.version = 0
        self.stamps = 0
        self.reads = 0
        self.held: Deferred[None] | None = None

    def write(self, data: bytes | OSError | None) -> None:
        """Change it."""
        self.data = data
        self.version += 1

    def stamp(self) -> object | None:
        """Its version."""
        self.stamps += 1
        return None if self.data is None else self.version

    async def read(self) -> bytes:
        """What stands in it."""
        self.reads += 1
        data = self.data
        if self.held is not None:
            await self.held
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if isinstance(data, OSError):
            raise data
        return data


class ReloadTests(SynchronousTestCase):
    """The file is read again when it changes."""

    def setUp(self) -> None:
        """Read a file."""
        self.clock = Clock()
        self.counters = Counters()
        self.tasks = Tasks()
        self.file = FakeFile(each("de"))
        self.localization = Localization(self.file, "", self.tasks, self.clock, self.counters)
        self.load()

    def load(self) -> None:
        """Read for the first time."""
        loading = Deferred.fromCoroutine(self.localization.load())
        self.turns()
        self.successResultOf(loading)

    def turns(self) -> None:
        """Let everything go on that waits for its turn."""
        while self.clock.getDelayedCalls():
            self.clock.advance(0)

    def text(self) -> str:
        """The message in German, as an event has it now."""
        return self.localization.event("m", Arguments()).in_language("de").text

    def later(self) -> str:
        """The message after a second, once whatever is read has been read."""
        self.clock.advance(1.0)
        self.text()
        self.turns()
        return self.text()

    def test_L04_changed(self) -> None:
        """A changed file counts after a second at most; an unchanged one is not read again."""
        self.assertEqual(self.text(), "de")
        self.file.write(file("de=neu"))
        self.clock.advance(0.9)
        self.assertEqual(self.text(), "de")
        self.clock.advance(0.1)
        self.text()
        self.turns()
        self.assertEqual(self.text(), "neu")
        self.later()
        self.assertEqual(self.file.reads, 2)

    def test_looked_after_once_a_second(self) -> None:
        """However many events come, the file system is asked once a second."""
        before = self.file.stamps
        for _ in range(1000):
            self.text()
        self.assertEqual(self.file.stamps, before)
        self.clock.advance(1.0)
        for _ in range(1000):
            self.text()
        self.assertEqual(self.file.stamps, before + 1)

    def test_L04_never_a_mixture(self) -> None:
        """An event has all its texts from one state of the file, while another is read."""
        self.file.write(file("de=alt", "fr=vieux"))
        self.later()
        event = self.localization.event("m", Arguments())
        self.assertEqual(event.in_language("de").text, "alt")
        self.file.write(file("de=neu", "fr=nouveau"))
        self.assertEqual(self.later(), "neu")
        self.assertEqual(event.in_language("fr").text, "vieux")

    def test_L04_read_in_the_background(self) -> None:
        """While the file is read events go out with the old texts, and it is read once."""
        self.file.write(file("de=neu"))
        held: Deferred[None] = Deferred()
        self.file.held = held
        self.clock.advance(1.0)
        self.assertEqual(self.text(), "de")
        self.clock.advance(5.0)
        self.assertEqual(self.text(), "de")
        self.assertEqual(self.file.reads, 2)
        held.callback(None)
        self.turns()
        self.assertEqual(self.text(), "neu")

    def test_L04_broken_file_keeps_the_old_table(self) -> None:
        """A broken file, or none, never replaces a good one; health says why, and a line."""
        for data, line, words in (
            (b"<messages>\n<oops></messages>", 2, "not XML"),
            (b"<!DOCTYPE messages><messages/>", 1, "refused"),
            (OSError(errno.EACCES, "Permission denied"), 0, "Permission denied"),
            (None, 0, "No such file"),
        ):
            self.file.write(data)
            with capturedLogs() as logged:
                self.assertEqual(self.later(), "de")
            self.assertEqual([one["log_level"].name for one in logged], ["warn"])
            health = self.localization.health()
            self.assertFalse(health.ok)
            self.assertIn(words, str(health.details["fault"]))
            self.assertEqual(health.details["fault_line"], line)
        self.file.write(file("de=neu"))
        self.assertEqual(self.later(), "neu")
        self.assertTrue(self.localization.health().ok)

    def test_broken_file_is_said_once(self) -> None:
        """A file that stays broken is neither read nor complained of every second."""
        self.file.write(b"broken")
        self.later()
        with capturedLogs() as logged:
            self.later()
            self.later()
        self.assertEqual((logged, self.file.reads), ([], 2))

    def test_broken_at_the_start(self) -> None:
        """Then there are no texts, and messages go out as they are."""
        self.file = FakeFile(b"broken")
        self.localization = Localization(self.file, "", self.tasks, self.clock, self.counters)
        self.load()
        self.assertEqual(self.text(), "m")
        self.assertFalse(self.localization.health().ok)

    def test_no_file(self) -> None:
        """Without a file messages go out as they are."""
        self.localization = Localization(None, "de", self.tasks, self.clock, self.counters)
        self.load()
        self.assertEqual(self.text(), "m")
        self.assertTrue(self.localization.health().ok)

    def test_other_options(self) -> None:
        """Another file and default language count after a reload of the configuration."""
        other = FakeFile(file("fr=nouveau"))
        self.localization.reconfigure(other, "fr")
        self.turns()
        self.assertEqual(self.text(), "nouveau")
        self.localization.reconfigure(other, "")
        self.assertEqual(self.text(), "m")
        self.localization.reconfigure(None, "fr")
        self.assertEqual(self.text(), "m")

    def test_other_file_that_is_not_there(self) -> None:
        """Another file that is not there leaves the texts as they were, and is told once."""
        with capturedLogs() as logged:
            self.localization.reconfigure(FakeFile(None), "")
            self.assertEqual(self.later(), "de")
            self.assertEqual(self.later(), "de")
        self.assertEqual(len(logged), 1)
        self.assertEqual(self.localization.health().details["fault"], "the file is not there")

    def test_other_file_while_one_is_read(self) -> None:
        """What was being read then does not count any more."""
        self.file.write(file("de=neu"))
        held: Deferred[None] = Deferred()
        self.file.held = held
        self.clock.advance(1.0)
        self.text()
        self.localization.reconfigure(FakeFile(file("de=anders")), "")
        held.callback(None)
        self.turns()
        self.assertEqual(self.later(), "anders")

    def test_L02_warnings_are_shown(self) -> None:
        """Health shows how many messages there are, and what is odd, a bounded part of it."""
        self.file.write(file(*(["de=x"] * 30)))
        self.later()
        details = self.localization.health().details
        self.assertEqual((details["messages"], details["warnings"]), (1, 29))
        shown = details["first_warnings"]
        assert isinstance(shown, list)
        self.assertEqual(len(shown), 20)

    def test_shutdown(self) -> None:
        """Nothing is left of a reading that the end of the server interrupts."""
        self.file.write(file(*(f"de=x{n}" for n in range(3000))))
        self.clock.advance(1.0)
        self.text()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
