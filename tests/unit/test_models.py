"""The models against closed forms, a reference, and what must hold for any input."""

from __future__ import annotations

from collections import OrderedDict
from math import factorial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccw.geometry import geometry_for
from controller.models.cache import Cache, CacheMode
from controller.models.counters import CacheCounters
from controller.models.disk import Disk
from controller.models.link_timing import LinkTiming
from controller.models.parameters import DISKS, CacheParameters, LinkParameters, ModelParameters
from controller.models.queueing import Servers
from controller.models.response import ResponseModel, ResponseTime
from controller.models.work import CommandWork, extent_use

SEED = 19990101
CUSTOMERS = 100_000


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival has to wait; `load` in erlangs."""
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / factorial(k) for k in range(servers)) + last)


def mean_wait(servers: Servers, rate: float, demand: float, *, fixed: bool = False) -> float:
    """Mean wait of Poisson arrivals, exponential or fixed demands."""
    random = Random(SEED)
    now = total = 0.0
    for _ in range(CUSTOMERS):
        now += random.expovariate(rate)
        service = servers.serve(now, demand if fixed else random.expovariate(1 / demand))
        total += service.start - now
    return total / CUSTOMERS


@pytest.mark.parametrize("count, utilisation", [(1, 0.5), (1, 0.7), (2, 0.7), (8, 0.8)])
def test_waiting_as_erlang_says(count: int, utilisation: float) -> None:
    demand = 0.15e-3
    rate = utilisation * count / demand
    expected = erlang_c(count, utilisation * count) * demand / (count * (1 - utilisation))
    assert mean_wait(Servers(count), rate, demand) == pytest.approx(expected, rel=0.05)


def test_fixed_demands_wait_half_as_long() -> None:
    """M/D/1: Pollaczek and Khinchine."""
    demand, utilisation = 3.33e-3, 0.6
    expected = utilisation * demand / (2 * (1 - utilisation))
    assert mean_wait(Servers(1), utilisation / demand, demand, fixed=True) == pytest.approx(expected, rel=0.03)


@given(
    count=st.integers(1, 8),
    work=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=60),
)
@settings(deadline=None)
def test_servers_lose_no_work_and_do_none_twice(count: int, work: list[tuple[float, float]]) -> None:
    """Q1 to Q3, against a search for the earliest start among all servers."""
    servers = Servers(count)
    free = [0.0] * count
    now = 0.0
    for gap, demand in work:
        now += gap
        earliest = min(range(count), key=free.__getitem__)
        expected = max(now, free[earliest])
        service = servers.serve(now, demand)
        assert service == (expected, expected + demand)
        free[earliest] = service.finish
    assert servers.busy == pytest.approx(sum(demand for _, demand in work))
    assert servers.served == len(work)


@pytest.mark.parametrize("device_type", sorted(DISKS))
def test_random_seeks_take_the_published_average(device_type: int) -> None:
    parameters = DISKS[device_type]
    cylinders = 400
    disk = Disk(parameters, cylinders)
    pairs = [abs(a - b) for a in range(cylinders) for b in range(cylinders)]
    mean = sum(map(disk.seek, pairs)) / len(pairs)
    assert mean == pytest.approx(parameters.seek_average, rel=0.01, abs=1e-9)
    assert disk.seek(0) == 0.0
    assert all(disk.seek(near) <= disk.seek(near + 1) for near in range(cylinders))


def test_a_disk_serves_one_after_the_other() -> None:
    disk = Disk(DISKS[0x3390], 3339)
    first = disk.serve(1.0, 100, 4096)
    second = disk.serve(1.0, 100, 4096)
    assert first.start == 1.0 and second.start == first.finish
    assert second.finish - second.start == pytest.approx(DISKS[0x3390].latency + 4096 / 4.2e6)


def test_what_nobody_waits_for_is_done_in_idle_time_and_delays_others_by_one_access_at_most() -> None:
    disk = Disk(DISKS[0x3390], 100)
    one = Disk(DISKS[0x3390], 100).access(0, 56_664)
    for _ in range(5):
        disk.later(0.0, 0, 56_664)
    first = disk.serve(0.0, 0, 0)  # arrives with them and goes before them
    assert first.start == 0.0 and disk.backlog == 5
    arrival = first.finish + 1.5 * one
    second = disk.serve(arrival, 0, 0)
    assert second.start == pytest.approx(first.finish + 2 * one) and disk.backlog == 3
    third = disk.serve(second.finish + 100, 0, 0)
    assert third.start == pytest.approx(second.finish + 100) and disk.backlog == 0
    assert disk.queue.busy == pytest.approx(5 * one + 3 * DISKS[0x3390].latency)


def test_a_track_takes_the_published_time_on_a_link() -> None:
    """56,664 bytes at 17 MB/s: 3.33 ms, and two percent for headers."""
    assert LinkTiming(LinkParameters()).data(56_664) == pytest.approx(3.333e-3, rel=0.025)


def test_distance_costs_a_flight_each_way() -> None:
    near, far = LinkTiming(LinkParameters()), LinkTiming(LinkParameters(distance_km=100))
    assert far.handshake - near.handshake == pytest.approx(1e-3)


class ReferenceLru:
    """The cache that everyone knows."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.slots: OrderedDict[tuple[int, int], None] = OrderedDict()

    def touch(self, slot: tuple[int, int]) -> bool:
        hit = slot in self.slots
        self.slots[slot] = None
        self.slots.move_to_end(slot)
        if len(self.slots) > self.size:
            self.slots.popitem(last=False)
        return hit


