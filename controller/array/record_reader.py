"""Reads records by their locations and verifies them (I3).

Tracks are read far more often than anything else, so they have a path of their own, without a `RecordHeader`: what it
does not find good in every respect is read again by `read`, which says what is wrong with it.
"""

import struct
from collections.abc import Iterable, Iterator

from ccw.stored_track import StoredTrack
from controller.array.disk import Disk
from controller.array.errors import CorruptionError
from controller.array.format import (
    FORMAT_VERSION,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SIZE_MASK,
    SIZE_UNIT_BYTES,
    Kind,
    RecordHeader,
    decode_record_header,
    digest,
    place,
    unpack_location,
)

WITH_TRACK = (Kind.TRACK, Kind.RELOCATE)
RUN_BYTES_MAX = 96 << 10
"""As much is read at once, at most, where records of neighbouring tracks lie one behind the other."""
_NAMES = {WITH_TRACK: "a track's record", (Kind.CHECKPOINT,): "a checkpoint's record"}
_CHECKED_BYTES = RECORD_HEADER_BYTES - 8
# magic; version, kind, codec, flags as one number; raw length, payload length, reserved; both digests
_TRACK_HEADER = struct.Struct(">II20xIII16xQQ").unpack_from
_MAGIC = int.from_bytes(RECORD_MAGIC)
_TRACK_WORDS = frozenset(FORMAT_VERSION << 24 | kind << 16 for kind in WITH_TRACK)
_NO_CODEC = 0xFFFF00FF


class RecordReader:
    """Reads the records of one store."""

    def __init__(self, disk: Disk, identity: int) -> None:
        self._disk_read = disk.read
        self._identity = identity

    def read(self, location: int, kinds: tuple[Kind, ...] = WITH_TRACK) -> tuple[RecordHeader, memoryview]:
        """Header and payload of the record at `location`, which is one of these kinds.

        Raises CorruptionError where they are not what was written, DiskError.
        """
        segment, offset, size = unpack_location(location)
        data = self._disk_read(segment, offset, size)
        header = decode_record_header(data, self._identity ^ place(segment, offset))
        if header is None or header.kind not in kinds:
            raise CorruptionError(segment, offset, f"the header of {_NAMES[kinds]} is damaged")
        end = RECORD_HEADER_BYTES + header.payload_length
        if len(data) < end:
            data = self._disk_read(segment, offset, end)
        payload = memoryview(data)[RECORD_HEADER_BYTES:end]
        if digest(payload) != header.payload_digest:
            what = _NAMES[kinds].removesuffix("'s record")
            raise CorruptionError(segment, offset, f"the payload of {what} does not match its checksum")
        return header, payload

    def read_track(self, location: int) -> StoredTrack:
        """The track whose record is at `location`. Raises as `read`."""
        segment, offset, size = unpack_location(location)
        data = self._disk_read(segment, offset, size)
        return self._track_in(data, 0, location) or self._track_slowly(location)

    def read_tracks(self, locations: Iterable[int]) -> Iterator[StoredTrack]:
        """The tracks at these locations, in their order; records that lie one behind the other are read at once.

        Raises as `read`, when it comes to the track that cannot be read.
        """
        for run in _runs(locations):
            segment, start, _ = unpack_location(run[0])
            _, last, size = unpack_location(run[-1])
            data = self._disk_read(segment, start, last + size - start)
            for location in run:
                at = unpack_location(location)[1] - start
                yield self._track_in(data, at, location) or self._track_slowly(location)

    def _track_in(self, data: bytes, at: int, location: int) -> StoredTrack | None:
        """The track whose record is in `data` from `at` on; None unless all of it is there and as it was written."""
        if len(data) - at < RECORD_HEADER_BYTES:
            return None
        magic, word, raw_length, length, reserved, payload_digest, header_digest = _TRACK_HEADER(data, at)
        start = at + RECORD_HEADER_BYTES
        payload = data[start : start + length]
        if (
            digest(data[at : at + _CHECKED_BYTES], self._identity ^ (location & ~SIZE_MASK)) != header_digest
            or magic != _MAGIC
            or word & _NO_CODEC not in _TRACK_WORDS
            or reserved
            or digest(payload) != payload_digest
        ):
            return None
        return StoredTrack(word >> 8 & 0xFF, raw_length, payload)

    def _track_slowly(self, location: int) -> StoredTrack:
        header, payload = self.read(location)
        return StoredTrack(header.codec, header.raw_length, payload.tobytes())


def _runs(locations: Iterable[int]) -> Iterator[list[int]]:
    """Locations in lists whose records lie one behind the other in one segment, RUN_BYTES_MAX at most."""
    run: list[int] = []
    first = due = 0  # a record that starts at `due`, or less than one size unit before it, is the next one
    for location in locations:
        number = location & ~SIZE_MASK
        size = (location & SIZE_MASK) * SIZE_UNIT_BYTES
        if run and (not 0 <= due - number < _UNIT or (number >> _SHIFT) + size // 8 - first > RUN_BYTES_MAX // 8):
            yield run
            run = []
        if not run:
            first = number >> _SHIFT
        run.append(location)
        due = number + (size // 8 << _SHIFT)
    if run:
        yield run


_SHIFT = SIZE_MASK.bit_length()
_UNIT = SIZE_UNIT_BYTES // 8 << _SHIFT
