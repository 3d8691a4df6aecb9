"""A plain image in one file as it goes over a network, a piece at a time: what a running system exports and imports."""

from __future__ import annotations

from collections.abc import Iterator

from ccw.errors import FormatError
from ccw.geometry import Geometry
from ccw.image_files import DEVICE_HEADER_BYTES, DeviceHeader, ImageForm
from ccw.stored_track import StoredTrack
from controller.array.images.errors import ImageError, format_fault
from controller.array.images.plain import stored_slot
from controller.array.images.source import geometry_of_image
from controller.array.images.writers import Tracks, device_header, image_of


def plain_length(geometry: Geometry) -> int:
    """How long a plain image in one file is, in bytes."""
    return DEVICE_HEADER_BYTES + geometry.tracks * geometry.track_size


def plain_pieces(name: str, geometry: Geometry, tracks: Tracks) -> Iterator[bytes]:
    """A plain image of tracks in order: its header, then a cylinder at a time. Raises ImageError."""
    yield device_header(geometry, ImageForm.PLAIN)
    slots = []
    for track, stored in tracks:
        slots.append(image_of(name, geometry, track, stored).ljust(geometry.track_size, b"\0"))
        if len(slots) == geometry.heads:
            yield b"".join(slots)
            slots.clear()


class PlainStream:
    """The image `name`, of `length` bytes in all. Its `geometry` is known once its first 512 bytes have come."""

    form = "plain"

    def __init__(self, name: str, length: int) -> None:
        self.geometry: Geometry | None = None
        self.track = 0  # the next one
        self._name = name
        self._length = length
        self._held = bytearray()

    @property
    def complete(self) -> bool:
        """Has every track come?"""
        return self.geometry is not None and self.track == self.geometry.tracks

    def feed(self, data: bytes) -> Iterator[tuple[int, StoredTrack | None]]:
        """The tracks that are whole with this piece, verified; None for one that looks as if it was never written.

        Raises ImageError with track and byte.
        """
        self._held += data
        if self.geometry is None:
            if len(self._held) < DEVICE_HEADER_BYTES:
                return
            self.geometry = self._shape(bytes(self._held[:DEVICE_HEADER_BYTES]))
            del self._held[:DEVICE_HEADER_BYTES]
        geometry, start = self.geometry, 0
        while len(self._held) - start >= geometry.track_size:
            if self.complete:
                raise ImageError(self._name, "more bytes than were announced", offset=self._length)
            slot = bytes(memoryview(self._held)[start : start + geometry.track_size])
            offset = DEVICE_HEADER_BYTES + self.track * geometry.track_size
            yield self.track, stored_slot(self._name, geometry, self.track, offset, slot)
            self.track += 1
            start += geometry.track_size
        del self._held[:start]

    def finish(self) -> Geometry:
        """The geometry, when everything has come. Raises ImageError."""
        if not self.complete or self._held:
            raise ImageError(self._name, "cut short while it was read", track=self.track)
        assert self.geometry is not None
        return self.geometry

    def _shape(self, start: bytes) -> Geometry:
        try:
            header = DeviceHeader.decode(start)
        except FormatError as error:
            raise format_fault(self._name, error, 0) from error
        if header.form != ImageForm.PLAIN.value or header.file_number or header.highest_cylinder:
            raise ImageError(self._name, "not a plain image in one file", offset=0)
        cylinder_bytes = header.heads * header.track_size
        cylinders, rest = divmod(self._length - DEVICE_HEADER_BYTES, cylinder_bytes) if cylinder_bytes else (0, 0)
        geometry = geometry_of_image(self._name, header, cylinders)
        if rest:
            raise ImageError(self._name, f"{rest} bytes behind cylinder {cylinders - 1} are no whole cylinder")
        return geometry
