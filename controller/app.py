"""Wiring of one storage system from its configuration: store, volumes, devices, adapters, event log."""

import errno
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import FileIO

import trio

from ccw.geometry import Geometry, geometry_for
from ccw.link_control import NodeDescriptor
from ccw.profiles import PROFILES as PRESENTATIONS
from ccw.profiles import DeviceIdentity
from controller.added_volumes import added_volumes
from controller.array import FileDisk, VirtualArrayStore
from controller.array.images import ImageError, import_image, open_image
from controller.array.in_place import ImageFile, InPlaceVolume, physical_volumes, shadow_of
from controller.array.parity import ParityDisk, open_directories
from controller.array.volumes import UNIT_ADDRESS, create_volume, is_finished, shape_of
from controller.box import BoxSettings, VolumeSettings
from controller.commands.attachment import control_units_for, has_usual_control_unit, profile_of
from controller.commands.profiles import PROFILES, Profile
from controller.commands.release_space import THIN
from controller.config import ConfigError, SystemConfig, VolumeConfig
from controller.links.adapters import Adapters, MakeTap
from controller.links.array_care import ArrayCare
from controller.links.destager import Destager
from controller.links.management import Management
from controller.links.operations import Operations
from controller.links.precise_sleep import precise_sleep_until
from controller.links.schedule import SnapshotSchedule
from controller.links.system import SharedDasd, StorageSystem
from controller.models.meter import Meter
from controller.models.parameters import ModelParameters
from controller.models.response import ResponseModel
from controller.remote_copy.pair import BoxName
from controller.sharing import ShareSettings

EVENT_LOG = "events.jsonl"
TOKEN_FILE = "management.token"
MEGABYTE = 1 << 20


def box_settings(config: SystemConfig) -> BoxSettings:
    """The subsystem's settings. Raises ConfigError."""
    volumes = tuple(
        VolumeSettings(
            unit_address=volume.address,
            geometry=_geometry(volume),
            profile=_profile(volume, config),
            sense_id=volume.sense_id,
            seek_check=volume.seek_check,
            identity=DeviceIdentity(
                unit_address=volume.address,
                ssid=config.ssid,
                serial=config.serial,
                lss=config.lss,
                manufacturer=config.manufacturer,
                plant=config.plant,
                interface_id=config.interface_id,
                link_protocol=config.link_protocol,
            ),
            read_only=volume.read_only,
            features=config.features | ({THIN} if volume.thin else set()),
            number=volume.number,
            aliases=volume.aliases,
        )
        for volume in config.volumes
    )
    own = BoxName(config.serial.encode("cp037"), config.ssid, config.lss)
    model = config.model
    announced = (
        (0, 0) if model is None else ((model.cache_mb or 0) * MEGABYTE, (model.nvs_mb or 0) * MEGABYTE)
    )
    conventional = config.mode == "conventional"
    return BoxSettings(own, PROFILES[config.profile], volumes, config.pprc, conventional, *announced, copy=config.copy)


def _geometry(volume: VolumeConfig) -> Geometry:
    try:
        return geometry_for(volume.device_type, volume.cylinders)
    except ValueError as error:
        raise ConfigError(f"volume {volume.address:02X}: {error}") from error


def _profile(volume: VolumeConfig, config: SystemConfig) -> Profile:
    """The control unit of a volume: its own, or the system's, or where that takes no such devices, the usual one."""
    geometry = _geometry(volume)
    try:
        if volume.control_unit or not has_usual_control_unit(geometry):
            return profile_of(geometry, volume.control_unit or config.profile)
        return profile_of(geometry, config.profile if config.profile in control_units_for(geometry) else "")
    except ValueError as error:
        raise ConfigError(f"volume {volume.address:02X}: {error}") from error


def check(config: SystemConfig) -> list[str]:
    """Validate everything that needs no start: certificates, geometry, images. A line for each volume.

    Raises ConfigError.
    """
    lines = []
    Adapters(config.ports)  # reads certificates
    for volume in config.volumes:
        geometry = _geometry(volume)
        _profile(volume, config)
        if volume.image is not None:
            check_image(volume, geometry)
        if volume.image_in_place is not None:
            ImageFile(volume.image_in_place, geometry, read_only=True).close()
        aliases = f", aliases {' '.join(f'{alias:02X}' for alias in volume.aliases)}" if volume.aliases else ""
        lines.append(f"volume {volume.address:02X}: {geometry.name}, {geometry.cylinders} cylinders{aliases}")
    return lines


