"""The test vectors 1-32 of the command reference (eckd-commands section 6): program in, status, residual, sense out.

Track 5/2 holds standard R0 and R1-R12 of 4,096 bytes, Rn filled with n; 5/13, 5/14 and 6/0 hold one record of 16 bytes
where vectors 21 and 22 need it.
"""

from __future__ import annotations

import pytest

from tests.helpers.devices import CC, SLI, Bench

SEEK_ARGUMENT = bytes.fromhex("0000 0005 0002")
DXR = bytes.fromhex("40C01000 00000000 00050002 00050002")
DXW = bytes.fromhex("80C01000 00000000 00050002 00050002")
LRR = bytes.fromhex("06800003 00050002 00050002 01 06 1000")
LRW = bytes.fromhex("01800002 00050002 00050002 05 4D 1000")
DXF = bytes.fromhex("C0C00000 00000000 00050002 00050002")
LRF = bytes.fromhex("0300000C 00050002 00050002 00 FF 0000")
DXT = bytes.fromhex("40C00000 00000000 00050002 00050002")
LRT = bytes.fromhex("4C000001 00050002 00050002 00 FF 0000")
DXM = bytes.fromhex("40C00010 00000000 0005000D 00060000")
LRM3 = bytes.fromhex("06800003 0005000D 0005000D 01 FF 0010")
TIC_BACK = ("TIC", 1)


def search(record: int) -> tuple[int, bytes]:
    return 0x31, bytes.fromhex("00050002") + bytes((record,))


def count_area(record: int) -> bytes:
    return bytes.fromhex("00050002") + bytes((record,)) + bytes.fromhex("001000")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.format(5, 2, [(number, b"", bytes((number,)) * 4096) for number in range(1, 13)])
    return bench


@pytest.fixture
def crossing(bench: Bench) -> Bench:
    for cylinder, head, fill in ((5, 13, 0xD1), (5, 14, 0xD2), (6, 0, 0xD3)):
        bench.format(cylinder, head, [(1, b"", bytes((fill,)) * 16)])
    return bench


def sense(*groups: str) -> bytes:
    return bytes.fromhex("".join(groups))


def test_01_seek_search_loop_read(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), search(3), TIC_BACK, (0x06, 4096)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert ended.data == [b"\x03" * 4096]
    assert ended.steps == [0x07, 0x31, 0x31, 0x31, 0x31, 0x06]


