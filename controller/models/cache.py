"""The cache: slots of one track, the least recently used goes first; nonvolatile storage for fast writes.

Only which tracks are there is kept, never their data. A volume is any hashable name, a track its number.

Invariants, numbered for the tests:
K1. Never more than `slots` tracks, less the reserved ones, are in cache, never more than `nvs_slots` of them modified.
K2. Without pinned tracks the cache holds what a reference LRU of the same size holds.
K3. A modified track leaves the cache only by being destaged; a pinned one not at all.
K4. Every request is a hit or a miss; every track that comes in was staged or written whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from enum import IntEnum
from typing import NamedTuple

from controller.models.counters import CacheCounters
from controller.models.parameters import CacheParameters

Slot = tuple[Hashable, int]  # volume, track


class CacheMode(IntEnum):
    """How a channel program wants the cache used: bits 3-5 of the global attributes. Source: eckd-commands 3.8."""

    NORMAL = 0
    BYPASS = 1
    INHIBIT_LOADING = 2
    SEQUENTIAL = 3
    SEQUENTIAL_PRESTAGE = 4
    RECORD = 5

    @property
    def sequential(self) -> bool:
        """One track after the other will be wanted."""
        return self in (CacheMode.SEQUENTIAL, CacheMode.SEQUENTIAL_PRESTAGE)


class Access(NamedTuple):
    """What a request meant for the disks. Tracks are numbers of the same volume, or slots where others are meant."""

    hit: bool
    stage: int | None = None  # the track that the request has to wait for
    prestage: tuple[int, ...] = ()  # tracks staged ahead, which nobody waits for
    destage: tuple[Slot, ...] = ()  # tracks that must go to disk before the request can go on
    fast: bool = False  # a write that ends in nonvolatile storage


class Cache:
    """See the module head."""

    def __init__(self, parameters: CacheParameters) -> None:
        assert parameters.slots > 0 and 0 <= parameters.nvs_slots <= parameters.slots
        self.parameters = parameters
        self.counters: dict[Hashable, CacheCounters] = {}
        self._slots: OrderedDict[Slot, None] = OrderedDict()  # least recently used first
        self._modified: OrderedDict[Slot, None] = OrderedDict()  # oldest modification first
        self._pinned: set[Slot] = set()
        self._reserved = 0

    # What is there

    def __contains__(self, slot: object) -> bool:
        return slot in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def modified(self) -> int:
        """Tracks that the disks do not have yet."""
        return len(self._modified)

    @property
    def pinned(self) -> int:
        """Tracks that cannot be destaged."""
        return len(self._pinned)

    def counters_of(self, volume: Hashable) -> CacheCounters:
        """The counts of a volume, to be read or added to."""
        return self.counters.setdefault(volume, CacheCounters())

    @property
    def reserved(self) -> int:
        """Slots that hold no track of a host: buffers of tracks on their way to another system."""
        return self._reserved

    def reserve(self, slots: int) -> tuple[Slot, ...]:
        """Take slots away from the hosts, or give some back (negative); modified tracks that must go to disk for it.

        Raises ValueError when fewer than one slot would be left, or more given back than were taken.
        """
        if not 0 <= self._reserved + slots < self.parameters.slots:
            raise ValueError(f"{self._reserved + slots} of {self.parameters.slots} slots cannot be reserved")
        self._reserved += slots
        destaged: list[Slot] = []
        self._make_room(0, destaged)
        return tuple(destaged)

    def fill(self, tracks: Iterable[Slot]) -> None:
        """Hold tracks as if they had been read in this order; nothing is counted. For a cache that nobody used yet."""
        assert not self._slots, "the cache was used"
        newest = list(tracks)[-self.parameters.slots :]
        self._slots = OrderedDict.fromkeys(newest)

    # Requests

    def read(
        self, volume: Hashable, track: int, mode: CacheMode = CacheMode.NORMAL, last: int | None = None
    ) -> Access:
        """One read of a track. `last`: the last track of the extent, beyond which nothing is staged ahead."""
        counters = self.counters_of(volume)
        hit = self._touch((volume, track))
        self._count_read(counters, mode, hit)
        destaged: list[Slot] = []
        if not hit:
            counters.misses += 1
            counters.stages += 1
            if mode not in (CacheMode.BYPASS, CacheMode.INHIBIT_LOADING):
                self._load((volume, track), destaged)
        ahead = self._stage_ahead(volume, track, last, destaged) if mode.sequential and last is not None else ()
        counters.sequential_stages += len(ahead)
        return Access(hit, None if hit else track, ahead, tuple(destaged))

    def write(
        self,
        volume: Hashable,
        track: int,
        mode: CacheMode = CacheMode.NORMAL,
        *,
        whole: bool = False,
        fast: bool = True,
    ) -> Access:
        """One write of a track. `whole`: it is formatted, so nothing has to be staged. `fast`: fast write is allowed.

        A fast write that finds nonvolatile storage full is delayed until the oldest modified track is on disk.
        """
        counters = self.counters_of(volume)
        slot = (volume, track)
        hit = self._touch(slot)
        destaged: list[Slot] = []
        if mode.sequential:
            counters.sequential_writes += 1
        else:
            counters.normal_writes += 1
        if not hit:
            counters.misses += 1
            if not whole:
                counters.stages += 1
            self._load(slot, destaged)
        wait_for = None if hit or whole else track
        if not fast or not self._make_nonvolatile(slot, counters, destaged):
            counters.destages += 1
            if slot not in self._pinned:
                self._modified.pop(slot, None)
            return Access(hit, wait_for, (), (*destaged, slot))
        self._count_fast_write(counters, mode, hit or whole)
        return Access(hit, wait_for, (), tuple(destaged), fast=True)

    # Destaging

    def destage_due(self) -> tuple[Slot, ...]:
        """Take the tracks that are to be destaged now, oldest first; none until enough of them are modified."""
        size = self.parameters.nvs_slots
        if len(self._modified) <= size * self.parameters.destage_above:
            return ()
        surplus = len(self._modified) - int(size * self.parameters.destage_below)
        due = [slot for slot in self._modified if slot not in self._pinned][:surplus]
        self._destage(due)
        return tuple(due)

    def destage_all(self) -> tuple[Slot, ...]:
        """Take every modified track that is not pinned, oldest first."""
        due = [slot for slot in self._modified if slot not in self._pinned]
        self._destage(due)
        return tuple(due)

    def pin(self, volume: Hashable, track: int) -> None:
        """The track cannot be destaged: it is modified and stays."""
        slot = (volume, track)
        if slot not in self._slots:
            self._load(slot, [])
        self._modified.setdefault(slot, None)
        self._pinned.add(slot)

    def unpin(self, volume: Hashable, track: int) -> None:
        """The track can be destaged again."""
        self._pinned.discard((volume, track))

    def discard(self, volume: Hashable) -> None:
        """Forget every track of a volume: its contents are given up."""
        for slot in [slot for slot in self._slots if slot[0] == volume]:
            del self._slots[slot]
            self._modified.pop(slot, None)
            self._pinned.discard(slot)

    # The slots

    def _touch(self, slot: Slot) -> bool:
        if slot not in self._slots:
            return False
        self._slots.move_to_end(slot)
        return True

    def _load(self, slot: Slot, destaged: list[Slot]) -> None:
        """Give the track a slot; what has to be destaged for it is added to `destaged`. All pinned: it gets none."""
        if self._make_room(1, destaged):
            self._slots[slot] = None

    def _make_room(self, slots: int, destaged: list[Slot]) -> bool:
        """Let the least recently used go until `slots` are free; False when only pinned tracks are left."""
        while len(self._slots) + slots > self.parameters.slots - self._reserved:
            victim = next((one for one in self._slots if one not in self._pinned), None)
            if victim is None:
                return False
            if victim in self._modified:
                self._destage([victim])
                destaged.append(victim)
            del self._slots[victim]
        return True

    def _make_nonvolatile(self, slot: Slot, counters: CacheCounters, destaged: list[Slot]) -> bool:
        """Keep the modified track in nonvolatile storage; False when that is impossible."""
        if slot not in self._slots:
            return False
        if slot in self._modified:
            self._modified.move_to_end(slot)
            return True
        if len(self._modified) >= self.parameters.nvs_slots:
            oldest = next((one for one in self._modified if one not in self._pinned), None)
            if oldest is None:
                return False
            counters.fast_write_delays += 1
            self._destage([oldest])
            destaged.append(oldest)
        self._modified[slot] = None
        return True

    def _destage(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            del self._modified[slot]
            self.counters_of(slot[0]).destages += 1

    def _stage_ahead(self, volume: Hashable, track: int, last: int, destaged: list[Slot]) -> tuple[int, ...]:
        stop = min(track + self.parameters.prestage_tracks, last)
        ahead = [number for number in range(track + 1, stop + 1) if (volume, number) not in self._slots]
        for number in ahead:
            self._load((volume, number), destaged)
        return tuple(ahead)

    # Counts

    def _count_read(self, counters: CacheCounters, mode: CacheMode, hit: bool) -> None:
        if mode is CacheMode.BYPASS:
            counters.bypass_requests += 1
        elif mode is CacheMode.INHIBIT_LOADING:
            counters.inhibit_loading_requests += 1
        if mode.sequential:
            counters.sequential_reads += 1
            counters.sequential_read_hits += hit
        else:
            counters.normal_reads += 1
            counters.normal_read_hits += hit

    def _count_fast_write(self, counters: CacheCounters, mode: CacheMode, hit: bool) -> None:
        if mode.sequential:
            counters.sequential_fast_writes += 1
            counters.sequential_fast_write_hits += hit
        else:
            counters.normal_fast_writes += 1
            counters.fast_write_hits += hit
