"""Devices before ECKD on a bench of their own, and the parameters of their commands."""

from __future__ import annotations

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
