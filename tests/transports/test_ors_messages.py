"""What Orchestration Servers are sent, and what they say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Answer
from gms_twisted.transports.ors_messages import (
    MAX_COOKIE,
    MAX_COOKIES,
    MAX_REASON,
    cookie_of,
    form_body,
    reason_of,
    retry_after_s,
    session_id_of,
    session_path,
    text_of,
)

ID = "EKUJPKAQ197CFA6SJQKTJ03DBG00001K"


def answer(body: bytes = b"", *cookies: str, **headers: str) -> Answer:
    """An answer; ``content_type="text/plain"`` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, named, body, cookies=cookies)


class RequestTests(SynchronousTestCase):
    """Paths and bodies."""

    def test_path(self) -> None:
        """Every word is one segment."""
        self.assertEqual(session_path("a/b", "event", "x y"), "/scxml/session/a%2Fb/event/x%20y")
        self.assertEqual(session_path("..", "terminate"), "/scxml/session/%2E%2E/terminate")

    def test_form(self) -> None:
        """Text is text, everything else its JSON."""
        fields = {"t": "hé & x", "n": 1, "y": True, "o": {"a": [None]}, "h": "\ud800"}
        self.assertEqual(
            form_body(fields),
            b"t=h%C3%A9+%26+x&n=1&y=true&o=%7B%22a%22%3A%5Bnull%5D%7D&h=%3F",
        )
        self.assertEqual(form_body({}), b"")


class SessionIdTests(SynchronousTestCase):
    """The session's id in the answer to a start."""

    def test_members(self) -> None:
        """A member of an object, the likeliest name first."""
        for member in ("sessionid", "_sessionid", "sessionId", "_id", "id"):
            self.assertEqual(session_id_of(answer(f'{{"{member}":"{ID}"}}'.encode())), ID)
        body = f'{{"id":"wrong-id","_id":"wrong-id2","sessionid":"{ID}"}}'
        self.assertEqual(session_id_of(answer(body.encode())), ID)
        self.assertEqual(session_id_of(answer(f'{{"sessionid":5,"_id":"{ID}"}}'.encode())), ID)

    def test_texts(self) -> None:
        """A JSON string, or plain text, of 8 to 64 characters."""
        for body in (f'"{ID}"', ID, f" {ID}\r\n", "a" * 8, "~_-" + "z" * 61, "12345678"):
            self.assertEqual(session_id_of(answer(body.encode())), body.strip(' "\r\n'))
        for body in ("a" * 7, "a" * 65, "no id", "<html>", "[]", "", "null", "12345678.5"):
            self.assertIsNone(session_id_of(answer(body.encode())))

    def test_cookie(self) -> None:
        """Last the cookie, up to the first dot; the body goes first."""
        cookies = ("other=1", f"ORSSESSIONID={ID}.node1576; Path=/")
        self.assertEqual(session_id_of(answer(b"<html>", *cookies)), ID)
        self.assertEqual(session_id_of(answer(b'{"id":"another-id"}', *cookies)), "another-id")
        self.assertIsNone(session_id_of(answer(b"", "ORSSESSIONID=.node1", "XORSSESSIONID=" + ID)))


class CookieTests(SynchronousTestCase):
    """What goes back to the server."""

    def test_all(self) -> None:
        """Every cookie without its attributes, of one name the last."""
        lines = ("a=1; Path=/; HttpOnly", "b=x.y", "a=2")
        self.assertEqual(cookie_of(lines), "a=2; b=x.y")

    def test_none(self) -> None:
        """What is no cookie, and one without a value, is left out."""
        self.assertEqual(cookie_of(("", "a", "=1", "a=", "a b=1", "a=ü", "a=1 2")), "")

    def test_bounds(self) -> None:
        """Only so many, and none when they are too long together."""
        lines = [f"c{number}=1" for number in range(MAX_COOKIES + 1)]
        self.assertEqual(cookie_of(lines).count("="), MAX_COOKIES)
        self.assertEqual(len(cookie_of(["a=" + "x" * (MAX_COOKIE - 2)])), MAX_COOKIE)
        self.assertEqual(cookie_of(["a=" + "x" * (MAX_COOKIE - 1)]), "")


class AnswerTests(SynchronousTestCase):
    """Texts, reasons, pauses."""

    def test_text(self) -> None:
        """UTF-8 unless the answer says otherwise; what is neither is replaced."""
        self.assertEqual(text_of(answer(" hé\r\n".encode())), " hé\r\n")
        latin = answer(b"h\xe9", content_type="text/plain; charset=ISO-8859-1")
        self.assertEqual(text_of(latin), "hé")
        self.assertEqual(text_of(answer(b"h\xe9")), "h\ufffd")
        odd = answer("é".encode(), content_type="text/plain; charset=rot13")
        self.assertEqual(text_of(odd), "é")

    def test_reason(self) -> None:
        """The server's own words, without what a log could not show; no page of HTML."""
        self.assertEqual(reason_of(answer(b'{"message":"line 3: no","x":1}')), "line 3: no")
        self.assertEqual(reason_of(answer(b" no\x00\nway ")), "no way")
        ours = "The Orchestration Server cannot run the application."
        for body in (b"", b"<html>", b'{"message":""}'):
            self.assertEqual(reason_of(answer(body)), ours)
        self.assertEqual(reason_of(answer(b"x" * (MAX_REASON + 1))), "x" * MAX_REASON + "...")
        self.assertEqual(reason_of(answer(b"x" * MAX_REASON)), "x" * MAX_REASON)

    def test_retry_after(self) -> None:
        """Seconds, an hour at most; five when nothing usable is said."""
        for said, seconds in (("7", 7.0), ("99999999", 3600.0), ("-1", 5.0), ("soon", 5.0)):
            self.assertEqual(retry_after_s(answer(retry_after=said)), seconds)
        self.assertEqual(retry_after_s(answer()), 5.0)
