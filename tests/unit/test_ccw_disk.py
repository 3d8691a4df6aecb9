"""Geometry, capacity, sectors and track images: the published tables, and what is refused."""

from collections.abc import Callable
from hashlib import sha256
from zlib import crc32

import pytest

from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh, Geometry, geometry_for
from ccw.image_files import DeviceHeader, ImageForm
from ccw.plain_images import plain_header, split_image_file
from ccw.tracks import (
    END_MARK,
    NULL_TRACK_LENGTH,
    CountArea,
    Record,
    build_image,
    build_track,
    null_track,
    parse_track,
    standard_record_zero,
    track_digest,
    track_image_length,
)
from tests.helpers.vectors import check_exact, expect_format_error

D3390, D3380, D9345 = geometry_for("3390", 3339), geometry_for("3380", 885), geometry_for("9345", 1440)

# Key length, data length, records on a 3390, 3380 and 9345 track, cells on a 3390. Source: eckd-commands 2.8.4.
CAPACITY = [
    (0, 0, 86, 93, 74, 20), (0, 80, 78, 83, 67, 22), (0, 96, 75, 78, 64, 23), (0, 256, 61, 62, 52, 28),
    (0, 512, 49, 46, 41, 35), (0, 800, 39, 36, 33, 44), (0, 1024, 33, 31, 28, 51), (0, 2048, 21, 18, 17, 81),
    (0, 4096, 12, 10, 10, 143), (0, 6144, 8, 7, 6, 205), (0, 8192, 6, 5, 5, 267), (0, 16384, 3, 2, 2, 514),
    (0, 24576, 2, 1, 1, 761), (0, 27998, 2, 1, 1, 864), (0, 32760, 1, 1, 1, 1008), (8, 256, 45, 46, 40, 38),
    (44, 96, 50, 53, 45, 34),
]
# Largest data length for 1..12 equal records without key. Source: eckd-commands 2.8.4.
LARGEST = {
    "3390": [56664, 27998, 18452, 13682, 10796, 8906, 7548, 6518, 5726, 5064, 4566, 4136],
    "3380": [47476, 23476, 15476, 11476, 9076, 7476, 6356, 5492, 4820, 4276, 3860, 3476],
    "9345": [46456, 22928, 15074, 11158, 8810, 7214, 6088, 5262, 4600, 4102, 3672, 3304],
}


@pytest.mark.parametrize(("key", "data", "on_3390", "on_3380", "on_9345", "cells"), CAPACITY)
def test_records_per_track(key: int, data: int, on_3390: int, on_3380: int, on_9345: int, cells: int) -> None:
    found = [device.records_per_track(key, data) for device in (D3390, D3380, D9345)]
    assert found == [on_3390, on_3380, on_9345]
    assert D3390.cells(key, data) == cells


@pytest.mark.parametrize("device", [D3390, D3380, D9345], ids=lambda device: device.name)
def test_largest_equal_records(device: Geometry) -> None:
    for count, length in enumerate(LARGEST[f"{device.device_type:X}"], 1):
        assert device.records_per_track(0, length) >= count > device.records_per_track(0, length + 1)


@pytest.mark.parametrize("device", [D3390, D3380, D9345], ids=lambda device: device.name)
@pytest.mark.parametrize("key", [0, 1, 8, 44, 226, 227, 255])
def test_cells_agree_with_the_formula_that_hosts_are_given(device: Geometry, key: int) -> None:
    cell = device.family.cell_formula.cell_length
    lengths = [*range(300), *range(300, device.family.record_length_max, 97), device.family.record_length_max]
    for length in lengths:
        assert device.record_bytes(key, length) == device.cells(key, length) * cell


def test_sectors_of_4096_byte_records() -> None:
    expected = [0, 6, 24, 41, 59, 77, 95, 113, 131, 149, 167, 184, 202]
    assert [D3390.sector_of_record(record, 4096) for record in range(13)] == expected
    expected = [0, 5, 26, 46, 67, 87, 108, 129, 149, 170, 190]
    assert [D3380.sector_of_record(record, 4096) for record in range(11)] == expected
    assert D9345.sector_of_record(3, 4096) == 0


