"""The virtual array against the oracle: any order of changes, commits, crashes and reopenings.

Invariants I1, I2, I4, I5, I6, I9 and I11. The oracle remembers its state after every change since the last durable
one. After a crash the store must equal one of those: the one whose sequence it says it recovered, and never one before
the durable sequence.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.array import Batch, MemoryDisk, VirtualArrayStore, compress_track
from tests.helpers.crash_disk import CrashDisk, DiskFaults, PowerLoss
from tests.helpers.oracle import DictStore, assert_same

VOLUMES = range(4)
TRACKS = (0, 1, 2, 511, 512, 513, 1024, 70_000)
volumes = st.sampled_from((0, 0, 1, 1, 1, 2, 3))
tracks = st.sampled_from(TRACKS)
seeds = st.integers(0, 2**32 - 1)
images = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.builds(lambda text, times: bytes(5) + text * times, st.binary(min_size=1, max_size=20), st.integers(1, 300)),
    st.builds(lambda seed, length: Random(seed).randbytes(length), seeds, st.integers(500, 3900)),
)
attributes = st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(max_size=3))
verb = st.just
writes = st.tuples(verb("write"), volumes, tracks, images)
moves = st.tuples(verb("move"), volumes, tracks, volumes, tracks)
snapshots = st.tuples(verb("snapshot"), volumes, volumes)
extents = st.tuples(
    verb("snapshot_extent"), volumes, tracks, st.sampled_from((1, 2, 600, 1100, 80_000)), volumes, tracks
)
changes = st.one_of(
    writes,
    writes,
    st.tuples(verb("write_stored"), volumes, tracks, images.map(compress_track)),
    moves,
    moves,
    snapshots,
    snapshots,
    extents,
    extents,
    st.tuples(verb("release_space"), volumes, tracks, st.sampled_from((*TRACKS, 1 << 20))),
    st.tuples(verb("put"), st.sampled_from(("a", "a/b", "b")), st.binary(max_size=50)),
    st.tuples(verb("define_volume"), volumes, attributes),
    st.tuples(verb("delete_volume"), st.sampled_from(VOLUMES[2:])),
)


class ArrayMachine(RuleBasedStateMachine):
    """One store on a disk that fails on purpose, one oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryDisk()
        self.oracle = DictStore()
        self.history = {0: self.oracle.copy()}
        self.under_way: Batch | None = None
        self.handed_out = 0
        self.open()

    def open(self) -> None:
        self.disk = CrashDisk(self.memory)
        self.store = VirtualArrayStore.open(self.disk, segment_bytes=4096)
        self.under_way = None
        assert self.store.durable == self.store.appended > self.handed_out  # I9
        self.oracle = self.history[self.store.recovered]
        self.oracle.appended = self.store.appended
        self.remember()

    def remember(self) -> None:
        """The oracle's state now, by its sequence; states before the durable one can never come back (I1)."""
        self.handed_out = max(self.handed_out, self.store.appended)
        durable = self.store.durable
        self.history = {sequence: state for sequence, state in self.history.items() if sequence >= durable}
        self.history[self.oracle.appended] = self.oracle.copy()

    def both(self, verb: str, *arguments: Any) -> None:
        """Do the same to both: the same answer, or the same refusal."""
        expected: Any
        try:
            expected = getattr(self.oracle, verb)(*arguments)
        except Exception as error:
            expected = type(error)
        try:
            result = getattr(self.store, verb)(*arguments)
        except Exception as error:
            result = type(error)
        assert result == expected
        self.remember()

    @initialize()
    def define_three(self) -> None:
        for volume in VOLUMES[:3]:
            self.both("define_volume", volume, {"number": volume})

    @rule(script=st.lists(changes, min_size=1, max_size=12))
    def change(self, script: list[tuple[Any, ...]]) -> None:
        for verb, *arguments in script:
            self.both(verb, *arguments)

    @rule(script=st.lists(changes, min_size=1, max_size=12))
    def change_and_sync(self, script: list[tuple[Any, ...]]) -> None:
        self.change(script)
        if self.under_way is None:
            self.sync()

    @precondition(lambda self: self.under_way is None)
    @rule()
    def sync(self) -> None:
        assert self.store.sync() == self.store.appended == self.store.durable
        self.remember()

    @precondition(lambda self: self.under_way is None)
    @rule()
    def take(self) -> None:
        self.under_way = self.store.take_batch()

    @precondition(lambda self: self.under_way is not None)
    @rule(acknowledge=st.booleans())
    def commit(self, acknowledge: bool) -> None:
        assert self.under_way is not None
        if not self.under_way.written:
            self.store.commit(self.under_way)
        if acknowledge:
            assert self.store.committed(self.under_way) == self.under_way.last == self.store.durable
            self.under_way = None
        self.remember()

    @precondition(lambda self: self.under_way is None)
    @rule(
        script=st.lists(changes, min_size=1, max_size=12),
        seed=seeds,
        operation=st.sampled_from((0, 0, 0, 1, 2, 3)),
        after=st.sampled_from((True, True, False)),
        only_process=st.sampled_from((False, False, False, True)),
    )
    def die_in_a_commit(
        self, script: list[tuple[Any, ...]], seed: int, operation: int, after: bool, only_process: bool
    ) -> None:
        self.change(script)
        self.disk.arm(DiskFaults(power_loss_at=operation, power_loss_after=after))
        try:
            self.store.sync()
            self.remember()
        except PowerLoss:
            if not only_process:
                self.memory.crash(Random(seed))
        self.open()

    @rule(seed=seeds, operation=st.integers(0, 4), after=st.booleans())
    def lose_power_while_opening(self, seed: int, operation: int, after: bool) -> None:
        self.memory.crash(Random(seed))
        found = self.look()
        disk = CrashDisk(self.memory)
        disk.arm(DiskFaults(power_loss_at=operation, power_loss_after=after))
        try:
            VirtualArrayStore.open(disk, segment_bytes=4096)
        except PowerLoss:
            self.memory.crash(Random(seed))
        # An OPEN record, if it became durable, is a new last sequence of the same state.
        seen = VirtualArrayStore.open(ReadOnly(self.memory)).recovered
        self.history.setdefault(seen, self.history[found])
        self.open()

    @rule(seed=seeds, only_process=st.booleans())
    def die(self, seed: int, only_process: bool) -> None:
        """After the end of the process alone, what was written is still there, synced or not."""
        if not only_process:
            self.memory.crash(Random(seed))
        self.open()

    @rule(limit=st.sampled_from((1, 1, 3000, 20_000, 1 << 30)), times=st.integers(1, 40), want=st.booleans())
    def housekeep(self, limit: int, times: int, want: bool) -> None:
        """Some steps of a checkpoint or a collection; no state changes, only the log grows."""
        if want and self.store._housekeeper.resting:
            self.store._housekeeper.want(checkpoint=True)
        before = self.oracle.copy()
        for _ in range(times):
            if not self.store.housekeep(limit) and self.under_way is None:
                self.sync_unseen()
        self.grown(before)

    def sync_unseen(self) -> None:
        self.oracle.appended = self.store.appended
        self.history |= {self.store.appended: self.oracle.copy()}
        self.store.sync()

    def grown(self, before: DictStore) -> None:
        for sequence in range(before.appended, self.store.appended + 1):
            state = before.copy()
            state.appended = sequence
            self.history[sequence] = state
        self.oracle.appended = self.store.appended
        self.remember()

    @precondition(lambda self: self.under_way is None)
    @rule()
    def tidy(self) -> None:
        before = self.oracle.copy()
        self.store.tidy()
        self.grown(before)

    @rule(limit=st.sampled_from((1, 5000, 1 << 30)))
    def scrub(self, limit: int) -> None:
        scrub = self.store.scrub()
        while scrub.step(limit):
            pass
        assert scrub.done
        assert scrub.damaged == []

    @precondition(lambda self: self.under_way is None)
    @rule(seed=seeds, operation=st.integers(0, 60), steps=st.integers(1, 60))
    def die_in_housekeeping(self, seed: int, operation: int, steps: int) -> None:
        before = self.oracle.copy()
        self.store._housekeeper.want(checkpoint=True)
        self.disk.arm(DiskFaults(power_loss_at=operation))
        try:
            for _ in range(steps):
                if not self.store.housekeep(2000):
                    self.store.sync()
        except PowerLoss:
            pass
        self.grown(before)
        self.memory.crash(Random(seed))
        self.open()

    @precondition(lambda self: self.under_way is None)
    @rule()
    def close_and_open(self) -> None:
        self.oracle.appended = self.store.appended + 1
        self.store.close()
        self.history = {self.oracle.appended: self.oracle}
        self.open()
        assert self.store.appended == self.store.recovered + 1

    @rule()
    def look_without_touching(self) -> None:  # I5
        assert self.look() == self.look()

    def look(self) -> int:
        """Open to read only and compare; the sequence found."""
        seen = VirtualArrayStore.open(ReadOnly(self.memory))
        assert_same(seen, self.history[seen.recovered])
        return seen.recovered

    @invariant()
    def same(self) -> None:
        assert self.store.appended == self.oracle.appended
        assert_same(self.store, self.oracle, TRACKS)


class ReadOnly(CrashDisk):
    """A disk that may only be read."""

    writable = False  # type: ignore[assignment]

    def _before(self, operation: str, number: int) -> None:
        raise AssertionError(f"{operation} of segment {number} by a store that was opened to be read")


def runs(examples: int, steps: int) -> settings:
    """So many runs, of so many steps at most."""
    return settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )


class TestArray(ArrayMachine.TestCase):  # type: ignore[misc,name-defined]
    settings = runs(60, 40)


@pytest.mark.soak
class TestArrayLong(ArrayMachine.TestCase):  # type: ignore[misc,name-defined]
    settings = runs(600, 60)
