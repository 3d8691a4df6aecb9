"""The simulation against what is known: closed forms, Little's law, work that is conserved, the smallest model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import factorial
from random import Random
from statistics import correlation, fmean

import pytest
from simpy import Environment, Event

from tools.simulation.parameters import packaged
from tools.simulation.run import Case, Simulation, simulate
from tools.simulation.small_model import BRIDGES, VOLUMES, small_table
from tools.simulation.stations import Processors, Station, until

CUSTOMERS = 120_000
QUICK = (
    ("run.warm_up_s", 0.5), ("run.window_s", 2.0), ("run.drain_s", 1.0), ("cache.slots", 2_000),
)  # fmt: skip


# Closed forms: within 2 %


def mean_wait_at_station(count: int, rate: float, demand: Callable[[Random], float], seed: int) -> float:
    """Poisson arrivals at a station that is held; seconds of waiting, on average."""
    environment, random = Environment(), Random(seed)
    station, waits = Station(environment, count), []

    def customer() -> Generator[Event, object, None]:
        arrived = environment.now
        if (turn := station.enter()) is not None:
            yield turn
        waits.append(environment.now - arrived)
        yield until(environment, environment.now + demand(random))
        station.leave()

    def arrivals() -> Generator[Event, object, None]:
        for _ in range(CUSTOMERS):
            yield until(environment, environment.now + random.expovariate(rate))
            environment.process(customer())

    environment.process(arrivals())
    environment.run()
    return fmean(waits)


def exponential(random: Random) -> float:
    return random.expovariate(1.0)


def mixed(random: Random) -> float:
    """Mostly short, sometimes long, like hits and misses; mean 1."""
    return 0.5 if random.random() < 0.9 else 5.5


MIXED_SECOND_MOMENT = 0.9 * 0.25 + 0.1 * 30.25


def erlang_c(servers: int, load: float) -> float:
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / factorial(k) for k in range(servers)) + last)


def test_one_server_exponential() -> None:
    """M/M/1."""
    assert mean_wait_at_station(1, 0.4, exponential, 1) == pytest.approx(0.4 / 0.6, rel=0.02)


@pytest.mark.parametrize(("count", "load"), [(2, 0.5), (4, 0.7)])
def test_several_servers_exponential(count: int, load: float) -> None:
    """M/M/c."""
    wait = mean_wait_at_station(count, load * count, exponential, 1)
    assert wait == pytest.approx(erlang_c(count, load * count) / (count * (1 - load)), rel=0.02)


def test_one_server_of_any_demand() -> None:
    """M/G/1, Pollaczek and Khinchine."""
    assert mean_wait_at_station(1, 0.4, mixed, 1) == pytest.approx(0.4 * MIXED_SECOND_MOMENT / (2 * 0.6), rel=0.02)


def test_the_better_priority_waits_as_cobham_says() -> None:
    """Two classes at one link, no work interrupted: W1 = R / (1 - l1), W2 = R / (1 - l1) / (1 - l1 - l2)."""
    environment, random = Environment(), Random(5)
    station, waits = Station(environment), ([], [])  # type: tuple[list[float], list[float]]

    def customer(priority: int) -> Generator[Event, object, None]:
        arrived = environment.now
        if (turn := station.enter(priority)) is not None:
            yield turn
        waits[priority].append(environment.now - arrived)
        yield until(environment, environment.now + exponential(random))
        station.leave()

    def arrivals() -> Generator[Event, object, None]:
        for _ in range(CUSTOMERS):
            yield until(environment, environment.now + random.expovariate(0.6))
            environment.process(customer(random.random() < 0.5))

    environment.process(arrivals())
    environment.run()
    assert fmean(waits[0]) == pytest.approx(0.6 / 0.7, rel=0.02)
    assert fmean(waits[1]) == pytest.approx(0.6 / (0.7 * 0.4), rel=0.03)


def test_looks_at_pairs_load_the_processors_like_any_work() -> None:
    """Looks at regular intervals before arrivals at random: what is found busy is the looks' share of the time."""
    environment, random = Environment(), Random(3)
    processors = Processors(environment, 1, look=0.4)
    processors.look_at(1, 1.0)
    waits = []

    def arrivals() -> Generator[Event, object, None]:
        for _ in range(40_000):
            yield until(environment, environment.now + random.expovariate(0.05))
            waits.append(processors.finish(0.0) - environment.now)

    environment.process(arrivals())
    environment.run()
    assert fmean(waits) == pytest.approx(0.4**2 / 2, rel=0.03)  # 0.4 of the time busy, half a look left on average
    assert processors.servers.busy == pytest.approx(0.4 * environment.now, rel=0.001)


def test_the_whole_system_is_m_d_1_when_one_processor_is_all_that_counts() -> None:
    parameters = packaged()[0].with_values({
        "processors.count": 1, "processors.chain_ms": 0.6, "cache.read_miss": 0.0, "hosts.channels": 1000,
        "copy.poll_ms": 0.0, "hosts.read_share": 1.0, "run.warm_up_s": 1.0, "run.window_s": 60.0,
    })  # fmt: skip
    found = [simulate(parameters, Case("simplex", 1, seed)) for seed in (1, 2)]
    selection = Simulation(parameters, Case("simplex", 1, 1)).system.host_timing.selection() * 1e3
    wait = fmean(one.parts["pend"] for one in found) - selection - 0.6
    assert wait == pytest.approx(0.6 * 0.6 / (2 * 0.4), rel=0.02)


