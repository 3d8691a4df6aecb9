"""Sense data: 32 bytes in one of two layouts; bit 0 of byte 27 tells which (on: 24-byte compatible).

24-byte compatible layout:

    offset length  field
         0      3  condition bytes (SenseByte0..2)
         3      1  remaining domain count when the ending is imprecise
         4      1  physical device id
         5      1  low cylinder byte, FF on a device of more than 4,095 cylinders
         6      1  high nibble cylinder bits 8-11, low nibble head; FF as byte 5
         7      1  format (high nibble) and message (low nibble)
         8     16  by format
        24      3  zero
        27      1  80
        28      1  zero
        29      2  CC of the track
        31      1  head (low byte of HH)

The PPRC conditions use bytes 4, 8-23 and 28-31 in a way of their own (PprcSense). Native 32-byte layout: NativeSense.

Source: IBM 3990 Storage Control Reference and SA22-1025 by way of eckd-commands 4.2-4.5; PprcSense: pprc-commands 6.1,
its bytes 9-23 and 28-31 assumed (defined by this project).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from construct import Byte, Bytes, Int16ub, Int32ub, Struct

from ccw.geometry import Cchh
from ccw.layout import Bits, Layout

SENSE_LENGTH = 32
CYLINDERS_IN_BYTES_5_6 = 4095       # more than that: bytes 5 and 6 are FF
LARGE_DEVICE = 0xFF


class SenseByte0(IntFlag):
    """Condition byte 0."""

    COMMAND_REJECT = 0x80
    INTERVENTION_REQUIRED = 0x40
    BUS_OUT_PARITY = 0x20
    EQUIPMENT_CHECK = 0x10
    DATA_CHECK = 0x08
    OVERRUN = 0x04
    RESERVED_6 = 0x02
    INCOMPLETE_DOMAIN = 0x01


class SenseByte1(IntFlag):
    """Condition byte 1."""

    PERMANENT_ERROR = 0x80
    INVALID_TRACK_FORMAT = 0x40
    END_OF_CYLINDER = 0x20
    MESSAGE_TO_OPERATOR = 0x10
    NO_RECORD_FOUND = 0x08
    FILE_PROTECTED = 0x04
    WRITE_INHIBITED = 0x02
    IMPRECISE_ENDING = 0x01


class SenseByte2(IntFlag):
    """Condition byte 2 of the 24-byte layout."""

    REQUEST_INHIBIT_WRITE = 0x80
    CORRECTABLE = 0x40
    FIRST_ERROR_LOG = 0x20
    ENVIRONMENTAL_DATA = 0x10
    RESERVED_4 = 0x08
    IMPRECISE_ENDING = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class SenseByte27(IntFlag):
    """Byte 27: which layout, and which address bytes of the native one are valid."""

    COMPATIBLE_24 = 0x80
    UNIT_ADDRESS_VALID = 0x40
    TRACK_VALID = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class NativeFlag(IntFlag):
    """Byte 6 of the native layout; bits 4-7 number the format of bytes 7-19."""

    REPORTING_UNIT = 0x80
    UNIT_ADDRESS_VALID = 0x40
    TRACK_VALID = 0x20
    RESERVED_3 = 0x10
    FORMAT_8 = 0x08
    FORMAT_4 = 0x04
    FORMAT_2 = 0x02
    FORMAT_1 = 0x01


class OperatorMessage(IntFlag):
    """Byte 24 of the native layout: logging (2 bits), operator message (2 bits)."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    LOGGING_2 = 0x08
    LOGGING_1 = 0x04
    OPERATOR_2 = 0x02
    OPERATOR_1 = 0x01


class ReportMode(IntFlag):
    """Byte 26 of the native layout."""

    RESERVED_0 = 0x80
    DEVICE_LEVEL_SELECTION_ENHANCED = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    NONSYNCHRONOUS = 0x08
    ESCON = 0x04
    SYSTEM_EXCEPTION = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class CompatibleSense:
    """Sense in the 24-byte compatible layout."""

    byte_0: int                     # SenseByte0
    byte_1: int                     # SenseByte1
    byte_2: int                     # SenseByte2
    remaining_count: int
    device_id: int
    cylinder_low: int
    cylinder_high_and_head: int
    format_message: int
    detail: bytes = bytes(16)
    reserved_24: bytes = bytes(3)
    layout: int = SenseByte27.COMPATIBLE_24
    reserved_28: int = 0
    cc: int = 0
    head: int = 0

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return COMPATIBLE_SENSE.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> CompatibleSense:
        """FormatError unless 32 bytes. Byte 27 is not looked at."""
        return COMPATIBLE_SENSE.decode(data)


