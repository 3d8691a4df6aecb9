"""What the deviation rules look for: one function each, named as its rule in `tools.deviations`."""

from __future__ import annotations

from collections.abc import Mapping

from ccw.ccws import CommandCode
from ccw.older_sense import SIX, SixByteCondition1
from ccw.tracks import track_digest
from controller.commands.checks import (
    COMMAND_REJECT,
    FILE_PROTECTED,
    IMPRECISE_ENDING,
    INVALID_COMMAND,
    INVALID_PARAMETER,
    INVALID_SEQUENCE,
    INVALID_TRACK_FORMAT,
    NO_RECORD_FOUND,
    NOT_AUTHORISED,
)
from tools.found import SUPPRESS_LENGTH, Found

INCOMPLETE_WRITE_DOMAIN = b"\x01\x10"
UNIT_CHECK_END, NORMAL_END = 0x0E, 0x0C
SECTORS_MAX = 224
OVERFLOW_FLAG, OVERFLOW_INCOMPLETE = 0x80, 0x01
COUNT_BYTES, MULTITRACK = 8, 0x80
MISSING_ADDRESS_MARKER = int(SixByteCondition1.MISSING_ADDRESS_MARKER)
PLAIN_SENSE_ID_BYTES = 7
STATISTICS_SETS, STATISTICS_SIZE = slice(3, 4), slice(6, 8)  # in Sense Subsystem Status
OPERATION_AT, SIX_OPERATION_AT = 3, 5  # the operation code in 24 and in 6 sense bytes
RESUMED = frozenset({0x05, 0x06})  # write, read
UPDATES = frozenset({CommandCode.WRITE_DATA, CommandCode.WRITE_KEY_AND_DATA})
IMMEDIATE = frozenset({CommandCode.RECALIBRATE, CommandCode.RESTORE})
FLAG_PLACES = {0x1A: 0, 0x9A: 0, 0x0A: 19}  # where the flag of the home address stands in what a command sends
UNGROUPED = 0x80
GROUPED_BITS = 0xC0
EXTENDED_CODE = 0x3F
CHAIN_COMMAND = 0x40
CHANNEL_STATUSES = ("channel status", "ending channel status")
RESIDUALS = ("residual", "ending residual")
EARLIER_DESCRIPTOR, DEVICE_DESCRIPTOR = 0xC4, 0xDC
INCORRECT_LENGTH = 0x40
TRACK_WRITES = frozenset({0x10, 0x11, 0x13, 0x23})
CHARACTERISTICS_SET = 0x04
RESERVATION_BITS = 0x30
PREFIX_BYTES = 64
PREFIX_AND_EXTENT_BYTES = 12 + 16


def group_id_forgotten(found: Found) -> bool:
    """Sense Path Group ID after disband or resign: recorded zeros, ours "ungrouped" and the id."""
    if found.code != CommandCode.SENSE_PATH_GROUP_ID or found.field != "data" or not found.left_group:
        return False
    expected, got = found.expected, found.got
    return isinstance(expected, bytes) and isinstance(got, bytes) and not any(expected) and (
        got[0] & GROUPED_BITS == UNGROUPED
    )


def track_writes_refused(found: Found) -> bool:
    """Locate Record Extended for Prestage Trackset and the track writes: the recorded machine rejects the parameter."""
    command = found.command
    locate = command.data_out[44:] if command.code == CommandCode.PREFIX else command.data_out
    if command.code not in (CommandCode.LOCATE_RECORD_EXTENDED, CommandCode.PREFIX) or len(locate) < 20:
        return False
    if locate[0] & EXTENDED_CODE != EXTENDED_CODE or locate[17] not in TRACK_WRITES or command.sense is None:
        return False
    return command.sense[0] == COMMAND_REJECT and command.sense[7] == INVALID_PARAMETER


