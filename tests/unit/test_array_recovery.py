"""Reading the log back: torn tails are left out, damage is named, nothing behind the end returns.

I1 ... cite the invariants of controller/array/format.py, R3 ... the steps of "Reading back" there.
"""

from random import Random

import pytest

from ccw.errors import FormatError
from controller.array import CorruptionError, DiskError, MemoryDisk, StoredTrack, StoreError, VirtualArrayStore
from controller.array import store as store_module
from controller.array.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEQUENCE_GAP,
    decode_segment_header,
    encode_segment_header,
    record_bytes,
    unpack_location,
)
from tests.helpers.crash_disk import CrashDisk, DiskFaults, PowerLoss

SEGMENT_BYTES = 4096


def plain(text: bytes, length: int = 400) -> StoredTrack:
    """A track of a known size on the disk."""
    return StoredTrack(0, length, (text * length)[:length])


def open_store(disk: MemoryDisk | CrashDisk) -> VirtualArrayStore:
    return VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES)


def image_of(disk: MemoryDisk, segment: int = 1) -> bytes:
    return disk.read(segment, 0, SEGMENT_BYTES)


def place_of(store: VirtualArrayStore, volume: int, track: int) -> tuple[int, int]:
    """Segment and offset of a track's record."""
    location, _ = store._directory.volumes[volume].tracks.find(track)
    return unpack_location(location)[:2]


