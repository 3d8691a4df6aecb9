"""Devices of a parity array that are replaced and rebuilt; damage that a scrub finds and repairs."""

from collections.abc import Callable
from copy import deepcopy
from random import Random

import pytest

from controller.array import (
    Disk,
    DiskError,
    MemoryDisk,
    StoreError,
)
from controller.array.parity import Condition, Rebuild, attach
from controller.array.parity.format import JOURNAL_SEGMENTS
from tests.helpers.crash_array import CrashDevice
from tests.helpers.parity_arrays import (
    CHUNK_BYTES,
    LENGTH,
    SHAPES,
    change,
    contents_of,
    filled,
    open_array,
    rebuild,
    scrub,
)


@SHAPES
def test_a_replaced_device_is_rebuilt_while_writes_go_on(devices: int, parity: int) -> None:
    media, disk, contents = filled(devices, parity)
    media[1].dead = True
    disk.write(2, LENGTH - 700, [b"a"])
    disk.sync(2)
    new = CrashDevice(media[0].power, 101)
    attach(disk, 1, new)
    work = Rebuild(disk)
    steps = 0
    seen = []
    while work.step(CHUNK_BYTES):
        steps += 1
        seen.append(work.progress().done)
        disk.write(2, LENGTH - 700 + steps, [b"b"])
        disk.write(1, 100 * steps, [b"c"])
        disk.sync(1)
        disk.sync(2)
        if steps == 5:
            disk.create(3, 3000, b"made meanwhile")
            disk.write(3, 100, [b"d" * 2500])
            disk.sync(3)
        if steps == 14:
            disk.remove(2)
            disk.create(2, LENGTH, b"again")
    assert steps >= 14
    assert seen == sorted(seen) and seen[0] < seen[-1]
    assert not disk.degraded
    assert disk.state.members[1].condition == Condition.IN
    contents = contents_of(disk)
    disk.close()
    media[1] = new
    for lost in range(2, 2 + parity):  # the new device is needed now
        left: list[Disk | None] = [None if number in (lost, 0)[:parity] else m for number, m in enumerate(media)]
        assert contents_of(open_array([m and copy_of(m) for m in left], parity)) == contents


def copy_of(medium: Disk) -> Disk:
    """The device as it is, so that opening it degraded leaves the others alone."""
    assert isinstance(medium, CrashDevice)
    other = CrashDevice(medium.power, medium.number)
    other.medium = deepcopy(medium.medium)
    return other


def test_a_rebuild_that_was_cut_off_goes_on() -> None:
    media, disk, contents = filled(5, 1)
    media[4].dead = True
    with pytest.raises(StoreError, match="in use"):
        attach(disk, 0, MemoryDisk())
    disk.write(1, 0, [contents[1][:1]])
    disk.sync(1)
    new = CrashDevice(media[0].power, 101)
    attach(disk, 4, new)
    work = Rebuild(disk)
    while disk.state.members[4].mark == 0:
        work.step(3000)
    media[4] = new
    disk = open_array(list(media), 1)  # the process died
    assert disk.state.members[4].condition == Condition.REBUILDING
    before = Rebuild(disk).progress()
    assert 0 < before.done < before.total
    assert contents_of(disk) == contents
    rebuild(disk)
    assert not disk.degraded
    assert "device 5 is rebuilt" in disk.notices
    assert contents_of(open_array([None, *media[1:]], 1)) == contents


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda media: media[2], "device 2 is device 3 of this array, it cannot take place 2"),
        (lambda media: change(media, "foreign")[1], "device 2 is a device of another array"),
        (lambda media: change(media, "plain")[1], "neither blank nor a device of this array"),
    ],
)
def test_what_is_no_replacement_is_refused_untouched(make: Callable[[list[CrashDevice]], Disk], error: str) -> None:
    media, disk, _ = filled(4, 1)
    disk.close()
    disk = open_array([media[0], None, media[2], media[3]], 1)
    medium = make(media)
    before = medium.segments()
    with pytest.raises(StoreError, match=error):
        attach(disk, 1, medium)
    assert medium.segments() == before


def test_a_device_that_was_away_can_be_rebuilt_as_new() -> None:
    media, disk, contents = filled(4, 1)
    disk.close()
    disk = open_array([media[0], None, media[2], media[3]], 1)
    attach(disk, 1, media[1])
    rebuild(disk)
    disk.close()
    assert contents_of(open_array([media[0], media[1], None, media[3]], 1)) == contents