requests = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), st.booleans(), st.booleans()), max_size=200)


@given(size=st.integers(1, 9), share=st.floats(0, 1), work=requests)
@settings(deadline=None)
def test_the_cache_is_an_lru(size: int, share: float, work: list[tuple[int, int, bool, bool]]) -> None:
    """K1 to K4."""
    cache = Cache(CacheParameters(slots=size, nvs_slots=int(size * share)))
    reference = ReferenceLru(size)
    hits = moved = 0
    for volume, track, writes, fast in work:
        access = cache.write(volume, track, fast=fast) if writes else cache.read(volume, track)
        hit = reference.touch((volume, track))
        assert access.hit == hit and (access.stage is None) == hit
        hits += hit
        moved += len(access.destage)
        assert all((v, t) in cache for v in (0, 1) for t in range(13) if (v, t) in reference.slots)
        assert len(cache) == len(reference.slots) <= size
        assert cache.modified <= cache.parameters.nvs_slots
    moved += len(cache.destage_all())
    total = CacheCounters()
    for volume in (0, 1):
        total.add(cache.counters_of(volume))
    assert total.misses == len(work) - hits
    assert total.destages == moved and cache.modified == 0
    assert total.normal_reads + total.normal_writes == len(work)


def test_sequential_reads_are_staged_ahead_within_the_extent() -> None:
    cache = Cache(CacheParameters(slots=100, nvs_slots=10, prestage_tracks=2))
    accesses = [cache.read("v", track, CacheMode.SEQUENTIAL, last=5) for track in range(6)]
    assert [access.hit for access in accesses] == [False, True, True, True, True, True]
    assert [access.prestage for access in accesses] == [(1, 2), (3,), (4,), (5,), (), ()]
    counters = cache.counters_of("v")
    assert (counters.sequential_reads, counters.sequential_read_hits) == (6, 5)
    assert (counters.sequential_stages, counters.stages, counters.normal_reads) == (5, 1, 0)


def test_full_nonvolatile_storage_delays_a_write_until_the_oldest_is_on_disk() -> None:
    cache = Cache(CacheParameters(slots=10, nvs_slots=2))
    assert [cache.write("v", track).destage for track in range(4)] == [(), (), (("v", 0),), (("v", 1),)]
    assert cache.counters_of("v").fast_write_delays == 2
    assert cache.write("v", 3).fast and cache.counters_of("v").fast_write_hits == 1


def test_destaging_begins_above_one_mark_and_stops_at_the_other() -> None:
    cache = Cache(CacheParameters(slots=50, nvs_slots=10, destage_above=0.7, destage_below=0.5))
    for track in range(7):
        cache.write("v", track)
        assert cache.destage_due() == ()
    cache.write("v", 7)
    assert cache.destage_due() == (("v", 0), ("v", 1), ("v", 2)) and cache.modified == 5


def test_a_pinned_track_stays() -> None:
    cache = Cache(CacheParameters(slots=2, nvs_slots=2))
    cache.pin("v", 0)
    for track in range(1, 9):
        cache.write("v", track)
    assert ("v", 0) in cache and cache.pinned == 1
    assert ("v", 0) not in cache.destage_all() and cache.modified == 1
    cache.pin("v", 8)
    assert not cache.write("v", 9).fast and ("v", 9) not in cache  # nothing can make room
    cache.unpin("v", 0)
    assert cache.destage_all() == (("v", 0),)


@pytest.mark.parametrize("mode", [CacheMode.BYPASS, CacheMode.INHIBIT_LOADING])
def test_programs_that_do_not_want_the_cache(mode: CacheMode) -> None:
    cache = Cache(CacheParameters(slots=10, nvs_slots=2))
    assert [cache.read("v", 1, mode).hit for _ in range(3)] == [False] * 3
    counters = cache.counters_of("v")
    assert counters.bypass_requests + counters.inhibit_loading_requests == 3 and len(cache) == 0


def test_a_discarded_volume_leaves_nothing() -> None:
    cache = Cache(CacheParameters(slots=10, nvs_slots=5))
    for volume in ("v", "w"):
        cache.write(volume, 1)
    cache.discard("v")
    assert ("v", 1) not in cache and ("w", 1) in cache and cache.modified == 1


