"""What one operation costs among many: subscribe, publish, match, an event to one user.

    python -m bench.growth                       100 to 50,000 channels
    python -m bench.growth 100 10000 --write     these; writes the table into RESULTS.md

For each number a process of its own has as many channels, each with one subscriber, half as
many patterns with one subscriber, and as many users with a session each; sessions have 500
subscriptions.  The core runs in process, without sockets: decoded messages in, and out to a
carrier that takes everything.  Best of five looks.  Operations concern the same hundred over and
over; two columns more are for all of them in turn, which shows what a machine pays for memory
that is in none of its caches.

Knows: the core and its host.  Does not know: transports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from time import process_time

from bench import report
from gms_twisted.bayeux.codec import Message
from gms_twisted.bayeux.exchange import Exchange
from gms_twisted.bayeux.session import Caller, Session
from gms_twisted.bayeux.settings import Settings
from gms_twisted.domain.ids import GmsUser
from tests.support.bayeux import World

COUNTS = (100, 1000, 10_000, 50_000)
EACH = 500
"""Subscriptions of a session."""
LOOKS, OPERATIONS = 5, 1000
FEW = 100
COLUMNS = {
    "subscribe": "subscribe and unsubscribe",
    "publish": "publish to one subscriber",
    "match": "match a new channel name",
    "event": "event to one user",
    "publish_all": "publish, all in turn",
    "event_all": "event, all in turn",
}
DRAWN = ("subscribe", "publish", "match", "event")


class Taker:
    """A carrier that takes everything at once: a websocket without a socket."""

    name = "websocket"
    pushes = True
    deliver_only = False

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def settings(self) -> Settings:
        """What its sessions live by."""
        return self._world.server.settings

    def answer(self, held: object, fragments: list[bytes], reply: bytes) -> None:
        """Take an answered connect."""

    def push(self, session: Session) -> None:
        """Take what waits."""
        self._world.server.outbox.take(session, [])

    def displace(self, held: object) -> None:
        """Take note of a displaced connect."""

    def finished(self, exchange: Exchange) -> None:
        """Take a processed payload."""

    def failed(self, exchange: Exchange) -> None:
        """Never happens."""
        raise AssertionError("a payload failed")

    def is_writing(self, session: Session) -> bool:
        """Tell that nothing is on its way."""
        return False

    def ended(self, session: Session, overflow: bool) -> None:
        """Take note that a session is over."""


class Bench:
    """A server with so many channels, patterns and users."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.world = World(
            max_sessions=200_000, max_sessions_per_address=200_000, max_subscriptions=10 * EACH
        )
        self.server = self.world.server
        self.carrier = Taker(self.world)
        self._ids = count()
        sessions = [self.session("") for _ in range(max(1, number // EACH))]
        for place in range(number):
            session = sessions[place % len(sessions)]
            self.subscribe(session, f"/room/n{place % 97}/c{place}")
            if place % 2:
                self.subscribe(session, f"/wide/w{place}/*")
        self.publisher = sessions[0]
        for place in range(number):
            self.subscribe(self.session(f"user{place}"), "/_genesys")
        self.server.outbox.flush()

    def say(self, session: Session | None, message: Message, user: str = "") -> Exchange:
        """One message of a client through the core."""
        if session is not None:
            message["clientId"] = session.client_id
        caller = Caller("192.0.2.1", GmsUser(user) if user else None)
        if session is not None and session.user is not None:
            caller.user = session.user
        exchange = self.server.begin([message], caller, self.carrier, None, session)
        exchange.run()
        assert b'"successful":false' not in b"".join(exchange.replies), exchange.replies
        return exchange

    def session(self, user: str) -> Session:
        """A new client."""
        hello: Message = {"channel": "/meta/handshake", "version": "1.0", "id": "1"}
        hello["supportedConnectionTypes"] = ["websocket"]
        made = self.say(None, hello, user).session
        assert made is not None, "the handshake is accepted"
        made.carrier = self.carrier
        return made

    def subscribe(self, session: Session, channel: str) -> None:
        """Subscribe."""
        self.say(session, {"channel": "/meta/subscribe", "subscription": channel, "id": "2"})

    def few(self) -> int:
        """One of the same hundred."""
        return next(self._ids) % FEW * (self.number // FEW)

    def any(self) -> int:
        """Each in turn, no two neighbours after each other."""
        return next(self._ids) * 7919 % self.number

    def subscribe_and_not(self, place: int) -> None:
        """Subscribe to a channel that nobody has yet, and unsubscribe."""
        name = f"/more/c{place}"
        self.subscribe(self.publisher, name)
        self.say(self.publisher, {"channel": "/meta/unsubscribe", "subscription": name, "id": "3"})

    def publish(self, place: int) -> None:
        """Publish to one subscriber, who gets it."""
        channel = f"/room/n{place % 97}/c{place}"
        self.say(self.publisher, {"channel": channel, "data": {"n": place}, "id": "4"})
        self.server.outbox.flush()

    def match(self, place: int) -> None:
        """Find whom a name concerns that was never seen before."""
        name = self.server.names.parse(f"/wide/w{place}/n{next(self._ids)}")
        assert name is not None, "the name is valid"
        self.server.channels.concerned(name)

    def event(self, place: int) -> None:
        """An event for one user, who gets it."""
        queued = self.world.comet.deliver(GmsUser(f"user{place}"), "bench", {"n": place})
        assert queued == 1, "the user is there"
        self.server.outbox.flush()


def best_us(operation: Callable[[int], None], place: Callable[[], int]) -> float:
    """The CPU time of an operation, in microseconds, the best of some looks."""
    looks = []
    for _ in range(LOOKS):
        began = process_time()
        for _ in range(OPERATIONS):
            operation(place())
        looks.append((process_time() - began) / OPERATIONS * 1e6)
    return min(looks)


def measure(number: int) -> Mapping[str, float]:
    """All operations among so many."""
    bench = Bench(number)
    return {
        "channels": number,
        "subscribe": best_us(bench.subscribe_and_not, bench.few),
        "publish": best_us(bench.publish, bench.few),
        "match": best_us(bench.match, bench.few),
        "event": best_us(bench.event, bench.few),
        "publish_all": best_us(bench.publish, bench.any),
        "event_all": best_us(bench.event, bench.any),
    }


def table(rows: Sequence[Mapping[str, float]]) -> str:
    """What was measured, and how the most compare to the fewest."""
    text = [
        f"| channels and users | {' | '.join(COLUMNS.values())} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for row in rows:
        cells = [f"{row[name]:.1f} us" for name in COLUMNS]
        text.append(f"| {row['channels']:,.0f} | {' | '.join(cells)} |")
    ratios = [f"{rows[-1][name] / rows[0][name]:.2f}" for name in COLUMNS]
    text.append(f"| the most beside the fewest | {' | '.join(ratios)} |")
    return "\n".join(text)


def main(arguments: Sequence[str]) -> int:
    """Measure each number in a process of its own; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth")
    parser.add_argument("counts", nargs="*", type=int, help="how many (100 to 50,000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved, the best counts (3)")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the picture")
    parser.add_argument("--one", type=int, help="for itself: one number, as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.one:
        print(json.dumps(measure(chosen.one)))
        return 0
    best: dict[int, dict[str, float]] = {}
    for _ in range(chosen.rounds):
        for number in chosen.counts or COUNTS:
            command = [sys.executable, "-m", "bench.growth", "--one", str(number)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            for name, value in json.loads(done.stdout).items():
                known = best.setdefault(number, {})
                known[name] = min(value, known.get(name, value))
    rows = list(best.values())
    print(table(rows))
    if chosen.write:
        named = [
            {"channels": row["channels"], **{name: row[name] for name in DRAWN}} for row in rows
        ]
        report.write_growth(named, table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
