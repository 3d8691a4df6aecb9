"""Images written so that other code reads them, whole or not at all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from ccw.geometry import geometry_for
from ccw.stored_track import compress_track, expand_track
from controller.array import UnknownVolumeError
from controller.array.images import (
    ExportForm,
    ImageError,
    export_volume,
    import_image,
)
from controller.array.images.writers import plain_files
from controller.array.volumes import create_volume
from tests.helpers.image_files import (
    SLOTS,
    null_image,
    read_compressed,
    read_plain,
    some_images,
    track_image,
)
from tests.helpers.image_volumes import DEVICES, contents, expected_of, new_store

# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(ExportForm), ids=lambda form: form.value)
@pytest.mark.parametrize(("device", "cylinders"), DEVICES)
def test_an_export_is_read_by_other_code_and_comes_back(
    tmp_path: Path, device: str, cylinders: int, form: ExportForm
) -> None:
    geometry = geometry_for(device, cylinders)
    images = some_images(device, (0, 1, 3, 100, 255, geometry.tracks - 1), seed=8)
    images[2] = null_image(device, 2, 0)
    images[4] = null_image(device, 4, 1)
    with new_store() as store:
        create_volume(store, 1, geometry, images)
        store.sync()
        report = export_volume(store, 1, tmp_path / "volume.x", form)
        expected = expected_of(device, cylinders, images)
        read = read_plain(tmp_path / "volume.x", SLOTS[device]) if form is ExportForm.PLAIN else None
        assert (read or read_compressed(tmp_path / "volume.x")) == expected
        import_image(store, 2, tmp_path / "volume.x")
        assert contents(store, 2) == expected
        assert (report.stored, report.tracks, report.files) == (8, geometry.tracks, (str(tmp_path / "volume.x"),))
    assert [path.name for path in tmp_path.iterdir()] == ["volume.x"]


def test_stored_bytes_are_handed_over_unchanged(tmp_path: Path) -> None:
    image = track_image("3390", 5, [b"\x40\xc1\xc2" * 300] * 20)
    payload = compress_track(image).payload
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), {5: image})
        store.sync()
        export_volume(store, 1, tmp_path / "volume", ExportForm.COMPRESSED_ZLIB)
        assert b"\1" + payload[1:] in (tmp_path / "volume").read_bytes()
        import_image(store, 2, tmp_path / "volume")
        found = store.read_stored(2, 5)
        assert found is not None and found.payload == payload and expand_track(found) == image


def test_a_long_plain_image_is_split_below_2_gib(tmp_path: Path) -> None:
    path = tmp_path / "vol_1.ckd"
    two = [(path, 2519), (tmp_path / "vol_2.ckd", 820)]
    assert plain_files(path, geometry_for("3390", 3339), single=False) == two
    for count in (2519, 2520):
        assert len(plain_files(path, geometry_for("3390", count), single=False)) == count - 2518
    assert 512 + 2519 * 15 * SLOTS["3390"] < 1 << 31 <= 512 + 2520 * 15 * SLOTS["3390"]
    assert plain_files(path, geometry_for("3390", 3339), single=True) == [(path, 3339)]
    names = [name.name for name, _ in plain_files(path, geometry_for("3390", 65520), single=False)]
    assert names[7:11] == ["vol_8.ckd", "vol_9.ckd", "vol_A.ckd", "vol_B.ckd"] and len(names) == 27
    with pytest.raises(ImageError, match="470 files of 2 GiB are needed, at most 27 can be: choose one file"):
        plain_files(path, geometry_for("3390", 1_182_006), single=False)


def test_several_files_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered to three cylinders, the rule is the same."""
    monkeypatch.setattr("controller.array.images.writers.PLAIN_FILE_BYTES_MAX", 512 + 3 * 15 * SLOTS["3390"])
    images = some_images("3390", (0, 44, 45, 89, 90, 119), seed=9)
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 8), images)
        store.sync()
        report = export_volume(store, 1, tmp_path / "vol_1.ckd", ExportForm.PLAIN)
        assert [Path(file).name for file in report.files] == ["vol_1.ckd", "vol_2.ckd", "vol_3.ckd"]
        headers = []
        for file in report.files:
            with open(file, "rb") as stream:
                headers.append(struct.unpack("<8sIIBBH", stream.read(20)))
        assert [header[4:] for header in headers] == [(1, 2), (2, 5), (3, 0)]
        import_image(store, 2, tmp_path / "vol_1.ckd")
        assert contents(store, 2) == expected_of("3390", 8, images)
        with pytest.raises(ImageError, match=r"vol_2.ckd: byte 17: file 2 of several: name the first, .*vol_1.ckd"):
            import_image(store, 3, tmp_path / "vol_2.ckd")


@pytest.mark.parametrize("form", list(ExportForm), ids=lambda form: form.value)
def test_an_export_that_fails_leaves_nothing_and_replaces_nothing(tmp_path: Path, form: ExportForm) -> None:
    wrong = track_image("3390", 6, [b"a track that was put in another's place"])
    path = tmp_path / "volume"
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), {5: wrong})
        store.sync()
        path.write_bytes(b"precious")
        with pytest.raises(ImageError) as caught:
            export_volume(store, 1, path, form)
        assert str(caught.value) == f"image {path}: the file exists already"
        with pytest.raises(ImageError) as caught:
            export_volume(store, 1, path, form, replace=True)
        assert str(caught.value).startswith(f"image {path}: track 5: track image: home address 00000006, not 00000005")
        with pytest.raises(UnknownVolumeError):
            export_volume(store, 9, path, form, replace=True)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("volume", b"precious")]


def test_a_home_address_flag_is_kept_by_plain_images_and_refused_by_compressed_ones(tmp_path: Path) -> None:
    flagged = b"\2" + track_image("3390", 5, [b"\x40" * 999])[1:]
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), {5: flagged})
        store.sync()
        export_volume(store, 1, tmp_path / "plain", ExportForm.PLAIN)
        import_image(store, 2, tmp_path / "plain")
        assert store.read(2, 5) == flagged
        with pytest.raises(ImageError, match="track 5: stored image: home address flag 02, which only a plain image"):
            export_volume(store, 1, tmp_path / "cckd", ExportForm.COMPRESSED_ZLIB)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), {})
        with pytest.raises(ImageError, match="No such file or directory"):
            export_volume(store, 1, tmp_path / "nowhere" / "volume", ExportForm.PLAIN)


@pytest.mark.parametrize("replace", [False, True])
def test_a_directory_is_not_replaced_by_an_image(tmp_path: Path, replace: bool) -> None:
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), {})
        for directory in (tmp_path, Path(".")):
            with pytest.raises(ImageError) as caught:
                export_volume(store, 1, directory, ExportForm.PLAIN, replace=replace)
            assert str(caught.value) == f"image {directory}: a directory, not a file"
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_file_stops_at_4_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets of 4 bytes end there; the limit is lowered, the rule is the same."""
    import controller.array.images.writers as writers

    class Small(writers.Tables):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.unset = 9000

    monkeypatch.setattr(writers, "Tables", Small)
    with new_store() as store:
        create_volume(store, 1, geometry_for("3390", 1), some_images("3390", range(15), seed=10))
        store.sync()
        with pytest.raises(ImageError, match="would reach 4 GiB: choose the compressed form with 64-bit offsets"):
            export_volume(store, 1, tmp_path / "volume", ExportForm.COMPRESSED_ZLIB)
        assert list(tmp_path.iterdir()) == []
        export_volume(store, 1, tmp_path / "volume", ExportForm.COMPRESSED_64)
