"""XML as the chat server's protocol uses it: small, closed, without tricks.

Reading refuses what has no business in a packet: declarations, DTDs, entities
other than the five, processing instructions, deep nesting.  Writing escapes
everything and drops the characters that XML forbids, so what is written can
always be read again.

Knows: elements, attributes, text.  Does not know: any element's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from gms_twisted.chatserver.errors import ProtocolError

MAX_DEPTH = 6
"""Deepest element read; the protocol itself needs three."""

MAX_ELEMENTS = 20_000
"""Most elements of one packet."""

# XML 1.0, production 2 "Char": everything else cannot be written, escaped or not.
_ALLOWED = "\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"
_TEXT_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_TEXT_SPECIAL = re.compile(f"[&<>\r]|[^{_ALLOWED}]")
_VALUE_ESCAPES = {**_TEXT_ESCAPES, '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}
_VALUE_SPECIAL = re.compile(f'[&<>\r"\t\n]|[^{_ALLOWED}]')


@dataclass(slots=True)
class Element:
    """One element as read.

    :ivar text: the character data directly inside it.
    """

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = field(default="", repr=False)

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.name == name), None)


def escape_text(text: str) -> str:
    """Make text fit between tags; characters that XML forbids are dropped."""
    if _TEXT_SPECIAL.search(text) is None:
        return text
    return _TEXT_SPECIAL.sub(lambda found: _TEXT_ESCAPES.get(found[0], ""), text)


def escape_value(value: str) -> str:
    """Make text fit between double quotes, unharmed by attribute normalisation."""
    if _VALUE_SPECIAL.search(value) is None:
        return value
    return _VALUE_SPECIAL.sub(lambda found: _VALUE_ESCAPES.get(found[0], ""), value)


def write(name: str, attributes: Mapping[str, object], content: str = "") -> str:
    """Write an element.

    :param attributes: values are turned into text; ``None`` leaves one out.
    :param content: finished XML.
    """
    parts = [
        f' {key}="{escape_value(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    head = f"<{name}{''.join(parts)}"
    return f"{head}>{content}</{name}>" if content else f"{head}/>"


class _Reader:
    """Builds elements from expat's calls."""

    def __init__(self) -> None:
        self.root = Element("", {})
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise ProtocolError("A packet has too many or too deep elements.")
        element = Element(name, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def text(self, data: str) -> None:
        self._texts[-1].append(data)

    def refuse(self, *_: object) -> None:
        raise ProtocolError("A packet holds a declaration, DTD, entity or instruction.")


def read(data: bytes) -> Element:
    """Read one packet.

    :raises ProtocolError: it is not UTF-8, not one well-formed element, or holds
        something that packets must not hold.
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ProcessingInstructionHandler = reader.refuse
    parser.XmlDeclHandler = reader.refuse
    parser.SkippedEntityHandler = reader.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ProtocolError(f"A packet is not well-formed: {error}.") from None
    return reader.root
