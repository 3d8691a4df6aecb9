"""Commands as devices before ECKD have them: Space Count, Erase, Write R0, Write Home Address, Write Special CKD.

Source: older-ckd-devices 2, 2.3 and 4.1; what must come before: eckd-commands 3.7.2.
"""

from __future__ import annotations

from ccw.tracks import Record
from controller.commands.chain import ChainState, Orientation, Permission
from controller.commands.checks import (
    count_too_small,
    invalid_sequence,
    invalid_track_format,
)
from controller.commands.ending import NORMAL_END, Ending
from controller.commands.orientation import next_record, step_over_r0
from controller.commands.outcome import Command
from controller.commands.searches import home_address
from controller.commands.writes import (
    COUNT_BYTES,
    EMPTY_TRACK_BYTES,
    HOME_ADDRESS_BYTES,
    MAY_FORMAT,
    MAY_WRITE_R0,
    append_record,
    may_format,
    may_write_home_address,
    require_room,
)

SPACE_COUNT_BYTES = 3


def write_special(chain: ChainState, command: Command) -> Ending:
    """Write Special CKD 01: Write CKD of a segment that another one follows on the next track."""
    if not chain.permissions & MAY_FORMAT:
        raise invalid_sequence()
    may_format(chain)
    step_over_r0(chain)
    return append_record(chain, command, overflows=True)


def space_count(chain: ChainState, command: Command) -> Ending:
    """Space Count 0F: KL DL DL; go to the next count area and take these lengths for what it says."""
    key_length, data_length = command.data[0], command.data[1] << 8 | command.data[2]
    record = next_record(chain)
    area = (record.key + record.data)[: key_length + data_length].ljust(key_length + data_length, b"\0")
    records = list(chain.current_records())
    records[chain.current] = Record(record.count, area[:key_length], area[key_length:])
    chain.records = records  # what this chain sees from here, not what the track holds
    chain.space_counted = True
    return NORMAL_END, b"", SPACE_COUNT_BYTES


def erase(chain: ChainState, command: Command) -> Ending:
    """Erase 11: everything from the orientation point on goes; the count may say what must have fitted there."""
    if not chain.permissions & MAY_FORMAT:
        raise invalid_sequence()
    may_format(chain)
    step_over_r0(chain)
    count = command.data[:COUNT_BYTES].ljust(COUNT_BYTES, b"\0")
    key_length, data_length = count[5], count[6] << 8 | count[7]
    if key_length or data_length:
        require_room(chain, key_length, data_length)
    del chain.change_records()[chain.next :]
    chain.used_until = 0
    chain.orientation = Orientation.DATA
    return NORMAL_END, b"", COUNT_BYTES + key_length + data_length


def write_r0(chain: ChainState, command: Command) -> Ending:
    """Write R0 15: any count area, key and data that the track holds; all user records are erased."""
    if not chain.permissions & MAY_WRITE_R0:
        raise invalid_sequence()
    if len(command.data) < COUNT_BYTES:
        raise count_too_small()
    may_write_home_address(chain)
    count = command.data[:COUNT_BYTES]
    length = count[5] + (count[6] << 8 | count[7])
    geometry = chain.device.geometry
    if length > geometry.family.record_zero_length_max or EMPTY_TRACK_BYTES + length > geometry.track_size:
        raise invalid_track_format()
    area = command.data[COUNT_BYTES : COUNT_BYTES + length].ljust(length, b"\0")
    chain.replace_records([Record(count, area[: count[5]], area[count[5] :])])
    chain.current, chain.next = 0, 1
    chain.orientation = Orientation.DATA
    chain.permissions |= Permission.COUNT_WRITTEN
    return NORMAL_END, b"", COUNT_BYTES + length


def write_home_address(chain: ChainState, command: Command) -> Ending:
    """Write HA 19: skip displacement (3340: 2 bytes, 3350: 6), flag, CCHH; flag stored, records erased.

    Source: assumed, the place of the skip bytes: no source has it. A flag with the track's address right behind it is
    taken for the flag, wherever it stands.
    """
    skip = chain.device.kind.home_address_skip
    length = skip + HOME_ADDRESS_BYTES
    if len(command.data) < length:
        raise count_too_small()
    may_write_home_address(chain)
    in_front = command.data[1:HOME_ADDRESS_BYTES] == home_address(chain)
    chain.replace_records([])
    chain.home_flags[chain.track] = command.data[0 if in_front else skip]
    chain.rewind()
    chain.orientation = Orientation.HOME_ADDRESS
    chain.permissions |= Permission.HOME_ADDRESS_WRITTEN
    return NORMAL_END, b"", length
