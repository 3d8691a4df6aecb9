"""Codes and flag bits of the PPRC orders and query replies.

Source: as pprc.py and pprc_query.py: assumed, defined by this project.
"""

from enum import IntEnum, IntFlag


class Order(IntEnum):
    """Byte 0 of the parameter list."""

    ESTABLISH_PATH = 0xD0
    DELETE_PATH = 0xD1
    ESTABLISH_PAIR = 0xD2
    DELETE_PAIR = 0xD3
    SUSPEND_PAIR = 0xD4
    RECOVER_PAIR = 0xD5
    CONSISTENCY_GROUP = 0xD6
    UPDATE_SECONDARY_DEVICE_STATUS = 0xD7
    DEFINE_BRIDGE_VOLUME = 0xD8
    REMOTE_WRITE_PREFIX = 0xDA


class OrderFlag(IntFlag):
    """Byte 1, bit by bit; what a bit means depends on the order (the classes below name them)."""

    BIT_0 = 0x80
    BIT_1 = 0x40
    BIT_2 = 0x20
    BIT_3 = 0x10
    BIT_4 = 0x08
    BIT_5 = 0x04
    BIT_6 = 0x02
    BIT_7 = 0x01


class PathFlag(IntFlag):
    """Flags of D0."""

    CONSISTENCY_GROUP = 0x40
    RESET_HOST_PATH = 0x20
    TURN = 0x10


class PairFlag(IntFlag):
    """Flags of D2."""

    CRITICAL = 0x40
    MESSAGE_REQUIRED = 0x20
    ONLINE_SECONDARY = 0x10
    CASCADE = 0x08
    RESET_RESERVE = 0x04
    FORCE = 0x02
    OPEN_DEVICES = 0x01


class DeleteFlag(IntFlag):
    """Flags of D3."""

    UNCONDITIONAL = 0x40


class SuspendFlag(IntFlag):
    """Flags of D4."""

    PRIMARY = 0x40
    QUIESCE = 0x20


class StatusUpdateFlag(IntFlag):
    """Flags of D7."""

    BRIDGE = 0x40
    ROLE_SWAP = 0x20
    FORCE = 0x10


class ResyncControl(IntFlag):
    """Byte 46 of D2."""

    AUTORESYNC = 0x80
    INCRESYNC_START = 0x40
    INCRESYNC_STOP = 0x20
    INCRESYNC_NOCOPY = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class SecondaryAttribute(IntFlag):
    """Byte 64 of D7."""

    CRITICAL = 0x80
    CONSISTENCY_GROUP = 0x40
    ONLINE_SECONDARY = 0x20
    RESET_RESERVE = 0x10
    EXTENDED_DISTANCE = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class RecoverOption(IntFlag):
    """Byte 40 of D5."""

    CHECK_OLD_SERIAL = 0x80
    WRITE_NEW_SERIAL = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class PathDescriptorFlag(IntFlag):
    """Byte 6 of a path descriptor: all zero."""

    RESERVED_0 = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class SecondaryFlag(IntFlag):
    """Byte 24 of a secondary block."""

    CONSISTENCY_GROUP = 0x80
    FROZEN = 0x40
    LONG_BUSY = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01


class VolumeFlag(IntFlag):
    """Byte 5 of a volume query."""

    CRITICAL = 0x80
    CRITICAL_STATE = 0x40
    LONG_BUSY = 0x20
    EXTENDED_DISTANCE = 0x10
    BRIDGE_VOLUME = 0x08
    QUEUED = 0x04
    BEING_COPIED = 0x02
    MESSAGE_REQUIRED = 0x01


class RelationFlag(IntFlag):
    """Byte 1 of an extended query entry."""

    SECONDARY = 0x80
    RESERVED_1 = 0x40
    RESERVED_2 = 0x20
    RESERVED_3 = 0x10
    RESERVED_4 = 0x08
    RESERVED_5 = 0x04
    RESERVED_6 = 0x02
    RESERVED_7 = 0x01
