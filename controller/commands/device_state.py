"""What outlives the chains of one device, and what commands may ask of it: identity, tracks, sense, paths, counters.

Knows no command: the chain and the command functions stand on it, the executor (`device.py`) stands on them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

from ccw import identity as presented
from ccw.characteristics import device_characteristics
from ccw.configuration import configuration_data
from ccw.errors import FormatError
from ccw.geometry import Geometry
from ccw.profiles import DeviceIdentity
from ccw.subsystem_data import AddressEntry
from ccw.tracks import Record, parse_track
from controller.commands.checks import alternate_pointer_invalid, invalid_track_format
from controller.commands.device_types import DEVICE_TYPES, Alternates
from controller.commands.outcome import TrackSource
from controller.commands.profiles import Profile
from controller.commands.reservation import PathTable, Reservation

PARSED_TRACKS_MAX = 8


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What configuration says about a device.

    `volume` is its number in the array, `unit_address` 0-255. `features`: "prefix" is announced in the
    feature codes, with "thin" queries about space are answered. `bridge`: a bridge volume; Write Full Track hands its
    data out as `Outcome.record` instead of writing a track. `devices`: how many the subsystem has.
    `cache_bytes`, `nvs_bytes`: the sizes that Sense Subsystem Status announces.
    `base`: of an alias, the unit address of the device whose tracks are its own.
    `sense_id`: does Sense ID exist; None: as the device type has it. `seek_check`: a bad seek on a device with six
    sense bytes shows seek check beside command reject.
    """

    volume: int
    unit_address: int
    geometry: Geometry
    profile: Profile
    identity: DeviceIdentity
    read_only: bool = False
    features: frozenset[str] = frozenset()
    bridge: bool = False
    devices: int = 1
    cache_bytes: int = 0
    nvs_bytes: int = 0
    sense_id: bool | None = None
    seek_check: bool = False
    base: int | None = None

    @property
    def base_address(self) -> int:
        """The unit address of the device, of an alias that of its base."""
        return self.unit_address if self.base is None else self.base


@dataclass(slots=True)
class SubsystemModes:
    """What Set Subsystem Mode set for all devices of a subsystem."""

    caching: bool = True
    cache_fast_write: bool = True
    nonvolatile_storage: bool = True


class DeviceState:
    """One device without its executor. `track` is where the access stands between chains."""

    def __init__(
        self,
        settings: DeviceSettings,
        tracks: TrackSource,
        modes: SubsystemModes | None = None,
        reservation: Reservation | None = None,
    ) -> None:
        self.settings = settings
        self.modes = modes or SubsystemModes()
        self.caching = True
        self.fast_write = True
        self.cylinders_allocated: Callable[[], int] = lambda: settings.geometry.cylinders
        self.geometry = settings.geometry
        self.profile = settings.profile
        self.tracks = settings.geometry.tracks
        self.track = 0
        self.largest_block = settings.geometry.family.record_zero_length_max + 8
        self.cells = lru_cache(maxsize=256)(settings.geometry.cells)
        self.last_cells = lru_cache(maxsize=256)(settings.geometry.last_cells)
        self.kind = DEVICE_TYPES[settings.geometry.device_type]
        self.follows_alternates = self.kind.alternates is not Alternates.NOT_FOLLOWED
        self.paths = PathTable(reservation)
        self.system_characteristics: dict[Hashable, bytes] = {}
        self.subsystem_data: dict[int, Callable[[bytes], bytes]] = {}
        self.unit_addresses: Callable[[], dict[int, AddressEntry]] = dict
        self.special_intercept = False
        self.messages = 0
        presentation = settings.profile.presentation
        self.sense_id = presented.sense_id(presentation, settings.geometry)
        self.characteristics = device_characteristics(presentation, settings.geometry)
        self.configuration_data = configuration_data(presentation, settings.geometry, settings.identity)
        self.subsystem_status = presented.subsystem_status(
            presentation,
            settings.identity,
            settings.devices,
            cache_bytes=settings.cache_bytes,
            nvs_bytes=settings.nvs_bytes,
        )
        self._source = tracks
        self._parsed: dict[int, tuple[bytes, list[Record]]] = {}
        self._sense: dict[Hashable, bytes] = {}
        self._requests = [0] * 8
        self.cache_counts: Callable[[], bytes] | None = None  # bytes 4-87 of a statistics record, when a cache counts

    def load(self, track: int) -> list[Record]:
        """Return the records of a track, R0 first. Raises ITF when the image is not readable."""
        image = self._source.read(self.settings.volume, track)
        known = self._parsed.get(track)
        if known is not None and (known[0] is image or known[0] == image):
            return known[1]
        try:
            records = parse_track(image)
        except FormatError as error:
            raise invalid_track_format() from error
        self.remember(track, image, records)
        return records

    def remember(self, track: int, image: bytes, records: list[Record]) -> None:
        """Keep the parsed form of a track image."""
        if len(self._parsed) >= PARSED_TRACKS_MAX:
            del self._parsed[next(iter(self._parsed))]
        self._parsed[track] = image, records

    def alternate_of(self, record_zero: bytes) -> int:
        """Return the track that the count area of a defective track's R0 names. Raises message B when there is none."""
        address = self.geometry.address_in(record_zero[:4])
        if not self.geometry.contains(address):
            raise alternate_pointer_invalid()
        return self.geometry.track_of(address)

    def home_address_flag(self, track: int) -> int:
        """Return the flag byte of the track's home address: 02 defective, 01 alternate."""
        return self._source.read(self.settings.volume, track)[0]

    def hold_sense(self, holder: Hashable, image: bytes) -> None:
        """Keep sense for a path or group (`PathTable.allegiance_of`) until it is taken or cleared."""
        self._sense[holder] = image

    def take_sense(self, holder: Hashable) -> bytes | None:
        """Return the sense held for the path or group, and clear it; None when there is none."""
        return self._sense.pop(holder, None)

    def count_request(self, *, write: bool, sequential: bool) -> None:
        """Count one locate for the statistics record."""
        self._requests[(4 if sequential else 0) + (2 if write else 0)] += 1
        self._requests[(4 if sequential else 0) + (2 if write else 0) + 1] += 1

    def statistics_record(self) -> bytes:
        """Return the 96 bytes of one statistics set: what the cache counted; without one every request is a hit."""
        settings = self.settings
        head = struct.pack(">BBH", 0, settings.unit_address, 0)
        if self.cache_counts is not None:
            head += self.cache_counts()
        else:
            head += struct.pack(">8I", *(count & 0xFFFFFFFF for count in self._requests))
        return head.ljust(94, b"\0") + settings.identity.ssid.to_bytes(2, "big")
