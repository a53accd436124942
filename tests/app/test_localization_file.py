"""Tests of :mod:`gms_twisted.app.localization_file` (hardening L01 to L03).

Spec: Localization File.
"""

from __future__ import annotations

import codecs

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.localization_file import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ENTRY_CHARACTERS,
    MAX_TAG_BYTES,
    BrokenFile,
    TableReading,
    fold,
    read_table,
    unescape,
)


def file(*messages: str, head: str = "") -> bytes:
    """A file with messages."""
    return f"{head}<messages>{''.join(messages)}</messages>".encode()


def entry(text: str, key: str = "text", language: str = "de", message: str = "m") -> str:
    """A message with one entry, escaped for XML already."""
    return (
        f'<message id="{message}"><locale language="{language}">'
        f'<entry key="{key}">{text}</entry></locale></message>'
    )


def only(data: bytes) -> str:
    """The text of a file's only message in its only language."""
    (locales,) = read_table(data).messages.values()
    (locale,) = locales.values()
    return locale.entries["text"]


class FileCase(SynchronousTestCase):
    """Short ways to check what is wrong with a file."""

    def broken(self, data: bytes) -> tuple[int, str]:
        """Check that a file is refused; returns line and sentence."""
        with self.assertRaises(BrokenFile) as caught:
            read_table(data)
        self.assertEqual(str(caught.exception), caught.exception.sentence)
        return caught.exception.line, caught.exception.sentence

    def warnings(self, data: bytes) -> list[tuple[int, str]]:
        """List a file's warnings."""
        return [(one.line, one.sentence) for one in read_table(data).warnings]


class FormTests(FileCase):
    """Elements and attributes."""

    def test_by_message_language_and_key(self) -> None:
        """Everything is found again, in the file's order; languages as they are compared."""
        table = read_table(
            file(
                '<message id="a"><locale language="en_US"><entry key="text">1</entry>'
                '<entry key="title">2</entry></locale><locale language="DE-at"/></message>'
                '<message id="b"/>'
            )
        )
        self.assertEqual(list(table.messages), ["a", "b"])
        self.assertEqual(list(table.messages["a"]), ["en-us", "de-at"])
        self.assertEqual(table.messages["a"]["en-us"].entries, {"text": "1", "title": "2"})
        self.assertEqual(table.messages["a"]["de-at"].entries, {})
        self.assertEqual(table.messages["b"], {})

    def test_others_are_ignored(self) -> None:
        """Unknown elements, attributes, comments and instructions do not count, where they be."""
        data = file(
            "<!-- c --><?pi x?><x><message id='no'/></x>text",
            "<message id='m' x='y'><entry key='text'>no</entry><locale language='de'>no"
            "<locale language='fr'><entry key='text'>no</entry></locale>"
            "<entry key='text'>a<b>no<entry key='text'>no</entry></b><!-- c -->b<![CDATA[<c>]]>"
            "</entry></locale></message>",
            "<xi:include href='file:///etc/passwd' xmlns:xi='http://www.w3.org/2001/XInclude'/>",
        )
        self.assertEqual(only(data), "ab<c>")
        self.assertEqual(self.warnings(data), [])

    def test_L02_without_a_name(self) -> None:
        """Elements without their attribute are ignored, with a warning and a line."""
        data = file(
            "\n<message/>\n<message id=''><locale language='de'/></message>",
            "<message id='m'>\n<locale/>",
            "<locale language='de'>\n<entry>x</entry></locale></message>",
        )
        self.assertEqual(
            self.warnings(data),
            [
                (2, "this message has no id, and is ignored"),
                (3, "this message has no id, and is ignored"),
                (4, "this locale has no language, and is ignored"),
                (5, "this entry has no key, and is ignored"),
            ],
        )
        self.assertEqual(list(read_table(data).messages), ["m"])

    def test_L02_twice(self) -> None:
        """Of two of one id, language or key the last counts, with a warning."""
        data = file(
            entry("1"),
            "\n<message id='m'><locale language='de'><entry key='text'>2</entry></locale>"
            "\n<locale language='DE'><entry key='text'>3</entry>"
            "\n<entry key='text'>4</entry></locale></message>",
        )
        self.assertEqual(only(data), "4")
        self.assertEqual(
            self.warnings(data),
            [
                (2, "message 'm' is there twice; this counts"),
                (3, "language 'DE' is there twice; this counts"),
                (4, "entry 'text' is there twice; this counts"),
            ],
        )

    def test_L02_languages(self) -> None:
        """What names no language is ignored, what names an unknown one is kept; both are told."""
        data = file(entry("1", language="x y"), "\n", entry("2", language="xx_US", message="n"))
        self.assertEqual(
            self.warnings(data),
            [
                (1, "'x y' names no language; this locale is ignored"),
                (2, "there is no language 'xx_US' that we know of"),
            ],
        )
        self.assertEqual(list(read_table(data).messages["m"]), [])
        self.assertEqual(list(read_table(data).messages["n"]), ["xx-us"])

    def test_another_root(self) -> None:
        """A file about something else is refused."""
        self.assertEqual(self.broken(b"\n<html/>"), (2, "the root is html, not messages"))

    def test_not_xml(self) -> None:
        """What is not well-formed is refused with its line."""
        for data, line in (
            (b"", 1),
            (b"<messages>", 1),
            (b"<messages>\n</message>", 2),
            (b"<messages>\n\n&nbsp;</messages>", 3),
            (b"<messages a='1' a='2'/>", 1),
            (b"<messages/><messages/>", 1),
            (b"<messages>\x00</messages>", 1),
            (b"hello", 1),
        ):
            found = self.broken(data)
            self.assertEqual(found[0], line, found)
            self.assertIn("this is not XML", found[1])


