"""Physical volumes: tracks in a plain CKD image, written in place behind the log; V1-V6 are those of volume.py."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from ccw.geometry import Geometry, geometry_for
from ccw.image_files import DeviceHeader
from ccw.tracks import Record, build_track, null_track, standard_record_zero
from controller.app import check, open_store
from controller.array import DiskError, MemoryDisk, VirtualArrayStore
from controller.array.in_place import ImageFile, ImageFileError, InPlaceVolume, is_shadow, shadow_of
from controller.config import ConfigError, load_config
from tests.helpers.contracts import DictStore, TrackStoreContract
from tests.helpers.crash_disk import CrashDisk, DiskFaults, PowerLoss
from tools.cli import main

GEOMETRY = geometry_for("3390", 1)
SHAPE = {"type": "3390", "cylinders": 1, "heads": 15}
VOLUME, SNAP, OTHER = 0, 1, 2


def track_of(track: int, text: bytes, geometry: Geometry = GEOMETRY) -> bytes:
    cylinder, head = geometry.address_of(track)
    area = bytes((0, cylinder, 0, head, 1, 0)) + len(text).to_bytes(2)
    return build_track(cylinder, head, [standard_record_zero(cylinder, head), Record(area, b"", text)])


def make_image(path: Path, contents: dict[int, bytes], geometry: Geometry = GEOMETRY) -> Path:
    header = DeviceHeader(b"CKD_P370", geometry.heads, geometry.track_size, 0x90)
    slots = [contents.get(track) or null_track(*geometry.address_of(track)) for track in range(geometry.tracks)]
    path.write_bytes(header.encode() + b"".join(slot.ljust(geometry.track_size, b"\0") for slot in slots))
    return path


def in_file(path: Path, track: int) -> bytes:
    """The image in a slot, by offset: not by the code under test."""
    return slot_of(path, track).rstrip(b"\0")


def slot_of(path: Path, track: int) -> bytes:
    with path.open("rb") as file:
        file.seek(512 + track * GEOMETRY.track_size)
        return file.read(GEOMETRY.track_size)


def start(disk: Any, path: Path) -> tuple[VirtualArrayStore, InPlaceVolume]:
    store = VirtualArrayStore.open(disk, segment_bytes=1 << 16)
    physical = InPlaceVolume.attach(store, VOLUME, ImageFile(path, GEOMETRY))
    store.define_volume(VOLUME, SHAPE)
    for volume in (SNAP, OTHER):
        if volume not in store.volumes():
            store.define_volume(volume, SHAPE)
    store.sync()
    return store, physical


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_image(tmp_path / "v.ckd", {track: track_of(track, b"first %d" % track) for track in range(10)})


def test_the_files_tracks_are_the_volumes(path: Path) -> None:
    store, physical = start(MemoryDisk(), path)
    assert [store.read(VOLUME, track) for track in range(10)] == [track_of(t, b"first %d" % t) for t in range(10)]
    assert store.read(VOLUME, 10) is None
    assert store.allocated(VOLUME) == 10
    assert physical.pending() == []


def test_a_write_is_in_the_log_at_once_and_in_the_file_later(path: Path) -> None:
    store, physical = start(MemoryDisk(), path)
    new = track_of(3, b"new")
    store.write(VOLUME, 3, new)
    store.sync()
    assert in_file(path, 3) == track_of(3, b"first 3")
    assert physical.pending() == [3]
    physical.settle()
    assert in_file(path, 3) == new
    assert store.read(VOLUME, 3) == new
    assert physical.pending() == []
    store.release_space(VOLUME, 3, 5)
    physical.settle()
    assert in_file(path, 4) == null_track(0, 4)
    assert store.read(VOLUME, 4) is None


def test_a_snapshot_keeps_what_the_file_loses(path: Path) -> None:  # I2, V1
    store, physical = start(MemoryDisk(), path)
    store.snapshot(VOLUME, SNAP)
    store.snapshot(SNAP, OTHER)
    store.write(VOLUME, 3, track_of(3, b"new"))
    assert store.allocated(SNAP) == 10
    physical.settle()
    assert in_file(path, 3) == track_of(3, b"new")
    for volume in (SNAP, OTHER):
        assert store.read(volume, 3) == track_of(3, b"first 3")
        assert store.read(volume, 4) == track_of(4, b"first 4")
    store.snapshot(SNAP, VOLUME)
    physical.settle()
    assert in_file(path, 3) == track_of(3, b"first 3")


def test_stubs_never_get_another_track_number(path: Path) -> None:  # V2
    store, physical = start(MemoryDisk(), path)
    store.move(VOLUME, 3, OTHER, 7)
    store.snapshot_extent(VOLUME, 4, 5, SNAP, 10)
    store.snapshot_extent(VOLUME, 0, 3, SNAP, 0)
    for track in range(10):
        store.write(VOLUME, track, track_of(track, b"later"))
    physical.settle()
    assert store.read(OTHER, 7) == track_of(3, b"first 3")
    assert [store.read(SNAP, track) for track in range(10, 15)] == [track_of(t, b"first %d" % t) for t in range(4, 9)]
    assert store.read(SNAP, 1) == track_of(1, b"first 1")


def test_a_write_that_overtakes_a_destage_is_not_lost(path: Path) -> None:  # V3
    store, physical = start(MemoryDisk(), path)
    store.write(VOLUME, 3, track_of(3, b"one"))
    destage = physical.begin()
    assert destage is not None
    assert physical.begin() is None
    store.sync()
    store.write(VOLUME, 3, track_of(3, b"two"))
    store.snapshot(VOLUME, SNAP)
    destage.write()
    physical.finish(destage)
    assert store.read(VOLUME, 3) == store.read(SNAP, 3) == track_of(3, b"two")
    assert physical.pending() == [3]
    physical.settle()
    assert in_file(path, 3) == track_of(3, b"two")


def test_what_another_program_writes_is_never_returned(path: Path) -> None:  # V4
    store, physical = start(MemoryDisk(), path)
    with path.open("r+b") as file:
        file.seek(512 + 5 * GEOMETRY.track_size)
        file.write(track_of(5, b"foreign"))
        file.seek(512 + 6 * GEOMETRY.track_size + 2)
        file.write(b"\xff")
    with pytest.raises(ImageFileError, match=r"v\.ckd, track 5: not what was written; another program changed it"):
        store.read(VOLUME, 5)
    with pytest.raises(ImageFileError, match="track 6: track image: home address"):
        store.read(VOLUME, 6)
    assert store.read(VOLUME, 7) == track_of(7, b"first 7")
    store.write(VOLUME, 5, track_of(5, b"mended"))
    physical.settle()
    assert store.read(VOLUME, 5) == track_of(5, b"mended")


def test_a_change_while_it_was_closed_is_seen_at_opening(path: Path) -> None:  # V6
    disk = MemoryDisk()
    store, physical = start(disk, path)
    store.write(VOLUME, 3, track_of(3, b"new"))
    physical.close()
    store.close()
    store, physical = start(disk, path)
    assert store.read(VOLUME, 3) == track_of(3, b"new")
    physical.close()
    store.close()
    make_image(path, {3: track_of(3, b"foreign")})
    with pytest.raises(ImageFileError, match=r"v\.ckd was changed since volume 00 was last in use"):
        start(disk, path)


def test_files_that_cannot_be_used_are_one_clear_error(path: Path, tmp_path: Path) -> None:
    def refuse(text: str, at: Path = path) -> None:
        with pytest.raises(ImageFileError, match=text):
            ImageFile(at, GEOMETRY)

    refuse("No such file", tmp_path / "none.ckd")
    first = ImageFile(path, GEOMETRY)
    refuse("is in use by another program")
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    refuse("a volume of 1 cylinders")
    path.write_bytes(b"CKD_C370" + whole[8:])
    refuse("only a plain image in one file can be used in place: form at byte 0")
    path.write_bytes(whole[:8] + b"\x10" + whole[9:])
    refuse("16 heads")
    path.write_bytes(whole[:300])
    refuse("image device header: length at byte 300")
    path.write_bytes(whole[: 512 + 5] + bytes(len(whole) - 517))
    with pytest.raises(ImageFileError, match="track 0: track image: no end mark at byte 56832"):
        start(MemoryDisk(), path)


def test_a_volume_with_tracks_in_the_store_cannot_lie_in_a_file(path: Path) -> None:
    disk = MemoryDisk()
    store = VirtualArrayStore.open(disk)
    store.define_volume(VOLUME, SHAPE)
    with pytest.raises(ImageFileError, match="volume 00 has its tracks in the store"):
        InPlaceVolume.attach(store, VOLUME, ImageFile(path, GEOMETRY))


def test_without_its_file_a_track_is_a_clean_error(path: Path) -> None:
    disk = MemoryDisk()
    store, physical = start(disk, path)
    physical.close()
    store.close()
    with pytest.raises(ImageFileError, match="lies in an image file that is not in use"):
        VirtualArrayStore.open(disk).read(VOLUME, 3)


def test_an_error_of_the_file_gives_it_up_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # V5
    disk = MemoryDisk()
    store, physical = start(disk, path)
    store.write(VOLUME, 3, track_of(3, b"new"))

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fdatasync", broken)
    with pytest.raises(DiskError, match=r"v\.ckd: Input/output error"):
        physical.settle()
    monkeypatch.undo()
    assert physical.fault is not None and "is not written any more" in physical.fault
    assert physical.begin() is None
    store.write(VOLUME, 4, track_of(4, b"goes on"))
    store.sync()
    physical.close()
    store.close()
    store, physical = start(disk, path)
    assert physical.pending() == [3, 4]
    physical.settle()
    assert (in_file(path, 3), in_file(path, 4)) == (track_of(3, b"new"), track_of(4, b"goes on"))


def test_what_does_not_fit_its_slot_stays_in_the_log(path: Path) -> None:
    store, physical = start(MemoryDisk(), path)
    store.write(VOLUME, 3, b"no track at all")
    store.write(VOLUME, 40_000, track_of(3, b"behind the end"))
    physical.settle()
    assert store.read(VOLUME, 3) == b"no track at all"
    assert physical.kept == {3, 40_000}
    assert in_file(path, 3) == track_of(3, b"first 3")
    store.write(VOLUME, 3, track_of(3, b"good again"))
    physical.settle()
    assert in_file(path, 3) == track_of(3, b"good again")


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


def settle_in_pieces(store: VirtualArrayStore, physical: InPlaceVolume) -> None:
    destage = physical.begin(4)
    if destage is not None:
        store.sync()
        destage.write()
        physical.finish(destage)
        store.sync()


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


class SettledStore:
    """A store whose volumes 1 and 2 are physical, and that destages after every fourth verb."""

    def __init__(self, directory: Path) -> None:
        self.inner = VirtualArrayStore.open(MemoryDisk(), segment_bytes=1 << 18)
        self.directory = directory
        self.physical: dict[int, InPlaceVolume] = {}
        self.verbs = 0

    def define_volume(self, volume: int, attributes: dict[str, Any]) -> int:
        if volume in (1, 2) and volume not in self.inner.volumes():
            path = make_image(self.directory / f"{volume}-{self.inner.appended}.ckd", {})
            self.physical[volume] = InPlaceVolume.attach(self.inner, volume, ImageFile(path, GEOMETRY))
        return self.inner.define_volume(volume, attributes)

    def delete_volume(self, volume: int) -> int:
        if volume in self.physical:
            self.physical.pop(volume).close()
        return self.inner.delete_volume(volume)

    def volumes(self) -> dict[int, dict[str, Any]]:
        return {number: found for number, found in self.inner.volumes().items() if not is_shadow(number)}

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.inner, name)
        if name not in ("write", "move", "snapshot", "release_space", "snapshot_extent"):
            return verb

        def settled(*arguments: Any) -> Any:
            result = verb(*arguments)
            self.verbs += 1
            for physical in self.physical.values() if self.verbs % 4 == 0 else ():
                settle_in_pieces(self.inner, physical)
            return result

        return settled


class TestPhysicalVolumes(TrackStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SettledStore]:
        yield SettledStore(tmp_path)


def test_a_shadow_has_its_own_numbers() -> None:
    assert is_shadow(shadow_of(0))
    assert is_shadow(shadow_of(0xFFFF))
    assert not is_shadow(0xFFFF)
    assert not is_shadow(0x80000000)


CONFIG = """
name = "A"
serial = "1"
ssid = "0100"
store = "store"
[[volume]]
address = "00"
cylinders = 1
image_in_place = "v.ckd"
"""


def test_a_configured_volume_lies_in_its_file(path: Path) -> None:
    config = path.with_name("a.toml")
    config.write_text(CONFIG)
    settings = load_config(config)
    assert check(settings) == ["volume 00: 3390-1, 1 cylinders"]
    for turn in range(2):
        with open_store(settings) as store:
            assert store.read(0, 1) == track_of(1, b"first 1")
            store.write(0, 3 + turn, track_of(3 + turn, b"new"))
        assert in_file(path, 3 + turn) == track_of(3 + turn, b"new")
    config.write_text(CONFIG.replace("image_in_place", "image"))
    with pytest.raises(ConfigError, match="its tracks lie in an image: image_in_place is needed"):
        open_store(load_config(config))
    config.write_text(CONFIG + 'image = "v.ckd"\n')
    with pytest.raises(ConfigError, match="has an image to be imported as well"):
        load_config(config)
    config.write_text(CONFIG.replace("v.ckd", "none.ckd"))
    for refuse in (check, open_store):
        with pytest.raises(ImageFileError, match=r"none\.ckd: No such file or directory"):
            refuse(load_config(config))


def test_commands_over_stores_see_the_file_too(path: Path) -> None:
    config = path.with_name("a.toml")
    config.write_text(CONFIG)
    with open_store(load_config(config)) as store:
        store.write(0, 3, track_of(3, b"new"))
    store_only = ["--store", str(path.with_name("store"))]
    for arguments, code, text in (
        (["volume", "list", *store_only], 0, "10"),
        (["volume", "check", "--config", str(config)], 0, ""),
        (["volume", "export", "--config", str(config), "00", str(path.with_name("out.ckd"))], 0, ""),
        (["volume", "export", *store_only, "00", str(path.with_name("no.ckd"))], 2, "an image file that is not in use"),
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, (arguments, result.output, result.stderr)
        assert text in result.output
        assert "unfinished" not in result.output
    assert path.with_name("out.ckd").read_bytes()[512:] == path.read_bytes()[512:]


def test_without_its_file_no_stub_leaves_its_track_number(path: Path) -> None:  # V2
    disk = MemoryDisk()
    store, _ = start(disk, path)
    store.close()
    store = VirtualArrayStore.open(disk)
    with pytest.raises(ImageFileError):
        store.move(VOLUME, 3, OTHER, 7)
    with pytest.raises(ImageFileError):
        store.snapshot_extent(VOLUME, 0, 5, OTHER, 7)
    store.snapshot(VOLUME, SNAP)
    assert store.allocated(OTHER) == 0
