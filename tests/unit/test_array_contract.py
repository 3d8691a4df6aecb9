"""Every track store and every disk keeps its contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.array import FileDisk, MemoryDisk, VirtualArrayStore
from tests.helpers.contracts import DiskContract, TrackStoreContract
from tests.helpers.crash_disk import CrashDisk
from tests.helpers.oracle import DictStore


class TestDictStore(TrackStoreContract):
    """The oracle itself, so that it and the store answer to the same suite."""

    @pytest.fixture
    def store(self) -> DictStore:
        return DictStore()


class TestStoreInMemory(TrackStoreContract):
    """A store with segments so large that nothing rolls over."""

    @pytest.fixture
    def store(self) -> Iterator[VirtualArrayStore]:
        with VirtualArrayStore.open(MemoryDisk()) as store:
            yield store


class TestStoreInSmallSegments(TrackStoreContract):
    """A store that fills a segment every few records."""

    @pytest.fixture
    def store(self) -> Iterator[VirtualArrayStore]:
        with VirtualArrayStore.open(CrashDisk(MemoryDisk()), segment_bytes=4096) as store:
            yield store


class TestStoreInFiles(TrackStoreContract):
    """A store as a system uses it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[VirtualArrayStore]:
        with VirtualArrayStore.open(FileDisk(tmp_path / "store"), segment_bytes=1 << 16) as store:
            yield store


class TestStoreReopened(TrackStoreContract):
    """A store that went through close and open before."""

    @pytest.fixture
    def store(self) -> Iterator[VirtualArrayStore]:
        disk = MemoryDisk()
        VirtualArrayStore.open(disk, segment_bytes=4096).close()
        with VirtualArrayStore.open(disk, segment_bytes=8192) as store:
            yield store


class TestMemoryDisk(DiskContract):
    @pytest.fixture
    def disk(self) -> MemoryDisk:
        return MemoryDisk()


class TestCrashDisk(DiskContract):
    @pytest.fixture
    def disk(self) -> CrashDisk:
        return CrashDisk(MemoryDisk())


class TestFileDisk(DiskContract):
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[FileDisk]:
        disk = FileDisk(tmp_path / "store")
        yield disk
        disk.close()
