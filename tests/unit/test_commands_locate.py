"""Define Extent, Locate Record, Locate Record Extended, Prefix: what they accept, refuse, and permit afterwards."""

from __future__ import annotations

import pytest

from controller.links.array_port import DATA_CHECK
from tests.helpers.devices import CC, SLI, Bench

EXTENT = bytes.fromhex("C0C00000 00000000 00050002 00050004")
AT = bytes.fromhex("00050002")
REJECT, PROTECTED, NOT_FOUND, BAD_FORMAT = b"\x80\0", b"\0\x04", b"\0\x08", b"\0\x40"


@pytest.fixture
def bench() -> Bench:
    bench = Bench("2107", 100)
    bench.format(5, 2, [(number, b"", bytes((number,)) * 64) for number in range(1, 6)])
    bench.format(5, 3, [(number, b"K%d" % number, bytes((0x30 + number,)) * 64) for number in range(1, 4)])
    return bench


def extent(mask: int = 0xC0, attributes: int = 0xC0, block: int = 0, middle: bytes = bytes(4)) -> bytes:
    return bytes((mask, attributes)) + block.to_bytes(2, "big") + middle + EXTENT[8:]


def locate(operation: int, count: int = 1, *, aux: int = 0, record: int = 1, sector: int = 0xFF, length: int = 0,
           seek: bytes = AT) -> bytes:
    return bytes((operation, aux, 0, count)) + seek + seek + bytes((record, sector)) + length.to_bytes(2, "big")


def extended(operation: int, count: int, extended_operation: int = 0, parameters: bytes = b"", **rest: int) -> bytes:
    tail = bytes((0, extended_operation)) + len(parameters).to_bytes(2, "big") + parameters
    return locate(operation, count, **rest) + tail


def refused(bench: Bench, *program: tuple[object, ...]) -> tuple[bytes, int]:
    """Sense bytes 0-1 and message of a program that must end in unit check at its last step."""
    ended = bench.run(list(program))
    assert ended.status == 0x0E and ended.index == len(program) - 1
    assert ended.sense is not None
    return ended.sense[:2], ended.sense[7]


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(extent(attributes=0x80), id="not ECKD"),
        pytest.param(extent(mask=0xE0), id="mask bit 2"),
        pytest.param(extent(mask=0xC4), id="diagnostic authority on a 2107"),
        pytest.param(extent(attributes=0xD8), id="caching 110"),
        pytest.param(extent(block=57_335), id="block larger than the largest R0"),
        pytest.param(extent(middle=b"\0\x01\0\0"), id="fast-write id without the attribute"),
        pytest.param(extent(middle=b"\0\0\x01\0"), id="byte 6"),
        pytest.param(extent(middle=b"\0\0\0\x80"), id="byte 7 reserved"),
        pytest.param(extent(middle=b"\0\0\0\x02") + bytes(8) + b"\1" + bytes(7), id="extension format"),
        pytest.param(EXTENT[:8] + EXTENT[12:] + EXTENT[8:12], id="last before first"),
        pytest.param(EXTENT[:12] + bytes.fromhex("00640000"), id="beyond the device"),
        pytest.param(EXTENT[:12] + bytes.fromhex("0005000F"), id="head 15"),
    ],
)
def test_define_extent_refuses(bench: Bench, parameters: bytes) -> None:
    assert refused(bench, (0x63, parameters)) == (REJECT, 0x04)


def test_define_extent_long_form_needs_its_bytes(bench: Bench) -> None:
    assert refused(bench, (0x63, extent(middle=b"\0\0\0\x02"))) == (REJECT, 0x03)
    assert bench.run([(0x63, extent(middle=b"\0\0\0\x02") + bytes(16))]).status == 0x0C


def test_second_define_extent_inside_the_first(bench: Bench) -> None:
    inner = EXTENT[:8] + bytes.fromhex("0005000300050003")
    assert bench.run([(0x63, EXTENT), (0x63, inner)]).status == 0x0C
    assert refused(bench, (0x63, inner), (0x63, EXTENT)) == (REJECT, 0x02)
    assert refused(bench, (0x63, EXTENT), (0x63, b"\x80" + inner[1:])) == (REJECT, 0x02)
    assert refused(bench, (0x1F, b"\x00"), (0x63, EXTENT)) == (REJECT, 0x02)


