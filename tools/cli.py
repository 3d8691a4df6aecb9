"""The `trackbridge` command: a thin shell over the rooms. One subcommand a module, imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from tools.bad_input import BadInput

COMMANDS = {
    "bench": "tools.bench",
    "array": "tools.array",
    "cert": "tools.cert",
    "conform": "tools.conform",
    "demo": "tools.demo",
    "director": "tools.director",
    "drill": "tools.drill",
    "frames": "tools.frames",
    "hercules-conf": "tools.import_cnf",
    "host": "tools.host",
    "import-cnf": "tools.import_cnf",
    "pair": "tools.pair",
    "path": "tools.path",
    "replay": "tools.replay",
    "serve": "tools.serve",
    "simulate": "tools.simulate",
    "snap": "tools.snap",
    "top": "tools.top",
    "volume": "tools.volume",
}  # name: module; the module's attribute of the same name (- as _) is the command


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are asked for: starting a system costs what a system needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with usage_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with usage_in_one_line():
            return super().invoke(ctx)


@contextmanager
def usage_in_one_line() -> Iterator[None]:
    """Options and arguments that cannot be used are bad input like any other: one line, exit status 2."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = "" if error.ctx is None else error.ctx.command_path.partition(" ")[2]
        message = error.format_message().replace("\n", " ")
        raise BadInput(f"{command}: {message}" if command else message) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(package_name="trackbridge", prog_name="trackbridge")
def main() -> None:
    """A mainframe-style storage controller with bridge-volume remote copy."""
