"""XML to a ``model.Document``.

Strict first; what an XML parser refuses is repaired and parsed again.  Document types,
entities and what they could fetch are refused; nothing is fetched here.

Knows: XML and the elements that make states.  Does not know: executable content
(``compile``), what scripts mean.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from lxml import etree

from gms_twisted.scxml.compile import Compiler, DocumentError, Element
from gms_twisted.scxml.findings import Finding
from gms_twisted.scxml.model import Dialect, Document
from gms_twisted.scxml.repair import repair

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 200
MAX_ELEMENTS = 5_000
MAX_ATTRIBUTES = 100
"""Of one element."""

MAX_TAGS = 4 * MAX_ELEMENTS
MAX_EQUALS = 25_000
"""Signs of markup, counted before anything is parsed: the parser keeps every name that it has
ever seen, for as long as the process lives."""

_ELSE_ENCODED = re.compile(rb"\s*<\?xml[^>]*\sencoding\s*=\s*[\"'](?!utf-?8[\"'])", re.IGNORECASE)

__all__ = ["DocumentError", "load_document"]


def load_document(
    data: bytes,
    url: str,
    dialect: Dialect | None = None,
    includes: Mapping[str, bytes] | None = None,
) -> Document:
    """Read a state chart.

    :param dialect: ``None``: the Recommendation's if the document says
        ``datamodel="ecmascript"``, else the orchestration product's.
    :param includes: texts of ``src`` attributes by absolute URL.  Those that are missing are
        in the result's ``includes``: fetch them, and read the document again.
    :raises DocumentError: it cannot be read or run.
    """
    if len(data) > MAX_BYTES:
        raise DocumentError(f"The document has more than {MAX_BYTES} bytes.")
    for sign, what, most in ((b"<", "tags", MAX_TAGS), (b"=", "attributes", MAX_EQUALS)):
        if data.count(sign) > most:
            raise DocumentError(
                f"The document has too many {what}, more than {most} '{sign.decode()}'."
            )
    root, findings = _parse(data)
    digest = hashlib.sha256(data)
    for name, text in sorted((includes or {}).items()):
        digest.update(hashlib.sha256(name.encode() + b"\0" + text).digest())
    compiler = Compiler(url, digest.hexdigest(), dialect, includes or {}, findings, _read_tree)
    document = compiler.document(_element(root, [0], 1))
    return replace(document, text=data, included=dict(includes or {}))


def _parse(data: bytes) -> tuple[etree._Element, list[Finding]]:
    try:
        return _parse_strictly(data), []
    except DocumentError as exc:
        refused = exc
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused from None
    mended, findings = repair(text)
    if mended == text or (not data.isascii() and _ELSE_ENCODED.match(data)):
        raise refused
    # Lines are where they were, so the next fault is told with its own.
    return _parse_strictly(mended.encode()), findings


def _parse_strictly(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
        huge_tree=False,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as exc:
        raise DocumentError(_first_line(exc.msg), exc.lineno or 0) from None
    except ValueError as exc:
        raise DocumentError(_first_line(str(exc))) from None
    info: Any = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        line = data[: max(0, data.find(b"<!DOCTYPE"))].count(b"\n") + 1
        raise DocumentError("A document type is refused.", line)
    return root


def _first_line(text: str | None) -> str:
    return (text or "The document is not XML.").split("\n", 1)[0]


def _element(found: etree._Element, count: list[int], depth: int) -> Element:
    # Its stubs do not say that it is a number.
    line = int(cast("Any", found).sourceline or 0)
    count[0] += 1
    if depth > MAX_DEPTH:
        raise DocumentError(f"Elements are nested deeper than {MAX_DEPTH}.", line)
    if count[0] > MAX_ELEMENTS:
        raise DocumentError(f"The document has more than {MAX_ELEMENTS} elements.", line)
    if len(found.attrib) > MAX_ATTRIBUTES:
        raise DocumentError(f"An element has more than {MAX_ATTRIBUTES} attributes.", line)
    if not isinstance(found.tag, str):
        raise DocumentError("An entity is refused.", line)
    name = etree.QName(found)
    return Element(
        namespace=name.namespace or "",
        name=name.localname,
        prefix=found.prefix or "",
        line=line,
        attributes={etree.QName(key).localname: str(value) for key, value in found.attrib.items()},
        text=found.text or "",
        tail=found.tail or "",
        children=tuple(_element(child, count, depth + 1) for child in found),
        source=found,
        serialize=_serialize,
    )


def _serialize(found: object) -> str:
    assert isinstance(found, etree._Element)
    return etree.tostring(found, encoding="unicode", with_tail=False)


def _read_tree(text: str) -> Element | None:
    """Read XML that came as text, ``None`` if it is none."""
    try:
        return _element(_parse_strictly(text.strip().encode()), [0], 1)
    except DocumentError:
        return None
