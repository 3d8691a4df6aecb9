"""The recording of a real Linux, replayed: nothing differs, and whatever is made to differ is found."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result
from trio.testing import memory_stream_pair

from controller.channel import Link
from controller.channel.api import PathId
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome
from controller.links.stream_link import run_link
from host_emulator.session import session_over
from tests.helpers.patience import PATIENCE_S
from tools.deviations import DEVIATIONS, explain
from tools.follower import first_difference
from tools.found import Found
from tools.recorded_devices import MemoryTracks, device_geometry, device_settings
from tools.recording import RecordedProgram, Recording, load_recording
from tools.replay import replay
from tools.replayer import Replayer
from traces import recording_folder

NAME = "linux-cdl-2107"
# Programs, commands, tracks compared; differences explained, by rule; tracks whose difference is explained.
EXPECTED: dict[str, tuple[int, int, int, dict[str, int], int]] = {
    "linux-cdl-2107": (266, 10_843, 750, {"group-id-forgotten": 1}, 0),
    "linux-cdl-2107-pfx": (262, 10_276, 750, {"prefix-residual": 231, "group-id-forgotten": 1}, 0),
    "linux-ldl-3990-6": (1_224, 81_275, 750, {"path-state-missing": 1}, 0),
    "linux-rawtrack-2107": (86, 3_806, 300, {"track-writes-refused": 27, "group-id-forgotten": 1}, 0),
    "linux-readonly": (63, 208, 750, {}, 0),
    "linux-zipl-segment": (128, 4_053, 300, {}, 0),
    "ipl-eckd-segment": (5, 64, 300, {}, 0),
    "dasdi-3330-2314-2311": (13_923, 83_878, 13_899, {}, 0),
    "dasdi-seek-errors": (12, 27, 13_676, {}, 0),
    "icksadsf-no-alternates": (
        1_015, 4_814, 600, {"home-address-flag-not-stored": 324, "output-residual-zero": 1}, 300,
    ),
    "icksadsf-alternates": (
        235, 1_495, 30_000,
        {"home-address-flag-not-stored": 45, "imprecise-ending-missing": 4, "output-residual-zero": 2}, 18,
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recording, to be changed."""
    return Path(shutil.copytree(recording_folder(NAME), tmp_path / NAME))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(replay, arguments)


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_differs(name: str) -> None:
    report = Replayer(load_recording(recording_folder(name))).run_in_process()
    assert report.followed.differences == [] and report.tracks_different == []
    figures = report.figures()
    programs, commands, tracks, explained, tracks_explained = EXPECTED[name]
    assert (figures["programs"], figures["commands"], figures["tracks_compared"]) == (programs, commands, tracks)
    assert Counter(item.explained_by for item in report.followed.explained) == explained
    assert figures["tracks_explained"] == tracks_explained


def test_every_recording_that_comes_along_is_replayed() -> None:
    assert {path.parent.name for path in recording_folder("").glob("*/recording.toml")} == set(EXPECTED)


def test_json_has_the_figures() -> None:
    result = run(str(recording_folder(NAME)), "--json")
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    assert (figures["programs"], figures["commands"]) == (266, 10_843)
    assert (figures["differences"], figures["explained"]) == (0, 1)
    assert (figures["tracks_compared"], figures["tracks_different"]) == (750, 0)
    assert figures["explained_list"][0]["explained_by"] == "group-id-forgotten"


def alter_trace(folder: Path, alter: Callable[[dict[str, Any]], None], number: int) -> None:
    trace = folder / "trace.jsonl.gz"
    programs = [json.loads(line) for line in gzip.decompress(trace.read_bytes()).splitlines()]
    alter(programs[number - 1])
    shortened = "\n".join(map(json.dumps, programs[: number + 1]))
    trace.write_bytes(gzip.compress(shortened.encode(), compresslevel=1))


def other_data(program: dict[str, Any]) -> None:
    data = program["ccws"][-1]["data_in"]
    program["ccws"][-1]["data_in"] = data[:20] + ("00" if data[20:22] != "00" else "01") + data[22:]


def other_residual(program: dict[str, Any]) -> None:
    program["ccws"][-1]["residual"] += 1


def other_status(program: dict[str, Any]) -> None:
    program["ccws"][-1]["device_status"] = "0D"


def other_sense(program: dict[str, Any]) -> None:
    sense = program["ccws"][-1]["sense"]
    program["ccws"][-1]["sense"] = sense[:14] + "02" + sense[16:]


def ended_earlier(program: dict[str, Any]) -> None:
    program["channel_status"] = "40"


def further_command(program: dict[str, Any]) -> None:
    program["ccws"].append(program["ccws"][-1])


@pytest.mark.parametrize(
    "number, alter, expected",
    [
        (100, other_data, "program 100, command 2 (86): data at byte 10: expected "),
        (100, other_residual, "program 100, command 2 (86): residual: expected 01, got 00"),
        (100, other_status, "program 100, command 2 (86): status: expected 0D, got 0C"),
        (9, other_sense, "program 9, command 0 (27): sense at byte 7: expected 02"),
        (100, ended_earlier, "program 100, command 2 (86): ending channel status: expected 40, got 00"),
        (100, further_command, "program 100, command 2 (86): chaining: expected true, got false"),
    ],
)
def test_every_kind_of_difference_is_found(
    folder: Path, number: int, alter: Callable[[dict[str, Any]], None], expected: str
) -> None:
    alter_trace(folder, alter, number)
    result = run(str(folder))
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("difference: ")]
    assert line.startswith(f"difference: {expected}")


