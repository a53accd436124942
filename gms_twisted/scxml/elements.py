"""An XML element as the readers of documents see it.

Knows: names, attributes, children, lines.  Does not know: lxml, what elements mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gms_twisted.scxml.model import Inline, Markup

SCXML = "http://www.w3.org/2005/07/scxml"


class DocumentError(Exception):
    """A document cannot be read or run.

    :ivar line: 1-based, 0 unknown.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"Line {line}: {message}" if line else message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element; comments are gone.

    :ivar attributes: by local name.
    :ivar source: what ``serialize`` makes text of.
    """

    namespace: str
    name: str
    prefix: str
    line: int
    attributes: Mapping[str, str]
    text: str
    tail: str
    children: tuple[Element, ...]
    source: object = field(repr=False)
    serialize: Callable[[object], str] = field(repr=False)

    @property
    def scxml(self) -> bool:
        """Is one of SCXML's own."""
        return self.namespace in ("", SCXML)

    def get(self, name: str) -> str:
        """An attribute, ``""`` if there is none."""
        return self.attributes.get(name, "")

    def elements(self, name: str) -> Iterator[Element]:
        """Those children of SCXML's with this name."""
        return (child for child in self.children if child.name == name and child.scxml)

    def markup(self) -> Markup:
        """Itself as a value."""
        return Markup(self.serialize(self.source), json.dumps(self._tree()))

    def _tree(self) -> list[object]:
        inside: list[object] = [self.text] if self.text else []
        for child in self.children:
            inside.append(child._tree())
            if child.tail:
                inside.append(child.tail)
        name = f"{self.prefix}:{self.name}" if self.prefix else self.name
        return [name, dict(self.attributes), inside]


def inline_value(
    element: Element, read_tree: Callable[[str], Element | None] | None = None
) -> Inline | None:
    """What stands inside an element as a value, ``None`` for nothing."""
    if element.children:
        return _of_markup(element.children[0])
    return inline_text(element.text, read_tree) if element.text.strip() else None


def inline_text(text: str, read_tree: Callable[[str], Element | None] | None) -> Inline:
    """Text as a value.

    SCXML: "ECMAScript Data Model": JSON, else XML, else text with its blanks normalised.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    else:
        return Inline(json.dumps(value))
    if read_tree is not None and text.lstrip().startswith("<"):
        found = read_tree(text)
        if found is not None:
            return _of_markup(found)
    return Inline(json.dumps(" ".join(text.split())))


def _of_markup(element: Element) -> Inline:
    markup = element.markup()
    return Inline(markup.tree, markup)


def _no_constant(name: str) -> object:
    raise ValueError(name)
