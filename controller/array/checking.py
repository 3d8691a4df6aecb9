"""Reads every track that a store holds and says which are damaged: volumes, and what their snapshots hold besides.

A track is damaged when its bytes do not match their checksum, do not expand, or are not the whole image of that track.
Records are read once, in the order of tracks and many at a time; damage is reported for each volume or snapshot that
has it. A page of pointers that snapshots share is looked at once, and of one that changed between two snapshots only
the tracks that changed: what a check costs grows with what is stored, not with snapshots times tracks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ccw.errors import FormatError
from ccw.geometry import Geometry, track_address_bytes
from ccw.image_tracks import check_image
from ccw.stored_track import expand_track
from controller.array.errors import CorruptionError, DiskError
from controller.array.image_stub import ImageFileError
from controller.array.page import PAGE_SHIFT, PAGE_TRACKS, Page
from controller.array.snapshots import SnapshotCatalog
from controller.array.store import VirtualArrayStore
from controller.array.volumes import VolumeInfo, host_volumes, volume_of

Progress = Callable[[int, int], None]
Verdict = dict[int, str]  # what is wrong with the damaged tracks of a page, by index in it


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
    kept = [(volume_of(store, item.number), item.volume, item.name) for item in snapshots]
    live = [(info, info.number, "") for info in volumes]
    check = _Check(store, report, sum(info.allocated for info, _, _ in (*kept, *live)), progress)
    # From the oldest contents to the newest, so that a track whose contents many have is met in all of them in a row.
    found = {(number, name): check.volume(info) for info, number, name in (*kept, *live)}
    for _, number, name in (*live, *kept):
        report.damaged += [Damage(number, name, track, reason) for track, reason in found[number, name]]
    return report


class _Check:
    """One run. Knows the verdict on every page, and the page that it met last under each page number."""

    def __init__(self, store: VirtualArrayStore, report: CheckReport, total: int, progress: Progress | None) -> None:
        self._store = store
        self._report = report
        self._total = total
        self._progress = progress
        self._verdicts: dict[tuple[Geometry, int, Page], Verdict] = {}
        self._latest: dict[tuple[Geometry, int], tuple[Page, Verdict]] = {}

    def volume(self, info: VolumeInfo) -> list[tuple[int, str]]:
        """Every damaged track of a volume, and what is wrong with it."""
        damaged: list[tuple[int, str]] = []
        for number, page in self._store.track_pages(info.number):
            key = (info.geometry, number, page)
            if key not in self._verdicts:
                self._verdicts[key] = self._page(info, number, page)
            verdict = self._verdicts[key]
            damaged += ((number << PAGE_SHIFT | index, verdict[index]) for index in sorted(verdict))
            self._report.tracks += page.written
            if self._progress is not None:
                self._progress(self._report.tracks, self._total)
        return damaged

    def _page(self, info: VolumeInfo, number: int, page: Page) -> Verdict:
        """Look at the tracks of a page that are others than those of the page met before it."""
        fresh = page.locations != 0
        verdict: Verdict = {}
        latest = self._latest.get((info.geometry, number))
        if latest is not None:
            before, known = latest
            same = page.locations == before.locations
            verdict = {index: reason for index, reason in known.items() if same[index]}
            fresh &= ~same
        first = number << PAGE_SHIFT
        (indexes,) = np.nonzero(fresh)
        if len(indexes) != page.written or not self._all_good(info, first):
            for index in indexes.tolist():
                reason = self._read(info, first + index)
                if reason is not None:
                    verdict[index] = reason
        self._latest[info.geometry, number] = (page, verdict)
        return verdict

    def _all_good(self, info: VolumeInfo, first: int) -> bool:
        """Are all tracks of the page good? Reads many at a time, and does not say what is wrong where."""
        try:
            for track, stored in self._store.read_stored_range(info.number, first, first + PAGE_TRACKS):
                self._check(info, track, expand_track(stored))
        except (CorruptionError, DiskError, ImageFileError, FormatError):
            return False
        return True

    def _read(self, info: VolumeInfo, track: int) -> str | None:
        try:
            image = self._store.read(info.number, track)
            assert image is not None, "a track that a page points at is written"
            self._check(info, track, image)
        except (CorruptionError, DiskError, ImageFileError) as error:
            return str(error)
        except FormatError as error:
            return f"{error.what}: {error.where}"
        return None

    def _check(self, info: VolumeInfo, track: int, image: bytes) -> None:
        geometry = info.geometry
        check_image(image, track_address_bytes(*geometry.address_of(track)), geometry.track_size)
