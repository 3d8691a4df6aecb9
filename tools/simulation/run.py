"""One run: an arm, a number of pending pairs, a pattern, a seed. The same case gives the same outcome everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from simpy import Environment

from tools.simulation.arms import BY_KEY
from tools.simulation.copying import CopyTasks
from tools.simulation.hosts import PATTERN_BY_KEY, HostIo, Workload
from tools.simulation.parameters import MILLISECOND, Parameters
from tools.simulation.stations import until
from tools.simulation.system import Process, Response, System

THINK_DRAWS = 256
DRAIN_STEP_S = 1.0
SERVED_ENOUGH = 0.99
PARTS = ("iosq", "closed", "pend", "disconnect", "connect", "mirrored")


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be run. `values`: parameters that differ, by section.parameter; `tracks`: to copy of each volume."""

    arm: str
    pairs: int
    seed: int
    pattern: str = "uniform"
    values: tuple[tuple[str, float], ...] = ()
    tracks: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed. Milliseconds; `parts` are means over all I/Os and add up to `mean`.

    `saturated`: I/Os of the window were still waiting long after it. They count with their age, so that the figures of
    such a run are lower bounds, and grow with its length.
    """

    case: Case
    ios: int
    mean: float
    write_mean: float
    p50: float
    p95: float
    p99: float
    parts: Mapping[str, float]
    served: float  # share of the window's I/Os that ended
    saturated: bool
    copied_per_s: float
    read_miss: float
    link_busy: float
    active_max: int
    in_system: float  # mean number of I/Os under way in the window
    throughput: float  # I/Os ended in the window, per second
    duplex_at: tuple[float, ...] = field(default=())  # seconds
    processor_s: float = 0.0  # of the machine that simulated


class Simulation:
    """The run's environment, system and hosts."""

    def __init__(self, parameters: Parameters, case: Case) -> None:
        self.case = case
        self.parameters = parameters.with_values(dict(case.values)) if case.values else parameters
        self.environment = Environment()
        self.workload = Workload(self.parameters, PATTERN_BY_KEY[case.pattern], case.seed)
        self.system = System(self.environment, self.parameters, BY_KEY[case.arm], self.workload)
        self.tasks = CopyTasks(self.system)
        self.done: list[Response] = []
        self.begun: list[float] = []
        run = self.parameters.run
        self.window = (run.warm_up_s, run.warm_up_s + run.window_s)
        self.horizon = self.window[1] + run.drain_s

    def run(self) -> None:
        """Until every I/O of the window has ended, or the time for that is over."""
        pending = [self.system.volumes[number] for number in self.workload.order[: self.case.pairs]]
        self.tasks.establish(pending, self.case.tracks)
        self._start_hosts()
        self.environment.run(until=self.window[0])
        before = self.tasks.sent
        self.environment.run(until=self.window[1])
        self.copied = self.tasks.sent - before
        end = self.window[1]
        while end < self.horizon and self.unfinished():
            end = min(end + DRAIN_STEP_S, self.horizon)
            self.environment.run(until=end)

    def run_until_duplex(self) -> None:
        """Until every pending volume has been copied; `case.tracks` says how much there is of each."""
        pending = [self.system.volumes[number] for number in self.workload.order[: self.case.pairs]]
        self.tasks.establish(pending, self.case.tracks)
        self._start_hosts()
        while len(self.tasks.duplex_at) < len(pending):
            self.environment.run(until=self.environment.now + DRAIN_STEP_S)

    def unfinished(self) -> list[float]:
        """When the I/Os of the window that have not ended arrived."""
        first, last = self.window
        ended = sum(first <= response.arrived < last for response in self.done)
        arrived = [time for time in self.begun if first <= time < last]
        if ended == len(arrived):
            return []
        finished = {response.arrived for response in self.done}
        return [time for time in arrived if time not in finished]

    # Hosts

    def _start_hosts(self) -> None:
        if self.workload.users:
            for _ in range(self.workload.users):
                self.environment.process(self._user())
        else:
            self.environment.process(self._poisson())

    def _poisson(self) -> Process:
        environment, system = self.environment, self.system
        while True:
            start = environment.now
            for offset, io in self.workload.arrivals(self.horizon):
                yield until(environment, start + offset)
                self.begun.append(environment.now)
                environment.process(system.io(io, self.done))

    def _user(self) -> Process:
        """Think, ask, wait for the answer."""
        environment = self.environment
        while True:
            gaps = self.workload.gaps(THINK_DRAWS)
            ios: list[HostIo] = list(self.workload.ios(THINK_DRAWS))
            for gap, io in zip(gaps, ios, strict=True):
                yield until(environment, environment.now + gap)
                self.begun.append(environment.now)
                yield from self.system.io(io, self.done)

    # What it showed

    def outcome(self, processor_s: float) -> Outcome:
        """Summed up."""
        first, last = self.window
        measured = [response for response in self.done if first <= response.arrived < last]
        waiting = self.unfinished()
        ages = [self.environment.now - arrived for arrived in waiting]
        totals = np.array([response.total for response in measured] + ages) / MILLISECOND
        writes = [response.total for response in measured if response.writes]
        served = len(measured) / max(1, len(totals))
        p50, p95, p99 = np.percentile(totals, (50, 95, 99)).tolist()
        table = np.array([response[1:7] for response in measured]) / MILLISECOND
        parts = dict(zip(PARTS, (table.sum(axis=0) / len(totals)).tolist(), strict=True))
        parts["iosq"] += float(np.sum(ages)) / MILLISECOND / len(totals)  # nearly all of it is waiting for the unit
        links = self.system.kept if self.system.arm.kept_path else [self.system.paths]
        return Outcome(
            case=self.case,
            ios=len(totals),
            mean=float(totals.mean()),
            write_mean=float(np.mean(writes)) / MILLISECOND if writes else 0.0,
            p50=p50, p95=p95, p99=p99,
            parts=parts,
            served=served,
            saturated=served < SERVED_ENOUGH,
            copied_per_s=self.copied / (last - first),
            read_miss=self.system.read_misses / max(1, self.system.reads),
            link_busy=sum(link.utilisation() for link in links) / len(links),
            active_max=self.tasks.active_max,
            in_system=self._in_system(),
            throughput=sum(first <= one.arrived + one.total < last for one in self.done) / (last - first),
            duplex_at=tuple(self.tasks.duplex_at),
            processor_s=processor_s,
        )  # fmt: skip

    def _in_system(self) -> float:
        """Mean number of I/Os under way in the window, by their arrivals and ends."""
        first, last = self.window
        ended = {response.arrived: response.arrived + response.total for response in self.done}
        inside = (min(ended.get(time, last), last) - max(time, first) for time in self.begun if time < last)
        return sum(max(0.0, seconds) for seconds in inside) / (last - first)


def simulate(parameters: Parameters, case: Case) -> Outcome:
    """Run a case. Nothing but its arguments has a part in what comes out, except `processor_s`."""
    used = time.process_time()
    simulation = Simulation(parameters, case)
    simulation.run()
    return simulation.outcome(time.process_time() - used)
