"""Reads one record by its location and verifies it (I3)."""

from controller.array.disk import Disk
from controller.array.errors import CorruptionError
from controller.array.format import (
    RECORD_HEADER_BYTES,
    Kind,
    RecordHeader,
    decode_record_header,
    digest,
    place,
    unpack_location,
)

WITH_TRACK = (Kind.TRACK, Kind.RELOCATE)
_NAMES = {WITH_TRACK: "a track's record", (Kind.CHECKPOINT,): "a checkpoint's record"}


class RecordReader:
    """Reads the records of one store."""

    def __init__(self, disk: Disk, identity: int) -> None:
        self._disk = disk
        self._identity = identity

    def read(self, location: int, kinds: tuple[Kind, ...] = WITH_TRACK) -> tuple[RecordHeader, memoryview]:
        """Header and payload of the record at `location`, which is one of these kinds.

        Raises CorruptionError where they are not what was written, DiskError.
        """
        segment, offset, size = unpack_location(location)
        data = self._disk.read(segment, offset, size)
        header = decode_record_header(data, self._identity ^ place(segment, offset))
        if header is None or header.kind not in kinds:
            raise CorruptionError(segment, offset, f"the header of {_NAMES[kinds]} is damaged")
        end = RECORD_HEADER_BYTES + header.payload_length
        if len(data) < end:
            data = self._disk.read(segment, offset, end)
        payload = memoryview(data)[RECORD_HEADER_BYTES:end]
        if digest(payload) != header.payload_digest:
            what = _NAMES[kinds].removesuffix("'s record")
            raise CorruptionError(segment, offset, f"the payload of {what} does not match its checksum")
        return header, payload
