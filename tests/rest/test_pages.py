"""The pages' files: found, cached, guarded."""

from __future__ import annotations

import gzip
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from gms_twisted.rest.pages import PAGE_HEADERS, RESOURCE_PREFIXES, Pages
from gms_twisted.rest.root import Api, UnknownPath, route
from tests.support.rest_client import RestClient


def ask(pages: Pages, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for a path: status, headers by lower-case name, body."""
    request = Request(DummyChannel(), False)
    request.method = b"GET"
    request.path = path.encode()
    for name, value in headers.items():
        request.requestHeaders.setRawHeaders(name.replace("_", "-"), [value])
    body = pages.answer(request)
    answered = {
        name.decode().lower(): b", ".join(values).decode()
        for name, values in request.responseHeaders.getAllRawHeaders()
    }
    return request.code, answered, body


class SmallSite(SynchronousTestCase):
    """A directory with a few files."""

    def setUp(self) -> None:
        """Write the files."""
        root = Path(self.mktemp())
        for name, text in {
            "index.html": "<!doctype html>start",
            "desk/index.html": "<!doctype html>" + "desk " * 100,
            "desk/main.js": "export {};",
            "lib/bayeux.js": "export class BayeuxClient {}",
            "resources/storagetest.html": "<!doctype html>storage",
            "desk/notes.txt": "not for the world",
            "__init__.py": "",
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.root = root
        self.pages = Pages(root)


class FindingTests(SmallSite):
    """Which URL gives which file."""

    def test_directory_gives_its_index(self) -> None:
        """``/desk/`` is ``desk/index.html``, ``/`` is ``index.html``."""
        self.assertEqual(ask(self.pages, "/")[2], b"<!doctype html>start")
        status, headers, body = ask(self.pages, "/desk/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"desk desk", body)

    def test_slash_is_added(self) -> None:
        """``/desk`` leads to ``/desk/``, so that relative addresses fit."""
        status, headers, _ = ask(self.pages, "/desk")
        self.assertEqual((status, headers["location"]), (308, "/desk/"))

    def test_resources_have_three_places(self) -> None:
        """The sample pages stand at the reference's URL and the two older ones."""
        bodies = {ask(self.pages, f"{each}storagetest.html")[2] for each in RESOURCE_PREFIXES}
        self.assertEqual(bodies, {b"<!doctype html>storage"})
        with self.assertRaises(UnknownPath):
            ask(self.pages, "/resources/storagetest.html")

    def test_only_known_files_exist(self) -> None:
        """Traversal, other kinds of files and changed files on disk reach nothing."""
        (self.root / "desk/later.js").write_text("late")
        for path in (
            "/desk/notes.txt",
            "/__init__.py",
            "/desk/later.js",
            "/desk/../index.html",
            "/desk/%2e%2e/index.html",
            "/lib//bayeux.js",
            "/desk/main.js/",
            "//desk/",
        ):
            with self.assertRaises(UnknownPath, msg=path):
                ask(self.pages, path)

    def test_modules_have_a_script_type(self) -> None:
        """Browsers refuse modules of any other type under ``nosniff``."""
        headers = ask(self.pages, "/desk/main.js")[1]
        self.assertEqual(headers["content-type"], "text/javascript; charset=utf-8")

    def test_on_the_map(self) -> None:
        """Every file that we ship is reached through the URL map, by GET and HEAD."""
        api = Api()
        pages = Pages()
        api.add(pages)
        client = RestClient(api)
        for path in sorted(pages.paths):
            if not path.startswith("/resources"):
                self.assertIn(client.get(path).status, {200, 308}, path)
        head = client.request("HEAD", "/desk/")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(client.get("/desk/nothing.js").status, 404)

    def test_beside_other_routes(self) -> None:
        """A call of the desk keeps its own methods: 405 and not a missing page."""

        class Login:
            @route("/desk/api/login", "POST")
            async def login(self, request: object) -> bytes:
                return b"in"

        api = Api()
        api.add(Pages(self.root), Login())
        self.assertEqual(RestClient(api).get("/desk/api/login").status, 405)


class CachingTests(SmallSite):
    """Browsers keep a copy and ask whether it is still good."""

    def test_same_tag_is_not_modified(self) -> None:
        """The ETag sent back gives 304, no body and the same guards."""
        tag = ask(self.pages, "/desk/")[1]["etag"]
        status, headers, body = ask(self.pages, "/desk/", If_None_Match=f'"other", W/{tag}')
        self.assertEqual((status, body, headers["etag"]), (304, b"", tag))
        self.assertEqual(headers["cache-control"], "no-cache")
        self.assertNotIn("content-type", headers)

    def test_compressed_when_accepted(self) -> None:
        """Gzip is sent to who takes it, under a tag of its own."""
        _, plain, body = ask(self.pages, "/desk/", Accept_Encoding="br, gzip;q=0")
        status, headers, squeezed = ask(self.pages, "/desk/", Accept_Encoding="gzip, br")
        self.assertEqual((status, headers["content-encoding"]), (200, "gzip"))
        self.assertEqual(gzip.decompress(squeezed), body)
        self.assertEqual(headers["content-length"], str(len(squeezed)))
        self.assertNotEqual(headers["etag"], plain["etag"])
        self.assertEqual(headers["vary"], "Accept-Encoding")

    def test_small_files_stay_plain(self) -> None:
        """A file that compression does not shrink is sent as it is."""
        headers = ask(self.pages, "/desk/main.js", Accept_Encoding="gzip")[1]
        self.assertNotIn("content-encoding", headers)


class GuardTests(SmallSite):
    """What every answer carries."""

    def test_C01_no_inline_script_and_no_foreign_content(self) -> None:
        """The policy starts from nothing, allows our own files and wants Trusted Types."""
        policy = ask(self.pages, "/desk/")[1]["content-security-policy"]
        self.assertTrue(policy.startswith("default-src 'none';"))
        self.assertIn("require-trusted-types-for 'script'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("*", policy)

    def test_C07_not_in_frames(self) -> None:
        """No page can be framed, by the new header and the old one."""
        headers = ask(self.pages, "/desk/")[1]
        self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
        self.assertEqual(headers["x-frame-options"], "DENY")

    def test_same_guards_everywhere(self) -> None:
        """Scripts and styles carry the same headers as pages."""
        for path in ("/", "/desk/main.js", "/lib/bayeux.js", "/genesys/resources/storagetest.html"):
            headers = ask(self.pages, path)[1]
            for name, value in PAGE_HEADERS.items():
                self.assertEqual(headers[name.lower()], value, path)

    def test_client_library_is_for_other_origins_too(self) -> None:
        """Only the Bayeux client may be imported by pages of others."""
        headers = ask(self.pages, "/lib/bayeux.js")[1]
        self.assertEqual(headers["access-control-allow-origin"], "*")
        self.assertNotIn("access-control-allow-origin", ask(self.pages, "/desk/main.js")[1])


class PackagedPagesTests(SynchronousTestCase):
    """The files that we ship."""

    def test_every_file_is_plain(self) -> None:
        """No inline script or style, no event attribute, no markup made from data."""
        root = Path(__file__).parents[2] / "gms_twisted" / "web"
        for path in root.rglob("*"):
            if path.suffix not in {".html", ".js"}:
                continue
            text = path.read_text("utf-8")
            banned = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            if path.suffix == ".html":
                banned += [" style=", "<style", "onclick=", "onload=", "javascript:", "//cdn"]
            for word in banned:
                self.assertNotIn(word, text, f"{path.name} has {word}")

    def test_links_between_files_hold(self) -> None:
        """Every script and style that a page names is served."""
        pages = Pages()
        for url in ("/", "/desk/", "/demo/", "/genesys/resources/storagetest.html"):
            self.assertIn(url, pages.paths)
