"""`trackbridge host`: a host session, typed at a prompt or from a script, against a running system or one in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import trio

from ccw.errors import FormatError
from controller.config import ConfigError, SystemConfig
from host_emulator.channel import InterfaceControlCheck
from host_emulator.console import Console, Line, parse_lines
from host_emulator.mnemonics import ANY_LENGTH
from host_emulator.script import HELP, ScriptError
from host_emulator.session import HostSession, session_over
from host_emulator.words.wait import Patience
from tools.addresses import Target, tcp_target
from tools.bad_input import BadInput
from tools.captures import CaptureFile, capture_option, capturing
from tools.host_record import Recorder
from tools.in_process import in_process, single_volume
from tools.operator_words import copy_bar
from tools.recording import RecordingError
from tools.sessions import TARGET_VARIABLE, open_target

DIFFERENCE, BAD_INPUT = 1, 2

_FIRST = ("line", "command", "ok", "unit_status", "channel_status", "residual", "sense", "sense_text", "problem",
          "asked", "stopped_at", "exit")  # fmt: skip
_ONLY_JSON = ("lines", "records", "results")


@click.command("host", epilog="\b\nCommands of a script:\n" + HELP)
@click.option("--target", required=True, envvar=TARGET_VARIABLE, metavar="tcp://HOST:PORT",
              help=f"The system to talk to, or in-process; otherwise {TARGET_VARIABLE}.")  # fmt: skip
@click.option("--image", default=0, type=click.IntRange(0, 15), help="Control-unit image (default 0).")
@click.option("--volume", type=click.Path(path_type=Path), help="in-process: a CKD image as device 00 (a copy).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each command.")
@capture_option
@click.argument("script", type=click.File("r", encoding="utf-8"), required=False)
def host(target: str, image: int, volume: Path | None, as_json: bool, capture: Path | None, script: Any) -> None:
    """Run SCRIPT (- for standard input), one command a line, until one fails; without a script, ask for commands.

    `help` at the prompt lists what can be typed; a script may hold the same lines. Through a director the target is
    tcp://HOST:PORT/LINK: where a port of the director listens, and the link address of the system's port.
    Exit status 0: every command ended normally; 1: one did not (its sense is shown); 2: the script or the target
    cannot be used.
    """
    address = None if target == "in-process" else tcp_target(target)
    if volume is not None and address is not None:
        raise BadInput("--volume: only with --target in-process")
    lines = None
    if script is None and not sys.stdin.isatty():
        script = sys.stdin
    try:
        if script is not None:
            lines = parse_lines(script.read(), Path(script.name).name)
    except (ScriptError, UnicodeDecodeError) as error:
        _fail(str(error))
    try:
        configured = single_volume(volume) if address is None else None
    except (OSError, ConfigError) as error:
        _fail(f"{volume}: {error}" if isinstance(error, OSError) else str(error))
    try:
        with capturing(capture) as file:
            ok = trio.run(_session, address, image, configured, lines, as_json, file)
    except BrokenPipeError:
        raise  # nobody reads our output any more: click ends quietly
    except OSError as error:
        _fail(f"{target}: {error.strerror or error}")
    except (InterfaceControlCheck, trio.TooSlowError) as error:
        _fail(f"{target}: {error or 'no answer'}")
    if not ok:
        sys.exit(DIFFERENCE)


@asynccontextmanager
async def _open(
    address: Target | None, image: int, config: SystemConfig | None, capture: CaptureFile | None
) -> AsyncIterator[HostSession]:
    if address is None:
        assert config is not None
        tap = capture.tap("host in-process") if capture else None
        async with in_process(config) as (system,):
            stream = await system.connect()
            async with session_over(stream, image, tap=tap) as session:
                yield session
        return
    async with open_target(address, image, capture) as session:
        yield session


async def _session(
    address: Target | None,
    image: int,
    config: SystemConfig | None,
    lines: list[Line] | None,
    as_json: bool,
    capture: CaptureFile | None,
) -> bool:
    async with _open(address, image, config, capture) as session:
        recorder = Recorder(session)
        with copy_bar() as watch:
            console = Console(session, 0x00 if address is None else None, recorder.command, Patience(watch=watch))
            ok = True
            try:
                if lines is None:
                    from tools.host_prompt import prompt_loop  # the prompt's library is loaded when it is used

                    await prompt_loop(console, shown)
                else:
                    ok = await _script(console, lines, as_json)
            finally:
                finished = await _finish(recorder)
            return ok and finished


async def _finish(recorder: Recorder) -> bool:
    """End a recording that is still open; False, with one line that says why, when it is not whole."""
    try:
        await recorder.finish()
    except (FormatError, RecordingError) as error:
        click.echo(f"host: {error}", err=True)
        return False
    return True


async def _script(console: Console, lines: list[Line], as_json: bool) -> bool:
    for line in lines:
        if line.word == "quit":
            break
        report = await console.run(line)
        click.echo(json.dumps(report) if as_json else shown(report))
        if not report["ok"]:
            return False
    return True


def shown(report: dict[str, Any]) -> str:
    """A report as one line and, where there is more to say, indented ones below it."""
    head = f"{report['line']:4} {report['command']:16} {'ok' if report['ok'] else 'FAILED'}"
    if "unit_status" in report:
        head += f"  status {report['unit_status']}.{report['channel_status']}"
        if report.get("asked") != ANY_LENGTH:  # where as much is asked for as there may be, something is always left
            head += f" residual {report['residual']}"
    lines = [head]
    why = ("problem", "stopped_at", "sense_text", "sense")
    lines += [f"     {name}: {report[name]}" for name in why if name in report]
    said = _ONLY_JSON if "lines" not in report else (*_ONLY_JSON, "data")
    lines += [f"     {name}: {value}" for name, value in report.items() if name not in (*_FIRST, *said)]
    lines += [f"     {line}" for line in report.get("lines", ())]
    return "\n".join(lines)


def _fail(text: str) -> None:
    click.echo(f"host: {text}", err=True)
    sys.exit(BAD_INPUT)
