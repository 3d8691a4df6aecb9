"""`trackbridge path`: the paths between storage systems, what freezes them, and bridges, by operators' words."""

from __future__ import annotations

import click

from tools.operator_words import WordGroup


@click.group(cls=WordGroup, context_settings={"help_option_names": ["--help"]})
def path() -> None:
    """Paths between storage systems: the words of DSCLI (mkpprcpath, freezepprc ...) and of TSO (cestpath, cgroup ...).

    Each is sent as channel programs to a host port (--target); `trackbridge path mkpprcpath --help` says what it takes.
    """
