"""Where a recorded machine is known to answer otherwise than the manuals: rules, each with its reason and source.

A rule looks at one difference and at the program it is in. It never knows a recording or a program number, so it holds
for any trace of the same machine. A difference that no rule explains is a difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ccw.ccws import CommandCode
from ccw.tracks import track_digest
from tools.recording import RecordedProgram

LOCATES = frozenset({0x47, 0x4B, 0xE7})
FILE_PROTECTED, IMPRECISE_ENDING = 0x04, 0x01
INCOMPLETE_WRITE_DOMAIN = b"\x01\x10"
UNIT_CHECK_END, NORMAL_END = 0x0E, 0x0C
SENSE_BYTES_MIN = 24
SECTORS_MAX = 224
FLAG_PLACES = {0x1A: 0, 0x9A: 0, 0x0A: 19}  # where the flag of the home address stands in what a command sends
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
    disband or resign. `home_flags`: the flags, other than 00, that were written to home addresses of the device, by
    their CCHH.
    """

    program: RecordedProgram
    index: int
    field: str
    expected: bytes | int | bool | None
    got: bytes | int | bool | None
    left_group: bool
    home_flags: Mapping[bytes, int] = dataclasses.field(default_factory=dict)


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


def _flag_not_stored(found: Found) -> bool:
    """Read HA, Read Special HA of a track whose flag was written: recorded flag 00, ours the flag, the rest alike."""
    place = FLAG_PLACES.get(_code(found))
    expected, got = found.expected, found.got
    if place is None or found.field != "data" or not isinstance(expected, bytes) or not isinstance(got, bytes):
        return False
    if len(expected) != len(got) or len(got) < place + 5 or expected[place] != 0:
        return False
    with_flag = expected[:place] + got[place : place + 1] + expected[place + 1 :]
    return with_flag == got and found.home_flags.get(got[place + 1 : place + 5]) == got[place]


def flag_not_stored_on_track(digest: str, image: bytes, home_flags: Mapping[bytes, int]) -> bool:
    """The final track with a flag that was written: the recorded hash is that of the same track with flag 00."""
    if not image[0] or home_flags.get(image[1:5]) != image[0]:
        return False
    return track_digest(b"\0" + image[1:]) == digest


def _output_residual_zero(found: Found) -> bool:
    """Ending residual of a write, search or control CCW that moved less than its count: recorded 0, although the device
    was recorded to leave as much as ours."""
    command = found.program.commands[found.index]
    if found.field != "ending residual" or command.code & 3 not in (1, 3):
        return False
    return found.expected == 0 and found.got == command.residual


def _senses(found: Found) -> tuple[bytes, bytes] | None:
    """Both sense images of a difference in sense."""
    expected, got = found.expected, found.got
    if found.field != "sense" or not isinstance(expected, bytes) or not isinstance(got, bytes):
        return None
    return (expected, got) if len(expected) == len(got) >= SENSE_BYTES_MIN else None


def _imprecise_ending(found: Found) -> bool:
    """A domain steps outside the extent: recorded plain file protected, ours imprecise ending and what is left of the
    domain beside it."""
    senses = _senses(found)
    if senses is None or not _in_domain(found):
        return False
    expected, got = senses
    if expected[1] != FILE_PROTECTED or expected[3]:
        return False
    return expected[:1] + bytes((FILE_PROTECTED | IMPRECISE_ENDING,)) + expected[2:3] + got[3:4] + expected[4:] == got


def _never_positioned(found: Found) -> bool:
    """A command without a seek before it: recorded message 22, ours 02, which is what the format means."""
    senses = _senses(found)
    if senses is None:
        return False
    expected, got = senses
    return expected[7] == 0x22 and expected[:7] + b"\x02" + expected[8:] == got


