"""The array's figures of recovery and of what goes on in the background; see test_array_figures.py.

LOG_GB=10 in the environment makes the log that is recovered as long; it needs as much room below pytest's `--basetemp`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from ccw.geometry import geometry_for
from ccw.image_files import DeviceHeader
from ccw.tracks import null_track
from controller.array import FileDisk, VirtualArrayStore
from controller.array.in_place import ImageFile, InPlaceVolume
from tests.helpers.figures import (
    CARDS_A_TRACK,
    ROOT,
    CountedDisk,
    TimedDisk,
    card_track,
    cards,
    random_track,
    seconds,
    tell,
    write_raw,
)

pytestmark = pytest.mark.usefixtures("long_lived_objects")
GROUP = 16
SEGMENT_BYTES = 4 << 20


def test_recovery_after_a_kill(benchmark: Any, tmp_path: Path) -> None:
    """Opening what a process left that was killed while it wrote: LOG_GB of log, checkpoints as a system makes them."""
    size = int(float(os.environ.get("LOG_GB", "0.5")) * 1e9)
    directory = tmp_path / "array"
    command = [sys.executable, "-m", "tests.helpers.log_filler", str(directory), str(size)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "full\n"
        writer.kill()
    times: list[float] = []
    found: dict[str, int] = {}

    raw_times: list[float] = []
    read_bytes: list[int] = []

    def reopen() -> None:
        disk = CountedDisk(directory)
        times.append(seconds(lambda: found.update(VirtualArrayStore.open(disk).figures())))
        read_bytes.append(sum(length for _, _, length in disk.reads))
        raw_times.append(seconds(disk.read_again))
        disk.close()

    benchmark.pedantic(reopen, rounds=5)
    tell(benchmark, open_s=median(times), open_best_s=min(times), log_gb=found["log_bytes"] / 1e9,
         seconds_for_10_gb=median(times) * 1e10 / found["log_bytes"], read_mb=median(read_bytes) / 1e6,
         raw_s=median(raw_times), ratio=median(raw_times) / median(times))


def test_recovery_of_the_smallest_records(benchmark: Any, tmp_path: Path) -> None:
    """Opening a log whose last segment is full of moves, 72 bytes each, with checkpoints made in time."""
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        store.define_volume(1, {})
        store.write(1, 0, bytes(5) + b"contents")
        for number in range(440_000):
            store.move(1, number % 2, 1, (number + 1) % 2)
            if number % 1000 == 999:
                store.sync()
                store.housekeep(store.housekeeping_budget(72_000) or 1)
        store.sync()
        assert store.figures()["segments"] == 1
    times: list[float] = []

    def reopen() -> None:
        disk = FileDisk(tmp_path / "array", read_only=True)
        times.append(seconds(lambda: VirtualArrayStore.open(disk)))
        disk.close()

    benchmark.pedantic(reopen, rounds=5)
    tell(benchmark, open_s=median(times), open_best_s=min(times))


def test_a_steady_overwrite_load_at_85_percent(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """512 MB of array, 85 % in use, overwritten at random; background work by the store's budget, 128 KB at a time.

    `commit_without_disk`: what is ours of a commit; `raw_commit`: the same bytes, pwrite and fdatasync, between two.
    """
    capacity = 128 * SEGMENT_BYTES
    random = Random(1)
    pool = [random_track(random) for _ in range(100)]
    tracks = int(0.85 * capacity) // 10_322
    names = ("append", "commit", "commit_without_disk", "commit_processor", "raw_commit", "step", "step_processor")
    stalls: dict[str, list[float]] = {name: [] for name in names}
    group_bytes = b"".join(track.payload for track in pool[:GROUP])
    disk = TimedDisk(tmp_path / "array")
    with VirtualArrayStore.open(disk, segment_bytes=SEGMENT_BYTES, capacity_bytes=capacity) as store:
        store.define_volume(1, {})

        def write(track: int, number: int) -> None:
            stalls["append"].append(seconds(lambda: store.write_stored(1, track, pool[number % 100])))
            if number % GROUP == GROUP - 1:
                disk.took, processor = 0.0, time.thread_time()
                stalls["commit"].append(seconds(store.sync))
                stalls["commit_processor"].append(time.thread_time() - processor)
                stalls["commit_without_disk"].append(stalls["commit"][-1] - disk.took)
                at = len(stalls["raw_commit"]) * len(group_bytes) % (32 << 20)
                stalls["raw_commit"].append(seconds(lambda: write_raw(raw, group_bytes, at)))
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
        commit_median_ms=median(stalls["commit"]) * 1e3,
        raw_commit_median_ms=median(stalls["raw_commit"]) * 1e3,
        commits_over_50_ms=sum(took > 0.05 for took in stalls["commit"]),
        raw_commits_over_50_ms=sum(took > 0.05 for took in stalls["raw_commit"]),
    )


def test_collection_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """Half of a log of 80 MB is garbage; what collection copies, against reading, writing and syncing as many bytes."""
    random = Random(1)
    pool = [random_track(random) for _ in range(100)]
    figures: dict[str, int] = {}
    with VirtualArrayStore.open(FileDisk(tmp_path / "array"), segment_bytes=SEGMENT_BYTES) as store:
        store.define_volume(1, {})
        for number in range(8000):
            store.write_stored(1, number, pool[number % 100])
            if number % GROUP == GROUP - 1:
                store.sync()
        store.tidy()
        for number in range(8000):
            if number % 5 < 3:
                store.release_space(1, number, number + 1)
        store.sync()
        before = store.figures()
        took = benchmark.pedantic(lambda: seconds(store.tidy), rounds=1)
        figures = {name: value - before[name] for name, value in store.figures().items()}
    copied = figures["bytes_relocated"]

    def copy() -> None:
        for at in range(0, min(copied, 32 << 20), 1 << 20):
            write_raw(raw, os.pread(raw, 1 << 20, at), (32 << 20) + at)

    copies = [seconds(copy) for _ in range(5)]
    share = min(copied, 32 << 20) / copied
    tell(benchmark, copied_mb=copied / 1e6, freed_mb=figures["segments_freed"] * SEGMENT_BYTES / 1e6,
         copied_mb_s=copied / took / 1e6, ratio=median(copies) / share / took)


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


def test_destage_beside_the_raw_file_system(benchmark: Any, tmp_path: Path, raw: int) -> None:
    """256 tracks from the log into their slots of an image file, in rounds, synced, against pwrite and fdatasync of the
    same slots. The rest of a round: tracks are read from the log and expanded, their records replaced with stubs;
    `pause`: how long hosts wait for the longer of the two."""
    geometry = geometry_for("3390", 40)
    header = DeviceHeader(b"CKD_P370", geometry.heads, geometry.track_size, 0x90)
    empty = (null_track(*geometry.address_of(track)) for track in range(geometry.tracks))
    slots = b"".join(track.ljust(geometry.track_size, b"\0") for track in empty)
    path = tmp_path / "volume.ckd"
    path.write_bytes(header.encode() + slots)
    text = cards()
    images = [card_track(number, text[number % 60 * CARDS_A_TRACK :][:CARDS_A_TRACK]) for number in range(256)]
    slot_bytes = b"".join(image.ljust(geometry.track_size, b"\0") for image in images)
    ours: list[float] = []
    theirs: list[float] = []
    file_only: list[float] = []
    pauses: list[float] = []
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as store:
        physical = InPlaceVolume.attach(store, 1, ImageFile(path, geometry))
        store.define_volume(1, {"type": "3390", "cylinders": 40, "heads": 15})

        def rounds() -> None:
            while True:
                start = time.perf_counter()
                destage = physical.begin()
                pauses.append(time.perf_counter() - start)
                if destage is None:
                    return
                store.sync()
                file_only.append(seconds(destage.write))
                pauses.append(seconds(partial(physical.finish, destage)))
                store.sync()

        def both() -> None:
            for number, image in enumerate(images):
                store.write(1, number, image)
            store.sync()
            ours.append(seconds(rounds))
            theirs.append(seconds(lambda: write_raw(raw, slot_bytes, 0)))

        benchmark.pedantic(both, rounds=15, warmup_rounds=1)
    tell(
        benchmark,
        array_mb_s=len(slot_bytes) / median(ours) / 1e6,
        raw_mb_s=len(slot_bytes) / median(theirs) / 1e6,
        ratio=median(theirs) / median(ours),
        file_part=sum(file_only) / sum(ours),
        tracks_a_second=256 / median(ours),
        pause_max_ms=max(pauses) * 1e3,
    )
