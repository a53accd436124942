"""Documents of applications: read, remembered, refreshed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.applications import (
    FAILED_AGE_S,
    FILE_AGE_S,
    INLINE_BYTES,
    MAX_DOCUMENTS,
    MAX_INCLUDES,
    WEB_AGE_S,
    Applications,
    Make,
    make_document,
)
from gms_twisted.app.document_urls import MAX_DOCUMENT_BYTES, ApplicationRefused
from gms_twisted.app.orchestration import ApplicationUnusable
from gms_twisted.app.outgoing import Answer, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.app.tasks import Tasks
from gms_twisted.scxml.loader import DocumentError
from gms_twisted.scxml.model import Document

WEB = "http://www.example.com/a.scxml"
FILE = "file:///apps/a.scxml"


def chart(name: str, inside: str = "") -> bytes:
    """A document that can be run."""
    return (
        '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript" '
        f'name="{name}">{inside}<final id="end"/></scxml>'
    ).encode()


class Files:
    """Files that a test writes; a new text is a new stamp."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes | ApplicationUnusable] = {}
        self.reads: list[str] = []
        self.stamps = 0

    def stamp(self, path: str) -> object | None:
        """The text itself tells its states apart."""
        self.stamps += 1
        return self.texts.get(path)

    async def read(self, path: str) -> bytes:
        """Give the text."""
        self.reads.append(path)
        text = self.texts.get(path, ApplicationUnusable("It cannot be read: not there."))
        if isinstance(text, bytes):
            return text
        raise text


@dataclass
class Asked:
    """A request at the gate."""

    url: str
    limits: Limits
    configured: bool
    answer: Deferred[Answer]


