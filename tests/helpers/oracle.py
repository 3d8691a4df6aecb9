"""The oracle: a track store made of dicts, and the comparison of a real one with it."""

import json
from collections import Counter
from typing import Any

from ccw.errors import FormatError
from controller.array import CODEC_NONE, StoredTrack, UnknownVolumeError, compress_track, expand_track

Entry = tuple[StoredTrack, int, int]  # contents; sequence of the write or move; sequence of the write (which record)


class DictStore:
    """The oracle: the verbs of a track store on plain dicts, too simple to be wrong. A change is durable at once."""

    def __init__(self) -> None:
        self.tracks: dict[int, dict[int, Entry]] = {}
        self.attributes: dict[int, str] = {}
        self.values: dict[str, bytes] = {}
        self.appended = 0

    @property
    def durable(self) -> int:
        return self.appended

    def copy(self) -> "DictStore":
        other = DictStore()
        other.tracks = {volume: dict(tracks) for volume, tracks in self.tracks.items()}
        other.attributes = dict(self.attributes)
        other.values = dict(self.values)
        other.appended = self.appended
        return other

    def _next(self) -> int:
        self.appended += 1
        return self.appended

    def _tracks(self, volume: int) -> dict[int, Entry]:
        if volume not in self.tracks:
            raise UnknownVolumeError(volume)
        return self.tracks[volume]

    def define_volume(self, volume: int, attributes: dict[str, Any]) -> int:
        self.attributes[volume] = json.dumps(attributes)
        self.tracks.setdefault(volume, {})
        return self._next()

    def delete_volume(self, volume: int) -> int:
        self._tracks(volume)
        del self.tracks[volume], self.attributes[volume]
        return self._next()

    def volumes(self) -> dict[int, dict[str, Any]]:
        return {volume: json.loads(text) for volume, text in self.attributes.items()}

    def read(self, volume: int, track: int) -> bytes | None:
        entry = self._tracks(volume).get(track)
        return expand_track(entry[0]) if entry else None

    def read_stored(self, volume: int, track: int) -> StoredTrack | None:
        entry = self._tracks(volume).get(track)
        return entry[0] if entry else None

    def sequence_of(self, volume: int, track: int) -> int:
        entry = self._tracks(volume).get(track)
        return entry[1] if entry else 0

    def write(self, volume: int, track: int, image: bytes) -> int:
        return self.write_stored(volume, track, compress_track(image))

    def write_stored(self, volume: int, track: int, stored: StoredTrack) -> int:
        tracks = self._tracks(volume)
        if stored.codec == CODEC_NONE and len(stored.payload) != stored.raw_length:
            raise FormatError("stored track", "raw length", stored.payload)
        sequence = self._next()
        tracks[track] = (stored, sequence, sequence)
        return sequence

    def move(self, source_volume: int, source_track: int, target_volume: int, target_track: int) -> int:
        source, target = self._tracks(source_volume), self._tracks(target_volume)
        if source_track not in source or (source_volume, source_track) == (target_volume, target_track):
            raise ValueError("nothing to move")
        sequence = self._next()
        stored, _, record = source.pop(source_track)
        target[target_track] = (stored, sequence, record)
        return sequence

    def write_redirected(
        self, source_volume: int, source_track: int, stored: StoredTrack, target_volume: int, target_track: int
    ) -> int:
        self._tracks(target_volume)
        if (source_volume, source_track) == (target_volume, target_track):
            raise ValueError("nothing to move")
        self.write_stored(source_volume, source_track, stored)
        return self.move(source_volume, source_track, target_volume, target_track)

    def snapshot(self, source_volume: int, target_volume: int) -> int:
        self._tracks(target_volume)
        if source_volume == target_volume:
            raise ValueError("its own snapshot")
        self.tracks[target_volume] = dict(self._tracks(source_volume))
        return self._next()

    def snapshot_extent(self, source_volume: int, first: int, count: int, target_volume: int, target_first: int) -> int:
        source, target = self._tracks(source_volume), self._tracks(target_volume)
        overlap = source_volume == target_volume and abs(first - target_first) < count
        if count < 1 or min(first, target_first) < 0 or overlap:
            raise ValueError("not two extents")
        kept = {track: entry for track, entry in target.items() if not target_first <= track < target_first + count}
        taken = {track: entry for track, entry in source.items() if first <= track < first + count}
        self.tracks[target_volume] = kept | {track - first + target_first: entry for track, entry in taken.items()}
        return self._next()

    def release_space(self, volume: int, first: int, stop: int) -> int:
        tracks = self._tracks(volume)
        if first > stop:
            raise ValueError("not a range")
        self.tracks[volume] = {track: entry for track, entry in tracks.items() if not first <= track < stop}
        return self._next()

    def written_since(self, volume: int, sequence: int) -> list[int]:
        return sorted(track for track, entry in self._tracks(volume).items() if entry[1] > sequence)

    def allocated(self, volume: int) -> int:
        return len(self._tracks(volume))

    def reference_counts(self) -> dict[int, int]:
        return dict(Counter(entry[2] for tracks in self.tracks.values() for entry in tracks.values()))

    def put(self, key: str, value: bytes) -> int:
        if value:
            self.values[key] = value
        else:
            self.values.pop(key, None)
        return self._next()

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def items(self, prefix: str = "") -> list[tuple[str, bytes]]:
        return sorted((key, value) for key, value in self.values.items() if key.startswith(prefix))

    def sync(self) -> int:
        return self.appended


def assert_same(store: Any, oracle: DictStore, probes: range | tuple[int, ...] = ()) -> None:
    """Everything that can be asked of `store` has the oracle's answer. `probes`: more tracks to ask for."""
    assert store.volumes() == oracle.volumes()
    assert store.items("") == oracle.items("")
    for volume, tracks in oracle.tracks.items():
        assert store.allocated(volume) == len(tracks)
        assert list(store.written_since(volume, 0)) == sorted(tracks)
        for track in sorted({*tracks, *probes}):
            assert store.read(volume, track) == oracle.read(volume, track), (volume, track)
            assert store.sequence_of(volume, track) == oracle.sequence_of(volume, track), (volume, track)
            assert store.read_stored(volume, track) == oracle.read_stored(volume, track), (volume, track)
        for sequence in {entry[1] for entry in tracks.values()}:
            assert list(store.written_since(volume, sequence)) == oracle.written_since(volume, sequence)
    assert sorted(store.reference_counts().values()) == sorted(oracle.reference_counts().values())
