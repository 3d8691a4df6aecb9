"""Image files read as written by other code; an import is there wholly or not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from ccw.geometry import geometry_for
from ccw.stored_track import CODEC_ZLIB
from controller.array import MemoryDisk, UnknownVolumeError, VirtualArrayStore
from controller.array.images import (
    ExportForm,
    export_volume,
    import_image,
    import_steps,
    open_image,
    shadow_files,
)
from controller.array.volumes import VolumeExistsError, host_volumes, unfinished, volume_of
from tests.helpers.image_files import (
    Compressed,
    null_image,
    plain,
    some_images,
    stored,
    track_image,
)
from tests.helpers.image_volumes import DEVICES, contents, expected_of, new_store, write_several

# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "cylinders"), DEVICES)
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("wide", [False, True], ids=["C370", "C064"])
def test_compressed_images_of_every_kind(tmp_path: Path, device: str, cylinders: int, wide: bool, big: bool) -> None:
    images = some_images(device, (0, 1, 2, 3, 17, 255, 256, 258), seed=cylinders)
    forms = {track: stored(image, index % 3) for index, (track, image) in enumerate(images.items())}
    path = tmp_path / "volume.cckd"
    path.write_bytes(Compressed(device, cylinders, forms, wide=wide, big=big, gap=24).bytes())
    with new_store() as store:
        report = import_image(store, 0x0A, path)
        assert contents(store, 0x0A) == expected_of(device, cylinders, images)
        assert (report.stored, report.tracks) == (len(images), geometry_for(device, cylinders).tracks)
        assert report.form == ("compressed, 64-bit, 1 file" if wide else "compressed, 1 file")


def test_a_zlib_stream_is_taken_over_as_it_is(tmp_path: Path) -> None:
    image = track_image("3390", 5, [b"\x40" * 4000] * 9)
    for level in (1, 9):
        path = tmp_path / f"{level}.cckd"
        path.write_bytes(Compressed("3390", 1, {5: stored(image, 1, level)}).bytes())
        with new_store() as store:
            import_image(store, 1, path)
            found = store.read_stored(1, 5)
            assert found is not None and found.codec == CODEC_ZLIB
            assert found.payload == b"\0" + stored(image, 1, level)[1:]


def test_null_tracks_are_what_length_field_and_headers_say(tmp_path: Path) -> None:
    """Observed: Hercules 3.13, dasdcopy of such files."""
    nulls = {1: 0, 2: 1, 3: 2}
    for header, of_zero, of_group in ((0, 0, 0), (1, 0, 1), (2, 2, 2)):
        path = tmp_path / f"{header}.cckd"
        path.write_bytes(Compressed("3390", 20, {}, nulls, null_format=header).bytes())
        with new_store() as store:
            import_image(store, 1, path)
            assert contents(store, 1)[1:4] == [null_image("3390", 1, of_zero), null_image("3390", 2, 1),
                                               null_image("3390", 3, 2)]  # fmt: skip
            assert contents(store, 1)[256] == null_image("3390", 256, of_group)
            assert store.read(1, 2) is None


def test_shadow_files_newest_first(tmp_path: Path) -> None:
    first = some_images("3390", (0, 1, 2, 3), seed=1)
    second = some_images("3390", (1, 2, 300), seed=2)
    third = some_images("3390", (2, 301), seed=3)
    base = tmp_path / "volume.cckd"
    base.write_bytes(Compressed("3390", 40, {t: stored(i, 1) for t, i in first.items()}).bytes())
    for number, images, nulls in ((1, second, {3: 0}), (2, third, {300: 1})):
        file = Compressed("3390", 40, {t: stored(i, number) for t, i in images.items()}, nulls, shadow=True)
        (tmp_path / f"shadow_{number}.sh").write_bytes(file.bytes())
    shadows = shadow_files(tmp_path / "shadow_x.sh")
    assert [shadow.name for shadow in shadows] == ["shadow_1.sh", "shadow_2.sh"]
    expected = {**first, **second, **third, 3: null_image("3390", 3, 0), 300: null_image("3390", 300, 1)}
    with new_store() as store:
        import_image(store, 1, base, shadows=shadows)
        assert contents(store, 1) == expected_of("3390", 40, expected)
        import_image(store, 2, base, shadows=shadows[:1])
        assert contents(store, 2) == expected_of("3390", 40, {**first, **second, 3: null_image("3390", 3, 0)})
        import_image(store, 3, base)
        assert contents(store, 3) == expected_of("3390", 40, first)


@pytest.mark.parametrize(("device", "cylinders"), DEVICES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["", "gzip"])
def test_plain_images(tmp_path: Path, device: str, cylinders: int, pack: Callable[[bytes], bytes]) -> None:
    cylinders //= 4
    images = some_images(device, (0, 3, 20), seed=4)
    tracks = expected_of(device, cylinders, images)
    for form in (b"CKD_P370", b"CKD_P064"):
        path = tmp_path / "volume.ckd"
        path.write_bytes(pack(plain(device, tracks, form=form)))
        with new_store() as store:
            assert import_image(store, 1, path).stored == 3
            assert contents(store, 1) == tracks


def test_an_image_in_several_files(tmp_path: Path) -> None:
    tracks = expected_of("3390", 4, some_images("3390", (0, 16, 17, 30, 59), seed=5))
    write_several(tmp_path, tracks)
    with new_store() as store:
        report = import_image(store, 1, tmp_path / "vol_1.ckd")
        assert contents(store, 1) == tracks and report.form == "plain, 3 files"


# --- an import is there or not ----------------------------------------------------------------------------------------


def test_an_import_that_is_cut_off_leaves_no_volume_and_starts_over(tmp_path: Path) -> None:
    cylinders = 280
    images = some_images("3390", range(0, 4200, 40), seed=7)
    path, other = tmp_path / "volume.cckd", tmp_path / "other.cckd"
    path.write_bytes(Compressed("3390", cylinders, {t: stored(i, 1) for t, i in images.items()}).bytes())
    other.write_bytes(Compressed("3390", cylinders, {9: stored(track_image("3390", 9, [b"other"]), 0)}).bytes())
    disk = MemoryDisk()
    for steps in range(5):  # the last one cuts off before the volume is defined
        store = VirtualArrayStore.open(disk)
        with open_image(path) as source:
            going = import_steps(store, 1, source)
            for _ in range(steps):
                next(going)
                store.sync()
        store.sync()
        store = VirtualArrayStore.open(disk)  # the process is gone
        assert host_volumes(store) == [] and (not store.volumes() or 1 in unfinished(store))
        with pytest.raises(UnknownVolumeError):
            volume_of(store, 1)
    with VirtualArrayStore.open(disk) as store:
        import_image(store, 1, other)
        assert store.allocated(1) == 1, "tracks of the attempts are left over"
        with pytest.raises(VolumeExistsError):
            import_image(store, 1, path)
        assert store.allocated(1) == 1


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "volume.cckd"
    path.write_bytes(Compressed("3390", 100, {}).bytes())
    told: list[tuple[int, int]] = []
    with new_store() as store:
        import_image(store, 1, path, progress=lambda done, total: told.append((done, total)))
        assert told == [(1024, 1500), (1500, 1500)]
        told.clear()
        export_volume(store, 1, tmp_path / "out", ExportForm.COMPRESSED_64, progress=lambda *t: told.append(t))
        assert told == [(1024, 1500), (1500, 1500)]