class Web:
    """A gate whose answers a test gives, or has given before."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.always: Answer | Exception | None = None

    async def check(self, url: str, *, configured: bool = False) -> None:
        """Nobody asks."""
        raise AssertionError(url)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        *,
        trust: Trust = Trust(),  # noqa: B008 - frozen
        configured: bool = False,
    ) -> Answer:
        """Answer as is said, or wait to be told."""
        assert method == "GET" and not body
        answer: Deferred[Answer] = Deferred()
        self.asked.append(Asked(url, limits, configured, answer))
        if isinstance(self.always, Exception):
            raise self.always
        return await answer if self.always is None else self.always

    def give(self, body: bytes, status: int = 200, cut: bool = False) -> None:
        """Answer whoever asked last."""
        self.asked[-1].answer.callback(Answer(status, {}, body, cut))


class ApplicationsCase(SynchronousTestCase):
    """One :class:`Applications`."""

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.files = Files()
        self.web = Web()
        self.made: list[str] = []
        self.tasks = Tasks()
        self.threads: list[tuple[Callable[[], Document], Deferred[Document]]] = []
        self.applications = self.applications_with(self.make)

    def applications_with(self, make: Make) -> Applications:
        """Make one that makes documents so."""
        return Applications(
            self.files, self.web, self.clock, self.tasks, "/bundled", self.in_thread, make
        )

    def in_thread(self, work: Callable[[], Document]) -> Deferred[Document]:
        """Take work for a thread."""
        ended: Deferred[Document] = Deferred()
        self.threads.append((work, ended))
        return ended

    def run_thread(self) -> None:
        """Do the work of the thread that waits longest."""
        work, ended = self.threads.pop(0)
        try:
            document = work()
        except DocumentError:
            ended.errback()
        else:
            ended.callback(document)

    def make(self, data: bytes, url: str, includes: Mapping[str, bytes]) -> Document:
        """Make a document, and remember that."""
        self.made.append(url)
        return make_document(data, url, includes)

    def loading(self, source: str, base: str = "") -> Deferred[Document]:
        """Begin to load."""
        return Deferred.fromCoroutine(self.applications.load(source, base))

    def load(self, source: str, base: str = "") -> Document:
        """Load what is there at once."""
        document: Document = self.successResultOf(self.loading(source, base))
        return document

    def fault(self, source: str, base: str = "") -> ApplicationUnusable:
        """See it fail."""
        error = self.failureResultOf(self.loading(source, base), ApplicationUnusable).value
        assert isinstance(error, ApplicationUnusable)
        return error


class FileTests(ApplicationsCase):
    """Documents in files."""

    def test_bundled(self) -> None:
        """A bare name is read from the folder of what comes with the server."""
        self.files.texts["/bundled/request-inbound-poll.scxml"] = chart("poll")
        document = self.load("request-inbound-poll")
        self.assertEqual(document.name, "poll")
        self.assertEqual(document.url, "file:///bundled/request-inbound-poll.scxml")

    def test_read_once(self) -> None:
        """As long as it stays as it is, it is read and made once, for ever."""
        self.files.texts["/apps/a.scxml"] = chart("a")
        first = self.load(FILE)
        for _ in range(100):
            self.clock.advance(FILE_AGE_S)
            self.assertIs(self.load("file:/apps/a.scxml"), first)
        self.assertEqual((self.files.reads, len(self.made)), (["/apps/a.scxml"], 1))

    def test_looked_after(self) -> None:
        """It is looked after once a second, and read when it has changed."""
        self.files.texts["/apps/a.scxml"] = chart("a")
        self.load(FILE)
        stamps = self.files.stamps
        self.files.texts["/apps/a.scxml"] = chart("b")
        self.clock.advance(FILE_AGE_S - 0.01)
        self.assertEqual(self.load(FILE).name, "a")
        self.assertEqual(self.files.stamps, stamps)
        self.clock.advance(0.01)
        self.assertEqual(self.load(FILE).name, "b")
        self.clock.advance(FILE_AGE_S)
        stamps = self.files.stamps
        for _ in range(5):
            self.load(FILE)
        self.assertEqual(self.files.stamps, stamps + 1)

    def test_same_again(self) -> None:
        """A file that was written again as it was is read, but not made."""
        self.files.texts["/apps/a.scxml"] = chart("a")
        first = self.load(FILE)
        self.applications.reconfigure()
        self.assertIs(self.load(FILE), first)
        self.assertEqual((len(self.files.reads), len(self.made)), (2, 1))

    def test_X07_line(self) -> None:
        """What cannot be run is refused with the line and the reason."""
        self.files.texts["/apps/a.scxml"] = chart(
            "a", '\n\n<state id="s"><transition target="nowhere"/></state>'
        )
        error = self.fault(FILE)
        self.assertEqual(error.line, 3)
        self.assertIn("3", str(error))

    def test_X07_document_type(self) -> None:
        """A document type is refused."""
        self.files.texts["/apps/a.scxml"] = b'<!DOCTYPE a [<!ENTITY b "c">]>\n' + chart("a")
        self.fault(FILE)

    def test_failure_is_remembered(self) -> None:
        """What failed is not tried again at once; each who wants it has an error of its own."""
        first, second = self.fault(FILE), self.fault(FILE)
        self.assertIsNot(first, second)
        self.assertEqual(str(first), "It cannot be read: not there.")
        self.assertEqual(str(second), str(first))
        self.files.texts["/apps/a.scxml"] = chart("a")
        self.clock.advance(FAILED_AGE_S - 0.01)
        self.fault(FILE)
        self.assertEqual(len(self.files.reads), 1)
        self.clock.advance(0.01)
        self.assertEqual(self.load(FILE).name, "a")

    def test_former_one_stays(self) -> None:
        """After an editor's slip, or without its file, the former document stays; told once."""
        self.files.texts["/apps/a.scxml"] = chart("a")
        first = self.load(FILE)
        with capturedLogs() as events:
            self.files.texts["/apps/a.scxml"] = b"<oops>"
            for _ in range(3):
                self.clock.advance(FAILED_AGE_S)
                self.assertIs(self.load(FILE), first)
            del self.files.texts["/apps/a.scxml"]
            self.clock.advance(FAILED_AGE_S)
            self.assertIs(self.load(FILE), first)
        lines = [formatEvent(event) for event in events]
        self.assertEqual(len(lines), 2)
        self.assertIn(f"Application {FILE} cannot be used; the former one stays: ", lines[0])
        self.assertIn("not there", lines[1])
        self.files.texts["/apps/a.scxml"] = chart("c")
        self.clock.advance(FAILED_AGE_S)
        self.assertEqual(self.load(FILE).name, "c")

    def test_refused_now(self) -> None:
        """What may no longer be read is not kept either."""
        self.files.texts["/apps/a.scxml"] = chart("a")
        self.load(FILE)
        self.files.texts["/apps/a.scxml"] = ApplicationRefused("No.")
        self.assertEqual(self.load(FILE).name, "a")
        self.applications.reconfigure()
        self.assertIsInstance(self.fault(FILE), ApplicationRefused)

    def test_findings_are_logged(self) -> None:
        """What was mended is in the log, by line."""
        self.files.texts["/apps/a.scxml"] = chart("a", "\n<datamodel></datamodel></oops>")
        with capturedLogs() as events:
            self.load(FILE)
        self.assertIn(
            f"Application {FILE}, line 2: </oops> closes nothing and is left out",
            [formatEvent(event) for event in events],
        )

    def test_unexpected(self) -> None:
        """A fault of ours is logged, and whoever waits is not left waiting."""

        def broken(data: bytes, url: str, includes: Mapping[str, bytes]) -> Document:
            raise ZeroDivisionError

        self.files.texts["/apps/a.scxml"] = chart("a")
        self.applications = self.applications_with(broken)
        self.assertEqual(str(self.fault(FILE)), "It cannot be read now.")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_most_documents(self) -> None:
        """So many are remembered; the one used longest ago goes."""
        for number in range(MAX_DOCUMENTS + 1):
            self.files.texts[f"/apps/{number}.scxml"] = chart("a")
        for number in range(MAX_DOCUMENTS):
            self.load(f"file:///apps/{number}.scxml")
        self.load("file:///apps/0.scxml")
        self.load(f"file:///apps/{MAX_DOCUMENTS}.scxml")
        self.load("file:///apps/0.scxml")
        self.assertEqual(len(self.made), MAX_DOCUMENTS + 1)
        self.load("file:///apps/1.scxml")
        self.assertEqual(len(self.made), MAX_DOCUMENTS + 2)


