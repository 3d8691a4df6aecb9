"""Define Extent, Locate Record, Locate Record Extended, Prefix: they say what the rest of the chain may do.

Source: eckd-commands 3.8-3.11; the step numbers in the comments are those of 3.9.3.
"""

from __future__ import annotations

from ccw.eckd import DefineExtent, LocateRecord, LocateRecordExtended
from controller.commands.chain import ChainState, Orientation
from controller.commands.checks import (
    COMMAND_REJECT,
    STATUS_NOT_AS_REQUIRED,
    count_too_small,
    file_protected,
    invalid_parameter,
    invalid_sequence,
    no_record_found,
    write_inhibited,
)
from controller.commands.domain import (
    ONE_TRACK_OPERATIONS,
    TRACKSET_OPERATIONS,
    WRITE_OPERATIONS,
    Domain,
    LocateOrientation,
    Operation,
)
from controller.commands.ending import NORMAL_END, Ending
from controller.commands.orientation import locate_record, step_over_r0
from controller.commands.outcome import Command, UnitCheck
from controller.commands.positioning import NO_SECTOR, effective_mask
from controller.commands.searches import home_address

LOCATE_BYTES = 16
LOCATE_EXTENDED_BYTES = 20
PREFIX_BYTES = 64
EXTENSION_FORMAT_AT = 8  # byte 24 of the long Define Extent, which must be zero
PREFIX_EXTENT_AT = 12
PREFIX_LOCATE_AT = 44

ECKD_ATTRIBUTES = 0xC0
CACHE_FAST_WRITE = 0x02
REGULAR_R0 = 0x04
KNOWN_EXTENDED_ATTRIBUTES = 0x40 | 0x08 | REGULAR_R0 | 0x02
LENGTH_VALID = 0x80
COUNT_SUFFIX = 0x01
WRITE_CONTROL = 0xC0
TRACK_SET_OF_ONE = b"\x01"
ALIAS_CHANGED = 0x67
PREFIX_EXTENT_VALID = 0x80
PREFIX_VERIFY_BASE = 0x20 | 0x10
PREFIX_SUSPEND_RECONNECTION = 0x80

# Operation byte -> operation (3.9.2); Locate Record Extended has no Orient (3.10).
_LOCATE_BYTES_VALID: dict[int, Operation] = {
    byte0: Operation(byte0 & 0x3F)
    for byte0 in bytes.fromhex("004080 0181 0343C3 064686 0B 0C4C 165696D6")
}
# (operation byte, extended operation) -> operation; Linux sends 23 for 13.
_EXTENDED_VALID: dict[tuple[int, int], Operation] = {
    **{(byte0, 0): operation for byte0, operation in _LOCATE_BYTES_VALID.items() if operation is not Operation.ORIENT},
    (0x3F, 0x09): Operation.WRITE_ANY,
    (0x3F, 0x0A): Operation.READ_ANY,
    (0x3F, 0x0E): Operation.READ_TRACKSET,
    (0x7F, 0x0E): Operation.READ_TRACKSET,
    (0x3F, 0x10): Operation.PRESTAGE_TRACKSET,
    (0x7F, 0x10): Operation.PRESTAGE_TRACKSET,
    (0x3F, 0x11): Operation.WRITE_TRACKSET,
    (0x7F, 0x11): Operation.WRITE_TRACKSET,
    (0x3F, 0x13): Operation.UPDATE_WRITE_TRACKSET,
    (0xBF, 0x13): Operation.UPDATE_WRITE_TRACKSET,
    (0x3F, 0x23): Operation.UPDATE_WRITE_TRACKSET,
    (0xBF, 0x23): Operation.UPDATE_WRITE_TRACKSET,
}
_LATER_OPERATIONS = frozenset({Operation.READ_TRACKS, Operation.READ})
# A hint, and a write that brings whole tracks: nothing on the track needs to be found for them.
_NO_SEARCH = frozenset({Operation.PRESTAGE_TRACKSET, Operation.WRITE_TRACKSET})
_SUFFIX_ALLOWED = frozenset({Operation.WRITE_DATA, Operation.READ})
_EXTENDED_SUFFIX_ALLOWED = _SUFFIX_ALLOWED | {Operation.READ_DATA, Operation.WRITE_ANY, Operation.READ_ANY}
# Mask bits 0-1 under which an operation is allowed (3.9.3 step 5; 3.7.1).
_MASKS_ALLOWED: dict[Operation, frozenset[int]] = {
    Operation.WRITE_DATA: frozenset({0x00, 0x80, 0xC0}),
    Operation.WRITE_TRACK: frozenset({0x00, 0x80, 0xC0}),
    Operation.WRITE_ANY: frozenset({0x00, 0x80, 0xC0}),
    Operation.UPDATE_WRITE_TRACKSET: frozenset({0x00, 0x80, 0xC0}),
    Operation.FORMAT_WRITE: frozenset({0x00, 0xC0}),
    Operation.WRITE_TRACKSET: frozenset({0x00, 0xC0}),
}


