"""Arrays of devices in memory, filled, rebuilt and scrubbed."""

from random import Random

import pytest

from controller.array import Disk, MemoryDisk
from controller.array.parity import ParityDisk, Rebuild, Scrub, open_parity
from tests.helpers.crash_array import CrashArray, CrashDevice

LENGTH = 30_000
CHUNK_BYTES, JOURNAL_BYTES = 512, 1 << 15


def open_array(disks: list[Disk | None], parity: int) -> ParityDisk:
    return open_parity(disks, parity=parity, chunk_bytes=CHUNK_BYTES, journal_bytes=JOURNAL_BYTES)


def filled(devices: int, parity: int) -> tuple[list[CrashDevice], ParityDisk, dict[int, bytes]]:
    """An array with two segments, written in small pieces, and what is in them."""
    media = CrashArray(devices).devices
    disk = open_array(list(media), parity)
    random = Random(devices)
    contents = {}
    for number in (1, 2):
        disk.create(number, LENGTH, b"")
        contents[number] = random.randbytes(LENGTH - 700) + bytes(700)
        offset = 0
        while offset < LENGTH - 700:
            piece = contents[number][offset : min(offset + random.randrange(1, 4000), LENGTH - 700)]
            disk.write(number, offset, [piece])
            disk.sync(number)
            offset += len(piece)
    return media, disk, contents


def contents_of(disk: Disk) -> dict[int, bytes]:
    return {number: disk.read(number, 0, length) for number, length in disk.segments().items()}


def rebuild(disk: ParityDisk, limit_bytes: int = 3000) -> int:
    work, steps = Rebuild(disk), 0
    while work.step(limit_bytes):
        steps += 1
    return steps


def scrub(disk: ParityDisk) -> Scrub:
    work = Scrub(disk)
    while work.step(10_000):
        pass
    return work


SHAPES = pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 1), (5, 2), (8, 2)])


def change(devices: list[CrashDevice], what: str) -> list[Disk | None]:
    other, _, _ = filled(len(devices), 1)
    other[0].number = 77
    foreign = CrashArray(4)
    foreign.devices[0].number = 99
    open_array(list(foreign.devices), 1).close()
    plain = MemoryDisk()
    plain.create(1, 4096, b"a track store")
    changed: dict[str, list[Disk | None]] = {
        "swapped": [devices[0], devices[2], devices[1], devices[3]],
        "foreign": [devices[0], foreign.devices[1], devices[2], devices[3]],
        "fewer": [devices[0], devices[1], devices[2]],
        "plain": [devices[0], plain, devices[2], devices[3]],
    }
    return changed[what]