COMPATIBLE_SENSE = Layout("sense", CompatibleSense, Struct(
    "byte_0" / Bits(SenseByte0),          # 0
    "byte_1" / Bits(SenseByte1),          # 1
    "byte_2" / Bits(SenseByte2),          # 2
    "remaining_count" / Byte,             # 3
    "device_id" / Byte,                   # 4
    "cylinder_low" / Byte,                # 5
    "cylinder_high_and_head" / Byte,      # 6
    "format_message" / Byte,              # 7
    "detail" / Bytes(16) * "bytes 8-23",  # 8-23
    "reserved_24" / Bytes(3),             # 24-26
    "layout" / Bits(SenseByte27),         # 27
    "reserved_28" / Byte,                 # 28
    "cc" / Int16ub,                       # 29-30
    "head" / Byte,                        # 31
), SENSE_LENGTH)


@dataclass(frozen=True, slots=True)
class PprcSense:
    """Sense of a PPRC condition: 24-byte compatible, with bytes 4, 8-23 and 28-31 of its own."""

    byte_0: int
    byte_1: int
    byte_2: int
    remaining_count: int
    cca: int
    cylinder_low: int
    cylinder_high_and_head: int
    format_message: int
    reason: int = 0
    pointer: int = 0xFF
    peer_sense: int = 0
    secondary_ssid: int = 0
    secondary_cca: int = 0
    path_status: int = 0
    pair_id: int = 0
    ssid: int = 0
    symptom: int = 0
    reserved_24: bytes = bytes(3)
    layout: int = SenseByte27.COMPATIBLE_24
    position: int = 0

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return PPRC_SENSE.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> PprcSense:
        """FormatError unless 32 bytes. Byte 27 is not looked at."""
        return PPRC_SENSE.decode(data)


PPRC_SENSE = Layout("PPRC sense", PprcSense, Struct(
    "byte_0" / Bits(SenseByte0),                                                              # 0
    "byte_1" / Bits(SenseByte1),                                                              # 1
    "byte_2" / Bits(SenseByte2),                                                              # 2
    "remaining_count" / Byte,                                                                 # 3
    "cca" / Byte,                                                                             # 4
    "cylinder_low" / Byte,                                                                    # 5
    "cylinder_high_and_head" / Byte,                                                          # 6
    "format_message" / Byte,                                                                  # 7
    "reason" / Byte,                                                                          # 8
    "pointer" / Byte * "offset of the offending parameter byte; FF none",                     # 9
    "peer_sense" / Int16ub * "peer's bytes 7-8",                                              # 10-11
    "secondary_ssid" / Int16ub,                                                               # 12-13
    "secondary_cca" / Byte,                                                                   # 14
    "path_status" / Byte,                                                                     # 15
    "pair_id" / Int32ub,                                                                      # 16-19
    "ssid" / Int16ub,                                                                         # 20-21
    "symptom" / Int16ub * "Dnrr: low digit of the order, reason",                             # 22-23
    "reserved_24" / Bytes(3),                                                                 # 24-26
    "layout" / Bits(SenseByte27),                                                             # 27
    "position" / Int32ub * "expected bridge sequence (reasons 61, 63, 68); else 00, CC, head",  # 28-31
), SENSE_LENGTH)


@dataclass(frozen=True, slots=True)
class NativeSense:
    """Sense in the native 32-byte layout, with the Locate Record parameters in bytes 7-19."""

    byte_0: int
    byte_1: int
    control_unit_code: int
    remaining_count: int
    unit_address: int
    device_code: int = 0
    flags: int = NativeFlag.UNIT_ADDRESS_VALID | NativeFlag.TRACK_VALID
    operation: int = 0
    auxiliary: int = 0
    reserved_09: int = 0
    reserved_10: int = 0
    search: bytes = bytes(5)
    sector: int = 0
    length: int = 0
    reserved_19: int = 0
    ssid: int = 0
    exception_code: int = 0
    operator_message: int = 0       # OperatorMessage
    action: int = 0
    mode: int = 0x4E                # ReportMode
    layout: int = SenseByte27.UNIT_ADDRESS_VALID | SenseByte27.TRACK_VALID
    message_code: int = 0
    cc: int = 0
    head: int = 0

    def encode(self) -> bytes:
        """32 bytes. FormatError when a field does not fit."""
        return NATIVE_SENSE.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> NativeSense:
        """FormatError unless 32 bytes. Byte 27 is not looked at."""
        return NATIVE_SENSE.decode(data)