def define_extent(chain: ChainState, command: Command) -> Ending:
    """Define Extent 63: file mask, attributes, block size, first and last track; 16 bytes, or 32."""
    data = command.data
    length = DefineExtent.length(data)
    if len(data) < length:
        raise count_too_small()
    if chain.domain is not None:
        raise invalid_sequence()
    _take_extent(chain, DefineExtent.decode(data[:length]), one_track=False)
    return NORMAL_END, b"", length


def locate(chain: ChainState, command: Command) -> Ending:
    """Locate Record 47: 16 bytes."""
    _may_locate(chain)
    data = command.data[:LOCATE_BYTES]
    request = LocateRecord.decode(data)
    operation = _LOCATE_BYTES_VALID.get(request.operation)
    if operation is None or (operation in _LATER_OPERATIONS and chain.device.profile.short_locate):
        raise invalid_parameter()
    _check_authority(chain, operation)
    _check_flags(request, operation, _SUFFIX_ALLOWED)
    track = _check_position(chain, request)
    _open_domain(chain, request, operation, data, track, tracks=())
    return NORMAL_END, b"", LOCATE_BYTES


def locate_extended(chain: ChainState, command: Command) -> Ending:
    """Locate Record Extended 4B: 20 bytes and extended parameters."""
    return NORMAL_END, b"", _take_locate_extended(chain, command.data)


def prefix(chain: ChainState, command: Command) -> Ending:
    """Prefix E7: 64 bytes and extended parameters; Define Extent and, in format 1, Locate Record Extended in one."""
    data = command.data
    form, validity = data[0], data[1]
    if chain.domain is not None:
        raise invalid_sequence()
    if form not in (0x00, 0x01):
        raise invalid_parameter()
    if validity & PREFIX_VERIFY_BASE and data[2] != chain.device.settings.base_address:
        raise UnitCheck(COMMAND_REJECT, 0, STATUS_NOT_AS_REQUIRED, ALIAS_CHANGED)
    if data[3] & PREFIX_SUSPEND_RECONNECTION:
        chain.reconnection_suspended = True
    if validity & PREFIX_EXTENT_VALID:
        parameters = data[PREFIX_EXTENT_AT:PREFIX_LOCATE_AT]
        extent = DefineExtent.decode(parameters[: DefineExtent.length(parameters)])
        one_track = form == 0x01 and _EXTENDED_VALID.get((data[44], data[61])) in ONE_TRACK_OPERATIONS
        _take_extent(chain, extent, one_track=one_track)
    if form == 0x00:
        return NORMAL_END, b"", PREFIX_BYTES
    used = _take_locate_extended(chain, data[PREFIX_LOCATE_AT:])
    return NORMAL_END, b"", PREFIX_LOCATE_AT + used


