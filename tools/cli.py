"""The `trackbridge` command: a thin shell over the rooms. One subcommand a module; each registers itself here."""

import click


@click.group(context_settings={"help_option_names": ["--help"]})
def main() -> None:
    """A mainframe-style storage controller with bridge-volume remote copy."""
