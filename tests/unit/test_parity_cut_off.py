"""Checkpoints that a crash cut off, and devices that have their STATE and come and go (P9 of parity/format.py)."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import combinations, count
from random import Random

import pytest

from controller.array import DiskError, MemoryDisk, StoreError
from controller.array.parity import Condition, ParityDisk, open_parity
from controller.array.parity.devices import Each, Task, run_in_order
from tests.helpers.crash_array import CrashArray
from tests.helpers.crash_disk import PowerLoss

CHUNK_BYTES, JOURNAL_BYTES = 256, 1 << 14
LENGTH = 9_000
PROMISED = Random(5).randbytes(4_000)
SHAPES = pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 2)])


def open_array(array: CrashArray, parity: int, away: tuple[int, ...] = (), each: Each = run_in_order) -> ParityDisk:
    disks = [None if device.number in away else device for device in array.devices]
    return open_parity(disks, parity=parity, chunk_bytes=CHUNK_BYTES, journal_bytes=JOURNAL_BYTES, each=each)


def run_backwards(tasks: Sequence[Task]) -> list[DiskError | None]:
    """The last device first."""
    return run_in_order(tasks[::-1])[::-1]


def at_work(devices: int, parity: int, each: Each = run_in_order) -> tuple[CrashArray, ParityDisk]:
    """An array with promised bytes in place and in the journal, and others, never promised, behind and over them."""
    array = CrashArray(devices)
    disk = open_array(array, parity, each=each)
    disk.create(1, LENGTH, b"")
    for start in range(0, len(PROMISED), 500):
        disk.write(1, start, [PROMISED[start : start + 500]])
        disk.sync(1)
    disk.write(1, 1_100, [PROMISED[1_100:1_300]])
    disk.sync(1)
    disk.write(1, len(PROMISED), [b"never promised" * 20])
    return array, disk


def crash_in_checkpoint(devices: int, parity: int, holders: int) -> CrashArray:
    """Power lost when so many devices, the first ones, have the STATE of a checkpoint."""
    array, disk = at_work(devices, parity)
    array.power.arm(None)
    disk.checkpoint()
    operations = array.power.count
    array, disk = at_work(devices, parity)
    array.power.arm(operations - 2 * (devices - holders))  # a write and a sync of STATE on each device
    with pytest.raises(PowerLoss):
        disk.checkpoint()
    array.power.arm(None)
    array.crash(Random(1))
    return array


def interrupted(array: CrashArray, parity: int, away: tuple[int, ...]) -> Iterator[CrashArray]:
    """The array after an opening was cut off at each of its operations, each time from the same beginning."""
    lost_at = 0
    while True:
        copy = array.copy()
        copy.power.arm(lost_at)
        with suppress(PowerLoss):
            open_array(copy, parity, away)
            return
        copy.power.arm(None)
        copy.crash(Random(lost_at))
        yield copy
        lost_at += 1


def check(array: CrashArray, parity: int, away: tuple[int, ...] = (), start: int = 0) -> None:
    """What was promised, from `start` on, is there when the array is opened, and stays whatever may be lost later."""
    disk = open_array(array, parity, away)
    assert disk.read(1, start, len(PROMISED) - start) == PROMISED[start:]
    out = {index for index, member in enumerate(disk.state.members) if member.condition == Condition.OUT}
    for lost in combinations(range(len(array.devices)), parity):
        if len(out.union(lost)) <= parity:
            degraded = open_array(array.copy(), parity, lost)
            assert degraded.read(1, start, len(PROMISED) - start) == PROMISED[start:]


@SHAPES
def test_a_device_comes_back_with_a_state_that_never_happened(devices: int, parity: int) -> None:  # P9
    """Only one device has it, which is away while the next opening puts other bytes in place, and is cut off too."""
    array = crash_in_checkpoint(devices, parity, 1)
    for copy in interrupted(array, parity, away=(0,)):
        check(copy, parity)


@SHAPES
def test_as_many_as_are_needed_have_the_state_but_not_one_opening_saw_that(devices: int, parity: int) -> None:  # P9
    """The STATE is erased where it is seen, before anything is put in place; otherwise it would count later."""
    array = crash_in_checkpoint(devices, parity, devices - parity)
    away = tuple(range(parity))
    for copy in interrupted(array, parity, away):
        check(copy, parity)


def test_one_opening_believed_the_state_and_was_cut_off_too() -> None:  # P9
    """The half of the epoch before is half overwritten when a device comes back that lacks the STATE."""
    array = crash_in_checkpoint(5, 2, 3)
    for copy in interrupted(array, 2, away=(3, 4)):
        for away in ((), (3,), (4,)):
            check(copy.copy(), 2, away)


def test_two_openings_differ_about_the_last_record() -> None:  # P4, P9
    """The first cannot decode it, the second can, and puts what it says over a stripe that the first left alone. The
    only device that has the STATE of the first is back at the third."""
    array, disk = at_work(5, 2, run_backwards)
    disk.write(1, 0, [b"never promised"])
    array.power.arm(2 * 3)  # devices 5 to 3 have the record
    with pytest.raises(PowerLoss):
        disk.sync(1)
    array.crash(Random(1))
    first = list(interrupted(array, 2, away=(4,)))[-2 * 3]  # device 1 has the STATE, 2 to 4 have not
    for second in interrupted(first, 2, away=(0,)):
        check(second, 2, start=14)


def test_a_state_that_may_be_whole_is_not_passed_over() -> None:  # P7, P9
    """All of its devices that are here have it, and they are too few: the epoch before would lack what was promised."""
    array, disk = at_work(5, 2)
    old = array.copy()
    array.devices[4].dead = True
    disk.write(1, 4_000, [b"promised without device 5"])
    disk.sync(1)
    array.devices[4] = old.devices[4]
    with pytest.raises(StoreError, match="2 of 5 devices can be used, 3 are needed"):
        open_array(array, 2, away=(0, 1))
    assert open_array(array, 2, away=(0,)).read(1, 4_000, 25) == b"promised without device 5"


def test_a_state_with_a_change_behind_it_is_not_passed_over() -> None:  # P9
    """One device has it; the other shows an older state of itself. That may not count, however many have it."""
    array, disk = at_work(3, 1)
    old = array.copy()
    disk.checkpoint()
    disk.write(1, 4_000, [b"promised"])
    disk.sync(1)
    array.devices[1] = old.devices[1]
    with pytest.raises(StoreError, match="1 of 3 devices can be used, 2 are needed"):
        open_array(array, 1, away=(2,))


@SHAPES
def test_a_state_cut_off_is_left_alone_by_a_reader(devices: int, parity: int) -> None:  # P9
    array = crash_in_checkpoint(devices, parity, 1)

    def contents() -> list[list[bytes]]:
        return [[d.medium.read(n, 0, length) for n, length in d.medium.segments().items()] for d in array.devices]

    before = contents()
    for device in array.devices:
        device.writable = False  # type: ignore[misc]
    disk = open_array(array, parity)
    assert disk.read(1, 0, len(PROMISED)) == PROMISED
    assert contents() == before


def test_the_making_of_an_array_is_cut_off_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = count(1)
    monkeypatch.setattr(MemoryDisk, "new_identity", lambda _: next(identities))  # as on a real disk, each time another
    for once in interrupted(CrashArray(3), 1, away=()):
        for twice in interrupted(once, 1, away=()):
            assert not open_array(twice, 1).degraded