def _take_extent(chain: ChainState, extent: DefineExtent, *, one_track: bool) -> None:
    """Judge and take over a Define Extent. `one_track` (Read Any, Write Any): only the first track is looked at.

    A second one in the chain may only narrow the extent; anything else about it is a matter of sequence.
    """
    if chain.extent_mask_set or (chain.ipl_read and chain.device.geometry.device_type == 0x3390):
        raise invalid_sequence()
    device = chain.device
    geometry = device.geometry
    attributes = extent.global_attributes
    block_size = extent.block_size or device.largest_block
    if chain.extent_defined and not _repeats(chain, extent, block_size):
        raise invalid_sequence()
    mask = effective_mask(chain, extent.file_mask)
    if (
        attributes & ECKD_ATTRIBUTES != ECKD_ATTRIBUTES
        or attributes >> 2 & 7 in (6, 7)
        or block_size > device.largest_block
        or (extent.fast_write_id and not attributes & CACHE_FAST_WRITE)
        or extent.additional_attributes
        or extent.extended_attributes & ~KNOWN_EXTENDED_ATTRIBUTES
        or (extent.extended and extent.extended[EXTENSION_FORMAT_AT])
    ):
        raise invalid_parameter()
    if not geometry.contains(extent.first) or not (one_track or geometry.contains(extent.last)):
        raise invalid_parameter()
    first = geometry.track_of(extent.first)
    last = first if one_track else geometry.track_of(extent.last)
    if last < first:
        raise invalid_parameter()
    if chain.extent_defined and not (chain.first_track <= first and last <= chain.last_track):
        raise invalid_sequence()
    chain.raw_mask = extent.file_mask
    chain.mask, chain.attributes, chain.block_size = mask, attributes, block_size
    chain.first_track, chain.last_track = first, last
    chain.regular_r0 = bool(extent.extended_attributes & REGULAR_R0)
    chain.extent_defined = True
    chain.rewind()


def _repeats(chain: ChainState, extent: DefineExtent, block_size: int) -> bool:
    """Are mask, attributes and block size of a second Define Extent those of the first?"""
    return (extent.file_mask, extent.global_attributes, block_size) == (
        chain.raw_mask,
        chain.attributes,
        chain.block_size,
    )


def _may_locate(chain: ChainState) -> None:
    """Step 3."""
    if chain.domain is not None or not (chain.extent_defined or chain.ipl_read):
        raise invalid_sequence()


def _check_authority(chain: ChainState, operation: Operation) -> None:
    """Steps 5 and 6: file mask, then write inhibit."""
    masks = _MASKS_ALLOWED.get(operation)
    if masks is not None:
        if chain.mask & WRITE_CONTROL not in masks:
            raise invalid_sequence()
        if chain.device.settings.read_only:
            raise write_inhibited()


def _check_flags(
    request: LocateRecord | LocateRecordExtended, operation: Operation, suffix_allowed: frozenset[Operation]
) -> None:
    """Steps 7 to 9: auxiliary byte, reserved byte, count."""
    auxiliary = request.auxiliary
    suffix = auxiliary & COUNT_SUFFIX
    if (
        auxiliary & ~(LENGTH_VALID | COUNT_SUFFIX)
        or (suffix and operation not in suffix_allowed)
        or request.reserved_02
        or (request.count == 0) != (operation is Operation.ORIENT)
        or (suffix and request.count < 2)
    ):
        raise invalid_parameter()


def _take_locate_extended(chain: ChainState, data: bytes) -> int:
    """Judge and carry out the LRE in `data`; return the bytes it took, extended parameters included."""
    if len(data) < LOCATE_EXTENDED_BYTES:
        raise count_too_small()
    length = LOCATE_EXTENDED_BYTES + (data[18] << 8 | data[19])
    if len(data) < length:
        raise count_too_small()
    _may_locate(chain)
    request = LocateRecordExtended.decode(data[:length])
    operation = _EXTENDED_VALID.get((request.operation, request.extended_operation))
    if operation is None:
        raise invalid_parameter()
    _check_authority(chain, operation)
    _check_flags(request, operation, _EXTENDED_SUFFIX_ALLOWED)
    _check_extended(request, operation)
    track = _check_position(chain, request)
    tracks = _trackset(chain, request, operation, track)
    _open_domain(chain, request, operation, data[:LOCATE_BYTES], track, tracks)
    return length


