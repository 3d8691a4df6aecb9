"""Extents between maps, of whole chunks and whole maps too, against dictionaries."""

import gc
from random import Random

import pytest

from controller.array.page import CHUNK_TRACKS, PAGE_TRACKS
from controller.array.track_map import TrackMap

Oracle = dict[int, tuple[int, int]]
EDGES = (0, 1, PAGE_TRACKS, CHUNK_TRACKS - 1, CHUNK_TRACKS, CHUNK_TRACKS + 7, 2 * CHUNK_TRACKS, 5 * CHUNK_TRACKS)
COUNTS = (1, PAGE_TRACKS, CHUNK_TRACKS, CHUNK_TRACKS + 600, 3 * CHUNK_TRACKS, 10 * CHUNK_TRACKS)


def contents(tracks: TrackMap) -> Oracle:
    return {track: tracks.find(track) for track, _ in tracks.locations(0, tracks.stop)}


@pytest.mark.parametrize("seed", range(12))
def test_extents_take_exactly_their_tracks_and_neither_side_changes_the_other(seed: int) -> None:
    random = Random(seed)
    maps = [TrackMap() for _ in range(3)]
    oracles: list[Oracle] = [{}, {}, {}]
    for sequence in range(1, 400):
        at = random.randrange(3)
        if random.random() < 0.75:
            track = random.choice(EDGES) + random.randrange(3)
            maps[at].set(track, sequence << 9, sequence)
            oracles[at][track] = (sequence << 9, sequence)
            continue
        source, first, target, count = (
            random.randrange(3), random.choice(EDGES), random.choice(EDGES), random.choice(COUNTS)
        )
        if source == at and abs(first - target) < count:
            continue
        taken = {track: pointer for track, pointer in oracles[source].items() if first <= track < first + count}
        maps[at].copy_extent(maps[source], first, count, target)
        kept = {track: pointer for track, pointer in oracles[at].items() if not target <= track < target + count}
        oracles[at] = kept | {track - first + target: pointer for track, pointer in taken.items()}
        for tracks, oracle in zip(maps, oracles, strict=True):
            assert contents(tracks) == oracle, (seed, sequence)
            assert tracks.allocated == len(oracle), (seed, sequence)


def test_a_whole_map_is_shared_and_not_copied() -> None:
    source, target = TrackMap(), TrackMap()
    for track in range(0, 20 * CHUNK_TRACKS, PAGE_TRACKS):
        source.set(track, track + 1, track + 1)
    target.copy_extent(source, 0, 20 * CHUNK_TRACKS, 0)
    assert [page for _, page in target.pages()] == [page for _, page in source.pages()]
    before = contents(source)
    target.set(PAGE_TRACKS, 5, 1_000_000)
    source.set(2 * PAGE_TRACKS, 6, 1_000_001)
    assert contents(source) == before | {2 * PAGE_TRACKS: (6, 1_000_001)}
    assert contents(target) == before | {PAGE_TRACKS: (5, 1_000_000)}


def test_the_garbage_collector_looks_at_no_more_objects_when_more_is_written_and_snapped() -> None:
    tracks = TrackMap()
    snapshots: list[TrackMap] = [tracks.snapshot() for _ in range(20)]
    gc.collect()
    before = len(gc.get_objects())
    for number in range(20):
        for track in range(0, 40 * CHUNK_TRACKS, 8 * PAGE_TRACKS):
            tracks.set(track, track + 1, 1_000 * number + 1)
        snapshots[number] = tracks.snapshot()
    assert sum(1 for _ in tracks.pages()) == 320
    gc.collect()
    assert len(gc.get_objects()) - before < 100
