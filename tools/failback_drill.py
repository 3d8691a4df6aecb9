"""`trackbridge drill --failback`: there and home again, with real processes; nothing is gone that a host saw complete.

A is killed (SIGKILL) at a random instant while a host writes numbered records to a volume in duplex. Failover makes B's
volume one that hosts write; the host goes on there. A is started again, failback copies to it what changed at either
side, the host writes at B in duplex. Then home: suspend at B, failover and failback at A, the host writes at A in
duplex. Both systems stop; their stores must be equal on every track, and hold every acknowledged record or a later one.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import trio

from ccw.ccws import ChannelStatus
from ccw.geometry import Cchh, geometry_for
from ccw.tracks import null_track, parse_track
from controller.array import FileDisk, VirtualArrayStore
from host_emulator import orders
from host_emulator.link import LinkFailure, NoPath
from host_emulator.session import HostSession, open_session
from host_emulator.words.tasks import Action
from tools.demo_sites import PEER_PORTS, SYSTEMS, SiteProcess, port_lines, start_site, write_toml
from tools.operator import LINK_RETRIES, POLL_S, Bridge, establish_bridge, send, until_duplex

CYLINDERS, HEADS, BASE, DATA = 10, 15, 0x00, 0x23  # a path is checked at the device with address 00
TRACKS = CYLINDERS * HEADS
GEOMETRY = geometry_for("3390", CYLINDERS)
BRIDGES = {"A": Bridge(1, 0xF0, 0xF1), "B": Bridge(2, 0xF2, 0xF3)}  # by the side that sends
LINKS = {"A": PEER_PORTS["A"][:2], "B": PEER_PORTS["B"][2:]}  # and its ports
FIRST_KILL_S, LAST_KILL_S, GO_ON_S, WAIT_S = 0.3, 1.5, 0.4, 180.0
A_FEW = 10  # writes at each stage at least: a slow machine makes none in the time


@dataclass(frozen=True, slots=True)
class Journey:
    """What one round showed: acknowledged writes at each stage, tracks that differ, and numbers that are lost."""

    number: int
    before: int
    at_b_alone: int
    at_b_duplex: int
    home: int
    different: int
    lost: tuple[int, ...]
    seconds: float

    @property
    def good(self) -> bool:
        worked = min(self.before, self.at_b_alone, self.at_b_duplex, self.home) > 0
        return worked and not self.lost and not self.different


class Sites:
    """Both systems as processes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        folder.mkdir(parents=True, exist_ok=True)
        self.running = {"B": stack.enter_context(start_site(folder, self._config("B", None)))}
        self._a = self._config("A", self.running["B"])
        self.start_a()

    def start_a(self) -> None:
        """Start A, or start it again: it connects to B, which listens where it did."""
        self.running["A"] = self._stack.enter_context(start_site(self._folder, self._a))

    def kill_a(self) -> None:
        """Raises RuntimeError when it has ended by itself before."""
        process = self.running["A"].process
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"system A ended by itself with status {process.returncode}")

    def _config(self, name: str, peer: SiteProcess | None) -> Path:
        system = SYSTEMS[name]
        lines = [
            f'name = "{name}"\nserial = "{system.serial}"\nssid = "{system.ssid:04X}"\nlss = "00"\nprofile = "2107"',
            f'store = "store-{name}"',
        ]
        volumes = [volume for bridge in BRIDGES.values() for volume in (bridge.data, bridge.status)]
        for address in (BASE, DATA, *volumes):
            lines.append(f'\n[[volume]]\naddress = "{address:02X}"\ntype = "3390"\ncylinders = {CYLINDERS}')
        for sender, bridge in BRIDGES.items():
            role = "primary" if sender == name else "secondary"
            lines.append(f'\n[[bridge]]\nnumber = {bridge.number}\nrole = "{role}"')
            lines.append(f'data = "{bridge.data:02X}"\nstatus = "{bridge.status:02X}"')
        lines += port_lines(name, None if peer is None else peer.listening)
        return write_toml(self._folder, name, lines)


