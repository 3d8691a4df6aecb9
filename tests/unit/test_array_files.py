"""The store in files: who may open it, what it refuses, and that SIGKILL under load loses no acknowledged write."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ccw.errors import FormatError
from controller.array import (
    CorruptionError,
    DiskError,
    DiskFullError,
    FileDisk,
    StoredTrack,
    StoreError,
    StoreLockedError,
    VirtualArrayStore,
)

SEGMENT_BYTES = 1 << 16


def open_store(directory: Path, *, read_only: bool = False) -> VirtualArrayStore:
    return VirtualArrayStore.open(FileDisk(directory, read_only=read_only), segment_bytes=SEGMENT_BYTES)


def fill(directory: Path, tracks: int = 40) -> None:
    with open_store(directory) as store:
        store.define_volume(1, {})
        for track in range(tracks):
            store.write_stored(1, track, StoredTrack(0, 5000, bytes([track]) * 5000))
            store.sync()


def test_what_was_written_is_there_when_opened_again(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "store")
    assert sorted(os.listdir(tmp_path / "a" / "store")) == [
        *(f"segment-{number:08d}" for number in range(1, 5)),
        *(f"spare-{number:08d}" for number in range(5, 6)),
        "track-store",
    ]
    with open_store(tmp_path / "a" / "store") as store:
        assert store.allocated(1) == 40
        assert all(store.read(1, track) == bytes([track]) * 5000 for track in range(40))


def test_a_store_is_opened_once(tmp_path: Path) -> None:
    with open_store(tmp_path):
        for read_only in (False, True):
            with pytest.raises(StoreLockedError) as caught:
                FileDisk(tmp_path, read_only=read_only)
            assert str(caught.value) == f"the track store {tmp_path} is already open"
    with open_store(tmp_path):
        pass


def test_readers_share_and_change_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with open_store(tmp_path, read_only=True) as first, open_store(tmp_path, read_only=True) as second:
        assert first.read(1, 3) == second.read(1, 3) == bytes([3]) * 5000
        with pytest.raises(StoreLockedError):
            FileDisk(tmp_path)
        with pytest.raises(StoreError, match="read only"):
            first.put("a", b"b")
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(StoreError) as caught:
        FileDisk(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not a track store: it holds letters.txt"
    assert os.listdir(tmp_path) == ["letters.txt"]


def test_a_missing_directory_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file"):
        FileDisk(tmp_path / "nothing", read_only=True)
    assert os.listdir(tmp_path) == []
    with pytest.raises(StoreError, match="no file track-store"):
        FileDisk(tmp_path, read_only=True)


def test_a_later_format_family_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "track-store").write_text("trackbridge track store, format family 2\n")
    with pytest.raises(StoreError, match="is not a track store that this program reads"):
        FileDisk(tmp_path)


def test_a_store_without_its_segments_is_not_an_empty_store(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in tmp_path.glob("segment-*"):
        path.unlink()
    with pytest.raises(StoreError, match="its segments are missing"):
        FileDisk(tmp_path)


def test_a_segment_half_made_at_a_crash_is_made_again(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "segment-00000005.new").write_bytes(b"half")
    with open_store(tmp_path) as store:
        assert not (tmp_path / "segment-00000005.new").exists()
        for track in range(40, 60):
            store.write_stored(1, track, StoredTrack(0, 5000, bytes(5000)))
        store.sync()
    with open_store(tmp_path) as store:
        assert store.allocated(1) == 60


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_file_cut_short_is_named(tmp_path: Path, number: int) -> None:
    fill(tmp_path)
    os.truncate(tmp_path / f"segment-{number:08d}", 30_000)
    disk = FileDisk(tmp_path)
    with pytest.raises(CorruptionError, match=f"segment {number}, offset 30000: the segment should have 65536 bytes"):
        VirtualArrayStore.open(disk)
    disk.close()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    with open(tmp_path / "segment-00000001", "r+b") as file:
        file.seek(8)
        file.write(b"\x00\x09")
    disk = FileDisk(tmp_path)
    with pytest.raises(FormatError, match="format version 9, this program reads 2"):
        VirtualArrayStore.open(disk)
    disk.close()


def test_no_space_is_told_from_other_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    disk = FileDisk(tmp_path)
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(DiskFullError, match="creating segment 1: No space left on device"):
        disk.create(1, 1 << 20, b"begin")
    monkeypatch.undo()
    assert disk.segments() == {}
    assert sorted(os.listdir(tmp_path)) == ["track-store"]
    disk.create(1, 4096, b"begin")
    disk.close()


def test_a_write_that_the_system_takes_in_pieces_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FileDisk(tmp_path)
    disk.create(1, 1 << 16, b"")
    whole, one = os.pwritev, os.pwrite
    monkeypatch.setattr("os.pwritev", lambda file, parts, offset: whole(file, [b"".join(parts)[:7]], offset))
    monkeypatch.setattr("os.pwrite", lambda file, data, offset: one(file, data[:11], offset))
    parts = [bytes([number]) * number for number in range(60)]
    disk.write(1, 100, parts)
    assert disk.read(1, 100, 2000)[:1770] == b"".join(parts)
    disk.close()


WRITER = """
import sys, random
from controller.array import FileDisk, VirtualArrayStore
store = VirtualArrayStore.open(FileDisk(sys.argv[1]), segment_bytes=1 << 16)
chance = random.Random(int(sys.argv[2]))
if not store.volumes():
    store.define_volume(1, {})
    store.define_volume(2, {})
number = int(store.get("number") or b"0")
while True:
    for _ in range(chance.randrange(1, 9)):
        number += 1
        store.write(2, number % 50, b"01234" + b"%d " % number * chance.randrange(1, 2000))
        store.move(2, number % 50, 1, number % 700)
    store.put("number", b"%d" % number)
    store.sync()
    print(number, flush=True)
"""


def test_sigkill_under_load_loses_no_acknowledged_write(tmp_path: Path) -> None:  # I1, I11
    last = 0
    for turn in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(turn)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(20):
            last = int(writer.stdout.readline())
        time.sleep(0.05 * turn)
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith("\n"):
                last = int(line)
        writer.wait()
        writer.stdout.close()
        with open_store(tmp_path) as store:
            found = int(store.get("number") or b"0")
            assert found >= last
            newest = {track: store.read(1, track) for track in store.written_since(1, 0).tolist()}
            assert store.allocated(1) == min(700, max(max(image_number(data) for data in newest.values()), found))
            for number in range(max(1, last - 690), last + 1):
                data = newest[number % 700]
                assert data is not None
                assert image_number(data) in (number, number + 700)
            store.release_space(2, 0, 50)
    assert last > 60


def image_number(data: bytes | None) -> int:
    """The number that the writer put into a track; all of the image says the same."""
    assert data is not None
    words = set(data[5:].split())
    assert len(words) == 1
    return int(words.pop())
