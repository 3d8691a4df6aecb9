"""Contract suites: what every track store, and every disk under one, must do.

A test module subclasses a suite and gives it a fixture (`store`, `disk`); pytest runs the inherited tests on each.
"""

from typing import Any

import pytest

from ccw.errors import FormatError
from controller.array import (
    CODEC_NONE,
    CODEC_ZLIB,
    Disk,
    DiskError,
    StoredTrack,
    UnknownVolumeError,
    compress_track,
)


def image(text: bytes, length: int = 200) -> bytes:
    """A track image for tests: five bytes of home address, then `text` over and over."""
    return (bytes(5) + text * (length // len(text) + 1))[:length]


class TrackStoreContract:
    """Every track store. The fixture `store` is an empty one."""

    def test_what_is_written_is_read(self, store: Any) -> None:
        store.define_volume(1, {})
        first = store.write(1, 7, image(b"A"))
        assert store.read(1, 7) == image(b"A")
        assert store.read(1, 8) is None
        second = store.write(1, 7, image(b"B", 56_832))
        assert second > first
        assert store.read(1, 7) == image(b"B", 56_832)
        assert store.sequence_of(1, 7) == second
        assert store.sequence_of(1, 8) == 0

    def test_a_track_is_compressed_unless_that_makes_it_longer(self, store: Any) -> None:
        store.define_volume(1, {})
        store.write(1, 0, image(b"A", 1000))
        stored = store.read_stored(1, 0)
        assert stored.codec == CODEC_ZLIB
        assert stored.raw_length == 1000
        assert stored.payload[:5] == image(b"A")[:5]
        store.write(1, 1, b"12345678")
        assert store.read_stored(1, 1) == StoredTrack(CODEC_NONE, 8, b"12345678")
        assert store.read_stored(1, 2) is None

    def test_the_stored_form_passes_unchanged(self, store: Any) -> None:
        store.define_volume(1, {})
        stored = compress_track(image(b"xyz", 3000))
        store.write_stored(1, 3, stored)
        assert store.read_stored(1, 3) == stored
        assert store.read(1, 3) == image(b"xyz", 3000)
        with pytest.raises(FormatError):
            store.write_stored(1, 3, StoredTrack(CODEC_NONE, 9, b"12345678"))
        assert store.read_stored(1, 3) == stored

    def test_an_undefined_volume_is_refused(self, store: Any) -> None:
        store.define_volume(1, {})
        before = store.appended
        for refused in (
            lambda: store.read(2, 0),
            lambda: store.write(2, 0, image(b"A")),
            lambda: store.snapshot(1, 2),
            lambda: store.snapshot(2, 1),
            lambda: store.move(2, 0, 1, 0),
            lambda: store.release_space(2, 0, 1),
            lambda: store.delete_volume(2),
            lambda: store.written_since(2, 0),
        ):
            with pytest.raises(UnknownVolumeError):
                refused()
        assert store.appended == before

    def test_volumes_keep_their_attributes(self, store: Any) -> None:
        store.define_volume(1, {"type": "3390", "cylinders": 1113})
        store.define_volume(0xFFFF, {})
        store.write(1, 0, image(b"A"))
        store.define_volume(1, {"type": "3390", "cylinders": 2226})
        assert store.volumes() == {1: {"type": "3390", "cylinders": 2226}, 0xFFFF: {}}
        assert store.read(1, 0) == image(b"A")
        store.delete_volume(1)
        assert store.volumes() == {0xFFFF: {}}
        store.define_volume(1, {})
        assert store.read(1, 0) is None

    def test_a_snapshot_never_changes(self, store: Any) -> None:  # I2
        store.define_volume(1, {})
        store.define_volume(2, {})
        for track in range(0, 2000, 3):
            store.write(1, track, image(b"%d" % track))
        store.write(2, 5000, image(b"old"))
        store.snapshot(1, 2)
        store.write(1, 0, image(b"new"))
        store.release_space(1, 600, 1800)
        store.write(2, 3, image(b"other"))
        assert store.read(2, 5000) is None
        assert store.read(2, 0) == image(b"0")
        assert store.read(2, 3) == image(b"other")
        assert store.read(1, 3) == image(b"3")
        assert store.read(2, 900) == image(b"900")
        assert store.read(1, 900) is None
        assert store.allocated(2) == 667
        assert store.allocated(1) == 667 - 400

    def test_snapshots_of_snapshots_are_independent(self, store: Any) -> None:  # I2
        for volume in range(6):
            store.define_volume(volume, {})
        store.write(0, 1, image(b"0"))
        for volume in range(1, 6):
            store.snapshot(volume - 1, volume)
            store.write(volume, 1, image(b"%d" % volume))
        assert [store.read(volume, 1) for volume in range(6)] == [image(b"%d" % volume) for volume in range(6)]

    @pytest.mark.parametrize("shift", [0, 512, 1, -15, 40_000])
    def test_an_extent_is_copied_by_pointer_and_never_changes(self, store: Any, shift: int) -> None:  # I2
        store.define_volume(1, {})
        store.define_volume(2, {})
        for track in range(100, 3000, 7):
            store.write(1, track, image(b"%d" % track))
        for track in (114 + shift, 115 + shift, 620 + shift, 2999 + shift):
            store.write(2, track, image(b"old"))
        sequence = store.sequence_of(1, 114)
        store.snapshot_extent(1, 110, 2500, 2, 110 + shift)
        expected = {t + shift: store.read(1, t) for t in range(110, 2610) if store.read(1, t) is not None}
        expected[2999 + shift] = image(b"old")
        store.write(1, 611, image(b"new"))
        store.release_space(1, 1000, 2000)
        assert list(store.written_since(2, 0)) == sorted(expected)
        assert {track: store.read(2, track) for track in expected} == expected
        assert store.sequence_of(2, 114 + shift) == sequence
        assert store.allocated(2) == len(expected)
        store.write(2, 611 + shift, image(b"other"))
        assert store.read(1, 611) == image(b"new")

    def test_an_extent_may_be_copied_within_its_volume(self, store: Any) -> None:
        store.define_volume(1, {})
        for track in range(600):
            store.write(1, track, image(b"%d" % track))
        store.snapshot_extent(1, 0, 600, 1, 600)
        store.snapshot_extent(1, 100, 50, 1, 0)
        assert store.allocated(1) == 1200
        assert [store.read(1, track) for track in (0, 49, 50, 600, 1199)] == [
            image(b"%d" % track) for track in (100, 149, 50, 0, 599)
        ]
        for first, target, count in ((0, 5, 10), (5, 0, 10), (0, 1, 0), (-1, 5, 1)):
            with pytest.raises(ValueError):
                store.snapshot_extent(1, first, count, 1, target)

    def test_move_redirects_by_pointer(self, store: Any) -> None:
        store.define_volume(1, {})
        store.define_volume(2, {})
        written = store.write(1, 10, image(b"A"))
        stored = store.read_stored(1, 10)
        store.write(2, 20, image(b"old"))
        mark = store.appended
        moved = store.move(1, 10, 2, 20)
        assert moved > written
        assert store.read_stored(2, 20) == stored
        assert store.read(1, 10) is None
        assert store.sequence_of(2, 20) == moved
        assert list(store.written_since(2, mark)) == [20]
        assert list(store.written_since(1, 0)) == []
        assert list(store.reference_counts().values()) == [1]

    def test_what_is_written_and_redirected_is_as_if_written_and_moved(self, store: Any) -> None:
        store.define_volume(1, {})
        store.define_volume(2, {})
        store.write(1, 10, image(b"old"))
        store.write(2, 20, image(b"older"))
        before = store.appended
        stored = compress_track(image(b"new"))
        moved = store.write_redirected(1, 10, stored, 2, 20)
        assert moved == store.appended == before + 2
        assert (store.read(1, 10), store.read_stored(2, 20)) == (None, stored)
        assert (store.sequence_of(1, 10), store.sequence_of(2, 20)) == (0, moved)
        assert (store.allocated(1), store.allocated(2)) == (0, 1)
        for refused, error in (
            (lambda: store.write_redirected(1, 10, stored, 1, 10), ValueError),
            (lambda: store.write_redirected(1, 10, stored, 3, 10), UnknownVolumeError),
            (lambda: store.write_redirected(3, 10, stored, 1, 10), UnknownVolumeError),
            (lambda: store.write_redirected(1, 10, StoredTrack(CODEC_NONE, 9, b"12345678"), 2, 1), FormatError),
        ):
            with pytest.raises(error):
                refused()
        assert store.appended == moved

    def test_move_refuses_what_means_nothing(self, store: Any) -> None:
        store.define_volume(1, {})
        store.write(1, 10, image(b"A"))
        before = store.appended
        with pytest.raises(ValueError):
            store.move(1, 11, 1, 12)
        with pytest.raises(ValueError):
            store.move(1, 10, 1, 10)
        with pytest.raises(ValueError):
            store.snapshot(1, 1)
        assert (store.appended, store.read(1, 10)) == (before, image(b"A"))

    def test_released_tracks_were_never_written(self, store: Any) -> None:
        store.define_volume(1, {})
        for track in (0, 1, 511, 512, 1024, 5000):
            store.write(1, track, image(b"A"))
        store.release_space(1, 1, 1024)
        assert list(store.written_since(1, 0)) == [0, 1024, 5000]
        store.release_space(1, 0, 5000)
        assert list(store.written_since(1, 0)) == [5000]
        store.release_space(1, 0, 5001)
        assert store.allocated(1) == 0
        store.write(1, 5001, image(b"A"))
        store.release_space(1, 0, 1 << 31)
        assert store.allocated(1) == 0
        assert store.reference_counts() == {}
        with pytest.raises(ValueError):
            store.release_space(1, 2, 1)

    def test_written_since_is_exact(self, store: Any) -> None:
        store.define_volume(1, {})
        sequences = {track: store.write(1, track, image(b"%d" % track)) for track in (600, 1, 2, 40_000, 0)}
        for mark in (0, *sequences.values()):
            expected = sorted(track for track, sequence in sequences.items() if sequence > mark)
            assert list(store.written_since(1, mark)) == expected

    def test_values_live_beside_the_tracks(self, store: Any) -> None:
        store.put("pair/2", b"two")
        store.put("pair/1", b"one")
        store.put("path/1", b"\x00\xff")
        assert store.get("pair/1") == b"one"
        assert store.get("pair/3") is None
        assert store.items("pair/") == [("pair/1", b"one"), ("pair/2", b"two")]
        store.put("pair/1", b"")
        assert store.get("pair/1") is None
        assert [key for key, _ in store.items("")] == ["pair/2", "path/1"]

    def test_sync_makes_everything_durable(self, store: Any) -> None:
        store.define_volume(1, {})
        last = store.write(1, 0, image(b"A"))
        assert store.sync() == last
        assert store.durable == store.appended == last
        assert store.sync() == last


class DiskContract:
    """Every disk. The fixture `disk` is an empty one."""

    def test_a_segment_begins_as_given_and_goes_on_with_zeros(self, disk: Disk) -> None:
        assert disk.segments() == {}
        disk.create(1, 8192, b"begin")
        assert disk.segments() == {1: 8192}
        assert disk.read(1, 0, 7) == b"begin\0\0"
        assert disk.read(1, 8000, 192) == bytes(192)

    def test_parts_are_written_one_behind_the_other(self, disk: Disk) -> None:
        disk.create(1, 1 << 16, b"")
        parts = [b"%d" % number for number in range(3000)]
        disk.write(1, 100, parts)
        whole = b"".join(parts)
        assert disk.read(1, 100, len(whole)) == whole
        disk.sync(1)
        assert disk.read(1, 99, len(whole) + 2) == b"\0" + whole + b"\0"

    def test_reads_end_where_the_segment_ends(self, disk: Disk) -> None:
        disk.create(1, 4096, b"")
        assert disk.read(1, 4000, 500) == bytes(96)
        assert disk.read(1, 4096, 10) == b""

    def test_what_is_not_there_is_a_disk_error(self, disk: Disk) -> None:
        for refused in (lambda: disk.read(9, 0, 1), lambda: disk.write(9, 0, [b"x"]), lambda: disk.sync(9)):
            with pytest.raises(DiskError):
                refused()

    def test_a_segment_is_made_once(self, disk: Disk) -> None:
        disk.create(1, 4096, b"first")
        with pytest.raises(DiskError):
            disk.create(1, 4096, b"second")
        assert disk.read(1, 0, 5) == b"first"

    def test_a_removed_segment_is_gone(self, disk: Disk) -> None:
        disk.create(1, 4096, b"")
        disk.create(2, 4096, b"second")
        disk.remove(1)
        assert disk.segments() == {2: 4096}
        with pytest.raises(DiskError):
            disk.read(1, 0, 1)
