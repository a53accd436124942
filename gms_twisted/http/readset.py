"""Connections that wait to be read, in an epoll set of their own.

The reactor calls each descriptor through a logging context, which costs 3 us an event,
more than to find out what a request is.  Here all connections of a listener are one
descriptor of the reactor's; those that can be read are asked for in one go, and called
as they are.  Measured with 1,000 clients that come back at once: a connect is read,
judged and held in 10.2 us instead of 13.7.

It is also what keeps reading from having a turn for itself when many clients come back
at once: at most :data:`AT_ONCE` connections are read before timers and deliveries get
their turn.

Since it knows whether others are still to be read, it also says when short answers leave
(``direct.py``, *corked*): after the last of them, or after :data:`TOGETHER_S`.  Else only
reading is done here.  Waiting until more can be written, which is rare under ``direct.py``,
is the reactor's, and so is everything that happens when a connection ends.

Spec: performance, rule 2.  Knows: epoll, what the stock reactor does with a connection
that has ended.  Does not know: what is read.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

AT_ONCE = 128
"""About 1.5 ms of connects: so long do deliveries that are under way wait for each chunk."""


TOGETHER_S = 0.002
"""Longest time for which answers wait for others, to leave in one go."""


class Member(Protocol):
    """What a set needs of a connection."""

    def fileno(self) -> int:
        """Its descriptor; -1 when it has none any more."""

    def doRead(self) -> BaseException | None:
        """Read once; returns why the connection is to end."""

    def uncork(self) -> None:
        """Send what waits for others to be read."""

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer sends no more."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection ends."""


@implementer(IReadDescriptor)
class ReadSet:
    """Connections to read, as one descriptor of a reactor's.

    :param reactor: any that :func:`fits`.
    :ivar at_once: most connections that are read in one turn of the reactor.
    :ivar together_s: longest time for which answers wait for others, to leave in one go.
    :ivar corked: connections whose answers wait; ``None`` while none is read.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self.at_once = AT_ONCE
        self.together_s = TOGETHER_S
        self.corked: list[Member] | None = None
        self._reactor = reactor
        self._poll = select.epoll()
        self._members: dict[int, Member] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> None:
        """Read a connection whenever there is something."""
        fd = member.fileno()
        if fd not in self._members:
            self._poll.register(fd, select.EPOLLIN)
            if not self._members:
                self._reactor.addReader(self)
            self._members[fd] = member

    def remove(self, member: Member) -> None:
        """Read it no more; nothing happens when it is not here."""
        fd = member.fileno()
        if self._members.get(fd) is member:
            del self._members[fd]
            self._poll.unregister(fd)
            if not self._members:
                self._reactor.removeReader(self)

    # -- what a reactor calls --

    def fileno(self) -> int:
        """The set's own descriptor."""
        return self._poll.fileno()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "http"

    def doRead(self) -> None:
        """Read those that can be read; some wait for the next turn when they are many."""
        members, seconds = self._members, self._reactor.seconds
        corked = self.corked = []
        end = 0.0
        try:
            for fd, _ in self._poll.poll(0, self.at_once):
                member = members.get(fd)
                if member is None:
                    continue  # It went while others were read.
                try:
                    why = member.doRead()
                except BaseException as error:  # noqa: BLE001  # it ends this one only
                    self.log.failure("Unhandled while a connection was read")
                    why = error
                if why is not None:
                    self._end(member, why)
                if corked:
                    now = seconds()
                    if not end:
                        end = now + self.together_s
                    elif now >= end:
                        self._uncork(corked)
                        end = 0.0
        finally:
            self.corked = None
            self._uncork(corked)

    def _uncork(self, corked: list[Member]) -> None:
        """Have all of it sent that waits."""
        waiting = corked[:]
        corked.clear()
        for member in waiting:
            try:
                member.uncork()
            except BaseException as error:  # noqa: BLE001  # likewise
                self.log.failure("Unhandled while a connection was written to")
                self._end(member, error)

    def _end(self, member: Member, why: BaseException) -> None:
        """End a connection as the reactors do; whatever fails, the others go on."""
        self.remove(member)
        try:
            member.uncork()
            if isinstance(why, ConnectionDone):
                member.readConnectionLost(Failure(why))
            else:
                self._reactor.removeWriter(member)
                member.connectionLost(Failure(why))
        except BaseException:  # noqa: BLE001  # likewise
            self.log.failure("Unhandled while a connection ended")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends: so does every connection."""
        for member in list(self._members.values()):
            self.remove(member)
            try:
                member.connectionLost(reason)
            except Exception:  # noqa: BLE001  # the others are to end all the same
                self.log.failure("Unhandled while a connection ended")


def fits(reactor: object) -> bool:
    """Tell whether a reactor can have a set: Linux, and any reactor with descriptors."""
    return hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)
