"""Errors that travel from node to node."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_permission import NoChatHere
from gms_twisted.app.chat_records import ChatNotStarted
from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    NotFound,
    TooManyRequests,
    carried,
    carried_error,
    shown,
)


def there_and_back(error: GmsError) -> GmsError:
    """Carry an error as nodes do."""
    return carried_error(error.code, carried(error))


class CarriedTests(SynchronousTestCase):
    """Class, text and what belongs to an error."""

    def test_the_same(self) -> None:
        """It is what it was."""
        for error in (GmsError("a"), NotFound("b"), NoChatHere("c"), ChatNotStarted("d")):
            back = there_and_back(error)
            self.assertIs(type(back), type(error))
            self.assertEqual(str(back), str(error))

    def test_its_own(self) -> None:
        """So is what it says beside its text."""
        invalid = there_and_back(InvalidRequest("It is none.", "ttl"))
        assert isinstance(invalid, InvalidRequest)
        self.assertEqual(invalid.parameter, "ttl")
        many = there_and_back(TooManyRequests("Later.", 7.5))
        assert isinstance(many, TooManyRequests)
        self.assertEqual(many.retry_after_s, 7.5)

    def test_unknown(self) -> None:
        """One of another version keeps its code and its text."""
        words = carried(GmsError("From tomorrow.")).replace("GmsError", "Tomorrow")
        back = carried_error("gms.tomorrow", words)
        self.assertEqual(
            (type(back), back.code, str(back)), (GmsError, "gms.tomorrow", "From tomorrow.")
        )


class ShownTests(SynchronousTestCase):
    """Values of clients in messages."""

    def test_short_and_harmless(self) -> None:
        """They are escaped, and cut at a limit."""
        self.assertEqual(shown("a\nb"), "a\\nb")
        self.assertEqual(shown("x" * 100), "x" * 64 + "...")
