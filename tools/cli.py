"""The `trackbridge` command: a thin shell over the rooms. One subcommand a module, imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.exceptions import NoArgsIsHelpError

from tools.bad_input import BadInput


class Entry(NamedTuple):
    """Where a command is, and what the list of all commands says of it: to list them, none is imported."""

    module: str  # its attribute of the command's name (- as _) is the command
    summary: str  # one line


COMMANDS = {
    "array": Entry("tools.array", "Look after the devices of a parity array."),
    "bench": Entry("tools.bench", "Measure: replays, frames, shared devices, bridges."),
    "cert": Entry("tools.cert", "Make certificates for the links between storage systems."),
    "conform": Entry("tools.conform", "Run the conformance suite against a target."),
    "demo": Entry("tools.demo", "Mirror a real Linux volume over a bridge, and verify it."),
    "director": Entry("tools.director", "Run an ESCON director."),
    "drill": Entry("tools.drill", "Lose a site while a guest writes; look for what is missing."),
    "frames": Entry("tools.frames", "Decode, encode and export ESCON frames."),
    "hercules-conf": Entry("tools.import_cnf", "Print the lines that attach volumes to Hercules."),
    "host": Entry("tools.host", "Run channel programs: a script, or a prompt."),
    "import-cnf": Entry("tools.import_cnf", "Take over the disks of a Hercules configuration."),
    "pair": Entry("tools.pair", "Remote copy pairs, in the words of DSCLI and TSO."),
    "path": Entry("tools.path", "Paths and bridges, in the words of DSCLI and TSO."),
    "replay": Entry("tools.replay", "Replay a recording and compare every answer."),
    "serve": Entry("tools.serve", "Run a storage system."),
    "simulate": Entry("tools.simulate", "Simulate what establishing pairs costs the hosts."),
    "snap": Entry("tools.snap", "Take, keep and use snapshots of volumes."),
    "top": Entry("tools.top", "Watch remote copy: pairs, queue, bridges, paths."),
    "volume": Entry("tools.volume", "Make, import, export, check and delete volumes."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported only when they are asked for: starting a system costs what a system needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name].module), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])

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
