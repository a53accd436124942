"""Negotiating compression."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.deflate import Agreement, Inflater, TooMuch, negotiate


class NegotiateTests(SynchronousTestCase):
    """RFC 7692, 7.1: offers and the answer to them."""

    def test_no_context_is_kept(self) -> None:
        """The answer always asks both sides to give up context."""
        agreement = negotiate([b"permessage-deflate"])
        assert agreement is not None
        self.assertEqual(
            agreement.answer(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        )

    def test_what_browsers_offer(self) -> None:
        """The usual offers are taken."""
        for offer in (
            b"permessage-deflate; client_max_window_bits",
            b"PerMessage-Deflate;client_max_window_bits=10 ; server_no_context_takeover",
            b'permessage-deflate; client_max_window_bits="8"; client_no_context_takeover',
        ):
            self.assertEqual(negotiate([offer]), Agreement())

    def test_window_is_kept_and_said(self) -> None:
        """A smaller window for us is kept, and repeated in the answer."""
        agreement = negotiate([b"permessage-deflate; server_max_window_bits=10"])
        self.assertEqual(agreement, Agreement(10, True))
        assert agreement is not None
        self.assertTrue(agreement.answer().endswith("; server_max_window_bits=10"))

    def test_first_good_offer(self) -> None:
        """What we cannot keep or do not know is passed over."""
        lines = [b"x-other; a=b, permessage-deflate; server_max_window_bits=8", b""]
        self.assertIsNone(negotiate(lines))
        lines.append(b"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=9")
        self.assertEqual(negotiate(lines), Agreement(9, True))
        self.assertIsNone(negotiate([]))

    def test_bad_parameters(self) -> None:
        """Parameters out of range, twice, with or without values that they need: no offer."""
        for parameters in (
            "server_max_window_bits",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "client_max_window_bits=7",
            "client_max_window_bits=",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "",
        ):
            self.assertIsNone(negotiate([f"permessage-deflate; {parameters}".encode()]), parameters)


class InflaterTests(SynchronousTestCase):
    """Inflating within bounds."""

    def test_W02_never_more_than_room(self) -> None:
        """What is above the room is not made, and empty pieces are fine when it is full."""
        bomb = Agreement().deflate(b"\0" * 10_000_000)
        self.assertRaises(TooMuch, Inflater().inflate, bomb, True, 1000)
        inflater = Inflater()
        data = Agreement().deflate(b"ab" * 500)
        self.assertEqual(inflater.inflate(data, False, 1000), b"ab" * 500)
        self.assertEqual(inflater.inflate(b"", True, 0), b"")
