"""Snapshots of volumes: by name, with the time they were taken; created, listed, restored, deleted, cloned.

A snapshot is a volume of its own with a number that no host can have, whose attributes say what it is of (volumes.py).
So it is in the log like any volume, costs what its volume has changed since, and neither a running system nor remote
copy meets it: both go by the numbers of configured volumes.

    create    the snapshot exists with the record that gives it its name; cut off before that, it does not
    restore   one record: the volume gets all pointers of the snapshot; the snapshot stays
    clone     a new volume with the snapshot's pointers; complete or not there
    delete    one record

Each costs the same whatever the size of the volume, and adds a few hundred bytes to the log. Nothing here waits for
the disk: the caller makes the returned sequence durable (`sync`, or its own committer) before it tells anybody.
Deleting a volume leaves its snapshots, so that they can still be cloned.

A catalog is for one thread and must see every change of snapshots: a running system keeps one.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ccw.geometry import Geometry
from controller.array.directory import JSON
from controller.array.errors import StoreError
from controller.array.store import VirtualArrayStore
from controller.array.volumes import (
    FIRST_SNAPSHOT,
    SNAPSHOT_OF,
    begin,
    begin_volume,
    complete_volume,
    is_finished,
    shape_of,
    volume_of,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a snapshot can be called: up to 64 letters, digits, points, dashes and underscores."""
WhyNot = Callable[[int], str | None]
"""Says why the contents of a volume cannot be replaced now ("it is in pair 3"), None if they can."""


class SnapshotError(StoreError):
    """A snapshot that cannot be made, found or used as asked."""


class Snapshot(NamedTuple):
    """One snapshot. `number`: the volume that holds it; `created`: seconds since 1970-01-01 UTC."""

    number: int
    volume: int
    name: str
    created: float
    geometry: Geometry


class SnapshotCatalog:
    """All snapshots of a store."""

    def __init__(self, store: VirtualArrayStore) -> None:
        self._store = store
        self._by_volume: dict[int, dict[str, Snapshot]] = {}
        self._next = FIRST_SNAPSHOT
        self._unfinished: list[int] = []
        for number, attributes in store.volumes().items():
            if number < FIRST_SNAPSHOT:
                continue
            self._next = number + 1
            if is_finished(attributes) and SNAPSHOT_OF in attributes:
                self._add(_snapshot(store, number, attributes))
            else:
                self._unfinished.append(number)

    def _add(self, snapshot: Snapshot) -> None:
        self._by_volume.setdefault(snapshot.volume, {})[snapshot.name] = snapshot

    def of(self, volume: int) -> list[Snapshot]:
        """The snapshots of a volume, oldest first."""
        found = self._by_volume.get(volume, {}).values()
        return sorted(found, key=lambda snapshot: (snapshot.created, snapshot.number))

    def all(self) -> list[Snapshot]:
        """All snapshots, by volume, oldest first."""
        return [snapshot for volume in sorted(self._by_volume) for snapshot in self.of(volume)]

    def find(self, volume: int, name: str) -> Snapshot:
        """A snapshot by its name. Raises SnapshotError."""
        snapshot = self._by_volume.get(volume, {}).get(name)
        if snapshot is None:
            raise SnapshotError(f"volume {volume:02X} has no snapshot {name!r}")
        return snapshot

    def create(self, volume: int, name: str, now: float) -> tuple[Snapshot, int]:
        """Take a snapshot at `now`, seconds since 1970: it, and the change's sequence.

        Raises SnapshotError for a name that is taken or cannot be one, UnknownVolumeError.
        """
        if not NAME.fullmatch(name):
            raise SnapshotError(f"{name!r} cannot name a snapshot: 1 to 64 letters, digits, '.', '-' and '_' can")
        if name in self._by_volume.get(volume, {}):
            raise SnapshotError(f"volume {volume:02X} has a snapshot {name!r} already")
        geometry = volume_of(self._store, volume).geometry
        while self._unfinished:
            self._store.delete_volume(self._unfinished.pop())
        number = self._next
        begin(self._store, number, {})
        self._next = number + 1
        self._store.snapshot(volume, number)
        attributes = {SNAPSHOT_OF: volume, "name": name, "created": now}
        sequence = complete_volume(self._store, number, geometry, attributes)
        snapshot = Snapshot(number, volume, name, now, geometry)
        self._add(snapshot)
        return snapshot, sequence

    def restore(self, volume: int, name: str, why_not: WhyNot) -> int:
        """Give a volume the contents that it had when the snapshot was taken. The change's sequence.

        What the volume holds now is lost, unless another snapshot has it. Raises SnapshotError when `why_not` has a
        reason, or the volume has another shape by now; UnknownVolumeError.
        """
        snapshot = self.find(volume, name)
        self._may_replace(volume, why_not)
        geometry = volume_of(self._store, volume).geometry
        if shape_of(geometry) != shape_of(snapshot.geometry):
            raise SnapshotError(
                f"volume {volume:02X} is a {geometry.name} of {geometry.cylinders} cylinders, its snapshot {name!r} "
                f"one of a {snapshot.geometry.name} of {snapshot.geometry.cylinders}"
            )
        return self._store.snapshot(snapshot.number, volume)

    def clone(self, volume: int, name: str, target: int) -> int:
        """Make a new volume with the contents of a snapshot. The change's sequence.

        Raises SnapshotError, VolumeExistsError, ValueError for a target number that is no host's.
        """
        snapshot = self.find(volume, name)
        begin_volume(self._store, target, {})
        self._store.snapshot(snapshot.number, target)
        return complete_volume(self._store, target, snapshot.geometry)

    def delete(self, volume: int, name: str) -> int:
        """Delete a snapshot. The change's sequence. Raises SnapshotError."""
        snapshot = self.find(volume, name)
        sequence = self._store.delete_volume(snapshot.number)
        named = self._by_volume[volume]
        del named[name]
        if not named:
            del self._by_volume[volume]
        return sequence

    def _may_replace(self, volume: int, why_not: WhyNot) -> None:
        reason = why_not(volume)
        if reason is not None:
            raise SnapshotError(f"volume {volume:02X} cannot be restored: {reason}")


def _snapshot(store: VirtualArrayStore, number: int, attributes: Mapping[str, JSON]) -> Snapshot:
    geometry = volume_of(store, number).geometry
    return Snapshot(number, attributes[SNAPSHOT_OF], attributes["name"], float(attributes["created"]), geometry)