class Host:
    """One host that writes numbered records, one a track, wherever it is sent, and remembers what was acknowledged."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._number = 0
        self._writes = 0
        self.acknowledged: dict[int, int] = {}  # track: number

    async def write(self, name: str, stop: trio.Event) -> int:
        """Write at a system until `stop`, or until it is gone; how many writes were acknowledged."""
        count = 0
        try:
            async with open_session(*self._sites.running[name].host_address) as session:
                while not stop.is_set():
                    self._number += 1
                    track = self._number % TRACKS
                    record = orders.NewRecord(f"{self._number:08d}".ljust(400).encode("cp037"))
                    program = orders.format_track(Cchh(*divmod(track, HEADS)), [record])
                    result = await session.run_program(DATA, program, LINK_RETRIES)
                    if result.channel_status & ChannelStatus.INTERFACE_CONTROL_CHECK:
                        break  # the system is gone
                    if not result.completed:
                        raise RuntimeError(f"{name} refused a write: sense {(result.sense or b'').hex().upper()}")
                    self.acknowledged[track] = self._number
                    self._writes += 1
                    count += 1
        except (OSError, LinkFailure, NoPath):
            pass  # gone as well
        return count

    async def _work(self, seconds: float) -> None:
        """Wait so long, and until a few writes are acknowledged."""
        enough = self._writes + A_FEW
        await trio.sleep(seconds)
        with trio.move_on_after(WAIT_S):  # it has ended by itself, perhaps
            while self._writes < enough:
                await trio.sleep(POLL_S)

    async def write_for(self, name: str, seconds: float) -> int:
        """Write at a system for so long."""
        stop, counts = trio.Event(), []

        async def work() -> None:
            counts.append(await self.write(name, stop))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await self._work(seconds)
            stop.set()
        return counts[0]

    async def write_until_killed(self, name: str, seconds: float) -> int:
        """Write at A; it is killed after so long, in the middle."""
        counts = []

        async def work() -> None:
            counts.append(await self.write(name, trio.Event()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await self._work(seconds)
            await trio.to_thread.run_sync(self._sites.kill_a)
        return counts[0]


async def _set_up(session: HostSession, sender: str, receiver: str) -> None:
    """Paths and bridge from one system to the other; both come up as soon as their links do."""
    here, there = SYSTEMS[sender], SYSTEMS[receiver]
    await send(session, DATA, orders.establish_path(here, there, LINKS[sender]), patience_s=WAIT_S)
    await establish_bridge(session, here, there, BRIDGES[sender], patience_s=WAIT_S)


async def _pair(session: HostSession, sender: str, receiver: str, action: Action = Action.NONE) -> None:
    """Establish Pair, or failover or failback, at the system that is or becomes the primary."""
    order = orders.establish_pair(SYSTEMS[sender], SYSTEMS[receiver], DATA, DATA, action=int(action))
    await send(session, DATA, order, patience_s=WAIT_S if action is Action.FAILBACK else 0)


async def _journey(sites: Sites, host: Host, kill_after_s: float) -> list[int]:
    """The whole way; acknowledged writes of each stage."""
    async with open_session(*sites.running["A"].host_address) as to_a:
        await _set_up(to_a, "A", "B")
        await _pair(to_a, "A", "B")
        await until_duplex(to_a, [DATA], WAIT_S)
    counts = [await host.write_until_killed("A", kill_after_s)]
    async with open_session(*sites.running["B"].host_address) as to_b:
        await _pair(to_b, "B", "A", Action.FAILOVER)
        counts.append(await host.write_for("B", GO_ON_S))
        await trio.to_thread.run_sync(sites.start_a)
        await _set_up(to_b, "B", "A")
        await _pair(to_b, "B", "A", Action.FAILBACK)
        await until_duplex(to_b, [DATA], WAIT_S)
        counts.append(await host.write_for("B", GO_ON_S))
        await send(to_b, DATA, orders.suspend_pair(SYSTEMS["B"], SYSTEMS["A"], DATA, DATA))
    async with open_session(*sites.running["A"].host_address) as to_a:
        await _pair(to_a, "A", "B", Action.FAILOVER)
        await _set_up(to_a, "A", "B")  # which has come back by itself
        await _pair(to_a, "A", "B", Action.FAILBACK)
        await until_duplex(to_a, [DATA], WAIT_S)
        counts.append(await host.write_for("A", GO_ON_S))
    for site in sites.running.values():
        await site.stop()
    return counts


def run_journey(folder: Path, number: int, seed: int) -> Journey:
    """One round in a folder of its own. Raises RuntimeError, TooSlowError when something else than the drill fails."""
    began = time.monotonic()
    delay = random.Random(seed).uniform(FIRST_KILL_S, LAST_KILL_S)
    with ExitStack() as stack:
        sites = Sites(folder, stack)
        host = Host(sites)
        before, alone, duplex, home = trio.run(_journey, sites, host, delay)
        different, lost = _compare(sites, host.acknowledged)
    return Journey(number, before, alone, duplex, home, different, lost, time.monotonic() - began)


def _compare(sites: Sites, acknowledged: dict[int, int]) -> tuple[int, tuple[int, ...]]:
    """Both stores, closed: on how many tracks they differ, and which acknowledged numbers are in neither place."""
    different, lost = 0, []
    with (
        VirtualArrayStore.open(FileDisk(sites.running["A"].store, read_only=True)) as a,
        VirtualArrayStore.open(FileDisk(sites.running["B"].store, read_only=True)) as b,
    ):
        for track in range(TRACKS):
            empty = null_track(*GEOMETRY.address_of(track))
            left, right = a.read(DATA, track) or empty, b.read(DATA, track) or empty
            different += left != right
            if track in acknowledged and min(_number(left), _number(right)) < acknowledged[track]:
                lost.append(acknowledged[track])
    return different, tuple(lost)


def _number(image: bytes) -> int:
    """The number of the record on a track, 0 for none."""
    records = parse_track(image)
    text = records[1].data[:8].decode("cp037") if len(records) > 1 else ""
    return int(text) if text.isdigit() else 0
