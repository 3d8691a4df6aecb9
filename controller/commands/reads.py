"""Read commands: data, key, count, R0, home address, whole tracks.

A record with DL = 0 ends reads that include data with unit exception. Source: eckd-commands 3.6.
"""

from __future__ import annotations

from ccw.tracks import Record
from controller.commands.chain import ChainState, Orientation
from controller.commands.checks import (
    NOT_AUTHORISED,
    command_reject,
    invalid_sequence,
)
from controller.commands.domain import LocateOrientation, Operation
from controller.commands.ending import END_OF_FILE, NORMAL_END, Ending
from controller.commands.orientation import advance_track, next_record, remaining_records
from controller.commands.outcome import Command
from controller.commands.overflow import plain, read_on
from controller.commands.searches import home_address

MULTITRACK = 0x80
AUTHORITY = 0x06
END_OF_TRACK = b"\xff" * 8
FLAG_BEFORE_END = 9
UPDATES = frozenset({Operation.WRITE_DATA, Operation.WRITE_ANY})
AFTER_LOCATE = frozenset({0x47, 0x4B, 0xE7})
_AT_COUNT, _AT_KEY, _AT_DATA = Orientation.COUNT, Orientation.KEY, Orientation.DATA  # looked up once: reads are hot


def read_data(chain: ChainState, command: Command) -> Ending:
    """Read Data 06/86: data of this record (from COUNT or KEY), else of the next user record."""
    orientation = chain.orientation
    if orientation is _AT_COUNT or orientation is _AT_KEY:
        record = chain.current_records()[chain.current]
    else:
        record = next_record(chain, multitrack=command.code >= MULTITRACK)
    chain.orientation = _AT_DATA
    data = record.data
    if chain.device.kind.track_overflow:
        record, data = read_on(chain, record, data)
    return (NORMAL_END if record.data else END_OF_FILE), data, len(data)


def read_key_and_data(chain: ChainState, command: Command) -> Ending:
    """Read Key and Data 0E/8E: of this record from COUNT, else of the next user record."""
    if chain.orientation is Orientation.COUNT:
        record = chain.current_records()[chain.current]
    else:
        record = next_record(chain, multitrack=command.code >= MULTITRACK)
    chain.orientation = Orientation.DATA
    data = record.key + record.data
    if chain.device.kind.track_overflow:
        record, data = read_on(chain, record, data)
    return (NORMAL_END if record.data else END_OF_FILE), data, len(data)


def read_count(chain: ChainState, command: Command) -> Ending:
    """Read Count 12/92: the count area of the next user record, 8 bytes. In a write domain only as its suffix."""
    domain = chain.domain
    if domain is not None and domain.operation in UPDATES and not domain.is_suffix():
        raise invalid_sequence()
    count = next_record(chain, multitrack=command.code >= MULTITRACK).count
    return NORMAL_END, plain(count) if chain.device.kind.track_overflow else count, 8


def read_count_key_data(chain: ChainState, command: Command) -> Ending:
    """Read CKD 1E/9E: count, key and data of the next user record."""
    return _whole(chain, next_record(chain, multitrack=command.code >= MULTITRACK))


def read_r0(chain: ChainState, command: Command) -> Ending:
    """Read R0 16/96: count, key and data of R0; 96 outside a domain goes one track further first."""
    _require_locate(chain, LocateOrientation.HOME_ADDRESS, LocateOrientation.INDEX)
    _go_to_index(chain, command)
    return _whole(chain, next_record(chain, with_r0=True))


def read_home_address(chain: ChainState, command: Command) -> Ending:
    """Read HA 1A/9A: flag byte and CCHH, 5 bytes; 9A outside a domain goes one track further first."""
    _require_locate(chain, LocateOrientation.INDEX)
    _go_to_index(chain, command)
    chain.orientation = Orientation.HOME_ADDRESS
    return NORMAL_END, bytes((chain.home_address_flag(chain.track),)) + home_address(chain), 5


