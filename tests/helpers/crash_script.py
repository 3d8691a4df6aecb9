"""A fixed script of changes, played on a store and on its oracle at once; what the oracle held after each change.

The script has everything that changes the medium: writes in both forms, moves, extents, values, released space,
snapshots taken, restored, cloned and deleted by the catalog that people use, volumes defined and deleted, checkpoints
and collection in small steps and whole, ends in order and openings. Every change is one record (I11), so the states
that a recovery may find are those after each sequence number.
"""

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from ccw.geometry import geometry_for
from controller.array import Disk, StoredTrack, VirtualArrayStore
from controller.array.snapshots import SnapshotCatalog
from controller.array.volumes import create_volume
from tests.helpers.oracle import DictStore

SEGMENT_BYTES = 4096
CHECKPOINT_BYTES = 1 << 14
Step = tuple[Any, ...]
CHANGES = frozenset(
    (
        "define_volume",
        "delete_volume",
        "write",
        "write_stored",
        "move",
        "snapshot",
        "snapshot_extent",
        "release_space",
        "put",
    )
)
TRACKS = (*range(12), *range(506, 518), 1024, 70_000)


class History:
    """The oracle's state after each change, by sequence. Records that change no contents need not be told of."""

    def __init__(self) -> None:
        self._sequences = [0]
        self._states = [DictStore()]

    def add(self, sequence: int, state: DictStore) -> None:
        assert sequence > self._sequences[-1]
        self._sequences.append(sequence)
        self._states.append(state)

    def at(self, sequence: int) -> DictStore:
        """The state after the record with this sequence, whatever kind of record it was."""
        return self._states[bisect_right(self._sequences, sequence) - 1]

    def until(self, sequence: int) -> "History":
        """The history of a store that found this sequence as its last: what came later never was."""
        kept = bisect_right(self._sequences, sequence)
        other = History()
        other._sequences, other._states = self._sequences[:kept], self._states[:kept]
        return other


def open_store(disk: Disk, **more: Any) -> VirtualArrayStore:
    return VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES, checkpoint_bytes=CHECKPOINT_BYTES, **more)


def check_contents(store: VirtualArrayStore, expected: DictStore) -> None:
    """All that the store holds is what the oracle holds: volumes, values, tracks in their stored form, sequences."""
    assert store.volumes() == expected.volumes()
    assert store.items() == expected.items()
    for volume, tracks in expected.tracks.items():
        assert store.written_since(volume, 0).tolist() == sorted(tracks)
        for track, (stored, sequence, _) in tracks.items():
            assert store.read_stored(volume, track) == stored, (volume, track)
            assert store.sequence_of(volume, track) == sequence, (volume, track)


class Twin:
    """A store and its oracle, as one store: a change is made to both, and must have the same sequence.

    It is tried on a copy of the oracle first: what the store refuses for want of room has changed nothing.
    """

    def __init__(self, store: VirtualArrayStore, oracle: DictStore, history: History) -> None:
        self.store = store
        self.oracle = oracle
        self.history = history

    def __getattr__(self, verb: str) -> Any:
        return partial(self._both, verb) if verb in CHANGES else getattr(self.store, verb)

    def _both(self, verb: str, *arguments: Any) -> int:
        changed = self.oracle.copy()
        changed.appended = self.store.appended
        expected: int = getattr(changed, verb)(*arguments)
        found = getattr(self.store, verb)(*arguments)
        assert found == expected == self.store.appended
        self.oracle = changed
        self.history.add(found, changed)
        return expected


class Player:
    """Plays a script on one medium, opening and closing the store as the script says.

    `acknowledged`: the highest sequence that the store ever said to be durable; `highest`: ever handed out.
    """

    def __init__(self, disk: Disk, opener: Callable[[Disk], VirtualArrayStore] = open_store) -> None:
        self.disk = disk
        self.history = History()
        self._opener = opener
        self._acknowledged = self._highest = 0
        self._twin: Twin | None = None
        self._closed = True

    @property
    def twin(self) -> Twin:
        assert self._twin is not None
        return self._twin

    @property
    def acknowledged(self) -> int:
        if self._twin is not None:
            self._acknowledged = max(self._acknowledged, self._twin.store.durable)
        return self._acknowledged

    @property
    def highest(self) -> int:
        if self._twin is not None:
            self._highest = max(self._highest, self._twin.store.appended)
        return self._highest

    @property
    def started(self) -> bool:
        """Whether the store was ever opened."""
        return self._twin is not None

    @property
    def closed(self) -> bool:
        """Whether the store is closed, or its closing or opening was cut off."""
        return self._closed

    def redo(self, step: Step) -> None:
        """A step that was refused: once more, after what it left half done was dropped."""
        if step[0] in ("create", "take", "clone"):
            self._catalog = SnapshotCatalog(self._both())
        if self._closed or not self.started:
            self._do_open()
        else:
            self.play(step)

    def _do_open(self) -> None:
        """The store must hold what it held before. Whoever plays did not crash it."""
        state = self._twin.oracle if self._twin is not None else DictStore()
        acknowledged, highest = self.acknowledged, self.highest
        store = self._opener(self.disk)
        self._closed = False
        assert store.recovered >= acknowledged
        assert store.appended > highest
        check_contents(store, state)
        self._twin = Twin(store, state, self.history)
        self._catalog = SnapshotCatalog(self._both())

    def _both(self) -> VirtualArrayStore:
        store: Any = self.twin
        return store  # type: ignore[no-any-return]

    def play(self, step: Step) -> None:
        """One step of a script."""
        verb, *arguments = step
        special = getattr(self, f"_do_{verb}", None)
        if special is not None:
            special(*arguments)
        else:
            getattr(self.twin, verb)(*arguments)

    def _do_create(self, volume: int) -> None:
        create_volume(self._both(), volume, geometry_for("3390", 6000), {})

    def _do_take(self, volume: int, name: str) -> None:
        self._catalog.create(volume, name, 1e9)

    def _do_restore(self, volume: int, name: str) -> None:
        self._catalog.restore(volume, name, lambda volume: None)

    def _do_clone(self, volume: int, name: str, target: int) -> None:
        self._catalog.clone(volume, name, target)

    def _do_forget(self, volume: int, name: str) -> None:
        self._catalog.delete(volume, name)

    def _do_checkpoint(self) -> None:
        self.twin.store._housekeeper.want(checkpoint=True)

    def _do_housekeep(self, limit: int) -> None:
        if not self.twin.store.housekeep(limit):
            self.twin.store.sync()

    def _do_reopen(self) -> None:
        self._do_close()
        self._do_open()

    def _do_close(self) -> None:
        self._closed = True
        self.twin.store.close()


