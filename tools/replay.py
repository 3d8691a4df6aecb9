"""`trackbridge replay`: run a recording against a device, in process or over a link, and report every difference."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tools.recording import Recording, RecordingError, load_recording
from tools.replayer import Advance, Replayer, ReplayReport

__all__ = ["ReplayReport", "Replayer", "replay", "show"]

LISTED_MAX = 50


class BadInput(click.ClickException):
    """Input that cannot be used: one line on stderr, exit status 2."""

    exit_code = 2


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(recording: Path, as_json: bool) -> None:
    """Replay RECORDING, a folder with recording.toml, and compare every answer with the recorded one.

    Compares data, residual count, status, channel status and sense of each command, the ending of each program, and the
    tracks afterwards. Exit status 1 when anything differs that no deviation rule explains.
    """
    try:
        loaded = load_recording(recording)
        with _progress(loaded) as advance:
            report = Replayer(loaded).run_in_process(advance)
    except RecordingError as error:
        raise BadInput(str(error)) from error
    click.echo(json.dumps(report.figures(), indent=2) if as_json else show(report))
    sys.exit(1 if report.differs else 0)


def show(report: ReplayReport) -> str:
    """Return the report for people: one line per difference, then the figures."""
    followed = report.followed
    lines = [f"difference: {difference}" for difference in followed.differences[:LISTED_MAX]]
    lines += _left_over(len(followed.differences))
    lines += [f"explained by {item.explained_by}: {item}" for item in followed.explained[:LISTED_MAX]]
    lines += _left_over(len(followed.explained))
    lines += [f"track {track} of {device:04X} differs" for device, track in report.tracks_different[:LISTED_MAX]]
    lines += _left_over(len(report.tracks_different))
    rate = followed.commands / report.seconds if report.seconds else 0
    lines.append(
        f"{followed.programs:,} programs, {followed.commands:,} commands: {len(followed.differences):,} differences, "
        f"{len(followed.explained):,} explained"
    )
    lines.append(f"{report.tracks_compared:,} tracks compared, {len(report.tracks_different):,} different")
    lines.append(f"{report.seconds:.2f} s, {rate:,.0f} commands/s")
    return "\n".join(lines)


def _left_over(count: int) -> list[str]:
    return [f"… and {count - LISTED_MAX:,} more"] if count > LISTED_MAX else []


@contextmanager
def _progress(recording: Recording) -> Iterator[Advance | None]:
    """Show a bar on stderr while programs are replayed; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(recording.name, total=recording.program_count or None)
        yield lambda programs: bar.advance(task, programs)
