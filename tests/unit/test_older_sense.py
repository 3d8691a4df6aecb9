"""Devices before ECKD: sense of 6 and 24 bytes.

Source: older-ckd-devices; the clause stands at each test.
"""

from __future__ import annotations

import pytest

from ccw.geometry import track_address_bytes
from ccw.tracks import build_image, standard_record_zero
from tests.helpers.devices import SLI, Bench
from tests.helpers.older import DEVICES, SENSE_BYTES, bench, count, identifier, matches, seek, sense_of

# 3: sense

OBSERVED = [
    ("2314", 0x52, (seek(200),), "800000400000"),
    ("2314", 0x52, (seek(400),), "800000400000"),
    ("2311", 0x53, (seek(400),), "800000C80000"),
    ("2314", 0x52, ((0x1F, b"\xd8"), (0x92, 8), (0x92, 8)), "000400400000"),
    ("2311", 0x53, ((0x1F, b"\xd8"), (0x92, 8), (0x92, 8)), "000400C80000"),
    ("3330", 0x51, (seek(411),), "80000000310000" + "04" + "00" * 16),
    ("3330", 0x51, (seek(0), (0x1F, b"\xd8"), (0x92, 8), (0x92, 8)), "00040000310000" + "00" * 17),
]


@pytest.mark.parametrize(("device_type", "unit", "program", "expected"), OBSERVED)
def test_observed_sense(device_type: str, unit: int, program: tuple[tuple[object, ...], ...], expected: str) -> None:
    device = bench(device_type, unit)
    device.format(0, 0, [(1, b"", b"one")])
    ended = device.run(list(program))
    assert (ended.status, ended.sense) == (0x0E, bytes.fromhex(expected))
    assert ended.residual == (8 if program[-1][0] == 0x92 else 0)


def test_observed_sense_with_nothing_pending() -> None:
    device = bench("3340", 5)
    device.run([seek(348)])
    assert device.run([(0x04, 24)]).data == [bytes.fromhex("00008100045C2000").ljust(24, b"\0")]
    assert bench("3330", 0x51).run([(0x04, 24)]).data == [bytes.fromhex("0000000031").ljust(24, b"\0")]
    ended = bench("2314").run([(0x04, 24, SLI)])
    assert (ended.data, ended.residual) == ([bytes.fromhex("000000400000")], 18)


@pytest.mark.parametrize("unit", range(8))
def test_drive_numbers(unit: int) -> None:
    def byte_4(device_type: str) -> int:
        return bench(device_type, 0x150 & 0xF8 | unit).run([(0x04, 24)]).data[0][4]

    assert byte_4("3330") == (0x38, 0x31, 0x2A, 0x23, 0x1C, 0x15, 0x0E, 0x07)[unit]
    assert byte_4("3340") == byte_4("3350") == 0x80 >> unit
    assert byte_4("3375") == unit


@pytest.mark.parametrize(("device_type", "cylinders", "track", "low", "high"), [
    ("3330", 404, (256, 17), 0x00, 0x51), ("3330", 808, (777, 18), 0x09, 0x72), ("3340", 696, (600, 11), 0x58, 0x4B),
    ("3350", 555, (554, 29), 0x2A, 0x5D), ("3375", 959, (958, 11), 0xBE, 0xCB),
])  # fmt: skip
def test_arm_in_the_sense(device_type: str, cylinders: int, track: tuple[int, int], low: int, high: int) -> None:
    device = Bench(DEVICES[device_type][1], cylinders, device_type)
    device.run([seek(*track)])
    assert device.run([(0x04, 24)]).data[0][5:7] == bytes((low, high))


@pytest.mark.parametrize("device_type", DEVICES)
def test_conditions(device_type: str) -> None:
    """3.3 row by row, with the arm on the last head."""
    six = SENSE_BYTES[DEVICES[device_type][1]] == 6
    device = bench(device_type)
    head = device.tracks.heads - 1
    device.format(3, head, [(1, b"", b"one")])

    def conditions(*program: tuple[object, ...]) -> str:
        return sense_of(device, seek(3, head), *program)[:4]

    assert conditions((0x92, 8), (0x92, 8)) == "0020"
    ended = device.run([seek(3, head), identifier(3, head, 7), ("TIC", 1)])
    assert ended.sense is not None and ended.sense[:2] == b"\0\x08" and ended.residual == 5
    if six:
        device.run([seek(3, head)])
        state = device.run([(0x92, 8), (0x92, 8)]).sense
        assert state is not None and state[3] == (0xC8 if device_type == "2311" else 0x40) | 0x04
    assert conditions((0x05, b"one")) == "8000"
    too_long = count(3, head, 1, 0, device.device.geometry.family.record_length_max + 1)
    assert conditions(identifier(3, head, 0), ("TIC", 1), (0x1D, too_long, SLI)) == "0040"


@pytest.mark.parametrize("device_type", DEVICES)
def test_no_count_area_and_write_protection(device_type: str) -> None:
    six = SENSE_BYTES[DEVICES[device_type][1]] == 6
    device = bench(device_type)
    device.tracks.images[3 * device.tracks.heads] = build_image(b"\0" + track_address_bytes(3, 0), [])
    for step in ((0x06, 4), (0x12, 8), (0x31, bytes(5)), (0x16, 16)):
        assert sense_of(device, seek(3), step).startswith("000A" if six else "0048")
    device = bench(device_type, read_only=True)
    device.format(3, 0, [(1, b"", b"one")])
    found = sense_of(device, seek(3), identifier(3, 0, 0), ("TIC", 1), (0x1D, count(3, 0, 1, 0, 1) + b"x"))
    assert found.startswith("8000" if six else "1002") and (six or found[14:16] == "04")


def test_a_3380_behind_a_3880_has_24_bytes_in_the_main_layout() -> None:
    device = Bench("3880", 885, "3380", unit_address=0x121 & 0xFF)
    device.format(3, 5, [(1, b"", b"one")])
    ended = device.run([seek(3, 5), identifier(3, 5, 7), ("TIC", 1)])
    assert ended.sense == bytes.fromhex("00080000010305").ljust(24, b"\0")
    ended = device.run([(0x04, 32, SLI)])
    assert (ended.residual, len(ended.data[0])) == (8, 24)
    assert device.run([(0xE4, 12, SLI)]).data == [bytes.fromhex("FF388005338002")]
    assert device.run([(0x64, 64)]).data[0][:6] == bytes.fromhex("388005338002")
    assert matches(sense_of(device, (0x63, bytes(16))), "3375", 1)


def test_standard_record_zero_of_a_high_head() -> None:
    assert standard_record_zero(1, 29).count == bytes.fromhex("0001001D00000008")
