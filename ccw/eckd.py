"""Parameter lists of the ECKD commands: Define Extent, Locate Record, Locate Record Extended, Prefix; and order 18.

Only lengths are judged here; every value, reserved bytes included, is kept, because what is wrong with it is a matter
of sense data. All numbers are big-endian; CCHH is in the extended packing (geometry.py).

    Define Extent, 16 or 32 bytes             Locate Record, 16 bytes             Prefix, 64 bytes and more
    offset length  field                      offset length  field               offset length  field
         0      1  file mask                       0      1  operation                0      1  format
         1      1  global attributes               1      1  auxiliary                1      1  validity
         2      2  block size                      2      1  reserved                 2      1  base unit address
         4      2  cache-fast-write id             3      1  count                    3      1  auxiliary
         6      1  additional attributes           4      4  seek address             4      1  base subsystem
         7      1  extended attributes             8      5  search argument          5      7  reserved
         8      4  first track                    13      1  sector                  12     32  Define Extent
        12      4  last track                     14      2  transfer length factor  44     20  Locate Record Extended
        16     16  extension, if byte 7 has 02                                        64      n  its parameters

    Locate Record Extended, 20 + n bytes: Locate Record, then
        16      1  reserved (imbedded count)
        17      1  extended operation
        18      2  n, length of the extended parameters
        20      n  extended parameters

Source: IBM SA22-1025, Linux DASD driver, z/VM CP data areas; eckd-commands 3.8-3.12.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from construct import Byte, Bytes, Int16ub, Int64ub, Struct

from ccw.eckd_flags import ExtendedAttribute as ExtendedAttribute
from ccw.eckd_flags import FileMask as FileMask
from ccw.eckd_flags import GlobalAttribute as GlobalAttribute
from ccw.eckd_flags import LocateAuxiliary as LocateAuxiliary
from ccw.eckd_flags import Operation as Operation
from ccw.eckd_flags import PrefixAuxiliary as PrefixAuxiliary
from ccw.eckd_flags import PrefixValidity as PrefixValidity
from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh
from ccw.layout import Bits, Layout, Nested, wrong_length

DEFINE_EXTENT_LENGTH = 16
DEFINE_EXTENT_LONG_LENGTH = 32
LOCATE_RECORD_LENGTH = 16
LOCATE_RECORD_EXTENDED_LENGTH = 20
PREFIX_LENGTH = 64
PREFIX_WITH_LOCATE = 0x01           # format of a Prefix whose last part is a Locate Record Extended
EXTENDED_OPERATION = 0x3F           # operation code that says: see byte 17


@dataclass(frozen=True, slots=True)
class ExtentExtension:
    """Bytes 16-31 of a long Define Extent."""

    timestamp: int
    format: int
    io_priority: int
    reserved_26: int
    records_per_track: int
    reserved_28: bytes              # 4

    def encode(self) -> bytes:
        """16 bytes. FormatError when a field does not fit."""
        return EXTENT_EXTENSION.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> ExtentExtension:
        """FormatError unless 16 bytes."""
        return EXTENT_EXTENSION.decode(data)


EXTENT_EXTENSION = Layout("define extent extension", ExtentExtension, Struct(
    "timestamp" / Int64ub * "time of day",  # 16-23
    "format" / Byte,                        # 24
    "io_priority" / Byte,                   # 25
    "reserved_26" / Byte,                   # 26
    "records_per_track" / Byte,             # 27
    "reserved_28" / Bytes(4),               # 28-31
), 16)


@dataclass(frozen=True, slots=True)
class DefineExtent:
    """Command 63. Block size in bytes; `first` and `last` included."""

    file_mask: int
    global_attributes: int
    block_size: int
    fast_write_id: int
    additional_attributes: int
    extended_attributes: int
    first: Cchh
    last: Cchh
    extended: bytes = b""           # bytes 16-31 of the long form, else empty

    def encode(self) -> bytes:
        """16 bytes and the extension. FormatError when a field does not fit."""
        if len(self.extended) not in (0, DEFINE_EXTENT_LONG_LENGTH - DEFINE_EXTENT_LENGTH):
            raise FormatError("define extent", f"extension of {len(self.extended)} bytes", self.extended)
        return DEFINE_EXTENT.encode(self) + self.extended

    @classmethod
    def decode(cls, data: bytes) -> DefineExtent:
        """FormatError unless 16 bytes, or 32 when byte 7 says so."""
        expected = cls.length(data)
        if len(data) != expected:
            raise wrong_length("define extent", data, expected)
        return _define_extent(data)

    @staticmethod
    def length(data: bytes) -> int:
        """Bytes that a list beginning with `data` has: 32 when byte 7 has 02, else (or without byte 7) 16."""
        long = len(data) > 7 and data[7] & ExtendedAttribute.EXTENDED_PARAMETERS
        return DEFINE_EXTENT_LONG_LENGTH if long else DEFINE_EXTENT_LENGTH

    @property
    def extension(self) -> ExtentExtension | None:
        """Bytes 16-31 by field, when they are there."""
        return ExtentExtension.decode(self.extended) if self.extended else None


DEFINE_EXTENT = Layout("define extent", DefineExtent, Struct(
    "file_mask" / Bits(FileMask),                     # 0
    "global_attributes" / Bits(GlobalAttribute),      # 1
    "block_size" / Int16ub,                           # 2-3
    "fast_write_id" / Int16ub,                        # 4-5
    "additional_attributes" / Byte,                   # 6
    "extended_attributes" / Bits(ExtendedAttribute),  # 7
    "first" / Nested(CCHH),                           # 8-11
    "last" / Nested(CCHH),                            # 12-15
), DEFINE_EXTENT_LENGTH)


def _define_extent(data: bytes) -> DefineExtent:
    value = DEFINE_EXTENT.decode(data[:DEFINE_EXTENT_LENGTH])
    if len(data) == DEFINE_EXTENT_LENGTH:
        return value
    return replace(value, extended=data[DEFINE_EXTENT_LENGTH:])


@dataclass(frozen=True, slots=True)
class LocateRecord:
    """Command 47."""

    operation: int
    auxiliary: int
    reserved_02: int
    count: int
    seek: Cchh
    search: bytes
    sector: int
    transfer_length_factor: int

    def encode(self) -> bytes:
        """16 bytes. FormatError when a field does not fit."""
        return LOCATE_RECORD.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> LocateRecord:
        """FormatError unless 16 bytes."""
        return LOCATE_RECORD.decode(data)

    @property
    def orientation(self) -> int:
        """0 count, 1 home address, 2 data, 3 index."""
        return self.operation >> 6

    @property
    def code(self) -> int:
        """Operation code, six bits."""
        return self.operation & 0x3F


LOCATE_RECORD = Layout("locate record", LocateRecord, Struct(
    "operation" / Bits(Operation) * "orientation and code",  # 0
    "auxiliary" / Bits(LocateAuxiliary),                     # 1
    "reserved_02" / Byte,                                    # 2
    "count" / Byte * "records, or tracks",                   # 3
    "seek" / Nested(CCHH),                                   # 4-7
    "search" / Bytes(5) * "CCHHR, 5 bytes",                  # 8-12
    "sector" / Byte * "FF: do not position",                 # 13
    "transfer_length_factor" / Int16ub * "bytes",            # 14-15
), LOCATE_RECORD_LENGTH)


@dataclass(frozen=True, slots=True)
class LocateRecordExtended:
    """Command 4B. Bytes 18-19 are the length of `extended_parameters`."""

    operation: int
    auxiliary: int
    reserved_02: int
    count: int
    seek: Cchh
    search: bytes
    sector: int
    transfer_length_factor: int
    reserved_16: int = 0
    extended_operation: int = 0
    extended_parameters: bytes = b""

    def encode(self) -> bytes:
        """20 bytes and the extended parameters. FormatError when a field does not fit."""
        return LOCATE_RECORD_EXTENDED.encode(self) + self.extended_parameters

    @classmethod
    def decode(cls, data: bytes) -> LocateRecordExtended:
        """FormatError unless 20 bytes plus what bytes 18-19 say."""
        expected = cls.length(data)
        if len(data) != expected:
            raise wrong_length("locate record extended", data, expected)
        head = LOCATE_RECORD_EXTENDED.decode(data[:LOCATE_RECORD_EXTENDED_LENGTH])
        if expected == LOCATE_RECORD_EXTENDED_LENGTH:
            return head
        return replace(head, extended_parameters=data[LOCATE_RECORD_EXTENDED_LENGTH:])

    @staticmethod
    def length(data: bytes) -> int:
        """Bytes that a list beginning with `data` has: 20 plus its parameters; 20 while bytes 18-19 are not there."""
        if len(data) < LOCATE_RECORD_EXTENDED_LENGTH:
            return LOCATE_RECORD_EXTENDED_LENGTH
        return LOCATE_RECORD_EXTENDED_LENGTH + (data[18] << 8 | data[19])

    @property
    def orientation(self) -> int:
        """0 count, 1 home address, 2 data, 3 index."""
        return self.operation >> 6

    @property
    def code(self) -> int:
        """Operation code, six bits; 3F: see the extended operation."""
        return self.operation & 0x3F


def _locate_fields(value: LocateRecordExtended) -> tuple[Any, ...]:
    return (value.operation, value.auxiliary, value.reserved_02, value.count, value.seek, value.search, value.sector,
            value.transfer_length_factor, value.reserved_16, value.extended_operation, len(value.extended_parameters))


LOCATE_RECORD_EXTENDED = Layout("locate record extended", lambda *fields: LocateRecordExtended(*fields[:-1]), Struct(
    "operation" / Bits(Operation),           # 0
    "auxiliary" / Bits(LocateAuxiliary),     # 1
    "reserved_02" / Byte,                    # 2
    "count" / Byte,                          # 3
    "seek" / Nested(CCHH),                   # 4-7
    "search" / Bytes(5) * "CCHHR, 5 bytes",  # 8-12
    "sector" / Byte,                         # 13
    "transfer_length_factor" / Int16ub,      # 14-15
    "reserved_16" / Byte,                    # 16
    "extended_operation" / Byte,             # 17
    "extended_length" / Int16ub,             # 18-19
), LOCATE_RECORD_EXTENDED_LENGTH, _locate_fields, describes=LocateRecordExtended)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Command E7. `define_extent` always has its long form; `locate` is there in format 1 only."""

    format: int
    validity: int
    base_unit_address: int
    auxiliary: int
    base_subsystem: int
    reserved_05: bytes              # 7
    define_extent: DefineExtent
    locate: LocateRecordExtended | None
    unused_44: bytes = b""          # bytes 44-63 where they are no Locate Record Extended, else empty

    def encode(self) -> bytes:
        """64 bytes and the extended parameters. FormatError when a field does not fit."""
        extent = self.define_extent.encode()
        last = self.locate.encode() if self.locate is not None else self.unused_44
        if len(extent) != DEFINE_EXTENT_LONG_LENGTH:
            raise FormatError("prefix", "define extent is not the long form", extent)
        fits = (self.locate is not None) == (self.format == PREFIX_WITH_LOCATE)
        if not fits or (self.locate is None and len(last) != LOCATE_RECORD_EXTENDED_LENGTH):
            raise FormatError("prefix", "bytes 44-63 do not fit the format", last)
        return PREFIX_HEAD.encode((self.format, self.validity, self.base_unit_address, self.auxiliary,
                                    self.base_subsystem, self.reserved_05)) + extent + last

    @classmethod
    def decode(cls, data: bytes) -> Prefix:
        """FormatError unless 64 bytes; format 1: plus what bytes 62-63 say."""
        expected = cls.length(data)
        if len(data) != expected:
            raise wrong_length("prefix", data, expected)
        head, extent = PREFIX_HEAD.decode(data[:12]), _define_extent(data[12:44])
        with_locate = data[0] == PREFIX_WITH_LOCATE
        locate = LocateRecordExtended.decode(data[44:]) if with_locate else None
        return cls(*(*head, extent, locate, b"" if with_locate else data[44:]))

    @staticmethod
    def length(data: bytes) -> int:
        """Bytes that a list beginning with `data` has: 64; in format 1 plus the extended parameters."""
        if len(data) < PREFIX_LENGTH or data[0] != PREFIX_WITH_LOCATE:
            return PREFIX_LENGTH
        return PREFIX_LENGTH + (data[62] << 8 | data[63])


