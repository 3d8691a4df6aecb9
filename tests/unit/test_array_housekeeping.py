"""Checkpoints and free-space collection: what they keep, what they give back, and what damage and crashes do to them.

I1 ... cite the invariants of controller/array/format.py, R1 ... the steps of "Reading back" there.
"""

from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from controller.array import CorruptionError, DiskFullError, MemoryDisk, StoredTrack, VirtualArrayStore
from controller.array.checkpoint import CheckpointEnd
from controller.array.format import RECORD_HEADER_BYTES, Kind, unpack_location
from tests.helpers.crash_disk import CrashDisk, DiskFaults, PowerLoss

SEGMENT_BYTES = 16384
Contents = dict[tuple[int, int], bytes | None]


def stored(number: int, length: int = 700) -> StoredTrack:
    return StoredTrack(0, length, Random(number).randbytes(length))


def open_store(disk: MemoryDisk | CrashDisk, capacity_bytes: int | None = None) -> VirtualArrayStore:
    return VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES, capacity_bytes=capacity_bytes)


def contents(store: VirtualArrayStore) -> Contents:
    return {
        (volume, track): store.read(volume, track)
        for volume in store.volumes()
        for track in store.written_since(volume, 0).tolist()
    }


def worn_store(disk: MemoryDisk | CrashDisk) -> VirtualArrayStore:
    """Two volumes, a snapshot, an extent, much garbage, nothing tidied yet."""
    store = open_store(disk)
    for volume in (1, 2, 3):
        store.define_volume(volume, {"number": volume})
    store.put("key", b"value")
    for number in range(100):
        store.write_stored(1, number, stored(number))
    store.sync()
    store.snapshot(1, 2)
    for number in range(400):
        store.write_stored(1, number % 80, stored(1000 + number))
        if number % 7 == 0:
            store.sync()
    store.snapshot_extent(1, 10, 30, 3, 1000)
    store.move(2, 5, 3, 7)
    store.sync()
    return store


def ends(store: VirtualArrayStore) -> list[tuple[int, int]]:
    """Where the newest checkpoint and the one before it end."""
    return [unpack_location(location)[:2] for location in store._log.checkpoints]


class ReadCounter(CrashDisk):
    """Counts the segments that are read."""

    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.read_segments: set[int] = set()

    def read(self, number: int, offset: int, length: int) -> bytes:
        self.read_segments.add(number)
        return super().read(number, offset, length)


def test_tidying_keeps_everything_and_gives_back_segments() -> None:  # I2, I4
    disk = MemoryDisk()
    store = worn_store(disk)
    before, counts = contents(store), sorted(store.reference_counts().values())
    segments = len(disk.segments())
    store.tidy()
    assert len(disk.segments()) < segments * 0.7
    assert store.figures()["segments_freed"] > 5
    assert contents(store) == before
    assert sorted(store.reference_counts().values()) == counts  # all sharers of a record moved together
    store.close()
    again = open_store(disk)
    assert contents(again) == before
    assert sorted(again.reference_counts().values()) == counts
    assert (again.volumes()[3], again.get("key")) == ({"number": 3}, b"value")


def test_recovery_reads_the_checkpoint_and_what_came_after() -> None:  # R1, R2
    disk = MemoryDisk()
    store = worn_store(disk)
    store.tidy()
    store.write_stored(1, 4000, stored(1))
    store.sync()
    counter = ReadCounter(disk)
    again = open_store(counter)
    assert again.read(1, 4000) == stored(1).payload
    assert min(counter.read_segments) >= store._housekeeper._begin_segment
    assert len(counter.read_segments) < len(disk.segments()) / 3


