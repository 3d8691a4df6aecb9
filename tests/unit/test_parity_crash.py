"""Power lost at every operation of every device, together with the loss of devices: nothing that was synced is gone.

A script of creates, writes, syncs and removes runs on an array in memory. Before each operation of any device (so at
every boundary) the devices are copied, power is lost on the copies (each unsynced write kept, dropped or torn, on each
device by itself), up to p devices are taken away, and the array is opened again. It must hold what was promised; and
what it says once, it must say again after more devices were exchanged for the lost ones.
"""

from contextlib import suppress
from itertools import combinations
from random import Random

import pytest

from controller.array.parity import ParityDisk, Rebuild, attach, open_parity
from tests.helpers.crash_array import CrashArray, CrashDevice
from tests.helpers.crash_disk import PowerLoss

CHUNK = 256
JOURNAL = 1 << 14
LENGTH = 9_000
SHAPES = [(3, 1), (5, 2)]


def open_array(array: CrashArray, parity: int, lost: tuple[int, ...] = ()) -> ParityDisk:
    disks = [None if device.number in lost or device.dead else device for device in array.devices]
    return open_parity(disks, parity=parity, chunk_bytes=CHUNK, journal_bytes=JOURNAL)


class Promise:
    """What the disk promised: for each segment its bytes, and which of them may be anything."""

    def __init__(self) -> None:
        self.bytes: dict[int, bytearray] = {}
        self.loose: dict[int, bytearray] = {}
        self.uncertain: int | None = None  # a segment that is being made or removed

    def write(self, number: int, offset: int, data: bytes) -> None:
        self.bytes[number][offset : offset + len(data)] = data
        self.loose[number][offset : offset + len(data)] = b"\1" * len(data)

    def check(self, disk: ParityDisk) -> dict[int, bytes]:
        """Everything on the disk, after looking that it is as promised."""
        found = disk.segments()
        assert set(self.bytes) - {self.uncertain} <= set(found) <= set(self.bytes) | {self.uncertain}
        contents = {}
        for number, length in found.items():
            contents[number] = disk.read(number, 0, length)
            promised, loose = self.bytes[number], self.loose[number]
            if contents[number] != promised:
                wrong = [at for at in range(length) if contents[number][at] != promised[at] and not loose[at]]
                assert not wrong, f"segment {number}: {len(wrong)} bytes from {wrong[0]} on"
        return contents


def script(disk: ParityDisk, promise: Promise, random: Random, steps: int) -> None:
    """Appends, mostly, as a log does; now and then an overwrite, a new segment, a segment given back."""
    ends: dict[int, int] = {}
    number = 0
    for _ in range(steps):
        choice = random.random()
        if not promise.bytes or (choice < 0.06 and len(promise.bytes) < 4):
            number += 1
            beginning = random.randbytes(random.choice((0, 64, 2000)))
            promise.bytes[number] = bytearray(beginning.ljust(LENGTH, b"\0"))
            promise.loose[number] = bytearray(LENGTH)
            promise.uncertain = number
            disk.create(number, LENGTH, beginning)
            promise.uncertain = None
            ends[number] = len(beginning)
        elif choice < 0.08 and len(promise.bytes) > 1:
            promise.uncertain = oldest = min(promise.bytes)
            disk.remove(oldest)
            promise.uncertain = None
            del promise.bytes[oldest], promise.loose[oldest], ends[oldest]
        else:
            target = random.choice(list(promise.bytes))
            offset = ends[target] if choice < 0.75 else random.randrange(LENGTH)
            data = random.randbytes(min(random.choice((8, 100, 300, 700, 1500)), LENGTH - offset))
            promise.write(target, offset, data)
            disk.write(target, offset, [data])
            ends[target] = max(ends[target], offset + len(data))
            if random.random() < 0.6:
                disk.sync(target)
                promise.loose[target][:] = bytes(LENGTH)


def losses(devices: int, parity: int) -> list[tuple[int, ...]]:
    return [lost for count in range(parity + 1) for lost in combinations(range(devices), count)]


def survive(array: CrashArray, parity: int, promise: Promise, random: Random, *, thorough: bool) -> None:
    """Lose power now, and devices with it."""
    cases = losses(len(array.devices), parity)
    dead = {device.number for device in array.devices if device.dead or device.partial}
    cases = [lost for lost in cases if len(dead.union(lost)) <= parity]
    for lost in cases if thorough else random.sample(cases, min(2, len(cases))):
        copy = array.copy()
        if random.random() < 0.5:
            for device in copy.devices:
                device.dead = False  # it comes back as it was when it failed, and may not be trusted (P7)
        if random.random() < 0.7:
            copy.crash(random)  # otherwise only the process died, and what it wrote is seen, but not durable
        for _ in range(random.randrange(4)):
            interrupt(copy, parity, sample(random, {*lost, *dead}), random)
        disk = open_array(copy, parity, lost)
        contents = promise.check(disk)
        if random.random() < 0.5:
            copy.crash(random)
        out = {*lost, *dead}
        more = random.randrange(parity - len(out) + 1)  # P6: what was believed once is believed for ever
        gone = random.sample([index for index in range(len(array.devices)) if index not in out], more)
        again = open_array(copy, parity, (*lost, *gone))
        assert promise.check(again) == contents
        carry_on(again, promise)