def _write_home_address_masked(found: Found) -> bool:
    """Write HA that the file mask forbids: recorded file protected, ours command reject, message 02."""
    senses = _senses(found)
    if senses is None or _code(found) != CommandCode.WRITE_HOME_ADDRESS:
        return False
    expected, got = senses
    if expected[:2] != bytes((0, FILE_PROTECTED)) or expected[7]:
        return False
    return bytes((COMMAND_REJECT, 0)) + expected[2:7] + b"\x02" + expected[8:] == got


def _domain_left(found: Found) -> bool:
    """The chain ends inside a domain: recorded 81 00, 24-byte form; ours nothing for reads, native form for writes."""
    command = found.program.commands[found.index]
    if command.flags & CHAIN_COMMAND or command.sense is None or command.sense[:2] != b"\x81\0":
        return False
    if found.field == "sense":
        got = found.got
        return got is None or (isinstance(got, bytes) and got[:2] == INCOMPLETE_WRITE_DOMAIN)
    statuses = (UNIT_CHECK_END, NORMAL_END)
    return found.field in ("status", "ending status") and (found.expected, found.got) == statuses and _in_domain(found)


def _sector_zero(found: Found) -> bool:
    """Read Sector: recorded always 00, ours the sector of the record passed last."""
    expected, got = found.expected, found.got
    if _code(found) != CommandCode.READ_SECTOR or found.field != "data":
        return False
    return expected == b"\0" and isinstance(got, bytes) and len(got) == 1 and got[0] < SECTORS_MAX


def _in_domain(found: Found) -> bool:
    return any(command.code in LOCATES for command in found.program.commands[: found.index])


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
    Deviation(
        "home-address-flag-not-stored",
        "the recorded machine accepts Write Home Address but does not keep its flag byte",
        "eckd-commands 2.2, 3.7.3; older-ckd-devices 2.3: GA26-1661; the README of the recordings",
        _flag_not_stored,
    ),
    Deviation(
        "imprecise-ending-missing",
        "the recorded machine shows file protected alone where a domain leaves the extent",
        "eckd-commands 3.3 rule 5, 4.4: SA22-1025",
        _imprecise_ending,
    ),
    Deviation(
        "message-of-another-format",
        "the recorded machine reports a missing seek with message 22, which is of another format",
        "eckd-commands 3.2, section 8 #1: defined by this project",
        _never_positioned,
    ),
    Deviation(
        "home-address-file-protected",
        "the recorded machine reports a Write Home Address that the mask forbids as file protected",
        "eckd-commands 3.7.1, section 8 #5: GA32-0099",
        _write_home_address_masked,
    ),
    Deviation(
        "incomplete-domain-form",
        "the recorded machine reports every incomplete domain, in the 24-byte form",
        "eckd-commands 3.9.4, section 8 #3: SA22-1025",
        _domain_left,
    ),
    Deviation(
        "sector-always-zero",
        "the recorded machine has no rotation: Read Sector sends 00",
        "eckd-commands 2.9: the Linux DASD driver; sum over mixed records defined by this project",
        _sector_zero,
    ),
    Deviation(
        "output-residual-zero",
        "the recorded machine's channel shows residual 0 for output that the device did not take whole",
        "eckd-commands 1.8: GA22-7000; the README of the recordings",
        _output_residual_zero,
    ),
)


def repeats(found: Found, earlier: Found | None) -> bool:
    """Is it the data of a Sense program that shows what `earlier`, a difference in sense on the device, showed?"""
    if earlier is None or _code(found) != CommandCode.SENSE or found.field != "data":
        return False
    return _begins(earlier.expected, found.expected) and (earlier.got is None or _begins(earlier.got, found.got))


def _begins(sense: object, data: object) -> bool:
    return isinstance(sense, bytes) and isinstance(data, bytes) and bool(data) and sense.startswith(data)


def explain(found: Found) -> Deviation | None:
    """Return the first rule that explains the difference."""
    return next((deviation for deviation in DEVIATIONS if deviation.applies(found)), None)
