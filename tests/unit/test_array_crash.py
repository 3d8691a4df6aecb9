"""Power lost at every operation of a script, with every subset of what was not synced; and stores that must be caught.

The script, what is judged and what a loss of power may leave are told in tests/helpers/crash_script.py,
crash_examiner.py and crash_medium.py. I1 ... cite the invariants of controller/array/format.py.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ccw.errors import FormatError
from controller.array import Batch, Disk, StoreError
from controller.array.directory import Directory, Frozen
from controller.array.format import RECORD_HEADER_BYTES, RecordHeader
from controller.array.housekeeping import Housekeeper
from controller.array.log import LogWriter
from tests.helpers.contracts import DiskContract
from tests.helpers.crash_examiner import Examiner
from tests.helpers.crash_medium import CrashMedium
from tests.helpers.crash_script import Player, make_script

Break = Callable[[pytest.MonkeyPatch], None]
PARTS = 16
CAUGHT = (AssertionError, StoreError, FormatError, KeyError)


class TestCrashMedium(DiskContract):
    @pytest.fixture
    def disk(self) -> Disk:
        return CrashMedium()


def test_every_subset_of_unsynced_sectors_can_be_left() -> None:
    medium = CrashMedium()
    medium.create(1, 4096, b"begin")
    medium.create(2, 4096, b"")
    medium.write(1, 500, [b"A" * 600])  # sectors 0, 1, 2
    medium.write(1, 1000, [b"B" * 20])  # sector 1 again
    medium.write(2, 512, [b"C" * 512])
    left = {state.digest() for state in medium.crashes(1000, Random(1))}
    whole = [state.contents[1].durable for state in list(medium.crashes(1000, Random(1)))[: 2 * 3 * 2 * 2]]
    assert len(set(whole)) == 2 * 3 * 2
    assert len(left) > 2 * 3 * 2 * 2
    assert all(state[:500] == b"begin".ljust(500, b"\0") and not any(state[1100:]) for state in whole)
    medium.sync(1)
    medium.sync(2)
    assert [state.digest() for state in medium.crashes(1000, Random(1))] == [medium.digest()]


def test_the_script_has_what_it_should() -> None:
    medium = CrashMedium()
    operations: list[str] = []
    medium.watch = operations.append
    player = Player(medium)
    steps = make_script()
    made = freed = relocated = 0
    for step in steps:
        if step[0] in ("reopen", "close"):
            figures = player.twin.store.figures()
            made, freed = made + figures["checkpoints"], freed + figures["segments_freed"]
            relocated += figures["bytes_relocated"]
        player.play(step)
    assert len(steps) >= 200
    assert made >= 8
    assert freed >= 20
    assert relocated > 4096
    assert min(map(operations.count, ("create", "write", "sync", "remove"))) >= 20


def test_power_lost_anywhere_loses_nothing_acknowledged() -> None:  # I1 - I9, I11 - I13
    examiner = Examiner(limit=6, deeper=16)
    examiner.play(make_script(), CrashMedium(), every=5)
    assert examiner.states > 1200


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("seed", range(67, 70))
def test_power_lost_at_every_operation_and_every_subset(seed: int, part: int) -> None:  # I1 - I9, I11 - I13
    """The parts of a seed are its boundaries, all of them together."""
    examiner = Examiner(limit=128, deeper=8, seed=seed)
    examiner.play(make_script(seed), CrashMedium(), every=PARTS, part=part)
    print(f"seed {seed}, part {part}: {examiner.boundaries} boundaries, {examiner.states} states")
    assert examiner.states > 15_000 // PARTS


# Stores that are broken on purpose: each plays the script without a fault, and each must be caught by its crashes.


class _SilentSync:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def sync(self, number: int) -> None:
        pass


def sync_too_late(patch: pytest.MonkeyPatch) -> None:
    """I1: acknowledges before the sync."""

    original = LogWriter.commit

    def commit(self: LogWriter, batch: Batch) -> None:
        disk = self._disk
        self._disk = _SilentSync(disk)
        original(self, batch)
        self._disk = disk

    patch.setattr(LogWriter, "commit", commit)


def segments_out_of_order(patch: pytest.MonkeyPatch) -> None:
    """I7: creates the next segment before the one before it is durable."""

    def commit(self: LogWriter, batch: Batch) -> None:
        for run in batch.runs:
            if run.length:
                self._disk.create(run.segment, run.length, bytes(run.parts[0]))
                run.made = True
                self._disk.write(run.segment, len(run.parts[0]), run.parts[1:])
            else:
                self._disk.write(run.segment, run.offset, run.parts)
        for run in batch.runs:
            self._disk.sync(run.segment)
        for segment in batch.freed:
            self._disk.remove(segment)
        batch.written = True

    patch.setattr(LogWriter, "commit", commit)


def checksum_skipped(patch: pytest.MonkeyPatch) -> None:
    """R5: takes the payloads at the end of the log as they are."""

    def payload(self: Any, offset: int, header: RecordHeader) -> bytes:
        data: bytes = self._disk.read(self.number, offset + RECORD_HEADER_BYTES, header.payload_length)
        return data

    patch.setattr("controller.array.recovery._Segment.payload", payload)


def freed_too_early(patch: pytest.MonkeyPatch) -> None:
    """I12: removes a segment before its FREE is durable."""
    original = LogWriter.free

    def free(self: LogWriter, segment: int) -> None:
        original(self, segment)
        assert self._open is not None
        self._open.freed.remove(segment)
        self._disk.remove(segment)

    patch.setattr(LogWriter, "free", free)


def freed_without_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """I12: gives segments back although no checkpoint was made since their records went elsewhere."""
    original = Housekeeper._relocate

    def relocate(self: Housekeeper, victims: list[int]) -> Any:
        yield from original(self, victims)
        yield from self._look()
        self._free()

    patch.setattr(Housekeeper, "_relocate", relocate)


def checkpoint_of_the_living(patch: pytest.MonkeyPatch) -> None:
    """The checkpoint holds changes that came after its begin."""

    def freeze(self: Directory) -> Frozen:
        volumes = [(number, volume.attributes, volume.tracks) for number, volume in self._ascending()]
        return Frozen(volumes, self.values)

    patch.setattr(Directory, "freeze", freeze)


def relocation_forgotten(patch: pytest.MonkeyPatch) -> None:
    """I13: recovery does not turn pointers."""
    patch.setattr(Directory, "_relocate", lambda self, header, location, payload: None)


def tail_not_synced(patch: pytest.MonkeyPatch) -> None:
    """R7: recovery goes on behind records that only the page cache held."""
    original = LogWriter.start_epoch

    def start_epoch(self: LogWriter, sequence: int) -> None:
        disk, self._disk = self._disk, _SilentSync(self._disk)
        original(self, sequence)
        self._disk = disk

    patch.setattr(LogWriter, "start_epoch", start_epoch)


def stale_records(patch: pytest.MonkeyPatch) -> None:
    """I6: takes what a removed segment held at this place for the next record."""
    for module in ("log", "recovery", "record_reader"):
        patch.setattr(f"controller.array.{module}.place", lambda segment, offset: offset)
    patch.setattr("controller.array.recovery._is_next", lambda *numbers: True)


def numbers_used_again(patch: pytest.MonkeyPatch) -> None:
    """I9: goes on right behind the last sequence found after a crash."""
    patch.setattr("controller.array.store.SEQUENCE_GAP", 1)


CANARIES = [
    sync_too_late,
    segments_out_of_order,
    checksum_skipped,
    freed_too_early,
    freed_without_checkpoint,
    checkpoint_of_the_living,
    relocation_forgotten,
    tail_not_synced,
    stale_records,
    numbers_used_again,
]


@pytest.mark.parametrize("broken", CANARIES)
def test_a_broken_store_is_caught(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    steps = make_script(early=broken is checkpoint_of_the_living)
    if broken not in (checkpoint_of_the_living, stale_records):  # these may be seen without a crash too
        player = Player(CrashMedium())
        for step in steps:
            player.play(step)
    with pytest.raises(CAUGHT):
        Examiner(limit=4, deeper=8).play(steps, CrashMedium(), every=2)
