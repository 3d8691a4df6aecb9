"""The pointers of one volume: which log record each track points at, and the sequence that put it there.

    TrackMap -- dict --> Chunk -- list --> Page -- arrays --> location, sequence
               (sparse)        64 pages         512 tracks     8 + 4 bytes

A location is the 64-bit pointer of format.py, 0 where the track was never written. A sequence is kept as four bytes
relative to the page's `base`; a page whose sequences lie 2**32 or more apart keeps them in eight. Chunks and pages
without a written track take no memory.

Copy on write
-------------
A snapshot shares the source's dict of chunks: O(1), whatever the size. From then on neither side owns the dict, a
chunk or a page. Who changes a track first copies the dict (one reference for 32,768 tracks), the chunk (64 references)
and the page (6 KB); what it copied it owns, and changes in place from then on. Ownership is a token that both sides
renew at each snapshot, so a page is never changed through one map while another can see it (I2). That is all a first
write after a snapshot pays: about 5 us, whatever the volume's size.

A page may be *translated* in place although many maps share it: that a record was relocated changes no contents.
Pointers leave a page (copied to another, moved to another track) only after `Watch.before_copy` saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from controller.array.format import SEGMENT_SHIFT

PAGE_SHIFT = 9
PAGE_TRACKS = 1 << PAGE_SHIFT
CHUNK_SHIFT = 6
CHUNK_PAGES = 1 << CHUNK_SHIFT
CHUNK_TRACKS = 1 << PAGE_SHIFT + CHUNK_SHIFT
TRACKS_MAX = (1 << 32) - 1
"""Most tracks of a volume: a track number, and the one after a range, have 4 bytes in the log."""
_TRACK_MASK = PAGE_TRACKS - 1
_PAGE_MASK = CHUNK_PAGES - 1
_RELATIVE_MAX = (1 << 32) - 1

Pointers = NDArray[np.uint64]
Sequences = NDArray[np.uint32] | NDArray[np.uint64]


class Watch:
    """Who must see a page before pointers leave it. One for all maps of a directory."""

    __slots__ = ("before_copy",)

    def __init__(self) -> None:
        self.before_copy: Callable[[Page], None] | None = None


class Page:
    """Pointers of PAGE_TRACKS tracks: `written` of them are not 0, and `newest` is at least the greatest sequence.

    `sequences` holds sequence - `base`, 0 where the track was never written.
    """

    __slots__ = ("base", "locations", "newest", "owner", "sequences", "visited", "written")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.locations: Pointers = np.zeros(PAGE_TRACKS, np.uint64)
        self.sequences: Sequences = np.zeros(PAGE_TRACKS, np.uint32)
        self.base = 0
        self.newest = 0
        self.written = 0
        self.visited = 0  # the last walk (directory.py) that came by

    def copy(self, owner: object) -> Page:
        """The same pointers, for another owner."""
        other = Page.__new__(Page)
        other.owner = owner
        other.locations = self.locations.copy()
        other.sequences = self.sequences.copy()
        other.base, other.newest, other.written, other.visited = self.base, self.newest, self.written, self.visited
        return other

    def sequence_at(self, index: int) -> int:
        """Sequence of one track, 0 if never written."""
        relative = self.sequences.item(index)
        return self.base + relative if relative else 0

    def absolute_sequences(self) -> NDArray[np.uint64]:
        """The sequences of all tracks, 0 where never written."""
        wide = self.sequences.astype(np.uint64)
        return np.where(wide != 0, wide + np.uint64(self.base), wide)

    def set(self, index: int, location: int, sequence: int) -> None:
        """Point one track at a record."""
        relative = sequence - self.base
        if not 0 < relative <= _RELATIVE_MAX:
            self._keep(self.absolute_sequences(), sequence, sequence)
            relative = sequence - self.base
        if not self.locations.item(index):
            self.written += 1
        self.locations[index] = location
        self.sequences[index] = relative
        if sequence > self.newest:
            self.newest = sequence

    def put(self, start: int, locations: Pointers, sequences: NDArray[np.uint64]) -> None:
        """Replace the pointers from index `start` on; a location of 0 makes its track never written."""
        stop = start + len(locations)
        whole = self.absolute_sequences()
        whole[start:stop] = sequences
        self.locations[start:stop] = locations
        self.written = int(np.count_nonzero(self.locations))
        written = whole[whole != 0]
        if len(written):
            self._keep(whole, int(written.min()), int(written.max()))
        else:
            self.sequences = np.zeros(PAGE_TRACKS, np.uint32)
            self.newest = 0

    def clear(self, start: int, stop: int) -> int:
        """Make the tracks with these indexes never written: how many of them were."""
        cleared = int(np.count_nonzero(self.locations[start:stop]))
        self.locations[start:stop] = 0
        self.sequences[start:stop] = 0
        self.written -= cleared
        return cleared

    def _keep(self, absolute: NDArray[np.uint64], oldest: int, newest: int) -> None:
        """Keep these sequences in four bytes each if they lie close enough together, with room for both limits."""
        written = absolute[absolute != 0]
        if len(written):
            oldest, newest = min(oldest, int(written.min())), max(newest, int(written.max()))
        narrow = newest - oldest < _RELATIVE_MAX
        self.base = oldest - 1 if narrow else 0
        relative = np.where(absolute != 0, absolute - np.uint64(self.base), absolute)
        self.sequences = relative.astype(np.uint32) if narrow else relative
        self.newest = newest


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


class Chunk:
    """References to CHUNK_PAGES neighbouring pages, None where no track is written."""

    __slots__ = ("owner", "pages", "visited")

    def __init__(self, owner: object, pages: list[Page | None]) -> None:
        self.owner = owner
        self.pages = pages
        self.visited = 0


class TrackMap:
    """The pointers of one volume. `allocated` counts its written tracks."""

    __slots__ = ("_chunks", "_owner", "_owns_chunks", "_stop", "_watch", "allocated")

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch or Watch()
        self._chunks: dict[int, Chunk] = {}
        self._stop = 0  # no track from here on was ever written
        self._owns_chunks = True
        self._owner = object()
        self.allocated = 0

    def snapshot(self) -> TrackMap:
        """A copy of all pointers. O(1): everything is shared until either side changes it."""
        other = TrackMap(self._watch)
        other._chunks = self._chunks
        other._stop = self._stop
        other.allocated = self.allocated
        other._owns_chunks = self._owns_chunks = False
        self._owner = object()
        return other

    def find(self, track: int) -> tuple[int, int]:
        """Location and sequence of a track; (0, 0) if never written."""
        page = self._page(track >> PAGE_SHIFT)
        if page is None:
            return 0, 0
        index = track & _TRACK_MASK
        return page.locations.item(index), page.sequence_at(index)

    def location(self, track: int) -> int:
        """Location of a track, 0 if never written."""
        chunk = self._chunks.get(track >> PAGE_SHIFT + CHUNK_SHIFT)
        page = None if chunk is None else chunk.pages[track >> PAGE_SHIFT & _PAGE_MASK]
        return 0 if page is None else page.locations.item(track & _TRACK_MASK)

    def locations(self, first: int, stop: int) -> list[tuple[int, int]]:
        """Number and location of every written track from `first` to `stop` - 1, ascending."""
        found: list[tuple[int, int]] = []
        for number in sorted(self._page_numbers(first >> PAGE_SHIFT, (stop + _TRACK_MASK) >> PAGE_SHIFT)):
            page = self._page(number)
            assert page is not None
            (indexes,) = np.nonzero(page.locations)
            tracks = indexes + (number << PAGE_SHIFT)
            kept = (tracks >= first) & (tracks < stop)
            found += zip(tracks[kept].tolist(), page.locations[indexes[kept]].tolist(), strict=True)
        return found

    def take(self, track: int) -> int:
        """The location of a track, which becomes never written: to be put elsewhere."""
        page = self._page(track >> PAGE_SHIFT)
        if page is None:
            return 0
        self._before_copy(page)
        location: int = page.locations.item(track & _TRACK_MASK)
        self.clear(track, track + 1)
        return location

    def set(self, track: int, location: int, sequence: int) -> None:
        """Point a track at a record."""
        page = self._own_page(track >> PAGE_SHIFT)
        before = page.written
        page.set(track & _TRACK_MASK, location, sequence)
        self.allocated += page.written - before
        if track >= self._stop:
            self._stop = track + 1

    def clear(self, first: int, stop: int) -> None:
        """Make tracks first..stop-1 unwritten. O(1) when that is the whole volume."""
        if first == 0 and stop >= self._stop:
            self._chunks, self._owns_chunks = {}, True
            self._stop = self.allocated = 0
            return
        for number in list(self._page_numbers(first >> PAGE_SHIFT, (stop + _TRACK_MASK) >> PAGE_SHIFT)):
            start = max(first - (number << PAGE_SHIFT), 0)
            end = min(stop - (number << PAGE_SHIFT), PAGE_TRACKS)
            page = self._page(number)
            assert page is not None
            written = int(np.count_nonzero(page.locations[start:end]))
            if written == page.written:
                self._put_page(number, None)
            elif written:
                self.allocated -= self._own_page(number).clear(start, end)

    def copy_extent(self, source: TrackMap, first: int, count: int, target_first: int) -> None:
        """Take the pointers of `count` tracks of `source` from `first` on, for those from `target_first` on.

        O(1) for whole maps. Else whole chunks and pages are shared where both extents lie alike in them, and other
        pages' pointers copied. `source` may be this map if the extents do not overlap.
        """
        if count <= 0:
            return
        stop = target_first + count
        shift = first - target_first
        if first == target_first == 0 and stop >= max(self._stop, source._stop):
            self._chunks = source._chunks
            self._owns_chunks = source._owns_chunks = False
            self._owner, source._owner = object(), object()
            self._stop, self.allocated = source._stop, source.allocated
            return
        whole = range(-(-target_first // CHUNK_TRACKS), stop // CHUNK_TRACKS)
        if shift % CHUNK_TRACKS or not whole:
            self._copy_pages(source, shift, target_first, stop)
        else:
            self._copy_pages(source, shift, target_first, whole.start * CHUNK_TRACKS)
            self._share_chunks(source, shift // CHUNK_TRACKS, whole)
            self._copy_pages(source, shift, whole.stop * CHUNK_TRACKS, stop)
        self._stop = max(self._stop, min(stop, source._stop - shift))

    def _copy_pages(self, source: TrackMap, shift: int, first: int, stop: int) -> None:
        """Take tracks first..stop-1 from those that lie `shift` further on in `source`."""
        for number in self._touched_pages(source, shift, first, stop):
            start = max(first - (number << PAGE_SHIFT), 0)
            end = min(stop - (number << PAGE_SHIFT), PAGE_TRACKS)
            if shift & _TRACK_MASK == 0 and (start, end) == (0, PAGE_TRACKS):
                page = source._page(number + (shift >> PAGE_SHIFT))
                if page is not None:
                    page.owner = None  # both sides copy it before they change it
                self._put_page(number, page)
            else:
                at = (number << PAGE_SHIFT) + start + shift
                self._put_range(number, start, *source._range(at, at + end - start))

    def _share_chunks(self, source: TrackMap, shift: int, numbers: range) -> None:
        """Take the chunks with these numbers from those that lie `shift` further on in `source`."""
        used = {number for number in self._chunks if number in numbers}
        used.update(number - shift for number in source._chunks if number - shift in numbers)
        if not self._owns_chunks:
            self._chunks = dict(self._chunks)
            self._owns_chunks = True
        for number in used:
            old, new = self._chunks.pop(number, None), source._chunks.get(number + shift)
            self.allocated -= _written(old)
            if new is not None:
                self._chunks[number] = new
                self.allocated += _written(new)
        source._owner = object()  # it owned chunks and pages that this map has, too, by now

    def written_since(self, sequence: int) -> NDArray[np.int64]:
        """Tracks, ascending, whose pointer was set by a change after `sequence`."""
        found = []
        for number, page in self.pages():
            if page.newest > sequence:
                bound = min(max(sequence - page.base, 0), 2**64 - 1)
                if bound > _RELATIVE_MAX and page.sequences.itemsize == 4:
                    continue
                (indexes,) = np.nonzero(page.sequences > page.sequences.dtype.type(bound))
                found.append(indexes + (number << PAGE_SHIFT))
        return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)

    def differing(self, other: TrackMap) -> Iterator[int]:
        """Tracks, ascending, whose sequences differ in two maps. Pages that both share are not looked at."""
        for index in sorted({*self._chunks, *other._chunks}):
            mine, theirs = self._chunks.get(index), other._chunks.get(index)
            if mine is theirs:
                continue
            for position in range(CHUNK_PAGES):
                one = mine.pages[position] if mine else None
                two = theirs.pages[position] if theirs else None
                if one is not two:
                    (indexes,) = np.nonzero(_sequences_of(one) != _sequences_of(two))
                    for at in indexes.tolist():
                        yield (index << CHUNK_SHIFT | position) << PAGE_SHIFT | at

    def pages(self) -> Iterator[tuple[int, Page]]:
        """All pages with a written track, ascending, by page number."""
        for index in sorted(self._chunks):
            for position, page in enumerate(self._chunks[index].pages):
                if page is not None:
                    yield index << CHUNK_SHIFT | position, page

    def chunks(self) -> list[tuple[int, Chunk]]:
        """All chunks, ascending, by chunk number."""
        return sorted(self._chunks.items())

    @property
    def stop(self) -> int:
        """No track from here on was ever written."""
        return self._stop

    @classmethod
    def restored(cls, watch: Watch, chunks: dict[int, Chunk], stop: int, allocated: int) -> TrackMap:
        """A map from its parts, as a checkpoint keeps them; it owns none of the chunks."""
        found = cls(watch)
        found._chunks, found._stop, found.allocated = chunks, stop, allocated
        return found

    # Inside

    def _page(self, number: int) -> Page | None:
        chunk = self._chunks.get(number >> CHUNK_SHIFT)
        return None if chunk is None else chunk.pages[number & _PAGE_MASK]

    def _page_numbers(self, first: int, stop: int) -> Iterator[int]:
        """Numbers of the pages in use from `first` to `stop` - 1, looking only at chunks in use."""
        numbers: range | list[int] = range(first >> CHUNK_SHIFT, (stop + _PAGE_MASK) >> CHUNK_SHIFT)
        if len(numbers) > len(self._chunks):
            numbers = sorted(index for index in self._chunks if index in numbers)
        for index in numbers:
            chunk = self._chunks.get(index)
            if chunk is not None:
                for position, page in enumerate(chunk.pages):
                    number = index << CHUNK_SHIFT | position
                    if page is not None and first <= number < stop:
                        yield number

    def _touched_pages(self, source: TrackMap, shift: int, first: int, stop: int) -> list[int]:
        """Numbers of this map's pages that a copy changes: those in use, and those the source has tracks for."""
        first_page, stop_page = first >> PAGE_SHIFT, (stop + _TRACK_MASK) >> PAGE_SHIFT
        touched = set(self._page_numbers(first_page, stop_page))
        for number in source._page_numbers((first + shift) >> PAGE_SHIFT, (stop + shift + _TRACK_MASK) >> PAGE_SHIFT):
            low = (number << PAGE_SHIFT) - shift
            touched.update(page for page in (low >> PAGE_SHIFT, (low + _TRACK_MASK) >> PAGE_SHIFT))
        return sorted(number for number in touched if first_page <= number < stop_page)

    def _range(self, first: int, stop: int) -> tuple[Pointers, NDArray[np.uint64]]:
        """Locations and sequences of tracks first..stop-1, to be put elsewhere; at most a page's worth."""
        locations = np.zeros(stop - first, np.uint64)
        sequences = np.zeros(stop - first, np.uint64)
        for number in range(first >> PAGE_SHIFT, (stop + _TRACK_MASK) >> PAGE_SHIFT):
            page = self._page(number)
            if page is not None:
                self._before_copy(page)
                start = max(first - (number << PAGE_SHIFT), 0)
                end = min(stop - (number << PAGE_SHIFT), PAGE_TRACKS)
                at = (number << PAGE_SHIFT) + start - first
                locations[at : at + end - start] = page.locations[start:end]
                sequences[at : at + end - start] = page.absolute_sequences()[start:end]
        return locations, sequences

    def _put_range(self, number: int, start: int, locations: Pointers, sequences: NDArray[np.uint64]) -> None:
        page = self._page(number)
        if page is None and not locations.any():
            return
        page = self._own_page(number)
        before = page.written
        page.put(start, locations, sequences)
        self.allocated += page.written - before
        if not page.written:
            self._put_page(number, None)

    def _put_page(self, number: int, page: Page | None) -> None:
        """Let this map have `page`, or none, under a page number."""
        old = self._page(number)
        if old is page:
            return
        self._own_chunk(number >> CHUNK_SHIFT).pages[number & _PAGE_MASK] = page
        self.allocated += (page.written if page else 0) - (old.written if old else 0)
        if page is None and not any(self._chunks[number >> CHUNK_SHIFT].pages):
            del self._chunks[number >> CHUNK_SHIFT]

    def _own_chunk(self, index: int) -> Chunk:
        chunk = self._chunks.get(index)
        if chunk is not None and chunk.owner is self._owner:
            return chunk
        if not self._owns_chunks:
            self._chunks = dict(self._chunks)
            self._owns_chunks = True
        chunk = Chunk(self._owner, [None] * CHUNK_PAGES if chunk is None else chunk.pages.copy())
        self._chunks[index] = chunk
        return chunk

    def _own_page(self, number: int) -> Page:
        page = self._page(number)
        if page is not None and page.owner is self._owner:
            return page
        chunk = self._own_chunk(number >> CHUNK_SHIFT)
        if page is None:
            page = Page(self._owner)
        else:
            self._before_copy(page)
            page = page.copy(self._owner)
        chunk.pages[number & _PAGE_MASK] = page
        return page

    def _before_copy(self, page: Page) -> None:
        if self._watch.before_copy is not None:
            self._watch.before_copy(page)


def _written(chunk: Chunk | None) -> int:
    return 0 if chunk is None else sum(page.written for page in chunk.pages if page is not None)


def _sequences_of(page: Page | None) -> NDArray[np.uint64]:
    return np.zeros(PAGE_TRACKS, np.uint64) if page is None else page.absolute_sequences()