def torn_pair() -> tuple[MemoryDisk, int, int]:
    """A crashed store: tracks 0 and 1 acknowledged; 2 and 3 written, not acknowledged. Offsets of 2 and 3."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in (0, 1):
        store.write_stored(1, track, plain(b"old%d" % track))
    store.sync()
    for track in (2, 3, 0):
        store.write_stored(1, track, plain(b"new%d" % track))
    batch = store.take_batch()
    assert batch is not None
    offsets = [place_of(store, 1, track)[1] for track in (2, 3)]
    store.commit(batch)
    return disk, offsets[0], offsets[1]


def tracks_of(store: VirtualArrayStore) -> list[int]:
    return store.written_since(1, 0).tolist()


def test_a_torn_header_ends_the_log() -> None:  # I1, I6
    disk, second, _ = torn_pair()
    disk.damage(1, second, bytes(RECORD_HEADER_BYTES))
    store = open_store(disk)
    assert tracks_of(store) == [0, 1]
    assert store.read(1, 0) == plain(b"old0").payload


def test_a_torn_payload_ends_the_log_though_its_header_is_whole() -> None:  # R5
    disk, second, _ = torn_pair()
    disk.damage(1, second + RECORD_HEADER_BYTES + 399, b"?")
    store = open_store(disk)
    assert tracks_of(store) == [0, 1]
    assert store.read(1, 0) == plain(b"old0").payload


def test_a_tail_torn_late_keeps_what_came_before() -> None:  # R5
    disk, _, third = torn_pair()
    disk.damage(1, third + RECORD_HEADER_BYTES, b"?")
    assert tracks_of(open_store(disk)) == [0, 1, 2]


def test_whole_records_behind_a_torn_one_never_come_back() -> None:  # I6, I8
    """The new record is exactly as long as the torn one: the stale one behind it has the sequence that is due."""
    disk, second, third = torn_pair()
    disk.damage(1, second, bytes(RECORD_HEADER_BYTES))
    stale = image_of(disk)
    store = open_store(disk)
    opened = place_of(store, 1, 1)[1] + record_bytes(400)
    assert opened == second  # the OPEN record took the torn record's place
    length = third - second - record_bytes(0) - RECORD_HEADER_BYTES
    store.write_stored(1, 9, plain(b"later", length))
    store.sync()
    assert image_of(disk)[third:] == stale[third:]
    assert tracks_of(open_store(disk)) == [0, 1, 9]


def test_the_epoch_alone_keeps_stale_records_out(monkeypatch: pytest.MonkeyPatch) -> None:  # I6
    """OPEN covers a torn record exactly, and numbers start again where they ended: only the epoch differs."""
    monkeypatch.setattr(store_module, "SEQUENCE_GAP", 1)
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    store.sync()
    torn = store._log._tail.offset
    store.release_space(1, 7, 8)
    stale = store.write_stored(1, 2, plain(b"A"))
    batch = store.take_batch()
    assert batch is not None
    store.commit(batch)
    disk.damage(1, torn, bytes(RECORD_HEADER_BYTES))
    for _ in range(2):
        store = open_store(disk)
        assert tracks_of(store) == []
        assert store.appended + 1 >= stale


def test_what_recovery_found_is_synced_before_it_is_served() -> None:  # R7
    """Written, not synced, process killed, opened again: from then on a power failure must not take it away."""
    memory = MemoryDisk()
    disk = CrashDisk(memory)
    store = open_store(disk)
    store.define_volume(1, {})
    store.write_stored(1, 5, plain(b"A"))
    disk.arm(DiskFaults(power_loss_at=0, power_loss_after=True))
    with pytest.raises(PowerLoss):
        store.sync()
    disk = CrashDisk(memory)
    assert tracks_of(open_store(disk)) == [5]
    assert disk.operations == [("sync", 1), ("write", 1), ("sync", 1)]


def test_numbers_are_never_handed_out_twice() -> None:  # I9
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    store.sync()
    lost = [store.write_stored(1, track, plain(b"A")) for track in range(20)]
    again = open_store(disk)
    assert again.recovered == 2
    assert again.appended == again.recovered + SEQUENCE_GAP > max(lost)
    again.close()
    third = open_store(disk)
    assert third.appended == third.recovered + 1 == again.appended + 1


def test_a_header_damaged_in_the_middle_is_named() -> None:  # R5: later records prove that it was durable
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(4):
        store.write_stored(1, track, plain(b"A"))
        store.sync()
    segment, offset = place_of(store, 1, 1)
    disk.damage(segment, offset + 20, b"?")
    with pytest.raises(CorruptionError) as caught:
        open_store(disk)
    assert (caught.value.segment, caught.value.offset) == (segment, offset)
    assert str(caught.value).startswith(f"segment {segment}, offset {offset}: no valid record")


def test_the_last_record_is_proven_by_an_orderly_close() -> None:  # R5
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    store.write_stored(1, 0, plain(b"A"))
    segment, offset = place_of(store, 1, 0)
    store.close()
    disk.damage(segment, offset, b"?")
    with pytest.raises(CorruptionError, match=f"segment 1, offset {offset}"):
        open_store(disk)


def test_a_payload_damaged_later_is_never_returned() -> None:  # I3
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(3):
        store.write_stored(1, track, plain(b"A"))
        store.sync()
    segment, offset = place_of(store, 1, 1)
    disk.damage(segment, offset + RECORD_HEADER_BYTES + 7, b"?")
    for reader in (store, open_store(disk)):
        for read in (reader.read, reader.read_stored):
            with pytest.raises(CorruptionError, match=f"segment {segment}, offset {offset}"):
                read(1, 1)
        assert reader.read(1, 2) == plain(b"A").payload


def test_every_damaged_byte_is_detected_or_was_padding() -> None:  # I3, R3-R5
    """Flip each byte of a closed log: an error that names the segment, or exactly the same contents."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {"a": 1})
    store.define_volume(2, {})
    store.put("key", b"value")
    store.write(1, 0, b"01234" + b"abc" * 100)
    store.write_stored(1, 1, plain(b"x", 33))
    store.snapshot(1, 2)
    store.move(1, 1, 2, 700)
    store.release_space(2, 1, 2)
    end = store._log._tail.offset + record_bytes(0)
    store.close()

    def contents(disk: MemoryDisk) -> object:
        disk.writable = False
        seen = open_store(disk)
        tracks = {(v, t): seen.read(v, t) for v in (1, 2) for t in (0, 1, 700)}
        return seen.volumes(), seen.items(), tracks, seen.recovered

    expected = contents(disk)
    whole = image_of(disk)
    harmless = []
    for offset in range(len(whole)):
        if offset >= end + 64 and offset % 64:
            continue
        disk.damage(1, offset, bytes([whole[offset] ^ 0x10]))
        try:
            assert contents(disk) == expected, offset
            harmless.append(offset)
        except (CorruptionError, FormatError):
            assert offset < end
        except AssertionError:
            # Only the CLOSE record itself cannot be missed: the log then ends before it.
            assert end - record_bytes(0) <= offset < end
        disk.damage(1, offset, whole[offset : offset + 1])
    assert all(whole[offset] == 0 for offset in harmless)
    assert len([offset for offset in harmless if offset < end]) < 8 * 8  # padding only


def test_a_record_is_valid_only_where_it_was_written() -> None:
    """A track may hold a copy of its own log: it must not pass for the log when a record before it is damaged."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    store.write_stored(1, 0, plain(b"A"))
    store.sync()
    copy = image_of(disk)[SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES + 1000]
    store.write_stored(1, 1, StoredTrack(0, len(copy), copy))
    batch = store.take_batch()
    assert batch is not None
    store.commit(batch)
    _, offset = place_of(store, 1, 1)
    disk.damage(1, offset, b"?")
    assert tracks_of(open_store(disk)) == [0]


def filled() -> tuple[MemoryDisk, int]:
    """A store of several segments, and how many."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(40):
        store.write_stored(1, track, plain(b"A"))
        if track % 5 == 0:
            store.sync()
    store.close()
    return disk, max(disk.segments())


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("length", [0, 10, 80, 100, 4095])
def test_a_segment_cut_short_is_named(number: int, length: int) -> None:  # I7
    disk, _ = filled()
    disk.truncate(number, length)
    with pytest.raises(CorruptionError) as caught:
        open_store(disk)
    assert caught.value.segment == number


