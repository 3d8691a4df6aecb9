"""Perform Subsystem Function and what belongs to it: Read Subsystem Data, Read Message ID, Define Subsystem Operation,
Diagnostic Control, Reset Summary Unit Check.

PPRC orders (D0-D8, DA) are only checked for their place in the chain here; the subsystem runs them.
Source: eckd-commands 3.12.
"""

from __future__ import annotations

from collections.abc import Callable

from ccw.subsystem_data import ADDRESSES, AddressEntry, AddressType, UnitAddressConfiguration
from ccw.volume_data import (
    ConfigurationFlag,
    ExtentPool,
    HostAccess,
    HostEntry,
    LogicalConfiguration,
    PoolFlag,
    StorageFlag,
    VolumeStorage,
)
from controller.commands.chain import ChainState
from controller.commands.checks import (
    NOT_AUTHORISED,
    STATUS_NOT_AS_REQUIRED,
    command_reject,
    count_too_small,
    invalid_parameter,
    invalid_sequence,
)
from controller.commands.ending import NORMAL_END, Ending, sent
from controller.commands.outcome import Command
from controller.commands.release_space import THIN, release_space, releases_space

READ_SUBSYSTEM_DATA = 0x3E
PERFORM_SUBSYSTEM_FUNCTION = 0x27
DEFINE_SUBSYSTEM_OPERATION = 0xF7
SET_SUBSYSTEM_MODE = 0x87
SUSPEND_RECONNECTION = 0x5B

NOTHING: frozenset[int] = frozenset()
ONLY_DATA = frozenset({READ_SUBSYSTEM_DATA})
ONLY_PREPARE = frozenset({PERFORM_SUBSYSTEM_FUNCTION, DEFINE_SUBSYSTEM_OPERATION})

_BEFORE_OPERATION = frozenset({DEFINE_SUBSYSTEM_OPERATION, READ_SUBSYSTEM_DATA})

PREPARE = 0x18
PPRC_ORDERS = frozenset({0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xDA})
REMOTE_WRITE_PREFIX = 0xDA
SET_INTERFACE_IDENTIFIER = 0xB0
UNKNOWN_INTERFACE = 0x34
ZERO_FLAG = 0x80  # bit 0 of the flags of every order
GROUPED = 0x10  # status of a host entry
SMALL_EXTENTS = 0x01  # 21 cylinders
AUTHORITY = 0x06
MEDIA_MAINTENANCE_QUERY = 0x12
NODE_DESCRIPTOR_AT = 96
NODE_QUALIFIER_AT = 224
NAMED_DEVICE_SUBORDERS = frozenset({0x1C, 0x52})


def perform_function(chain: ChainState, command: Command) -> Ending:
    """Perform Subsystem Function 27: byte 0 is the order, byte 1 its flags."""
    order = command.data[0]
    if chain.previous == READ_SUBSYSTEM_DATA and order != PREPARE:
        raise invalid_sequence()
    if order in PPRC_ORDERS:
        if order == REMOTE_WRITE_PREFIX and chain.position:
            raise invalid_sequence()
        chain.order = command.data
        return NORMAL_END, b"", command.count
    row = _ORDERS.get(order)
    if row is None:
        raise invalid_parameter()
    length, run = row
    if len(command.data) < length:
        raise count_too_small()
    if command.data[1] & ZERO_FLAG:
        raise invalid_parameter()
    run(chain, command.data[:length])
    return NORMAL_END, b"", length


def define_operation(chain: ChainState, command: Command) -> Ending:
    """Define Subsystem Operation F7: order 18 as in Perform Subsystem Function, and 81, which gives back space."""
    behind_first = chain.position == 1 and chain.previous == SUSPEND_RECONNECTION
    if chain.position and not behind_first and chain.previous not in _BEFORE_OPERATION:
        raise invalid_sequence()
    if releases_space(command):
        return release_space(chain, command)
    if command.data[0] != PREPARE:
        raise invalid_parameter()
    return perform_function(chain, command)


def read_subsystem_data(chain: ChainState, command: Command) -> Ending:
    """Read Subsystem Data 3E: what the order before prepared, once."""
    data = chain.prepared
    if data is None:
        raise invalid_sequence()
    chain.prepared = None
    chain.gate = ONLY_PREPARE
    return sent(data)


