"""Channel programs a host sends: PPRC orders and queries, records and tracks, sense and self-description.

Each function returns a ChannelProgram; what it reads is in `ProgramResult.data`, or `.reads` command by command.
Source: eckd-commands 3 (parameters), pprc-commands 2-4 (orders, golden vectors V1, V2, V5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from ccw.ccws import CcwFlag, CommandCode
from ccw.eckd import DefineExtent, LocateRecord, PrepareForReadSubsystemData
from ccw.geometry import Cchh
from ccw.pprc import (
    FORMAT,
    ConsistencyGroup,
    DefineBridgeVolume,
    DeletePair,
    DeletePath,
    EstablishPair,
    EstablishPath,
    Order,
    PathDescriptor,
    PathFlag,
    PprcHeader,
    PprcOrder,
    RecoverOption,
    RecoverPair,
    SuspendPair,
)
from host_emulator.channel import ChannelProgram
from host_emulator.program import ProgramBuilder

SENSE_LENGTH = 32
SENSE_ID_LENGTH = 256
CHARACTERISTICS_LENGTH = 64
CONFIGURATION_LENGTH = 256
QUERY_LENGTH = 0xFFFF
TRACK_LENGTH = 0xFFFF

PREPARE_FOR_READ = 0x18
SUBORDER_PPRC_QUERY = 0x50
SCOPE_PATHS, SCOPE_VOLUME, SCOPE_QUEUE = 1, 2, 3

# Define Extent, byte 0 and byte 1; Locate Record, bytes 0, 1 and 13. Source: eckd-commands 3.8, 3.9.
_MASK_ALL_WRITES = 0x80 | 0x40
_MASK_UPDATE = 0x80
_MASK_NO_WRITES = 0x40
_ECKD = 0xC0
_OPERATION_WRITE_DATA, _OPERATION_FORMAT, _OPERATION_READ_DATA, _OPERATION_READ_TRACKS = 0x01, 0x03, 0x06, 0x4C
_OPERATION_FORMAT_FROM_HA = 0x43
_LENGTH_FACTOR_VALID = 0x80
_NO_SECTOR = 0xFF

_LINK_TYPE_ESCON = 1


class System(NamedTuple):
    """One storage system and control-unit image, as PPRC orders name it."""

    ssid: int
    lss: int
    serial: str  # up to 12 characters 0-9, A-Z

    @classmethod
    def of_text(cls, text: str) -> System | None:
        """What SSID:LSS:SERIAL names (4 and 2 hexadecimal digits, 1 to 12 of 0-9 A-Z); None for any other text."""
        match = re.fullmatch("([0-9A-Fa-f]{4}):([0-9A-Fa-f]{2}):([0-9A-Z]{1,12})", text)
        return None if match is None else cls(int(match[1], 16), int(match[2], 16), match[3])

    @property
    def identity(self) -> bytes:
        """12 bytes EBCDIC, right-justified, filled with zeros (the digit)."""
        return self.serial.rjust(12, "0").encode("cp037")


NOBODY = System(0, 0, "")


class NewRecord(NamedTuple):
    """A record to be formatted."""

    data: bytes
    key: bytes = b""


# PPRC orders


def establish_path(
    primary: System,
    secondary: System,
    links: Sequence[int | PathDescriptor],
    *,
    consistency_group: bool = False,
    reset_host_path: bool = False,
    seconds: int = 0,
) -> EstablishPath:
    """D0 for ESCON links; a link given by its outgoing port (SAID) alone is point-to-point.

    `seconds` of extended long busy, 0: 120.
    """
    paths = tuple(PathDescriptor(link, 0, 0) if isinstance(link, int) else link for link in links)
    flags = (PathFlag.CONSISTENCY_GROUP if consistency_group else 0) | (
        PathFlag.RESET_HOST_PATH if reset_host_path else 0
    )
    header = order_header(Order.ESTABLISH_PATH, 48 + 8 * len(paths), primary, secondary, flags=int(flags))
    return EstablishPath(header, _LINK_TYPE_ESCON, elb_seconds=seconds, paths=paths)


def delete_path(primary: System, secondary: System) -> DeletePath:
    """D1 for all paths between two control-unit images."""
    return DeletePath(order_header(Order.DELETE_PATH, 48, primary, secondary), _LINK_TYPE_ESCON)


def define_bridge(system: System, device: int, role: int, number: int) -> DefineBridgeVolume:
    """D8. `role`: 0 undefine, 1/2 primary/secondary data bridge, 3/4 primary/secondary status bridge."""
    header = order_header(Order.DEFINE_BRIDGE_VOLUME, 48, system, None, device)
    return DefineBridgeVolume(header, role, number)


def establish_pair(
    primary: System,
    secondary: System,
    device: int,
    secondary_device: int,
    *,
    mode: int = 0,
    option: int = 0,
    action: int = 0,
    pace: int = 15,
    bridge_role: int = 0,
    bridge_number: int = 0,
    flags: int = 0,
) -> EstablishPair:
    """D2. `mode`: 0 copy, 1 nocopy, 2 resync. `option`: 0 synchronous, 1 extended distance. `action`: 1 failover, 2
    failback. `pace` 0: not given. `flags`: ccw.pprc_flags.PairFlag.
    """
    header = order_header(Order.ESTABLISH_PAIR, 64, primary, secondary, device, secondary_device, flags)
    return EstablishPair(header, mode, option, action, pace, bridge_role, bridge_number)


def delete_pair(
    primary: System, secondary: System, device: int, secondary_device: int, *, unconditional: bool = False
) -> DeletePair:
    """D3."""
    flags = 0x40 if unconditional else 0
    return DeletePair(order_header(Order.DELETE_PAIR, 48, primary, secondary, device, secondary_device, flags))


def suspend_pair(
    primary: System, secondary: System, device: int, secondary_device: int, *, flags: int = 0
) -> SuspendPair:
    """D4, for the primary or the secondary. `flags`: ccw.pprc_flags.SuspendFlag."""
    return SuspendPair(order_header(Order.SUSPEND_PAIR, 56, primary, secondary, device, secondary_device, flags))


def recover_pair(
    primary: System,
    secondary: System,
    device: int,
    secondary_device: int,
    *,
    old_serial: str | None = None,
    new_serial: str | None = None,
) -> RecoverPair:
    """D5, for the secondary. `old_serial` is compared with the volume's, `new_serial` becomes it."""
    header = order_header(Order.RECOVER_PAIR, 56, primary, secondary, device, secondary_device)
    options = (RecoverOption.CHECK_OLD_SERIAL if old_serial is not None else 0) | (
        RecoverOption.WRITE_NEW_SERIAL if new_serial is not None else 0
    )
    old, new = ((serial or "").ljust(6).encode("cp037") for serial in (old_serial, new_serial))
    return RecoverPair(header, int(options), old_volume_serial=old, new_volume_serial=new)


