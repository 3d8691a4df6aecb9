"""`trackbridge snap`: snapshots of a store that is not in use, or (`--system URL`) of a running system."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from controller.array import VirtualArrayStore
from controller.array.snapshots import Snapshot, SnapshotCatalog
from tools.bad_input import BadInput
from tools.stores import StorePlace, store_options, volume_number, why_not_replaced
from tools.system_client import SystemClient, system_options

Command = TypeVar("Command", bound=Callable[..., Any])


class Place:
    """Where the snapshots are: a store nobody has open, or a running system."""

    def __init__(self, store: Path | None, config: Path | None, system: str | None, token_file: Path | None) -> None:
        if system is not None and (store is not None or config is not None):
            raise BadInput("--system goes without --store and --config")
        self.system = SystemClient(system, token_file) if system is not None else None
        self._store = StorePlace(store, config) if system is None else None

    @contextmanager
    def catalog(self, *, write: bool = False) -> Iterator[tuple[VirtualArrayStore, SnapshotCatalog]]:
        """The store, open, and its snapshots; what was changed is durable at the end."""
        assert self._store is not None
        with self._store.open(write=write) as opened:
            yield opened, SnapshotCatalog(opened)
            if write:
                opened.sync()


def place_options(command: Command) -> Command:
    """The options that say where, and `--json`."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
    return store_options(system_options(command))


@click.group(context_settings={"help_option_names": ["--help"]})
def snap() -> None:
    """Snapshots by name. DEVICE is a unit address or device number, hexadecimal.

    Of a store that no system has open (--store, --config), or of a running system (--system).
    """


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@place_options
def create(device: int, name: str, as_json: bool, **where: Any) -> None:
    """Take a snapshot of a volume, at once whatever its size."""
    place = Place(**where)
    if place.system is not None:
        row = _row_of(place.system.post(f"/v1/volumes/{device:04X}/snapshots", {"name": name}))
    else:
        with place.catalog(write=True) as (_, catalog):
            row = _row(catalog.create(device, name, time.time())[0])
    _say(as_json, row, f"volume {device:02X}: snapshot {name} taken at {row['created']}")


@snap.command("list")
@click.argument("device", required=False, callback=volume_number)
@place_options
def list_(device: int | None, as_json: bool, **where: Any) -> None:
    """List the snapshots of one or all volumes, oldest first. Those of deleted volumes are listed too."""
    place = Place(**where)
    if place.system is not None:
        path = "/v1/snapshots" if device is None else f"/v1/volumes/{device:04X}/snapshots"
        rows = [_row_of(entry) for entry in place.system.get(path)["snapshots"]]
    else:
        with place.catalog() as (opened, catalog):
            found = catalog.all() if device is None else catalog.of(device)
            rows = [{**_row(snapshot), "written": opened.allocated(snapshot.number)} for snapshot in found]
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
@place_options
def restore(device: int, name: str, as_json: bool, **where: Any) -> None:
    """Give a volume back what it held when the snapshot was taken. A volume of a pair or of a bridge is refused.

    On a running system the restore waits until no channel program works on the device; its hosts should not have it
    online.
    """
    place = Place(**where)
    if place.system is not None:
        place.system.post(f"/v1/volumes/{device:04X}/snapshots/{name}/restore")
    else:
        with place.catalog(write=True) as (opened, catalog):
            catalog.restore(device, name, why_not_replaced(opened))
    _say(as_json, _named(device, name), f"volume {device:02X}: restored from snapshot {name}")


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@place_options
def delete(device: int, name: str, as_json: bool, **where: Any) -> None:
    """Delete a snapshot."""
    place = Place(**where)
    if place.system is not None:
        place.system.delete(f"/v1/volumes/{device:04X}/snapshots/{name}")
    else:
        with place.catalog(write=True) as (_, catalog):
            catalog.delete(device, name)
    _say(as_json, _named(device, name), f"volume {device:02X}: snapshot {name} deleted")


@snap.command()
@click.argument("device", callback=volume_number)
@click.argument("name")
@click.argument("target", callback=volume_number)
@click.option("--read-only", is_flag=True, help="Of a running system: hosts may only read it.")
@place_options
def clone(device: int, name: str, target: int, read_only: bool, as_json: bool, **where: Any) -> None:
    """Make a snapshot the new volume TARGET, at once whatever its size. A running system serves it at once."""
    place = Place(**where)
    if place.system is not None:
        body = {"target": f"{target:04X}", "read_only": read_only}
        place.system.post(f"/v1/volumes/{device:04X}/snapshots/{name}/clone", body)
    elif read_only:
        raise BadInput("--read-only goes with --system: a store does not know it")
    else:
        with place.catalog(write=True) as (_, catalog):
            catalog.clone(device, name, target)
    text = f"volume {target:02X}: cloned from snapshot {name} of volume {device:02X}"
    _say(as_json, {**_named(device, name), "target": f"{target:02X}"}, text)


@snap.command()
@click.argument("name")
@click.argument("copies", nargs=-1, required=True, metavar="SECONDARY:TARGET...")
@system_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def practice(name: str, copies: tuple[str, ...], as_json: bool, system: str | None, token_file: Path | None) -> None:
    """Serve writable copies of secondaries, all as they are at one instant, while their mirroring goes on.

    For a rehearsal of a recovery. NAME is given to the snapshots that the copies are made of.
    """
    if system is None:
        raise BadInput("--system is needed: only a running system knows its secondaries")
    made = SystemClient(system, token_file).post("/v1/practice", {"name": name, "copies": ",".join(copies)})
    served = ", ".join(str(volume["device"]) for volume in made["volumes"])
    _say(as_json, made, f"volumes {served}: copies of secondaries, from snapshots {name}")


def _when(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")


def _named(device: int, name: str) -> dict[str, Any]:
    return {"device": f"{device:02X}", "name": name}


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {
        **_named(snapshot.volume, snapshot.name),
        "created": _when(snapshot.created),
        "model": snapshot.geometry.name,
        "cylinders": snapshot.geometry.cylinders,
        "tracks": snapshot.geometry.tracks,
    }


def _row_of(entry: dict[str, Any]) -> dict[str, Any]:
    """A row from what a running system says of a snapshot."""
    return {**entry, **_named(int(entry["device"], 16), entry["name"]), "created": _when(entry["created"])}


def _say(as_json: bool, figures: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(figures) if as_json else text)
