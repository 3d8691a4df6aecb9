"""A physical volume over a small image file."""

from pathlib import Path
from typing import Any

from ccw.geometry import Geometry, geometry_for
from ccw.image_files import DeviceHeader
from ccw.tracks import Record, build_track, null_track, standard_record_zero
from controller.array import VirtualArrayStore
from controller.array.in_place import ImageFile, InPlaceVolume

GEOMETRY = geometry_for("3390", 1)
SHAPE = {"type": "3390", "cylinders": 1, "heads": 15}
VOLUME, SNAP, OTHER = 0, 1, 2


def track_of(track: int, text: bytes, geometry: Geometry = GEOMETRY) -> bytes:
    cylinder, head = geometry.address_of(track)
    area = bytes((0, cylinder, 0, head, 1, 0)) + len(text).to_bytes(2)
    return build_track(cylinder, head, [standard_record_zero(cylinder, head), Record(area, b"", text)])


def make_image(path: Path, contents: dict[int, bytes], geometry: Geometry = GEOMETRY) -> Path:
    header = DeviceHeader(b"CKD_P370", geometry.heads, geometry.track_size, 0x90)
    slots = [contents.get(track) or null_track(*geometry.address_of(track)) for track in range(geometry.tracks)]
    path.write_bytes(header.encode() + b"".join(slot.ljust(geometry.track_size, b"\0") for slot in slots))
    return path


def in_file(path: Path, track: int) -> bytes:
    """The image in a slot, by offset: not by the code under test."""
    return slot_of(path, track).rstrip(b"\0")


def slot_of(path: Path, track: int, geometry: Geometry = GEOMETRY) -> bytes:
    with path.open("rb") as file:
        file.seek(512 + track * geometry.track_size)
        return file.read(geometry.track_size)


def start(disk: Any, path: Path) -> tuple[VirtualArrayStore, InPlaceVolume]:
    store = VirtualArrayStore.open(disk, segment_bytes=1 << 16)
    physical = InPlaceVolume.attach(store, VOLUME, ImageFile(path, GEOMETRY))
    store.define_volume(VOLUME, SHAPE)
    for volume in (SNAP, OTHER):
        if volume not in store.volumes():
            store.define_volume(volume, SHAPE)
    store.sync()
    return store, physical


def make_first(folder: Path) -> Path:
    """An image whose first ten tracks are written."""
    return make_image(folder / "v.ckd", {track: track_of(track, b"first %d" % track) for track in range(10)})




def settle_in_pieces(store: VirtualArrayStore, physical: InPlaceVolume) -> None:
    destage = physical.begin(4)
    if destage is not None:
        store.sync()
        destage.write()
        physical.finish(destage)
        store.sync()