def read_message_id(chain: ChainState, command: Command) -> Ending:
    """Read Message ID 4E: a number from 1 upward; asked for later, the message is "none" (suborder 03)."""
    if chain.previous not in (PERFORM_SUBSYSTEM_FUNCTION, SET_SUBSYSTEM_MODE):
        raise invalid_sequence()
    chain.gate = NOTHING
    chain.device.messages += 1
    return sent(chain.device.messages.to_bytes(4, "big"))


def diagnostic_control(chain: ChainState, command: Command) -> Ending:
    """Diagnostic Control F3: with authority only; of its subcommands, media-maintenance query (12) is accepted."""
    device = chain.device
    subcommand = command.data[0]
    if subcommand != MEDIA_MAINTENANCE_QUERY or command.data[2] or command.data[3]:
        raise invalid_parameter()
    if chain.mask & AUTHORITY == 0:
        raise command_reject(NOT_AUTHORISED)
    if device.special_intercept:
        device.special_intercept = False
        raise command_reject(STATUS_NOT_AS_REQUIRED)
    return NORMAL_END, b"", 4


def reset_summary_unit_check(chain: ChainState, command: Command) -> Ending:
    """Reset Summary Unit Check F9: 16 bytes, byte 0 the reason. There never is one here."""
    return sent(bytes(16))


def _prepare(chain: ChainState, order: bytes) -> None:
    """Order 18, 12 bytes: byte 6 is the suborder, 4-5 LSS and volume, 7-11 its parameters."""
    suborder = order[6]
    if order[1] or order[2] or order[3] or (suborder not in NAMED_DEVICE_SUBORDERS and (order[4] or order[5])):
        raise invalid_parameter()
    device = chain.device
    further = device.subsystem_data.get(suborder)
    if further is not None:
        data = further(order)
    else:
        build = _SUBORDERS.get(suborder)
        if build is None:
            raise invalid_parameter()
        data = build(chain, order)
    chain.prepared = data
    chain.gate = ONLY_DATA


def _require_zero(order: bytes, start: int) -> None:
    if any(order[start:]):
        raise invalid_parameter()


def _path_status(chain: ChainState, order: bytes) -> bytes:
    _require_zero(order, 7)
    data = bytearray(24 if chain.device.profile.name == "3990-6" else 16)
    data[0], data[1], data[2] = 0xC0, 0x80, 0x80
    if len(data) > 16:
        data[16] = 1
    return bytes(data)


def _statistics(chain: ChainState, order: bytes) -> bytes:
    if order[7] not in (0x00, 0xFF) or order[8] not in (0x00, 0x01):
        raise invalid_parameter()
    _require_zero(order, 9)
    record = chain.device.statistics_record()
    return record.ljust(192, b"\0") if order[8] else record


def _no_message(chain: ChainState, order: bytes) -> bytes:
    if order[7]:
        raise invalid_parameter()
    return b"\x00\x09\x00\x00" + order[8:12] + b"\x00"


def _unit_address_configuration(chain: ChainState, order: bytes) -> bytes:
    """256 pairs (type, base address); zeros, as recorded, where the subsystem has no aliases."""
    _require_zero(order, 7)
    table, none = chain.device.unit_addresses(), AddressEntry(AddressType.NONE, 0)
    return UnitAddressConfiguration(tuple(table.get(address, none) for address in range(ADDRESSES))).encode()


def _feature_codes(chain: ChainState, order: bytes) -> bytes:
    """256 bytes; byte 8 bit 7 announces Prefix, byte 56 bit 7 that released tracks are initialised (order 81)."""
    _require_zero(order, 7)
    data = bytearray(256)
    if "prefix" in chain.device.settings.features and chain.device.profile.prefix:
        data[8] = 0x01
    if THIN in chain.device.settings.features:
        data[56] = 0x01
    return bytes(data)


def _host_access(chain: ChainState, order: bytes) -> bytes:
    """One entry for each path group that uses the device; header bytes and what is not known of a host are zeros."""
    _require_zero(order, 7)
    entries = tuple(HostEntry(GROUPED, group, bytes(8), 0, 0) for group in chain.device.paths.groups())
    return HostAccess(0, 0, 0, 0, bytes(10), 0, entries).encode()


