"""Which pictures the raw lines make.

Knows: rows by their keys, charts.  Does not know: how charts are drawn, how to measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.results import Results
from bench.servers import SERVERS
from bench.svg import Labels, Points, bars, lines

PLOTS = Path(__file__).resolve().parent / "plots"
COUNTS = (100, 1000, 5000, 10_000)
_NAMES = {"lp": "long-polling", "ws": "websocket"}


def drawn(results: Results) -> Iterator[tuple[str, str, str]]:
    """Every picture for which there are figures: file name, what it shows, SVG."""
    for transport, name in _NAMES.items():
        labels = Labels(
            f"Broadcast, {name}, one publish outstanding", "clients", "us server CPU per message"
        )
        yield from _over_counts(f"broadcast-{transport}", labels, results, transport, "cpu_us", "")
    for transport, name in _NAMES.items():
        labels = Labels(
            f"Broadcast, {name}, four publishes outstanding", "clients", "deliveries per CPU second"
        )
        keys = [(f"{count:,}", f"{transport}-{count}-w4") for count in COUNTS[:3]]
        yield from _grouped(f"saturated-{transport}", labels, results, keys, "per_cpu_s")
    both = [(name, transport) for transport, name in _NAMES.items()]
    for key, title, up, figure in (
        ("rate", "p99 at 20,000 deliveries/s, 1,000 clients", "ms", "p99_ms"),
        ("upstream", "Publish and await the reply", "us server CPU per request", "cpu_us"),
        ("idle", "Memory, 5,000 idle clients", "KB RSS per client", "rss_kb"),
        ("ramp", "Handshake, subscribe, connect", "clients per CPU second", "ramp_per_cpu_s"),
    ):
        keys = [(name, f"{transport}-{key}") for name, transport in both]
        yield from _grouped(key, Labels(title, "", up), results, keys, figure)
    keys = [
        (f"{name}\n{words}", f"{transport}-{key}")
        for name, transport in both
        for words, key in (("plain", "1000"), ("acknowledged", "ack"), ("TLS", "tls"))
    ]
    labels = Labels("1,000 clients, one publish outstanding", "", "us server CPU per message")
    yield from _grouped("extras", labels, results, keys, "cpu_us")


def _over_counts(
    file: str, labels: Labels, results: Results, transport: str, figure: str, end: str
) -> Iterator[tuple[str, str, str]]:
    series: dict[str, Points] = {}
    for name, server in SERVERS.items():
        found = ((n, results.median(f"{transport}-{n}{end}", name, figure)) for n in COUNTS)
        series[server.title] = [(n, value) for n, value in found if value is not None]
    if any(series.values()):
        yield file, labels.title, lines(labels, series)


def _grouped(
    file: str, labels: Labels, results: Results, keys: Iterable[tuple[str, str]], figure: str
) -> Iterator[tuple[str, str, str]]:
    there = [
        (title, key)
        for title, key in keys
        if any(results.median(key, name, figure) is not None for name in SERVERS)
    ]
    if there:
        series = {
            server.title: [results.median(key, name, figure) for _, key in there]
            for name, server in SERVERS.items()
        }
        yield file, labels.title, bars(labels, [title for title, _ in there], series)


def growth(rows: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, str, str]]:
    """The picture of what a growing number of channels costs."""
    if rows:
        labels = Labels(
            "What one operation costs among many channels",
            "channels, each with a subscriber",
            "us in process",
        )
        names = [name for name in rows[0] if name != "channels"]
        series = {name: [(row["channels"], row[name]) for row in rows] for name in names}
        yield "growth", labels.title, lines(labels, series)


def save(pictures: Iterable[tuple[str, str, str]], folder: Path = PLOTS) -> list[str]:
    """Write pictures; returns a line of Markdown for each."""
    folder.mkdir(exist_ok=True)
    shown = []
    for file, title, svg in pictures:
        (folder / f"{file}.svg").write_text(svg)
        shown.append(f"![{title}]({folder.name}/{file}.svg)")
    return shown