@pytest.mark.parametrize(
    "parameters, expected",
    [
        pytest.param(locate(0x07), (REJECT, 4), id="unknown operation"),
        pytest.param(locate(0x41), (REJECT, 4), id="orientation not valid for the code"),
        pytest.param(locate(0x06, aux=0x40), (REJECT, 4), id="auxiliary reserved"),
        pytest.param(locate(0x06, 2, aux=0x01), (REJECT, 4), id="suffix with Read Data"),
        pytest.param(locate(0x01, 1, aux=0x01), (REJECT, 4), id="suffix with count 1"),
        pytest.param(locate(0x06, 0), (REJECT, 4), id="count 0"),
        pytest.param(locate(0x00, 1), (REJECT, 4), id="Orient with a count"),
        pytest.param(locate(0x06, seek=bytes.fromhex("00640000")), (REJECT, 4), id="beyond the device"),
        pytest.param(locate(0x06, seek=bytes.fromhex("00060000")), (PROTECTED, 0), id="outside the extent"),
        pytest.param(locate(0x06, sector=224), (REJECT, 4), id="sector"),
        pytest.param(locate(0x06, length=1), (REJECT, 4), id="length without its flag"),
        pytest.param(locate(0x06, aux=0x80), (REJECT, 4), id="length flag without length"),
        pytest.param(locate(0x06, aux=0x80, length=57_335), (REJECT, 4), id="length over the block size"),
        pytest.param(locate(0x06, record=9), (NOT_FOUND, 0), id="record"),
    ],
)
def test_locate_refuses(bench: Bench, parameters: bytes, expected: tuple[bytes, int]) -> None:
    assert refused(bench, (0x63, EXTENT), (0x47, parameters)) == expected


@pytest.mark.parametrize("mask, operation", [(0x40, 0x01), (0x40, 0x0B), (0x40, 0x03), (0x80, 0x03)])
def test_locate_obeys_the_mask(bench: Bench, mask: int, operation: int) -> None:
    assert refused(bench, (0x63, extent(mask)), (0x47, locate(operation))) == (REJECT, 0x02)


def test_locate_on_a_read_only_device() -> None:
    bench = Bench("2107", 100, read_only=True)
    assert refused(bench, (0x63, EXTENT), (0x47, locate(0x01))) == (b"\x10\x02", 0x04)


def test_single_track_reads_wrap_inside_a_domain(bench: Bench) -> None:
    ended = bench.run([(0x63, EXTENT), (0x47, locate(0x06, 7)), *[(0x12, 8)] * 7])
    assert [data[4] for data in ended.data] == [2, 3, 4, 5, 1, 2, 3]


def test_data_orientation_begins_behind_the_record(bench: Bench) -> None:
    ended = bench.run([(0x63, EXTENT), (0x47, locate(0x86, 1, record=2)), (0x86, 64)])
    assert ended.data == [b"\x03" * 64]


def test_orient_opens_no_domain(bench: Bench) -> None:
    ended = bench.run([(0x63, EXTENT), (0x47, locate(0x00, 0, record=2)), (0x06, 64), (0x12, 8)])
    assert ended.status == 0x0C and [data[0] for data in ended.data] == [2, 0]


def test_read_count_suffix(bench: Bench) -> None:
    program = [(0x63, EXTENT), (0x47, locate(0x01, 3, aux=0x81, record=2, length=64))]
    ended = bench.run([*program, (0x85, bytes(64)), (0x85, bytes(64)), (0x92, 8)])
    assert ended.status == 0x0C and ended.data[-1][4] == 4
    assert refused(bench, *program, (0x92, 8)) == (REJECT, 0x02)


def test_an_incomplete_domain_is_silent_for_reads_only(bench: Bench) -> None:
    assert bench.run([(0x63, EXTENT), (0x47, locate(0x06, 3)), (0x86, 64)]).status == 0x0C
    parameters = locate(0x01, 3, aux=0x80, record=1, length=64)
    ended = bench.run([(0x63, EXTENT), (0x47, parameters), (0x85, b"\x99" * 64)])
    assert (ended.status, ended.residual) == (0x0E, 0)
    assert ended.sense == bytes.fromhex(
        "0110 1F 02 20 00 60 018000 00 00050002 01 FF 0040 00 0100 0200 01 01 4E60 01 0005 02"
    )
    assert bench.records(5, 2)[1].data == b"\x99" * 64, "what was written is hardened all the same"


