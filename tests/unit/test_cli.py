"""Whatever of a command line cannot be used is one line on stderr and exit status 2, for every command."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tools.cli import COMMANDS, main


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


@pytest.mark.parametrize("path", commands(main, ()), ids=" ".join)
def test_an_option_that_does_not_exist(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*path, "--no-such-option"])
    assert done.exit_code == 2
    assert done.stderr.startswith("trackbridge: ")
    if path[:1] in (("pair",), ("path",)):  # operators' words have a grammar of their own
        assert path[-1].lower() in done.stderr.lower()
    else:
        where = f"{' '.join(path)}: " if path else ""
        assert done.stderr.startswith(f"trackbridge: {where}No such option '--no-such-option'")
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
