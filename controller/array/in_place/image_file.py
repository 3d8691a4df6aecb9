"""A plain CKD image file that is read and written in place: a header of 512 bytes, then a slot for each track.

Locked (flock) while it is open. An image is shorter than its slot; what lies behind it is zeros once it was written.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from ccw.errors import FormatError
from ccw.geometry import Geometry, track_address_bytes
from ccw.image_files import DEVICE_HEADER_BYTES, DeviceHeader, ImageForm
from ccw.image_tracks import check_home_address, check_image
from ccw.tracks import track_image_length
from controller.array.errors import DiskError, DiskFullError
from controller.array.file_disk import FULL_ERRORS
from controller.array.image_stub import ImageFileError


class ImageFile:
    """The file at `path`, whose tracks are those of `geometry`. Raises ImageFileError when it is no such image."""

    def __init__(self, path: Path, geometry: Geometry, *, read_only: bool = False) -> None:
        self.path = path
        self.geometry = geometry
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
            fcntl.flock(self._file, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self._check()
        except BaseException as error:
            self.close()
            if isinstance(error, BlockingIOError):
                raise ImageFileError(f"{path} is in use by another program") from None
            if isinstance(error, OSError):
                raise ImageFileError(f"{path}: {error.strerror or error}") from error
            raise

    def _check(self) -> None:
        try:
            header = DeviceHeader.decode(os.pread(self._file, DEVICE_HEADER_BYTES, 0))
        except FormatError as error:
            raise ImageFileError(f"{self.path}: {error}") from error
        if not ImageForm(header.form).is_plain or header.file_number > 1:
            raise ImageFileError(f"{self.path}: only a plain image in one file can be used in place: form at byte 0")
        geometry = self.geometry
        length = DEVICE_HEADER_BYTES + geometry.tracks * geometry.track_size
        if (header.heads, header.track_size) != (geometry.heads, geometry.track_size):
            raise ImageFileError(
                f"{self.path}: {header.heads} heads and tracks of {header.track_size} bytes at byte 8,"
                f" the volume has {geometry.heads} and {geometry.track_size}"
            )
        found = os.fstat(self._file).st_size
        if found != length:
            raise ImageFileError(f"{self.path}: has {found} bytes, a volume of {geometry.cylinders} cylinders {length}")

    def stamp(self) -> Mapping[str, int]:
        """What changes when somebody writes to the file."""
        status = os.fstat(self._file)
        return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "inode": status.st_ino}

    def read(self, track: int) -> bytes:
        """The image of a track, without what follows it in its slot. Raises ImageFileError."""
        size = self.geometry.track_size
        try:
            slot = os.pread(self._file, size, self._offset(track))
        except OSError as error:
            raise ImageFileError(f"{self.path}, track {track}: {error.strerror or error}") from error
        try:
            if len(slot) < size:
                raise FormatError("track slot", "cut short", slot, len(slot))
            image = slot[: track_image_length(slot)]
            check_home_address("track image", image, self._home_address(track))
        except FormatError as error:
            raise ImageFileError(f"{self.path}, track {track}: {error}") from error
        return image

    def takes(self, track: int, image: bytes) -> bool:
        """Whether the file can hold this image, so that reading gives it back."""
        if track >= self.geometry.tracks:
            return False
        try:
            check_image(image, self._home_address(track), self.geometry.track_size)
        except FormatError:
            return False
        return True

    def write(self, track: int, image: bytes) -> None:
        """Write a slot. Durable after sync. Raises DiskError."""
        slot = image.ljust(self.geometry.track_size, b"\0")
        try:
            if os.pwrite(self._file, slot, self._offset(track)) < len(slot):
                raise DiskError(f"{self.path}, track {track}: written in part")
        except OSError as error:
            kind = DiskFullError if error.errno in FULL_ERRORS else DiskError
            raise kind(f"{self.path}, track {track}: {error.strerror or error}") from error

    def sync(self) -> None:
        """Make all writes durable. After an error nothing more can be known of them."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise DiskError(f"{self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _offset(self, track: int) -> int:
        return DEVICE_HEADER_BYTES + track * self.geometry.track_size

    def _home_address(self, track: int) -> bytes:
        return track_address_bytes(*self.geometry.address_of(track))
