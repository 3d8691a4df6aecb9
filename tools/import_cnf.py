"""`trackbridge import-cnf` takes over the disks of a Hercules configuration, `hercules-conf` prints its new lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ccw.geometry import Geometry
from controller.array import FileDisk, StoreError, VirtualArrayStore
from controller.array.images import ImageError, import_image, open_image, shadow_files_made
from controller.array.volumes import host_volumes
from controller.config import Address, ConfigError, load_config
from tools.bad_input import BadInput
from tools.hercules_cnf import DasdLine, dasd_lines, shared_line
from tools.plain_store import PROFILE, UNIT_ADDRESSES, addresses_for, listen_at
from tools.stores import progress_bar, store_errors
from tools.system_client import SystemClient, system_options

CONFIG_NAME = "config.toml"
LINES_NAME = "hercules-dasd.cnf"
STORE_NAME = "store"


@click.command("import-cnf")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("trackbridge"), show_default=True, metavar="DIR",
              help="Where the store, config.toml and the new lines go.")
@click.option("--shared-dasd", "shared", default="127.0.0.1:3990", show_default=True, metavar="HOST:PORT",
              help="Where the volumes will be shared.")
@click.option("--management", default="127.0.0.1:8090", show_default=True, metavar="HOST:PORT",
              help="Where operators will reach the system.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_cnf(configuration: Path, out: Path, shared: str, management: str, as_json: bool) -> None:  # fmt: skip
    """Import the disks of CONFIGURATION, a hercules.cnf, and write what serves them and what attaches them.

    The images are only read. All are looked at before the first is imported; a run that was cut off can be repeated.
    A config.toml that says something else by now is not replaced.
    """
    try:
        listen, operators = listen_at(shared, "--shared-dasd"), listen_at(management, "--management")
        entries = dasd_lines(configuration)
        if not entries:
            raise ConfigError(f"{configuration}: there is no CKD device with an image in it")
        if len(entries) > UNIT_ADDRESSES:
            raise ConfigError(f"{configuration}: {len(entries)} devices, a system has at most {UNIT_ADDRESSES}")
        shapes = {entry.number: _shape(entry) for entry in entries}
    except ConfigError as error:
        raise BadInput(str(error)) from error
    store, config, lines = (out / name for name in (STORE_NAME, CONFIG_NAME, LINES_NAME))
    with store_errors(str(store)):
        text = _config(entries, shapes, listen, operators)
        if config.exists() and config.read_bytes() != text.encode():
            raise BadInput(f"{config}: there already, with other contents, which are kept: move it away, or --out DIR")
        new = _import(store, entries)
        config.write_text(text, encoding="utf-8")
        lines.write_text("".join(f"{line}\n" for line in _lines(entries, listen)), encoding="utf-8")
    _report(as_json, entries, shapes, new, config, lines)


def _shape(entry: DasdLine) -> Geometry:
    try:
        with open_image(entry.image, _shadows(entry)) as source:
            geometry = source.geometry
    except ImageError as error:
        raise ConfigError(f"{entry.where}: {error}") from error
    if f"{geometry.device_type:04X}" != entry.device_type:
        raise ConfigError(
            f"{entry.where}: {entry.image} is of a {geometry.device_type:04X}, not {entry.device_type}"
        )
    return geometry


def _shadows(entry: DasdLine) -> list[Path]:
    return shadow_files_made(entry.shadows) if entry.shadows is not None else []


def _import(store: Path, entries: list[DasdLine]) -> list[int]:
    """Import what the store does not have yet: those device numbers."""
    store.mkdir(parents=True, exist_ok=True)
    new = []
    with VirtualArrayStore.open(FileDisk(store)) as opened:
        known = {info.number for info in host_volumes(opened)}
        for entry in entries:
            if entry.number in known:
                continue
            with progress_bar(f"{entry.number:04X} {entry.image.name}") as progress:
                import_image(opened, entry.number, entry.image, shadows=_shadows(entry), progress=progress)
            new.append(entry.number)
    return new


def _config(entries: list[DasdLine], shapes: dict[int, Geometry], listen: Address, operators: Address) -> str:
    addresses = addresses_for({entry.number: None for entry in entries})
    parts = [
        'name = "hercules"\nserial = "000000000001"\nssid = "0001"\n'
        f'profile = "{PROFILE}"\nstore = "{STORE_NAME}"\n\n'
        f'[shared_dasd]\nlisten = "{listen}"\n\n[management]\nlisten = "{operators}"\n'
    ]
    for entry in entries:
        parts.append(
            f'\n[[volume]]\naddress = "{addresses[entry.number]:02X}"\ndevice_number = "{entry.number:04X}"\n'
            f'type = "{entry.device_type}"\ncylinders = {shapes[entry.number].cylinders}\n'
            + ("read_only = true\n" if entry.read_only else "")
        )
    return "".join(parts)


def _lines(entries: list[DasdLine], listen: Address) -> list[str]:
    return [
        shared_line(entry.number, entry.device_type, listen.host, listen.port, read_only=entry.read_only)
        for entry in entries
    ]


def _report(
    as_json: bool, entries: list[DasdLine], shapes: dict[int, Geometry], new: list[int], config: Path, lines: Path
) -> None:
    if as_json:
        rows = [
            {"device": f"{entry.number:04X}", "model": shapes[entry.number].name, "image": str(entry.image),
             "imported": entry.number in new}
            for entry in entries
        ]  # fmt: skip
        click.echo(json.dumps({"config": str(config), "lines": str(lines), "devices": rows}, indent=2))
        return
    for entry in entries:
        what = "imported" if entry.number in new else "was there already"
        if entry.shadows is not None and not _shadows(entry):
            what += f", without shadow files: there is no {entry.shadows} yet"
        click.echo(f"{entry.number:04X} {shapes[entry.number].name}: {entry.image} {what}")
    click.echo(f"\nServe them:        trackbridge serve {config}")
    click.echo(f"In the configuration of Hercules, in place of the old lines ({lines}):")
    click.echo(lines.read_text(encoding="utf-8"), nl=False)


@click.command("hercules-conf")
@click.argument("config", type=click.Path(path_type=Path), required=False)
@system_options
@click.option("--shared-dasd", "shared", metavar="HOST:PORT", help="Where clients reach the system, if not as it says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def hercules_conf(
    config: Path | None, system: str | None, token_file: Path | None, shared: str | None, as_json: bool
) -> None:
    """Print the lines that attach the volumes of CONFIG.toml, or of a running system (--system), to Hercules."""
    if (config is None) == (system is None):
        raise BadInput("either CONFIG.toml or --system URL is needed")
    try:
        given = listen_at(shared, "--shared-dasd") if shared is not None else None
        if config is not None:
            lines = _lines_of_config(config, given)
        else:
            assert system is not None
            lines = _lines_of_system(SystemClient(system, token_file), given)
    except (ConfigError, StoreError) as error:
        raise BadInput(str(error)) from error
    click.echo(json.dumps({"lines": lines}, indent=2) if as_json else "\n".join(lines))


def _lines_of_config(path: Path, given: Address | None) -> list[str]:
    settings = load_config(path)
    address = given or (settings.shared.listen if settings.shared is not None else None)
    if address is None:
        raise ConfigError(f"{path}: shared_dasd: the system shares nothing (or say --shared-dasd)")
    return [
        shared_line(volume.number, volume.device_type, *address, read_only=volume.read_only)
        for volume in settings.volumes
    ]


def _lines_of_system(client: SystemClient, given: Address | None) -> list[str]:
    shared: Any = client.get("/v1/system").get("shared_dasd")
    address = given or (Address(shared[0], shared[1]) if shared else None)
    if address is None:
        raise BadInput("the system shares nothing (or say --shared-dasd)")
    return [
        shared_line(int(volume["device"], 16), volume["model"][:4], *address, read_only=volume["read_only"])
        for volume in client.get("/v1/volumes")["volumes"]
    ]
