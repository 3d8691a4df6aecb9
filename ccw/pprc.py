"""The PPRC orders D0-D8 and DA: parameter lists of Perform Subsystem Function.

Each begins with the header of pprc_header.py; its layout stands beside its class. Only the length is judged here:
decoding takes exactly the length of the order (D0, D1: 48 + 8 for each of the paths they count). Every value is kept as
it is, reserved bytes included, because what is wrong with it is a matter of sense data; `reserved_error` finds the
first byte that should be zero.

Source: pprc-commands, section 4; all of it assumed (defined by this project): the real bytes are not public.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, ClassVar, Self

from construct import Byte, Bytes, Int16ub, Int32ub, Int64ub, Struct

from ccw.errors import FormatError
from ccw.layout import Bits, Layout, Nested, wrong_length
from ccw.pprc_flags import DeleteFlag as DeleteFlag
from ccw.pprc_flags import Order as Order
from ccw.pprc_flags import OrderFlag as OrderFlag
from ccw.pprc_flags import PairFlag as PairFlag
from ccw.pprc_flags import PathDescriptorFlag as PathDescriptorFlag
from ccw.pprc_flags import PathFlag as PathFlag
from ccw.pprc_flags import RecoverOption as RecoverOption
from ccw.pprc_flags import ResyncControl as ResyncControl
from ccw.pprc_flags import SecondaryAttribute as SecondaryAttribute
from ccw.pprc_flags import StatusUpdateFlag as StatusUpdateFlag
from ccw.pprc_flags import SuspendFlag as SuspendFlag
from ccw.pprc_header import FORMAT as FORMAT
from ccw.pprc_header import HEADER_LENGTH as HEADER_LENGTH
from ccw.pprc_header import PATH_DESCRIPTOR as PATH_DESCRIPTOR
from ccw.pprc_header import PATH_DESCRIPTOR_LENGTH as PATH_DESCRIPTOR_LENGTH
from ccw.pprc_header import PATHS_OFFSET as PATHS_OFFSET
from ccw.pprc_header import PPRC_HEADER as PPRC_HEADER
from ccw.pprc_header import PathDescriptor as PathDescriptor
from ccw.pprc_header import PprcHeader as PprcHeader


class _FixedOrder:
    """An order of fixed length: a dataclass whose fields are those of LAYOUT, the first its header."""

    __slots__ = ()
    LAYOUT: ClassVar[Layout[Any]]

    def encode(self) -> bytes:
        """The parameter list. FormatError when a field does not fit."""
        return self.LAYOUT.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """FormatError unless `data` has exactly the order's length. Byte 0 is not looked at."""
        value: Self = cls.LAYOUT.decode(data)
        return value


class _PathOrder:
    """An order that ends with a list of paths; byte 41 counts them. LAYOUT is its first 48 bytes without the list."""

    __slots__ = ()
    LAYOUT: ClassVar[Layout[Any]]
    paths: tuple[PathDescriptor, ...]

    @property
    def path_count(self) -> int:
        """Byte 41."""
        return len(self.paths)

    def encode(self) -> bytes:
        """The parameter list, 48 + 8n bytes. FormatError when a field does not fit or n is above 255."""
        return self.LAYOUT.encode(self) + b"".join(map(PATH_DESCRIPTOR.encode, self.paths))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """FormatError unless 48 + 8n bytes, n being byte 41. Byte 0 is not looked at."""
        if len(data) < PATHS_OFFSET:
            raise wrong_length(cls.LAYOUT.what, data, PATHS_OFFSET)
        expected = PATHS_OFFSET + PATH_DESCRIPTOR_LENGTH * data[41]
        if len(data) != expected:
            raise wrong_length(cls.LAYOUT.what, data, expected)
        head: Self = cls.LAYOUT.decode(data[:PATHS_OFFSET])
        starts = range(PATHS_OFFSET, expected, PATH_DESCRIPTOR_LENGTH)
        paths = tuple(PATH_DESCRIPTOR.decode(data[start : start + PATH_DESCRIPTOR_LENGTH]) for start in starts)
        return replace(head, paths=paths)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class EstablishPath(_PathOrder):
    """D0, 48 + 8n bytes."""

    header: PprcHeader
    link_type: int
    purpose: int = 0
    bridge_number: int = 0
    elb_seconds: int = 0
    reserved_46: bytes = b"\0\0"
    paths: tuple[PathDescriptor, ...] = ()


