"""Devices before ECKD: which commands exist, their rules, alternate tracks.

Source: older-ckd-devices; the clause stands at each test.
"""

from __future__ import annotations

import pytest

from ccw.geometry import geometry_for, track_address_bytes
from ccw.tracks import Record, build_image
from controller.commands.attachment import control_units_for, profile_of
from tests.helpers.devices import CC, SLI, Bench
from tests.helpers.older import DEVICES, SENSE_BYTES, bench, count, identifier, matches, seek, sense_of

# 1: control units


def test_every_type_has_its_usual_control_unit() -> None:
    for device_type, (cylinders, control_unit) in DEVICES.items():
        geometry = geometry_for(device_type, cylinders)
        assert profile_of(geometry).name == control_unit
        with pytest.raises(ValueError, match="control unit '3990-6' is none of"):
            profile_of(geometry, "3990-6")
    assert control_units_for(geometry_for("3350", 555)) == ("3830", "3880")
    assert "3880" in control_units_for(geometry_for("3380", 885))
    assert not {"3830", "2841", "3880"} & set(control_units_for(geometry_for("3390", 885)))


# 1.2: Sense ID


@pytest.mark.parametrize(("device_type", "expected"), [
    ("3330", "FF383002333001"), ("3350", "FF383002335000"), ("3375", "FF388005337502"), ("3340", "FF383002334001"),
    ("2305", "FF283500230500"), ("2311", None), ("2314", None),
])  # fmt: skip
def test_sense_id(device_type: str, expected: str | None) -> None:
    if expected is None:
        assert matches(sense_of(bench(device_type), (0xE4, 7)), device_type, 1)
        assert bench(device_type, sense_id=True).run([(0xE4, 7)]).data[0][4:6].hex() == device_type
        return
    ended = bench(device_type).run([(0xE4, 7)])
    assert ended.data == [bytes.fromhex(expected)] and ended.status == 0x0C
    assert matches(sense_of(bench(device_type, sense_id=False), (0xE4, 7)), device_type, 1)


# 2: commands

NEVER = "63 47 4B E7 64 34 AF 5B 44 54 FA F7 3E 4E 85 87 8D 9D A4 A5 A6 DE F3 53 73 C4 09 25 45 65 2D 4D 6D 35 55 75"


@pytest.mark.parametrize("device_type", DEVICES)
def test_commands_that_never_exist(device_type: str) -> None:
    device = bench(device_type)
    for code in bytes.fromhex(NEVER):
        assert matches(sense_of(device, (code, bytes(64))), device_type, 1), f"{code:02X}"


EXISTS = {
    0x0A: {"3375"}, 0x14: {"3375"}, 0x22: {"2305", "3330", "3340", "3350", "3375"}, 0x27: {"2305"},
    0x5E: {"3330", "3340", "3350", "3375"}, 0x23: {"2305", "3330", "3340", "3350", "3375"},
}  # fmt: skip


@pytest.mark.parametrize("device_type", DEVICES)
@pytest.mark.parametrize("code", EXISTS)
def test_commands_of_some_devices(device_type: str, code: int) -> None:
    device = bench(device_type)
    data: bytes | int = b"\0" if code == 0x23 else 24
    start = [] if code == 0x14 else [seek(0)]
    ended = device.run([*start, (code, data, SLI)])
    if device_type in EXISTS[code]:
        assert ended.status == 0x0C or (ended.sense is not None and ended.sense[7] == 5)
    else:
        assert ended.status == 0x0E and ended.sense is not None and ended.sense[0] == 0x80


def test_unconditional_reserve_of_a_3350_is_a_matter_of_its_control_unit() -> None:
    assert Bench("3830", 555, "3350").run([(0x14, 24)]).status == 0x0E
    assert Bench("3880", 555, "3350").run([(0x14, 24)]).status == 0x0C


@pytest.mark.parametrize("device_type", DEVICES)
def test_reserve_and_release_send_the_sense(device_type: str) -> None:
    length = SENSE_BYTES[DEVICES[device_type][1]]
    device = bench(device_type)
    for code in (0xB4, 0x94):
        ended = device.run([(code, 24, SLI)])
        assert (ended.status, ended.residual, len(ended.data[0])) == (0x0C, 24 - length, length)


