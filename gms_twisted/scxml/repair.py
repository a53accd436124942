"""Text that was an XML document before somebody copied it from a page.

Documents are read strictly first; only what cannot be read comes here.  What is mended, and
nothing else, in this order at each place::

    --⏎>                        the end of a comment on two lines: joined
    _<_name                     the mark of a wrapped line: _name
    &                           that begins no reference: &amp;
    a="b == "c""                a value ends at a quote that more of the tag follows, or its
                                end, or another tag; others are &quot;, a missing one is added
    <a b="c" <d>                > is missing
    xmlns:a="www.example⏎ .com" blanks in a namespace
    <queue:submit>              a usual prefix that is declared nowhere
    </a>                        that closes nothing: left out
    <a>                         that is not closed: closed where what holds it ends
    id=" a "                    blanks around an id

No line end is lost and none comes in between, so a line's number stays what it was.  What
comes out is not trusted, but read strictly again.  A ``<`` that begins nothing makes the rest
hopeless, and it is left alone.  One pass, whose work is bounded; past the bound the text stays
as it is.

Spec: Orchestration Server-based Services, "Samples" (as printed).

Knows: tags, quotes, the usual prefixes.  Does not know: what elements mean, scripts.
"""

from __future__ import annotations

import re
from collections import Counter

from gms_twisted.domain.errors import shown
from gms_twisted.scxml.findings import Finding

MAX_MARKUP = 10_000
"""Tags, comments and the like that are looked at; in some tags attributes count, too."""
MAX_MENDED = 2_000
"""Single changes."""
MAX_DEPTH = 200
"""Elements within each other."""
MAX_FINDINGS = 100
"""Findings told; one more says that there were others."""
_FAULTS = f"{MAX_MENDED} faults"

_GENESYS = "http://www.genesyslab.com/modules/"
USUAL_PREFIXES = {
    **{
        word: _GENESYS + word
        for word in ("queue", "ws", "session", "dialog", "classification", "statistic", "resource")
    },
    "ixn": f"{_GENESYS}interaction",
    "service": f"{_GENESYS}dfm/gsgBasedServices/v1",
    "gsgNotification": f"{_GENESYS}dfm/gsgNotification/v1",
    "storage": f"{_GENESYS}dfm/gsgStorage/v1",
}
"""Namespaces of prefixes that applications use without declaring them."""

