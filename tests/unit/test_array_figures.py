"""The array's published figures, each beside what it is measured against in the same run. One command gives them all:

    .venv/bin/pytest tests/unit/test_array_figures*.py --benchmark-only -o addopts= -s

The raw file system does the same bytes by turns with the array, so that other work on the machine slows both alike;
ratios are of medians. Figures are printed and kept in `extra_info`. Those of recovery and of
what goes on in the background are in test_array_figures_background.py.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from ccw.geometry import geometry_for
from ccw.stored_track import StoredTrack, compress_track
from controller.array import FileDisk, VirtualArrayStore
from controller.array.format import RECORD_HEADER_BYTES
from controller.array.track_map import TrackMap
from controller.links.array_port import ArrayAdapter
from tests.helpers.figures import (
    Pair,
    card_tracks,
    processor_seconds,
    random_track,
    seconds,
    tell,
    write_raw,
)

pytestmark = pytest.mark.usefixtures("long_lived_objects")
GROUP = 16
LARGE_VOLUME_TRACKS = 982_800


def test_durable_writes_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """Groups of 16 compressed tracks, one fdatasync each; room is made ahead, as a running system does."""
    random = Random(1)
    tracks = [random_track(random) for _ in range(GROUP)]
    data = b"".join(track.payload for track in tracks)
    ours: list[float] = []
    theirs: list[float] = []
    with VirtualArrayStore.open(FileDisk(tmp_path / "array"), segment_bytes=64 << 20) as store:
        store.define_volume(1, {})
        store.sync()
        store.prepare()

        def group() -> None:
            for number, track in enumerate(tracks):
                store.write_stored(1, number, track)
            store.sync()

        def both() -> None:
            ours.append(seconds(group))
            at = len(theirs) * len(data) % (32 << 20)
            theirs.append(seconds(lambda: write_raw(raw, data, at)))

        benchmark.pedantic(both, rounds=300, warmup_rounds=5)
    tell(
        benchmark,
        array_mb_s=len(data) / median(ours) / 1e6,
        raw_mb_s=len(data) / median(theirs) / 1e6,
        ratio=median(theirs) / median(ours),
    )


def test_cached_reads_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """Images of tracks that lie in the controller's cache, as its channel programs read them, against pread of as much
    from the page cache."""
    images = card_tracks(60)
    length = len(images[0])
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        store.define_volume(1, {})
        adapter = ArrayAdapter(store, {1: geometry_for("3390", 4)})
        for number, image in enumerate(images):
            adapter.write(1, number, image)
        store.sync()
        assert [adapter.read(1, number) for number in range(60)] == images
        numbers = range(60)
        pair = benchmark.pedantic(
            lambda: Pair(
                lambda: [adapter.read(1, number) for number in numbers],
                lambda: [os.pread(raw, length, number * length) for number in numbers],
            ),
            rounds=1,
        )
    tell(benchmark, cached_us=pair.ours / 60 * 1e6, raw_us=pair.theirs / 60 * 1e6, ratio=pair.ratio)


def test_reads_of_stored_tracks_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """Compressed card images from the page cache, checksums verified, against pread of the same bytes.

    One at a time, and in sequence, where the raw file system reads 1 MB at once; `image`: expanded, too.
    """
    tracks = [compress_track(image) for image in card_tracks(60)]
    sizes = [len(track.payload) for track in tracks]
    places = [sum(sizes[:number]) for number in range(len(sizes))]
    pieces = [(at, min(1 << 20, sum(sizes) - at)) for at in range(0, sum(sizes), 1 << 20)]
    count = len(tracks)
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        store.define_volume(1, {})
        for number, track in enumerate(tracks):
            store.write_stored(1, number, track)
        store.sync()

        def raw_single() -> object:
            return [os.pread(raw, size, at) for size, at in zip(sizes, places, strict=True)]

        def raw_range() -> object:
            return [os.pread(raw, length, at) for at, length in pieces]

        pairs = benchmark.pedantic(
            lambda: {
                "single": Pair(lambda: [store.read_stored(1, number) for number in range(count)], raw_single),
                "range": Pair(lambda: list(store.read_stored_range(1, 0, count)), raw_range),
                "image": Pair(lambda: [store.read(1, number) for number in range(count)], raw_single),
            },
            rounds=1,
        )
    figures = {f"{name}_us": pair.ours / count * 1e6 for name, pair in pairs.items()}
    figures |= {f"{name}_raw_us": pair.theirs / count * 1e6 for name, pair in pairs.items()}
    tell(benchmark, bytes_a_track=sum(sizes) / count, **figures,
         single_ratio=pairs["single"].ratio, range_ratio=pairs["range"].ratio)


def test_snapshot_of_a_full_large_volume_under_writes(benchmark: Any) -> None:
    """Pause of a snapshot and of the first writes after it, every one of 982,800 tracks written; and memory a track."""
    tracemalloc.start()
    tracks = TrackMap()
    for track in range(LARGE_VOLUME_TRACKS):
        tracks.set(track, track + 1, track + 1)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    snapshots: list[TrackMap] = []
    pauses: list[float] = []
    processor: list[float] = []
    random = Random(1)

    def snap_and_write() -> None:
        start = time.thread_time()
        snapshots.append(tracks.snapshot())
        for _ in range(16):
            tracks.set(random.randrange(LARGE_VOLUME_TRACKS), 5, 2_000_000 + len(snapshots))
        processor.append(time.thread_time() - start)

    benchmark.pedantic(lambda: pauses.append(seconds(snap_and_write)), rounds=1000)
    extent = seconds(lambda: snapshots[0].copy_extent(snapshots[1], 0, LARGE_VOLUME_TRACKS // 512 * 512, 0))
    shifted = seconds(lambda: snapshots[2].copy_extent(snapshots[1], 0, 15 * 1113, 7))
    tell(
        benchmark,
        pause_max_ms=max(pauses) * 1e3,
        pause_max_processor_ms=max(processor) * 1e3,
        pause_median_ms=median(pauses) * 1e3,
        bytes_a_track=memory / LARGE_VOLUME_TRACKS,
        extent_of_all_ms=extent * 1e3,
        extent_shifted_1113_cylinders_ms=shifted * 1e3,
    )


def test_durable_snapshots_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """A snapshot of a volume of 100,000 tracks and its sync, against pwrite and fdatasync of a record's 72 bytes."""
    ours: list[float] = []
    theirs: list[float] = []
    with VirtualArrayStore.open(FileDisk(tmp_path / "array"), segment_bytes=64 << 20) as store:
        for volume in range(2):
            store.define_volume(volume, {})
        track = StoredTrack(0, 30, bytes(30))
        for number in range(100_000):
            store.write_stored(0, number, track)
        store.sync()
        store.prepare()

        def snap() -> None:
            store.snapshot(0, 1)
            store.sync()

        def both() -> None:
            store.write_stored(0, len(ours) % 100_000, track)
            store.sync()
            ours.append(seconds(snap))
            theirs.append(seconds(lambda: write_raw(raw, bytes(RECORD_HEADER_BYTES), len(theirs) * 80)))

        benchmark.pedantic(both, rounds=300, warmup_rounds=5)
    tell(benchmark, snapshot_ms=median(ours) * 1e3, raw_ms=median(theirs) * 1e3, ratio=median(theirs) / median(ours))


def test_a_thousand_thin_volumes(benchmark: Any, tmp_path: Path) -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:

        def define() -> None:
            for volume in range(1024):
                store.define_volume(volume, {"type": "3390", "cylinders": 10_017, "heads": 15})
            store.sync()

        took = seconds(lambda: benchmark.pedantic(define, rounds=1))
        memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    tell(benchmark, seconds=took, megabytes=memory / 1e6)


def test_compression_of_card_images(benchmark: Any) -> None:
    """Of the project's own text on cards; processor time of one core."""
    images = card_tracks(60)
    raw_bytes = sum(map(len, images))
    stored = sum(len(compress_track(image).payload) for image in images)
    times: list[float] = []
    benchmark.pedantic(
        lambda: times.append(processor_seconds(lambda: [compress_track(image) for image in images])),
        rounds=100,
        warmup_rounds=2,
    )
    tell(
        benchmark,
        times_smaller=raw_bytes / stored,
        mb_s=raw_bytes / median(times) / 1e6,
        best_mb_s=raw_bytes / min(times) / 1e6,
    )
