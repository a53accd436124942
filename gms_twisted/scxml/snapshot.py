"""A session as JSON, to be stored and to be gone on with.

Variables are written if they are plain data: objects, arrays, text, numbers, booleans, null
and undefined, each object in one place.  Functions of the document's own scripts are not
written but made again, by running those scripts in the new context, and what else that does
is undone.  Everything else (other functions, cycles, dates, XML) keeps a session in memory.

# Choice: making functions again is sound where a function cannot remember anything of the
# run that made it; ``scanning.remakes`` says no to functions inside functions.  What a
# script does to the engine's own objects (``Array.prototype``) is looked for only among the
# global names; documents that change such things in their own scripts get them changed again.

Knows: what a session consists of.  Does not know: where records are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gms_twisted.scxml.effects import LoadDocument
from gms_twisted.scxml.elements import DocumentError
from gms_twisted.scxml.invocations import INNER, TEXT, URL, Invocation
from gms_twisted.scxml.machine import Pending
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.queued_events import from_record

if TYPE_CHECKING:
    from gms_twisted.scxml.interpreter import Interpreter

VERSION = 1
_UNDEFINED = {"$": "u"}


class SnapshotError(Exception):
    """A record cannot be gone on with."""


def record_of(one: Interpreter) -> dict[str, object] | None:
    """Write a session and its children down; ``None`` if it cannot be."""
    text = one._variables() if one._stable else None
    if text is None:
        return None
    record: dict[str, object] = {
        "v": VERSION,
        "document": one._document.digest,
        "flags": [one._started, one._initialised, one._stable, one._terminating],
        "config": sorted(one._config),
        "data": text,
        "counts": [one.strikes, one.microsteps, one._event_count],
        "sends": [one._send_tokens, one._send_time],
    }
    more: dict[str, object] = {
        "history": [[place, list(kept)] for place, kept in one._history.items()],
        "current": None if one._current is None else one._current.record(),
        "external": [event.record() for event in one._external],
        "internal": [event.record() for event in one._internal],
        "timers": [_timer(pending) for pending in one._pending],
        "bound": sorted(one._bound),
        "arguments": one._arguments,
        "invoking": sorted(one._to_invoke),
        "routes": one._routes,
        "interactions": one._interactions if one._interactions != "[]" else "",
        "ended": [one.ended_by, one.ended_why, one._done_text] if one.ended_by else [],
    }
    record.update((name, value) for name, value in more.items() if value)
    if one._invocations:
        children = [_invocation(invocation) for invocation in one._invocations.values()]
        if any(child is None for child in children):
            return None
        record["children"] = children
    return record


def _timer(pending: Pending) -> list[object]:
    return [
        *(pending.due, pending.send_id, pending.kind, pending.address),
        *(pending.event.record(), pending.fields),
    ]


def _invocation(invocation: Invocation) -> list[object] | None:
    child = invocation.child
    inside = None
    if child is not None:
        inside = record_of(child)
        if inside is None:
            return None
    return [
        *(invocation.id, invocation.invoke.index, invocation.state, invocation.origin),
        *(invocation.name, invocation.arguments, invocation.token, invocation.over),
        *(None if child is None else child._session_id, inside),
    ]


def read(saved: bytes) -> dict[str, Any]:
    """The record in what was stored.

    :raises SnapshotError: it is none of ours.
    """
    try:
        record = json.loads(saved)
    except (ValueError, RecursionError):
        raise SnapshotError("the record is no JSON") from None
    if not isinstance(record, dict) or record.get("v") != VERSION:
        raise SnapshotError("the record is of another version")
    return record


def documents_of(saved: bytes) -> tuple[str, ...]:
    """URLs of the documents that a session's children were made from.

    :raises SnapshotError: it is none of ours.
    """
    found: dict[str, None] = {}
    waiting = [read(saved)]
    while waiting:
        for child in waiting.pop().get("children", ()):
            if child[9] is not None:
                waiting.append(child[9])
                if child[3] == URL:
                    found[child[4]] = None
    return tuple(found)


def fill(one: Interpreter, record: Mapping[str, Any], documents: Mapping[str, Document]) -> None:
    """Make a new session the one that was written down.

    :raises SnapshotError: it is not of this document, or one is missing.
    """
    if record["document"] != one._document.digest:
        raise SnapshotError("the document has changed")
    one._started, one._initialised, one._stable, one._terminating = record["flags"]
    one._config = set(record["config"])
    one._data_text = record["data"]
    one.strikes, one.microsteps, one._event_count = record["counts"]
    one._send_tokens, one._send_time = record["sends"]
    one._history = {place: tuple(kept) for place, kept in record.get("history", ())}
    if "current" in record:
        one._current = from_record(record["current"])
    one._external.extend(from_record(event) for event in record.get("external", ()))
    one._internal.extend(from_record(event) for event in record.get("internal", ()))
    for due, send_id, kind, address, event, fields in record.get("timers", ()):
        pairs = None if fields is None else tuple((str(k), str(v)) for k, v in fields)
        one._pending.append(Pending(due, send_id, kind, address, from_record(event), pairs))
    one._bound = set(record.get("bound", ()))
    one._arguments = record.get("arguments", {})
    one._to_invoke = set(record.get("invoking", ()))
    one._routes = record.get("routes", [])
    one._interactions = record.get("interactions", "[]")
    if "ended" in record:
        one.ended_by, one.ended_why, one._done_text = record["ended"]
        one.done_data = None if one._done_text is None else json.loads(one._done_text)
    for child in record.get("children", ()):
        _adopt(one, child, documents)


def _adopt(one: Interpreter, record: list[Any], documents: Mapping[str, Document]) -> None:
    invoke_id, index, state, origin, name, arguments, token, over, session_id, inside = record
    invoke = one._document.invokes[index]
    found = Invocation(invoke_id, invoke, state, origin, name, arguments, token, None, over)
    one._invocations[invoke_id] = found
    if inside is None:
        if not over:
            # Whoever was asked for the document is gone.
            one._setting.effects.append(LoadDocument(token, name))
            one._root()._asking = True
        return
    document: Document | None = None
    if origin == INNER:
        document = one._document.inner[int(name)]
    elif origin == TEXT:
        try:
            document = one._read_inner(name)
        except DocumentError as exc:
            raise SnapshotError(str(exc)) from None
    else:
        document = documents.get(name)
    if document is None:
        raise SnapshotError(f"the document {name} of an invoked chart is missing")
    fill(one._make_child(found, document, session_id), inside, documents)


def shown(text: str) -> dict[str, object]:
    """The variables in their text, as JSON values."""
    record = json.loads(text)
    items = dict(record["g"]) if record["d"] is None else record["d"]
    return {name: _plain(value) for name, value in items.items() if value != _UNDEFINED}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if "$" in value:
            return 0 if value["$"] == "-0" else None
        return {name: _plain(item) for name, item in value.items() if item != _UNDEFINED}
    return value
