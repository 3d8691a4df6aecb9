"""`trackbridge bench`: the measurements behind the published figures: replaying, the frame path, shared devices.

What one of them needs is imported when it is made: the others, and `--help`, do not wait for it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tools.bad_input import BadInput, first_of
from tools.bench_established import established

STAGES = ("bulk", "status", "shaped", "writes", "hosts")


@click.group()
def bench() -> None:
    """Measure. Run it on an idle machine; the load it finds is part of the answer."""


bench.add_command(established)


@bench.command()
@click.argument("recordings", nargs=-1, type=click.Path(path_type=Path))
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 1000), help="Replays of each recording.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(recordings: tuple[Path, ...], runs: int, as_json: bool) -> None:
    """Replay RECORDINGS in process, all that come along by default, and say how many commands a second that is."""
    from tools import bench_replay
    from tools.recording import RecordingError, load_recording
    from traces import recording_folder

    folders = recordings or tuple(sorted(path.parent for path in recording_folder(".").glob("*/recording.toml")))
    try:
        found = [bench_replay.measure(load_recording(folder), runs) for folder in folders]
    except (RecordingError, RuntimeError) as error:
        raise BadInput(str(error)) from error
    if not found:
        raise BadInput("no recordings")
    rows = [figures.figures() for figures in found] + [bench_replay.together(found)]
    if as_json:
        click.echo(json.dumps({"load": _load(), "runs": runs, "replay": rows}, indent=2))
        return
    click.echo(f"{'recording':<28}{'commands':>10}{'best/s':>10}{'median/s':>10}{'per cpu-s':>11}")
    for row in rows:
        click.echo(
            f"{row['recording']:<28}{row['commands']:>10,}{row['best_per_s']:>10,}{row['median_per_s']:>10,}"
            f"{row['best_per_processor_s']:>11,}"
        )
    click.echo(f"load of the machine {_load():.2f}, {os.cpu_count()} processors")


@bench.command()
@click.option("--links", default=8, show_default=True, type=click.IntRange(1, 64), help="Links, each with a volume.")
@click.option(
    "--records", default=(1, 12), show_default=True, multiple=True, type=click.IntRange(1, 12),
    help="Records read by one channel program. Repeatable.",
)  # fmt: skip
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(0.1, 600), help="Length of a round.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def frames(links: int, records: tuple[int, ...], rounds: int, seconds: float, as_json: bool) -> None:
    """Read 4-KiB records from a storage system in a process of its own, over TCP and through full ESCON framing."""
    from tools import bench_frames

    try:
        rows = [bench_frames.run(links, length, rounds, seconds).figures() for length in records]
    except (RuntimeError, OSError) as error:
        raise BadInput(str(error)) from error
    if as_json:
        click.echo(json.dumps({"load": _load(), "frames": rows}, indent=2))
        return
    for row in rows:
        click.echo(
            f"{row['links']} links, {row['records_per_program']} records a program: best "
            f"{row['best_reads_per_s']:,} reads/s, median {row['median_reads_per_s']:,}; "
            f"{row['frames_per_read']} frames, {row['client_cpu_us_per_read']} µs of the channels' processor and "
            f"{row['server_cpu_us_per_read']} µs of the storage system's for each read"
        )
    click.echo(f"load of the machine {_load():.2f}, {os.cpu_count()} processors")


@bench.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seconds", default=0.5, show_default=True, type=click.FloatRange(0.1, 600), help="Length of a round.")
@click.option("--only", default="", metavar="TEXT", help="Lines whose title has this in it, such as 'write random'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def shared(rounds: int, seconds: float, only: str, as_json: bool) -> None:
    """Race the server for shared devices against Hercules' own, with the same clients on the same volumes, by turns."""
    from tools import bench_shared
    from tools.hercules import PROGRAM, HerculesError

    races = [race for race in bench_shared.RACES if only in race.title]
    if not bench_shared.MEMORY.is_dir():
        races = [race for race in races if not race.in_memory]
    if shutil.which(PROGRAM) is None:
        raise BadInput(f"{PROGRAM} is not installed: there is nothing to race against")
    if not races:
        raise BadInput(f"--only: no line has {only!r} in its title")
    try:
        found, sync_ms = bench_shared.measure(rounds, seconds, races, lambda title: click.echo(title, err=True))
    except (HerculesError, RuntimeError, OSError) as error:
        raise BadInput(str(error)) from error
    if as_json:
        rows = [figures.as_json() for figures in found]
        click.echo(json.dumps({"load": _load(), "sync_ms": round(sync_ms, 3), "races": rows}, indent=2))
        return
    click.echo(f"{'':<36}{'ratio':>6}   {'tracks/s':^15}   {'p50 / p99 / worst ms':^42}   {'cpu us':^11}")
    for row in found:
        ours, theirs = row.ours, row.theirs
        times = " | ".join(f"{one.p50:6.2f} {one.p99:6.2f} {one.worst:6.1f}" for one in (ours, theirs))
        click.echo(
            f"{row.race:<36}{row.ratio:6.2f}   {ours.rate:6,.0f} | {theirs.rate:6,.0f}   {times}   "
            f"{ours.cpu_us:4.0f} | {theirs.cpu_us:4.0f}"
        )
    click.echo(
        f"each column ours | theirs; one write and sync alone takes {sync_ms:.2f} ms here; "
        f"load of the machine {_load():.2f}, {os.cpu_count()} processors"
    )


@bench.command()
@click.option(
    "--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only these, all by default. Repeatable."
)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where the stores lie; emptied after.")
@click.option("--quick", is_flag=True, help="See that everything works, in a few seconds; the figures mean little.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bridge(stages: tuple[str, ...], folder: Path | None, quick: bool, as_json: bool) -> None:
    """Measure the bridge between two storage systems, each a process: copies, status, a slow link, writes, hosts."""
    import trio
    from rich.console import Console
    from rich.table import Table

    from tools.bridge_bench.measure import QUICK, Bench, Figures, Sizes

    with TemporaryDirectory(prefix="trackbridge-bench-", dir=folder) as made:
        stage_bench = Bench(Path(made), QUICK if quick else Sizes(), lambda text: click.echo(text, err=True))

        async def measure() -> dict[str, list[Figures]]:
            return {stage: await getattr(stage_bench, stage)() for stage in stages or STAGES}

        try:
            found = trio.run(measure)
        except* (RuntimeError, OSError, trio.TooSlowError) as group:
            raise BadInput(str(first_of(group)) or "a copy took too long") from group
    if as_json:
        click.echo(json.dumps({"load": _load(), "quick": quick, **found}, indent=2))
        return
    for stage, rows in found.items():
        table = Table(*rows[0], title=stage)
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console(width=160 if not sys.stdout.isatty() else None).print(table)
    click.echo(f"load of the machine {_load():.2f}, {os.cpu_count()} processors")


def _load() -> float:
    return round(os.getloadavg()[0], 2)
