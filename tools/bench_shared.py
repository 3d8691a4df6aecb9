"""Our shared-device server raced against Hercules' own: same client processes, same volumes, rounds by turns.

An operation is what a guest's channel program costs: START, one READ or WRITE of a whole track, END. Clients are
processes that speak the protocol (`host_emulator.shared_client`) as Hercules' own client does: they take compressed
tracks, and expand them. Ours answers the END of a write when it is durable; Hercules' own never makes it so.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from ccw.geometry import Geometry, geometry_for
from ccw.plain_images import plain_header
from ccw.tracks import END_MARK, null_track
from host_emulator.shared_client import BOTH_ALGORITHMS, SharedClient
from tools.hercules import Hercules

DEVICES = (0x0130, 0x0131, 0x0132, 0x0133)
CYLINDERS = 20
RECORD_BYTES = 56_664
RECORD_AT = 21
CARD = "{:08d} THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"


@dataclass(frozen=True, slots=True)
class Race:
    """One line of the table: what is done, by how many clients, on how many devices, random or sequential."""

    verb: str
    clients: int
    devices: int
    sequential: bool = False
    plain: bool = False

    @property
    def title(self) -> str:
        order = "sequential" if self.sequential else "random"
        return f"{self.verb} {order}, {self.clients} on {self.devices}{', plain' if self.plain else ''}"


RACES = (
    Race("read", 1, 1),
    Race("read", 1, 1, sequential=True),
    Race("read", 4, 1),
    Race("read", 4, 4),
    Race("write", 1, 1),
    Race("write", 4, 1),
    Race("write", 4, 4),
    Race("read", 1, 1, plain=True),
    Race("read", 4, 4, plain=True),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One server in one round: operations a second over all clients, latencies of operations in ms."""

    rate: float
    p50: float
    p99: float
    worst: float


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
        address, device, verb, sequential, algorithms, seed, seconds = task
        with SharedClient(address, device, algorithms=algorithms) as client:
            tracks = _order(sequential, seed)
            records = {track: track_record(track) for track in range(8)}
            pipe.send("ready")
            pipe.recv()
            took: list[float] = []
            end = time.perf_counter() + seconds
            now = time.perf_counter()
            while now < end:
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

    def race(self, address: tuple[str, int], race: Race, seconds: float) -> Round:
        """Run one race on one server."""
        pipes = self._pipes[: race.clients]
        algorithms = 0 if race.plain else BOTH_ALGORITHMS
        for index, pipe in enumerate(pipes):
            device = DEVICES[index % race.devices]
            pipe.send((address, device, race.verb, race.sequential, algorithms, index * 17, seconds))
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go")
        took = sorted(value for pipe in pipes for value in pipe.recv())
        return Round(
            len(took) / seconds, took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3, took[-1] * 1e3
        )

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)


# Servers


@contextmanager
def our_server(folder: Path, images: dict[int, Path]) -> Iterator[tuple[str, int]]:
    """`trackbridge serve` over a new store."""
    command = [sys.executable, "-m", "tools", "serve", "--store", str(folder / "store"), "--json"]
    command += [f"--import={device:04X}={path}" for device, path in images.items()] + ["--shared-dasd", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        host, _, port = json.loads(process.stdout.readline())["listening"]["shared-dasd"].rpartition(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def hercules_server(folder: Path, images: dict[int, Path]) -> Iterator[tuple[str, int]]:
    """Hercules serving the images themselves."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    devices = [f"SHRDPORT {port}", *(f"{device:04X} 3390 {path}" for device, path in images.items())]
    with Hercules(folder / "hercules", devices) as hercules:
        hercules.wait_for(f"port {port}|Waiting for shared device requests", 30)
        yield "127.0.0.1", port


def measure(
    rounds: int, seconds: float, races: tuple[Race, ...] = RACES, say: Callable[[str], None] = lambda text: None
) -> list[Figures]:
    """Race both servers: `rounds` rounds of `seconds` for each server and line, by turns."""
    geometry = geometry_for("3390", CYLINDERS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trackbridge-bench-")))
        images = {device: folder / f"{device:04X}.ckd" for device in DEVICES}
        for path in images.values():
            make_volume(path, geometry)
        ours = stack.enter_context(our_server(folder, images))
        theirs = stack.enter_context(hercules_server(folder, images))
        clients = Clients()
        stack.callback(clients.close)
        found = []
        for race in races:
            pairs = []
            for _ in range(rounds):
                say(race.title)
                pairs.append((clients.race(ours, race, seconds), clients.race(theirs, race, seconds)))
            found.append(_figures(race, pairs))
        return found


def _figures(race: Race, pairs: list[tuple[Round, Round]]) -> Figures:
    def middle(index: int) -> Round:
        rounds = [pair[index] for pair in pairs]
        return Round(*(median(getattr(one, name) for one in rounds) for name in Round.__slots__))

    ratio = median(ours.rate / theirs.rate for ours, theirs in pairs)
    return Figures(race.title, middle(0), middle(1), ratio, len(pairs))
