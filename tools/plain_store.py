"""A storage system without a configuration file: every volume of one store, shared with emulated mainframes.

The settings are made from what the store holds and what is to be imported. A volume's device number is its number in
the store; its unit address, which only channels see, is the low byte of that where it is free.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from ccw.geometry import Geometry
from controller.array import FileDisk, StoreError, VirtualArrayStore
from controller.array.images import ImageError, open_image
from controller.array.volumes import READ_ONLY, UNIT_ADDRESS, host_volumes
from controller.config import Address, ConfigError, SharedConfig, SystemConfig, VolumeConfig

UNIT_ADDRESSES = 256
PROFILE = "3990-6"


class Import(NamedTuple):
    """An image that becomes a volume unless the device exists."""

    device: int
    path: Path


def parse_import(text: str) -> Import:
    """`DEVICE=FILE`, the device in hexadecimal. Raises ConfigError."""
    device, equals, path = text.partition("=")
    if not equals or not path or not re.fullmatch("[0-9A-Fa-f]{1,4}", device):
        raise ConfigError(f"--import {text}: DEVICE=FILE is needed, the device as 1 to 4 hexadecimal digits")
    return Import(int(device, 16), Path(path))


def settings_for(directory: Path, imports: Sequence[Import], shared: SharedConfig | None) -> SystemConfig:
    """The settings of a system over the store in `directory`, which need not exist yet. Raises ConfigError, StoreError.

    An image of a device that exists already is left alone.
    """
    known: dict[int, tuple[Geometry, int | None]] = {}
    read_only = set()
    if directory.is_dir() and any(directory.iterdir()):
        with VirtualArrayStore.open(FileDisk(directory, read_only=True)) as store:
            for info in host_volumes(store):
                attributes = store.attributes(info.number)
                known[info.number] = info.geometry, attributes.get(UNIT_ADDRESS)
                if attributes.get(READ_ONLY):
                    read_only.add(info.number)
    images: dict[int, Path] = {}
    for device, path in imports:
        if device in images:
            raise ConfigError(f"--import {device:04X}={path}: {device:04X} is imported twice")
        if device not in known:
            images[device] = path
            known[device] = _geometry(path), None
    if not known:
        raise StoreError(f"there is no volume in {directory}: --import DEVICE=FILE makes one")
    if len(known) > UNIT_ADDRESSES:
        raise StoreError(f"{len(known)} volumes in {directory}, a system has at most {UNIT_ADDRESSES}")
    addresses = addresses_for({device: address for device, (_, address) in known.items()})
    volumes = tuple(
        VolumeConfig(
            addresses[device],
            f"{geometry.device_type:04X}",
            geometry.cylinders,
            read_only=device in read_only,
            image=images.get(device),
            device_number=device,
        )
        for device, (geometry, _) in sorted(known.items())
    )
    name = xxh3_64_intdigest(str(directory.resolve()).encode())
    return SystemConfig(
        name=directory.name or "store",
        serial=f"{name % 10**12:012d}",
        ssid=1 + name % 0xFFFF,
        lss=0,
        profile=PROFILE,
        store=directory,
        volumes=volumes,
        ports=(),
        shared=shared,
    )


def addresses_for(wanted: dict[int, int | None]) -> dict[int, int]:
    """A unit address for every device: the one it had, else the low byte of its number, else the lowest free one."""
    taken: dict[int, int] = {}
    for device, address in wanted.items():
        if address is not None and address not in taken:
            taken[address] = device
    for device in sorted(set(wanted) - set(taken.values())):
        choices = (device & 0xFF, *range(UNIT_ADDRESSES))
        taken[next(address for address in choices if address not in taken)] = device
    return {device: address for address, device in taken.items()}


def _geometry(path: Path) -> Geometry:
    try:
        with open_image(path) as source:
            return source.geometry
    except ImageError as error:
        raise ConfigError(str(error)) from error


def listen_at(text: str, option: str) -> Address:
    """`HOST:PORT`, or a port of the loopback address. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") if colon else "127.0.0.1"
    if not port.isdigit() or int(port) > 0xFFFF or not host:
        raise ConfigError(f"{option} {text}: HOST:PORT is needed")
    return Address("127.0.0.1" if host == "localhost" else host, int(port))
