"""A medium that can be looked at before every operation, and of which every state after a loss of power can be made.

A segment is kept as what is durable and, for each sector written since the last sync, everything that the sector has
held since. After a loss of power each such sector holds any of these, by itself: so writes are kept, dropped and
reordered, across segments too. Or it is torn: the bytes written hold a part of the new, or garbage. Bytes of a sector
that were not written stay (disk.py). `create` and `remove` happen or do not: the boundary before them and the one
after are both looked at.

Segments are immutable values, so that a copy of the medium is a copy of one small dict, and a script runs once while
thousands of its crashes are tried beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple

import xxhash

from controller.array import DiskError, DiskFullError
from controller.array.memory_disk import SECTOR_BYTES

IDENTITY = 0x43524153484D4544
RECYCLED = 4


class Sector(NamedTuple):
    """A sector that is not synced: what it held, oldest (the durable) first, and which bytes of it were written."""

    versions: tuple[bytes, ...]
    start: int
    stop: int


class Segment(NamedTuple):
    """One segment. `visible`: as it is read; `durable`: as the last sync left it; `unsynced`: sectors by number."""

    visible: bytes
    durable: bytes
    unsynced: dict[int, Sector]


class PowerLoss(Exception):
    """The machine is gone in the middle of an operation."""


class CrashMedium:
    """A disk over immutable segments.

    `watch`, if given, is called before each operation that changes the medium, with its name. `capacity_bytes` bounds
    segments and what is reserved together.
    """

    writable = True

    def __init__(self, segments: dict[int, Segment] | None = None, removed: tuple[bytes, ...] = ()) -> None:
        self.contents = segments or {}
        self.watch: Callable[[str], None] = lambda operation: None
        self.capacity_bytes: int | None = None
        self._removed = removed

    def copy(self) -> "CrashMedium":
        """The medium as it is now, unsynced sectors included: what a process finds that follows one that was killed."""
        return CrashMedium(dict(self.contents), self._removed)

    def digest(self) -> int:
        """Of all that is durable or visible; equal for equal media."""
        state = xxhash.xxh3_64()
        for number, (visible, durable, unsynced) in sorted(self.contents.items()):
            state.update(b"%d:" % number + visible)
            if unsynced:
                state.update(durable)
        return state.intdigest()

    # Disk

    def new_identity(self) -> int:
        return IDENTITY

    def segments(self) -> dict[int, int]:
        return {number: len(segment.visible) for number, segment in self.contents.items()}

    def reserve(self, length: int, count: int) -> None:
        self.watch("reserve")
        self._room(length * count)

    def create(self, number: int, length: int, beginning: bytes) -> None:
        if number in self.contents:
            raise DiskError(f"segment {number} exists already")
        self.watch("create")
        self._room(length)
        stale = self._removed[-1] if self._removed else b""
        self._removed = self._removed[:-1]
        data = beginning + stale[len(beginning) : length].ljust(length - len(beginning), b"\0")
        self.contents[number] = Segment(data, data, {})

    def read(self, number: int, offset: int, length: int) -> bytes:
        return self._segment(number).visible[offset : max(offset + length, 0)]

    def write(self, number: int, offset: int, parts: Sequence[bytes | memoryview]) -> None:
        self.watch("write")
        data = b"".join(parts)
        old, durable, unsynced = self._segment(number)
        stop = offset + len(data)
        if stop > len(old):
            raise DiskError(f"write of {len(data)} bytes at {offset} is outside of segment {number}")
        visible = old[:offset] + data + old[stop:]
        unsynced = dict(unsynced)
        for sector in range(offset // SECTOR_BYTES, -(-stop // SECTOR_BYTES)):
            begin = sector * SECTOR_BYTES
            new = visible[begin : begin + SECTOR_BYTES]
            first, last = max(offset - begin, 0), min(stop - begin, SECTOR_BYTES)
            was = unsynced.get(sector) or Sector((durable[begin : begin + SECTOR_BYTES],), first, last)
            if new != was.versions[-1]:
                unsynced[sector] = Sector((*was.versions, new), min(first, was.start), max(last, was.stop))
        self.contents[number] = Segment(visible, durable, unsynced)

    def sync(self, number: int) -> None:
        self.watch("sync")
        visible = self._segment(number).visible
        self.contents[number] = Segment(visible, visible, {})

    def remove(self, number: int) -> None:
        self.watch("remove")
        self._removed = (*self._removed, self._segment(number).visible)[-RECYCLED:]
        del self.contents[number]

    def close(self) -> None:
        pass

    def _segment(self, number: int) -> Segment:
        segment = self.contents.get(number)
        if segment is None:
            raise DiskError(f"segment {number} does not exist")
        return segment

    def _room(self, length: int) -> None:
        if self.capacity_bytes is not None and sum(self.segments().values()) + length > self.capacity_bytes:
            raise DiskFullError(f"no room for {length} more bytes")

    # Loss of power

    def crashes(self, limit: int, random: Random) -> Iterator["CrashMedium"]:
        """Media that a loss of power can leave: all of them up to `limit`; else the telling ones and chosen by chance.

        Torn sectors are tried besides, at most `limit` of them.
        """
        cells = [
            (number, sector, state)
            for number, segment in sorted(self.contents.items())
            for sector, state in segment.unsynced.items()
        ]
        sizes = [len(state.versions) for _, _, state in cells]
        choices = product(*map(range, sizes)) if prod(sizes) <= limit else _telling(sizes, limit, random)
        for choice in choices:
            yield self._after(cells, [state.versions[at] for (_, _, state), at in zip(cells, choice, strict=True)])
        if cells:
            for _ in range(min(limit, 3 * len(cells))):
                yield self._after(cells, [_torn(state, random) for _, _, state in cells])

    def _after(self, cells: list[tuple[int, int, Sector]], contents: list[bytes]) -> "CrashMedium":
        segments = {number: Segment(state.durable, state.durable, {}) for number, state in self.contents.items()}
        for (number, sector, _), content in zip(cells, contents, strict=True):
            data = segments[number].durable
            data = data[: sector * SECTOR_BYTES] + content + data[(sector + 1) * SECTOR_BYTES :]
            segments[number] = Segment(data, data, {})
        return CrashMedium(segments, self._removed)

    def damaged(self, number: int, offset: int, data: bytes) -> "CrashMedium":
        """A copy in which durable bytes are others, as failing hardware would leave them."""
        copy = self.copy()
        old = copy.contents[number].durable
        new = old[:offset] + data + old[offset + len(data) :]
        copy.contents[number] = Segment(new, new, {})
        return copy


class OnlyRead(CrashMedium):
    """A copy that may only be read: who changes it anyway is caught (I5)."""

    writable = False

    def __init__(self, medium: CrashMedium) -> None:
        super().__init__(dict(medium.contents))
        self.watch = self._refuse

    def _refuse(self, operation: str) -> None:
        raise AssertionError(f"{operation} by a store that was opened to be read")


def _telling(sizes: list[int], limit: int, random: Random) -> Iterator[tuple[int, ...]]:
    """All dropped, all kept; each prefix and suffix of the sectors; each alone kept or dropped; then by chance."""
    count = len(sizes)
    none, everything = [0] * count, [size - 1 for size in sizes]
    chosen = {tuple(none): None, tuple(everything): None}
    for at in range(count):
        chosen[(*everything[:at], *none[at:])] = None
        chosen[(*none[:at], *everything[at:])] = None
        chosen[(*everything[:at], 0, *everything[at + 1 :])] = None
        chosen[(*none[:at], everything[at], *none[at + 1 :])] = None
    yield from list(chosen)[:limit]
    for _ in range(limit - len(chosen)):
        yield tuple(random.randrange(size) for size in sizes)


def _torn(state: Sector, random: Random) -> bytes:
    """One of the versions, or a mixture of the written bytes."""
    old, new = state.versions[0], state.versions[-1]
    fate = random.randrange(5)
    if fate < 2:
        return (old, new)[fate]
    cut = random.randrange(state.start, state.stop + 1)
    if fate == 2:
        return new[:cut] + old[cut:]
    if fate == 3:
        return old[:cut] + new[cut:]
    return new[: state.start] + random.randbytes(state.stop - state.start) + new[state.stop :]
