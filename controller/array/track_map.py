"""The pointers of one volume: which log record each track points at, and the sequence that put it there.

    TrackMap -- dict --> Chunk --> Page -- arrays --> location, sequence         (page.py)
               (sparse)   64 pages     512 tracks     8 + 4 bytes

Chunks and pages without a written track take no memory.

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

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from controller.array.page import (
    BASE,
    CHUNK_OWNER,
    CHUNK_PAGES,
    CHUNK_SHIFT,
    CHUNK_TRACKS,
    LOCATIONS,
    OWNER,
    PAGE_SHIFT,
    PAGE_TRACKS,
    RELATIVE_MAX,
    SEQUENCES,
    Cells,
    Chunk,
    Page,
    Pointers,
)

TRACKS_MAX = (1 << 32) - 1
"""Most tracks of a volume: a track number, and the one after a range, have 4 bytes in the log."""
_TRACK_MASK = PAGE_TRACKS - 1
_PAGE_MASK = CHUNK_PAGES - 1


class Watch:
    """Who must see a page before pointers leave it. One for all maps of a directory."""

    __slots__ = ("before_copy",)

    def __init__(self) -> None:
        self.before_copy: Callable[[Page], None] | None = None


class TrackMap:
    """The pointers of one volume. `allocated` counts its written tracks."""

    __slots__ = ("_chunks", "_owner", "_owns_chunks", "_stop", "_watch", "allocated")

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch or Watch()
        self._chunks: dict[int, Cells] = {}
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
        chunk = self._chunks.get(track >> PAGE_SHIFT + CHUNK_SHIFT)
        page = None if chunk is None else chunk[track >> PAGE_SHIFT & _PAGE_MASK]
        if page is None:
            return 0, 0
        index = track & _TRACK_MASK
        relative = page[SEQUENCES].item(index)
        return page[LOCATIONS].item(index), page[BASE] + relative if relative else 0

    def location(self, track: int) -> int:
        """Location of a track, 0 if never written."""
        chunk = self._chunks.get(track >> PAGE_SHIFT + CHUNK_SHIFT)
        page = None if chunk is None else chunk[track >> PAGE_SHIFT & _PAGE_MASK]
        return 0 if page is None else page[LOCATIONS].item(track & _TRACK_MASK)

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
        self.allocated += self._own_page(track >> PAGE_SHIFT).set(track & _TRACK_MASK, location, sequence)
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
                    page.disown()  # both sides copy it before they change it
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
            if old is not None:
                self.allocated -= Chunk(old).written
            if new is not None:
                self._chunks[number] = new
                self.allocated += Chunk(new).written
        source._owner = object()  # it owned chunks and pages that this map has, too, by now

    def written_since(self, sequence: int) -> NDArray[np.int64]:
        """Tracks, ascending, whose pointer was set by a change after `sequence`."""
        found = []
        for number, page in self.pages():
            if page.newest > sequence:
                bound = min(max(sequence - page.base, 0), 2**64 - 1)
                if bound > RELATIVE_MAX and page.sequences.itemsize == 4:
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
                one = None if mine is None else mine[position]
                two = None if theirs is None else theirs[position]
                if one is not two:
                    (indexes,) = np.nonzero(_sequences_of(one) != _sequences_of(two))
                    for at in indexes.tolist():
                        yield (index << CHUNK_SHIFT | position) << PAGE_SHIFT | at

    def shared(self, other: TrackMap, first: int, stop: int) -> list[int]:
        """Which of the tracks first..stop-1 two maps have by the same change."""
        return [
            track
            for track in range(first, min(stop, self._stop))
            if (sequence := self.find(track)[1]) and sequence == other.find(track)[1]
        ]

    def pages(self) -> Iterator[tuple[int, Page]]:
        """All pages with a written track, ascending, by page number."""
        for index in sorted(self._chunks):
            for position, page in Chunk(self._chunks[index]).pages():
                yield index << CHUNK_SHIFT | position, page

    def chunks(self) -> list[tuple[int, Chunk]]:
        """All chunks, ascending, by chunk number."""
        return [(index, Chunk(self._chunks[index])) for index in sorted(self._chunks)]

    @property
    def stop(self) -> int:
        """No track from here on was ever written."""
        return self._stop

    @classmethod
    def restored(cls, watch: Watch, chunks: dict[int, Chunk], stop: int, allocated: int) -> TrackMap:
        """A map from its parts, as a checkpoint keeps them; it owns none of the chunks."""
        found = cls(watch)
        found._chunks = {index: chunk.cells for index, chunk in chunks.items()}
        found._stop, found.allocated = stop, allocated
        return found

    # Inside

    def _page(self, number: int) -> Page | None:
        chunk = self._chunks.get(number >> CHUNK_SHIFT)
        cells = None if chunk is None else chunk[number & _PAGE_MASK]
        return None if cells is None else Page(cells)

    def _page_numbers(self, first: int, stop: int) -> Iterator[int]:
        """Numbers of the pages in use from `first` to `stop` - 1, looking only at chunks in use."""
        numbers: range | list[int] = range(first >> CHUNK_SHIFT, (stop + _PAGE_MASK) >> CHUNK_SHIFT)
        if len(numbers) > len(self._chunks):
            numbers = sorted(index for index in self._chunks if index in numbers)
        for index in numbers:
            chunk = self._chunks.get(index)
            if chunk is not None:
                begin = index << CHUNK_SHIFT
                for number in range(max(first, begin), min(stop, begin + CHUNK_PAGES)):
                    if chunk[number - begin] is not None:
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
        if old == page:
            return
        chunk = self._own_chunk(number >> CHUNK_SHIFT)
        chunk.put(number & _PAGE_MASK, page)
        self.allocated += (page.written if page else 0) - (old.written if old else 0)
        if page is None and chunk.empty:
            del self._chunks[number >> CHUNK_SHIFT]

    def _own_chunk(self, index: int) -> Chunk:
        cells = self._chunks.get(index)
        if cells is not None and cells[CHUNK_OWNER] is self._owner:
            return Chunk(cells)
        if not self._owns_chunks:
            self._chunks = dict(self._chunks)
            self._owns_chunks = True
        chunk = Chunk.new(self._owner) if cells is None else Chunk(cells).copy(self._owner)
        self._chunks[index] = chunk.cells
        return chunk

    def _own_page(self, number: int) -> Page:
        page = self._page(number)
        if page is not None and page.cells[OWNER] is self._owner:
            return page
        chunk = self._own_chunk(number >> CHUNK_SHIFT)
        if page is None:
            page = Page.new(self._owner)
        else:
            self._before_copy(page)
            page = page.copy(self._owner)
        chunk.put(number & _PAGE_MASK, page)
        return page

    def _before_copy(self, page: Page) -> None:
        if self._watch.before_copy is not None:
            self._watch.before_copy(page)


def _sequences_of(page: Cells | None) -> NDArray[np.uint64]:
    return np.zeros(PAGE_TRACKS, np.uint64) if page is None else Page(page).absolute_sequences()
