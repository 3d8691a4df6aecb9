"""`trackbridge conform`: the conformance suite against a storage system."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tools.addresses import tcp_address
from tools.bad_input import BadInput, first_of
from tools.conformance import report
from tools.conformance.bench import Target, open_bench
from tools.conformance.case import DEVICES, PROFILES, CaseError, Chapter, load_chapters
from tools.conformance.fixtures import FIXTURES
from tools.conformance.requirements import configuration
from tools.conformance.runner import CaseResult, run_cases, selected
from tools.conformance.target import TargetError, in_process_target, tcp_target

FAILED = 1


def _pattern(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"{value!r} is not a regular expression: {error}") from error
    return value


def _devices(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, int]:
    chosen = {}
    for text in value:
        name, _, address = text.partition("=")
        if name not in DEVICES or not re.fullmatch("[0-9A-Fa-f]{1,2}", address):
            raise click.BadParameter(f"{text!r} is not NAME=HH with NAME one of {', '.join(DEVICES)}")
        chosen[name] = int(address, 16)
    return chosen


@click.command()
@click.argument("target", metavar="TARGET", default="")
@click.option("--second", metavar="tcp://HOST:PORT", help="The partner of a target over TCP, for pairs and bridges.")
@click.option("--profile", default="2107", type=click.Choice(PROFILES), help="Of the systems in process.")
@click.option("--device", "devices", multiple=True, callback=_devices, metavar="NAME=HH", help="Another address.")
@click.option("--force", is_flag=True, help="Format the scratch volumes whatever they hold.")
@click.option("--only", default="", callback=_pattern, metavar="PATTERN", help="Cases whose id, chapter or title fits.")
@click.option("--list", "listing", is_flag=True, help="List the cases; nothing is run.")
@click.option("--print-config", type=click.Choice(("A", "B")), help="A configuration with the devices needed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file.")
def conform(
    target: str,
    second: str | None,
    profile: str,
    devices: dict[str, int],
    force: bool,
    only: str,
    listing: bool,
    print_config: str | None,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Run the conformance cases against TARGET: in-process, or tcp://HOST:PORT.

    The target needs certain devices (--print-config A and B give configurations that have them); the suite formats two
    of them and touches no other device. Exit status 1: a case failed; 2: the target cannot be reached or lacks
    something.
    """
    try:
        chapters = load_chapters()
    except CaseError as error:
        raise BadInput(str(error)) from error
    if print_config is not None:
        click.echo(configuration(print_config, profile), nl=False)
        return
    chapters = selected(chapters, only)
    if not chapters:
        raise BadInput(f"--only: no case has {only!r} in its id, chapter or title (--list shows them)")
    if listing:
        _list(chapters, as_json)
        return
    results = _results(target, second, profile, devices, force, chapters)
    if junit is not None:
        try:
            report.write_junit(junit, target, results)
        except OSError as error:
            raise BadInput(f"{junit}: {error.strerror or error}") from error
    if as_json:
        click.echo(json.dumps(report.as_json(target, results), indent=2))
    else:
        report.show(Console(), chapters, results)
    sys.exit(FAILED if any(result.problems for result in results) else 0)


def _list(chapters: list[Chapter], as_json: bool) -> None:
    if as_json:
        rows = [
            {"id": case.id, "chapter": case.chapter, "title": case.title, "clause": case.clause}
            for chapter in chapters
            for case in chapter.cases
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        report.show_list(Console(), chapters)


def _results(
    target: str,
    second: str | None,
    profile: str,
    devices: dict[str, int],
    force: bool,
    chapters: list[Chapter],
) -> list[CaseResult]:
    if not target:
        raise BadInput("TARGET: in-process or tcp://HOST:PORT")
    if target == "in-process":
        if second or devices:
            raise BadInput("in-process: --second and --device are for targets over TCP")
        opened = in_process_target(profile)
    else:
        opened = tcp_target(tcp_address(target), tcp_address(second) if second else None, devices, force)

    async def run() -> list[CaseResult]:
        async with opened as reached:
            return await _run(reached, chapters)

    try:
        return trio.run(run)
    except* TargetError as group:
        first = first_of(group)
        raise BadInput(f"{target}: {first}") from first


async def _run(target: Target, chapters: list[Chapter]) -> list[CaseResult]:
    console = Console(stderr=True)
    total = sum(len(chapter.cases) for chapter in chapters)
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("conformance cases", total=total)
        async with open_bench(target) as bench:
            for name in FIXTURES:
                bench.touched(name)
            async for result in run_cases(bench, chapters):
                results.append(result)
                progress.update(task, advance=1, description=result.case.id)
    return results
