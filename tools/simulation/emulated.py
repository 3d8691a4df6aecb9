"""The same experiment in the running emulator: two storage systems, links shaped, hosts that write.

Live, they are processes of their own, and times are this machine's. On a virtual clock both run in this process, all of
their code from channel to array, and time passes only on the links: what is left is what one waits for, to the
microsecond, on a machine with as much to do as it likes.

Some volumes are duplex before anything is measured; then pairs are established, and hosts go on. A write to a duplex
volume waits for the secondary behind the copied tracks: by the bridges, or, without them, for one of the same links.
The pending volumes are empty. A track of theirs takes its handshakes on the link all the same, and these, made long by
the round-trip time, are what the link is busy with: so the machine's own speed matters little.
"""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean

import trio
import trio.testing

from ccw.geometry import geometry_for
from controller.config import check_config
from host_emulator import orders
from host_emulator.session import HostSession, open_session, session_over
from tools.demo_sites import PEER_PORTS, SYSTEMS, port_lines, start_site, write_toml
from tools.faults import run_pinned
from tools.in_process import in_process
from tools.operator import Bridge, define_bridge, establish_bridge, query_volume, run, send, until_duplex
from tools.simulation.setting import PENDING_MAX, Setting

DUPLEX_VOLUMES, SIMPLEX_VOLUMES = (0, 1, 2, 3), (4, 5, 6, 7)  # hosts use these; the others are only copied
FIRST_PENDING = 0x10
BRIDGES = (Bridge(1, 0xF0, 0xF1), Bridge(2, 0xF2, 0xF3))
USED_CYLINDERS, PENDING_CYLINDERS, BRIDGE_CYLINDERS = 2, 400, 20
RECORD_BYTES = 4_096
NOWHERE = "127.0.0.1:1"
SETTLE_S = 1.0
DUPLEX_WAIT_S = 60.0


class EmulatedError(Exception):
    """The systems did not do what the experiment needs; the text is one line."""


@dataclass(slots=True)
class Observed:
    """Response times in seconds, as the hosts saw them."""

    reads: list[float] = field(default_factory=list)
    local_writes: list[float] = field(default_factory=list)
    mirrored_writes: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Of all I/Os."""
        return fmean([*self.reads, *self.local_writes, *self.mirrored_writes])


@dataclass(frozen=True, slots=True)
class Measurement:
    """Before the pairs were established, and while they were."""

    setting: Setting
    idle: Observed
    loaded: Observed
    copied_per_s: float


def measure_live(folder: Path, setting: Setting) -> Measurement:
    """Start two systems as processes in `folder`, measure, and stop them. Raises EmulatedError, RuntimeError."""

    async def measure() -> Measurement:
        async with AsyncExitStack() as stack:

            async def to(address: tuple[str, int]) -> HostSession:
                return await stack.enter_async_context(open_session(*address))

            b_config = write_toml(folder, "B", _config(setting, "B", None))
            site_b = stack.enter_context(start_site(folder, b_config))
            a_config = write_toml(folder, "A", _config(setting, "A", site_b.listening))
            site_a = stack.enter_context(start_site(folder, a_config))
            to_a, to_b = await to(site_a.host_address), await to(site_b.host_address)
            hosts = [await to(site_a.host_address) for _ in range(setting.hosts)]
            return await _Rig(setting, to_a, to_b, hosts).measure()

    return trio.run(measure)


def measure_virtually(setting: Setting) -> Measurement:
    """The same on a virtual clock, in this process, on disks in memory that take no time. Raises EmulatedError.

    One seed always measures the same.
    """

    async def measure(seed: int, clock: trio.testing.MockClock) -> Measurement:
        nowhere = dict.fromkeys(PEER_PORTS["B"], NOWHERE)
        configs = (
            check_config(tomllib.loads("\n".join(_config(setting, name, peers))), Path())
            for name, peers in (("A", nowhere), ("B", None))
        )
        async with in_process(*configs) as (a, b), AsyncExitStack() as stack:

            async def to(connect: Callable[[], Awaitable[trio.abc.Stream]]) -> HostSession:
                return await stack.enter_async_context(session_over(await connect()))

            to_a, to_b = await to(a.connect), await to(b.connect)
            hosts = [await to(a.connect) for _ in range(setting.hosts)]
            return await _Rig(setting, to_a, to_b, hosts).measure()

    return run_pinned(measure, setting.seed)


def _config(setting: Setting, name: str, peers: Mapping[int, str] | None) -> list[str]:
    """One system's configuration by lines. A's peer ports shape the links, both ways; `peers`: where B's listen."""
    system = SYSTEMS[name]
    mode = "bridge" if setting.bridges else "conventional"
    lines = [
        f'name = "{name}"', f'serial = "{system.serial}"', f'ssid = "{system.ssid:04X}"', f'lss = "{system.lss:02X}"',
        'profile = "2107"', f'store = "store-{name}"', f'mode = "{mode}"',
    ]  # fmt: skip
    volumes = dict.fromkeys((*DUPLEX_VOLUMES, *SIMPLEX_VOLUMES), USED_CYLINDERS)
    volumes |= dict.fromkeys(_pending(setting), PENDING_CYLINDERS)
    volumes |= {device: BRIDGE_CYLINDERS for bridge in BRIDGES for device in (bridge.data, bridge.status)}
    for address, cylinders in volumes.items():
        lines += ["", "[[volume]]", f'address = "{address:02X}"', 'type = "3390"', f"cylinders = {cylinders}"]
    shape = f"shape = {{ rate_mbit = {setting.rate_mbit}, rtt_ms = {setting.rtt_ms} }}"
    return [*lines, *port_lines(name, peers, connecting=shape)]


