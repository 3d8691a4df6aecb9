"""Speed of a parity array beside a plain directory, on the same file system in the same run (`make bench`).

All devices lie on one physical disk here, so what is seen is the cost: N / (N - p) times the bytes and N times the
fdatasync; on disks of their own the devices work beside each other. A round of `writes` is sixteen tracks made
durable; of `reads` one track; of `rebuild` and `scrub` a whole device or array that holds 64 MB.
"""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ccw.stored_track import CODEC_NONE, StoredTrack
from controller.array import Disk, FileDisk, VirtualArrayStore
from controller.array.parity import ParityDisk, Rebuild, Scrub, attach, open_directories

GROUP = 16
TRACK_BYTES = 12_000  # about a card track as it is stored
FILLED_BYTES = 64 << 20
SHAPES = {"plain": (1, 0), "3 devices, parity 1": (3, 1), "5 devices, parity 1": (5, 1), "6 devices, parity 2": (6, 2)}
PARITY_SHAPES = [name for name, (_, parity) in SHAPES.items() if parity]


def open_shape(directory: Path, shape: str) -> Disk:
    devices, parity = SHAPES[shape]
    if not parity:
        return FileDisk(directory)
    return open_directories([directory / f"device-{number}" for number in range(devices)], parity=parity)


def tracks() -> list[StoredTrack]:
    random = Random(1)
    return [StoredTrack(CODEC_NONE, TRACK_BYTES, random.randbytes(TRACK_BYTES)) for _ in range(GROUP)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.benchmark(group="parity: writes")
def test_writes(benchmark: Any, tmp_path: Path, shape: str) -> None:
    group = tracks()
    with VirtualArrayStore.open(open_shape(tmp_path, shape)) as store:
        store.define_volume(0, {})

        def write() -> None:
            for track, item in enumerate(group):
                store.write_stored(0, track, item)
            store.sync()

        benchmark(write)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.benchmark(group="parity: reads")
def test_reads(benchmark: Any, tmp_path: Path, shape: str) -> None:
    with VirtualArrayStore.open(open_shape(tmp_path, shape)) as store:
        store.define_volume(0, {})
        for track in range(1000):
            store.write_stored(0, track, tracks()[0] if track == 0 else StoredTrack(0, TRACK_BYTES, bytes(TRACK_BYTES)))
        store.sync()
        numbers = count()
        benchmark(lambda: store.read(0, next(numbers) * 7 % 1000))


@pytest.mark.parametrize("shape", PARITY_SHAPES)
@pytest.mark.benchmark(group="parity: reads")
def test_reads_degraded(benchmark: Any, tmp_path: Path, shape: str) -> None:
    """As many devices missing as may be."""
    with VirtualArrayStore.open(open_shape(tmp_path, shape)) as store:
        store.define_volume(0, {})
        for track in range(1000):
            store.write_stored(0, track, StoredTrack(0, TRACK_BYTES, bytes(TRACK_BYTES)))
    for number in range(SHAPES[shape][1]):
        shutil.rmtree(tmp_path / f"device-{number}")
    with VirtualArrayStore.open(open_shape(tmp_path, shape)) as store:
        numbers = count()
        benchmark(lambda: store.read(0, next(numbers) * 7 % 1000))


def filled(directory: Path, shape: str) -> Disk:
    disk = open_shape(directory, shape)
    disk.create(1, FILLED_BYTES, b"")
    data = Random(2).randbytes(1 << 20)
    for offset in range(0, FILLED_BYTES, len(data)):
        disk.write(1, offset, [data])
    disk.sync(1)
    return disk


@pytest.mark.benchmark(group="parity: scrub")
def test_plain_read_of_everything(benchmark: Any, tmp_path: Path) -> None:
    disk = filled(tmp_path, "plain")
    benchmark.pedantic(lambda: [disk.read(1, at, 1 << 20) for at in range(0, FILLED_BYTES, 1 << 20)], rounds=5)
    disk.close()


@pytest.mark.parametrize("shape", PARITY_SHAPES)
@pytest.mark.benchmark(group="parity: scrub")
def test_scrub(benchmark: Any, tmp_path: Path, shape: str) -> None:
    disk = filled(tmp_path, shape)
    assert isinstance(disk, ParityDisk)

    def scrub() -> None:
        work = Scrub(disk)
        while work.step():
            pass
        assert not work.damage

    benchmark.pedantic(scrub, rounds=5)
    disk.close()


@pytest.mark.parametrize("shape", PARITY_SHAPES)
@pytest.mark.benchmark(group="parity: rebuild")
def test_rebuild(benchmark: Any, tmp_path: Path, shape: str) -> None:
    filled(tmp_path, shape).close()

    def lose() -> tuple[tuple[ParityDisk], dict[str, Any]]:
        for opened in disks:
            opened.close()
        shutil.rmtree(tmp_path / "device-1")
        disk = open_shape(tmp_path, shape)
        assert isinstance(disk, ParityDisk)
        disks[:] = [disk]
        attach(disk, 1, FileDisk(tmp_path / "device-1"))
        return (disk,), {}

    def rebuild(disk: ParityDisk) -> None:
        work = Rebuild(disk)
        while work.step():
            pass
        assert not disk.degraded

    disks: list[ParityDisk] = []
    benchmark.pedantic(rebuild, setup=lose, rounds=5)
    disks[0].close()


@pytest.mark.benchmark(group="parity: rebuild")
def test_plain_copy_of_a_device(benchmark: Any, tmp_path: Path) -> None:
    """The bytes of one of five devices, read and written to another file and synced."""
    disk = open_shape(tmp_path, "plain")
    length = FILLED_BYTES // 4
    disk.create(1, length, b"")
    numbers = count(2)
    data = Random(2).randbytes(length)
    disk.write(1, 0, [data])
    disk.sync(1)

    def copy() -> None:
        number = next(numbers)
        disk.create(number, length, b"")
        disk.write(number, 0, [disk.read(1, 0, length)])
        disk.sync(number)
        disk.remove(number)

    benchmark.pedantic(copy, rounds=5)
    disk.close()
