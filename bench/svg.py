"""Two kinds of chart as SVG: lines over a logarithmic axis, and grouped bars.

The pictures have a background of their own, light or dark as the reader's system is, so that
they can be read on any page.

Knows: axes, ticks, legends, colours.  Does not know: what the numbers mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 84, 52
_STYLE = """\
text{font:13px system-ui,sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:600}.small{font-size:12px}.page{fill:#fff;stroke:#d0d7de}
.grid{stroke:#d8dee4}.axis{stroke:#57606a}
.s0{fill:#c2410c;stroke:#c2410c}.s1{fill:#0b62b0;stroke:#0b62b0}
.s2{fill:#5aa9e6;stroke:#5aa9e6}.s3{fill:#1a7f5a;stroke:#1a7f5a}
.s4{fill:#8250df;stroke:#8250df}
.value{font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:3px}
.line{fill:none;stroke-width:2.5}.want{stroke:#57606a;stroke-dasharray:6 4}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#161b22;stroke:#30363d}
.grid{stroke:#2a313a}.axis{stroke:#8b949e}.s0{fill:#fb923c;stroke:#fb923c}
.s1{fill:#58a6ff;stroke:#58a6ff}.s2{fill:#a5d6ff;stroke:#a5d6ff}.s3{fill:#3fb984;stroke:#3fb984}
.want{stroke:#8b949e}.s4{fill:#bc8cff;stroke:#bc8cff}
.value{stroke:#161b22}}"""


@dataclass(frozen=True)
class Labels:
    """The words around a chart."""

    title: str
    across: str
    up: str


Points = Sequence[tuple[float, float]]


_STEPS = (1.0, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


def nice_top(value: float) -> float:
    """The next number that is not below a value and has four round quarters."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in _STEPS if step * power >= value * 0.999))


def number(value: float) -> str:
    """A number as it stands at an axis or a bar."""
    if value >= 1e6:
        return f"{value / 1e6:g}M" if value % 1e5 == 0 else f"{value / 1e6:.2f}M"
    if value >= 10_000:
        return f"{value / 1e3:.0f}k"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> str:
    known = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{known}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _frame(
    labels: Labels, names: Sequence[str], top: float
) -> tuple[list[str], Callable[[float], float]]:
    """Title, legend, and the vertical axis from 0; gives its scale."""
    height = HEIGHT - TOP - BOTTOM

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{escape(labels.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>',
        _text(LEFT - 50, 28, labels.title, "start", "title"),
        _text(LEFT - 50, TOP - 12, labels.up, "start", "small"),
        _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 12, labels.across, kind="small"),
    ]
    at = float(LEFT - 50)
    for index, name in enumerate(names):
        if name:
            parts.append(
                f'<rect class="s{index}" x="{at:.1f}" y="40" width="12" height="12" rx="2"/>'
            )
            parts.append(_text(at + 18, 51, name, "start"))
            at += 36 + 7.2 * len(name)
    for tick in range(5):
        value = top * tick / 4
        parts.append(_line(LEFT, up(value), WIDTH - RIGHT, up(value), "grid" if tick else "axis"))
        parts.append(_text(LEFT - 8, up(value) + 4, number(value), "end", "small"))
    return parts, up


def lines(labels: Labels, series: Mapping[str, Points], wanted: float | None = None) -> str:
    """Lines over a logarithmic horizontal axis.

    :param series: points by name, at most five; an empty series keeps its colour free.
    :param wanted: drawn as a dashed line across.
    """
    points = [point for line in series.values() for point in line]
    places = sorted({x for x, _ in points})
    top = nice_top(max([y for _, y in points] + [wanted or 0.0]))
    parts, up = _frame(labels, [name if line else "" for name, line in series.items()], top)
    low, high = math.log10(places[0]), math.log10(places[-1])
    width = WIDTH - LEFT - RIGHT - 40

    def across(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if high > low else 0.5
        return LEFT + 20 + share * width

    for place in places:
        parts.append(
            _line(across(place), HEIGHT - BOTTOM, across(place), HEIGHT - BOTTOM + 5, "axis")
        )
        parts.append(_text(across(place), HEIGHT - BOTTOM + 20, f"{place:,.0f}", kind="small"))
    if wanted is not None:
        parts.append(_line(LEFT, up(wanted), WIDTH - RIGHT, up(wanted), "want"))
    for index, line in enumerate(series.values()):
        if line:
            path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
            parts.append(f'<polyline class="line s{index}" style="fill:none" points="{path}"/>')
        for x, y in line:
            parts.append(
                f'<circle class="s{index}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5"/>'
            )
    for place in places:
        values = [y for line in series.values() for x, y in line if x == place]
        heights = _apart([up(value) - 8 for value in sorted(values)])
        for value, height in zip(sorted(values), heights, strict=True):
            parts.append(_text(across(place), height, number(value), kind="value"))
    return "\n".join([*parts, "</svg>\n"])


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights from the lowest up, moved up so far that words there do not overlap."""
    placed: list[float] = []
    for height in heights:
        placed.append(min(height, placed[-1] - 13) if placed else height)
    return placed


def bars(
    labels: Labels, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]
) -> str:
    """Grouped bars from 0; ``None`` in a series: there is no bar.

    :param groups: what stands below each; a name may have two lines.
    :param series: for each name, at most five, one value for each group.
    """
    values = [value for line in series.values() for value in line if value is not None]
    top = nice_top(max(values) * 1.05)
    used = [any(value is not None for value in line) for line in series.values()]
    names = [name if there else "" for name, there in zip(series, used, strict=True)]
    parts, up = _frame(labels, names, top)
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    for number_of_group, group in enumerate(groups):
        middle = LEFT + room * (number_of_group + 0.5)
        for row, words in enumerate(group.split("\n")):
            parts.append(_text(middle, HEIGHT - BOTTOM + 18 + 15 * row, words, kind="small"))
        there = [
            (index, value)
            for index, line in enumerate(series.values())
            if (value := line[number_of_group]) is not None
        ]
        width = min(48.0, room * 0.8 / max(1, len(there)))
        start = middle - width * len(there) / 2
        for place, (index, value) in enumerate(there):
            x = start + place * width
            parts.append(
                f'<rect class="s{index}" x="{x + 1.5:.1f}" y="{up(value):.1f}" '
                f'width="{width - 3:.1f}" height="{max(0.0, HEIGHT - BOTTOM - up(value)):.1f}"/>'
            )
            parts.append(_text(x + width / 2, up(value) - 5, number(value), kind="small"))
    return "\n".join([*parts, "</svg>\n"])