def test_02_locate_and_read_three(bench: Bench) -> None:
    ended = bench.run([(0x63, DXR), (0x47, LRR), (0x86, 4096), (0x86, 4096), (0x86, 4096)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert ended.data == [bytes((n,)) * 4096 for n in (1, 2, 3)]


def test_03_locate_and_update_two(bench: Bench) -> None:
    ended = bench.run([(0x63, DXW), (0x47, LRW), (0x85, b"\xaa" * 4096), (0x85, b"\xbb" * 4096)])
    assert (ended.status, ended.residual) == (0x0C, 0)
    assert [record.data[0] for record in bench.records(5, 2)[5:8]] == [0xAA, 0xBB, 0x07]
    assert bench.tracks.written == [5 * 15 + 2], "hardened once, at the end of the domain"


def test_04_update_length_differs_from_announced(bench: Bench) -> None:
    locate = bytes.fromhex("01800001 00050002 00050002 05 FF 0800")
    ended = bench.run([(0x63, DXW), (0x47, locate), (0x85, bytes(0x800))])
    assert (ended.status, ended.residual) == (0x0E, 0x800)
    assert ended.sense == sense("0040000000050200", "00" * 19, "8000000502")
    assert bench.records(5, 2)[5].data == b"\x05" * 4096


def formatting(records: int) -> list[tuple[object, ...]]:
    return [(0x1D, count_area(n), SLI | CC) for n in range(1, records)] + [(0x1D, count_area(records), SLI)]


def test_05_format_twelve(bench: Bench) -> None:
    ended = bench.run([(0x63, DXF), (0x47, LRF), *formatting(12)])
    assert (ended.status, ended.residual) == (0x0C, 0)
    assert [record.data for record in bench.records(5, 2)[1:]] == [bytes(4096)] * 12


def test_06_thirteenth_does_not_fit(bench: Bench) -> None:
    ended = bench.run([(0x63, DXF), (0x47, b"\x03\0\0\x0d" + LRF[4:]), *formatting(13)])
    assert (ended.status, ended.residual) == (0x0E, 8)
    assert ended.sense is not None and ended.sense[:2] == b"\x00\x40"
    assert len(bench.records(5, 2)) == 13
    assert bench.tracks.written == [5 * 15 + 2], "what fitted is hardened with the unit check"


def test_07_read_track(bench: Bench) -> None:
    ended = bench.run([(0x63, DXT), (0x47, LRT), (0xDE, 0xC078)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    (data,) = ended.data
    assert len(data) == 49_272
    assert data[:16] == bytes.fromhex("0005000200000008") + bytes(8)
    assert data[-8:] == b"\xff" * 8


def test_08_end_of_file(bench: Bench) -> None:
    bench.format(5, 3, [(1, b"", b"")])
    seek, identifier = bytes.fromhex("000000050003"), bytes.fromhex("0005000301")
    ended = bench.run([(0x07, seek), (0x31, identifier), TIC_BACK, (0x06, 4096)])
    assert (ended.status, ended.residual) == (0x0D, 4096)


def test_09_unknown_command(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), (0x33, 0)])
    assert (ended.status, ended.residual) == (0x0E, 0)
    assert ended.sense == sense("80000000 00050201", "00" * 19, "8000000502")


def test_10_locate_without_extent(bench: Bench) -> None:
    ended = bench.run([(0x47, LRR)])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0x10, 2)


def rejected(image: bytes | None) -> int:
    """The message of a command reject."""
    assert image is not None and image[:3] == b"\x80\0\0" and image[27] == 0x80
    return image[7]


def test_11_locate_too_short(bench: Bench) -> None:
    ended = bench.run([(0x63, DXR), (0x47, LRR[:15])])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0, 3)


def test_12_locate_reserved_byte(bench: Bench) -> None:
    ended = bench.run([(0x63, DXR), (0x47, LRR[:2] + b"\x01" + LRR[3:])])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0, 4)


def test_13_seek_beyond_device(bench: Bench) -> None:
    ended = bench.run([(0x07, bytes.fromhex("00000D0B0000"))])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0, 4)


def test_14_seek_outside_extent(bench: Bench) -> None:
    ended = bench.run([(0x63, DXR), (0x07, bytes.fromhex("000000060000"))])
    assert (ended.status, ended.residual) == (0x0E, 0)
    assert ended.sense is not None and ended.sense[:2] == b"\x00\x04"


def test_15_record_not_found(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), search(99), TIC_BACK, (0x06, 4096)])
    assert (ended.status, ended.residual) == (0x0E, 5)
    assert ended.sense is not None and ended.sense[:2] == b"\x00\x08"
    assert ended.steps.count(0x31) == 27


def test_16_end_of_cylinder(bench: Bench) -> None:
    ended = bench.run([(0x07, bytes.fromhex("00000005000E")), (0x92, 8)])
    assert (ended.status, ended.residual) == (0x0E, 8)
    assert ended.sense is not None and ended.sense[:8] == bytes.fromhex("0020000000050E00")


def test_17_read_before_seek(bench: Bench) -> None:
    ended = bench.run([(0x06, 4096)])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 4096, 2)


def test_18_short_write_is_filled_with_zeros(bench: Bench) -> None:
    program = [(0x07, SEEK_ARGUMENT), search(3), TIC_BACK, (0x05, b"\x77" * 100, SLI)]
    ended = bench.run(program)
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert bench.records(5, 2)[3].data == b"\x77" * 100 + bytes(3996)
    ended = bench.run([*program[:3], (0x05, b"\x78" * 100, 0)])
    assert (ended.status, ended.length_wrong) == (0x0C, True)
    assert bench.records(5, 2)[3].data == b"\x78" * 100 + bytes(3996)