def short_output_unnoticed(found: Found) -> bool:
    """Incorrect length of a write, search or control CCW: the recorded machine is silent and goes on with the chain."""
    if not found.is_output or found.command.flags & SUPPRESS_LENGTH or found.checked:
        return False
    return found.field in CHANNEL_STATUSES and (found.expected, found.got) == (0, INCORRECT_LENGTH)


def incorrect_length_beside_check(found: Found) -> bool:
    """Incorrect length of a write, search or control CCW that ended with unit check or exception: recorded wherever
    something is left of the count, ours not, for the status says why the count was not used."""
    command = found.command
    if not found.is_output or command.flags & SUPPRESS_LENGTH or not found.checked or not command.residual:
        return False
    return found.field in CHANNEL_STATUSES and (found.expected, found.got) == (INCORRECT_LENGTH, 0)


def parameters_of_refused(found: Found) -> bool:
    """Residual of a refused write, search or control CCW: recorded its parameters as all taken or as not taken at all,
    or the data of the record at hand as taken; ours what was not needed to refuse it."""
    command = found.command
    if found.field not in RESIDUALS or not found.is_output or not found.checked or command.sense is None:
        return False
    possible = range(command.count + 1) if found.code in UPDATES else (0, command.count)
    return command.sense[0] == COMMAND_REJECT and found.expected in possible


def path_state_missing(found: Found) -> bool:
    """Sense Path Group ID of a grouped path: recorded only the reservation bits, ours state and mode beside them."""
    both = found.data()
    if found.code != CommandCode.SENSE_PATH_GROUP_ID or both is None:
        return False
    expected, got = both
    return expected[1:] == got[1:] and expected[0] == got[0] & RESERVATION_BITS and bool(got[0] & GROUPED_BITS)


def prefix_residual(found: Found) -> bool:
    """Prefix without a locate: the recorded machine counts only the prefix and 16 bytes of Define Extent as taken."""
    command = found.command
    if command.code != CommandCode.PREFIX or found.field != "residual" or command.data_out[0] != 0:
        return False
    return found.expected == command.count - PREFIX_AND_EXTENT_BYTES and found.got == command.count - PREFIX_BYTES


def characteristics_not_marked(found: Found) -> bool:
    """Read Device Characteristics byte 6 bit 5 after Set System Characteristics: ours on, recorded off."""
    both = found.data()
    if found.code != CommandCode.READ_DEVICE_CHARACTERISTICS or both is None or len(both[0]) < 7:
        return False
    expected, got = both
    marked = bytes((expected[6] | CHARACTERISTICS_SET,))
    return expected[:6] + marked + expected[7:] == got


def flag_not_stored(found: Found) -> bool:
    """Read HA, Read Special HA of a track whose flag was written: recorded flag 00, ours the flag, the rest alike."""
    place, both = FLAG_PLACES.get(found.code), found.data()
    if place is None or both is None or len(both[0]) < place + 5 or both[0][place] != 0:
        return False
    expected, got = both
    with_flag = expected[:place] + got[place : place + 1] + expected[place + 1 :]
    return with_flag == got and found.home_flags.get(got[place + 1 : place + 5]) == got[place]


def flag_not_stored_on_track(digest: str, image: bytes, home_flags: Mapping[bytes, int]) -> bool:
    """The final track with a flag that was written: the recorded hash is that of the same track with flag 00."""
    if not image[0] or home_flags.get(image[1:5]) != image[0]:
        return False
    return track_digest(b"\0" + image[1:]) == digest


def output_residual_zero(found: Found) -> bool:
    """Ending residual of a write, search or control CCW that moved less than its count: recorded 0, although the device
    was recorded to leave as much as ours."""
    if found.field != "ending residual" or not found.is_output:
        return False
    return found.expected == 0 and found.got == found.command.residual