def check_image(volume: VolumeConfig, geometry: Geometry) -> None:
    """Raise ConfigError unless the volume's image has its shape; its tracks are looked at when they are imported."""
    assert volume.image is not None
    try:
        with open_image(volume.image) as source:
            found = source.geometry
    except ImageError as error:
        raise ConfigError(str(error)) from error
    if shape_of(found) != shape_of(geometry):
        raise ConfigError(
            f"image {volume.image}: a {found.name} of {found.cylinders} cylinders with {found.heads} heads, "
            f"the volume is a {geometry.name} of {geometry.cylinders} with {geometry.heads}"
        )


def open_disk(config: SystemConfig, *, read_only: bool = False) -> FileDisk | ParityDisk:
    """The disk under the store: a directory, or the devices of a parity array. Raises StoreError."""
    if not config.devices:
        return FileDisk(config.store, read_only=read_only)
    return open_directories(config.devices, parity=config.parity, read_only=read_only)


def open_store(config: SystemConfig) -> VirtualArrayStore:
    """Open (or create) the store and define the volumes that are new, with their first content.

    Raises ConfigError (nothing is created or changed then), StoreError.
    """
    if not config.store.exists():
        check(config)
    disk = open_disk(config)
    try:
        config.store.mkdir(parents=True, exist_ok=True)
        store = VirtualArrayStore.open(disk, capacity_bytes=config.capacity_bytes)
    except BaseException:
        disk.close()
        raise
    try:
        define_volumes(store, config)
    except BaseException:
        store.close()
        raise
    return store


def define_volumes(store: VirtualArrayStore, config: SystemConfig) -> None:
    """Define the volumes that are new, with their first content. Raises ConfigError before anything is changed."""
    known = store.volumes()
    new = [volume for volume in config.volumes if not is_finished(known.get(volume.number, {}))]
    for volume in config.volumes:
        if volume not in new:
            _same_shape(volume, known[volume.number])
        elif volume.image is not None:
            check_image(volume, _geometry(volume))
    for volume in config.volumes:
        if volume.image_in_place is not None:
            _attach(store, volume)
        elif volume in new:
            _define(store, volume)
        elif shadow_of(volume.number) in known:
            raise ConfigError(f"volume {volume.address:02X}: its tracks lie in an image: image_in_place is needed")
    for volume in config.volumes:
        _remember_address(store, volume)


def _define(store: VirtualArrayStore, volume: VolumeConfig) -> None:
    """Define a new volume with its first content; an import that was cut off starts again."""
    if volume.image is None:
        create_volume(store, volume.number, _geometry(volume), {})
        store.sync()
        return
    try:
        import_image(store, volume.number, volume.image)
    except ImageError as error:
        raise ConfigError(str(error)) from error


def attach_images(store: VirtualArrayStore, config: SystemConfig) -> None:
    """Tie the physical volumes that a store has to their images, as it is itself open: to read, or to write.

    Raises StoreError.
    """
    known = store.volumes()
    for volume in config.volumes:
        if volume.image_in_place is not None and shadow_of(volume.number) in known:
            _attach(store, volume)


def _attach(store: VirtualArrayStore, volume: VolumeConfig) -> None:
    """Tie a physical volume to its image, which the store closes with itself. Raises StoreError."""
    assert volume.image_in_place is not None
    geometry = _geometry(volume)
    file = ImageFile(volume.image_in_place, geometry, read_only=not store.disk.writable)
    try:
        InPlaceVolume.attach(store, volume.number, file)
    except BaseException:
        file.close()
        raise
    if not is_finished(store.attributes(volume.number)):
        store.define_volume(volume.number, shape_of(geometry))
        store.sync()


def _remember_address(store: VirtualArrayStore, volume: VolumeConfig) -> None:
    """Keep where a volume is whose number is not its unit address: commands over stores need to know."""
    attributes = store.attributes(volume.number)
    if attributes.get(UNIT_ADDRESS, volume.number) != volume.address:
        store.define_volume(volume.number, {**attributes, UNIT_ADDRESS: volume.address})
        store.sync()


def _same_shape(volume: VolumeConfig, known: Mapping[str, object]) -> None:
    for key, value in shape_of(_geometry(volume)).items():
        if known.get(key) != value:
            raise ConfigError(f"volume {volume.address:02X}: {key} is {known[key]} in the store, {value} here")


