"""The storage subsystem: the one object the links talk to (the patent's shared memory 226).

It owns the devices and remote copy, and is the command server of every link. A command goes
    link -> start -> may it (remote copy's gate)? -> device -> what must be durable first? -> reply
Tracks that a command changed are appended to the array at once; its status is presented when they are durable here
and, for a pair in step, at the secondary. Both happen in parallel.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from ccw.errors import FormatError
from ccw.geometry import Geometry
from ccw.pprc import PprcHeader
from ccw.profiles import DeviceIdentity
from controller.channel import PathId
from controller.channel.busy import ControlUnitBusy
from controller.commands.device import Device, DeviceSettings
from controller.commands.device_state import SubsystemModes
from controller.commands.outcome import Command, Outcome, TrackSource, TrackWrite, UnitCheck
from controller.commands.profiles import PROFILES, Profile
from controller.hardening import EQUIPMENT_CHECK, Hardening
from controller.remote_copy.checks import primary_box
from controller.remote_copy.core import VolumeShape
from controller.remote_copy.pair import BoxName
from controller.remote_copy.ports import (
    ArrayFault,
    ArrayFull,
    ArrayPort,
    Clock,
    EventSink,
    HardenPort,
    InstalledPort,
    Surroundings,
    TimerPort,
)
from controller.remote_copy.queries import SUBORDER_PPRC
from controller.remote_copy.refusal import Refusal, Refused
from controller.remote_copy.service import RemoteCopy

DEVICE_END = 0x04
CONTROL_UNIT_END = 0x20
CONTROL_UNIT_BUSY = 0x50
STATE_CHANGED = 0x85  # attention, device end, unit exception
NO_SUCH_IMAGE = 4  # LPR reason
INTERVENTION_REQUIRED = UnitCheck(0x40, 0x00, 0x19)  # no room in the array: eckd-commands 4.4, device not ready
BRIDGE_PROFILE = PROFILES["3990-6"]  # for bridge volumes of a profile without Locate Record Extended


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """One volume of the box. `number`: in the store, where that is not the unit address."""

    unit_address: int
    geometry: Geometry
    identity: DeviceIdentity
    read_only: bool = False
    features: frozenset[str] = frozenset()
    number: int | None = None
    profile: Profile | None = None  # its control unit, where that is not the box's
    sense_id: bool | None = None  # see DeviceSettings
    seek_check: bool = False


@dataclass(frozen=True, slots=True)
class BoxSettings:
    """One storage system with one control-unit image (0)."""

    own: BoxName
    profile: Profile
    volumes: tuple[VolumeSettings, ...]
    pprc: bool = True
    cache_bytes: int = 0  # as Sense Subsystem Status announces them
    nvs_bytes: int = 0


class TrackStorage(ArrayPort, Protocol):
    """The array as the subsystem writes to it."""

    def write(self, volume: int, track: int, image: bytes, /) -> int: ...

    def changes_by_pointer(self, volume: int, /) -> int: ...  # how often tracks came otherwise than by `write`


class LinkDirectory(Protocol):
    """The links of the box, by identifier."""

    def present_status(self, path: PathId, unit_address: int, status: int) -> None: ...

    def host_paths(self) -> list[PathId]: ...

    def said_of(self, link_id: str) -> int: ...  # SAID of the port the link belongs to


class Ports(NamedTuple):
    """What the shell provides; see `controller.remote_copy.ports`."""

    array: TrackStorage
    tracks: TrackSource
    hardener: HardenPort
    adapters: Mapping[int, InstalledPort]
    links: LinkDirectory
    clock: Clock
    timers: TimerPort
    log: EventSink
    cache_counts: Callable[[int], bytes] | None = None  # bytes 4-87 of a volume's statistics record


class Subsystem:
    """One storage system without its shell. Implements `controller.channel.CommandServer`."""

    def __init__(self, settings: BoxSettings, ports: Ports) -> None:
        self.settings = settings
        self.ports = ports
        self._peers: dict[PathId, BoxName] = {}
        self._busy = ControlUnitBusy()
        self.attached: set[int] = set()  # devices that hosts use without a channel (controller/sharing)
        self._released: dict[int, list[Callable[[], None]]] = {}  # by device: who waits for the end of its state change
        self.on_idle: Callable[[int], None] = _nobody  # a device has no chain any more
        self.on_changed: Callable[[int, list[int]], None] = _nobody  # tracks that a host on a channel changed
        self._modes = SubsystemModes()
        self.devices: dict[int, Device] = {}
        self.volumes = {volume.unit_address: volume for volume in settings.volumes}
        self._shapes = {address: _shape(volume.geometry) for address, volume in self.volumes.items()}
        around = Surroundings(
            array=ports.array,
            hardener=ports.hardener,
            links=ports.adapters,
            clock=ports.clock,
            timers=ports.timers,
            log=ports.log,
            attention=self._attention,
            hold_hosts=self._hold_hosts,
            in_use=self._in_use,
        )
        self.remote_copy = RemoteCopy(settings.own, self._shapes, around)
        for address in self.volumes:
            self._make_device(address)
        self.remote_copy.restore()

    # Devices

    def add_volume(self, volume: VolumeSettings) -> None:
        """A new volume while the system runs; the array knows it already."""
        address = volume.unit_address
        assert address not in self.volumes
        self.volumes[address] = volume
        self._shapes[address] = _shape(volume.geometry)
        self._make_device(address)

    def _make_device(self, address: int) -> Device:
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
            identity=volume.identity,
            read_only=volume.read_only,
            features=volume.features,
            bridge=bridge,
            sense_id=volume.sense_id,
            seek_check=volume.seek_check,
            devices=len(self.volumes),
            cache_bytes=self.settings.cache_bytes,
            nvs_bytes=self.settings.nvs_bytes,
        )
        device = Device(settings, self.ports.tracks, self._modes)
        device.cylinders_allocated = lambda: self._cylinders_written(address, volume.geometry.heads)
        if self.ports.cache_counts is not None:
            device.cache_counts = partial(self.ports.cache_counts, address)
        device.is_peer = self._peers.__contains__
        if self.settings.pprc:
            device.subsystem_data[SUBORDER_PPRC] = lambda order: self._query(address, order)
        self.devices[address] = device
        return device

    def _device(self, address: int) -> Device:
        """The device, made anew when its role as a bridge volume has changed."""
        device = self.devices[address]
        if device.settings.bridge != self.remote_copy.takes_bridge_chains(address):
            device = self._make_device(address)
        return device

    def _cylinders_written(self, address: int, heads: int) -> int:
        """In how many cylinders of a volume a track was ever written: the space it takes, roughly."""
        return len({int(track) // heads for track in self.ports.array.written_since(address, 0)})

    def _query(self, address: int, order: bytes) -> bytes:
        try:
            return self.remote_copy.query(address, order)
        except Refused as refused:
            raise UnitCheck(0, image=replace(refused.refusal, cca=address).sense()) from refused

    def begin_state_change(self, unit_address: int) -> None:
        """Hosts that want tracks of the device are told to wait: state change pending, or extended long busy."""
        self.devices[unit_address].begin_state_change()

    def end_state_change(self, unit_address: int) -> None:
        """Attention, device end and unit exception (85) to every path of the groups that were told to wait."""
        for path in self.devices[unit_address].end_state_change():
            assert isinstance(path, PathId)
            self.ports.links.present_status(path, unit_address, STATE_CHANGED)
        self._let_hosts_go_on(unit_address)

    def _hold_hosts(self, unit_address: int, begins: bool) -> None:
        """Extended long busy begins or ends; its end is told to every host, also to those that did not ask."""
        if begins:
            self.begin_state_change(unit_address)
            return
        self.devices[unit_address].end_state_change()
        self._attention(unit_address, STATE_CHANGED)
        self._let_hosts_go_on(unit_address)

    def _let_hosts_go_on(self, unit_address: int) -> None:
        for action in self._released.pop(unit_address, []):
            action()
        if self.devices[unit_address].active_chain is None:
            self.on_idle(unit_address)

    def told_to_wait(self, unit_address: int) -> bool:
        """Is a state change pending for the device (extended long busy)?"""
        return self.devices[unit_address].changing is not None

    def when_released(self, unit_address: int, action: Callable[[], None]) -> None:
        """Call `action` when no state change is pending for the device: now, mostly."""
        if self.told_to_wait(unit_address):
            self._released.setdefault(unit_address, []).append(action)
        else:
            action()

    def _attention(self, address: int, status: int) -> None:
        for path in self.ports.links.host_paths():
            self.ports.links.present_status(path, address, status)

    def _in_use(self, address: int) -> tuple[bool, bool]:
        paths = self.devices[address].paths
        return paths.online or address in self.attached, paths.owner is not None

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
        for device in self.devices.values():
            self._store(device.reset_path(path, selective=False))
            self._pay_device_ends(device)
        self._busy.forget(path)
        box = self._peers.pop(path, None)
        if box is not None and box not in self._peers.values():
            self.remote_copy.peer_gone(box)

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        """See `CommandServer`."""
        return unit_address in self.volumes

    def end_chain(self, path: PathId, unit_address: int) -> None:
        """See `CommandServer`."""
        device = self.devices[unit_address]
        self._store(device.end_chain(path))
        self._pay_device_ends(device)

    def reset(self, path: PathId, unit_address: int | None) -> None:
        """See `CommandServer`."""
        addresses = list(self.devices) if unit_address is None else [unit_address]
        for address in addresses:
            if address in self.devices:
                device = self.devices[address]
                self._store(device.reset_path(path, selective=unit_address is not None))
                self._pay_device_ends(device)

    def _pay_device_ends(self, device: Device) -> None:
        for path in device.take_owed_device_ends():
            assert isinstance(path, PathId)
            self.ports.links.present_status(path, device.settings.unit_address, DEVICE_END)
        if device.active_chain is None:
            self.on_idle(device.settings.unit_address)

    def is_peer(self, path: PathId) -> bool:
        """Is another storage system behind the path?"""
        return path in self._peers

    def link_lost(self, said: int) -> None:
        """The light of a port went out."""
        self.remote_copy.link_lost(said)

    # Commands

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        """See `CommandServer`."""
        device = self._device(unit_address)
        sender = self._peers.get(path)
        refusal = None if sender is not None else self.remote_copy.gate(unit_address, command.code)
        if refusal is not None:
            reply(device.refuse(path, command, UnitCheck(0, image=refusal.sense())))
            return
        try:
            self._run(device, path, command, sender, reply)
        except ArrayFault as fault:
            check = INTERVENTION_REQUIRED if isinstance(fault, ArrayFull) else EQUIPMENT_CHECK
            reply(device.refuse(path, command, check))

    def _run(
        self,
        device: Device,
        path: PathId,
        command: Command,
        sender: BoxName | None,
        reply: Callable[[Outcome], None],
    ) -> None:
        if not command.chained and self._busy.refuses(path, device.settings.unit_address):
            reply(Outcome(CONTROL_UNIT_BUSY, residual=command.count))
            return
        outcome = device.execute(path, command)
        if outcome.order is not None:
            self._order(path, device, command, sender, outcome, reply)
        elif outcome.record is not None:
            self._record(path, device, command, outcome, sender, reply)
        elif outcome.writes:
            self._harden(device, path, command, outcome, reply)
        else:
            reply(outcome)

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
            reply(result)

        if not self.settings.pprc:
            answer(Refusal(0x0F, 0x40, cca=unit_address).outcome())
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

    def _append(self, writes: tuple[TrackWrite, ...]) -> list[tuple[int, int]]:
        """Append changed tracks to the array; their (track, sequence).

        Raises ArrayFault; remote copy has heard then of those that were appended before, for nobody waits for them.
        """
        stored: list[tuple[int, int]] = []
        try:
            for write in writes:
                stored.append((write.track, self.ports.array.write(write.volume, write.track, write.image)))
        except ArrayFault:
            if stored:
                self.remote_copy.host_writes(writes[0].volume, stored, lambda _: None)
            raise
        return stored

    def _store(self, writes: tuple[TrackWrite, ...]) -> None:
        """Append tracks whose chain is over. When the array refuses they are lost, as none of them was acknowledged."""
        if not writes:
            return
        try:
            stored = self._append(writes)
        except ArrayFault as fault:
            self.ports.log(None, "tracks of a chain that was cut off are not stored", {"why": str(fault)})
            return
        self.remote_copy.host_writes(writes[0].volume, stored, lambda _: None)
        self.on_changed(writes[0].volume, [track for track, _ in stored])

    def _harden(
        self, device: Device, path: PathId, command: Command, outcome: Outcome, reply: Callable[[Outcome], None]
    ) -> None:
        """Reply when the writes are durable here and, for a pair in step, at the secondary."""
        stored = self._append(outcome.writes)
        self._busy.entered()
        waiting = Hardening(device, path, command, outcome, reply, self._hardened)
        self._both(outcome.writes[0].volume, stored, waiting.local, waiting.remote)
        self.on_changed(outcome.writes[0].volume, [write.track for write in outcome.writes])

    # Hosts that run their channel programs themselves and ask for whole tracks (controller/sharing)

    def harden(
        self,
        writes: tuple[TrackWrite, ...],
        local: Callable[[bool], None],
        remote: Callable[[Refusal | None], None],
    ) -> None:
        """Append changed tracks of one volume; both sides harden them in parallel, each is told of by its callback.

        Raises ArrayFault: then no callback is called.
        """
        self._both(writes[0].volume, self._append(writes), local, remote)

    def _both(
        self,
        volume: int,
        stored: list[tuple[int, int]],
        local: Callable[[bool], None],
        remote: Callable[[Refusal | None], None],
    ) -> None:
        self.ports.hardener.when_durable(stored[-1][1], local)
        self.remote_copy.host_writes(volume, stored, remote)

    def hold(self, holder: Hashable, unit_address: int) -> bool:
        """Give the device to `holder` as if it ran a chain; False while another does, or has it reserved."""
        return self._device(unit_address).hold(holder)

    def let_go(self, holder: Hashable, unit_address: int) -> None:
        """What `hold` began is over."""
        device = self.devices[unit_address]
        device.end_chain(holder)
        self._pay_device_ends(device)

    def _hardened(self) -> None:
        for path, unit_address in self._busy.left():
            self.ports.links.present_status(path, unit_address, CONTROL_UNIT_END)


def _shape(geometry: Geometry) -> VolumeShape:
    return VolumeShape(geometry.cylinders, geometry.heads, geometry.device_type, geometry.track_size)


def _nobody(*_: object) -> None:
    """Nobody wants to know."""
