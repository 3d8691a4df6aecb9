"""What can be wrong with an image file: one line with the file, the track and the byte."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ccw.errors import FormatError
from controller.array.errors import StoreError


class ImageError(StoreError):
    """An image file that cannot be read or made. `track` and `offset` (of the byte in the file) are None if unknown."""

    def __init__(
        self, path: str | os.PathLike[str], reason: str, *, track: int | None = None, offset: int | None = None
    ) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        self.track = track
        self.offset = offset
        place = ", ".join(
            f"{name} {value}" for name, value in (("track", track), ("byte", offset)) if value is not None
        )
        super().__init__(f"image {self.path}: {place}: {reason}" if place else f"image {self.path}: {reason}")


def format_fault(
    path: str | os.PathLike[str], error: FormatError, base: int, *, track: int | None = None
) -> ImageError:
    """The error of bytes that begin at `base` in the file. What is compressed has the offset of its first byte."""
    return ImageError(path, f"{error.what}: {error.where}", track=track, offset=base + (error.offset or 0))


@contextmanager
def image_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system refuses into ImageError."""
    try:
        yield
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
