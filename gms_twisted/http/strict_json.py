"""JSON as everything but Bayeux reads and writes it: RFC 8259 with nothing left open.

What two readers could understand differently is refused (names given twice, integers that
a double cannot hold, ``NaN``), and so is what could keep the reactor busy: the text is
counted before one object is made of it, and nothing here recurses.

Whatever :func:`loads` accepts, :func:`dumps` can write.

Knows: JSON text, its limits.  Does not know: what any member means.
"""

from __future__ import annotations

import re

import orjson

from gms_twisted.domain.errors import InvalidRequest

MAX_DEPTH = 64
MAX_MEMBERS = 1_000
MAX_ELEMENTS = 10_000
# Choice: a bound for the whole document too.  Lists of lists stay below every other
# limit and would still cost more than the 50 ms that a request may take.
MAX_VALUES = 20_000
MAX_INTEGER = 2**53

_BOM = b"\xef\xbb\xbf"
_LONG_NUMBER = re.compile(rb"[-0-9][-+.0-9eE]{18,}")
_SMALLEST_LOST = float(2**63)
"""Integers from here on come out of the parser as floats."""
_POSITION = re.compile(r": line (\d+) column (\d+)")
_REASONS = (
    ("depth limit", f"is nested more than {MAX_DEPTH} deep"),
    ("infinity", "has a number too large to be held"),
    ("UTF-8", "is not UTF-8"),
    ("surrogate", "has half of a surrogate pair"),
    ("after document", "goes on after its end"),
)


def loads(data: bytes, *, what: str = "body", allow_null: bool = False) -> object:
    """Read one JSON document.

    :param data: UTF-8, a leading byte order mark is skipped; of any size, but the time
        taken is only bounded as the size is.
    :param what: how messages name the text, ``"body"`` or a parameter's name.
    :param allow_null: take the document ``null``.
    :raises InvalidRequest: with one sentence, when the text is not JSON in UTF-8, is
        empty or ``null``, has lone surrogates, the same name twice in an object, NUL in a
        name, an integer outside +-2**53, a number too large for a double, or more than
        :data:`MAX_DEPTH` levels, :data:`MAX_MEMBERS` members in an object,
        :data:`MAX_ELEMENTS` elements in a list or :data:`MAX_VALUES` values.
    """
    text = data.removeprefix(_BOM)
    if not text.strip(b" \t\r\n"):
        raise InvalidRequest(f"The {what} is empty; a JSON document is expected.")
    structure = _structure(text, what)
    values = structure.count(b",") + structure.count(b"[") + structure.count(b"{")
    if values > MAX_VALUES:
        raise InvalidRequest(f"The {what} has more than {MAX_VALUES} values.")
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(_complaint(what, str(error))) from None
    if document is None and not allow_null:
        raise InvalidRequest(f"The {what} is null; a JSON document is expected.")
    _check(document, structure, what)
    return document


def dumps(value: object) -> bytes:
    """Write a value as compact JSON in UTF-8; a float without a JSON form becomes ``null``.

    :raises TypeError: the value is not made of what JSON knows, holds a lone surrogate or
        an integer of more than 64 bits, or is nested more than some 250 deep.
    """
    return orjson.dumps(value)


def _structure(text: bytes, what: str) -> bytes:
    """Cut the insides of strings out: what is left is punctuation, numbers and words."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > 4 * MAX_VALUES:  # two for a name, two for its value
        raise InvalidRequest(f"The {what} has more than {MAX_VALUES} values.")
    return b'"'.join(text.split(b'"')[::2])


def _check(document: object, structure: bytes, what: str) -> None:
    """Hold a document against its text, level by level."""
    level = [document]
    depth = names = 0
    huge = False
    while level:
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                names += _open_object(value, below, what)
            elif isinstance(value, list):
                if len(value) > MAX_ELEMENTS:
                    raise InvalidRequest(
                        f"A list in the {what} has more than {MAX_ELEMENTS} elements."
                    )
                below += value
            elif isinstance(value, int):
                if not -MAX_INTEGER <= value <= MAX_INTEGER:
                    raise InvalidRequest(_too_long(what))
            elif isinstance(value, float):
                huge = huge or abs(value) >= _SMALLEST_LOST
        # Scalars do not make a level: only what opened a bracket counts.
        depth += any(isinstance(value, dict | list) for value in level)
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"The {what} is nested more than {MAX_DEPTH} deep.")
        level = below
    if names != structure.count(b":"):
        raise InvalidRequest(f"An object in the {what} has the same name twice.")
    if huge and any(number.lstrip(b"-").isdigit() for number in _LONG_NUMBER.findall(structure)):
        raise InvalidRequest(_too_long(what))


def _open_object(members: dict[str, object], below: list[object], what: str) -> int:
    """Check an object's names, add its values to the next level; returns their number."""
    if len(members) > MAX_MEMBERS:
        raise InvalidRequest(f"An object in the {what} has more than {MAX_MEMBERS} members.")
    if any("\0" in name for name in members):
        raise InvalidRequest(f"A name in the {what} has a NUL character.")
    below += members.values()
    return len(members)


def _too_long(what: str) -> str:
    return f"An integer in the {what} is outside +-2^53, so not every reader could hold it."


def _complaint(what: str, error: str) -> str:
    """Say what is wrong in our words; the parser's own are only looked at."""
    found = _POSITION.search(error)
    place = f" (line {found[1]}, column {found[2]})" if found else ""
    for words, sentence in _REASONS:
        if words in error:
            return f"The {what} {sentence}{place}."
    return f"The {what} is not JSON{place}."
