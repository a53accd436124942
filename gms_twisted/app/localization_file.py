r"""The localization file: texts of messages, by message, language and key.

::

    <messages>
      <message id="welcome">
        <locale language="en_US">
          <entry key="text">Welcome, $customer.lastname</entry>
        </locale>
      </message>
    </messages>

What stands in an entry goes through XML, then white space (a run with a line end becomes
one blank, the ends are trimmed), then ``\uXXXX``.  Other elements and attributes are
ignored; document types and entities are refused (hardening L01).

Spec: Localization File.

PURE.  Knows: the file's form.  Does not know: files, who reads which language.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from gms_twisted.domain.errors import shown
from gms_twisted.domain.languages import compared, is_known, is_language

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 64
TEXT = "text"
"""The key of a message's text; others are for options of the message."""

MAX_ENTRY_CHARACTERS = 64 * 1024
MAX_TAG_BYTES = 256 * 1024
"""Longest tag or comment; the parser looks at an unfinished one again with every piece."""

STEP_CHARACTERS = 16 * 1024
"""How much is read before others get their turn: a few milliseconds."""

_PATH = ("messages", "message", "locale", "entry")
_NAMED_BY = {"message": "id", "locale": "language", "entry": "key"}

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_BOM = ((b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"))
_ENCODING = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*["'][0-9.]+["'][ \t\r\n]+"""
    rb"""encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']"""
)
_NO_ENCODINGS = frozenset(
    ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf_7", "mbcs")
)
"""What the language library calls encodings of text and no file is written in."""

_FOLDED = re.compile(r"[ \t\r]*\n[ \t\r\n]*")
_ESCAPE = re.compile(r"(\\+)u([0-9A-Fa-f]{4})?")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the file that its owner should know.

    :ivar line: from 1; 0 when it is about the whole file.
    """

    line: int
    sentence: str


class BrokenFile(Exception):
    """The file cannot be used.

    :ivar line: from 1; 0 when it is about the whole file.
    """

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Locale:
    """A message in one language.

    :ivar entries: texts by key, :data:`TEXT` for the message itself.
    """

    language: str
    entries: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageTable:
    """What a file says; nobody changes it.

    :ivar messages: by id, then by compared language, in the file's order.
    :ivar warnings: what is odd about it.
    """

    messages: Mapping[str, Mapping[str, Locale]] = field(default_factory=dict, repr=False)
    warnings: tuple[Finding, ...] = ()


def read_table(data: bytes) -> MessageTable:
    """Read a file as a whole.

    :raises BrokenFile: with the line.
    """
    reading = TableReading(data)
    for _ in reading.steps():
        pass
    return reading.table()


class TableReading:
    """A file being read, a piece at a time: ``for _ in reading.steps()``, then :meth:`table`.

    :raises BrokenFile: it is too large, or not in the encoding that it names.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise BrokenFile(0, f"the file is above {MAX_BYTES} bytes")
        self._text = _decode(data)
        self._builder = _Builder()

    def steps(self) -> Iterator[None]:
        """Read on, a few milliseconds at a time.

        :raises BrokenFile: with the line.
        """
        builder, text = self._builder, self._text
        for start in range(0, len(text), STEP_CHARACTERS):
            builder.feed(text[start : start + STEP_CHARACTERS])
            yield
        builder.end()

    def table(self) -> MessageTable:
        """What has been read."""
        return self._builder.table()


def _decode(data: bytes) -> str:
    """Decode a file by its mark or its declaration, else as UTF-8."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "")
    encoding = encoding or next((one for begin, one in _WITHOUT_BOM if data.startswith(begin)), "")
    declared = _ENCODING.match(data.removeprefix(codecs.BOM_UTF8))
    if not encoding and declared is not None:
        encoding = declared[1].decode("ascii")
    elif encoding == "utf-8" and declared is not None and _plain(declared[1]) != "utf8":
        raise BrokenFile(1, f"the file is UTF-8 and says it is {declared[1].decode('ascii')}")
    encoding = encoding or "utf-8"
    try:
        known = codecs.lookup(encoding).name.replace("-", "_")
    except LookupError:
        known = ""
    if not known or known in _NO_ENCODINGS:
        raise BrokenFile(1, f"there is no encoding {encoding!r}")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise BrokenFile(1, f"{encoding!r} is no encoding of texts") from None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = data[:start].decode(encoding, "replace").count("\n") + 1
        raise BrokenFile(line, f"this line is not {encoding}") from None


def _plain(name: bytes) -> str:
    """The name of an encoding without marks, in lower case."""
    return re.sub("[^a-z0-9]", "", name.decode("ascii").lower())


class _Builder:
    """Takes the parser's events; knows where in the file it is."""

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, Locale]] = {}
        self._warnings: list[Finding] = []
        self._depth = 0
        # How many of the open elements are those of _PATH, from the first on; what is in
        # others is skipped.
        self._known = 0
        self._languages: dict[str, Locale] | None = None
        self._entries: dict[str, str] | None = None
        self._key: str | None = None
        self._line = 0
        self._pieces: list[str] = []
        self._characters = 0
        self._fed = 0
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.EntityDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._take
        self._parser = parser

    def feed(self, text: str) -> None:
        """Go on with a piece.

        :raises BrokenFile: with the line.
        """
        data = text.encode()
        self._parse(data, False)
        self._fed += len(data)
        if self._fed - self._parser.CurrentByteIndex > MAX_TAG_BYTES:
            sentence = f"a tag or comment is longer than {MAX_TAG_BYTES} bytes"
            raise BrokenFile(self._now(), sentence)

    def end(self) -> None:
        """There is no more.

        :raises BrokenFile: the file ends too early.
        """
        self._parse(b"", True)

    def _parse(self, data: bytes, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise BrokenFile(error.lineno, f"this is not XML: {what}") from None

    def table(self) -> MessageTable:
        return MessageTable(self._messages, tuple(self._warnings))

    def _now(self) -> int:
        return int(self._parser.CurrentLineNumber)

    def _warn(self, line: int, sentence: str) -> None:
        self._warnings.append(Finding(line, sentence))

    def _refuse_doctype(self, *_: object) -> None:
        sentence = "document types and entities are refused (<!DOCTYPE, <!ENTITY)"
        raise BrokenFile(self._now(), sentence)

    def _open(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BrokenFile(self._now(), f"elements are nested deeper than {MAX_DEPTH}")
        expected = _PATH[self._known] if self._known < len(_PATH) else ""
        if self._depth == 1 and name != expected:
            raise BrokenFile(self._now(), f"the root is {shown(name)}, not {expected}")
        if self._depth != self._known + 1 or name != expected:
            return
        attribute = _NAMED_BY.get(name)
        if attribute is None:
            self._known += 1
            return
        named = attributes.get(attribute, "")
        if not named:
            self._warn(self._now(), f"this {name} has no {attribute}, and is ignored")
            return
        begin = {"message": self._message, "locale": self._locale, "entry": self._entry}[name]
        if begin(named):
            self._known += 1

    def _message(self, identifier: str) -> bool:
        if identifier in self._messages:
            self._warn(self._now(), f"message {shown(identifier)!r} is there twice; this counts")
        self._languages = self._messages[identifier] = {}
        return True

    def _locale(self, language: str) -> bool:
        assert self._languages is not None
        line = self._now()
        if not is_language(language):
            self._warn(line, f"{shown(language)!r} names no language; this locale is ignored")
            return False
        if not is_known(language):
            self._warn(line, f"there is no language {shown(language)!r} that we know of")
        place = compared(language)
        if place in self._languages:
            self._warn(line, f"language {shown(language)!r} is there twice; this counts")
        self._entries = {}
        self._languages[place] = Locale(language, self._entries)
        return True

    def _entry(self, key: str) -> bool:
        assert self._entries is not None
        if key in self._entries:
            self._warn(self._now(), f"entry {shown(key)!r} is there twice; this counts")
        self._key, self._line = key, self._now()
        self._pieces, self._characters = [], 0
        return True

    def _take(self, data: str) -> None:
        if self._known == len(_PATH) == self._depth:
            self._pieces.append(data)
            self._characters += len(data)
            if self._characters > MAX_ENTRY_CHARACTERS:
                sentence = f"this entry is longer than {MAX_ENTRY_CHARACTERS} characters"
                raise BrokenFile(self._line, sentence)

    def _close(self, name: str) -> None:
        if self._depth == self._known:
            if self._known == len(_PATH):
                self._end_entry()
            self._known -= 1
        self._depth -= 1

    def _end_entry(self) -> None:
        assert self._entries is not None
        assert self._key is not None
        text, complaints = unescape(fold("".join(self._pieces)))
        for complaint in complaints:
            self._warn(self._line, complaint)
        self._entries[self._key] = text
        self._pieces = []


def fold(text: str) -> str:
    """Make one blank of each run of white space with a line end in it; trim the ends."""
    return _FOLDED.sub(" ", text).strip(" \t\r\n")


def unescape(text: str) -> tuple[str, tuple[str, ...]]:
    r"""Replace ``\uXXXX`` by the character.

    A pair of surrogates is one character, a lone one U+FFFD.  With an odd number of
    backslashes before it, an escape is meant literally; the backslashes all stay.

    :returns: the text, and what is wrong with escapes that are none.
    """
    if "\\u" not in text:
        return text, ()
    complaints: list[str] = []

    def character(found: re.Match[str]) -> str:
        slashes, digits = found[1], found[2]
        if len(slashes) % 2 == 0:
            return found[0]
        if digits is None:
            complaints.append("\\u without four hexadecimal digits stays as it is")
            return found[0]
        return slashes[:-1] + chr(int(digits, 16))

    units = _ESCAPE.sub(character, text)
    # Joins pairs of surrogates; what is left of them alone becomes U+FFFD.
    joined = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if "\ufffd" in joined and "\ufffd" not in units:
        complaints.append("half of a surrogate pair becomes U+FFFD")
    return joined, tuple(dict.fromkeys(complaints))
