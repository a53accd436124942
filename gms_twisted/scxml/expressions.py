"""Elements to the model: expressions, locations, parameters, elements of modules.

Knows: which attributes are expressions, which text stands for itself.
Does not know: SCXML's own executable content (``content``), the values of expressions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urljoin

from gms_twisted.scxml.dialect import IDENTIFIER, KNOWN_PREFIXES, module_of
from gms_twisted.scxml.elements import Element
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.model import (
    Action,
    Content,
    Dialect,
    Param,
    Part,
    Response,
    Source,
    Use,
    Word,
)
from gms_twisted.scxml.scanning import literal

_READS_REQUEST = (("queue", "cancel"), ("queue", "query"))
_TEXT_ATTRIBUTES = {
    ("queue", "target"): ("type",),
    ("queue", "targets"): ("type",),
    ("queue", "submit"): ("route", "clearontimeout"),
    ("interaction", "createcall"): ("type",),
    ("interaction", "redirect"): ("detach",),
    ("session", "fetch"): ("src", "maxage"),
    ("session", "start"): ("src",),
}
"""Attributes that are text, by module and element; all others are expressions."""


class SourceReader:
    """Reads what elements have in common.

    :ivar sources: pieces of script so far.
    :ivar missing: URLs of texts that were not handed in.
    """

    def __init__(
        self, url: str, dialect: Dialect, includes: Mapping[str, bytes], findings: list[Finding]
    ) -> None:
        self._url = url
        self._old = dialect is Dialect.ORCHESTRATION
        self._includes = includes
        self._findings = findings
        self.sources: list[Source] = []
        self.missing: list[str] = []

    def _source(
        self,
        use: Use,
        text: str,
        element: Element,
        location: str = "",
        tolerant: bool = False,
    ) -> Source:
        if use is not Use.SCRIPT and use is not Use.BLOCK:
            # An expression may end like a statement.
            text = text.rstrip().rstrip(";").rstrip() if text.rstrip().endswith(";") else text
        plain = use in (Use.VALUE, Use.DATA) or (use is Use.TEXT and text.lstrip()[:1] in "\"'")
        source = Source(
            len(self.sources),
            use,
            text,
            element.line,
            location,
            literal(text) if plain else None,
            tolerant,
        )
        self.sources.append(source)
        return source

    def _location(self, text: str, element: Element, create: bool = False) -> Source:
        bare = (self._old or create) and IDENTIFIER.fullmatch(text.strip())
        return self._source(Use.STORE_NEW if bare else Use.STORE, text.strip(), element)

    def _optional_location(self, element: Element, name: str) -> Source | None:
        text = element.attributes.get(name)
        return None if text is None else self._location(text, element)

    def _tolerant(self, element: Element, name: str) -> Source | None:
        text = element.attributes.get(name)
        if text is None:
            return None
        return self._source(Use.VALUE, text, element, tolerant=True)

    def _word(self, element: Element, name: str, expression: str, text: str | None = None) -> Word:
        """An attribute that has a sister with an expression; in the dialect it is one itself."""
        if expression in element.attributes:
            return self._source(Use.VALUE, element.get(expression), element)
        text = element.attributes.get(name) if text is None else text
        if text is None or not self._old:
            return text
        return self._source(Use.VALUE, text, element, tolerant=True)

    def _params(self, element: Element) -> tuple[Param, ...]:
        found = []
        for param in element.elements("param"):
            text = param.attributes.get("expr", param.attributes.get("location"))
            if text is None:
                # Choice: without expression its value is the variable of its name.
                text = param.get("name")
            source = self._source(Use.VALUE, text, param, tolerant=self._old)
            found.append(Param(param.get("name").strip(), source))
        return tuple(found)

    def _include(self, name: str) -> str | None:
        url = urljoin(self._url, name.strip())
        got = self._includes.get(url)
        if got is None:
            self.missing.append(url)
            return None
        return got.decode("utf-8-sig", "replace")

    def _module(self, element: Element) -> str | None:
        found = module_of(element.namespace) if element.namespace else None
        if found is None and element.prefix in KNOWN_PREFIXES and not element.namespace:
            found = module_of(KNOWN_PREFIXES[element.prefix])
        return found

    def _extension(self, element: Element, module: str) -> Content:
        params = self._params(element)
        if module == "ws" and element.name == "response":
            return Response(
                element.line,
                self._tolerant(element, "requestid"),
                self._tolerant(element, "type"),
                self._tolerant(element, "resultcode"),
                params,
            )
        reads = (module, element.name) in _READS_REQUEST
        request = None if reads else self._optional_location(element, "requestid")
        return Action(
            element.line,
            module,
            element.name,
            request,
            self._attributes(element, module, () if reads else ("requestid",)),
            params,
            self._parts(element, module),
        )

    def _attributes(
        self, element: Element, module: str, without: tuple[str, ...] = ()
    ) -> tuple[tuple[str, Source], ...]:
        texts = _TEXT_ATTRIBUTES.get((module, element.name), ())
        found = []
        for name in element.attributes:
            if name in without:
                continue
            source = self._tolerant(element, name)
            assert source is not None
            if name in texts and source.literal is None:
                source = self._quoted(source)
            found.append((name, source))
        return tuple(found)

    def _quoted(self, source: Source) -> Source:
        made = Source(
            source.index, source.use, source.text, source.line, "", json.dumps(source.text), True
        )
        self.sources[source.index] = made
        return made

    def _parts(self, element: Element, module: str) -> tuple[Part, ...]:
        return tuple(
            Part(child.name, self._attributes(child, module), self._parts(child, module))
            for child in element.children
            if not (child.scxml and child.name == "param")
        )

    def _note(self, element: Element, text: str) -> None:
        self._findings.append(Finding(element.line, text))
