"""Requests that leave: the one gate that every outgoing caller uses, as an interface.

Implemented in ``transports/outgoing.py``.  The gate resolves names itself, judges
every address on its numeric form, and connects to the address that it judged
(hardening N01 to N04).

Knows: shapes.  Does not know: sockets, TLS, who calls whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gms_twisted.domain.errors import InvalidRequest, Unavailable


class TargetRefused(InvalidRequest):
    """The URL may not be asked; the text says why, and which option would allow it."""

    code = "gms.outgoing.target_refused"


class Unreachable(Unavailable):
    """No answer: no address, no connection, TLS, a time-out, a connection lost.

    :ivar reason: ``dns``, ``connect``, ``tls``, ``timeout``, ``lost``; ``protocol``: what
        came is not HTTP/1.1; ``busy``: no connection of ours became free.
    :ivar sent: the request may have been read by the other side.
    """

    code = "gms.outgoing.unreachable"

    def __init__(self, message: str, reason: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    :ivar headers: by lower-case name; the last of several of one name.
    :ivar body: no more than was asked for; ``cut`` tells that there was more.
    :ivar cookies: the values of every ``Set-Cookie``.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    cut: bool = False
    cookies: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time and size of one request.

    :ivar wait_s: for a free connection.  With the rest less than a job's lease
        (``app/retries.py``), or a delivery that is owed would be begun again meanwhile.
    :ivar connect_s: until the connection, TLS included, is there.
    :ivar total_s: until the answer's end, waiting for a free connection aside.
    :ivar body_bytes: of the answer; what is longer is cut and the connection closed.
    """

    connect_s: float = 2.0
    total_s: float = 5.0
    body_bytes: int = 4096
    wait_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Trust:
    """How the other side of TLS is believed.

    :ivar ca_file: more trust anchors than the system's, PEM.
    :ivar trust_all: believe anybody (strongly discouraged by the reference).
    """

    ca_file: str = ""
    trust_all: bool = False


class Gate(Protocol):
    """Sends requests to the outside; redirects are never followed."""

    async def check(self, url: str, *, configured: bool = False) -> None:
        """See whether a URL may be asked now; resolves its name.

        :param configured: the operator wrote it, so any port and private addresses
            (but loopback only under the rule for loopback) are allowed.
        :raises TargetRefused: it may not.
        :raises Unreachable: ``dns``: its name cannot be looked up now.
        """

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        *,
        trust: Trust = Trust(),
        configured: bool = False,
    ) -> Answer:
        """Ask.  Connections are kept and used again, per target and trust.

        A request on a kept connection that dies before any byte of an answer is
        sent once more on a fresh one.

        :raises TargetRefused: as :meth:`check`.
        :raises Unreachable: there is no answer.
        """
