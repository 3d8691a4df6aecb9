"""Writes a recording: the folder that `tools.recording` reads and `trackbridge replay` runs.

    with RecordingWriter(folder, "my-session") as writer:
        writer.add_device(device, initial_tracks)       # before its programs; without tracks the volume is not known
        writer.add_program(recorded(1, 0, 0x120, program, result))
        writer.add_final(0x120, final_hashes)           # optional

The description, recording.toml, is written last and only when the block ends without an error, so a folder that has
one is whole. Times are microseconds since the first program. Source: traces/README.md.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from ccw.ccws import ChannelStatus
from ccw.geometry import geometry_for
from ccw.plain_images import plain_header
from host_emulator.channel import ChannelProgram, ProgramResult, Response, Start, is_input
from tools.recording import (
    DESCRIPTION,
    SUPPRESS_LENGTH_BIT,
    SUPPRESS_LENGTH_BYTE,
    RecordedCommand,
    RecordedDevice,
    RecordedProgram,
    Recording,
    RecordingError,
)

TRACE = "trace.jsonl.gz"
COMPRESSION = 6


def recorded(
    number: int, time_us: int, device: int, program: ChannelProgram, result: ProgramResult
) -> RecordedProgram:
    """Return what a channel program that was run showed, as a recording keeps it. `device`: its device number."""
    last = len(result.executed) - 1
    channel_status = result.channel_status & ~ChannelStatus.PCI
    commands = tuple(
        recorded_command(done.start, done.response, channel_status if index == last else 0)
        for index, done in enumerate(result.executed)
    )
    return RecordedProgram(
        number=number,
        device=device,
        ccw_format=program.format,
        suppress_length=program.suppress_length,
        ended="unfinished" if result.problem else "end",
        commands=commands,
        status=result.unit_status,
        channel_status=result.channel_status,
        residual=result.residual,
        time_us=time_us,
    )


def recorded_command(start: Start, response: Response, channel_status: int) -> RecordedCommand:
    """Return one command and its answer as a recording keeps them."""
    return RecordedCommand(
        code=start.code,
        flags=start.flags,
        count=start.count,
        data_out=b"" if is_input(start.code) else start.data,
        data_in=response.data,
        status=response.status,
        channel_status=channel_status,
        residual=response.residual,
        more=response.long_record,
        sense=response.sense,
        immediate=response.immediate,
        executed=True,
    )


class RecordingWriter:
    """Writes one recording folder; see the module head. Raises RecordingError when the folder cannot be written."""

    def __init__(self, folder: Path, name: str, architecture: str = "z/Arch", features: Iterable[str] = ()) -> None:
        self.folder = folder
        self.programs = self.commands = 0
        self._name = name
        self._architecture = architecture
        self._features = sorted(features)
        self._devices: dict[int, RecordedDevice] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RecordingError(f"{folder}: is not empty")
            self._trace = cast(BinaryIO, gzip.GzipFile(folder / TRACE, "wb", COMPRESSION, mtime=0))
        except OSError as error:
            raise RecordingError(f"{folder}: {error.strerror}") from error

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abandon()
            return
        try:
            self._trace.close()
        except OSError as failed:
            raise RecordingError(f"{self.folder / TRACE}: {failed.strerror}") from failed
        self._write(self.folder / DESCRIPTION, self._description().encode())

    def abandon(self) -> None:
        """Close what there is; the folder gets no description, so it is no recording."""
        with suppress(OSError):
            self._trace.close()

    def add_device(self, device: RecordedDevice, tracks: Iterable[tuple[int, bytes]] | None = None) -> None:
        """Describe one device. `tracks`: (number, image) of the whole volume, as it is before the first program."""
        initial = None
        if tracks is not None:
            initial = self.folder / f"initial-{device.address:04X}.ckd.gz"
            self._write_image(initial, device, tracks)
        self._devices[device.address] = replace(device, initial=initial, final=None)

    def add_final(self, address: int, hashes: Iterable[tuple[int, str]]) -> None:
        """Write what a device holds after the last program: (track number, sha256 as `track_digest` makes it)."""
        final = self.folder / f"final-{address:04X}.tracks.sha256.gz"
        lines = "".join(f"{track} {digest}\n" for track, digest in hashes)
        self._write(final, gzip.compress(lines.encode(), COMPRESSION, mtime=0))
        self._devices[address] = replace(self._devices[address], final=final)

    def add_program(self, program: RecordedProgram) -> None:
        """Append one channel program of a device that was added."""
        assert program.device in self._devices, "a device is described before its programs"
        self.programs += 1
        self.commands += len(program.commands)
        line = json.dumps(program_fields(program), separators=(",", ":")) + "\n"
        try:
            self._trace.write(line.encode())
        except OSError as error:
            raise RecordingError(f"{self.folder / TRACE}: {error.strerror}") from error

    def _write_image(self, path: Path, device: RecordedDevice, tracks: Iterable[tuple[int, bytes]]) -> None:
        geometry = geometry_for(device.device_type, device.cylinders)
        header = plain_header(geometry.heads, geometry.track_size, geometry.device_type)
        try:
            with gzip.GzipFile(path, "wb", COMPRESSION, mtime=0) as stream:
                stream.write(header)
                for _, image in tracks:
                    stream.write(image.ljust(geometry.track_size, b"\0"))
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from error

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.write_bytes(data)
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from error

    def _description(self) -> str:
        head: dict[str, Any] = {
            "name": self._name,
            "programs": self.programs,
            "commands": self.commands,
            "arch": self._architecture,
            "trace": TRACE,
        }
        if self._features:
            head["features"] = self._features
        tables = [_table(head)]
        tables += ["\n[[device]]\n" + _table(device_fields(device)) for device in self._devices.values()]
        return "".join(tables)


def write_copy(recording: Recording, folder: Path) -> None:
    """Write a recording to a new folder, whatever it was read from. Raises RecordingError."""
    with RecordingWriter(folder, recording.name, recording.architecture, recording.features) as writer:
        for device in recording.devices.values():
            writer.add_device(device, None if device.initial is None else recording.initial_tracks(device))
        for program in recording.programs():
            writer.add_program(program)
        for device in recording.devices.values():
            if device.final is not None:
                writer.add_final(device.address, recording.final_hashes(device).items())


def _table(fields: Mapping[str, Any]) -> str:
    """The lines of a TOML table; its strings, numbers, truth values and lists look as JSON writes them."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def device_fields(device: RecordedDevice) -> dict[str, Any]:
    """One [[device]] of recording.toml; files that are not there are left out."""
    fields: dict[str, Any] = {
        "address": f"{device.address:04X}",
        "type": device.device_type,
        "control_unit": device.control_unit,
        "cylinders": device.cylinders,
        "heads": device.heads,
        "read_only": device.read_only,
        "serial": device.serial,
        "manufacturer": device.manufacturer,
        "plant": device.plant,
        "ssid": f"{device.ssid:04X}",
        "interface_id": f"{device.interface_id:04X}",
    }
    for key, path in (("initial", device.initial), ("final", device.final)):
        if path is not None:
            fields[key] = path.name
    return fields