EstablishPath.LAYOUT = Layout("establish path", lambda header, link_type, count, *rest: EstablishPath(
    header, link_type, *rest), Struct(
    "header" / Nested(PPRC_HEADER),                                                      # 0-39
    "link_type" / Byte * "1 ESCON, 2 FCP, 3 IP",                                         # 40
    "path_count" / Byte,                                                                 # 41
    "purpose" / Byte * "0 pairs and bridges, 1 data bridge only, 2 status bridge only",  # 42
    "bridge_number" / Byte,                                                              # 43
    "elb_seconds" / Int16ub * "extended long busy; 0 = 120",                             # 44-45
    "reserved_46" / Bytes(2),                                                            # 46-47
), PATHS_OFFSET, attrgetter("header", "link_type", "path_count", "purpose", "bridge_number", "elb_seconds",
                            "reserved_46"), describes=EstablishPath)


@dataclass(frozen=True, slots=True)
class DeletePath(_PathOrder):
    """D1, 48 + 8n bytes; n = 0 for selector 0."""

    header: PprcHeader
    link_type: int
    reserved_42: bytes = bytes(6)
    paths: tuple[PathDescriptor, ...] = ()


DeletePath.LAYOUT = Layout("delete path", lambda header, link_type, count, *rest: DeletePath(
    header, link_type, *rest), Struct(
    "header" / Nested(PPRC_HEADER),  # 0-39
    "link_type" / Byte,              # 40
    "path_count" / Byte,             # 41
    "reserved_42" / Bytes(6),        # 42-47
), PATHS_OFFSET, attrgetter("header", "link_type", "path_count", "reserved_42"), describes=DeletePath)


@dataclass(frozen=True, slots=True)
class EstablishPair(_FixedOrder):
    """D2, 64 bytes."""

    header: PprcHeader
    mode: int = 0
    option: int = 0
    action: int = 0
    pace: int = 0
    bridge_role: int = 0
    bridge_number: int = 0
    resync_control: int = 0         # ResyncControl
    reserved_47: int = 0
    pair_id: int = 0
    reserved_52: bytes = bytes(12)


EstablishPair.LAYOUT = Layout("establish pair", EstablishPair, Struct(
    "header" / Nested(PPRC_HEADER),                                          # 0-39
    "mode" / Byte * "0 COPY, 1 NOCOPY, 2 RESYNC, 3 INCRES",                  # 40
    "option" / Byte * "0 SYNC, 1 XD",                                        # 41
    "action" / Byte * "0 none, 1 FAILOVER, 2 FAILBACK, 3 MTFAILOVER",        # 42
    "pace" / Byte * "tracks; 0 means 15",                                    # 43
    "bridge_role" / Byte * "0 volume pair, 1 data bridge, 2 status bridge",  # 44
    "bridge_number" / Byte,                                                  # 45
    "resync_control" / Bits(ResyncControl),                                  # 46
    "reserved_47" / Byte,                                                    # 47
    "pair_id" / Int32ub,                                                     # 48-51
    "reserved_52" / Bytes(12),                                               # 52-63
), 64)


@dataclass(frozen=True, slots=True)
class DeletePair(_FixedOrder):
    """D3, 48 bytes."""

    header: PprcHeader
    pair_id: int = 0
    reserved_44: bytes = bytes(4)


DeletePair.LAYOUT = Layout("delete pair", DeletePair, Struct(
    "header" / Nested(PPRC_HEADER),  # 0-39
    "pair_id" / Int32ub,             # 40-43
    "reserved_44" / Bytes(4),        # 44-47
), 48)


@dataclass(frozen=True, slots=True)
class SuspendPair(_FixedOrder):
    """D4, 56 bytes."""

    header: PprcHeader
    reason: int = 0
    reserved_41: bytes = bytes(3)
    tod: int = 0
    pair_id: int = 0