def test_length_mismatch_with_conversion(bench: Bench) -> None:
    parameters = locate(0x01, 1, aux=0x80, length=60)
    ended = bench.run([(0x63, extent(attributes=0xE0)), (0x47, parameters), (0x85, bytes(60))])
    assert ended.sense is not None
    assert ended.sense[:2] == b"\x80\x40" and ended.sense[17:19] == b"\0\x40" and ended.sense[25] == 0x0F


def test_conversion_stops_at_the_end_of_the_cylinder() -> None:
    bench = Bench("2107", 100)
    for head in range(13, 15):
        bench.format(5, head, [(1, b"", bytes(16))])
    bench.format(6, 0, [(1, b"", bytes(16))])
    last = bytes.fromhex("0005000E")
    read = (0x47, locate(0x06, 2, seek=last))
    inside = b"\x40\xe0" + bytes(6) + last + bytes.fromhex("00060000")
    assert refused(bench, (0x63, inside), read, (0x86, 16), (0x86, 16)) == (b"\0\x20", 0)
    assert refused(bench, (0x63, inside[:12] + last), read, (0x86, 16), (0x86, 16)) == (PROTECTED, 0)


def test_read_track_walks_over_tracks(bench: Bench) -> None:
    ended = bench.run([(0x63, EXTENT), (0x47, locate(0x4C, 2)), (0xDE, 65535, SLI | CC), (0xDE, 65535, SLI)])
    first, second = ended.data
    assert first.startswith(AT + bytes.fromhex("00000008")) and first.endswith(b"\xff" * 8)
    assert second[:4] == bytes.fromhex("00050003") and b"K1" in second
    assert refused(bench, (0x63, EXTENT), (0x47, locate(0x4C, 2)), (0x86, 64)) == (REJECT, 0x02)


def test_read_any_stays_on_the_track(bench: Bench) -> None:
    program = [(0x63, EXTENT), (0x4B, extended(0x3F, 7, 0x0A, b"\x01", record=0)), *[(0x86, 64)] * 7]
    assert [data[0] for data in bench.run(program).data] == [1, 2, 3, 4, 5, 1, 2]


def test_read_trackset_follows_the_bitmap(bench: Bench) -> None:
    lre = extended(0x7F, 2, 0x0E, b"\xa0")
    ended = bench.run([(0x63, EXTENT), (0x4B, lre), (0xDE, 65535, SLI | CC), (0xDE, 65535, SLI)])
    assert [data[:4] for data in ended.data] == [AT, bytes.fromhex("00050004")]


@pytest.mark.parametrize(
    "parameters, expected",
    [
        pytest.param(extended(0x3F, 2, 0x0E, b"\x80"), (REJECT, 4), id="bits do not match the count"),
        pytest.param(extended(0x3F, 1, 0x0E, b"\x40"), (REJECT, 4), id="first bit off"),
        pytest.param(extended(0x3F, 2, 0x0E, b"\x90"), (PROTECTED, 0), id="a track outside the extent"),
        pytest.param(extended(0x3F, 1, 0x0A, b"\x02"), (REJECT, 4), id="track set size"),
        pytest.param(extended(0x3F, 1, 0x0B, b"\x01"), (REJECT, 4), id="unknown extended operation"),
        pytest.param(extended(0x06, 1, 0x0A), (REJECT, 4), id="extended operation without 3F"),
        pytest.param(extended(0x00, 0), (REJECT, 4), id="Orient"),
        pytest.param(extended(0x06, 1)[:19], (REJECT, 3), id="19 bytes"),
        pytest.param(extended(0x3F, 1, 0x0E, b"\x80")[:20], (REJECT, 3), id="parameters missing"),
    ],
)
def test_locate_extended_refuses(bench: Bench, parameters: bytes, expected: tuple[bytes, int]) -> None:
    assert refused(bench, (0x63, EXTENT), (0x4B, parameters)) == expected


def test_locate_extended_and_prefix_by_profile() -> None:
    assert refused(Bench("3990-3"), (0x63, EXTENT), (0x4B, extended(0x06, 1))) == (REJECT, 0x01)
    assert refused(Bench("3990-6"), (0xE7, bytes(64))) == (REJECT, 0x01)


def track_data(records: int = 2, length: int = 40) -> bytes:
    made = b"".join(
        AT + bytes((number, 0)) + length.to_bytes(2, "big") + bytes((0x60 + number,)) * length
        for number in range(1, records + 1)
    )
    return AT + bytes.fromhex("00000008") + bytes(8) + made + b"\xff" * 8


