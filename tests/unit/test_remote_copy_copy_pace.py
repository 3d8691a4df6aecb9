"""How many copies may be under way beside the updates of hosts."""

from __future__ import annotations

from controller.remote_copy.copy_pace import AT_FIRST, AT_LEAST, LATELY_S, QUEUED_S, QUICKEST_OF_S, CopyPace

QUICK_S = 0.002
LATE_S = QUICK_S + 2 * QUEUED_S


def limit(pace: CopyPace, now: float) -> int:
    return next(count for count in range(10_000) if not pace.room(count, now))


def test_without_updates_only_the_window_bounds_them() -> None:
    pace = CopyPace(64)
    assert pace.room(1000, 0.0)
    pace.updated(1.0)
    assert limit(pace, 1.0) == AT_FIRST
    assert not pace.room(AT_FIRST, 1.0 + LATELY_S - 0.1)
    assert pace.room(1000, 1.0 + LATELY_S)


def test_each_that_is_confirmed_quickly_lets_one_more_under_way_until_the_window() -> None:
    pace = CopyPace(20)
    pace.updated(0.0)
    for index in range(10):
        pace.confirmed(index * 0.001, index * 0.001 + QUICK_S)
        assert limit(pace, 0.1) == min(AT_FIRST + index + 1, 20)


def test_one_that_is_late_halves_them_but_those_of_the_same_queue_do_so_once() -> None:
    pace = CopyPace(64)
    pace.updated(0.0)
    pace.confirmed(0.0, QUICK_S)
    for _ in range(10):
        pace.confirmed(0.01, 0.01 + LATE_S)
    assert limit(pace, 0.1) == (AT_FIRST + 1) // 2
    for index in range(1, 10):
        pace.confirmed(float(index), index + LATE_S)
    assert limit(pace, 9.0) == AT_LEAST


def test_a_window_smaller_than_the_least_stays_the_bound() -> None:
    pace = CopyPace(1)
    pace.updated(0.0)
    pace.confirmed(0.0, QUICK_S)
    pace.confirmed(1.0, 1.0 + LATE_S)
    assert limit(pace, 1.0) == 1


def test_a_line_that_has_become_longer_is_what_the_quickest_is_measured_by_after_a_while() -> None:
    pace = CopyPace(64)
    longer = 20 * QUICK_S
    pace.confirmed(0.0, QUICK_S)
    for second in range(1, int(2 * QUICKEST_OF_S) + 2):
        pace.updated(float(second))
        pace.confirmed(float(second), second + longer)
    slowest = limit(pace, second + longer)
    assert slowest <= AT_LEAST + 2
    for index in range(10):
        pace.confirmed(second + 1 + index, second + 1 + index + longer)
    assert limit(pace, second + 1.0) == slowest + 10
