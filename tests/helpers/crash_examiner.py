"""Looks at every state that a loss of power can leave, and judges what the store makes of it.

For each state, opened to be read and then to go on:
 * what was acknowledged is there (I1), the rest wholly or not at all: the contents are those after the last sequence
   found (I11, I2, I3, I6); sequence numbers are not given twice (I9);
 * looking changes nothing and the second look sees the same (I5);
and for some of them:
 * the newest checkpoint is damaged: the one before, or the whole log, gives the same (I12, R2);
 * power is lost again at each operation of the opening, and the third opening sees the same (I5);
 * the store goes on: changes, collection, an end in order; power is lost at each operation of that too.
A process that is killed without a loss of power leaves its unsynced writes to be lost later: tried as well.
"""

from random import Random
from typing import Any

from controller.array import Disk, VirtualArrayStore
from controller.array.format import RECORD_HEADER_BYTES, Kind, unpack_location
from tests.helpers.crash_medium import CrashMedium, OnlyRead
from tests.helpers.crash_script import History, Player, Step, Twin, check_contents, image_of, open_store


class Examiner:
    """`limit`: up to so many subsets of unsynced sectors are all tried. `deeper`: one of so many states is gone into.

    `states` counts media judged, the second and third level included.
    """

    def __init__(self, *, limit: int, deeper: int, seed: int = 1) -> None:
        self.limit = limit
        self.deeper = deeper
        self.states = 0
        self.boundaries = 0
        self.recoveries = 0
        self._chance = Random(seed)
        self._seen: set[tuple[int, int]] = set()

    def open(self, disk: Disk) -> VirtualArrayStore:
        self.recoveries += 1
        return open_store(disk)

    def play(self, steps: list[Step], medium: CrashMedium, *, every: int = 1, part: int = 0) -> Player:
        """Play the script, and look at every `every`-th boundary, those that leave `part`: all parts make a whole."""
        player = Player(medium)

        def watch(operation: str) -> None:
            if operation == "reserve":
                return
            self.boundaries += 1
            if self.boundaries % every == part:
                self.boundary(medium, player.history, player.acknowledged, player.highest)

        medium.watch = watch
        for step in steps:
            player.play(step)
        watch("end")
        return player

    def boundary(self, medium: CrashMedium, history: History, acknowledged: int, highest: int) -> None:
        """Power is lost now, or only the process ends."""
        for state in medium.crashes(self.limit, self._chance):
            self.judge(state, history, acknowledged, highest)
        if any(segment.unsynced for segment in medium.contents.values()):
            self.judge(medium.copy(), history, acknowledged, highest, deep=True)

    def judge(
        self, state: CrashMedium, history: History, acknowledged: int, highest: int, *, deep: bool = False
    ) -> None:
        key = (state.digest(), acknowledged)
        if key in self._seen:
            return
        self._seen.add(key)
        self.states += 1
        found = self.look(state, history, acknowledged)
        expected = history.at(found)
        deep = deep or self._chance.randrange(self.deeper) == 0
        opened = state.copy()
        past = history.until(found)
        if deep:
            proven = acknowledged if any(segment.unsynced for segment in state.contents.values()) else found
            opened.watch = lambda operation: self._look_inside(opened, past, proven)
        store = self.open(opened)
        assert store.recovered == found
        assert store.appended == store.durable > highest
        check_contents(store, expected)
        if self._chance.randrange(4) == 0:
            self._damage_checkpoint(state, history, acknowledged)
        if deep:
            self._go_on(store, opened, past)

    def look(self, state: CrashMedium, history: History, acknowledged: int) -> int:
        """Open to read only; the sequence found, which what was acknowledged does not exceed."""
        store = self.open(OnlyRead(state))
        assert store.recovered >= acknowledged, "what was acknowledged is gone"
        check_contents(store, history.at(store.recovered))
        return store.recovered

    def _damage_checkpoint(self, state: CrashMedium, history: History, acknowledged: int) -> None:
        store = self.open(OnlyRead(state))
        location = store._log.checkpoints[0]
        if not location or any(segment.unsynced for segment in state.contents.values()):
            return
        header, _ = store._reader.read(location, (Kind.CHECKPOINT,))
        number, offset, _ = unpack_location(location)
        at = offset + RECORD_HEADER_BYTES + self._chance.randrange(header.payload_length)
        damaged = state.damaged(number, at, bytes((state.contents[number].durable[at] ^ 0x10,)))
        self.states += 1
        self.look(damaged, history, min(acknowledged, header.sequence - 1))  # the last batch may pass for torn

    def _look_inside(self, medium: CrashMedium, history: History, acknowledged: int) -> None:
        for state in medium.crashes(4, self._chance):
            self.states += 1
            self.look(state, history, acknowledged)

    def _go_on(self, store: VirtualArrayStore, medium: CrashMedium, history: History) -> None:
        state = history.at(store.recovered)
        twin: Any = Twin(store, state, history)
        medium.watch = lambda operation: self._look_inside(medium, history, store.durable)
        volumes = [*state.tracks] or [1]
        if not state.tracks:
            twin.define_volume(1, {})
        twin.write_stored(volumes[0], 3, image_of(self._chance))
        twin.put("went on", b"yes")
        store.sync()
        twin.write_stored(volumes[-1], 900, image_of(self._chance))
        twin.snapshot_extent(volumes[0], 0, 20, volumes[-1], 200_000)
        store.sync()
        if self._chance.randrange(3) == 0:
            store.tidy()
        store.close()
        self._look_inside(medium, history, store.durable)
        again = self.open(OnlyRead(medium))
        assert again.recovered == store.appended
        check_contents(again, twin.oracle)