def _pending(setting: Setting) -> range:
    assert setting.pairs <= PENDING_MAX
    return range(FIRST_PENDING, FIRST_PENDING + setting.pairs)


class _Rig:
    """Sessions to both systems, and those of the hosts."""

    def __init__(self, setting: Setting, to_a: HostSession, to_b: HostSession, hosts: list[HostSession]) -> None:
        self.setting = setting
        self.to_a, self.to_b, self.hosts = to_a, to_b, hosts
        self.geometry = geometry_for("3390", USED_CYLINDERS)

    async def measure(self) -> Measurement:
        await self._format()
        await send(self.to_a, 0, orders.establish_path(SYSTEMS["A"], SYSTEMS["B"], PEER_PORTS["A"]))
        if self.setting.bridges:
            await self._set_up_bridges()
        for volume in DUPLEX_VOLUMES:
            await self._establish(volume)
        await self._until_duplex()
        idle = await self._hosts(self.setting.idle_seconds, Random(self.setting.seed))
        for volume in _pending(self.setting):
            await self._establish(volume)
        await trio.sleep(SETTLE_S)
        before, begun = await self._out_of_sync(), trio.current_time()
        loaded = await self._hosts(self.setting.seconds, Random(self.setting.seed + 1))
        after, ended = await self._out_of_sync(), trio.current_time()
        if self.setting.pairs and not after:
            raise EmulatedError(f"{self.setting.pairs} pairs were duplex before the measurement was over")
        return Measurement(self.setting, idle, loaded, (before - after) / (ended - begun))

    # The operator

    async def _set_up_bridges(self) -> None:
        """FIG. 5 with both bridges: two data paths, two status paths, on the four links."""
        a, b = SYSTEMS["A"], SYSTEMS["B"]
        for bridge in BRIDGES:
            await define_bridge(self.to_a, a, bridge, sends=True)
            await define_bridge(self.to_b, b, bridge, sends=False)
        for bridge in BRIDGES:
            await establish_bridge(self.to_a, a, b, bridge)

    async def _establish(self, volume: int) -> None:
        await send(self.to_a, volume, orders.establish_pair(SYSTEMS["A"], SYSTEMS["B"], volume, volume))

    async def _until_duplex(self) -> None:
        try:
            await until_duplex(self.to_a, DUPLEX_VOLUMES, DUPLEX_WAIT_S)
        except trio.TooSlowError as error:
            raise EmulatedError(f"the first volumes are not duplex after {DUPLEX_WAIT_S:g} s") from error

    async def _out_of_sync(self) -> int:
        """Tracks of the pending volumes that are still to be copied."""
        return sum([(await query_volume(self.to_a, volume)).out_of_sync_tracks for volume in _pending(self.setting)])

    # The hosts

    async def _format(self) -> None:
        """One record on each track that the hosts use."""
        for volume in (*DUPLEX_VOLUMES, *SIMPLEX_VOLUMES):
            for track in range(self.geometry.tracks):
                program = orders.format_track(self.geometry.address_of(track), [orders.NewRecord(bytes(RECORD_BYTES))])
                await run(self.to_a, volume, program)

    async def _hosts(self, seconds: float, random: Random) -> Observed:
        """Let every host think and ask for `seconds`."""
        observed = Observed()
        end = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for session in self.hosts:
                nursery.start_soon(self._host, session, end, Random(random.random()), observed)
        return observed

    async def _host(self, session: HostSession, end: float, random: Random, observed: Observed) -> None:
        while trio.current_time() < end:
            await trio.sleep(random.expovariate(1e3 / self.setting.think_ms))
            mirrored = random.random() < self.setting.duplex_share
            volume = random.choice(DUPLEX_VOLUMES if mirrored else SIMPLEX_VOLUMES)
            track = self.geometry.address_of(random.randrange(self.geometry.tracks))
            reads = random.random() < self.setting.read_share
            data = random.randbytes(RECORD_BYTES)
            program = orders.read_record(track, 1, RECORD_BYTES) if reads else orders.write_record(track, 1, data)
            begun = trio.current_time()
            result = await session.run_program(volume, program)
            seconds = trio.current_time() - begun
            if not result.completed:
                raise EmulatedError(f"device {volume:02X}: a host's I/O ended with status {result.unit_status:02X}")
            kept = observed.reads if reads else observed.mirrored_writes if mirrored else observed.local_writes
            kept.append(seconds)
