"""Pages of pointers and chunks of pages: what the maps of track_map.py are made of and share.

A page has the pointers of 512 neighbouring tracks: a location each, the 64-bit number of format.py, 0 where the track
was never written, and a sequence, four bytes relative to the page's `base`; where sequences lie 2**32 or more apart
they take eight. A chunk has 64 neighbouring pages.

An array has millions of tracks, so thousands of pages, and they live long. Python's garbage collector looks at every
object that can refer to others, and stops everybody meanwhile: for the longer, the more was written and snapped. So
pages and chunks are kept in arrays of objects, `Cells`, which it does not look at; reference counts alone free them,
for nothing in them refers back. `Page` and `Chunk` are how to look at cells, made when needed and dropped at once.
"""

from __future__ import annotations

from itertools import repeat
from operator import is_not

import numpy as np
from numpy.typing import NDArray

PAGE_SHIFT = 9
PAGE_TRACKS = 1 << PAGE_SHIFT
CHUNK_SHIFT = 6
CHUNK_PAGES = 1 << CHUNK_SHIFT
CHUNK_TRACKS = 1 << PAGE_SHIFT + CHUNK_SHIFT
RELATIVE_MAX = (1 << 32) - 1

Cells = NDArray[np.object_]
Pointers = NDArray[np.uint64]
Sequences = NDArray[np.uint32] | NDArray[np.uint64]

LOCATIONS, SEQUENCES, OWNER, BASE, NEWEST, WRITTEN, VISITED = range(7)
"""The cells of a page."""
CHUNK_OWNER, CHUNK_VISITED = CHUNK_PAGES, CHUNK_PAGES + 1
"""The cells of a chunk behind those of its pages, which hold a page's cells or None."""


class _View:
    """A way to look at cells. Two views are equal when they look at the same."""

    __slots__ = ("cells",)

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _View) and self.cells is other.cells

    def __hash__(self) -> int:
        return id(self.cells)


