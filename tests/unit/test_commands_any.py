"""Whatever a host sends: a status comes back, counts add up, and the tracks stay tracks.

Chains are drawn from commands whose parameters are right and from the same with a byte changed. Invariants checked
after every command: status one of those a disk gives, residual within the count, sense with unit check and only then;
after every chain: each image written is whole, within the capacity, on a track of the device.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.tracks import parse_track
from controller.commands.outcome import Command, Outcome
from tests.helpers.devices import CC, SLI, VOLUME, Bench

CYLINDERS = 3
STATUSES = {0x0C, 0x0D, 0x0E, 0x4C, 0x10}
RECORDS = st.integers(0, 4)
HEADS = st.integers(0, 3)


def count_area(head: int, record: int, key: int, data: int) -> bytes:
    return bytes((0, 1, 0, head, record, key)) + data.to_bytes(2, "big")


@st.composite
def locate(draw: st.DrawFn) -> bytes:
    operation = draw(st.sampled_from([0x00, 0x01, 0x81, 0x03, 0x43, 0x06, 0x86, 0x0B, 0x0C, 0x4C, 0x16, 0xD6]))
    length = draw(st.sampled_from([0, 0, 16, 4096]))
    at = bytes((0, 1, 0, draw(HEADS)))
    flags = (0x80 if length else 0) | draw(st.sampled_from([0, 0, 0, 1]))
    count = 0 if operation & 0x3F == 0 else draw(st.integers(1, 4))
    return bytes((operation, flags, 0, count)) + at + at + bytes((draw(RECORDS), 0xFF)) + length.to_bytes(2, "big")


@st.composite
def extended(draw: st.DrawFn) -> bytes:
    kinds = [(0x0A, b"\1"), (0x09, b"\1"), (0x0E, b"\x80"), (0x0E, b"\xc0"), (0x11, b"\x80"), (0x13, b"\xa0")]
    kind, parameters = draw(st.sampled_from(kinds))
    ones = parameters[0].bit_count() if kind > 0x0A else 3
    length = 16 if kind in (0x09, 0x13) else 0
    at = bytes((0, 1, 0, draw(HEADS)))
    head = bytes((0x3F, 0x80 if length else 0, 0, ones)) + at + at + b"\0\xff" + length.to_bytes(2, "big")
    return head + bytes((0, kind, 0, len(parameters))) + parameters


@st.composite
def command(draw: st.DrawFn) -> tuple[int, int, bytes]:
    """Code, count, data."""
    kind = draw(st.sampled_from(["seek", "search", "key", "extent", "locate", "extended", "read", "write", "any"]))
    if kind == "seek":
        return 0x07, 6, bytes((0, 0, 0, 1, 0, draw(HEADS)))
    if kind == "search":
        return draw(st.sampled_from([0x31, 0xB1, 0x51, 0x71])), 5, bytes((0, 1, 0, draw(HEADS), draw(RECORDS)))
    if kind == "key":
        return draw(st.sampled_from([0x29, 0xA9, 0x69])), 2, b"K%d" % draw(RECORDS)
    if kind == "extent":
        mask = draw(st.sampled_from([0x00, 0xC0, 0xC0, 0x80, 0x40, 0xD8]))
        return 0x63, 16, bytes((mask, draw(st.sampled_from([0xC0, 0xE0])))) + bytes(6) + b"\0\1\0\0\0\2\0\1"
    if kind == "locate":
        return 0x47, 16, draw(locate())
    if kind == "extended":
        data = draw(extended())
        return 0x4B, len(data), data
    if kind == "read":
        codes = [0x06, 0x86, 0x0E, 0x8E, 0x12, 0x92, 0x1E, 0x9E, 0x16, 0x1A, 0x5E, 0xDE, 0x02, 0x22]
        return draw(st.sampled_from(codes)), draw(st.sampled_from([0, 8, 16, 70_000 & 0xFFFF])), b""
    if kind == "write":
        code = draw(st.sampled_from([0x05, 0x85, 0x0D, 0x8D, 0x1D, 0x9D, 0x11, 0x15, 0x95, 0xA5]))
        key, size = draw(st.sampled_from([(0, 16), (2, 16), (0, 0), (0, 4096), (3, 30_000)]))
        data = count_area(draw(HEADS), draw(RECORDS), key, size) + b"K1"
        return code, len(data), data
    data = draw(st.binary(max_size=40))
    return draw(st.integers(0, 255)), len(data), data


@st.composite
def chain(draw: st.DrawFn) -> list[tuple[int, int, bytes]]:
    commands = draw(st.lists(command(), min_size=1, max_size=12))
    if draw(st.integers(0, 3)) == 0:
        index = draw(st.integers(0, len(commands) - 1))
        code, count, data = commands[index]
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + bytes((draw(st.integers(0, 255)),)) + data[at + 1 :]
            commands[index] = code, count, data[: draw(st.integers(0, len(data)))]
    return commands


def check(outcome: Outcome, count: int) -> None:
    assert outcome.status in STATUSES
    assert 0 <= outcome.residual <= count and len(outcome.data) <= count
    assert (outcome.sense is not None) == (outcome.status == 0x0E)
    assert outcome.sense is None or len(outcome.sense) == 32


def check_track(bench: Bench, track: int, image: bytes) -> None:
    records = parse_track(image)
    geometry = bench.device.geometry
    assert 0 <= track < geometry.tracks
    assert image[1:5] == geometry.address_of(track).pack()
    assert sum(geometry.cells(len(r.key), len(r.data)) for r in records[1:]) <= geometry.track_cells


@settings(deadline=None, max_examples=400)
@given(chains=st.lists(chain(), min_size=1, max_size=4), suppress=st.booleans())
def test_any_chain(chains: list[list[tuple[int, int, bytes]]], suppress: bool) -> None:
    bench = Bench("2107", CYLINDERS)
    for head in range(3):
        bench.format(1, head, [(n, b"K%d" % n if head == 1 else b"", bytes((n,)) * 16) for n in (1, 2, 3)])
    for commands in chains:
        for index, (code, count, data) in enumerate(commands):
            flags = (SLI if suppress else 0) | (CC if index + 1 < len(commands) else 0)
            outcome = bench.device.execute("A", Command(code, flags, max(count, len(data)), data, index > 0))
            check(outcome, max(count, len(data)))
            for write in outcome.writes:
                check_track(bench, write.track, write.image)
                bench.tracks.write(write.track, write.image)
            if outcome.status & 0xBF != 0x0C:
                assert not bench.device.end_chain("A"), "an ending that stops the chain hardens everything"
                break
        for write in bench.device.end_chain("A"):
            check_track(bench, write.track, write.image)
            bench.tracks.write(write.track, write.image)
        for track in bench.tracks.images:
            parse_track(bench.tracks.read(VOLUME, track))
