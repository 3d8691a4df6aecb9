"""The storage subsystem: the one object the links talk to (the patent's shared memory 226).

It owns the devices and remote copy, and is the command server of every link. A command goes
    link -> start -> may it (remote copy's gate)? -> device -> what must be durable first? -> reply
Tracks that a command changed are appended to the array at once; its status is presented when they are durable here
and, for a pair in step, at the secondary. Both happen in parallel.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial

from ccw.errors import FormatError
from ccw.pprc import PprcHeader
from ccw.pprc_codes import Reason
from ccw.profiles import DeviceIdentity
from ccw.subsystem_data import AddressType
from controller.box import BoxSettings, Ports, VolumeSettings, shape_of
from controller.channel import PathId
from controller.channel.busy import ControlUnitBusy
from controller.commands.device import Device, DeviceSettings
from controller.commands.device_state import SubsystemModes
from controller.commands.ending import BUSY, UNIT_CHECK
from controller.commands.outcome import Command, Outcome, UnitCheck
from controller.commands.profiles import PROFILES
from controller.commands.subsystem_functions import REMOTE_WRITE_PREFIX
from controller.hardening import Writes, check_of
from controller.parallel_access import ParallelAccess
from controller.releasing import Releases
from controller.remote_copy.checks import primary_box
from controller.remote_copy.pair import BoxName
from controller.remote_copy.ports import ArrayFault, Surroundings
from controller.remote_copy.queries import SUBORDER_PPRC
from controller.remote_copy.refusal import Refusal, Refused
from controller.remote_copy.service import RemoteCopy
from controller.state_changes import StateChanges

DEVICE_END = 0x04
CONTROL_UNIT_BUSY = 0x50
WRITE_DATA = 0x05
DEVICE_RESERVE, UNCONDITIONAL_RESERVE = 0xB4, 0x14
NO_SUCH_IMAGE = 4  # LPR reason
BRIDGE_PROFILE = PROFILES["3990-6"]  # for bridge volumes of a profile without Locate Record Extended


class Subsystem:
    """One storage system without its shell. Implements `controller.channel.CommandServer`."""

    def __init__(self, settings: BoxSettings, ports: Ports) -> None:
        self.settings = settings
        self.ports = ports
        self._peers: dict[PathId, BoxName] = {}
        self.busy = ControlUnitBusy()
        self.attached: set[int] = set()  # devices that hosts use without a channel (controller/sharing)
        self.on_idle: Callable[[int], None] = _nobody  # a device has no chain any more
        self.on_changed: Callable[[int, list[int]], None] = _nobody  # tracks that a host on a channel changed
        self._modes = SubsystemModes()
        self.devices: dict[int, Device] = {}
        self.volumes = {volume.unit_address: volume for volume in settings.volumes}
        self._bases = {alias: volume.unit_address for volume in settings.volumes for alias in volume.aliases}
        self.parallel = ParallelAccess(self.devices, self._bases)
        self.state_changes = StateChanges(
            self.devices, self.parallel.exposures, ports.links, lambda address: self.on_idle(address)
        )
        self._shapes = {address: shape_of(volume.geometry) for address, volume in self.volumes.items()}
        around = Surroundings(
            array=ports.array,
            hardener=ports.hardener,
            links=ports.adapters,
            clock=ports.clock,
            timers=ports.timers,
            log=ports.log,
            attention=self.state_changes.attention,
            hold_hosts=self.state_changes.hold,
            in_use=self._in_use,
        )
        self.remote_copy = RemoteCopy(settings.own, self._shapes, around, settings.copy, settings.conventional)
        self.writes = Writes(ports, self.remote_copy, self.busy, lambda volume, tracks: self.on_changed(volume, tracks))
        self.releases = Releases(ports, self.remote_copy, self.writes)
        for address in self.volumes:
            self._make_device(address)
        self.remote_copy.restore()

    # Devices

    def add_volume(self, volume: VolumeSettings) -> None:
        """A new volume while the system runs; the array knows it already."""
        address = volume.unit_address
        assert address not in self.volumes
        self.volumes[address] = volume
        self._shapes[address] = shape_of(volume.geometry)
        self._make_device(address)

    def remove_volume(self, unit_address: int) -> None:
        """The volume is no device any more. It is idle, attached nowhere, and takes no part in remote copy."""
        assert self.devices[unit_address].active_chain is None and unit_address not in self.attached
        for table in (self.volumes, self._shapes, self.devices):
            table.pop(unit_address)

    def _make_device(self, address: int) -> Device:
        """The device, and with a base its aliases."""
        volume = self.volumes[address]
        bridge = self.remote_copy.takes_bridge_chains(address)
        profile = volume.profile or self.settings.profile
        if bridge and not profile.locate_extended:
            profile = BRIDGE_PROFILE
        settings = DeviceSettings(
            volume=address,
            unit_address=address,
            geometry=volume.geometry,
            profile=profile,
            identity=self._identity(volume, address),
            read_only=volume.read_only,
            features=volume.features,
            bridge=bridge,
            sense_id=volume.sense_id,
            seek_check=volume.seek_check,
            devices=len(self.volumes) + len(self._bases),
            cache_bytes=self.settings.cache_bytes,
            nvs_bytes=self.settings.nvs_bytes,
        )
        device = self._equip(Device(settings, self.ports.tracks, self._modes))
        for alias in volume.aliases:
            own = replace(settings, unit_address=alias, base=address, identity=self._identity(volume, alias))
            self._equip(Device(own, self.ports.tracks, self._modes, device.paths.reservation))
        return device

    def _identity(self, volume: VolumeSettings, address: int) -> DeviceIdentity:
        """Where the box has aliases at all, bases and aliases say which they are."""
        base = volume.unit_address
        if not self._bases:
            return volume.identity
        kind = AddressType.BASE if address == base else AddressType.ALIAS
        return replace(volume.identity, unit_address=address, address_type=kind, base_address=base)

    def _equip(self, device: Device) -> Device:
        """Tell the device where to ask for what is not its own, and let hosts reach it."""
        address, heads = device.settings.volume, device.geometry.heads
        device.cylinders_allocated = lambda: self._cylinders_written(address, heads)
        if self.ports.cache_counts is not None:
            device.cache_counts = partial(self.ports.cache_counts, address)
        device.is_peer = self._peers.__contains__
        device.unit_addresses = self.parallel.unit_addresses
        if self.settings.pprc:
            device.subsystem_data[SUBORDER_PPRC] = lambda order: self._query(address, order)
        self.devices[device.settings.unit_address] = device
        return device

    def _device(self, address: int) -> Device:
        """The device, made anew when its role as a bridge volume has changed."""
        device = self.devices[address]
        volume = device.settings.volume
        if device.settings.bridge != self.remote_copy.takes_bridge_chains(volume):
            self._make_device(volume)
        return self.devices[address]

    def _cylinders_written(self, address: int, heads: int) -> int:
        """In how many cylinders of a volume a track was ever written: the space it takes, roughly."""
        return len({int(track) // heads for track in self.ports.array.written_since(address, 0)})

    def _query(self, address: int, order: bytes) -> bytes:
        try:
            return self.remote_copy.query(address, order)
        except Refused as refused:
            raise UnitCheck(0, image=replace(refused.refusal, cca=address).sense()) from refused

    def _in_use(self, address: int) -> tuple[bool, bool]:
        exposures = self.parallel.exposures(address)
        online = any(device.paths.online for device in exposures)
        return online or address in self.attached, exposures[0].paths.owner is not None

    # Logical paths

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        """See `CommandServer`. A peer names itself, and the box it means to reach.

        One that means another box is let in all the same: it reads this box's configuration data next and finds out
        which part of the name is wrong (path status 06 or 07). Orders that name another box are refused (0F48).
        """
        if path.image != 0:
            return NO_SUCH_IMAGE
        if header:
            try:
                parsed = PprcHeader.decode(header)
            except FormatError:
                return NO_SUCH_IMAGE
            if not self.settings.pprc:
                return NO_SUCH_IMAGE
            self._peers[path] = primary_box(parsed)
        return None

    def path_removed(self, path: PathId) -> None:
        """See `CommandServer`."""
        self._reset(path, list(self.devices.values()), selective=False)
        self.busy.forget(path)
        box = self._peers.pop(path, None)
        if box is not None and box not in self._peers.values():
            self.remote_copy.peer_gone(box)

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        """See `CommandServer`."""
        return unit_address in self.devices

    def end_chain(self, path: PathId, unit_address: int) -> None:
        """See `CommandServer`."""
        device = self.devices[unit_address]
        self.writes.store(device.end_chain(path), by_host=path not in self._peers)
        self._pay_device_ends(device)

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """See `CommandServer`."""
        addresses = list(self.devices) if unit_address is None else [unit_address]
        devices = [self.devices[address] for address in addresses if address in self.devices]
        self._reset(path, devices, selective=unit_address is not None)

    def _reset(self, path: PathId, devices: list[Device], *, selective: bool) -> None:
        """All of them before anybody goes on: what ends here must not set going what waits there, and is to end too."""
        for device in devices:
            self.writes.store(device.reset_path(path, selective), by_host=path not in self._peers)
        for device in devices:
            self._pay_device_ends(device)

    def _pay_device_ends(self, device: Device) -> None:
        volume = device.settings.volume
        for exposure in self.parallel.exposures(volume):  # a reservation may have ended, which is that of all
            for path in exposure.take_owed_device_ends():
                assert isinstance(path, PathId)
                self.ports.links.present_status(path, exposure.settings.unit_address, DEVICE_END)
        self.parallel.chain_over(volume)
        if device.active_chain is None:
            self.on_idle(volume)

    def is_peer(self, path: PathId) -> bool:
        """Is another storage system behind the path?"""
        return path in self._peers

    def link_lost(self, said: int) -> None:
        """The light of a port went out."""
        self.remote_copy.link_lost(said)

    def link_gained(self, said: int) -> None:
        """A peer port has light."""
        self.remote_copy.link_gained(said)

    # Commands

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        """See `CommandServer`."""
        device = self._device(unit_address)
        volume = device.settings.volume
        sender = self._peers.get(path)
        if sender is None:
            refusal = self.remote_copy.gate(volume, command.code)
        else:
            in_update_chain = command.chained and device.takes_updates(path)
            refusal = self.remote_copy.peer_gate(volume, command.code, in_update_chain)
        if refusal is not None:
            reply(device.refuse(path, command, UnitCheck(0, image=refusal.sense())))
            return
        try:
            self._run(device, path, command, sender, reply)
        except ArrayFault as fault:
            reply(device.refuse(path, command, check_of(fault)))

    def _run(
        self,
        device: Device,
        path: PathId,
        command: Command,
        sender: BoxName | None,
        reply: Callable[[Outcome], None],
    ) -> None:
        if not command.chained and self.busy.refuses(path, device.settings.unit_address):
            reply(Outcome(CONTROL_UNIT_BUSY, residual=command.count))
            return
        claim = self.parallel.wanted(device, path, command)
        if claim is not None or command.code == DEVICE_RESERVE:
            again = partial(self.start, path, device.settings.unit_address, command, reply)
            if self.parallel.waits(device, path, command, claim, again):
                return
        outcome = device.execute(path, command)
        if claim is not None and not outcome.status & (BUSY | UNIT_CHECK):  # else the chain is over, or has not begun
            device.take_claim(path, claim)
        if not command.chained:  # it has ended what came before
            if command.code == UNCONDITIONAL_RESERVE:
                self._take_volume(device, path)
            self.parallel.chain_over(device.settings.volume)
        if outcome.release is not None:
            self.releases.complete(device, path, command, outcome, reply)
        elif outcome.writes:
            late = self.remote_copy.gate(device.settings.volume, WRITE_DATA) if sender is None else None
            if late is not None:  # what the volume is has changed while the chain ran
                reply(device.refuse(path, command, UnitCheck(0, image=late.sense())))
                return
            then = partial(self._order_behind, path, device, command, sender, outcome, reply)
            self.writes.complete(device, path, command, outcome, then if outcome.order is not None else reply)
        elif outcome.order is not None:
            self._order(path, device, command, sender, outcome, reply)
        elif outcome.record is not None:
            self._record(path, device, command, outcome, sender, reply)
        else:
            reply(outcome)

    def _take_volume(self, taken: Device, path: PathId) -> None:
        """Unconditional Reserve: what others have begun by further addresses of the volume must not go on."""
        for device in self.parallel.exposures(taken.settings.volume):
            if device is not taken:
                self.writes.store(device.give_way(path))

    def _order_behind(
        self,
        path: PathId,
        device: Device,
        command: Command,
        sender: BoxName | None,
        outcome: Outcome,
        reply: Callable[[Outcome], None],
        hardened: Outcome,
    ) -> None:
        """What the chain wrote before its order is durable, or a unit check says that it is not."""
        if hardened.status & UNIT_CHECK or device.active_path != path:
            reply(hardened)
            return
        try:
            self._order(path, device, command, sender, replace(outcome, writes=()), reply)
        except ArrayFault as fault:
            reply(device.refuse(path, command, check_of(fault)))

    def _order(
        self,
        path: PathId,
        device: Device,
        command: Command,
        sender: BoxName | None,
        outcome: Outcome,
        reply: Callable[[Outcome], None],
    ) -> None:
        assert outcome.order is not None
        unit_address = device.settings.unit_address
        residual = outcome.residual

        def answer(result: Outcome) -> None:
            result.residual = residual
            if result.sense is not None and device.active_path == path:
                device.keep_sense(path, command, result.sense)  # for a host that fetches it by a Sense command
            elif outcome.order is not None and outcome.order[0] == REMOTE_WRITE_PREFIX:
                device.begin_updates(path)
            reply(result)

        if not self.settings.pprc:
            answer(Refusal(0x0F, Reason.NOT_ENABLED, cca=unit_address).outcome())
            return
        if device.settings.base is not None:  # pairs are between bases
            answer(Refusal(0x0F, Reason.NOT_THE_ONE_NAMED, cca=unit_address).outcome())
            return
        said = self.ports.links.said_of(path.link_id)
        self.remote_copy.order(unit_address, outcome.order, sender, said, answer)

    def _record(
        self,
        path: PathId,
        device: Device,
        command: Command,
        outcome: Outcome,
        sender: BoxName | None,
        reply: Callable[[Outcome], None],
    ) -> None:
        assert outcome.record is not None
        refusal = self.remote_copy.bridge_record(device.settings.unit_address, outcome.record) if sender else None
        if refusal is not None:
            outcome = device.refuse(path, command, UnitCheck(0, image=refusal.sense()))
        reply(outcome)

    def hold(self, holder: Hashable, unit_address: int) -> bool:
        """Give the device to `holder` as if it ran a chain; False while another does, or has it reserved.

        Its aliases with it.
        """
        return self.parallel.hold(holder, self._device(unit_address).settings.volume)

    def let_go(self, holder: Hashable, unit_address: int) -> None:
        """What `hold` began is over."""
        for device in self.parallel.exposures(unit_address):
            device.end_chain(holder)
        self._pay_device_ends(self.devices[unit_address])


def _nobody(*_: object) -> None:
    """Nobody wants to know."""
