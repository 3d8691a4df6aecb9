"""Reads a recording: a folder with recording.toml, the trace, the volumes before and the track hashes after.

    recording.toml              name, architecture, features; per device: address, type, control unit, size, files
    trace.jsonl.gz              one channel program per line, in the order started
    initial-DDDD.ckd.gz         plain CKD image of the volume before; not there when nobody knows it
    final-DDDD.tracks.sha256.gz track number and sha256 of home address and records, per line; not there when unknown

`tools.recording_writer` writes such folders. Every mistake in one is a `RecordingError`: one line that says which file,
where in it, and what. Source: traces/README.md.
"""

from __future__ import annotations

import gzip
import json
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isal import igzip, igzip_lib

from ccw.errors import FormatError
from ccw.plain_images import read_image_file
from host_emulator.channel import Start

DESCRIPTION = "recording.toml"
MAX_COUNT = 0xFF_FFFF  # of a command: the sum over its data chain
MAX_NUMBER = (1 << 53) - 1  # what every reader of JSON takes
START_FLAGS = 0x60  # of the CCW flags, those that a command carries to its device: chaining and suppressed length
SUPPRESS_LENGTH_BYTE, SUPPRESS_LENGTH_BIT = 3, 0x80  # the L bit of the ORB: byte 7, of which bytes 4-7 are recorded


class RecordingError(ValueError):
    """A recording that cannot be used; the text is one line: file, place, problem."""


