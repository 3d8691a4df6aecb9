"""`trackbridge pair`: the remote copy pairs of a running system."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tools.bad_input import BadInput
from tools.system_client import SystemClient, system_options


@click.group(context_settings={"help_option_names": ["--help"]})
def pair() -> None:
    """Remote copy pairs of a running system (--system)."""


@pair.command("list")
@system_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(system: str | None, token_file: Path | None, as_json: bool) -> None:
    """List the pairs: both volumes, state, tracks still to be copied."""
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
