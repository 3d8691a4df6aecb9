"""A running system with the models beside it: what hosts are told, and answers that wait for the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from ccw.ccws import CcwFlag
from ccw.geometry import Cchh, geometry_for
from ccw.subsystem_data import Statistics
from ccw.tracks import null_track
from controller import app
from controller.channel import PathId
from controller.commands.outcome import Command, Outcome
from controller.config import ConfigError, check_config, load_config
from controller.links.metered import MeteredServer
from controller.links.system import StorageSystem
from controller.models.meter import Meter, ResponseStatistics
from controller.models.work import CommandWork
from host_emulator import orders
from host_emulator.session import HostSession, open_session
from host_emulator.shared_client import SharedClient
from tests.helpers.configurations import CONFIG
from tests.helpers.patience import PATIENCE_S
from tests.helpers.shared import RECORD_AT, record_one


async def on_system(folder: Path, more: str, body: Callable[[HostSession, StorageSystem], object]) -> None:
    """Run a system with `more` in its configuration, and `body` with a session to it."""
    path = folder / "one.toml"
    path.write_text(CONFIG + more)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            system: StorageSystem = await nursery.start(app.serve, load_config(path))
            (adapter,) = system.adapters.by_said.values()
            assert adapter.address is not None
            async with open_session(adapter.address[0], adapter.address[1]) as session:
                await body(session, system)  # type: ignore[misc]
            nursery.cancel_scope.cancel()


def sense_subsystem_status() -> orders.ChannelProgram:
    builder = orders.ProgramBuilder()
    builder.read(0x54, 44, CcwFlag.SLI)
    return builder.build()


async def test_the_counts_of_the_cache_are_in_the_statistics_record(tmp_path: Path) -> None:
    async def body(session: HostSession, system: StorageSystem) -> None:
        record = orders.NewRecord(bytes(4096))
        assert (await session.run_program(0x10, orders.format_track(Cchh(1, 0), [record]))).completed
        for track in (Cchh(1, 0), Cchh(1, 0), Cchh(2, 3)):
            await session.run_program(0x10, orders.read_record(track, 0))
        result = await session.run_program(0x10, orders.subsystem_data(0x01, bytes(5), 96))
        statistics = Statistics.decode(result.data)
        assert (statistics.read_requests, statistics.read_hits) == (3, 2)
        assert (statistics.write_requests, statistics.cache_misses) == (1, 2)
        assert (statistics.unit_address, statistics.ssid) == (0x10, 0x0100)
        status = await session.run_program(0x10, sense_subsystem_status())
        assert status.data[10:18] == bytes(8) and status.data[28:32] == bytes(4)  # nothing is announced
        assert system.meter is not None and system.meter.figures()["16"]["count"] >= 4

    await on_system(tmp_path, "", body)


async def test_configured_sizes_are_announced_and_used(tmp_path: Path) -> None:
    async def body(session: HostSession, system: StorageSystem) -> None:
        status = await session.run_program(0x10, sense_subsystem_status())
        assert status.data[10:14] == status.data[14:18] == (64 << 20).to_bytes(4, "big")
        assert status.data[28:32] == (8 << 20).to_bytes(4, "big")
        assert system.meter is not None
        parameters = system.meter.model.parameters
        assert parameters.cache.slots == (64 << 20) // 56_664 and parameters.link.distance_km == 30

    await on_system(tmp_path, "[model]\ncache_mb = 64\nnvs_mb = 8\ndistance_km = 30\n", body)


async def test_without_models_every_request_is_a_hit(tmp_path: Path) -> None:
    async def body(session: HostSession, system: StorageSystem) -> None:
        await session.run_program(0x10, orders.read_record(Cchh(2, 3), 0))
        result = await session.run_program(0x10, orders.subsystem_data(0x01, bytes(5), 96))
        statistics = Statistics.decode(result.data)
        assert statistics.read_requests == statistics.read_hits == 1
        assert system.meter is None

    await on_system(tmp_path, "[model]\nenabled = false\n", body)


@pytest.mark.parametrize(
    "table, message",
    [
        (3, "model: written as"),
        ({"cache": 3}, "model.cache: no such setting"),
        ({"cache_mb": 0}, "model.cache_mb: a number from 1 to 4095"),
        ({"cache_mb": 4, "nvs_mb": 5}, "model.nvs_mb: no more than cache_mb"),
        ({"distance_km": -1}, "model.distance_km: a number"),
        ({"pace": "yes"}, "model.pace: true or false"),
    ],
)
def test_a_bad_model_table(table: object, message: str) -> None:
    volume = {"address": "10", "cylinders": 5}
    content = {"name": "x", "serial": "1", "ssid": "0100", "store": "s", "volume": [volume], "model": table}
    with pytest.raises(ConfigError, match=message):
        check_config(content, Path())


class FakeChain:
    """The part of a chain that is measured."""

    def __init__(self, path: PathId) -> None:
        self.path = path
        self.track = 30


class FakeSubsystem:
    """Answers every command at once."""

    path_requested = device_exists = reset = None

    def __init__(self) -> None:
        self.devices = {0x10: self}
        self.settings = SimpleNamespace(volume=0x10, unit_address=0x10, base=None)
        self.active_chain: FakeChain | None = None
        self.ended: list[int] = []

    def start(self, path: PathId, unit_address: int, command: Command, reply: Callable[[Outcome], None]) -> None:
        self.active_chain = FakeChain(path)
        reply(Outcome(0x0C, bytes(command.count)))

    def end_chain(self, path: PathId, unit_address: int) -> None:
        self.ended.append(unit_address)

    def path_removed(self, path: PathId) -> None:
        self.active_chain = None


class FakeTime:
    """A clock that stands still, and timers that are let go by hand."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return 100.0

    def tod(self) -> int:
        return 0

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        self.due.append((when, action))