def test_the_words_of_a_statistics_record() -> None:
    counters = CacheCounters(normal_reads=1, normal_read_hits=2, stages=3, misses=1 << 32 | 7)
    words = counters.words()
    assert len(words) == 84  # bytes 4-87
    assert words[:8].hex() == "0000000100000002"
    assert words[64 - 4 : 68 - 4] == b"\0\0\0\x03" and words[84 - 4 :] == b"\0\0\0\x07"


# Chains

EXTENT = bytes.fromhex("40C00000" + "00000000" + "00000000" + "0031000E")
LOCATE = bytes.fromhex("06000001" + "00000000" + "0000000001" + "FF0000")


def read_chain(model: ResponseModel, arrival: float, track: int = 3, link: str = "a") -> ResponseTime:
    timing = model.begin("v", link, arrival)
    timing.command(CommandWork(0x63, EXTENT, 0))
    timing.command(CommandWork(0x47, LOCATE, 0, track=track))
    timing.command(CommandWork(0x86, b"", 4096, track=track))
    return timing.end()


def write_chain(model: ResponseModel, arrival: float, track: int = 3) -> ResponseTime:
    timing = model.begin("v", "a", arrival)
    timing.command(CommandWork(0x63, EXTENT, 0))
    timing.command(CommandWork(0x47, LOCATE, 0, track=track))
    timing.command(CommandWork(0x85, bytes(4096), 0, track=track))
    return timing.end()


def model(**parameters: CacheParameters) -> ResponseModel:
    made = ResponseModel(ModelParameters(**parameters))
    made.add_volume("v", geometry_for("3390", 100))
    return made


def test_a_hit_is_connect_time_and_a_miss_disconnects() -> None:
    one = model()
    miss, hit = read_chain(one, 0.0), read_chain(one, 1.0)
    assert hit.disconnect == 0.0 and hit.connect == miss.connect
    assert miss.disconnect == pytest.approx(7.05e-3 + 14.1e-3 + 0.1e-3)  # latency, the track, the processor
    assert hit.connect == pytest.approx(0.45e-3, rel=0.1)  # as the published experiment assumes
    assert hit.pend == pytest.approx(0.15e-3 + one.timing.selection())


def test_a_fast_write_does_not_wait_for_the_disk() -> None:
    one = model()
    read_chain(one, 0.0)
    assert write_chain(one, 1.0).disconnect == 0.0
    without = model(cache=CacheParameters(slots=10, nvs_slots=0))
    read_chain(without, 0.0)
    assert write_chain(without, 1.0).disconnect > 7e-3


def test_two_chains_on_one_link_wait_for_each_other() -> None:
    one = model()
    read_chain(one, 0.0)
    first, second, elsewhere = read_chain(one, 1.0), read_chain(one, 1.0), read_chain(one, 1.0, link="b")
    assert second.pend - first.pend == pytest.approx(first.total)
    assert elsewhere.pend == pytest.approx(first.pend)


@given(
    chains=st.lists(
        st.tuples(st.floats(0, 0.02), st.integers(0, 40), st.booleans(), st.sampled_from("ab")), max_size=40
    )
)
@settings(deadline=None, max_examples=60)
def test_the_parts_are_the_whole(chains: list[tuple[float, int, bool, str]]) -> None:
    """Whatever happens, pend + disconnect + connect is the time from arrival to finish, and no part is negative."""
    one = model(cache=CacheParameters(slots=8, nvs_slots=3))
    now = 0.0
    for gap, track, writes, link in chains:
        now += gap
        response = write_chain(one, now, track) if writes else read_chain(one, now, track, link)
        assert min(response.pend, response.disconnect, response.connect) >= 0
        assert response.total == pytest.approx(response.finish - response.arrival)
    busy = sum(link.busy for link in one.links.values())
    assert busy >= 0 and one.processors.busy >= 0.15e-3 * len(chains) * 0.999


def test_the_extent_says_how_the_cache_is_used() -> None:
    sequential = CommandWork(0x63, bytes.fromhex("40CD0000" + "00000000" + "00000000" + "0031000E"), 0)
    use = extent_use(sequential, 15)
    assert use is not None
    assert (use.mode, use.last_track, use.fast_write) == (CacheMode.SEQUENTIAL, 49 * 15 + 14, False)
    assert extent_use(CommandWork(0x63, b"\x40\xc0", 0), 15) is None
    prefixed = extent_use(CommandWork(0xE7, bytes(12) + EXTENT, 0), 15)
    assert prefixed is not None and prefixed.mode is CacheMode.NORMAL
    extended = bytes.fromhex("40C00000" + "00000000" + "00000000" + "0001001E")
    use = extent_use(CommandWork(0x63, extended, 0), 15)
    assert use is not None and use.last_track == 65_537 * 15 + 14
