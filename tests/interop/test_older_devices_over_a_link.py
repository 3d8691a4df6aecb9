"""Devices before ECKD through frames: six and 24 bytes of sense, and whole tracks read back without Define Extent."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from ccw.tracks import build_image
from controller.channel import Link
from controller.channel.api import PathId
from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome
from controller.links.stream_link import run_link
from host_emulator.channel import Response, Start
from host_emulator.session import session_over
from tests.helpers.devices import VOLUME, Bench
from tests.helpers.older import restored
from tests.helpers.patience import PATIENCE_S
from tools.recorded_devices import MemoryTracks, device_geometry, device_settings
from tools.recording import load_recording
from tools.replayer import Replayer
from tools.track_reader import tracks_by_record
from traces import recording_folder


class Devices:
    """A command server with all devices of a recording; what they change is on their tracks at once."""

    def __init__(self, name: str) -> None:
        recording = load_recording(recording_folder(name))
        self.tracks = MemoryTracks({device.address: device_geometry(device) for device in recording.devices.values()})
        self.devices: dict[int, Device] = {}
        for recorded in recording.devices.values():
            for track, image in recording.initial_tracks(recorded):
                self.tracks.write(recorded.address, track, image)
            self.devices[recorded.unit_address] = Device(device_settings(recorded, frozenset()), self.tracks)

    def path_requested(self, path: PathId, header: bytes) -> int | None:
        return None

    def path_removed(self, path: PathId) -> None:
        for device in self.devices.values():
            device.reset_path(path, selective=False)

    def device_exists(self, path: PathId, unit_address: int) -> bool:
        return unit_address in self.devices

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        outcome = self.devices[unit_address].execute(path, command)
        for write in outcome.writes:
            self.tracks.write(*write)
        reply(outcome)

    def end_chain(self, path: PathId, unit_address: int) -> None:
        for write in self.devices[unit_address].end_chain(path):
            self.tracks.write(*write)

    def reset(self, path: PathId, unit_address: int | None) -> None:
        for address, device in self.devices.items():
            if unit_address in (None, address):
                device.reset_path(path, selective=unit_address is not None)


async def test_sense_of_six_and_24_bytes_comes_over_the_link() -> None:
    replayer = Replayer(load_recording(recording_folder("dasdi-seek-errors")))
    link = Link("host", Devices("dasdi-seek-errors"), bytes(32), own_address=0x01, peer_address=0x11)
    host, control_unit = memory_stream_pair()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_link, link, control_unit)
            async with session_over(host) as session:
                report = await replayer.run_over(session)
            nursery.cancel_scope.cancel()
    assert report.followed.differences == []
    assert (report.followed.programs, report.followed.commands) == (12, 27)


class OneBench:
    """A session straight to the device of a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def run(self, unit_address: int, program: Generator[Start, Response, Any], /) -> Any:
        device = self.bench.device
        start = next(program)
        while True:
            outcome = device.execute("A", Command(start.code, start.flags, start.count, start.data, start.chained))
            try:
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
            except StopIteration as stop:
                device.end_chain("A")
                return stop.value


async def test_tracks_are_read_back_record_by_record() -> None:
    """Segments with their flag, records without data, keys, an empty track, a flagged home address."""
    bench, _ = restored(1)
    bench.format(2, 3, [(1, b"KEY", b"data"), (2, b"", b""), (3, b"", b""), (4, b"", b"x" * 300), (1, b"", b"again")])
    flagged = bench.tracks.read(VOLUME, 2 * 19 + 4)
    bench.tracks.images[2 * 19 + 4] = build_image(b"\1" + flagged[1:5], bench.records(2, 4))
    geometry = bench.device.geometry
    reader = tracks_by_record(OneBench(bench), 0x51, geometry)
    images = []
    async for track, image in reader:
        images.append(image)
        if track == 3 * 19:
            break
    await reader.aclose()  # type: ignore[attr-defined]
    assert images == [bench.tracks.read(VOLUME, track) for track in range(3 * 19 + 1)]
    assert images[19][-8 - 337 - 8] == 0x80 and images[2 * 19 + 4][0] == 1


@pytest.mark.parametrize(("device_type", "profile"), [("2311", "2841"), ("3380", "3880"), ("3375", "3880")])
async def test_other_control_units(device_type: str, profile: str) -> None:
    bench = Bench(profile, 2, device_type)
    bench.format(1, 2, [(number, b"", bytes((number,)) * 50) for number in range(1, 9)])
    images = [image async for _, image in tracks_by_record(OneBench(bench), 0x20, bench.device.geometry)]
    assert images == [bench.tracks.read(VOLUME, track) for track in range(bench.device.tracks)]
