"""Real processes: system A is killed (SIGKILL), or B is, or all links between them are cut, while a host writes.

What died is started again and nobody sends an order: paths, bridge and pair come back by themselves. Every
acknowledged write is there, and both stores are equal.
"""

from __future__ import annotations

import math
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import trio

from ccw.ccws import ChannelStatus
from ccw.geometry import Cchh, geometry_for
from ccw.pprc_query import VolumeQuery
from ccw.tracks import null_track
from controller.array import FileDisk, VirtualArrayStore
from host_emulator import orders
from host_emulator.channel import ChannelProgram, ProgramResult
from host_emulator.session import HostSession, open_session
from tests.helpers.patience import PATIENCE_S
from tools.demo import RECORDING
from tools.demo_sites import DATA_BRIDGE, PEER_PORTS, STATUS_BRIDGE, Plan, SiteProcess, start_site, write_config
from tools.operator import LINK_RETRIES
from tools.recording import load_recording

VOLUME, CYLINDERS, HEADS = 0x00, 20, 15
DUPLEX = 2
SUSPENDED = 0xFB  # sense byte 7: the write is stored, but its copy failed
GEOMETRY = geometry_for("3390", CYLINDERS)
A_FEW = 30  # writes
PART_OF_A_COPY = 15_000  # bytes on one connection; a copy of what `fill` writes takes 43,000 there
ANSWERS = 10_000  # bytes on all others together while B tells what it has; far less than the rest of the copy


class Rig:
    """Both systems as processes; each can be killed and started again at the same addresses."""

    def __init__(self, folder: Path, stack: ExitStack, way: Callable[[dict[int, str]], dict[int, str]]) -> None:
        """way: where A finds the ports of B, which listens there."""
        self.plan = Plan(next(iter(load_recording(RECORDING).devices.values())))
        self.a_name, self.b_name = self.plan.system("A"), self.plan.system("B")
        self._folder, self._stack = folder, stack
        self._configs = {"B": write_config(folder, "B", self.plan, None)}
        self.b = self._start("B")
        self._configs["A"] = write_config(folder, "A", self.plan, way(self.b.listening))
        self.a = self._start("A")

    def _start(self, name: str) -> SiteProcess:
        """Start a system; from then on it listens where it listened first."""
        config = self._configs[name]
        site = self._stack.enter_context(start_site(self._folder, config))
        text = config.read_text(encoding="utf-8")
        for said, address in site.listening.items():
            text = re.sub(rf'(said = "{said:04X}"\nkind = "\w+"\n)listen = "[^"]*"', rf'\1listen = "{address}"', text)
        config.write_text(text, encoding="utf-8")
        return site

    def kill(self, name: str) -> None:
        site = {"A": self.a, "B": self.b}[name]
        site.process.send_signal(signal.SIGKILL)
        assert site.process.wait(PATIENCE_S) == -signal.SIGKILL

    def start_again(self, name: str) -> None:
        setattr(self, name.lower(), self._start(name))

    @asynccontextmanager
    async def host(self, site: SiteProcess) -> AsyncIterator[HostSession]:
        async with open_session(*site.host_address) as session:
            yield session

    async def set_up(self) -> None:
        """Paths, bridge; retried while the links come up."""
        async with self.host(self.a) as to_a, self.host(self.b) as to_b:
            for session, system, device, role in (
                (to_a, self.a_name, DATA_BRIDGE, 1),
                (to_a, self.a_name, STATUS_BRIDGE, 4),
                (to_b, self.b_name, DATA_BRIDGE, 2),
                (to_b, self.b_name, STATUS_BRIDGE, 3),
            ):
                await run(session, device, orders.pprc(orders.define_bridge(system, device, role, 1)))
            paths = orders.establish_path(self.a_name, self.b_name, PEER_PORTS["A"])
            with trio.fail_after(PATIENCE_S):
                while not (await to_a.run_program(VOLUME, orders.pprc(paths))).completed:
                    await trio.sleep(0.1)
            pair = orders.establish_pair(
                self.a_name, self.b_name, DATA_BRIDGE, DATA_BRIDGE, mode=1, bridge_role=1, bridge_number=1
            )
            await run(to_a, DATA_BRIDGE, orders.pprc(pair))

    async def establish(self, session: HostSession) -> None:
        await run(session, VOLUME, orders.pprc(orders.establish_pair(self.a_name, self.b_name, VOLUME, VOLUME)))

    async def wait_duplex(self, session: HostSession) -> None:
        with trio.fail_after(PATIENCE_S):
            while (await query(session)).state != DUPLEX:
                await trio.sleep(0.05)


async def run(session: HostSession, device: int, program: ChannelProgram) -> ProgramResult:
    result = await session.run_program(device, program, LINK_RETRIES)
    assert result.completed, result
    return result