PREFIX_HEAD: Layout[Any] = Layout("prefix", lambda *fields: fields, Struct(
    "format" / Byte,                      # 0
    "validity" / Bits(PrefixValidity),    # 1
    "base_unit_address" / Byte,           # 2
    "auxiliary" / Bits(PrefixAuxiliary),  # 3
    "base_subsystem" / Byte,              # 4
    "reserved_05" / Bytes(7),             # 5-11
), 12, tuple, describes=Prefix)


@dataclass(frozen=True, slots=True)
class PrepareForReadSubsystemData:
    """Perform Subsystem Function, order 18, 12 bytes."""

    order: int
    flags: int
    reserved_02: bytes              # 2
    lss: int
    volume: int
    suborder: int
    parameters: bytes

    def encode(self) -> bytes:
        """12 bytes. FormatError when a field does not fit."""
        return PREPARE_FOR_READ.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> PrepareForReadSubsystemData:
        """FormatError unless 12 bytes."""
        return PREPARE_FOR_READ.decode(data)


PREPARE_FOR_READ = Layout("prepare for read subsystem data", PrepareForReadSubsystemData, Struct(
    "order" / Byte,                                                        # 0: 18
    "flags" / Byte,                                                        # 1: 00
    "reserved_02" / Bytes(2),                                              # 2-3
    "lss" / Byte,                                                          # 4
    "volume" / Byte,                                                       # 5
    "suborder" / Byte,                                                     # 6
    "parameters" / Bytes(5) * "5: the first is the scope of suborder 50",  # 7-11
), 12)