@pytest.mark.parametrize("device_type", [name for name in DEVICES if name != "3375"])
def test_a_chain_may_read_where_the_arm_stands(device_type: str) -> None:
    device = bench(device_type)
    device.format(3, 2, [(1, b"", b"here")])
    device.run([seek(3, 2)])
    assert device.run([(0x06, 4)]).data == [b"here"]
    assert device.run([(0x1A, 5)]).data == [b"\0" + track_address_bytes(3, 2)]


def test_a_3375_must_seek_first() -> None:
    assert matches(sense_of(bench("3375"), (0x06, 4)), "3375", 2)


@pytest.mark.parametrize("device_type", DEVICES)
def test_recalibrate_restore_and_read_ipl(device_type: str) -> None:
    device = bench(device_type)
    device.format(0, 0, [(1, b"", b"loader")])
    assert device.run([seek(5, 1), (0x17, 1, CC | SLI), (0x1A, 5)]).data == [b"\0" + track_address_bytes(5, 1)]
    assert device.run([seek(5, 1), (0x13, 1, CC | SLI), (0x1A, 5)]).data == [bytes(5)]
    protected = sense_of(device, seek(5, 1), (0x1F, b"\x08"), (0x13, 1, SLI))
    assert protected.startswith("0004")
    assert device.run([(0x02, 6)]).data == [b"loader"]
    assert matches(sense_of(device, (0x1F, b"\0"), (0x02, 6)), device_type, 2)


@pytest.mark.parametrize("device_type", DEVICES)
def test_space_count(device_type: str) -> None:
    device = bench(device_type)
    device.format(3, 0, [(1, b"KEY1", b"data of one"), (2, b"", b"two")])
    before = device.tracks.images.copy()
    assert device.run([seek(3), (0x0F, b"\0\0\x06"), (0x06, 6)]).data == [b"KEY1da"]
    assert device.run([seek(3), (0x0F, b"\4\0\x0b"), (0x0F, b"\0\0\3"), (0x06, 3)]).data == [b"two"]
    assert device.run([seek(3), (0x0F, b"\0\0\x14"), (0x06, 20)]).data == [b"KEY1data of one" + bytes(5)]
    assert matches(sense_of(device, seek(3), (0x0F, b"\0\0")), device_type, 3)
    for code in (0x02, 0x94):
        assert matches(sense_of(device, seek(3), (0x0F, bytes(3)), (code, 24, SLI)), device_type, 2)
    assert device.tracks.images == before


@pytest.mark.parametrize(("device_type", "bad", "good"), [
    ("2311", "20 01 02 04", "C0 D8 80"), ("2314", "20 01 07", "C0 18"), ("3330", "20", "C1 D8 07"),
])  # fmt: skip
def test_set_file_mask(device_type: str, bad: str, good: str) -> None:
    device = bench(device_type)
    for mask in bytes.fromhex(bad):
        assert matches(sense_of(device, (0x1F, bytes((mask,)))), device_type, 4)
    for mask in bytes.fromhex(good):
        assert device.run([(0x1F, bytes((mask,)))]).status == 0x0C
    assert matches(sense_of(device, (0x1F, b"\xc0"), (0x1F, b"\xc0")), device_type, 2)


# 2.1: seeks


@pytest.mark.parametrize("device_type", DEVICES)
def test_seek_checks(device_type: str) -> None:
    """Mask, then count, then address; the arm does not move. Every head and cylinder of the volume, none beyond."""
    device = bench(device_type)
    geometry = device.device.geometry
    last = (geometry.cylinders - 1, geometry.heads - 1)
    assert device.run([seek(*last), (0x1A, 5)]).data == [b"\0" + track_address_bytes(*last)]
    bad: list[tuple[bytes, int]] = [
        (b"\0\0" + track_address_bytes(geometry.cylinders, 0), 4),
        (b"\0\0" + bytes((0, 0, 0, geometry.heads)), 4),
        (b"\1" + bytes(5), 4),
        (b"\0\1" + bytes(4), 4),
        (bytes(5), 3),
    ]
    for argument, message in bad:
        assert matches(sense_of(device, (0x07, argument)), device_type, message)
        assert device.run([(0x07, argument)]).residual == 0
        if device_type != "3375":
            assert device.run([(0x1A, 5)]).data == [b"\0" + track_address_bytes(*last)]
    for code, masks in ((0x07, "08 10 18"), (0x0B, "10 18"), (0x1B, "18")):
        for mask in bytes.fromhex(masks):
            assert sense_of(device, seek(1), (0x1F, bytes((mask,))), (code, bytes(2))).startswith("0004")


