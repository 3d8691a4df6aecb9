"""Every command by its code: the function that runs it and the rules that hold before and after.

Source: eckd-commands 3.2 (master table), 3.1 (what survives a command), 3.9.2 and 3.7.4 (commands of a domain);
older-ckd-devices 2 (what is otherwise on devices before ECKD).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ccw.ccws import MULTITRACK, CommandCode
from ccw.geometry import Geometry
from controller.commands import (
    locate,
    older,
    paths,
    positioning,
    reads,
    searches,
    self_description,
    subsystem_functions,
    subsystem_mode,
    writes,
)
from controller.commands.chain import Permission
from controller.commands.device_types import DeviceType
from controller.commands.domain import Operation
from controller.commands.ending import CommandFunction
from controller.commands.profiles import PROFILES, Profile

OUTSIDE = 0
# The functions of locate commands judge an open domain themselves, behind the count.
ANYWHERE = sum(operation.bit for operation in Operation)

_READ_DATA, _WRITE_DATA = Operation.READ_DATA.bit, Operation.WRITE_DATA.bit
_READ = _READ_DATA | Operation.READ.bit
_READ_ANY = _READ | Operation.READ_ANY.bit
_COUNT = _READ | _WRITE_DATA | Operation.WRITE_ANY.bit
_DATA = _WRITE_DATA | Operation.WRITE_TRACK.bit
_FORMAT = Operation.FORMAT_WRITE.bit
_TRACKS = Operation.READ_TRACKS.bit | Operation.READ_TRACKSET.bit

_SECTOR_COMMANDS = frozenset({int(CommandCode.READ_SECTOR), int(CommandCode.SET_SECTOR)})

_ID = Permission.ID_EQUAL
_KEY = Permission.KEY_EQUAL
_HOME = Permission.HOME_ADDRESS_EQUAL | Permission.HOME_ADDRESS_WRITTEN
_COUNTED = Permission.COUNT_WRITTEN


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    `positioned`: needs a seek or locate before. `domains`: bits of the operations inside whose domain it may stand;
    `domain_only`: nowhere else. `minimum`: least parameter bytes; `parameters`: bytes counted as moved at a unit check
    over parameters. `first`: only first in the chain or behind a first Suspend Multipath Reconnection; `last`: nothing
    may follow. `keeps`: permissions that survive it; `keeps_index_passed`: so does the index-passed flag. `immediate`:
    no data phase. `locates`: does not count as a command of the domain. `hands_out`: may hand data to the subsystem.
    `physical`: works on the track itself where the control unit follows defective tracks to their alternates.
    """

    run: CommandFunction
    positioned: bool = False
    domains: int = OUTSIDE
    domain_only: bool = False
    minimum: int = 0
    parameters: int = 0
    first: bool = False
    last: bool = False
    keeps: int = 0
    keeps_index_passed: bool = False
    immediate: bool = False
    locates: bool = False
    hands_out: bool = False
    physical: bool = False


def _multitrack(code: int, single: Rule, multi: Rule | None = None) -> Iterator[tuple[int, Rule]]:
    yield code, single
    yield code | MULTITRACK, multi or single


def _rows(profile: Profile) -> Iterator[tuple[int, Rule]]:
    yield from _position_rows(profile)
    yield from _search_rows()
    yield from _read_rows()
    yield from _write_rows()
    yield from _locate_rows(profile)
    yield from _subsystem_rows(profile)


def _position_rows(profile: Profile) -> Iterator[tuple[int, Rule]]:
    yield CommandCode.NO_OPERATION, Rule(positioning.no_operation, immediate=True)
    yield CommandCode.SEEK, Rule(positioning.seek, parameters=6)
    yield CommandCode.SEEK_CYLINDER, Rule(positioning.seek, parameters=6)
    yield CommandCode.SEEK_HEAD, Rule(positioning.seek, positioned=True, parameters=6)
    yield CommandCode.SET_FILE_MASK, Rule(positioning.set_file_mask, parameters=1)
    yield CommandCode.SET_SECTOR, Rule(positioning.set_sector, positioned=True, minimum=1, parameters=1)
    yield CommandCode.READ_SECTOR, Rule(positioning.read_sector, keeps_index_passed=True)
    if profile.recalibrate:
        yield CommandCode.RECALIBRATE, Rule(positioning.recalibrate, immediate=True)
        yield CommandCode.RESTORE, Rule(positioning.restore, immediate=True)