# Laws


@pytest.mark.parametrize("arm", ["best", "full"])
def test_littles_law(arm: str) -> None:
    outcome = simulate(packaged()[0], Case(arm, 64, 2))
    assert outcome.in_system == pytest.approx(outcome.throughput * outcome.mean / 1e3, rel=0.02)


def test_work_is_conserved_on_the_links() -> None:
    """Links are busy for what was sent and nothing else: the tracks, and one track at most still under way on each."""
    for arm in ("best", "full"):
        parameters = packaged()[0].with_values({"hosts.read_share": 1.0, "run.window_s": 4.0})
        simulation = Simulation(parameters, Case(arm, 16, 1))
        simulation.run()
        system, tasks, now = simulation.system, simulation.tasks, simulation.environment.now
        stations = system.kept if arm == "full" else [system.paths]
        busy = sum(station.utilisation() * station.servers.count * now for station in stations)
        conventional, pace = parameters.conventional, parameters.copy.pace_tracks
        overhead = 0.0 if arm == "full" else 1e-3 * (
            conventional.allocate_ms + conventional.deallocate_ms + conventional.chain_start_ms
            + conventional.chain_end_ms
        ) / pace  # fmt: skip
        sent = tasks.sent * (tasks._on_link() + overhead)
        assert sent <= busy <= sent + system.data_links * (1 if arm == "full" else pace) * (tasks._on_link() + overhead)


def test_work_is_conserved_on_the_processors() -> None:
    parameters = packaged()[0].with_values({"run.window_s": 4.0, "cache.nvs_slots": 26_500})  # nothing is destaged
    simulation = Simulation(parameters, Case("simplex", 1, 3))
    simulation.run()
    system, ios = simulation.system, len(simulation.done)
    assert system.processors.servers.busy == pytest.approx(
        ios * system.per_chain + system.read_misses * system.per_track, rel=0.003
    )


def test_a_seed_gives_one_outcome_and_another_seed_another() -> None:
    parameters = packaged()[0].with_values(dict(QUICK))
    first, again, other = (simulate(parameters, Case("full", 8, seed)) for seed in (1, 1, 2))
    assert (first.mean, first.p99, first.parts) == (again.mean, again.p99, again.parts)
    assert first.mean != other.mean


def test_seeds_are_independent() -> None:
    """Neighbouring seeds have nothing to do with each other: no correlation beyond what 30 draws show by chance."""
    parameters = packaged()[0].with_values(dict(QUICK))
    means = [simulate(parameters, Case("simplex", 1, seed)).mean for seed in range(31)]
    assert abs(correlation(means[:-1], means[1:])) < 3 / 30**0.5
    assert len(set(means)) == 31


def test_the_cache_misses_as_the_square_root_of_what_is_taken_away() -> None:
    """The published rule is not told to the cache: it comes out of which tracks are asked for."""
    base = packaged()[0].with_values({"run.window_s": 20.0})
    full = simulate(base, Case("simplex", 1, 1)).read_miss
    quarter = simulate(base.with_values({"cache.slots": 6_625}), Case("simplex", 1, 1)).read_miss
    assert full == pytest.approx(0.10, rel=0.05)
    assert quarter == pytest.approx(full, rel=0.10)  # fewer slots with the same wanted ratio
    crowded = simulate(base.with_values({"copy.pace_tracks": 19}), Case("bridge", 1024, 1)).read_miss
    assert crowded == pytest.approx(full * (26_500 / (26_500 - 19 * 1024)) ** 0.5, rel=0.06)


# The smallest model


EXPECTED = {  # volumes: conventional ms, tracks/s; bridge ms, tracks/s
    0: (1.5, 0, 0.6, 0), 1: (1.5, 171, 0.7, 248), 2: (3.5, 332, 1.7, 495), 4: (9.0, 352, 5.3, 554),
    8: (20, 352, 12.6, 554), 16: (43, 352, 12.6, 554), 64: (179, 352, 12.6, 554), 256: (725, 352, 12.6, 554),
    1024: (2908, 353, 12.6, 554),
}  # fmt: skip


def test_the_smallest_model_reproduces_its_table_and_meets_its_acceptance() -> None:
    table = {conventional.volumes: (conventional, bridge) for conventional, bridge in small_table()}
    for volumes, (slow, slow_rate, fast, fast_rate) in EXPECTED.items():
        conventional, bridge = table[volumes]
        assert conventional.response_ms == pytest.approx(slow, rel=0.05, abs=0.06)
        assert conventional.tracks_per_s == pytest.approx(slow_rate, rel=0.005)
        assert bridge.response_ms == pytest.approx(fast, rel=0.05, abs=0.06)
        assert bridge.tracks_per_s == pytest.approx(fast_rate, rel=0.005)
        assert bridge.active_max <= BRIDGES
    slow = [table[volumes][0].response_ms for volumes in VOLUMES if volumes >= 8]
    assert slow == sorted(set(slow)) and slow[-1] >= 20 * slow[0]
    assert table[1024][1].response_ms == pytest.approx(table[8][1].response_ms, rel=0.05)