def read_special_home_address(chain: ChainState, command: Command) -> Ending:
    """Read Special HA 0A, 28 bytes (3375: 27): zeros but flag and CCHH, 9 bytes before the end.

    Outside a domain for diagnostic authority only, as the control unit reads it from the file mask.
    """
    device = chain.device
    if chain.domain is None and chain.mask & AUTHORITY not in device.profile.diagnostic_authority:
        raise command_reject(NOT_AUTHORISED)
    _require_locate(chain, LocateOrientation.INDEX)
    _go_to_index(chain, command)
    chain.orientation = Orientation.HOME_ADDRESS
    length = device.kind.special_home_address_bytes
    data = bytes(length - FLAG_BEFORE_END) + bytes((chain.home_address_flag(chain.track),)) + home_address(chain)
    return NORMAL_END, data.ljust(length, b"\0"), length


def read_multiple(chain: ChainState, command: Command) -> Ending:
    """Read Multiple CKD 5E: every record from the next user record to the end of the track, no end marker."""
    records = remaining_records(chain, with_r0=False)
    if chain.device.kind.track_overflow:
        records = [record._replace(count=plain(record.count)) for record in records]
    data = b"".join([part for record in records for part in record])
    return NORMAL_END, data, len(data)


def read_track(chain: ChainState, command: Command) -> Ending:
    """Read Track DE: the rest of the track and 8 x FF; each further one takes the next track of the domain."""
    if chain.previous not in AFTER_LOCATE and chain.previous != command.code:
        raise invalid_sequence()
    if chain.previous == command.code:
        _next_domain_track(chain)
    records = remaining_records(chain, with_r0=True)
    parts = [part for record in records for part in record]
    parts.append(END_OF_TRACK)
    data = b"".join(parts)
    return NORMAL_END, data, len(data)


def read_track_data(chain: ChainState, command: Command) -> Ending:
    """Read Track Data A6: data areas only, R1 to the end of the track; the locate's length bounds the last track."""
    domain = chain.domain
    if domain is None or not domain.extended:
        raise invalid_sequence()
    if chain.previous not in AFTER_LOCATE:
        advance_track(chain)
    data = b"".join([record.data for record in remaining_records(chain, with_r0=False)])
    if domain.count == 1 and domain.length_valid:
        data = data[: domain.transfer_length]
    return NORMAL_END, data, len(data)


def read_ipl(chain: ChainState, command: Command) -> Ending:
    """Read IPL 02: seek to cylinder 0 head 0 and read the data of its first user record."""
    if chain.extent_defined or chain.extent_mask_set or chain.space_counted:
        raise invalid_sequence()
    chain.seek(0)
    chain.positioned = True
    chain.ipl_read = True
    data = next_record(chain).data
    chain.orientation = Orientation.DATA
    return (NORMAL_END if data else END_OF_FILE), data, len(data)


def _whole(chain: ChainState, record: Record) -> Ending:
    chain.orientation = Orientation.DATA
    data = record.count + record.key + record.data
    if chain.device.kind.track_overflow:
        record, data = read_on(chain, record, plain(record.count) + record.key + record.data)
    return (NORMAL_END if record.data else END_OF_FILE), data, len(data)


def _go_to_index(chain: ChainState, command: Command) -> None:
    if command.code >= MULTITRACK and chain.domain is None:
        advance_track(chain)
    else:
        chain.rewind()


def _require_locate(chain: ChainState, *orientations: LocateOrientation) -> None:
    """A Read domain lets R0 and home address be read only behind a locate to them."""
    domain = chain.domain
    if domain is not None and domain.operation is Operation.READ and domain.orientation not in orientations:
        raise invalid_sequence()


def _next_domain_track(chain: ChainState) -> None:
    domain = chain.domain
    if domain is not None and domain.operation is Operation.READ_TRACKSET:
        done = domain.total - domain.count
        chain.seek(domain.tracks[done])
    else:
        advance_track(chain)