def _search_rows() -> Iterator[tuple[int, Rule]]:
    identifier = Rule(searches.search_identifier, positioned=True, minimum=1, keeps=_ID, keeps_index_passed=True)
    key = Rule(searches.search_key, positioned=True, minimum=1, keeps=_KEY, keeps_index_passed=True)
    for code in (CommandCode.SEARCH_ID_EQUAL, CommandCode.SEARCH_ID_HIGH, CommandCode.SEARCH_ID_EQUAL_OR_HIGH):
        yield from _multitrack(code, identifier)
    for code in (CommandCode.SEARCH_KEY_EQUAL, CommandCode.SEARCH_KEY_HIGH, CommandCode.SEARCH_KEY_EQUAL_OR_HIGH):
        yield from _multitrack(code, key)
    home = Rule(searches.search_home_address, positioned=True, minimum=1, keeps=_HOME, physical=True)
    yield from _multitrack(CommandCode.SEARCH_HOME_ADDRESS_EQUAL, home)


def _read_rows() -> Iterator[tuple[int, Rule]]:
    yield from _multitrack(
        CommandCode.READ_DATA,
        Rule(reads.read_data, positioned=True, domains=_READ_DATA, keeps=_ID | _KEY),
        Rule(reads.read_data, positioned=True, domains=_READ_ANY, keeps=_ID | _KEY),
    )
    key_data = Rule(reads.read_key_and_data, positioned=True, domains=_READ, keeps=_ID)
    yield from _multitrack(CommandCode.READ_KEY_AND_DATA, key_data)
    yield from _multitrack(
        CommandCode.READ_COUNT,
        Rule(reads.read_count, positioned=True, domains=_COUNT, keeps_index_passed=True),
        Rule(reads.read_count, positioned=True, domains=_COUNT | Operation.READ_ANY.bit),
    )
    yield from _multitrack(
        CommandCode.READ_COUNT_KEY_AND_DATA,
        Rule(reads.read_count_key_data, positioned=True, domains=_READ),
        Rule(reads.read_count_key_data, positioned=True, domains=_READ_ANY),
    )
    record_zero = Rule(reads.read_r0, positioned=True, domains=_READ, physical=True)
    yield from _multitrack(CommandCode.READ_RECORD_ZERO, record_zero)
    home = Rule(reads.read_home_address, positioned=True, domains=_READ, physical=True)
    yield from _multitrack(CommandCode.READ_HOME_ADDRESS, home)
    special = Rule(reads.read_special_home_address, positioned=True, domains=_READ, physical=True)
    yield CommandCode.READ_SPECIAL_HOME_ADDRESS, special
    yield CommandCode.READ_MULTIPLE_COUNT_KEY_AND_DATA, Rule(reads.read_multiple, positioned=True)
    yield CommandCode.READ_TRACK, Rule(reads.read_track, domains=_TRACKS, domain_only=True)
    track_data = Rule(reads.read_track_data, domains=Operation.READ_TRACKS.bit, domain_only=True)
    yield CommandCode.READ_TRACK_DATA, track_data
    yield CommandCode.READ_TRACK_DATA | 0x10, track_data
    yield CommandCode.READ_IPL, Rule(reads.read_ipl)


