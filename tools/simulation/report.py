"""Writes the results: CSV, JSON, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tools.simulation.arms import ARMS, BY_KEY
from tools.simulation.hosts import PATTERN_BY_KEY
from tools.simulation.parameters import Described
from tools.simulation.reading import reading
from tools.simulation.results import Results, Row
from tools.simulation.run import PARTS
from tools.simulation.statistics import Estimate, rounded

PAGE, TABLE, FIGURES_FILE = "report.html", "points.csv", "results.json"
TITLE = "Response time while pairs are established"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } img { max-width: 100% } caption { text-align: left }
"""
Cells = Sequence[Sequence[str]]


def write_report(results: Results, described: Iterable[Described], folder: Path) -> dict[str, object]:
    """Write everything into `folder`; the figures as one JSON-ready object."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(_csv(results.rows()))
    found = figures(results)
    (folder / FIGURES_FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")
    from tools.simulation.plots import draw_all  # matplotlib is slow to load, and only needed now

    images = draw_all(results, folder)
    (folder / PAGE).write_text(_page(results, described, images), encoding="utf-8")
    return found


# Figures


def figures(results: Results) -> dict[str, object]:
    """Everything that the page says, for machines."""
    return {
        "runs": len(results.outcomes),
        "processor_s": round(results.processor_s, 1),
        "pairs": results.pairs,
        "response_ms": [_figures_of(row) for row in results.rows() if row.pattern == "uniform" and not row.values],
        "patterns": [_figures_of(row) for row in results.rows() if row.pattern != "uniform"],
        "knee": {arm.key: results.knee(arm) for arm in ARMS if arm.mirrors},
        "flatness": [asdict(one) for one in results.flatness()],
        "gain": asdict(results.gain()),
        "gain_map": [
            {"km": distance, "handshakes": count, **asdict(gain)} for distance, count, gain in results.gain_map()
        ],
        "tornado": [asdict(swing) for swing in results.tornado()],
        "ablation": [asdict(share) for share in results.ablation()],
        "exposure": {
            str(pairs): {arm: asdict(one) for arm, one in results.exposures(pairs).items()} for pairs in results.pairs
        },
        "price": [_figures_of(row) for row in results.price()],
        "reading": reading(results),
    }


def _figures_of(row: Row) -> dict[str, object]:
    return asdict(row) | {"values": dict(row.values)}


def _csv(rows: Iterable[Row]) -> Iterable[Sequence[object]]:
    estimates = ("mean", "p95", "p99", "write_mean", "copied_per_s")
    yield (
        "arm", "pairs", "pattern", "values", "seeds",
        *(f"{name}{end}" for name in estimates for end in ("", "_ci95")),
        *PARTS, "served", "saturated", "read_miss", "link_busy", "active_max",
    )  # fmt: skip
    for row in rows:
        values = " ".join(f"{name}={value:g}" for name, value in row.values)
        pairs = [getattr(row, name) for name in estimates]
        yield (
            row.arm, row.pairs, row.pattern, values, row.seeds,
            *(f"{number:.6g}" for one in pairs for number in (one.mean, one.half)),
            *(f"{row.parts[part]:.6g}" for part in PARTS),
            f"{row.served:.4f}", int(row.saturated), f"{row.read_miss:.4f}", f"{row.link_busy:.4f}", row.active_max,
        )  # fmt: skip


# Tables


def main_table(results: Results) -> Cells:
    """Mean response time with its confidence interval: a row for each number of pairs, a column for each arm."""
    rows = [["pairs", *(arm.title for arm in ARMS)]]
    for pairs in results.pairs:
        rows.append([f"{pairs:,}", *(_cell(results.row(arm, pairs), results.row(arm, pairs).mean) for arm in ARMS)])
    last = [results.row(arm, results.most) for arm in ARMS]
    rows.append([f"p95 at {results.most:,}", *(_cell(row, row.p95) for row in last)])
    rows.append([f"p99 at {results.most:,}", *(_cell(row, row.p99) for row in last)])
    rows.append([f"writes at {results.most:,}", *(_cell(row, row.write_mean) for row in last)])
    rows.append([f"tracks/s at {results.most:,}", *(rounded(row.copied_per_s.mean) for row in last)])
    return rows


def _cell(row: Row, value: Estimate) -> str:
    return f"> {rounded(value.mean)}" if row.saturated else str(value)


def exposure_table(results: Results) -> Cells:
    """Until duplex, and what is not protected meanwhile."""
    rows = [["", "first duplex h", "half duplex h", "all duplex h", "last begins h", "volume hours", "TB·h"]]
    for arm, one in results.exposures(results.most).items():
        hours = (one.first_duplex_h, one.half_duplex_h, one.all_duplex_h, one.last_begins_h)
        rows.append([
            BY_KEY[arm].title, *map(rounded, hours), rounded(one.volume_hours), rounded(one.terabyte_hours),
        ])  # fmt: skip
    return rows


def ablation_table(results: Results) -> Cells:
    """Each part at each point."""
    rows = [[
        "pattern, pairs", "part", "added to best practice: gains ms", "share", "tracks/s",
        "invention without it: loses ms", "share", "tracks/s",
    ]]  # fmt: skip
    for one in results.ablation():
        rows.append([
            f"{one.pattern}, {one.pairs}", one.part, rounded(one.added_ms), f"{one.added_share:.0%}",
            rounded(one.added_rate), rounded(one.removed_ms), f"{one.removed_share:.0%}", rounded(one.removed_rate),
        ])  # fmt: skip
    return rows


def pattern_table(results: Results) -> Cells:
    """The other patterns, mean response time."""
    rows = [["pattern", "pairs", *(arm.title for arm in ARMS)]]
    for pattern in results.experiment.plan.patterns:
        for pairs in results.experiment.within(results.experiment.plan.pattern_pairs):
            found = [results.row(arm, pairs, pattern) for arm in ARMS]
            rows.append([PATTERN_BY_KEY[pattern.key].title, str(pairs), *(_cell(row, row.mean) for row in found)])
    return rows


def flatness_table(results: Results) -> Cells:
    """The invention over its value at a few pairs, three ways."""
    rows = [["pairs", "as it is", "without the mirrored part", "without what mirroring costs alone"]]
    for one in results.flatness():
        numbers = (one.as_it_is, one.without_mirroring, one.without_mirroring_alone)
        rows.append([f"{one.pairs:,}", *(f"{number:.3f}" for number in numbers)])
    return rows


# The page


def _page(results: Results, described: Iterable[Described], images: dict[str, Path]) -> str:
    parts = [f"<h1>{TITLE}</h1>", *(f"<p>{html.escape(text)}</p>" for text in reading(results))]
    tables = (
        ("Mean response time, ms, ± half of the 95 % confidence interval; > : saturated, a lower bound",
         main_table(results)),
        ("The invention over its own value at few pairs", flatness_table(results)),
        (f"Until {results.most:,} pairs are duplex", exposure_table(results)),
        ("Which part of the invention gains what, of mean response time", ablation_table(results)),
        ("Other hosts, mean response time, ms", pattern_table(results)),
    )  # fmt: skip
    for caption, path in images.items():
        encoded = base64.b64encode(path.read_bytes()).decode()
        title = html.escape(caption)
        parts.append(f'<h2>{title}</h2><img alt="{title}" src="data:image/svg+xml;base64,{encoded}">')
    parts.append("<h2>Tables</h2>")
    parts += [_table(caption, cells) for caption, cells in tables]
    parameters = [["parameter", "value", "unit", "source"]]
    for one in described:
        value = results.experiment.parameters.value(one.name)
        parameters.append([one.name, f"{value:g}", one.unit, one.source])
    parts.append(_table("Parameters", parameters))
    parts.append(f"<p>{len(results.outcomes):,} runs, {rounded(results.processor_s)} processor seconds.</p>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _table(caption: str, cells: Cells) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in cells[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells[1:])
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"