def test_19_mask_forbids_writing(bench: Bench) -> None:
    ended = bench.run([(0x1F, b"\x40"), (0x07, SEEK_ARGUMENT), search(3), ("TIC", 2), (0x05, bytes(4096))])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 4096, 2)


def test_20_write_behind_read(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), search(3), TIC_BACK, (0x06, 4096), (0x05, bytes(4096))])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 4096, 2)


def test_21_domain_crosses_cylinders(crossing: Bench) -> None:
    ended = crossing.run([(0x63, DXM), (0x47, LRM3), (0x86, 16), (0x86, 16), (0x86, 16)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert ended.data == [bytes((fill,)) * 16 for fill in (0xD1, 0xD2, 0xD3)]


def test_22_domain_leaves_extent(crossing: Bench) -> None:
    reads = [(0x86, 16)] * 4
    ended = crossing.run([(0x63, DXM), (0x47, LRM3[:3] + b"\x04" + LRM3[4:]), *reads])
    assert (ended.status, ended.residual) == (0x0E, 0x10)
    assert ended.sense == sense("00050001 00060000", "00" * 19, "8000000600")


def test_23_no_operation_in_domain(bench: Bench) -> None:
    ended = bench.run([(0x63, DXR), (0x47, LRR), (0x03, 0)])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0, 2)


def test_24_read_multiple(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), (0x5E, 0xC060, SLI)])
    assert (ended.status, ended.residual) == (0x0C, 0)
    assert len(ended.data[0]) == 49_248 and not ended.data[0].endswith(b"\xff" * 8)


def test_25_read_counts(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), (0x12, 8), (0x12, 8)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert ended.data == [count_area(1), count_area(2)]


def test_26_search_by_prefix(bench: Bench) -> None:
    ended = bench.run([(0x07, SEEK_ARGUMENT), (0x31, bytes.fromhex("00050002"), CC), TIC_BACK, (0x06, 4096)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x4C, 0, True)


def test_27_sense_id(bench: Bench) -> None:
    ended = bench.run([(0xE4, 0x100, SLI)])
    assert (ended.status, ended.residual) == (0x0C, 0xEC)
    assert ended.data == [bytes.fromhex("FF3990E9 33900A00 40FA0100 41270004 423E0060")]


def test_28_read_device_characteristics(bench: Bench) -> None:
    ended = bench.run([(0x64, 64)])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert ended.data == [
        bytes.fromhex(
            "3990E933 900A5000 10962024 0D0B000F E000E5A2 05940222 13090674 00000000"
            "00000000 00000000 24241502 DFEE0001 0677080F 007F4000 00FF0000 00000D0B"
        )
    ]


GROUP = bytes.fromhex("000111223320645A5A5A5A")


def test_29_sense_path_group_of_a_fresh_path(bench: Bench) -> None:
    ended = bench.run([(0x34, 12)])
    assert (ended.status, ended.residual, ended.data) == (0x0C, 0, [bytes(12)])


def test_30_set_then_sense_path_group(bench: Bench) -> None:
    assert bench.run([(0xAF, b"\x80" + GROUP)]).status == 0x0C
    assert bench.run([(0x34, 12)]).data == [b"\xc8" + GROUP]


def test_31_reservation_is_seen(bench: Bench) -> None:
    other = bytes.fromhex("000199999920645A5A5A5A")
    bench.run([(0xAF, b"\x80" + GROUP)], "A")
    bench.run([(0xAF, b"\x80" + other)], "B")
    assert bench.run([(0xB4, 32)], "A").status == 0x0C
    assert bench.run([(0x34, 12)], "A").data == [b"\xf8" + GROUP]
    assert bench.run([(0x34, 12)], "B").data == [b"\xe8" + other]


def test_32_another_id_on_the_same_path(bench: Bench) -> None:
    bench.run([(0xAF, b"\x80" + GROUP)])
    ended = bench.run([(0xAF, b"\x80" + GROUP[::-1])])
    assert (ended.status, ended.residual, rejected(ended.sense)) == (0x0E, 0, 4)