def test_seek_check_beside_command_reject_where_configured() -> None:
    device = bench("2314", seek_check=True)
    assert sense_of(device, seek(200)) == "810000400000" and sense_of(device, (0x07, bytes(5))) == "810000400000"
    assert sense_of(device, (0x1F, b"\x20")) == "800000400000"
    assert bench("3330", seek_check=True).run([seek(411)]).sense[0] == 0x80  # type: ignore[index]


# 2.3: home address and R0


@pytest.mark.parametrize(("device_type", "skip"), [("3330", 0), ("3340", 2), ("3350", 6), ("2311", 0), ("3375", 0)])
def test_write_home_address(device_type: str, skip: int) -> None:
    device = bench(device_type)
    device.format(3, 1, [(1, b"", b"gone")])
    address = track_address_bytes(3, 1)
    argument = bytes(range(1, skip + 1)) + b"\1" + address
    r0 = count(3, 1, 0, 0, 8) + b"recordR0"
    ended = device.run([seek(3, 1), (0x1F, b"\xc0"), (0x19, argument), (0x15, r0), (0x1A, 5), (0x16, 16)])
    assert (ended.status, ended.data) == (0x0C, [b"\1" + address, r0])
    assert device.tracks.images[3 * device.tracks.heads + 1][:5] == b"\1" + address
    assert len(device.records(3, 1)) == 1
    assert matches(sense_of(device, seek(3, 1), (0x1F, b"\xc0"), (0x19, argument[:-1])), device_type, 3)
    assert matches(sense_of(device, seek(3, 1), (0x19, argument)), device_type, 2)
    behind = b"\1" + address + bytes(range(1, skip + 1))
    ended = device.run([seek(3, 1), (0x1F, b"\xc0"), (0x19, behind), (0x15, r0), (0x1A, 5)])
    assert ended.data == [b"\1" + address]


@pytest.mark.parametrize("device_type", DEVICES)
def test_write_r0_of_any_length(device_type: str) -> None:
    device = bench(device_type)
    longest = min(device.device.geometry.family.record_zero_length_max, device.device.geometry.track_size - 21)
    start = [seek(7, 1), (0x1F, b"\xc0"), (0x39, track_address_bytes(7, 1)), ("TIC", 2)]
    for length in (0, 8, 100, longest):
        r0 = count(7, 1, 0, 0, length) + b"\x5a" * length
        ended = device.run([*start, (0x15, r0), (0x16, 8 + length)])
        assert (ended.status, ended.data) == (0x0C if length else 0x0D, [r0])
        assert len(device.tracks.images[7 * device.tracks.heads + 1]) <= device.device.geometry.track_size
    too_long = (0x15, count(7, 1, 0, 0, longest + 1) + bytes(longest + 1))
    assert sense_of(device, *start, too_long).startswith("0040")


@pytest.mark.parametrize("device_type", DEVICES)
def test_erase_of_nothing_needs_no_room(device_type: str) -> None:
    """Behind an R0 that fills the track, as surface analysis writes it; a count that says more does not fit there."""
    device = bench(device_type)
    length = device.device.geometry.family.record_length_max
    home = track_address_bytes(3, 0)
    written = device.run([
        (0x1F, b"\xc0"), seek(3), (0x39, home), ("TIC", 2), (0x15, count(3, 0, 0, 0, length) + bytes(8), SLI),
    ])  # fmt: skip
    assert written.status == 0x0C
    assert device.run([seek(3), identifier(3, 0, 0), ("TIC", 1), (0x11, bytes(8), SLI)]).status == 0x0C
    ended = device.run([seek(3), identifier(3, 0, 0), ("TIC", 1), (0x11, count(3, 0, 1, 0, 80), SLI)])
    assert ended.status == 0x0E and ended.sense is not None and ended.sense[:2] == b"\0\x40"