class LongTests(ApplicationsCase):
    """Documents that take their time."""

    def setUp(self) -> None:
        """Write one of the longest that are made at once, two longer ones, and a broken one."""
        super().setUp()
        room = INLINE_BYTES - len(chart("a", "<!---->"))
        for name, length in (("a", room), ("b", room + 1), ("c", room + 1)):
            text = chart(name, f"<!--{'x' * length}-->")
            self.files.texts[f"/apps/{name}.scxml"] = text
        self.files.texts["/apps/d.scxml"] = chart("d", f"<!--{'x' * room}--><!--<state")

    def test_in_a_thread(self) -> None:
        """So much is made at once, and a byte more in a thread."""
        self.assertEqual(self.load("file:///apps/a.scxml").name, "a")
        loading = self.loading("file:///apps/b.scxml")
        self.assertNoResult(loading)
        self.run_thread()
        self.assertEqual(self.successResultOf(loading).name, "b")

    def test_one_at_a_time(self) -> None:
        """Threads wait for each other."""
        first, second = self.loading("file:///apps/b.scxml"), self.loading("file:///apps/c.scxml")
        self.assertEqual(len(self.threads), 1)
        self.run_thread()
        self.successResultOf(first)
        self.run_thread()
        self.assertEqual(self.successResultOf(second).name, "c")

    def test_X07_broken(self) -> None:
        """What a thread finds wrong is told as ever, and the next one has its turn."""
        broken, good = self.loading("file:///apps/d.scxml"), self.loading("file:///apps/b.scxml")
        self.run_thread()
        self.failureResultOf(broken, ApplicationUnusable)
        self.run_thread()
        self.successResultOf(good)


