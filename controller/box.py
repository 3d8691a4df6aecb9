"""One storage system as its parts see it: its settings, and the ports that the shell provides.

`Subsystem` is made of these; `controller.remote_copy.ports` has the ports that remote copy needs too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ccw.geometry import Geometry
from ccw.profiles import DeviceIdentity
from controller.channel import PathId
from controller.commands.outcome import TrackSource
from controller.commands.profiles import Profile
from controller.remote_copy.core import VolumeShape
from controller.remote_copy.pair import BoxName
from controller.remote_copy.ports import ArrayPort, Clock, EventSink, HardenPort, InstalledPort, TimerPort
from controller.remote_copy.settings import CopySettings


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """One volume of the box. `number`: in the store, where that is not the unit address."""

    unit_address: int
    geometry: Geometry
    identity: DeviceIdentity
    read_only: bool = False
    features: frozenset[str] = frozenset()
    number: int | None = None
    profile: Profile | None = None  # its control unit, where that is not the box's
    sense_id: bool | None = None  # see DeviceSettings
    seek_check: bool = False
    aliases: tuple[int, ...] = ()  # unit addresses of its parallel-access aliases


@dataclass(frozen=True, slots=True)
class BoxSettings:
    """One storage system with one control-unit image (0)."""

    own: BoxName
    profile: Profile
    volumes: tuple[VolumeSettings, ...]
    pprc: bool = True
    conventional: bool = False  # pairs are mirrored without bridges
    cache_bytes: int = 0  # as Sense Subsystem Status announces them
    nvs_bytes: int = 0
    copy: CopySettings = field(default_factory=CopySettings)


class TrackStorage(ArrayPort, Protocol):
    """The array as the subsystem writes to it."""

    def write(self, volume: int, track: int, image: bytes, /) -> int: ...

    def changes_by_pointer(self, volume: int, /) -> int: ...  # how often tracks came otherwise than by `write`


class LinkDirectory(Protocol):
    """The links of the box, by identifier."""

    def present_status(self, path: PathId, unit_address: int, status: int) -> None: ...

    def host_paths(self) -> list[PathId]: ...

    def said_of(self, link_id: str) -> int: ...  # SAID of the port the link belongs to


class Ports(NamedTuple):
    """What the shell provides; see `controller.remote_copy.ports`."""

    array: TrackStorage
    tracks: TrackSource
    hardener: HardenPort
    adapters: Mapping[int, InstalledPort]
    links: LinkDirectory
    clock: Clock
    timers: TimerPort
    log: EventSink
    cache_counts: Callable[[int], bytes] | None = None  # bytes 4-87 of a volume's statistics record
    touched: Callable[[int, int, bool], None] | None = None  # unit, track, written? A shared device's client had it


def shape_of(geometry: Geometry) -> VolumeShape:
    return VolumeShape(geometry.cylinders, geometry.heads, geometry.device_type, geometry.track_size)
