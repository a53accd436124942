"""Measures state charts: sessions started, events, and what an idle session costs.

    python -m bench.scxml                     2,000 sessions, 20,000 events, 10,000 idle
    python -m bench.scxml --sessions 500 --events 5000 --idle 1000

No reactor, no store: interpreters alone, pinned to one core.  An event is a condition, a
script, two state changes and a timer; sessions are started by a chart that runs a script, and
by one whose first state only waits.  Idle sessions sleep, as those of a host do.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gms_twisted.scxml.events import ScxmlEvent
from gms_twisted.scxml.interpreter import Interpreter, Step
from gms_twisted.scxml.loader import load_document
from gms_twisted.scxml.model import Document
from gms_twisted.scxml.settings import Limits

HEAD = '<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"'
DATA = (
    '<datamodel><data id="_ttl" _type="parameter"/><data id="_phone_number" _type="parameter"/>'
    '<data id="reqid"/><data id="count" expr="0"/><data id="group" expr="\'Billing\'"/></datamodel>'
)
WORK = (
    '<state id="a"><onentry><send event="\'timeout\'" delay="\'300s\'" sendid="t"/></onentry>'
    '<transition event="work" cond="_event.data.param.n != \'\'" target="b">'
    "<script>_data.count = _data.count + 1; _data.reqid = _event.sendid;</script></transition>"
    "<onexit><cancel sendid=\"'t'\"/></onexit></state>"
    '<state id="b"><transition target="a"/></state>'
)
WAITS = f"{HEAD}>{DATA}{WORK}</scxml>"
SCRIPTED = (
    f"{HEAD}><script>var retries = 3; function next(n) {{ return n + 1 }}</script>{DATA}"
    '<state id="i"><onentry><script>var begun = next(_data.count)</script></onentry>'
    f'<transition target="a"/></state>{WORK}</scxml>'
)
PARAMETERS = {"_ttl": "3600", "_phone_number": "1-650-555-0100", "_data_id": "d" * 32}


class Bench:
    """Sessions of one chart."""

    def __init__(self, text: str) -> None:
        self.document: Document = load_document(text.encode(), "builtin:bench")
        self._ids = (f"{number:032x}" for number in itertools.count(1))
        # The clock runs ten times as fast as it need, so that timers are no storm.
        self.now = 1_339_280_777.0

    def start(self) -> Interpreter:
        """Start one."""
        session = Interpreter(
            self.document,
            next(self._ids),
            limits=Limits(),
            new_id=self._ids.__next__,
            parameters=PARAMETERS,
            thread_time=time.thread_time,
        )
        session.start(self.now)
        while session.step(self.now) is Step.MORE:
            pass
        session.take_effects()
        return session

    def work(self, session: Interpreter, number: int) -> None:
        """Give it an event."""
        self.now += 0.02
        session.push(ScxmlEvent("work", {"param": {"n": str(number)}}, send_id=f"r{number}"))
        while session.step(self.now) is Step.MORE:
            pass
        session.take_effects()


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def say(what: str, count: int, took: float, unit: str) -> None:
    """Print a figure."""
    print(f"{what}: {count / took:.0f} {unit}/s, {took / count * 1e6:.0f} us each")


def starts(name: str, text: str, count: int) -> None:
    """Start sessions; 200 at a time are kept, as a host keeps that many awake."""
    bench = Bench(text)
    kept: list[Interpreter] = []
    began = time.perf_counter()
    for _ in range(count):
        kept.append(bench.start())
        if len(kept) > 200:
            kept.pop(0).close()
    say(f"sessions started, {name}", count, time.perf_counter() - began, "sessions")


def events(count: int) -> None:
    """Give events to 50 sessions in turn."""
    bench = Bench(SCRIPTED)
    sessions = [bench.start() for _ in range(50)]
    for number, session in enumerate(sessions):
        bench.work(session, number)
    began = time.perf_counter()
    for number in range(count):
        bench.work(sessions[number % 50], number)
    say("events", count, time.perf_counter() - began, "events")
    states = {tuple(session.states()) for session in sessions}
    done = sum(int(str(session.data()["count"])) for session in sessions)
    assert (states, done) == ({("a",)}, count + 50), (states, done)
    began = time.perf_counter()
    for number in range(count // 10):
        session = sessions[number % 50]
        bench.work(session, number)
        assert session.save() is not None
    say("events with a record each", count // 10, time.perf_counter() - began, "events")
    began = time.perf_counter()
    for number in range(count // 20):
        session = sessions[number % 50]
        assert session.sleep()
        bench.work(session, number)
    say("events to sessions that sleep", count // 20, time.perf_counter() - began, "events")


def idle(count: int) -> None:
    """Keep sessions that sleep."""
    bench = Bench(SCRIPTED)
    for number in range(20):
        bench.work(bench.start(), number)
    gc.collect()
    before = resident_mb()
    kept = []
    for number in range(count):
        session = bench.start()
        bench.work(session, number)
        assert session.sleep()
        kept.append(session)
    gc.collect()
    grown = resident_mb() - before
    print(
        f"{count} idle sessions: {grown:.0f} MB above none,"
        f" {grown * 1024 * 1024 / count:.0f} bytes each,"
        f" {len(kept[0].save() or b'')} bytes stored"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--all-cores", action="store_true", help="do not pin to one core")
    chosen = parser.parse_args(arguments)
    if not chosen.all_cores:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    gc.freeze()  # as the server does
    gc.set_threshold(10_000, 50, 100)
    idle(chosen.idle)
    starts("that wait", WAITS, chosen.sessions)
    starts("that run scripts", SCRIPTED, chosen.sessions)
    events(chosen.events)


if __name__ == "__main__":
    main(sys.argv[1:])