SuspendPair.LAYOUT = Layout("suspend pair", SuspendPair, Struct(
    "header" / Nested(PPRC_HEADER),  # 0-39
    "reason" / Byte,                 # 40
    "reserved_41" / Bytes(3),        # 41-43
    "tod" / Int64ub,                 # 44-51
    "pair_id" / Int32ub,             # 52-55
), 56)


@dataclass(frozen=True, slots=True)
class RecoverPair(_FixedOrder):
    """D5, 56 bytes. Volume serials: 6 bytes of EBCDIC, padded with blanks."""

    header: PprcHeader
    options: int = 0                # RecoverOption
    reserved_41: bytes = bytes(3)
    old_volume_serial: bytes = b"\x40" * 6
    new_volume_serial: bytes = b"\x40" * 6


RecoverPair.LAYOUT = Layout("recover pair", RecoverPair, Struct(
    "header" / Nested(PPRC_HEADER),   # 0-39
    "options" / Bits(RecoverOption),  # 40
    "reserved_41" / Bytes(3),         # 41-43
    "old_volume_serial" / Bytes(6),   # 44-49
    "new_volume_serial" / Bytes(6),   # 50-55
), 56)


@dataclass(frozen=True, slots=True)
class ConsistencyGroup(_FixedOrder):
    """D6, 48 bytes. Selector 1 FREEZE, 2 RUN."""

    header: PprcHeader
    elb_seconds: int = 0
    reserved_42: bytes = bytes(6)


ConsistencyGroup.LAYOUT = Layout("consistency group", ConsistencyGroup, Struct(
    "header" / Nested(PPRC_HEADER),                                             # 0-39
    "elb_seconds" / Int16ub * "extended long busy; 0 = the value given on D0",  # 40-41
    "reserved_42" / Bytes(6),                                                   # 42-47
), 48)


@dataclass(frozen=True, slots=True)
class UpdateSecondaryDeviceStatus(_FixedOrder):
    """D7, 72 bytes. Selector 0 set status, 1 notify (bridge ready), 2 heartbeat."""

    header: PprcHeader
    new_state: int = 0
    expected_state: int = 0xFF
    bridge_role: int = 0
    bridge_number: int = 0
    pair_id: int = 0
    tod: int = 0
    primary_cylinders: int = 0
    tracks_per_cylinder: int = 0
    device_type: int = 0
    attributes: int = 0             # SecondaryAttribute
    reserved_65: int = 0
    window: int = 0
    first_sequence: int = 0


UpdateSecondaryDeviceStatus.LAYOUT = Layout("update secondary device status", UpdateSecondaryDeviceStatus, Struct(
    "header" / Nested(PPRC_HEADER),                     # 0-39
    "new_state" / Byte,                                 # 40
    "expected_state" / Byte * "FF: any",                # 41
    "bridge_role" / Byte,                               # 42
    "bridge_number" / Byte,                             # 43
    "pair_id" / Int32ub,                                # 44-47
    "tod" / Int64ub,                                    # 48-55
    "primary_cylinders" / Int32ub,                      # 56-59
    "tracks_per_cylinder" / Int16ub,                    # 60-61
    "device_type" / Int16ub * "packed digits, 0x3390",  # 62-63
    "attributes" / Bits(SecondaryAttribute),            # 64
    "reserved_65" / Byte,                               # 65
    "window" / Int16ub * "tracks",                      # 66-67
    "first_sequence" / Int32ub,                         # 68-71
), 72)


@dataclass(frozen=True, slots=True)
class DefineBridgeVolume(_FixedOrder):
    """D8, 48 bytes. The volume is the primary of the header; the secondary fields are zero."""

    header: PprcHeader
    role: int
    bridge_number: int
    reserved_42: bytes = bytes(6)


DefineBridgeVolume.LAYOUT = Layout("define bridge volume", DefineBridgeVolume, Struct(
    "header" / Nested(PPRC_HEADER),                                                           # 0-39
    "role" / Byte * "0 undefine, 1/2 primary/secondary data bridge, 3/4 primary/secondary status bridge",  # 40
    "bridge_number" / Byte,                                                                   # 41
    "reserved_42" / Bytes(6),                                                                 # 42-47
), 48)


