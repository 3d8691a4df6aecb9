"""Image files: read as written by other code, written so that other code reads them, and every defect named."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccw.geometry import geometry_for
from ccw.stored_track import CODEC_ZLIB, compress_track, expand_track
from controller.array import MemoryDisk, UnknownVolumeError, VirtualArrayStore
from controller.array.images import (
    ExportForm,
    ImageError,
    export_volume,
    import_image,
    import_steps,
    open_image,
    shadow_files,
)
from controller.array.images.writers import plain_files
from controller.array.volumes import VolumeExistsError, create_volume, host_volumes, unfinished, volume_of
from tests.helpers.image_files import (
    SLOTS,
    Compressed,
    null_image,
    plain,
    read_compressed,
    read_plain,
    some_images,
    stored,
    track_image,
)

DEVICES = [("3390", 20), ("3380", 19), ("3350", 9), ("3330", 14), ("2314", 13)]  # type, cylinders: two level-2 tables


def new_store() -> VirtualArrayStore:
    return VirtualArrayStore.open(MemoryDisk())


def contents(store: VirtualArrayStore, volume: int) -> list[bytes]:
    """All images of a volume; those never written as the specification's null track."""
    geometry = volume_of(store, volume).geometry
    device = f"{geometry.device_type:04X}"
    return [store.read(volume, track) or null_image(device, track, 1) for track in range(geometry.tracks)]


def expected_of(device: str, cylinders: int, images: dict[int, bytes]) -> list[bytes]:
    tracks = geometry_for(device, cylinders).tracks
    return [images.get(track) or null_image(device, track, 1) for track in range(tracks)]


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


def write_several(folder: Path, tracks: list[bytes], packer: Callable[[bytes], bytes] = bytes) -> None:
    """Cylinders 0-1, 2 and 3. (A first file of one cylinder would say what an only file says.)"""
    for number, first, count, highest in ((1, 0, 30, 1), (2, 30, 15, 2), (3, 45, 15, 0)):
        data = plain("3390", tracks[first : first + count], number=number, highest=highest)
        (folder / f"vol_{number}.ckd").write_bytes(packer(data))


# --- defects ----------------------------------------------------------------------------------------------------------


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


GOOD = Compressed("3390", 20, {t: stored(track_image("3390", t, [b"\x40" * 900] * 3), 1) for t in (0, 1, 2)})
BASE = GOOD.bytes()
LEVEL2 = struct.unpack_from("<I", BASE, 1024)[0]
FIRST, SECOND = (struct.unpack_from("<IHH", BASE, LEVEL2 + 8 * track)[0] for track in (0, 1))
BAD_BZIP2 = Compressed("3390", 1, {4: b"\2\0\0\0\4BZh91AY&SY" + b"\xff" * 60}).bytes()
LONG = Compressed("3390", 1, {4: stored(track_image("3390", 4, [bytes(60000)]), 1)}).bytes()
NOT_A_TRACK = Compressed("3390", 1, {4: stored(b"\0\0\0\0\4" + bytes(100), 1)}).bytes()
NULL_3 = Compressed("3390", 1, {}, {2: 3}).bytes()

