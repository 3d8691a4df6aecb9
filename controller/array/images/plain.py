"""Plain CKD images: one file, or several that continue each other; gzipped or not.

File n of several has the name of the first with another character before the first dot of its base name (the last
character, where there is no dot): `vol_1.ckd`, `vol_2.ckd`, ... 9, A, B, ... R.

A gzipped file is read twice, once to know how long it is: nothing else tells that, and a file that turns out to be cut
short or damaged is then refused before anything is imported.
"""

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from isal import igzip, igzip_lib

from ccw.errors import FormatError
from ccw.geometry import Geometry, track_address_bytes
from ccw.image_files import DEVICE_HEADER_BYTES, DeviceHeader, ImageForm
from ccw.image_tracks import check_home_address, check_image
from ccw.stored_track import StoredTrack, compress_track
from ccw.tracks import NULL_TRACK_LENGTH, null_track, track_image_length
from controller.array.images.errors import ImageError, format_fault, image_errors
from controller.array.images.source import geometry_of_image

FILES_MAX = 27
GZIP_MAGIC = b"\x1f\x8b"
_NUMBERS = "123456789ABCDEFGHIJKLMNOPQR"
assert len(_NUMBERS) == FILES_MAX
_SKIP_BYTES = 1 << 20


def numbered_name(path: Path, number: int) -> Path:
    """The name of file `number` (from 1) of an image whose other files are named like `path`."""
    return numbered(path, _NUMBERS[number - 1])


def numbered(path: Path, character: str) -> Path:
    """`path` with another character before the first dot of its base name, or at its end without a dot."""
    stem, dot, rest = path.name.partition(".")
    if not stem:
        stem, dot, rest = path.name, "", ""
    return path.with_name(f"{stem[:-1]}{character}{dot}{rest}")


@contextmanager
def _stream_errors(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file or its gzip stream into ImageError."""
    try:
        with image_errors(path):
            try:
                yield
            except gzip.BadGzipFile as error:  # an OSError that the system did not raise
                raise ImageError(path, f"gzip stream: {error}") from error
    except (EOFError, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]  # its stub calls it a variable
        raise ImageError(path, f"gzip stream: {error}") from error


class PlainFile:
    """One file of a plain image: its header, how many tracks are in it, and a stream at its first track."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        with _stream_errors(path):
            raw = stack.enter_context(path.open("rb"))
            gzipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            self.stream: IO[bytes] = raw
            if gzipped:
                self.stream = cast(IO[bytes], stack.enter_context(igzip.open(raw)))  # type: ignore[no-untyped-call]
            start = self.stream.read(DEVICE_HEADER_BYTES)
            try:
                self.header = DeviceHeader.decode(start)
            except FormatError as error:
                raise format_fault(path, error, 0) from error
            if not ImageForm(self.header.form).is_plain:
                reason = "a compressed image inside gzip: unpack it first" if gzipped else "not a plain image"
                raise ImageError(path, reason, offset=0)
            self.bytes = self._length(raw, gzipped)
        self.cylinders = self._cylinders()

    def _length(self, raw: IO[bytes], gzipped: bool) -> int:
        if not gzipped:
            return os.fstat(raw.fileno()).st_size
        length = DEVICE_HEADER_BYTES
        while piece := self.stream.read(_SKIP_BYTES):
            length += len(piece)
        self.stream.seek(DEVICE_HEADER_BYTES)
        return length

    def _cylinders(self) -> int:
        header = self.header
        if not header.heads:
            raise ImageError(self.path, "0 heads", offset=8)
        if header.track_size < NULL_TRACK_LENGTH:
            raise ImageError(self.path, f"track size {header.track_size}", offset=12)
        cylinders, rest = divmod(self.bytes - DEVICE_HEADER_BYTES, header.heads * header.track_size)
        if rest:
            reason = f"cut short: {rest} bytes behind cylinder {cylinders - 1} are no whole cylinder"
            raise ImageError(self.path, reason, offset=self.bytes)
        return cylinders

    def slots(self, first: int, count: int) -> Iterator[tuple[int, int, bytes]]:
        """Track number, offset in the file, and slot of `count` tracks; the first one has number `first`."""
        size = self.header.track_size
        for index in range(count):
            offset = DEVICE_HEADER_BYTES + index * size
            with _stream_errors(self.path):
                slot = self.stream.read(size)
            if len(slot) != size:
                raise ImageError(self.path, "cut short while it was read", track=first + index, offset=offset)
            yield first + index, offset, slot


class PlainImage:
    """An `ImageSource` over plain files. `path`: the only or the first file."""

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        try:
            self._files = self._open(path)
            header = self._files[0].header
            self.geometry: Geometry = geometry_of_image(path, header, sum(file.cylinders for file in self._files))
        except BaseException:
            self._stack.close()
            raise
        several = f", {len(self._files)} files" if len(self._files) > 1 else ""
        self.form = f"plain{several}"

    def _open(self, path: Path) -> Sequence[PlainFile]:
        first = PlainFile(path, self._stack)
        number, highest = first.header.file_number, first.header.highest_cylinder
        if number > 1:
            raise ImageError(path, f"file {number} of several: name the first, {numbered_name(path, 1)}", offset=17)
        if number == 0 and highest:
            raise ImageError(path, f"highest cylinder {highest} in the only file", offset=18)
        files = [first]
        cylinders = first.cylinders
        while highest := files[-1].header.highest_cylinder:
            if highest != cylinders - 1:
                reason = f"highest cylinder {highest}, the file ends with {cylinders - 1}"
                raise ImageError(files[-1].path, reason, offset=18)
            if len(files) == FILES_MAX:
                raise ImageError(files[-1].path, f"more than {FILES_MAX} files", offset=18)
            file = PlainFile(numbered_name(path, len(files) + 1), self._stack)
            _check_next(file, first, len(files) + 1)
            files.append(file)
            cylinders += file.cylinders
        return files

    def tracks(self) -> Iterator[tuple[int, StoredTrack | None]]:
        """See ImageSource."""
        first = 0
        for file in self._files:
            count = file.cylinders * self.geometry.heads
            for track, offset, slot in file.slots(first, count):
                yield track, stored_slot(file.path, self.geometry, track, offset, slot)
            first += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def stored_slot(
    path: str | os.PathLike[str], geometry: Geometry, track: int, offset: int, slot: bytes
) -> StoredTrack | None:
    """The track in a slot that begins at `offset` of an image; None if it looks as if it was never written.

    Raises ImageError.
    """
    address = geometry.address_of(track)
    if slot.startswith(null_track(*address)):
        return None
    try:
        home_address = track_address_bytes(*address)
        check_home_address("track image", slot, home_address)
        image = slot[: track_image_length(slot)]
        check_image(image, home_address, geometry.track_size)
    except FormatError as error:
        raise format_fault(path, error, offset, track=track) from error
    return compress_track(image)


def _check_next(file: PlainFile, first: PlainFile, number: int) -> None:
    """A further file has the number that is due and the shape of the first."""
    header, expected = file.header, first.header
    if header.form != expected.form:
        raise ImageError(file.path, f"{header.form.decode()}, the first file is {expected.form.decode()}", offset=0)
    for name, offset in (("heads", 8), ("track_size", 12), ("device_type", 16)):
        found, wanted = getattr(header, name), getattr(expected, name)
        if found != wanted:
            raise ImageError(file.path, f"{name.replace('_', ' ')} {found}, {wanted} in the first file", offset=offset)
    if header.file_number != number:
        raise ImageError(file.path, f"file number {header.file_number} where {number} is due", offset=17)