@dataclass(frozen=True, slots=True)
class RemoteWritePrefix(_FixedOrder):
    """DA, 64 bytes: first command of an update chain that does not use a bridge."""

    header: PprcHeader
    pair_id: int
    update_sequence: int
    tod: int
    tracks: int
    reserved_58: bytes = bytes(6)


RemoteWritePrefix.LAYOUT = Layout("remote write prefix", RemoteWritePrefix, Struct(
    "header" / Nested(PPRC_HEADER),  # 0-39
    "pair_id" / Int32ub,             # 40-43
    "update_sequence" / Int32ub,     # 44-47
    "tod" / Int64ub,                 # 48-55
    "tracks" / Int16ub,              # 56-57
    "reserved_58" / Bytes(6),        # 58-63
), 64)


PprcOrder = (EstablishPath | DeletePath | EstablishPair | DeletePair | SuspendPair | RecoverPair | ConsistencyGroup
             | UpdateSecondaryDeviceStatus | DefineBridgeVolume | RemoteWritePrefix)

ORDERS: dict[int, type[PprcOrder]] = {
    Order.ESTABLISH_PATH: EstablishPath,
    Order.DELETE_PATH: DeletePath,
    Order.ESTABLISH_PAIR: EstablishPair,
    Order.DELETE_PAIR: DeletePair,
    Order.SUSPEND_PAIR: SuspendPair,
    Order.RECOVER_PAIR: RecoverPair,
    Order.CONSISTENCY_GROUP: ConsistencyGroup,
    Order.UPDATE_SECONDARY_DEVICE_STATUS: UpdateSecondaryDeviceStatus,
    Order.DEFINE_BRIDGE_VOLUME: DefineBridgeVolume,
    Order.REMOTE_WRITE_PREFIX: RemoteWritePrefix,
}


def order_length(data: bytes) -> int | None:
    """Bytes that the order in `data` has: for D0 and D1 48 + 8 for each path counted in byte 41 (48 while that byte is
    not there). None when byte 0 is no order. A host may send more; the rest is then ignored."""
    kind = ORDERS.get(data[0]) if data else None
    if kind is None:
        return None
    if issubclass(kind, _PathOrder) and len(data) > 41:
        return PATHS_OFFSET + PATH_DESCRIPTOR_LENGTH * data[41]
    return kind.LAYOUT.size


def decode_order(data: bytes) -> PprcOrder:
    """The order that a parameter list of exactly its length is. FormatError: unknown byte 0, or another length."""
    kind = ORDERS.get(data[0]) if data else None
    if kind is None:
        raise FormatError("PPRC order", "order", data, 0)
    return kind.decode(data)


def _reserved_offsets(layout: Layout[Any]) -> tuple[int, ...]:
    reserved = (field for field in layout.fields if field.name.startswith("reserved_"))
    return tuple(offset for field in reserved for offset in range(field.offset, field.offset + field.length))


_RESERVED = {order: _reserved_offsets(kind.LAYOUT) for order, kind in ORDERS.items()}
_DESCRIPTOR_ZERO = (PATH_DESCRIPTOR.offset_of("flags"), PATH_DESCRIPTOR.offset_of("reserved_07"))


def reserved_error(data: bytes) -> int | None:
    """Lowest offset of a reserved byte that is not zero in a whole order (path descriptors' flags count as reserved).

    None when there is none, or byte 0 is no order. Bytes that are not there count as zero.
    """
    order = data[0] if data else 0
    if order not in _RESERVED:
        return None
    offsets = list(_RESERVED[order])
    if issubclass(ORDERS[order], _PathOrder):
        starts = range(PATHS_OFFSET, order_length(data) or 0, PATH_DESCRIPTOR_LENGTH)
        offsets += [start + byte for start in starts for byte in _DESCRIPTOR_ZERO]
    return next((offset for offset in offsets if offset < len(data) and data[offset]), None)