async def query(session: HostSession) -> VolumeQuery:
    return VolumeQuery.decode((await run(session, VOLUME, orders.query(orders.SCOPE_VOLUME))).data)


def text(track: int, generation: int) -> bytes:
    return f"TRACK {track:04d} GENERATION {generation:05d}".ljust(800).encode("cp037")


class Writer:
    """A host that writes random tracks until A is gone, or it is stopped.

    acknowledged: the last such generation of each track; writes: how many were; not_copied: writes that ended with unit
    check because the secondary could not be reached. Those are not acknowledged; a host repeats them.
    """

    def __init__(self, rig: Rig, seed: str) -> None:
        self._rig = rig
        self._random = Random(seed)
        self._stop = trio.Event()
        self.acknowledged: dict[int, int] = {}
        self.writes = 0
        self.not_copied = 0

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        generation = 0
        async with self._rig.host(self._rig.a) as session:
            while not self._stop.is_set():
                generation += 1
                track = self._random.randrange(GEOMETRY.tracks)
                records = [orders.NewRecord(text(track, generation))] * 3
                program = orders.format_track(Cchh(*divmod(track, HEADS)), records)
                result = await session.run_program(VOLUME, program, LINK_RETRIES)
                if result.channel_status == ChannelStatus.INTERFACE_CONTROL_CHECK:
                    return  # the link went down with the process
                if result.completed:
                    self.acknowledged[track] = generation
                    self.writes += 1
                else:
                    assert result.sense is not None
                    assert result.sense[7] == SUSPENDED, result
                    self.not_copied += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait while it writes."""
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await trio.sleep(0.001)

    async def go_on(self) -> None:
        """Wait until a few more writes are acknowledged."""
        enough = self.writes + A_FEW
        await self.until(lambda: self.writes >= enough)


def generation_of(image: bytes | None) -> int:
    """The generation that R1 of a track holds, 0 for an empty one."""
    if image is None or len(image) < 800:
        return 0
    words = image[5 + 16 + 8 :].split("GENERATION ".encode("cp037"), 1)
    return int(words[1][:5].decode("cp037")) if len(words) == 2 else 0


async def test_kill_a_while_it_synchronises(tmp_path: Path) -> None:
    async with trio.open_nursery() as ways:
        way = CutWay(ways)
        await way.prepare(len(PEER_PORTS["B"]))
        with ExitStack() as stack:
            rig = Rig(tmp_path, stack, way.lead)
            await fill(rig)
            host = Writer(rig, "synchronising")
            async with trio.open_nursery() as nursery, rig.host(rig.a) as session:
                nursery.start_soon(host.run)
                await host.until(lambda: bool(host.acknowledged))
                way.hold_after(PART_OF_A_COPY)
                await rig.establish(session)
                await until_partly_copied(session)
                await way.held.wait()
                await trio.to_thread.run_sync(rig.kill, "A")
            assert not synchronised(rig)
            await way.cut()
            way.open = True
            rig.start_again("A")
            assert await finish(rig, host) > 0
        ways.cancel_scope.cancel()


async def test_kill_a_in_duplex(tmp_path: Path) -> None:
    """The pair comes back by a resynchronisation: what A may have lost is copied again, and no more."""
    with ExitStack() as stack:
        rig = Rig(tmp_path, stack, lambda listening: listening)
        await begin(rig)
        host = Writer(rig, "duplex")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run)
            await host.go_on()
            await trio.to_thread.run_sync(rig.kill, "A")
        assert synchronised(rig) and host.not_copied == 0
        rig.start_again("A")
        copied = await finish(rig, host)
        assert 0 < copied < GEOMETRY.tracks


async def test_kill_b_in_duplex(tmp_path: Path) -> None:
    """The host goes on without a secondary; what it writes meanwhile is copied when B is back, and no more."""
    with ExitStack() as stack:
        rig = Rig(tmp_path, stack, lambda listening: listening)
        await begin(rig)
        host = Writer(rig, "duplex")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run)
            await host.go_on()
            await trio.to_thread.run_sync(rig.kill, "B")
            await host.until(lambda: host.not_copied > 0)
            await host.go_on()
            host.stop()
        rig.start_again("B")
        copied = await finish(rig, host)
        assert GEOMETRY.tracks < copied < 2 * GEOMETRY.tracks  # all of them at first


class CutWay:
    """A way from A to B through this process, which can be cut, or held.

    held: set when it holds, that is, when it has passed on to B what `hold_after` allowed to one connection.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._listeners: list[trio.SocketListener] = []
        self._living: list[trio.SocketStream] = []
        self._allowed = math.inf  # bytes towards B on each connection
        self._passed: Counter[trio.SocketStream] = Counter()
        self._full: trio.SocketStream | None = None  # the connection that has passed on what it may
        self._rest = ANSWERS
        self.held = trio.Event()
        self.open = True

    async def prepare(self, count: int) -> None:
        """Listen at that many free ports."""
        for _ in range(count):
            self._listeners += await trio.open_tcp_listeners(0, host="127.0.0.1")

    def lead(self, listening: dict[int, str]) -> dict[int, str]:
        """The addresses of this way's ports in place of B's; whoever connects is passed on."""
        peers = {said: address for said, address in listening.items() if said in PEER_PORTS["B"]}
        ways = {}
        for (said, address), listener in zip(peers.items(), self._listeners, strict=True):
            host, _, port = address.rpartition(":")
            self._nursery.start_soon(
                trio.serve_listeners, lambda stream, to=(host, int(port)): self._pass(stream, to), [listener]
            )
            ways[said] = "{}:{}".format(*listener.socket.getsockname())
        return {**listening, **ways}

    async def _pass(self, near: trio.SocketStream, to: tuple[str, int]) -> None:
        if not self.open:
            await near.aclose()
            return
        far = await trio.open_tcp_stream(*to)
        self._living += [near, far]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, near, far, partial(self._allowed_of, near))
            nursery.start_soon(self._pump, far, near, lambda data: data)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, allowed_of: Callable[[bytes], bytes]
    ) -> None:
        try:
            async for data in source:
                if allowed := allowed_of(data):
                    await target.send_all(allowed)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # cut
        finally:
            await trio.aclose_forcefully(source)
            await trio.aclose_forcefully(target)

    def hold_after(self, count: int) -> None:
        """Pass `count` bytes on to B on one connection, then no more there, and little on others, until the way is cut.

        So what B says of the part of a copy that it has is still answered.
        """
        self._passed.clear()
        self._allowed = count

    def _allowed_of(self, way: trio.SocketStream, data: bytes) -> bytes:
        """What of these bytes may go on to B. Those that may not are lost with their connection."""
        if way is self._full:
            return b""
        if self._full is not None:
            self._rest -= len(data)
            return data if self._rest >= 0 else b""
        room = self._allowed - self._passed[way]
        self._passed[way] += len(data)
        if len(data) <= room:
            return data
        self._full = way
        self.held.set()
        return data[: int(room)]

    async def cut(self) -> None:
        """All connections end now, and none is made until `open`."""
        self.open = False
        self._allowed, self._full = math.inf, None
        for stream in self._living:
            await trio.aclose_forcefully(stream)
        self._living.clear()


