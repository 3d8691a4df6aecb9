"""The smallest model of the claim: eight processors, two links, first come first served at each. A cross-check.

Hosts write 100 records of 4,096 bytes a second (processor 0.2 ms, link with overhead). A copy task repeats: processor
0.5 ms, one track over a link with overhead. Conventional: N tasks, 1.0 ms of overhead for a write and 2.0 for a track.
Bridge: min(N, 8) tasks, 0.2 ms each. Nothing else: no locks, no priorities, no distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from simpy import Environment

from controller.models.queueing import Servers
from tools.simulation.stations import until
from tools.simulation.system import Process

PROCESSORS, LINKS, BRIDGES = 8, 2, 8
RATE = 17e6  # bytes a second
WRITES_PER_S, WRITE_BYTES, TRACK_BYTES = 100.0, 4_096, 56_664
WRITE_PROCESSOR_S, TRACK_PROCESSOR_S = 0.2e-3, 0.5e-3
CONVENTIONAL_OVERHEAD_S = (1.0e-3, 2.0e-3)  # of a write, of a track
BRIDGE_OVERHEAD_S = (0.2e-3, 0.2e-3)
VOLUMES = (0, 1, 2, 4, 8, 16, 64, 256, 1024)
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SmallOutcome:
    """Mean response of a host's write, and how fast is copied. `active_max`: copy tasks at once."""

    volumes: int
    bridge: bool
    response_ms: float
    tracks_per_s: float
    active_max: int


def small_run(volumes: int, *, bridge: bool, seed: int = 1, seconds: float = SECONDS) -> SmallOutcome:
    """Run it. Writes that have not ended when the time is over count with their age."""
    environment = Environment()
    processors, links = Servers(PROCESSORS), Servers(LINKS)
    write_overhead, track_overhead = BRIDGE_OVERHEAD_S if bridge else CONVENTIONAL_OVERHEAD_S
    random = np.random.default_rng(seed)
    responses: list[float] = []
    under_way: dict[int, float] = {}
    tracks = 0

    def write(number: int) -> Process:
        under_way[number] = environment.now
        yield until(environment, processors.serve(environment.now, WRITE_PROCESSOR_S).finish)
        yield until(environment, links.serve(environment.now, write_overhead + WRITE_BYTES / RATE).finish)
        responses.append(environment.now - under_way.pop(number))

    def hosts() -> Process:
        number = 0
        while True:
            yield until(environment, environment.now + random.exponential(1 / WRITES_PER_S))
            number += 1
            environment.process(write(number))

    def copy() -> Process:
        nonlocal tracks
        while True:
            yield until(environment, processors.serve(environment.now, TRACK_PROCESSOR_S).finish)
            yield until(environment, links.serve(environment.now, track_overhead + TRACK_BYTES / RATE).finish)
            tracks += 1

    tasks = min(volumes, BRIDGES) if bridge else volumes
    environment.process(hosts())
    for _ in range(tasks):
        environment.process(copy())
    environment.run(until=seconds)
    responses += [seconds - begun for begun in under_way.values()]
    return SmallOutcome(volumes, bridge, 1e3 * sum(responses) / len(responses), tracks / seconds, tasks)


def small_table() -> list[tuple[SmallOutcome, SmallOutcome]]:
    """Conventional and bridge for every number of volumes."""
    return [(small_run(volumes, bridge=False), small_run(volumes, bridge=True)) for volumes in VOLUMES]
