"""Image files of emulated CKD volumes: the headers and tables of plain and compressed files. Little-endian.

    form      file
    CKD_P370  plain: device header, then every track in a slot of `track size` bytes. Below 2 GiB, else several files
    CKD_P064  the same without that limit
    CKD_C370  compressed: device header, compressed header at 512, level-1 table at 1024; then level-2 tables and track
              images in any order, and free space. 4-byte offsets: below 4 GiB
    CKD_S370  shadow file of a CKD_C370: holds what changed since, refers to the next older file for the rest
    CKD_C064, CKD_S064  the same with 8-byte offsets

Compressed files
----------------
The level-1 table has one offset for every 256 tracks: that of their level-2 table; 0: all of them are null tracks;
all ones, in a shadow file: look in the next older file. A level-2 table has one entry a track: offset and length of its
image; offset 0: a null track, whose format is in the length field; all ones: look in the next older file.

Observed (Hercules 3.13, dasdcopy of files with every combination): for offset 0 in a level-2 entry the length field is
the null format, but 0 means format 2 when the header says 2; for a level-1 entry of 0 the header's null format holds,
that of the newest file where there are several. The cylinder count is little-endian in every file; all other numbers
behind the device header are big-endian when option bit 02 says so.

Source: hercules-interop 3.2-3.5.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import Any, NamedTuple

import numpy as np
from construct import Byte, Bytes, Int16sb, Int16sl, Int16ul, Int32ub, Int32ul, Int64ub, Int64ul, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, Layout

DEVICE_HEADER_BYTES = 512
COMPRESSED_HEADER_BYTES = 512
LEVEL1_AT = DEVICE_HEADER_BYTES + COMPRESSED_HEADER_BYTES
LEVEL2_TRACKS = 256
"""Tracks of one level-2 table."""
PLAIN_FILE_BYTES_MAX = (1 << 31) - 1
"""Longest CKD_P370 file that every program reads."""


class ImageForm(Enum):
    """The first 8 bytes of an image file."""

    PLAIN = b"CKD_P370"
    COMPRESSED = b"CKD_C370"
    SHADOW = b"CKD_S370"
    PLAIN_64 = b"CKD_P064"
    COMPRESSED_64 = b"CKD_C064"
    SHADOW_64 = b"CKD_S064"

    @property
    def is_plain(self) -> bool:
        return self in (ImageForm.PLAIN, ImageForm.PLAIN_64)

    @property
    def is_shadow(self) -> bool:
        return self in (ImageForm.SHADOW, ImageForm.SHADOW_64)

    @property
    def is_wide(self) -> bool:
        """Are offsets 8 bytes long?"""
        return self in (ImageForm.COMPRESSED_64, ImageForm.SHADOW_64)

    @property
    def shadow(self) -> "ImageForm":
        """The form of a compressed file's shadow files."""
        return ImageForm.SHADOW_64 if self.is_wide else ImageForm.SHADOW


