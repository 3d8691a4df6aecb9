"""Volumes made of image files, and what they should hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ccw.geometry import geometry_for
from controller.array import MemoryDisk, VirtualArrayStore
from controller.array.volumes import volume_of
from tests.helpers.image_files import null_image, plain

DEVICES = [("3390", 20), ("3380", 19), ("3350", 9), ("3330", 14), ("2314", 13)]  # type, cylinders: two level-2 tables


def new_store() -> VirtualArrayStore:
    return VirtualArrayStore.open(MemoryDisk())


def contents(store: VirtualArrayStore, volume: int) -> list[bytes]:
    """All images of a volume; those never written as the specification's null track."""
    geometry = volume_of(store, volume).geometry
    device = f"{geometry.device_type:04X}"
    return [store.read(volume, track) or null_image(device, track, 1) for track in range(geometry.tracks)]


def expected_of(device: str, cylinders: int, images: dict[int, bytes]) -> list[bytes]:
    tracks = geometry_for(device, cylinders).tracks
    return [images.get(track) or null_image(device, track, 1) for track in range(tracks)]


def write_several(folder: Path, tracks: list[bytes], packer: Callable[[bytes], bytes] = bytes) -> None:
    """Cylinders 0-1, 2 and 3. (A first file of one cylinder would say what an only file says.)"""
    for number, first, count, highest in ((1, 0, 30, 1), (2, 30, 15, 2), (3, 45, 15, 0)):
        data = plain("3390", tracks[first : first + count], number=number, highest=highest)
        (folder / f"vol_{number}.ckd").write_bytes(packer(data))