def program_fields(program: RecordedProgram) -> dict[str, Any]:
    """One line of the trace. A data chain stands as one command with the sum of its counts."""
    orb = bytearray(4)
    orb[SUPPRESS_LENGTH_BYTE] |= SUPPRESS_LENGTH_BIT if program.suppress_length else 0
    return {
        "seq": program.number,
        "t_us": program.time_us,
        "device": f"{program.device:04X}",
        "orb": orb.hex().upper(),
        "ccw_format": program.ccw_format,
        "ccws": [command_fields(command) for command in program.commands],
        "ended": program.ended,
        "device_status": f"{program.status:02X}",
        "channel_status": f"{program.channel_status:02X}",
        "residual": program.residual,
    }


def command_fields(command: RecordedCommand) -> dict[str, Any]:
    """One command of a line."""
    fields: dict[str, Any] = {
        "cmd": f"{command.code:02X}",
        "flags": f"{command.flags:02X}",
        "count": command.count,
        "data_out": command.data_out.hex().upper() or None,
        "data_in": command.data_in.hex().upper() or None,
    }
    if not command.executed:
        return {**fields, "not_executed": True}
    fields.update(
        device_status=f"{command.status:02X}",
        channel_status=f"{command.channel_status:02X}",
        residual=command.residual,
        sense=command.sense.hex().upper() if command.sense else None,
    )
    for key, value in (
        ("more", command.more),
        ("immediate", command.immediate),
        ("data_out_known", command.data_out_known),
        ("data_in_known", command.data_in_known),
        ("sense_known", command.sense_known),
    ):
        if value is not None and value is not False:
            fields[key] = value
    if command.more is None:
        fields["more"] = None
    return fields
