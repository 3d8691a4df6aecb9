"""Finds out what an image is, by its first bytes, and opens it."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from ccw.image_files import form_of
from controller.array.images.compressed import SHADOWS_MAX, CompressedImage
from controller.array.images.errors import ImageError, image_errors
from controller.array.images.plain import GZIP_MAGIC, PlainImage, numbered
from controller.array.images.source import ImageSource


def open_image(path: Path, shadows: Sequence[Path] = ()) -> ImageSource:
    """Open a plain (gzipped or not) or compressed image; `shadows`: its shadow files, oldest first.

    Raises ImageError for anything that is not a whole image; only what is inside the tracks is left to be checked when
    they are read.
    """
    with image_errors(path), path.open("rb") as file:
        start = file.read(8)
    form = form_of(start)
    if form is not None and not form.is_plain:
        return CompressedImage(path, shadows)
    if shadows:
        raise ImageError(path, "only a compressed image has shadow files", offset=0)
    if form is None and start[:2] != GZIP_MAGIC:
        raise ImageError(path, f"not a CKD image: it begins with {start.hex(' ').upper() or 'nothing'}", offset=0)
    return PlainImage(path)


def shadow_files(name: Path) -> list[Path]:
    """The shadow files that a name stands for, oldest first: as `sf=` of a Hercules device statement.

    The character before the first dot of the base name is replaced by 1, 2, ... 8, up to the first that does not exist.
    Raises ImageError when there is none.
    """
    found = shadow_files_made(name)
    if not found:
        raise ImageError(numbered(name, "1"), "there is no such shadow file")
    return found


def shadow_files_made(name: Path) -> list[Path]:
    """As shadow_files, also before the first was made: Hercules opens the image alone then."""
    names = [numbered(name, str(number)) for number in range(1, SHADOWS_MAX + 1)]
    return list(takewhile(Path.exists, names))