def image_of(chance: Random) -> StoredTrack:
    length = chance.choice((20, 150, 400, 400, 1000))
    return StoredTrack(0, length, chance.randbytes(length))


def make_script(seed: int = 67, length: int = 320, *, early: bool = True) -> list[Step]:
    """The script. `early`: with changes between the steps of a checkpoint near the start, too.

    Its steps depend on each other only by what a snapshot or a clone is called.
    """
    chance = Random(seed)
    steps: list[Step] = [("open",), ("create", 1), ("create", 2), ("sync",), ("create", 3)]
    steps += [("write", 1, track, bytes(5) + b"first" * (40 + track)) for track in TRACKS[:10]]
    steps += _interleaved(chance, 0) if early else [("sync",)]
    names: list[str] = []
    clones: list[int] = []
    serial = 0
    while len(steps) < length:
        choice = chance.randrange(100)
        volume = chance.choice((1, 1, 2, 3, *clones))
        track = chance.choice(TRACKS)
        if choice < 36:
            steps.append(("write_stored", volume, track, image_of(chance)))
        elif choice < 42:
            target = chance.choice((1, 2, 3))
            steps += [
                ("write_stored", volume, track, image_of(chance)),
                ("move", volume, track, target, chance.choice([other for other in TRACKS if other != track])),
            ]
        elif choice < 50:
            count = chance.choice((1, 5, 600))
            steps.append(("snapshot_extent", volume, track, count, chance.choice((1, 2, 3)), track + 80_000))
            steps.append(("release_space", 1, 80_000, 160_000))
        elif choice < 55:
            serial += 1
            names.append(f"s{serial}")
            steps.append(("take", 1, names[-1]))
        elif choice < 59 and names:
            steps.append(("restore", 1, chance.choice(names)))
        elif choice < 62 and names and len(clones) < 3:
            clones.append(10 + serial)
            serial += 1
            steps.append(("clone", 1, chance.choice(names), clones[-1]))
        elif choice < 65 and len(names) > 1:
            steps.append(("forget", 1, names.pop(chance.randrange(len(names)))))
        elif choice < 67 and clones:
            steps.append(("delete_volume", clones.pop(0)))
        elif choice < 72:
            steps.append(("put", chance.choice(("pair/1", "pair/2", "bitmap")), chance.randbytes(chance.randrange(60))))
        elif choice < 76:
            steps.append(("release_space", 2, track, track + chance.choice((1, 8, 1000))))
        elif choice < 86:
            steps.append(("housekeep", chance.choice((1, 2000, 20_000))))
        elif choice < 88:
            steps.append(("checkpoint",))
        elif choice < 89:
            steps += [("sync",), ("tidy",)]
        elif choice < 91:
            steps.append(("reopen",))
        else:
            steps.append(("sync",))
    steps += _interleaved(chance, 20)
    return [*steps, ("sync",), ("tidy",), ("reopen",), ("write_stored", 1, 0, image_of(chance)), ("sync",), ("close",)]


def _interleaved(chance: Random, first: int) -> list[Step]:
    """Changes between the smallest steps of checkpoints and collection."""
    steps: list[Step] = [("write_stored", 3, track, image_of(chance)) for track in TRACKS[:12]]
    steps += [("sync",), ("checkpoint",)]
    for number in range(24):
        track = TRACKS[number % 12]
        steps += [
            ("housekeep", 1),
            ("move", 3, track, 2, 300 + number % 5 + first),
            ("housekeep", chance.choice((1, 600))),
            ("write_stored", 3, track, image_of(chance)),
        ]
        if number % 6 == 5:
            steps += [("snapshot_extent", 2, 300, 100, 1, 900), ("sync",), ("housekeep", 6000)]
    return steps
