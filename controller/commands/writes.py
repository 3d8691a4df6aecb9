"""Write commands: update writes, format writes, whole tracks.

A short CCW is filled up with zeros; a record that does not fit is not written at all (ITF); a format write erases the
rest of the track. Source: eckd-commands 3.7; what the file mask allows: 3.7.1, what must come before: 3.7.2.
"""

from __future__ import annotations

from ccw.errors import FormatError
from ccw.tracks import Record, parse_track, track_image_length
from controller.commands.chain import ChainState, Orientation, Permission
from controller.commands.checks import (
    count_too_small,
    invalid_parameter,
    invalid_sequence,
    invalid_track_format,
    no_record_found,
    write_inhibited,
)
from controller.commands.domain import LocateOrientation, Operation
from controller.commands.ending import END_OF_FILE, NORMAL_END, Ending
from controller.commands.orientation import CKD_CONVERSION, advance_track, next_record, step_over_r0
from controller.commands.outcome import Command
from controller.commands.overflow import flagged, write_on
from controller.commands.searches import home_address
from controller.commands.sensing import length_mismatch

WRITE_CONTROL = 0xC0
INHIBIT_ALL = 0x40
UPDATE_ONLY = 0x80
ALLOW_ALL = 0xC0
COUNT_BYTES = 8
HOME_ADDRESS_BYTES = 5
HOME_ADDRESS_FLAGS = 0x03  # defective, alternate
EMPTY_TRACK_BYTES = HOME_ADDRESS_BYTES + COUNT_BYTES + 8  # home address, count area of R0, end mark
AUTHORITY = 0x06
R0_DATA_BYTES = 8
NO_COUNT = b"\xff" * COUNT_BYTES
FULL_TRACK_BYTES = 24
NEXT_TRACK_AFTER = frozenset({0x1D, 0x9D})

_MAY_UPDATE = Permission.ID_EQUAL | Permission.KEY_EQUAL
MAY_FORMAT = _MAY_UPDATE | Permission.COUNT_WRITTEN
MAY_WRITE_R0 = Permission.HOME_ADDRESS_EQUAL | Permission.HOME_ADDRESS_WRITTEN
_AT_FIELD = (Orientation.COUNT, Orientation.KEY)
_NO_FORMAT = frozenset({INHIBIT_ALL, UPDATE_ONLY})
# Names looked up once: every record that is written passes here.
_DATA, _COUNT_WRITTEN = Orientation.DATA, Permission.COUNT_WRITTEN


def write_data(chain: ChainState, command: Command) -> Ending:
    """Write Data 05: replace the data of the record the search found, or of the domain's last record."""
    _before_update(chain, _MAY_UPDATE, _AT_FIELD)
    return _update(chain, command, with_key=False, multitrack=False)


def write_key_and_data(chain: ChainState, command: Command) -> Ending:
    """Write Key and Data 0D: as 05, key included."""
    _before_update(chain, Permission.ID_EQUAL, (Orientation.COUNT,))
    return _update(chain, command, with_key=True, multitrack=False)


def write_update_data(chain: ChainState, command: Command) -> Ending:
    """Write Update Data 85: the data of the next record of the domain."""
    _not_mixed(chain, command)
    return _update(chain, command, with_key=False, multitrack=True)


def write_update_key_and_data(chain: ChainState, command: Command) -> Ending:
    """Write Update Key and Data 8D: key and data of the next record of the domain."""
    _not_mixed(chain, command)
    return _update(chain, command, with_key=True, multitrack=True)


def write_count_key_data(chain: ChainState, command: Command) -> Ending:
    """Write CKD 1D: a new record behind the current one; everything after it is erased."""
    if chain.domain is None and not chain.permissions & MAY_FORMAT:
        raise invalid_sequence()
    may_format(chain)
    step_over_r0(chain)
    return append_record(chain, command)


def write_next_track(chain: ChainState, command: Command) -> Ending:
    """Write CKD Next Track 9D: the first user record of the next track of the domain."""
    if chain.previous not in NEXT_TRACK_AFTER:
        raise invalid_sequence()
    may_format(chain)
    advance_track(chain)
    step_over_r0(chain)
    return append_record(chain, command)


def write_r0(chain: ChainState, command: Command) -> Ending:
    """Write R0 15: R0 at the index; all user records are erased."""
    domain = chain.domain
    if domain is None:
        if not chain.permissions & MAY_WRITE_R0:
            raise invalid_sequence()
    elif domain.orientation not in (LocateOrientation.HOME_ADDRESS, LocateOrientation.INDEX):
        raise invalid_sequence()
    if len(command.data) < COUNT_BYTES:
        raise count_too_small()
    count = command.data[:COUNT_BYTES]
    length = count[6] << 8 | count[7]
    _require_r0(chain, count)
    may_write_home_address(chain)
    if EMPTY_TRACK_BYTES + length > chain.device.geometry.track_size:
        raise invalid_track_format()
    data = command.data[COUNT_BYTES : COUNT_BYTES + length].ljust(length, b"\0")
    chain.replace_records([Record(count, b"", bytes(length) if chain.regular_r0 else data)])
    chain.current, chain.next = 0, 1
    chain.orientation = Orientation.DATA
    if domain is None:
        chain.permissions |= Permission.COUNT_WRITTEN
    return NORMAL_END, b"", COUNT_BYTES + length


