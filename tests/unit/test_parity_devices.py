"""Devices of a parity array that fail, lie, come back, are swapped or replaced: what is served, what is refused."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from controller.array import (
    Disk,
    DiskError,
    DiskFullError,
    FencedError,
    MemoryDisk,
    StoreError,
    VirtualArrayStore,
)
from controller.array.parity import Condition, ParityDisk, Rebuild, Scrub, attach, open_directories, open_parity
from controller.array.parity.erasure import ErasureCode
from controller.array.parity.format import JOURNAL_SEGMENTS
from tests.helpers.contracts import image
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


@pytest.mark.parametrize("parity", [1, 2])
def test_any_chunks_enough_give_all(parity: int) -> None:
    random = Random(parity)
    code = ErasureCode(4, parity)
    for length in (1, 7, 8, 4097):
        data = [random.randbytes(length) for _ in range(4)]
        chunks = dict(enumerate(data + code.encode(data)))
        for first in range(code.columns):
            for second in range(code.columns if parity == 2 else 1):
                lost = {first, second} if parity == 2 else {first}
                left = {column: chunk for column, chunk in chunks.items() if column not in lost}
                assert code.decode(left) == data
                assert [code.column(left, column) for column in chunks] == list(chunks.values())


def test_the_coefficients_of_double_parity_never_change() -> None:
    """Devices outlive versions of the library: unit vectors show every coefficient."""
    code = ErasureCode(3, 2)
    columns = [code.encode([bytes([row == column]) for row in range(3)]) for column in range(3)]
    assert [[parity[0] for parity in column] for column in columns] == KNOWN_COEFFICIENTS


KNOWN_COEFFICIENTS = [[15, 45], [8, 48], [6, 28]]


@SHAPES
def test_reads_and_writes_go_on_without_devices(devices: int, parity: int) -> None:
    media, disk, contents = filled(devices, parity)
    for number in range(parity):
        media[number].dead = True
        assert contents_of(disk) == contents
        disk.write(2, LENGTH - 700, [b"%d" % number * 100])
        disk.sync(2)
        contents[2] = contents[2][: LENGTH - 700] + b"%d" % number * 100 + bytes(600)
        disk.create(10 + number, 5000, b"new")
        contents[10 + number] = b"new" + bytes(4997)
    assert contents_of(disk) == contents
    assert disk.degraded
    assert [line for line in disk.notices if "is out" in line] == [
        f"device {number + 1} is out: device {number + 1} is dead" for number in range(parity)
    ]
    disk.close()
    left: list[Disk | None] = [None if medium.dead else medium for medium in media]
    assert contents_of(open_array(left, parity)) == contents


@SHAPES
def test_one_loss_more_is_a_clean_error_and_nothing_is_acknowledged(devices: int, parity: int) -> None:  # P8
    media, disk, contents = filled(devices, parity)
    for number in range(parity + 1):
        media[number].dead = True
    disk.write(2, LENGTH - 700, [b"lost"])
    for _ in range(2):
        with pytest.raises(DiskError, match=f"{devices - parity - 1} of {devices} devices are left"):
            disk.sync(2)
    with pytest.raises(DiskError, match="devices are left"):
        disk.create(3, 100, b"")
    readable = 0
    for offset in range(0, LENGTH - 700, CHUNK_BYTES):
        try:
            assert disk.read(1, offset, 100) == contents[1][offset : offset + 100]
            readable += 1
        except DiskError as error:
            assert "chunks can be had" in str(error)
    assert 0 < readable < LENGTH // CHUNK_BYTES
    for medium in media:
        medium.dead = False
    again = open_array(list(media), parity)
    assert contents_of(again)[1] == contents[1]
    assert again.read(2, 0, LENGTH - 700) == contents[2][: LENGTH - 700]


def test_a_store_on_too_few_devices_is_fenced_and_reads_on() -> None:
    media = CrashArray(3).devices
    store = VirtualArrayStore.open(open_array(list(media), 1), segment_bytes=1 << 16)
    store.define_volume(1, {})
    for track in range(20):
        store.write(1, track, image(b"%d" % track, 900))
    acknowledged = store.sync()
    media[0].dead = media[2].dead = True
    store.write(1, 0, image(b"never told"))
    with pytest.raises(DiskError):
        store.sync()
    with pytest.raises(FencedError):
        store.write(1, 1, image(b"refused"))
    media[0].dead = media[2].dead = False
    store = VirtualArrayStore.open(open_array(list(media), 1))
    assert store.recovered >= acknowledged
    assert [store.read(1, track) for track in range(1, 20)] == [image(b"%d" % track, 900) for track in range(1, 20)]


@SHAPES
def test_a_device_that_was_away_is_not_trusted(devices: int, parity: int) -> None:  # P7
    media, disk, contents = filled(devices, parity)
    media[1].dead = True
    disk.write(2, LENGTH - 700, [b"without it"])
    disk.sync(2)
    contents[2] = contents[2][: LENGTH - 700] + b"without it" + bytes(690)
    disk.close()
    media[1].dead = False
    disk = open_array(list(media), parity)
    assert contents_of(disk) == contents
    assert list(disk.notices) == ["device 2 is out: it was away while writes went on: replace it, or rebuild it as new"]
    disk.close()
    lost = {0, *range(3, devices)} if parity == 1 else {*range(2, devices)}
    left: list[Disk | None] = [None if number in lost else medium for number, medium in enumerate(media)]
    with pytest.raises(StoreError, match="devices can be used"):
        open_array(left, parity)


def test_a_device_set_back_to_an_older_copy_is_not_trusted() -> None:  # P7
    array = CrashArray(4)
    disk = open_array(list(array.devices), 1)
    disk.create(1, LENGTH, b"")
    disk.close()
    old = array.copy()
    disk = open_array(list(array.devices), 1)
    for offset in range(0, 20_000, 1000):
        disk.write(1, offset, [b"newer" * 200])
        disk.sync(1)
    disk.close()
    array.devices[2].medium = old.devices[2].medium
    disk = open_array(list(array.devices), 1)
    assert list(disk.notices) == [
        "device 3 is out: it shows an older state of itself: replace it, or rebuild it as new"
    ]
    assert disk.read(1, 0, 20_000) == b"newer" * 4000


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


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("swapped", "device 2 is device 3 of its array, but stands in place 2: the devices are in another order"),
        ("foreign", r"device 2 is a device of another array: [0-9A-F]{16}, not [0-9A-F]{16}"),
        ("fewer", "device 1 is of an array of 4 devices with parity 1, not of 3 with parity 1"),
        ("plain", "device 2 is not a device of a parity array: it has segments, but no label"),
    ],
)
def test_a_device_in_the_wrong_place_is_refused_in_one_line(what: str, error: str) -> None:
    media, disk, contents = filled(4, 1)
    disk.close()
    before = [dict(medium.segments()) for medium in media]
    with pytest.raises(StoreError, match=f"^{error}$"):
        open_array(change(media, what), 1)
    assert before == [medium.segments() for medium in media]
    assert contents_of(open_array(list(media), 1)) == contents


@pytest.mark.parametrize(("devices", "parity"), [(2, 1), (4, 2), (33, 1), (3, 0), (7, 3)])
def test_shapes_that_could_not_be_trusted_are_refused(devices: int, parity: int) -> None:  # P7
    with pytest.raises(ValueError):
        open_array([MemoryDisk() for _ in range(devices)], parity)


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
    assert seen == sorted(seen) or steps >= 14  # the removed segment takes its part away
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


def test_no_room_on_one_device_is_no_room_and_no_failure() -> None:
    disks: list[Disk | None] = [MemoryDisk(), MemoryDisk(), MemoryDisk(capacity_bytes=100_000)]
    disk = open_array(disks, 1)
    disk.create(1, 10_000, b"")
    with pytest.raises(DiskFullError):
        disk.create(2, 100_000, b"")
    assert disk.segments() == {1: 10_000}
    assert not disk.degraded
    disk.create(2, 10_000, b"fits")
    assert disk.read(2, 0, 4) == b"fits"


def test_reading_only_changes_nothing() -> None:
    media, disk, contents = filled(4, 1)
    before = [{number: m.medium.read(number, 0, length) for number, length in m.segments().items()} for m in media]
    for medium in media:
        medium.writable = False  # type: ignore[misc]
    disk = open_array(list(media), 1)
    assert contents_of(disk) == contents
    with pytest.raises(DiskError, match="read only"):
        disk.write(1, 0, [b"x"])
    disk.close()
    after = [{number: m.medium.read(number, 0, length) for number, length in m.segments().items()} for m in media]
    assert before == after


def directories(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in ("one", "two", "three", "four")]


def test_directories_are_devices(tmp_path: Path) -> None:
    where = directories(tmp_path)
    with VirtualArrayStore.open(open_directories(where, parity=1), segment_bytes=1 << 20) as store:
        store.define_volume(1, {})
        for track in range(50):
            store.write(1, track, image(b"%d" % track, 50_000))
        store.sync()
    (tmp_path / "two").rename(tmp_path / "elsewhere")
    disk = open_directories(where, parity=1)
    assert not (tmp_path / "two").exists(), "a directory that is missing may be a disk that is not mounted"
    assert list(disk.notices) == [f"{tmp_path / 'two'} is out: there is no such directory"]
    with VirtualArrayStore.open(disk) as store:
        assert [store.read(1, track) for track in range(50)] == [image(b"%d" % track, 50_000) for track in range(50)]
    (tmp_path / "elsewhere").rename(tmp_path / "two")
    disk = open_directories(where, parity=1)
    assert "it was away while writes went on" in disk.notices[0]
    disk.close()


def test_a_first_start_that_was_cut_off_starts_again(tmp_path: Path) -> None:
    where = directories(tmp_path)
    where[0].mkdir()
    (where[0] / "track-store").touch()
    open_directories(where, parity=1).close()
    disk = open_directories(where, parity=1)
    assert not disk.degraded
    disk.close()


def test_readers_beside_a_writer_always_see_what_was_synced(tmp_path: Path) -> None:
    """Stripes go from buffers to their places, a device is rebuilt, and a thread reads all the time."""
    disk = open_directories(directories(tmp_path), parity=1, chunk_bytes=512, journal_bytes=1 << 15)
    disk.create(1, 1 << 20, b"")
    stop, wrong = Event(), []
    synced = 0

    def read() -> None:
        random = Random(1)
        while not stop.is_set():
            end = synced
            if end:
                at = random.randrange(end)
                data = disk.read(1, at, min(3000, end - at))
                if data != bytes(byte % 251 for byte in range(at, at + len(data))):
                    wrong.append(at)

    reader = Thread(target=read)
    reader.start()
    random = Random(2)
    pattern = bytes(byte % 251 for byte in range(1 << 18))
    while synced < 1 << 17:
        piece = pattern[synced : synced + random.randrange(1, 3000)]
        disk.write(1, synced, [piece])
        disk.sync(1)
        synced += len(piece)
        if random.random() < 0.1:
            disk.write(1, 0, [pattern[:2000]])
            disk.sync(1)
    stop.set()
    reader.join()
    assert wrong == []
    disk.close()
