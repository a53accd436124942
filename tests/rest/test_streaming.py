"""Large answers whose client goes away."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.rest.streaming import send_pieces, stream_json


class StuckRequest:
    """A request whose connection takes one piece and then no more."""

    method = b"GET"

    def __init__(self) -> None:
        self.channel = self
        self.written = b""
        self.producer: object = None

    def setHeader(self, name: bytes, value: bytes) -> None:
        """Take a header."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Take who writes."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """It has written all it will."""
        self.producer = None

    def write(self, data: bytes) -> None:
        """Take a piece, and ask for a pause."""
        self.written += data
        self.producer.pauseProducing()  # type: ignore[attr-defined]  # twisted.web's are untyped


class GoneTests(SynchronousTestCase):
    """A route that is cancelled in the middle of its answer (hardening G03, H04)."""

    def cancelled(self, sending: Deferred[object]) -> None:
        """Cancel what waits for the client."""
        self.assertNoResult(sending)
        sending.cancel()
        self.failureResultOf(sending, CancelledError)

    def test_H04_no_piece_is_kept_for_a_client_that_went_away(self) -> None:
        """Where the pieces come from is closed at once, not when garbage is collected."""
        closed = []

        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"piece"
            finally:
                closed.append(True)

        request, source = StuckRequest(), pieces()
        self.cancelled(Deferred.fromCoroutine(send_pieces(request, source)))
        self.assertEqual((request.written, closed), (b"piece", [True]))
        self.assertIsNone(request.producer)

    def test_H04_nor_a_member_of_an_object(self) -> None:
        """The values of a storage area may be long, too."""
        closed = []

        async def members() -> AsyncGenerator[tuple[str, str], None]:
            try:
                while True:
                    yield "name", "value" * 20_000
            finally:
                closed.append(True)

        request, source = StuckRequest(), members()
        self.cancelled(Deferred.fromCoroutine(stream_json(request, source)))
        self.assertEqual(closed, [True])
