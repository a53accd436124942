"""Events by HTTP, as the Recommendation's tests look at them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.basic_http import (
    MAX_RAW,
    event_of_content,
    event_of_effect,
    event_of_form,
    message_of,
)
from gms_twisted.scxml.effects import PostEvent

URL = "http://127.0.0.1:8080/scxml/session/S/basichttp"


class ReceivedTests(SynchronousTestCase):
    """A message becomes an event."""

    def test_form(self) -> None:
        """One field names the event, the others are its data, and text."""
        event = event_of_form({"_scxmleventname": "test", "Var1": "2"})
        self.assertEqual((event.name, event.data, event.has_data), ("test", {"Var1": "2"}, True))
        self.assertIn("POST", event.raw)
        self.assertIn("_scxmleventname=test", event.raw)
        self.assertIn("Var1=2", event.raw)

    def test_name_alone(self) -> None:
        """Without other fields there is no data."""
        event = event_of_form({"_scxmleventname": "test"})
        self.assertEqual((event.name, event.data, event.has_data), ("test", None, False))

    def test_no_name(self) -> None:
        """The method is the name then."""
        event = event_of_form({"a": "1"})
        self.assertEqual((event.name, event.data), ("HTTP.POST", {"a": "1"}))

    def test_text(self) -> None:
        """Text is the data, its blanks made one; raw has it as a URL would."""
        event = event_of_content(" this is\n some  content ")
        self.assertEqual(
            (event.name, event.data, event.has_data), ("HTTP.POST", "this is some content", True)
        )
        self.assertIn("this%20is", event.raw)
        self.assertIn("this%20is%20some%20content", event_of_content("this is some content").raw)

    def test_document(self) -> None:
        """A JSON value is the data as it is."""
        event = event_of_content({"a": [1, None]}, "named")
        self.assertEqual((event.name, event.data), ("named", {"a": [1, None]}))

    def test_raw_is_bounded(self) -> None:
        """However long the message, a look at its beginning is enough."""
        for event in (event_of_form({"a": "x" * 9_000}), event_of_content("ü" * 9_000)):
            self.assertEqual(len(event.raw), MAX_RAW)

    def test_lone_surrogates(self) -> None:
        """What is no text in UTF-8 is replaced, not a failure."""
        self.assertIn("a=%3F", event_of_form({"a": "\ud800"}).raw)
        self.assertIn("%3F", event_of_content("\ud800").raw)


class SentTests(SynchronousTestCase):
    """An event becomes a message."""

    def test_fields(self) -> None:
        """Fields are a form, in their order."""
        effect = PostEvent(URL, (("_scxmleventname", "test"), ("p", "a b&ü")))
        self.assertEqual(
            message_of(effect),
            ("application/x-www-form-urlencoded", b"_scxmleventname=test&p=a+b%26%C3%BC"),
        )
        self.assertEqual(event_of_effect(effect).data, {"p": "a b&ü"})

    def test_content(self) -> None:
        """Content is the body, as it is."""
        effect = PostEvent(URL, None, "some  ü")
        self.assertEqual(message_of(effect), ("text/plain;charset=UTF-8", "some  ü".encode()))
        self.assertEqual(event_of_effect(effect).data, "some ü")