def consistency_group(primary: System, secondary: System, *, run: bool = False, seconds: int = 0) -> ConsistencyGroup:
    """D6: FREEZE, or RUN. `seconds` of extended long busy, 0: as Establish Path said."""
    selector = 2 if run else 1
    header = order_header(Order.CONSISTENCY_GROUP, 48, primary, secondary)
    return ConsistencyGroup(replace(header, selector=selector), seconds)


def order_header(
    order: int,
    length: int,
    primary: System,
    secondary: System | None,
    device: int = 0,
    secondary_device: int = 0,
    flags: int = 0,
) -> PprcHeader:
    """The common header as a host sends it: request sequence zero. No secondary: its fields are zero."""
    other = secondary or NOBODY
    return PprcHeader(
        order=int(order),
        flags=flags,
        length=length,
        format=FORMAT,
        selector=0,
        request_sequence=0,
        primary_ssid=primary.ssid,
        primary_lss=primary.lss,
        primary_cca=device,
        secondary_ssid=other.ssid,
        secondary_lss=other.lss,
        secondary_cca=secondary_device,
        primary_identity=primary.identity,
        secondary_identity=other.identity if secondary else bytes(12),
    )


def pprc(order: PprcOrder) -> ChannelProgram:
    """Perform Subsystem Function with an order."""
    builder = ProgramBuilder()
    builder.write(CommandCode.PERFORM_SUBSYSTEM_FUNCTION, order.encode())
    return builder.build()


def query(scope: int, length: int = QUERY_LENGTH) -> ChannelProgram:
    """A PPRC query: scope 1 paths, 2 volume, 3 queue, 4 extended. The reply is the only data."""
    return subsystem_data(SUBORDER_PPRC_QUERY, bytes((scope, 0, 0, 0, 0)), length)


def subsystem_data(suborder: int, parameters: bytes, length: int) -> ChannelProgram:
    """Prepare for Read Subsystem Data, then Read Subsystem Data of up to `length` bytes."""
    prepare = PrepareForReadSubsystemData(PREPARE_FOR_READ, 0, bytes(2), 0, 0, suborder, parameters)
    builder = ProgramBuilder()
    builder.write(CommandCode.PERFORM_SUBSYSTEM_FUNCTION, prepare.encode(), CcwFlag.SLI)
    builder.read(CommandCode.READ_SUBSYSTEM_DATA, length, CcwFlag.SLI)
    return builder.build()


# Sense and self-description


def sense() -> ChannelProgram:
    """Basic Sense, 32 bytes."""
    return _single_read(CommandCode.SENSE, SENSE_LENGTH)


def sense_id() -> ChannelProgram:
    """Sense ID."""
    return _single_read(CommandCode.SENSE_ID, SENSE_ID_LENGTH)


def read_device_characteristics() -> ChannelProgram:
    """Read Device Characteristics, 64 bytes."""
    return _single_read(CommandCode.READ_DEVICE_CHARACTERISTICS, CHARACTERISTICS_LENGTH)


