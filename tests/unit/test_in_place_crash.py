"""Physical volumes under any script and any loss of power; V1-V6 are those of controller/array/in_place/volume.py."""

from pathlib import Path
from random import Random

import pytest

from ccw.tracks import null_track
from controller.array import MemoryDisk, VirtualArrayStore
from controller.array.in_place import ImageFile, InPlaceVolume
from tests.helpers.crash_disk import CrashDisk, DiskFaults, PowerLoss
from tests.helpers.oracle import DictStore
from tests.helpers.physical import (
    GEOMETRY,
    OTHER,
    SHAPE,
    SNAP,
    VOLUME,
    in_file,
    make_first,
    make_image,
    settle_in_pieces,
    slot_of,
    start,
    track_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_first(tmp_path)


def run_script(
    store: VirtualArrayStore, physical: InPlaceVolume, oracle: DictStore, random: Random, steps: int
) -> None:
    """Writes, snapshots, restores, releases, moves and destages in pieces, on store and oracle alike."""
    for step in range(steps):
        choice = random.random()
        track = random.randrange(GEOMETRY.tracks)
        volume = random.choice((VOLUME, VOLUME, SNAP, OTHER))
        if choice < 0.5:
            image = track_of(track, b"step %d " % step * random.randrange(1, 20))
            store.write(volume, track, image)
            oracle.write(volume, track, image)
        elif choice < 0.6:
            pair = random.sample((VOLUME, SNAP, OTHER), 2)
            store.snapshot(*pair)
            oracle.snapshot(*pair)
        elif choice < 0.68:
            store.release_space(volume, track, track + 3)
            oracle.release_space(volume, track, track + 3)
        elif choice < 0.76 and oracle.read(volume, track) is not None:
            store.move(volume, track, SNAP, 77)
            oracle.move(volume, track, SNAP, 77)
        elif choice < 0.8:
            extent = (volume, track, 2, OTHER, 200 + track)
            store.snapshot_extent(*extent)
            oracle.snapshot_extent(*extent)
        else:
            settle_in_pieces(store, physical)


def check_same(store: VirtualArrayStore, oracle: DictStore) -> None:
    for volume, tracks in oracle.tracks.items():
        assert list(store.written_since(volume, 0)) == sorted(tracks)
        for track in tracks:
            assert store.read(volume, track) == oracle.read(volume, track), (volume, track)


def oracle_of(path: Path) -> DictStore:
    oracle = DictStore()
    for volume in (VOLUME, SNAP, OTHER):
        oracle.define_volume(volume, {})
    for track in range(10):
        oracle.write(VOLUME, track, track_of(track, b"first %d" % track))
    return oracle


@pytest.mark.parametrize("seed", range(4))
def test_any_script_reads_as_if_all_were_in_memory(path: Path, seed: int) -> None:  # I2, V1, V2, V3
    disk = MemoryDisk()
    store, physical = start(disk, path)
    oracle = oracle_of(path)
    for _ in range(4):
        run_script(store, physical, oracle, Random(seed), 80)
        check_same(store, oracle)
        physical.close()
        store.close()
        for track in range(GEOMETRY.tracks):
            assert in_file(path, track) == (oracle.read(VOLUME, track) or null_track(*GEOMETRY.address_of(track)))
        store, physical = start(disk, path)
        check_same(store, oracle)


class TornFile(ImageFile):
    """An image file under the same power as the log: at a loss each unsynced slot is old, new, or garbage."""

    def prepare(self, disk: CrashDisk) -> None:
        self.disk = disk
        self.unsynced: dict[int, bytes] = {}

    def write(self, track: int, image: bytes) -> None:
        self.disk._before("slot", track)
        self.unsynced.setdefault(track, slot_of(self.path, track))
        super().write(track, image)
        self.disk._after()

    def sync(self) -> None:
        self.disk._before("file sync", 0)
        self.unsynced.clear()
        self.disk._after()

    def crash(self, random: Random) -> None:
        with self.path.open("r+b") as file:
            for track, old in self.unsynced.items():
                new = slot_of(self.path, track)
                torn = b"".join(random.choice((old, new, new))[at : at + 512] for at in range(0, len(new), 512))
                torn = random.choice((old, new, torn, b"\xff" * 100 + new[100:]))
                file.seek(512 + track * GEOMETRY.track_size)
                file.write(torn)


@pytest.mark.parametrize("after", [False, True])
def test_power_lost_at_every_operation(tmp_path: Path, after: bool) -> None:  # V1, V3
    """Log and file lose power together, at each write and sync of either: volume and snapshot keep all their tracks."""
    operation, finished = 0, False
    while not finished:
        path = make_image(tmp_path / "v.ckd", {track: track_of(track, b"first %d" % track) for track in range(4)})
        memory = MemoryDisk()
        disk = CrashDisk(memory)
        store = VirtualArrayStore.open(disk, segment_bytes=1 << 16)
        file = TornFile(path, GEOMETRY)
        file.prepare(disk)
        physical = InPlaceVolume.attach(store, VOLUME, file)
        for volume in (VOLUME, SNAP):
            store.define_volume(volume, SHAPE)
        store.snapshot(VOLUME, SNAP)
        store.sync()
        old = {track: track_of(track, b"first %d" % track) for track in range(4)}
        hosts = dict(old)
        disk.arm(DiskFaults(power_loss_at=operation, power_loss_after=after))
        try:
            for turn in range(2):
                for track in range(3):
                    new = track_of(track, b"turn %d of %d" % (turn, track))
                    store.write(VOLUME, track, new)
                    maybe = {**hosts, track: new}
                    store.sync()
                    hosts = maybe
                physical.settle()
            finished = True
        except PowerLoss:
            pass
        random = Random(operation)
        file.crash(random)
        file.close()
        memory.crash(random)
        store, physical = start(memory, path)
        for track in range(4):
            assert store.read(VOLUME, track) in (hosts[track], maybe[track])
            assert store.read(SNAP, track) == old[track]
        physical.settle()
        for track in range(4):
            assert in_file(path, track) == store.read(VOLUME, track)
            assert store.read(SNAP, track) == old[track]
        physical.file.close()
        operation += 1
    assert operation > 25


