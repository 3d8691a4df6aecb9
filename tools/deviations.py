"""Where a recorded machine is known to answer otherwise than the manuals: rules, each with its reason and source.

A rule looks at one difference and at the program it is in. It never knows a recording or a program number, so it holds
for any trace of the same machine. A difference that no rule explains is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccw.ccws import CommandCode
from tools.recording import RecordedProgram

UNGROUPED = 0x80
GROUPED_BITS = 0xC0
EXTENDED_CODE = 0x3F
UNIT_CHECK = 0x02
CHAIN_COMMAND = 0x40
SUPPRESS_LENGTH = 0x20
INCORRECT_LENGTH = 0x40
COMMAND_REJECT = 0x80
INVALID_PARAMETER = 0x04
TRACK_WRITES = frozenset({0x10, 0x11, 0x13, 0x23})
CHARACTERISTICS_SET = 0x04
RESERVATION_BITS = 0x30
PREFIX_BYTES = 64
PREFIX_AND_EXTENT_BYTES = 12 + 16


@dataclass(frozen=True, slots=True)
class Found:
    """One difference: the command at `index` of `program`, the `field` (as reported) and both values.

    For data fields the values are the whole bytes. `left_group`: the path gave its group id back earlier, by
    disband or resign.
    """

    program: RecordedProgram
    index: int
    field: str
    expected: bytes | int | bool | None
    got: bytes | int | bool | None
    left_group: bool


@dataclass(frozen=True, slots=True)
class Deviation:
    """A rule: when `applies` the difference is explained by `reason`."""

    name: str
    reason: str
    source: str
    applies: Callable[[Found], bool]


def _code(found: Found) -> int:
    return found.program.commands[found.index].code


def _group_id_forgotten(found: Found) -> bool:
    """Sense Path Group ID after disband or resign: recorded zeros, ours "ungrouped" and the id."""
    if _code(found) != CommandCode.SENSE_PATH_GROUP_ID or found.field != "data" or not found.left_group:
        return False
    expected, got = found.expected, found.got
    return isinstance(expected, bytes) and isinstance(got, bytes) and not any(expected) and (
        got[0] & GROUPED_BITS == UNGROUPED
    )


def _track_writes_refused(found: Found) -> bool:
    """Locate Record Extended for Prestage Trackset and the track writes: the recorded machine rejects the parameter."""
    command = found.program.commands[found.index]
    locate = command.data_out[44:] if command.code == CommandCode.PREFIX else command.data_out
    if command.code not in (CommandCode.LOCATE_RECORD_EXTENDED, CommandCode.PREFIX) or len(locate) < 20:
        return False
    if locate[0] & EXTENDED_CODE != EXTENDED_CODE or locate[17] not in TRACK_WRITES or command.sense is None:
        return False
    return command.sense[0] == COMMAND_REJECT and command.sense[7] == INVALID_PARAMETER


def _short_output_unnoticed(found: Found) -> bool:
    """Incorrect length of a write, search or control CCW, and the chain it stops: the recorded machine is silent."""
    command = found.program.commands[found.index]
    if command.code & 3 not in (1, 3) or command.flags & SUPPRESS_LENGTH or command.status & UNIT_CHECK:
        return False
    if found.field == "channel status":
        return (found.expected, found.got) == (0, INCORRECT_LENGTH)
    return found.field == "chaining" and bool(command.flags & CHAIN_COMMAND)


def _path_state_missing(found: Found) -> bool:
    """Sense Path Group ID of a grouped path: recorded only the reservation bits, ours state and mode beside them."""
    expected, got = found.expected, found.got
    if _code(found) != CommandCode.SENSE_PATH_GROUP_ID or found.field != "data":
        return False
    if not isinstance(expected, bytes) or not isinstance(got, bytes) or len(expected) != len(got):
        return False
    return expected[1:] == got[1:] and expected[0] == got[0] & RESERVATION_BITS and bool(got[0] & GROUPED_BITS)


def _prefix_residual(found: Found) -> bool:
    """Prefix without a locate: the recorded machine counts only the prefix and 16 bytes of Define Extent as taken."""
    command = found.program.commands[found.index]
    if command.code != CommandCode.PREFIX or found.field != "residual" or command.data_out[0] != 0:
        return False
    return found.expected == command.count - PREFIX_AND_EXTENT_BYTES and found.got == command.count - PREFIX_BYTES


def _characteristics_not_marked(found: Found) -> bool:
    """Read Device Characteristics byte 6 bit 5 after Set System Characteristics: ours on, recorded off."""
    if _code(found) != CommandCode.READ_DEVICE_CHARACTERISTICS or found.field != "data":
        return False
    expected, got = found.expected, found.got
    if not isinstance(expected, bytes) or not isinstance(got, bytes) or len(expected) != len(got) or len(got) < 7:
        return False
    marked = bytes((expected[6] | CHARACTERISTICS_SET,))
    return expected[:6] + marked + expected[7:] == got


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "group-id-forgotten",
        "the recorded machine clears the path-group id on disband and resign; it is kept until a reset",
        "eckd-commands section 8 #19: SA22-1025",
        _group_id_forgotten,
    ),
    Deviation(
        "track-writes-refused",
        "the recorded machine does not know the track-set operations 10, 11, 13 and 23",
        "eckd-commands 3.10: SA22-1025, Linux DASD driver",
        _track_writes_refused,
    ),
    Deviation(
        "short-output-unnoticed",
        "the recorded machine shows incorrect length for reads only",
        "eckd-commands section 8 #8: SA22-7201",
        _short_output_unnoticed,
    ),
    Deviation(
        "path-state-missing",
        "the recorded machine shows a reservation, but neither state nor mode of the path",
        "eckd-commands 3.13 and vector 31: SA22-1025, Linux path-group code",
        _path_state_missing,
    ),
    Deviation(
        "prefix-residual",
        "the recorded machine takes 28 bytes of a Prefix without locate; all 64 are its parameters",
        "eckd-commands 3.11, residual: defined by this project",
        _prefix_residual,
    ),
    Deviation(
        "characteristics-not-marked",
        "the recorded machine does not show that Set System Characteristics was received",
        "eckd-commands 2.11: SA22-1025",
        _characteristics_not_marked,
    ),
)


def explain(found: Found) -> Deviation | None:
    """Return the first rule that explains the difference."""
    return next((deviation for deviation in DEVIATIONS if deviation.applies(found)), None)
