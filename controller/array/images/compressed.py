"""Compressed CKD images with their shadow files, oldest first: a track is where the newest file that knows it says.

Everything that tables say is checked when the image is opened (compressed_file.py), track images when they are read.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from ccw.errors import FormatError
from ccw.geometry import Geometry, track_address_bytes
from ccw.image_files import LEVEL2_TRACKS
from ccw.image_tracks import check_image, null_image, take_over
from ccw.stored_track import StoredTrack, compress_track
from ccw.tracks import null_track
from controller.array.images.compressed_file import CompressedFile
from controller.array.images.errors import ImageError, format_fault

SHADOWS_MAX = 8


class CompressedImage:
    """An `ImageSource` over a compressed file and its shadow files, oldest first."""

    def __init__(self, path: Path, shadows: Sequence[Path] = ()) -> None:
        self._stack = ExitStack()
        try:
            base = self._open(path)
            if base.form.is_shadow:
                raise ImageError(path, "a shadow file: name the file that it belongs to", offset=0)
            self._files = [base]
            for shadow in shadows:
                self._files.append(self._open(shadow))
                _check_shadow(self._files[-1], base)
            self.geometry: Geometry = base.geometry
            for file in self._files:
                file.check()
        except BaseException:
            self._stack.close()
            raise
        width = "64-bit, " if base.form.is_wide else ""
        self.form = f"compressed, {width}{len(shadows)} shadow files" if shadows else f"compressed, {width}1 file"

    def _open(self, path: Path) -> CompressedFile:
        return self._stack.enter_context(CompressedFile(path))

    def tracks(self) -> Iterator[tuple[int, StoredTrack | None]]:
        """See ImageSource."""
        tracks = self.geometry.tracks
        for group in range(-(-tracks // LEVEL2_TRACKS)):
            tables = [file.group(group) for file in self._files]
            for track in range(group * LEVEL2_TRACKS, min((group + 1) * LEVEL2_TRACKS, tracks)):
                yield track, self._track(tables, track, track_address_bytes(*self.geometry.address_of(track)))

    def _track(self, tables: list[list[tuple[int, int]] | int | None], track: int, home: bytes) -> StoredTrack | None:
        """One track, by the newest file that knows it: see CompressedFile.group."""
        for file, table in zip(reversed(self._files), reversed(tables), strict=True):
            if table is None:
                continue
            if isinstance(table, int):
                return self._null(self._files[-1], table, track, home, "level-1 entry")
            offset, length = table[track % LEVEL2_TRACKS]
            if offset == file.tables.unset and file.form.is_shadow:
                continue
            if offset == 0:
                null_format = 2 if length == 0 and file.compressed.null_format == 2 else length
                return self._null(file, null_format, track, home, "level-2 entry")
            return self._stored(file, track, offset, length, home)
        raise AssertionError("the oldest file knows every track")

    def _null(self, file: CompressedFile, null_format: int, track: int, home: bytes, where: str) -> StoredTrack | None:
        try:
            image = null_image(null_format, home)
            check_image(image, home, self.geometry.track_size)
        except FormatError as error:
            raise ImageError(file.path, f"{where}: null track of format {null_format}", track=track) from error
        if null_format == 1:
            return None
        return compress_track(image)

    def _stored(self, file: CompressedFile, track: int, offset: int, length: int, home: bytes) -> StoredTrack | None:
        data = file.read(offset, length, track)
        try:
            stored, image = take_over(data, home, self.geometry.track_size)
        except FormatError as error:
            raise format_fault(file.path, error, offset, track=track) from error
        if image == null_track(*self.geometry.address_of(track)):
            return None
        return stored if stored.codec else compress_track(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _check_shadow(shadow: CompressedFile, base: CompressedFile) -> None:
    wanted = base.form.shadow
    if shadow.form is not wanted:
        reason = f"{shadow.form.value.decode()}, a shadow file of {base.path} is {wanted.value.decode()}"
        raise ImageError(shadow.path, reason, offset=0)
    if shadow.geometry != base.geometry:
        found, expected = (f"a {file.geometry.name} of {file.geometry.cylinders} cylinders" for file in (shadow, base))
        raise ImageError(shadow.path, f"{found}, {base.path} is {expected}")
