"""Opens what can be replayed: a recording's folder, a CCW trace log of Hercules, or a capture of frames.

Logs and captures are turned into a recording in a folder of their own that is gone afterwards. They show neither what
their devices are nor what the volumes held: `--device 0123=3390:50:IMAGE` says it. Where Read Device Characteristics is
in the trace, type and size come from there.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from ccw.errors import FormatError
from ccw.geometry import geometry_for
from ccw.plain_images import split_image_file
from ccw.profiles import PROFILES
from controller.commands.attachment import control_units_for, profile_of
from tools.bad_input import BadInput
from tools.capture_import import CaptureImport
from tools.captures import Place, begin, open_capture, packets_of
from tools.hercules_log import HerculesLog
from tools.recording import RecordedDevice, RecordedProgram, Recording, RecordingError, load_recording
from tools.recording_writer import RecordingWriter

CHARACTERISTICS, SENSE_ID = 0x64, 0xE4
SHAPE_BYTES, UNIT_BYTES = 16, 4
DEFAULT_CONTROL_UNIT = {"3390": "3990-6", "3380": "3990-3", "9345": "9343"}
_CONTROL_UNITS = {
    unit.control_unit_type.to_bytes(2, "big") + bytes((unit.model,)): name for name, unit in PROFILES.items()
}
# What Hercules 3.13 puts its devices behind when it is not told otherwise. Source: observed, Sense ID.
OLD_LOG_CONTROL_UNIT = DEFAULT_CONTROL_UNIT | {"3390": "3990-2", "3380": "3880"}
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1 << 16  # bytes; the lines of a log are far shorter


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """What `--device` says: device number, type, cylinders, control unit, image of the volume before."""

    address: int
    device_type: str
    cylinders: int
    image: Path | None = None


@dataclass(slots=True)
class _Told:
    """What a device told of itself in the trace: type and size, and its control unit."""

    choice: DeviceChoice | None = None
    control_unit: str | None = None


def device_choices(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[DeviceChoice, ...]:
    """Parse `--device`. Raises click.BadParameter."""
    found = []
    for value in values:
        match = re.fullmatch(r"([0-9A-Fa-f]{1,4})=([0-9A-Za-z-]+):(\d+)(?::(.+))?", value)
        if match is None:
            raise click.BadParameter(f"{value!r} is not NNNN=TYPE:CYLINDERS or NNNN=TYPE:CYLINDERS:IMAGE")
        image = Path(match[4]) if match[4] else None
        choice = DeviceChoice(int(match[1], 16), match[2], int(match[3]), image)
        try:
            geometry_for(choice.device_type, choice.cylinders)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {error}") from error
        found.append(choice)
    return tuple(found)


@contextmanager
def opened(source: Path, devices: Sequence[DeviceChoice] = ()) -> Iterator[Recording]:
    """The recording that a folder, a log or a capture is. Raises RecordingError, BadInput."""
    if not source.is_file():
        if devices and source.is_dir():
            raise BadInput("--device: a recording's folder says what its devices are")
        yield load_recording(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "recording"
        for note in convert(source, devices, made):
            click.echo(f"{source.name}: {note}", err=True)
        yield load_recording(made)


def convert(source: Path, devices: Sequence[DeviceChoice], folder: Path) -> list[str]:
    """Turn a log or a capture into a recording; what could not be taken along. Raises RecordingError, BadInput."""
    pieces = open_capture(str(source))
    reader, start = begin(pieces)
    notes: dict[str, int]
    usual = DEFAULT_CONTROL_UNIT
    if reader is not None:
        importer, place = CaptureImport(), Place(str(source))
        with place.named():
            programs = list(importer.programs(place.following(packets_of(reader, start, pieces))))
        notes = importer.left_out
        kind = "capture"
    else:
        log = HerculesLog()
        programs = sorted(log.programs(_lines(start, pieces)), key=lambda program: program.time_us)
        notes = log.summary.left_out
        usual = usual if log.summary.newer else OLD_LOG_CONTROL_UNIT
        kind = "log"
        if not log.summary.lines:
            raise RecordingError(f"{source}: neither a capture of frames nor a log with a CCW trace")
    if not programs:
        raise RecordingError(f"{source}: no channel program is complete in this {kind}")
    described = _describe(source, programs, {choice.address: choice for choice in devices}, usual)
    with RecordingWriter(folder, source.stem) as writer:
        for device, image in described:
            writer.add_device(device, None if image is None else _tracks(image, device))
        lengths = {device.address: _sense_bytes(device) for device, _ in described}
        for program in programs:
            writer.add_program(_with_sense_of(program, lengths[program.device]))
    return [f"{count:,} left out: {why}" for why, count in notes.items()]


def _lines(start: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a log, which may hold any bytes; of what has no lines, pieces of LONGEST_LINE bytes and more."""
    rest = start
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) >= LONGEST_LINE:
            yield rest
            rest = b""
    yield from rest.split(b"\n")