def sample(random: Random, devices: set[int]) -> tuple[int, ...]:
    """Any of these devices."""
    return tuple(random.sample(sorted(devices), random.randrange(len(devices) + 1)))


def interrupt(array: CrashArray, parity: int, away: tuple[int, ...], random: Random) -> None:
    """The array is opened without `away` and power lost, or the process killed, meanwhile. They may be back later."""
    array.power.arm(random.randrange(40), after=random.random() < 0.5)
    with suppress(PowerLoss):
        open_array(array, parity, away)
    array.power.arm(None)
    if random.random() < 0.7:
        array.crash(random)


def carry_on(disk: ParityDisk, promise: Promise) -> None:
    """It still works."""
    for number, length in disk.segments().items():
        disk.write(number, length - 50, [b"more" * 10])
        disk.sync(number)
        assert disk.read(number, length - 50, 40) == b"more" * 10


def run(
    devices: int, parity: int, seed: int, steps: int, every: int, *, thorough: bool, failures: tuple[int, ...] = ()
) -> int:
    """`failures`: after how many of its operations a device fails for good, one device each."""
    random, chance = Random(seed), Random(seed + 1)
    array = CrashArray(devices)
    disk = open_array(array, parity)
    for number, operations in zip(chance.sample(range(devices), len(failures)), failures, strict=True):
        array.devices[number].fail_at = array.devices[number].operations + operations
    promise = Promise()
    boundaries = 0

    def probe() -> None:
        nonlocal boundaries
        boundaries += 1
        if boundaries % every == seed % every:
            survive(array, parity, promise, chance, thorough=thorough)

    array.power.probe = probe
    script(disk, promise, random, steps)
    probe()
    array.power.probe = None
    disk.close()
    promise.check(open_array(array, parity))
    return boundaries


@pytest.mark.parametrize(("devices", "parity"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_power_lost_anywhere_and_devices_with_it(devices: int, parity: int, seed: int) -> None:  # P1, P2, P4, P5, P6
    assert run(devices, parity, seed, 120, 29, thorough=False) > 300


@pytest.mark.parametrize(("devices", "parity", "failures"), [(3, 1, (40,)), (5, 2, (11, 70)), (5, 2, (50, 50))])
def test_power_lost_anywhere_after_devices_failed(devices: int, parity: int, failures: tuple[int, ...]) -> None:  # P7
    assert run(devices, parity, 7, 120, 29, thorough=False, failures=failures) > 300


def run_rebuild(devices: int, parity: int, seed: int, every: int) -> int:
    """A device is replaced and rebuilt while a script runs; power is lost, and other devices, at any operation."""
    random, chance = Random(seed), Random(seed + 1)
    array = CrashArray(devices)
    disk = open_array(array, parity)
    promise = Promise()
    script(disk, promise, random, 60)
    index = random.randrange(devices)
    array.devices[index].dead = True
    for number in promise.bytes:
        disk.write(number, LENGTH - 1, [b"x"])
        promise.write(number, LENGTH - 1, b"x")
        disk.sync(number)
        promise.loose[number][:] = bytes(LENGTH)
    array.devices[index] = CrashDevice(array.power, index)
    array.devices[index].partial = True
    boundaries = 0

    def probe() -> None:
        nonlocal boundaries
        boundaries += 1
        if boundaries % every == seed % every:
            survive(array, parity, promise, chance, thorough=False)

    array.power.probe = probe
    attach(disk, index, array.devices[index])
    work = Rebuild(disk)
    while work.step(CHUNK * 2):
        if random.random() < 0.2:
            number = random.choice(list(promise.bytes))
            offset = random.randrange(LENGTH - 600)
            promise.write(number, offset, b"meanwhile" * 60)
            disk.write(number, offset, [b"meanwhile" * 60])
            disk.sync(number)
            promise.loose[number][:] = bytes(LENGTH)
    array.power.probe = None
    assert not disk.degraded
    array.devices[index].partial = False
    for _ in range(3):
        survive(array, parity, promise, chance, thorough=True)
    return boundaries


@pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 2)])
def test_power_lost_anywhere_in_a_rebuild(devices: int, parity: int) -> None:  # P3, P7
    assert run_rebuild(devices, parity, 1, 9) > 30


@pytest.mark.soak
@pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 1), (5, 2), (8, 2)])
@pytest.mark.parametrize("seed", range(10))
def test_power_lost_at_every_operation_of_a_rebuild(devices: int, parity: int, seed: int) -> None:
    assert run_rebuild(devices, parity, seed, 1) > 30


@pytest.mark.soak
@pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 1), (5, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_power_lost_at_every_operation_and_every_loss(devices: int, parity: int, seed: int) -> None:
    assert run(devices, parity, 100 + seed, 120, 1, thorough=True) > 300


@pytest.mark.soak
@pytest.mark.parametrize(("devices", "parity"), [(3, 1), (5, 2)])
@pytest.mark.parametrize("seed", range(8))
def test_devices_fail_at_any_operation(devices: int, parity: int, seed: int) -> None:
    failures = tuple(Random(seed).sample(range(150), parity))
    assert run(devices, parity, 200 + seed, 120, 2, thorough=True, failures=failures) > 300
