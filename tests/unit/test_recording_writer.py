"""A recording that is written comes back as it was, and what is only partly known says so."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ccw.ccws import Ccw, encode_ccw
from ccw.tracks import null_track, track_digest
from host_emulator.channel import ChannelProgram, Response, run_program
from host_emulator.storage import MainStorage
from tools.recording import RecordedDevice, RecordedProgram, RecordingError, load_recording
from tools.recording_writer import RecordingWriter, recorded
from tools.replayer import Replayer
from traces import recording_folder

NAME = "linux-cdl-2107"


def device(**changes: object) -> RecordedDevice:
    (found,) = load_recording(recording_folder(NAME)).devices.values()
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_recording_written_again_is_the_same_and_replays(tmp_path: Path) -> None:
    original = load_recording(recording_folder(NAME))
    (only,) = original.devices.values()
    with RecordingWriter(tmp_path / "copy", "copy", original.architecture) as writer:
        writer.add_device(only, original.initial_tracks(only))
        for program in original.programs():
            writer.add_program(program)
        writer.add_final(only.address, original.final_hashes(only).items())
    copy = load_recording(tmp_path / "copy")
    assert list(copy.programs()) == list(original.programs())
    assert (copy.program_count, copy.command_count) == (266, 10_843)
    (again,) = copy.devices.values()
    assert replace(again, initial=only.initial, final=only.final) == only
    assert list(copy.initial_tracks(again)) == list(original.initial_tracks(only))
    report = Replayer(copy).run_in_process()
    assert not report.differs and report.tracks_compared == 750


def sense_id_program() -> ChannelProgram:
    storage = MainStorage(0x2000)
    storage.store(0x100, encode_ccw(Ccw(0xE4, 0x20, 7, 0x1000), 1))
    return ChannelProgram(storage, 0x100)


def test_a_program_that_was_run_becomes_a_line(tmp_path: Path) -> None:
    program = sense_id_program()
    steps = run_program(program)
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(Response(0x0C, bytes.fromhex("FF2107E8339002"), 0, True, None, False))
    with RecordingWriter(tmp_path / "session", "session") as writer:
        writer.add_device(device())
        writer.add_program(recorded(1, 250, 0x120, program, stop.value.value))
    (line,) = load_recording(tmp_path / "session").programs()
    assert (line.number, line.time_us, line.ended, line.status, line.residual) == (1, 250, "end", 0x0C, 0)
    (command,) = line.commands
    assert (command.code, command.flags, command.count, command.more) == (0xE4, 0x20, 7, True)
    assert command.data_in.hex() == "ff2107e8339002"


def test_what_nobody_knows_is_not_compared(tmp_path: Path) -> None:
    """Without the volume and with half of the data: the half is compared, the tracks are not."""

    def read(data: bytes, known: int | None) -> RecordedProgram:
        line = next(p for p in load_recording(recording_folder(NAME)).programs() if p.commands[0].code == 0xE4)
        return replace(line, commands=(replace(line.commands[0], data_in=data, data_in_known=known),))

    right = read(b"", None)
    full = next(p for p in load_recording(recording_folder(NAME)).programs() if p.commands[0].code == 0xE4)
    data = full.commands[0].data_in
    for name, program, differences in (
        ("half", read(data[:3] + bytes(len(data) - 3), 3), 0),
        ("wrong-half", read(b"\x01" + data[1:3] + bytes(len(data) - 3), 3), 1),
        ("whole", right, 1),
    ):
        with RecordingWriter(tmp_path / name, name) as writer:
            writer.add_device(device())
            writer.add_program(program)
        recording = load_recording(tmp_path / name)
        assert list(recording.programs()) == [program]
        report = Replayer(recording).run_in_process()
        assert len(report.followed.differences) == differences and report.tracks_compared == 0


def test_final_tracks_without_initial_ones(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r", "r") as writer:
        writer.add_device(device())
        writer.add_final(0x120, [(0, track_digest(null_track(0, 0))), (1, "0" * 64)])
    report = Replayer(load_recording(tmp_path / "r")).run_in_process()
    assert report.tracks_compared == 2 and report.tracks_different == [(0x120, 1)]


def test_a_recording_that_breaks_off_has_no_description(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RecordingWriter(tmp_path / "r", "r") as writer:
        writer.add_device(device())
        raise KeyboardInterrupt
    with pytest.raises(RecordingError, match="No such file"):
        load_recording(tmp_path / "r")


def test_a_folder_that_is_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecordingError, match="is not empty"):
        RecordingWriter(tmp_path, "r")
    with pytest.raises(RecordingError, match=r"Not a directory|File exists"):
        RecordingWriter(tmp_path / "file", "r")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_trace_is_one_program_a_line(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r", "r", features={"prefix"}) as writer:
        writer.add_device(device())
        for program in load_recording(recording_folder(NAME)).programs():
            writer.add_program(program)
    lines = gzip.decompress((tmp_path / "r" / "trace.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 267))
    assert load_recording(tmp_path / "r").features == {"prefix"}
