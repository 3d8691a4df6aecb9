"""Path and reservation commands: reserve, release, path group id, reset allegiance, suspend reconnection.

Source: eckd-commands 3.13 and section 5.
"""

from __future__ import annotations

from enum import IntEnum

from controller.commands.chain import ChainState
from controller.commands.checks import invalid_parameter, invalid_sequence
from controller.commands.ending import NORMAL_END, Ending, sent
from controller.commands.outcome import Command
from controller.commands.reservation import NO_GROUP_ID
from controller.commands.sensing import take_sense

MULTIPATH = 0x80
FUNCTION = 0x60
RESERVED_BITS = 0x1F
PATH_GROUP_BYTES = 12
DEVICE_TYPE_3390 = 0x3390


class Function(IntEnum):
    """Bits 1-2 of the function byte of Set Path Group ID."""

    ESTABLISH = 0x00
    DISBAND = 0x20
    RESIGN = 0x40


def device_reserve(chain: ChainState, command: Command) -> Ending:
    """Device Reserve B4: 32 sense bytes. The device is known to be free or ours when this runs."""
    chain.device.paths.reserve(chain.path)
    return sent(take_sense(chain))


def unconditional_reserve(chain: ChainState, command: Command) -> Ending:
    """Unconditional Reserve 14: takes the device from whoever holds it; 32 sense bytes."""
    chain.device.paths.reserve_unconditionally(chain.path)
    return sent(take_sense(chain))


def device_release(chain: ChainState, command: Command) -> Ending:
    """Device Release 94: 32 sense bytes; not after Define Extent, Set File Mask or (3390) Read IPL."""
    device = chain.device
    if chain.extent_defined or chain.extent_mask_set or chain.space_counted:
        raise invalid_sequence()
    if chain.ipl_read and device.geometry.device_type == DEVICE_TYPE_3390:
        raise invalid_sequence()
    device.paths.release()
    return sent(take_sense(chain))


def reset_allegiance(chain: ChainState, command: Command) -> Ending:
    """Reset Allegiance 44: 80 (90 when reserved), 20, zeros, path-group id at 5-15, 32 bytes in all."""
    paths = chain.device.paths
    state = 0x80 if paths.owner is None else 0x90
    return sent((bytes((state, 0x20, 0, 0, 0)) + paths.group_of(chain.path)).ljust(32, b"\0"))


def sense_path_group(chain: ChainState, command: Command) -> Ending:
    """Sense Path Group ID 34: 12 bytes."""
    return sent(chain.device.paths.sense(chain.path))


def set_path_group(chain: ChainState, command: Command) -> Ending:
    """Set Path Group ID AF: function byte and id of 11 bytes."""
    function, group = command.data[0], command.data[1:PATH_GROUP_BYTES]
    if function & RESERVED_BITS or group == NO_GROUP_ID:
        raise invalid_parameter()
    device = chain.device
    match function & FUNCTION:
        case Function.ESTABLISH:
            device.paths.establish(chain.path, group, bool(function & MULTIPATH))
        case Function.DISBAND:
            device.paths.disband(chain.path, group)
            device.system_characteristics.pop(group, None)
        case Function.RESIGN:
            device.paths.resign(chain.path, group)
            if not device.paths.has_members(group):
                device.system_characteristics.pop(group, None)
        case _:
            raise invalid_parameter()
    return NORMAL_END, b"", PATH_GROUP_BYTES


def suspend_reconnection(chain: ChainState, command: Command) -> Ending:
    """Suspend Multipath Reconnection 5B: the rest of the chain stays on this path, as every chain does here."""
    chain.reconnection_suspended = True
    return NORMAL_END, b"", 0
