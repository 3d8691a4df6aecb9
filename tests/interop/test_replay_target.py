"""Replaying against a running system: the models predict its times, and a difference is reduced on its own volume."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio
from click.testing import CliRunner

from ccw.geometry import Cchh, geometry_for
from ccw.tracks import build_track, null_track, parse_track, standard_record_zero
from controller import app
from controller.config import load_config
from controller.links.system import StorageSystem
from host_emulator.channel import run_program
from host_emulator.orders import NewRecord, format_track, read_record
from host_emulator.session import HostSession, open_session
from tests.helpers.patience import PATIENCE_S
from tools.cli import main
from tools.recorded_devices import InProcess
from tools.recording import RecordedCommand, RecordedDevice, RecordedProgram, Recording, load_recording
from tools.recording_writer import RecordingWriter
from tools.track_writer import write_track

UNIT, CYLINDERS = 0x10, 5
GEOMETRY = geometry_for("3390", CYLINDERS)
TRACK = 15  # cylinder 1, head 0
CONFIG = f"""
name = "target"
serial = "000000000123"
ssid = "0100"
profile = "3990-6"
store = "store"

[[volume]]
address = "{UNIT:02X}"
type = "3390"
cylinders = {CYLINDERS}

[[port]]
said = "0001"
kind = "host"
listen = "127.0.0.1:0"
"""
DEVICE = RecordedDevice(UNIT, "3390", "3990-6", CYLINDERS, 15, False, "", "HRC", "ZZ", 0x0100, 0, None, None)
BEFORE = [*parse_track(null_track(1, 0)), standard_record_zero(1, 0)._replace(count=bytes.fromhex("0001000001000008"))]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """A system whose volume 10 is empty but for a record on track 1,0."""
    (folder / "one.toml").write_text(CONFIG)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            system: StorageSystem = await nursery.start(app.serve, load_config(folder / "one.toml"))
            (adapter,) = system.adapters.by_said.values()
            assert adapter.address is not None
            async with open_session(*adapter.address) as session:
                image = build_track(1, 0, BEFORE)
                assert await session.run(UNIT, write_track(GEOMETRY, TRACK, image))
            yield adapter.address
            nursery.cancel_scope.cancel()


def recording(folder: Path, *, wrong: bool) -> Path:
    """Format a track, read records of it and of an empty one; `wrong`: the fourth program is told to read otherwise."""
    records = [NewRecord(bytes((number,)) * 100) for number in range(1, 4)]
    programs = [
        format_track(Cchh(1, 0), records), read_record(Cchh(1, 0), 1, 100), read_record(Cchh(2, 0), 1, 100),
        read_record(Cchh(1, 0), 2, 100), read_record(Cchh(1, 0), 3, 100),
    ]  # fmt: skip
    system = InProcess(Recording(folder, "made", "esa", frozenset(), {UNIT: DEVICE}))
    system.tracks.write(UNIT, TRACK, build_track(1, 0, BEFORE))
    with RecordingWriter(folder, "made") as writer:
        writer.add_device(DEVICE, list(system.images(UNIT)))
        for number, program in enumerate(programs, start=1):
            commands: list[RecordedCommand] = []
            system.run(UNIT, noting(run_program(program), commands))
            if wrong and number == 4:
                commands[-1] = replace(commands[-1], data_in=b"\xff" + commands[-1].data_in[1:])
            last = commands[-1]
            writer.add_program(
                RecordedProgram(number, UNIT, 1, False, "end", tuple(commands), last.status, 0, last.residual)
            )
    return folder


def noting(program: Any, commands: list[RecordedCommand]) -> Any:
    """The program, with what it sends and is answered noted down as a recording would."""
    start = next(program)
    try:
        while True:
            outcome = yield start
            commands.append(
                RecordedCommand(
                    start.code, start.flags, start.count, start.data, outcome.data, outcome.status, 0, outcome.residual,
                    outcome.long_record, outcome.sense, outcome.immediate, True,
                )
            )  # fmt: skip
            start = program.send(outcome)
    except StopIteration:
        pass


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["replay", *arguments, "--json"])
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


async def track_of(session: HostSession) -> tuple[bytes, ...]:
    """The data of the record that was there before."""
    return (await session.run_program(UNIT, read_record(Cchh(1, 0), 1, 8))).reads


async def test_times_are_predicted_for_a_target(tmp_path: Path) -> None:
    folder = recording(tmp_path / "made", wrong=False)
    async with running(tmp_path) as (host, port):
        code, at_target = await trio.to_thread.run_sync(run, str(folder), "--target", f"tcp://{host}:{port}")
    assert (code, at_target["differences"]) == (0, 0)
    _, in_process = run(str(folder))
    assert at_target["response_times"] == in_process["response_times"]
    assert at_target["commands_by_code"] == in_process["commands_by_code"]


async def test_a_difference_is_reduced_at_the_target(tmp_path: Path) -> None:
    """The read needs the format before it; afterwards the volume holds what it held at first."""
    folder, small = recording(tmp_path / "made", wrong=True), tmp_path / "small"
    async with running(tmp_path) as (host, port):
        target = f"tcp://{host}:{port}"
        code, found = await trio.to_thread.run_sync(run, str(folder), "--target", target, "--minimise", str(small))
        async with open_session(host, port) as session:
            assert await track_of(session) == (bytes(8),)
        assert code == 1 and found["differences"] == 1
        assert found["minimised"]["programs"] == 2
        codes = [[one.code for one in program.commands] for program in load_recording(small).programs()]
        assert codes[0][0] == 0x63 and 0x1D in codes[0] and codes[1][-1] == 0x06
        code, again = await trio.to_thread.run_sync(run, str(small), "--target", target)
        assert code == 1 and again["differences"] == 1
