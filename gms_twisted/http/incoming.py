"""A request's body while it comes in: how much, how fast, into what.

Pure but for the spool file.  Knows: the deadlines of bodies (hardening H02).  Does
not know: the connection.
"""

from __future__ import annotations

from gms_twisted.config.option import MIB
from gms_twisted.config.options import HttpOptions
from gms_twisted.domain.values import Form
from gms_twisted.http.forms import BodySink, sink_for
from gms_twisted.http.framing import ChunkedBody, LengthBody
from gms_twisted.http.interfaces import BodyKind, BodyPlan, Head


class Incoming:
    """A body on its way.

    :param limit: most bytes of it.
    :param directory: for large files.
    :param now: when the head was complete, in seconds of the monotonic clock.
    :raises GmsError: the head promises a body that cannot be read.
    """

    __slots__ = ("_framing", "_large", "_options", "_raw", "_received", "_sink", "_started")

    def __init__(
        self,
        head: Head,
        plan: BodyPlan,
        limit: int,
        options: HttpOptions,
        directory: str,
        now: float,
    ) -> None:
        length = head.content_length
        self._framing: LengthBody | ChunkedBody
        if length is None:
            self._framing = ChunkedBody(limit, options.max_headers)
        else:
            self._framing = LengthBody(length)
        self._sink: BodySink | None = None
        self._raw: list[bytes] = []
        if plan.kind is not BodyKind.RAW and not plan.owner:
            self._sink = sink_for(head, plan.kind, options, directory)
        self._options = options
        self._large = (length or 0) > MIB
        self._received = 0
        self._started = now

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes; returns what comes after the body, ``None`` while more of it is to come.

        :raises Refused: it is not framed as it should be, or too large.
        :raises GmsError: its content is not what it should be.
        """
        pieces, rest = self._framing.receive(data)
        if pieces:
            content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._received += len(content)
            if self._sink is None:
                self._raw.append(content)
            else:
                self._sink.receive(content)
        return rest if self._framing.done else None

    def finish(self) -> tuple[Form, bytes]:
        """The form, or the bytes when the plan is to leave them unread.

        :raises GmsError: its content is not what it should be.
        """
        if self._sink is None:
            return Form(), b"".join(self._raw)
        return self._sink.finish(), b""

    def deadline(self) -> float:
        """When to ask :meth:`late` next."""
        return min(self._last(), self._slowest())

    def late(self, now: float) -> bool:
        """Tell whether it took too long, or comes too slowly."""
        return now >= self._last() or now >= self._slowest()

    def lost(self) -> None:
        """Give back what has come so far."""
        self._raw = []
        if self._sink is not None:
            self._sink.abort()

    def _last(self) -> float:
        options = self._options
        large = self._large or self._received > MIB
        return self._started + (options.body_timeout_large_s if large else options.body_timeout_s)

    def _slowest(self) -> float:
        """When more must have come than has, at the slowest rate allowed."""
        options = self._options
        return self._started + options.body_grace_s + self._received / options.body_min_rate