def _write_rows() -> Iterator[tuple[int, Rule]]:
    any_update = _WRITE_DATA | Operation.WRITE_ANY.bit
    formatting = _FORMAT | Operation.WRITE_TRACK.bit
    yield CommandCode.WRITE_SPECIAL_CKD, Rule(writes.write_special)
    yield CommandCode.WRITE_DATA, Rule(writes.write_data, domains=_DATA, keeps=_ID | _KEY)
    yield CommandCode.WRITE_KEY_AND_DATA, Rule(writes.write_key_and_data, domains=_DATA, keeps=_ID)
    yield CommandCode.WRITE_UPDATE_DATA, Rule(writes.write_update_data, domains=any_update, domain_only=True)
    yield (
        CommandCode.WRITE_UPDATE_KEY_AND_DATA,
        Rule(writes.write_update_key_and_data, domains=_WRITE_DATA, domain_only=True),
    )
    yield CommandCode.WRITE_COUNT_KEY_AND_DATA, Rule(writes.write_count_key_data, domains=formatting, keeps=_COUNTED)
    yield (
        CommandCode.WRITE_COUNT_KEY_AND_DATA_NEXT_TRACK,
        Rule(writes.write_next_track, domains=_FORMAT, domain_only=True),
    )
    yield CommandCode.WRITE_RECORD_ZERO, Rule(writes.write_r0, domains=_FORMAT, keeps=_COUNTED)
    yield CommandCode.WRITE_HOME_ADDRESS, Rule(writes.write_home_address, True, _FORMAT, keeps=_HOME)
    yield CommandCode.ERASE, Rule(writes.erase, domains=Operation.WRITE_TRACK.bit)
    trackset = Operation.WRITE_TRACKSET.bit
    full_track = Rule(writes.write_full_track, domains=trackset, domain_only=True, hands_out=True)
    yield CommandCode.WRITE_FULL_TRACK, full_track
    track_data = Rule(writes.write_track_data, domains=Operation.UPDATE_WRITE_TRACKSET.bit, domain_only=True)
    yield CommandCode.WRITE_TRACK_DATA, track_data
    yield CommandCode.WRITE_TRACK_DATA | 0x10, track_data


def _locate_rows(profile: Profile) -> Iterator[tuple[int, Rule]]:
    yield (
        CommandCode.DEFINE_EXTENT,
        Rule(locate.define_extent, domains=ANYWHERE, minimum=16, parameters=16, locates=True),
    )
    yield CommandCode.LOCATE_RECORD, Rule(locate.locate, domains=ANYWHERE, minimum=16, parameters=16, locates=True)
    if profile.locate_extended:
        yield (
            CommandCode.LOCATE_RECORD_EXTENDED,
            Rule(locate.locate_extended, domains=ANYWHERE, minimum=20, parameters=20, locates=True),
        )
    if profile.prefix:
        yield CommandCode.PREFIX, Rule(locate.prefix, domains=ANYWHERE, minimum=64, parameters=64, locates=True)


def _subsystem_rows(profile: Profile) -> Iterator[tuple[int, Rule]]:
    yield CommandCode.SENSE, Rule(self_description.basic_sense)
    yield CommandCode.SENSE_ID, Rule(self_description.sense_id)
    yield CommandCode.READ_DEVICE_CHARACTERISTICS, Rule(self_description.read_device_characteristics)
    yield CommandCode.READ_CONFIGURATION_DATA, Rule(self_description.read_configuration_data)
    yield CommandCode.SENSE_SUBSYSTEM_STATUS, Rule(subsystem_mode.sense_subsystem_status)
    yield CommandCode.READ_AND_RESET_BUFFERED_LOG, Rule(self_description.read_buffered_log)
    yield CommandCode.DEVICE_RESERVE, Rule(paths.device_reserve, first=True)
    yield CommandCode.UNCONDITIONAL_RESERVE, Rule(paths.unconditional_reserve, first=True)
    yield CommandCode.DEVICE_RELEASE, Rule(paths.device_release)
    yield CommandCode.RESET_ALLEGIANCE, Rule(paths.reset_allegiance, first=True)
    yield CommandCode.SENSE_PATH_GROUP_ID, Rule(paths.sense_path_group, first=True, last=True)
    yield (
        CommandCode.SET_PATH_GROUP_ID,
        Rule(paths.set_path_group, first=True, last=True, minimum=12, parameters=12),
    )
    yield CommandCode.SUSPEND_MULTIPATH_RECONNECTION, Rule(paths.suspend_reconnection, immediate=True)
    functions = subsystem_functions
    function = Rule(functions.perform_function, minimum=2, parameters=12, hands_out=True)
    yield CommandCode.PERFORM_SUBSYSTEM_FUNCTION, function
    yield CommandCode.READ_SUBSYSTEM_DATA, Rule(functions.read_subsystem_data)
    yield CommandCode.READ_MESSAGE_ID, Rule(functions.read_message_id)
    yield CommandCode.DIAGNOSTIC_CONTROL, Rule(functions.diagnostic_control, minimum=4, parameters=4)
    yield CommandCode.RESET_SUMMARY_UNIT_CHECK, Rule(functions.reset_summary_unit_check)
    if profile.cached:
        mode = Rule(subsystem_mode.set_subsystem_mode, first=True, minimum=2, parameters=2)
        yield CommandCode.SET_SUBSYSTEM_MODE, mode
    if profile.subsystem_operations:
        operation = Rule(functions.define_operation, minimum=2, parameters=12, hands_out=True)
        yield CommandCode.DEFINE_SUBSYSTEM_OPERATION, operation


