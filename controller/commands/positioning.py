"""Commands that position or restrict: the Seek family, Recalibrate, Set File Mask, Set and Read Sector, No-Operation.

Source: eckd-commands 3.4.
"""

from __future__ import annotations

from ccw.geometry import Cchh
from ccw.older_sense import SIX, SixByteCondition0
from controller.commands.chain import ChainState
from controller.commands.checks import (
    count_too_small,
    file_protected,
    invalid_command,
    invalid_parameter,
    invalid_sequence,
)
from controller.commands.ending import NORMAL_END, Ending
from controller.commands.outcome import Command, UnitCheck

SEEK = 0x07
SEEK_CYLINDER = 0x0B
SEEK_HEAD = 0x1B
SEEK_BYTES = 6
NO_SECTOR = 0xFF
AUTHORITY = 0x06
DEVICE_SUPPORT_AUTHORITY = 0x02
DIAGNOSTIC_AUTHORITY = 0x04
SEEK_CONTROL = 0x18

# Seek control, mask bits 3-4: the largest value under which the command is allowed.
_SEEK_CONTROL_MAX = {SEEK: 0, SEEK_CYLINDER: 1, SEEK_HEAD: 2}


def seek(chain: ChainState, command: Command) -> Ending:
    """Seek 07, Seek Cylinder 0B, Seek Head 1B: 00 00 CC CC HH HH. The mask is looked at first: nothing is moved."""
    code = command.code
    if (chain.mask >> 3 & 3) > _SEEK_CONTROL_MAX[code]:
        raise file_protected(moved=0)
    if len(command.data) < SEEK_BYTES:
        raise _bad_seek(chain, count_too_small())
    data = command.data
    geometry = chain.device.geometry
    address = geometry.address_in(data[2:6])
    if code == SEEK_HEAD:
        address = _in_this_cylinder(chain, address)
    if data[0] or data[1] or not geometry.contains(address):
        raise _bad_seek(chain, invalid_parameter())
    go_to(chain, geometry.track_of(address))
    return NORMAL_END, b"", SEEK_BYTES


def _bad_seek(chain: ChainState, check: UnitCheck) -> UnitCheck:
    """Seek check beside command reject, where six sense bytes have it and the configuration wants it."""
    device = chain.device
    if device.settings.seek_check and device.profile.sense_bytes == SIX:
        return UnitCheck(check.byte0 | SixByteCondition0.SEEK_CHECK, check.byte1, check.message)
    return check


def _in_this_cylinder(chain: ChainState, address: Cchh) -> Cchh:
    """The track that Seek Head means: CC is ignored; the cylinder bits in HH must be zero or those of this cylinder."""
    cylinder = chain.track // chain.device.geometry.heads
    if address.cylinder >> 16 not in (0, cylinder >> 16):
        raise invalid_parameter()
    return Cchh(cylinder, address.head)


def recalibrate(chain: ChainState, command: Command) -> Ending:
    """Recalibrate 13: seek to cylinder 0 head 0 where the control unit still knows it.

    Not for diagnostic authority. Source: observed, Hercules 4.9.
    """
    if chain.device.geometry.device_type == 0x3390:
        raise invalid_command()
    if chain.mask & SEEK_CONTROL or chain.mask & AUTHORITY == DIAGNOSTIC_AUTHORITY:
        raise file_protected()
    go_to(chain, 0)
    return NORMAL_END, b"", 0


def restore(chain: ChainState, command: Command) -> Ending:
    """Restore 17: nothing, where the control unit still knows it."""
    if chain.device.geometry.device_type == 0x3390:
        raise invalid_command()
    return NORMAL_END, b"", 0


def go_to(chain: ChainState, track: int) -> None:
    """Position on the index of `track`. Raises FP outside the extent."""
    if not chain.first_track <= track <= chain.last_track:
        raise file_protected()
    chain.seek(track)
    chain.positioned = True


def effective_mask(chain: ChainState, mask: int) -> int:
    """Return the file mask that holds. Raises CR 0/4: reserved bit; authority 10 where the profile restricts it."""
    if mask & chain.device.kind.mask_reserved:
        raise invalid_parameter()
    if chain.device.profile.restricted_authority:
        if mask & AUTHORITY == DIAGNOSTIC_AUTHORITY:
            raise invalid_parameter()
        if mask & AUTHORITY == AUTHORITY:
            return mask & ~AUTHORITY | DEVICE_SUPPORT_AUTHORITY
    return mask


def set_file_mask(chain: ChainState, command: Command) -> Ending:
    """Set File Mask 1F: one byte, once in a chain and not after Define Extent or Read IPL."""
    if chain.extent_defined or chain.extent_mask_set or chain.ipl_read:
        raise invalid_sequence()
    if len(command.data) < 1:
        raise count_too_small()
    chain.mask = effective_mask(chain, command.data[0])
    chain.extent_mask_set = True
    return NORMAL_END, b"", 1


def set_sector(chain: ChainState, command: Command) -> Ending:
    """Set Sector 23: a sector number, FF for none. Rotation is not modelled, so a valid one changes nothing."""
    sector = command.data[0]
    if sector != NO_SECTOR and sector >= chain.device.geometry.sectors:
        raise invalid_parameter()
    return NORMAL_END, b"", 1


def read_sector(chain: ChainState, command: Command) -> Ending:
    """Read Sector 22: where the record processed last begins, computed from the cells before it."""
    device = chain.device
    records = chain.current_records()
    sector = 0
    if chain.next > 1:
        before = records[1 : chain.current]
        sector = device.geometry.sector_of(sum([device.cells(len(record.key), len(record.data)) for record in before]))
    return NORMAL_END, bytes((sector,)), 1


def no_operation(chain: ChainState, command: Command) -> Ending:
    """No-Operation 03."""
    return NORMAL_END, b"", 0
