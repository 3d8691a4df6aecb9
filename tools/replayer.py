"""Runs a recording against a device, in process or over a link, and reports every difference.

In process the devices that recording.toml names are built here (`tools.recorded_devices`). Over a link the other side
must have been given the same volume (`tools.replay_target`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

import trio

from ccw.geometry import Geometry
from ccw.tracks import track_digest
from controller.models.meter import Meter
from controller.models.work import CommandWork
from tools.deviation_rules import flag_not_stored_on_track
from tools.follower import follow
from tools.recorded_devices import PATH, InProcess, Work
from tools.recording import RecordedDevice, RecordedProgram, Recording
from tools.replay_report import ReplayReport
from tools.replay_target import all_tracks
from tools.sense_programs import leaving_sense, with_sense_program
from tools.track_reader import Session

Advance = Callable[[int], None]  # called with the number of programs done since the last call


class Replayer:
    """Runs the programs of one recording and keeps the report.

    `speed`: how many times faster than recorded the programs are started, None as fast as possible. They are started
    in the recorded order either way, whatever device they are for, each when the one before has ended.
    """

    def __init__(self, recording: Recording, speed: float | None = None) -> None:
        self.recording = recording
        self.report = ReplayReport(recording.name)
        self._speed = speed

    @cached_property
    def twin(self) -> InProcess:
        """The devices of the recording, built here. Raises RecordingError."""
        return InProcess(self.recording)

    def run_in_process(self, progress: Advance | None = None) -> ReplayReport:
        """Replay against devices built here, compare the final tracks, ask the models. Raises RecordingError."""
        report, system = self.report, self.twin
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

        The tracks are not compared: `compare_over` does it, when nothing else changes them. The models are asked here,
        with devices of our own beside to know the tracks that are worked on.
        """
        programs = list(self.recording.programs())
        self._note_unknown(programs)
        works: list[list[Work]] = []
        started = time.perf_counter()
        for program, sense_follows in with_sense_program(programs):
            if self._speed is not None:
                await trio.sleep(max(0.0, started + program.time_us / 1e6 / self._speed - time.perf_counter()))
            address = program.device & 0xFF if unit_address is None else unit_address
            works.append([])
            following = self.twin.beside(program.device, follow(program, self.report.followed), works[-1])
            await session.run(address, leaving_sense(program, following) if sense_follows else following)
            if progress is not None:
                progress(1)
        self.report.seconds += time.perf_counter() - started
        self.report.meter = measure(self.twin.geometries, programs, works)
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
            address = device.unit_address if unit_address is None else unit_address
            self._compare_tracks(device, await all_tracks(session, self.recording, device, address))
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
