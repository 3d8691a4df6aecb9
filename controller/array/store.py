"""The virtual array: volumes of tracks over one log, behind a few verbs. Start here, then format.py.

Every change is one record appended to the log and applied to the directory; it can be read at once and is durable
when the batch it went into is committed (group_commit.py). Errors come before any change: a verb that raises has done
nothing. What keeps the store in health beside the verbs is in upkeep.py.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ccw.stored_track import StoredTrack, check_stored, compress_track
from controller.array.directory import JSON, Volume, encode_attributes, encode_value
from controller.array.disk import Disk
from controller.array.errors import StoreError, UnknownVolumeError
from controller.array.format import SEQUENCE_GAP, Kind, check_segment_bytes
from controller.array.housekeeping import CHECKPOINT_BYTES
from controller.array.image_stub import is_shadow
from controller.array.log import LogWriter, Room
from controller.array.page import Page
from controller.array.recovery import Found, Recovery
from controller.array.track_map import TRACKS_MAX
from controller.array.track_reader import ImageReader
from controller.array.upkeep import Upkeep

SEGMENT_BYTES = 32 << 20
VOLUMES_MAX = 1 << 32


class VirtualArrayStore(Upkeep, AbstractContextManager["VirtualArrayStore"]):
    """A store of volumes and tracks. Made by `open`; one thread, but for `commit`.

    A volume is a number, a track a number in it (cylinder * heads + head): the store knows no geometry. Verbs raise
    UnknownVolumeError for a volume that is not defined, ValueError for numbers out of range, FencedError after a failed
    commit, DiskFullError when there is no room (nothing has changed then, and it may work later), StoreError when the
    disk was opened only to be read.
    """

    def __init__(self, disk: Disk, log: LogWriter, found: Found, recovered: int, checkpoint_bytes: int) -> None:
        super().__init__(disk, log, found, recovered, checkpoint_bytes)
        self._shadows = {number for number in self._directory.volumes if is_shadow(number)}
        self.closing: list[Callable[[], None]] = []

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        capacity_bytes: int | None = None,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
    ) -> "VirtualArrayStore":
        """Open the store on `disk`; an empty disk becomes an empty store. New segments are `segment_bytes` long.

        `capacity_bytes` bounds the log's segments together; None: only the medium does. `checkpoint_bytes`: of log,
        after which `housekeep` makes a checkpoint.

        A torn tail is left out: nobody was told of it. Raises CorruptionError when acknowledged data is damaged,
        FormatError when it is no store of this version, DiskError; the disk is then unchanged and still open.
        """
        check_segment_bytes(segment_bytes)
        found = Recovery(disk).run()
        tail = found.tail
        recovered = tail.sequence
        log = LogWriter(disk, tail, segment_bytes, found.segments, capacity_bytes)
        log.checkpoints, log.records, log.bytes = found.checkpoints, found.records, found.bytes
        if disk.writable:
            if tail.segment:
                disk.sync(tail.segment)
            log.start_epoch(tail.sequence + (1 if found.closed else SEQUENCE_GAP))
            for number in found.leftovers:
                disk.remove(number)
        return cls(disk, log, found, recovered, checkpoint_bytes)

    # Volumes

    def define_volume(self, volume: int, attributes: Mapping[str, JSON]) -> int:
        """Define a volume, or give a defined one new attributes; its tracks stay. The change's sequence."""
        if not 0 <= volume < VOLUMES_MAX:
            raise ValueError(f"volume {volume} is not a volume number")
        sequence = self._change(Kind.DEFINE, volume, payload=encode_attributes(attributes))
        if is_shadow(volume):
            self._shadows.add(volume)
        return sequence

    def delete_volume(self, volume: int) -> int:
        """Remove a volume and all its tracks. The change's sequence."""
        self._volume(volume)
        self._shadows.discard(volume)
        return self._change(Kind.DELETE, volume)

    def volumes(self) -> dict[int, dict[str, JSON]]:
        """The attributes of every defined volume, by number."""
        return {number: dict(volume.attributes) for number, volume in sorted(self._directory.volumes.items())}

    def attributes(self, volume: int) -> dict[str, JSON]:
        """The attributes of one volume."""
        return dict(self._volume(volume).attributes)

    # Tracks

    def read(self, volume: int, track: int) -> bytes | None:
        """The image of a track, None if it was never written. Raises CorruptionError, DiskError."""
        location = self._volume(volume).tracks.location(track)
        return self._tracks.image(location) if location else None

    def read_stored(self, volume: int, track: int) -> StoredTrack | None:
        """A track as it is stored, its checksum verified; None if it was never written. Raises as read."""
        location = self._volume(volume).tracks.location(track)
        return self._tracks.stored(location) if location else None

    def read_stored_range(self, volume: int, first: int, stop: int) -> Iterator[tuple[int, StoredTrack]]:
        """Number and stored form of every written track from `first` to `stop` - 1, ascending, as they are now.

        As read_stored, but tracks that were written one after the other are read together. Not to be kept over a
        change of the store: records that it points at could be gone. Raises as read.
        """
        return self._tracks.stored_range(self._volume(volume).tracks.locations(first, stop))

    def track_pages(self, volume: int) -> Iterator[tuple[int, Page]]:
        """The pages of pointers of a volume with their numbers, to be looked at only. Snapshots share them."""
        return self._volume(volume).tracks.pages()

    def sequence_of(self, volume: int, track: int) -> int:
        """Sequence of the write or move that gave the track its contents (a snapshot keeps it), 0 if never written."""
        return self._volume(volume).tracks.find(track)[1]

    def write(self, volume: int, track: int, image: bytes) -> int:
        """Store the image of a track. Its sequence. Durable when its batch is."""
        return self._write(volume, track, compress_track(image))

    def write_stored(self, volume: int, track: int, stored: StoredTrack) -> int:
        """Store a track that is in its stored form already. Its sequence.

        Raises FormatError when codec and lengths do not fit. That the payload expands is the caller's to know
        (`expand_track`): one that does not is CorruptionError when read.
        """
        check_stored(stored)
        return self._write(volume, track, stored)

    def _write(self, volume: int, track: int, stored: StoredTrack) -> int:
        tracks = self._volume(volume).tracks
        _check_track(track)
        sequence, location = self._append_track(volume, track, stored)
        tracks.set(track, location, sequence)
        return sequence

    def _append_track(self, volume: int, track: int, stored: StoredTrack) -> tuple[int, int]:
        """Append a track's record, to which no pointer leads yet: its sequence and location."""
        codec, raw_length, payload = stored
        header, location = self._appendable().append(
            Kind.TRACK, volume, track, codec=codec, raw_length=raw_length, payload=payload, room=Room.TRACKS
        )
        self._tracks.unwritten[location] = stored
        return header.sequence, location

    def move(self, source_volume: int, source_track: int, target_volume: int, target_track: int) -> int:
        """Redirect by pointer: the target gets the source's contents, the source becomes never written.

        The change's sequence. No data is copied. Raises ValueError when the source was never written, or is the target.
        """
        source = self._volume(source_volume)
        self._volume(target_volume)
        _check_track(target_track)
        if (source_volume, source_track) == (target_volume, target_track):
            raise ValueError("a track cannot be moved onto itself")
        if not source.tracks.find(source_track)[0]:
            raise ValueError(f"track {source_track} of volume {source_volume:04X} was never written: nothing to move")
        if source_track != target_track:
            self._leave(source_volume, source_track, 1)
        return self._change(Kind.MOVE, target_volume, target_track, source_volume, source_track)

    def write_redirected(
        self, source_volume: int, source_track: int, stored: StoredTrack, target_volume: int, target_track: int
    ) -> int:
        """As `write_stored` to the source and `move` to the target right behind it. The move's sequence.

        Both are in the log, one by one; only the pointers are set at once. Raises as the two do.
        """
        check_stored(stored)
        source, target = self._volume(source_volume), self._volume(target_volume)
        _check_track(source_track)
        _check_track(target_track)
        if (source_volume, source_track) == (target_volume, target_track):
            raise ValueError("a track cannot be moved onto itself")
        written, location = self._append_track(source_volume, source_track, stored)
        try:
            moved, _ = self._log.append(Kind.MOVE, target_volume, target_track, source_volume, source_track)
        except StoreError:
            source.tracks.set(source_track, location, written)
            raise
        if source.tracks.location(source_track):
            source.tracks.clear(source_track, source_track + 1)
        target.tracks.set(target_track, location, moved.sequence)
        return moved.sequence

    def snapshot(self, source_volume: int, target_volume: int) -> int:
        """Make the target a copy of all pointers of the source, whatever it was before. O(1). The change's sequence."""
        self._volume(source_volume)
        self._volume(target_volume)
        if source_volume == target_volume:
            raise ValueError("a volume cannot be its own snapshot")
        return self._change(Kind.SNAPSHOT, target_volume, 0, source_volume)

    def snapshot_extent(self, source_volume: int, first: int, count: int, target_volume: int, target_first: int) -> int:
        """Give `count` tracks of the target, from `target_first` on, the pointers of the source's from `first` on.

        No data is copied; each track keeps its sequence, and one the source never wrote becomes never written. O(1)
        for whole volumes; else O(pages of 512 tracks), and those and chunks of 64 pages are shared where both extents
        lie alike in them. The change's sequence.
        Raises ValueError for a range outside of a volume, or two that overlap.
        """
        self._volume(source_volume)
        self._volume(target_volume)
        if count < 1 or min(first, target_first) < 0 or max(first, target_first) + count > TRACKS_MAX:
            raise ValueError(f"{count} tracks from {first} to {target_first} are not extents of tracks")
        if source_volume == target_volume and abs(first - target_first) < count:
            raise ValueError(f"the extents of {count} tracks from {first} and from {target_first} overlap")
        if first != target_first:
            self._leave(source_volume, first, count)
        return self._change(Kind.EXTENT, target_volume, target_first, source_volume, first, raw_length=count)

    def release_space(self, volume: int, first: int, stop: int) -> int:
        """Make tracks `first` to `stop - 1` never written; O(1) for the whole volume. The change's sequence."""
        self._volume(volume)
        if not 0 <= first <= stop <= TRACKS_MAX:
            raise ValueError(f"tracks {first} to {stop} are not a range of tracks")
        return self._change(Kind.RELEASE, volume, first, 0, stop)

    def written_since(self, volume: int, sequence: int) -> NDArray[np.int64]:
        """Numbers, ascending, of the tracks whose contents came by a write or move with a greater sequence."""
        return self._volume(volume).tracks.written_since(sequence)

    def allocated(self, volume: int) -> int:
        """How many tracks of the volume are written."""
        return self._volume(volume).tracks.allocated

    # Physical volumes: what in_place/volume.py asks for; `closing` is called before the store closes

    @property
    def images(self) -> dict[int, ImageReader]:
        """The image files that hold tracks in place, by identity."""
        return self._tracks.images

    def write_in_image(self, volume: int, track: int, stub: StoredTrack) -> int:
        """Let a track lie in an image file. Its sequence."""
        return self._write(volume, track, stub)

    def differing_tracks(self, volume: int, other: int) -> Iterator[int]:
        """Numbers, ascending, of the tracks that two volumes do not have by the same change."""
        return self._volume(volume).tracks.differing(self._volume(other).tracks)

    def sharers(self, volume: int, track: int) -> list[int]:
        """The other volumes that have the track by the same change as this one; none if it never wrote it."""
        self._volume(volume)
        return self._directory.sharers(volume, track)

    def _leave(self, volume: int, first: int, count: int) -> None:
        """Make records of the stubs among these tracks before their pointers get other track numbers (V2)."""
        for shadow in self._shadows - {volume}:
            for track in self._volume(volume).tracks.shared(self._volume(shadow).tracks, first, first + count):
                stored = self.read_stored(volume, track)
                assert stored is not None, "a track that two volumes share was written"
                self._write(volume, track, stored)

    # Values: small things that must survive with the tracks, in the same order

    def put(self, key: str, value: bytes) -> int:
        """Keep a value under a key; an empty value removes the key. The change's sequence."""
        return self._change(Kind.PUT, payload=encode_value(key, value))

    def get(self, key: str) -> bytes | None:
        """The value of a key, None if there is none."""
        return self._directory.values.get(key)

    def items(self, prefix: str = "") -> list[tuple[str, bytes]]:
        """All keys that begin with `prefix`, with their values, in the order of the keys."""
        return sorted(item for item in self._directory.values.items() if item[0].startswith(prefix))

    # The end

    def close(self) -> None:
        """Make every change durable, mark the log as closed in order, and let the disk go.

        Physical volumes bring their tracks into their files before. A fenced array, and one with a batch that was taken
        but never written, only lets the disk go. Raises DiskError when the last changes cannot be made durable, or a
        physical volume's StoreError; the disk is let go nevertheless. A second call does nothing.
        Not while a worker thread is in commit().
        """
        if self._closed:
            return
        batch = self._log.under_way
        assert batch is None or not batch.writing, "the store cannot be closed under a commit"
        errors = []
        try:
            if batch is not None and batch.written:
                self.committed(batch)
            for let_go in list(self.closing):
                try:
                    let_go()
                except StoreError as error:
                    errors.append(error)
            self._closed = True
            if self._disk.writable and not self._log.fenced and self._log.under_way is None:
                self.sync()
                self._log.append(Kind.CLOSE, room=Room.ALL)
                self.sync()
        finally:
            self._closed = True
            self._disk.close()
        if errors:
            raise errors[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _volume(self, volume: int) -> Volume:
        found = self._directory.volumes.get(volume)
        if found is None:
            raise UnknownVolumeError(volume)
        return found

    def _change(self, kind: Kind, *fields: int, raw_length: int = 0, payload: bytes = b"") -> int:
        """Append one record and do what it says (I11). Everything that can be refused was refused before."""
        header, location = self._appendable().append(kind, *fields, raw_length=raw_length, payload=payload)
        self._directory.apply(header, location, payload)
        return header.sequence


def _check_track(track: int) -> None:
    if not 0 <= track < TRACKS_MAX:
        raise ValueError(f"track {track} is not a track number")
