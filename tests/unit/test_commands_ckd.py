"""Count-key-data commands outside a domain: searches, permissions, orientation, format writes, home address."""

from __future__ import annotations

import pytest

from tests.helpers.devices import CC, SLI, Bench

SEEK = (0x07, bytes.fromhex("000000050002"))
AT = bytes.fromhex("00050002")
REJECT, PROTECTED, NOT_FOUND, BAD_FORMAT = b"\x80\0", b"\0\x04", b"\0\x08", b"\0\x40"


@pytest.fixture
def bench() -> Bench:
    bench = Bench("3990-3", 100)
    bench.format(5, 2, [(number, b"KEY%d" % number, bytes((number,)) * 32) for number in range(1, 5)])
    bench.format(5, 3, [(1, b"NEXT", b"\x99" * 32)])
    return bench


def identifier(record: int, code: int = 0x31) -> tuple[int, bytes]:
    return code, AT + bytes((record,))


def count(record: int, key: int, data: int) -> bytes:
    return AT + bytes((record, key)) + data.to_bytes(2, "big")


def refused(bench: Bench, *program: tuple[object, ...]) -> tuple[bytes, int]:
    """Sense bytes 0-1 and message of a program that must end in unit check at its last step."""
    ended = bench.run(list(program))
    assert ended.status == 0x0E and ended.index == len(program) - 1
    assert ended.sense is not None
    return ended.sense[:2], ended.sense[7]


@pytest.mark.parametrize(
    "code, record, found",
    [(0x31, 3, 3), (0x51, 2, 3), (0x71, 2, 2), (0xB1, 3, 3), (0xD1, 2, 3), (0xF1, 3, 3)],
)
def test_search_identifier_forms(bench: Bench, code: int, record: int, found: int) -> None:
    ended = bench.run([SEEK, identifier(record, code), ("TIC", 1), (0x06, 32)])
    assert ended.data == [bytes((found,)) * 32]


@pytest.mark.parametrize(
    "code, key, found", [(0x29, b"KEY3", 3), (0x49, b"KEY2", 3), (0x69, b"KEY3", 3), (0x29, b"KEY", 1)]
)
def test_search_key_forms(bench: Bench, code: int, key: bytes, found: int) -> None:
    ended = bench.run([SEEK, (code, key, CC | SLI), ("TIC", 1), (0x06, 32)])
    assert ended.data == [bytes((found,)) * 32]


def test_multitrack_search_key_goes_on_to_the_next_track(bench: Bench) -> None:
    assert bench.run([SEEK, (0xA9, b"NEXT"), ("TIC", 1), (0x06, 32)]).data == [b"\x99" * 32]


def test_search_home_address_permits_write_r0(bench: Bench) -> None:
    r0 = count(0, 0, 8) + b"recordR0"
    ended = bench.run([(0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x15, r0)])
    assert (ended.status, ended.residual) == (0x0C, 0)
    assert [record.data for record in bench.records(5, 2)] == [b"recordR0"]
    assert refused(bench, (0x1F, b"\xc0"), SEEK, (0x15, r0)) == (REJECT, 2)
    assert refused(bench, SEEK, (0x39, AT), ("TIC", 1), (0x15, r0)) == (REJECT, 2)
    assert refused(bench, (0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x15, r0[:7])) == (REJECT, 3)
    assert refused(bench, (0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x15, count(0, 0, 9))) == (REJECT, 4)


def test_a_prefix_match_gives_no_permission(bench: Bench) -> None:
    program = [SEEK, (0x31, AT, CC | SLI), ("TIC", 1), (0x05, bytes(32))]
    assert refused(bench, *program) == (REJECT, 2)


def test_format_behind_a_record_erases_the_rest(bench: Bench) -> None:
    new = count(9, 3, 5) + b"keyDATA!"
    assert bench.run([SEEK, identifier(2), ("TIC", 1), (0x1D, new)]).status == 0x0C
    assert [record.count[4] for record in bench.records(5, 2)] == [0, 1, 2, 9]
    assert bench.records(5, 2)[3] == (new[:8], b"key", b"DATA!")


def test_format_writes_may_follow_one_another(bench: Bench) -> None:
    writes = [(0x1D, count(number, 0, 4) + b"%04d" % number) for number in (1, 2, 3)]
    assert bench.run([SEEK, identifier(0), ("TIC", 1), *writes]).status == 0x0C
    assert [record.data for record in bench.records(5, 2)[1:]] == [b"0001", b"0002", b"0003"]
    assert refused(bench, SEEK, (0x1D, writes[0][1])) == (REJECT, 2)
    assert refused(bench, SEEK, identifier(0), ("TIC", 1), (0x1D, b"\xff" * 8)) == (REJECT, 4)