def test_damage_before_the_checkpoint_is_found_by_reads_and_by_scrubbing() -> None:  # I3
    disk = MemoryDisk()
    store = worn_store(disk)
    store.tidy()
    location, _ = store._directory.volumes[2].tracks.find(90)
    segment, offset, _ = unpack_location(location)
    disk.damage(segment, offset + RECORD_HEADER_BYTES + 5, b"?!")
    again = open_store(disk)
    with pytest.raises(CorruptionError, match=f"segment {segment}, offset {offset}"):
        again.read(2, 90)
    scrub = again.scrub()
    steps = 0
    while scrub.step(5000):
        steps += 1
    assert steps > 5
    assert scrub.done
    assert [(damage.volume, damage.track) for damage in scrub.damaged] == [(1, 90), (2, 90)]
    assert all(damage.reason.startswith(f"segment {segment}, offset {offset}: ") for damage in scrub.damaged)
    assert scrub.records >= len(again.reference_counts()) - 1


def test_a_scrub_takes_segments_that_were_given_back_meanwhile_for_no_damage() -> None:
    store = worn_store(MemoryDisk())
    scrub = store.scrub()
    assert scrub.step(1)
    before = store.figures()["segments_freed"]
    store.tidy()
    assert store.figures()["segments_freed"] > before
    while scrub.step(700):
        store.sync()
    assert scrub.done
    assert scrub.damaged == []


def test_a_damaged_checkpoint_gives_way_to_the_one_before() -> None:  # R2, I12
    disk = MemoryDisk()
    store = worn_store(disk)
    store.tidy()
    store.write_stored(1, 4000, stored(1))
    store.tidy()
    expected = contents(store)
    store.close()
    newest, older = ends(store)
    disk.damage(newest[0], newest[1] + RECORD_HEADER_BYTES + 3, b"??")
    again = open_store(disk)
    assert contents(again) == expected
    assert len(again.notices) == 1
    assert again.notices[0].startswith("a checkpoint was not used, an older one or the whole log was: segment ")
    disk.damage(older[0], older[1] + RECORD_HEADER_BYTES + 3, b"??")
    with suppress(CorruptionError):  # unless a third one can still be used
        assert contents(open_store(disk)) == expected


def test_without_a_checkpoint_the_whole_log_is_read_while_it_is_there() -> None:  # R2
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(40):
        store.write_stored(1, track, stored(track))
    store.tidy()
    assert store.figures()["segments_freed"] == 0
    expected = contents(store)
    store.close()
    segment, offset = ends(store)[0]
    disk.damage(segment, offset + RECORD_HEADER_BYTES + 3, b"??")
    again = open_store(disk)
    assert contents(again) == expected
    assert len(again.notices) == 1


def test_every_byte_of_the_newest_checkpoint_may_be_damaged() -> None:  # R2, I3
    disk = MemoryDisk()
    store = worn_store(disk)
    store.tidy()
    store.tidy()
    expected = contents(store)
    store.close()
    disk.writable = False
    payload = store._reader.read(store._log.checkpoints[0], (Kind.CHECKPOINT,))[1]
    end = CheckpointEnd.decode(payload)
    used = 0
    for location in (end.begin, *end.parts, store._log.checkpoints[0]):
        segment, start, _ = unpack_location(location)
        length = store._reader.read(location, (Kind.CHECKPOINT,))[0].payload_length
        for offset in range(start, start + RECORD_HEADER_BYTES + length, 7 if length < 200 else 97):
            whole = disk.read(segment, offset, 1)
            disk.damage(segment, offset, bytes([whole[0] ^ 0x41]))
            try:
                again = open_store(disk)
                assert contents(again) == expected
                assert again.notices
                used += 1
            except CorruptionError:
                assert offset < start + RECORD_HEADER_BYTES  # the log itself goes on there
            disk.damage(segment, offset, whole)
    assert used > 20


@pytest.mark.parametrize("after", [False, True])
def test_power_lost_at_every_operation_of_a_collection(after: bool) -> None:  # I1, I6, I12
    operation = 0
    while True:
        memory = MemoryDisk()
        disk = CrashDisk(memory)
        store = worn_store(disk)
        expected = contents(store)
        disk.arm(DiskFaults(power_loss_at=operation, power_loss_after=after))
        try:
            store.tidy()
            break
        except PowerLoss:
            memory.crash(Random(operation))
        again = open_store(memory)
        assert contents(again) == expected
        again.tidy()
        assert contents(open_store(memory)) == expected
        operation += 1
    assert operation > 20