class Page(_View):
    """Pointers of PAGE_TRACKS tracks. What changes them asks nobody: track_map.py says who may."""

    __slots__ = ()

    @classmethod
    def new(cls, owner: object) -> Page:
        """A page without a written track."""
        cells = np.empty(7, object)
        cells[LOCATIONS] = np.zeros(PAGE_TRACKS, np.uint64)
        cells[SEQUENCES] = np.zeros(PAGE_TRACKS, np.uint32)
        cells[OWNER] = owner
        cells[BASE:] = 0
        return cls(cells)

    @classmethod
    def restored(cls, locations: Pointers, sequences: Sequences, base: int, newest: int) -> Page:
        """A page from its parts, which nobody owns."""
        page = cls.new(None)
        cells = page.cells
        cells[LOCATIONS], cells[SEQUENCES], cells[BASE], cells[NEWEST] = locations, sequences, base, newest
        cells[WRITTEN] = int(np.count_nonzero(locations))
        return page

    def copy(self, owner: object) -> Page:
        """The same pointers, for another owner."""
        cells = self.cells.copy()
        cells[LOCATIONS] = cells[LOCATIONS].copy()
        cells[SEQUENCES] = cells[SEQUENCES].copy()
        cells[OWNER] = owner
        return Page(cells)

    @property
    def locations(self) -> Pointers:
        """Location of each track, 0 where never written."""
        found: Pointers = self.cells[LOCATIONS]
        return found

    @property
    def sequences(self) -> Sequences:
        """Sequence of each track less `base`, 0 where never written."""
        found: Sequences = self.cells[SEQUENCES]
        return found

    @property
    def base(self) -> int:
        """What the sequences are relative to."""
        return int(self.cells[BASE])

    @property
    def newest(self) -> int:
        """At least the greatest sequence."""
        return int(self.cells[NEWEST])

    @property
    def written(self) -> int:
        """How many tracks are written."""
        return int(self.cells[WRITTEN])

    def first_visit(self, walk: int) -> bool:
        """Whether the walk with this number has not been here; it has from now on."""
        return _first_visit(self.cells, VISITED, walk)

    def absolute_sequences(self) -> NDArray[np.uint64]:
        """The sequences of all tracks, 0 where never written."""
        wide = self.sequences.astype(np.uint64)
        return np.where(wide != 0, wide + np.uint64(self.base), wide)

    def set(self, index: int, location: int, sequence: int) -> int:
        """Point one track at a record; how many tracks more are written now."""
        cells = self.cells
        relative = sequence - cells[BASE]
        if not 0 < relative <= RELATIVE_MAX:
            self._keep(self.absolute_sequences(), sequence, sequence)
            relative = sequence - cells[BASE]
        locations = cells[LOCATIONS]
        more = 0 if locations.item(index) else 1
        locations[index] = location
        cells[SEQUENCES][index] = relative
        if more:
            cells[WRITTEN] += 1
        if sequence > cells[NEWEST]:
            cells[NEWEST] = sequence
        return more

    def put(self, start: int, locations: Pointers, sequences: NDArray[np.uint64]) -> None:
        """Replace the pointers from index `start` on; a location of 0 makes its track never written."""
        stop = start + len(locations)
        whole = self.absolute_sequences()
        whole[start:stop] = sequences
        self.locations[start:stop] = locations
        self.cells[WRITTEN] = int(np.count_nonzero(self.locations))
        written = whole[whole != 0]
        if len(written):
            self._keep(whole, int(written.min()), int(written.max()))
        else:
            self.cells[SEQUENCES] = np.zeros(PAGE_TRACKS, np.uint32)
            self.cells[NEWEST] = 0

    def clear(self, start: int, stop: int) -> int:
        """Make the tracks with these indexes never written: how many of them were."""
        cleared = int(np.count_nonzero(self.locations[start:stop]))
        self.locations[start:stop] = 0
        self.sequences[start:stop] = 0
        self.cells[WRITTEN] -= cleared
        return cleared

    def disown(self) -> None:
        """Let whoever changes it next copy it first."""
        self.cells[OWNER] = None

    def _keep(self, absolute: NDArray[np.uint64], oldest: int, newest: int) -> None:
        """Keep these sequences in four bytes each if they lie close enough together, with room for both limits."""
        written = absolute[absolute != 0]
        if len(written):
            oldest, newest = min(oldest, int(written.min())), max(newest, int(written.max()))
        narrow = newest - oldest < RELATIVE_MAX
        base = oldest - 1 if narrow else 0
        relative = np.where(absolute != 0, absolute - np.uint64(base), absolute)
        self.cells[SEQUENCES] = relative.astype(np.uint32) if narrow else relative
        self.cells[BASE], self.cells[NEWEST] = base, newest


class Chunk(_View):
    """References to CHUNK_PAGES neighbouring pages."""

    __slots__ = ()

    @classmethod
    def new(cls, owner: object) -> Chunk:
        """A chunk without pages."""
        cells = np.empty(CHUNK_PAGES + 2, object)
        cells[CHUNK_OWNER], cells[CHUNK_VISITED] = owner, 0
        return cls(cells)

    def copy(self, owner: object) -> Chunk:
        """The same pages, for another owner."""
        cells = self.cells.copy()
        cells[CHUNK_OWNER], cells[CHUNK_VISITED] = owner, 0
        return Chunk(cells)

    def pages(self) -> list[tuple[int, Page]]:
        """The pages with their positions, ascending."""
        return [
            (position, Page(cells)) for position, cells in enumerate(self.cells[:CHUNK_PAGES]) if cells is not None
        ]

    def put(self, position: int, page: Page | None) -> None:
        """Replace the page, or the lack of one, at a position."""
        self.cells[position] = None if page is None else page.cells

    def first_visit(self, walk: int) -> bool:
        """Whether the walk with this number has not been here; it has from now on."""
        return _first_visit(self.cells, CHUNK_VISITED, walk)

    @property
    def empty(self) -> bool:
        """Whether it has no page."""
        pages = self.cells[:CHUNK_PAGES].tolist()  # asked with each track that a bridge redirects
        return not any(map(is_not, pages, repeat(None)))

    @property
    def written(self) -> int:
        """How many tracks of its pages are written."""
        return sum(cells[WRITTEN] for cells in self.cells[:CHUNK_PAGES].tolist() if cells is not None)


def _first_visit(cells: Cells, at: int, walk: int) -> bool:
    if cells[at] == walk:
        return False
    cells[at] = walk
    return True