def _before_eckd_rows(kind: DeviceType) -> Iterator[tuple[int, Rule]]:
    """What the main rows are replaced with, or joined by, for a device type before ECKD (older-ckd-devices 2)."""
    if kind.track_overflow:
        yield CommandCode.WRITE_SPECIAL_CKD, Rule(older.write_special, keeps=_COUNTED)
    yield CommandCode.SPACE_COUNT, Rule(older.space_count, positioned=True, minimum=3, parameters=3)
    yield CommandCode.ERASE, Rule(older.erase)
    yield CommandCode.WRITE_RECORD_ZERO, Rule(older.write_r0, keeps=_COUNTED, physical=True)
    yield CommandCode.WRITE_HOME_ADDRESS, Rule(older.write_home_address, positioned=True, keeps=_HOME, physical=True)
    if kind.vary_sensing:
        yield CommandCode.PERFORM_SUBSYSTEM_FUNCTION, Rule(positioning.no_operation, immediate=True)


def rules_for(profile: Profile, kind: DeviceType, geometry: Geometry) -> dict[int, Rule]:
    """Return the commands that a control unit of this profile knows for a device of this kind, by code."""
    absent = profile.absent | kind.absent | (frozenset() if geometry.sectors else _SECTOR_COMMANDS)
    rules = {int(code): rule for code, rule in _rows(profile) if code not in absent}
    if kind.before_eckd:
        rules |= {int(code): rule for code, rule in _before_eckd_rows(kind)}
    return rules


def with_sense_id(rules: dict[int, Rule], exists: bool) -> dict[int, Rule]:
    """Return the rules with Sense ID, or without it, whatever the device type has."""
    return {code: rule for code, rule in rules.items() if code != CommandCode.SENSE_ID} | (
        {int(CommandCode.SENSE_ID): Rule(self_description.sense_id)} if exists else {}
    )


# Commands that change tracks: what a primary in critical state refuses to a host.
WRITE_COMMANDS: frozenset[int] = frozenset(int(code) for code, _ in _write_rows())

# Commands that move the access or wait for the track to come round.
_MOVES: frozenset[int] = frozenset(
    map(int, (CommandCode.SEEK, CommandCode.SEEK_CYLINDER, CommandCode.SEEK_HEAD, CommandCode.SET_SECTOR,
              CommandCode.RECALIBRATE))
)
# Commands that read or write tracks, or lead to them: what a PPRC secondary or a bridge volume refuses to a host.
DATA_COMMANDS: frozenset[int] = frozenset(
    int(code)
    for rows in (_search_rows(), _read_rows(), _write_rows(), _locate_rows(PROFILES["2107"]))
    for code, _ in rows
)
# Commands that look at tracks: Read Sector too, which finds where a record begins.
TRACK_COMMANDS: frozenset[int] = DATA_COMMANDS | {int(CommandCode.READ_SECTOR)}
# What a device that is not ready does not do.
NEEDS_READY: frozenset[int] = DATA_COMMANDS | _MOVES
