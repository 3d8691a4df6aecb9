"""The disk of a running system: a directory with one file for each segment.

    track-store            names the directory as ours; locked (flock) while a disk is open. Empty until segment 1
                           exists
    segment-00000001       a segment: its file never changes its length, so a later fdatasync need not write any
                           metadata
    spare-00000001         room that is held (`reserve`), full of zeros or of what a removed segment held: becomes the
                           next segment when the header is written to it and it gets that name
    spare-00000002.new     a spare that a crash caught while it was being filled: removed at the next open

Zeros are written, not only allocated: syncing into allocated but unwritten space costs as much as appending
(observed: ext4, one 56 KB track and fdatasync, 0.21 ms in written space, 0.46 ms otherwise). A removed segment becomes
a spare, while there are few, so that a store that collects its free space writes no zeros any more.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from controller.array.errors import DiskError, DiskFullError, StoreError, StoreLockedError

MARKER_NAME = "track-store"
MARKER_TEXT = b"trackbridge track store, format family 1\n"
_SEGMENT_NAME = re.compile(r"segment-(\d{8,})")
_SPARE_NAME = re.compile(r"spare-(\d{8,})")
_OURS = re.compile(r"(segment|spare)-\d{8,}(\.new)?$")
_HARMLESS_NAMES = frozenset({MARKER_NAME, "lost+found"})
_ZEROS = bytes(1 << 20)
SPARES_KEPT = 8
"""Removed segments that are kept as spares, at least; in a large store one for 16 segments."""
_PARTS_MAX = min(1024, os.sysconf("SC_IOV_MAX"))
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


class _Spare(NamedTuple):
    """A file that will become a segment. `length` in bytes."""

    path: Path
    file: int
    length: int


class FileDisk:
    """Segments as files of `directory`, which is made if it does not exist.

    Raises StoreError when the directory holds something else, StoreLockedError when the store is open already,
    DiskError when the system refuses. `read_only` changes nothing on the medium and lets other readers in, but no
    writer.
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.directory = Path(directory)
        self.writable = not read_only
        self._files: dict[int, int] = {}
        self._spares: list[_Spare] = []
        self._names = count(1)
        self._marker = -1
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with _disk_errors(f"store {self.directory}"):
            if self.writable:
                _make_directory(self.directory)
            names = set(os.listdir(self.directory))
            foreign = sorted(name for name in names - _HARMLESS_NAMES if not _OURS.match(name))
            if MARKER_NAME not in names and (names - _HARMLESS_NAMES or not self.writable):
                found = f"it holds {foreign[0]}" if foreign else f"it has no file {MARKER_NAME}"
                raise StoreError(f"{self.directory} is not a track store: {found}")
            self._lock()
            if self.writable and MARKER_NAME not in names:
                _sync_directory(self.directory)  # no other file may come first: without the marker it is not ours
            marker = os.pread(self._marker, 4096, 0)
            if marker not in (b"", MARKER_TEXT):
                raise StoreError(f"{self.directory} is not a track store that this program reads: see {MARKER_NAME}")
            if self.writable:
                self._adopt_spares()
            for name in sorted(os.listdir(self.directory)):
                if match := _SEGMENT_NAME.fullmatch(name):
                    flags = os.O_RDWR if self.writable else os.O_RDONLY
                    self._files[int(match[1])] = os.open(self.directory / name, flags)
            if marker and not self._files:
                raise StoreError(f"{self.directory} was a track store, but its segments are missing")

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT if self.writable else os.O_RDONLY
        self._marker = os.open(self.directory / MARKER_NAME, flags, 0o644)
        try:
            fcntl.flock(self._marker, (fcntl.LOCK_EX if self.writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(f"the track store {self.directory} is already open") from None

    def _adopt_spares(self) -> None:
        """Keep the spares of an earlier run, remove those that were not finished."""
        for path in sorted(self.directory.iterdir()):
            if path.name.endswith(".new"):
                path.unlink()
            elif match := _SPARE_NAME.fullmatch(path.name):
                file = os.open(path, os.O_RDWR)
                self._spares.append(_Spare(path, file, os.fstat(file).st_size))
                self._names = count(int(match[1]) + 1)

    def new_identity(self) -> int:
        """64 bits of chance: no two stores share them."""
        return int.from_bytes(os.urandom(8))

    def segments(self) -> dict[int, int]:
        """Length of every segment by number."""
        with _disk_errors(f"store {self.directory}"):
            return {number: os.fstat(file).st_size for number, file in sorted(self._files.items())}

    def reserve(self, length: int, count: int) -> None:
        """Make spares until there are `count`. From any thread: a list grows and shrinks in one step."""
        with _disk_errors("making room for segments"):
            while sum(spare.length == length for spare in self._spares) < count:
                self._spares.append(self._make_spare(length))

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """Write the beginning to a spare and sync it, then give it its name."""
        path = self._path(number)
        with _disk_errors(f"creating segment {number}"):
            if path.exists():
                raise DiskError(f"segment {number} exists already")
            spare = self._take_spare(length) or self._make_spare(length)
            try:
                _write_all(spare.file, 0, [beginning])
                os.fdatasync(spare.file)
                os.rename(spare.path, path)
                _sync_directory(self.directory)
                if os.fstat(self._marker).st_size == 0:
                    _write_all(self._marker, 0, [MARKER_TEXT])
                    os.fsync(self._marker)
            except BaseException:
                os.close(spare.file)
                raise
            self._files[number] = spare.file

    def _take_spare(self, length: int) -> _Spare | None:
        for spare in self._spares:
            if spare.length == length:
                self._spares.remove(spare)
                return spare
        return None

    def _make_spare(self, length: int) -> _Spare:
        path = self.directory / f"spare-{next(self._names):08d}"
        unfinished = path.with_name(path.name + ".new")
        file = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _fill_zeros(file, 0, length)
            os.fsync(file)
            os.rename(unfinished, path)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                unfinished.unlink()
            raise
        return _Spare(path, file, length)

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Bytes of a segment; fewer than `length` only where the file ends."""
        try:
            file = self._files.get(number, -1)
            data = os.pread(file if file >= 0 else self._file(number), length, offset)
            while data and len(data) < length:
                more = os.pread(file, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        except OSError as error:  # no `with`: this is the busiest call of all, and entering one doubles its cost
            raise _disk_error(f"reading segment {number} at {offset}", error) from error

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """Gather the parts in as few system calls as the system allows."""
        with _disk_errors(f"writing segment {number} at {offset}"):
            _write_all(self._file(number), offset, parts)

    def sync(self, number: int) -> None:
        """fdatasync: the file's length never changes, so its metadata need not move."""
        with _disk_errors(f"syncing segment {number}"):
            os.fdatasync(self._file(number))

    def remove(self, number: int) -> None:
        """Make a spare of the file, or delete it when there are many."""
        with _disk_errors(f"removing segment {number}"):
            file, path = self._file(number), self._path(number)
            if len(self._spares) < max(SPARES_KEPT, len(self._files) // 16):
                spare = _Spare(self.directory / f"spare-{next(self._names):08d}", file, os.fstat(file).st_size)
                os.rename(path, spare.path)
                _sync_directory(self.directory)
                del self._files[number]
                self._spares.append(spare)
            else:
                path.unlink()
                _sync_directory(self.directory)
                os.close(self._files.pop(number))

    def close(self) -> None:
        """Close the files and unlock the store."""
        for file in (*self._files.values(), *(spare.file for spare in self._spares)):
            os.close(file)
        self._files.clear()
        self._spares.clear()
        if self._marker >= 0:
            os.close(self._marker)
            self._marker = -1

    def _path(self, number: int) -> Path:
        return self.directory / f"segment-{number:08d}"

    def _file(self, number: int) -> int:
        file = self._files.get(number)
        if file is None:
            raise DiskError(f"segment {number} is not open")
        return file


@contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    """Turn what the system reports into our errors, with one line that says what was being done."""
    try:
        yield
    except OSError as error:
        raise _disk_error(what, error) from error


def _disk_error(what: str, error: OSError) -> DiskError:
    kind = DiskFullError if error.errno in FULL_ERRORS else DiskError
    return kind(f"{what}: {error.strerror or error}")


def _make_directory(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, offset: int, parts: Sequence[bytes]) -> None:
    """Write every byte, whatever the system takes at once."""
    for first in range(0, len(parts), _PARTS_MAX):
        some = parts[first : first + _PARTS_MAX]
        length = sum(map(len, some))
        written = os.pwritev(file, some, offset)
        if written < length:
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[os.pwrite(file, rest, offset + length - len(rest)) :]
        offset += length


def _fill_zeros(file: int, start: int, stop: int) -> None:
    """Write zeros to the medium, a little at a time: a commit meanwhile waits for one piece, not for all of them."""
    while start < stop:
        start += os.pwrite(file, memoryview(_ZEROS)[: stop - start], start)
        os.fdatasync(file)
