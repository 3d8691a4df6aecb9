"""Sense data of the control units before the 3990: 6 bytes (2841, 2314, 2835) or 24 (3830, 3880).

Six bytes:

    offset length  field
         0      2  condition bytes (SixByteCondition0, SixByteCondition1)
         2      1  zero (unsafe conditions of a real drive)
         3      1  drive state: C8 (2311) or 40 (others), and 04 with end of cylinder
         4      1  zero
         5      1  operation code with overflow incomplete, else zero

24 bytes: as the compatible layout of `sense`, but

         2      1  3340: 80 and the model byte
         3      1  operation code with operation incomplete, else zero
         4      1  drive, in a code of the device type (DriveCode)
         6      1  high cylinder bits above the head, which has 5 or 6 bits
        8     16  by format

Source: older-ckd-devices 3: Hercules, R. Cornwell's 2314 simulator, IBM System/360 FE handbook; the layouts observed in
recordings of IBM stand-alone utilities. Place of the operation code in six bytes: assumed, no source has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final

from construct import Byte, Bytes, Struct

from ccw.geometry import Geometry
from ccw.layout import Bits, Layout
from ccw.sense import SenseByte0, SenseByte1, track_bytes

SIX: Final = 6
TWENTY_FOUR: Final = 24
DETAIL_LENGTH = 16
END_OF_CYLINDER_STATE = 0x04            # in byte 3 of the six
ROTATIONAL_POSITION_SENSING = 0x80      # in byte 2 of a 3340
OPERATION_INCOMPLETE: Final = int(SenseByte1.IMPRECISE_ENDING)     # what the bit means in byte 1 of 24


class SixByteCondition0(IntFlag):
    """Byte 0 of six bytes."""

    COMMAND_REJECT = 0x80
    INTERVENTION_REQUIRED = 0x40
    BUS_OUT_PARITY = 0x20
    EQUIPMENT_CHECK = 0x10
    DATA_CHECK = 0x08
    OVERRUN = 0x04
    TRACK_CONDITION_CHECK = 0x02
    SEEK_CHECK = 0x01


class SixByteCondition1(IntFlag):
    """Byte 1 of six bytes."""

    DATA_CHECK_IN_COUNT = 0x80
    TRACK_OVERRUN = 0x40
    END_OF_CYLINDER = 0x20
    INVALID_SEQUENCE = 0x10
    NO_RECORD_FOUND = 0x08
    FILE_PROTECTED = 0x04
    MISSING_ADDRESS_MARKER = 0x02
    OVERFLOW_INCOMPLETE = 0x01


class DriveCode(Enum):
    """How byte 4 of 24 bytes names the drive: its number is the low 3 bits of the device number, 4 on a 3380."""

    NUMBER = "the number"
    COMPLEMENTED = "the complement of the number in bits 2-4, the number in bits 5-7"
    ONE_BIT = "one bit, 80 for drive 0"
    LOW_NIBBLE = "the low 4 bits of the device number"


def drive_byte(code: DriveCode, unit_address: int) -> int:
    """Byte 4 of 24 bytes for the drive at `unit_address`."""
    number = unit_address & 7
    match code:
        case DriveCode.NUMBER:
            return number
        case DriveCode.COMPLEMENTED:
            return number | (7 - number) << 3
        case DriveCode.ONE_BIT:
            return 0x80 >> number
        case DriveCode.LOW_NIBBLE:
            return unit_address & 0x0F


@dataclass(frozen=True, slots=True)
class SixByteSense:
    """Six bytes of sense."""

    byte_0: int
    byte_1: int
    unsafe: int = 0
    state: int = 0x40
    reserved_04: int = 0
    operation: int = 0

    def encode(self) -> bytes:
        """6 bytes. FormatError when a field does not fit."""
        return SIX_BYTE_SENSE.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> SixByteSense:
        """FormatError unless 6 bytes."""
        return SIX_BYTE_SENSE.decode(data)


SIX_BYTE_SENSE = Layout("six-byte sense", SixByteSense, Struct(
    "byte_0" / Bits(SixByteCondition0),     # 0
    "byte_1" / Bits(SixByteCondition1),     # 1
    "unsafe" / Byte,                        # 2
    "state" / Byte,                         # 3
    "reserved_04" / Byte,                   # 4
    "operation" / Byte,                     # 5
), SIX)


@dataclass(frozen=True, slots=True)
class TwentyFourByteSense:
    """24 bytes of sense of a device before the 3380."""

    byte_0: int
    byte_1: int
    byte_2: int = 0
    operation: int = 0
    drive: int = 0
    low_cylinder: int = 0
    high_cylinder_and_head: int = 0
    format_message: int = 0
    detail: bytes = bytes(DETAIL_LENGTH)

    def encode(self) -> bytes:
        """24 bytes. FormatError when a field does not fit."""
        return TWENTY_FOUR_BYTE_SENSE.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> TwentyFourByteSense:
        """FormatError unless 24 bytes."""
        return TWENTY_FOUR_BYTE_SENSE.decode(data)


TWENTY_FOUR_BYTE_SENSE = Layout("24-byte sense", TwentyFourByteSense, Struct(
    "byte_0" / Bits(SenseByte0),        # 0
    "byte_1" / Bits(SenseByte1) * "01: operation incomplete",     # 1
    "byte_2" / Byte,                    # 2
    "operation" / Byte,                 # 3
    "drive" / Byte,                     # 4
    "low_cylinder" / Byte,              # 5
    "high_cylinder_and_head" / Byte,    # 6
    "format_message" / Byte,            # 7
    "detail" / Bytes(DETAIL_LENGTH),    # 8-23
), TWENTY_FOUR)


def six_byte_sense(byte_0: int, byte_1: int, *, state: int, operation: int = 0) -> bytes:
    """The 6 bytes for a condition; `state` is byte 3 of the type, `operation` counts with overflow incomplete."""
    ended = byte_1 & SixByteCondition1.END_OF_CYLINDER
    incomplete = byte_1 & SixByteCondition1.OVERFLOW_INCOMPLETE
    return SixByteSense(byte_0, byte_1, state=state | (END_OF_CYLINDER_STATE if ended else 0),
                        operation=operation if incomplete else 0).encode()


def twenty_four_byte_sense(byte_0: int, byte_1: int, format_message: int, *, geometry: Geometry, track: int, drive: int,
                           byte_2: int = 0, operation: int = 0, detail: bytes = b"") -> bytes:
    """The 24 bytes for a condition with the arm at `track`; `detail`: bytes 8 and following, at most 16."""
    low, high = track_bytes(geometry.address_of(track), geometry.cylinders, geometry.cylinder_shift)
    incomplete = byte_1 & OPERATION_INCOMPLETE
    return TwentyFourByteSense(byte_0, byte_1, byte_2, operation if incomplete else 0, drive, low, high,
                               format_message, detail.ljust(DETAIL_LENGTH, b"\0")).encode()
