"""The store that a command works on, and what every command over stores shares: numbers, errors, progress bars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ccw.errors import FormatError
from controller.app import attach_images, open_disk
from controller.array import CorruptionError, Disk, DiskError, FileDisk, StoreError, StoreLockedError, VirtualArrayStore
from controller.array.volumes import HOST_VOLUMES, UNIT_ADDRESS
from controller.config import ConfigError, SystemConfig, load_config
from controller.remote_copy.records import Records
from tools.bad_input import BadInput

Command = TypeVar("Command", bound=Callable[..., Any])
Advance = Callable[[int, int], None]


class StorePlace:
    """Where a store is: a directory, or what a configuration file names (a directory, or the devices of an array)."""

    def __init__(self, directory: Path | None, config: Path | None) -> None:
        if (directory is None) == (config is None):
            raise BadInput("either --store DIR or --config CONFIG.toml is needed")
        self._directories: tuple[Path, ...] = ()
        self._settings: SystemConfig | None = None
        if config is not None:
            try:
                self._settings = load_config(config)
            except ConfigError as error:
                raise BadInput(str(error)) from error
            self._directories = self._settings.devices or (self._settings.store,)
        if directory is not None:
            self._directories = (directory,)

    @contextmanager
    def open(self, *, write: bool = False, create: bool = False) -> Iterator[VirtualArrayStore]:
        """The store, open to be read unless `write`; every error of it is one line on stderr and exit status 2."""
        names = ", ".join(map(str, self._directories))
        with store_errors(names):
            if not create and not any(directory.is_dir() for directory in self._directories):
                raise StoreError(f"there is no track store {names}")
            disk = self._disk(read_only=not write)
            try:
                store = VirtualArrayStore.open(disk)
            except BaseException:
                disk.close()
                raise
            with store:
                if self._settings is not None:
                    attach_images(store, self._settings)
                yield store

    def _disk(self, *, read_only: bool) -> Disk:
        if self._settings is not None:
            return open_disk(self._settings, read_only=read_only)
        return FileDisk(self._directories[0], read_only=read_only)


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Turn what a store or an image raises into BadInput; `name` says which store."""
    try:
        yield
    except StoreLockedError as error:
        raise BadInput(f"{error}: a running system or another command has it") from error
    except (FormatError, CorruptionError, DiskError) as error:  # they say where in the store, not in which
        raise BadInput(f"{name}: {error}") from error
    except (StoreError, OSError) as error:
        raise BadInput(str(error)) from error


def store_options(command: Command) -> Command:
    """`--store` and `--config` of a command, which gets them as `store` and `config`."""
    command = click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="CONFIG.toml of a system: its store."
    )(command)
    return click.option("--store", type=click.Path(path_type=Path), metavar="DIR", help="The store's directory.")(
        command
    )


def volume_number(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Callback of a device address: 1 to 4 hexadecimal digits."""
    if value is None:
        return None
    if not re.fullmatch("[0-9A-Fa-f]{1,4}", value):
        raise BadInput(f"{parameter.human_readable_name}: {value!r} is not in 0-{HOST_VOLUMES - 1:X}")
    return int(value, 16)


def why_not_replaced(store: VirtualArrayStore) -> Callable[[int], str | None]:
    """Tells why the contents of a volume must not be replaced: a pair or a bridge would not know of it."""
    records = Records(store)
    pairs = {pair.volume: pair for pair in records.pairs()}
    bridges = records.bridges()
    known = store.volumes()

    def why(number: int) -> str | None:
        volume = known.get(number, {}).get(UNIT_ADDRESS, number)
        if volume in pairs:
            pair = pairs[volume]
            side = "primary" if pair.is_primary else "secondary"
            return f"it is the {side} of pair {pair.pair_id} ({pair.state.name.lower().replace('_', ' ')})"
        return f"it is a volume of bridge {bridges[volume][1]}" if volume in bridges else None

    return why


@contextmanager
def progress_bar(title: str, *, hidden: bool = False) -> Iterator[Advance | None]:
    """A bar on stderr, told (done, in all); None where stderr is no terminal."""
    console = Console(stderr=True)
    if hidden or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
