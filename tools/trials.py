"""Replays of a part of a recording, each of which begins with the initial volume: in process, or at a running system.

At a running system the volume is put back before a trial: the tracks that the programs before it changed are written
anew. Which ones they are, devices of our own tell that follow every program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from controller.commands.device_types import DEVICE_TYPES
from host_emulator.session import HostSession, open_session
from tools.follower import Followed, follow
from tools.recorded_devices import InProcess
from tools.recording import RecordedProgram, Recording, RecordingError
from tools.sense_programs import leaving_sense, with_sense_program
from tools.track_writer import write_track


class Trials(Protocol):
    """Where programs are tried."""

    def run(self, programs: Sequence[RecordedProgram]) -> Followed:
        """Replay the programs on devices that hold the initial volume."""

    def run_without_volume(self, programs: Sequence[RecordedProgram]) -> Followed | None:
        """The same on empty devices; None where that cannot be had."""


class InProcessTrials:
    """Trials on devices built here. Raises RecordingError."""

    def __init__(self, recording: Recording) -> None:
        devices = {address: replace(device, initial=None) for address, device in recording.devices.items()}
        self._empty = replace(recording, devices=devices)
        self._loaded = InProcess(recording)
        self._initial = self._loaded.tracks.snapshot()

    def run(self, programs: Sequence[RecordedProgram]) -> Followed:
        """See `Trials`."""
        return _followed(self._loaded.again(self._initial), programs)

    def run_without_volume(self, programs: Sequence[RecordedProgram]) -> Followed | None:
        """See `Trials`."""
        return _followed(InProcess(self._empty), programs)


def _followed(system: InProcess, programs: Iterable[RecordedProgram]) -> Followed:
    followed = Followed()
    for program in programs:
        system.run(program.device, follow(program, followed))
    return followed


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Where to replay: TCP address, control-unit image, and the device for all recorded ones, None: as recorded."""

    address: tuple[str, int]
    image: int = 0
    unit_address: int | None = None


class TargetTrials:
    """Trials at a running system, each over a connection of its own, so that no path group outlives its trial.

    `changed`: volume and track of all that differs there from the initial volume when the first trial begins.
    Raises LinkFailure and OSError when the system is not there, RecordingError when a track cannot be put back.
    """

    def __init__(self, recording: Recording, target: RunningSystem, changed: Iterable[tuple[int, int]]) -> None:
        self._recording = recording
        self._target = target
        self._loaded = InProcess(recording)
        self._initial = self._loaded.tracks.snapshot()
        self._changed = set(changed)

    def run(self, programs: Sequence[RecordedProgram]) -> Followed:
        """See `Trials`."""
        return trio.run(self._run, programs)

    def run_without_volume(self, programs: Sequence[RecordedProgram]) -> Followed | None:
        """See `Trials`: the volumes of a running system are not emptied."""
        return None

    def put_back(self) -> None:
        """Leave the initial volume behind."""
        trio.run(self._run, ())

    async def _run(self, programs: Sequence[RecordedProgram]) -> Followed:
        followed, twin = Followed(), self._loaded.again(self._initial)
        async with open_session(*self._target.address, self._target.image) as session:
            await self._restore(session)
            try:
                for program, sense_follows in with_sense_program(programs):
                    following = twin.beside(program.device, follow(program, followed), [])
                    address = self._unit(program.device)
                    await session.run(address, leaving_sense(program, following) if sense_follows else following)
            finally:
                self._changed |= twin.tracks.changed
        return followed

    async def _restore(self, session: HostSession) -> None:
        initial = self._loaded.again(self._initial)
        for device, track in sorted(self._changed):
            geometry = initial.geometries[device]
            kind = DEVICE_TYPES[geometry.device_type]
            written = await session.run(
                self._unit(device),
                write_track(
                    geometry,
                    track,
                    initial.tracks.read(device, track),
                    skip=kind.home_address_skip,
                    segments=kind.track_overflow,
                ),
            )
            if not written:
                raise RecordingError(f"device {self._unit(device):02X} of the target: track {track} cannot be put back")
        self._changed.clear()

    def _unit(self, device: int) -> int:
        return device & 0xFF if self._target.unit_address is None else self._target.unit_address
