"""Tests of senders as operators see them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.ops_senders import SenderRows


class SenderRowsTests(SynchronousTestCase):
    """What senders tell becomes rows."""

    def test_a_row(self) -> None:
        """Names as the page has them; days from either of the transports' words."""
        rows = SenderRows(
            lambda: [
                {"name": "apns2", "provider": "Sales", "debug": True, "queued": 3, "in_flight": 1,
                 "circuit": "open", "certificate_days": 4, "token_age_s": 9},
                {"name": "apns", "certificate_days_left": 40, "last_error": "refused"},
                {"name": "httpcb"},
            ]
        ).senders()  # fmt: skip
        self.assertEqual(
            rows[0],
            {"transport": "apns2", "provider": "Sales", "debug": True, "queue": 3, "in_flight": 1,
             "circuit": "open", "last_error": "", "days_left": 4},
        )  # fmt: skip
        self.assertEqual((rows[1]["days_left"], rows[1]["last_error"]), (40, "refused"))
        self.assertEqual((rows[2]["days_left"], rows[2]["queue"]), (None, 0))
