"""Track images: the common emulated count-key-data form.

Track image, big-endian:

    offset length  field
         0      1  flag of the home address: 02 defective, 01 alternate
         1      4  cylinder and head of the home address
         5      8  count area of the first record (record zero)
        13      n  its key, then its data; further records in the order of the track
      last      8  FF x 8, end of the track

Count area, 8 bytes: CC HH R (5), key length (1), data length (2). Count FF x 8 is no record: it is the end mark.

Source: Hercules image form (hercules-interop); record zero standard form: IBM SA22-1025 and the Linux driver.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from construct import Byte, Bytes, Check, Const, GreedyRange, Int16ub, Struct, Terminated, this

from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh, cchh_of_halves, track_address_bytes
from ccw.layout import Layout, Nested, wrong_length

HOME_ADDRESS_LENGTH = 5
COUNT_LENGTH = 8
END_MARK = b"\xff" * 8
NULL_TRACK_LENGTH = HOME_ADDRESS_LENGTH + COUNT_LENGTH + 8 + len(END_MARK)

TRACK_RECORD = Struct(
    "count" / Bytes(8),                                     # 0-7: CC HH R KL DL
    Check(this.count != END_MARK),
    "key" / Bytes(lambda record: record.count[5]),          # 8..
    "data" / Bytes(lambda record: record.count[6] << 8 | record.count[7]),
)
TRACK = Struct(
    "home_address_flag" / Byte,                             # 0
    "home_address" / Nested(CCHH),                          # 1-4
    "records" / GreedyRange(TRACK_RECORD),                  # 5..
    "end_mark" / Const(END_MARK),                           # last 8
    Terminated,
)


@dataclass(frozen=True, slots=True)
class CountArea:
    """The identifier and lengths of a record."""

    cc: int
    hh: int
    record: int
    key_length: int
    data_length: int

    @property
    def address(self) -> Cchh:
        """CC and HH as a track address, extended packing."""
        return cchh_of_halves(self.cc, self.hh)

    def encode(self) -> bytes:
        """8 bytes. FormatError when a field does not fit."""
        return COUNT_AREA.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "CountArea":
        """FormatError unless 8 bytes; which cylinder is valid is the device's affair."""
        return COUNT_AREA.decode(data)


COUNT_AREA = Layout("count area", CountArea, Struct(
    "cc" / Int16ub,           # 0-1
    "hh" / Int16ub,           # 2-3
    "record" / Byte,          # 4
    "key_length" / Byte,      # 5
    "data_length" / Int16ub,  # 6-7
), COUNT_LENGTH)


class Record(NamedTuple):
    """One record: count area of 8 bytes, key, data."""

    count: bytes    # type: ignore[assignment]  # hides tuple.count, which nothing needs
    key: bytes
    data: bytes


def parse_track(image: bytes) -> list[Record]:
    """All records of a track image, record zero first; none when the track has none.

    `image` ends with its end mark. Raises FormatError: shorter than a home address and the end mark, a record that runs
    past the end, no end mark, or bytes behind it. The home address and the content of the count areas are not judged.
    """
    records: list[Record] = []
    position, available = HOME_ADDRESS_LENGTH, len(image)
    while True:
        start = position + COUNT_LENGTH
        count = image[position:start]
        if count == END_MARK:
            if start != available:
                raise FormatError("track image", "bytes behind the end mark", image, start)
            return records
        if start > available:
            raise FormatError("track image", "no end mark", image, available)
        key_stop = start + count[5]
        position = key_stop + (count[6] << 8 | count[7])
        if position > available:
            raise FormatError("track image", f"record {len(records)} cut short", image, start - COUNT_LENGTH)
        records.append(Record(count, image[start:key_stop], image[key_stop:position]))


def track_image_length(data: bytes, start: int = 0) -> int:
    """Length in bytes of the track image at `data[start:]`, its end mark included; what follows is not looked at.

    Raises FormatError when the image runs past the end of `data`.
    """
    position, available = start + HOME_ADDRESS_LENGTH, len(data)
    while True:
        stop = position + COUNT_LENGTH
        if stop > available:
            raise FormatError("track image", "no end mark", data, available)
        if data[position:stop] == END_MARK:
            return stop - start
        position = stop + data[stop - 3] + (data[stop - 2] << 8 | data[stop - 1])


def count_records(image: bytes) -> int:
    """How many records a track image has, record zero included; no copy is made. FormatError as parse_track."""
    position, available, found = HOME_ADDRESS_LENGTH, len(image), 0
    while True:
        start = position + COUNT_LENGTH
        if start > available:
            raise FormatError("track image", "no end mark", image, available)
        if image[position] == 0xFF and image[position:start] == END_MARK:
            if start != available:
                raise FormatError("track image", "bytes behind the end mark", image, start)
            return found
        position = start + image[start - 3] + (image[start - 2] << 8 | image[start - 1])
        if position > available:
            raise FormatError("track image", f"record {found} cut short", image, start - COUNT_LENGTH)
        found += 1


def build_track(cylinder: int, head: int, records: Iterable[Record]) -> bytes:
    """The image of a track with a good home address. FormatError when a record contradicts its count area."""
    return build_image(b"\0" + track_address_bytes(cylinder, head), records)


def build_image(home_address: bytes, records: Iterable[Record]) -> bytes:
    """Home address of 5 bytes, records, end mark. FormatError when a record contradicts its count area."""
    if len(home_address) != HOME_ADDRESS_LENGTH:
        raise wrong_length("home address", home_address, HOME_ADDRESS_LENGTH)
    parts = [home_address]
    for count, key, data in records:
        if len(count) != COUNT_LENGTH or count[5] != len(key) or count[6] << 8 | count[7] != len(data):
            raise FormatError("track image", f"record {len(parts) // 3}: lengths differ from its count area", count)
        if count == END_MARK:
            raise FormatError("track image", f"record {len(parts) // 3}: its count area is the end mark", count)
        parts += (count, key, data)
    parts.append(END_MARK)
    return b"".join(parts)


def standard_record_zero(cylinder: int, head: int) -> Record:
    """Record zero as a formatted track has it: key length 0, eight zero bytes of data."""
    return Record(track_address_bytes(cylinder, head) + b"\0\0\0\x08", b"", bytes(8))


def null_track(cylinder: int, head: int) -> bytes:
    """The image of a track that was never written: home address, standard record zero, end mark; 29 bytes."""
    address = track_address_bytes(cylinder, head)
    return b"\0" + address + address + b"\0\0\0\x08\0\0\0\0\0\0\0\0" + END_MARK


def track_digest(image: bytes) -> str:
    """sha256 in hex of a track image without its end mark: home address, then the records, record zero first."""
    if not image.endswith(END_MARK):
        raise FormatError("track image", "no end mark", image, len(image))
    return sha256(memoryview(image)[: -len(END_MARK)]).hexdigest()
