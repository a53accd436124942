"""Medians, ratios, targets: what the raw lines of a run say, as Markdown.

Knows: rows, figures, tables, the part of a page between two marks.
Does not know: how anything was measured, plots.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.servers import BEFORE, NODES, SERVERS
from bench.works import Work

Record = Mapping[str, object]
"""A line of the generator with ``work`` (the row's key), ``server`` and ``round``.

Where ``beside`` names another row, it was measured in turns with that one, to be compared.
"""

JETTY = "jetty"
MISSING = "-"


class Results:
    """The lines of one run.

    :param works: the rows, in order.
    """

    def __init__(self, works: Sequence[Work], records: Iterable[Record]) -> None:
        self.works = works
        self._lines: dict[tuple[str, str], list[Record]] = {}
        self._beside: dict[str, list[Record]] = {}
        for record in records:
            if "beside" in record:
                self._beside.setdefault(str(record["beside"]), []).append(record)
                continue
            key = str(record["work"]), str(record["server"])
            self._lines.setdefault(key, []).append(record)

    def median(self, key: str, server: str, figure: str) -> float | None:
        """The median of a figure over all rounds; ``None``: not measured."""
        return _median(self._lines.get((key, server), ()), figure)

    def base(self, work: Work) -> float | None:
        """Our figure of the row that a row is compared to, measured in turns with it."""
        return _median(self._beside.get(work.key, ()), work.figure)

    def figure(self, work: Work, server: str) -> float | None:
        """The figure of a row that counts."""
        return self.median(work.key, server, work.figure)

    def ratio(self, work: Work, peers: Sequence[str]) -> float | None:
        """Our figure beside that of the best of some peers; ``None``: one is missing."""
        ours = self.figure(work, "ours")
        others = [value for name in peers if (value := self.figure(work, name)) is not None]
        if ours is None or not others:
            return None
        best = max(others) if work.rate else min(others)
        return ours / best if best else None

    def measured(self, work: Work) -> bool:
        """Tell whether any server has the row."""
        return any(self.figure(work, name) is not None for name in SERVERS)

    def worst_ratio(self) -> float:
        """The delivered share of what should have been that is farthest from 1."""
        ratios = [float(str(one["ratio"])) for lines in self._lines.values() for one in lines]
        return max(ratios, key=lambda ratio: abs(1 - ratio), default=1.0)

    def errors(self) -> int:
        """Errors that clients saw, in all lines."""
        return sum(int(str(one["errors"])) for lines in self._lines.values() for one in lines)

    def busiest_generator(self) -> float:
        """The most cores that the generator used in any line."""
        cores = (one["generator_cores"] for lines in self._lines.values() for one in lines)
        return max((float(str(value)) for value in cores), default=0.0)


@dataclass(frozen=True)
class Verdict:
    """One target beside what was measured.

    :ivar beside: what the bound is a ratio to.
    """

    work: Work
    beside: str
    measured: float
    wanted: float

    @property
    def met(self) -> bool:
        """Tell whether it is reached."""
        if self.work.rate:
            return self.measured >= self.wanted
        return self.measured <= self.wanted

    def __str__(self) -> str:
        sign = ">=" if self.work.rate else "<="
        missed = (
            self.wanted / self.measured - 1 if self.work.rate else self.measured / self.wanted - 1
        )
        verdict = "yes" if self.met else f"no, by {100 * missed:.0f} %"
        return (
            f"| {self.work.title} | {self.beside} | {shown(self.measured)} "
            f"| {sign} {shown(self.wanted)} | {verdict} |"
        )


def verdicts(results: Results) -> Iterator[Verdict]:
    """Every target for which there are figures."""
    for work in results.works:
        wanted = work.target
        for beside, peers, bound in (
            ("the better of the peers on Node", NODES, wanted.node),
            ("CometD on Jetty", (JETTY,), wanted.jetty),
        ):
            ratio = results.ratio(work, peers)
            if bound is not None and ratio is not None:
                yield Verdict(work, beside, ratio, bound)
        ours = results.figure(work, "ours")
        if ours is None:
            continue
        if wanted.value is not None:
            yield Verdict(work, work.unit, ours, wanted.value)
        if wanted.row is not None:
            other, bound = wanted.row
            base = results.base(work)
            if base:
                yield Verdict(work, f"ours: {other.title}", ours / base, bound)


def _median(lines: Iterable[Record], figure: str) -> float | None:
    values = [float(str(line[figure])) for line in lines if figure in line]
    return statistics.median(values) if values else None


def shown(value: float | None) -> str:
    """A figure with as many digits as mean something."""
    if value is None:
        return MISSING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def beside() -> list[tuple[str, tuple[str, ...]]]:
    """What our figures are compared to: a heading and the servers of which the best counts."""
    found: list[tuple[str, tuple[str, ...]]] = [("best on Node", NODES), ("Jetty", (JETTY,))]
    return [*found, (BEFORE, (BEFORE,))] if BEFORE in SERVERS else found


def table(results: Results) -> str:
    """All rows that were measured."""
    titles = [server.title for server in SERVERS.values()]
    titles += [f"ours / {name}" for name, _ in beside()]
    text = [
        "| work | unit | " + " | ".join(titles) + " |",
        "|---" * (len(titles) + 2) + "|",
    ]
    rows = (row(results, work) for work in results.works if results.measured(work))
    return "\n".join([*text, *rows])


def row(results: Results, work: Work) -> str:
    """One row of the table."""
    cells = [shown(results.figure(work, name)) for name in SERVERS]
    ratios = [shown(results.ratio(work, peers)) for _, peers in beside()]
    return f"| {work.title} | {work.unit} | " + " | ".join(cells + ratios) + " |"


def target_table(results: Results) -> str:
    """All targets for which there are figures."""
    lines = ["| work | beside | ratio or figure | wanted | met |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(str(one) for one in verdicts(results))])


def generator_table(results: Results) -> str:
    """What the generator used beside the servers, so that it is seen not to be the limit."""
    titles = [server.title for server in SERVERS.values()]
    text = [
        "| work | " + " | ".join(f"{title}: server, generator" for title in titles) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for work in results.works:
        cells = []
        for name in SERVERS:
            cores = [
                results.median(work.key, name, figure)
                for figure in ("cpu_cores", "generator_cores")
            ]
            cells.append(MISSING if None in cores else ", ".join(shown(core) for core in cores))
        if results.measured(work) and work.figure not in ("rss_kb", "ramp_per_cpu_s"):
            text.append(f"| {work.title} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def replaced(page: str, name: str, text: str) -> str:
    """Put text between the marks of a part; at the end of the page when there are none."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    part = f"{begin}\n{text}\n{end}"
    if begin in page and end in page:
        pattern = re.escape(begin) + r".*?" + re.escape(end)
        return re.sub(pattern, lambda _: part, page, count=1, flags=re.DOTALL)
    return f"{page.rstrip()}\n\n{part}\n"
