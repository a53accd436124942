"""The rows of the matrix: what is measured, in which unit, and what is wanted.

Knows: rows and targets.  Does not know: how a measurement is made, how results look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.load import Load, options
from bench.servers import BEFORE, Server

LP, WS, MIX = "lp", "ws", "mix"
_NAMES = {LP: "long-polling", WS: "websocket"}


@dataclass(frozen=True)
class Target:
    """What is wanted of ours: bounds for the ratio to another figure of the same run.

    For figures that are costs the ratio must not be above the bound, for rates not below.

    :ivar node: the ratio to the better peer on Node.
    :ivar jetty: the ratio to CometD on Jetty.
    :ivar value: our own figure.
    :ivar row: the ratio to our figure in another row, which is measured in turns with it.
    """

    node: float | None = None
    jetty: float | None = None
    value: float | None = None
    row: tuple[Work, float] | None = None


@dataclass(frozen=True)
class Work:
    """One row of the table.

    :ivar key: names it on the command line.
    :ivar figure: the name in the generator's line that counts.
    :ivar rate: more is better.
    :ivar warm: warm up under the same load before; else only the load's own settling.
    :ivar ours_only: no peer has it.
    """

    key: str
    title: str
    load: Load
    figure: str = "cpu_us"
    unit: str = "us CPU per message"
    rate: bool = False
    warm: bool = True
    ours_only: bool = False
    target: Target = Target()

    @property
    def base(self) -> Work | None:
        """The row of ours that it is compared to."""
        return self.target.row[0] if self.target.row else None

    def fits(self, server: Server) -> bool:
        """Tell whether a server can do it."""
        if self.ours_only and server.name not in ("ours", BEFORE):
            return False
        if self.load.ack and not server.ack:
            return False
        return server.websocket or self.load.transport == LP


def _broadcast(transport: str, count: int, seconds: float) -> Work:
    targets = {LP: Target(node=1 / 3, jetty=0.5), WS: Target(node=0.6, jetty=0.7)}
    return Work(
        f"{transport}-{count}",
        f"{_NAMES[transport]}, {count:,} clients, one publish outstanding",
        Load(transport, options(n=count, w=1, s=3, d=seconds)),
        target=targets[transport] if transport == WS or count > 100 else Target(),
    )


def _broadcasts(seconds: float) -> Iterable[Work]:
    for transport in _NAMES:
        for count in (100, 1000, 5000):
            yield _broadcast(transport, count, seconds)
    for transport, name in _NAMES.items():
        for count in (100, 1000, 5000):
            yield Work(
                f"{transport}-{count}-w4",
                f"{name}, {count:,} clients, four outstanding",
                Load(transport, options(n=count, w=4, s=3, d=seconds)),
                figure="per_cpu_s",
                unit="deliveries per CPU second",
                rate=True,
                target=Target(node=5.0, jetty=3.0)
                if (transport, count) == (WS, 1000)
                else Target(),
            )


def _others(seconds: float) -> Iterable[Work]:
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-rate",
            f"{name}, 1,000 clients, 20,000 deliveries/s",
            Load(transport, options(n=1000, r=20, s=3, d=seconds)),
            figure="p99_ms",
            unit="ms p99",
            target=Target(node=0.25, jetty=1.0, value=20.0) if transport == LP else Target(),
        )
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-upstream",
            f"{name}, 100 clients publish and await the reply",
            Load(transport, ("-U", *options(n=100, s=3, d=seconds))),
            unit="us CPU per request",
            target=Target(node=0.5),
        )
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-idle",
            f"{name}, 5,000 clients, idle",
            Load(transport, ("-i", *options(n=5000, s=3, d=1))),
            figure="rss_kb",
            unit="KB RSS per client",
            warm=False,
            target=Target(node=0.2, value=3.0) if transport == LP else Target(),
        )
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-ramp",
            f"{name}, 5,000 clients shake hands, subscribe, connect",
            Load(transport, ("-i", *options(n=5000, s=0, d=0))),
            figure="ramp_per_cpu_s",
            unit="clients per CPU second",
            rate=True,
            target=Target(node=3.0),
        )


def _extras(seconds: float) -> Iterable[Work]:
    plain = options(n=1000, w=1, s=3, d=seconds)
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-ack",
            f"{name}, 1,000 clients with acknowledgements, one outstanding",
            Load(transport, plain, ack=True),
            # By Bayeux a session with acknowledgements gets messages with connect replies only:
            # on a websocket each delivery then needs a request more, at every server.
            target=Target(row=(_broadcast(LP, 1000, seconds), 1.15))
            if transport == LP
            else Target(jetty=0.7),
        )
    yield Work(
        "mix-ack",
        "half long-polling, half websocket, 1,000 clients with acknowledgements, one outstanding",
        Load(MIX, plain, ack=True),
        target=Target(jetty=0.7),
    )
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-tls",
            f"{name}, 1,000 clients by TLS, one outstanding",
            Load(transport, plain, tls=True),
            target=Target(node=1.0),
        )
    for transport, name in _NAMES.items():
        for count in (10, 10_000):
            yield Work(
                f"{transport}-one-{count}",
                f"{name}, one receiver among {count:,} clients",
                Load(transport, options(n=count, C=count, w=4, s=3, d=seconds)),
            )
    few, many = (_events(count, seconds) for count in (10, 10_000))
    yield few
    yield replace(many, target=Target(row=(few, 1.3)))


def _events(count: int, seconds: float) -> Work:
    return Work(
        f"event-{count}",
        f"event to one user among {count:,}, from the Notification API to /_genesys",
        Load(WS, ("-e", *options(n=count, w=4, s=3, d=seconds))),
        ours_only=True,
    )


def _growth(seconds: float) -> Iterable[Work]:
    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-10000",
            f"{name}, 10,000 clients, one publish outstanding",
            Load(transport, options(n=10_000, w=1, s=3, d=seconds)),
            ours_only=True,
        )
        yield Work(
            f"{transport}-idle-10000",
            f"{name}, 10,000 clients, idle",
            Load(transport, ("-i", *options(n=10_000, s=3, d=1))),
            figure="rss_kb",
            unit="KB RSS per client",
            warm=False,
            ours_only=True,
        )

    for transport, name in _NAMES.items():
        yield Work(
            f"{transport}-more",
            f"{name}, 1,000 clients with 50 more subscriptions each, one outstanding",
            Load(transport, options(n=1000, m=50, w=1, s=3, d=seconds)),
            ours_only=True,
            target=Target(row=(_broadcast(transport, 1000, seconds), 1.1)),
        )


def works(seconds: float) -> list[Work]:
    """All rows, each measured for some seconds."""
    return [
        *_broadcasts(seconds),
        *_others(seconds),
        *_extras(seconds),
        *_growth(seconds),
    ]