class HostileTests(FileCase):
    """Hardening L01."""

    def test_L01_document_types(self) -> None:
        """Entity bombs, external entities and document types are refused by their line."""
        bomb = "".join(f'<!ENTITY l{n} "&l{n - 1};&l{n - 1};">\n' for n in range(1, 9))
        for head in (
            "<!DOCTYPE messages>",
            '<!DOCTYPE messages SYSTEM "file:///etc/passwd">',
            '<!DOCTYPE messages PUBLIC "a" "http://a.example/x.dtd">',
            '<!DOCTYPE messages [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            f'<!DOCTYPE messages [<!ENTITY l0 "lol">{bomb}]>',
            '<!DOCTYPE messages [<!ENTITY % p SYSTEM "http://a.example/"> %p;]>',
        ):
            line, sentence = self.broken(file(entry("&x;"), head=f"<?xml version='1.0'?>\n{head}"))
            self.assertEqual(line, 2, head)
            self.assertIn("document types and entities are refused", sentence)

    def test_L01_depth(self) -> None:
        """Elements may be nested 64 deep, known or not."""
        for depth, good in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)):
            inner = depth - 1
            data = file("<a>" * inner + "</a>" * inner)
            if good:
                self.assertEqual(read_table(data).messages, {})
            else:
                self.assertIn("nested deeper than 64", self.broken(data)[1])

    def test_L01_size(self) -> None:
        """A file may have 10 MiB."""
        pad = MAX_BYTES - len(file())
        self.assertEqual(read_table(file(" " * pad)).messages, {})
        self.assertIn(f"above {MAX_BYTES} bytes", self.broken(file(" " * (pad + 1)))[1])

    def test_L01_long_pieces(self) -> None:
        """No entry, tag or comment is long enough to cost more than its size."""
        good = read_table(file(entry("x" * MAX_ENTRY_CHARACTERS)))
        self.assertEqual(len(good.messages), 1)
        line, sentence = self.broken(file("\n", entry("x" * (MAX_ENTRY_CHARACTERS + 1))))
        self.assertEqual((line, "longer than" in sentence), (2, True))
        for piece in (f"<!--{'x' * 2 * MAX_TAG_BYTES}-->", f"<a b='{'x' * 2 * MAX_TAG_BYTES}'/>"):
            self.assertIn("tag or comment is longer", self.broken(file(piece))[1])

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80))
    def test_L01_any_bytes(self, data: bytes) -> None:
        """Any bytes are a table or a broken file, never another failure."""
        for one in (data, file(entry("x"))[: len(data)] + data, b"<?xml version='1.0'" + data):
            try:
                read_table(one)
            except BrokenFile as error:
                self.assertGreaterEqual(error.line, 0)

    def test_L01_in_steps(self) -> None:
        """A large file is read in many steps, each of a few kilobytes."""
        reading = TableReading(file(*(entry("x", message=f"m{n}") for n in range(5000))))
        self.assertGreater(len(list(reading.steps())), 20)
        self.assertEqual(len(reading.table().messages), 5000)