def damage(media: list[CrashDevice], random: Random, count: int) -> set[tuple[int, int, int]]:
    """Flip a byte in `count` chunks of one device, each in another stripe; which."""
    unit = 16 + CHUNK_BYTES
    hit = set()
    while len(hit) < count:
        device = random.randrange(len(media))
        number = random.choice((1, 2))
        stripe = random.randrange((LENGTH - 700) // (CHUNK_BYTES * (len(media) - 1)))
        if not any((number, stripe) == (one[0], one[1]) for one in hit):
            hit.add((number, stripe, device))
            offset = stripe * unit + random.randrange(unit)
            old = media[device].medium.read(number, offset, 1)[0]
            media[device].medium.damage(number, offset, bytes([old ^ 1 << random.randrange(8)]))
    return hit


@SHAPES
def test_silent_corruption_is_never_returned_and_a_scrub_repairs_it(devices: int, parity: int) -> None:  # P3
    media, disk, contents = filled(devices, parity)
    disk.close()
    disk = open_array(list(media), parity)
    hit = damage(media, Random(parity), 8)
    assert contents_of(disk) == contents
    found = scrub(disk)
    assert {(one.segment, one.stripe, *one.devices) for one in found.damage} == hit
    assert all(one.repaired for one in found.damage)
    assert found.progress().finished
    assert scrub(disk).damage == []
    disk.close()
    for lost in range(devices):
        copies = [None if number == lost else copy_of(medium) for number, medium in enumerate(media)]
        assert contents_of(open_array(copies, parity)) == contents


def test_every_byte_of_a_device_may_be_wrong() -> None:  # P3
    media, disk, contents = filled(3, 1)
    disk.close()
    disk = open_array(list(media), 1)
    medium = media[1].medium
    length = medium.segments()[1]
    whole = medium.read(1, 0, length)
    for offset in range(0, length, 7):
        medium.damage(1, offset, bytes([whole[offset] ^ 0x40]))
        at = offset // (16 + CHUNK_BYTES) * CHUNK_BYTES * 2
        assert disk.read(1, at, 2 * CHUNK_BYTES) == contents[1][at : at + 2 * CHUNK_BYTES]
        medium.damage(1, offset, whole[offset : offset + 1])


def test_a_write_that_the_device_lost_is_found() -> None:  # P3
    """The device kept an older chunk, whole and right in itself: only its round tells."""
    media, disk, contents = filled(3, 1)
    disk.checkpoint()
    old = {number: media[0].medium.read(1, 0, length) for number, length in media[0].segments().items() if number == 1}
    new = bytes(reversed(contents[1]))
    disk.write(1, 0, [new])
    disk.sync(1)
    disk.checkpoint()
    media[0].medium.damage(1, 0, old[1])
    assert disk.read(1, 0, LENGTH) == new
    assert {one.devices for one in scrub(disk).damage} == {(0,)}


def test_more_damage_than_parity_covers_is_told_and_left_alone() -> None:
    media, disk, contents = filled(4, 1)
    disk.checkpoint()
    for device in (0, 1):
        media[device].medium.damage(1, 40, b"garbage")
    with pytest.raises(DiskError, match="segment 1, stripe 0: 2 of its 4 chunks can be had, 3 are needed"):
        disk.read(1, 0, 3 * CHUNK_BYTES)
    assert disk.read(1, 2 * CHUNK_BYTES, 100) == contents[1][2 * CHUNK_BYTES : 2 * CHUNK_BYTES + 100]
    found = scrub(disk)
    assert [(one.segment, one.stripe, one.repaired) for one in found.damage] == [(1, 0, False)]


def test_a_damaged_journal_of_one_device_is_found_and_replaced() -> None:
    media, disk, contents = filled(4, 1)
    half = JOURNAL_SEGMENTS[disk.journal.epoch % 2]
    media[3].medium.damage(half, 10, b"garbage")
    found = scrub(disk)
    assert found.journals == [3]
    assert scrub(disk).journals == []
    assert contents_of(open_array(list(media), 1)) == contents


def test_a_segment_file_that_vanished_is_made_again_and_scrubbed_full() -> None:
    media, disk, contents = filled(4, 1)
    disk.close()
    media[2].medium.remove(1)
    disk = open_array(list(media), 1)
    assert contents_of(disk) == contents
    assert "segment 1 was missing" in disk.notices[0]
    assert all(one.repaired for one in scrub(disk).damage)
    disk.close()
    assert contents_of(open_array([None, *media[1:]], 1)) == contents