async def test_cut_all_links(tmp_path: Path) -> None:
    """Three times, each time out of duplex, and each time a write meets it."""
    async with trio.open_nursery() as ways:
        way = CutWay(ways)
        await way.prepare(len(PEER_PORTS["B"]))
        with ExitStack() as stack:
            rig = Rig(tmp_path, stack, way.lead)
            await begin(rig)
            host = Writer(rig, "cut")
            async with trio.open_nursery() as nursery, rig.host(rig.a) as session:
                nursery.start_soon(host.run)
                for cuts in range(1, 4):
                    await host.go_on()
                    await way.cut()
                    await host.until(lambda met=cuts: host.not_copied >= met)
                    await host.go_on()
                    way.open = True
                    await rig.wait_duplex(session)
                host.stop()
            await finish(rig, host)
        ways.cancel_scope.cancel()


async def fill(rig: Rig) -> None:
    """The bridge, and something on every third track."""
    await rig.set_up()
    async with rig.host(rig.a) as session:
        for track in range(0, GEOMETRY.tracks, 3):
            program = orders.format_track(Cchh(*divmod(track, HEADS)), [orders.NewRecord(text(track, 0))] * 3)
            await run(session, VOLUME, program)


async def begin(rig: Rig) -> None:
    """The same, mirrored and duplex."""
    await fill(rig)
    async with rig.host(rig.a) as session:
        await rig.establish(session)
        await rig.wait_duplex(session)


async def until_partly_copied(session: HostSession) -> None:
    """Wait until B has said of a part of the first copy that it has it."""
    with trio.fail_after(PATIENCE_S):
        while (await query(session)).out_of_sync_tracks == GEOMETRY.tracks:
            pass


def synchronised(rig: Rig) -> bool:
    """Does A's event log say that a first copy, or a later one, was completed?"""
    return any(event["text"] == "synchronisation complete" for event in rig.a.events())


async def finish(rig: Rig, host: Writer) -> int:
    """Everything that was acknowledged is read; the pair becomes duplex without an order; both stores are equal.

    How many tracks A has copied since it was started.
    """
    assert host.acknowledged
    async with rig.host(rig.a) as session:
        for track, generation in host.acknowledged.items():
            data = (await run(session, VOLUME, orders.read_record(Cchh(*divmod(track, HEADS)), 1))).data
            assert len(data) == 800 and data >= text(track, generation)
        await rig.wait_duplex(session)
    copied = int((await rig.a.stop())["tracks_copied"])
    await rig.b.stop()
    compare(rig, host.acknowledged)
    return copied


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
