"""What senders count; it outlives a sender that is made anew with other credentials.

Plain numbers that are read when somebody asks, since they change with every push.

Knows: names of metrics, labels.  Does not know: queues, gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gms_twisted.domain.counters import Counters

MAX_REASONS = 50
"""Gateways' words that are counted each for itself; the others together, as ``other``."""


class SenderCounts:
    """Counts of one way to devices.

    :param labels: ``type``, ``transport``, ``provider``, ``debug``; never a device or tag.
    :ivar delivered: pushes that the other side has.
    :ivar finished: pushes that came to an end, delivered or not.
    :ivar latency_s: from being asked to the end, in all.
    :ivar attempts: how often a gateway was asked, with ``remote_s`` seconds in all.
    :ivar backoff_s: seconds of pauses before further attempts, in all.
    """

    def __init__(self, counters: Counters, labels: Mapping[str, str]) -> None:
        self.delivered = 0
        self.retried = 0
        self.finished = 0
        self.latency_s = 0.0
        self.attempts = 0
        self.remote_s = 0.0
        self.backoff_s = 0.0
        self._counters = counters
        self._labels = dict(labels)
        self._reasons: set[str] = set()
        for name, read in (
            ("push_delivered_total", lambda: float(self.delivered)),
            ("push_retried_total", lambda: float(self.retried)),
            ("push_latency_seconds_count", lambda: float(self.finished)),
            ("push_latency_seconds_sum", lambda: self.latency_s),
            ("push_remote_seconds_count", lambda: float(self.attempts)),
            ("push_remote_seconds_sum", lambda: self.remote_s),
            ("push_backoff_seconds_sum", lambda: self.backoff_s),
        ):
            counters.total(name, read, **self._labels)

    def show(
        self,
        queued: Callable[[], float],
        in_flight: Callable[[], float],
        circuit_open: Callable[[], float],
    ) -> None:
        """Have the state of the sender at work read from now on."""
        for name, read in (
            ("push_queue_depth", queued),
            ("push_inflight", in_flight),
            ("push_circuit_open", circuit_open),
        ):
            self._counters.gauge(name, read, **self._labels)

    def failed(self, reason: str) -> None:
        """A gateway said no, or there was none."""
        if reason not in self._reasons:
            if len(self._reasons) >= MAX_REASONS:
                reason = "other"
            self._reasons.add(reason)
        self._counters.add("push_failed_total", 1.0, reason=reason, **self._labels)

    def dropped(self, why: str) -> None:
        """We did not even ask.

        :param why: ``queue full``, ``circuit open``, ``paused``, ``shutdown``.
        """
        self._counters.add("push_dropped_total", 1.0, why=why, **self._labels)