def imprecise_ending(found: Found) -> bool:
    """A domain steps outside the extent: recorded plain file protected, ours imprecise ending and what is left of the
    domain beside it."""
    senses = found.senses()
    if senses is None or not found.in_domain:
        return False
    expected, got = senses
    if expected[1] != FILE_PROTECTED or expected[3]:
        return False
    return expected[:1] + bytes((FILE_PROTECTED | IMPRECISE_ENDING,)) + expected[2:3] + got[3:4] + expected[4:] == got


def never_positioned(found: Found) -> bool:
    """A command without a seek before it: recorded message 22, ours 02, which is what the format means."""
    senses = found.senses()
    if senses is None:
        return False
    expected, got = senses
    return expected[7] == 0x22 and expected[:7] + b"\x02" + expected[8:] == got


def write_home_address_masked(found: Found) -> bool:
    """Write HA that the file mask forbids: recorded file protected, ours command reject, message 02."""
    senses = found.senses(shortest=SIX)
    if senses is None or found.code != CommandCode.WRITE_HOME_ADDRESS:
        return False
    expected, got = senses
    if expected[:2] != bytes((0, FILE_PROTECTED)):
        return False
    if len(expected) == SIX:
        return bytes((COMMAND_REJECT, 0)) + expected[2:] == got
    return expected[7] == 0 and bytes((COMMAND_REJECT, 0)) + expected[2:7] + b"\x02" + expected[8:] == got


def operation_code_missing(found: Found) -> bool:
    """Six sense bytes of a record in segments that was not ended: recorded byte 5 zero, ours says how to resume."""
    senses = found.senses(shortest=SIX)
    if senses is None or len(senses[0]) != SIX:
        return False
    expected, got = senses
    return bool(expected[1] & OVERFLOW_INCOMPLETE) and expected[SIX_OPERATION_AT] == 0 and expected[:5] == got[:5]


def segment_missing(found: Found) -> bool:
    """No record continues one in segments: recorded no record found alone, ours operation incomplete and the operation
    code beside it."""
    senses = found.senses(shortest=SIX)
    if senses is None:
        return False
    expected, got = bytearray(senses[0]), senses[1]
    place = SIX_OPERATION_AT if len(got) == SIX else OPERATION_AT
    if expected[1] != NO_RECORD_FOUND or expected[place] or got[place] not in RESUMED:
        return False
    expected[1] |= OVERFLOW_INCOMPLETE
    expected[place] = got[place]
    return bytes(expected) == got


def immediate_length_shown(found: Found) -> bool:
    """Incorrect length of Recalibrate and Restore, which move nothing: recorded, ours not, as for every immediate
    command in a program of format 0."""
    if found.code not in IMMEDIATE or found.program.ccw_format or found.command.residual != found.command.count:
        return False
    return found.field in CHANNEL_STATUSES and (found.expected, found.got) == (INCORRECT_LENGTH, 0)


def hole_before_segment(found: Found) -> bool:
    """Read CKD of a record in segments: alike as far as the first segment goes, which the count area tells."""
    both = found.data()
    if found.code & ~MULTITRACK != CommandCode.READ_COUNT_KEY_AND_DATA or both is None or len(both[0]) < COUNT_BYTES:
        return False
    expected, got = both
    first = COUNT_BYTES + got[5] + (got[6] << 8 | got[7])
    return first < len(got) and expected[:first] == got[:first]


def domain_left(found: Found) -> bool:
    """The chain ends inside a domain: recorded 81 00, 24-byte form; ours nothing for reads, native form for writes."""
    command = found.command
    if command.flags & CHAIN_COMMAND or command.sense is None or command.sense[:2] != b"\x81\0":
        return False
    if found.field == "sense":
        got = found.got
        return got is None or (isinstance(got, bytes) and got[:2] == INCOMPLETE_WRITE_DOMAIN)
    statuses = (UNIT_CHECK_END, NORMAL_END)
    return found.field in ("status", "ending status") and (found.expected, found.got) == statuses and found.in_domain


