"""What `trackbridge top` shows of one look at a system, and of the difference to the look before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]
PAIRS_SHOWN = 40
QUEUE_SHOWN = 12
STYLES = {"Full Duplex": "green", "Target Full Duplex": "green", "Copy Pending": "yellow",
          "Target Copy Pending": "yellow"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: rows of `listing`, when it was taken (monotonic seconds, and UTC as text), of which system."""

    seconds: float
    at: str
    system: str
    pairs: Sequence[Row]
    bridges: Sequence[Row]
    queue: Sequence[int]
    paths: Sequence[Row]

    def rates(self, before: Sample | None) -> dict[int, float]:
        """Tracks a second that each pair got nearer, by pair id, since the look before; host writes count against."""
        if before is None or self.seconds <= before.seconds:
            return {}
        then = {row["pair"]: row["out_of_sync_tracks"] for row in before.pairs}
        took = self.seconds - before.seconds
        return {
            row["pair"]: (then[row["pair"]] - row["out_of_sync_tracks"]) / took
            for row in self.pairs
            if row["pair"] in then
        }

    def plain(self, before: Sample | None) -> dict[str, Any]:
        """As JSON has it."""
        rates = self.rates(before)
        return {
            "at": self.at,
            "system": self.system,
            "pairs": [{**row, "tracks_per_s": round(rates.get(row["pair"], 0.0), 1)} for row in self.pairs],
            "bridges": list(self.bridges),
            "queue": list(self.queue),
            "paths": list(self.paths),
        }


def panel(target: str, sample: Sample | None, before: Sample | None, problem: str) -> RenderableType:
    """One system."""
    if sample is None:
        return Panel(Text(problem, style="red" if problem != "connecting" else ""), title=target, title_align="left")
    title = f"{target}  {sample.system}  {sample.at[11:19]}"
    parts = [_summary(sample, before), _pairs(sample, before), _bridges(sample), _paths(sample)]
    return Panel(Group(*(part for part in parts if part is not None)), title=title, title_align="left")


def _summary(sample: Sample, before: Sample | None) -> Text:
    counts: dict[str, int] = {}
    for row in sample.pairs:
        counts[row["state_name"]] = counts.get(row["state_name"], 0) + 1
    states = ", ".join(f"{count:,} {name.lower()}" for name, count in sorted(counts.items())) or "no pairs"
    left = sum(row["out_of_sync_tracks"] for row in sample.pairs)
    rate = sum(rate for rate in sample.rates(before).values() if rate > 0)
    return Text(f"{states}; {left:,} tracks to copy; {rate:,.0f} tracks/s; {len(sample.queue):,} waiting")


def _pairs(sample: Sample, before: Sample | None) -> Table | None:
    """Those that are not duplex first, and the ones nearest to a bridge before the others."""
    if not sample.pairs:
        return None
    table = Table(expand=True, box=None)
    for column in ("pair", "state", "in step", "to copy", "tracks/s", "left"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", ratio=1)
    rates = sample.rates(before)
    ordered = sorted(sample.pairs, key=lambda row: (row["why"] is None, row["queue_position"], row["id"]))
    for row in ordered[:PAIRS_SHOWN]:
        rate = rates.get(row["pair"], 0.0)
        to_copy = row["out_of_sync_tracks"]
        table.add_row(
            row["id"],
            Text(row["state_name"], style=STYLES.get(row["state_name"], "red")),
            f"{row['percent_in_sync']} %",
            f"{to_copy:,}" if to_copy else "",
            f"{rate:,.0f}" if rate > 0 else "",
            _clock(to_copy / rate) if rate > 0 and to_copy else "",
            _why(row),
        )
    if len(ordered) > PAIRS_SHOWN:
        table.add_row("", f"and {len(ordered) - PAIRS_SHOWN:,} more")
    return table


def _why(row: Row) -> str:
    """What a pair waits for; what all that are queued have in common in short."""
    if row["why"] is None:
        return ""
    text = str(row["why"]["text"])
    if not row["queue_position"]:
        return text
    rest = "" if row["why"]["code"] == "waiting-turn" else text[text.find(";") :]
    return f"queued, {row['queue_position']}{rest}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _bridges(sample: Sample) -> RenderableType | None:
    if not sample.bridges:
        return None
    table = Table("bridge", "state", "pair", "tracks left", "sent", "acknowledged", box=None)
    for row in sample.bridges:
        busy = f"{row['source']}:{row['target']}" if row["pair"] else ""
        left = "" if row["tracks_left"] is None else f"{row['tracks_left']:,}"
        sent = max(0, row["next_sequence"] - 1)
        table.add_row(str(row["bridge"]), row["state"], busy, left, f"{sent:,}", f"{row['acknowledged_sequence']:,}")
    if not sample.queue:
        return table
    names = {row["pair"]: row["id"] for row in sample.pairs}
    shown = ", ".join(str(names.get(pair, pair)) for pair in sample.queue[:QUEUE_SHOWN])
    more = f" and {len(sample.queue) - QUEUE_SHOWN:,} more" if len(sample.queue) > QUEUE_SHOWN else ""
    return Group(table, Text(f"queue, next first: {shown}{more}"))


def _paths(sample: Sample) -> Text | None:
    if not sample.paths:
        return None
    good = [row["port"] for row in sample.paths if row["state"] == "Success"]
    bad = [f"{row['port']} {row['state']}" for row in sample.paths if row["state"] != "Success"]
    frozen = "; frozen" if any(row["frozen"] for row in sample.paths) else ""
    text = f"paths: {len(good)} of {len(sample.paths)} work{frozen}"
    return Text(text + (f"; {', '.join(bad)}" if bad else ""), style="red" if bad or frozen else "")