@pytest.mark.parametrize(("device_type", "cylinders", "name", "model", "type_code"), [
    ("3390", 1, "3390-1", 0x02, 0x26), ("3390", 1113, "3390-1", 0x02, 0x26), ("3390", 1115, "3390-2", 0x06, 0x27),
    ("3390", 2226, "3390-2", 0x06, 0x27), ("3390", 2228, "3390-3", 0x0A, 0x24), ("3390", 3339, "3390-3", 0x0A, 0x24),
    ("3390", 3341, "3390-9", 0x0C, 0x32), ("3390", 10017, "3390-9", 0x0C, 0x32), ("3390", 32760, "3390-27", 0x0C, 0x32),
    ("3390", 65520, "3390-54", 0x0C, 0x32), ("3390", 65521, "3390-A", 0x0E, 0x32),
    ("3390", 1182006, "3390-A", 0x0E, 0x32),
    ("3380", 885, "3380-A", 0x02, 0x0E), ("3380", 1770, "3380-E", 0x0A, 0x0E), ("3380", 2655, "3380-K", 0x1E, 0x0E),
    ("9345", 1440, "9345-1", 0x04, 0x04), ("9345", 2156, "9345-2", 0x04, 0x04),
])
def test_model_by_size(device_type: str, cylinders: int, name: str, model: int, type_code: int) -> None:
    device = geometry_for(device_type, cylinders)
    assert (device.name, device.model, device.type_code, device.cylinders) == (name, model, type_code, cylinders)
    assert device.tracks == cylinders * 15
    last = device.address_of(device.tracks - 1)
    assert device.contains(last) and device.track_of(last) == device.tracks - 1
    assert not device.contains(Cchh(cylinders, 0)) and not device.contains(Cchh(0, 15))


@pytest.mark.parametrize(("device_type", "cylinders"), [("3351", 1), ("3390", 0), ("3390", 1182007), ("3380", 2656)])
def test_no_such_model(device_type: str, cylinders: int) -> None:
    with pytest.raises(ValueError, match=device_type if cylinders != 0 else "0 cylinders"):
        geometry_for(device_type, cylinders)


@pytest.mark.parametrize(("address", "packed"), [
    (Cchh(0, 0), "00000000"), (Cchh(5, 2), "00050002"), (Cchh(65535, 14), "FFFF000E"), (Cchh(0x21234, 3), "12340023"),
    (Cchh(0xFFFFFFF, 15), "FFFFFFFF"),
])
def test_track_address(address: Cchh, packed: str) -> None:
    data = bytes.fromhex(packed)
    assert check_exact(Cchh.unpack, Cchh.pack, data) == address
    assert CCHH.encode(address) == data and CCHH.decode(data) == address


def test_classic_track_address() -> None:
    assert check_exact(Cchh.unpack_classic, Cchh.pack_classic, bytes.fromhex("01950012")) == Cchh(405, 18)


@pytest.mark.parametrize("build", [
    Cchh(1 << 28, 0).pack, Cchh(0, 16).pack, Cchh(-1, 0).pack, Cchh(0, -1).pack, Cchh(65536, 0).pack_classic,
    Cchh(0, 65536).pack_classic,
])
def test_track_address_that_does_not_fit(build: Callable[[], bytes]) -> None:
    with pytest.raises(FormatError):
        build()


# --- tracks -----------------------------------------------------------------------------------------------------------

# Track 7/3 with one record of 80 bytes. Source: pprc-commands 8.1, the image behind V6: 117 bytes.
IMAGE = bytes.fromhex("0000070003 0007000300000008 0000000000000000 0007000301000050" + "C1" * 80 + "FF" * 8)
KEYED = build_track(7, 3, [standard_record_zero(7, 3), Record(bytes.fromhex("0007000301030002"), b"key", b"ab"),
                           Record(bytes.fromhex("0007000302000000"), b"", b"")])


