"""Track images: the common emulated count-key-data form, and plain CKD image files.

Track image, big-endian:

    offset length  field
         0      1  flag of the home address: 02 defective, 01 alternate
         1      4  cylinder and head of the home address
         5      8  count area of the first record (record zero)
        13      n  its key, then its data; further records in the order of the track
      last      8  FF x 8, end of the track

Count area, 8 bytes: CC HH R (5), key length (1), data length (2). Count FF x 8 is no record: it is the end mark.

Plain image file: a header of 512 bytes, then every track in a slot of `track size` bytes: its image and padding.

         0      8  CKD_P370 (ASCII)
         8      4  heads, little-endian
        12      4  track size, little-endian
        16      1  low byte of the device type: 90 for a 3390
        17      1  file number
        18      2  highest cylinder when there are several files, little-endian
        20    492  zero, kept

Source: Hercules image form (hercules-interop); record zero standard form: IBM SA22-1025 and the Linux driver.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from construct import Byte, Bytes, Check, Const, GreedyRange, Int16ub, Int16ul, Int32ul, Struct, Terminated, this

from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh, cchh_of_halves, track_address_bytes
from ccw.layout import Layout, Nested, wrong_length

HOME_ADDRESS_LENGTH = 5
COUNT_LENGTH = 8
END_MARK = b"\xff" * 8
FILE_HEADER_LENGTH = 512
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


@dataclass(frozen=True, slots=True)
class ImageFileHeader:
    """Header of a plain CKD image file. `track_size`: bytes of a track's slot."""

    heads: int
    track_size: int
    device_type: int
    file_number: int
    highest_cylinder: int
    reserved_20: bytes = bytes(492)

    def encode(self) -> bytes:
        """512 bytes."""
        return IMAGE_FILE_HEADER.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "ImageFileHeader":
        """FormatError unless 512 bytes that begin with CKD_P370."""
        return IMAGE_FILE_HEADER.decode(data)


IMAGE_FILE_HEADER = Layout("CKD image header", ImageFileHeader, Struct(
    "eye_catcher" / Const(b"CKD_P370"),  # 0-7
    "heads" / Int32ul,                   # 8-11
    "track_size" / Int32ul,              # 12-15
    "device_type" / Byte,                # 16
    "file_number" / Byte,                # 17
    "highest_cylinder" / Int16ul,        # 18-19
    "reserved_20" / Bytes(492),          # 20-511
), FILE_HEADER_LENGTH, little_endian=True)


def read_image_file(read: Callable[[int], bytes]) -> tuple[ImageFileHeader, Iterator[tuple[int, bytes]]]:
    """As `split_image_file`, of a file that `read` delivers in the order of its bytes: one slot at a time is held.

    `read` returns as many bytes as asked for, fewer at the end of the file only. Offsets in the iterator's errors count
    from the track's slot.
    """
    header = _image_header(read(FILE_HEADER_LENGTH))
    return header, _tracks_read(read, header.track_size)


def _tracks_read(read: Callable[[int], bytes], size: int) -> Iterator[tuple[int, bytes]]:
    track = 0
    while slot := read(size):
        if len(slot) != size:
            raise FormatError("CKD image", f"track {track} cut short", slot, len(slot))
        try:
            length = track_image_length(slot)
        except FormatError as error:
            raise FormatError("CKD image", f"track {track}: {error.where}", slot, error.offset) from error
        yield track, slot[:length]
        track += 1


def _image_header(data: bytes) -> ImageFileHeader:
    header = ImageFileHeader.decode(data)
    if header.track_size < HOME_ADDRESS_LENGTH + len(END_MARK):
        raise FormatError("CKD image header", "track size", data, 12)
    if not header.heads:
        raise FormatError("CKD image header", "heads", data, 8)
    return header


def split_image_file(data: bytes) -> tuple[ImageFileHeader, Iterator[tuple[int, bytes]]]:
    """Header of a plain CKD image file and an iterator over (track number, image without padding).

    Raises FormatError for a bad header or a file that is not a whole number of slots; the iterator raises it, with the
    offset in the file, for a track whose image does not end inside its slot.
    """
    header = _image_header(data[:FILE_HEADER_LENGTH])
    size = header.track_size
    count, rest = divmod(len(data) - FILE_HEADER_LENGTH, size)
    if rest:
        raise FormatError("CKD image", "last track cut short", data, len(data))
    return header, _tracks(data, size, count)


def _tracks(data: bytes, size: int, count: int) -> Iterator[tuple[int, bytes]]:
    for track in range(count):
        start = FILE_HEADER_LENGTH + track * size
        slot = data[start : start + size]
        try:
            length = track_image_length(slot)
        except FormatError as error:
            offset = start + (error.offset or 0)
            raise FormatError("CKD image", f"track {track}: {error.where}", data, offset) from error
        yield track, slot[:length]
