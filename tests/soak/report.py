"""What a run comes to, in words.

Knows: histories, faults, violations.  Does not know: how they came about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.soak.check_streams import Violation, missed, overtaken
from tests.soak.faults import Done
from tests.soak.history import Operation, Outcome

SHOWN = 40
"""Most violations that are shown."""


def gaps(
    faults: Sequence[Done], operations: Iterable[Operation], end: float
) -> dict[str, list[float]]:
    """The longest time without a confirmed write of the probe, around each fault, by kind.

    A fault's time is from its begin to two seconds after all was well, or to the end.
    """
    times = sorted(one.end for one in operations if one.done and one.workload == "probe")
    found: dict[str, list[float]] = {}
    for fault in faults:
        until = fault.well + 2 if fault.well else end
        inside = [fault.begin, *(at for at in times if fault.begin < at < until), until]
        longest = max(after - before for before, after in pairwise(inside))
        found.setdefault(fault.kind, []).append(longest)
    return found


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which so much of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def report(
    operations: Sequence[Operation],
    faults: Sequence[Done],
    violations: Sequence[Violation],
    ends: Iterable[str],
    end: float,
    lost: Sequence[Violation] = (),
) -> str:
    """All of it.

    :param lost: what Redis itself has lost.
    """
    lines = [f"{len(faults)} faults, {len(operations)} operations in {end:.0f} s", ""]
    lines += [*_faults(faults, operations, end), "", *_operations(operations), ""]
    for why, times in Counter(ends).most_common():
        lines.append(f"{times:4} times a node ended itself: {why}")
    lines.append(f"{missed(operations):4} events lost between two of a session (no violation)")
    late = f"{overtaken(operations):4} events overtaken by one of another node (no violation)"
    lines += [late, ""]
    if lost:
        lines.append(f"{len(lost)} promises lost by a fail-over (no violation)")
        for rule, times in Counter(f"{one.workload}: {one.rule}" for one in lost).most_common():
            lines.append(f"{times:4} {rule}")
        lines.append("")
    lines.append(f"{len(violations)} violations")
    for rule, times in Counter(f"{one.workload}: {one.rule}" for one in violations).most_common():
        lines.append(f"{times:4} {rule}")
    for one in violations[:SHOWN]:
        lines.append(
            f"  at {one.at:7.1f} s  {one.workload}: {one.rule}: {one.key} {one.text[:160]}"
        )
    return "\n".join(lines)


def _faults(faults: Sequence[Done], operations: Iterable[Operation], end: float) -> Iterable[str]:
    yield f"{'fault':28} {'times':>6} {'no write':>9} {'p95':>7} {'well after':>15}"
    found = gaps(faults, operations, end)
    every = [gap for some in found.values() for gap in some]
    for kind, some in sorted(found.items()):
        well = [one.well - one.begin for one in faults if one.kind == kind and one.well]
        yield (
            f"{kind:28} {len(some):6} {max(some):7.2f} s {percentile(some, 0.95):5.2f} s "
            f"{percentile(well, 0.95):13.1f} s"
        )
    longest = max(every, default=0.0)
    yield f"{'all':28} {len(every):6} {longest:7.2f} s {percentile(every, 0.95):5.2f} s"


def _operations(operations: Iterable[Operation]) -> Iterable[str]:
    counted: Counter[tuple[str, Outcome]] = Counter()
    why: dict[str, Counter[str]] = {}
    for one in operations:
        name = f"{one.workload} {one.action}"
        counted[name, one.outcome] += 1
        if not one.done or "error" in one.got:
            word = str(one.got.get("error", f"{one.status or ''} {one.why}".strip()))
            why.setdefault(name, Counter())[word] += 1
    yield f"{'operation':22} {'done':>7} {'refused':>8} {'unknown':>8}  why not"
    for name in sorted({name for name, _ in counted}):
        words = ", ".join(f"{word} {n}" for word, n in why.get(name, Counter()).most_common(5))
        done, refused, unknown = (counted[name, one] for one in Outcome)
        yield f"{name:22} {done:7} {refused:8} {unknown:8}  {words}".rstrip()
