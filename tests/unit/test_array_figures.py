"""The array's published figures, each beside what it is measured against in the same run. One command gives them all:

    .venv/bin/pytest tests/unit/test_array_figures.py --benchmark-only -o addopts= -s

The raw file system does the same bytes by turns with the array, so that other work on the machine slows both alike;
ratios are of medians. Figures are printed and kept in `extra_info`. LOG_GB=10 in the environment makes the log that is
recovered as long (it needs as much room below pytest's `--basetemp`).
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from ccw.geometry import Cchh, geometry_for
from ccw.image_files import DeviceHeader
from ccw.stored_track import StoredTrack, compress_track
from ccw.tracks import Record, build_track, null_track, standard_record_zero
from controller.array import FileDisk, VirtualArrayStore
from controller.array.format import RECORD_HEADER_BYTES
from controller.array.in_place import ImageFile, InPlaceVolume
from controller.array.track_map import TrackMap
from controller.links.array_port import ArrayAdapter

GROUP = 16
LARGE_VOLUME_TRACKS = 982_800
SEGMENT_BYTES = 4 << 20
ROOT = Path(__file__).resolve().parents[2]
CARDS_A_RECORD, RECORDS = 51, 12
CARDS_A_TRACK = CARDS_A_RECORD * RECORDS


@cache
def cards() -> list[bytes]:
    """What somebody would have punched: every line of this project's programs and documents, in EBCDIC, 80 columns."""
    files = [path for folder in ("ccw", "controller", "host_emulator", "tools", "tests", "docs")
             for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".py", ".md")]
    lines = (line for path in files for line in path.read_text("utf-8").splitlines() if line.strip())
    return [line[:80].ljust(80).encode("cp037", "replace") for line in lines]


def card_tracks(count: int) -> list[bytes]:
    """Full 3390 tracks of 12 records of 51 cards each and a short rest, 49,277 bytes; no card is used twice."""
    text = cards()
    assert len(text) >= count * CARDS_A_TRACK, "the project's text is too short for so many tracks"
    return [_card_track(number, text[number * CARDS_A_TRACK : (number + 1) * CARDS_A_TRACK]) for number in range(count)]


def _card_track(number: int, text: list[bytes]) -> bytes:
    cylinder, head = divmod(number, 15)
    records = [standard_record_zero(cylinder, head)]
    for record in range(RECORDS):
        area = Cchh(cylinder, head).pack() + bytes((record + 1, 0, 0x10, 0))
        block = b"".join(text[record * CARDS_A_RECORD : (record + 1) * CARDS_A_RECORD])
        records.append(Record(area, b"", block.ljust(4096, b"\x40")))
    return build_track(cylinder, head, records)


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


def write_raw(file: int, data: bytes, offset: int) -> None:
    os.pwrite(file, data, offset)
    os.fdatasync(file)


@pytest.fixture(autouse=True)
def long_lived_objects() -> Iterator[None]:
    """What was there before is no concern of the garbage collector, as in a running system."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


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
            theirs.append(seconds(lambda: write_raw(raw, data, at)))

        benchmark.pedantic(both, rounds=300, warmup_rounds=5)
    tell(
        benchmark,
        array_mb_s=len(data) / median(ours) / 1e6,
        raw_mb_s=len(data) / median(theirs) / 1e6,
        ratio=median(theirs) / median(ours),
    )


def processor_seconds(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return time.thread_time() - start


class Pair:
    """Times of the array and of the raw file system doing the same bytes, by turns and alone. Processor time."""

    def __init__(self, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 300) -> None:
        times = [(processor_seconds(ours), processor_seconds(theirs)) for _ in range(rounds + 5)][5:]
        self.ours, self.theirs = (median(found) for found in zip(*times, strict=True))
        self.ratio = self.theirs / self.ours


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


class CountedDisk(FileDisk):
    """A disk that remembers what was read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, read_only=True)
        self.reads: list[tuple[int, int, int]] = []

    def read(self, number: int, offset: int, length: int) -> bytes:
        self.reads.append((number, offset, length))
        return super().read(number, offset, length)

    def read_again(self) -> None:
        """The same bytes, as fast as the file system gives them."""
        for number, offset, length in self.reads:
            os.pread(self._files[number], length, offset)


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


class TimedDisk(FileDisk):
    """A disk that adds up how long it took."""

    took = 0.0

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        self.took += seconds(lambda: FileDisk.write(self, number, offset, parts))

    def sync(self, number: int) -> None:
        self.took += seconds(lambda: FileDisk.sync(self, number))

    def create(self, number: int, length: int, beginning: bytes) -> None:
        self.took += seconds(lambda: FileDisk.create(self, number, length, beginning))

    def remove(self, number: int) -> None:
        self.took += seconds(lambda: FileDisk.remove(self, number))


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
    images = [_card_track(number, text[number % 60 * CARDS_A_TRACK :][:CARDS_A_TRACK]) for number in range(256)]
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
