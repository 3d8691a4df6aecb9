"""Whatever of a command line cannot be used is one line on stderr and exit status 2, for every command."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from host_emulator.words import WORDS
from tools.cli import COMMANDS, main

LARGE = {"numpy", "trio", "simpy", "matplotlib", "construct", "starlette", "hypercorn", "httpx", "prompt_toolkit"}


def commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A command with all below it, each as the words that call it."""
    found = [path]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += commands(below, (*path, name))
    return found


def test_every_command_is_found() -> None:
    assert {path[0] for path in commands(main, ()) if path} == set(COMMANDS)


def test_every_command_is_listed_whole() -> None:
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout.partition("Commands:\n")[2]
    assert [line.split(maxsplit=1) for line in listed.splitlines()] == [
        [name, COMMANDS[name].summary] for name in sorted(COMMANDS)
    ]


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        (["--help"], {*LARGE, "rich", "controller", "host_emulator", "ccw"}),
        (["--version"], {*LARGE, "rich", "controller", "host_emulator", "ccw"}),
        (["bench", "--help"], LARGE),
        (["bench", "established", "--help"], LARGE),
        (["simulate", "--help"], {"matplotlib"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_is_there_without_what_the_command_needs(line: list[str], heavy: set[str]) -> None:
    """In a process of its own: what takes its time is not loaded to show how a command is used."""
    script = (
        "import sys\nfrom tools.cli import main\n"
        f"try:\n    main({line!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout and not heavy & set(done.stderr.split())


@pytest.mark.parametrize("path", commands(main, ()), ids=" ".join)
def test_an_option_that_does_not_exist(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*path, "--no-such-option"])
    assert done.exit_code == 2
    word = WORDS.get(path[-1]) if path[:1] in (("pair",), ("path",)) else None
    if word is None:
        where = f"{' '.join(path)}: " if path else ""
        assert done.stderr.startswith(f"trackbridge: {where}No such option '--no-such-option'")
    elif word.tso:  # operators' words have a grammar of their own
        assert done.stderr == f"trackbridge: {word.name}: a keyword, or KEYWORD(value), is expected here\n"
    else:
        assert done.stderr.startswith(f"trackbridge: {word.name}: no option -no-such-option (known: ")
    assert done.stderr.count("\n") == 1 and not done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["host"], "host: Missing option '--target'"),
        (["host", "--target"], "Option '--target' requires an argument"),
        (["host", "--target", "tcp://127.0.0.1:1/0", "-"], "the link address is not in 01-FE"),
        (["host", "--target", "tcp://127.0.0.1:1/6x", "-"], "the link address is not in 01-FE"),
        (["host", "--target", "udp://127.0.0.1:1", "-"], "is not tcp://host:port"),
    ],
)
def test_what_is_wrong(line: list[str], said: str) -> None:
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
