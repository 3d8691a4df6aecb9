"""An opened image, whatever its form: its geometry, and its tracks one after another."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from os import PathLike
from typing import Protocol

from ccw.geometry import MODELS, Geometry, geometry_for
from ccw.image_files import DeviceHeader
from ccw.stored_track import StoredTrack
from controller.array.images.errors import ImageError

TYPE_NAMES = {int(name[-2:], 16): name for name in MODELS}
"""Byte 16 of a device header -> the device type."""
assert len(TYPE_NAMES) == len(MODELS)


class ImageSource(AbstractContextManager["ImageSource"], Protocol):
    """An image that can be read once, from its first track to its last. `form` is for people: "compressed"."""

    form: str
    geometry: Geometry

    def tracks(self) -> Iterator[tuple[int, StoredTrack | None]]:
        """Every track with its number, verified; None for one that looks as if it was never written.

        Raises ImageError with track and byte.
        """


def geometry_of_image(path: str | PathLike[str], header: DeviceHeader, cylinders: int) -> Geometry:
    """The geometry that a device header and a number of cylinders say. Raises ImageError when they contradict."""
    name = TYPE_NAMES.get(header.device_type)
    if name is None:
        known = ", ".join(f"{code:02X} {known}" for code, known in sorted(TYPE_NAMES.items()))
        raise ImageError(path, f"device type {header.device_type:02X} is none of {known}", offset=16)
    try:
        geometry = geometry_for(name, cylinders)
    except ValueError as error:
        raise ImageError(path, str(error)) from error
    if header.heads != geometry.heads:
        raise ImageError(path, f"{header.heads} heads, a {geometry.name} has {geometry.heads}", offset=8)
    if header.track_size != geometry.track_size:
        raise ImageError(
            path, f"track size {header.track_size}, that of a {geometry.name} is {geometry.track_size}", offset=12
        )
    return geometry
