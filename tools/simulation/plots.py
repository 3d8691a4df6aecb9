"""The figures, as SVG and PNG, in the colours of Okabe and Ito, which the colour-blind tell apart; marks differ too."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tools.simulation.arms import ARMS
from tools.simulation.results import Results, Row
from tools.simulation.run import PARTS
from tools.simulation.statistics import Estimate, rounded

COLOURS = {
    "simplex": "#000000", "naive": "#D55E00", "best": "#E69F00", "capped": "#CC79A7", "bridge": "#56B4E9",
    "full": "#0072B2",
}  # fmt: skip
MARKERS = {"simplex": "x", "naive": "^", "best": "s", "capped": "D", "bridge": "v", "full": "o"}
PART_COLOURS = ("#999999", "#D55E00", "#F0E442", "#56B4E9", "#009E73", "#0072B2")
PART_TITLES = ("IOSQ", "pend: closed", "pend: other", "disconnect: disks", "connect", "disconnect: mirror")
HATCHES = ("", "//", "", "..", "", "xx")
SIZE = (7.2, 4.4)
TITLES = {
    "response": "A. Response time against pairs being established",
    "split": "B. What the response time is made of",
    "exposure": "C. Until the pairs are duplex",
    "distance": "D. Gain over best practice, by distance and handshakes",
    "tornado": "E. Gain, with each assumed parameter halved and doubled",
    "ablation": "F. What each part of the invention gains",
}


def draw_all(results: Results, folder: Path) -> dict[str, Path]:
    """Write every figure into `folder`; where the SVG of each is, by title."""
    return {TITLES[name]: _save(draw(results), folder, name) for name, draw in FIGURES.items()}


def _save(figure: Figure, folder: Path, name: str) -> Path:
    """The same results give the same bytes."""
    path = folder / f"{name}.svg"
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})  # type: ignore[no-untyped-call]
    FigureCanvasAgg(figure).print_png(folder / f"{name}.png")  # type: ignore[no-untyped-call]
    return path


def _figure(columns: int = 1, width: float = 1.0) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(SIZE[0] * width, SIZE[1]), layout="constrained", dpi=120)
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _response(results: Results) -> Figure:
    """Mean, p95, p99; bands are 95 % confidence intervals; hollow markers are lower bounds."""
    figure, panels = _figure(3, 2.0)
    measures: list[tuple[str, Callable[[Row], Estimate]]] = [
        ("mean", lambda row: row.mean), ("95th percentile", lambda row: row.p95),
        ("99th percentile", lambda row: row.p99),
    ]  # fmt: skip
    for axes, (title, measure) in zip(panels, measures, strict=True):
        for arm in ARMS:
            rows = [results.row(arm, pairs) for pairs in results.pairs]
            means = np.array([measure(row).mean for row in rows])
            halves = np.array([measure(row).half for row in rows])
            colour, marker = COLOURS[arm.key], MARKERS[arm.key]
            axes.plot(results.pairs, means, color=colour, label=arm.title, linewidth=1.6)
            axes.fill_between(results.pairs, means - halves, means + halves, color=colour, alpha=0.25, linewidth=0)
            for row, mean in zip(rows, means, strict=True):
                face = "white" if row.saturated else colour
                pairs = row.pairs if arm.mirrors else results.pairs[0]
                axes.plot(pairs, mean, marker=marker, color=colour, markerfacecolor=face, markersize=5)
        axes.set(xscale="log", yscale="log", title=title, xlabel="pairs being established", ylabel="ms")
        axes.set_xticks(results.pairs, [str(pairs) for pairs in results.pairs])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(f"{TITLES['response']} (hollow: saturated, a lower bound)")
    return figure


def _split(results: Results) -> Figure:
    """Stacked parts at a few, some, and the most pairs; a saturated arm is left out, for it would hide the others."""
    numbers = [pairs for pairs in results.pairs if pairs in (1, 8, 64, 1024)] or [results.most]
    figure, panels = _figure(len(numbers), 2.0)
    for axes, pairs in zip(panels, numbers, strict=True):
        rows = [(arm, results.row(arm, pairs)) for arm in ARMS]
        shown = [(arm, row) for arm, row in rows if not row.saturated and row.mean.mean < 100]
        bottom = np.zeros(len(shown))
        for part, title, colour, hatch in zip(PARTS, PART_TITLES, PART_COLOURS, HATCHES, strict=True):
            heights = np.array([row.parts[part] for _, row in shown])
            names = [arm.key for arm, _ in shown]
            axes.bar(names, heights, bottom=bottom, label=title, color=colour, hatch=hatch, edgecolor="white")
            bottom += heights
        left_out = ", ".join(arm.key for arm, _ in rows if arm not in [one for one, _ in shown])
        axes.set(title=f"{pairs} pairs" + (f" (without {left_out})" if left_out else ""), ylabel="ms")
        axes.tick_params(axis="x", labelsize=8)
    panels[0].legend(fontsize=8)
    figure.suptitle(TITLES["split"])
    return figure


def _exposure(results: Results) -> Figure:
    """Until all and until half are duplex; what is not protected meanwhile."""
    figure, (until, meanwhile) = _figure(2, 1.6)
    found = results.exposures(results.most)
    names, place = list(found), np.arange(len(found))
    for offset, title, colour, hatch, heights in (
        (-0.27, "all duplex", "#0072B2", "", [one.all_duplex_h for one in found.values()]),
        (0.0, "half duplex", "#56B4E9", "//", [one.half_duplex_h for one in found.values()]),
        (0.27, "last volume begins", "#D55E00", "..", [one.last_begins_h for one in found.values()]),
    ):
        until.bar(place + offset, heights, 0.25, label=title, color=colour, hatch=hatch, edgecolor="white")
    until.set(title=f"hours, {results.most} pairs", ylabel="hours")
    until.set_xticks(place, names)
    until.legend(fontsize=8)
    volume_hours = [one.volume_hours / 1e3 for one in found.values()]
    meanwhile.bar(place, volume_hours, 0.5, color="#009E73")
    for x, one in enumerate(found.values()):
        meanwhile.text(x, one.volume_hours / 1e3, f"{rounded(one.terabyte_hours)} TB·h", ha="center", va="bottom")
    meanwhile.set(title="exposure: volumes not yet duplex", ylabel="thousand volume hours")
    meanwhile.set_xticks(place, names)
    figure.suptitle(TITLES["exposure"])
    return figure


def _distance(results: Results) -> Figure:
    """A map with its numbers written in."""
    plan = results.experiment.plan
    figure, (axes,) = _figure()
    gains = {(distance, handshakes): gain.mean for distance, handshakes, gain in results.gain_map()}
    grid = np.array([[gains[distance, count] for distance in plan.distances] for count in plan.handshakes])
    average = float(np.log(grid).mean())
    image = axes.imshow(np.log(grid), cmap="cividis", aspect="auto", origin="lower")
    for row, column in np.ndindex(grid.shape):
        gain = float(grid[row, column])
        colour = "black" if log(gain) > average else "white"
        axes.text(column, row, f"×{rounded(gain)}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(plan.distances)), [f"{distance:g}" for distance in plan.distances])
    axes.set_yticks(range(len(plan.handshakes)), [str(count) for count in plan.handshakes])
    axes.set(xlabel="km", ylabel="handshakes of a remote write", title=f"{TITLES['distance']}, {results.most} pairs")
    figure.colorbar(image, ax=axes, label="gain, logarithm")
    return figure


def _tornado(results: Results) -> Figure:
    """The widest at the top."""
    figure, (axes,) = _figure(width=1.2)
    swings = [swing for swing in results.tornado() if swing.width > 0][:16][::-1]
    middle = results.middle().mean
    for place, swing in enumerate(swings):
        for end, colour, hatch in ((swing.low, "#E69F00", "//"), (swing.high, "#0072B2", "")):
            axes.barh(place, end.mean - middle, left=middle, color=colour, hatch=hatch, edgecolor="white", height=0.7)
    axes.axvline(middle, color="black", linewidth=1)
    axes.set_yticks(range(len(swings)), [swing.name for swing in swings], fontsize=8)
    axes.set(xlabel="best practice / invention (orange, hatched: halved; blue: doubled)",
             title=f"{TITLES['tornado']}, {results.most} pairs")  # fmt: skip
    return figure


def _ablation(results: Results) -> Figure:
    """Shares of the gain: by each part alone, and lost without it."""
    shares = results.ablation()
    points = list(dict.fromkeys((share.pattern, share.pairs) for share in shares))
    figure, panels = _figure(len(points), 2.0)
    for axes, point in zip(panels, points, strict=True):
        here = [share for share in shares if (share.pattern, share.pairs) == point]
        place = np.arange(len(here))
        added, removed = [share.added_share for share in here], [share.removed_share for share in here]
        axes.bar(place - 0.2, added, 0.38, label="added to best practice", color="#56B4E9", hatch="//",
                 edgecolor="white")  # fmt: skip
        axes.bar(place + 0.2, removed, 0.38, label="lost without it", color="#0072B2")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(place, [share.part.replace(" ", "\n") for share in here], fontsize=7)
        axes.set_title(f"{point[0]}, {point[1]} pairs", fontsize=9)
    panels[0].set_ylabel("share of the gain")
    panels[0].legend(fontsize=7)
    figure.suptitle(TITLES["ablation"])
    return figure


FIGURES: dict[str, Callable[[Results], Figure]] = {
    "response": _response, "split": _split, "exposure": _exposure, "distance": _distance, "tornado": _tornado,
    "ablation": _ablation,
}  # fmt: skip
