"""Track overflow: a record in segments, each but the first R1 of the next track, each but the last flagged.

The flag is bit 0 of a count area in the image of a track; programs never see it. Devices from the 3375 on have none.
Source: older-ckd-devices 4.
"""

from __future__ import annotations

from ccw.tracks import Record
from controller.commands.chain import ChainState, Orientation
from controller.commands.checks import overflow_stopped, overflow_without_segment

FLAG = 0x80
NEVER_A_FLAG = 0xFF
SEEK_CONTROL = 0x18
NO_SEEK = 0x18
READ_OPERATION = 0x06
WRITE_OPERATION = 0x05


def is_flagged(count: bytes) -> bool:
    """Does another segment follow the record with this count area?"""
    return count[0] & FLAG != 0 and count[0] != NEVER_A_FLAG


def flagged(count: bytes) -> bytes:
    """Return the count area as Write Special CKD stores it."""
    return bytes((count[0] | FLAG,)) + count[1:]


def plain(count: bytes) -> bytes:
    """Return the count area as programs see it."""
    return bytes((count[0] & ~FLAG,)) + count[1:] if is_flagged(count) else count


def following_segment(chain: ChainState, operation: int, *, sent: bytes = b"", taken: int = 0) -> Record:
    """Go to the next track and return its R1, which continues the record; orientation is DATA on it.

    Raises FP or EOC with operation incomplete where the mask or the cylinder ends the transfer; what was moved before,
    `sent` to the channel or `taken` from it, stays moved.
    """
    if chain.mask & SEEK_CONTROL == NO_SEEK:
        raise overflow_stopped(operation, at_cylinder_end=False, sent=sent, taken=taken)
    track = chain.track + 1
    if track % chain.device.geometry.heads == 0:
        raise overflow_stopped(operation, at_cylinder_end=True, sent=sent, taken=taken)
    chain.seek(track)
    records = chain.current_records()
    if len(records) < 2:
        raise overflow_without_segment(operation, sent=sent, taken=taken)
    chain.current, chain.next = 1, 2
    chain.orientation = Orientation.DATA
    return records[1]


def read_on(chain: ChainState, record: Record, data: bytes) -> tuple[Record, bytes]:
    """Read the further segments of `record`, of which `data` was read. Return the last one and all that was read."""
    while is_flagged(record.count):
        record = following_segment(chain, READ_OPERATION, sent=data)
        data += record.data
    return record, data


def write_on(chain: ChainState, record: Record, data: bytes, taken: int) -> tuple[Record, int]:
    """Write the further segments of `record` from `data`, of which `taken` bytes were used; zeros fill up a short one.

    Return the last segment and the number of bytes that all of them take.
    """
    while is_flagged(record.count):
        record = following_segment(chain, WRITE_OPERATION, taken=taken)
        length = len(record.data)
        part = data[taken : taken + length].ljust(length, b"\0")
        chain.change_records()[1] = record._replace(data=part)
        taken += length
    return record, taken
