"""The prompt of `trackbridge host`: history, completion, and Ctrl-C that ends a program but not the session."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from host_emulator.console import OWN, Console, goes_on, parse_line
from host_emulator.mnemonics import MNEMONICS, mnemonic_help
from host_emulator.script import VERBS, ScriptError
from host_emulator.words import WORDS, option_form, word_of

CONTINUED = "     ...> "
WELCOME = "A host session. `help` lists the commands; Ctrl-C ends a running program, Ctrl-D the session."


class _Words(Completer):
    """Commands and mnemonics at the beginning of a line or behind a semicolon; options of a command behind it."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        piece = before.rpartition(";")[2].lstrip()
        words = piece.split(" ")
        typed = words[-1]
        if len(words) == 1:
            names = {name: mnemonic_help(row) for name, row in MNEMONICS.items()}
            if ";" not in before:
                names |= dict.fromkeys([*OWN, *VERBS], "")
                names |= {word.name: word.summary for word in WORDS.values()}
            found = sorted(names)
        else:
            names = {}
            verb = words[0] if words[0] != "query" else " ".join(words[:2])
            found = [f"{option}=" for option in VERBS.get(verb, {})]
            word = word_of(words[0])
            if word is not None:
                names = {option_form(word, keyword): keyword.meaning for keyword in word.keywords}
                found = list(names)
        for name in found:
            if name.startswith(typed):
                yield Completion(name, start_position=-len(typed), display_meta=names.get(name, ""))


def history_file() -> Path:
    """Where the history is kept: in the user's state directory (XDG)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "trackbridge" / "host-history"


def _history() -> History:
    path = history_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:  # a home that cannot be written to is no reason to have no prompt
        return InMemoryHistory()
    return FileHistory(str(path))


async def prompt_loop(console: Console, show: Callable[[dict[str, Any]], str]) -> None:
    """Ask for lines until `quit` or the end of input. Errors are one line each and never end the loop."""
    prompt: PromptSession[str] = PromptSession(history=_history(), completer=_Words(), complete_while_typing=False)
    click.echo(WELCOME)
    running = _Running()
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, interrupts, running)
            number = 0
            while (raw := await _ask(prompt, _name(console))) is not None:
                number += 1
                while (so_far := goes_on(raw)) is not None:
                    more = await _ask(prompt, CONTINUED)
                    raw = f"{so_far} {more}" if more else ""
                if not await _take(console, raw, number, show, running):
                    break
            nursery.cancel_scope.cancel()


class _Running:
    """The line that is running, if any: what an interrupt ends."""

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None


async def _watch(interrupts: AsyncIterator[int], running: _Running) -> None:
    async for _ in interrupts:
        if running.scope is not None:
            running.scope.cancel()


def _name(console: Console) -> str:
    device = "--" if console.device is None else f"{console.device:02X}"
    return f"host {device}> "


async def _ask(prompt: PromptSession[str], shown: str) -> str | None:
    """The next line; empty after Ctrl-C, None at the end of input."""
    try:
        return await trio.to_thread.run_sync(partial(prompt.prompt, shown, handle_sigint=False))
    except KeyboardInterrupt:
        return ""
    except EOFError:
        return None


async def _take(
    console: Console, raw: str, number: int, show: Callable[[dict[str, Any]], str], running: _Running
) -> bool:
    """Run one line; False for `quit`. An interrupt cancels it and leaves the session."""
    try:
        line = parse_line(raw, number)
    except ScriptError as error:
        click.echo(f"column {error.column}: {error.message}")
        return True
    if line is None:
        return True
    if line.word == "quit":
        return False
    with trio.CancelScope() as running.scope:
        click.echo(show(await console.run(line)))
    if running.scope.cancelled_caught:
        click.echo("interrupted")
    running.scope = None
    return True