def test_mask_10_allows_updates_only(bench: Bench) -> None:
    find = [(0x1F, b"\x80"), SEEK, identifier(1), ("TIC", 2)]
    assert bench.run([*find, (0x05, bytes(32))]).status == 0x0C
    assert refused(bench, *find, (0x1D, count(2, 0, 1))) == (REJECT, 2)


def test_erase(bench: Bench) -> None:
    assert bench.run([SEEK, identifier(2), ("TIC", 1), (0x11, count(3, 0, 0))]).status == 0x0C
    assert [record.count[4] for record in bench.records(5, 2)] == [0, 1, 2]


def test_write_key_and_data(bench: Bench) -> None:
    assert bench.run([SEEK, identifier(2), ("TIC", 1), (0x0D, b"NEW2" + b"z" * 32)]).status == 0x0C
    assert bench.records(5, 2)[2][1:] == (b"NEW2", b"z" * 32)
    assert refused(bench, SEEK, (0x29, b"KEY3"), ("TIC", 1), (0x0D, bytes(36))) == (REJECT, 2)


def test_writes_change_only_their_own_track_once(bench: Bench) -> None:
    bench.run([SEEK, identifier(1), ("TIC", 1), (0x05, b"A" * 32), identifier(2), ("TIC", 4), (0x05, b"B" * 32)])
    assert [record.data[:1] for record in bench.records(5, 2)[1:]] == [b"A", b"B", b"\x03", b"\x04"]
    assert bench.tracks.written == [77], "hardened once, with the last command of the chain"


def test_end_of_file_record_on_write_moves_nothing(bench: Bench) -> None:
    bench.format(5, 2, [(1, b"", b"")])
    ended = bench.run([SEEK, identifier(1), ("TIC", 1), (0x05, bytes(10))])
    assert (ended.status, ended.residual) == (0x0D, 10)


def test_write_home_address(bench: Bench) -> None:
    home = b"\0" + AT
    r0 = count(0, 0, 8) + bytes(8)
    ended = bench.run([(0x1F, b"\xc0"), SEEK, (0x19, home), (0x15, r0), (0x1D, count(1, 0, 2) + b"ok")])
    assert ended.status == 0x0C
    assert [record.data for record in bench.records(5, 2)] == [bytes(8), b"ok"]
    for wrong in (b"\x04" + AT, b"\0" + AT[:3] + b"\x03"):
        assert refused(bench, (0x1F, b"\xc0"), SEEK, (0x19, wrong)) == (REJECT, 4)
    assert refused(bench, SEEK, (0x19, home)) == (REJECT, 2)


def test_flag_of_the_home_address_is_kept(bench: Bench) -> None:
    """A defective track: R0 points to the alternate, and back; only on a flagged track may it."""
    pointer = bytes.fromhex("0D0A 0003 00 00 0008") + bytes(8)
    mark = [(0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x19, b"\x02" + AT)]
    assert bench.run([*mark, (0x15, pointer)]).status == 0x0C
    assert bench.run([SEEK, (0x1A, 5), (0x16, 16)]).data == [b"\x02" + AT, pointer]
    assert bench.run([(0x1F, b"\x04"), SEEK, (0x0A, 28)]).data[0][19:24] == b"\x02" + AT
    bench.run([(0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x15, pointer)])
    assert bench.tracks.read(7, 77)[0] == 0x02, "a later format write leaves the flag alone"
    assert refused(bench, *mark[:4], (0x19, b"\0" + AT), (0x15, pointer)) == (REJECT, 4)


def test_long_record_zero_needs_authority(bench: Bench) -> None:
    long, too_long = count(0, 0, 1000) + bytes(1000), count(0, 0, 57_326) + bytes(57_326)
    home = [SEEK, (0x39, AT), ("TIC", 1)]
    assert refused(bench, (0x1F, b"\xc0"), SEEK, (0x39, AT), ("TIC", 2), (0x15, long)) == (REJECT, 4)
    authority = [(0x1F, b"\xc2"), SEEK, (0x39, AT), ("TIC", 2)]
    assert refused(bench, *authority, (0x15, too_long)) == (b"\0\x40", 0), "no track image holds it"
    assert bench.run([*authority, (0x15, long), (0x1D, count(1, 0, 56_664) + bytes(56_664))]).status == 0x0E
    assert bench.run([*authority, (0x15, long), (0x1D, count(1, 0, 50_000) + bytes(50_000))]).status == 0x0C
    assert bench.run([*home, (0x16, 1008)]).data == [long]


def test_reads_of_home_address_and_r0(bench: Bench) -> None:
    ended = bench.run([SEEK, (0x1A, 5), (0x16, 16), (0x9A, 5), (0x96, 16)])
    assert ended.data[0] == b"\0" + AT and ended.data[1] == count(0, 0, 8) + bytes(8)
    assert ended.data[2] == bytes.fromhex("0000050003") and ended.data[3][:4] == bytes.fromhex("00050004")