class EncodingTests(FileCase):
    """Any encoding that the declaration names."""

    def test_declared(self) -> None:
        """The declaration counts, whatever the parser itself knows."""
        for encoding, text in (
            ("UTF-8", "k\u00f6nnen \u3053"),
            ("iso-8859-1", "k\u00f6nnen"),
            ("windows-1252", "\u20ac k\u00f6nnen"),
            ("koi8-r", "\u041f\u0440\u0438\u0432\u0435\u0442"),
            ("Shift_JIS", "\u3053\u3093\u306b\u3061\u306f"),
            ("EUC-JP", "\u3053\u3093"),
            ("GB2312", "\u4f60\u597d"),
            ("UTF-16", "k\u00f6nnen \U0001f600"),
            ("utf-16-le", "k\u00f6nnen"),
            ("utf-16-be", "k\u00f6nnen"),
            ("utf-32", "k\u00f6nnen"),
        ):
            head = f"<?xml version='1.0' encoding = \"{encoding}\" ?>"
            data = file(entry(text), head=head).decode().encode(encoding)
            self.assertEqual(only(data), text, encoding)

    def test_undeclared(self) -> None:
        """Without a declaration it is UTF-8, or what the mark at the beginning says."""
        for mark, encoding in (
            (b"", "utf-8"),
            (codecs.BOM_UTF8, "utf-8"),
            (codecs.BOM_UTF16_LE, "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16-be"),
        ):
            data = mark + file(entry("\u00f6")).decode().encode(encoding)
            self.assertEqual(only(data), "\u00f6", encoding)

    def test_L02_wrong_declaration(self) -> None:
        """A file that is not what it says is refused by the line that cannot be read."""
        head = "<?xml version='1.0' encoding='{}'?>\n"
        latin = file("\n", entry("\u00f6"), head=head.format("utf-8")).decode().encode("latin-1")
        self.assertEqual(self.broken(latin), (3, "this line is not utf-8"))
        ascii_ = file("\n\n", entry("\u00f6"), head=head.format("us-ascii"))
        self.assertEqual(self.broken(ascii_), (4, "this line is not us-ascii"))
        marked = codecs.BOM_UTF8 + file(entry("x"), head=head.format("iso-8859-1"))
        self.assertEqual(self.broken(marked), (1, "the file is UTF-8 and says it is iso-8859-1"))
        self.assertEqual(only(codecs.BOM_UTF8 + file(entry("x"), head=head.format("UTF8"))), "x")
        self.broken(file(entry("x"), head=head.format("utf-16")))

    def test_L02_no_encoding(self) -> None:
        """What is no encoding of texts is refused, our language library's own among them."""
        for name in ("x-unknown", "base64", "rot13", "unicode_escape", "punycode", "UTF-7"):
            head = f"<?xml version='1.0' encoding='{name}'?>"
            line, sentence = self.broken(file(entry("x"), head=head))
            self.assertEqual(line, 1)
            self.assertIn(f"'{name}'", sentence)


class TextTests(FileCase):
    """What becomes of the text of an entry."""

    def test_fold(self) -> None:
        """A run of white space with a line end is one blank; other runs stay; ends go."""
        for text, expected in (
            ("a\nb", "a b"),
            ("a \t\n\n  b", "a b"),
            ("a  b", "a  b"),
            ("  a\t", "a"),
            ("\n a \n", "a"),
            ("a\r\nb", "a b"),
            ("\u00a0a\u3000", "\u00a0a\u3000"),
            ("", ""),
        ):
            self.assertEqual(fold(text), expected, repr(text))

    def test_fold_before_escapes(self) -> None:
        """Blanks and line ends written as escapes are meant."""
        self.assertEqual(only(file(entry(r" a\u0020b\u000a\u0020 "))), "a b\n ")

    def test_empty(self) -> None:
        """An empty text is a text."""
        self.assertEqual(only(file(entry(""))), "")
        self.assertEqual(only(file("<message id='m'><locale language='de'><entry key='text'/>"
                                   "</locale></message>")), "")  # fmt: skip

    def test_L03_escapes(self) -> None:
        """Escapes of four digits are decoded, pairs joined, everything else left as written."""
        for text, expected, complaints in (
            (r"\u00A1Hola", "\u00a1Hola", 0),
            (r"\u00a1\u00A1", "\u00a1\u00a1", 0),
            (r"\u00Bc\u00F3mo", "\u00bc\u00f3mo", 0),
            (r"\uD83D\uDE00", "\U0001f600", 0),
            (r"\uD83Dx", "\ufffdx", 1),
            (r"\uDE00\uD83D", "\ufffd\ufffd", 1),
            (r"\uD83D\uD83D\uDE00", "\ufffd\U0001f600", 1),
            (r"\u12", r"\u12", 1),
            (r"\uZZZZ", r"\uZZZZ", 1),
            (r"\u", r"\u", 1),
            (r"\\u0041", r"\\u0041", 0),
            (r"\\\u0041", r"\\A", 0),
            (r"\\\\u0041", r"\\\\u0041", 0),
            (r"\n\t\x41\U0041", r"\n\t\x41\U0041", 0),
            (r"\u00411", "A1", 0),
            (r"\u0024x", "$x", 0),
            (r"\ufffd", "\ufffd", 0),
            ("\\u\u0661\u0661\u0661\u0661", "\\u\u0661\u0661\u0661\u0661", 1),
        ):
            made, found = unescape(text)
            self.assertEqual((made, len(found)), (expected, complaints), text)

    def test_L03_reported(self) -> None:
        """Bad escapes are reported by the line where the entry begins."""
        self.assertEqual(
            self.warnings(file("\n\n", entry("a\n\\uD83D \\u1"))),
            [
                (3, "\\u without four hexadecimal digits stays as it is"),
                (3, "half of a surrogate pair becomes U+FFFD"),
            ],
        )

    @given(st.text(st.sampled_from("\\uU0D8Ff3d \U0001f600"), max_size=24))
    def test_L03_any_text(self, text: str) -> None:
        """Whatever stands there, the result can be written out, and is stable without escapes."""
        made, _ = unescape(text)
        made.encode()
        if "\\u" not in text:
            self.assertEqual(made, text)
        self.assertLessEqual(len(made), len(text))