def read_configuration_data() -> ChannelProgram:
    """Read Configuration Data, 256 bytes."""
    return _single_read(CommandCode.READ_CONFIGURATION_DATA, CONFIGURATION_LENGTH)


def no_operation() -> ChannelProgram:
    """No-Operation."""
    builder = ProgramBuilder()
    builder.immediate(CommandCode.NO_OPERATION)
    return builder.build()


def _single_read(code: int, length: int) -> ChannelProgram:
    builder = ProgramBuilder()
    builder.read(code, length, CcwFlag.SLI)
    return builder.build()


# Records and tracks


def read_record(track: Cchh, record: int, length: int = TRACK_LENGTH) -> ChannelProgram:
    """Data of one record, up to `length` bytes: Define Extent, Locate Record, Read Data."""
    builder = _located(track, record, _MASK_NO_WRITES, _OPERATION_READ_DATA, count=1)
    builder.read(CommandCode.READ_DATA, length, CcwFlag.SLI)
    return builder.build()


def read_record_by_search(track: Cchh, record: int, length: int = TRACK_LENGTH) -> ChannelProgram:
    """The same without Locate Record: Seek, Search ID Equal, transfer in channel back to the search, Read Data."""
    address = track.pack()
    builder = ProgramBuilder()
    builder.write(CommandCode.SEEK, bytes(2) + address)
    search = builder.write(CommandCode.SEARCH_ID_EQUAL, address + bytes((record,)))
    builder.transfer(search)
    builder.read(CommandCode.READ_DATA, length, CcwFlag.SLI)
    return builder.build()


def write_record(track: Cchh, record: int, data: bytes) -> ChannelProgram:
    """Update the data of one record, whose length must be that of `data`."""
    builder = _located(track, record, _MASK_UPDATE, _OPERATION_WRITE_DATA, count=1, length_factor=len(data))
    builder.write(CommandCode.WRITE_UPDATE_DATA, data)
    return builder.build()


def read_track(track: Cchh) -> ChannelProgram:
    """All records of a track, R0 first, eight FF at the end: one Read Track."""
    builder = _located(track, 0, _MASK_NO_WRITES, _OPERATION_READ_TRACKS, count=1)
    builder.read(CommandCode.READ_TRACK, TRACK_LENGTH, CcwFlag.SLI)
    return builder.build()


def format_track(track: Cchh, records: Sequence[NewRecord]) -> ChannelProgram:
    """Write R1, R2 ... behind R0; what was on the track before is gone. At least one record."""
    builder = _located(track, 0, _MASK_ALL_WRITES, _OPERATION_FORMAT, count=len(records))
    for number, record in enumerate(records, start=1):
        count = track.pack() + bytes((number, len(record.key))) + len(record.data).to_bytes(2, "big")
        builder.write(CommandCode.WRITE_COUNT_KEY_AND_DATA, count + record.key + record.data)
    return builder.build()


def _located(
    track: Cchh, record: int, mask: int, operation: int, *, count: int, length_factor: int = 0
) -> ProgramBuilder:
    """Define Extent over one track and Locate Record on it."""
    extent = DefineExtent(mask, _ECKD, 0, 0, 0, 0, track, track)
    auxiliary = _LENGTH_FACTOR_VALID if length_factor else 0
    search = track.pack() + bytes((record,))
    locate = LocateRecord(operation, auxiliary, 0, count, track, search, _NO_SECTOR, length_factor)
    builder = ProgramBuilder()
    builder.write(CommandCode.DEFINE_EXTENT, extent.encode())
    builder.write(CommandCode.LOCATE_RECORD, locate.encode())
    return builder


class KeyedRecord(Protocol):
    """A record to be formatted, with its number."""

    @property
    def number(self) -> int: ...

    @property
    def key(self) -> bytes: ...

    @property
    def data(self) -> bytes: ...


def format_whole_track(track: Cchh, records: Sequence[KeyedRecord]) -> ChannelProgram:
    """Write standard R0, which erases the track, then the records with the numbers they have; perhaps none."""
    builder = _located(track, 0, _MASK_ALL_WRITES, _OPERATION_FORMAT_FROM_HA, count=len(records) + 1)
    address = track.pack()
    builder.write(CommandCode.WRITE_RECORD_ZERO, address + b"\0\0\0\x08" + bytes(8))
    for record in records:
        count = address + bytes((record.number, len(record.key))) + len(record.data).to_bytes(2, "big")
        builder.write(CommandCode.WRITE_COUNT_KEY_AND_DATA, count + record.key + record.data)
    return builder.build()


def put_record(identifier: bytes, data: bytes) -> ChannelProgram:
    """Write the data of the record CCHHR, whatever its length: a short one is filled up with zeros by the device."""
    builder = ProgramBuilder()
    builder.write(CommandCode.SEEK, bytes(2) + identifier[:4])
    search = builder.write(CommandCode.SEARCH_ID_EQUAL, identifier)
    builder.transfer(search)
    builder.write(CommandCode.WRITE_DATA, data, CcwFlag.SLI)
    return builder.build()
