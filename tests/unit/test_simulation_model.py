"""What the simulation promises of its arms, its parameters, and the models that it needed more of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.models.cache import Cache
from controller.models.link_timing import LinkTiming
from controller.models.parameters import CacheParameters, LinkParameters
from controller.models.queueing import PriorityServers
from controller.toml_fields import ConfigError
from tools.simulation.arms import ARMS, BY_KEY
from tools.simulation.hosts import CLOSED, RECORDED, UNIFORM, ZIPF, Workload
from tools.simulation.parameters import PACKAGED, load, names, packaged
from tools.simulation.run import Case, Simulation, simulate

SHORT = (("run.warm_up_s", 0.5), ("run.window_s", 2.0), ("run.drain_s", 1.0), ("cache.slots", 2_000))
SMALL = (*SHORT, ("hosts.volumes", 64), ("hosts.rate", 200.0))


def run(arm: str, pairs: int, *, pattern: str = "uniform", tracks: int | None = None) -> Simulation:
    simulation = Simulation(packaged()[0], Case(arm, pairs, 1, pattern, SMALL, tracks))
    if tracks is None:
        simulation.run()
    else:
        simulation.run_until_duplex()
    return simulation


# The models


@given(
    count=st.integers(1, 4),
    steps=st.lists(st.one_of(st.integers(0, 2), st.none()), max_size=80),
)
@settings(deadline=None)
def test_priorities(count: int, steps: list[int | None]) -> None:
    """Q2 and Q4, against a list that is searched. A number: an arrival with that priority; None: some work ends."""
    servers: PriorityServers[tuple[int, int]] = PriorityServers(count)
    waiting: list[tuple[int, int]] = []
    in_service = 0
    for number, step in enumerate(steps):
        if step is not None:
            starts = servers.arrive((step, number), step)
            assert starts == (in_service < count)
            in_service += starts
            waiting += [] if starts else [(step, number)]
        elif in_service:
            expected = min(waiting, default=None)
            assert servers.leave() == expected
            if expected is None:
                in_service -= 1
            else:
                waiting.remove(expected)
        assert servers.in_service == in_service <= count
        assert len(servers) == len(waiting) and (not waiting or in_service == count)


def test_reserved_slots_are_taken_from_the_least_recently_used() -> None:
    cache = Cache(CacheParameters(slots=10, nvs_slots=5))
    for track in range(10):
        cache.read("v", track)
    cache.write("v", 0)
    cache.write("v", 1)
    assert cache.reserve(7) == () and cache.reserved == 7
    assert [track for track in range(10) if ("v", track) in cache] == [0, 1, 9]
    assert cache.reserve(2) == (("v", 0),) and cache.modified == 1  # modified, so it goes to disk
    cache.read("v", 5)
    assert len(cache) == 1
    with pytest.raises(ValueError, match="10 of 10 slots"):
        cache.reserve(1)
    cache.reserve(-9)
    for track in range(20):
        cache.read("v", track)
    assert len(cache) == 10
    with pytest.raises(ValueError, match="-1 of 10 slots"):
        cache.reserve(-1)


def test_a_cache_can_begin_filled() -> None:
    filled, read = (Cache(CacheParameters(slots=10, nvs_slots=5)) for _ in range(2))
    filled.fill([("v", track) for track in range(12)])
    for track in range(12):
        read.read("v", track)
    assert [("v", track) in filled for track in range(12)] == [("v", track) in read for track in range(12)]
    assert filled.read("w", 1).hit is False and ("v", 2) not in filled and ("v", 3) in filled
    assert filled.counters_of("v").normal_reads == 0


def test_a_director_costs_every_frame_its_delay() -> None:
    without, through = LinkTiming(LinkParameters()), LinkTiming(LinkParameters(directors=2))
    assert through.handshake - without.handshake == pytest.approx(2 * 2 * LinkParameters().director_delay)


# The arms


@pytest.mark.parametrize("arm", sorted(BY_KEY))
def test_every_pair_becomes_duplex_and_no_more_are_copied_at_once_than_allowed(arm: str) -> None:
    simulation = run(arm, 24, tracks=40) if BY_KEY[arm].copies else run(arm, 24)
    tasks = simulation.tasks
    if not BY_KEY[arm].copies:
        assert tasks.sent == tasks.active_max == 0
        return
    assert len(tasks.duplex_at) == 24 and tasks.sent == 24 * 40 and tasks.active == 0
    assert tasks.active_max == (8 if BY_KEY[arm].queue else 24)
    assert simulation.system.cache.reserved == 0


def test_every_arm_mirrors_the_same_writes() -> None:
    """The copied share is a property of the hosts' I/Os, drawn before any arm is looked at."""
    mirrored = {}
    for arm in ("best", "capped", "bridge", "full", "mirrored"):
        simulation = run(arm, 32)
        first, last = simulation.window
        measured = [response for response in simulation.done if first <= response.arrived < last]
        mirrored[arm] = sorted(response.arrived for response in measured if response.mirrored > 0)
        writes = sum(response.writes for response in measured)
        assert 0.15 < len(mirrored[arm]) / writes < 0.35  # half of the writes to half of the volumes
    assert len({tuple(found) for found in mirrored.values()}) == 1


def test_a_snapshot_leaves_the_volume_open() -> None:
    """Once the pointers are copied no host waits for the copy task; without a snapshot some do."""
    begun = packaged()[0].bridge.snapshot_ms / 1e3 * 2
    closed = {
        arm: [one.closed for one in run(arm, 8).done if one.arrived > begun] for arm in ("full", "full-snapshot")
    }
    assert max(closed["full"]) == 0.0 and max(closed["full-snapshot"]) > 0.01


