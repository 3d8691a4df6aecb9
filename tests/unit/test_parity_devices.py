"""Devices of a parity array that fail, come back or are swapped: what is served, what is refused."""

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
from controller.array.parity import open_directories
from controller.array.parity.erasure import ErasureCode
from tests.helpers.contracts import image
from tests.helpers.crash_array import CrashArray
from tests.helpers.parity_arrays import CHUNK_BYTES, LENGTH, SHAPES, change, contents_of, filled, open_array


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