class WebTests(ApplicationsCase):
    """Documents on the network."""

    def test_asked_as_anybody(self) -> None:
        """The gate judges the URL as anybody's, and the body is bounded."""
        loading = self.loading(WEB)
        self.web.give(chart("a"))
        self.assertEqual(self.successResultOf(loading).name, "a")
        (asked,) = self.web.asked
        self.assertEqual((asked.url, asked.configured), (WEB, False))
        self.assertEqual(asked.limits.body_bytes, MAX_DOCUMENT_BYTES)

    def test_refreshed(self) -> None:
        """It is asked again after half a minute, not before, and made only when it is new."""
        self.web.always = Answer(200, {}, chart("a"))
        first = self.load(WEB)
        self.clock.advance(WEB_AGE_S - 0.01)
        self.load(WEB)
        self.assertEqual(len(self.web.asked), 1)
        self.clock.advance(0.01)
        self.assertIs(self.load(WEB), first)
        self.assertEqual((len(self.web.asked), len(self.made)), (2, 1))
        self.web.always = Answer(200, {}, chart("b"))
        self.clock.advance(WEB_AGE_S)
        self.assertEqual(self.load(WEB).name, "b")

    def test_server_away(self) -> None:
        """The former one stays while the server is away, however it is away."""
        self.web.always = Answer(200, {}, chart("a"))
        first = self.load(WEB)
        ways: tuple[Answer | Exception, ...] = (
            Unreachable("No connection.", "connect"),
            Answer(503, {}, b""),
            Answer(404, {}, chart("b")),
            Answer(302, {"location": "http://www.example.com/b"}, b""),
            Answer(200, {}, b"<html>"),
            Answer(200, {}, chart("b"), cut=True),
        )
        for away in ways:
            self.web.always = away
            self.clock.advance(WEB_AGE_S)
            self.assertIs(self.load(WEB), first)
            before = len(self.web.asked)
            self.clock.advance(WEB_AGE_S - 0.01)
            self.load(WEB)
            self.assertEqual(len(self.web.asked), before)

    def test_never_there(self) -> None:
        """Without a former one each of these is a failure, with its reason."""
        ways: tuple[tuple[Answer | Exception, str], ...] = (
            (Unreachable("No connection.", "connect"), "It cannot be fetched: No connection."),
            (Answer(404, {}, b""), "It cannot be fetched: the answer is 404."),
            (Answer(200, {}, b"x", cut=True), "It is longer than 1048576 bytes."),
        )
        for number, (away, reason) in enumerate(ways):
            self.web.always = away
            self.assertEqual(str(self.fault(f"{WEB}?{number}")), reason)

    def test_X04_refused(self) -> None:
        """A target that the gate refuses is refused, even after it was allowed."""
        self.web.always = Answer(200, {}, chart("a"))
        self.load(WEB)
        self.web.always = TargetRefused("A private address; see push/httpcb.allow.")
        self.clock.advance(WEB_AGE_S)
        error = self.fault(WEB)
        self.assertIsInstance(error, ApplicationRefused)
        self.assertIn("push/httpcb.allow", str(error))

    def test_X04_no_files(self) -> None:
        """What a document from the network invokes or includes is no file of this machine."""
        self.files.texts["/etc/passwd"] = b"secret"
        self.assertIsInstance(self.fault("file:///etc/passwd", WEB), ApplicationRefused)
        self.web.always = Answer(200, {}, chart("a", '<script src="file:///etc/passwd"/>'))
        self.assertIsInstance(self.fault(WEB), ApplicationRefused)
        self.assertEqual(self.files.reads, [])

    def test_one_request_for_all(self) -> None:
        """All who want it meanwhile wait for one request."""
        loading = [self.loading(WEB) for _ in range(50)]
        self.assertEqual(len(self.web.asked), 1)
        self.web.give(chart("a"))
        documents = [self.successResultOf(one) for one in loading]
        self.assertTrue(all(one is documents[0] for one in documents))

    def test_failure_for_all(self) -> None:
        """They fail together, too."""
        loading = [self.loading(WEB) for _ in range(3)]
        self.web.give(b"", 500)
        errors = {id(self.failureResultOf(one, ApplicationUnusable).value) for one in loading}
        self.assertEqual(len(errors), 3)

    def test_first_one_leaves(self) -> None:
        """Whoever wanted it first may leave, and the others still get it."""
        first, second = self.loading(WEB), self.loading(WEB)
        first.cancel()
        self.failureResultOf(first)
        self.web.give(chart("a"))
        self.assertEqual(self.successResultOf(second).name, "a")

    def test_stopped(self) -> None:
        """At the end of the server nobody is left waiting."""
        loading = self.loading(WEB)
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))
        self.failureResultOf(loading, ApplicationUnusable)

    def test_query_is_not_logged(self) -> None:
        """A URL's query, which may hold a key, stays out of the log."""
        self.web.always = Answer(404, {}, b"")
        with capturedLogs() as events:
            self.fault(f"{WEB}?key=secret")
        self.assertNotIn("secret", "".join(str(formatEvent(event)) for event in events))


