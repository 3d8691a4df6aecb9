"""Our shared-device server raced against Hercules' own: same client processes, same volumes, rounds by turns.

An operation is what a guest's channel program costs: START, one READ or WRITE of a whole track, END. Clients are
processes that speak the protocol (`host_emulator.shared_client`) as Hercules' own client does. Ours answers the END of
a write when it is durable; Hercules' own never makes it so. So there is an arm with our store in memory, where nothing
is durable either, and beside the table what one write and sync costs on the file system under the other arm. While one
server is raced the others stand still.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from ccw.geometry import Geometry, geometry_for
from ccw.plain_images import plain_header
from ccw.tracks import END_MARK, null_track
from host_emulator.shared_client import SharedClient
from tools.demo_sites import start_serving
from tools.hercules import Hercules
from tools.measuring import durable_write_ms, percentile, processor_s

DEVICES = (0x0130, 0x0131, 0x0132, 0x0133)
CYLINDERS = 20
RECORD_BYTES = 56_664
RECORD_AT = 21
CARD = "{:08d} THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"


@dataclass(frozen=True, slots=True)
class Race:
    """One line of the table: what is done, by how many clients, on how many devices, random or sequential.

    in_memory: our store is in memory, so that nothing is durable on either side.
    """

    verb: str
    clients: int
    devices: int
    sequential: bool = False
    in_memory: bool = False

    @property
    def title(self) -> str:
        order = "sequential" if self.sequential else "random"
        return f"{self.verb} {order}, {self.clients} on {self.devices}{', not durable' if self.in_memory else ''}"


SHAPES = ((1, 1), (4, 1), (4, 4))
RACES = (
    *(Race(verb, *shape, sequential) for verb in ("read", "write") for sequential in (False, True) for shape in SHAPES),
    *(Race(verb, *shape, in_memory=True) for verb in ("read", "write") for shape in SHAPES),
)
MEMORY = Path("/dev/shm")
SYNCS = 200
SYNC_BYTES = 8192
START_S = 120.0  # for Hercules to serve


@dataclass(frozen=True, slots=True)
class Round:
    """One server in one round: operations a second over all clients, latencies in ms, its processor time each in us."""

    rate: float
    p50: float
    p99: float
    worst: float
    cpu_us: float


class Server(NamedTuple):
    """A server's process and where it listens."""

    pid: int
    address: tuple[str, int]

    def cpu_s(self) -> float:
        """Processor time that it has taken so far."""
        return processor_s(self.pid)


