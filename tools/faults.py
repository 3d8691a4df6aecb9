"""Faults on purpose, drawn from one seed, and runs that repeat exactly.

`Faults` says what may go wrong in one run, `draw_faults` takes a random part of everything there is. `FaultyDisk` is a
disk whose power fails in the middle of a commit, or whose sync does. `run_pinned` runs a trio program on virtual time
with a scheduler that follows a seed.

What must be survived: every fault here, in any order, as long as it ends some time.
    drop, corrupt, duplicate, delay    a record, in either direction of any link
    reorder                            a record between the boxes is overtaken by those behind it
    silence                            everything of one direction of one link for a while
    partitions                         everything that one box says to the other for a while, on all links
    clog                               one direction of a link takes nothing for a while; then all of it arrives
    cut                                the connection ends; it is made again a little later
    crashes                            a site loses power; unsynced sectors are kept, lost or torn; it starts again
    storm                              a site that has just started loses power again, up to three times
    sync_errors                        the disk fails a sync: the array fences itself, and the site is started again
    full                               the disk has no more room for a while
    stall                              now and then a commit takes seconds
    clock_jump_s                       the time of day is another one after a restart, earlier or later
What a link cannot detect is not injected: a record lost *and* another of equal length doubled within one transfer leave
every count right and every CRC good, so a run draws either `duplicate` or the faults that lose or reorder records; and
nothing but a sum over the data, which only bridges have, tells that two data frames of one transfer came in the other
order, so hosts' links keep it.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import TypeVar

import trio
import trio.testing

from controller.array import Disk, DiskError

Value = TypeVar("Value")
Simulation = Callable[[int, trio.testing.MockClock], Awaitable[Value]]


def run_pinned(simulate: Simulation[Value], seed: int) -> Value:
    """Run `simulate(seed, clock)` on virtual time, so that the same seed gives the same order of events, always.

    Virtual time alone is not enough: trio deliberately runs ready tasks in random order. Its scheduler is pinned by
    two private names, used nowhere else.
    """
    scheduler: types.ModuleType = trio._core._run
    allowed, saved = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[attr-defined]
    scheduler._r.seed(seed)
    try:
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(simulate, seed, clock, clock=clock)
    finally:
        scheduler._r.setstate(saved)
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong in one run. Link faults: probability per record and direction. Times in seconds."""

    drop: float = 0.0
    corrupt: float = 0.0  # one byte of the payload, or of the record's type or length, is changed
    duplicate: float = 0.0
    delay: float = 0.0
    delay_max_s: float = 3.0  # longer than the link timeout: frames of a connection given up come late
    reorder: float = 0.0
    reorder_max_s: float = 0.5
    silence: float = 0.0
    silence_max_s: float = 20.0  # longer than the bridge waits for status
    clog: float = 0.0
    clog_max_s: float = 10.0
    cut: float = 0.0
    latency_s: float = 0.0  # one way; no fault, but it lets things cross
    partitions: int = 0
    partition_max_s: float = 20.0
    crashes_a: int = 0
    crashes_b: int = 0
    storm: bool = False
    commit_max_s: float = 0.002  # a commit of the array takes up to this long
    stall: float = 0.0  # probability per commit
    stall_max_s: float = 5.0
    sync_errors: int = 0
    full: int = 0  # times
    full_max_s: float = 5.0
    clock_jump_s: float = 0.0  # at most, either way

    @property
    def any_on_links(self) -> bool:
        """May a record suffer at all? A partition takes records too."""
        return bool(self.partitions) or any(getattr(self, name) for name in _LINK_FAULTS)


_LINK_FAULTS = {  # name: highest probability
    "drop": 0.005,
    "corrupt": 0.005,
    "duplicate": 0.01,
    "delay": 0.01,
    "reorder": 0.01,
    "silence": 0.0003,
    "clog": 0.0003,
    "cut": 0.0015,
}
_NOT_WITH_DUPLICATE = ("drop", "corrupt", "silence", "reorder")
DRAWN = 0.35  # the share of all faults that one run has, on average


def draw_faults(random: Random) -> Faults:
    """A random subset of all faults, each with a random strength."""
    drawn = {name: random.uniform(0.1, 1.0) * most for name, most in _LINK_FAULTS.items() if random.random() < DRAWN}
    if "duplicate" in drawn:
        for name in _NOT_WITH_DUPLICATE:
            drawn.pop(name, None)

    def times(most: int) -> int:
        return random.randint(1, most) if random.random() < DRAWN else 0

    partitions = times(2)
    return Faults(
        **drawn,
        latency_s=random.choice((0.0, 0.0, 0.001, 0.02)),
        partitions=0 if "duplicate" in drawn else partitions,
        crashes_a=times(2),
        crashes_b=times(2),
        storm=random.random() < DRAWN,
        commit_max_s=random.choice((0.0, 0.002, 0.05)),
        stall=random.choice((0.01, 0.05)) if random.random() < DRAWN else 0.0,
        sync_errors=times(1),
        full=times(2),
        clock_jump_s=random.choice((5.0, 3600.0)) if random.random() < DRAWN else 0.0,
    )


def quiet(faults: Faults) -> Faults:
    """The same surroundings with nothing going wrong."""
    return Faults(commit_max_s=faults.commit_max_s, latency_s=faults.latency_s)


def describe(faults: Faults) -> str:
    """The faults that are switched on, for a message."""
    return " ".join(
        f"{field.name}={value:.4g}" if isinstance(value, float) else f"{field.name}={value}"
        for field in fields(faults)
        if (value := getattr(faults, field.name))
    )


def corrupted(record: bytes, random: Random) -> bytes:
    """One byte changed, but for byte 1: a damaged delimiter is no delimiter, so that frame is lost (`drop`)."""
    places = [place for place in range(len(record)) if place != 1]
    damaged = bytearray(record)
    damaged[random.choice(places)] ^= random.randrange(1, 256)
    return bytes(damaged)


class PowerFailure(Exception):
    """The machine is gone in the middle of a commit; nobody is left to be told."""


class FaultyDisk:
    """A disk whose power can be made to fail: `fail_after` operations from now, everything raises PowerFailure.

    `bad_syncs`: how many of the next syncs fail, as an fsync does that reports an error of the device.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._left: int | None = None
        self.bad_syncs = 0

    def fail_after(self, operations: int | None) -> None:
        """Let that many creates, writes and syncs still happen; None: all of them."""
        self._left = operations

    def _spend(self) -> None:
        if self._left is not None:
            if self._left == 0:
                raise PowerFailure
            self._left -= 1

    @property
    def writable(self) -> bool:
        """As the disk."""
        return self._disk.writable

    def new_identity(self) -> int:
        """As the disk."""
        return self._disk.new_identity()

    def segments(self) -> dict[int, int]:
        """As the disk."""
        return self._disk.segments()

    def read(self, number: int, offset: int, length: int) -> bytes:
        """As the disk."""
        return self._disk.read(number, offset, length)

    def reserve(self, length: int, count: int) -> None:
        """As the disk."""
        self._disk.reserve(length, count)

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.create(number, length, beginning)

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.write(number, offset, parts)

    def sync(self, number: int) -> None:
        """As the disk, while there is power; or a DiskError."""
        self._spend()
        if self.bad_syncs:
            self.bad_syncs -= 1
            raise DiskError(f"sync of segment {number} failed on purpose")
        self._disk.sync(number)

    def remove(self, number: int) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.remove(number)

    def close(self) -> None:
        """As the disk."""
        self._disk.close()