def _volume_storage(chain: ChainState, order: bytes) -> bytes:
    """Where thin volumes are configured: all of the volume is configured, as much allocated as the array says."""
    device = chain.device
    if THIN not in device.settings.features:
        raise invalid_parameter()
    _require_zero(order, 7)
    cylinders = device.geometry.cylinders
    allocated = min(cylinders, device.cylinders_allocated())
    flags = int(StorageFlag.EXTENT_SPACE_EFFICIENT)
    return VolumeStorage(flags, 0, 0, 0, 0, bytes(2), cylinders, 0, allocated, cylinders, cylinders).encode()


def _logical_configuration(chain: ChainState, order: bytes) -> bytes:
    """Where thin volumes are configured: this system and its one extent pool, number 0, of small extents."""
    device = chain.device
    if THIN not in device.settings.features:
        raise invalid_parameter()
    _require_zero(order, 7)
    presentation, identity = device.profile.presentation, device.settings.identity
    flags = int(ConfigurationFlag.POOLS_VALID | ConfigurationFlag.VOLUME_POOL)
    pool_flags = int(PoolFlag.EXTENT_SPACE_EFFICIENT | PoolFlag.STANDARD_VOLUMES | PoolFlag.EXTENT_SIZE_VALID)
    return LogicalConfiguration(
        flags,
        0,
        f"{presentation.control_unit_type:06X}".encode("cp037"),
        f"{presentation.model:03X}".encode("cp037"),
        identity.serial[-10:].rjust(10, "0").encode("cp037"),
        pools=(ExtentPool(0, 0, 0, pool_flags, 0, SMALL_EXTENTS, 0),),
    ).encode()


def _set_special_intercept(chain: ChainState, order: bytes) -> None:
    """Order 1B: the next Diagnostic Control fails once."""
    if order[1]:
        raise invalid_parameter()
    alone = chain.position == 0 or (chain.position == 1 and chain.previous == SUSPEND_RECONNECTION)
    if not alone or chain.continues:
        raise invalid_sequence()
    chain.device.special_intercept = True


def _set_system_characteristics(chain: ChainState, order: bytes) -> None:
    """Order 1D, 66 bytes, kept for the path group."""
    if order[1]:
        raise invalid_parameter()
    device = chain.device
    device.system_characteristics[device.paths.identity(chain.path)] = order


def _set_interface_identifier(chain: ChainState, order: bytes) -> None:
    """Order B0: prepares the node descriptor (32 bytes), or descriptors and qualifiers (96)."""
    if order[1] & 0xFC or order[1] & 0x02:
        raise invalid_parameter()
    device = chain.device
    configuration = device.configuration_data
    if order[1] & 0x01:
        if order[2] << 8 | order[3] != device.settings.identity.interface_id:
            raise command_reject(STATUS_NOT_AS_REQUIRED, UNKNOWN_INTERFACE)
        data = configuration[NODE_DESCRIPTOR_AT : NODE_DESCRIPTOR_AT + 32]
    else:
        data = configuration[NODE_DESCRIPTOR_AT : NODE_DESCRIPTOR_AT + 64] + configuration[NODE_QUALIFIER_AT:]
    chain.prepared = data
    chain.gate = ONLY_DATA


def _nothing(chain: ChainState, order: bytes) -> None:
    """An order that is accepted and changes nothing: data are always on disk, and no message is ever sent."""


def _refused(chain: ChainState, order: bytes) -> None:
    """An order that is known by its length but not offered."""
    raise invalid_parameter()


_SUBORDERS: dict[int, Callable[[ChainState, bytes], bytes]] = {
    0x00: _path_status,
    0x01: _statistics,
    0x03: _no_message,
    0x0E: _unit_address_configuration,
    0x1C: _host_access,
    0x41: _feature_codes,
    0x52: _volume_storage,
    0x53: _logical_configuration,
}
# order -> (length in bytes, what it does)
_ORDERS: dict[int, tuple[int, Callable[[ChainState, bytes], None]]] = {
    0x10: (14, _nothing),
    0x11: (12, _nothing),
    0x12: (5, _refused),
    0x13: (4, _refused),
    0x14: (4, _refused),
    0x16: (4, _refused),
    PREPARE: (12, _prepare),
    0x1A: (24, _nothing),
    0x1B: (2, _set_special_intercept),
    0x1D: (66, _set_system_characteristics),
    SET_INTERFACE_IDENTIFIER: (4, _set_interface_identifier),
}
