"""`trackbridge snap`: snapshots of the volumes of a store that is not in use."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from controller.array.snapshots import Snapshot, SnapshotCatalog
from tools.stores import StorePlace, store_options, volume_number, why_not_replaced

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings={"help_option_names": ["--help"]})
def snap() -> None:
    """Snapshots by name, of a store that no system has open. DEVICE is a unit address or device number, hexadecimal."""


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@store_options
@json_option
def create(device: int, name: str, store: Path | None, config: Path | None, as_json: bool) -> None:
    """Take a snapshot of a volume, at once whatever its size."""
    with StorePlace(store, config).open(write=True) as opened:
        snapshot, _ = SnapshotCatalog(opened).create(device, name, time.time())
        opened.sync()
    _say(as_json, _row(snapshot), f"volume {device:02X}: snapshot {name} taken at {_when(snapshot)}")


@snap.command("list")
@click.argument("device", required=False, callback=volume_number)
@store_options
@json_option
def list_(device: int | None, store: Path | None, config: Path | None, as_json: bool) -> None:
    """List the snapshots of one or all volumes, oldest first. Those of deleted volumes are listed too."""
    with StorePlace(store, config).open() as opened:
        catalog = SnapshotCatalog(opened)
        found = catalog.all() if device is None else catalog.of(device)
        written = {snapshot.number: opened.allocated(snapshot.number) for snapshot in found}
    rows = [{**_row(snapshot), "written": written[snapshot.number]} for snapshot in found]
    if as_json:
        click.echo(json.dumps({"snapshots": rows}, indent=2))
        return
    table = Table("device", "snapshot", "taken", "model", "written")
    for row in rows:
        table.add_row(row["device"], row["name"], row["created"], row["model"], f"{row['written']:,}")
    Console().print(table)


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@store_options
@json_option
def restore(device: int, name: str, store: Path | None, config: Path | None, as_json: bool) -> None:
    """Give a volume back what it held when the snapshot was taken. A volume of a pair or of a bridge is refused."""
    with StorePlace(store, config).open(write=True) as opened:
        SnapshotCatalog(opened).restore(device, name, why_not_replaced(opened))
        opened.sync()
    _say(as_json, _named(device, name), f"volume {device:02X}: restored from snapshot {name}")


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@store_options
@json_option
def delete(device: int, name: str, store: Path | None, config: Path | None, as_json: bool) -> None:
    """Delete a snapshot."""
    with StorePlace(store, config).open(write=True) as opened:
        SnapshotCatalog(opened).delete(device, name)
        opened.sync()
    _say(as_json, _named(device, name), f"volume {device:02X}: snapshot {name} deleted")


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@click.argument("target", callback=volume_number)
@store_options
@json_option
def clone(device: int, name: str, target: int, store: Path | None, config: Path | None, as_json: bool) -> None:
    """Make a snapshot the new volume TARGET, at once whatever its size."""
    with StorePlace(store, config).open(write=True) as opened:
        SnapshotCatalog(opened).clone(device, name, target)
        opened.sync()
    text = f"volume {target:02X}: cloned from snapshot {name} of volume {device:02X}"
    _say(as_json, {**_named(device, name), "target": f"{target:02X}"}, text)


def _when(snapshot: Snapshot) -> str:
    return datetime.fromtimestamp(snapshot.created, UTC).isoformat(timespec="seconds")


def _named(device: int, name: str) -> dict[str, Any]:
    return {"device": f"{device:02X}", "name": name}


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {
        **_named(snapshot.volume, snapshot.name),
        "created": _when(snapshot),
        "model": snapshot.geometry.name,
        "cylinders": snapshot.geometry.cylinders,
        "tracks": snapshot.geometry.tracks,
    }


def _say(as_json: bool, figures: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(figures) if as_json else text)
