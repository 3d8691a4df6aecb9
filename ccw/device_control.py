"""Small parameter lists and replies: seek, home address, subsystem mode, message identifier, log, diagnostics; and the
indirect-address words of a channel program.

Each class has the table of its bytes in its docstring.

Source: eckd-commands 1.5, 2.2, 3.4, 3.12.5, 3.12.6: IBM 3990 and 3880 manuals by way of Hercules; layout of MIDAW and
names of the special home address: assumed. Bytes 1-15 of Reset Summary Unit Check: assumed, defined by this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from construct import Byte, Bytes, Int16ub, Int32ub, Int64ub, Struct

from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh
from ccw.layout import Bits, FixedFormat, Layout, Nested


@dataclass(frozen=True, slots=True)
class SeekAddress(FixedFormat):
    """Seek 07, Seek Cylinder 0B, Seek Head 1B."""

    reserved_00: bytes
    address: Cchh


SeekAddress.LAYOUT = Layout("seek address", SeekAddress, Struct(
    "reserved_00" / Bytes(2) * "zero",                              # 0-1
    "address" / Nested(CCHH) * "cylinder and head",                 # 2-5
), 6)


class TrackFlag(IntFlag):
    """Flag byte of a home address: 00 good primary, 01 good alternate, 02 defective primary, 03 defective alternate."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    DEFECTIVE = 0x02
    ALTERNATE = 0x01


@dataclass(frozen=True, slots=True)
class HomeAddress(FixedFormat):
    """Read Home Address 1A and Write Home Address 19."""

    flags: int
    address: Cchh


HomeAddress.LAYOUT = Layout("home address", HomeAddress, Struct(
    "flags" / Bits(TrackFlag),                                      # 0
    "address" / Nested(CCHH) * "physical cylinder and head",        # 1-4
), 5)


@dataclass(frozen=True, slots=True)
class SpecialHomeAddress(FixedFormat):
    """Read Special Home Address 0A and Write Special Home Address 09, 3380 and 3390."""

    skip_control: bytes
    cell_number: int
    physical_address: bytes
    flags: int
    address: Cchh
    reserved_24: int
    key_length: int
    data_length: int


SpecialHomeAddress.LAYOUT = Layout("special home address", SpecialHomeAddress, Struct(
    "skip_control" / Bytes(14),                                     # 0-13
    "cell_number" / Int16ub,                                        # 14-15
    "physical_address" / Bytes(3),                                  # 16-18
    "flags" / Bits(TrackFlag),                                      # 19
    "address" / Nested(CCHH) * "cylinder and head",                 # 20-23
    "reserved_24" / Byte,                                           # 24
    "key_length" / Byte,                                            # 25
    "data_length" / Int16ub * "reserved",                           # 26-27
), 28)


class SubsystemMode0(IntFlag):
    """Byte 0 of Set Subsystem Mode: cache request (3 bits), cache fast write (3), message required."""

    CACHE_4 = 0x80
    CACHE_2 = 0x40
    CACHE_1 = 0x20
    CACHE_FAST_WRITE_4 = 0x10
    CACHE_FAST_WRITE_2 = 0x08
    CACHE_FAST_WRITE_1 = 0x04
    RESERVED_6 = 0x02
    MESSAGE_REQUIRED = 0x01


class SubsystemMode1(IntFlag):
    """Byte 1 of Set Subsystem Mode: nonvolatile storage and DASD fast write (3 bits), record cache (2)."""

    FAST_WRITE_4 = 0x80
    FAST_WRITE_2 = 0x40
    FAST_WRITE_1 = 0x20
    RECORD_CACHE_2 = 0x10
    RECORD_CACHE_1 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class CacheRequest(IntEnum):
    """Bits 0-2 of Set Subsystem Mode."""

    NONE = 0
    ACTIVATE_DEVICE = 1
    DEACTIVATE_DEVICE = 2
    ACTIVATE_SUBSYSTEM = 3
    DEACTIVATE_SUBSYSTEM = 4
    FORCE_DEACTIVATE_SUBSYSTEM = 5


class FastWriteRequest(IntEnum):
    """Bits 8-10 of Set Subsystem Mode."""

    NONE = 0
    ACTIVATE_DEVICE = 1
    DEACTIVATE_DEVICE = 2
    FORCE_DEACTIVATE_DEVICE = 3
    ACTIVATE_NVS = 4
    DEACTIVATE_NVS = 5


@dataclass(frozen=True, slots=True)
class SetSubsystemMode(FixedFormat):
    """Command 87. At most one request in one command."""

    byte_0: int
    byte_1: int

    @property
    def cache(self) -> int:
        """A CacheRequest, or 6 or 7, which are none."""
        return self.byte_0 >> 5

    @property
    def cache_fast_write(self) -> int:
        """0 none, 3 activate, 4 deactivate; others are no request."""
        return self.byte_0 >> 2 & 7

    @property
    def fast_write(self) -> int:
        """A FastWriteRequest, or 6 or 7, which are none."""
        return self.byte_1 >> 5

    @property
    def record_cache(self) -> int:
        """0 none, 1 allow, 2 disallow; 3 is no request."""
        return self.byte_1 >> 3 & 3


