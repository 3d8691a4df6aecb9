"""The `trackbridge` command: a thin shell over the rooms. One subcommand a module; each is registered here."""

import click

from tools.demo import demo
from tools.frames import frames
from tools.host import host
from tools.replay import replay
from tools.serve import serve


@click.group(context_settings={"help_option_names": ["--help"]})
@click.version_option(package_name="trackbridge", prog_name="trackbridge")
def main() -> None:
    """A mainframe-style storage controller with bridge-volume remote copy."""


for command in (demo, frames, host, replay, serve):
    main.add_command(command)
