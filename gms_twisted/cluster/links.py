"""All connections of a node to the others: tell them something, ask them something.

What is told goes to a node that is there, in order, and is lost with the connection: truth is
in the store, and :meth:`Links.on_change` tells that a node must be told anew what it has to know.
What is asked has an answer, a refusal, or nobody is there to give one.

::

    register: links.serve("session", serve)      links.hear("user", take)
    use:      await links.call(run, "session", payload, within_s=10.0)
              links.tell(run, "user", payload)

Knows: runs, calls under way.  Does not know: the wire, what kinds mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from gms_twisted.cluster.link import Link
from gms_twisted.domain.errors import GmsError, NodeAway, carried, carried_error
from gms_twisted.domain.sources import DelayedCall, IdSource, Timers

MAX_CALLS = 100_000
"""Calls to one node under way; more are refused at once."""

TICK_S = 0.5
"""How exactly the time of calls is kept."""

_RETRY_S = 0.5


class Asked:
    """A call of another node.

    :ivar run: who asks.
    :ivar cancelled: called when the answer is wanted no more; set by who handles the call.
    """

    __slots__ = ("_link", "_number", "cancelled", "payload", "run")

    def __init__(self, link: Link, number: int, payload: bytes) -> None:
        self._link = link
        self._number = number
        self.run = link.peer
        self.payload = payload
        self.cancelled: Callable[[], None] | None = None

    def answer(self, payload: bytes) -> None:
        """Answer it; does nothing when nobody waits any more."""
        if self._link.calls.pop(self._number, None) is self and self._link.is_open:
            self._link.answer(self._number, payload)

    def refuse(self, error: GmsError) -> None:
        """Refuse it, with the words of an error."""
        if self._link.calls.pop(self._number, None) is self and self._link.is_open:
            self._link.refuse(self._number, error.code, carried(error))


class _Peer:
    """Another run, as we reach it."""

    def __init__(self, service: ClientService) -> None:
        self.service = service
        self.link: Link | None = None
        self.calls: dict[int, tuple[Deferred[bytes], float]] = {}
        self.numbers = itertools.count()


Handler = Callable[[Asked], None]
Hearer = Callable[[str, bytes], None]


class Links:
    """Connections to other runs, and from them.

    :param secret: the key that all nodes have.
    :param stranger: told when a run connects that is none of those to be connected to.
    """

    log = Logger()

    def __init__(
        self,
        run: str,
        secret: bytes,
        timers: Timers,
        ids: IdSource,
        stranger: Callable[[], None] = lambda: None,
    ) -> None:
        self.run = run
        self._stranger = stranger
        self.secret = secret
        self.timers = timers
        self.ids = ids
        self._came: list[Callable[[str], None]] = []
        self._went: list[Callable[[str], None]] = []
        self._peers: dict[str, _Peer] = {}
        self._incoming: set[Link] = set()
        self._handlers: dict[str, Handler] = {}
        self._hearers: dict[str, Hearer] = {}
        self._tick: DelayedCall | None = None
        self.is_closed = True
        self._waiting: list[Link] = []

    # What others register.

    def serve(self, kind: str, handler: Handler) -> None:
        """Have calls of a kind handled."""
        self._handlers[kind] = handler

    def serve_async(self, kind: str, handler: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        """Have calls of a kind answered with what a coroutine returns.

        :param handler: takes the run and the payload; what it raises as :class:`GmsError` is
            the refusal.
        """

        def handle(asked: Asked) -> None:
            async def answer() -> None:
                try:
                    asked.answer(await handler(asked.run, asked.payload))
                except CancelledError:
                    raise
                except GmsError as error:
                    asked.refuse(error)
                except Exception:  # noqa: BLE001 - whatever it is, the caller must get an answer
                    self.log.failure("A call of {kind} failed", kind=kind)
                    asked.refuse(GmsError("The node failed."))

            work = Deferred.fromCoroutine(answer())
            work.addErrback(lambda failure: failure.trap(CancelledError))
            asked.cancelled = work.cancel

        self.serve(kind, handle)

    def hear(self, kind: str, hearer: Hearer) -> None:
        """Have what is told of a kind; called with the run and the payload."""
        self._hearers[kind] = hearer

    def on_change(self, came: Callable[[str], None], went: Callable[[str], None]) -> None:
        """Be told of runs that must be told everything from now on, and of those that cannot.

        Of those that are there already at once.  A run comes again, without having gone, when
        it has made another connection to us: to itself we were gone.
        """
        self._came.append(came)
        self._went.append(went)
        for run in self.reachable:
            came(run)

    # Which nodes there are.

    def open(self) -> None:
        """Take connections from now on: everybody has registered who hears and serves."""
        self.is_closed = False
        waiting, self._waiting = self._waiting, []
        for link in waiting:
            if link.connected:
                link.take()

    def factory(self) -> Factory[Link]:
        """What answers those who connect to us."""
        factory = Factory.forProtocol(lambda: Link(self))
        factory.noisy = False
        return factory

    def follow(self, runs: Iterable[tuple[str, IStreamClientEndpoint]]) -> None:
        """Be connected to these runs, and to no others."""
        wanted = dict(runs)
        for run in [one for one in self._peers if one not in wanted]:
            self._forget(run)
        for run, endpoint in wanted.items():
            if run not in self._peers:
                self._peers[run] = peer = _Peer(self._service(run, endpoint))
                peer.service.startService()
        if self._tick is None and self._peers:
            self._tick = self.timers.callLater(TICK_S, self._look)

    def _service(self, run: str, endpoint: IStreamClientEndpoint) -> ClientService:
        factory = Factory.forProtocol(lambda: Link(self, run))
        factory.noisy = False
        clock: Any = self.timers
        return ClientService(endpoint, factory, retryPolicy=lambda _: _RETRY_S, clock=clock)

    def _forget(self, run: str) -> None:
        peer = self._peers.pop(run)
        if peer.link is not None:
            peer.link.abort()
        peer.service.stopService()
        self._fail_all(peer)

    async def stop(self) -> None:
        """Close everything."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        services = [peer.service for peer in self._peers.values()]
        for run in list(self._peers):
            self._forget(run)
        for link in list(self._incoming):
            link.abort()
        for service in services:
            await service.stopService()

    @property
    def reachable(self) -> tuple[str, ...]:
        """Runs that can be told and asked something."""
        return tuple(run for run, peer in self._peers.items() if peer.link is not None)

    # Telling and asking.

    def tell(self, run: str, kind: str, payload: bytes) -> bool:
        """Tell one node; returns whether it is there."""
        peer = self._peers.get(run)
        if peer is None or peer.link is None:
            return False
        peer.link.tell(kind.encode("ascii"), payload)
        return True

    def tell_all(self, kind: str, payload: bytes) -> None:
        """Tell all nodes that are there."""
        word = kind.encode("ascii")
        for link in self._links():
            link.tell(word, payload)

    def call(self, run: str, kind: str, payload: bytes, within_s: float) -> Deferred[bytes]:
        """Ask a node; to cancel tells it that no answer is wanted.

        Fails with :class:`gms_twisted.domain.errors.NodeAway`, or with the error that the other
        node refused with.
        """
        peer = self._peers.get(run)
        answer: Deferred[bytes]
        if peer is None or peer.link is None or len(peer.calls) >= MAX_CALLS:
            answer = Deferred()
            answer.errback(Failure(NodeAway("The node in charge cannot be reached.")))
            return answer
        number = next(peer.numbers) & 0xFFFFFFFF
        link = peer.link

        def cancel(_: Deferred[bytes]) -> None:
            if peer.calls.pop(number, None) is not None and link.is_open:
                link.drop(number)

        answer = Deferred(cancel)
        peer.calls[number] = (answer, self.timers.seconds() + within_s)
        link.call(number, kind.encode("ascii"), payload)
        return answer

    def _links(self) -> Iterator[Link]:
        return iter([peer.link for peer in self._peers.values() if peer.link is not None])

    def _look(self) -> None:
        """Give up calls whose time is over."""
        self._tick = self.timers.callLater(TICK_S, self._look) if self._peers else None
        now = self.timers.seconds()
        for peer in list(self._peers.values()):
            late = [number for number, (_, until) in peer.calls.items() if until <= now]
            for number in late:
                found = peer.calls.pop(number, None)
                if found is None:
                    continue
                if peer.link is not None:
                    peer.link.drop(number)
                found[0].errback(Failure(NodeAway("The node in charge did not answer in time.")))

    @staticmethod
    def _fail_all(peer: _Peer) -> None:
        calls, peer.calls = peer.calls, {}
        for answer, _ in calls.values():
            answer.errback(Failure(NodeAway("The node in charge cannot be reached.")))

    # link.Ends.

    def admits(self, link: Link) -> bool:
        """Have a caller wait, while we are closed; anybody but ourselves may call."""
        if self.is_closed:
            self._waiting.append(link)
        return link.peer != self.run

    def opened(self, link: Link) -> None:
        """Know a connection."""
        if not link.is_caller:
            self._incoming.add(link)
            if link.peer not in self._peers:
                self._stranger()
            elif self._peers[link.peer].link is not None:
                # It lost its connection to us, and forgot what we had told it over ours.
                self._tell_came(link.peer)
            return
        peer = self._peers.get(link.peer)
        if peer is None:
            link.abort()
            return
        peer.link = link
        self._tell_came(link.peer)

    def _tell_came(self, run: str) -> None:
        for came in self._came:
            came(run)

    def closed(self, link: Link) -> None:
        """Forget a connection: its calls have no answer any more."""
        if not link.is_caller:
            self._incoming.discard(link)
            calls, link.calls = link.calls, {}
            for asked in calls.values():
                if asked.cancelled is not None:
                    asked.cancelled()
            return
        peer = self._peers.get(link.peer)
        if peer is not None and peer.link is link:
            peer.link = None
            self._fail_all(peer)
        for went in self._went:
            went(link.peer)

    def heard(self, link: Link, kind: str, payload: bytes) -> None:
        """Hand on what is told."""
        hearer = self._hearers.get(kind)
        if hearer is None:
            return
        try:
            hearer(link.peer, payload)
        except Exception:  # noqa: BLE001 - one bad message is no reason to lose the others
            self.log.failure("Failed when told {kind}", kind=kind)

    def asked(self, link: Link, number: int, kind: str, payload: bytes) -> None:
        """Hand on a call."""
        asked = link.calls[number] = Asked(link, number, payload)
        handler = self._handlers.get(kind)
        if handler is None:
            asked.refuse(NodeAway("The node knows no such call."))
            return
        try:
            handler(asked)
        except Exception:  # noqa: BLE001 - whatever it is, the caller must get an answer
            self.log.failure("A call of {kind} failed", kind=kind)
            asked.refuse(GmsError("The node failed."))

    def dropped(self, link: Link, number: int) -> None:
        """Stop a call."""
        asked = link.calls.pop(number, None)
        if asked is not None and asked.cancelled is not None:
            asked.cancelled()

    def answered(self, link: Link, number: int, payload: bytes) -> None:
        """Hand an answer to who asked."""
        found = self._found(link, number)
        if found is not None:
            found.callback(payload)

    def refused(self, link: Link, number: int, code: str, text: str) -> None:
        """Hand a refusal to who asked."""
        found = self._found(link, number)
        if found is not None:
            found.errback(Failure(carried_error(code, text)))

    def _found(self, link: Link, number: int) -> Deferred[bytes] | None:
        peer = self._peers.get(link.peer)
        found = None if peer is None else peer.calls.pop(number, None)
        return None if found is None else found[0]
