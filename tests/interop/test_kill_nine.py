"""Real processes and SIGKILL: system A dies while it synchronises, or while it writes in duplex, and comes back.

Every acknowledged write is there, and the pair resynchronises from its bitmap.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from ccw.ccws import ChannelStatus
from ccw.geometry import Cchh, geometry_for
from ccw.pprc_query import VolumeQuery
from ccw.tracks import null_track
from controller.array import FileDisk, VirtualArrayStore
from host_emulator import orders
from host_emulator.channel import ChannelProgram, ProgramResult
from host_emulator.session import HostSession, open_session
from tools.demo import RECORDING
from tools.demo_sites import DATA_BRIDGE, PEER_PORTS, STATUS_BRIDGE, Plan, SiteProcess, start_site, write_config
from tools.recording import load_recording

VOLUME, CYLINDERS, HEADS = 0x00, 20, 15
PENDING, DUPLEX, POWER = 1, 2, 9
GEOMETRY = geometry_for("3390", CYLINDERS)


class Rig:
    """Both systems as processes; A can be killed and started again."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.plan = Plan(next(iter(load_recording(RECORDING).devices.values())))
        self.a_name, self.b_name = self.plan.system("A"), self.plan.system("B")
        self._folder, self._stack = folder, stack
        self.b: SiteProcess = stack.enter_context(start_site(folder, write_config(folder, "B", self.plan, None)))
        self._config = write_config(folder, "A", self.plan, self.b.listening)
        self.start_a()

    def start_a(self) -> None:
        self.a = self._stack.enter_context(start_site(self._folder, self._config))

    def kill_a(self) -> None:
        self.a.process.send_signal(signal.SIGKILL)
        assert self.a.process.wait(10) == -signal.SIGKILL

    @asynccontextmanager
    async def host(self, site: SiteProcess) -> AsyncIterator[HostSession]:
        async with open_session(*site.host_address) as session:
            yield session

    async def set_up(self) -> None:
        """Paths, bridge; retried while the links come up again."""
        async with self.host(self.a) as to_a, self.host(self.b) as to_b:
            for session, system, device, role in (
                (to_a, self.a_name, DATA_BRIDGE, 1),
                (to_a, self.a_name, STATUS_BRIDGE, 4),
                (to_b, self.b_name, DATA_BRIDGE, 2),
                (to_b, self.b_name, STATUS_BRIDGE, 3),
            ):
                await run(session, device, orders.pprc(orders.define_bridge(system, device, role, 1)))
            paths = orders.establish_path(self.a_name, self.b_name, PEER_PORTS["A"])
            with trio.fail_after(20):
                while not (await to_a.run_program(VOLUME, orders.pprc(paths))).completed:
                    await trio.sleep(0.1)
            pair = orders.establish_pair(
                self.a_name, self.b_name, DATA_BRIDGE, DATA_BRIDGE, mode=1, bridge_role=1, bridge_number=1
            )
            await run(to_a, DATA_BRIDGE, orders.pprc(pair))

    async def establish(self, session: HostSession, mode: int = 0) -> None:
        pair = orders.establish_pair(self.a_name, self.b_name, VOLUME, VOLUME, mode=mode)
        await run(session, VOLUME, orders.pprc(pair))

    async def wait_duplex(self, session: HostSession) -> None:
        with trio.fail_after(60):
            while (await query(session)).state != DUPLEX:
                await trio.sleep(0.05)


async def run(session: HostSession, device: int, program: ChannelProgram) -> ProgramResult:
    result = await session.run_program(device, program)
    assert result.completed, result
    return result


async def query(session: HostSession) -> VolumeQuery:
    return VolumeQuery.decode((await run(session, VOLUME, orders.query(orders.SCOPE_VOLUME))).data)


def text(track: int, generation: int) -> bytes:
    return f"TRACK {track:04d} GENERATION {generation:05d}".ljust(800).encode("cp037")


async def write_until_killed(rig: Rig, acknowledged: dict[int, int], random: Random, kill_after_s: float) -> None:
    """Write random tracks; note each acknowledged generation. A is killed in the middle."""

    async def killer() -> None:
        await trio.sleep(kill_after_s)
        await trio.to_thread.run_sync(rig.kill_a)

    generation = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(killer)
        async with rig.host(rig.a) as session:
            while True:
                generation += 1
                track = random.randrange(GEOMETRY.tracks)
                program = orders.format_track(
                    Cchh(*divmod(track, HEADS)), [orders.NewRecord(text(track, generation))] * 3
                )
                result = await session.run_program(VOLUME, program)
                if result.channel_status == ChannelStatus.INTERFACE_CONTROL_CHECK:
                    break  # the link went down with the process
                assert result.completed, result
                acknowledged[track] = generation


def generation_of(image: bytes | None) -> int:
    """The generation that R1 of a track holds, 0 for an empty one."""
    if image is None or len(image) < 800:
        return 0
    words = image[5 + 16 + 8 :].split("GENERATION ".encode("cp037"), 1)
    return int(words[1][:5].decode("cp037")) if len(words) == 2 else 0


@pytest.mark.parametrize("when", ["synchronising", "duplex"])
async def test_kill_a(tmp_path: Path, when: str) -> None:
    random = Random(f"{when} 1")
    acknowledged: dict[int, int] = {}
    with ExitStack() as stack:
        rig = Rig(tmp_path, stack)
        await rig.set_up()
        async with rig.host(rig.a) as session:
            for track in range(0, GEOMETRY.tracks, 3):
                program = orders.format_track(Cchh(*divmod(track, HEADS)), [orders.NewRecord(text(track, 0))] * 3)
                await run(session, VOLUME, program)
            await rig.establish(session)
            if when == "duplex":
                await rig.wait_duplex(session)
        await write_until_killed(rig, acknowledged, random, 0.4)
        assert acknowledged
        rig.start_a()
        async with rig.host(rig.a) as session:
            state = await query(session)
            assert state.state in ((PENDING, POWER) if when == "synchronising" else (POWER,))
            assert 0 < state.out_of_sync_tracks <= GEOMETRY.tracks
            for track, generation in acknowledged.items():
                data = (await run(session, VOLUME, orders.read_record(Cchh(*divmod(track, HEADS)), 1))).data
                assert data >= text(track, generation)[: len(data)]
        await rig.set_up()
        async with rig.host(rig.a) as session:
            if state.state == POWER:
                await rig.establish(session, mode=2)
            await rig.wait_duplex(session)
        await rig.a.stop()
        await rig.b.stop()
        compare(rig, acknowledged)


def compare(rig: Rig, acknowledged: dict[int, int]) -> None:
    """Both stores, closed: equal on every track, and nothing acknowledged lost."""
    with (
        VirtualArrayStore.open(FileDisk(rig.a.store, read_only=True)) as a,
        VirtualArrayStore.open(FileDisk(rig.b.store, read_only=True)) as b,
    ):
        for track in range(GEOMETRY.tracks):
            empty = null_track(*GEOMETRY.address_of(track))
            left, right = a.read(VOLUME, track) or empty, b.read(VOLUME, track) or empty
            assert left == right, track
            assert generation_of(left) >= acknowledged.get(track, 0), track