class IncludeTests(ApplicationsCase):
    """Texts that a document includes."""

    def setUp(self) -> None:
        """Write a document with two of them."""
        super().setUp()
        self.files.texts["/apps/a.scxml"] = chart(
            "a", '<datamodel><data id="d" src="d.json"/></datamodel><script src="file:b.js"/>'
        )
        self.files.texts["/apps/b.js"] = b"var b = 1;"
        self.files.texts["/apps/d.json"] = b"[1]"

    def test_handed_in(self) -> None:
        """They are read beside it, and nothing is missing then."""
        document = self.load(FILE)
        self.assertEqual(document.includes, ())
        self.assertEqual(
            self.files.reads, ["/apps/a.scxml", *sorted(self.files.reads[1:], reverse=True)]
        )
        self.assertEqual(sorted(self.files.reads), ["/apps/a.scxml", "/apps/b.js", "/apps/d.json"])

    def test_changed(self) -> None:
        """A change of one of them makes a new document; nothing does without one."""
        first = self.load(FILE)
        self.clock.advance(FILE_AGE_S)
        self.assertIs(self.load(FILE), first)
        self.files.texts["/apps/b.js"] = b"var b = 2;"
        self.clock.advance(FILE_AGE_S)
        second = self.load(FILE)
        self.assertIsNot(second, first)
        self.assertNotEqual(second.digest, first.digest)
        self.applications.reconfigure()
        self.assertIs(self.load(FILE), second)

    def test_no_longer(self) -> None:
        """One that is no longer included is no longer looked after."""
        self.load(FILE)
        self.files.texts["/apps/a.scxml"] = chart("a")
        self.clock.advance(FILE_AGE_S)
        second = self.load(FILE)
        del self.files.texts["/apps/b.js"]
        self.clock.advance(FILE_AGE_S)
        self.assertIs(self.load(FILE), second)

    def test_missing(self) -> None:
        """Without one of them there is no application; the reason names it."""
        del self.files.texts["/apps/b.js"]
        error = self.fault(FILE)
        self.assertEqual(
            str(error),
            "What it includes, 'file:///apps/b.js': It cannot be read: not there.",
        )

    def test_most(self) -> None:
        """So many texts may be included, and no more."""
        for count, good in ((MAX_INCLUDES, True), (MAX_INCLUDES + 1, False)):
            scripts = "".join(f'<data id="d{n}" src="{n}.json"/>' for n in range(count))
            path = f"/apps/{count}.scxml"
            self.files.texts[path] = chart("a", f"<datamodel>{scripts}</datamodel>")
            self.files.texts |= {f"/apps/{n}.json": b"1" for n in range(count)}
            if good:
                self.load(f"file://{path}")
            else:
                self.assertIn("more than 20 texts", str(self.fault(f"file://{path}")))

    def test_longest(self) -> None:
        """All together have a bound."""
        main = self.files.texts["/apps/a.scxml"]
        assert isinstance(main, bytes)
        room = MAX_DOCUMENT_BYTES - len(main) - len(b"[1]")
        self.files.texts["/apps/b.js"] = b" " * room
        loading = self.loading(FILE)
        self.run_thread()
        self.successResultOf(loading)
        self.files.texts["/apps/b.js"] = b" " * (room + 1)
        self.assertIs(self.load(FILE).includes, ())
        self.applications = self.applications_with(self.make)
        self.assertIn("longer than 1048576 bytes", str(self.fault(FILE)))

    def test_from_the_network(self) -> None:
        """A file may include what is on the network; then all of it is asked for again."""
        self.files.texts["/apps/a.scxml"] = chart("a", f'<script src="{WEB}"/>')
        self.web.always = Answer(200, {}, b"var x;")
        first = self.load(FILE)
        self.clock.advance(WEB_AGE_S)
        self.assertIs(self.load(FILE), first)
        self.assertEqual(len(self.web.asked), 2)
