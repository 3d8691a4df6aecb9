"""Path groups and allegiance: Set and Sense Path Group ID, the identifier itself, Reset Allegiance.

Each class has the table of its bytes in its docstring.

Source: eckd-commands 3.13: IBM SA22-1025, Linux channel subsystem; meaning of the bits of Reset Allegiance: assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from construct import Byte, Bytes, Const, Int16ub, Int32ub, Struct

from ccw.layout import Bits, FixedFormat, Layout, Nested

PATH_GROUP_ID_LENGTH = 11


@dataclass(frozen=True, slots=True)
class PathGroupId(FixedFormat):
    """Who a path belongs to, as hosts build it. A controller compares the 11 bytes and looks at none of them."""

    cpu_address: int
    cpu_id: bytes
    cpu_model: int
    tod_high: int


PathGroupId.LAYOUT = Layout("path group identifier", PathGroupId, Struct(
    "cpu_address" / Int16ub * "address of a processor of the host",                     # 0-1
    "cpu_id" / Bytes(3) * "serial number of the processor",                             # 2-4
    "cpu_model" / Int16ub * "packed digits",                                            # 5-6
    "tod_high" / Int32ub * "high word of the host's clock when it was started",         # 7-10
), PATH_GROUP_ID_LENGTH)


class SenseGroupFlag(IntFlag):
    """Byte 0 of Sense Path Group ID: path state (2 bits), reservation (2), mode."""

    STATE_2 = 0x80
    STATE_1 = 0x40
    RESERVATION_2 = 0x20
    RESERVATION_1 = 0x10
    MULTIPATH = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class PathState(IntEnum):
    """Bits 0-1 of byte 0 of Sense Path Group ID."""

    RESET = 0           # no identifier set
    UNGROUPED = 2       # resigned
    GROUPED = 3


class Reservation(IntEnum):
    """Bits 2-3 of byte 0 of Sense Path Group ID."""

    NONE = 0
    ELSEWHERE = 2       # reserved to another path or group
    HERE = 3            # reserved to this path or group


@dataclass(frozen=True, slots=True)
class SensePathGroupId(FixedFormat):
    """Command 34."""

    flags: int
    path_group_id: bytes

    @property
    def path_state(self) -> int:
        """A PathState, or 1, which is none."""
        return self.flags >> 6

    @property
    def reservation(self) -> int:
        """A Reservation, or 1, which is none."""
        return self.flags >> 4 & 3


SensePathGroupId.LAYOUT = Layout("sense path group ID", SensePathGroupId, Struct(
    "flags" / Bits(SenseGroupFlag) * "path state, reservation, mode",       # 0
    "path_group_id" / Bytes(11) * "zeros when the path state is reset",     # 1-11
), 12)


class SetGroupFlag(IntFlag):
    """Byte 0 of Set Path Group ID: mode, function (2 bits: a GroupFunction)."""

    MULTIPATH = 0x80
    FUNCTION_2 = 0x40
    FUNCTION_1 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class GroupFunction(IntEnum):
    """Bits 1-2 of byte 0 of Set Path Group ID."""

    ESTABLISH = 0
    DISBAND = 1
    RESIGN = 2


@dataclass(frozen=True, slots=True)
class SetPathGroupId(FixedFormat):
    """Command AF."""

    flags: int
    path_group_id: bytes

    @property
    def function(self) -> int:
        """A GroupFunction, or 3, which is none."""
        return self.flags >> 5 & 3


SetPathGroupId.LAYOUT = Layout("set path group ID", SetPathGroupId, Struct(
    "flags" / Bits(SetGroupFlag) * "mode, function",                        # 0
    "path_group_id" / Bytes(11) * "not all zero",                           # 1-11
), 12)


class AllegianceFlag(IntFlag):
    """Byte 0 of Reset Allegiance. Source: meaning of the bits assumed."""

    ALLEGIANCE_RESET = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    DEVICE_RESERVED = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


@dataclass(frozen=True, slots=True)
class ResetAllegiance(FixedFormat):
    """Command 44."""

    flags: int
    reserved_02: bytes
    path_group_id: bytes
    reserved_16: bytes


ResetAllegiance.LAYOUT = Layout("reset allegiance", ResetAllegiance, Struct(
    "flags" / Bits(AllegianceFlag) * "80, or 90 when the device is reserved",       # 0
    "byte_1" / Const(0x20, Byte),                                                  # 1
    "reserved_02" / Bytes(3),                                                       # 2-4
    "path_group_id" / Bytes(11),                                                    # 5-15
    "reserved_16" / Bytes(16),                                                      # 16-31
), 32)


@dataclass(frozen=True, slots=True)
class GroupedPath(FixedFormat):
    """Set Path Group ID with the identifier taken apart."""

    flags: int
    path_group_id: PathGroupId


GroupedPath.LAYOUT = Layout("set path group ID, in parts", GroupedPath, Struct(
    "flags" / Bits(SetGroupFlag) * "mode, function",                        # 0
    "path_group_id" / Nested(PathGroupId.LAYOUT),                           # 1-11
), 12)
