"""Loading a recording: what comes out, and one line for every mistake in the folder."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tools.recording import RecordingError, load_recording
from traces import recording_folder

NAME = "linux-cdl-2107"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recording, to be damaged."""
    return Path(shutil.copytree(recording_folder(NAME), tmp_path / NAME))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def write_trace(folder: Path, *programs: dict[str, Any] | str) -> None:
    lines = [item if isinstance(item, str) else json.dumps(item) for item in programs]
    (folder / "trace.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def ccw(**fields: Any) -> dict[str, Any]:
    made = {"cmd": "E4", "at": "0", "flags": "20", "count": 7, "data_out": None, "data_in": "FF", "device_status": "0C"}
    return {**made, "channel_status": "00", "residual": 6, "sense": None, **fields}


def program(*ccws: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made = {"seq": 1, "device": "0120", "orb": "00C28000", "ccw_format": 1, "ended": "end", "device_status": "0C"}
    return {**made, "channel_status": "00", "residual": 0, "ccws": list(ccws), **fields}


def test_the_recording_that_comes_along() -> None:
    recording = load_recording(recording_folder(NAME))
    (device,) = recording.devices.values()
    assert (device.address, device.control_unit, device.cylinders, device.ssid) == (0x120, "2107", 50, 0x120)
    programs = list(recording.programs())
    assert len(programs) == recording.program_count == 266
    assert sum(len(program.commands) for program in programs) == recording.command_count == 10_843
    assert len(recording.final_hashes(device)) == 750 == sum(1 for _ in recording.initial_tracks(device))


def test_data_chained_writes_and_reads(folder: Path) -> None:
    segments = [{"at": "0", "flags": "80", "count": 8}, {"at": "8", "flags": "60", "count": 4}]
    write = ccw(cmd="1D", flags="80", count=12, data_out="00" * 12, data_in=None, residual=0, segments=segments)
    first = ccw(cmd="06", flags="80", count=2, data_in="AABB", residual=0)
    second = ccw(cmd="06", flags="20", count=4, data_in="CC", residual=3, chained_data=True)
    write_trace(folder, program(write, first, second))
    (loaded,) = load_recording(folder).programs()
    found = [(command.code, command.flags, command.count) for command in loaded.commands]
    assert found == [(0x1D, 0x60, 12), (0x06, 0x20, 6)]
    assert (loaded.commands[1].data_in, loaded.commands[1].residual) == (b"\xaa\xbb\xcc", 3)


def test_commands_the_channel_refused(folder: Path) -> None:
    write_trace(folder, program(ccw(not_executed=True)))
    (loaded,) = load_recording(folder).programs()
    assert not loaded.commands[0].executed


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("recording.toml", 'name = "', 'nome = "', "'name' is missing"),
        ("recording.toml", "cylinders = 50", 'cylinders = "many"', "invalid literal"),
        ("recording.toml", "cylinders = 50", "cylinders = ", "Invalid value"),
        ("recording.toml", "trace.jsonl.gz", "elsewhere.gz", "elsewhere.gz is not in the folder"),
    ],
)
def test_bad_description(folder: Path, file: str, old: str, new: str, message: str) -> None:
    change(folder / file, old, new)
    with pytest.raises(RecordingError, match=message) as caught:
        load_recording(folder)
    assert "\n" not in str(caught.value) and file in str(caught.value)


def test_no_recording_at_all(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"recording\.toml: No such file"):
        load_recording(tmp_path)
    (tmp_path / "recording.toml").write_bytes(b"name = \xff")
    with pytest.raises(RecordingError, match="not UTF-8 at byte 7"):
        load_recording(tmp_path)


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "line 2"),
        ("[]", "line 2"),
        ({}, "'device' is missing"),
        (program(ccw(), device="0999"), "device 0999 is not in"),
        (program(ccw(cmd="XX")), "invalid literal"),
        (program(ccw(data_in="F")), "line 2"),
        (program({"cmd": "E4"}), "is missing"),
        (program(ccw(count=-5)), "count: -5 is not a number from 0 to 16777215"),
        (program(ccw(count=1 << 24)), "count: 16777216 is not a number from 0 to 16777215"),
        (program(ccw(residual=None)), "residual: None is not a number"),
        (program(ccw(data_in_known="all")), "data_in_known: 'all' is not a number"),
        (program(ccw(), t_us="x"), "t_us: 'x' is not a number"),
    ],
)
def test_bad_line_of_the_trace(folder: Path, line: dict[str, Any] | str, message: str) -> None:
    write_trace(folder, program(ccw()), line)
    with pytest.raises(RecordingError, match=message) as caught:
        list(load_recording(folder).programs())
    assert str(caught.value).startswith("trace.jsonl.gz: line 2: ")


def test_damaged_files(folder: Path) -> None:
    recording = load_recording(folder)
    (device,) = recording.devices.values()
    trace = folder / "trace.jsonl.gz"
    trace.write_bytes(trace.read_bytes()[:-100])
    with pytest.raises(RecordingError, match=r"trace\.jsonl\.gz"):
        list(recording.programs())
    image = gzip.decompress(device.initial.read_bytes())
    device.initial.write_bytes(gzip.compress(image[:-1], compresslevel=1))
    with pytest.raises(RecordingError, match=r"initial-0120\.ckd\.gz.*cut short"):
        list(recording.initial_tracks(device))
    device.initial.write_bytes(b"not gzip")
    with pytest.raises(RecordingError, match=r"initial-0120\.ckd\.gz"):
        list(recording.initial_tracks(device))
    device.final.write_bytes(gzip.compress(b"0 abc\n"))
    with pytest.raises(RecordingError, match="line 1: not a track number and a sha256"):
        recording.final_hashes(device)
