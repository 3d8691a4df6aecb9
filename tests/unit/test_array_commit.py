"""Group commit: what the disk is asked to do and when, who may be told, and what a failure leaves behind."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from controller.array import (
    DiskError,
    DiskFullError,
    FencedError,
    MemoryDisk,
    StoredTrack,
    VirtualArrayStore,
    compress_track,
)
from controller.array.format import record_bytes
from tests.helpers.contracts import image
from tests.helpers.crash_disk import CrashDisk, DiskFaults

SEGMENT_BYTES = 4096


def open_store(disk: MemoryDisk | CrashDisk, segment_bytes: int = SEGMENT_BYTES) -> VirtualArrayStore:
    return VirtualArrayStore.open(disk, segment_bytes=segment_bytes)


def test_a_batch_is_one_write_and_one_sync() -> None:
    disk = CrashDisk(MemoryDisk())
    store = open_store(disk, 1 << 20)
    store.define_volume(1, {})
    for track in range(16):
        store.write(1, track, image(b"A", 5000))
    disk.operations.clear()
    store.sync()
    assert disk.operations == [("write", 1), ("sync", 1)]
    store.sync()
    assert len(disk.operations) == 2


def test_a_segment_is_durable_before_the_next_exists() -> None:  # I7
    disk = CrashDisk(MemoryDisk())
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(100):
        store.write_stored(1, track, StoredTrack(0, 700, bytes(700)))
        if track % 13 == 0:
            store.sync()
    store.close()
    dirty = Counter[int]()
    for operation, number in disk.operations:
        if operation == "create":
            assert not any(dirty.values())
        dirty[number] = operation == "write"
    assert not any(dirty.values())
    assert len(disk.segments()) == 100 // 5 + 1  # five fill one; the first has others beside


def test_the_middle_phase_may_run_beside_the_main_thread() -> None:
    """While a batch is written, the main thread changes, reads and snaps; its changes go into the next batch."""
    store = open_store(MemoryDisk(), 1 << 16)
    store.define_volume(1, {})
    store.define_volume(2, {})
    random = Random(1)
    expected: dict[int, bytes] = {}
    with ThreadPoolExecutor(1) as worker:
        for turn in range(60):
            for _ in range(8):
                track = random.randrange(1200)
                expected[track] = image(b"%d %d" % (turn, track), random.randrange(100, 2000))
                store.write(1, track, expected[track])
            batch = store.take_batch()
            assert batch is not None
            done = worker.submit(store.commit, batch)
            store.snapshot(1, 2)
            store.write(1, 5000 + turn, image(b"beside"))
            for track, data in random.sample(sorted(expected.items()), 8):
                assert store.read(1, track) == store.read(2, track) == data
            done.result()
            assert store.committed(batch) == batch.last == store.durable < store.appended
    store.sync()
    assert store.allocated(1) == len(expected) + 60


def test_durable_advances_only_when_told() -> None:
    store = open_store(MemoryDisk())
    opened = store.durable
    store.define_volume(1, {})
    store.write(1, 0, image(b"A"))
    batch = store.take_batch()
    assert batch is not None
    assert (batch.records, batch.last, store.durable) == (2, store.appended, opened)
    store.commit(batch)
    assert store.durable == opened
    store.committed(batch)
    assert store.durable == store.appended
    assert store.take_batch() is None


def test_the_phases_in_any_other_order_are_our_bug() -> None:
    store = open_store(MemoryDisk())
    store.define_volume(1, {})
    batch = store.take_batch()
    assert batch is not None
    with pytest.raises(AssertionError):
        store.committed(batch)
    with pytest.raises(AssertionError):
        store.take_batch()
    store.commit(batch)
    store.committed(batch)
    with pytest.raises(AssertionError):
        store.committed(batch)
    with pytest.raises(AssertionError):
        store.failed(batch)


@pytest.mark.parametrize("faults", [DiskFaults(sync_error_at=0), DiskFaults(write_error_at=0)])
def test_a_failed_commit_fences_the_array(faults: DiskFaults) -> None:  # I10
    memory = MemoryDisk()
    disk = CrashDisk(memory)
    store = open_store(disk)
    store.define_volume(1, {})
    store.write(1, 0, image(b"old"))
    durable = store.sync()
    store.write(1, 0, image(b"new"))
    disk.arm(faults)
    with pytest.raises(DiskError):
        store.sync()
    appended = store.appended
    stored = compress_track(image(b"B"))
    for refused in (
        lambda: store.write(1, 1, image(b"A")),
        lambda: store.write_stored(1, 1, stored),
        lambda: store.move(1, 0, 1, 1),
        lambda: store.release_space(1, 0, 1),
        lambda: store.put("a", b"b"),
        lambda: store.define_volume(2, {}),
        lambda: store.delete_volume(1),
        store.take_batch,
        store.sync,
    ):
        with pytest.raises(FencedError):
            refused()
    assert store.fenced
    assert (store.appended, store.durable) == (appended, durable)
    assert store.read(1, 0) == image(b"new")
    assert store.volumes() == {1: {}}
    count = len(disk.operations)
    store.close()
    assert len(disk.operations) == count
    memory.crash(Random(0))
    assert open_store(memory).read(1, 0) in (image(b"old"), image(b"new"))


def test_an_error_at_every_sync_of_a_run() -> None:  # I1, I10
    """Whichever fdatasync fails: nothing after it is acknowledged, everything before it survives."""
    for failing in range(40):
        memory = MemoryDisk()
        disk = CrashDisk(memory)
        store = open_store(disk)
        store.define_volume(1, {})
        store.sync()
        disk.arm(DiskFaults(sync_error_at=failing))
        acknowledged = -1
        with pytest.raises(DiskError):
            for track in range(41):
                store.write_stored(1, track, StoredTrack(0, 600, bytes([track]) * 600))
                store.sync()
                acknowledged = track
        with pytest.raises(FencedError):
            store.sync()
        memory.crash(Random(failing))
        store = open_store(memory)
        assert store.allocated(1) >= acknowledged + 1
        for track in range(acknowledged + 1):
            assert store.read(1, track) == bytes([track]) * 600


def test_a_full_medium_says_so_and_keeps_what_it_has() -> None:
    memory = MemoryDisk(capacity_bytes=7 * SEGMENT_BYTES)
    store = open_store(memory)
    store.define_volume(1, {})
    written = 0
    with pytest.raises(DiskFullError, match="no room for"):
        while True:
            store.write_stored(1, written, StoredTrack(0, 900, bytes(900)))
            store.sync()
            written += 1
    assert written > 10
    store.close()
    store = open_store(memory)
    assert store.allocated(1) == written


def test_a_record_longer_than_a_segment_changes_nothing() -> None:
    store = open_store(MemoryDisk())
    store.define_volume(1, {})
    appended = store.appended
    with pytest.raises(ValueError, match="does not fit a segment of 4096"):
        store.write(1, 0, Random(0).randbytes(5000))
    with pytest.raises(ValueError):
        store.write(1, 0, b"")
    assert (store.appended, store.read(1, 0), store.reference_counts()) == (appended, None, {})
    largest = SEGMENT_BYTES - 80 - record_bytes(0)
    store.write_stored(1, 0, StoredTrack(0, largest, bytes(largest)))
    store.sync()
    assert store.read(1, 0) == bytes(largest)


def test_close_makes_the_last_changes_durable() -> None:
    memory = MemoryDisk()
    with open_store(memory) as store:
        store.define_volume(1, {})
        store.write(1, 0, image(b"A"))
    memory.crash(Random(0))
    with open_store(memory) as store:
        assert store.read(1, 0) == image(b"A")
        store.close()
        store.close()
        with pytest.raises(Exception, match="closed"):
            store.write(1, 0, image(b"A"))


def test_close_takes_a_batch_that_was_written_and_refuses_under_a_commit() -> None:
    memory = MemoryDisk()
    store = open_store(memory)
    store.define_volume(1, {})
    batch = store.take_batch()
    assert batch is not None
    batch.writing = True
    with pytest.raises(AssertionError, match="under a commit"):
        store.close()
    batch.writing = False
    store.commit(batch)
    store.write(1, 0, image(b"A"))
    store.close()
    memory.crash(Random(0))
    assert open_store(memory).read(1, 0) == image(b"A")


def test_a_full_array_takes_what_frees_it_and_goes_on_when_there_is_room() -> None:
    """A refused write changes nothing and fences nothing; a delete is taken even then; room makes writes work again."""
    memory = MemoryDisk(capacity_bytes=7 * SEGMENT_BYTES)
    store = open_store(memory)
    store.define_volume(1, {})
    with pytest.raises(DiskFullError):
        for track in range(100):
            store.write_stored(1, track, StoredTrack(0, 900, bytes(900)))
    appended, allocated = store.appended, store.allocated(1)
    for _ in range(3):
        with pytest.raises(DiskFullError):
            store.write_stored(1, 200, StoredTrack(0, 900, bytes(900)))
    assert (store.appended, store.allocated(1), store.fenced) == (appended, allocated, False)
    assert store.sync() == appended
    for track in range(40):
        store.release_space(1, track, track + 1)
    assert store.sync() == appended + 40
    memory.capacity_bytes = 9 * SEGMENT_BYTES
    store.write_stored(1, 200, StoredTrack(0, 900, bytes(900)))
    store.sync()
    assert open_store(memory).read(1, 200) == bytes(900)


def test_the_array_keeps_to_its_capacity() -> None:
    memory = MemoryDisk()
    store = VirtualArrayStore.open(memory, segment_bytes=SEGMENT_BYTES, capacity_bytes=10 * SEGMENT_BYTES)
    store.define_volume(1, {})
    with pytest.raises(DiskFullError, match="the array is full: all of its 40960 bytes are in use"):
        for track in range(100):
            store.write_stored(1, track, StoredTrack(0, 900, bytes(900)))
            store.sync()
    assert len(memory.segments()) == 7
