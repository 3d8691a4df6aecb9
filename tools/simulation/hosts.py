"""What the hosts ask for: arrivals, volumes, tracks, reads and writes, drawn once for a seed and the same in every arm.

Tracks of a volume are asked for by rank: the share of accesses beyond rank k falls as the square root of k. A cache
that throws out the least recently used then misses in proportion to 1 / sqrt(slots), the published rule, without being
told so. A recording brings tracks, lengths and cache use of its own chains instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gamma
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from controller.models.cache import Cache, Slot
from controller.models.link_timing import LinkTiming
from tools.simulation.chains import Chain, Touch, recorded_chains
from tools.simulation.parameters import MILLISECOND, Parameters

EXTENT_BYTES, LOCATE_BYTES = 16, 16  # parameters of the two commands before a read or a write
WARM_DRAWS_PER_SLOT = 16  # enough to see more tracks than there are slots, for all patterns
TRACK_BITS = 20  # a track number fits
RECORDED_LOAD = 0.4  # utilisation of the host channels by chains of a recording
# Least recently used misses this much more than keeping the most popular: rank law with exponent 3/2, Che's formula.
LRU_PENALTY = gamma(1 / 3) ** 1.5 / 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """How the hosts behave. `recording`: a folder of traces/ whose chains are used, "" for single records."""

    key: str
    title: str
    zipf: bool = False
    closed: bool = False
    read_share: float | None = None
    recording: str = ""

    def exponent(self, parameters: Parameters) -> float:
        """Of Zipf's law over the volumes; 0: all alike."""
        return parameters.hosts.zipf_exponent if self.zipf else 0.0


UNIFORM = Pattern("uniform", "all volumes alike, Poisson arrivals")
ZIPF = Pattern("zipf", "Zipf over volumes, the hottest are established first", zipf=True)
CLOSED = Pattern("closed", "closed loop: users who think", closed=True)
READS = Pattern("reads", "nine reads to one write", read_share=0.9)
WRITES = Pattern("writes", "as many writes as reads", read_share=0.5)
RECORDED = Pattern("recorded", "chains of the recording linux-cdl-2107", recording="linux-cdl-2107")
PATTERNS = (UNIFORM, ZIPF, CLOSED, READS, WRITES, RECORDED)
PATTERN_BY_KEY = {pattern.key: pattern for pattern in PATTERNS}


class HostIo(NamedTuple):
    """One I/O. `copied`: its tracks are at the secondary already, so a write to a pending volume is mirrored."""

    volume: int
    chain: Chain
    copied: bool


