"""The track directory: which record each functional track points at. In memory, rebuilt from the log.

A volume's `TrackMap` is a dict of pages; a page holds, for 512 neighbouring tracks, the location of each track's
record (0: never written) and the sequence of the change that put it there: 16 bytes a track, and nothing for pages
without a track.

Copy on write
-------------
A snapshot shares the source's dict of pages: O(1), whatever the size. From then on neither side owns the dict or
the pages in it. Who changes a track first copies the dict (one reference a page, 512 tracks each), then the one
page; what it copied it owns, and changes in place from then on. Ownership is a token that both sides renew at each
snapshot, so a page is never changed through one map while another can see it (I2).

What is in use
--------------
There are no reference counters. A record is in use if and only if a page of a map points at it (I4):
`reference_counts` counts exactly those pointers. Pages are frozen by a snapshot of their map, so free-space
collection can look for pointers in frozen pages while writing goes on: an old record can only lose pointers
meanwhile; a pointer gained by MOVE or SNAPSHOT came from a page that was frozen too.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.array.format import Kind, RecordHeader

PAGE_SHIFT = 9
PAGE_TRACKS = 1 << PAGE_SHIFT
_TRACK_MASK = PAGE_TRACKS - 1
TRACKS_MAX = (1 << 32) - 1
"""Most tracks of a volume: a track number, and the one after a range, have 4 bytes in the log."""

Pointers = NDArray[np.uint64]
JSON = Any


class Page:
    """Pointers of PAGE_TRACKS tracks. `newest` is at least the greatest sequence in it."""

    __slots__ = ("locations", "newest", "owner", "sequences")

    def __init__(self, owner: object, locations: Pointers, sequences: Pointers, newest: int) -> None:
        self.owner = owner
        self.locations = locations
        self.sequences = sequences
        self.newest = newest

    @classmethod
    def empty(cls, owner: object) -> "Page":
        """A page on which no track is written."""
        return cls(owner, np.zeros(PAGE_TRACKS, np.uint64), np.zeros(PAGE_TRACKS, np.uint64), 0)

    def copy(self, owner: object) -> "Page":
        """The same pointers, for another owner."""
        return Page(owner, self.locations.copy(), self.sequences.copy(), self.newest)


class TrackMap:
    """The pointers of one volume. `allocated` counts its written tracks."""

    __slots__ = ("_owner", "_owns_pages", "_pages", "_stop", "allocated")

    def __init__(self) -> None:
        self._pages: dict[int, Page] = {}
        self._stop = 0  # no track from here on was ever written
        self._owns_pages = True
        self._owner = object()
        self.allocated = 0

    def snapshot(self) -> "TrackMap":
        """A copy of all pointers. O(1): the pages are shared until either side changes them."""
        other = TrackMap()
        other._pages = self._pages
        other._stop = self._stop
        other.allocated = self.allocated
        other._owns_pages = self._owns_pages = False
        self._owner = object()
        return other

    def find(self, track: int) -> tuple[int, int]:
        """Location and sequence of a track; (0, 0) if never written."""
        page = self._pages.get(track >> PAGE_SHIFT)
        if page is None:
            return 0, 0
        index = track & _TRACK_MASK
        return page.locations.item(index), page.sequences.item(index)

    def set(self, track: int, location: int, sequence: int) -> None:
        """Point a track at a record."""
        page = self._own_page(track >> PAGE_SHIFT)
        index = track & _TRACK_MASK
        if not page.locations.item(index):
            self.allocated += 1
        page.locations[index] = location
        page.sequences[index] = sequence
        if sequence > page.newest:
            page.newest = sequence
        if track >= self._stop:
            self._stop = track + 1

    def clear(self, first: int, stop: int) -> None:
        """Make tracks first..stop-1 unwritten. O(1) when that is the whole volume."""
        if first == 0 and stop >= self._stop:
            self._pages, self._owns_pages = {}, True
            self._stop = self.allocated = 0
            return
        pages = range(first >> PAGE_SHIFT, (stop + _TRACK_MASK) >> PAGE_SHIFT)
        numbers = pages if len(pages) < len(self._pages) else [number for number in self._pages if number in pages]
        for number in list(numbers):
            page = self._pages.get(number)
            if page is None:
                continue
            start = max(first - (number << PAGE_SHIFT), 0)
            end = min(stop - (number << PAGE_SHIFT), PAGE_TRACKS)
            written = int(np.count_nonzero(page.locations[start:end]))
            if not written:
                continue
            self.allocated -= written
            if written == np.count_nonzero(page.locations):
                self._own_pages()
                del self._pages[number]
            else:
                page = self._own_page(number)
                page.locations[start:end] = 0
                page.sequences[start:end] = 0

    def written_since(self, sequence: int) -> NDArray[np.int64]:
        """Tracks, ascending, whose pointer was set by a change after `sequence`."""
        found = []
        for number in sorted(number for number, page in self._pages.items() if page.newest > sequence):
            (indexes,) = np.nonzero(self._pages[number].sequences > np.uint64(sequence))
            found.append(indexes + (number << PAGE_SHIFT))
        return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)

    def locations(self) -> Iterator[Pointers]:
        """The pointers page by page, unwritten tracks left out."""
        for page in self._pages.values():
            yield page.locations[page.locations != 0]

    def _own_pages(self) -> None:
        if not self._owns_pages:
            self._pages = dict(self._pages)
            self._owns_pages = True

    def _own_page(self, number: int) -> Page:
        page = self._pages.get(number)
        if page is not None and page.owner is self._owner:
            return page
        self._own_pages()
        page = Page.empty(self._owner) if page is None else page.copy(self._owner)
        self._pages[number] = page
        return page


class Volume:
    """A defined volume: what its definer said of it, and its tracks."""

    __slots__ = ("attributes", "tracks")

    def __init__(self, attributes: dict[str, JSON]) -> None:
        self.attributes = attributes
        self.tracks = TrackMap()


class Directory:
    """Everything the log says, in memory. Live changes and recovery come the same way, by `apply` (I1, I5)."""

    def __init__(self) -> None:
        self.volumes: dict[int, Volume] = {}
        self.values: dict[str, bytes] = {}
        self._changes: dict[int, Callable[[RecordHeader, int, bytes], None]] = {
            Kind.TRACK: self._track,
            Kind.MOVE: self._move,
            Kind.SNAPSHOT: self._snapshot,
            Kind.RELEASE: self._release,
            Kind.DEFINE: self._define,
            Kind.DELETE: self._delete,
            Kind.PUT: self._put,
        }

    def apply(self, header: RecordHeader, location: int, payload: bytes) -> None:
        """Do what a record says; the payload of a TRACK is not looked at.

        Raises KeyError or ValueError when it makes no sense here: a volume that is not defined, a bad payload.
        """
        change = self._changes.get(header.kind)
        if change is not None:
            change(header, location, payload)

    def _track(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks.set(header.track, location, header.sequence)

    def _move(self, header: RecordHeader, location: int, payload: bytes) -> None:
        source = self.volumes[header.other_volume].tracks
        moved, _ = source.find(header.other_track)
        self.volumes[header.volume].tracks.set(header.track, moved, header.sequence)
        source.clear(header.other_track, header.other_track + 1)

    def _snapshot(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks = self.volumes[header.other_volume].tracks.snapshot()

    def _release(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks.clear(header.track, header.other_track)

    def _define(self, header: RecordHeader, location: int, payload: bytes) -> None:
        attributes = json.loads(payload)
        if header.volume in self.volumes:
            self.volumes[header.volume].attributes = attributes
        else:
            self.volumes[header.volume] = Volume(attributes)

    def _delete(self, header: RecordHeader, location: int, payload: bytes) -> None:
        del self.volumes[header.volume]

    def _put(self, header: RecordHeader, location: int, payload: bytes) -> None:
        key, value = decode_value(payload)
        if value:
            self.values[key] = value
        else:
            self.values.pop(key, None)

    def reference_counts(self) -> dict[int, int]:
        """How many (volume, track) pointers each record in use has, by location."""
        counts: Counter[int] = Counter()
        for number in sorted(self.volumes):
            for locations in self.volumes[number].tracks.locations():
                counts.update(locations.tolist())
        return dict(counts)


def encode_attributes(attributes: Mapping[str, JSON]) -> bytes:
    """Payload of DEFINE. Raises TypeError for what JSON cannot say."""
    return json.dumps(dict(attributes), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def encode_value(key: str, value: bytes) -> bytes:
    """Payload of PUT. Raises ValueError when the key has no or more than 65535 bytes."""
    name = key.encode()
    if not 0 < len(name) < 1 << 16:
        raise ValueError(f"a key has 1 to 65535 bytes, not {len(name)}")
    return len(name).to_bytes(2) + name + value


def decode_value(payload: bytes) -> tuple[str, bytes]:
    """Key and value of PUT."""
    end = 2 + int.from_bytes(payload[:2])
    return payload[2:end].decode(), payload[end:]
