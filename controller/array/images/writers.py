"""Makes image files: plain ones of one or several files, compressed ones with 4- or 8-byte offsets.

A compressed file is written from front to back: headers and level-1 table last, but at its beginning; for every 256
tracks that have any stored image their images, then their level-2 table. There is no free space in it, and no memory
grows with it but the level-1 table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccw.errors import FormatError
from ccw.geometry import Geometry, track_address_bytes
from ccw.image_files import (
    DEVICE_HEADER_BYTES,
    LEVEL1_AT,
    LEVEL2_TRACKS,
    PLAIN_FILE_BYTES_MAX,
    CompressedHeader,
    DeviceHeader,
    ImageAlgorithm,
    ImageForm,
    Tables,
)
from ccw.image_tracks import check_image, hand_over, null_format_of
from ccw.stored_track import StoredTrack, expand_track
from ccw.tracks import null_track
from controller.array.images.errors import ImageError
from controller.array.images.output import Output, OutputFile
from controller.array.images.plain import FILES_MAX, numbered_name

Tracks = Iterable[tuple[int, StoredTrack | None]]
"""Every track of a volume in order; None: never written."""
_NULL_FORMAT = 1
_LENGTH_MAX = 0xFFFF


def device_header(geometry: Geometry, form: ImageForm, number: int = 0, highest_cylinder: int = 0) -> bytes:
    """The first 512 bytes of an image file."""
    device_type = geometry.device_type & 0xFF
    return DeviceHeader(
        form.value, geometry.heads, geometry.track_size, device_type, number, highest_cylinder
    ).encode()


def plain_files(path: Path, geometry: Geometry, *, single: bool) -> list[tuple[Path, int]]:
    """Name and cylinders of each file of a plain image, split below 2 GiB unless `single`. Raises ImageError."""
    cylinder_bytes = geometry.heads * geometry.track_size
    most = geometry.cylinders if single else (PLAIN_FILE_BYTES_MAX - DEVICE_HEADER_BYTES) // cylinder_bytes
    counts = [min(most, geometry.cylinders - first) for first in range(0, geometry.cylinders, most)]
    if len(counts) == 1:
        return [(path, geometry.cylinders)]
    if len(counts) > FILES_MAX:
        raise ImageError(path, f"{len(counts)} files of 2 GiB are needed, at most {FILES_MAX} can be: choose one file")
    return [(numbered_name(path, number), count) for number, count in enumerate(counts, 1)]


def write_plain(
    path: Path, geometry: Geometry, tracks: Tracks, *, single: bool = False, replace: bool = False
) -> list[Path]:
    """Write a plain image; the files made. Raises ImageError, and leaves nothing behind then."""
    files = plain_files(path, geometry, single=single)
    with Output([name for name, _ in files], replace=replace) as output:
        _start_plain(output.files, geometry, [count for _, count in files])
        index = first = 0
        stop = files[0][1] * geometry.heads
        for track, stored in tracks:
            if track == stop:
                index, first = index + 1, stop
                stop += files[index][1] * geometry.heads
            file = output.files[index]
            offset = DEVICE_HEADER_BYTES + (track - first) * geometry.track_size
            file.write(offset, image_of(file.path, geometry, track, stored))
        output.finish()
    return [name for name, _ in files]


def _start_plain(files: list[OutputFile], geometry: Geometry, counts: list[int]) -> None:
    last = 0
    for number, (file, count) in enumerate(zip(files, counts, strict=True), 1):
        last += count
        several = (number, last - 1 if number < len(files) else 0) if len(files) > 1 else (0, 0)
        file.append(device_header(geometry, ImageForm.PLAIN, *several))
        file.extend(DEVICE_HEADER_BYTES + count * geometry.heads * geometry.track_size)


def image_of(path: str | PathLike[str], geometry: Geometry, track: int, stored: StoredTrack | None) -> bytes:
    """The image of a track for the file `path`. Raises ImageError when what is stored is none."""
    if stored is None:
        return null_track(*geometry.address_of(track))
    try:
        image = expand_track(stored)
        check_image(image, track_address_bytes(*geometry.address_of(track)), geometry.track_size)
    except FormatError as error:
        raise ImageError(path, f"{error.what}: {error.where}", track=track) from error
    return image


@dataclass(frozen=True, slots=True)
class Compression:
    """How a compressed file is made. `wide`: 8-byte offsets."""

    algorithm: ImageAlgorithm
    wide: bool = False


def write_compressed(
    path: Path, geometry: Geometry, tracks: Tracks, compression: Compression, *, replace: bool = False
) -> list[Path]:
    """Write a compressed image; the file made. Raises ImageError, and leaves nothing behind then."""
    with Output([path], replace=replace) as output:
        _CompressedWriter(output.files[0], geometry, compression).write(tracks)
        output.finish()
    return [path]


class _CompressedWriter:
    """One compressed file in the making."""

    def __init__(self, file: OutputFile, geometry: Geometry, compression: Compression) -> None:
        self._file = file
        self._geometry = geometry
        self._compression = compression
        self._tables = Tables(wide=compression.wide)
        groups = -(-geometry.tracks // LEVEL2_TRACKS)
        self._level1: NDArray[Any] = np.zeros(groups, self._tables.level1)

    def write(self, tracks: Tracks) -> None:
        """All of it."""
        self._file.position = LEVEL1_AT + self._level1.nbytes
        for group, table in enumerate(self._groups(tracks)):
            if table is not None:
                self._level1[group] = self._append(table.tobytes(), group * LEVEL2_TRACKS)
        self._file.write(LEVEL1_AT, self._level1.tobytes())
        self._file.write(DEVICE_HEADER_BYTES, self._tables.header.encode(self._header()))
        form = ImageForm.COMPRESSED_64 if self._compression.wide else ImageForm.COMPRESSED
        self._file.write(0, device_header(self._geometry, form))

    def _groups(self, tracks: Tracks) -> Iterator[NDArray[Any] | None]:
        """The level-2 table of each 256 tracks, their images written; None where no track needs an entry."""
        table = self._new_table()
        needed = False
        track = -1
        for track, stored in tracks:
            if stored is not None:
                table[track % LEVEL2_TRACKS] = self._entry(track, stored)
                needed = True
            if track % LEVEL2_TRACKS == LEVEL2_TRACKS - 1:
                yield table if needed else None
                table, needed = self._new_table(), False
        if (track + 1) % LEVEL2_TRACKS:
            yield table if needed else None

    def _new_table(self) -> NDArray[Any]:
        table: NDArray[Any] = np.zeros(LEVEL2_TRACKS, self._tables.level2)
        table["length"] = _NULL_FORMAT
        table["size"] = _NULL_FORMAT
        return table

    def _entry(self, track: int, stored: StoredTrack) -> tuple[int, ...]:
        home_address = track_address_bytes(*self._geometry.address_of(track))
        rest = (0,) if self._compression.wide else ()
        try:
            null_format = null_format_of(stored, home_address)
            if null_format is not None:
                return (0, null_format, null_format, *rest)
            image = expand_track(stored)
            check_image(image, home_address, self._geometry.track_size)
            data = hand_over(stored, self._compression.algorithm)
        except FormatError as error:
            raise ImageError(self._file.path, f"{error.what}: {error.where}", track=track) from error
        if len(data) > _LENGTH_MAX:
            raise ImageError(self._file.path, f"a stored image of {len(data)} bytes", track=track)
        return (self._append(data, track), len(data), len(data), *rest)

    def _append(self, data: bytes, track: int) -> int:
        at = self._file.append(data)
        if self._file.position >= self._tables.unset and not self._compression.wide:
            reason = "the file would reach 4 GiB: choose the compressed form with 64-bit offsets"
            raise ImageError(self._file.path, reason, track=track, offset=at)
        return at

    def _header(self) -> CompressedHeader:
        return CompressedHeader(
            level1_entries=len(self._level1),
            level2_entries=LEVEL2_TRACKS,
            file_bytes=self._file.position,
            used_bytes=self._file.position,
            cylinders=self._geometry.cylinders,
            null_format=_NULL_FORMAT,
            algorithm=self._compression.algorithm,
        )
