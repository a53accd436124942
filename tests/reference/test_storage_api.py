"""The Storage API's printed examples, as requests and replies.

Spec: Storage API.  Bodies are spelled out as the captures show them (``Request
Payload``), with the line ends and part headers that a browser sends.
"""

from __future__ import annotations

from tests.support.front import Response
from tests.support.whole import WholeCase

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
BOUNDARY = "---WebKitFormBoundaryy16qocbN6tmPORZL"
BROWSER = (
    ("Accept", "*/*"),
    ("Accept-Charset", "ISO-8859-1,utf-8;q=0.7,*;q=0.3"),
    ("Accept-Encoding", "gzip,deflate,sdch"),
    ("Origin", "http://localhost:8080"),
    ("Referer", "http://localhost:8080/genesys/resources/storagetest.html"),
)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50


def multipart(
    texts: dict[str, str], filename: str, content_type: str, data: bytes
) -> tuple[tuple[str, str], bytes]:
    """The header and the body of a form with texts and ``FileKey``."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in texts.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="FileKey"; '
        f'filename="{filename}"\r\nContent-Type: {content_type}\r\n\r\n'
    )
    body = "".join(parts).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"), body


class StorageExampleTests(WholeCase):
    """Each example, in the order of the chapter."""

    def setUp(self) -> None:
        """Make a server at the examples' address."""
        self.server = self.whole("server/external_url_base=http://127.0.0.1:8080/")

    def send(
        self, method: str, target: str, *headers: tuple[str, str], body: bytes = b""
    ) -> Response:
        """Send a request, and read the answer."""
        named = dict(headers)
        kind = named.pop("Content-Type", "")
        return self.server.send(method, target, body, kind, headers=named)

    def get(self, target: str) -> Response:
        """Ask with GET."""
        return self.send("GET", target)

    def create(self) -> Response:
        """Send the request of "Create"."""
        content_type, body = multipart(
            {"Key1": "Value1", "Key2": "Value2", "Key3": "Value3"},
            "MyPic.png",
            "image/png",
            PICTURE,
        )
        return self.send("POST", "/genesys/1/storage/3600", *BROWSER, content_type, body=body)

    def update(self, area_id: str) -> Response:
        """Send the request of "Update"."""
        content_type, body = multipart(
            {"Key1": "Value6", "Key2": "Value7", "Key3": "Value8"},
            "0016_001.pdf",
            "application/pdf",
            b"%PDF-1.4 " + PICTURE * 13,
        )
        return self.send(
            "POST", f"/genesys/1/storage/{area_id}/3600", *BROWSER, content_type, body=body
        )

    def area(self) -> str:
        """Create an area and return its id."""
        area_id: str = self.create().json()["id"]
        return area_id

    def test_create(self) -> None:
        """Spec: Storage API, "Create", Example: 200 and the new id."""
        answer = self.create()
        self.assertEqual(answer.status, 200)
        self.assertEqual(list(answer.json()), ["id"])
        self.assertRegex(answer.json()["id"], f"^{UUID}$")

    def test_create_is_over_after_an_hour(self) -> None:
        """Spec: Storage API, "Create": the data is deleted after {ttl} seconds."""
        area_id = self.area()
        self.server.advance(3599.0, 3599.0)
        self.assertEqual(self.get(f"/genesys/1/storage/{area_id}").status, 200)
        self.server.advance(1.0)
        self.assertEqual(self.get(f"/genesys/1/storage/{area_id}").status, 404)

    def test_create_urlencoded(self) -> None:
        """Spec: Storage API, "Create": a URL-encoded form does as well."""
        answer = self.send(
            "POST",
            "/genesys/1/storage/3600",
            ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
            body=b"Key1=Value1&Key2=a+b%26c&Key3=%C3%A9",
        )
        area_id = answer.json()["id"]
        self.assertEqual(
            self.get(f"/genesys/1/storage/{area_id}").json(),
            {"Key1": "Value1", "Key2": "a b&c", "Key3": "\u00e9"},
        )

    def test_update(self) -> None:
        """Spec: Storage API, "Update", Example: 200, two bytes of JSON, never cached."""
        answer = self.update(self.area())
        self.assertEqual((answer.status, answer.body), (200, b"{}"))
        self.assertEqual(answer.headers["content-length"], "2")
        self.assertEqual(answer.headers["content-type"].partition(";")[0], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-cache, no-store")
        self.assertEqual(answer.headers["pragma"], "no-cache")

    def test_query_all_keys(self) -> None:
        """Spec: Storage API, "Query (all keys)", Example: texts, and the file's URL."""
        area_id = self.area()
        self.update(area_id)
        answer = self.get(f"/genesys/1/storage/{area_id}")
        self.assertEqual(
            answer.json(),
            {
                "Key2": "Value7",
                "Key1": "Value6",
                "Key3": "Value8",
                "FileKey": f"http://127.0.0.1:8080/genesys/1/storage/binary/{area_id}/FileKey",
            },
        )

    def test_query_one_key(self) -> None:
        """Spec: Storage API, "Query (one key)", Example: the bare value."""
        answer = self.get(f"/genesys/1/storage/{self.area()}/Key1")
        self.assertEqual((answer.status, answer.body), (200, b"Value1"))

    def test_query_one_binary_key(self) -> None:
        """Spec: Storage API, "Query (one binary key)", Example: the file, byte for byte."""
        answer = self.get(f"/genesys/1/storage/binary/{self.area()}/FileKey")
        self.assertEqual((answer.status, answer.body), (200, PICTURE))
        self.assertEqual(answer.headers["content-type"], "image/png")

    def test_query_the_link(self) -> None:
        """The URL that a query shows leads to the file."""
        area_id = self.area()
        self.update(area_id)
        link = self.get(f"/genesys/1/storage/{area_id}/FileKey").body.decode()
        answer = self.get(link.removeprefix("http://127.0.0.1:8080"))
        self.assertEqual(answer.body, b"%PDF-1.4 " + PICTURE * 13)
        self.assertEqual(answer.headers["content-type"], "application/pdf")

    def test_delete(self) -> None:
        """Spec: Storage API, "Delete", Example: 200; all keys are gone."""
        area_id = self.area()
        answer = self.send("DELETE", f"/genesys/1/storage/{area_id}")
        self.assertEqual(answer.status, 200)
        for target in (area_id, f"{area_id}/Key1", f"binary/{area_id}/FileKey"):
            self.assertEqual(self.get(f"/genesys/1/storage/{target}").status, 404)

    def test_notes(self) -> None:
        """Spec: Storage API, "Notes": the largest ttl, and keys that begin with ``_``."""
        content_type = ("Content-Type", "application/x-www-form-urlencoded")
        for ttl, body, status in (
            ("2147483647", b"a=1", 200),
            ("2147483648", b"a=1", 400),
            ("60", b"_a=1", 400),
        ):
            target = f"/genesys/1/storage/{ttl}"
            answer = self.send("POST", target, content_type, body=body)
            self.assertEqual(answer.status, status)

    def test_html_sample(self) -> None:
        """Spec: Storage API HTML Sample: what its four buttons send."""
        jquery = (
            "Content-Type",
            "application/x-www-form-urlencoded; charset=UTF-8",
        )
        created = self.send(
            "POST", "/genesys/1/storage/3600", jquery, body=b"a=Value1&b=Value2&c=Value3"
        )
        self.assertEqual(created.headers["content-type"].partition(";")[0], "application/json")
        target = f"/genesys/1/storage/{created.json()['id']}"
        expected = {"a": "Value1", "b": "Value2", "c": "Value3"}
        self.assertEqual(self.get(target).json(), expected)
        answer = self.send("POST", f"{target}/3600", jquery, body=b"a=x&b=y&c=z")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.get(target).json(), {"a": "x", "b": "y", "c": "z"})
        self.assertEqual(self.send("DELETE", target).status, 200)
        self.assertEqual(self.get(target).status, 404)

    def test_json_labelled_as_a_form(self) -> None:
        """Clients in the field send JSON under a form's label, and fields in the query."""
        answer = self.send(
            "POST",
            "/genesys/1/storage/60?q=1",
            ("Content-Type", "application/x-www-form-urlencoded"),
            body=b'{"a":"1"}',
        )
        target = f"/genesys/1/storage/{answer.json()['id']}"
        self.assertEqual(self.get(target).json(), {"q": "1", "a": "1"})
