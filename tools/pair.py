"""`trackbridge pair`: the remote copy pairs of a running system, by operators' words; and listed over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tools.bad_input import BadInput
from tools.operator_words import WordGroup
from tools.system_client import SystemClient, system_options


@click.group(cls=WordGroup, context_settings={"help_option_names": ["--help"]})
def pair() -> None:
    """Remote copy pairs: the words of DSCLI (mkpprc, lspprc ...) and of TSO (cestpair, cquery ...).

    Each is sent as channel programs to a host port (--target); `trackbridge pair lspprc --help` says what it takes.
    """


@pair.command("list")
@system_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(system: str | None, token_file: Path | None, as_json: bool) -> None:
    """List the pairs over HTTP: both volumes, state, tracks still to be copied. `lspprc` also says why."""
    if system is None:
        raise BadInput("--system URL is needed")
    found = SystemClient(system, token_file).get("/v1/pairs")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("pair", "role", "primary", "secondary", "state", "to copy")
    for row in found["pairs"]:
        names = (f"{row[side]['serial']} {row[side]['ssid']}/{row[side]['cca']}" for side in ("primary", "secondary"))
        left = row["out_of_sync"]
        table.add_row(str(row["pair"]), row["role"], *names, row["state"], "" if left is None else f"{left:,}")
    Console().print(table)
