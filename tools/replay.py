"""`trackbridge replay`: run a recording against a device, in process or over a link, and report every difference."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from host_emulator.link import LinkFailure
from host_emulator.session import open_session
from tools.addresses import tcp_address
from tools.bad_input import BadInput
from tools.captures import CaptureFile, capture_option, capturing
from tools.importing import DeviceChoice, device_choices, opened
from tools.minimiser import Minimised, Minimiser
from tools.recording import RecordingError
from tools.recording_writer import write_copy
from tools.replay_report import ReplayReport, as_html, as_text
from tools.replay_target import OtherDevice, check_target
from tools.replayer import Advance, Replayer
from tools.trials import RunningSystem, TargetTrials

__all__ = ["replay"]


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--target", metavar="tcp://HOST:PORT", help="Replay against a running system instead of in process.")
@click.option("--image", default=0, show_default=True, type=click.IntRange(0, 15), help="Control-unit image there.")
@click.option("--unit-address", metavar="HEX", help="Device there; by default the recorded one.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Start programs when they were recorded, 1, or so many times faster; by default as fast as possible.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    callback=device_choices,
    metavar="NNNN=TYPE:CYLINDERS[:IMAGE]",
    help="What a device of a log or capture is, and the image of its volume before. Repeatable.",
)
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page of HTML, too.")
@click.option(
    "--minimise",
    type=click.Path(path_type=Path),
    help="Reduce the first difference; write the shortest recording that shows it to this new folder.",
)
@click.option("--convert", type=click.Path(path_type=Path), help="Write the recording to this new folder; no replay.")
@capture_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    recording: Path,
    target: str | None,
    image: int,
    unit_address: str | None,
    speed: float | None,
    devices: tuple[DeviceChoice, ...],
    html: Path | None,
    minimise: Path | None,
    convert: Path | None,
    capture: Path | None,
    as_json: bool,
) -> None:
    """Replay RECORDING and compare every answer with the recorded one.

    RECORDING is a folder with recording.toml, a CCW trace log of Hercules, or a capture of frames (pcapng, pcap).
    Compares data, residual count, status, channel status and sense of each command, the ending of each program, and the
    tracks afterwards. Exit status 1 when anything differs that no deviation rule explains. A target must hold the
    recording's initial volume; the type and size of its devices are checked first.
    """
    unit = _unit_address(unit_address)
    if target is None and capture is not None:
        raise BadInput("--capture: only with --target, in process there are no frames")
    try:
        with opened(recording, devices) as loaded:
            if convert is not None:
                write_copy(loaded, convert)
                click.echo(json.dumps({"folder": str(convert)}) if as_json else f"{convert}: written")
                return
            place = RunningSystem(tcp_address(target), image, unit) if target is not None else None
            replayer = Replayer(loaded, speed)
            report = _replay(replayer, place, capture)
            found = _minimise(replayer, place, minimise) if minimise is not None else None
        if html is not None:
            html.write_text(as_html(report), encoding="utf-8")
    except (RecordingError, LinkFailure, OtherDevice) as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise BadInput(f"{error.filename or target}: {error.strerror or error}") from error
    _print(report, found, as_json)
    sys.exit(1 if report.differs else 0)


def _replay(replayer: Replayer, target: RunningSystem | None, capture: Path | None) -> ReplayReport:
    loaded = replayer.recording
    with _progress(loaded.name, loaded.program_count) as advance:
        if target is None:
            return replayer.run_in_process(advance)
        with capturing(capture) as file:
            return trio.run(_replay_over, replayer, target, advance, file)


def _minimise(replayer: Replayer, target: RunningSystem | None, folder: Path) -> Minimised | None:
    """Reduce the first difference of the replay, if there is one; a target holds its initial volume afterwards."""
    loaded, differences = replayer.recording, replayer.report.followed.differences
    if not differences:
        return None
    at_target = TargetTrials(loaded, target, replayer.twin.tracks.changed) if target is not None else None
    with _progress("minimising", 0) as advance:
        minimiser = Minimiser(loaded, at_target, advance)
        try:
            found = minimiser.minimise(differences[0])
        except LookupError as error:
            raise BadInput(f"--minimise: {error.args[0]}") from error
        finally:
            if at_target is not None:
                at_target.put_back()
        minimiser.write(found, folder)
    return found


def _print(report: ReplayReport, found: Minimised | None, as_json: bool) -> None:
    if as_json:
        figures = report.figures()
        if found is not None:
            figures["minimised"] = {
                "programs": len(found.programs),
                "commands": found.commands,
                "trials": found.trials,
                "needs_volume": found.needs_volume,
            }
        click.echo(json.dumps(figures, indent=2))
        return
    click.echo(as_text(report))
    if found is not None:
        volume = "" if found.needs_volume else ", on an empty volume"
        click.echo(
            f"minimised: {len(found.programs)} programs, {found.commands} commands{volume} "
            f"({found.trials} trials) show: {found.difference}"
        )


def _unit_address(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9A-Fa-f]{1,2}", text):
        raise BadInput(f"--unit-address: {text!r} is not in 00-FF")
    return int(text, 16)


async def _replay_over(
    replayer: Replayer, target: RunningSystem, advance: Advance | None, capture: CaptureFile | None
) -> ReplayReport:
    recording, (host, port) = replayer.recording, target.address
    tap = capture.tap(f"replay tcp://{host}:{port}", recording.name) if capture else None
    async with open_session(host, port, target.image, tap=tap) as session:
        await check_target(session, recording, target.unit_address)
        await replayer.run_over(session, target.unit_address, advance)
        return await replayer.compare_over(session, target.unit_address)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Advance | None]:
    """Show a bar on stderr while programs are replayed; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda programs: bar.advance(task, programs)
