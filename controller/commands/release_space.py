"""Release Allocated Space: order 81 of Define Subsystem Operation F7, by which a host gives back a thin volume's space.

The volume, or up to 110 extents of it, becomes as if never written: a read finds R0 alone. Tracks are released one by
one, not in whole units of allocation, so all of them are initialised, whether the host asks for that or not.

Checked: count (CR 0/3); flags, reserved bytes, device (CR 0/4); write inhibit; extents (CR 0/4); with aliases, that the
chain, where it has come to tracks before, has claimed to write these (CR 0/2: controller/parallel_access.py). Offered
where the volume is thin, which feature codes and volume storage query announce; elsewhere an unknown order (CR 0/4).
Source: eckd-commands 3.12.1, Linux DASD driver; which violation has which sense: assumed, after the order of 3.1.
"""

from __future__ import annotations

from typing import Final

from ccw.ccws import CommandCode
from ccw.subsystem_orders import RELEASE_EXTENTS_MAX, Order, ReleaseFlag, ReleaseSpace
from controller.commands.chain import ChainState
from controller.commands.checks import count_too_small, invalid_parameter, invalid_sequence, write_inhibited
from controller.commands.ending import NORMAL_END, Ending
from controller.commands.outcome import Command, SpaceRelease

THIN = "thin"  # the feature that turns on queries about space, and this order
HEAD_BYTES = 24
_CODE: Final = int(CommandCode.DEFINE_SUBSYSTEM_OPERATION)
_BY_EXTENT: Final = int(ReleaseFlag.BY_EXTENT)
_INITIALISES: Final = int(ReleaseFlag.GUARANTEE_INITIALISATION)
_KNOWN: Final = _BY_EXTENT | _INITIALISES | int(ReleaseFlag.FORCE)  # the last is ignored


def releases_space(command: Command) -> bool:
    """Is it order 81?"""
    return command.code == _CODE and command.data[:1] == bytes((Order.RELEASE_SPACE,))


def release_space(chain: ChainState, command: Command) -> Ending:
    """Judge the order and hand it out; what the chain changed before comes first, what it read is forgotten."""
    device, data = chain.device, command.data
    if THIN not in device.settings.features:
        raise invalid_parameter()
    length = ReleaseSpace.length(data)
    if len(data) < length:
        raise count_too_small()
    request = ReleaseSpace.decode(data[:length])
    _check(chain, request)
    if device.settings.read_only:
        raise write_inhibited()
    tracks = _tracks(chain, request)
    if chain.claim is not None and not all(chain.claim.covers(*extent) for extent in tracks):
        raise invalid_sequence()
    chain.release = SpaceRelease(tracks, bool(request.operation_flags & _INITIALISES))
    return NORMAL_END, b"", length


def _check(chain: ChainState, request: ReleaseSpace) -> None:
    """Everything but the extents themselves. Raises CR 0/4."""
    settings = chain.device.settings
    by_extent = bool(request.operation_flags & _BY_EXTENT)
    if (
        request.flags
        or request.operation_flags & ~_KNOWN
        or request.reserved_03
        or (request.lss, request.unit_address) != (settings.identity.lss, settings.base_address)
        or any(request.reserved_06)
        or by_extent != bool(request.extents)
        or len(request.extents) > RELEASE_EXTENTS_MAX
        or any(request.reserved_22)
    ):
        raise invalid_parameter()


def _tracks(chain: ChainState, request: ReleaseSpace) -> tuple[tuple[int, int], ...]:
    """The ranges of tracks, first and stop. Raises CR 0/4 for an extent that is not on the device, or ends first."""
    geometry = chain.device.geometry
    if not request.extents:
        return ((0, geometry.tracks),)
    ranges = []
    for first, last in request.extents:
        if not (geometry.contains(first) and geometry.contains(last)):
            raise invalid_parameter()
        ranges.append((geometry.track_of(first), geometry.track_of(last) + 1))
    if any(start >= stop for start, stop in ranges):
        raise invalid_parameter()
    return tuple(ranges)
