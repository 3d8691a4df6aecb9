"""The array's published figures, each beside what it is measured against in the same run. One command gives them all:

    .venv/bin/pytest tests/unit/test_array_figures.py --benchmark-only -o addopts= -s

The raw file system does the same bytes by turns with the array, so that other work on the machine slows both alike;
ratios are of medians. Figures are printed and kept in `extra_info`.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from ccw.stored_track import StoredTrack, compress_track
from controller.array import FileDisk, VirtualArrayStore
from controller.array.track_map import TrackMap
from tests.unit.test_array_speed import GROUP, LARGE_VOLUME_TRACKS, card_track

SEGMENT_BYTES = 4 << 20


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def tell(benchmark: Any, **figures: float) -> None:
    benchmark.extra_info.update(figures)
    print("\n ", ", ".join(f"{name} {value:,.3f}" for name, value in figures.items()), end=" ")


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[int]:
    """A file of 64 MB in written space."""
    file = os.open(tmp_path / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(64 << 20), 0)
    os.fsync(file)
    yield file
    os.close(file)


def random_track(random: Random) -> StoredTrack:
    """Compressed bytes of a full track, about 10 KB, that nobody could compress again."""
    length = random.randrange(8000, 12_500)
    return StoredTrack(0, length, random.randbytes(length))


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
            theirs.append(seconds(lambda: (os.pwrite(raw, data, at), os.fdatasync(raw))))

        benchmark.pedantic(both, rounds=300, warmup_rounds=5)
    tell(
        benchmark,
        array_mb_s=len(data) / median(ours) / 1e6,
        raw_mb_s=len(data) / median(theirs) / 1e6,
        ratio=median(theirs) / median(ours),
    )


def test_cached_reads_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """Compressed tracks from the page cache, checksums verified, against pread of the same bytes."""
    random = Random(1)
    tracks = [random_track(random) for _ in range(200)]
    ours: list[float] = []
    theirs: list[float] = []
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        store.define_volume(1, {})
        for number, track in enumerate(tracks):
            store.write_stored(1, number, track)
        store.sync()

        def both() -> None:
            ours.append(seconds(lambda: [store.read_stored(1, number) for number in range(200)]))
            theirs.append(seconds(lambda: [os.pread(raw, len(track.payload), 4096) for track in tracks]))

        benchmark.pedantic(both, rounds=50, warmup_rounds=2)
    tell(benchmark, us_a_track=median(ours) * 5000, raw_us=median(theirs) * 5000, ratio=median(theirs) / median(ours))


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


def test_recovery_after_a_crash(benchmark: Any, tmp_path: Path) -> None:
    """Opening after 20,000 writes of 10 KB, with checkpoints as a running system makes them; no close."""
    random = Random(1)
    tracks = [random_track(random) for _ in range(100)]
    store = VirtualArrayStore.open(FileDisk(tmp_path / "array"))
    store.define_volume(1, {})
    for number in range(20_000):
        store.write_stored(1, number, tracks[number % 100])
        if number % 64 == 63:
            store.sync()
            store.housekeep(store.housekeeping_budget(64 * 10_300) or 1)
    size = store.figures()["log_bytes"]
    store._disk.close()  # as a crash leaves it
    times: list[float] = []

    def reopen() -> None:
        disk = FileDisk(tmp_path / "array", read_only=True)
        times.append(seconds(lambda: VirtualArrayStore.open(disk)))
        disk.close()

    benchmark.pedantic(reopen, rounds=3)
    tail = store._housekeeper
    records = store._log.records - tail._mark_records
    tell(benchmark, open_ms=min(times) * 1e3, log_gb=size / 1e9, tail_records=records, tracks=20_000)


def test_a_steady_overwrite_load_at_85_percent(benchmark: Any, tmp_path: Path) -> None:
    """512 MB of array, 85 % in use, overwritten at random; background work by the store's budget, 128 KB at a time."""
    capacity = 128 * SEGMENT_BYTES
    random = Random(1)
    pool = [random_track(random) for _ in range(100)]
    tracks = int(0.85 * capacity) // 10_322
    stalls: dict[str, list[float]] = {"append": [], "commit": [], "step": [], "step_processor": []}
    disk = FileDisk(tmp_path / "array")
    with VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES, capacity_bytes=capacity) as store:
        store.define_volume(1, {})

        def write(track: int, number: int) -> None:
            stalls["append"].append(seconds(lambda: store.write_stored(1, track, pool[number % 100])))
            if number % GROUP == GROUP - 1:
                stalls["commit"].append(seconds(store.sync))
                budget = store.housekeeping_budget(GROUP * 10_322)
                while budget > 0:
                    start, processor = time.perf_counter(), time.thread_time()
                    done = store.housekeep(min(budget, 128 << 10))
                    stalls["step"].append(time.perf_counter() - start)
                    stalls["step_processor"].append(time.thread_time() - processor)
                    if not done:
                        break
                    budget -= done
                store.prepare()

        for track in range(tracks):
            write(track, track)
        for times in stalls.values():
            times.clear()

        def overwrite() -> None:
            for number in range(tracks // 4):
                write(random.randrange(tracks), number)

        took = seconds(lambda: benchmark.pedantic(overwrite, rounds=1))
        figures, load = store.figures(), store.net_capacity_load
    assert load is not None
    written = tracks // 4 * 10_322
    tell(
        benchmark,
        load_percent=load,
        overwritten_mb_s=written / took / 1e6,
        copied_per_byte=figures["bytes_relocated"] / written,
        **{f"{name}_max_ms": max(times) * 1e3 for name, times in stalls.items()},
    )


def test_scrubbing_beside_the_raw_file_system(benchmark: Any, tmp_path: Path) -> None:
    random = Random(1)
    tracks = [random_track(random) for _ in range(3000)]
    ours: list[float] = []
    theirs: list[float] = []
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        store.define_volume(1, {})
        for number, track in enumerate(tracks):
            store.write_stored(1, number, track)
        store.sync()
        paths = sorted((tmp_path / "array").glob("segment-*"))

        def scrub() -> None:
            run = store.scrub()
            while run.step(1 << 20):
                pass
            assert run.records == 3000

        def both() -> None:
            ours.append(seconds(scrub))
            theirs.append(seconds(lambda: [path.read_bytes() for path in paths]))

        benchmark.pedantic(both, rounds=10, warmup_rounds=1)
    size = sum(len(track.payload) for track in tracks)
    tell(benchmark, mb_s=size / median(ours) / 1e6, ratio=median(theirs) / median(ours))


def test_compression_of_card_images(benchmark: Any) -> None:
    images = [card_track(number) for number in range(64)]
    raw_bytes = sum(map(len, images))
    stored = sum(len(compress_track(image).payload) for image in images)
    times: list[float] = []
    benchmark.pedantic(
        lambda: times.append(seconds(lambda: [compress_track(image) for image in images])), rounds=30, warmup_rounds=2
    )
    tell(benchmark, times_smaller=raw_bytes / stored, mb_s=raw_bytes / median(times) / 1e6)