def _describe(
    source: Path,
    programs: Iterable[RecordedProgram],
    chosen: Mapping[int, DeviceChoice],
    usual: Mapping[str, str],
) -> list[tuple[RecordedDevice, Path | None]]:
    """Every device that is used, as chosen or as it told itself; the image of its volume.

    `usual`: the control unit of a device type whose device does not tell it.
    """
    told: dict[int, _Told] = {}
    for program in programs:
        found = told.setdefault(program.device, _Told())
        for command in program.commands:
            known = len(command.data_in) if command.data_in_known is None else command.data_in_known
            _listen(found, program.device, command.code, command.data_in[:known])
    described = []
    for address, found in told.items():
        choice = chosen.get(address) or found.choice
        if choice is None:
            raise RecordingError(
                f"{source}: what device {address:04X} is does not show: --device {address:04X}=TYPE:CYLINDERS"
            )
        described.append((_device(choice, found.control_unit, usual), choice.image))
    return described


def _listen(found: _Told, address: int, code: int, data: bytes) -> None:
    """Take what Read Device Characteristics or Sense ID tells."""
    if code == CHARACTERISTICS and len(data) >= SHAPE_BYTES:
        found.choice = DeviceChoice(address, data[3:5].hex(), int.from_bytes(data[12:14], "big"))
        found.control_unit = _CONTROL_UNITS.get(data[:3], found.control_unit)
    elif code == SENSE_ID and len(data) >= UNIT_BYTES:
        found.control_unit = _CONTROL_UNITS.get(data[1:UNIT_BYTES], found.control_unit)


def _device(choice: DeviceChoice, told: str | None, usual: Mapping[str, str]) -> RecordedDevice:
    try:
        geometry = geometry_for(choice.device_type, choice.cylinders)
    except ValueError as error:
        raise RecordingError(f"device {choice.address:04X}: {error}") from error
    known = told is not None and told in control_units_for(geometry)
    control_unit = told if known else usual.get(choice.device_type.partition("-")[0], "")
    return RecordedDevice(
        address=choice.address,
        device_type=choice.device_type,
        control_unit=control_unit or "",
        cylinders=geometry.cylinders,
        heads=geometry.heads,
        read_only=False,
        serial="",
        manufacturer="HRC",
        plant="ZZ",
        ssid=0,
        interface_id=0,
        initial=None,
        final=None,
    )


def _sense_bytes(device: RecordedDevice) -> int:
    return profile_of(geometry_for(device.device_type, device.cylinders), device.control_unit).sense_bytes


def _with_sense_of(program: RecordedProgram, length: int) -> RecordedProgram:
    """The program with sense as its control unit has it: a log prints 24 bytes or more, whoever sent them."""
    commands = [
        command if command.sense is None or len(command.sense) <= length
        else replace(command, sense=command.sense[:length], sense_known=None)
        for command in program.commands
    ]  # fmt: skip
    return replace(program, commands=tuple(commands))


def _tracks(path: Path, device: RecordedDevice) -> Iterator[tuple[int, bytes]]:
    """The tracks of a plain CKD image, gzipped or not. Raises RecordingError."""
    try:
        data = path.read_bytes()
        if data[:2] == GZIP_MAGIC:
            data = gzip.decompress(data)
        header, tracks = split_image_file(data)
        if header.heads != device.heads:
            raise RecordingError(f"{path}: {header.heads} heads, a {device.device_type} has {device.heads}")
        yield from tracks
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, FormatError) as error:
        raise RecordingError(f"{path}: {error}") from error


__all__ = ["DeviceChoice", "convert", "device_choices", "opened"]
