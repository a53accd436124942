"""The implementation-report tests of SCXML, where they are at hand.

``GMS_W3C_SUITE`` names a folder with ECMAScript versions of them: ``Mandatory/Auto``,
``Mandatory/ManualAsAuto`` and ``Optional/Auto``.  A document passes when its session ends in
the state ``pass``; each is run as it is, and asleep and stored between all steps.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import LoadDocument, LogText
from gms_twisted.scxml.elements import DocumentError
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.settings import Limits
from gms_twisted.scxml.snapshot import documents_of
from tests.support.charts import BEGIN

SUITE = os.environ.get("GMS_W3C_SUITE", "")
STEPS = 5_000


def at(url: str) -> Path:
    """The file that a URL names."""
    return Path(unquote(urlsplit(url).path))


def load(path: Path) -> Document:
    """A document with what it includes."""
    url, data = path.as_uri(), path.read_bytes()
    document = load_document(data, url)
    if document.includes:
        texts = {name: at(name).read_bytes() for name in document.includes if at(name).exists()}
        document = load_document(data, url, None, texts)
    return document


class Run:
    """One document, run to its end."""

    def __init__(self, path: Path, stored: bool) -> None:
        self._document = load(path)
        self._stored = stored
        self._now = BEGIN
        self._numbers = itertools.count(1)
        self._documents: dict[str, Document] = {}
        self.outcome = ""
        self.interpreter = Interpreter(
            self._document, "S", limits=Limits(), new_id=self._new_id, location="http://here/in"
        )

    def _new_id(self) -> str:
        return f"{next(self._numbers):032x}"

    def run(self) -> str:
        """How it ended."""
        self.interpreter.start(self._now)
        for _ in range(STEPS):
            if self._stored:
                self._put_away()
            step = self.interpreter.step(self._now)
            self._carry_out()
            if step is Step.FINISHED:
                return self.outcome or self.interpreter.ended_why
            if step is Step.STABLE and not self.interpreter.pending:
                due = self.interpreter.next_deadline()
                if due is None:
                    return f"waits for ever in {list(self.interpreter.states())}"
                self._now = due
                self.interpreter.handle_deadline(due)
        return "goes on for ever"

    def _put_away(self) -> None:
        self.interpreter.sleep()
        saved = self.interpreter.save()
        if saved is not None:
            self.interpreter = Interpreter.restore(
                self._document,
                "S",
                saved,
                limits=Limits(),
                new_id=self._new_id,
                location="http://here/in",
                documents={url: self._documents[url] for url in documents_of(saved)},
            )

    def _carry_out(self) -> None:
        for effect in self.interpreter.take_effects():
            if isinstance(effect, LogText) and effect.label == "Outcome":
                self.outcome = effect.text
            elif isinstance(effect, LoadDocument):
                answer: Document | DocumentError = DocumentError("there is none")
                if at(effect.url).exists():
                    answer = self._documents[effect.url] = load(at(effect.url))
                self.interpreter.document_loaded(effect.token, answer)


class SuiteTests(SynchronousTestCase):
    """All documents that need nobody to look on."""

    skip = None if SUITE else "GMS_W3C_SUITE names no folder"

    def _all_pass(self, folder: str, count: int, stored: bool) -> None:
        paths = [
            path
            for path in sorted((Path(SUITE) / folder).glob("test*.scxml"))
            if "sub" not in path.name
        ]
        self.assertEqual(len(paths), count)
        outcomes = {path.name: Run(path, stored).run() for path in paths}
        self.assertEqual({name: how for name, how in outcomes.items() if how != "pass"}, {})

    def test_mandatory(self) -> None:
        """159 of them."""
        self._all_pass("Mandatory/Auto", 159, stored=False)

    def test_mandatory_stored(self) -> None:
        """And asleep and stored between all steps."""
        self._all_pass("Mandatory/Auto", 159, stored=True)

    def test_manual(self) -> None:
        """The five of the manual ones that were made automatic."""
        self._all_pass("Mandatory/ManualAsAuto", 5, stored=False)

    def test_optional(self) -> None:
        """33 of them, those of the BasicHTTP processor too."""
        self._all_pass("Optional/Auto", 33, stored=False)

    def test_optional_stored(self) -> None:
        """And asleep and stored between all steps."""
        self._all_pass("Optional/Auto", 33, stored=True)