def _check_extended(request: LocateRecordExtended, operation: Operation) -> None:
    """The reserved byte and the extended parameters, as far as they do not depend on the extent. Raises CR 0/4."""
    parameters = request.extended_parameters
    if operation in ONE_TRACK_OPERATIONS:
        wrong = parameters != TRACK_SET_OF_ONE
    elif operation in TRACKSET_OPERATIONS:
        wrong = (
            len(parameters) not in (1, 2)
            or not parameters[0] & 0x80
            or int.from_bytes(parameters, "big").bit_count() != request.count
        )
    else:
        wrong = bool(parameters)
    if wrong or request.reserved_16:
        raise invalid_parameter()


def _trackset(
    chain: ChainState, request: LocateRecordExtended, operation: Operation, start: int
) -> tuple[int, ...]:
    """Return the tracks from `start` on that the bitmap in the extended parameters selects. Raises FP."""
    if operation not in TRACKSET_OPERATIONS:
        return ()
    bits = int.from_bytes(request.extended_parameters, "big")
    width = 8 * len(request.extended_parameters)
    tracks = tuple(start + bit for bit in range(width) if bits >> (width - 1 - bit) & 1)
    if any(not chain.first_track <= track <= chain.last_track for track in tracks):
        raise file_protected()
    return tracks


def _check_position(chain: ChainState, request: LocateRecord | LocateRecordExtended) -> int:
    """Steps 10 to 13: address, extent, sector, length. Return the track to seek."""
    geometry = chain.device.geometry
    if not geometry.contains(request.seek):
        raise invalid_parameter()
    track = geometry.track_of(request.seek)
    if not chain.first_track <= track <= chain.last_track:
        raise file_protected()
    if request.sector != NO_SECTOR and request.sector >= geometry.sectors:
        raise invalid_parameter()
    length = request.transfer_length_factor
    if bool(length) != bool(request.auxiliary & LENGTH_VALID) or length > chain.block_size:
        raise invalid_parameter()
    return track


def _open_domain(
    chain: ChainState,
    request: LocateRecord | LocateRecordExtended,
    operation: Operation,
    parameters: bytes,
    track: int,
    tracks: tuple[int, ...],
) -> None:
    """Step 14, seek and search; then the domain is open."""
    length = request.transfer_length_factor
    chain.seek(track)
    chain.positioned = True
    orientation = LocateOrientation(request.operation >> 6)
    if operation in ONE_TRACK_OPERATIONS:
        step_over_r0(chain)
    elif operation not in _NO_SEARCH:
        _search(chain, orientation, request.search)
    chain.device.count_request(write=operation in WRITE_OPERATIONS, sequential=chain.attributes >> 2 & 7 in (3, 4))
    if operation is Operation.ORIENT or operation is Operation.PRESTAGE_TRACKSET:
        return
    chain.domain = Domain(
        operation=operation,
        bit=operation.bit,
        orientation=orientation,
        count=request.count,
        total=request.count,
        transfer_length=length or chain.block_size,
        length_valid=bool(length),
        suffix=bool(request.auxiliary & COUNT_SUFFIX),
        extended=isinstance(request, LocateRecordExtended),
        parameters=parameters,
        tracks=tracks,
        stays_on_track=operation in ONE_TRACK_OPERATIONS,
    )


def _search(chain: ChainState, orientation: LocateOrientation, argument: bytes) -> None:
    """Step 14. Raises NRF."""
    if orientation is LocateOrientation.HOME_ADDRESS:
        if argument[:4] != home_address(chain):
            raise no_record_found()
        chain.orientation = Orientation.HOME_ADDRESS
    elif orientation is not LocateOrientation.INDEX:
        locate_record(chain, argument)
        if orientation is LocateOrientation.DATA:
            chain.orientation = Orientation.DATA
