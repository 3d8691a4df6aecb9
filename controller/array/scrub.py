"""Scrubbing: reads every record in use and verifies it, in small steps, while the array works on."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from controller.array.directory import Frozen
from controller.array.format import SEGMENT_SHIFT, SIZE_MASK, SIZE_UNIT_BYTES
from controller.array.log import LogWriter
from controller.array.page import PAGE_SHIFT, Page
from controller.array.record_reader import RecordReader


class Damage(NamedTuple):
    """A record in use that cannot be read: a track that points at it (others may), and what is wrong, in one line."""

    volume: int
    track: int
    reason: str


class Scrub:
    """One pass over all records in use when it began; those that lose their last pointer meanwhile may be left out.

    tracks: how many pointers there are to look at; seen: how many were, those of shared pages once; records, bytes:
    what was verified; damaged: what was found; done: the pass is over.
    """

    def __init__(
        self, frozen: Frozen, log: LogWriter, reader: RecordReader, unwritten: Mapping[int, object]
    ) -> None:
        self._log = log
        self._reader = reader
        self._unwritten = unwritten
        self._work = self._run(frozen)
        self.tracks = sum(tracks.allocated for _, _, tracks in frozen.volumes)
        self.seen = self.records = self.bytes = 0
        self.damaged: list[Damage] = []
        self.done = False

    def step(self, limit: int) -> int:
        """Verify about `limit` bytes of records; how many it were, 0 when the pass is over."""
        done = 0
        while done < limit:
            size = next(self._work, None)
            if size is None:
                self.done = True
                break
            done += size
        return done

    def _run(self, frozen: Frozen) -> Iterator[int]:
        seen: set[Page] = set()
        for volume, _, tracks in frozen.volumes:
            for number, page in tracks.pages():
                self.seen += page.written
                if page not in seen:
                    seen.add(page)
                    yield from self._page(volume, number << PAGE_SHIFT, page)

    def _page(self, volume: int, first: int, page: Page) -> Iterator[int]:
        """Verify the records that a page points at, in the order of the log."""
        tracks = {location: first + index for index, location in enumerate(page.locations.tolist()) if location}
        for location, fault in self._reader.faults(filter(self._in_use, sorted(tracks))):
            size = (location & SIZE_MASK) * SIZE_UNIT_BYTES
            if fault is None:
                self.records += 1
                self.bytes += size
            elif self._in_use(location):  # it may have lost its segment since it was looked at
                self.damaged.append(Damage(volume, tracks[location], str(fault)))
            yield size

    def _in_use(self, location: int) -> bool:
        """Whether there is a record to look at: it is on the disk, and its segment was not given back meanwhile."""
        return location not in self._unwritten and location >> SEGMENT_SHIFT in self._log.segments
