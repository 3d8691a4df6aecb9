"""The unit checks that commands raise, and the sense bytes that say so.

24-byte layout, sent as 32 bytes (eckd-commands 4.3): 0-2 conditions, 3 remaining domain count with imprecise ending, 5-6
cylinder and head (FF where the device has more than 4,095 cylinders), 7 format and message, 8 reason, 9-23 detail,
27 = 80, 29-30 cylinder, 31 head. 32-byte layout (4.5.3): byte 27 bit 0 is off; carries the locate parameters.
"""

from __future__ import annotations

import struct

from controller.commands.outcome import UnitCheck

COMMAND_REJECT = 0x80
INVALID_TRACK_FORMAT = 0x40
END_OF_CYLINDER = 0x20
NO_RECORD_FOUND = 0x08
FILE_PROTECTED = 0x04
IMPRECISE_ENDING = 0x01

INVALID_COMMAND = 0x01
INVALID_SEQUENCE = 0x02
COUNT_TOO_SMALL = 0x03
INVALID_PARAMETER = 0x04
NOT_AUTHORISED = 0x05
STATUS_NOT_AS_REQUIRED = 0x0F

LARGEST_SENSE_CYLINDER = 4095
STATE_CHANGE_PENDING = 0x1D
BUSY_SHORTLY = 0x1E


def command_reject(message: int, reason: int = 0) -> UnitCheck:
    """Command reject with a format 0 message (sense byte 7) and its reason (byte 8)."""
    return UnitCheck(COMMAND_REJECT, 0, message, reason)


def invalid_command() -> UnitCheck:
    """The command is not known to this control unit."""
    return UnitCheck(COMMAND_REJECT, 0, INVALID_COMMAND)


def invalid_sequence() -> UnitCheck:
    """The command may not stand here in the chain."""
    return UnitCheck(COMMAND_REJECT, 0, INVALID_SEQUENCE)


def invalid_parameter() -> UnitCheck:
    """A parameter has a value that is not allowed."""
    return UnitCheck(COMMAND_REJECT, 0, INVALID_PARAMETER)


def count_too_small() -> UnitCheck:
    """The CCW count is below the length of the parameters."""
    return UnitCheck(COMMAND_REJECT, 0, COUNT_TOO_SMALL)


def file_protected(*, imprecise: bool = False) -> UnitCheck:
    """Outside the extent or forbidden by the file mask; `imprecise` when a domain stepped there."""
    return UnitCheck(0, FILE_PROTECTED | (IMPRECISE_ENDING if imprecise else 0))


def no_record_found() -> UnitCheck:
    """The record, or the end of the search for it, was not met."""
    return UnitCheck(0, NO_RECORD_FOUND)


def end_of_cylinder() -> UnitCheck:
    """A multitrack command passed the last head."""
    return UnitCheck(0, END_OF_CYLINDER)


def invalid_track_format() -> UnitCheck:
    """The record does not fit the track, or its length is not the one announced."""
    return UnitCheck(0, INVALID_TRACK_FORMAT)


def write_inhibited() -> UnitCheck:
    """A write to a read-only device."""
    return UnitCheck(0x10, 0x02, 0x04)


def reservation_taken() -> UnitCheck:
    """Another host took the reservation by Unconditional Reserve."""
    return UnitCheck(0x10, 0x00, 0x3F)


def compatible_sense(
    check: UnitCheck, *, cylinder: int, head: int, cylinders: int, remaining: int = 0, physical_id: int = 0
) -> bytes:
    """Build the 24-byte layout (32 bytes) of `check` for a device of `cylinders` at `cylinder`/`head`.

    `remaining` is the domain count left, shown with imprecise ending only. Source: eckd-commands 4.3.
    """
    sense = bytearray(32)
    sense[0], sense[1], sense[2] = check.byte0, check.byte1, check.byte2
    if check.byte1 & IMPRECISE_ENDING:
        sense[3] = remaining
    sense[4] = physical_id
    if cylinders - 1 > LARGEST_SENSE_CYLINDER:
        sense[5] = sense[6] = 0xFF
    else:
        sense[5] = cylinder & 0xFF
        sense[6] = (cylinder >> 8) << 4 | head
    sense[7], sense[8] = check.message, check.reason
    sense[27] = 0x80
    struct.pack_into(">HB", sense, 29, cylinder & 0xFFFF, ((cylinder >> 16) << 4 | head) & 0xFF)
    sense[9 : 9 + len(check.detail)] = check.detail
    return bytes(sense[:32])


def native_sense(
    *,
    bytes_0_1: bytes,
    unit_code: int,
    remaining: int,
    unit_address: int,
    locate: bytes,
    ssid: int,
    exception: int,
    byte24: int,
    action: int,
    message_code: int,
    cylinder: int,
    head: int,
    record_length: int | None = None,
) -> bytes:
    """Build the 32-byte layout: `locate` are the 16 Locate Record bytes, `action` the program action code (byte 25).

    `record_length` replaces bytes 17-18 (action 0F). Source: eckd-commands 4.5.
    """
    sense = bytearray(32)
    sense[0:2] = bytes_0_1
    sense[2:7] = bytes((unit_code, remaining, unit_address, 0x00, 0x60))
    sense[7:10] = locate[0:3]
    sense[11:19] = locate[8:16]
    if record_length is not None:
        struct.pack_into(">H", sense, 17, record_length)
    struct.pack_into(
        ">HHBBHBHB",
        sense,
        20,
        ssid,
        exception,
        byte24,
        action,
        0x4E60,
        message_code,
        cylinder & 0xFFFF,
        ((cylinder >> 16) << 4 | head) & 0xFF,
    )
    return bytes(sense)
