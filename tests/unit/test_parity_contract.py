"""A parity array keeps the contract of every disk, and a store on it that of every store: whole, degraded, in files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.array import Disk, MemoryDisk, VirtualArrayStore
from controller.array.parity import open_directories, open_parity
from tests.helpers.contracts import DiskContract, TrackStoreContract

JOURNAL_BYTES = 1 << 16


class TestParityDisk(DiskContract):
    @pytest.fixture(params=[(3, 1, 512), (5, 1, 300), (5, 2, 512), (7, 2, 4096)])
    def disk(self, request: pytest.FixtureRequest) -> Disk:
        devices, parity, chunk = request.param
        disks = [MemoryDisk() for _ in range(devices)]
        return open_parity(disks, parity=parity, chunk_bytes=chunk, journal_bytes=JOURNAL_BYTES)


class TestDegradedParityDisk(DiskContract):
    """As many devices missing as may be."""

    @pytest.fixture(params=[(3, 1), (5, 2)])
    def disk(self, request: pytest.FixtureRequest) -> Disk:
        devices, parity = request.param
        disks = [MemoryDisk() for _ in range(devices)]
        open_parity(disks, parity=parity, chunk_bytes=512, journal_bytes=JOURNAL_BYTES).close()
        left = [None if index < parity else disk for index, disk in enumerate(disks)]
        return open_parity(left, parity=parity)


class TestParityDirectories(DiskContract):
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Disk]:
        disk = open_directories(
            [tmp_path / name for name in "abcde"], parity=2, journal_bytes=JOURNAL_BYTES, chunk_bytes=512
        )
        yield disk
        disk.close()


class TestStoreOnParity(TrackStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[VirtualArrayStore]:
        disk = open_parity([MemoryDisk() for _ in range(4)], parity=1, chunk_bytes=512, journal_bytes=JOURNAL_BYTES)
        with VirtualArrayStore.open(disk, segment_bytes=1 << 16) as store:
            yield store