@pytest.mark.parametrize("number", [1, 3])
def test_a_missing_segment_is_named(number: int) -> None:  # I7
    disk, _ = filled()
    disk.remove(number)
    with pytest.raises(CorruptionError, match=f"segment {number}, offset 0: the segment is missing"):
        open_store(disk)


def test_an_older_segment_may_not_lose_its_end() -> None:  # R3: no torn tails but in the last segment
    disk, last = filled()
    for number in range(1, last):
        whole = image_of(disk, number)
        offset = SEGMENT_HEADER_BYTES + record_bytes(0)
        disk.damage(number, offset, bytes(SEGMENT_BYTES - offset))
        with pytest.raises(CorruptionError) as caught:
            open_store(disk)
        assert caught.value.segment == number
        disk.damage(number, 0, whole)


def test_segments_of_two_stores_do_not_mix() -> None:
    disk, _ = filled()
    header = decode_segment_header(image_of(disk, 2)[:SEGMENT_HEADER_BYTES], 2)
    disk.damage(2, 0, encode_segment_header(header._replace(identity=header.identity ^ 1)))
    with pytest.raises(CorruptionError, match="segment 2, offset 16: the segment is one of another store"):
        open_store(disk)


def test_a_batch_over_two_segments_has_no_torn_tail_in_the_first() -> None:  # R4, I7
    """The second segment exists, so the first was durable: its damaged payload is damage, not the end of the log."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    for track in range(12):
        store.write_stored(1, track, plain(b"A"))
    store.sync()
    assert max(disk.segments()) == 2
    segment, offset = place_of(store, 1, 3)
    disk.damage(segment, offset + RECORD_HEADER_BYTES, b"?")
    store = open_store(disk)
    assert tracks_of(store) == list(range(12))
    with pytest.raises(CorruptionError):
        store.read(1, 3)


def test_garbage_behind_the_tail_is_ignored() -> None:  # I6
    disk = MemoryDisk()
    store = open_store(disk)
    store.define_volume(1, {})
    store.write_stored(1, 0, plain(b"A"))
    store.sync()
    end = store._log._tail.offset
    disk.damage(1, end, b"TBLR" * ((SEGMENT_BYTES - end) // 4))
    assert tracks_of(open_store(disk)) == [0]


def test_a_later_version_is_refused_in_one_line() -> None:
    disk, _ = filled()
    disk.damage(1, 8, b"\x00\x03")
    with pytest.raises(FormatError) as caught:
        open_store(disk)
    assert str(caught.value) == "segment 1: format version 3, this program reads 2: version at byte 8 (of 80 bytes)"


def test_foreign_bytes_are_refused_in_one_line() -> None:
    disk = MemoryDisk()
    disk.create(1, SEGMENT_BYTES, b"something else altogether")
    with pytest.raises(FormatError, match="segment 1: not a segment of a track store: magic at byte 0"):
        open_store(disk)


def test_reading_only_changes_nothing_and_refuses_changes() -> None:  # I5
    disk, _ = filled()
    before = {number: image_of(disk, number) for number in disk.segments()}
    disk.writable = False
    store = open_store(disk)
    assert store.allocated(1) == 40
    with pytest.raises(StoreError, match="read only"):
        store.write(1, 0, b"x")
    store.close()
    assert before == {number: image_of(disk, number) for number in disk.segments()}


def test_power_lost_at_every_operation_of_opening_and_filling() -> None:  # I1, I7, I8
    """Each operation once: what was acknowledged before it is there after it."""
    for operation in range(30):
        for after in (False, True):
            memory = MemoryDisk()
            disk = CrashDisk(memory)
            disk.arm(DiskFaults(power_loss_at=operation, power_loss_after=after))
            acknowledged = -1
            try:
                store = open_store(disk)
                store.define_volume(1, {})
                for track in range(30):
                    store.write_stored(1, track, plain(b"%d" % track))
                    store.sync()
                    acknowledged = track
            except PowerLoss:
                pass
            memory.crash(Random(operation))
            store = open_store(memory)
            if acknowledged >= 0:
                assert tracks_of(store) in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))


def test_a_disk_error_while_opening_is_a_disk_error() -> None:
    disk = CrashDisk(MemoryDisk())
    disk.arm(DiskFaults(sync_error_at=0))
    with pytest.raises(DiskError):
        open_store(disk)
