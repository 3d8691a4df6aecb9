"""What a real Hercules does with channel programs, replayed here: data, status, residual, sense and every track.

Directed programs for each device type, and drawn ones; what Hercules is known to do otherwise the deviation rules
explain. Skipped with the reason where Hercules is not installed (Debian package hercules).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ccw.geometry import geometry_for, track_address_bytes
from tests.helpers.drawn_chains import Drawer
from tests.helpers.guest_chains import CC, CD, SKIP, SLI, Chain, Step, record, replay
from tools.hercules import PROGRAM

pytestmark = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")
DEVICE, CYLINDERS = 0x121, 4
OVERFLOWING = ("3330", "3340", "3350", "2305", "2314", "2311")
TYPES = ("3390", "3380", "9345", "3375", *OVERFLOWING)
SKIPPED = {"3340": 2, "3350": 6}  # bytes of skip displacement in front of a home address
SIX_BYTES = ("2305", "2311", "2314")  # of sense; Hercules lets them read multiple records
DOMAINS = frozenset({"3390", "9345"})  # a 3380 is behind a control unit without them here


def seek(cylinder: int, head: int) -> Step:
    return 0x07, CC, bytes(2) + track_address_bytes(cylinder, head)


def search(cylinder: int, head: int, number: int) -> Step:
    return 0x31, CC, track_address_bytes(cylinder, head) + bytes((number,))


def back(step: int) -> Step:
    return 0x08, 0, step


def count(cylinder: int, head: int, number: int, key: int, data: int) -> bytes:
    return track_address_bytes(cylinder, head) + bytes((number, key)) + data.to_bytes(2, "big")


def formatting(head: int, *records: tuple[int, int]) -> tuple[Step, ...]:
    """Records of these key and data lengths on head `head` of cylinder 1, behind R0."""
    writes = [
        (0x1D, CC, count(1, head, number, key, data) + b"KEYED AND DATA"[:8].ljust(key + data, b"\0")[: key + data])
        for number, (key, data) in enumerate(records, start=1)
    ]
    code, _, last = writes.pop()
    return (seek(1, head), search(1, head, 0), back(1), *writes, (code, 0, last))


def segment(head: int, number: int, data: int, *, last: bool) -> tuple[Step, ...]:
    """A segment of a record behind R0 of head `head`; the seek is step 0."""
    write = 0x1D if last else 0x01
    return (seek(1, head), search(1, head, 0), back(1), (write, 0, count(1, head, number, 0, data) + bytes(data)))


def directed(heads: int, *, overflow: bool, multiple: bool) -> list[tuple[Step, ...]]:
    """What dumps, restores and surface analysis do, and what goes wrong in them."""
    end = heads - 1
    scan: tuple[Step, ...] = ((0x92, CC | SLI, 8),) * (3 * heads)
    programs: list[tuple[Step, ...]] = [
        formatting(0, (0, 80), (4, 100), (0, 0), (8, 16)),
        formatting(1, (0, 500)),
        formatting(end, (0, 80), (0, 80)),
        (seek(1, 0), *scan),  # to the end of the cylinder
        ((0x1F, CC, b"\xd8"), seek(1, 0)),  # the mask forbids the seek
        (seek(1, 0), (0x1F, CC, b"\xd8"), *scan),  # and leaving the track
        (seek(1, 0), (0x1F, CC, b"\xd8"), (0x92, CC | SLI | SKIP, 8), (0x92, SLI, 4), (0x06, SLI, 8)),
        (seek(1, end), (0xB1, CC | SLI, b"\1\1\1\1\1"), back(1), (0x06, SLI, 80)),
        (seek(1, 0), (0xA9, CC | SLI, b"KEYE"), back(1), (0x0E, CC | SLI, 200), (0x06, SLI, 8)),
        (seek(1, 0), search(1, 0, 9), back(1), (0x06, SLI, 8)),  # no such record
        (seek(1, 0), search(1, 0, 3), back(1), (0x06, SLI, 8)),  # end of file
        (seek(1, 0), (0x1A, CC, 5), (0x16, CC, 16), (0x9A, CC, 5), (0x96, SLI, 16)),
        (seek(1, 2), (0x1F, CC, b"\xc0"), (0x39, CC, track_address_bytes(1, 2)), back(2),
         (0x15, CC, count(1, 2, 0, 0, 8) + bytes(8)), (0x1A, CC, 5), (0x16, 0, 16)),
        (seek(1, 0), search(1, 0, 2), back(1), (0x11, CC | SLI, bytes(8)), (0x92, SLI, 8)),
        (seek(1, 0), (0x1F, CC, b"\x80"), search(1, 0, 1), back(2), (0x1D, SLI, count(1, 0, 2, 0, 8) + bytes(8))),
        (seek(1, 0), (0x1F, CC, b"\x40"), search(1, 0, 1), back(2), (0x05, SLI, bytes(8))),
        (seek(1, 0), search(1, 0, 1), back(1), (0x1D, SLI, count(1, 0, 2, 0, 60_000) + bytes(8))),
        (seek(1, 0), search(1, 0, 1), back(1), (0x06, CC | SLI, 80), (0x05, SLI, bytes(8))),
        ((0x07, 0, bytes(2) + b"\x03\xe7\0\0"),),
        ((0x07, 0, bytes(2) + track_address_bytes(0, heads)),),
        ((0x07, 0, bytes(5)),),
        ((0x04, SLI, 32),),
    ]  # fmt: skip
    if multiple:
        programs.append((seek(1, 0), (0x5E, SLI, 4000)))
    if overflow:
        programs += [
            segment(0, 1, 60, last=False), segment(1, 1, 40, last=False), segment(2, 1, 20, last=True),
            (seek(1, 0), search(1, 0, 1), back(1), (0x06, SLI, 200)),
            (seek(1, 0), (0x1F, CC, b"\x18"), search(1, 0, 1), back(2), (0x06, SLI, 60)),
            (seek(1, 0), (0x1F, CC, b"\xd8"), search(1, 0, 0), back(2), (0x1E, SLI | SKIP, 68)),
            (seek(1, 0), search(1, 0, 1), back(1), (0x05, SLI, b"changed".ljust(120, b"\0"))),
            (seek(1, 0), search(1, 0, 1), back(1), (0x06, 0, 120)),
            segment(end, 1, 30, last=False),
            (seek(1, end), search(1, end, 1), back(1), (0x06, SLI, 60)),
        ]  # fmt: skip
    return programs


def chained() -> list[tuple[Step, ...]]:
    """Data chaining: counts that fit, that are too large and too small, parts that are skipped, writes in pieces."""
    ckd = (0x1E, CD, 8)
    found = (seek(1, 2), search(1, 2, 0), back(1))
    return [
        formatting(0, (0, 80), (4, 100), (0, 0), (8, 16)),
        (seek(1, 0), ckd, (0, 0, 80)),
        (seek(1, 0), ckd, (0, SLI, 40)),
        (seek(1, 0), ckd, (0, 0, 40)),
        (seek(1, 0), ckd, (0, CC | SLI, 200), (0x12, SLI, 8)),
        (seek(1, 0), ckd, (0, CC, 200), (0x12, SLI, 8)),
        (seek(1, 0), ckd, (0, CD, 40), (0, CC, 40), (0x12, 0, 8)),
        (seek(1, 0), ckd, (0, CD | SKIP, 40), (0, CC, 40), (0x12, 0, 8)),
        (seek(1, 0), ckd, (0, CD, 80), (0, CC | SLI, 40), (0x12, 0, 8)),
        (seek(1, 0), (0x92, CD, 5), (0, CC, 3), (0x92, CD | SKIP, 5), (0, CC, 3), (0x92, SLI, 3)),
        (seek(1, 0), search(1, 0, 2), back(1), (0x0E, CD, 4), (0, CC, 100), (0x06, SLI, 10)),
        (*found, (0x1D, CD, count(1, 2, 1, 0, 20)), (0, CC, b"ABCDEFGH".ljust(20, b"\0")),
         (0x1D, CD, count(1, 2, 2, 4, 20)), (0, CD, b"KEY4"), (0, 0, bytes(20))),
        (*found, (0x1D, CD, count(1, 2, 1, 0, 20)), (0, CC | SLI, bytes(30)), (0x92, SLI, 10)),
        (seek(1, 2), (0x31, CD, b"\0\1"), (0, CC, b"\0\2\1"), back(1), (0x05, CD, b"ABCD"), (0, SLI, b"EFGH")),
        (seek(1, 2), (0x06, SLI, 100)),
        ((0x07, CD, bytes(2)), (0, CC, b"\0\1\0\1"), (0x06, SLI, 10)),
    ]  # fmt: skip


@pytest.mark.parametrize("device_type", ["3390", "3330", "2314"])
def test_chained_data_replay(device_type: str, tmp_path: Path) -> None:
    check(tmp_path, device_type, [Chain(DEVICE, steps) for steps in chained()])


def surface(device_type: str) -> list[tuple[Step, ...]]:
    """A track as surface analysis takes it: home address, a long R0, read back, erased, given an ordinary R0 again."""
    family = geometry_for(device_type, CYLINDERS).family
    programs: list[tuple[Step, ...]] = []
    for head, length in enumerate((8, family.record_length_max - 8, family.record_length_max)):
        track = track_address_bytes(1, head)
        home_address = bytes(SKIPPED.get(device_type, 0)) + b"\0" + track
        long = count(1, head, 0, 0, length) + bytes(8)
        programs += [
            (seek(1, head), (0x1F, CC, b"\xc0"), (0x19, CC, home_address), (0x15, CC | SLI, long), (0x1A, CC, 5),
             (0x16, CC | SLI, length + 8), (0x92, SLI, 8)),
            (seek(1, head), search(1, head, 0), back(1), (0x11, CC | SLI, bytes(8)), (0x12, SLI, 8)),
            (seek(1, head), (0x1F, CC, b"\xc0"), (0x39, CC, track), back(2),
             (0x15, 0, count(1, head, 0, 0, 8) + bytes(8))),
            (seek(1, head), search(1, head, 0), back(1), (0x1D, CC | SLI, count(1, head, 1, 0, length) + bytes(8)),
             (0x06, SLI, length)),
            (seek(1, head), (0x1A, CC, 5), (0x16, CC | SLI, 16), (0x06, SLI, 60)),
        ]  # fmt: skip
    return programs


@pytest.mark.parametrize("device_type", OVERFLOWING)
def test_surface_analysis_replay(device_type: str, tmp_path: Path) -> None:
    check(tmp_path, device_type, [Chain(DEVICE, steps) for steps in surface(device_type)])


@pytest.mark.parametrize("device_type", TYPES)
def test_a_guest_s_programs_replay(device_type: str, tmp_path: Path) -> None:
    heads = geometry_for(device_type, CYLINDERS).heads
    programs = directed(heads, overflow=device_type in OVERFLOWING, multiple=device_type not in SIX_BYTES)
    chains = [Chain(DEVICE, ((0xE4, SLI, 24),)), *(Chain(DEVICE, steps) for steps in programs)]
    check(tmp_path, device_type, chains)


@pytest.mark.parametrize("device_type", TYPES)
def test_drawn_programs_replay(device_type: str, tmp_path: Path) -> None:
    drawer = Drawer(DEVICE, device_type, CYLINDERS, 1, domains=device_type in DOMAINS)
    check(tmp_path, device_type, drawer.chains(100))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 22))
@pytest.mark.parametrize("device_type", TYPES)
def test_many_drawn_programs_replay(device_type: str, seed: int, tmp_path: Path) -> None:
    drawer = Drawer(DEVICE, device_type, CYLINDERS, seed, domains=device_type in DOMAINS)
    check(tmp_path, device_type, drawer.chains(100))


def check(folder: Path, device_type: str, chains: list[Chain]) -> None:
    devices = {DEVICE: (device_type, CYLINDERS)}
    record(folder, devices, chains)
    found = replay(folder, devices)
    assert found.followed.programs >= len(chains)
    assert found.followed.differences == []
    assert found.tracks == ()
