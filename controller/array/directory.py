"""The track directory: every volume's pointers and attributes, and the values. In memory, rebuilt from the log.

What is in use
--------------
There are no reference counters. A record is in use if and only if a page of a map points at it (I4):
`reference_counts` counts exactly those pointers. How maps share pages, and what that costs, is told in track_map.py.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from controller.array.format import Kind, RecordHeader
from controller.array.page import Page
from controller.array.pointers import SegmentSet, Translation
from controller.array.track_map import TrackMap, Watch

JSON = Any


class Volume:
    """A defined volume: what its definer said of it, and its tracks."""

    __slots__ = ("attributes", "tracks")

    def __init__(self, attributes: dict[str, JSON], tracks: TrackMap) -> None:
        self.attributes = attributes
        self.tracks = tracks


class Frozen(NamedTuple):
    """The directory at one moment: (number, attributes, tracks) of each volume, ascending, and the values."""

    volumes: list[tuple[int, dict[str, JSON], TrackMap]]
    values: dict[str, bytes]


class Directory:
    """Everything the log says, in memory. Live changes and recovery come the same way, by `apply` (I1, I5).

    RELOCATE and FREE change nothing here at once: they are collected in `relocated` and `freed`. Who reads the log back
    ends with `settle`; while the store runs, free-space collection turns the pointers.
    """

    def __init__(self) -> None:
        self.watch = Watch()
        self.volumes: dict[int, Volume] = {}
        self.values: dict[str, bytes] = {}
        self.relocated: dict[int, int] = {}
        self.freed: set[int] = set()
        self._changes: dict[int, Callable[[RecordHeader, int, bytes], None]] = {
            Kind.TRACK: self._track,
            Kind.MOVE: self._move,
            Kind.SNAPSHOT: self._snapshot,
            Kind.EXTENT: self._extent,
            Kind.RELEASE: self._release,
            Kind.DEFINE: self._define,
            Kind.DELETE: self._delete,
            Kind.PUT: self._put,
            Kind.RELOCATE: self._relocate,
            Kind.FREE: self._free,
        }

    def apply(self, header: RecordHeader, location: int, payload: bytes) -> None:
        """Do what a record says; the payload of a TRACK is not looked at.

        Raises KeyError or ValueError when it makes no sense here: a volume that is not defined, a bad payload.
        """
        change = self._changes.get(header.kind)
        if change is not None:
            change(header, location, payload)

    def freeze(self) -> Frozen:
        """The directory as it is now, to be looked at later: O(volumes). Pages are only translated from then on."""
        volumes = [(number, volume.attributes, volume.tracks.snapshot()) for number, volume in self._ascending()]
        return Frozen(volumes, dict(self.values))

    def _ascending(self) -> list[tuple[int, Volume]]:
        return sorted(self.volumes.items())

    def settle(self) -> None:
        """Turn all pointers to where their records were relocated to. ValueError for one into a freed segment."""
        if not self.relocated and not self.freed:
            return
        translation = Translation(self.relocated)
        freed = SegmentSet(self.freed)
        seen: set[Page] = set()
        for _, volume in self._ascending():
            for _, page in volume.tracks.pages():
                if page in seen:
                    continue
                seen.add(page)
                translation.apply(page)
                if freed.hits(page.locations).any():
                    raise ValueError("a track is in a segment that was freed")
        self.relocated = {}

    def _relocate(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.relocated[header.other_volume << 32 | header.other_track] = location

    def _free(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.freed.add(header.track)

    def _track(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks.set(header.track, location, header.sequence)

    def _move(self, header: RecordHeader, location: int, payload: bytes) -> None:
        target = self.volumes[header.volume].tracks
        moved = self.volumes[header.other_volume].tracks.take(header.other_track)
        target.set(header.track, moved, header.sequence)

    def _snapshot(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks = self.volumes[header.other_volume].tracks.snapshot()

    def _extent(self, header: RecordHeader, location: int, payload: bytes) -> None:
        source = self.volumes[header.other_volume].tracks
        self.volumes[header.volume].tracks.copy_extent(source, header.other_track, header.raw_length, header.track)

    def _release(self, header: RecordHeader, location: int, payload: bytes) -> None:
        self.volumes[header.volume].tracks.clear(header.track, header.other_track)

    def _define(self, header: RecordHeader, location: int, payload: bytes) -> None:
        attributes = json.loads(payload)
        if header.volume in self.volumes:
            self.volumes[header.volume].attributes = attributes
        else:
            self.volumes[header.volume] = Volume(attributes, TrackMap(self.watch))

    def _delete(self, header: RecordHeader, location: int, payload: bytes) -> None:
        del self.volumes[header.volume]

    def _put(self, header: RecordHeader, location: int, payload: bytes) -> None:
        key, value = decode_value(payload)
        if value:
            self.values[key] = value
        else:
            self.values.pop(key, None)

    def sharers(self, volume: int, track: int) -> list[int]:
        """The other volumes that have a track by the same change as this one; none if it never wrote it."""
        sequence = self.volumes[volume].tracks.find(track)[1]
        return [
            number
            for number, other in self.volumes.items()
            if sequence and number != volume and other.tracks.find(track)[1] == sequence
        ]

    def reference_counts(self) -> dict[int, int]:
        """How many (volume, track) pointers each record in use has, by location."""
        counts: Counter[int] = Counter()
        for number in sorted(self.volumes):
            for _, page in self.volumes[number].tracks.pages():
                counts.update(page.locations[page.locations != 0].tolist())
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
