"""Volumes as people know them, over the store's numbered ones: which numbers, which attributes, what is finished.

    number                 what
    0 - FFFF               a volume that hosts can see; the number is its unit address or device number
    40000000 - 7FFFFFFF    the shadow of a physical volume (in_place/volume.py): what its image file holds
    80000000 - FFFFFFFF    a snapshot (snapshots.py): never a device, never mirrored

    attribute              meaning
    type                   device type, "3390"
    unit_address           where a system gave it one that is not its number
    cylinders, heads       its shape. A volume without `cylinders` is none yet: something that was cut off
    importing              of an unfinished volume: what was being made
    added                  true: a running system was given it, and serves it at every start
    read_only              true: hosts may only read it

A volume is made in three steps: it is defined without `cylinders`, it gets its tracks, it is defined with all its
attributes. The last step is one record of the log, so a volume is there with all its tracks or it is not a volume.
Snapshots carry the attributes of their volume and, besides:

    snapshot_of            number of the volume
    name                   unique among the volume's snapshots
    created                when, seconds since 1970-01-01 UTC

A running system looks its configured volumes up by number, so it passes over snapshots and unfinished volumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ccw.geometry import Geometry, geometry_for
from controller.array.directory import JSON
from controller.array.errors import StoreError, UnknownVolumeError
from controller.array.image_stub import is_shadow
from controller.array.store import VirtualArrayStore

HOST_VOLUMES = 1 << 16
FIRST_SNAPSHOT = 1 << 31
CYLINDERS = "cylinders"
SNAPSHOT_OF = "snapshot_of"
UNIT_ADDRESS = "unit_address"
ADDED = "added"
READ_ONLY = "read_only"


class VolumeExistsError(StoreError):
    """The number is that of another volume."""

    def __init__(self, volume: int) -> None:
        self.volume = volume
        super().__init__(f"volume {volume:02X} exists already")


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A finished volume or snapshot. `allocated`: tracks that take space or share it with others."""

    number: int
    geometry: Geometry
    allocated: int


def shape_of(geometry: Geometry) -> dict[str, JSON]:
    """The attributes that say what a volume is."""
    return {"type": f"{geometry.device_type:04X}", CYLINDERS: geometry.cylinders, "heads": geometry.heads}


def is_finished(attributes: Mapping[str, JSON]) -> bool:
    """Do these attributes belong to a volume, rather than to one that was never finished?"""
    return CYLINDERS in attributes


def volume_of(store: VirtualArrayStore, volume: int) -> VolumeInfo:
    """A volume or snapshot. Raises UnknownVolumeError, also for an unfinished one; StoreError for an unknown shape."""
    return _info(store, volume, store.attributes(volume))


def host_volumes(store: VirtualArrayStore) -> list[VolumeInfo]:
    """The volumes that hosts can see, by number."""
    return [
        _info(store, number, attributes)
        for number, attributes in store.volumes().items()
        if number < HOST_VOLUMES and is_finished(attributes)
    ]


def unfinished(store: VirtualArrayStore) -> dict[int, dict[str, JSON]]:
    """Attributes of what was begun and never completed, by number."""
    return {
        number: found
        for number, found in store.volumes().items()
        if not is_finished(found) and not is_shadow(number)
    }


def _info(store: VirtualArrayStore, volume: int, attributes: Mapping[str, JSON]) -> VolumeInfo:
    if not is_finished(attributes):
        raise UnknownVolumeError(volume)
    try:
        geometry = geometry_for(str(attributes.get("type")), int(attributes[CYLINDERS]))
    except (ValueError, TypeError) as error:
        raise StoreError(f"volume {volume:04X} has a shape that this program does not know: {error}") from error
    return VolumeInfo(volume, geometry, store.allocated(volume))


def begin_volume(store: VirtualArrayStore, volume: int, why: Mapping[str, JSON]) -> None:
    """Define a volume that is to be filled and then completed; what an earlier attempt left is dropped.

    Raises VolumeExistsError, ValueError for a number that is no host's.
    """
    if not 0 <= volume < HOST_VOLUMES:
        raise ValueError(f"volume {volume:X} is not a number that hosts can see")
    begin(store, volume, why)


def begin(store: VirtualArrayStore, volume: int, why: Mapping[str, JSON]) -> None:
    """As begin_volume, with any number."""
    assert not is_finished(why)
    if (known := _known(store, volume)) is not None:
        if is_finished(known):
            raise VolumeExistsError(volume)
        store.delete_volume(volume)
    store.define_volume(volume, why)


def _known(store: VirtualArrayStore, volume: int) -> dict[str, JSON] | None:
    try:
        return store.attributes(volume)
    except UnknownVolumeError:
        return None


def complete_volume(
    store: VirtualArrayStore, volume: int, geometry: Geometry, more: Mapping[str, JSON] | None = None
) -> int:
    """Make a begun volume one. The change's sequence."""
    return store.define_volume(volume, {**shape_of(geometry), **(more or {})})


def discard_unfinished(store: VirtualArrayStore, volume: int) -> None:
    """Delete a begun volume. A finished one, or none, is left alone. A fenced array raises FencedError."""
    attributes = _known(store, volume)
    if attributes is not None and not is_finished(attributes):
        store.delete_volume(volume)
        store.sync()


def create_volume(store: VirtualArrayStore, volume: int, geometry: Geometry, tracks: Mapping[int, bytes]) -> int:
    """Make a volume of `geometry` whose only written tracks are `tracks`. The change's sequence; not yet durable.

    Raises VolumeExistsError, ValueError for a number that is no host's.
    """
    begin_volume(store, volume, {})
    for track, image in tracks.items():
        store.write(volume, track, image)
    return complete_volume(store, volume, geometry)


def delete_volume(store: VirtualArrayStore, volume: int) -> int:
    """Delete a host's volume, or what was left of an unfinished one; its snapshots stay. The change's sequence.

    Raises UnknownVolumeError, ValueError for a number that is no host's.
    """
    if not 0 <= volume < HOST_VOLUMES:
        raise ValueError(f"volume {volume:X} is not a number that hosts can see")
    return store.delete_volume(volume)
