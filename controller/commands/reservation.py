"""Who may use a device: path groups, reservation, busy. State that outlives a chain.

States of a path on a device (eckd-commands 5.1):

    RESET --establish--> GROUPED --disband, resign--> UNGROUPED --establish (same id)--> GROUPED
      ^------------------- system reset from any state --------------------------------------'

The owner of a reservation is a path group, or a single path without one; a volume with aliases has one reservation, and
a path stands there for the group that it is in at any of its addresses. A contingent allegiance (5.4) belongs to a path
group in multipath mode, else to the path that got the unit check; while it lasts all others find the device busy.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

from controller.commands.checks import invalid_parameter

NO_GROUP_ID = bytes(11)


class PathState(IntEnum):
    """Bits 0-1 of the first byte of Sense Path Group ID."""

    RESET = 0x00
    UNGROUPED = 0x80
    GROUPED = 0xC0


RESERVED_ELSEWHERE = 0x20
RESERVED_HERE = 0x30
MULTIPATH = 0x08


@dataclass(slots=True)
class PathRecord:
    """What the device knows of one path: group id of 11 bytes (zeros: never set), state, mode."""

    state: PathState = PathState.RESET
    group: bytes = NO_GROUP_ID
    multipath: bool = False


class Reservation:
    """Who has a volume reserved, and who lost it and was not told yet. `tables`: of the devices that reach it."""

    def __init__(self) -> None:
        self.owner: Hashable | None = None
        self.dispossessed: Hashable | None = None
        self.tables: list[PathTable] = []

    def identity(self, path: Hashable) -> Hashable:
        """Return what stands for the path: the id of the group it is in on any of the devices, else the path itself."""
        found = (identity for table in self.tables if (identity := table.identity(path)) != path)
        return next(found, path)

    def has_members(self, identity: Hashable) -> bool:
        """Whether a path is in the group of that id, on any of the devices."""
        return any(table.has_members(identity) for table in self.tables)


class PathTable:
    """Path groups and reservation of one device; an alias shares the `reservation` of its base."""

    def __init__(self, reservation: Reservation | None = None) -> None:
        self.reservation = reservation or Reservation()
        self.reservation.tables.append(self)
        self._paths: dict[Hashable, PathRecord] = {}
        self.allegiance: Hashable | None = None
        self._cut_off: dict[Hashable, None] = {}
        self._owed: dict[Hashable, None] = {}

    @property
    def owner(self) -> Hashable | None:
        """The path or group that has the volume reserved."""
        return self.reservation.owner

    @owner.setter
    def owner(self, owner: Hashable | None) -> None:
        self.reservation.owner = owner

    @property
    def _dispossessed(self) -> Hashable | None:
        return self.reservation.dispossessed

    @_dispossessed.setter
    def _dispossessed(self, identity: Hashable | None) -> None:
        self.reservation.dispossessed = identity

    def identity(self, path: Hashable) -> Hashable:
        """Return what stands for the path on this device: its group's id when grouped, else the path itself."""
        record = self._paths.get(path)
        return record.group if record is not None and record.state is PathState.GROUPED else path

    def allegiance_of(self, path: Hashable) -> Hashable:
        """Return what stands for the path in an allegiance: its group's id in multipath mode, else the path itself."""
        record = self._paths.get(path)
        if record is not None and record.multipath and record.state is PathState.GROUPED:
            return record.group
        return path

    def owes_allegiance_elsewhere(self, path: Hashable) -> bool:
        """True when a contingent allegiance to another path (group) is in force."""
        return self.allegiance is not None and self.allegiance != self.allegiance_of(path)

    def groups(self) -> tuple[bytes, ...]:
        """Return the ids of all groups that have a path, in the order they came."""
        grouped = [record.group for record in self._paths.values() if record.state is PathState.GROUPED]
        return tuple(dict.fromkeys(grouped))

    def members(self, identity: Hashable) -> tuple[Hashable, ...]:
        """Return the paths of the group of that id; of a single path, itself."""
        found = tuple(
            path
            for path, record in self._paths.items()
            if record.state is PathState.GROUPED and record.group == identity
        )
        return found or (identity,)

    def group_of(self, path: Hashable) -> bytes:
        """Return the group id set on the path, zeros when there is none."""
        record = self._paths.get(path)
        return record.group if record is not None else NO_GROUP_ID

    def establish(self, path: Hashable, group: bytes, multipath: bool) -> None:
        """Join the group. Raises CR 0/4 when the path has another id. A path's own reservation becomes the group's."""
        record = self._checked(path, group)
        if self.owner == path:
            self.owner = group
        record.state, record.group, record.multipath = PathState.GROUPED, group, multipath

    def disband(self, path: Hashable, group: bytes) -> None:
        """Dissolve the group on this device. Raises CR 0/4 for another id.

        Its reservation stays with `path`, or with the group where that is on another device of the volume.
        """
        self._checked(path, group).group = group
        for record in self._paths.values():
            if record.group == group:
                record.state = PathState.UNGROUPED
        self._group_left(path, group)

    def resign(self, path: Hashable, group: bytes) -> None:
        """Leave the group; its reservation stays with the rest of it, with `path` when it was the last."""
        record = self._checked(path, group)
        record.state, record.group = PathState.UNGROUPED, group
        self._group_left(path, group)

    def _group_left(self, path: Hashable, group: bytes) -> None:
        if self.owner == group and not self.reservation.has_members(group):
            self.owner = path

    def reset(self, path: Hashable) -> None:
        """System reset on the path: id, membership, and what it owns or is owed are gone."""
        here, identity = self.identity(path), self.reservation.identity(path)
        self._paths.pop(path, None)
        self._owed.pop(path, None)
        self._cut_off.pop(path, None)
        if self.allegiance == path or (self.allegiance == here and not self.has_members(here)):
            self.allegiance = None
        left = not self.reservation.has_members(identity)
        if self.owner == path or (self.owner == identity and left):
            self.owner = None
        if self._dispossessed == path or (self._dispossessed == identity and left):
            self._dispossessed = None

    def sense(self, path: Hashable) -> bytes:
        """Return the 12 bytes of Sense Path Group ID."""
        record = self._paths.get(path) or PathRecord()
        byte0 = int(record.state)
        if self.owner is not None:
            byte0 |= RESERVED_HERE if self.owner == self.reservation.identity(path) else RESERVED_ELSEWHERE
        if record.multipath:
            byte0 |= MULTIPATH
        return bytes((byte0,)) + record.group

    @property
    def online(self) -> bool:
        """True when some host has grouped a path to the device: it uses it."""
        return any(record.state is PathState.GROUPED for record in self._paths.values())

    def is_reserved_elsewhere(self, path: Hashable) -> bool:
        """True when another path or group owns the device."""
        return self.owner is not None and self.owner != self.reservation.identity(path)

    def reserve(self, path: Hashable) -> None:
        """Give the device to the path (group)."""
        self.owner = self.reservation.identity(path)

    def reserve_unconditionally(self, path: Hashable) -> None:
        """Take the device over; the old owner is told at its next command."""
        identity = self.reservation.identity(path)
        if self.owner is not None and self.owner != identity:
            self._dispossessed = self.owner
        self.owner = identity

    def release(self) -> None:
        """Free the device."""
        self.owner = None

    def is_dispossessed(self, path: Hashable) -> bool:
        """True when the path (group) lost its reservation and has not been told yet."""
        return self._dispossessed is not None and self._dispossessed == self.reservation.identity(path)

    def take_dispossession(self, path: Hashable) -> bool:
        """True once for the path (group) that lost its reservation to Unconditional Reserve."""
        if not self.is_dispossessed(path):
            return False
        self._dispossessed = None
        return True

    def cut_off(self, path: Hashable) -> None:
        """Remember that another system ended a chain of the path; it is told at its next command."""
        self._cut_off[path] = None

    def take_cut_off(self, path: Hashable) -> bool:
        """True once for a path whose chain another system ended."""
        if path not in self._cut_off:
            return False
        del self._cut_off[path]
        return True

    def owe_device_end(self, path: Hashable) -> None:
        """Remember that the path was answered busy."""
        self._owed[path] = None

    def take_owed(self) -> tuple[Hashable, ...]:
        """Return the paths that were answered busy and may use the device now; each is returned once."""
        free = tuple(
            path
            for path in self._owed
            if not self.is_reserved_elsewhere(path) and not self.owes_allegiance_elsewhere(path)
        )
        for path in free:
            del self._owed[path]
        return free

    def _checked(self, path: Hashable, group: bytes) -> PathRecord:
        record = self._paths.get(path)
        if record is not None and record.group not in (NO_GROUP_ID, group):
            raise invalid_parameter()
        return self._paths.setdefault(path, PathRecord())

    def has_members(self, group: Hashable) -> bool:
        """Whether a path is in the group of that id."""
        return any(record.state is PathState.GROUPED and record.group == group for record in self._paths.values())
