"""Writes what raw lines say: a part of ``RESULTS.md`` and the pictures.

Knows: files of raw lines, where results stand.  Does not know: how to measure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import plots
from bench.results import Results, generator_table, replaced, table, target_table
from bench.servers import FOLDER
from bench.works import Work

PAGE = FOLDER / "RESULTS.md"
MATRIX, GROWTH = "matrix", "growth"


def read(files: Sequence[Path]) -> tuple[dict[str, object], list[dict[str, object]]]:
    """What runs say of themselves, their rounds added up, and all their lines."""
    about: dict[str, object] = {}
    rounds = 0
    records = []
    for file in files:
        for text in file.read_text().splitlines():
            line = json.loads(text)
            if "about" in line:
                rounds += line["rounds"]
                about.update(line, rounds=rounds)
            else:
                records.append(line)
    return about, records


def write(works: Sequence[Work], files: Sequence[Path], page: Path = PAGE) -> None:
    """Put table, targets and pictures of some runs into the page."""
    about, records = read(files)
    results = Results(works, records)
    pictures = plots.save(plots.drawn(results), page.parent / plots.PLOTS.name)
    text = "\n\n".join(
        part
        for part in [
            _head(about, results),
            table(results),
            memory(results),
            "Targets:",
            target_table(results),
            "Cores used while measuring, by the server and by the generator:",
            generator_table(results),
            *pictures,
        ]
        if part
    )
    page.write_text(replaced(page.read_text(), MATRIX, text))
    print(f"bench: {page} and {len(pictures)} pictures beside it written")


IDLE = (("idle", 5000), ("idle-10000", 10_000))


def memory(results: Results) -> str:
    """What one more idle client costs: the slope between two numbers of them."""
    said = []
    for transport, name in (("lp", "long-polling"), ("ws", "websocket")):
        grown = [
            (count, results.median(f"{transport}-{key}", "ours", "rss_kb")) for key, count in IDLE
        ]
        (few, small), (many, large) = grown
        if small is not None and large is not None:
            slope = (many * large - few * small) / (many - few)
            said.append(f"{name} {slope:.2f} KB for each client between {few:,} and {many:,}")
    return f"Memory of ours grows linearly: {'; '.join(said)}." if said else ""


def _head(about: Mapping[str, object], results: Results) -> str:
    versions = about.get("about")
    said = ", ".join(f"{name} {text}" for name, text in versions.items()) if isinstance(
        versions, dict
    ) else ""  # fmt: skip
    return (
        f"Written by `bin/bench` from its raw lines; interleaved rounds: {about.get('rounds')}, of "
        f"{about.get('seconds')} s, medians. On: {said}. Errors that clients saw: "
        f"{results.errors()}; delivered to expected messages, the worst of all lines: "
        f"{results.worst_ratio():.4f}; the most that the generator used: "
        f"{results.busiest_generator():.2f} of its core."
    )


def write_growth(rows: Sequence[Mapping[str, float]], text: str, page: Path = PAGE) -> None:
    """Put the costs among many channels into the page."""
    pictures = plots.save(plots.growth(rows), page.parent / plots.PLOTS.name)
    page.write_text(replaced(page.read_text(), GROWTH, "\n\n".join([text, *pictures])))
