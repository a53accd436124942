"""Attributes of actions: JSON values out of a script -> what an action wants.

Scripts are not strict about types: ``timeout="300"`` is a number, ``timeout="'300'"`` a text, and
both mean the same.  What is ``undefined`` does not come here at all; ``null`` counts as absent.

Knows: JSON values.  Does not know: any action.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

from gms_twisted.domain.errors import InvalidRequest

MAX_JSON_CHARS = 1024 * 1024
"""Longest JSON text of a ``content`` attribute."""

_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no"})

Attributes = Mapping[str, object]


def text_of(value: object) -> str:
    """A value as text, the way a form or a query has it.

    Text is as it is, a number and a boolean as in JSON, ``None`` is empty.

    :raises InvalidRequest: it is an object or a list.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    raise InvalidRequest("A text, a number or a boolean is expected, not an object or a list.")


def sound(given: str) -> str:
    """A script's text without halves of surrogate pairs, which nothing outside can hold."""
    if given.isascii():
        return given
    return given.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def number_text(value: float) -> str:
    """A number as a script would write it: ``5``, not ``5.0``."""
    whole = abs(value) < 2**53 and int(value) == value
    return json.dumps(int(value) if whole else value)


def any_text(value: object) -> str:
    """The same, with objects and lists as JSON."""
    return sound(json_text(value)) if isinstance(value, Mapping | list) else text_of(value)


def texts(values: Attributes) -> Mapping[str, str]:
    """All values as texts, objects and lists as JSON; what is null is left out."""
    return {sound(name): any_text(one) for name, one in values.items() if one is not None}


def json_text(value: object) -> str:
    """A JSON value as the HTTP API writes it: no blanks, letters as they are."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        raise InvalidRequest("The value is nested too deep.") from None


def text(attributes: Attributes, name: str, default: str = "") -> str:
    """An attribute as text; the default where it is absent or empty.

    :raises InvalidRequest: it is an object or a list; names the attribute.
    """
    try:
        return text_of(attributes.get(name)) or default
    except InvalidRequest as error:
        raise InvalidRequest(f"{name}: {error}", name) from None


def needed(attributes: Attributes, name: str) -> str:
    """An attribute that must be there and not empty.

    :raises InvalidRequest: it is not; names the attribute.
    """
    found = text(attributes, name)
    if not found:
        raise InvalidRequest(f"{name} is missing or empty.", name)
    return found


def number(attributes: Attributes, name: str, low: float, high: float) -> float | None:
    """An attribute as a number; ``None`` where it is absent or empty.

    :raises InvalidRequest: it is none, or below ``low``; above ``high`` it counts as that.
    """
    given = text(attributes, name).strip()
    if not given:
        return None
    try:
        found = float(given) if len(given) <= 32 else math.nan
    except ValueError:
        found = math.nan
    if not found >= low or math.isinf(found):
        raise InvalidRequest(f"{name} must be a number of at least {number_text(low)}.", name)
    return min(found, high)


def flag(attributes: Attributes, name: str, default: bool) -> bool:
    """An attribute that says yes or no; the default where it is absent.

    :raises InvalidRequest: it says neither.
    """
    word = text(attributes, name).strip().lower()
    if word and word not in _YES | _NO:
        raise InvalidRequest(f"{name} must be true or false.", name)
    return word in _YES if word else default


def members(attributes: Attributes, name: str) -> Mapping[str, object]:
    """An attribute that is an object, or the JSON text of one; absent: an empty one.

    :raises InvalidRequest: it is something else.
    """
    value = attributes.get(name)
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = read_json(value, name)
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{name} must be an object.", name)
    return value


def read_json(given: str, name: str) -> object:
    """JSON text.

    :raises InvalidRequest: it is none, has a member twice, or is longer than
        :data:`MAX_JSON_CHARS`; names ``name``.
    """
    if len(given) > MAX_JSON_CHARS:
        raise InvalidRequest(f"{name} is longer than {MAX_JSON_CHARS} characters.", name)
    try:
        return json.loads(given, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"{name} is not JSON.", name) from None


def _object(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(name)
        found[name] = value
    return found


def _no_number(word: str) -> object:
    raise ValueError(word)
