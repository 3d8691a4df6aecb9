"""`trackbridge host`: a host session from a script, against a running system."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import trio

from host_emulator.channel import InterfaceControlCheck
from host_emulator.runner import run_steps
from host_emulator.script import HELP, ScriptError, Step, parse_script
from host_emulator.session import open_session
from tools.captures import CaptureFile, capture_option, capturing

DIFFERENCE, BAD_INPUT = 1, 2
CONNECT_TIMEOUT_S = 10.0

_FIRST = ("line", "command", "ok", "unit_status", "channel_status", "residual", "sense", "sense_text", "problem")


def _target(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    scheme, _, rest = value.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"{value!r} is not tcp://host:port")
    return host.strip("[]"), int(port)


@click.command("host", epilog="\b\nCommands of a script:\n" + HELP)
@click.option("--target", required=True, callback=_target, metavar="tcp://HOST:PORT", help="The system to talk to.")
@click.option("--image", default=0, type=click.IntRange(0, 15), help="Control-unit image (default 0).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each command.")
@capture_option
@click.argument("script", type=click.File("r", encoding="utf-8"))
def host(target: tuple[str, int], image: int, as_json: bool, capture: Path | None, script: Any) -> None:
    """Run SCRIPT (- for standard input), one command a line, until one fails.

    Exit status 0: every command ended normally; 1: one did not (its sense is shown); 2: the script or the target
    cannot be used.
    """
    try:
        steps = parse_script(script.read(), Path(script.name).name)
    except (ScriptError, UnicodeDecodeError) as error:
        _fail(str(error))
    try:
        with capturing(capture) as file:
            ok = trio.run(_session, target, image, steps, as_json, file)
    except BrokenPipeError:
        raise  # nobody reads our output any more: click ends quietly
    except OSError as error:
        _fail(f"tcp://{target[0]}:{target[1]}: {error.strerror or error}")
    except (InterfaceControlCheck, trio.TooSlowError) as error:
        _fail(f"tcp://{target[0]}:{target[1]}: {error or 'no answer'}")
    if not ok:
        sys.exit(DIFFERENCE)


async def _session(
    target: tuple[str, int], image: int, steps: list[Step], as_json: bool, capture: CaptureFile | None
) -> bool:
    tap = capture.tap(f"host tcp://{target[0]}:{target[1]}") if capture else None
    with trio.fail_after(CONNECT_TIMEOUT_S) as patience:
        async with open_session(*target, image, tap=tap) as session:
            patience.deadline = float("inf")
            ok = True
            async for report in run_steps(session, steps):
                click.echo(json.dumps(report) if as_json else _shown(report))
                ok = ok and report["ok"]
    return ok


def _shown(report: dict[str, Any]) -> str:
    """A report as one line and, where there is more to say, indented ones below it."""
    head = f"{report['line']:4} {report['command']:16} {'ok' if report['ok'] else 'FAILED'}"
    if "unit_status" in report:
        head += f"  status {report['unit_status']}.{report['channel_status']} residual {report['residual']}"
    lines = [head]
    lines += [f"     {name}: {report[name]}" for name in ("problem", "sense_text", "sense") if name in report]
    lines += [f"     {name}: {value}" for name, value in report.items() if name not in _FIRST]
    return "\n".join(lines)


def _fail(text: str) -> None:
    click.echo(f"host: {text}", err=True)
    sys.exit(BAD_INPUT)
