"""`trackbridge array`: how the devices of a parity array are, a device replaced and rebuilt, all chunks checked.

Works on an array that is not in use. Where a system is running on it, an order is left for the system, which carries
it out in the background and tells in its event log; `status` shows what the running system wrote last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from controller.array import FileDisk, StoreError, StoreLockedError
from controller.array.parity import ParityDisk, Rebuild, Scrub, attach, check_vacant, open_directories, status_of
from controller.config import ConfigError, SystemConfig, load_config
from controller.links.array_care import ORDER_FILE, STATUS_FILE, replace_file
from tools.bad_input import BadInput

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
config_argument = click.argument("config", type=click.Path(path_type=Path))


@click.group()
def array() -> None:
    """Look after the devices of a parity array: CONFIG is the TOML file of its storage system."""


@array.command()
@config_argument
@json_option
def status(config: Path, as_json: bool) -> None:
    """Show the devices of the array. Exit status 1: a device is out, or not yet rebuilt."""
    settings = _settings(config)
    try:
        with _opened(settings, read_only=True) as disk:
            found = status_of(disk)
    except StoreLockedError as error:
        found = _told_by_running_system(settings, error)
    click.echo(json.dumps(found, indent=2)) if as_json else _show(found)
    sys.exit(1 if found["degraded"] else 0)


@array.command()
@config_argument
@click.argument("device")
@json_option
def replace(config: Path, device: str, as_json: bool) -> None:
    """Take DEVICE (a directory of the configuration, or its number from 1) in place of the one that is out; rebuild it.

    Its directory is to be empty, or the device that was away. Interrupted, the rebuild goes on at the next start.
    """
    settings = _settings(config)
    index = _device(settings, device)
    try:
        with _opened(settings) as disk:
            _attach(disk, index, settings.devices[index])
            with _bar("rebuild") as show:
                work = Rebuild(disk)
                while work.step():
                    show(*work.progress())
            found = status_of(disk)
    except StoreLockedError:
        _order(settings, {"do": "replace", "device": index}, as_json)
        return
    click.echo(json.dumps(found, indent=2)) if as_json else _show(found)
    sys.exit(1 if found["degraded"] else 0)


@array.command()
@config_argument
@click.option("--check", is_flag=True, help="Repair nothing.")
@json_option
def scrub(config: Path, check: bool, as_json: bool) -> None:
    """Read every chunk, and repair from parity what does not match its checksum. Exit status 1: something was wrong."""
    settings = _settings(config)
    try:
        with _opened(settings, read_only=check) as disk, _bar("scrub") as show:
            work = Scrub(disk)
            while work.step(1 << 22):
                show(*work.progress())
    except StoreLockedError as error:
        if check:
            raise BadInput(f"{config}: {error}") from error
        _order(settings, {"do": "scrub"}, as_json)
        return
    repaired = sum(damage.repaired for damage in work.damage)
    figures = {
        "checked_chunks": work.checked,
        "damaged_stripes": len(work.damage),
        "repaired_stripes": repaired,
        "damaged_journals": [str(settings.devices[index]) for index in work.journals],
        "damage": [
            {**damage._asdict(), "devices": [str(settings.devices[index]) for index in damage.devices]}
            for damage in work.damage
        ],
    }
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        for damage in work.damage[:20]:
            names = ", ".join(str(settings.devices[index]) for index in damage.devices)
            done = "repaired" if damage.repaired else "not repaired"
            click.echo(f"segment {damage.segment}, stripe {damage.stripe}, {names}: {done}")
        click.echo(f"{work.checked:,} chunks checked, {len(work.damage):,} stripes damaged, {repaired:,} repaired")
    sys.exit(1 if work.damage or work.journals else 0)


def _settings(path: Path) -> SystemConfig:
    try:
        settings = load_config(path)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    if not settings.devices:
        raise BadInput(f"{path}: store: it is a directory, not a parity array of devices")
    return settings


def _device(settings: SystemConfig, text: str) -> int:
    """The index of a device, by number or directory."""
    if text.isdecimal() and 1 <= int(text) <= len(settings.devices):
        return int(text) - 1
    for index, directory in enumerate(settings.devices):
        if Path(text).absolute() == directory.absolute():
            return index
    raise BadInput(f"{text} is none of the {len(settings.devices)} devices of the configuration")


@contextmanager
def _opened(settings: SystemConfig, *, read_only: bool = False) -> Iterator[ParityDisk]:
    """The array; StoreLockedError where a system has it open, every other error as bad input."""
    try:
        if not any(directory.exists() for directory in settings.devices):
            raise StoreError("there is no array yet: none of its directories exists")
        disk = open_directories(settings.devices, parity=settings.parity, read_only=read_only)
        try:
            yield disk
        finally:
            disk.close()
    except StoreLockedError:
        raise
    except StoreError as error:
        raise BadInput(str(error)) from error


def _attach(disk: ParityDisk, index: int, directory: Path) -> None:
    """Take the device in, unless its rebuild was begun before."""
    if disk.state.members[index].condition.name == "REBUILDING":
        return
    check_vacant(disk, index)
    medium = FileDisk(directory)
    try:
        attach(disk, index, medium)
    except BaseException:
        medium.close()
        raise


def _order(settings: SystemConfig, order: dict[str, Any], as_json: bool) -> None:
    """Leave an order for the system that has the array open."""
    path = settings.store / ORDER_FILE
    if path.exists():
        raise BadInput(f"{path}: an earlier order has not been taken yet")
    replace_file(path, json.dumps(order))
    if as_json:
        click.echo(json.dumps({"ordered": order}))
    else:
        click.echo("the array is in use: ordered from the running system, which tells in its event log")


def _told_by_running_system(settings: SystemConfig, error: StoreLockedError) -> dict[str, Any]:
    path = settings.store / STATUS_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BadInput(f"{error}, and the system has not yet written {path}") from error
    return found


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """A bar on stderr, for a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("device", "state", "decoded", ""):
        table.add_column(column, overflow="fold")
    for device in found["devices"]:
        table.add_row(device["device"], device["state"], str(device["decoded"]), device.get("why", ""))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    spare = found["spare"]
    state = "degraded" if found["degraded"] else "whole"
    click.echo(f"array {found['array']}, parity {found['parity']}: {state}, {max(spare, 0)} more devices may be lost")
    if found["rebuild"]["total_bytes"]:
        click.echo("rebuilt: {done_bytes:,} of {total_bytes:,} bytes".format(**found["rebuild"]))
    if found["fenced"]:
        click.echo(found["fenced"])