PATH = PathId("L0", 0x0100, 0)


@pytest.mark.parametrize("paced", [False, True])
def test_an_answer_waits_for_the_model_when_it_is_paced(paced: bool) -> None:
    time, meter, answers = FakeTime(), Meter(), list[Outcome]()
    meter.add_volume(0x10, geometry_for("3390", 5))
    subsystem = FakeSubsystem()
    server = MeteredServer(subsystem, meter, time, time, paced)  # type: ignore[arg-type]
    server.start(PATH, 0x10, Command(0x06, 0, 4096), answers.append)
    if paced:
        ((when, action),) = time.due
        assert not answers and when > 100.0 + 7e-3  # a miss waits for the disk
        action()
    else:
        assert not time.due
    assert len(answers) == 1
    server.end_chain(PATH, 0x10)
    assert subsystem.ended == [0x10] and meter.by_volume[0x10].count == 1


def test_a_chain_waits_for_the_one_before_it() -> None:
    """A host that is faster than the hardware does not fill the model's queues."""
    meter = Meter(commands=True)
    meter.add_volume(1, geometry_for("3390", 5))
    for _ in range(200):
        meter.command("path", "link", 1, 0.0, False, CommandWork(0x06, b"", 4096, track=3))
        meter.end_chain("path", 1)
    figures = meter.by_volume[1].figures()
    assert figures["count"] == 200 and figures["p50_ms"] == pytest.approx(0.49, abs=0.05)
    assert meter.by_command is not None and meter.by_command[0x06].count == 200
    meter.forget_path("path")
    assert meter.end_chain("path", 1) is None


def test_percentiles() -> None:
    statistics = ResponseStatistics()
    assert statistics.figures()["p99_ms"] == 0
    for number in range(1, 101):
        statistics.add(0.0, 0.0, number / 1000)
    figures = statistics.figures()
    assert (figures["p50_ms"], figures["p95_ms"], figures["p99_ms"], figures["mean_ms"]) == (50, 95, 99, 50.5)


async def test_what_clients_of_shared_devices_read_and_write_is_counted(tmp_path: Path) -> None:
    async def body(session: HostSession, system: StorageSystem) -> None:
        assert system.shared is not None and system.shared.address is not None
        address = system.shared.address

        def use() -> None:
            with SharedClient(address, 0x10) as client, client.program():
                assert client.read(3) == client.read(3) == null_track(0, 3)
                client.write(20, RECORD_AT, record_one(20, bytes(100)))

        await trio.to_thread.run_sync(use)
        result = await session.run_program(0x10, orders.subsystem_data(0x01, bytes(5), 96))
        statistics = Statistics.decode(result.data)
        assert (statistics.read_requests, statistics.read_hits, statistics.write_requests) == (2, 1, 1)

    await on_system(tmp_path, '[shared_dasd]\nlisten = "127.0.0.1:0"\n', body)
