"""Reads records by their locations and verifies them (I3).

Tracks are read far more often than anything else, so they have a path of their own, without a `RecordHeader`: what it
does not find good in every respect is read again by `read`, which says what is wrong with it.
"""

import struct
from collections.abc import Iterable, Iterator

from ccw.stored_track import StoredTrack
from controller.array.disk import Disk
from controller.array.errors import CorruptionError, DiskError, StoreError
from controller.array.format import (
    ALIGNMENT_BYTES,
    FORMAT_VERSION,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SEGMENT_SHIFT,
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
# magic, version, kind, codec and flags as one number; raw length, payload length, reserved; both digests
_TRACK_HEADER = struct.Struct(">Q20xIII16xQQ").unpack_from
_CODECS = {
    int.from_bytes(RECORD_MAGIC + bytes((FORMAT_VERSION, kind, codec, 0))): codec
    for kind in WITH_TRACK
    for codec in range(256)
}
"""Codec by the first eight bytes of a track's record."""
_PLACE_MASK = ~SIZE_MASK
_PLACE_SHIFT = SIZE_MASK.bit_length()
_BYTES_SHIFT = _PLACE_SHIFT - 3
"""Places less their segment are in units of eight bytes."""
assert 1 << _PLACE_SHIFT - _BYTES_SHIFT == ALIGNMENT_BYTES
_make = tuple.__new__  # of a StoredTrack, without the cost of its own constructor


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
        offset = (location & _OFFSET_MASK) >> _BYTES_SHIFT
        data = self._disk_read(location >> SEGMENT_SHIFT, offset, (location & SIZE_MASK) * SIZE_UNIT_BYTES)
        return self._track_in(data, 0, location) or self._track_slowly(location)

    def read_tracks(self, locations: Iterable[int]) -> Iterator[StoredTrack]:
        """The tracks at these locations, in their order; records that lie one behind the other are read at once.

        Raises as `read`, when it comes to the track that cannot be read.
        """
        for run in _runs(locations):
            data = self._read_run(run)
            first = run[0] & _PLACE_MASK
            for location in run:
                at = ((location & _PLACE_MASK) - first) >> _BYTES_SHIFT
                yield self._track_in(data, at, location) or self._track_slowly(location)

    def faults(self, locations: Iterable[int]) -> Iterator[tuple[int, StoreError | None]]:
        """The locations in their order, each with what is wrong with the track's record there; None: nothing."""
        for run in _runs(locations):
            try:
                data = self._read_run(run)
            except DiskError:
                data = b""  # each is tried by itself
            first = run[0] & _PLACE_MASK
            for location in run:
                at = ((location & _PLACE_MASK) - first) >> _BYTES_SHIFT
                yield location, None if self._track_in(data, at, location) else self._fault(location)

    def _fault(self, location: int) -> StoreError | None:
        try:
            self.read(location)
        except (CorruptionError, DiskError) as error:
            return error
        return None

    def _read_run(self, run: list[int]) -> bytes:
        """All bytes from the first to the last record of a run."""
        first = run[0] & _PLACE_MASK
        size = (((run[-1] & _PLACE_MASK) - first) >> _BYTES_SHIFT) + (run[-1] & SIZE_MASK) * SIZE_UNIT_BYTES
        return self._disk_read(first >> SEGMENT_SHIFT, (first & _OFFSET_MASK) >> _BYTES_SHIFT, size)

    def _track_in(self, data: bytes, at: int, location: int) -> StoredTrack | None:
        """The track whose record is in `data` from `at` on; None unless all of it is there and as it was written."""
        start = at + RECORD_HEADER_BYTES
        if len(data) < start:
            return None
        word, raw_length, length, reserved, payload_digest, header_digest = _TRACK_HEADER(data, at)
        codec = _CODECS.get(word)
        payload = data[start : start + length]
        if (
            digest(data[at : at + _CHECKED_BYTES], self._identity ^ (location & _PLACE_MASK)) != header_digest
            or digest(payload) != payload_digest
            or codec is None
            or reserved
        ):
            return None
        return _make(StoredTrack, (codec, raw_length, payload))

    def _track_slowly(self, location: int) -> StoredTrack:
        header, payload = self.read(location)
        return StoredTrack(header.codec, header.raw_length, payload.tobytes())


def _runs(locations: Iterable[int]) -> Iterator[list[int]]:
    """Locations in lists whose records lie one behind the other in one segment, RUN_BYTES_MAX at most."""
    run: list[int] = []
    stop = due = 0  # a record that starts at `due`, or less than one size unit before it, is the next one
    for location in locations:
        number = location & _PLACE_MASK
        following = number + ((location & SIZE_MASK) << _UNIT_SHIFT)
        if run and (not 0 <= due - number < _UNIT or following > stop):
            yield run
            run = []
        if not run:
            stop = number + (RUN_BYTES_MAX << _BYTES_SHIFT)
        run.append(location)
        due = following
    if run:
        yield run


_UNIT = SIZE_UNIT_BYTES << _BYTES_SHIFT
_UNIT_SHIFT = _UNIT.bit_length() - 1
_OFFSET_MASK = (1 << SEGMENT_SHIFT) - 1 & _PLACE_MASK