def write_home_address(chain: ChainState, command: Command) -> Ending:
    """Write HA 19: 5 bytes, flag (02 defective, 01 alternate) and the track's CCHH; the track's records are erased.

    The flag is kept and read back. The control unit does not follow a defective track to its alternate.
    """
    if chain.domain is not None and chain.domain.orientation is not LocateOrientation.HOME_ADDRESS:
        raise invalid_sequence()
    if len(command.data) < HOME_ADDRESS_BYTES:
        raise count_too_small()
    flag = command.data[0]
    if flag & ~HOME_ADDRESS_FLAGS or command.data[1:HOME_ADDRESS_BYTES] != home_address(chain):
        raise invalid_parameter()
    may_write_home_address(chain)
    chain.replace_records([])
    chain.home_flags[chain.track] = flag
    chain.rewind()
    chain.orientation = Orientation.HOME_ADDRESS
    chain.permissions |= Permission.HOME_ADDRESS_WRITTEN
    return NORMAL_END, b"", HOME_ADDRESS_BYTES


def erase(chain: ChainState, command: Command) -> Ending:
    """Erase 11: everything from the orientation point to the end of the track goes; the content is ignored."""
    if chain.domain is None and not chain.permissions & MAY_FORMAT:
        raise invalid_sequence()
    may_format(chain)
    step_over_r0(chain)
    del chain.change_records()[chain.next :]
    chain.used_until = 0
    chain.orientation = Orientation.DATA
    return NORMAL_END, b"", command.count


def write_full_track(chain: ChainState, command: Command) -> Ending:
    """Write Full Track 95: R0 count and data, records, 8 x FF; one for each track of the set."""
    domain = chain.domain
    assert domain is not None
    done = domain.total - domain.count
    if chain.device.settings.bridge:
        chain.record = command.data
        return NORMAL_END, b"", command.count
    if len(command.data) < FULL_TRACK_BYTES:
        raise count_too_small()
    if done:
        chain.seek(domain.tracks[done])
    _require_r0(chain, command.data[:COUNT_BYTES])
    image = b"\0" + home_address(chain) + command.data
    try:
        image = image[: track_image_length(image)]
        records = parse_track(image)
    except FormatError as error:
        raise invalid_track_format() from error
    geometry = chain.device.geometry
    cells = sum([chain.device.cells(len(record.key), len(record.data)) for record in records])
    if cells - chain.device.cells(0, R0_DATA_BYTES) > geometry.track_cells:
        raise invalid_track_format()
    chain.replace_records(records)
    chain.current = len(records) - 1
    chain.next = len(records)
    chain.orientation = Orientation.DATA
    return NORMAL_END, b"", len(image) - HOME_ADDRESS_BYTES


def write_track_data(chain: ChainState, command: Command) -> Ending:
    """Write Track Data A5: the data areas of the existing user records, each as long as the locate said."""
    domain = chain.domain
    assert domain is not None
    done = domain.total - domain.count
    if done:
        chain.seek(domain.tracks[done])
    records = chain.current_records()
    if len(records) < 2:
        raise no_record_found()
    length = domain.transfer_length
    if any(len(record.data) != length for record in records[1:]):
        raise invalid_track_format()
    wanted = length * (len(records) - 1)
    data = command.data[:wanted].ljust(wanted, b"\0")
    changed = chain.change_records()
    for index in range(1, len(changed)):
        changed[index] = changed[index]._replace(data=data[(index - 1) * length : index * length])
    chain.next = len(changed)
    chain.orientation = Orientation.DATA
    return NORMAL_END, b"", wanted


def write_special(chain: ChainState, command: Command) -> Ending:
    """Write Special CKD 01: the first part of a record that overflows its track; no device here has track overflow."""
    raise invalid_sequence()


def _before_update(chain: ChainState, permission: int, orientations: tuple[Orientation, ...]) -> None:
    """What must come before 05 and 0D, outside a domain and inside."""
    domain = chain.domain
    if domain is None:
        if not chain.permissions & permission or chain.orientation not in orientations:
            raise invalid_sequence()
    elif domain.operation is Operation.WRITE_DATA and not domain.is_last_record():
        raise invalid_sequence()


def _not_mixed(chain: ChainState, command: Command) -> None:
    """85 and 8D may not be mixed in one domain."""
    domain = chain.domain
    assert domain is not None
    if domain.update_command and domain.update_command != command.code:
        raise invalid_sequence()
    domain.update_command = command.code


