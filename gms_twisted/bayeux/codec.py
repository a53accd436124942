"""JSON text <-> messages, encoded once.

A payload is an array of messages, or one bare message; what goes out is joined
from *fragments*: a message encoded once, shared by every queue that it waits in.

orjson reads strict JSON: UTF-8 only, no NaN, no infinite numbers, no lone
surrogates, of duplicate names the last.  What it does not do is done here: whole
numbers beyond 64 bits keep their value, nesting is at most 64 deep, and arrays and
objects have bounds.

Knows: JSON, the layout of payloads.  Does not know: what messages mean.
"""

from __future__ import annotations

import json
import re

import orjson

Message = dict[str, object]
"""A message: JSON that is not checked yet."""

MAX_DEPTH = 64
MAX_MEMBERS = 1000
MAX_ELEMENTS = 10_000

_BOM = b"\xef\xbb\xbf"
_SHAPE = bytes.maketrans(b"0123456789[", b"0000000000{")
_DIGITS = b"0" * 19
_LONG_NUMBER = re.compile(rb"[:,\[\s]-?[0-9]{19}")
"""Long digits that are no part of a text, for all that can be told so quickly."""
_JSONP_UNSAFE = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")
_JSONP_SAFE = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    b"\xe2\x80\xa8": b"\\u2028",
    b"\xe2\x80\xa9": b"\\u2029",
}


class MalformedPayload(Exception):
    """A payload breaks the rules of transports, so none of it is processed."""


def decode(payload: bytes, max_messages: int = 1000) -> list[Message]:
    """Read a payload: an array of objects, or one object.

    :raises MalformedPayload: it is anything else, or above a bound.
    """
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if payload.startswith(_BOM):
            return decode(payload[len(_BOM) :], max_messages)
        raise MalformedPayload("The body is not JSON.") from error
    if type(document) is dict:
        document = [document]
    elif type(document) is not list:
        raise MalformedPayload("The body is neither an object nor an array.")
    if not document:
        raise MalformedPayload("The array is empty.")
    if len(document) > max_messages:
        raise MalformedPayload("There are too many messages.")
    for message in document:
        if type(message) is not dict:
            raise MalformedPayload("A message is not an object.")
    size = len(payload)
    # To count in it is far quicker than the checks, and nearly always spares them.
    shape = payload.translate(_SHAPE)
    if size > 2 * MAX_DEPTH:
        brackets = shape.count(b"{")
        if brackets > MAX_DEPTH or (size > MAX_MEMBERS and payload.count(b",") >= MAX_MEMBERS):
            _check_shape(document, 0 if payload.lstrip()[:1] == b"[" else -1)
    if _DIGITS in shape and _LONG_NUMBER.search(payload):
        return _decode_exactly(payload)
    return document


def _check_shape(document: object, depth: int) -> None:
    """Go through a document level by level: no recursion, whatever it is.

    :param depth: levels above the document: -1 when its outermost array was not sent.
    """
    level: list[object] = [document]
    while level:
        depth += 1
        below: list[object] = []
        for node in level:
            if type(node) is dict:
                if len(node) > MAX_MEMBERS:
                    raise MalformedPayload("An object has too many members.")
                below += [value for value in node.values() if type(value) in (dict, list)]
            elif type(node) is list:
                if len(node) > MAX_ELEMENTS:
                    raise MalformedPayload("An array has too many elements.")
                below += [value for value in node if type(value) in (dict, list)]
        if depth > MAX_DEPTH:
            raise MalformedPayload("The nesting is too deep.")
        level = below


def _decode_exactly(payload: bytes) -> list[Message]:
    """Read a payload, known to be sound, that has numbers beyond 64 bits."""
    try:
        document = json.loads(payload)
    except ValueError as error:
        raise MalformedPayload("A number has too many digits.") from error
    return document if type(document) is list else [document]


def encode(message: object) -> bytes:
    """Write a value as compact JSON in UTF-8.

    :raises TypeError: it is not JSON: a number that is not finite counts as
        ``null``, everything else must be.
    """
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:
        # Whole numbers beyond 64 bits, and nesting that only we could make.
        try:
            text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return text.encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise TypeError("The value cannot be written as JSON.") from error


def array(fragments: list[bytes]) -> bytes:
    """Join encoded messages into a payload."""
    return b"[" + b",".join(fragments) + b"]"


def padded(callback: bytes, payload: bytes) -> bytes:
    """Wrap a payload for callback-polling.

    The comment in front keeps the first bytes out of the client's choice; the
    escapes keep the rest from ending a script element or a line.
    """
    safe = _JSONP_UNSAFE.sub(lambda found: _JSONP_SAFE[found[0]], payload)
    return b"/**/" + callback + b"(" + safe + b")"
