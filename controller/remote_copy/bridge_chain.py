"""The channel program of both bridges: 63 Define Extent | 4B Locate Record Extended | 95 Write Full Track x n.

The sender builds it; the receiving volume is a device like any other, whose Write Full Track takes header and payload.
Seek and search addresses name a ring slot of the
bridge volume and carry no meaning; the header in front of each track decides. Source: pprc-commands 8.3.
"""

from collections.abc import Sequence

from ccw.eckd import DefineExtent, LocateRecordExtended
from ccw.geometry import Cchh
from controller.channel import ChainCommand

DEFINE_EXTENT = 0x63
LOCATE_RECORD_EXTENDED = 0x4B
WRITE_FULL_TRACK = 0x95
MAX_RECORDS_PER_CHAIN = 16
EXTENDED_OPERATION = 0x3F
WRITE_TRACKSET = 0x11
ALL_WRITES_MASK = 0xC0
ECKD_ATTRIBUTES = 0xC0


def write_extent(first: Cchh, last: Cchh) -> ChainCommand:
    """Define Extent for writes of any kind on these tracks."""
    extent = DefineExtent(
        file_mask=ALL_WRITES_MASK,
        global_attributes=ECKD_ATTRIBUTES,
        block_size=0,
        fast_write_id=0,
        additional_attributes=0,
        extended_attributes=0,
        first=first,
        last=last,
    )
    return ChainCommand(DEFINE_EXTENT, extent.encode())


def locate_trackset(place: Cchh, count: int, tracks: int) -> ChainCommand:
    """Locate Record Extended for `count` (1-16) whole tracks: those whose bits of `tracks` are on, 8000 is `place`."""
    locate = LocateRecordExtended(
        operation=EXTENDED_OPERATION,
        auxiliary=0,
        reserved_02=0,
        count=count,
        seek=place,
        search=place.pack() + b"\0",
        sector=0xFF,
        transfer_length_factor=0,
        reserved_16=0,
        extended_operation=WRITE_TRACKSET,
        extended_parameters=tracks.to_bytes(2, "big") if tracks & 0xFF else bytes([tracks >> 8]),
    )
    return ChainCommand(LOCATE_RECORD_EXTENDED, locate.encode())


def bridge_chain(slot: int, slots: int, heads: int, contents: Sequence[tuple[bytes, bytes]]) -> list[ChainCommand]:
    """Commands that write `contents` (1-16, each header and payload) into the ring from `slot` on."""
    count = len(contents)
    last = Cchh((slots - 1) // heads, (slots - 1) % heads)
    place = Cchh(slot // heads, slot % heads)
    return [
        write_extent(Cchh(0, 0), last),
        locate_trackset(place, count, (0xFFFF << (16 - count)) & 0xFFFF),
        *(ChainCommand(WRITE_FULL_TRACK, payload, prefix=header) for header, payload in contents),
    ]
