"""Physical volumes: tracks in a plain CKD image, written in place behind the log; V1-V6 are those of volume.py."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from ccw.tracks import null_track
from controller.app import check, open_store
from controller.array import DiskError, MemoryDisk, VirtualArrayStore
from controller.array.in_place import ImageFile, ImageFileError, InPlaceVolume, is_shadow, shadow_of
from controller.config import ConfigError, load_config
from tests.helpers.contracts import TrackStoreContract
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
    start,
    track_of,
)
from tools.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_first(tmp_path)


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


def test_a_file_that_cannot_be_synced_is_given_up_alone(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # V5
    """Another image and volumes in the log go on; the array is not fenced, for the log has every track."""
    (tmp_path / "other").mkdir()
    second = make_first(tmp_path / "other")
    disk = MemoryDisk()
    store, bad = start(disk, path)
    store.delete_volume(OTHER)
    good = InPlaceVolume.attach(store, OTHER, ImageFile(second, GEOMETRY))
    store.define_volume(OTHER, SHAPE)

    def no_sync() -> None:
        raise DiskError("v.ckd: Input/output error")

    monkeypatch.setattr(bad.file, "sync", no_sync)
    for volume in (VOLUME, SNAP, OTHER):
        store.write(volume, 3, track_of(3, b"later"))
    store.sync()
    with pytest.raises(DiskError, match="Input/output error"):
        bad.settle()
    good.settle()
    assert bad.fault is not None
    assert bad.begin() is None
    assert in_file(second, 3) == track_of(3, b"later")
    assert not store.fenced
    for volume in (VOLUME, SNAP, OTHER):
        store.write(volume, 4, track_of(4, b"after the error"))
    good.settle()
    store.sync()
    disk.crash(Random(1))
    monkeypatch.undo()
    for physical in (bad, good):  # the process ends, its locks with it
        physical.file.close()
    again, _ = start(disk, path)
    other = InPlaceVolume.attach(again, OTHER, ImageFile(second, GEOMETRY))
    for volume in (VOLUME, SNAP, OTHER):
        assert again.read(volume, 3) == track_of(3, b"later")
        assert again.read(volume, 4) == track_of(4, b"after the error")
    assert not other.pending()


def test_destage_tells_of_a_track_too_many_and_never_of_one_too_few(path: Path) -> None:
    """Who asks what was written since: a pair, when it is reconciled."""
    store, physical = start(MemoryDisk(), path)
    store.write(VOLUME, 2, track_of(2, b"before"))
    seen = store.sync()
    store.write(VOLUME, 5, track_of(5, b"since"))
    store.release_space(VOLUME, 6, 7)
    destage = physical.begin()
    assert destage is not None
    store.sync()
    destage.write()
    store.write(VOLUME, 7, track_of(7, b"meanwhile"))
    physical.finish(destage)
    told = store.written_since(VOLUME, seen).tolist()
    assert {5, 7} <= set(told) <= {2, 5, 7}
    physical.settle()
    assert {5, 7} <= set(store.written_since(VOLUME, seen).tolist()) <= {2, 5, 7}
    assert store.read(VOLUME, 7) == track_of(7, b"meanwhile")


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


def test_a_file_that_was_changed_is_refused_at_every_start(path: Path) -> None:  # V6
    config = path.with_name("a.toml")
    config.write_text(CONFIG)
    open_store(load_config(config)).close()
    changed = bytearray(path.read_bytes())
    changed[600] ^= 1
    path.write_bytes(changed)
    for _ in range(2):
        with pytest.raises(ImageFileError, match=r"v\.ckd was changed since volume 00 was last in use"):
            open_store(load_config(config))
        ImageFile(path, GEOMETRY).close()  # nobody holds it


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
