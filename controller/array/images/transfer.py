"""Whole volumes between image files and a store.

An import writes the tracks into a volume that is not yet one (its attributes say what is being done; volumes.py) and
defines it at the end, in one record: cut off anywhere, it has left no volume, and the next import starts over. An
export reads the volume's pointers as they are when each track's turn comes: export a snapshot when hosts may write.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ccw.geometry import Geometry
from ccw.image_files import ImageAlgorithm
from ccw.stored_track import StoredTrack
from controller.array.images.errors import ImageError
from controller.array.images.opening import open_image
from controller.array.images.source import ImageSource
from controller.array.images.writers import Compression, Tracks, write_compressed, write_plain
from controller.array.store import VirtualArrayStore
from controller.array.volumes import begin_volume, complete_volume, discard_unfinished, volume_of

Progress = Callable[[int, int], None]
"""Called with tracks done and tracks in all."""
STEP_BYTES = 8 << 20
STEP_TRACKS = 1024
"""An import makes durable what it has when this many bytes or tracks have been read."""
READ_TRACKS = 128
"""Tracks that are read together when a volume is exported, and held in memory."""


class ExportForm(Enum):
    """What an export makes. The value is its name on the command line."""

    PLAIN = "ckd"
    COMPRESSED_ZLIB = "cckd"
    COMPRESSED_BZIP2 = "cckd-bzip2"
    COMPRESSED_NONE = "cckd-none"
    COMPRESSED_64 = "cckd64"


_COMPRESSIONS = {
    ExportForm.COMPRESSED_ZLIB: Compression(ImageAlgorithm.ZLIB),
    ExportForm.COMPRESSED_BZIP2: Compression(ImageAlgorithm.BZIP2),
    ExportForm.COMPRESSED_NONE: Compression(ImageAlgorithm.NONE),
    ExportForm.COMPRESSED_64: Compression(ImageAlgorithm.ZLIB, wide=True),
}


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was moved: `stored` of `tracks` tracks held data."""

    geometry: Geometry
    form: str
    files: tuple[str, ...]
    tracks: int
    stored: int


def import_image(
    store: VirtualArrayStore,
    volume: int,
    path: Path,
    *,
    shadows: Sequence[Path] = (),
    progress: Progress | None = None,
) -> ImageReport:
    """Make an image the volume `volume`, which must not exist. Durable on return.

    Raises ImageError for a bad image, StoreError for a number that cannot be used or is in use; there is no volume
    then.
    """
    with open_image(path, shadows) as source:
        steps = import_steps(store, volume, source)
        try:
            with closing(steps):
                for done in steps:
                    store.sync()
                    if progress is not None:
                        progress(done, source.geometry.tracks)
        except ImageError:
            discard_unfinished(store, volume)
            raise
        store.sync()
        files = (str(path), *(str(shadow) for shadow in shadows))
        return ImageReport(source.geometry, source.form, files, source.geometry.tracks, store.allocated(volume))


def import_steps(store: VirtualArrayStore, volume: int, source: ImageSource) -> Generator[int, None, None]:
    """Import in bounded steps: yields how many tracks are done, for the caller to make durable what was written so far.

    The volume exists when the generator ends. Raises as import_image.
    """
    begin_volume(store, volume, {"importing": source.form})
    held = 0
    track = -1
    for track, stored in source.tracks():
        if stored is not None:
            store.write_stored(volume, track, stored)
            held += len(stored.payload)
        if held >= STEP_BYTES or track % STEP_TRACKS == STEP_TRACKS - 1:
            held = 0
            yield track + 1
    yield track + 1
    complete_volume(store, volume, source.geometry)


def export_volume(
    store: VirtualArrayStore,
    volume: int,
    path: Path,
    form: ExportForm,
    *,
    single: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> ImageReport:
    """Make an image of a volume or of a snapshot. `single`: a plain image in one file, however long.

    Raises ImageError, UnknownVolumeError, CorruptionError; no file is there then that was not there before.
    """
    geometry = volume_of(store, volume).geometry
    counter = _Counter(geometry.tracks, progress)
    tracks = counter.count(stored_tracks(store, volume, geometry))
    files = write_image(path, geometry, tracks, form, single=single, replace=replace)
    return ImageReport(geometry, form.value, tuple(map(str, files)), geometry.tracks, counter.stored)


def write_image(
    path: Path, geometry: Geometry, tracks: Tracks, form: ExportForm, *, single: bool = False, replace: bool = False
) -> list[Path]:
    """Make an image of tracks in order; the files made. Raises ImageError; then nothing was made."""
    compression = _COMPRESSIONS.get(form)
    if compression is None:
        return write_plain(path, geometry, tracks, single=single, replace=replace)
    return write_compressed(path, geometry, tracks, compression, replace=replace)


def stored_tracks(
    store: VirtualArrayStore, volume: int, geometry: Geometry
) -> Iterator[tuple[int, StoredTrack | None]]:
    """Every track of a volume in order, as it is stored. Raises CorruptionError, DiskError."""
    for first in range(0, geometry.tracks, READ_TRACKS):
        stop = min(first + READ_TRACKS, geometry.tracks)
        written = dict(store.read_stored_range(volume, first, stop))
        for track in range(first, stop):
            yield track, written.get(track)


class _Counter:
    """Counts tracks as they pass, and tells progress."""

    def __init__(self, tracks: int, progress: Progress | None) -> None:
        self._tracks = tracks
        self._progress = progress
        self.stored = 0

    def count(self, tracks: Tracks) -> Iterator[tuple[int, StoredTrack | None]]:
        for track, stored in tracks:
            yield track, stored
            self.stored += stored is not None
            if self._progress is not None and (track % STEP_TRACKS == STEP_TRACKS - 1 or track == self._tracks - 1):
                self._progress(track + 1, self._tracks)
