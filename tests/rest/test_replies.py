"""Which failure has which status."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

# Imported for their error classes, which are found through their base.
from gms_twisted.app import interfaces as app_interfaces
from gms_twisted.app import orchestration
from gms_twisted.domain import errors
from gms_twisted.domain.chat import Transcript
from gms_twisted.domain.ids import ChatSessionId
from gms_twisted.rest.replies import headers_for, refusal_for, status_for
from gms_twisted.store import interfaces as store_interfaces

STATUS = {
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "PasswordRequired": 401,
    "Forbidden": 403,
    "InternalOnly": 403,
    "HandshakeRefused": 403,
    "HandshakeElsewhere": 403,
    "NotFound": 404,
    "AreaNotFound": 404,
    "ServiceNotFound": 404,
    "ChatSessionUnknown": 404,
    "ChatSessionClosed": 400,
    "SessionUnknown": 404,
    "RequestUnhandled": 404,
    "SessionOver": 410,
    "AnswerLate": 504,
    "ApplicationUnusable": 500,
    "OrsUnreachable": 500,
    "AnswerUnusable": 500,
    "EventRefused": 500,
    "Conflict": 409,
    "ConditionFailed": 409,
    "FileGone": 409,
    "TooLarge": 413,
    "UnsupportedMedia": 415,
    "TooManyRequests": 429,
    "Unavailable": 503,
    "NodeAway": 503,
    "StoreReadOnly": 503,
    "ChatServerUnavailable": 503,
    "StorageFull": 507,
    "DamagedRecord": 500,
    "GmsError": 500,
}


def agreed_errors() -> Iterator[type[errors.GmsError]]:
    """Every error class of the agreements."""
    for module in (errors, app_interfaces, orchestration, store_interfaces):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, errors.GmsError):
                yield value


def made(kind: type[errors.GmsError]) -> errors.GmsError:
    """One of them."""
    if issubclass(kind, errors.TooManyRequests):
        return kind("Slowly.", 0.2)
    if issubclass(kind, orchestration.OrsUnreachable):
        return kind()
    if issubclass(kind, orchestration.EventRefused):
        return kind("No.", "No")
    if issubclass(kind, app_interfaces.ChatSessionClosed):
        return kind(Transcript(ChatSessionId("x"), 0.0, 0, True))
    if issubclass(kind, store_interfaces.ConditionFailed):
        return kind(store_interfaces.LeaseHeld("x", 1))
    return kind("A sentence.")


class StatusTests(SynchronousTestCase):
    """The table of statuses."""

    def test_every_agreed_error_has_a_status(self) -> None:
        """No error of the agreements is left to chance."""
        for kind in agreed_errors():
            self.assertEqual(status_for(made(kind)), STATUS[kind.__name__], kind.__name__)

    def test_an_heir(self) -> None:
        """An error of a module's own has the status of what it is a kind of."""

        class Own(errors.NotFound):
            """One."""

        self.assertEqual(status_for(Own("x")), 404)

    def test_headers(self) -> None:
        """Who must prove something is told how; who must wait, how long."""
        self.assertEqual(
            headers_for(errors.TooManyRequests("Slowly.", 0.2)), (("Retry-After", "1"),)
        )
        self.assertEqual(headers_for(errors.Unavailable("Later.")), (("Retry-After", "5"),))
        self.assertEqual(headers_for(errors.StoreReadOnly("No.")), (("Retry-After", "60"),))
        challenge = dict(headers_for(errors.PasswordRequired("Who?")))["WWW-Authenticate"]
        self.assertTrue(challenge.startswith("Basic "))
        challenge = dict(headers_for(errors.Unauthorized("Who?")))["WWW-Authenticate"]
        self.assertFalse(challenge.startswith("Basic "))
        self.assertEqual(headers_for(errors.NotFound("No.")), ())

    def test_refusal(self) -> None:
        """At the front door it is the same failure."""
        refusal = refusal_for(errors.StorageFull("Full."), close=True)
        self.assertEqual(
            (refusal.status, refusal.message, refusal.code, refusal.close),
            (507, "Full.", "gms.storage.full", True),
        )
