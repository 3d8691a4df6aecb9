"""Orders of Perform Subsystem Function 27 and Define Subsystem Operation F7, besides the PPRC orders (pprc.py).

    order  length  class                          order  length  class
      10      14   OpaqueOrder (commit)             18      12   eckd.PrepareForReadSubsystemData
      11      12   OpaqueOrder (destage)            1A      24   CuirResponse
      12       5   OpaqueOrder (establish duplex)   1B       2   SetSpecialIntercept
      13       4   OpaqueOrder (terminate duplex)   1D      66   SetSystemCharacteristics
      14       4   OpaqueOrder (suspend duplex)     81  24+8n    ReleaseSpace (only with F7)
      16       4   OpaqueOrder (no name known)      B0       4   SetInterfaceIdentifier

The layout of each stands in its class's docstring. Only byte 0, the length, and the counts that lengths follow from are
judged; every other value is kept, because what is wrong with it is a matter of sense data.

Source: eckd-commands 3.12: Hercules (lengths), IBM SA22-1025, Linux DASD driver. Last two bytes of the CUIR response:
assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from construct import Byte, Bytes, Const, Int16ub, Int32ub, Int64ub, Struct

from ccw.eckd import Prefix, PrepareForReadSubsystemData
from ccw.errors import FormatError
from ccw.geometry import CCHH, Cchh
from ccw.layout import Bits, FixedFormat, Layout, Nested, wrong_length

PREFIX_WITH_ORDER = 0x02            # format of a Prefix whose last part is an order


class Order(IntEnum):
    """Byte 0 of the parameter list."""

    COMMIT = 0x10
    DESTAGE = 0x11
    ESTABLISH_DUPLEX = 0x12
    TERMINATE_DUPLEX = 0x13
    SUSPEND_DUPLEX = 0x14
    ORDER_16 = 0x16
    PREPARE_FOR_READ = 0x18
    CUIR_RESPONSE = 0x1A
    SET_SPECIAL_INTERCEPT = 0x1B
    SET_SYSTEM_CHARACTERISTICS = 0x1D
    RELEASE_SPACE = 0x81
    SET_INTERFACE_IDENTIFIER = 0xB0


RELEASE_EXTENTS_MAX = 110

OPAQUE_LENGTHS: dict[int, int] = {
    Order.COMMIT: 14, Order.DESTAGE: 12, Order.ESTABLISH_DUPLEX: 5, Order.TERMINATE_DUPLEX: 4, Order.SUSPEND_DUPLEX: 4,
    Order.ORDER_16: 4,
}


@dataclass(frozen=True, slots=True)
class OpaqueOrder:
    """An order of which only the length is public: 10 to 14 and 16."""

    order: int
    flags: int
    parameters: bytes = b""

    def encode(self) -> bytes:
        """The bytes of the order. FormatError: unknown order, or parameters of another length than it has."""
        if OPAQUE_LENGTHS.get(self.order) != OPAQUE_ORDER.size + len(self.parameters):
            raise FormatError("subsystem order", f"{self.order:02X} with {len(self.parameters)} bytes", self.parameters)
        return OPAQUE_ORDER.encode(self) + self.parameters

    @classmethod
    def decode(cls, data: bytes) -> OpaqueOrder:
        """FormatError: byte 0 is none of these orders, or not its length."""
        expected = OPAQUE_LENGTHS.get(data[0]) if data else 2
        if expected is None:
            raise FormatError("subsystem order", "order", data, 0)
        if len(data) != expected:
            raise wrong_length("subsystem order", data, expected)
        return cls(data[0], data[1], data[2:])


OPAQUE_ORDER = Layout("subsystem order", OpaqueOrder, Struct(
    "order" / Byte,                 # 0
    "flags" / Byte * "bit 0 zero",  # 1
), 2)


class CuirCondition(IntEnum):
    """Condition code of a CUIR response."""

    INVALID = 0x00
    COMPLETED = 0x01
    NOT_SUPPORTED = 0x02
    ERROR_IN_REQUEST = 0x03
    DENIED = 0x04
    LAST_PATH = 0x05
    DEVICE_ONLINE = 0x06
    VARY_FAILED = 0x07
    SOFTWARE_FAILURE = 0x08
    NOT_RECOGNISED = 0x09


@dataclass(frozen=True, slots=True)
class CuirResponse(FixedFormat):
    """Order 1A: a host answers a control-unit-initiated reconfiguration message."""

    flags: int
    condition_code: int
    chpid: int
    device_number: int
    reserved_06: int
    message_id: int
    system_id: int
    channel_subsystem: int
    subchannel_set: int
    reserved_22: int = 0


CuirResponse.LAYOUT = Layout("CUIR response", CuirResponse, Struct(
    "order" / Const(0x1A, Byte),                                    # 0
    "flags" / Byte,                                                 # 1
    "condition_code" / Byte * "a CuirCondition",                    # 2
    "chpid" / Byte * "channel-path identifier",                     # 3
    "device_number" / Int16ub,                                      # 4-5
    "reserved_06" / Int16ub,                                        # 6-7
    "message_id" / Int32ub * "of the message answered",             # 8-11
    "system_id" / Int64ub,                                          # 12-19
    "channel_subsystem" / Byte,                                     # 20
    "subchannel_set" / Byte,                                        # 21
    "reserved_22" / Int16ub,                                        # 22-23
), 24)


@dataclass(frozen=True, slots=True)
class SetSpecialIntercept(FixedFormat):
    """Order 1B: the next Diagnostic Control fails once."""

    flags: int


SetSpecialIntercept.LAYOUT = Layout("set special intercept condition", SetSpecialIntercept, Struct(
    "order" / Const(0x1B, Byte),    # 0
    "flags" / Byte * "zero",        # 1
), 2)


@dataclass(frozen=True, slots=True)
class SetSystemCharacteristics(FixedFormat):
    """Order 1D: a host says what it can do. Kept for each path group."""

    flags: int
    reserved_02: bytes
    features_06: int
    features_07: int
    parameters: bytes


SetSystemCharacteristics.LAYOUT = Layout("set system characteristics", SetSystemCharacteristics, Struct(
    "order" / Const(0x1D, Byte),                                                    # 0
    "flags" / Byte * "zero",                                                        # 1
    "reserved_02" / Bytes(4),                                                       # 2-5
    "features_06" / Byte * "Linux: C0, with parallel access volumes C8",            # 6
    "features_07" / Byte * "Linux: 88",                                             # 7
    "parameters" / Bytes(58) * "their names are not public",                        # 8-65
), 66)


class InterfaceFlag(IntFlag):
    """Byte 1 of Set Interface Identifier: bits 6-7 0 descriptors and qualifiers, 1 the descriptor of bytes 2-3 only."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    SELECT_2 = 0x02
    SELECT_1 = 0x01


