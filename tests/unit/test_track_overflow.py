"""Track overflow: records in segments as a restore writes them, read and written over their segments, and every stop.

The data are our own; the programs have the shapes of IBCDMPRS. Source: older-ckd-devices 4 and 5.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from ccw.geometry import track_address_bytes
from tests.helpers.devices import CC, SLI, Bench
from tests.helpers.older import BLOCK, restored

SKIP = 0x10
NO_SEEK = 0x18


def address(cylinder: int, head: int, record: int) -> bytes:
    return track_address_bytes(cylinder, head) + bytes((record,))


def find(cylinder: int, head: int, record: int = 0) -> list[tuple[object, ...]]:
    """Seek and search; the transfer in channel stands at step 2."""
    where = b"\0\0" + track_address_bytes(cylinder, head)
    return [(0x07, where), (0x31, address(cylinder, head, record)), ("TIC", 1)]


def segments(bench: Bench, cylinder: int) -> list[list[tuple[int, int]]]:
    """Per track: first byte of the count area and data length of every user record."""
    return [
        [(record.count[0], len(record.data)) for record in bench.records(cylinder, head)[1:]]
        for head in range(bench.tracks.heads)
    ]


def test_the_restore_leaves_flags_in_the_image_only() -> None:
    bench, blocks = restored(1)
    on_tracks = segments(bench, 1)
    assert on_tracks[0] == [(0, 4096), (0, 4096), (0, 4096), (0x80, 13_165 - 3 * (4096 + 135) - 135)]
    assert on_tracks[18][0][0] == 0 and all(flag == 0 for flag, _ in on_tracks[18])
    for before, after in pairwise(on_tracks):
        assert before[-1][0] == 0x80 and before[-1][1] + after[0][1] == BLOCK
    assert sum(length for track in on_tracks for _, length in track) == len(blocks) * BLOCK
    assert len(blocks) == 58


@pytest.mark.parametrize("code", [0x06, 0x0E, 0x1E, 0x86, 0x8E, 0x9E])
def test_reads_go_over_all_segments(code: int) -> None:
    bench, blocks = restored(2)
    head = 8 if code in (0x1E, 0x9E) else 0
    found = bench.run([*find(2, 0, 3), (0x12, 8), (code if not head else 0x06, BLOCK)])
    assert found.status == 0x0C
    if head:
        first = bench.run([*find(2, 0, 3), (code, BLOCK + 8)])
        assert first.data == [address(2, 0, 4) + b"\0" + (337).to_bytes(2, "big") + blocks[3]]
        return
    assert found.data == [address(2, 0, 4) + b"\0" + (337).to_bytes(2, "big"), blocks[3]]
    after = bench.run([*find(2, 0, 4), (code, BLOCK), (0x12, 8)])
    assert after.data == [blocks[3], address(2, 1, 2) + b"\0" + BLOCK.to_bytes(2, "big")]


def test_residual_and_length_are_those_of_the_whole() -> None:
    bench, blocks = restored(2, 3)
    short = bench.run([*find(2, 0, 4), (0x06, 1000, SLI)])
    assert (short.data, short.residual, short.status) == ([blocks[3][:1000]], 0, 0x0C)
    assert short.outcome is not None and short.outcome.long_record
    long = bench.run([*find(2, 0, 4), (0x06, 5000, SLI)])
    assert (long.data, long.residual) == ([blocks[3]], 5000 - BLOCK)
    assert bench.run([*find(2, 0, 4), (0x06, 5000)]).length_wrong


def test_searches_and_read_multiple_do_not_follow_or_show_the_flag() -> None:
    bench, blocks = restored(2, 3)
    high = bench.run([(0x07, b"\0\0" + track_address_bytes(2, 0)), (0x51, address(2, 0, 3)), ("TIC", 1), (0x06, BLOCK)])
    assert high.data == [blocks[3]]
    everything = bench.run([*find(2, 0, 0), (0x5E, 14_000, SLI)]).data[0]
    assert everything[-337 - 8 :] == address(2, 0, 4) + b"\0" + (337).to_bytes(2, "big") + blocks[3][:337]


def test_an_update_goes_over_all_segments() -> None:
    bench, blocks = restored(3)
    new = bytes(range(256)) * 16
    ended = bench.run([*find(3, 4, len(bench.records(3, 4)) - 1), (0x05, new)])
    assert (ended.status, ended.residual) == (0x0C, 0)
    first, second = bench.records(3, 4)[-1], bench.records(3, 5)[1]
    assert first.data + second.data == new and first.count[0] == 0x80 and second.count[0] == 0
    short = bench.run([*find(3, 4, len(bench.records(3, 4)) - 1), (0x05, new[:10], SLI)])
    assert short.status == 0x0C
    assert bench.records(3, 4)[-1].data + bench.records(3, 5)[1].data == new[:10] + bytes(4086)
    assert bench.records(3, 4)[2].data in blocks


@pytest.mark.parametrize("head", range(18))
def test_the_mask_stops_behind_the_first_segment(head: int) -> None:
    """Read back as the restore program does: the flagged record is the last CCW, with SKIP, of exactly 8 + DL bytes."""
    bench, blocks = restored(256)
    records = bench.records(256, head)
    start = [(0x07, b"\0\0" + track_address_bytes(256, head)), (0x1F, b"\xd8")]
    reads = [(0x1E, 8 + len(record.data), CC | SLI | SKIP) for record in records[1:]]
    ended = bench.run([*start, (0x31, address(256, head, 0)), ("TIC", 2), (0x05, bytes(8)), *reads])
    assert (ended.status, ended.residual, ended.index) == (0x0E, 0, 4 + len(reads))
    assert ended.outcome is not None and not ended.outcome.long_record
    assert ended.sense == bytes((0, 5, 0, 6, 0x31, 0, 0x40 | head)).ljust(24, b"\0")
    plain = bytes((records[-1].count[0] & 0x7F,)) + records[-1].count[1:]
    assert ended.data[-1] == plain + records[-1].data
    assert bench.run([(0x04, 24)]).data == [ended.sense]
    assert blocks


def test_the_mask_stops_an_update_too() -> None:
    bench, blocks = restored(1, 3)
    start = [(0x07, b"\0\0" + track_address_bytes(1, 0)), (0x1F, bytes((0xC0 | NO_SEEK,)))]
    program = [*start, (0x31, address(1, 0, 4)), ("TIC", 2), (0x05, b"\xee" * BLOCK)]
    ended = bench.run(program)
    assert (ended.status, ended.residual) == (0x0E, BLOCK - 337)
    assert ended.sense is not None and ended.sense[:4] == b"\0\x05\0\x05"
    assert bench.records(1, 0)[-1].data == b"\xee" * 337 and bench.records(1, 1)[1].data == blocks[3][337:]


def test_end_of_cylinder_and_a_missing_segment() -> None:
    bench, _ = restored(1, 3)
    count = address(1, 18, 1) + b"\0\0\x10"
    bench.run([*find(1, 18), (0x01, count + b"y" * 16)])
    ended = bench.run([*find(1, 18), (0x1E, 24)])
    assert (ended.status, ended.residual) == (0x0E, 0) and ended.data == [count + b"y" * 16]
    assert ended.sense is not None and ended.sense[:7] == bytes.fromhex("00210006310112")
    count = address(1, 9, 1) + b"\0\0\x10"
    bench.run([*find(1, 9), (0x01, count + b"z" * 16)])
    ended = bench.run([*find(1, 9, 1), (0x06, 100, SLI)])
    assert ended.sense is not None and ended.sense[:7] == bytes.fromhex("0009000631010A")
    assert (ended.data, ended.residual) == ([b"z" * 16], 84)


def test_an_end_of_file_segment_and_keys() -> None:
    bench = Bench("3830", 411, "3330")
    bench.run([*find(5, 0), (0x01, address(5, 0, 1) + b"\4\0\3" + b"key1abc")])
    bench.run([*find(5, 1), (0x01, address(5, 1, 1) + b"\3\0\2" + b"key" + b"de")])
    bench.run([*find(5, 2), (0x1D, address(5, 2, 1) + b"\0\0\0")])
    ended = bench.run([*find(5, 0, 1), (0x0E, 20, SLI)])
    assert (ended.status, ended.data, ended.residual) == (0x0D, [b"key1abcde"], 11)


def test_rules_of_write_special() -> None:
    bench = Bench("3830", 411, "3330")
    assert bench.run([(0x07, bytes(6)), (0x01, bytes(8))]).sense[7] == 2  # type: ignore[index]
    masked = bench.run([(0x07, bytes(6)), (0x1F, b"\x80"), (0x31, bytes(5)), ("TIC", 2), (0x01, bytes(8))])
    assert masked.sense is not None and (masked.sense[0], masked.sense[7]) == (0x80, 2)
    too_long = bench.run([*find(0, 0), (0x01, b"\0\0\0\0\1\0" + (13_031).to_bytes(2, "big"), SLI)])
    assert too_long.sense is not None and too_long.sense[1] == 0x40
    bench.run([*find(0, 0), (0x01, b"\xff\xff\0\0\1\0\0\1" + b"x")])
    assert bench.run([*find(0, 0), (0x1E, 9)]).data == [b"\xff\xff\0\0\1\0\0\1x"]
    newer = Bench("3880", 959, "3375").run([*find(0, 0), (0x01, b"\0\0\0\0\1\0\0\1x")])
    assert newer.sense is not None and (newer.sense[0], newer.sense[7]) == (0x80, 2)


def test_six_bytes_tell_the_operation() -> None:
    bench = Bench("2314", 200, "2314")
    bench.run([*find(5, 0), (0x01, address(5, 0, 1) + b"\0\0\3" + b"abc")])
    ended = bench.run([(0x07, b"\0\0\0\5\0\0"), (0x1F, b"\xd8"), (0x06, 3)])
    assert ended.sense == bytes.fromhex("000500400006")
    ended = bench.run([(0x07, b"\0\0\0\5\0\0"), (0x06, 3)])
    assert ended.sense == bytes.fromhex("000900400006")