COMPRESSED_DEFECTS: list[tuple[bytes, str]] = [
    (b"", "byte 0: not a CKD image: it begins with nothing"),
    (b"CKD_X370" + BASE[8:], "byte 0: not a CKD image: it begins with 43 4B 44 5F 58 33 37 30"),
    (BASE[:100], "byte 100: cut short: 512 bytes at 0 are not all there"),
    (BASE[:900], "byte 900: cut short: 512 bytes at 512 are not all there"),
    (BASE[:1026], "byte 1026: cut short: 1026 bytes of {size}"),
    (BASE[:-1], "byte {last}: cut short: {last} bytes of {size}"),
    (patched(BASE, 8, b"\x0e"), "byte 8: 14 heads, a 3390-1 has 15"),
    (patched(BASE, 12, b"\0\x80"), "byte 12: track size 32768, that of a 3390-1 is 56832"),
    (patched(BASE, 16, b"\x77"), "byte 16: device type 77 is none of "),
    (patched(BASE, 16, b"\x80"), "byte 12: track size 56832, that of a 3380-A is 47616"),
    (patched(BASE, 17, b"\1"), "byte 17: file 1, highest cylinder 0: not of a compressed file"),
    (patched(BASE, 515, b"\x81"), "byte 515: compressed header: open for writing in another program, or not closed "),
    (patched(BASE, 516, b"\3"), "byte 516: compressed header: 3 level-1 entries for 300 tracks"),
    (patched(BASE, 520, b"\0\2"), "byte 520: compressed header: 512 entries in a level-2 table, not 256"),
    (patched(BASE, 552, b"\0\0"), "0 cylinders: a volume has at least one"),
    (patched(BASE, 552, b"\xff\xff\xff\x7f"), "2147483647 cylinders: a 3390 has at most 1182006"),
    (patched(BASE, 1024, b"\0\1\0\0"), "track 0, byte 256: the level-2 table of 2048 bytes at 256 is over the headers"),
    (patched(BASE, 1024, b"\0\0\0\x70"),
     "track 0, byte 1879048192: the level-2 table of 2048 bytes at 1879048192 is outside the file of {size} bytes"),
    (patched(BASE, 1028, BASE[1024:1028]),
     "track 258, byte 1032: the stored image at 1032 overlaps track 2 at 1032"),
    (patched(BASE, LEVEL2 + 24, struct.pack("<IH", LEVEL2 + 2, 100)),
     "track 3, byte {level22}: the stored image at {level22} overlaps the level-2 table of track 0 at {level2}"),
    (patched(BASE, LEVEL2, b"\xff\xff\xff\xff"), "track 0, byte 4294967295: the stored image of "),
    (patched(BASE, LEVEL2 + 4, b"\xff\xff"),
     "track 0, byte {first}: the stored image of 65535 bytes at {first} is outside"),
    (patched(BASE, LEVEL2 + 8, struct.pack("<I", FIRST + 3)),
     "track 1, byte {first3}: the stored image at {first3} overlaps track 0 at {first}"),
    (patched(BASE, LEVEL2 + 8, BASE[LEVEL2 : LEVEL2 + 8]),
     "track 1, byte {first}: the stored image at {first} overlaps"),
    (patched(BASE, LEVEL2 + 12, b"\3\0"), "track 1, byte {second3}: stored image: home address cut short"),
    (patched(BASE, FIRST, b"\7"), "track 0, byte {first}: stored image: compression 07"),
    (patched(BASE, FIRST + 4, b"\6"), "track 0, byte {first1}: stored image: home address 00000006, not 00000000"),
    (patched(BASE, FIRST + 9, b"\xff\xff\xff\xff"), "track 0, byte {first5}: stored image: zlib stream"),
    (patched(BASE, LEVEL2 + 4, b"\x20\0"),
     "track 0, byte {first5}: stored image: zlib stream does not end with the track"),
    (BAD_BZIP2, "track 4, byte 1033: stored image: bzip2 stream (Invalid data stream)"),
    (LONG, "track 4, byte 1033: stored image: zlib stream does not end with the track"),
    (NOT_A_TRACK, "track 4, byte 1133: track image: no end mark"),
    (NULL_3, "track 2: level-2 entry: null track of format 3"),
    (gzip.compress(BASE), "byte 0: a compressed image inside gzip: unpack it first"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "text"), COMPRESSED_DEFECTS, ids=[text[:40] for _, text in COMPRESSED_DEFECTS])
def test_every_defect_of_a_compressed_image_is_one_line(tmp_path: Path, data: bytes, text: str) -> None:
    names = {"size": len(BASE), "last": len(BASE) - 1, "level2": LEVEL2, "first": FIRST, "second3": SECOND + 3}
    names |= {f"first{n}": FIRST + n for n in (1, 3, 5)} | {"level22": LEVEL2 + 2}
    expect_refused(tmp_path / "volume.cckd", data, text.format(**names))


def expect_refused(path: Path, data: bytes, text: str) -> None:
    path.write_bytes(data)
    with new_store() as store:
        with pytest.raises(ImageError) as caught:
            import_image(store, 1, path)
        line = str(caught.value)
        assert line.startswith(f"image {path}: {text}") and "\n" not in line
        assert store.volumes() == {}


PLAIN = plain("3390", expected_of("3390", 2, some_images("3390", (3,), seed=6)))
SLOT = SLOTS["3390"]
PLAIN_DEFECTS = [
    (PLAIN[:200], "byte 200: image device header: length"),
    (PLAIN[:-1], f"byte {len(PLAIN) - 1}: cut short: {15 * SLOT - 1} bytes behind cylinder 0 are no whole cylinder"),
    (PLAIN + bytes(SLOT), f"byte {len(PLAIN) + SLOT}: cut short: {SLOT} bytes behind cylinder 1 are no whole cylinder"),
    (PLAIN[:512], "0 cylinders: a volume has at least one"),
    (patched(PLAIN, 8, bytes(4)), "byte 8: 0 heads"),
    (patched(PLAIN, 12, bytes(4)), "byte 12: track size 0"),
    (patched(PLAIN, 17, b"\2"), "byte 17: file 2 of several: name the first"),
    (patched(PLAIN, 18, b"\2"), "byte 18: highest cylinder 2 in the only file"),
    (patched(PLAIN, 512 + 3 * SLOT + 4, b"\x0e"),
     f"track 3, byte {512 + 3 * SLOT + 1}: track image: home address 0000000e, not 00000003"),
    (patched(PLAIN, 512 + 7 * SLOT, bytes(SLOT)), f"track 7, byte {512 + 7 * SLOT + 1}: track image: home address"),
    (patched(PLAIN, 512 + 7 * SLOT + 5, b"\x11" * (SLOT - 5)),
     f"track 7, byte {512 + 8 * SLOT}: track image: no end mark"),
    (gzip.compress(PLAIN)[:-3000], "gzip stream: "),
    (gzip.compress(PLAIN)[:-8] + b"\0\0\0\0" + gzip.compress(PLAIN)[-4:], "gzip stream: "),
    (gzip.compress(b"nothing"), "byte 7: image device header: length"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "text"), PLAIN_DEFECTS, ids=[text[:40] for _, text in PLAIN_DEFECTS])