# Possessive throughout: no text makes any of these try again what it has read.
_NAME = r"[^\W\d][\w.\-:]*+"
_PLAIN_NAME = r"[^\W\d][\w.\-]*+"
_BLANK = r"\s*+"
_INDENT = r"[ \t]*+"
_START = re.compile(rf"<({_NAME})")
_SIMPLE_START = re.compile(
    rf"<({_PLAIN_NAME})"
    rf"((?:\s++{_PLAIN_NAME}{_BLANK}={_BLANK}(?:\"[^\"<&]*+\"|'[^'<&]*+'))*+){_BLANK}(/?)>"
)
"""A start tag in order, no prefix in it."""
_BLANK_ID = re.compile(rf"\sid{_BLANK}={_BLANK}(?:[\"']\s|\"[^\"]*+(?<=\s)\"|'[^']*+(?<=\s)')")
_END = re.compile(rf"</({_NAME}){_BLANK}(?:(>)|(?=<))")
_BLANKS = re.compile(rf"{_BLANK}")
_ATTRIBUTE = re.compile(rf"({_NAME}){_BLANK}={_BLANK}([\"'])")
_NEXT_TAG = re.compile(r"<[/!?]?[^\W\d]|<!--|<!\[")
_MORE_OF_TAG = re.compile(
    rf"{_BLANK}(?:/?>|<[/!?]?[^\W\d]|<!--)|\s++(?:_<(?=_))?{_NAME}{_BLANK}={_BLANK}[\"']"
)
"""What follows a quote that ends a value."""
_BARE = re.compile(r"&(?!(?:lt|gt|amp|apos|quot|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_COMMENT_END = re.compile(rf"--(?:{_INDENT}\r?\n{_INDENT})?>")
_ELEMENT = re.compile(rf"<{_NAME}(?:{_BLANK}/?>|\s++{_NAME}{_BLANK}={_BLANK}[\"'])")
_WRAPPED = re.compile(rf"(?<=\n)({_INDENT})_<(?=_)")


def repair(text: str) -> tuple[str, list[Finding]]:
    """Mend a document that cannot be read; one that can stays as it is, but for blanks in ids.

    :return: the text to read, and what was done, in the order of lines.
    """
    return _Repair(text).run()


class _TooMuch(Exception):
    """The bound of work is reached."""


class _Hopeless(Exception):
    """What comes next cannot be mended."""


class _Repair:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._out: list[str] = []
        self._seen = 0
        self._mended = 0
        self._findings: list[Finding] = []
        self._counted_to = 0
        self._counted_line = 1
        self._open: list[tuple[str, int]] = []
        self._open_names: Counter[str] = Counter()
        self._root_piece = -1
        self._used: dict[str, int] = {}
        self._declared: set[str] = set()

    def run(self) -> tuple[str, list[Finding]]:
        """Mend everything."""
        try:
            self._mend_all()
        except _TooMuch as bound:
            sentence = f"nothing is mended: there are more than {bound} up to here"
            return self._text, [Finding(self._line(self._at), sentence)]
        findings = sorted(self._findings[:MAX_FINDINGS], key=lambda one: one.line)
        if len(self._findings) > MAX_FINDINGS:
            findings.append(Finding(findings[-1].line, "more is mended than is listed here"))
        return "".join(self._out), findings

    def _mend_all(self) -> None:
        try:
            while self._next_markup():
                self._count()
            for name, line in reversed(self._open):
                self._close(name, line)
        except _Hopeless:
            self._take(len(self._text))
        self._declare()

    # Notes.

    def _line(self, at: int) -> int:
        """The line of a place; near the last one that was asked for, or behind it."""
        if at >= self._counted_to:
            self._counted_line += self._text.count("\n", self._counted_to, at)
        else:
            self._counted_line -= self._text.count("\n", at, self._counted_to)
        self._counted_to = at
        return self._counted_line

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MAX_MARKUP:
            raise _TooMuch(f"{MAX_MARKUP} tags")

    def _mend(self, line: int, sentence: str, changes: int = 1) -> None:
        self._mended += changes
        if self._mended > MAX_MENDED:
            raise _TooMuch(_FAULTS)
        if len(self._findings) <= MAX_FINDINGS:
            self._findings.append(Finding(line, sentence))

    def _take(self, end: int) -> None:
        """Take text over as it is."""
        self._out.append(self._text[self._at : end])
        self._at = end

    # Between tags.

    def _next_markup(self) -> bool:
        """Do the text before the next ``<``, and what begins there; ``False`` at the end."""
        start = self._text.find("<", self._at)
        if start < 0:
            self._take_escaped(len(self._text))
            return False
        if self._is_wrap_mark(start):
            self._take_escaped(start - 1)
            self._drop_wrap_mark(start - 1)
            return True
        self._take_escaped(start)
        following = self._text[start + 1 : start + 2]
        if following == "/":
            self._end_tag(start)
        elif following == "!":
            self._declaration(start)
        elif following == "?":
            self._take_past("?>")
        else:
            self._start_tag(start)
        return True

    def _take_escaped(self, end: int) -> None:
        stretch = self._text[self._at : end]
        self._out.append(self._escaped(stretch, self._at) if "&" in stretch else stretch)
        self._at = end

    def _escaped(self, stretch: str, start: int) -> str:
        """Escape every ``&`` that begins no reference; told once a line."""
        lines: Counter[int] = Counter()
        for count, found in enumerate(_BARE.finditer(stretch), self._mended + 1):
            if count > MAX_MENDED:
                raise _TooMuch(_FAULTS)
            lines[self._line(start + found.start())] += 1
        for line, changes in lines.items():
            self._mend(line, "& that begins no reference is taken as text", changes)
        return _BARE.sub("&amp;", stretch) if lines else stretch

    def _is_wrap_mark(self, start: int) -> bool:
        """Tell whether ``<`` is that of a ``_<_`` which only blanks of its line precede."""
        mark = start - 1
        if mark < self._at or not self._text.startswith("_<_", mark):
            return False
        line = self._text.rfind("\n", self._at, mark) + 1
        if not line and self._at and self._text[self._at - 1] != "\n":
            return False
        blank = not self._text[line or self._at : mark].strip()
        return blank and _ELEMENT.match(self._text, start) is None

    def _drop_wrap_mark(self, mark: int) -> None:
        self._mend(self._line(mark), "the mark of a wrapped line, _<, is left out")
        self._at = mark + 2

    def _declaration(self, start: int) -> None:
        """A comment or a CDATA section; a document type is for the reader to refuse."""
        if self._text.startswith("<![CDATA[", start):
            self._take_past("]]>")
            return
        # Two hyphens may stand nowhere else in a comment.
        hyphens = self._text.find("--", start + 4)
        end = _COMMENT_END.match(self._text, hyphens) if hyphens >= 0 else None
        if end is None or not self._text.startswith("<!--", start):
            raise _Hopeless
        self._take(end.start())
        if end[0] == "-->":
            self._take(end.end())
            return
        self._mend(self._line(end.start()), "the end of a comment, -->, is on two lines")
        self._out.append("-->\n")
        self._at = end.end()

    def _take_past(self, mark: str) -> None:
        end = self._text.find(mark, self._at)
        if end < 0:
            raise _Hopeless
        self._take(end + len(mark))

    # End tags.

    def _end_tag(self, start: int) -> None:
        tag = _END.match(self._text, start)
        if tag is None:
            raise _Hopeless
        name = tag[1]
        if not self._open_names[name]:
            self._mend(self._line(start), f"</{shown(name)}> closes nothing and is left out")
            self._out.append("\n" * tag[0].count("\n"))
            self._at = tag.end()
            return
        while self._open[-1][0] != name:
            self._close(*self._open[-1])
            self._pop()
        self._pop()
        if tag[2]:
            self._take(tag.end())
        else:
            self._take(start + 2 + len(name))
            self._end_before(tag.end(), start, f"</{shown(name)}")

    def _close(self, name: str, line: int) -> None:
        self._mend(line, f"<{shown(name)}> is not closed")
        self._out.append(f"</{name}>")

    def _pop(self) -> None:
        self._open_names[self._open.pop()[0]] -= 1

    def _end_before(self, following: int, start: int, what: str) -> None:
        """End a tag whose ``>`` is missing, and take over the blanks behind it."""
        self._mend(self._line(start), f"> is missing after {what}")
        self._out.append(">")
        self._take(following)

    # Start tags.

    def _start_tag(self, start: int) -> None:
        if self._root_piece < 0:
            self._root_piece = len(self._out)
        simple = _SIMPLE_START.match(self._text, start)
        if simple is not None and not _BLANK_ID.search(simple[2]):
            self._take(simple.end())
            if not simple[3]:
                self._push(simple[1], start)
            return
        found = _START.match(self._text, start)
        if found is None:
            raise _Hopeless
        name = found[1]
        self._take(found.end())
        self._note_prefix(name, start)
        if not self._attributes(start, name):
            self._push(name, start)

    def _push(self, name: str, start: int) -> None:
        if len(self._open) == MAX_DEPTH:
            raise _TooMuch(f"{MAX_DEPTH} elements within each other")
        self._open.append((name, self._line(start)))
        self._open_names[name] += 1

    def _attributes(self, start: int, element: str) -> bool:
        """Do a start tag from behind its name to its end; tells whether it is empty."""
        while True:
            self._count()
            blanks = _BLANKS.match(self._text, self._at)
            assert blanks is not None
            following = blanks.end()
            for end in (">", "/>"):
                if self._text.startswith(end, following):
                    self._take(following + len(end))
                    return end == "/>"
            if _NEXT_TAG.match(self._text, following):
                self._end_before(following, start, f"<{shown(element)} and its attributes")
                return False
            if "\n" in blanks[0] and self._text.startswith("_<_", following):
                self._take(following)
                self._drop_wrap_mark(following)
                following = self._at
            attribute = _ATTRIBUTE.match(self._text, following)
            if attribute is None:
                raise _Hopeless
            self._note_prefix(attribute[1], following)
            self._take(attribute.end())
            self._value(attribute[1], attribute[2])

    def _value(self, name: str, quote: str) -> None:
        """Do a value and the quote behind it."""
        start, inner = self._at, 0
        end = self._text.find(quote, start)
        while end >= 0 and quote == '"' and not _MORE_OF_TAG.match(self._text, end + 1):
            inner += 1
            if inner > MAX_MENDED:
                raise _TooMuch(_FAULTS)
            end = self._text.find(quote, end + 1)
        if end < 0:
            raise _Hopeless
        line = self._line(start)
        value = self._text[start:end]
        if "_<_" in value:
            value, marks = _WRAPPED.subn(r"\1", value)
            if marks:
                self._mend(line, f"marks of wrapped lines, _<, in {shown(name)} are left out")
        if "&" in value:
            value = self._escaped(value, start)
        if inner:
            self._mend(line, f"quotes inside the value of {shown(name)} are escaped", inner)
            value = (value + '"' * (inner % 2)).replace('"', "&quot;")
        tidy = _tidy(name, value)
        lines = value.count("\n") - tidy.count("\n")
        if tidy != value:
            where = "around" if name == "id" else "in"
            self._mend(line, f"blanks {where} the value of {shown(name)} are left out")
        self._out.append(tidy + quote + "\n" * lines)
        self._at = end + 1

    # Prefixes.

    def _note_prefix(self, name: str, at: int) -> None:
        prefix, colon, local = name.partition(":")
        if colon and prefix == "xmlns":
            self._declared.add(local)
        elif colon and prefix in USUAL_PREFIXES and prefix not in self._used:
            self._used[prefix] = self._line(at)

    def _declare(self) -> None:
        """Declare usual prefixes, that nothing in the document declares, at its root."""
        wanted = ""
        for prefix, line in self._used.items():
            if prefix not in self._declared:
                self._mend(line, f"the prefix {prefix} is not declared; its usual one is taken")
                wanted += f' xmlns:{prefix}="{USUAL_PREFIXES[prefix]}"'
        if wanted:
            piece = self._out[self._root_piece]
            name = _START.match(piece)
            assert name is not None
            self._out[self._root_piece] = f"{name[0]}{wanted}{piece[name.end() :]}"


def _tidy(name: str, value: str) -> str:
    """A value without blanks that cannot be meant."""
    if name.startswith("xmlns:"):
        return "".join(value.split())
    return value.strip() if name == "id" else value