def test_write_full_track(bench: Bench) -> None:
    lre = (0x4B, extended(0x3F, 1, 0x11, b"\x80", record=0))
    ended = bench.run([(0x63, EXTENT), lre, (0x95, track_data())])
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    assert [record.data for record in bench.records(5, 2)] == [bytes(8), b"a" * 40, b"b" * 40]
    assert refused(bench, (0x63, EXTENT), lre, (0x95, bytes(23))) == (REJECT, 0x03)
    wrong_r0 = b"\0" + track_data()[1:4] + b"\x01" + track_data()[5:]
    assert refused(bench, (0x63, EXTENT), lre, (0x95, wrong_r0)) == (REJECT, 0x04)
    assert refused(bench, (0x63, EXTENT), lre, (0x95, track_data()[:-8])) == (BAD_FORMAT, 0)
    assert refused(bench, (0x63, EXTENT), lre, (0x95, track_data(90, 1))) == (BAD_FORMAT, 0)
    assert bench.run([(0x63, EXTENT), lre, (0x95, track_data() + bytes(3), SLI)]).residual == 3


def test_a_track_that_cannot_be_read_can_be_written_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows the flag of its home address any more: it is written as that of a good track."""

    def unreadable(volume: int, track: int) -> bytes:
        raise DATA_CHECK

    monkeypatch.setattr(bench.tracks, "read", unreadable)
    lre = (0x4B, extended(0x3F, 1, 0x11, b"\x80", record=0))
    ended = bench.run([(0x63, EXTENT), lre, (0x95, track_data())])
    assert ended.status == 0x0C
    assert bench.tracks.images[77] == b"\0" + AT + track_data()


def test_write_full_track_on_a_bridge_volume_is_handed_out() -> None:
    bench = Bench("2107", 100, bridge=True)
    record = b"header and payload, no track image"
    ended = bench.run([(0x63, EXTENT), (0x4B, extended(0x3F, 1, 0x11, b"\x80", record=0)), (0x95, record)])
    assert ended.status == 0x0C and ended.outcome is not None
    assert ended.outcome.record == record and not ended.outcome.writes


def test_write_track_data(bench: Bench) -> None:
    lre = extended(0xBF, 1, 0x13, b"\x80", aux=0x80, record=0, length=64)
    ended = bench.run([(0x63, EXTENT), (0x4B, lre), (0xA5, b"".join(bytes((n,)) * 64 for n in b"vwxyz"))])
    assert (ended.status, ended.residual) == (0x0C, 0)
    assert bytes(record.data[0] for record in bench.records(5, 2)[1:]) == b"vwxyz"


def prefix(form: int, lre: bytes = bytes(20), validity: int = 0x80, base: int = 0) -> bytes:
    return bytes((form, validity, base)) + bytes(9) + EXTENT + bytes(16) + lre


def test_prefix_is_extent_and_locate(bench: Bench) -> None:
    ended = bench.run([(0xE7, prefix(1, extended(0x06, 2))), (0x86, 64), (0x86, 64)])
    assert [data[0] for data in ended.data] == [1, 2]
    ended = bench.run([(0xE7, prefix(0)), (0x47, locate(0x06)), (0x86, 64)])
    assert ended.data == [b"\x01" * 64]
    ended = bench.run([(0xE7, prefix(1, extended(0x4C, 1))), (0xDE, 65535, SLI)])
    assert ended.status == 0x0C


@pytest.mark.parametrize(
    "parameters, expected",
    [
        pytest.param(prefix(2), (REJECT, 4), id="format 2"),
        pytest.param(prefix(0)[:63], (REJECT, 3), id="63 bytes"),
        pytest.param(prefix(1, extended(0x06, 1), validity=0), (REJECT, 2), id="no extent"),
        pytest.param(prefix(1, extended(0x06, 1), validity=0xA0, base=0x21), (REJECT, 0x0F), id="another base"),
    ],
)
def test_prefix_refuses(bench: Bench, parameters: bytes, expected: tuple[bytes, int]) -> None:
    assert refused(bench, (0xE7, parameters)) == expected


def test_prefix_with_read_any_judges_only_the_first_track(bench: Bench) -> None:
    parameters = bytearray(prefix(1, extended(0x3F, 2, 0x0A, b"\x01", record=0)))
    parameters[24:28] = bytes(4)  # last track: below the first
    assert [data[0] for data in bench.run([(0xE7, bytes(parameters)), (0x86, 64), (0x86, 64)]).data] == [1, 2]