def _update(chain: ChainState, command: Command, *, with_key: bool, multitrack: bool) -> Ending:
    if chain.mask & WRITE_CONTROL == INHIBIT_ALL:
        raise invalid_sequence()
    device = chain.device
    if device.settings.read_only:
        raise write_inhibited()
    domain = chain.domain
    if domain is not None and domain.is_suffix():
        raise invalid_sequence()
    tracks_r0 = domain is not None and domain.operation is Operation.WRITE_TRACK
    if chain.orientation is not Orientation.KEY and (
        chain.orientation is not Orientation.COUNT or (chain.current == 0 and not tracks_r0 and domain is not None)
    ):
        next_record(chain, multitrack=multitrack)
    index = chain.current
    record = chain.current_records()[index]
    wanted = len(record.data) + (len(record.key) if with_key else 0)
    if domain is not None:
        expected = R0_DATA_BYTES if tracks_r0 and index == 0 else domain.transfer_length
        _check_length(chain, record, wanted, expected)
    if not record.data:
        chain.orientation = Orientation.DATA
        return END_OF_FILE, b"", 0
    data = command.data[:wanted].ljust(wanted, b"\0")
    key = record.key
    if with_key:
        key, data = data[: len(key)], data[len(key) :]
    records = chain.change_records()
    records[index] = Record(record.count, key, data)
    if tracks_r0 and index == 0 and domain is not None and domain.total == 1:
        del records[1:]
    chain.orientation = Orientation.DATA
    if device.kind.track_overflow:
        record, wanted = write_on(chain, record, command.data, wanted)
        return (NORMAL_END if record.data else END_OF_FILE), b"", wanted
    return NORMAL_END, b"", wanted


def _check_length(chain: ChainState, record: Record, length: int, expected: int) -> None:
    """Inside a domain a record must have the length announced. Raises ITF, or length mismatch with CKD conversion.

    With CKD conversion an end-of-file record passes: it ends with unit exception.
    """
    if length == expected:
        return
    if not chain.attributes & CKD_CONVERSION:
        raise invalid_track_format()
    if record.data:
        raise length_mismatch(chain, length)


def may_format(chain: ChainState) -> None:
    if chain.mask & WRITE_CONTROL in _NO_FORMAT:
        raise invalid_sequence()
    if chain.device.settings.read_only:
        raise write_inhibited()


def may_write_home_address(chain: ChainState) -> None:
    if chain.mask & WRITE_CONTROL != ALLOW_ALL:
        raise invalid_sequence()
    if chain.device.settings.read_only:
        raise write_inhibited()


def _require_r0(chain: ChainState, count: bytes) -> None:
    """R0 has the track's CCHH, R = 0, KL = 0, DL = 8; anything else is an invalid parameter.

    Two exceptions, both made for surface analysis: on a track whose home address is flagged R0 points to its alternate
    track, or back, and device support or diagnostic authority may write a longer R0. Source: IBM SA22-1025 for the
    rule, 2.2 for the pointer; observed: ICKDSF R13 writes both, the longer R0 under authority 01 and 11.
    """
    if count == home_address(chain) + b"\0\0\0\x08":
        return
    length = count[6] << 8 | count[7]
    longest = chain.device.largest_block - COUNT_BYTES
    if (
        count[4:6] != b"\0\0"
        or (count[:4] != home_address(chain) and not chain.home_address_flag(chain.track))
        or (length != R0_DATA_BYTES and not (chain.mask & AUTHORITY and 0 < length <= longest))
    ):
        raise invalid_parameter()


def require_room(chain: ChainState, key_length: int, data_length: int) -> None:
    """Raise ITF unless a record of these lengths fits behind the records before `chain.next`, counted if need be."""
    device = chain.device
    index = chain.next
    if chain.used_until != index or index == 1:
        earlier = chain.current_records()[:index]
        chain.used_cells = sum([device.cells(len(record.key), len(record.data)) for record in earlier])
        chain.used_cells -= device.cells(0, R0_DATA_BYTES)  # the track's cells are counted without a standard R0
        chain.used_until = index
    if chain.used_cells + device.last_cells(key_length, data_length) > device.geometry.track_cells:
        raise invalid_track_format()


def append_record(chain: ChainState, command: Command, *, overflows: bool = False) -> Ending:
    """Write a record behind the current one; what follows is erased. Raises CR 0/4 (count all ones), ITF (no room).

    `overflows`: the record is a segment that another one follows on the next track.
    """
    data = command.data
    count = data[:COUNT_BYTES].ljust(COUNT_BYTES, b"\0")
    if count == NO_COUNT:
        raise invalid_parameter()
    key_length, data_length = count[5], count[6] << 8 | count[7]
    require_room(chain, key_length, data_length)
    index = chain.next
    records = chain.change_records()
    if len(records) > index:
        del records[index:]
    wanted = COUNT_BYTES + key_length + data_length
    body = data[COUNT_BYTES:wanted].ljust(wanted - COUNT_BYTES, b"\0")
    records.append(Record(flagged(count) if overflows else count, body[:key_length], body[key_length:]))
    chain.used_cells += chain.device.cells(key_length, data_length)
    chain.used_until = chain.next = index + 1
    chain.current = index
    chain.orientation = _DATA
    if chain.domain is None:
        chain.permissions |= _COUNT_WRITTEN
    return NORMAL_END, b"", wanted
