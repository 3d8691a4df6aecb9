"""What real programs do to devices that no recording here covers, as channel programs made from the specification.

Surface analysis and labels (IBCDASDI), formatting under Linux on 3380 and 9345, dumps with multitrack Read Count to the
end of the cylinder, INSPECT and ANALYZE (ICKDSF). Source: older-ckd-devices 5; eckd-commands 3.3-3.9, 2.8.
"""

from __future__ import annotations

import pytest

from ccw.geometry import track_address_bytes
from tests.helpers.devices import CC, SLI, Bench, Ended

DEFINE_EXTENT, LOCATE = 0x63, 0x47


def argument(cylinder: int, head: int) -> bytes:
    return b"\0\0" + track_address_bytes(cylinder, head)


def count(cylinder: int, head: int, record: int, key: int, data: int) -> bytes:
    return track_address_bytes(cylinder, head) + bytes((record, key)) + data.to_bytes(2, "big")


def good(ended: Ended) -> Ended:
    assert (ended.status, ended.residual, ended.length_wrong) == (0x0C, 0, False)
    return ended


# IBCDASDI

SURFACES = [("3340", "3830", 349, 12, 0xC1), ("2311", "2841", 203, 10, 0xC0), ("3350", "3830", 560, 30, 0xC1),
            ("2305", "2835", 48, 8, 0xC0), ("3375", "3880", 959, 12, 0xC1)]  # fmt: skip