def test_special_home_address_needs_authority(bench: Bench) -> None:
    assert refused(bench, SEEK, (0x0A, 28)) == (REJECT, 5)
    ended = bench.run([(0x1F, b"\x04"), SEEK, (0x0A, 28)])
    assert ended.data == [(bytes(20) + AT).ljust(28, b"\0")]


def test_missing_r0_is_not_passed(bench: Bench) -> None:
    bench.tracks.images[77] = b"\0" + AT + b"\xff" * 8
    assert refused(bench, SEEK, (0x12, 8)) == (NOT_FOUND, 0)
    assert refused(bench, SEEK, (0x16, 16)) == (NOT_FOUND, 0)


def test_unreadable_track_image(bench: Bench) -> None:
    bench.tracks.images[77] = b"\0" + AT + b"garbage"
    assert refused(bench, SEEK, (0x12, 8)) == (BAD_FORMAT, 0)


@pytest.mark.parametrize("mask, allowed", [(0x00, {7, 11, 27}), (0x08, {11, 27}), (0x10, {27}), (0x18, set())])
def test_seek_family_and_the_mask(bench: Bench, mask: int, allowed: set[int]) -> None:
    for code in (0x07, 0x0B, 0x1B):
        head = [SEEK] if code == 0x1B and mask == 0 else []
        if code == 0x1B and mask:
            program: list[tuple[object, ...]] = [(0x63, bytes((mask, 0xC0)) + bytes(10) + bytes.fromhex("0063000E"))]
            program += [(0x47, bytes.fromhex("00000000 00050002 00050002 00 FF 0000"))]
        else:
            program = [(0x1F, bytes((mask,))), *head]
        ended = bench.run([*program, (code, bytes.fromhex("000000050004"))])
        assert (ended.status == 0x0C) == (code in allowed)
        if code not in allowed:
            assert ended.sense is not None and ended.sense[:2] == PROTECTED


def test_seek_head_keeps_the_cylinder(bench: Bench) -> None:
    assert bench.run([SEEK, (0x1B, bytes.fromhex("000000FF0003")), (0x06, 32)]).data == [b"\x99" * 32]
    assert refused(bench, (0x1B, bytes.fromhex("000000050003"))) == (REJECT, 2)
    assert refused(bench, SEEK, (0x1B, bytes.fromhex("00000005000F"))) == (REJECT, 4)
    assert refused(bench, (0x07, bytes.fromhex("0000000500"))) == (REJECT, 3)


def test_recalibrate_by_profile_and_device() -> None:
    assert refused(Bench("3990-3"), (0x13, 0)) == (REJECT, 1)
    assert refused(Bench("3990-6", 885, "3380"), (0x13, 0)) == (REJECT, 1)
    assert Bench("3990-3", 885, "3380").run([(0x13, 0)]).status == 0x0C


def test_sectors(bench: Bench) -> None:
    assert bench.run([SEEK, (0x23, b"\xff"), (0x23, b"\xdf")]).status == 0x0C
    assert refused(bench, SEEK, (0x23, b"\xe0")) == (REJECT, 4)
    plain = Bench("3990-6", 100)
    plain.format(5, 2, [(number, b"", bytes((number,)) * 4096) for number in range(1, 13)])
    ended = plain.run([SEEK, *[(0x06, 4096)] * 3, (0x22, 1)])
    assert ended.data[-1] == bytes((41,))


def test_read_ipl(bench: Bench) -> None:
    bench.format(0, 0, [(1, b"", b"IPL1" * 6), (2, b"", b"IPL2" * 36)])
    ended = bench.run([(0x02, 24), (0x06, 144)])
    assert ended.data == [b"IPL1" * 6, b"IPL2" * 36]
    assert refused(bench, (0x1F, b"\0"), (0x02, 24)) == (REJECT, 2)
    assert refused(bench, (0x02, 24), (0x63, bytes(16))) == (REJECT, 2)
    locate = bytes.fromhex("06000001 00050002 00050002 01 FF 0000")
    assert bench.run([(0x02, 24), (0x47, locate), (0x86, 32)]).data[-1] == b"\x01" * 32


def test_read_only_device_refuses_every_write() -> None:
    bench = Bench("3990-6", 100, read_only=True)
    bench.format(5, 2, [(1, b"", bytes(8))])
    assert refused(bench, SEEK, identifier(1), ("TIC", 1), (0x05, bytes(8))) == (b"\x10\x02", 4)
    assert refused(bench, SEEK, identifier(1), ("TIC", 1), (0x1D, count(2, 0, 0))) == (b"\x10\x02", 4)


@pytest.mark.parametrize("code", [0x01, 0x0F, 0x09, 0x53, 0x73, 0xC4, 0xEA, 0x33])
def test_unknown_commands(bench: Bench, code: int) -> None:
    expected = 2 if code == 0x01 else 1
    assert refused(bench, SEEK, (code, 8)) == (REJECT, expected)