def test_a_different_final_track_is_found(folder: Path) -> None:
    final = folder / "final-0120.tracks.sha256.gz"
    lines = gzip.decompress(final.read_bytes()).decode().splitlines()
    lines[17] = "17 " + "0" * 64
    final.write_bytes(gzip.compress("\n".join(lines).encode()))
    result = run(str(folder))
    assert result.exit_code == 1 and "track 17 of 0120 differs" in result.output


def test_a_lost_write_is_found() -> None:
    """A device that forgets one write: the final tracks tell, whatever the statuses said."""

    class Forgetful(MemoryTracks):
        def write(self, volume: int, track: int, image: bytes) -> None:
            if track != 3 or len(image) < 40:
                super().write(volume, track, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.recorded_devices.MemoryTracks", Forgetful)
        report = Replayer(load_recording(recording_folder(NAME))).run_in_process()
    assert report.differs and (0x120, 3) in report.tracks_different


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nowhere",), "nowhere/recording.toml: No such file"),
        (("nowhere", "--device", "0=3390:20"), "nowhere/recording.toml: No such file"),
        ((str(recording_folder(NAME)), "--target", "ftp://x"), "'ftp://x' is not tcp://host:port"),
        ((str(recording_folder(NAME)), "--target", "tcp://127.0.0.1:1", "--unit-address", "1xx"), "not in 00-FF"),
        ((str(recording_folder(NAME)), "--target", "tcp://127.0.0.1:1"), "tcp://127.0.0.1:1: "),
        ((str(recording_folder(NAME)), "--image", "16"), "16 is not in the range"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output and "Traceback" not in result.output


def test_unknown_control_unit(folder: Path) -> None:
    description = folder / "recording.toml"
    description.write_text(description.read_text().replace('"2107"', '"9999"'))
    result = run(str(folder))
    assert result.exit_code == 2 and "control unit '9999' is none of" in result.output


def test_deviations_are_rules() -> None:
    """Each has a name of its own, a reason and a source; a difference of another kind is not explained by any."""
    assert len({deviation.name for deviation in DEVIATIONS}) == len(DEVIATIONS)
    references = ("eckd-commands", "older-ckd-devices")
    assert all(deviation.reason and deviation.source.startswith(references) for deviation in DEVIATIONS)
    programs = list(load_recording(recording_folder(NAME)).programs())
    for program in programs:
        for index in range(len(program.commands)):
            for field, expected, got in (("status", 0x0C, 0x0E), ("data", b"\1\2", b"\3\4"), ("residual", 1, 2)):
                assert explain(Found(program, index, field, expected, got, left_group=True)) is None


def test_first_difference() -> None:
    assert first_difference(b"abc", b"abd") == 2
    assert first_difference(b"abc", b"ab") == 2
    assert first_difference(b"", b"") == 0


class OneDevice:
    """A command server with the recorded device and nothing else; what it changes is on its tracks at once."""

    def __init__(self, recording: Recording) -> None:
        (recorded,) = recording.devices.values()
        self.tracks = MemoryTracks({recorded.address: device_geometry(recorded)})
        for track, image in recording.initial_tracks(recorded):
            self.tracks.write(recorded.address, track, image)
        self.device = Device(device_settings(recorded, recording.features), self.tracks)

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        return None

    def path_removed(self, path: PathId) -> None:
        self.device.reset_path(path, selective=False)

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        return unit_address == 0x20

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        outcome = self.device.execute(path, command)
        for write in outcome.writes:
            self.tracks.write(*write)
        reply(outcome)

    def end_chain(self, path: PathId, unit_address: int) -> None:
        for write in self.device.end_chain(path):
            self.tracks.write(*write)

    def reset(self, path: PathId, unit_address: int | None) -> None:
        self.device.reset_path(path, selective=unit_address is not None)


async def test_over_a_link_the_answers_are_the_same() -> None:
    """The same programs in frames: channel emulator, link, device; then every track is read back over the link."""
    recording = load_recording(recording_folder(NAME))
    replayer = Replayer(recording)
    link = Link("host", OneDevice(recording), bytes(32), own_address=0x01, peer_address=0x11)
    host, control_unit = memory_stream_pair()
    with trio.fail_after(5 * PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_link, link, control_unit)
            async with session_over(host) as session:
                await replayer.run_over(session, 0x20)
                report = await replayer.compare_over(session, 0x20)
            nursery.cancel_scope.cancel()
    assert report.followed.differences == [] and report.tracks_different == []
    assert (report.followed.programs, report.followed.commands, report.tracks_compared) == (266, 10_843, 750)


async def test_a_link_without_the_device_is_a_difference() -> None:
    recording = load_recording(recording_folder(NAME))
    short = _Shortened(recording, 1)
    replayer = Replayer(short)
    link = Link("host", OneDevice(recording), bytes(32), own_address=0x01, peer_address=0x11)
    host, control_unit = memory_stream_pair()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_link, link, control_unit)
            async with session_over(host) as session:
                await replayer.run_over(session, 0x77)
                report = await replayer.compare_over(session, 0x77)
            nursery.cancel_scope.cancel()
    assert [difference.field for difference in report.followed.differences] == ["link"]
    assert len(report.tracks_different) == 750


class _Shortened(Recording):
    """A recording cut after some programs."""

    def __init__(self, recording: Recording, programs: int) -> None:
        super().__init__(**{field.name: getattr(recording, field.name) for field in dataclasses.fields(recording)})
        object.__setattr__(self, "_programs", programs)

    def programs(self) -> Iterator[RecordedProgram]:
        for number, program in enumerate(super().programs()):
            if number >= self._programs:  # type: ignore[attr-defined]
                return
            yield program
