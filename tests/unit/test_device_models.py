"""Device types before ECKD: geometry, capacity, image slots, track addresses. Source: older-ckd-devices 1, 1.1."""

from __future__ import annotations

import pytest

from ccw.errors import FormatError
from ccw.geometry import MODELS, Cchh, Geometry, geometry_for, geometry_of, track_address_bytes
from ccw.tracks import Record, build_track, null_track, parse_track, standard_record_zero

OLDER = ("2305", "2311", "2314", "3330", "3340", "3350", "3375")
# Name, primary and alternate cylinders, heads, largest R1, track, sectors, model byte, slot, header byte 16.
MODEL_ROWS = [
    ("2305-1", 48, 6, 8, 14_136, 14_568, 90, 0x00, 14_336),
    ("2305-2", 96, 12, 8, 14_660, 14_858, 90, 0x02, 14_848),
    ("2311", 200, 3, 10, 3_625, 3_625, 0, 0x00, 4_096),
    ("2314", 200, 3, 20, 7_294, 7_294, 0, 0x00, 7_680),
    ("3330-1", 404, 7, 19, 13_030, 13_165, 128, 0x01, 13_312),
    ("3330-11", 808, 7, 19, 13_030, 13_165, 128, 0x11, 13_312),
    ("3340-35", 348, 1, 12, 8_368, 8_535, 64, 0x01, 8_704),
    ("3340-70", 696, 2, 12, 8_368, 8_535, 64, 0x02, 8_704),
    ("3350", 555, 5, 30, 19_069, 19_254, 128, 0x00, 19_456),
    ("3375", 959, 3, 12, 35_616, 36_000, 196, 0x02, 35_840),
]
# Key length, data length, records on 2305-1, 2305-2, 2311, 2314, 3330, 3340, 3350, 3375.
CAPACITY_ROWS = [
    (0, 80, 28, 53, 25, 40, 61, 34, 72, 75),
    (0, 4096, 3, 3, 0, 1, 3, 2, 4, 8),
    (8, 256, 16, 26, 10, 17, 28, 16, 36, 43),
    (44, 96, 18, 34, 16, 25, 39, 22, 47, 51),
]
CAPACITY_OF = ("2305-1", "2305-2", "2311", "2314", "3330-1", "3340-35", "3350", "3375")


@pytest.mark.parametrize("row", MODEL_ROWS, ids=lambda row: row[0])
def test_model(row: tuple[str, int, int, int, int, int, int, int, int]) -> None:
    name, primary, alternates, heads, longest, track, sectors, model, slot = row
    device_type = name.partition("-")[0]
    for cylinders, spare in ((primary, 0), (primary + alternates, alternates)):
        device = geometry_for(device_type, cylinders)
        assert (device.name, device.cylinders, device.alternate_cylinders) == (name, cylinders, spare)
        assert (device.primary_cylinders, device.heads, device.tracks) == (primary, heads, cylinders * heads)
    assert (device.family.record_length_max, device.track_cells, device.sectors) == (longest, track, sectors)
    assert (device.model, device.track_size, f"{device.device_type:X}") == (model, slot, device_type)
    assert slot == -(-(5 + 16 + 8 + longest + 8) // 512) * 512
    assert device.records_per_track(0, longest) == 1 and device.records_per_track(0, longest + 1) == 0


@pytest.mark.parametrize("row", CAPACITY_ROWS, ids=lambda row: f"{row[0]}/{row[1]}")
def test_records_per_track(row: tuple[int, ...]) -> None:
    key, data, *expected = row
    assert [geometry_of(name).records_per_track(key, data) for name in CAPACITY_OF] == expected


@pytest.mark.parametrize("name", CAPACITY_OF)
@pytest.mark.parametrize(("key", "data"), [(0, 0), (0, 80), (1, 1), (44, 96), (8, 256)])
def test_a_full_track_fits_its_image_slot(name: str, key: int, data: int) -> None:
    device = geometry_of(name)
    records = [Record(bytes((0, 0, 0, 0, 1, key)) + data.to_bytes(2, "big"), bytes(key), bytes(data))]
    track = [standard_record_zero(0, 0), *records * device.records_per_track(key, data)]
    assert len(build_track(0, 0, track)) <= device.track_size


def test_the_last_record_needs_no_gap() -> None:
    device = geometry_of("2314")
    assert device.last_cells(4, 96) == 145 < device.cells(4, 96)
    assert geometry_of("3350").last_cells(4, 96) == geometry_of("3350").cells(4, 96)


@pytest.mark.parametrize(("device_type", "cylinders", "name"), [
    ("3330", 405, "3330-11"), ("3330", 410, "3330-11"), ("3330", 815, "3330-11"), ("3340", 349, "3340-35"),
    ("3340", 350, "3340-70"), ("2305", 48, "2305-1"), ("2305", 54, "2305-1"), ("2305", 55, "2305-2"),
    ("3390", 1114, "3390-1"), ("3390", 3340, "3390-3"), ("3380", 886, "3380-A"), ("3390", 10020, "3390-9"),
])
def test_alternates_are_all_or_none(device_type: str, cylinders: int, name: str) -> None:
    device = geometry_for(device_type, cylinders)
    assert device.name == name and device.cylinders == cylinders
    model = next(model for model in MODELS[device_type] if model.name == name)
    assert device.alternate_cylinders in (0, model.alternate_cylinders)
    assert device.alternate_cylinders == max(0, cylinders - model.cylinders_max)


@pytest.mark.parametrize(("device_type", "cylinders", "most"), [
    ("2311", 201, 200), ("2314", 204, 200), ("3330", 816, 808), ("3350", 556, 555), ("3375", 963, 959),
])
def test_more_cylinders_than_there_are(device_type: str, cylinders: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"{cylinders} cylinders: a {device_type} has at most {most}"):
        geometry_for(device_type, cylinders)


def test_track_addresses_of_many_heads() -> None:
    assert track_address_bytes(3, 29) == bytes.fromhex("0003001D")
    assert track_address_bytes(0x12345, 9) == Cchh(0x12345, 9).pack()
    with pytest.raises(FormatError):
        track_address_bytes(0x12345, 16)
    d3350, d3390 = geometry_of("3350"), geometry_of("3390-3")
    assert d3350.address_in(bytes.fromhex("0003001D")) == Cchh(3, 29)
    assert d3390.address_in(bytes.fromhex("0003001D")) == Cchh(0x10003, 13)
    image = null_track(3, 29)
    assert image[:9] == bytes.fromhex("000003001D0003001D") and parse_track(image)[0].count[:4] == image[1:5]


@pytest.mark.parametrize("device_type", OLDER)
def test_sense_shows_every_track(device_type: str) -> None:
    """The cylinder's high bits stand above the head without touching it."""
    for model in MODELS[device_type]:
        device: Geometry = geometry_of(model.name, alternates=True)
        if device.cylinder_shift != 4:
            assert device.heads <= 1 << device.cylinder_shift
            assert (device.cylinders - 1) >> 8 << device.cylinder_shift <= 0xFF
