"""`trackbridge replay`: run a recording against a device, in process or over a link, and report every difference."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from host_emulator.link import LinkFailure
from host_emulator.session import open_session
from tools.bad_input import BadInput
from tools.captures import CaptureFile, capture_option, capturing
from tools.recording import Recording, RecordingError, load_recording
from tools.replayer import Advance, Replayer, ReplayReport

__all__ = ["ReplayReport", "Replayer", "replay", "show"]

LISTED_MAX = 50


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--target", metavar="tcp://HOST:PORT", help="Replay against a running system instead of in process.")
@click.option("--image", default=0, show_default=True, type=click.IntRange(0, 15), help="Control-unit image there.")
@click.option("--unit-address", metavar="HEX", help="Device there; by default the recorded one.")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    recording: Path, target: str | None, image: int, unit_address: str | None, capture: Path | None, as_json: bool
) -> None:
    """Replay RECORDING, a folder with recording.toml, and compare every answer with the recorded one.

    Compares data, residual count, status, channel status and sense of each command, the ending of each program, and the
    tracks afterwards. Exit status 1 when anything differs that no deviation rule explains. A target must hold the
    recording's initial volume.
    """
    unit = _unit_address(unit_address)
    if capture is not None and target is None:
        raise BadInput("--capture: only with --target, in process there are no frames")
    try:
        loaded = load_recording(recording)
        with _progress(loaded) as advance:
            if target is None:
                report = Replayer(loaded).run_in_process(advance)
            else:
                address = _host_and_port(target)
                with capturing(capture) as file:
                    report = trio.run(_replay_over, loaded, address, image, unit, advance, file)
    except (RecordingError, LinkFailure) as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise BadInput(f"{target}: {error.strerror or error}") from error
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
    lines.append(
        f"{report.tracks_compared:,} tracks compared, {len(report.tracks_different):,} different, "
        f"{len(report.tracks_explained):,} explained"
    )
    lines.append(f"{report.seconds:.2f} s, {rate:,.0f} commands/s")
    return "\n".join(lines)


def _left_over(count: int) -> list[str]:
    return [f"… and {count - LISTED_MAX:,} more"] if count > LISTED_MAX else []


def _host_and_port(target: str) -> tuple[str, int]:
    parts = urlsplit(target)
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.scheme != "tcp" or not parts.hostname or parts.path:
        raise BadInput(f"--target: {target!r} is not tcp://HOST:PORT")
    return parts.hostname, port


def _unit_address(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9A-Fa-f]{1,2}", text):
        raise BadInput(f"--unit-address: {text!r} is not in 00-FF")
    return int(text, 16)


async def _replay_over(
    recording: Recording,
    address: tuple[str, int],
    image: int,
    unit_address: int | None,
    advance: Advance | None,
    capture: CaptureFile | None,
) -> ReplayReport:
    tap = capture.tap(f"replay tcp://{address[0]}:{address[1]}", recording.name) if capture else None
    replayer = Replayer(recording)
    async with open_session(*address, image, tap=tap) as session:
        await replayer.run_over(session, unit_address, advance)
        return await replayer.compare_over(session, unit_address)


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
