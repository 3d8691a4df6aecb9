"""Runs a recording against a device, in process or over a link, and reports every difference.

In process the devices that recording.toml names are built here, over a track source in memory loaded from the initial
images. Over a link the other side must have been given the same volume; its tracks are read back by channel programs
(Locate Record for Read Tracks from the home address, then Read Track), which every control unit model here knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ccw.geometry import Geometry, geometry_for
from ccw.profiles import DeviceIdentity
from ccw.tracks import null_track, track_digest
from controller.commands.attachment import profile_of
from controller.commands.device import Device, DeviceSettings
from controller.commands.outcome import Command
from host_emulator.channel import InterfaceControlCheck, Response, Start
from tools.deviations import flag_not_stored_on_track
from tools.follower import Followed, follow
from tools.recording import RecordedDevice, Recording, RecordingError
from tools.sense_programs import leaving_sense, with_sense_program
from tools.track_reader import tracks_by_record

PATH = "recorded path"
PARALLEL = 0x80  # the recorded machines call their paths parallel
TRACKS_PER_PROGRAM = 15
LONGEST_TRACK_BYTES = 65_535
HOME_ADDRESS_BYTES = 5
END_OF_TRACK = b"\xff" * 8
DEFINE_EXTENT, LOCATE_RECORD, READ_TRACK = 0x63, 0x47, 0xDE
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NORMAL_END = 0x0C

Advance = Callable[[int], None]  # called with the number of programs done since the last call


class Session(Protocol):
    """What a host session must offer: carry one channel program, given as a generator, to a device."""

    async def run(self, unit_address: int, program: Generator[Start, Response, Any], /) -> Any:
        """Return what the generator returns."""


@dataclass(slots=True)
class ReplayReport:
    """What a replay showed. `differences` and `tracks_different` are the unexplained ones."""

    followed: Followed = field(default_factory=Followed)
    tracks_compared: int = 0
    tracks_different: list[tuple[int, int]] = field(default_factory=list)
    tracks_explained: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def differs(self) -> bool:
        """True when anything is left that no rule explains."""
        return bool(self.followed.differences or self.tracks_different)

    def figures(self) -> dict[str, Any]:
        """Return the report as one JSON-ready object."""
        followed = self.followed
        return {
            "programs": followed.programs,
            "programs_differing": followed.programs_differing,
            "commands": followed.commands,
            "differences": len(followed.differences),
            "explained": len(followed.explained),
            "tracks_compared": self.tracks_compared,
            "tracks_different": len(self.tracks_different),
            "tracks_explained": len(self.tracks_explained),
            "seconds": round(self.seconds, 3),
            "difference_list": [asdict(difference) for difference in followed.differences],
            "explained_list": [asdict(difference) for difference in followed.explained],
            "different_track_list": [f"{device:04X}:{track}" for device, track in self.tracks_different],
        }


class MemoryTracks:
    """Track images in memory: the source and the store of an in-process replay. A track never written is empty."""

    def __init__(self, geometries: dict[int, Geometry]) -> None:
        self._geometries = geometries
        self._images: dict[tuple[int, int], bytes] = {}

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
    """Runs the programs of one recording and keeps the report."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.report = ReplayReport()

    def run_in_process(self, progress: Advance | None = None) -> ReplayReport:
        """Replay against devices built here, then compare the final tracks. Raises RecordingError."""
        geometries = {address: device_geometry(device) for address, device in self.recording.devices.items()}
        tracks = MemoryTracks(geometries)
        devices = {}
        for address, device in self.recording.devices.items():
            for track, image in self.recording.initial_tracks(device):
                tracks.write(address, track, image)
            devices[address] = Device(device_settings(device, self.recording.features), tracks)
        programs = list(self.recording.programs())
        started = time.perf_counter()
        for program in programs:
            run_program(devices[program.device], tracks, follow(program, self.report.followed))
            if progress is not None:
                progress(1)
        self.report.seconds = time.perf_counter() - started
        for address, device in self.recording.devices.items():
            images = ((track, tracks.read(address, track)) for track in range(geometries[address].tracks))
            self._compare_tracks(device, images)
        return self.report

    async def run_over(
        self, session: Session, unit_address: int | None = None, progress: Advance | None = None
    ) -> ReplayReport:
        """Replay through a host session. `unit_address` stands for the recorded device, by default the recorded one.

        The tracks are not compared: `compare_over` does it, when nothing else changes them.
        """
        started = time.perf_counter()
        for program, sense_follows in with_sense_program(self.recording.programs()):
            address = program.device & 0xFF if unit_address is None else unit_address
            following = follow(program, self.report.followed)
            await session.run(address, leaving_sense(program, following) if sense_follows else following)
            if progress is not None:
                progress(1)
        self.report.seconds += time.perf_counter() - started
        return self.report

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


def run_program(device: Device, tracks: MemoryTracks, program: Generator[Start, Response, Any]) -> None:
    """Carry the commands of a program straight to a device, hardening what it changes before going on."""
    execute = device.execute
    try:
        start = next(program)
        while True:
            outcome = execute(PATH, Command(start.code, start.flags, start.count, start.data, start.chained))
            for write in outcome.writes:
                tracks.write(*write)
            start = program.send(
                Response(
                    outcome.status,
                    outcome.data,
                    outcome.residual,
                    outcome.long_record,
                    outcome.sense,
                    outcome.immediate,
                )
            )
    except StopIteration:
        pass
    for write in device.end_chain(PATH):
        tracks.write(*write)


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
