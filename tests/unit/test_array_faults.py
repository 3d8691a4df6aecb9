"""The medium refuses: at the k-th sync, write, reservation or creation of a script, for every k.

A failed sync or write fences the array: nothing is acknowledged from then on, reads go on, opening again recovers (I1,
I10). A medium without room is a clean refusal: nothing has changed, nothing is fenced, and it goes on when there is
room again (I14).
"""

from collections import Counter

import pytest

from controller.array import DiskError, DiskFullError, FencedError
from tests.helpers.crash_medium import CrashMedium
from tests.helpers.crash_script import Player, check_contents, make_script, open_store

SCRIPT = make_script()


class FaultyMedium(CrashMedium):
    """Refuses the `at`-th operation of a kind, once or, `lasting`, until it is told to work again."""

    def __init__(
        self, kind: str = "", at: int = -1, error: type[DiskError] = DiskError, *, lasting: bool = False
    ) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.refused = 0
        self._kind, self._at, self._error, self._lasting = kind, at, error, lasting
        self.watch = self._count

    def mend(self) -> None:
        self._at = 1 << 40

    def _count(self, operation: str) -> None:
        self.counts[operation] += 1
        number = self.counts[operation] - 1
        if operation == self._kind and (number == self._at or (self._lasting and number >= self._at)):
            self.refused += 1
            raise self._error(f"{operation} {number} refused on purpose")


def operations(kind: str) -> int:
    medium = FaultyMedium()
    player = Player(medium)
    for step in SCRIPT:
        player.play(step)
    return medium.counts[kind]


def a_failed_operation_fences(kind: str, at: int) -> None:
    medium = FaultyMedium(kind, at)
    player = Player(medium)
    fenced = False
    for step in SCRIPT:
        try:
            player.play(step)
        except (DiskError, FencedError):
            fenced = True
            break
    assert fenced == (medium.refused > 0)
    acknowledged = player.acknowledged
    if player.started and step[0] not in ("reopen", "close"):
        store, oracle = player.twin.store, player.twin.oracle
        assert store.fenced
        with pytest.raises(FencedError):
            store.write(1, 0, b"never")
        with pytest.raises(FencedError):
            store.sync()
        assert store.housekeep(1 << 20) == 0
        assert store.durable == acknowledged
        check_contents(store, oracle)  # reads go on, what was never acknowledged is seen until the end
        store.close()
    medium.mend()
    with open_store(medium) as again:
        assert again.recovered >= acknowledged
        check_contents(again, player.history.at(again.recovered))
        assert not again.fenced
        again.define_volume(1, {})
        assert again.sync() == again.appended


@pytest.mark.parametrize("kind", ["sync", "write"])
def test_an_error_fences_and_loses_nothing_acknowledged(kind: str) -> None:  # I1, I10
    for at in range(0, operations(kind), 5):
        a_failed_operation_fences(kind, at)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sync", "write", "create", "remove"])
def test_an_error_at_every_operation(kind: str) -> None:  # I1, I10
    for at in range(operations(kind)):
        a_failed_operation_fences(kind, at)


def no_room_is_a_clean_refusal(at: int) -> int:
    """The step that is refused is done again when there is room; the end is that of a run without a fault."""
    medium = FaultyMedium("reserve", at, DiskFullError, lasting=True)
    player = Player(medium)
    refusals = 0
    for step in SCRIPT:
        before = player.twin.oracle if player.started else None
        try:
            player.play(step)
        except DiskFullError:
            refusals += 1
            if before is not None and not player.closed:
                store = player.twin.store
                assert not store.fenced
                check_contents(store, player.twin.oracle)
                with pytest.raises(DiskFullError):
                    while True:  # what fits the segment is still taken, then there is no room
                        player.twin.put("filler", bytes(900))
                store.sync()
            medium.mend()
            player.redo(step)
    assert refusals <= 1  # none, where it was collection that found no room
    medium.mend()
    store = open_store(medium)
    check_contents(store, player.twin.oracle)
    return medium.refused


def test_no_room_is_a_clean_refusal() -> None:  # I14
    assert sum(no_room_is_a_clean_refusal(at) for at in range(0, operations("reserve"), 3)) > 5


@pytest.mark.soak
def test_no_room_at_every_reservation() -> None:  # I14
    assert sum(map(no_room_is_a_clean_refusal, range(operations("reserve")))) > 20
