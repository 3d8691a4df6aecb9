"""Reads tracks by their pointers, wherever they are: in a batch not yet committed, in the log, in an image file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ccw.errors import FormatError
from ccw.stored_track import CODEC_NONE, StoredTrack, compress_track, expand_payload
from controller.array.errors import CorruptionError
from controller.array.format import unpack_location
from controller.array.image_stub import CODEC_IN_IMAGE, ImageFileError, matches, read_stub
from controller.array.record_reader import RecordReader


class ImageReader(Protocol):
    """An image file that holds tracks in place: `ImageFile`."""

    path: Path

    def read(self, track: int, /) -> bytes:
        """The image of a track. Raises ImageFileError."""


class TrackReader:
    """The tracks of one store. `images`: files by identity.

    `unwritten`: tracks of batches on their way, by location; their payloads may be views of what was received.

    Everything raises CorruptionError, DiskError, ImageFileError.
    """

    def __init__(self, records: RecordReader) -> None:
        self.unwritten: dict[int, StoredTrack] = {}
        self.images: dict[int, ImageReader] = {}
        self._records = records

    def image(self, location: int) -> bytes:
        """The image of a track."""
        codec, raw_length, payload = self._unwritten(location) or self._records.read_track(location)
        if codec == CODEC_IN_IMAGE:
            return self._in_image(payload)
        if codec == CODEC_NONE:
            return payload
        try:
            return expand_payload(raw_length, payload)
        except FormatError as error:
            segment, offset, _ = unpack_location(location)
            raise CorruptionError(segment, offset, f"was stored so that it cannot be expanded: {error}") from error

    def stored(self, location: int) -> StoredTrack:
        """A track in its stored form."""
        stored = self._unwritten(location) or self._records.read_track(location)
        return compress_track(self._in_image(stored.payload)) if stored[0] == CODEC_IN_IMAGE else stored

    def stored_range(self, placed: list[tuple[int, int]]) -> Iterator[tuple[int, StoredTrack]]:
        """Track numbers with their stored forms, for track numbers with their locations."""
        unwritten = self.unwritten
        on_disk = self._records.read_tracks([location for _, location in placed if location not in unwritten])
        for track, location in placed:
            stored = self._unwritten(location) or next(on_disk)
            if stored[0] == CODEC_IN_IMAGE:
                stored = compress_track(self._in_image(stored.payload))
            yield track, stored

    def _unwritten(self, location: int) -> StoredTrack | None:
        stored = self.unwritten.get(location)
        return None if stored is None else stored._replace(payload=bytes(stored.payload))

    def _in_image(self, payload: bytes) -> bytes:
        """The image of a track from its file."""
        stub = read_stub(payload)
        file = self.images.get(stub.identity)
        if file is None:
            raise ImageFileError(f"track {stub.track} lies in an image file that is not in use")
        image = file.read(stub.track)
        if not matches(stub, image):
            raise ImageFileError(f"{file.path}, track {stub.track}: not what was written; another program changed it")
        return image
