"""Files that appear whole or not at all: written under other names, synced, renamed in one go at the end."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.array.images.errors import ImageError, image_errors

PARTIAL_SUFFIX = ".partial"


class OutputFile:
    """A file in the making; `position` is where the next appended byte goes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + PARTIAL_SUFFIX)
        with image_errors(self.partial):
            self._file = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.position = 0

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset. What is jumped over reads as zeros and costs no space."""
        with image_errors(self.path):
            view = memoryview(data)
            while view:
                done = os.pwrite(self._file, view, offset)
                view, offset = view[done:], offset + done

    def append(self, data: bytes) -> int:
        """Write behind what was appended last; its offset."""
        at = self.position
        self.write(at, data)
        self.position = at + len(data)
        return at

    def extend(self, length: int) -> None:
        """Set the length of the file."""
        with image_errors(self.path):
            os.truncate(self._file, length)

    def sync(self) -> None:
        """Make it durable, still under its other name."""
        with image_errors(self.path):
            os.fsync(self._file)

    def close(self) -> None:
        """Let the file go; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Output:
    """The files of one image. Left in order (`finish` was called), they exist; otherwise none was ever there.

    Raises ImageError for a directory, and for a file that exists already, unless `replace`.
    """

    def __init__(self, paths: Sequence[Path], *, replace: bool) -> None:
        for path in paths:
            if path.is_dir():
                raise ImageError(path, "a directory, not a file")
            if path.exists() and not replace:
                raise ImageError(path, "the file exists already")
        self.files: list[OutputFile] = []
        self._finished = False
        try:
            for path in paths:
                self.files.append(OutputFile(path))
        except BaseException:
            self._discard()
            raise

    def finish(self) -> None:
        """Make the files durable and give them their names, the first one last: it is the one that others open."""
        for file in self.files:
            file.sync()
        for file in reversed(self.files):
            with image_errors(file.path):
                os.replace(file.partial, file.path)
        self._finished = True
        for folder in {file.path.parent for file in self.files}:
            _sync_directory(folder)

    def _discard(self) -> None:
        for file in self.files:
            file.close()
            with suppress(OSError):
                file.partial.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:
            for file in self.files:
                file.close()
        else:
            self._discard()


def _sync_directory(directory: Path) -> None:
    with image_errors(directory):
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
