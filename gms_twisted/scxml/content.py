"""Elements to the model: executable content, data, what is invoked.

Knows: SCXML's executable content in both dialects, which attributes are expressions.
Does not know: states (``compile``), the values of expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urljoin

from gms_twisted.scxml.dialect import IDENTIFIER
from gms_twisted.scxml.elements import DocumentError, Element, inline_text, inline_value
from gms_twisted.scxml.expressions import SourceReader
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.model import (
    Assign,
    Block,
    Cancel,
    Content,
    Data,
    Dialect,
    Foreach,
    If,
    Inline,
    Invoke,
    Log,
    Param,
    Payload,
    Raise,
    Script,
    Send,
    Source,
    Use,
)
from gms_twisted.scxml.scanning import declares_nothing

MAX_NESTING = 64
_XINCLUDE = "http://www.w3.org/2001/XInclude"
_FUNCTION = re.compile(r"\s*function\s*[\w$]*\s*\(")


class ContentReader(SourceReader):
    """Reads the executable content of one document.

    :param nested: reads a document inside ``<content>``, and tells its place.
    """

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        includes: Mapping[str, bytes],
        findings: list[Finding],
        read_tree: Callable[[str], Element | None],
        nested: Callable[[Element], int],
    ) -> None:
        super().__init__(url, dialect, includes, findings)
        self._read_tree = read_tree
        self._nested = nested
        self._invokes = 0
        self._depth = 0
        self._read: dict[str, Callable[[Element], Content]] = {
            "raise": self._raise,
            "event": self._raise,
            "if": self._if,
            "foreach": self._foreach,
            "log": self._log,
            "assign": self._assign,
            "script": self._script,
            "send": self._send,
            "cancel": self._cancel,
        }

    def block(self, elements: Sequence[Element]) -> Block:
        """Executable content; what is none is a finding."""
        if elements and self._depth >= MAX_NESTING:
            raise DocumentError(
                f"Executable content is nested deeper than {MAX_NESTING}.", elements[0].line
            )
        self._depth += 1
        found: list[Content] = []
        for element in elements:
            if element.scxml and element.name in self._read:
                found.append(self._read[element.name](element))
                continue
            module = self._module(element)
            if module is not None:
                found.append(self._extension(element, module))
            elif element.scxml and element.name in ("elseif", "else"):
                raise DocumentError(f"<{element.name}> stands outside <if>.", element.line)
            else:
                self._note(element, f"<{element.name}> is not known, and ignored.")
        self._depth -= 1
        return tuple(found)

    def condition(self, element: Element) -> Source | None:
        """The ``cond`` attribute."""
        text = element.attributes.get("cond")
        return None if text is None else self._source(Use.CONDITION, text, element)

    def data(self, element: Element) -> Data:
        """``<data>``."""
        name = element.get("id").strip()
        if not name:
            raise DocumentError("<data> has no id.", element.line)
        text = element.attributes.get("expr")
        if text is not None:
            expression = self._source(Use.DATA, text, element, location=name)
            return Data(element.line, name, expression, None, self._parameter(element))
        source = element.get("src")
        if source:
            got = self._include(source)
            inline = None if got is None else inline_text(got, self._read_tree)
            return Data(element.line, name, None, inline, missing=got is None)
        if not element.children and _FUNCTION.match(element.text):
            # Choice: text that is a function is one; SCXML knows JSON, XML and plain text.
            expression = self._source(Use.DATA, element.text, element, location=name)
            return Data(element.line, name, expression)
        inline = inline_value(element, self._read_tree)
        return Data(element.line, name, None, inline, self._parameter(element))

    def _parameter(self, element: Element) -> bool:
        return self._old and element.get("_type") == "parameter"

    def payload(self, element: Element) -> Payload:
        """What goes with an event."""
        params = [
            Param(name, self._source(Use.VALUE, name, element))
            for name in element.get("namelist").replace(",", " ").split()
        ]
        params.extend(self._params(element))
        for content in element.elements("content"):
            text = content.attributes.get("expr")
            if text is not None:
                return Payload((), self._source(Use.VALUE, text, content))
            return Payload((), inline_value(content, self._read_tree) or Inline('""'))
        if self._old and "content" in element.attributes:
            return Payload((), self._tolerant(element, "content"))
        if self._old and "hints" in element.attributes and not params:
            # Choice: the draft's `hints` are for the processor; here they are the data.
            return Payload((), self._tolerant(element, "hints"))
        return Payload(tuple(params))

    def invoke(self, element: Element) -> Invoke:
        """``<invoke>``."""
        content: int | Source | None = None
        for found in element.elements("content"):
            text = found.attributes.get("expr")
            if text is not None:
                content = self._source(Use.VALUE, text, found)
            elif found.children:
                content = self._nested(found.children[0])
        finalize, params = None, self.payload_params(element)
        for found in element.elements("finalize"):
            finalize = self.block(found.children)
        locations: list[tuple[str, Source]] = []
        if finalize == ():
            locations.extend(
                (name, self._location(name, element)) for name in element.get("namelist").split()
            )
            for param in element.elements("param"):
                location = param.get("location")
                if location:
                    locations.append((param.get("name"), self._location(location, param)))
        type_text = element.attributes.get("type", element.attributes.get("targettype"))
        source = element.get("src").strip()
        if source and urljoin(self._url, source) == self._url:
            raise DocumentError("The document invokes itself.", element.line)
        self._invokes += 1
        return Invoke(
            index=self._invokes - 1,
            line=element.line,
            type=self._word(element, "type", "typeexpr", type_text),
            source=self._source(Use.VALUE, element.get("srcexpr"), element)
            if "srcexpr" in element.attributes
            else element.attributes.get("src"),
            id=element.attributes.get("id"),
            id_location=self._optional_location(element, "idlocation"),
            params=params,
            content=content,
            autoforward=element.get("autoforward").strip("'\" ") == "true",
            finalize=finalize,
            locations=tuple(locations),
        )

    def payload_params(self, element: Element) -> tuple[Param, ...]:
        """``namelist`` and ``<param>`` alone."""
        named = [
            Param(name, self._source(Use.VALUE, name, element))
            for name in element.get("namelist").split()
        ]
        return (*named, *self._params(element))

    def _raise(self, element: Element) -> Raise:
        name = element.get("event") or element.get("name")
        return Raise(element.line, name.strip("'\" ") if self._old else name)

    def _if(self, element: Element) -> If:
        branches: list[tuple[Source | None, list[Element]]] = [(self.condition(element), [])]
        if branches[0][0] is None:
            raise DocumentError("<if> has no cond.", element.line)
        for child in element.children:
            if child.scxml and child.name == "elseif":
                branches.append((self.condition(child), []))
            elif child.scxml and child.name == "else":
                branches.append((None, []))
            else:
                branches[-1][1].append(child)
        return If(
            element.line, tuple((condition, self.block(inside)) for condition, inside in branches)
        )

    def _foreach(self, element: Element) -> Foreach:
        index = element.attributes.get("index")
        return Foreach(
            element.line,
            self._source(Use.ITEMS, element.get("array"), element),
            self._location(element.get("item"), element, create=True),
            None if index is None else self._location(index, element, create=True),
            self.block(element.children),
        )

    def _log(self, element: Element) -> Log:
        label: str | Source = element.get("label")
        if self._old and label:
            label = self._source(Use.TEXT, str(label), element, tolerant=True)
        text = element.attributes.get("expr")
        level = element.get("level").strip("'\" ")
        return Log(
            element.line,
            label,
            None if text is None else self._source(Use.TEXT, text, element, tolerant=self._old),
            int(level) if level in ("1", "2", "3", "4") else 1,
        )

    def _assign(self, element: Element) -> Assign:
        location = (element.get("location") or element.get("name")).strip()
        if not location:
            raise DocumentError("<assign> has no location.", element.line)
        text = element.attributes.get("expr")
        if text is None:
            inline = inline_value(element, self._read_tree)
            return Assign(element.line, self._location(location, element), inline or Inline('""'))
        bare = self._old and IDENTIFIER.fullmatch(location)
        use = Use.CREATE if bare else Use.ASSIGN
        return Assign(element.line, self._source(use, text, element, location))

    def _script(self, element: Element) -> Script:
        text: str | None = element.text
        name = element.get("src")
        for child in element.children:
            if child.namespace == _XINCLUDE and child.name == "include":
                name = child.get("href")
        if name:
            text = self._include(name)
            if text is None:
                return Script(element.line, None)
        assert text is not None
        use = Use.BLOCK if declares_nothing(text) else Use.SCRIPT
        return Script(element.line, self._source(use, text, element))

    def _send(self, element: Element) -> Send:
        old_type = element.attributes.get("type", element.attributes.get("targettype"))
        return Send(
            line=element.line,
            event=self._word(element, "event", "eventexpr"),
            target=self._word(element, "target", "targetexpr"),
            type=self._word(element, "type", "typeexpr", old_type),
            delay=self._word(element, "delay", "delayexpr"),
            send_id=element.attributes.get("id", element.attributes.get("sendid")),
            id_location=self._optional_location(element, "idlocation"),
            payload=self.payload(element),
        )

    def _cancel(self, element: Element) -> Cancel:
        if "sendidexpr" in element.attributes:
            return Cancel(element.line, self._source(Use.VALUE, element.get("sendidexpr"), element))
        text = element.attributes.get("sendid", element.get("id"))
        if self._old:
            source = self._source(Use.VALUE, text, element, tolerant=True)
            return Cancel(element.line, source)
        return Cancel(element.line, text)
