"""What figures of the array are measured with: tracks to write, clocks, and disks that take notes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from ccw.geometry import Cchh
from ccw.stored_track import StoredTrack
from ccw.tracks import Record, build_track, standard_record_zero
from controller.array import FileDisk

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
    return [card_track(number, text[number * CARDS_A_TRACK : (number + 1) * CARDS_A_TRACK]) for number in range(count)]


def card_track(number: int, text: list[bytes]) -> bytes:
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


def processor_seconds(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return time.thread_time() - start


def tell(benchmark: Any, **figures: float) -> None:
    benchmark.extra_info.update(figures)
    print("\n ", ", ".join(f"{name} {value:,.3f}" for name, value in figures.items()), end=" ")


def write_raw(file: int, data: bytes, offset: int) -> None:
    os.pwrite(file, data, offset)
    os.fdatasync(file)


def random_track(random: Random) -> StoredTrack:
    """Compressed bytes of a full track, about 10 KB, that nobody could compress again."""
    length = random.randrange(8000, 12_500)
    return StoredTrack(0, length, random.randbytes(length))


class Pair:
    """Times of the array and of the raw file system doing the same bytes, by turns and alone. Processor time."""

    def __init__(self, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 300) -> None:
        times = [(processor_seconds(ours), processor_seconds(theirs)) for _ in range(rounds + 5)][5:]
        self.ours, self.theirs = (median(found) for found in zip(*times, strict=True))
        self.ratio = self.theirs / self.ours


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
