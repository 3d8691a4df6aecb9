"""Channel command words in both formats, command codes, and the two status bytes.

    format 0                         format 1
    offset length  field             offset length  field
         0      1  command                0      1  command
         1      3  data address           1      1  flags
         4      1  flags                  2      2  count
         5      1  ignored, kept          4      4  data address, bit 0 zero
         6      2  count

Source: IBM ESA/390 Principles of Operation, SA22-7201, "I/O Operations"; command codes: eckd-commands, 3.2.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Literal

from construct import Byte, BytesInteger, Int16ub, Int32ub, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, wrong_length


class CcwFlag(IntFlag):
    """Flag byte of a CCW."""

    CD = 0x80           # chain data
    CC = 0x40           # chain command
    SLI = 0x20          # suppress length indication
    SKIP = 0x10         # store nothing
    PCI = 0x08          # program-controlled interruption
    IDA = 0x04          # indirect data address
    SUSPEND = 0x02
    MIDAW = 0x01        # modified indirect data address


class UnitStatus(IntFlag):
    """Unit (device) status byte."""

    ATTENTION = 0x80
    STATUS_MODIFIER = 0x40
    CONTROL_UNIT_END = 0x20
    BUSY = 0x10
    CHANNEL_END = 0x08
    DEVICE_END = 0x04
    UNIT_CHECK = 0x02
    UNIT_EXCEPTION = 0x01


class ChannelStatus(IntFlag):
    """Channel (subchannel) status byte."""

    PCI = 0x80
    INCORRECT_LENGTH = 0x40
    PROGRAM_CHECK = 0x20
    PROTECTION_CHECK = 0x10
    CHANNEL_DATA_CHECK = 0x08
    CHANNEL_CONTROL_CHECK = 0x04
    INTERFACE_CONTROL_CHECK = 0x02
    CHAINING_CHECK = 0x01


class CommandCode(IntEnum):
    """Commands of CKD and ECKD disks, single-track form. MULTITRACK added to a read or search gives the other form."""

    WRITE_SPECIAL_CKD = 0x01
    READ_IPL = 0x02
    NO_OPERATION = 0x03
    SENSE = 0x04
    WRITE_DATA = 0x05
    READ_DATA = 0x06
    SEEK = 0x07
    TRANSFER_IN_CHANNEL = 0x08
    WRITE_SPECIAL_HOME_ADDRESS = 0x09
    READ_SPECIAL_HOME_ADDRESS = 0x0A
    SEEK_CYLINDER = 0x0B
    WRITE_KEY_AND_DATA = 0x0D
    READ_KEY_AND_DATA = 0x0E
    SPACE_COUNT = 0x0F
    ERASE = 0x11
    READ_COUNT = 0x12
    RECALIBRATE = 0x13
    UNCONDITIONAL_RESERVE = 0x14
    WRITE_RECORD_ZERO = 0x15
    READ_RECORD_ZERO = 0x16
    RESTORE = 0x17
    WRITE_HOME_ADDRESS = 0x19
    READ_HOME_ADDRESS = 0x1A
    SEEK_HEAD = 0x1B
    WRITE_COUNT_KEY_AND_DATA = 0x1D
    READ_COUNT_KEY_AND_DATA = 0x1E
    SET_FILE_MASK = 0x1F
    READ_SECTOR = 0x22
    SET_SECTOR = 0x23
    PERFORM_SUBSYSTEM_FUNCTION = 0x27
    SEARCH_KEY_EQUAL = 0x29
    SEARCH_ID_EQUAL = 0x31
    SENSE_PATH_GROUP_ID = 0x34
    SEARCH_HOME_ADDRESS_EQUAL = 0x39
    READ_SUBSYSTEM_DATA = 0x3E
    RESET_ALLEGIANCE = 0x44
    LOCATE_RECORD = 0x47
    SEARCH_KEY_HIGH = 0x49
    LOCATE_RECORD_EXTENDED = 0x4B
    READ_MESSAGE_ID = 0x4E
    SEARCH_ID_HIGH = 0x51
    DIAGNOSTIC_LOAD = 0x53
    SENSE_SUBSYSTEM_STATUS = 0x54
    SUSPEND_MULTIPATH_RECONNECTION = 0x5B
    READ_MULTIPLE_COUNT_KEY_AND_DATA = 0x5E
    DEFINE_EXTENT = 0x63
    READ_DEVICE_CHARACTERISTICS = 0x64
    SEARCH_KEY_EQUAL_OR_HIGH = 0x69
    SEARCH_ID_EQUAL_OR_HIGH = 0x71
    DIAGNOSTIC_WRITE = 0x73
    WRITE_UPDATE_DATA = 0x85
    SET_SUBSYSTEM_MODE = 0x87
    WRITE_UPDATE_KEY_AND_DATA = 0x8D
    DEVICE_RELEASE = 0x94
    WRITE_FULL_TRACK = 0x95
    WRITE_COUNT_KEY_AND_DATA_NEXT_TRACK = 0x9D
    READ_AND_RESET_BUFFERED_LOG = 0xA4
    WRITE_TRACK_DATA = 0xA5
    READ_TRACK_DATA = 0xA6
    SET_PATH_GROUP_ID = 0xAF
    DEVICE_RESERVE = 0xB4
    DIAGNOSTIC_SENSE = 0xC4
    READ_TRACK = 0xDE
    SENSE_ID = 0xE4
    PREFIX = 0xE7
    PREFIX_READ = 0xEA
    DIAGNOSTIC_CONTROL = 0xF3
    DEFINE_SUBSYSTEM_OPERATION = 0xF7
    RESET_SUMMARY_UNIT_CHECK = 0xF9
    READ_CONFIGURATION_DATA = 0xFA


MULTITRACK = 0x80

CommandClass = Literal["write", "read", "control", "sense", "tic", "read backward", "invalid"]


def _class_of(code: int) -> CommandClass:
    low = code & 0x0F
    if low == 0x00:
        return "invalid"
    if low == 0x04:
        return "sense"
    if low == 0x08:
        return "tic"
    if low == 0x0C:
        return "read backward"
    return ("invalid", "write", "read", "control")[low & 3]


_CLASSES = tuple(_class_of(code) for code in range(256))


def command_class(code: int) -> CommandClass:
    """Class and so the data direction of a command code 0..255, by its low bits."""
    return _CLASSES[code]


@dataclass(frozen=True, slots=True)
class Ccw:
    """One CCW. `address`: 24 bits in format 0, 31 in format 1 (bit 0 is kept, for the channel to judge)."""

    command: int
    flags: int
    count: int
    address: int
    ignored_05: int = 0         # byte 5 of format 0


CCW_FORMAT_0 = Struct(
    "command" / Byte,                   # 0
    "address" / BytesInteger(3),        # 1-3
    "flags" / Bits(CcwFlag),            # 4
    "ignored_05" / Byte,                # 5, kept
    "count" / Int16ub,                  # 6-7
)
CCW_FORMAT_1 = Struct(
    "command" / Byte,                   # 0
    "flags" / Bits(CcwFlag),            # 1
    "count" / Int16ub,                  # 2-3
    "address" / Int32ub,                # 4-7, bit 0 must be zero; judged by the channel
)
assert CCW_FORMAT_0.sizeof() == CCW_FORMAT_1.sizeof() == 8


def decode_ccw(data: bytes, ccw_format: int) -> Ccw:
    """One CCW of 8 bytes, `ccw_format` 0 or 1. FormatError on any other length; every content has a reading."""
    if len(data) != 8:
        raise wrong_length("CCW", data, 8)
    if ccw_format == 0:
        address = int.from_bytes(data[1:4], "big")
        return Ccw(data[0], data[4], data[6] << 8 | data[7], address, data[5])
    return Ccw(data[0], data[1], data[2] << 8 | data[3], int.from_bytes(data[4:8], "big"))


def encode_ccw(ccw: Ccw, ccw_format: int) -> bytes:
    """8 bytes. FormatError when a field does not fit the format."""
    try:
        count = ccw.count.to_bytes(2, "big")
        if ccw_format == 0:
            return bytes((ccw.command,)) + ccw.address.to_bytes(3, "big") + bytes((ccw.flags, ccw.ignored_05)) + count
        if ccw.ignored_05:
            raise FormatError("CCW", "format 1 has no ignored byte", b"")
        return bytes((ccw.command, ccw.flags)) + count + ccw.address.to_bytes(4, "big")
    except (OverflowError, ValueError) as error:
        raise FormatError("CCW", f"a value that does not fit ({error})", b"") from error