def steady(store: VirtualArrayStore, tracks: int, writes: int) -> Iterator[int]:
    """Overwrite at random, with as much background work as the store asks for."""
    random = Random(7)
    for number in range(writes):
        track = random.randrange(tracks)
        store.write_stored(1, track, stored(number, 2500 + number % 1000))
        yield track
        if number % 4 == 3:
            store.sync()
            budget = store.housekeeping_budget(4 * 3072)
            while budget > 0 and (done := store.housekeep(min(budget, 8192))):
                budget -= done


def test_a_steady_load_never_fills_an_array_that_has_room_for_its_data() -> None:
    disk = MemoryDisk()
    store = VirtualArrayStore.open(disk, segment_bytes=1 << 16, capacity_bytes=96 << 16)
    store.define_volume(1, {})
    tracks = int(0.8 * (96 << 16)) // 3076
    for track in range(tracks):
        store.write_stored(1, track, stored(track, 3000))
        if track % 16 == 15:
            store.sync()
    newest = {}
    for number, track in enumerate(steady(store, tracks, 3 * tracks)):
        newest[track] = number
    assert len(disk.segments()) <= 96
    load = store.net_capacity_load
    assert load is not None
    assert 78 < load < 92
    store.sync()
    again = VirtualArrayStore.open(disk, segment_bytes=1 << 16)
    for track, number in newest.items():
        assert again.read(1, track) == stored(number, 2500 + number % 1000).payload


def test_a_full_array_writes_again_when_collection_found_room() -> None:  # I14
    disk = MemoryDisk()
    store = open_store(disk, capacity_bytes=20 * SEGMENT_BYTES)
    store.define_volume(1, {})
    with pytest.raises(DiskFullError):
        for number in range(1000):
            store.write_stored(1, number, stored(number))
            store.sync()
    full = store.allocated(1)
    store.release_space(1, 0, full // 2)
    for _ in range(500):
        if not store.housekeep(4096):
            store.sync()
    for number in range(full // 4):
        store.write_stored(1, number, stored(number))
    store.sync()
    assert contents(open_store(disk)) == contents(store)
    assert not store.fenced


def test_a_damaged_record_in_use_keeps_its_segment_and_is_told() -> None:  # I3
    disk = MemoryDisk()
    store = worn_store(disk)
    location, _ = store._directory.volumes[2].tracks.find(20)
    segment, offset, _ = unpack_location(location)
    disk.damage(segment, offset + RECORD_HEADER_BYTES, b"?")
    expected = contents_but(store, (2, 20))
    store.release_space(2, 21, 100)
    store.release_space(1, 80, 100)
    for key in [key for key in expected if key in [(2, t) for t in range(21, 100)] + [(1, t) for t in range(80, 100)]]:
        del expected[key]
    store.tidy()
    assert segment in disk.segments()
    assert any(f"segment {segment}, offset {offset}" in notice for notice in store.notices)
    again = open_store(disk)
    assert contents_but(again, (2, 20)) == expected
    with pytest.raises(CorruptionError):
        again.read(2, 20)


def contents_but(store: VirtualArrayStore, but: tuple[int, int]) -> Contents:
    return {
        (volume, track): store.read(volume, track)
        for volume in store.volumes()
        for track in store.written_since(volume, 0).tolist()
        if (volume, track) != but
    }


def test_a_reader_neither_tidies_nor_removes() -> None:  # I5
    disk = MemoryDisk()
    store = worn_store(disk)
    store.tidy()
    expected = contents(store)
    before = disk.segments()
    disk.writable = False
    seen = open_store(disk)
    assert seen.housekeep(1 << 20) == 0
    assert contents(seen) == expected
    assert disk.segments() == before
