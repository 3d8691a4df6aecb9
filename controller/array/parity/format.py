"""Parity: the format of a device, the rules by which devices make one disk, and why no crash and no loss breaks them.

An array is N **devices**, each a `Disk` of its own (a directory), p of which (1 or 2) may be lost. A segment of the
array is cut into **stripes** of N - p data chunks; p parity chunks are added, and each device holds one chunk of each
stripe: column c of stripe s lies on device (c + s) mod N. All numbers are big-endian.

On a device
-----------
    segment n               the device's chunks of segment n of the array: units, one for each stripe
    segment 2000000000      the label
    segment 2000000001, -2  the journal's halves: epoch e is written to half e mod 2

    unit: 16 bytes and the chunk                    label: 56 bytes
      0 8  attempt: the journal record (epoch <<       0 8  magic "TBPARDEV"
           32 | number) that says it is in place       8 2  version, 1
      8 8  XXH3-64 of the chunk, seed = XXH3-64 of    10 1  devices N
           (array, incarnation, stripe, device,       11 1  parity p
           round, attempt)                            12 1  index of this device, from 0
                                                      13 3  reserved, zero
                                                      16 4  chunk length in bytes
                                                      20 4  length of a journal half in bytes
                                                      24 8  array: its identity
                                                      32 8  device: its identity, new with each replacement
                                                      40 8  reserved, zero
                                                      48 8  XXH3-64 of bytes 0-47

Journal record, 64 bytes, then meta, then this device's part; zeros up to a multiple of 8
-----------------------------------------------------------------------------------------
      0  4  magic "TBPJ"
      4  1  version, 1
      5  1  device index
      6  2  reserved, zero
      8  8  epoch
     16  4  number in the epoch: 0 STATE (state.py), the first of a half; then 1, 2, ... changes
     20  4  meta length
     24  4  data length
     28  4  part length: the data are cut into N - p parts of this length (the last filled with zeros) and coded as
            a stripe is, device i keeping column i; 0 if there are no data
     32  8  XXH3-64 of meta
     40  8  XXH3-64 of the part
     48  8  reserved, zero
     56  8  XXH3-64 of bytes 0-55, seed = array XOR offset of the record in its half

Meta of STATE: who is a device of the array, which segments exist, and for each stripe its **round**: 0 never put in
place, otherwise 1..255, one more (255: then 1) each time it is put in place. Meta of a change: operations of 17
bytes: kind (1), segment (4), a (8), b (4).

    1 CREATE  segment of a bytes                    4 PLACED   stripes a..b-1 are in place, a round further
    2 REMOVE  segment                               5 REBUILT  device `segment` holds all segments whose
    3 DATA    the next b bytes of the data                     incarnation (the record that created them) is
              belong at offset a of the segment                at most a
                                                    6 CLOSED   nothing follows

How a write becomes durable
---------------------------
`write` only keeps bytes. `sync` puts every stripe that is now whole in place at once, one chunk on each device,
written once, never read before, never updated. What does not fill a stripe goes into the journal, coded like a stripe:
a few bytes more on each device, nothing is rewritten. Both are synced together; the record names what is in place.
When the half is full, a **checkpoint** puts the incomplete stripes in place (zeros behind them), syncs, and starts
the next epoch in the other half with a STATE. A stripe in place that is written again first goes whole into the
journal, so that it can be put in place again.

Invariants (tests cite these numbers)
-------------------------------------
 P1  No write hole: a unit in place is overwritten only while the journal durably holds, or nobody was promised, every
     byte of its stripe. So whatever a crash leaves of that stripe, no synced byte depends on it.
 P2  Rounds are the truth: a stripe of round 0 reads as zeros (or from the journal), whatever lies on the devices. So
     what a crash left half-written, and what a recycled file held before, never shows.
 P3  A unit is used only if its checksum fits array, place, incarnation, device and round: bytes of another place,
     time or device, and a write that the device lost, are an erasure, never data.
 P4  One sync at a time: record k+1 of an epoch is written only when record k, and all it says is in place, is durable
     on every device. So only the last record can be torn. It is applied whole or not at all: if its data cannot be
     decoded, or one of the stripes that it put in place has fewer than N - p units of exactly this attempt, it never
     happened.
 P5  Epoch e+1 begins only when all that epoch e promised is in place; a half is overwritten only when the STATE in
     the other is durable on every device. So there is always a whole half.
 P6  Opening hardens what it found, on every device, before anything else is read or written: records and units that
     a crash left out are written again, files synced, a new epoch begun. So what one opening believed, no later one
     denies, whatever devices are lost in between.
 P7  A device that failed or is missing is out: nothing is acknowledged before a STATE that says so is durable on all
     that remain. It comes back only through a rebuild. As N >= 2p + 1, any N - p devices contain one that saw the last
     STATE: an array is never put together from devices that were away.
 P8  More than p devices out: every sync fails, for ever; reads go on as far as chunks can be had.
 P9  A STATE counts when N - p devices have it, or all of its devices that are here, or a change follows it. Any other
     was cut off by a crash, so nothing was promised under it: it never happened, and the epoch before counts, whose
     half still holds everything (P5). Opening erases it from every device that is here before it writes units of its
     own; so it is left on p devices at most, those that were away, and can never count again. So the units of two
     checkpoints that were tried under one number are never taken for each other, whoever is back with the older STATE.

The price: (N / (N - p)) bytes for each byte, twice for those that once were the tail of a sync.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import xxhash

from controller.array.errors import StoreError

VERSION = 1
LABEL_SEGMENT = 2_000_000_000
JOURNAL_SEGMENTS = (2_000_000_001, 2_000_000_002)
LABEL_BYTES = 4096
UNIT_HEADER_BYTES = 16
RECORD_HEADER_BYTES = 64
OPERATION_BYTES = 17
CHUNK_BYTES = 1 << 14
JOURNAL_BYTES = 4 << 20

_LABEL = struct.Struct(">8sHBBB3xIIQQ8x")
_RECORD = struct.Struct(">4sBB2xQIIIIQQ8x")
_UNIT = struct.Struct(">QQ")
_UNIT_SEED = struct.Struct(">QQIBBQ")
_OPERATION = struct.Struct(">BIQI")
_CHECK = struct.Struct(">Q")
_LABEL_MAGIC = b"TBPARDEV"
_RECORD_MAGIC = b"TBPJ"
assert _LABEL.size == 48 and _RECORD.size == 56 and _OPERATION.size == OPERATION_BYTES

digest = xxhash.xxh3_64_intdigest


class Label(NamedTuple):
    """Who a device is. `position`: its index."""

    devices: int
    parity: int
    position: int
    chunk_bytes: int
    journal_bytes: int
    array: int
    device: int


class Do(IntEnum):
    """Operations of a change."""

    CREATE = 1
    REMOVE = 2
    DATA = 3
    PLACED = 4
    REBUILT = 5
    CLOSED = 6


class Operation(NamedTuple):
    """One operation of a change; see the table above."""

    do: int
    segment: int = 0
    a: int = 0
    b: int = 0


class Record(NamedTuple):
    """A journal record as one device has it. `offset` in its half, `size` with header and padding, in bytes."""

    epoch: int
    number: int
    meta: bytes
    part: bytes
    data_length: int
    offset: int
    size: int


def check_shape(devices: int, parity: int) -> None:
    """Raise ValueError unless that many devices can have that much parity (P7)."""
    if parity not in (1, 2):
        raise ValueError(f"parity {parity}: 1 or 2 devices can be spare")
    if not 2 * parity + 1 <= devices <= 32:
        raise ValueError(f"{devices} devices: parity {parity} needs {2 * parity + 1} to 32")


def encode_label(label: Label) -> bytes:
    """The 56 bytes of a label."""
    checked = _LABEL.pack(_LABEL_MAGIC, VERSION, *label)
    return checked + _CHECK.pack(digest(checked))


def decode_label(data: bytes, name: str) -> Label:
    """A label; StoreError, with the device's name, when the bytes are none."""
    if len(data) < _LABEL.size + 8:
        raise StoreError(f"{name}: the label is cut short at byte {len(data)}")
    magic, version, *fields = _LABEL.unpack_from(data)
    if magic != _LABEL_MAGIC or _CHECK.unpack_from(data, _LABEL.size)[0] != digest(data[: _LABEL.size]):
        raise StoreError(f"{name}: the label does not match its checksum")
    if version != VERSION:
        raise StoreError(f"{name}: label version {version}, this program reads {VERSION}")
    return Label(*fields)