@contextmanager
def stopped(servers: Iterable[Server]) -> Iterator[None]:
    """Stop other servers meanwhile: an idle Hercules alone switches tasks 6,000 times a second (observed: 3.13)."""
    try:
        for server in servers:
            os.kill(server.pid, signal.SIGSTOP)
        yield
    finally:
        for server in servers:
            os.kill(server.pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Figures:
    """One race: medians over the rounds; `ratio` is the median of the rounds' own ratios, ours to theirs."""

    race: str
    ours: Round
    theirs: Round
    ratio: float
    rounds: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def track_record(track: int) -> bytes:
    """Record 1 of a full track: card images in EBCDIC, different on every track, and the end mark."""
    cards = "".join(CARD.format(track * 1000 + number).ljust(80) for number in range(RECORD_BYTES // 80 + 1))
    cylinder, head = divmod(track, 15)
    count = cylinder.to_bytes(2, "big") + head.to_bytes(2, "big") + b"\x01\0" + RECORD_BYTES.to_bytes(2, "big")
    return count + cards.encode("cp037")[:RECORD_BYTES] + END_MARK


def make_volume(path: Path, geometry: Geometry) -> None:
    """A plain image full of full tracks."""
    with path.open("wb") as file:
        file.write(plain_header(geometry.heads, geometry.track_size, 0x3390))
        for track in range(geometry.tracks):
            image = null_track(*divmod(track, geometry.heads))[:RECORD_AT] + track_record(track)
            file.write(image.ljust(geometry.track_size, b"\0"))


# Clients


def _client(pipe: Connection) -> None:
    """A client process: races as they come, until None."""
    while (task := pipe.recv()) is not None:
        address, device, verb, sequential, seed, seconds = task
        with SharedClient(address, device) as client:
            tracks = _order(sequential, seed)
            records = {track: track_record(track) for track in range(8)}
            pipe.send("ready")
            pipe.recv()
            took: list[float] = []
            now = time.perf_counter()
            end = now + seconds
            while now < end:  # once at least, however slow the machine is
                track = next(tracks)
                client.start()
                if verb == "read":
                    client.read(track)
                else:
                    client.write(track % 8, RECORD_AT, records[track % 8])
                client.end()
                after = time.perf_counter()
                took.append(after - now)
                now = after
        pipe.send(took)


def _order(sequential: bool, seed: int) -> Iterator[int]:
    count = CYLINDERS * 15
    random = Random(seed)
    track = seed
    while True:
        track = (track + 1) % count if sequential else random.randrange(count)
        yield track


class Clients:
    """Four client processes that start together."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in DEVICES:
            ours, theirs = context.Pipe()
            process = context.Process(target=_client, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def race(self, server: Server, race: Race, seconds: float) -> Round:
        """Run one race on one server."""
        pipes = self._pipes[: race.clients]
        for index, pipe in enumerate(pipes):
            device = DEVICES[index % race.devices]
            pipe.send((server.address, device, race.verb, race.sequential, index * 17, seconds))
        for pipe in pipes:
            pipe.recv()
        before = server.cpu_s()
        for pipe in pipes:
            pipe.send("go")
        took = [value for pipe in pipes for value in pipe.recv()]
        cpu_us = (server.cpu_s() - before) / len(took) * 1e6
        middle, high = percentile(took, 0.5), percentile(took, 0.99)
        return Round(len(took) / seconds, middle * 1e3, high * 1e3, max(took) * 1e3, cpu_us)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)


# Servers


@contextmanager
def our_server(folder: Path, images: dict[int, Path]) -> Iterator[Server]:
    """`trackbridge serve` over a new store. Raises RuntimeError when it does not start."""
    imports = (f"--import={device:04X}={path}" for device, path in images.items())
    arguments = ("--store", str(folder / "store"), *imports, "--shared-dasd", "127.0.0.1:0")
    with start_serving(folder, "ours", arguments) as site:
        yield Server(site.process.pid, site.shared_address)


@contextmanager
def hercules_server(folder: Path, images: dict[int, Path]) -> Iterator[Server]:
    """Hercules serving the images themselves."""
    with socket.socket() as keeper:  # it never listens; while it is bound nobody but Hercules is given its port
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = keeper.getsockname()[1]
        devices = [f"SHRDPORT {port}", *(f"{device:04X} 3390 {path}" for device, path in images.items())]
        with Hercules(folder / "hercules", devices) as hercules:
            hercules.wait_for(f"port {port}|Waiting for shared device requests", START_S)
            yield Server(hercules.pid, ("127.0.0.1", port))
    Path(f"/tmp/hercules_shared.{port}").unlink(missing_ok=True)  # its local socket: it is killed, and leaves it


def measure(
    rounds: int, seconds: float, races: Sequence[Race] = RACES, say: Callable[[str], None] = lambda text: None
) -> tuple[list[Figures], float]:
    """Race both servers: `rounds` rounds of `seconds` a server and line, by turns. Also ms of a durable write."""
    geometry = geometry_for("3390", CYLINDERS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trackbridge-bench-")))
        images = {device: folder / f"{device:04X}.ckd" for device in DEVICES}
        for path in images.values():
            make_volume(path, geometry)
        alone = durable_write_ms(folder, SYNC_BYTES, SYNCS)
        ours = stack.enter_context(our_server(folder, images))
        in_memory = ours
        if any(race.in_memory for race in races):
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="trackbridge-bench-", dir=MEMORY))
            in_memory = stack.enter_context(our_server(Path(place), images))
        theirs = stack.enter_context(hercules_server(folder, images))
        clients = Clients()
        stack.callback(clients.close)

        def one(server: Server, race: Race) -> Round:
            with stopped({ours, in_memory, theirs} - {server}):
                return clients.race(server, race, seconds)

        found = []
        for race in races:
            say(race.title)
            mine = in_memory if race.in_memory else ours
            found.append(_figures(race, [(one(mine, race), one(theirs, race)) for _ in range(rounds)]))
        return found, alone


def _figures(race: Race, pairs: list[tuple[Round, Round]]) -> Figures:
    def middle(index: int) -> Round:
        rounds = [pair[index] for pair in pairs]
        return Round(*(median(getattr(one, field.name) for one in rounds) for field in fields(Round)))

    ratio = median(ours.rate / theirs.rate for ours, theirs in pairs)
    return Figures(race.title, middle(0), middle(1), ratio, len(pairs))