@dataclass(frozen=True, slots=True)
class SetInterfaceIdentifier(FixedFormat):
    """Order B0: prepares 96 or 32 bytes of node records for Read Subsystem Data."""

    flags: int
    interface_id: int


SetInterfaceIdentifier.LAYOUT = Layout("set interface identifier", SetInterfaceIdentifier, Struct(
    "order" / Const(0xB0, Byte),                                            # 0
    "flags" / Bits(InterfaceFlag),                                          # 1
    "interface_id" / Int16ub * "looked at when bits 6-7 of byte 1 are 01",  # 2-3
), 4)


class ReleaseFlag(IntFlag):
    """Byte 2 of Release Allocated Space. Source: Linux DASD driver."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    BY_EXTENT = 0x20
    GUARANTEE_INITIALISATION = 0x10
    FORCE = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class ReleaseSpace:
    """Order 81 of Define Subsystem Operation: give back the space of a volume, or of some extents of it."""

    flags: int
    operation_flags: int
    reserved_03: int
    lss: int
    unit_address: int
    reserved_06: bytes
    reserved_22: bytes
    extents: tuple[tuple[Cchh, Cchh], ...] = ()

    @property
    def extent_count(self) -> int:
        """Bytes 20-21."""
        return len(self.extents)

    def encode(self) -> bytes:
        """24 + 8n bytes. FormatError when a field does not fit."""
        return RELEASE_SPACE.encode(self) + b"".join(first.pack() + last.pack() for first, last in self.extents)

    @classmethod
    def decode(cls, data: bytes) -> ReleaseSpace:
        """FormatError unless 24 + 8n bytes, n being bytes 20-21, and order 81."""
        expected = cls.length(data)
        if len(data) != expected:
            raise wrong_length("release allocated space", data, expected)
        *head, _, reserved = RELEASE_SPACE.decode(data[:24])
        extents = tuple((Cchh.unpack(data[at : at + 4]), Cchh.unpack(data[at + 4 : at + 8]))
                        for at in range(24, expected, 8))
        return cls(*(*head, reserved, extents))

    @staticmethod
    def length(data: bytes) -> int:
        """Bytes that a list beginning with `data` has; 24 while bytes 20-21 are not there."""
        return 24 + 8 * (data[20] << 8 | data[21]) if len(data) >= 24 else 24


RELEASE_SPACE: Layout[Any] = Layout("release allocated space", lambda *fields: fields, Struct(
    "order" / Const(0x81, Byte),                                                    # 0
    "flags" / Byte * "zero; 10 would be a fixed-block volume",                      # 1
    "operation_flags" / Bits(ReleaseFlag),                                          # 2
    "reserved_03" / Byte,                                                           # 3
    "lss" / Byte * "logical subsystem",                                             # 4
    "unit_address" / Byte,                                                          # 5
    "reserved_06" / Bytes(14),                                                      # 6-19
    "extent_count" / Int16ub * f"n, at most {RELEASE_EXTENTS_MAX}",                  # 20-21
    "reserved_22" / Bytes(2),                                                       # 22-23; then n extents of 8 bytes
), 24, lambda value: (value.flags, value.operation_flags, value.reserved_03, value.lss, value.unit_address,
                      value.reserved_06, value.extent_count, value.reserved_22), describes=ReleaseSpace)

EXTENT: Layout[tuple[Cchh, Cchh]] = Layout("extent", lambda first, last: (first, last), Struct(
    "first" / Nested(CCHH) * "first track",         # 0-3
    "last" / Nested(CCHH) * "last track, included",     # 4-7
), 8, tuple)

SubsystemOrder = (OpaqueOrder | PrepareForReadSubsystemData | CuirResponse | SetSpecialIntercept
                  | SetSystemCharacteristics | ReleaseSpace | SetInterfaceIdentifier)

SUBSYSTEM_ORDERS: dict[int, type[SubsystemOrder]] = {
    **dict.fromkeys(OPAQUE_LENGTHS, OpaqueOrder),
    Order.PREPARE_FOR_READ: PrepareForReadSubsystemData,
    Order.CUIR_RESPONSE: CuirResponse,
    Order.SET_SPECIAL_INTERCEPT: SetSpecialIntercept,
    Order.SET_SYSTEM_CHARACTERISTICS: SetSystemCharacteristics,
    Order.RELEASE_SPACE: ReleaseSpace,
    Order.SET_INTERFACE_IDENTIFIER: SetInterfaceIdentifier,
}
_FIXED_LENGTHS: dict[int, int] = {
    **OPAQUE_LENGTHS, Order.PREPARE_FOR_READ: 12, Order.CUIR_RESPONSE: 24, Order.SET_SPECIAL_INTERCEPT: 2,
    Order.SET_SYSTEM_CHARACTERISTICS: 66, Order.SET_INTERFACE_IDENTIFIER: 4,
}


def subsystem_order_length(data: bytes) -> int | None:
    """Bytes that the order in `data` has; None when byte 0 is none of these. A host may send more: it is ignored."""
    if data and data[0] == Order.RELEASE_SPACE:
        return ReleaseSpace.length(data)
    return _FIXED_LENGTHS.get(data[0]) if data else None


def decode_subsystem_order(data: bytes) -> SubsystemOrder:
    """The order that a parameter list of exactly its length is. FormatError: unknown byte 0, or another length."""
    kind = SUBSYSTEM_ORDERS.get(data[0]) if data else None
    if kind is None:
        raise FormatError("subsystem order", "order", data, 0)
    return kind.decode(data)


def prefix_order(prefix: Prefix) -> SubsystemOrder:
    """The order in bytes 44-63 of a Prefix of format 2. FormatError: another format, no order that fits there.

    Source: assumed, by analogy with format 1; no public text says where the order begins.
    """
    if prefix.format != PREFIX_WITH_ORDER:
        raise FormatError("prefix", "format has no order", prefix.unused_44)
    length = subsystem_order_length(prefix.unused_44)
    if length is None or length > len(prefix.unused_44):
        raise FormatError("prefix", "no order of at most 20 bytes at byte 44", prefix.unused_44)
    return decode_subsystem_order(prefix.unused_44[:length])