def unit_seed(array: int, incarnation: int, stripe: int, device: int, round_: int, attempt: int) -> int:
    """What the checksum of a chunk is bound to (P3)."""
    return digest(_UNIT_SEED.pack(array, incarnation, stripe, device, round_, attempt))


def unit_header(attempt: int, seed: int, chunk: bytes) -> bytes:
    """The 16 bytes before a chunk."""
    return _UNIT.pack(attempt, digest(chunk, seed))


def split_unit(unit: bytes | memoryview) -> tuple[int, int]:
    """Attempt and checksum of a unit."""
    attempt, check = _UNIT.unpack_from(unit)
    return attempt, check


def attempt_of(epoch: int, number: int) -> int:
    """The number of a journal record over all epochs."""
    return epoch << 32 | number


def encode_operations(operations: list[Operation]) -> bytes:
    """Meta of a change."""
    return b"".join(_OPERATION.pack(*operation) for operation in operations)


def decode_operations(meta: bytes) -> list[Operation]:
    """The operations of a change."""
    return [Operation(*fields) for fields in _OPERATION.iter_unpack(meta)]


def record_size(meta_length: int, part_length: int) -> int:
    """Bytes of a record in a half."""
    return RECORD_HEADER_BYTES + -(-(meta_length + part_length) // 8) * 8


def encode_record(
    array: int, device: int, epoch: int, number: int, meta: bytes, part: bytes, data_length: int, offset: int
) -> bytes:
    """A record for one device, padding included."""
    header = _RECORD.pack(
        _RECORD_MAGIC, VERSION, device, epoch, number, len(meta), data_length, len(part), digest(meta), digest(part)
    )
    size = record_size(len(meta), len(part))
    return (header + _CHECK.pack(digest(header, array ^ offset)) + meta + part).ljust(size, b"\0")


def decode_record(data: memoryview, array: int, device: int, offset: int) -> Record | None:
    """The record at `offset` of a half, None if there is none that is whole."""
    if len(data) < offset + RECORD_HEADER_BYTES:
        return None
    magic, version, index, epoch, number, meta_length, data_length, part_length, meta_check, part_check = (
        _RECORD.unpack_from(data, offset)
    )
    header = data[offset : offset + _RECORD.size]
    if magic != _RECORD_MAGIC or _CHECK.unpack_from(data, offset + _RECORD.size)[0] != digest(header, array ^ offset):
        return None
    if version != VERSION or index != device:
        return None
    start = offset + RECORD_HEADER_BYTES
    meta = bytes(data[start : start + meta_length])
    part = bytes(data[start + meta_length : start + meta_length + part_length])
    if len(part) < part_length or digest(meta) != meta_check or digest(part) != part_check:
        return None
    return Record(epoch, number, meta, part, data_length, offset, record_size(meta_length, part_length))
