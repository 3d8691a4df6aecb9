"""Devices before ECKD on a bench of their own, and the parameters of their commands."""

from __future__ import annotations

import random

from ccw.geometry import track_address_bytes
from tests.helpers.devices import SLI, Bench

# Device type, cylinders, control unit.
DEVICES = {
    "2305": (48, "2835"),
    "2311": (203, "2841"),
    "2314": (200, "2314"),
    "3330": (411, "3830"),
    "3340": (349, "3830"),
    "3350": (555, "3830"),
    "3375": (959, "3880"),
}
BLOCK = 4096  # bytes of the blocks that `restored` writes
GAPS = 135  # bytes of a 3330 track that a record costs besides its data
SENSE_BYTES = {"2835": 6, "2841": 6, "2314": 6, "3830": 24, "3880": 24}


def bench(device_type: str, unit_address: int = 0x21, **options: object) -> Bench:
    cylinders, control_unit = DEVICES[device_type]
    return Bench(control_unit, cylinders, device_type, unit_address=unit_address, **options)  # type: ignore[arg-type]


def seek(cylinder: int, head: int = 0) -> tuple[object, ...]:
    return 0x07, b"\0\0" + track_address_bytes(cylinder, head)


def identifier(cylinder: int, head: int, record: int) -> tuple[object, ...]:
    return 0x31, track_address_bytes(cylinder, head) + bytes((record,))


def count(cylinder: int, head: int, record: int, key: int, data: int) -> bytes:
    return track_address_bytes(cylinder, head) + bytes((record, key)) + data.to_bytes(2, "big")


def sense_of(device: Bench, *program: tuple[object, ...]) -> str:
    ended = device.run(list(program))
    assert ended.status == 0x0E and ended.index == len(program) - 1 and ended.sense is not None
    again = device.run([(0x04, 24, SLI)])
    assert again.data == [ended.sense]
    return ended.sense.hex().upper()


def matches(found: str, device_type: str, message: int) -> bool:
    if SENSE_BYTES[DEVICES[device_type][1]] == 6:
        return len(found) == 12 and found.startswith("8000")
    return len(found) == 48 and found.startswith("8000") and found[14:16] == f"{message:02X}"


def restored(cylinder: int, tracks: int = 19) -> tuple[Bench, list[bytes]]:
    """A 3330 whose first `tracks` tracks of a cylinder are full of blocks of 4,096 bytes, overflowing track to track.

    As the restore program does it: one program a track; segments that go on are written with 01, all others with 1D.
    """
    made = bench("3330", 0x51)
    filler = random.Random(cylinder)
    blocks: list[bytes] = []
    rest = b""
    for head in range(tracks):
        steps: list[tuple[object, ...]] = []
        room = made.device.geometry.track_cells - GAPS
        while room > 0:
            if not rest:
                if head == tracks - 1 and room < BLOCK:
                    break
                rest = filler.randbytes(BLOCK)
                blocks.append(rest)
            piece, rest = rest[:room], rest[room:]
            steps.append((0x01 if rest else 0x1D, count(cylinder, head, len(steps) + 1, 0, len(piece)) + piece))
            room -= len(piece) + GAPS
        start = [seek(cylinder, head), (0x1F, b"\xd8")]
        ended = made.run([*start, identifier(cylinder, head, 0), ("TIC", 2), *steps])
        assert (ended.status, ended.residual) == (0x0C, 0)
    return made, blocks