@pytest.mark.parametrize(("device_type", "unit", "cylinders", "heads", "mask"), SURFACES)
def test_surface_analysis(device_type: str, unit: str, cylinders: int, heads: int, mask: int) -> None:
    """Every track: Search HA, Write R0, Read HA, Read R0; seeks beyond the last cylinder in between."""
    bench = Bench(unit, cylinders, device_type)
    for cylinder in (0, 1, cylinders // 2, cylinders - 1):
        for head in range(heads):
            r0 = count(cylinder, head, 0, 0, 8) + bytes(8)
            home = (0x39, track_address_bytes(cylinder, head))
            start = [(0x07, argument(cylinder, head)), (0x1F, bytes((mask,))), home, ("TIC", 2)]
            ended = good(bench.run([*start, (0x15, r0), (0x1A, 5), (0x16, 16)]))
            assert ended.data == [b"\0" + track_address_bytes(cylinder, head), r0]
    ended = bench.run([(0x07, argument(cylinders, 0)), (0x1F, bytes((mask,)))])
    assert (ended.status, ended.residual, ended.index) == (0x0E, 0, 0)


LABELS = [("3340", "3830", 349, 22), ("2311", "2841", 203, 16), ("2314", "2314", 203, 25), ("3330", "3830", 411, 39),
          ("3350", "3830", 560, 47), ("3375", "3880", 962, 51), ("2305", "2835", 48, 18)]  # fmt: skip


@pytest.mark.parametrize(("device_type", "unit", "cylinders", "records"), LABELS)
def test_labels_and_table_of_contents(device_type: str, unit: str, cylinders: int, records: int) -> None:
    """IPL records and VOL1 on 0/0, then a track full of 44/96 records: as many as fit, and not one more."""
    bench = Bench(unit, cylinders, device_type)
    r0 = (0x31, count(0, 0, 0, 0, 0)[:5])
    labels = [count(0, 0, 1, 4, 24) + b"IPL1" + bytes(24), count(0, 0, 2, 4, 144) + b"IPL2" + bytes(144),
              count(0, 0, 3, 4, 80) + b"VOL1VOL1TRACKB" + bytes(70)]  # fmt: skip
    writes = [(0x1D, label) for label in labels]
    good(bench.run([(0x07, bytes(6)), (0x1F, b"\xc0"), r0, ("TIC", 2), *writes]))
    ended = bench.run([(0x07, bytes(6)), (0x31, b"\0\0\0\0\3"), ("TIC", 1), (0x06, 96, SLI)])
    assert (ended.residual, ended.data) == (16, [(b"VOL1TRACKB" + bytes(70))])
    dscbs = [(0x1D, count(1, 0, number, 44, 96) + bytes((number,)) * 140) for number in range(1, records + 2)]
    ended = bench.run([(0x07, argument(1, 0)), (0x31, count(1, 0, 0, 0, 0)[:5]), ("TIC", 1), *dscbs])
    assert (ended.status, ended.index) == (0x0E, 3 + records)
    assert ended.sense is not None and ended.sense[:2] == b"\0\x40"
    good(bench.run([(0x07, argument(1, 0)), (0x31, count(1, 0, 0, 0, 0)[:5]), ("TIC", 1), *dscbs[:-1]]))
    assert len(bench.records(1, 0)) == records + 1
    found = bench.run([(0x07, argument(1, 0)), (0xA9, bytes((records,)) * 44), ("TIC", 1), (0x06, 96)])
    assert found.data == [bytes((records,)) * 96]


# dumps

DUMPS = [("3330", "3830", 404, 19), ("3340", "3830", 348, 12), ("2314", "2314", 200, 20), ("3380", "3880", 885, 15)]


@pytest.mark.parametrize(("device_type", "unit", "cylinders", "heads"), DUMPS)
def test_dump_reads_counts_to_the_end_of_the_cylinder(device_type: str, unit: str, cylinders: int, heads: int) -> None:
    """Multitrack Read Count over a cylinder of full, empty and half-full tracks; the last one is end of cylinder."""
    bench = Bench(unit, cylinders, device_type)
    expected = []
    for head in range(heads):
        records = [(number, b"", bytes(80)) for number in range(1, head % 4 + 1)]
        bench.format(6, head, records)
        expected += [count(6, head, number, 0, 80) for number, _, _ in records]
    r0 = (0x31, count(6, 0, 0, 0, 0)[:5])
    reads = [(0x92, 8, CC | SLI)] * (len(expected) + 1)
    ended = bench.run([(0x07, argument(6, 0)), (0x1F, b"\0"), r0, ("TIC", 2), *reads])
    assert ended.data == expected
    assert (ended.status, ended.residual) == (0x0E, 8) and ended.sense is not None
    assert ended.sense[:2] == b"\0\x20"
    stopped = bench.run([(0x07, argument(6, 1)), (0x1F, b"\x18"), *reads])
    assert stopped.data == expected[:1] and stopped.sense is not None and stopped.sense[:2] == b"\0\x04"


@pytest.mark.parametrize(("device_type", "profile"), [("3390", "3990-6"), ("3380", "3990-3"), ("9345", "9343")])
def test_dump_under_define_extent(device_type: str, profile: str) -> None:
    """In an extent of two cylinders: the domain goes on in the next cylinder, Read Count outside it does not."""
    bench = Bench(profile, 100, device_type)
    for cylinder in (6, 7):
        for head in range(15):
            bench.format(cylinder, head, [(1, b"", bytes(80))])
    extent = (DEFINE_EXTENT, b"\x40\xc0" + bytes(6) + argument(6, 0)[2:] + argument(7, 14)[2:])
    locate = (LOCATE, bytes((0x06, 0, 0, 30)) + argument(6, 0)[2:] + argument(6, 0)[2:] + b"\0\xff\0\0")
    counts = [count(cylinder, head, 1, 0, 80) for cylinder in (6, 7) for head in range(15)]
    assert good(bench.run([extent, locate, *[(0x92, 8)] * 30])).data == counts
    ended = bench.run([extent, (0x07, argument(6, 0)), *[(0x92, 8)] * 16])
    assert ended.data == counts[:15] and ended.sense is not None and ended.sense[:2] == b"\0\x20"
    beyond = (LOCATE, bytes((0x06, 0, 0, 31)) + argument(6, 0)[2:] + argument(6, 0)[2:] + b"\0\xff\0\0")
    ended = bench.run([extent, beyond, *[(0x92, 8)] * 31])
    assert ended.data == counts and ended.sense is not None and ended.sense[:4] == b"\0\x05\0\1"


# Linux dasdfmt


@pytest.mark.parametrize(("device_type", "profile", "size", "records"), [
    ("3380", "3990-3", 4096, 10), ("3380", "3990-3", 512, 46), ("3380", "2107", 2048, 18), ("9345", "9343", 4096, 10),
    ("9345", "2105", 1024, 28), ("3390", "2107", 4096, 12),
])  # fmt: skip
def test_linux_formats_tracks(device_type: str, profile: str, size: int, records: int) -> None:
    """Define Extent, Locate Record Format Write, one Write CKD for each block; then written and read by record."""
    bench = Bench(profile, 50, device_type)
    where = argument(4, 11)[2:]
    extent = (DEFINE_EXTENT, b"\0\xc0" + size.to_bytes(2, "big") + bytes(4) + where + where)
    locate = (LOCATE, bytes((0x03, 0x80, 0, records)) + where + where + b"\0\xff" + (8).to_bytes(2, "big"))
    blocks = [(0x1D, count(4, 11, number, 0, size), CC | SLI) for number in range(1, records + 1)]
    formatted = bench.run([extent, locate, *blocks[:-1], (0x1D, blocks[-1][1], SLI)])
    assert (formatted.status, formatted.residual) == (0x0C, 0)
    assert [len(record.data) for record in bench.records(4, 11)] == [8] + [size] * records
    more = (LOCATE, bytes((0x03, 0x80, 0, records + 1)) + where + where + b"\0\xff" + (8).to_bytes(2, "big"))
    one_more = [*blocks, (0x1D, count(4, 11, records + 1, 0, size), SLI)]
    ended = bench.run([extent, more, *one_more])
    assert ended.sense is not None and ended.sense[:2] == b"\0\x40" and ended.index == records + 2
    good(bench.run([extent, locate, *blocks[:-1], (0x1D, blocks[-1][1] + b"\7" * size, 0)]))
    update = (DEFINE_EXTENT, b"\x80\xc0" + size.to_bytes(2, "big") + bytes(4) + where + where)
    second = (LOCATE, bytes((0x01, 0x80, 0, 2)) + where + where + b"\2\xff" + size.to_bytes(2, "big"))
    good(bench.run([update, second, (0x85, b"\2" * size), (0x85, b"\3" * size)]))
    read = (DEFINE_EXTENT, b"\x40\xc0" + size.to_bytes(2, "big") + bytes(4) + where + where)
    all_of_them = (LOCATE, bytes((0x06, 0x80, 0, records)) + where + where + b"\1\xff" + size.to_bytes(2, "big"))
    found = good(bench.run([read, all_of_them, *[(0x86, size)] * records])).data
    assert found == [bytes(size), b"\2" * size, b"\3" * size, *[bytes(size)] * (records - 4), b"\7" * size]


# ICKDSF


@pytest.mark.parametrize(("device_type", "profile"), [("3390", "3990-6"), ("3390", "3990-3"), ("3380", "3990-3")])
def test_inspect_writes_home_address_and_r0(device_type: str, profile: str) -> None:
    bench = Bench(profile, 100, device_type)
    where = argument(9, 4)[2:]
    bench.format(9, 4, [(1, b"", bytes(80))])
    extent = (DEFINE_EXTENT, b"\xc2\xc4" + bytes(6) + where + where)
    locate = (LOCATE, bytes((0x43, 0, 0, 2)) + where + where + bytes(4))
    r0 = count(9, 4, 0, 0, 8) + bytes(8)
    for flag in (1, 0):
        steps = [(0x19, bytes((flag,)) + where), (0x15, r0), (0x23, b"\0"), (0x1A, 5), (0x16, 16)]
        ended = good(bench.run([extent, locate, *steps]))
        assert ended.data == [bytes((flag,)) + where, r0] and len(bench.records(9, 4)) == 1
    special = (LOCATE, bytes((0xD6, 0, 0, 2)) + where + where + bytes(4))
    ended = good(bench.run([(DEFINE_EXTENT, b"\x06\xc0" + bytes(6) + where + where), special, (0x0A, 28), (0x1A, 5)]))
    assert ended.data == [bytes(20) + where + bytes(4), b"\0" + where]


def test_analyze_on_a_3880() -> None:
    """Recalibrate, seeks to every head, Read HA, Read Sector; seek beyond the end; a diagnostic command is refused."""
    bench = Bench("3880", 20, "3380")
    mask = (0x1F, b"\x06")
    good(bench.run([(0x07, bytes(6)), mask, (0x13, 1, CC | SLI), (0x1A, 5)]))
    for head in range(15):
        steps = [(0x07, argument(0, head)), mask, (0x23, b"\0"), (0x07, argument(19, head)), (0x1A, 5)]
        assert good(bench.run(steps)).data == [b"\0" + track_address_bytes(19, head)]
    assert good(bench.run([(0x07, bytes(6)), mask, (0x07, bytes(6)), (0x22, 1)])).data == [b"\0"]
    ended = bench.run([(0x07, argument(19, 0)), mask, (0x1A, 5), (0x07, argument(20, 0))])
    assert ended.sense == bytes.fromhex("8000000000130004").ljust(24, b"\0")
    refused = bench.run([(0x07, bytes(6)), mask, (0xF3, b"\x12\0\0\0")])
    assert refused.sense is not None and (refused.sense[0], refused.sense[7]) == (0x80, 1)
