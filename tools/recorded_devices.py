"""The devices of a recording, built here over tracks in memory, and how programs are carried to them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from ccw.geometry import Geometry, geometry_for
from ccw.profiles import DeviceIdentity
from ccw.tracks import null_track
from controller.commands.attachment import profile_of
from controller.commands.device import Device, DeviceSettings
from controller.commands.outcome import Command, Outcome, TrackWrite
from host_emulator.channel import InterfaceControlCheck, Start
from tools.follower import Answer
from tools.recording import RecordedDevice, Recording, RecordingError

PATH = "recorded path"
PARALLEL = 0x80  # the recorded machines call their paths parallel

Work = tuple[int, bytes, int, bool, int]  # the fields of a CommandWork, which is made where it is needed


class MemoryTracks:
    """Track images in memory: the source and the store of an in-process replay. A track never written is empty."""

    def __init__(self, geometries: dict[int, Geometry]) -> None:
        self._geometries = geometries
        self._images: dict[tuple[int, int], bytes] = {}
        self.changed: set[tuple[int, int]] = set()  # volume and track of every write since it was emptied

    def snapshot(self) -> dict[tuple[int, int], bytes]:
        """What was written so far, by volume and track."""
        return dict(self._images)

    def restore(self, images: Mapping[tuple[int, int], bytes]) -> None:
        """Hold what a snapshot holds, and nothing else."""
        self._images = dict(images)

    def read(self, volume: int, track: int) -> bytes:
        """Return the image of a track."""
        image = self._images.get((volume, track))
        if image is None:
            image = null_track(*divmod(track, self._geometries[volume].heads))
        return image

    def write(self, volume: int, track: int, image: bytes) -> None:
        """Replace the image of a track."""
        self._images[volume, track] = image
        self.changed.add((volume, track))


def device_geometry(device: RecordedDevice) -> Geometry:
    """Return the geometry of a recorded device. Raises RecordingError for one that does not exist."""
    try:
        geometry = geometry_for(device.device_type, device.cylinders)
    except ValueError as error:
        raise RecordingError(f"device {device.address:04X}: {error}") from error
    if geometry.heads != device.heads:
        raise RecordingError(f"device {device.address:04X}: a {device.device_type} has {geometry.heads} heads")
    return geometry


def device_settings(device: RecordedDevice, features: frozenset[str]) -> DeviceSettings:
    """Return the settings of the device that was recorded. Raises RecordingError for an unknown control unit."""
    geometry = device_geometry(device)
    try:
        profile = profile_of(geometry, device.control_unit)
    except ValueError as error:
        raise RecordingError(f"device {device.address:04X}: {error}") from error
    return DeviceSettings(
        volume=device.address,
        unit_address=device.unit_address,
        geometry=geometry,
        profile=profile,
        identity=DeviceIdentity(
            unit_address=device.unit_address,
            ssid=device.ssid,
            serial=device.serial,
            lss=device.address >> 8,
            manufacturer=device.manufacturer,
            plant=device.plant,
            interface_id=device.interface_id,
            link_protocol=PARALLEL,
        ),
        read_only=device.read_only,
        features=features,
    )


class InProcess:
    """The devices of a recording, built here over tracks in memory. Raises RecordingError."""

    def __init__(self, recording: Recording) -> None:
        self.geometries = {address: device_geometry(device) for address, device in recording.devices.items()}
        self.tracks = MemoryTracks(self.geometries)
        self.devices: dict[int, Device] = {}
        self._settings: dict[int, DeviceSettings] = {}
        for address, device in recording.devices.items():
            for track, image in recording.initial_tracks(device):
                self.tracks.write(address, track, image)
            self._settings[address] = device_settings(device, recording.features)
            self.devices[address] = Device(self._settings[address], self.tracks)
        self.tracks.changed.clear()

    def again(self, images: Mapping[tuple[int, int], bytes]) -> InProcess:
        """The same devices, new, over a snapshot of tracks."""
        fresh = InProcess.__new__(InProcess)
        fresh.geometries, fresh._settings = self.geometries, self._settings
        fresh.tracks = MemoryTracks(self.geometries)
        fresh.tracks.restore(images)
        fresh.devices = {address: Device(settings, fresh.tracks) for address, settings in self._settings.items()}
        return fresh

    def run(self, address: int, program: Generator[Start, Outcome, Any]) -> list[Work]:
        """Carry the commands of a program straight to a device, hardening what it changes; what each was."""
        return run_program(self.devices[address], self.tracks, program)

    def beside(
        self, address: int, program: Generator[Start, Answer, None], works: list[Work]
    ) -> Generator[Start, Answer, None]:
        """The program, which someone else answers, with its commands carried to a device here too.

        What each was goes into `works`: as it was answered, on the track where the device here stands.
        """
        device = self.devices[address]
        try:
            start = next(program)
            while True:
                try:
                    answer = yield start
                except InterfaceControlCheck as problem:
                    start = program.throw(problem)
                    continue
                command = Command(start.code, start.flags, start.count, start.data, start.chained)
                self._harden(device.execute(PATH, command).writes)
                works.append((start.code, start.data, len(answer.data), answer.immediate, device.position))
                start = program.send(answer)
        except StopIteration:
            pass
        self._harden(device.end_chain(PATH))

    def _harden(self, writes: Iterable[TrackWrite]) -> None:
        for write in writes:
            self.tracks.write(*write)

    def images(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Every track of a device, as it is now."""
        return ((track, self.tracks.read(address, track)) for track in range(self.geometries[address].tracks))


def run_program(
    device: Device, tracks: MemoryTracks, program: Generator[Start, Outcome, Any]
) -> list[Work]:
    """Carry the commands of a program straight to a device, hardening what it changes before going on.

    Returns what each command was to the hardware.
    """
    execute, works = device.execute, list[Work]()
    try:
        start = next(program)
        while True:
            code, flags, count, data, chained, _, _ = start
            outcome = execute(PATH, Command(code, flags, count, data, chained))
            for write in outcome.writes:
                tracks.write(*write)
            works.append((code, data, len(outcome.data), outcome.immediate, device.position))
            start = program.send(outcome)
    except StopIteration:
        pass
    for write in device.end_chain(PATH):
        tracks.write(*write)
    return works
