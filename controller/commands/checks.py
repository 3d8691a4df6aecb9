"""The unit checks that commands raise. The device turns them into sense bytes (`ccw.sense`).

Source: eckd-commands 4.4, the condition to sense table.
"""

from __future__ import annotations

from ccw.older_sense import OPERATION_INCOMPLETE, SixByteCondition0
from ccw.sense import SenseByte0, SenseByte1
from controller.commands.outcome import UnitCheck

# Condition bits of sense bytes 0 and 1, as plain numbers. Devices before ECKD have one of another name, one more.
COMMAND_REJECT = int(SenseByte0.COMMAND_REJECT)
INTERVENTION_REQUIRED = int(SenseByte0.INTERVENTION_REQUIRED)
EQUIPMENT_CHECK = int(SenseByte0.EQUIPMENT_CHECK)
TRACK_CONDITION = int(SixByteCondition0.TRACK_CONDITION_CHECK)
INVALID_TRACK_FORMAT = int(SenseByte1.INVALID_TRACK_FORMAT)
END_OF_CYLINDER = int(SenseByte1.END_OF_CYLINDER)
NO_RECORD_FOUND = int(SenseByte1.NO_RECORD_FOUND)
FILE_PROTECTED = int(SenseByte1.FILE_PROTECTED)
WRITE_INHIBITED = int(SenseByte1.WRITE_INHIBITED)
IMPRECISE_ENDING = int(SenseByte1.IMPRECISE_ENDING)

NOT_READY = 0x19  # format 1, message 9
RESERVATION_TAKEN = 0x3F  # format 3, message F
INVALID_COMMAND = 0x01
INVALID_SEQUENCE = 0x02
COUNT_TOO_SMALL = 0x03
INVALID_PARAMETER = 0x04
NOT_AUTHORISED = 0x05
POINTER_NOT_VALID = 0x0B
STATUS_NOT_AS_REQUIRED = 0x0F


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


def file_protected(*, imprecise: bool = False, moved: int | None = None) -> UnitCheck:
    """Outside the extent or forbidden by the file mask; `imprecise` when a domain stepped there.

    `moved`: parameter bytes that count as moved, by default all that the command needs.
    """
    return UnitCheck(0, FILE_PROTECTED | (IMPRECISE_ENDING if imprecise else 0), moved=moved)


def no_record_found() -> UnitCheck:
    """The record, or the end of the search for it, was not met."""
    return UnitCheck(0, NO_RECORD_FOUND)


def end_of_cylinder() -> UnitCheck:
    """A multitrack command passed the last head."""
    return UnitCheck(0, END_OF_CYLINDER)


def invalid_track_format() -> UnitCheck:
    """The record does not fit the track, or its length is not the one announced."""
    return UnitCheck(0, INVALID_TRACK_FORMAT)


def no_count_area() -> UnitCheck:
    """A device before ECKD met no readable count area on the track."""
    return UnitCheck(0, INVALID_TRACK_FORMAT | NO_RECORD_FOUND)


def overflow_stopped(operation: int, *, at_cylinder_end: bool, sent: bytes, taken: int) -> UnitCheck:
    """Mask or end of the cylinder keeps a record in segments from going on; `operation` says how to resume."""
    condition = END_OF_CYLINDER if at_cylinder_end else FILE_PROTECTED
    return UnitCheck(0, condition | OPERATION_INCOMPLETE, operation=operation, data=sent, moved=len(sent) + taken)


def overflow_without_segment(operation: int, *, sent: bytes, taken: int) -> UnitCheck:
    """The next track has no record that continues the one in segments."""
    condition = NO_RECORD_FOUND | OPERATION_INCOMPLETE
    return UnitCheck(0, condition, operation=operation, data=sent, moved=len(sent) + taken)


def track_condition() -> UnitCheck:
    """The track is defective and the control unit leaves it to the program to go to the alternate track."""
    return UnitCheck(TRACK_CONDITION)


def alternate_pointer_invalid() -> UnitCheck:
    """R0 of a defective track does not name a track of the volume."""
    return command_reject(POINTER_NOT_VALID)


def not_ready() -> UnitCheck:
    """The device is offline: an operator has to do something. Nothing is moved."""
    return UnitCheck(INTERVENTION_REQUIRED, 0, NOT_READY, moved=0)


def write_inhibited() -> UnitCheck:
    """A write to a read-only device."""
    return UnitCheck(EQUIPMENT_CHECK, WRITE_INHIBITED, 0x04)


def reservation_taken() -> UnitCheck:
    """Another host took the reservation by Unconditional Reserve."""
    return UnitCheck(EQUIPMENT_CHECK, 0, RESERVATION_TAKEN)
