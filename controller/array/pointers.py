"""Pointers a page at a time: turned to where records are now, and told apart by the segments that they lead into."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from controller.array.format import SEGMENT_SHIFT
from controller.array.page import Page, Pointers


class Translation:
    """Turns pointers from where records were to where they are now. Applied twice it does no more than once."""

    def __init__(self, moved: dict[int, int]) -> None:
        self._old = np.array(sorted(moved), np.uint64)
        self._new = np.array([_last(moved, old) for old in sorted(moved)], np.uint64)

    def apply(self, page: Page) -> None:
        """Turn the pointers of one page, whoever shares it."""
        if not len(self._old):
            return
        at = np.searchsorted(self._old, page.locations)
        at[at == len(self._old)] = 0
        hit = self._old[at] == page.locations
        if hit.any():
            page.locations[hit] = self._new[at[hit]]


class SegmentSet:
    """Tells pointers into some segments from others, a page at a time."""

    def __init__(self, segments: Iterable[int]) -> None:
        numbers = sorted(segments)
        self._first = np.uint64(numbers[0] if numbers else 0)
        span = numbers[-1] - numbers[0] + 1 if numbers else 0
        self._beyond = np.uint64(span)
        self._table = np.zeros(span + 1, bool)
        self._table[[number - numbers[0] for number in numbers]] = True

    def hits(self, locations: Pointers) -> NDArray[np.bool_]:
        """Which of the locations lie in one of the segments."""
        hit: NDArray[np.bool_] = self._table[
            np.minimum((locations >> np.uint64(SEGMENT_SHIFT)) - self._first, self._beyond)  # wraps below the first
        ]
        return hit


def _last(moved: dict[int, int], location: int) -> int:
    """Where a record that moved once or more is now."""
    while location in moved:
        location = moved[location]
    return location
