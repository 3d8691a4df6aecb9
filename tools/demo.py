"""`trackbridge demo`: two storage systems, a bridge, a real recorded trace; mirrored and verified.

What runs is the product: two `trackbridge serve` processes on loopback, driven by the host emulator over ESCON frames.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.table import Table

from host_emulator.channel import InterfaceControlCheck
from tools.bad_input import BadInput, first_of
from tools.demo_session import Bars, DemoSession
from tools.demo_sites import Plan, start_site, write_config
from tools.demo_verify import Verdict, compare_stores
from tools.recording import Recording, RecordingError, load_recording

RECORDING = Path(__file__).parent.parent / "traces" / "linux-cdl-2107"


@dataclass(slots=True)
class DemoFigures:
    """What the demonstration ends with. Bytes: `bytes_raw` uncompressed track bytes that crossed the bridge,
    `bytes_wire` frame bytes on the links between the systems, both directions."""

    programs_replayed: int = 0
    programs_differing: int = 0
    differences: int = 0
    explained: int = 0
    tracks_copied: int = 0
    updates_in_duplex: int = 0
    bytes_raw: int = 0
    bytes_wire: int = 0
    pairs_duplex: int = 0
    tracks_compared: int = 0
    tracks_different: int = 0
    trace_tracks_different: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.differences or self.tracks_different or self.trace_tracks_different or not self.pairs_duplex)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--keep", type=click.Path(path_type=Path), help="Leave stores, configurations and logs here.")
def demo(as_json: bool, keep: Path | None) -> None:
    """Mirror a real Linux volume between two storage systems over a bridge, while it is in use, and verify every track.

    Exit status 1 when anything differs that no listed rule explains.
    """
    console = Console(stderr=True)
    try:
        recording = load_recording(RECORDING)
        with _folder(keep) as folder:
            figures = trio.run(_run, recording, folder, console)
    except* RecordingError as group:
        raise BadInput(str(first_of(group))) from group
    except* (RuntimeError, OSError, InterfaceControlCheck, trio.TooSlowError) as group:
        console.print(f"[red]demo failed:[/red] {str(first_of(group)) or 'it took too long'}")
        sys.exit(1)
    click.echo(json.dumps(asdict(figures))) if as_json else Console().print(_table(figures))
    sys.exit(1 if figures.failed else 0)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A fresh folder: removed at the end unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="trackbridge-") as name:
            yield Path(name)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput(f"--keep {keep}: not an empty folder")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


async def _run(recording: Recording, folder: Path, console: Console) -> DemoFigures:
    started = time.perf_counter()
    plan = Plan(next(iter(recording.devices.values())))
    figures = DemoFigures()
    config_b = write_config(folder, "B", plan, None)
    with start_site(folder, config_b) as site_b:
        config_a = write_config(folder, "A", plan, {said: str(where) for said, where in site_b.listening.items()})
        with start_site(folder, config_a) as site_a, Bars(console) as bars:
            console.print(f"systems A and B run as processes {site_a.process.pid} and {site_b.process.pid}")
            async with DemoSession.open(site_a, site_b, plan, recording, bars) as session:
                await session.fill_volumes()
                await session.set_up_bridge()
                replayed = await session.mirror_and_replay()
                figures.updates_in_duplex = await session.write_in_duplex()
                figures.pairs_duplex = await session.pairs_duplex()
            followed = replayed.followed
            figures.programs_replayed, figures.programs_differing = followed.programs, followed.programs_differing
            figures.differences, figures.explained = len(followed.differences), len(followed.explained)
            _take_statistics(figures, await site_a.stop())
            await site_b.stop()
            console.print(_steps(list(site_a.events()), list(site_b.events())))
            verdict = compare_stores(plan, site_a.store, site_b.store, recording, bars)
    _take_verdict(figures, verdict)
    for difference in replayed.followed.differences[:20]:
        console.print(f"difference: {difference}")
    figures.seconds = round(time.perf_counter() - started, 2)
    return figures


def _take_statistics(figures: DemoFigures, closing: dict[str, Any]) -> None:
    figures.tracks_copied = closing["tracks_copied"]
    figures.bytes_raw, figures.bytes_wire = closing["bytes_raw"], closing["bytes_wire"]


def _take_verdict(figures: DemoFigures, verdict: Verdict) -> None:
    figures.tracks_compared, figures.tracks_different = verdict.compared, len(verdict.different)
    figures.trace_tracks_different = verdict.trace_different


def _steps(*logs: list[dict[str, Any]]) -> str:
    """One line: how often each step of the figures stands in the event logs."""
    counts: dict[int, int] = {}
    for log in logs:
        for event in log:
            if "step" in event:
                counts[event["step"]] = counts.get(event["step"], 0) + 1
    return "steps in the event logs: " + ", ".join(f"{step} ({count})" for step, count in sorted(counts.items()))


def _table(figures: DemoFigures) -> Table:
    table = Table(title="Trackbridge demonstration", show_header=False)
    saved = figures.bytes_raw / figures.bytes_wire if figures.bytes_wire else 0
    for name, value in (
        ("channel programs replayed / differing", f"{figures.programs_replayed:,} / {figures.programs_differing:,}"),
        ("differences unexplained / explained by rule", f"{figures.differences:,} / {figures.explained:,}"),
        ("tracks copied by the bridge", f"{figures.tracks_copied:,}"),
        ("host updates mirrored while duplex", f"{figures.updates_in_duplex:,}"),
        ("bytes raw / on the wire", f"{figures.bytes_raw:,} / {figures.bytes_wire:,} ({saved:.1f} : 1)"),
        ("pairs duplex", f"{figures.pairs_duplex:,}"),
        ("tracks compared / different", f"{figures.tracks_compared:,} / {figures.tracks_different:,}"),
        ("tracks unlike the recording's end", f"{figures.trace_tracks_different:,}"),
        ("seconds", f"{figures.seconds:.1f}"),
    ):
        table.add_row(name, value)
    return table