NATIVE_SENSE = Layout("native sense", NativeSense, Struct(
    "byte_0" / Bits(SenseByte0),                                                      # 0
    "byte_1" / Bits(SenseByte1),                                                      # 1
    "control_unit_code" / Byte,                                                       # 2
    "remaining_count" / Byte,                                                         # 3
    "unit_address" / Byte,                                                            # 4
    "device_code" / Byte,                                                             # 5
    "flags" / Bits(NativeFlag),                                                       # 6
    "operation" / Byte * "Locate Record byte 0",                                      # 7
    "auxiliary" / Byte * "Locate Record byte 1",                                      # 8
    "reserved_09" / Byte * "Locate Record byte 2",                                    # 9
    "reserved_10" / Byte,                                                             # 10
    "search" / Bytes(5) * "Locate Record bytes 8-12",                                 # 11-15
    "sector" / Byte * "Locate Record byte 13",                                        # 16
    "length" / Int16ub * "Locate Record bytes 14-15; action 0F: real record length",  # 17-18
    "reserved_19" / Byte,                                                             # 19
    "ssid" / Int16ub,                                                                 # 20-21
    "exception_code" / Int16ub,                                                       # 22-23
    "operator_message" / Bits(OperatorMessage),                                       # 24
    "action" / Byte,                                                                  # 25
    "mode" / Bits(ReportMode),                                                        # 26
    "layout" / Bits(SenseByte27),                                                     # 27
    "message_code" / Byte,                                                            # 28
    "cc" / Int16ub,                                                                   # 29-30
    "head" / Byte,                                                                    # 31
), SENSE_LENGTH)


def is_compatible(sense: bytes) -> bool:
    """Is it the 24-byte compatible layout? False for the native one; `sense` has at least 28 bytes."""
    return sense[27] & SenseByte27.COMPATIBLE_24 != 0


def track_bytes(address: Cchh, cylinders: int, cylinder_shift: int = 4) -> tuple[int, int]:
    """Bytes 5 and 6 for a track of a device of `cylinders`; the high cylinder bits stand at `cylinder_shift`."""
    if cylinders > CYLINDERS_IN_BYTES_5_6:
        return LARGE_DEVICE, LARGE_DEVICE
    return address.cylinder & 0xFF, address.cylinder >> 8 << cylinder_shift | address.head


def compatible_sense(byte_0: int, byte_1: int, format_message: int, *, address: Cchh, cylinders: int, byte_2: int = 0,
                     remaining_count: int = 0, device_id: int = 0, detail: bytes = b"") -> bytes:
    """32 bytes of sense in the 24-byte layout for a condition at `address` of a device of `cylinders`.

    `detail`: bytes 8 and following, at most 16. FormatError when something does not fit.
    """
    low, high_and_head = track_bytes(address, cylinders)
    return CompatibleSense(byte_0, byte_1, byte_2, remaining_count, device_id, low, high_and_head, format_message,
                           detail.ljust(16, b"\0"), cc=address.cylinder & 0xFFFF,
                           head=(address.cylinder >> 16 << 4 | address.head) & 0xFF).encode()


def _native(action: int, control_unit_code: int, unit_address: int, ssid: int, address: Cchh, *, byte_0: int = 0,
            byte_1: int = 0, remaining_count: int = 0, locate: bytes = bytes(16), length: int | None = None,
            exception_code: int = 0, operator_message: int = 0, message_code: int = 0) -> bytes:
    packed = address.pack()
    return NativeSense(
        byte_0, byte_1, control_unit_code, remaining_count, unit_address, operation=locate[0], auxiliary=locate[1],
        reserved_09=locate[2], search=locate[8:13], sector=locate[13],
        length=int.from_bytes(locate[14:16], "big") if length is None else length, ssid=ssid,
        exception_code=exception_code, operator_message=operator_message, action=action, message_code=message_code,
        cc=packed[0] << 8 | packed[1], head=packed[3]).encode()


def incomplete_domain(control_unit_code: int, unit_address: int, ssid: int, address: Cchh, locate: bytes,
                      remaining_count: int) -> bytes:
    """Native sense: a write domain ended with records left. `locate`: the 16 bytes of Locate Record."""
    return _native(0x01, control_unit_code, unit_address, ssid, address, byte_0=SenseByte0.INCOMPLETE_DOMAIN,
                   byte_1=SenseByte1.MESSAGE_TO_OPERATOR, remaining_count=remaining_count, locate=locate,
                   exception_code=0x0200, operator_message=0x01, message_code=0x01)


def length_mismatch(control_unit_code: int, unit_address: int, ssid: int, address: Cchh, locate: bytes,
                    remaining_count: int, record_length: int) -> bytes:
    """Native sense: the record is `record_length` bytes, not the transfer length of `locate`."""
    return _native(0x0F, control_unit_code, unit_address, ssid, address, byte_0=SenseByte0.COMMAND_REJECT,
                   byte_1=SenseByte1.INVALID_TRACK_FORMAT, remaining_count=remaining_count, locate=locate,
                   length=record_length)


def state_change_pending(control_unit_code: int, unit_address: int, ssid: int, address: Cchh) -> bytes:
    """Native sense: wait for a state-change interruption; also extended long busy."""
    return _native(0x1D, control_unit_code, unit_address, ssid, address)


def busy(control_unit_code: int, unit_address: int, ssid: int, address: Cchh) -> bytes:
    """Native sense: busy, retry in a second."""
    return _native(0x1E, control_unit_code, unit_address, ssid, address)