def unknown_out_of_sequence(found: Found) -> bool:
    """A command that its control unit does not have: recorded message 02, a matter of sequence; ours 01."""
    return _message_differs(found, INVALID_SEQUENCE, INVALID_COMMAND)


def special_home_address_unknown(found: Found) -> bool:
    """Read Special HA that is refused: recorded message 01, unknown; ours says what is wrong with it here."""
    if found.code != CommandCode.READ_SPECIAL_HOME_ADDRESS:
        return False
    return any(_message_differs(found, INVALID_COMMAND, ours) for ours in (INVALID_SEQUENCE, NOT_AUTHORISED))


def _message_differs(found: Found, recorded: int, ours: int) -> bool:
    """Both are command rejects, alike but for these messages."""
    senses = found.senses()
    if senses is None:
        return False
    expected, got = senses
    if expected[0] != COMMAND_REJECT or (expected[7], got[7]) != (recorded, ours):
        return False
    return expected[:7] + got[7:8] + expected[8:] == got


def earlier_descriptors(found: Found) -> bool:
    """Read Configuration Data: recorded node descriptors of an earlier form, which begin with C4; ours with DC."""
    both = found.data()
    if found.code != CommandCode.READ_CONFIGURATION_DATA or both is None or not both[0]:
        return False
    return (both[0][0], both[1][0]) == (EARLIER_DESCRIPTOR, DEVICE_DESCRIPTOR)


def plain_sense_id(found: Found) -> bool:
    """Sense ID: recorded types and models alone, ours command information words behind them."""
    command = found.command
    if found.code != CommandCode.SENSE_ID or len(command.data_in) != PLAIN_SENSE_ID_BYTES:
        return False
    if found.field == "data":
        got = found.got
        return isinstance(got, bytes) and got.startswith(command.data_in)
    return found.field in RESIDUALS


def status_of_another_subsystem(found: Found) -> bool:
    """Sense Subsystem Status: the number of devices differs, and statistics are recorded as there being none."""
    both = found.data()
    if found.code != CommandCode.SENSE_SUBSYSTEM_STATUS or both is None:
        return False
    expected, got = both
    if any(expected[STATISTICS_SETS]) or any(expected[STATISTICS_SIZE]):
        return False
    return expected[:2] == got[:2] and expected[4:6] == got[4:6] and expected[8:] == got[8:]


def no_count_area(found: Found) -> bool:
    """A track without a readable count area: recorded no record found alone, ours what older devices show besides."""
    senses = found.senses(shortest=SIX)
    if senses is None:
        return False
    expected, got = senses
    condition = MISSING_ADDRESS_MARKER if len(got) == SIX else INVALID_TRACK_FORMAT
    return expected[1] == NO_RECORD_FOUND and got == expected[:1] + bytes((NO_RECORD_FOUND | condition,)) + expected[2:]


def other_facilities(found: Found) -> bool:
    """Read Device Characteristics: bytes 6-9, what the control unit offers, differ, and nothing else does."""
    both = found.data()
    if found.code != CommandCode.READ_DEVICE_CHARACTERISTICS or both is None:
        return False
    expected, got = both
    return expected[:6] == got[:6] and expected[10:] == got[10:]


def overflow_flag_shown(found: Found) -> bool:
    """Read Multiple CKD of segments: recorded the flag of their count areas as it is stored, ours off."""
    both = found.data()
    if found.code != CommandCode.READ_MULTIPLE_COUNT_KEY_AND_DATA or both is None:
        return False
    return all(expected == got or expected == got | OVERFLOW_FLAG for expected, got in zip(*both, strict=True))


def sector_zero(found: Found) -> bool:
    """Read Sector: recorded always 00, ours the sector of the record passed last."""
    expected, got = found.expected, found.got
    if found.code != CommandCode.READ_SECTOR or found.field != "data":
        return False
    return expected == b"\0" and isinstance(got, bytes) and len(got) == 1 and got[0] < SECTORS_MAX
