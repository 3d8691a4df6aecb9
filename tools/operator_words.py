"""Operators' words on the command line: `trackbridge pair mkpprc ...`, `trackbridge path cestpath "DEVN(00) ..."`.

The words themselves are those of the host's prompt (host_emulator/words); here are only the options that every word
has, the bar while a copy is waited for, and the exit status.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from host_emulator.channel import InterfaceControlCheck
from host_emulator.words import WORDS, OperatorWord, ProgramError, help_of, parse_word
from host_emulator.words.desk import Desk
from host_emulator.words.outcome import EXIT_MEANINGS, Outcome, Verdict, exit_of
from host_emulator.words.tasks import Task
from host_emulator.words.wait import Patience, Watch, perform_all
from host_emulator.words.wait import Progress as Copied
from tools.addresses import Target, tcp_target
from tools.bad_input import BadInput
from tools.captures import CaptureFile, capture_option, capturing
from tools.sessions import TARGET_VARIABLE, is_interrupt, open_target
from tools.system_client import SystemClient, Unreachable

INTERRUPTED = 130
EXIT_HELP = "\n".join(f"  {status}  {meaning}" for status, meaning in EXIT_MEANINGS.items())


class WordGroup(click.Group):
    """A group that lists the words of its name besides its own commands. It knows all words, in any case."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *(name for name, word in WORDS.items() if word.group == self.name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        word = WORDS.get(cmd_name.lower())
        if word is not None:
            return word_command(word)
        return super().get_command(ctx, cmd_name)


def word_command(word: OperatorWord) -> click.Command:
    """The command of a word. Everything that is no option of its own is the word's."""

    def run(words: tuple[str, ...], **options: Any) -> None:
        _run(word, words, **options)

    command = click.command(
        word.name.lower(),
        help=word.summary,
        short_help=word.summary,
        epilog="\b\n" + "\n".join(help_of(word)) + "\n\n\b\nExit status:\n" + EXIT_HELP,
        context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
        options_metavar="[OPTIONS]",
    )
    for decorate in reversed((
        click.option("--target", envvar=TARGET_VARIABLE, metavar="tcp://HOST:PORT",
                     help=f"The system to ask, at a host port; otherwise {TARGET_VARIABLE}."),
        click.option("--system", metavar="URL", help="The same, found by where it is managed."),
        click.option("--image", default=0, type=click.IntRange(0, 15), help="Control-unit image (default 0)."),
        click.option("--wait", is_flag=True, help="Until the copies that it begins are complete."),
        click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up waiting then."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("-fmt", "form", type=click.Choice(["default", "json"]), help="json: the same, as DSCLI has it."),
        capture_option,
        click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="WORDS..."),
    )):  # fmt: skip
        run = decorate(run)
    return command(run)


def _run(
    word: OperatorWord,
    words: Sequence[str],
    *,
    target: str | None,
    system: str | None,
    image: int,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    form: str | None,
    capture: Path | None,
) -> None:
    try:
        tasks = parse_word(" ".join((word.name, *words)))
    except ProgramError as error:
        raise BadInput(f"{word.name}: {error.message}") from error
    try:
        asked = _target(target, system)
    except Unreachable as error:
        outcomes = [Outcome(Verdict.UNANSWERED, "", error.message)]
    else:
        with copy_bar() as watch, capturing(capture) as file:
            patience = Patience(wait, math.inf if timeout is None else timeout, watch)
            outcomes = _perform(asked, image, tasks, patience, file)
    status = exit_of(outcomes)
    if as_json or form == "json":
        results = [outcome.plain() for outcome in outcomes]
        click.echo(json.dumps({"word": word.name, "exit": status, "results": results}))
    else:
        for outcome in outcomes:
            _say(word, outcome)
    sys.exit(status)


def _say(word: OperatorWord, outcome: Outcome) -> None:
    for line in outcome.said():
        if outcome.exit and not outcome.lines:
            click.echo(f"trackbridge: {word.name}: {line}", err=True)
        else:
            click.echo(line)


def _target(target: str | None, system: str | None) -> Target:
    """The host port. Raises BadInput, Unreachable."""
    if system is None:
        if target is None:
            raise BadInput(f"--target tcp://HOST:PORT is needed, or {TARGET_VARIABLE}")
        return tcp_target(target)
    ports = SystemClient(system, None).get("/v1/system").get("host_ports") or []
    if not ports:
        raise BadInput(f"{system}: it has no host port")
    return tcp_target(f"tcp://{ports[0]}")


def _perform(
    target: Target, image: int, tasks: list[Task], patience: Patience, capture: CaptureFile | None
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        async with open_target(target, image, capture) as session:
            return await perform_all(Desk(session), tasks, patience)

    try:
        return trio.run(run)
    except OSError as error:
        why = error.strerror or str(error)
    except (InterfaceControlCheck, trio.TooSlowError) as error:
        why = str(error) or "no answer"
    except BaseException as error:
        if not is_interrupt(error):
            raise
        click.echo("trackbridge: interrupted; what was begun goes on", err=True)
        sys.exit(INTERRUPTED)
    return [Outcome(Verdict.UNANSWERED, "", f"{target}: {why}")]


@contextmanager
def copy_bar() -> Iterator[Watch]:
    """A bar on stderr, if it is a terminal, for as long as something is waited for."""
    console = Console(stderr=True)
    bar = Progress(
        BarColumn(16, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("tracks, left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.description}", table_column=Column()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    def watch(copied: Copied | None) -> None:
        if copied is None:
            bar.stop()
            for done in bar.task_ids:
                bar.remove_task(done)
            return
        if not bar.task_ids:
            bar.add_task("", total=None)
            bar.start()
        bar.update(bar.task_ids[0], completed=copied.done, total=copied.total, description=copied.text)

    try:
        yield watch
    finally:
        bar.stop()