def test_every_defect_of_a_plain_image_is_one_line(tmp_path: Path, data: bytes, text: str) -> None:
    expect_refused(tmp_path / "volume.ckd", data, text)


@pytest.mark.parametrize(("name", "offset", "value", "text"), [
    ("vol_1.ckd", 18, b"\2", "vol_1.ckd: byte 18: highest cylinder 2, the file ends with 1"),
    ("vol_2.ckd", 17, b"\3", "vol_2.ckd: byte 17: file number 3 where 2 is due"),
    ("vol_2.ckd", 8, b"\5", "vol_2.ckd: byte 8: heads 5, 15 in the first file"),
    ("vol_2.ckd", 16, b"\x80", "vol_2.ckd: byte 16: device type 128, 144 in the first file"),
    ("vol_3.ckd", 0, b"CKD_P064", "vol_3.ckd: byte 0: CKD_P064, the first file is CKD_P370"),
    ("vol_3.ckd", 0, None, "vol_3.ckd: No such file or directory"),
])  # fmt: skip
def test_files_that_do_not_continue_each_other(
    tmp_path: Path, name: str, offset: int, value: bytes | None, text: str
) -> None:
    write_several(tmp_path, expected_of("3390", 4, {}))
    file = tmp_path / name
    if value is None:
        file.unlink()
    else:
        file.write_bytes(patched(file.read_bytes(), offset, value))
    with new_store() as store, pytest.raises(ImageError) as caught:
        import_image(store, 1, tmp_path / "vol_1.ckd")
    assert str(caught.value) == f"image {tmp_path}/{text}"


@pytest.mark.parametrize(("shadow", "text"), [
    (BASE, "CKD_C370, a shadow file of {base} is CKD_S370"),
    (Compressed("3390", 20, {}, shadow=True, wide=True).bytes(), "CKD_S064, a shadow file of {base} is CKD_S370"),
    (Compressed("3390", 21, {}, shadow=True).bytes(), "a 3390-1 of 21 cylinders, {base} is a 3390-1 of 20 cylinders"),
    (Compressed("3380", 20, {}, shadow=True).bytes(), "a 3380-A of 20 cylinders, {base} is a 3390-1 of 20 cylinders"),
    (Compressed("3390", 20, {}, shadow=True, options=0x80).bytes(), "byte 515: compressed header: open for writing"),
    (PLAIN, "byte 0: a plain image, not a compressed one"),
])  # fmt: skip
def test_shadow_files_that_do_not_belong(tmp_path: Path, shadow: bytes, text: str) -> None:
    base, other = tmp_path / "base.cckd", tmp_path / "shadow_1.sh"
    base.write_bytes(BASE)
    other.write_bytes(shadow)
    with pytest.raises(ImageError) as caught:
        open_image(base, [other])
    assert text.format(base=base) in str(caught.value) and str(caught.value).startswith(f"image {other}: ")
    with pytest.raises(ImageError, match="there is no such shadow file"):
        shadow_files(tmp_path / "other_x.sh")
    plain_file = tmp_path / "volume.ckd"
    plain_file.write_bytes(PLAIN)
    with pytest.raises(ImageError, match="only a compressed image has shadow files"):
        open_image(plain_file, [other])
    lone = tmp_path / "lone.sh"
    lone.write_bytes(Compressed("3390", 20, {}, shadow=True).bytes())
    with pytest.raises(ImageError, match="byte 0: a shadow file: name the file that it belongs to"):
        open_image(lone)


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
    assert 512 + 2519 * 15 * SLOT < 1 << 31 <= 512 + 2520 * 15 * SLOT
    assert plain_files(path, geometry_for("3390", 3339), single=True) == [(path, 3339)]
    names = [name.name for name, _ in plain_files(path, geometry_for("3390", 65520), single=False)]
    assert names[7:11] == ["vol_8.ckd", "vol_9.ckd", "vol_A.ckd", "vol_B.ckd"] and len(names) == 27
    with pytest.raises(ImageError, match="470 files of 2 GiB are needed, at most 27 can be: choose one file"):
        plain_files(path, geometry_for("3390", 1_182_006), single=False)


def test_several_files_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered to three cylinders, the rule is the same."""
    monkeypatch.setattr("controller.array.images.writers.PLAIN_FILE_BYTES_MAX", 512 + 3 * 15 * SLOT)
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