@dataclass(frozen=True, slots=True)
class RecordedDevice:
    """One device of the recorded machine. `address` is its device number, `cylinders` include alternates."""

    address: int
    device_type: str
    control_unit: str
    cylinders: int
    heads: int
    read_only: bool
    serial: str
    manufacturer: str
    plant: str
    ssid: int
    interface_id: int
    initial: Path | None  # None: nobody knows what the volume held
    final: Path | None

    @property
    def unit_address(self) -> int:
        """Low byte of the device number."""
        return self.address & 0xFF


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """One command as executed: what the device was sent and what it answered.

    `flags` are those in force at its end (of the last CCW where data was chained). `data_out` is empty for reads.
    A trace that shows only the beginning of the data gives its length in `data_out_known` or `data_in_known`; what
    lies beyond is zeros and means nothing. None: all of it is known. So for `sense_known`; `more` None: not known.
    """

    code: int
    flags: int
    count: int
    data_out: bytes
    data_in: bytes
    status: int
    channel_status: int
    residual: int
    more: bool | None
    sense: bytes | None
    immediate: bool
    executed: bool
    data_out_known: int | None = None
    data_in_known: int | None = None
    sense_known: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedProgram:
    """One channel program. `number` is its place in the recording; `ended`: end, halt, clear or unfinished.

    `time_us`: when it was started, in microseconds since the first. `starts`: its commands as a channel issues them,
    made once, for the program may be replayed many times.
    """

    number: int
    device: int
    ccw_format: int
    suppress_length: bool
    ended: str
    commands: tuple[RecordedCommand, ...]
    status: int
    channel_status: int
    residual: int
    time_us: int = 0
    starts: tuple[Start, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = (
            Start(command.code, command.flags & START_FLAGS, command.count, command.data_out, index > 0)
            for index, command in enumerate(self.commands)
        )
        object.__setattr__(self, "starts", tuple(starts))


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording whose description was read; the large files are read when asked for."""

    folder: Path
    name: str
    architecture: str
    features: frozenset[str]
    devices: dict[int, RecordedDevice] = field(default_factory=dict)
    trace: Path = Path()
    program_count: int = 0
    command_count: int = 0

    def programs(self) -> Iterator[RecordedProgram]:
        """Yield the channel programs in the order started. Raises RecordingError at a line that is not one."""
        for number, line in enumerate(_lines(self.trace), start=1):
            try:
                yield _program(json.loads(line), self.devices)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RecordingError(f"{self.trace.name}: line {number}: {_cause(error)}") from error

    def initial_tracks(self, device: RecordedDevice) -> Iterator[tuple[int, bytes]]:
        """Yield (track number, image) of the volume as it was before the first program; nothing when unknown."""
        if device.initial is None:
            return
        path = device.initial
        try:
            with igzip.open(path, "rb") as stream:  # type: ignore[no-untyped-call]
                header, tracks = read_image_file(stream.read)
                if header.heads != device.heads:
                    raise RecordingError(f"{path.name}: {header.heads} heads, {DESCRIPTION} says {device.heads}")
                yield from tracks
        except FormatError as error:
            raise RecordingError(f"{path.name}: {error}") from error
        except (OSError, EOFError, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]  # a class
            raise RecordingError(f"{path.name}: {error}") from error

    def final_hashes(self, device: RecordedDevice) -> dict[int, str]:
        """Return the sha256 of every track, by track number, as it was after the last program; none when unknown."""
        hashes: dict[int, str] = {}
        if device.final is None:
            return hashes
        for number, line in enumerate(_lines(device.final), start=1):
            track, _, digest = line.strip().partition(" ")
            if not track.isdecimal() or len(digest) != 64:
                raise RecordingError(f"{device.final.name}: line {number}: not a track number and a sha256")
            hashes[int(track)] = digest
        return hashes


def load_recording(folder: Path) -> Recording:
    """Read `recording.toml` of a recording and check that the files it names exist. Raises RecordingError."""
    description = folder / DESCRIPTION
    try:
        text = description.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{description}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{description}: not UTF-8 at byte {error.start}") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecordingError(f"{description}: {error}") from error
    try:
        devices = [_device(folder, table) for table in content["device"]]
        recording = Recording(
            folder=folder,
            name=str(content["name"]),
            architecture=str(content["arch"]),
            features=frozenset(map(str, content.get("features", ()))),
            devices={device.address: device for device in devices},
            trace=folder / str(content["trace"]),
            program_count=int(content.get("programs", 0)),
            command_count=int(content.get("commands", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{description}: {_cause(error)}") from error
    for path in (recording.trace, *(file for device in devices for file in (device.initial, device.final))):
        if path is not None and not path.is_file():
            raise RecordingError(f"{description}: {path.name} is not in the folder")
    return recording


def _device(folder: Path, table: dict[str, Any]) -> RecordedDevice:
    return RecordedDevice(
        address=int(table["address"], 16),
        device_type=str(table["type"]),
        control_unit=str(table.get("control_unit", "")),
        cylinders=int(table["cylinders"]),
        heads=int(table["heads"]),
        read_only=bool(table.get("read_only", False)),
        serial=str(table.get("serial", "")),
        manufacturer=str(table.get("manufacturer", "HRC")),
        plant=str(table.get("plant", "ZZ")),
        ssid=int(table.get("ssid", "0"), 16),
        interface_id=int(table.get("interface_id", "0"), 16),
        initial=_file(folder, table, "initial"),
        final=_file(folder, table, "final"),
    )


def _file(folder: Path, table: dict[str, Any], key: str) -> Path | None:
    return folder / str(table[key]) if key in table else None


def _program(content: dict[str, Any], devices: dict[int, RecordedDevice]) -> RecordedProgram:
    device = int(content["device"], 16)
    if device not in devices:
        raise ValueError(f"device {device:04X} is not in {DESCRIPTION}")
    orb = bytes.fromhex(content["orb"])
    return RecordedProgram(
        number=_number(content, "seq"),
        device=device,
        ccw_format=_number(content, "ccw_format", 1),
        suppress_length=bool(orb[SUPPRESS_LENGTH_BYTE] & SUPPRESS_LENGTH_BIT),
        ended=content["ended"],
        commands=_commands(content["ccws"]),
        status=int(content["device_status"], 16),
        channel_status=int(content["channel_status"], 16),
        residual=_number(content, "residual"),
        time_us=_number(content, "t_us") if "t_us" in content else 0,
    )


def _commands(ccws: list[dict[str, Any]]) -> tuple[RecordedCommand, ...]:
    """Put the CCWs of a data-chained read together; writes come that way already."""
    commands: list[RecordedCommand] = []
    for ccw in ccws:
        command = _command(ccw)
        if ccw.get("chained_data") and commands:
            command = _joined(commands.pop(), command)
        commands.append(command)
    return tuple(commands)


def _command(ccw: dict[str, Any]) -> RecordedCommand:
    segments = ccw.get("segments")
    flags = int((segments[-1] if segments else ccw)["flags"], 16)
    data_out, data_in, sense = ccw["data_out"], ccw["data_in"], ccw.get("sense")
    if ccw.get("not_executed"):
        count = _number(ccw, "count", MAX_COUNT)
        return RecordedCommand(int(ccw["cmd"], 16), flags, count, b"", b"", 0, 0, 0, False, None, False, False)
    return RecordedCommand(
        code=int(ccw["cmd"], 16),
        flags=flags,
        count=_number(ccw, "count", MAX_COUNT),
        data_out=bytes.fromhex(data_out) if data_out else b"",
        data_in=bytes.fromhex(data_in) if data_in else b"",
        status=int(ccw["device_status"], 16),
        channel_status=int(ccw["channel_status"], 16),
        residual=_number(ccw, "residual", MAX_COUNT),
        more=None if ccw.get("more", False) is None else bool(ccw.get("more")),
        sense=bytes.fromhex(sense) if sense else None,
        immediate=bool(ccw.get("immediate")),
        executed=True,
        data_out_known=_known(ccw, "data_out_known"),
        data_in_known=_known(ccw, "data_in_known"),
        sense_known=_known(ccw, "sense_known"),
    )


def _known(ccw: dict[str, Any], key: str) -> int | None:
    return None if ccw.get(key) is None else _number(ccw, key, MAX_COUNT)


def _number(table: dict[str, Any], key: str, last: int = MAX_NUMBER) -> int:
    """Raises ValueError."""
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= last:
        raise ValueError(f"{key}: {value!r} is not a number from 0 to {last}")
    return value


def _joined(first: RecordedCommand, second: RecordedCommand) -> RecordedCommand:
    known = first.data_in_known
    if known is None and second.data_in_known is not None:
        known = len(first.data_in) + second.data_in_known
    return replace(
        second,
        code=first.code,
        count=first.count + second.count,
        data_out=b"",
        data_in=first.data_in + second.data_in,
        residual=first.residual + second.residual,
        immediate=False,
        data_in_known=known,
    )


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield from stream
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name}: {error}") from error


def _cause(error: Exception) -> str:
    """One line for an error of the content: a missing key by its name, anything else by its text."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error).splitlines()[0]
