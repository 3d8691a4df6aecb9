"""Parallel access volumes: a base device and its aliases, several chains on the tracks of one volume at a time.

An alias is a device of its own, with its own chains, sense and path groups; its tracks, and a reservation, are the
base's. What keeps chains from undoing each other's writes are claims:

 P1  A chain claims its extent when it first comes to tracks: that of its Define Extent, the whole volume where there is
     none. It claims to write unless its file mask inhibits all writes, and always to give back space.
 P2  Two claims conflict when their extents overlap and one of them writes. The later chain waits, before the command
     that claims, until the earlier one is over; those that wait go on in the order they came.
 P3  A chain claims once, and waits only while it holds nothing: nobody waits for ever. An order that gives back other
     tracks than were claimed is refused (CR 0/2).
 P4  A Device Reserve waits until no other host has a chain at another exposure, other than to reserve too, nor the
     reservation where it cannot be answered busy: who has reserved a volume is alone on it.

Volumes without aliases are not looked at. Source: Linux DASD driver (what hosts do); the claims are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from ccw.ccws import CommandCode
from ccw.geometry import Cchh, Geometry
from ccw.subsystem_data import AddressEntry, AddressType
from controller.channel import PathId
from controller.commands.chain import ChainState, Claim
from controller.commands.device import Device
from controller.commands.outcome import Command
from controller.commands.release_space import releases_space
from controller.commands.table import TRACK_COMMANDS

WRITE_CONTROL, INHIBIT_ALL = 0xC0, 0x40
EXTENT_BYTES = 16
EXTENT_IN_PREFIX, PREFIX_EXTENT_VALID = 12, 0x80


class Waiting(NamedTuple):
    """A chain that waits for its claim, or (None) to reserve: its device, itself, and how it goes on."""

    device: Device
    chain: ChainState | None
    claim: Claim | None
    go_on: Callable[[], None]

    @property
    def stands(self) -> bool:
        """The chain is not over: nobody has reset it, or taken the device."""
        return self.device.active_chain is self.chain


class ParallelAccess:
    """The exposures (base and aliases) of one box's volumes. aliases: unit address of an alias -> that of its base."""

    def __init__(self, devices: Mapping[int, Device], aliases: Mapping[int, int]) -> None:
        self._devices = devices
        self._addresses: dict[int, list[int]] = {}
        for alias, base in aliases.items():
            self._addresses.setdefault(base, [base]).append(alias)
        self._waiting: dict[int, list[Waiting]] = {}
        self._reserving: dict[int, ChainState | None] = {}  # the chain of a unit address that waits to reserve

    def exposures(self, volume: int) -> list[Device]:
        """The devices by which hosts reach the tracks of a volume, its base first."""
        return [self._devices[address] for address in self._addresses.get(volume, [volume])]

    def wanted(self, device: Device, path: PathId, command: Command) -> Claim | None:
        """What the chain of the command must claim before it: None where it needs none, or has one."""
        if device.settings.volume not in self._addresses:
            return None
        if command.code not in TRACK_COMMANDS and not releases_space(command):
            return None
        chain = device.active_chain if command.chained else None
        if command.chained and (chain is None or chain.path != path or chain.claim is not None):
            return None
        return _claim_of(device.geometry, chain, command)

    def waits(
        self, device: Device, path: PathId, command: Command, claim: Claim | None, go_on: Callable[[], None]
    ) -> bool:
        """True: the claim conflicts (P2), or (None) a Device Reserve must wait (P4); `go_on` is to try again.

        The device is kept for the path. False where somebody else has the device: the command will be answered busy.
        """
        if claim is not None:
            return self._conflicts(device, claim) and self._wait(device, path, command, claim, go_on)
        volume, address = device.settings.volume, device.settings.unit_address
        if volume not in self._addresses:
            return False
        self._reserving.pop(address, None)
        taken = command.chained and device.paths.is_reserved_elsewhere(path)
        waits = (taken or self._others_work(device, path)) and self._wait(device, path, command, None, go_on)
        if waits:
            self._reserving[address] = device.active_chain
        return waits

    def _wait(
        self, device: Device, path: PathId, command: Command, claim: Claim | None, go_on: Callable[[], None]
    ) -> bool:
        if not command.chained and not device.hold(path):
            return False
        waiting = Waiting(device, device.active_chain, claim, go_on)
        self._waiting.setdefault(device.settings.volume, []).append(waiting)
        return True

    def _others_work(self, device: Device, path: PathId) -> bool:
        """Has another host a chain at another exposure that does not wait to reserve?"""
        identity = device.paths.reservation.identity
        for other in self.exposures(device.settings.volume):
            chain = other.active_chain
            if other is device or chain is None or self._reserving.get(other.settings.unit_address) is chain:
                continue
            if not device.is_peer(chain.path) and identity(chain.path) != identity(path):
                return True
        return False

    def _conflicts(self, device: Device, claim: Claim) -> bool:
        volume = device.settings.volume
        others = [other.active_chain for other in self.exposures(volume) if other is not device]
        held = [chain.claim for chain in others if chain is not None and chain.claim is not None]
        ahead = [w.claim for w in self._waiting.get(volume, ()) if w.device is not device and w.stands]
        return any(claim.conflicts(other) for other in (*held, *ahead) if other is not None)

    def chain_over(self, volume: int) -> None:
        """A chain of the volume has ended: let those go on that waited for it. Who lost the device hears of that."""
        for waiting in self._waiting.pop(volume, []):
            if waiting.stands or (waiting.chain is not None and waiting.chain.cut_off):
                waiting.go_on()

    def hold(self, holder: Hashable, volume: int) -> bool:
        """Hold all exposures for one that works on whole tracks; False, and nothing is held, when one is busy."""
        held: list[Device] = []
        for device in self.exposures(volume):
            if not device.hold(holder):
                for other in held:
                    other.end_chain(holder)
                return False
            held.append(device)
        return True

    def unit_addresses(self) -> dict[int, AddressEntry]:
        """What each unit address is: bases and aliases, where there are aliases at all."""
        if not self._addresses:
            return {}
        table = {address: AddressEntry(AddressType.BASE, address) for address in self._devices}
        for base, addresses in self._addresses.items():
            table |= {alias: AddressEntry(AddressType.ALIAS, base) for alias in addresses[1:]}
        return table


def _claim_of(geometry: Geometry, chain: ChainState | None, command: Command) -> Claim:
    """P1. An extent that is not one is claimed as the whole volume: the command will be refused."""
    data, at = command.data, 0
    if command.code == CommandCode.PREFIX and len(data) > 1 and data[1] & PREFIX_EXTENT_VALID:
        at = EXTENT_IN_PREFIX
    elif command.code != CommandCode.DEFINE_EXTENT:
        mask = chain.mask if chain is not None else 0
        writes = releases_space(command) or mask & WRITE_CONTROL != INHIBIT_ALL
        return Claim(0, geometry.tracks - 1, writes)
    extent = data[at : at + EXTENT_BYTES].ljust(EXTENT_BYTES, b"\0")
    first, last = Cchh.unpack(extent[8:12]), Cchh.unpack(extent[12:16])
    start = geometry.track_of(first) if geometry.contains(first) else 0
    end = geometry.track_of(last) if geometry.contains(last) else geometry.tracks - 1
    return Claim(start, max(start, end), extent[0] & WRITE_CONTROL != INHIBIT_ALL)