def test_a_naive_task_closes_the_volume_while_it_waits_for_a_path() -> None:
    naive, best = run("naive", 32), run("best", 32)
    assert sum(one.closed for one in naive.done) > 10 * sum(one.closed for one in best.done)


@pytest.mark.parametrize("arm", [arm.key for arm in ARMS])
def test_the_parts_are_the_whole(arm: str) -> None:
    simulation = run(arm, 32)
    outcome = simulation.outcome(0.0)
    for one in simulation.done:
        assert min(one[1:7]) >= 0
    assert sum(outcome.parts.values()) == pytest.approx(outcome.mean)
    assert outcome.ios > 300 and outcome.p50 <= outcome.p95 <= outcome.p99


def test_io_that_does_not_end_counts_with_its_age() -> None:
    simulation = run("naive", 64)
    outcome = simulation.outcome(0.0)
    assert outcome.saturated and outcome.served < 0.9
    assert outcome.ios == sum(simulation.window[0] <= time < simulation.window[1] for time in simulation.begun)
    ended = [one.total * 1e3 for one in simulation.done if simulation.window[0] <= one.arrived < simulation.window[1]]
    assert outcome.mean > sum(ended) / len(ended)


# The hosts


def test_hosts_draw_what_they_are_said_to() -> None:
    parameters = packaged()[0]
    uniform = list(Workload(parameters, UNIFORM, 1).arrivals(20.0))
    assert len(uniform) == pytest.approx(20_000, rel=0.03)
    assert sum(not io.chain.writes for _, io in uniform) / len(uniform) == pytest.approx(0.75, abs=0.01)
    assert sum(io.copied for _, io in uniform) / len(uniform) == pytest.approx(0.5, abs=0.015)
    assert len({io.volume for _, io in uniform}) == 1024
    zipf = [io.volume for _, io in Workload(parameters, ZIPF, 1).arrivals(20.0)]
    assert zipf.count(0) / zipf.count(1) == pytest.approx(2.0, rel=0.15)
    assert Workload(parameters, CLOSED, 1).users == 50


def test_a_recording_brings_its_own_chains() -> None:
    workload = Workload(packaged()[0], RECORDED, 1)
    chains = workload.recorded
    assert any(len(chain.touches) > 1 for chain in chains) and any(chain.writes for chain in chains)
    assert not all(chain.writes for chain in chains)
    assert all((chain.sent > 0) == chain.writes for chain in chains)
    ios = [io for io in workload.ios(4096) if io.volume == 7]
    place = next(number for number, chain in enumerate(chains) if chain is ios[0].chain)
    following = [chains[(place + step) % len(chains)] for step in range(len(ios))]
    assert [io.chain for io in ios] == following  # in the recorded order


@pytest.mark.parametrize("pattern", ["zipf", "closed", "reads", "writes", "recorded"])
def test_every_pattern_runs(pattern: str) -> None:
    outcome = simulate(packaged()[0], Case("full", 8, 1, pattern, SMALL))
    assert outcome.ios > 20 and not outcome.saturated and outcome.copied_per_s > 0


# The parameters


def test_every_parameter_says_where_it_comes_from() -> None:
    parameters, described = packaged()
    assert [one.name for one in described] == list(names())
    for one in described:
        assert one.source and parameters.value(one.name) == one.value
        assert one.source.partition(":")[0].partition(",")[0] in {
            "assumed", "published", "of the experiment", "of the configuration", "of this program", "WO 01/67247",
            "of the configuration; swept from 0 to 300",
        }, one  # fmt: skip


def test_a_file_may_give_some_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[links]\ndistance_km = { value = 100, unit = "km", source = "ours" }\n')
    parameters, described = load(path)
    assert parameters.links.distance_km == 100 and parameters.links.count == 4
    assert next(one for one in described if one.name == "links.distance_km").source == "ours"


@pytest.mark.parametrize(("text", "problem"), [
    ("[links", "end of document"),
    ("links = 3", "links: a table is needed"),
    ('[links]\nspeed = { value = 1, unit = "", source = "x" }', "links.speed: no such parameter"),
    ('[cables]\ncount = { value = 1, unit = "", source = "x" }', "cables.count: no such parameter"),
    ("[links]\ncount = 4", "links.count: a table of value, unit and source"),
    ('[links]\ncount = { value = "4", unit = "", source = "x" }', "links.count: its value is not a number"),
    ('[links]\ncount = { value = 4, unit = "", source = "" }', "links.count: unit and source are texts"),
    ('[links]\ncount = { value = 2.5, unit = "", source = "x" }', "links.count: 2.5 is not a whole number"),
    ('[links]\ncount = { value = 0, unit = "", source = "x" }', "links.count: 0 is out of range"),
    ('[links]\nrate_mb = { value = nan, unit = "", source = "x" }', "links.rate_mb: nan is out of range"),
    ('[links]\ncount = { value = nan, unit = "", source = "x" }', "links.count: nan is out of range"),
    ('[links]\ncount = { value = inf, unit = "", source = "x" }', "links.count: inf is out of range"),
    ('[hosts]\nread_share = { value = 1.5, unit = "", source = "x" }', "hosts.read_share: 1.5 is more than 1"),
    ('[bridge]\nstatus_links = { value = 4, unit = "", source = "x" }', "bridge.status_links: no link is left"),
    ('[cache]\nnvs_slots = { value = 30000, unit = "", source = "x" }', "cache.nvs_slots: more than cache.slots"),
    ('[copy]\npoll_ms = { value = 1.0, unit = "", source = "x" }', "copy.poll_ms: looking at all pairs"),
])  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert problem in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0"):
        load(tmp_path / "bytes.toml")
    assert PACKAGED.is_file()