def form_of(data: bytes) -> ImageForm | None:
    """The form of a file that begins with `data`, None if it is no CKD image."""
    try:
        return ImageForm(bytes(data[:8]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class DeviceHeader:
    """First 512 bytes of every image file. `track_size`: bytes of a track's slot, also of the longest image.

    file_number: 0 for the only file, else 1 and up. highest_cylinder: last cylinder of this file; 0 in the last or
    only one. The serial is ASCII, or zeros.
    """

    form: bytes
    heads: int
    track_size: int
    device_type: int
    file_number: int = 0
    highest_cylinder: int = 0
    serial: bytes = bytes(12)
    reserved_32: bytes = bytes(480)

    def encode(self) -> bytes:
        """512 bytes."""
        return DEVICE_HEADER.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "DeviceHeader":
        """FormatError unless 512 bytes that begin with one of the forms."""
        header = DEVICE_HEADER.decode(data)
        if form_of(header.form) is None:
            raise FormatError(DEVICE_HEADER.what, "form", data, 0)
        return header


DEVICE_HEADER = Layout("image device header", DeviceHeader, Struct(
    "form" / Bytes(8) * "ASCII: CKD_P370 plain, CKD_C370 compressed, CKD_S370 shadow; 064: without a 4 GiB limit",
    "heads" / Int32ul * "little-endian",                    # 8-11
    "track_size" / Int32ul * "little-endian",               # 12-15
    "device_type" / Byte * "low byte of the device type",   # 16
    "file_number" / Byte,                                   # 17
    "highest_cylinder" / Int16ul * "little-endian",         # 18-19
    "serial" / Bytes(12),                                   # 20-31
    "reserved_32" / Bytes(480),                             # 32-511
), DEVICE_HEADER_BYTES, little_endian=True)  # fmt: skip


class ImageOption(IntFlag):
    """Option byte of a compressed file."""

    OPEN = 0x80
    WRITTEN = 0x40
    SPACE_ERROR = 0x20
    RESERVED_10 = 0x10
    RESERVED_08 = 0x08
    RESERVED_04 = 0x04
    BIG_ENDIAN = 0x02
    HISTORICAL = 0x01


class ImageAlgorithm(IntEnum):
    """How a stored track image is compressed."""

    NONE = 0
    ZLIB = 1
    BZIP2 = 2


@dataclass(frozen=True, slots=True)
class CompressedHeader:
    """Second 512 bytes of a compressed or shadow file; `reserved` to its end (464 or 436 bytes)."""

    level1_entries: int
    level2_entries: int
    file_bytes: int
    used_bytes: int
    cylinders: int
    null_format: int
    algorithm: int
    options: int = ImageOption.HISTORICAL
    parameter: int = -1
    version: bytes = b"\0\3\1"
    first_free: int = 0
    total_free: int = 0
    largest_free: int = 0
    free_spaces: int = 0
    embedded_free: int = 0
    reserved: bytes = b""


def _compressed_header(wide: bool, little: bool) -> Layout[CompressedHeader]:
    number4, parameter = (Int32ul, Int16sl) if little else (Int32ub, Int16sb)
    number = (Int64ul if little else Int64ub) if wide else number4
    cylinders = ("cylinders" / Bytes(4) * "little-endian in every file",)
    reserved = 436 if wide else 464
    what = f"compressed header, {8 if wide else 4}-byte offsets" + ("" if little else ", big-endian")
    definition = Struct(
        "version" / Bytes(3) * "version, release, modification: 0.3.1",     # 0-2
        "options" / Bits(ImageOption),                                      # 3
        "level1_entries" / number4 * "tracks / 256, rounded up",            # 4-7
        "level2_entries" / number4 * "256: entries of a level-2 table",     # 8-11
        *(cylinders if wide else ()),                                       # 064: 12-15
        "file_bytes" / number,                                              # 12-15; 064: 16-23
        "used_bytes" / number * "file_bytes without free space",            # 16-19; 24-31
        "first_free" / number * "offset of the first free space",           # 20-23; 32-39
        "total_free" / number,                                              # 24-27; 40-47
        "largest_free" / number,                                            # 28-31; 48-55
        "free_spaces" / number,                                             # 32-35; 56-63
        "embedded_free" / number * "free space inside tracks' slots",       # 36-39; 64-71
        *(() if wide else cylinders),                                       # 40-43
        "null_format" / Byte,                                               # 44; 72
        "algorithm" / Byte * "preferred: 0 none, 1 zlib, 2 bzip2",          # 45; 73
        "parameter" / parameter * "of the algorithm; -1: its default",      # 46-47; 74-75
        "reserved" / Bytes(reserved),
    )  # fmt: skip
    names = tuple(part.name for part in definition.subcons)

    def make(*values: Any) -> CompressedHeader:
        fields = dict(zip(names, values, strict=True))
        fields["cylinders"] = int.from_bytes(fields["cylinders"], "little")
        return CompressedHeader(**fields)

    def take(header: CompressedHeader) -> tuple[Any, ...]:
        if not 0 <= header.cylinders < 1 << 32:
            raise FormatError(what, f"a value that does not fit (cylinders {header.cylinders})", b"")
        changed = {"cylinders": header.cylinders.to_bytes(4, "little"), "reserved": header.reserved or bytes(reserved)}
        return tuple(changed.get(name, getattr(header, name)) for name in names)

    described = CompressedHeader if what == "compressed header, 4-byte offsets" else None
    return Layout(what, make, definition, COMPRESSED_HEADER_BYTES, take, little_endian=little, describes=described)


COMPRESSED_HEADER = _compressed_header(wide=False, little=True)
COMPRESSED_HEADER_64 = _compressed_header(wide=True, little=True)
COMPRESSED_HEADER_BIG = _compressed_header(wide=False, little=False)
COMPRESSED_HEADER_64_BIG = _compressed_header(wide=True, little=False)


class Level2Entry(NamedTuple):
    """Where the image of one track is: `length` of `size` bytes at `offset`. Special offsets: see above."""

    offset: int
    length: int
    size: int
    reserved: int = 0


LEVEL2_ENTRY = Layout("level-2 entry, 4-byte offsets", Level2Entry, Struct(
    "offset" / Int32ul,     # 0-3
    "length" / Int16ul,     # 4-5
    "size" / Int16ul,       # 6-7
), 8, lambda entry: tuple(entry[:3]), little_endian=True)
LEVEL2_ENTRY_64 = Layout("level-2 entry, 8-byte offsets", Level2Entry, Struct(
    "offset" / Int64ul,     # 0-7
    "length" / Int16ul,     # 8-9
    "size" / Int16ul,       # 10-11
    "reserved" / Int32ul,   # 12-15
), 16, tuple, little_endian=True)


class Tables:
    """How the tables of one file are read and written: width of offsets and order of bytes.

    `unset`: the offset that says "look in the next older file".
    """

    def __init__(self, *, wide: bool, little: bool = True) -> None:
        order = "<" if little else ">"
        self.wide = wide
        self.unset = (1 << 64 if wide else 1 << 32) - 1
        self.level1 = np.dtype(f"{order}u{8 if wide else 4}")
        entry = [("offset", self.level1), ("length", f"{order}u2"), ("size", f"{order}u2")]
        self.level2 = np.dtype([*entry, ("reserved", f"{order}u4")] if wide else entry)
        if wide:
            self.header = COMPRESSED_HEADER_64 if little else COMPRESSED_HEADER_64_BIG
        else:
            self.header = COMPRESSED_HEADER if little else COMPRESSED_HEADER_BIG
        self.level2_bytes = LEVEL2_TRACKS * self.level2.itemsize


def tables_of(form: ImageForm, compressed_header: bytes) -> Tables:
    """The tables of a file of this form with this compressed header (its option byte tells the order of bytes)."""
    return Tables(wide=form.is_wide, little=not compressed_header[3] & ImageOption.BIG_ENDIAN)