class EventLog:
    """Writes events as JSON lines: time since start in seconds, step number, text, fields.

    A log that cannot be written, for its disk is full, stops nothing: stderr is told, and the log how many events it
    lacks as soon as it takes them again. Its lines are always whole.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._start = trio.current_time()
        self._lost = 0

    def __call__(self, now: float, step: int | None, text: str, fields: Mapping[str, object]) -> None:
        event: dict[str, object] = {"t": round(now - self._start, 6)}
        if step is not None:
            event["step"] = step
        event["text"] = text
        event.update(fields)
        try:
            if self._lost:
                told = {"t": event["t"], "text": "events were lost: the log could not be written", "events": self._lost}
                self._append(told)
                self._lost = 0
            self._append(event)
        except OSError as error:
            if not self._lost:
                print(f"the event log cannot be written: {error}", file=sys.stderr)
            self._lost += 1

    def _append(self, event: Mapping[str, object]) -> None:
        """Write one line or nothing. Raises OSError."""
        line = json.dumps(event).encode() + b"\n"
        done = self._file.write(line)
        if done != len(line):
            os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - done)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def event_file(config: SystemConfig) -> Iterator[FileIO]:
    """The event log file beside the store, opened to append."""
    with FileIO(config.store / EVENT_LOG, "a") as file:
        yield file


def node_descriptor(config: SystemConfig) -> NodeDescriptor:
    """What Request Node Identification tells about this box; the tag is the port's."""
    presentation = PRESENTATIONS[config.profile]
    return NodeDescriptor(
        0,
        b"\0\0\0",
        f"{presentation.control_unit_type:06X}",
        "   ",
        config.manufacturer,
        config.plant,
        config.serial,
        0,
    )


def management_token(config: SystemConfig) -> str:
    """What a change over HTTP needs: the first line of the token file, which is made when it is not there."""
    assert config.management is not None
    path = config.management.token_file or config.store / TOKEN_FILE
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
    except FileExistsError:
        pass
    lines = path.read_text(encoding="utf-8").split()
    if not lines:
        raise ConfigError(f"{path}: there is no token in it")
    return lines[0]


def _shared(config: SystemConfig) -> SharedDasd | None:
    """How the volumes are shared. Clients' identifiers begin elsewhere at each start: see `ShareSettings`."""
    if config.shared is None:
        return None
    first = 1 + time.time_ns() // 1_000_000 % 0xFFFE
    numbers = {volume.number: volume.address for volume in config.volumes}
    return SharedDasd(config.shared, ShareSettings(numbers, config.shared.clients_max, first))


def _meter(config: SystemConfig) -> Meter | None:
    """The models with what the configuration says about the hardware; None when they are turned off."""
    wanted = config.model
    if wanted is None:
        return None
    parameters = ModelParameters()
    cache, slot = parameters.cache, parameters.cache.slot_bytes
    slots = cache.slots if wanted.cache_mb is None else max(1, wanted.cache_mb * MEGABYTE // slot)
    nvs_slots = cache.nvs_slots if wanted.nvs_mb is None else wanted.nvs_mb * MEGABYTE // slot
    cache = replace(cache, slots=slots, nvs_slots=min(nvs_slots, slots))
    link = replace(parameters.link, distance_km=wanted.distance_km)
    return Meter(ResponseModel(replace(parameters, cache=cache, link=link)))


async def serve(
    config: SystemConfig,
    make_tap: MakeTap | None = None,
    task_status: trio.TaskStatus[StorageSystem] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one storage system until cancelled. Raises ConfigError, StoreError, OSError (a port that is taken).

    `make_tap`: makes what is shown every record of a new link.
    """
    adapters = Adapters(config.ports)
    store = open_store(config)
    adapters.make_tap = make_tap
    adapters.sleep_until = precise_sleep_until
    try:
        added = added_volumes(store, config)
        for volume in added:
            _remember_address(store, volume)
        config = replace(config, volumes=config.volumes + added)
        with event_file(config) as file:
            system = StorageSystem(
                box_settings(config),
                adapters,
                store,
                node_descriptor(config),
                EventLog(file),
                time.time(),
                shared=_shared(config),
                meter=_meter(config),
                paced=config.model is not None and config.model.pace,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(system.run)
                if isinstance(store.disk, ParityDisk):
                    nursery.start_soon(ArrayCare(store.disk, config.store, system.log).run)
                if volumes := physical_volumes(store):
                    nursery.start_soon(Destager(volumes, system.committer, system.log).run)
                operations = Operations(system, config.name)
                for schedule in config.schedules:
                    nursery.start_soon(SnapshotSchedule(schedule, operations, partial(system.log, None)).run)
                if config.management is not None:
                    management = Management(config.management, operations, management_token(config))
                    await nursery.start(management.run)
                    system.management_address = management.address
                system.log(None, "system started", {"name": config.name})
                task_status.started(system)
    finally:
        store.close()
