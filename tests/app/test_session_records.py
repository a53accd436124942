"""Sessions in the store."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.session_records import (
    DOCUMENT,
    SESSION,
    SessionRecord,
    document_of,
    document_put,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.scxml.effects import Child, PostEvent, StartOperation
from gms_twisted.scxml.loader import load_document
from gms_twisted.store.interfaces import Put, Record

TARGET = Child("target", {"name": "Billing", "type": "agentgroup"})
SUBMIT = StartOperation(
    "r1",
    "queue",
    "submit",
    {"timeout": 60, "route": "true"},
    {"a": None},
    (Child("targets", {}, (TARGET,)),),
)
WHOLE = SessionRecord(
    session_id="S1",
    source="request-inbound-poll",
    digest="d1",
    started=1.5,
    ends_at=7200.25,
    user=GmsUser("BuzzBrain"),
    service="poll",
    others={"file:x": "d2"},
    owed={
        "r1": SUBMIT,
        "p1": PostEvent("http://x/", (("_scxmleventname", "e"), ("a", "1")), "", "s1"),
        "p2": PostEvent("http://x/", None, "text", None),
    },
    since={"r1": 2.5, "p1": 3.0, "p2": 3.0},
    interactions=("c1",),
    taken=("n1", "n2"),
    over=True,
    saved=b'{"states":["a"]}\nmore',
)


def stored(put: Put) -> Record:
    """What comes back of a put."""
    return Record(put.kind, put.key, put.value, put.expires_at, 1)


class RecordTests(SynchronousTestCase):
    """Out and in again."""

    def test_whole(self) -> None:
        """Everything survives, what the interpreter saved byte for byte."""
        put = WHOLE.to_put()
        self.assertEqual((put.kind, put.key, put.expires_at), (SESSION, "S1", None))
        self.assertEqual(SessionRecord.from_record(stored(put)), WHOLE)

    def test_least(self) -> None:
        """What is not there is not written, and is not there afterwards."""
        least = SessionRecord("S2", "x", "d", 0.0, 1.0)
        put = least.to_put()
        self.assertEqual(SessionRecord.from_record(stored(put)), least)
        self.assertNotIn(b"owed", put.value)

    def test_document(self) -> None:
        """A document's text is kept as it is, beside its URL and what it includes."""
        text = b'<scxml xmlns="http://www.w3.org/2005/07/scxml" initial="a"><script src="b.js"/>\n'
        text += b'<state id="a"/></scxml>'
        included = {"http://x/b.js": "var é = 1".encode()}
        document = load_document(text, "http://x/a.scxml", None, included)
        put = document_put(document)
        self.assertEqual((put.kind, put.key), (DOCUMENT, document.digest))
        self.assertEqual(document_of(stored(put)), ("http://x/a.scxml", text, included))
