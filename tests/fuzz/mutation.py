"""How bytes are made and changed. Everything is drawn from the `random.Random` that is passed in, in a fixed order.

Changes know what formats are made of: single bytes and bits, runs, fields of a layout set to their extremes, lengths
cut or grown, two examples joined. `mend` puts right what would stop a reader at the door (CRC, checksums, constants),
so that what lies behind it is reached too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from ccw.crc import crc16
from ccw.layout import Layout

LENGTH_MAX = 4096
INTERESTING = (0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0x08, 0x0F, 0x10, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xF0,
               0xFE, 0xFF)
LENGTHS = (0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 15, 16, 17, 19, 20, 24, 28, 31, 32, 33, 40, 44, 48, 56, 60, 64, 65, 72,
           100, 128, 256, 512, 648, 1024, 1035, 2048)
Mend = Callable[[bytes], bytes]
Fields = Sequence[tuple[int, int]]      # (offset, length)


def random_bytes(rng: Random, length: int) -> bytes:
    """`length` bytes, all values alike."""
    return rng.getrandbits(length * 8).to_bytes(length, "big") if length else b""


def _pick(rng: Random, count: int) -> int:
    return int(rng.random() * count)


def _byte(rng: Random, data: bytearray, fields: Fields) -> None:
    at = _pick(rng, len(data))
    data[at] = INTERESTING[_pick(rng, len(INTERESTING))] if rng.random() < 0.5 else rng.getrandbits(8)


def _bit(rng: Random, data: bytearray, fields: Fields) -> None:
    data[_pick(rng, len(data))] ^= 1 << rng.getrandbits(3)


def _field(rng: Random, data: bytearray, fields: Fields) -> None:
    if not fields:
        return _byte(rng, data, fields)
    offset, length = fields[_pick(rng, len(fields))]
    if offset + length > len(data) or not length:
        return _bit(rng, data, fields)
    how = _pick(rng, 6)
    if how == 0:
        value = bytes(length)
    elif how == 1:
        value = b"\xff" * length
    elif how == 2:
        value = bytes(length - 1) + b"\x01"
    elif how == 3:
        value = b"\x80" + bytes(length - 1)
    elif how == 4:
        number = int.from_bytes(data[offset : offset + length], "big") + (1 if rng.random() < 0.5 else -1)
        value = (number % (1 << 8 * length)).to_bytes(length, "big")
    else:
        value = random_bytes(rng, length)
    data[offset : offset + length] = value
    return None


def _cut(rng: Random, data: bytearray, fields: Fields) -> None:
    del data[_pick(rng, len(data)) :]


def _drop(rng: Random, data: bytearray, fields: Fields) -> None:
    at = _pick(rng, len(data))
    del data[at : at + 1 + _pick(rng, 8)]


def _grow(rng: Random, data: bytearray, fields: Fields) -> None:
    at = len(data) if rng.random() < 0.5 else _pick(rng, len(data))
    length = 1 + _pick(rng, 16)
    data[at:at] = bytes(length) if rng.random() < 0.3 else random_bytes(rng, length)


def _repeat(rng: Random, data: bytearray, fields: Fields) -> None:
    at, length = _pick(rng, len(data)), 1 + _pick(rng, 32)
    if len(data) < LENGTH_MAX:
        data[at:at] = data[at : at + length] * (1 + _pick(rng, 3))


def _swap(rng: Random, data: bytearray, fields: Fields) -> None:
    one, two = _pick(rng, len(data)), _pick(rng, len(data))
    data[one], data[two] = data[two], data[one]


def _sixteen(rng: Random, data: bytearray, fields: Fields) -> None:
    if len(data) >= 2:
        at = _pick(rng, len(data) - 1)
        value = LENGTHS[_pick(rng, len(LENGTHS))]
        data[at : at + 2] = value.to_bytes(2, "big" if rng.random() < 0.7 else "little")


CHANGES = (_byte, _byte, _bit, _bit, _field, _field, _field, _cut, _drop, _grow, _repeat, _swap, _sixteen)


def mutate(rng: Random, pool: Sequence[bytes], fields: Fields = ()) -> bytes:
    """One to three changes of an example; now and then two examples joined, or bytes from nothing."""
    chance = rng.random()
    if chance < 0.06 or not pool:
        length = LENGTHS[_pick(rng, len(LENGTHS))] if chance < 0.04 else _pick(rng, 80)
        return random_bytes(rng, length)
    data = bytearray(pool[_pick(rng, len(pool))])
    if chance < 0.10:
        other = pool[_pick(rng, len(pool))]
        data[_pick(rng, len(data) + 1) :] = other[_pick(rng, len(other) + 1) :]
    for _ in range(1 if chance < 0.6 else 1 + _pick(rng, 3)):
        if data:
            CHANGES[_pick(rng, len(CHANGES))](rng, data, fields)
    return bytes(data[:LENGTH_MAX])


def fields_of(layout: Layout[Any] | None) -> list[tuple[int, int]]:
    """(offset, length) of the fields of a layout, nested ones too."""
    if layout is None:
        return []
    found = []
    for field in layout.fields:
        found.append((field.offset, field.length))
        if field.nested is not None:
            found += [(field.offset + offset, length) for offset, length in fields_of(field.nested)]
    return found


def mend_frame(data: bytes) -> bytes:
    """The right CRC at the end of a frame."""
    return data[:-2] + crc16(data[:-2]).to_bytes(2, "big") if len(data) >= 2 else data


def mend_crc32(start: int) -> Mend:
    """The right CRC-32 in the four bytes at `start`, over all before them."""
    def mend(data: bytes) -> bytes:
        if len(data) < start + 4:
            return data
        return data[:start] + zlib.crc32(data[:start]).to_bytes(4, "big") + data[start + 4 :]

    return mend


def mend_constants(layout: Layout[Any]) -> Mend:
    """The constants of a layout where they belong."""
    constants = [(field.offset, field.constant) for field in layout.fields if field.constant is not None]

    def mend(data: bytes) -> bytes:
        changed = bytearray(data)
        for offset, constant in constants:
            if offset + len(constant) <= len(changed):
                changed[offset : offset + len(constant)] = constant
        return bytes(changed)

    return mend