def test_read_special_home_address_of_a_3375() -> None:
    device = bench("3375")
    for mask in (0x04, 0x06):
        ended = device.run([seek(9, 2), (0x1F, bytes((mask,))), (0x0A, 27)])
        assert ended.data == [bytes(19) + track_address_bytes(9, 2) + bytes(4)] and ended.residual == 0
    for mask in (0x00, 0x02):
        assert matches(sense_of(device, seek(9, 2), (0x1F, bytes((mask,))), (0x0A, 27)), "3375", 5)


# 2.3: defective tracks


def with_defect(device_type: str, pointer: bytes) -> Bench:
    """Track 3/1 is defective, its R0 names `pointer`; the alternate track holds the records of 3/1."""
    device = bench(device_type)
    heads, last = device.tracks.heads, device.device.geometry.cylinders - 1
    bad, good = track_address_bytes(3, 1), track_address_bytes(last, 0)
    r0 = Record(pointer + b"\0\0\0\x08", b"", bytes(8))
    device.tracks.images[3 * heads + 1] = build_image(b"\2" + bad, [r0, Record(bad + b"\1\0\0\4", b"", b"lost")])
    back = Record(bad + b"\0\0\0\x08", b"", bytes(8))
    device.tracks.images[last * heads] = build_image(b"\1" + good, [back, Record(bad + b"\1\0\0\4", b"", b"kept")])
    return device


@pytest.mark.parametrize("device_type", ["3330", "3340", "2305"])
def test_a_defective_track_is_followed_to_its_alternate(device_type: str) -> None:
    last = DEVICES[device_type][0] - 1
    alternate = track_address_bytes(last, 0)
    device = with_defect(device_type, alternate)
    device.format(3, 2, [(1, b"", b"next")])
    assert device.run([seek(3, 1), (0x06, 4)]).data == [b"kept"]
    assert device.run([seek(3, 1), (0x1A, 5), (0x06, 4)]).data == [b"\2" + track_address_bytes(3, 1), b"kept"]
    assert device.run([seek(3, 1), (0x16, 16)]).data == [alternate + b"\0\0\0\x08" + bytes(8)]
    ended = device.run([seek(3, 1), (0x31, track_address_bytes(3, 1) + b"\1"), ("TIC", 1), (0x05, b"new!")])
    assert ended.status == 0x0C
    assert device.records(last, 0)[1].data == b"new!" and device.records(3, 1)[1].data == b"lost"
    heads = device.tracks.heads
    assert device.tracks.images[last * heads][0] == 1 and device.tracks.images[3 * heads + 1][0] == 2
    ended = device.run([seek(3, 1), (0x92, 8), (0x92, 8)])
    assert ended.data == [track_address_bytes(3, 1) + b"\1\0\0\4", count(3, 2, 1, 0, 4)]


@pytest.mark.parametrize("device_type", ["2311", "2314"])
def test_a_defective_track_is_track_condition_check(device_type: str) -> None:
    last = DEVICES[device_type][0] - 1
    device = with_defect(device_type, track_address_bytes(last, 0))
    for step in ((0x06, 4), (0x31, bytes(5)), (0x12, 8), (0x1E, 12), (0x29, b"K", SLI)):
        assert sense_of(device, seek(3, 1), step).startswith("020000")
    home = (0x39, track_address_bytes(3, 1))
    assert device.run([seek(3, 1), home, ("TIC", 1), (0x16, 16)]).data[0][:4] == track_address_bytes(last, 0)
    r0 = count(3, 1, 0, 0, 8) + bytes(8)
    assert device.run([seek(3, 1), (0x1F, b"\xc0"), home, ("TIC", 2), (0x15, r0)]).status == 0x0C
    assert device.run([seek(last, 0), (0x06, 4)]).data == [b"kept"]


def test_a_pointer_to_nowhere() -> None:
    device = with_defect("3330", b"\1\x9b\0\0")
    assert matches(sense_of(device, seek(3, 1), (0x06, 4)), "3330", 0x0B)