class Workload:
    """The I/Os of one seed. `order`: the volumes in the order in which they are established."""

    def __init__(self, parameters: Parameters, pattern: Pattern, seed: int) -> None:
        self.parameters = parameters
        self.pattern = pattern
        self._seed = seed
        self._random = np.random.default_rng(np.random.SeedSequence((seed, 8)))
        hosts = parameters.hosts
        self.shares = _shares(hosts.volumes, pattern.exponent(parameters))
        self.order = range(hosts.volumes)
        self.read_share = hosts.read_share if pattern.read_share is None else pattern.read_share
        timing = LinkTiming(parameters.links.host_model())
        self.recorded = recorded_chains(pattern.recording, timing) if pattern.recording else ()
        self._places = self._random.integers(0, max(1, len(self.recorded)), hosts.volumes).tolist()
        self._connect = _connect_times(timing, hosts.block_bytes)
        self.rate = self._rate()
        self.users = max(1, round(self.rate * hosts.think_ms * MILLISECOND)) if pattern.closed else 0

    def _rate(self) -> float:
        """I/Os a second that are offered."""
        hosts = self.parameters.hosts
        if self.recorded:
            mean = sum(chain.connect for chain in self.recorded) / len(self.recorded)
            return RECORDED_LOAD * hosts.channels / mean
        return hosts.zipf_rate if self.pattern.zipf else hosts.rate

    # Draws

    def arrivals(self, horizon: float) -> Iterator[tuple[float, HostIo]]:
        """Poisson arrivals until `horizon`: time and I/O."""
        count = int(self.rate * horizon + 10 * (self.rate * horizon) ** 0.5) + 10
        times = np.cumsum(self._random.exponential(1 / self.rate, count))
        times = times[times < horizon]
        return zip(times.tolist(), self.ios(len(times)), strict=True)

    def gaps(self, count: int) -> list[float]:
        """Exponential times to think, in seconds."""
        mean = self.parameters.hosts.think_ms * MILLISECOND
        found: list[float] = self._random.exponential(mean, count).tolist()
        return found

    def ios(self, count: int) -> Iterator[HostIo]:
        """The next `count` I/Os."""
        volumes = _draw_volumes(self._random, self.shares, count).tolist()
        copied = (self._random.random(count) < self.parameters.copy.copied_share).tolist()
        if self.recorded:
            for volume, is_copied in zip(volumes, copied, strict=True):
                yield HostIo(volume, self._next_recorded(volume), is_copied)
            return
        reads = (self._random.random(count) < self.read_share).tolist()
        tracks = _draw_tracks(self._random, self.parameters, count).tolist()
        length = self.parameters.hosts.block_bytes
        for volume, track, read, is_copied in zip(volumes, tracks, reads, copied, strict=True):
            chain = Chain((Touch(track, not read),), not read, self._connect[not read], 0 if read else length)
            yield HostIo(volume, chain, is_copied)

    def warm(self, cache: Cache) -> None:
        """Fill the cache as if these hosts had always been there."""
        if self.recorded:
            for io in self.ios(self.parameters.hosts.volumes * 4):
                for touch in io.chain.touches:
                    cache.read(io.volume, touch.track)
            return
        cache.fill(_cache_contents(self.parameters, self.pattern, self._seed))

    def _next_recorded(self, volume: int) -> Chain:
        """Every volume replays the recording, each from a place of its own."""
        place: int = self._places[volume]
        self._places[volume] = (place + 1) % len(self.recorded)
        return self.recorded[place]


def _shares(volumes: int, exponent: float) -> NDArray[np.float64]:
    weights = np.arange(1, volumes + 1, dtype=float) ** -exponent
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _draw_volumes(random: np.random.Generator, shares: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return np.searchsorted(np.cumsum(shares)[:-1], random.random(count), side="right")


def _draw_tracks(random: np.random.Generator, parameters: Parameters, count: int) -> NDArray[np.int64]:
    """Ranks from 0 on: the share beyond k is sqrt(q / (q + k)). What q gives the wanted misses is Che's formula."""
    cache = parameters.cache
    beyond = min(cache.read_miss / LRU_PENALTY, 1.0)
    q = cache.slots * beyond**2 / max(1 - beyond**2, 1e-9) / parameters.hosts.volumes
    uniform = 1.0 - random.random(count)
    ranks = np.floor(q * (uniform**-2 - 1)) if q > 0 else np.zeros(count)
    return np.minimum(ranks, parameters.copy.volume_tracks - 1).astype(np.int64)


@lru_cache(maxsize=64)
def _cache_contents(parameters: Parameters, pattern: Pattern, seed: int) -> tuple[Slot, ...]:
    """Volume and track of what a cache of the least recently used holds, the newest last; the same for all arms."""
    random = np.random.default_rng(np.random.SeedSequence((seed, 9)))
    count = WARM_DRAWS_PER_SLOT * parameters.cache.slots
    volumes = _draw_volumes(random, _shares(parameters.hosts.volumes, pattern.exponent(parameters)), count)
    slots = volumes.astype(np.int64) << TRACK_BITS | _draw_tracks(random, parameters, count)
    newest, place = np.unique(slots[::-1], return_index=True)
    latest = newest[np.argsort(place)][: parameters.cache.slots][::-1]
    return tuple(zip((latest >> TRACK_BITS).tolist(), (latest & (1 << TRACK_BITS) - 1).tolist(), strict=True))


def _connect_times(timing: LinkTiming, length: int) -> tuple[float, float]:
    """Seconds on the host's link for a read and for a write of one record: extent, locate, data."""
    extent = timing.command(sends=EXTENT_BYTES, receives=0, first=True, immediate=False)
    locate = timing.command(sends=LOCATE_BYTES, receives=0, first=False, immediate=False)
    read = timing.command(sends=0, receives=length, first=False, immediate=False)
    write = timing.command(sends=length, receives=0, first=False, immediate=False)
    return extent + locate + read, extent + locate + write

