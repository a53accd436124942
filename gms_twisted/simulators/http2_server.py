"""The server's end of HTTP/2, for simulated gateways: requests in, scripted answers out.

Knows: streams, and how a gateway misbehaves on request.  Does not know: what is asked.

RFC: 9113.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    PingReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

_GOAWAY = 7
MAX_BODY_BYTES = 1 << 20


@dataclass
class Exchange:
    """One request, and the way to answer it.

    :ivar number: counts the requests of the connection from 1.
    """

    server: Http2Server = field(repr=False)
    stream_id: int
    number: int
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def waits(self) -> bool:
        """Whether an answer would reach the sender."""
        return self.server.holds(self.stream_id)

    def header(self, name: str) -> str:
        """The value of a header, ``""`` when it is not there."""
        return next((value for key, value in self.headers if key == name), "")

    def names(self, name: str) -> int:
        """How often a header is there."""
        return sum(key == name for key, _ in self.headers)


Handler = Callable[[Exchange], None]


class Http2Server(Protocol):
    """One connection from a sender.

    :param handler: gets each request when it is complete.
    :param most_streams: of the first SETTINGS.
    :ivar count: requests so far.
    :ivar received: bytes so far.
    :ivar deaf: reads nothing more, as behind a cable that was pulled.
    :ivar trusted: a request has succeeded.
    """

    transport: Any

    def __init__(
        self,
        timers: IReactorTime,
        handler: Handler,
        most_streams: int = 100,
        initial_window: int = 65_535,
    ) -> None:
        self._timers = timers
        self._handler = handler
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: most_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: initial_window,
            },
        )
        self._open: dict[int, Exchange] = {}
        self._unsent: dict[int, bytes] = {}
        self._flushing: IDelayedCall | None = None
        self.count = 0
        self.alive = True
        self._last = 2**31 - 1
        self.deaf = False
        self.received = 0
        self.pings = 0
        self.trusted = False

    def connectionMade(self) -> None:
        """Send SETTINGS."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._h2.initiate_connection()
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Collect requests and hand them over."""
        if self.deaf:
            return
        self.received += len(data)
        try:
            events = self._h2.receive_data(data)
            for event in events:
                if isinstance(event, RequestReceived):
                    self._requested(event)
                elif isinstance(event, DataReceived):
                    self._data(event)
                elif isinstance(event, StreamEnded):
                    self._complete(event.stream_id)
                elif isinstance(event, StreamReset):
                    self._open.pop(event.stream_id, None)
                    self._unsent.pop(event.stream_id, None)
                elif isinstance(event, WindowUpdated):
                    self._go_on()
                elif isinstance(event, PingReceived):
                    self.pings += 1
        except ProtocolError:
            self._flush()
            self.transport.loseConnection()
            return
        self._flush_soon()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget everything."""
        self.alive = False
        self._open.clear()
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None

    def _requested(self, event: RequestReceived) -> None:
        self.count += 1
        headers = [(str(name), str(value)) for name, value in event.headers or ()]
        self._open[event.stream_id] = Exchange(self, event.stream_id, self.count, headers)

    def _data(self, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        exchange = self._open.get(event.stream_id)
        if exchange is not None and len(exchange.body) < MAX_BODY_BYTES:
            exchange.body += event.data

    def _complete(self, stream_id: int) -> None:
        exchange = self._open.get(stream_id)
        if exchange is not None and stream_id <= self._last:
            self._handler(exchange)

    # -- answers, and what a gateway does instead --------------------------------------------

    def holds(self, stream_id: int) -> bool:
        """Tell whether a request waits for its answer."""
        return stream_id in self._open

    def answer(
        self, exchange: Exchange, status: int, headers: list[tuple[str, str]], body: bytes = b""
    ) -> None:
        """Answer, unless the sender has gone or has given it up."""
        stream_id = exchange.stream_id
        if self._open.pop(stream_id, None) is None:
            return
        self._h2.send_headers(stream_id, [(":status", str(status)), *headers], end_stream=not body)
        if body:
            self._unsent[stream_id] = body
            self._go_on()
        self._flush_soon()

    def _go_on(self) -> None:
        h2 = self._h2
        for stream_id, body in list(self._unsent.items()):
            while body:
                room = h2.local_flow_control_window(stream_id)
                size = min(len(body), room, h2.max_outbound_frame_size)
                if size <= 0:
                    break
                h2.send_data(stream_id, body[:size], end_stream=size == len(body))
                body = body[size:]
            if body:
                self._unsent[stream_id] = body
            else:
                del self._unsent[stream_id]

    def reset(self, exchange: Exchange, code: int) -> None:
        """End the stream with RST_STREAM; 7 means refused."""
        if self._open.pop(exchange.stream_id, None) is not None:
            self._h2.reset_stream(exchange.stream_id, code)
            self._flush_soon()

    def goaway(self, last: int, code: int = 0, data: bytes = b"") -> None:
        """Take no new streams, and go on with those up to ``last``.

        Written by hand, since the library would close.
        """
        self._flush()
        self._last = min(self._last, last)
        for stream_id in [one for one in self._open if one > last]:
            del self._open[stream_id]
        payload = struct.pack("!LL", last, code) + data
        head = len(payload).to_bytes(3, "big") + bytes((_GOAWAY, 0)) + bytes(4)
        self.transport.write(head + payload)

    def allow_streams(self, most: int) -> None:
        """Change how many streams may be open."""
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: most})
        self._flush_soon()

    def drop(self) -> None:
        """Lose the connection at once."""
        self.transport.abortConnection()

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = self._timers.callLater(0, self._flush)

    def _flush(self) -> None:
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None
        data = self._h2.data_to_send()
        if data:
            self.transport.write(data)