SetSubsystemMode.LAYOUT = Layout("set subsystem mode", SetSubsystemMode, Struct(
    "byte_0" / Bits(SubsystemMode0) * "cache, cache fast write, message required",              # 0
    "byte_1" / Bits(SubsystemMode1) * "nonvolatile storage and fast write, record cache",       # 1
), 2)


@dataclass(frozen=True, slots=True)
class MessageId(FixedFormat):
    """Read Message ID 4E."""

    message_id: int


MessageId.LAYOUT = Layout("message identifier", MessageId, Struct(
    "message_id" / Int32ub * "names the message that suborder 03 of order 18 reads",    # 0-3
), 4)


@dataclass(frozen=True, slots=True)
class BufferedLog(FixedFormat):
    """Read and Reset Buffered Log A4."""

    log: bytes


BufferedLog.LAYOUT = Layout("buffered log", BufferedLog, Struct(
    "log" / Bytes(32) * "zeros when nothing is logged; else sense of format 6",         # 0-31
), 32)


@dataclass(frozen=True, slots=True)
class ResetSummaryUnitCheck(FixedFormat):
    """Command F9: clears the summary unit check that sense message 0D reported."""

    reason: int
    reserved_01: bytes = bytes(15)


ResetSummaryUnitCheck.LAYOUT = Layout("reset summary unit check", ResetSummaryUnitCheck, Struct(
    "reason" / Byte,                                                # 0
    "reserved_01" / Bytes(15),                                      # 1-15
), 16)


class DiagnosticSubcommand(IntEnum):
    """Byte 0 of Diagnostic Control."""

    INHIBIT_WRITE = 0x02
    SET_GUARANTEED_PATH = 0x04
    ENABLE_WRITE = 0x08
    TRACK_COMPATIBILITY = 0x09
    INITIALISE_SUBSYSTEM = 0x0B
    UNFENCE = 0x0C
    ACCESS_UNKNOWN_CONDITION = 0x0F
    MEDIA_MAINTENANCE_RESERVE = 0x10
    MEDIA_MAINTENANCE_RELEASE = 0x11
    MEDIA_MAINTENANCE_QUERY = 0x12


@dataclass(frozen=True, slots=True)
class DiagnosticControl:
    """Command F3: four bytes, then whatever the subcommand takes (its layout is not public)."""

    subcommand: int
    modifier: int
    reserved_02: bytes = bytes(2)
    parameters: bytes = b""

    def encode(self) -> bytes:
        """4 + n bytes. FormatError when a field does not fit."""
        return DIAGNOSTIC_CONTROL.encode(self) + self.parameters

    @classmethod
    def decode(cls, data: bytes) -> DiagnosticControl:
        """FormatError below 4 bytes."""
        if len(data) < DIAGNOSTIC_CONTROL.size:
            raise FormatError("diagnostic control", "length", data, len(data))
        head = DIAGNOSTIC_CONTROL.decode(data[:4])
        return cls(head.subcommand, head.modifier, head.reserved_02, data[4:])


DIAGNOSTIC_CONTROL = Layout("diagnostic control", DiagnosticControl, Struct(
    "subcommand" / Byte * "a DiagnosticSubcommand",                 # 0
    "modifier" / Byte,                                              # 1
    "reserved_02" / Bytes(2) * "zero",                              # 2-3
), 4)


class MidawFlag(IntFlag):
    """Byte 5 of a MIDAW."""

    LAST = 0x80
    SKIP = 0x40
    DATA_TRANSFER_INTERRUPT = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class Midaw(FixedFormat):
    """Modified indirect data address word. The bytes of all words add up to the CCW's count."""

    reserved_00: bytes
    flags: int
    count: int
    address: int


Midaw.LAYOUT = Layout("MIDAW", Midaw, Struct(
    "reserved_00" / Bytes(5) * "zero",                                          # 0-4
    "flags" / Bits(MidawFlag),                                                  # 5
    "count" / Int16ub * "bytes",                                                # 6-7
    "address" / Int64ub * "of storage that does not cross 4,096 bytes",         # 8-15
), 16)


@dataclass(frozen=True, slots=True)
class Idaw1(FixedFormat):
    """Indirect data address word, format 1."""

    address: int


Idaw1.LAYOUT = Layout("IDAW, format 1", Idaw1, Struct(
    "address" / Int32ub * "31 bits; all but the first begin a block of 2,048 bytes",        # 0-3
), 4)


@dataclass(frozen=True, slots=True)
class Idaw2(FixedFormat):
    """Indirect data address word, format 2."""

    address: int


Idaw2.LAYOUT = Layout("IDAW, format 2", Idaw2, Struct(
    "address" / Int64ub * "64 bits; all but the first begin a block of 4,096 (or 2,048) bytes",     # 0-7
), 8)
