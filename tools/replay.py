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
from tools.importing import DeviceChoice, device_choices, opened
from tools.minimiser import Minimised, Minimiser
from tools.recording import Recording, RecordingError
from tools.recording_writer import write_copy
from tools.replay_report import ReplayReport, as_html, as_text
from tools.replayer import Advance, OtherDevice, Replayer, check_target

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
    if target is not None and minimise is not None:
        raise BadInput("--minimise: only in process, where every trial begins with the initial volume")
    try:
        with opened(recording, devices) as loaded:
            if convert is not None:
                write_copy(loaded, convert)
                click.echo(json.dumps({"folder": str(convert)}) if as_json else f"{convert}: written")
                return
            report = _replay(loaded, target, image, unit, speed, capture)
            found = _minimise(loaded, report, minimise) if minimise is not None else None
        if html is not None:
            html.write_text(as_html(report), encoding="utf-8")
    except (RecordingError, LinkFailure, OtherDevice) as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise BadInput(f"{error.filename or target}: {error.strerror or error}") from error
    _print(report, found, as_json)
    sys.exit(1 if report.differs else 0)


def _replay(
    loaded: Recording, target: str | None, image: int, unit: int | None, speed: float | None, capture: Path | None
) -> ReplayReport:
    with _progress(loaded.name, loaded.program_count) as advance:
        if target is None:
            return Replayer(loaded, speed).run_in_process(advance)
        address = _host_and_port(target)
        with capturing(capture) as file:
            return trio.run(_replay_over, loaded, address, image, unit, speed, advance, file)


def _minimise(loaded: Recording, report: ReplayReport, folder: Path) -> Minimised | None:
    """Reduce the first difference of the report, if there is one."""
    if not report.followed.differences:
        return None
    with _progress("minimising", 0) as advance:
        minimiser = Minimiser(loaded, advance)
        found = minimiser.minimise(report.followed.differences[0])
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
    speed: float | None,
    advance: Advance | None,
    capture: CaptureFile | None,
) -> ReplayReport:
    tap = capture.tap(f"replay tcp://{address[0]}:{address[1]}", recording.name) if capture else None
    replayer = Replayer(recording, speed)
    async with open_session(*address, image, tap=tap) as session:
        await check_target(session, recording, unit_address)
        await replayer.run_over(session, unit_address, advance)
        return await replayer.compare_over(session, unit_address)


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
