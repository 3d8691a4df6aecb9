"""Reads every track that a store holds and says which are damaged: volumes, and what their snapshots hold besides.

A track is damaged when its bytes do not match their checksum, do not expand, or are not the whole image of that track.
A record that several volumes point at is read once; its damage is reported for each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ccw.errors import FormatError
from ccw.geometry import track_address_bytes
from ccw.image_tracks import check_image
from controller.array.errors import CorruptionError, DiskError
from controller.array.image_stub import ImageFileError
from controller.array.snapshots import SnapshotCatalog
from controller.array.store import VirtualArrayStore
from controller.array.volumes import VolumeInfo, host_volumes, volume_of

Progress = Callable[[int, int], None]
_TOLD_EVERY = 256


@dataclass(frozen=True, slots=True)
class Damage:
    """One track that cannot be trusted. `snapshot`: the name of the snapshot it was found in, else empty."""

    device: int
    snapshot: str
    track: int
    reason: str


@dataclass(slots=True)
class CheckReport:
    """What was looked at. `tracks`: written tracks, of volumes and snapshots together."""

    volumes: int = 0
    snapshots: int = 0
    tracks: int = 0
    damaged: list[Damage] = field(default_factory=list)


def check_store(store: VirtualArrayStore, device: int | None = None, progress: Progress | None = None) -> CheckReport:
    """Check all volumes, or one and its snapshots. `progress` is told tracks done and in all."""
    catalog = SnapshotCatalog(store)
    volumes = [info for info in host_volumes(store) if device in (None, info.number)]
    snapshots = [snapshot for snapshot in catalog.all() if device in (None, snapshot.volume)]
    report = CheckReport(len(volumes), len(snapshots))
    places = [(info, info.number, "") for info in volumes]
    places += [(volume_of(store, item.number), item.volume, item.name) for item in snapshots]
    check = _Check(store, report, sum(info.allocated for info, _, _ in places), progress)
    for info, number, name in places:
        check.volume(info, number, name)
    return report


class _Check:
    """One run. What was found is kept under sequence and track, so that shared records are read once."""

    def __init__(self, store: VirtualArrayStore, report: CheckReport, total: int, progress: Progress | None) -> None:
        self._store = store
        self._report = report
        self._total = total
        self._progress = progress
        self._good: set[int] = set()
        self._bad: dict[int, str] = {}

    def volume(self, info: VolumeInfo, device: int, snapshot: str) -> None:
        for track in self._store.written_since(info.number, 0).tolist():
            reason = self._verdict(info, track)
            if reason is not None:
                self._report.damaged.append(Damage(device, snapshot, track, reason))
            self._report.tracks += 1
            if self._progress is not None and self._report.tracks % _TOLD_EVERY == 0:
                self._progress(self._report.tracks, self._total)

    def _verdict(self, info: VolumeInfo, track: int) -> str | None:
        key = self._store.sequence_of(info.number, track) << 32 | track
        if key in self._good:
            return None
        if key not in self._bad:
            reason = self._read(info, track)
            if reason is None:
                self._good.add(key)
                return None
            self._bad[key] = reason
        return self._bad[key]

    def _read(self, info: VolumeInfo, track: int) -> str | None:
        geometry = info.geometry
        try:
            image = self._store.read(info.number, track)
            assert image is not None, "a track with a sequence is written"
            check_image(image, track_address_bytes(*geometry.address_of(track)), geometry.track_size)
        except (CorruptionError, DiskError, ImageFileError) as error:
            return str(error)
        except FormatError as error:
            return f"{error.what}: {error.where}"
        return None
