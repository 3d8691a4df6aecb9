"""Speed of the virtual array on a real disk (`make bench`). One round of a benchmark is one track, snapshot or open,
unless its name says otherwise. `test_raw_file_system_groups_of_sixteen` writes the same bytes without the array.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ccw.geometry import Cchh
from ccw.stored_track import compress_track
from ccw.tracks import Record, build_track, standard_record_zero
from controller.array import FileDisk, VirtualArrayStore

VOLUME, COPY = 0, 1
GROUP = 16
LARGE_VOLUME_TRACKS = 982_800
CARD = "//STEP{:05d} EXEC PGM=IEBGENER,REGION=0M COMMENT {:07d} ON A CARD OF EIGHTY COLUMNS"


def card_track(number: int) -> bytes:
    """A full 3390 track of 12 records with card images, 49,277 bytes."""
    cylinder, head = divmod(number, 15)
    records = [standard_record_zero(cylinder, head)]
    for record in range(1, 13):
        cards = "".join(CARD.format(number, record * 51 + line).ljust(80)[:80] for line in range(51))
        area = Cchh(cylinder, head).pack() + bytes((record, 0, 0x10, 0))
        records.append(Record(area, b"", cards.ljust(4096).encode("cp037")))
    return build_track(cylinder, head, records)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with VirtualArrayStore.open(FileDisk(tmp_path / "array")) as opened:
        opened.define_volume(VOLUME, {})
        opened.define_volume(COPY, {})
        opened.sync()
        yield opened


def test_write_groups_of_sixteen(benchmark: Any, store: VirtualArrayStore) -> None:
    images = [card_track(number) for number in range(GROUP)]

    def group() -> None:
        for track, image in enumerate(images):
            store.write(VOLUME, track, image)
        store.sync()

    benchmark(group)


def test_write_stored_groups_of_sixteen(benchmark: Any, store: VirtualArrayStore) -> None:
    stored = [compress_track(card_track(number)) for number in range(GROUP)]

    def group() -> None:
        for track, item in enumerate(stored):
            store.write_stored(VOLUME, track, item)
        store.sync()

    benchmark(group)


def test_raw_file_system_groups_of_sixteen(benchmark: Any, tmp_path: Path) -> None:
    """The same compressed bytes, one pwrite and one fdatasync for a group, into allocated space."""
    data = b"".join(compress_track(card_track(number)).payload for number in range(GROUP))
    file = os.open(tmp_path / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(64 << 20), 0)
    os.fsync(file)
    places = count()

    def group() -> None:
        os.pwrite(file, data, next(places) * len(data) % (32 << 20))
        os.fdatasync(file)

    try:
        benchmark(group)
    finally:
        os.close(file)


def test_read(benchmark: Any, store: VirtualArrayStore) -> None:
    for track in range(GROUP):
        store.write(VOLUME, track, card_track(track))
    store.sync()
    tracks = count()
    assert benchmark(lambda: store.read(VOLUME, next(tracks) % GROUP)) is not None


def test_snapshot_of_a_large_volume(benchmark: Any, store: VirtualArrayStore) -> None:
    stored = compress_track(card_track(0))._replace(codec=0, raw_length=29, payload=bytes(29))
    for track in range(0, LARGE_VOLUME_TRACKS, 16):
        store.write_stored(VOLUME, track, stored)
    store.sync()
    benchmark(lambda: store.snapshot(VOLUME, COPY))


def test_open_after_ten_thousand_tracks(benchmark: Any, tmp_path: Path) -> None:
    disk = tmp_path / "array"
    stored = compress_track(card_track(0))
    with VirtualArrayStore.open(FileDisk(disk)) as filled:
        filled.define_volume(VOLUME, {})
        for track in range(10_000):
            filled.write_stored(VOLUME, track, stored)
        filled.sync()
    benchmark.pedantic(lambda: VirtualArrayStore.open(FileDisk(disk)).close(), rounds=3)
