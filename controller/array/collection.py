"""Free-space collection: which segments are worth it, what of them is in use, and where the pointers go.

A *walk* looks at every page that exists when it begins, each once, a few at a time, while writing goes on. It goes over
a frozen directory: an old record can only lose pointers meanwhile, and a pointer that is set meanwhile is to a new
record or was copied from a page that the walk sees too.

    look    translates what was relocated before, and samples how much of each segment is in use
    gather  finds every pointer into the victims
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from controller.array.directory import Directory
from controller.array.format import SEGMENT_SHIFT, SIZE_MASK, SIZE_UNIT_BYTES
from controller.array.page import Page, Pointers
from controller.array.pointers import SegmentSet, Translation

PAGE_COST_BYTES = 4096
"""What a page counts in a step's budget: about as long as copying that many bytes."""
SAMPLES_MAX = 1 << 17
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


class Walker:
    """Walks over all pages of a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._serial = 0

    def walk(self, visit: Callable[[Page], None], *, before_copy: bool = False) -> Iterator[int]:
        """Show every page to `visit`, once. Yields the cost of each chunk of pages.

        before_copy: a page is also shown as soon as pointers are about to leave it, so that none escapes.
        """
        self._serial += 1
        serial = self._serial

        def once(page: Page) -> None:
            if page.first_visit(serial):
                visit(page)

        frozen = self._directory.freeze()
        watch = self._directory.watch
        if before_copy:
            watch.before_copy = once
        try:
            for _, _, tracks in frozen.volumes:
                for _, chunk in tracks.chunks():
                    if chunk.first_visit(serial):
                        for _, page in chunk.pages():
                            once(page)
                            yield PAGE_COST_BYTES
        finally:
            if before_copy:
                watch.before_copy = None


class Usage:
    """An estimate of how many bytes of each segment are in use; exact as long as there are few records.

    Records are sampled by a hash of their location, so one that many pages point at counts once.
    """

    def __init__(self, records: int) -> None:
        self.rate = 1
        while records > SAMPLES_MAX * self.rate:
            self.rate *= 2
        self._samples: list[Pointers] = []

    def see(self, page: Page) -> None:
        """Take the samples of a page."""
        locations = page.locations[page.locations != 0]
        if self.rate > 1:
            locations = locations[(locations * _SCATTER >> np.uint64(40)) % np.uint64(self.rate) == 0]
        self._samples.append(locations)

    def by_segment(self) -> dict[int, int]:
        """Bytes in use by segment; segments without any are left out."""
        if not self._samples:
            return {}
        locations = _sorted_once(self._samples)
        sizes = (locations & np.uint64(SIZE_MASK)).astype(np.int64) * SIZE_UNIT_BYTES - SIZE_UNIT_BYTES // 2
        segments = (locations >> np.uint64(SEGMENT_SHIFT)).astype(np.int64)
        first = int(segments[0]) if len(segments) else 0
        totals = np.bincount(segments - first, weights=sizes)
        (used,) = np.nonzero(totals)
        return {int(at) + first: int(totals[at]) * self.rate for at in used}


class Gathered:
    """The pointers into some segments."""

    def __init__(self, segments: list[int]) -> None:
        self._segments = SegmentSet(segments)
        self._found: list[Pointers] = []

    def see(self, page: Page) -> None:
        """Take the pointers of a page."""
        hit = self._segments.hits(page.locations)
        if hit.any():
            self._found.append(page.locations[hit])

    def locations(self) -> NDArray[np.uint64]:
        """Every record pointed at, once, in the order of the log."""
        return _sorted_once(self._found) if self._found else np.empty(0, np.uint64)


def _sorted_once(parts: list[Pointers]) -> Pointers:
    """All locations in order, each once. (numpy's `unique` hashes, which takes ten times as long.)"""
    locations = np.concatenate(parts)
    locations.sort()
    first = np.ones(len(locations), bool)
    first[1:] = locations[1:] != locations[:-1]
    return locations[first]


def translate_and_sample(translation: Translation, usage: Usage) -> Callable[[Page], None]:
    """What a look does to a page."""

    def visit(page: Page) -> None:
        translation.apply(page)
        usage.see(page)

    return visit


def choose_victims(
    lengths: dict[int, int], used: dict[int, int], copy_bytes: int, ratio_max: float
) -> tuple[list[int], int]:
    """The segments that give most for what has to be copied, and how much that gives.

    lengths: of the segments to choose from; used: bytes in use by segment. At most `copy_bytes` have to be copied, and
    no segment is chosen of which more than `ratio_max` is in use.
    """
    victims: list[int] = []
    gain = 0
    for number in sorted(lengths, key=lambda number: (used.get(number, 0) / lengths[number], number)):
        in_use = used.get(number, 0)
        if in_use > ratio_max * lengths[number] or in_use > copy_bytes:
            break
        copy_bytes -= in_use
        gain += lengths[number] - in_use
        victims.append(number)
    return victims, gain
