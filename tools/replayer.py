"""Runs a recording against a device, in process or over a link, and reports every difference.

In process the devices that recording.toml names are built here, over a track source in memory loaded from the initial
images. Over a link the other side must have been given the same volume; its tracks are read back by channel programs
(Locate Record for Read Tracks from the home address, then Read Track), which every control unit model here knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Protocol

import trio

from ccw.characteristics import device_characteristics
from ccw.geometry import Geometry, geometry_for
from ccw.profiles import DeviceIdentity
from ccw.tracks import null_track, track_digest
from controller.commands.attachment import profile_of
from controller.commands.device import Device, DeviceSettings
from controller.commands.outcome import Command, Outcome
from controller.models.meter import Meter
from controller.models.work import CommandWork
from host_emulator.channel import InterfaceControlCheck, Response, Start
from tools.deviation_rules import flag_not_stored_on_track
from tools.follower import follow
from tools.recording import RecordedDevice, RecordedProgram, Recording, RecordingError
from tools.replay_report import ReplayReport
from tools.sense_programs import leaving_sense, with_sense_program
from tools.track_reader import tracks_by_record

PATH = "recorded path"
PARALLEL = 0x80  # the recorded machines call their paths parallel
TRACKS_PER_PROGRAM = 15
LONGEST_TRACK_BYTES = 65_535
HOME_ADDRESS_BYTES = 5
END_OF_TRACK = b"\xff" * 8
DEFINE_EXTENT, LOCATE_RECORD, READ_TRACK = 0x63, 0x47, 0xDE
READ_CHARACTERISTICS, CHARACTERISTICS_BYTES = 0x64, 64
SHAPE = (slice(3, 5), slice(12, 14), slice(14, 16), slice(48, 52))  # device type, cylinders, heads, cylinders if more
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NORMAL_END = 0x0C

Work = tuple[int, bytes, int, bool, int]  # the fields of a CommandWork, which is made where it is needed
Advance = Callable[[int], None]  # called with the number of programs done since the last call


class Session(Protocol):
    """What a host session must offer: carry one channel program, given as a generator, to a device."""

    async def run(self, unit_address: int, program: Generator[Start, Response, Any], /) -> Any:
        """Return what the generator returns."""


class MemoryTracks:
    """Track images in memory: the source and the store of an in-process replay. A track never written is empty."""

    def __init__(self, geometries: dict[int, Geometry]) -> None:
        self._geometries = geometries
        self._images: dict[tuple[int, int], bytes] = {}

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


class Replayer:
    """Runs the programs of one recording and keeps the report.

    `speed`: how many times faster than recorded the programs are started, None as fast as possible. They are started
    in the recorded order either way, whatever device they are for, each when the one before has ended.
    """

    def __init__(self, recording: Recording, speed: float | None = None) -> None:
        self.recording = recording
        self.report = ReplayReport(recording.name)
        self._speed = speed

    def run_in_process(self, progress: Advance | None = None) -> ReplayReport:
        """Replay against devices built here, compare the final tracks, ask the models. Raises RecordingError."""
        report, system = self.report, InProcess(self.recording)
        programs = list(self.recording.programs())
        self._note_unknown(programs)
        works: list[list[Work]] = []
        started = time.perf_counter()
        for program in programs:
            if self._speed is not None:
                time.sleep(max(0.0, started + program.time_us / 1e6 / self._speed - time.perf_counter()))
            works.append(system.run(program.device, follow(program, report.followed)))
            if progress is not None:
                progress(1)
        report.seconds = time.perf_counter() - started
        for address, device in self.recording.devices.items():
            self._compare_tracks(device, system.images(address))
        report.meter = measure(system.geometries, programs, works)
        return report

    async def run_over(
        self, session: Session, unit_address: int | None = None, progress: Advance | None = None
    ) -> ReplayReport:
        """Replay through a host session. `unit_address` stands for the recorded device, by default the recorded one.

        The tracks are not compared: `compare_over` does it, when nothing else changes them.
        """
        programs = list(self.recording.programs())
        self._note_unknown(programs)
        started = time.perf_counter()
        for program, sense_follows in with_sense_program(programs):
            if self._speed is not None:
                await trio.sleep(max(0.0, started + program.time_us / 1e6 / self._speed - time.perf_counter()))
            address = program.device & 0xFF if unit_address is None else unit_address
            following = follow(program, self.report.followed)
            await session.run(address, leaving_sense(program, following) if sense_follows else following)
            if progress is not None:
                progress(1)
        self.report.seconds += time.perf_counter() - started
        return self.report

    def _note_unknown(self, programs: Iterable[RecordedProgram]) -> None:
        """Say what the recording does not show."""
        unknown = self.report.unknown
        for device in self.recording.devices.values():
            if device.initial is None:
                unknown.append(f"what {device.address:04X} held before: it begins empty here, so reads may differ")
            if device.final is None:
                unknown.append(f"the tracks of {device.address:04X} after the last program")
        commands = [command for program in programs for command in program.commands]
        reads = sum(command.data_in_known is not None for command in commands)
        writes = sum(command.data_out_known is not None for command in commands)
        if reads:
            unknown.append(f"the data of {reads:,} reads beyond what the trace shows")
        if writes:
            unknown.append(f"the data of {writes:,} writes beyond what the trace shows: zeros were written")

    async def compare_over(self, session: Session, unit_address: int | None = None) -> ReplayReport:
        """Read every track through the session and compare its hash with the recorded one."""
        for device in self.recording.devices.values():
            geometry = device_geometry(device)
            address = device.unit_address if unit_address is None else unit_address
            found: list[tuple[int, bytes]] = []
            profile = device_settings(device, self.recording.features).profile
            if DEFINE_EXTENT in profile.absent:
                found = [pair async for pair in tracks_by_record(session, address, geometry)]
                self._compare_tracks(device, found)
                continue
            for first in range(0, geometry.tracks, TRACKS_PER_PROGRAM):
                stop = min(first + TRACKS_PER_PROGRAM, geometry.tracks)
                images = await session.run(address, read_tracks(geometry, first, stop))
                found += zip(range(first, stop), images, strict=False)
            self._compare_tracks(device, found)
        return self.report

    def _compare_tracks(self, device: RecordedDevice, images: Iterable[tuple[int, bytes]]) -> None:
        report, found = self.report, dict(images)
        flags = report.followed.flags_of(device.address)
        for track, digest in self.recording.final_hashes(device).items():
            report.tracks_compared += 1
            image = found.get(track)
            if image is not None and track_digest(image) == digest:
                continue
            explained = image is not None and flag_not_stored_on_track(digest, image, flags)
            (report.tracks_explained if explained else report.tracks_different).append((device.address, track))


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


def measure(
    geometries: Mapping[int, Geometry], programs: Iterable[RecordedProgram], works: Iterable[Iterable[Work]]
) -> Meter:
    """What the models say of programs that are started when they were recorded.

    Where the modelled device is not done with its last program by then, this one and all that follow start later.
    """
    meter = Meter(commands=True)
    for address, geometry in geometries.items():
        meter.add_volume(address, geometry)
    lag, finished = 0.0, dict.fromkeys(geometries, 0.0)
    for program, work in zip(programs, works, strict=True):
        recorded = program.time_us / 1e6
        lag = max(lag, finished[program.device] - recorded)
        for index, command in enumerate(work):
            meter.command(PATH, PATH, program.device, recorded + lag, index > 0, CommandWork._make(command))
        response = meter.end_chain(PATH, program.device)
        if response is not None:
            finished[program.device] = response.finish
    return meter


class OtherDevice(Exception):
    """The device at the target is not the recorded one; the text is one line."""


async def check_target(session: Session, recording: Recording, unit_address: int | None = None) -> None:
    """Ask the target what its devices are. Raises OtherDevice when one has another type or size than was recorded.

    Devices that have no Read Device Characteristics are taken as they are.
    """
    for device in recording.devices.values():
        address = device.unit_address if unit_address is None else unit_address
        settings = device_settings(device, recording.features)
        found = await session.run(address, read_characteristics())
        if found is None:
            continue
        wanted = device_characteristics(settings.profile.presentation, settings.geometry)
        if len(found) < len(wanted) or any(found[part] != wanted[part] for part in SHAPE):
            raise OtherDevice(
                f"unit {address:02X} of the target is {_shape(found)}, the recording has {_shape(wanted)}"
            )


def read_characteristics() -> Generator[Start, Response, bytes | None]:
    """Read Device Characteristics; None when the device has no such command. Raises what the link does."""
    response = yield Start(READ_CHARACTERISTICS, SUPPRESS_LENGTH, CHARACTERISTICS_BYTES, b"", False)
    return response.data if response.status == NORMAL_END else None


def _shape(data: bytes) -> str:
    if len(data) < CHARACTERISTICS_BYTES:
        return f"something with {len(data)} bytes of characteristics"
    cylinders, heads = (int.from_bytes(data[part], "big") for part in SHAPE[1:3])
    return f"a {data[SHAPE[0]].hex()} of {cylinders} cylinders and {heads} heads"


def read_tracks(geometry: Geometry, first: int, stop: int) -> Generator[Start, Response, list[bytes]]:
    """Read the tracks `first` to `stop` (excluded) and return their images; fewer when the device does not deliver."""
    begin, end = geometry.address_of(first).pack(), geometry.address_of(stop - 1).pack()
    extent = b"\x40\xc0" + bytes(6) + begin + end
    locate = bytes((0x4C, 0, 0, stop - first)) + begin + begin + b"\0\xff\0\0"
    images: list[bytes] = []
    chained = False
    for code, data in ((DEFINE_EXTENT, extent), (LOCATE_RECORD, locate)):
        try:
            response = yield Start(code, CHAIN, len(data), data, chained)
        except InterfaceControlCheck:
            return images
        if response.status != NORMAL_END:
            return images
        chained = True
    for track in range(first, stop):
        flags = SUPPRESS_LENGTH | (CHAIN if track + 1 < stop else 0)
        try:
            response = yield Start(READ_TRACK, flags, LONGEST_TRACK_BYTES, b"", True)
        except InterfaceControlCheck:
            return images
        if response.status != NORMAL_END or not response.data.endswith(END_OF_TRACK):
            return images
        images.append(b"\0" + geometry.address_of(track).pack() + response.data)
    return images
