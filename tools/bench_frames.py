"""The frame path measured: records read over TCP through full ESCON framing, several links, two processes.

A storage system runs in a process of its own (`trackbridge serve`); this process holds the channels. Every link reads
records of 4,096 bytes from a volume of its own: Define Extent, Locate Record and Read Data, one record a program, every
record compared with what was written. What is counted is programs, from the first frame of a chain to its last.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

import trio

from ccw.eckd import DefineExtent, LocateRecord
from ccw.geometry import Cchh
from host_emulator import orders
from host_emulator.channel import Response, Start
from host_emulator.session import HostSession, open_session
from tools.demo_sites import SiteProcess, start_site
from tools.measuring import processor_s

RECORD_BYTES = 4096
RECORDS_PER_TRACK = 12
TRACKS = 15
CHAIN, SUPPRESS_LENGTH = 0x40, 0x20
NORMAL_END = 0x0C
DEFINE_EXTENT, LOCATE_RECORD, READ_DATA = 0x63, 0x47, 0x06
WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """Figures of one run. `reads_per_s`: of each round. Processor seconds are those of all rounds together."""

    links: int
    records_per_program: int
    reads_per_s: tuple[float, ...]
    frames_per_read: float
    client_cpu_s: float
    server_cpu_s: float
    reads: int

    @property
    def best(self) -> float:
        return max(self.reads_per_s)

    @property
    def typical(self) -> float:
        return median(self.reads_per_s)

    def figures(self) -> dict[str, object]:
        """As one JSON-ready object; microseconds of processor time are per read."""
        return {
            "links": self.links,
            "records_per_program": self.records_per_program,
            "best_reads_per_s": round(self.best),
            "median_reads_per_s": round(self.typical),
            "rounds": [round(rate) for rate in self.reads_per_s],
            "frames_per_read": round(self.frames_per_read, 2),
            "client_cpu_us_per_read": round(self.client_cpu_s / self.reads * 1e6, 1),
            "server_cpu_us_per_read": round(self.server_cpu_s / self.reads * 1e6, 1),
        }


def read_program(track: Cchh, first: int, count: int) -> Generator[Start, Response, list[bytes]]:
    """Read `count` records of a track, from record `first`, in one chain."""
    extent = DefineExtent(0x40, 0xC0, 0, 0, 0, 0, track, track).encode()
    search = track.pack() + bytes((first,))
    locate = LocateRecord(0x06, 0, 0, count, track, search, 0xFF, 0).encode()
    yield Start(DEFINE_EXTENT, CHAIN, len(extent), extent, False)
    yield Start(LOCATE_RECORD, CHAIN, len(locate), locate, True)
    found = []
    for left in range(count, 0, -1):
        response = yield Start(READ_DATA, CHAIN if left > 1 else 0, RECORD_BYTES, b"", True)
        if response.status != NORMAL_END:
            raise RuntimeError(f"a read ended with status {response.status:02X}")
        found.append(response.data)
    return found


def record_data(unit: int, track: int, record: int) -> bytes:
    """What stands in a record: different for each."""
    return Random(unit << 16 | track << 8 | record).randbytes(RECORD_BYTES)


async def prepare(session: HostSession, unit: int) -> dict[tuple[int, int], bytes]:
    """Format the first tracks of a volume; what every record holds."""
    content: dict[tuple[int, int], bytes] = {}
    for track in range(TRACKS):
        records = [record_data(unit, track, number) for number in range(1, RECORDS_PER_TRACK + 1)]
        program = orders.format_track(Cchh(0, track), [orders.NewRecord(data) for data in records])
        result = await session.run_program(unit, program)
        if not result.completed:
            raise RuntimeError(f"formatting ended with status {result.unit_status:02X}")
        content.update(((track, number), data) for number, data in enumerate(records, start=1))
    return content


class Reader:
    """One link and its volume."""

    def __init__(self, session: HostSession, unit: int, content: dict[tuple[int, int], bytes], length: int) -> None:
        self._session = session
        self._unit = unit
        self._content = content
        self._length = length
        self._random = Random(unit)
        self.reads = 0

    async def run(self, until: float) -> None:
        """Read until the given trio time."""
        while trio.current_time() < until:
            track = self._random.randrange(TRACKS)
            first = self._random.randrange(1, RECORDS_PER_TRACK + 2 - self._length)
            found = await self._session.run(self._unit, read_program(Cchh(0, track), first, self._length))
            for number, data in enumerate(found, start=first):
                if data != self._content[track, number]:
                    raise RuntimeError(f"unit {self._unit:02X} track {track} record {number}: other data than written")
            self.reads += len(found)

    @property
    def frames(self) -> int:
        counters = self._session.statistics().link
        return counters.frames_in + counters.frames_out


async def measure(site: SiteProcess, links: int, length: int, rounds: int, seconds: float) -> FrameFigures:
    """Read over `links` links at once, `rounds` times for `seconds`."""
    async with AsyncExitStack() as stack:
        readers = []
        for unit in range(links):
            session = await stack.enter_async_context(open_session(*site.host_address))
            readers.append(Reader(session, unit, await prepare(session, unit), length))
        await _round(readers, WARM_UP_S)
        frames = sum(reader.frames for reader in readers)
        total = sum(reader.reads for reader in readers)
        rates = []
        client, server = time.process_time(), processor_s(site.process.pid)
        for _ in range(rounds):
            before, started = sum(reader.reads for reader in readers), time.perf_counter()
            await _round(readers, seconds)
            rates.append((sum(reader.reads for reader in readers) - before) / (time.perf_counter() - started))
        client, server = time.process_time() - client, processor_s(site.process.pid) - server
        total = sum(reader.reads for reader in readers) - total
        frames = sum(reader.frames for reader in readers) - frames
    return FrameFigures(links, length, tuple(rates), frames / total, client, server, total)


async def _round(readers: list[Reader], seconds: float) -> None:
    until = trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.run, until)


@contextmanager
def storage_system(links: int) -> Iterator[SiteProcess]:
    """A storage system in a process of its own, one volume for each link."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [
            'name = "bench"',
            'serial = "000000012345"',
            'ssid = "0100"',
            'lss = "01"',
            'profile = "2107"',
            'store = "store"',
        ]
        for unit in range(links):
            lines += ["[[volume]]", f'address = "{unit:02X}"', 'type = "3390"', "cylinders = 10"]
        lines += ["[[port]]", 'said = "0001"', 'kind = "host"', 'listen = "127.0.0.1:0"']
        config = folder / "bench.toml"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with start_site(folder, config) as site:
            yield site


def run(links: int, length: int, rounds: int, seconds: float) -> FrameFigures:
    """Start a storage system and measure it. Raises RuntimeError when it does not start or answers wrongly."""
    with storage_system(links) as site:
        return trio.run(measure, site, links, length, rounds, seconds)