@pytest.mark.parametrize("image", [IMAGE, KEYED, null_track(7, 3), b"\0\0\0\0\0" + END_MARK])
def test_track_image(image: bytes) -> None:
    records = parse_track(image)
    assert build_image(image[:5], records) == image
    assert track_image_length(image) == len(image) == track_image_length(b"abc" + image + b"rest", 3)
    for length in range(len(image)):
        expect_format_error(parse_track, image[:length])
        if length < len(image) - 8:
            expect_format_error(track_image_length, image[:length])
    assert expect_format_error(parse_track, image + b"\0").offset == len(image)


def test_track_of_the_bridge_example() -> None:
    assert len(IMAGE) == 117 and crc32(IMAGE) == 0x87D8D9D8      # the payload CRC in V6
    record = Record(bytes.fromhex("0007000301000050"), b"", b"\xc1" * 80)
    assert build_track(7, 3, [standard_record_zero(7, 3), record]) == IMAGE
    assert track_digest(IMAGE) == sha256(IMAGE[:-8]).hexdigest()
    with pytest.raises(FormatError):
        track_digest(IMAGE[:-1])


def test_null_track() -> None:
    image = null_track(0x21234, 3)
    assert len(image) == NULL_TRACK_LENGTH == 29
    assert parse_track(image) == [standard_record_zero(0x21234, 3)]


def test_record_that_runs_past_the_end() -> None:
    error = expect_format_error(parse_track, IMAGE[:21] + bytes.fromhex("00070003010000FF") + b"\xc1" * 80 + END_MARK)
    assert (error.where, error.offset) == ("record 1 cut short", 21)


@pytest.mark.parametrize("record", [
    Record(b"short", b"", b""), Record(bytes(8), b"k", b""), Record(bytes(8), b"", b"d"), Record(END_MARK, b"", b""),
    Record(END_MARK, bytes(255), bytes(65535)),
])
def test_record_that_cannot_be_built(record: Record) -> None:
    with pytest.raises(FormatError):
        build_track(0, 0, [record])


def test_home_address_is_five_bytes() -> None:
    with pytest.raises(FormatError):
        build_image(b"\0\0\0\0", [])


def test_count_area() -> None:
    count = check_exact(CountArea.decode, CountArea.encode, bytes.fromhex("1234002305080100"))
    assert count == CountArea(0x1234, 0x0023, 5, 8, 256)
    assert count.address == Cchh(0x21234, 3)


HEADER = DeviceHeader(ImageForm.PLAIN.value, 15, 512, 0x90)


def test_image_file_header() -> None:
    data = b"CKD_P370" + bytes.fromhex("0F000000 00DE0000 90 00 0000") + bytes(492)
    assert check_exact(DeviceHeader.decode, DeviceHeader.encode, data).encode() == plain_header(15, 56832, 0x3390)


def test_image_file() -> None:
    images = [null_track(0, 0), IMAGE, KEYED]
    file = HEADER.encode() + b"".join(image.ljust(512, b"\0") for image in images)
    header, tracks = split_image_file(file)
    assert header == HEADER
    assert list(tracks) == list(enumerate(images))
    error = expect_format_error(split_image_file, file[:-1])
    assert (error.where, error.offset) == ("last track cut short", len(file) - 1)


def test_image_file_with_a_bad_track_says_which() -> None:
    file = HEADER.encode() + null_track(0, 0).ljust(512, b"\0") + bytes(5) + b"\x01" * 507
    _, tracks = split_image_file(file)
    assert next(tracks)[0] == 0
    with pytest.raises(FormatError, match="track 1: no end mark at byte"):
        next(tracks)


@pytest.mark.parametrize(("data", "where"), [
    (b"", "length"), (b"CKD_C370" + bytes(504), "not a plain image"), (b"CKD_X370" + bytes(504), "form"),
    (plain_header(15, 12, 0x3390), "track size"),
    (plain_header(0, 512, 0x3390), "heads"),
])
def test_image_file_that_is_refused(data: bytes, where: str) -> None:
    assert expect_format_error(split_image_file, data).where == where
