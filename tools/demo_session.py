"""What the host does in the demonstration: fills volumes, sets up the bridge, mirrors, replays, writes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ccw.geometry import geometry_for
from ccw.pprc_codes import PairState
from host_emulator import orders
from host_emulator.session import HostSession, open_session
from tools.demo_sites import BRIDGE, PEER_PORTS, SMALL_CYLINDERS, Plan, SiteProcess
from tools.operator import define_bridge, establish_bridge, query_volume, run, send
from tools.recording import Recording
from tools.replay_report import ReplayReport
from tools.replayer import Replayer

FILLED_TRACKS = 30  # of each small volume
RECORDS, RECORD_BYTES = 12, 4096
DUPLEX_WRITES = 120
POLL_S = 0.05
MIRROR_TIMEOUT_S = 300.0


class Bars:
    """Progress bars on stderr, if it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """One bar; the value is called with how much further it got."""
        task = self._progress.add_task(text, total=total)
        yield lambda done: self._progress.advance(task, done)
        if self._progress.disable:
            self._console.print(f"{text}: done")


class DemoSession:
    """Three host links: one to each system for commands, one more to A for the trace."""

    def __init__(
        self, plan: Plan, recording: Recording, bars: Bars, to_a: HostSession, to_b: HostSession, io: HostSession
    ) -> None:
        self._plan = plan
        self._recording = recording
        self._bars = bars
        self._to_a = to_a
        self._to_b = to_b
        self._io = io
        self._a, self._b = plan.system("A"), plan.system("B")

    @classmethod
    @asynccontextmanager
    async def open(
        cls, site_a: SiteProcess, site_b: SiteProcess, plan: Plan, recording: Recording, bars: Bars
    ) -> AsyncIterator[DemoSession]:
        """Connect to both systems; the logical paths are established (ELP, LPE)."""
        async with (
            open_session(*site_a.host_address) as to_a,
            open_session(*site_b.host_address) as to_b,
            open_session(*site_a.host_address) as io,
        ):
            yield cls(plan, recording, bars, to_a, to_b, io)

    async def fill_volumes(self) -> None:
        """Give the small volumes some content, by channel programs."""
        geometry = geometry_for("3390", SMALL_CYLINDERS)
        with self._bars.bar("write to the other volumes", FILLED_TRACKS * len(self._plan.small)) as advance:
            for volume in self._plan.small:
                for track in range(FILLED_TRACKS):
                    records = [orders.NewRecord(_content(volume, track, record)) for record in range(RECORDS)]
                    program = orders.format_track(geometry.address_of(track), records)
                    await run(self._to_a, volume, program)
                    advance(1)

    async def set_up_bridge(self) -> None:
        """FIG. 5 and 6: steps 600-614."""
        with self._bars.bar("set up the bridge (600-614)", 6) as advance:
            await define_bridge(self._to_a, self._a, BRIDGE, sends=True)
            advance(2)
            await define_bridge(self._to_b, self._b, BRIDGE, sends=False)
            advance(2)
            paths = orders.establish_path(self._a, self._b, PEER_PORTS["A"])
            await send(self._to_a, self._plan.small[0], paths)
            advance(1)
            await establish_bridge(self._to_a, self._a, self._b, BRIDGE)
            advance(1)

    async def mirror_and_replay(self) -> ReplayReport:
        """Queue every volume (FIG. 7), and replay the recorded trace as host I/O while the bridge copies."""
        for volume in self._plan.volumes:
            pair = orders.establish_pair(self._a, self._b, volume, volume)
            await send(self._to_a, volume, pair)
        replayer = Replayer(self._recording)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            with self._bars.bar("replay the recorded trace", self._recording.program_count) as advance:
                await replayer.run_over(self._io, progress=advance)
        return replayer.report

    async def _watch(self) -> None:
        total = sum(self._plan.volumes.values()) * 15
        with self._bars.bar("bridge copies, volume by volume", total) as advance:
            shown = 0
            with trio.fail_after(MIRROR_TIMEOUT_S):
                while True:
                    queries = [await query_volume(self._to_a, volume) for volume in self._plan.volumes]
                    done = total - sum(query.out_of_sync_tracks for query in queries)
                    advance(done - shown)
                    shown = done
                    if all(query.state == PairState.DUPLEX for query in queries):
                        return
                    await trio.sleep(POLL_S)

    async def write_in_duplex(self) -> int:
        """Write on while every pair is duplex: each write ends only when B has hardened it."""
        geometry = geometry_for("3390", SMALL_CYLINDERS)
        with self._bars.bar("write while duplex", DUPLEX_WRITES) as advance:
            for number in range(DUPLEX_WRITES):
                volume = self._plan.small[number % len(self._plan.small)]
                track, record = number % FILLED_TRACKS, number % RECORDS
                data = _content(volume, track, record, generation=1)
                program = orders.write_record(geometry.address_of(track), record + 1, data)
                await run(self._io, volume, program)
                advance(1)
        return DUPLEX_WRITES

    async def pairs_duplex(self) -> int:
        """How many pairs are duplex now."""
        states = [(await query_volume(self._to_a, volume)).state for volume in self._plan.volumes]
        return states.count(PairState.DUPLEX)


def _content(volume: int, track: int, record: int, generation: int = 0) -> bytes:
    """Card images, so that compression has something to do: 80-byte lines of EBCDIC text."""
    line = f"VOLUME {volume:02X} TRACK {track:05d} RECORD {record + 1:02d} GENERATION {generation}".ljust(80)
    return (line * (RECORD_BYTES // 80 + 1))[:RECORD_BYTES].encode("cp037")
