"""Orchestration sessions as they lie in the store.

A record is a line of JSON about the session, then what its interpreter saved, as it is.
The documents that sessions run are kept beside them, by digest: a session goes on with the
text that it began with, whatever has become of the file or URL.

Knows: the records.  Does not know: interpreters, when anything is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import Child, PostEvent, StartOperation
from gms_twisted.scxml.model import Document
from gms_twisted.store.interfaces import Kind, Put, Record

SESSION = Kind("scxml-session")
"""The key is the session's id."""

SHARD = "shard"
"""Index of sessions: the shard that a session belongs to."""

DOCUMENT = Kind("scxml-document")
"""The key is the document's digest; the value, a line of JSON about it, then its text."""

OwedEffect = StartOperation | PostEvent
"""An effect whose end is still to come."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What is stored of a session.

    :ivar source: where its application came from.
    :ivar digest: of its document, and ``others`` those of documents that it invoked, by URL.
    :ivar service: name of the service that it is the logic of, ``""`` without one.
    :ivar started: Unix seconds; so is ``ends_at``, when it is ended in any case, and
        ``begins``, before which it enters no state.
    :ivar owed: effects that have not come to their end, by id.
    :ivar since: when each of these was decided.
    :ivar interactions: ids of the calls that it had.
    :ivar taken: ids of the last notifications that it took.
    :ivar over: it is at its end, and only ``owed`` is left to do.
    :ivar saved: what its interpreter said; ``b""``: it could not be saved.
    """

    session_id: str
    source: str
    digest: str
    started: float
    ends_at: float
    user: GmsUser | None = None
    service: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    owed: Mapping[str, OwedEffect] = field(default_factory=dict, repr=False)
    since: Mapping[str, float] = field(default_factory=dict, repr=False)
    interactions: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    over: bool = False
    begins: float = 0.0
    saved: bytes = field(default=b"", repr=False)

    def to_put(self, shard: str = "") -> Put:
        """The change that stores it.

        It has no lifetime of its own: one whose time ran out while the process was down
        still has exit handlers to run.

        :param shard: by which a new owner finds it, ``""`` where there are no other nodes.
        """
        about: dict[str, object] = {
            "source": self.source,
            "digest": self.digest,
            "started": self.started,
            "ends_at": self.ends_at,
            "user": self.user,
            "service": self.service,
        }
        if self.others:
            about["others"] = dict(self.others)
        if self.owed:
            about["owed"] = {key: _effect_json(one) for key, one in self.owed.items()}
            about["since"] = dict(self.since)
        if self.interactions:
            about["interactions"] = self.interactions
        if self.taken:
            about["taken"] = self.taken
        if self.over:
            about["over"] = True
        if self.begins:
            about["begins"] = self.begins
        value = _encode(about).encode() + b"\n" + self.saved
        return Put(SESSION, self.session_id, value, indexes={SHARD: shard} if shard else {})

    @classmethod
    def from_record(cls, record: Record) -> SessionRecord:
        """Read a record of kind :data:`SESSION`."""
        line, _, saved = record.value.partition(b"\n")
        about = json.loads(line)
        user = about["user"]
        return cls(
            session_id=record.key,
            source=about["source"],
            digest=about["digest"],
            started=about["started"],
            ends_at=about["ends_at"],
            user=None if user is None else GmsUser(user),
            service=about["service"],
            others=about.get("others", {}),
            owed={key: _effect(one) for key, one in about.get("owed", {}).items()},
            since=about.get("since", {}),
            interactions=tuple(about.get("interactions", ())),
            taken=tuple(about.get("taken", ())),
            over=about.get("over", False),
            begins=about.get("begins", 0.0),
            saved=saved,
        )


def document_put(document: Document) -> Put:
    """The change that keeps a document."""
    included = {url: text.decode("utf-8", "replace") for url, text in document.included.items()}
    about = _encode({"url": document.url, "included": included})
    return Put(DOCUMENT, document.digest, about.encode() + b"\n" + document.text)


def document_of(record: Record) -> tuple[str, bytes, Mapping[str, bytes]]:
    """URL, text, and texts that it includes by URL, of a record of kind :data:`DOCUMENT`."""
    line, _, text = record.value.partition(b"\n")
    about = json.loads(line)
    return about["url"], text, {url: one.encode() for url, one in about["included"].items()}


def _effect_json(effect: OwedEffect) -> Mapping[str, object]:
    if isinstance(effect, PostEvent):
        return {
            "url": effect.url,
            "fields": effect.fields,
            "content": effect.content,
            "send_id": effect.send_id,
        }
    return {
        "request_id": effect.request_id,
        "module": effect.module,
        "element": effect.element,
        "attributes": dict(effect.attributes),
        "params": dict(effect.params),
        "children": [_child_json(child) for child in effect.children],
    }


def _child_json(child: Child) -> Mapping[str, object]:
    return {
        "element": child.element,
        "attributes": dict(child.attributes),
        "children": [_child_json(one) for one in child.children],
    }


def _effect(data: Mapping[str, object]) -> OwedEffect:
    given = dict(data)
    if "url" in given:
        fields = given["fields"]
        if isinstance(fields, list):
            given["fields"] = tuple((name, value) for name, value in fields)
        return PostEvent(**given)  # type: ignore[arg-type]  # as written above
    given["children"] = _children(given["children"])
    return StartOperation(**given)  # type: ignore[arg-type]  # as written above


def _children(given: object) -> tuple[Child, ...]:
    assert isinstance(given, list)
    return tuple(
        Child(one["element"], one["attributes"], _children(one["children"])) for one in given
    )
