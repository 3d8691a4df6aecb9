"""The state of one chain of commands on one device; a new one begins with every command that was not chained.

At the start of a chain: file mask 00, the extent is the whole volume, nothing positioned, no domain, no permission to
write, the access where it last was but at index. Changed tracks live here as working images until they are hardened,
the flags of home addresses that were written beside them.
Source: eckd-commands 3.1.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from typing import Final, NamedTuple

from ccw.geometry import track_address_bytes
from ccw.tracks import Record, build_image
from controller.commands.checks import no_count_area, track_condition
from controller.commands.device_state import DeviceState
from controller.commands.device_types import Alternates
from controller.commands.domain import Domain
from controller.commands.outcome import SpaceRelease, TrackWrite, UnitCheck

DEFECTIVE = 0x02  # flag of a home address
TRACKS_KEPT = 64  # tracks a chain only read are forgotten when there are more


class Orientation(IntEnum):
    """Where on the track the access stands."""

    INDEX = 0
    HOME_ADDRESS = 1
    COUNT = 2
    KEY = 3
    DATA = 4
    END = 5


class Permission:
    """What a search or a format write allowed the next command to do: bits, as plain numbers because they are hot."""

    ID_EQUAL: Final = 0x01
    KEY_EQUAL: Final = 0x02
    HOME_ADDRESS_EQUAL: Final = 0x04
    HOME_ADDRESS_WRITTEN: Final = 0x08
    COUNT_WRITTEN: Final = 0x10


class Claim(NamedTuple):
    """Tracks that a chain keeps other exposures of its volume from; first and last, both included."""

    first: int
    last: int
    writes: bool

    def conflicts(self, other: Claim) -> bool:
        """Do they overlap, and does one of them write?"""
        return self.first <= other.last and other.first <= self.last and (self.writes or other.writes)

    def covers(self, start: int, stop: int) -> bool:
        """May the chain write the tracks `start` to `stop - 1`?"""
        return self.writes and self.first <= start and stop - 1 <= self.last


class ChainState:
    """One chain: position, extent, domain, gates, and the working images of the tracks it touched.

    `track` is cylinder * heads + head, `records` the records of that track, `surface` the track they are on: the
    alternate where the control unit follows a defective track there, unless the command is `physical` and works on the
    track itself. `next` is the index of the next count field,
    `current` the index of the record passed last. `first_track`/`last_track` bound the extent, both included.
    `cut_off`: another system ended the chain. `waits`: it began while a state change is pending. `updates`: it
    began with an accepted Remote Write Prefix. `claim`: what it keeps the volume's other exposures from.
    """

    __slots__ = (
        "attributes",
        "block_size",
        "changed",
        "claim",
        "continues",
        "current",
        "cut_off",
        "device",
        "domain",
        "extent_defined",
        "extent_mask_set",
        "first_track",
        "gate",
        "home_flags",
        "index_passed",
        "ipl_read",
        "last_track",
        "mask",
        "next",
        "order",
        "orientation",
        "path",
        "permissions",
        "physical",
        "position",
        "positioned",
        "prepared",
        "previous",
        "raw_mask",
        "reconnection_suspended",
        "record",
        "records",
        "regular_r0",
        "release",
        "space_counted",
        "surface",
        "track",
        "updates",
        "used_cells",
        "used_until",
        "waits",
        "working",
    )

    def __init__(self, device: DeviceState, path: Hashable) -> None:
        geometry = device.geometry
        self.device = device
        self.path = path
        self.position = 0
        self.previous = 0
        self.continues = False
        self.cut_off = False
        self.claim: Claim | None = None
        self.waits = False
        self.updates = False
        self.gate: frozenset[int] | None = None
        self.mask = 0
        self.raw_mask = 0
        self.attributes = 0
        self.block_size = device.largest_block
        self.first_track = 0
        self.last_track = device.tracks - 1
        self.extent_defined = False
        self.extent_mask_set = False
        self.regular_r0 = False
        self.ipl_read = False
        self.positioned = device.profile.starts_positioned
        self.physical = True
        self.space_counted = False
        self.reconnection_suspended = False
        self.domain: Domain | None = None
        self.permissions = 0
        self.index_passed = False
        self.prepared: bytes | None = None
        self.order: bytes | None = None
        self.record: bytes | None = None
        self.release: SpaceRelease | None = None
        self.track = min(device.track, geometry.cylinders * geometry.heads - 1)
        self.surface = self.track
        self.records: list[Record] | None = None
        self.orientation = Orientation.INDEX
        self.next = 0
        self.current = 0
        self.used_until = 0
        self.used_cells = 0
        self.working: dict[int, list[Record]] = {}
        self.changed: dict[int, None] = {}
        self.home_flags: dict[int, int] = {}

    def seek(self, track: int) -> None:
        """Stand at the index of `track`; the records are read when something needs them."""
        self.track = track
        self.records = None
        self.orientation = Orientation.INDEX
        self.next = 0
        self.used_until = 0

    def rewind(self) -> None:
        """Stand at the index of the same track."""
        self.orientation = Orientation.INDEX
        self.next = 0

    def current_records(self) -> list[Record]:
        """Return the records of the current track, R0 first, as this chain sees them. Not to be changed."""
        records = self.records
        if records is None:
            surface = self.track
            if not self.physical and self.device.follows_alternates:
                surface = self._good_track(surface)
            self.surface = surface
            records = self.records = self._records_of(surface)
        return records

    def _records_of(self, track: int) -> list[Record]:
        records = self.working.get(track)
        if records is None:
            if len(self.working) >= TRACKS_KEPT:
                self._forget_unchanged()
            records = self.working[track] = self.device.load(track)
        return records

    def _good_track(self, track: int) -> int:
        """Return the track, or its alternate when it is defective. Raises track condition check, message B."""
        if not self.home_address_flag(track) & DEFECTIVE:
            return track
        if self.device.kind.alternates is Alternates.REPORTED:
            raise track_condition()
        records = self._records_of(track)
        if not records:
            raise no_count_area()
        return self.device.alternate_of(records[0].count)

    def forget_tracks(self) -> None:
        """What is read from now on is not what the chain has seen; the access stands at index."""
        self.working.clear()
        self.seek(self.track)

    def _forget_unchanged(self) -> None:
        for track in [track for track in self.working if track not in self.changed]:
            del self.working[track]

    def change_records(self) -> list[Record]:
        """Return the records of the current track to be changed in place; the track counts as changed."""
        records = self.current_records()
        if self.surface not in self.changed:
            self.changed[self.surface] = None
            records = self.records = self.working[self.surface] = list(records)
        return records

    def replace_records(self, records: list[Record]) -> None:
        """Put `records` in the place of everything on the current track; the track counts as changed."""
        self.surface = self.track
        self.changed[self.track] = None
        self.records = self.working[self.track] = records
        self.used_until = 0

    def home_address_flag(self, track: int) -> int:
        """Return the flag byte of a track's home address as this chain sees it."""
        flag = self.home_flags.get(track)
        return self.device.home_address_flag(track) if flag is None else flag

    def take_writes(self) -> tuple[TrackWrite, ...]:
        """Return the images of all changed tracks, in the order of their first change; they count as unchanged then."""
        device = self.device
        heads = device.geometry.heads
        writes = []
        for track in self.changed:
            records = self.working[track]
            cylinder, head = divmod(track, heads)
            home_address = bytes((self._flag_to_write(track),)) + track_address_bytes(cylinder, head)
            image = build_image(home_address, records)
            device.remember(track, image, records)
            writes.append(TrackWrite(device.settings.volume, track, image))
        self.changed.clear()
        self.home_flags.clear()
        return tuple(writes)

    def _flag_to_write(self, track: int) -> int:
        """As it is on the track; good where the track cannot be read any more: it is written whole."""
        try:
            return self.home_address_flag(track)
        except UnitCheck:
            return 0
