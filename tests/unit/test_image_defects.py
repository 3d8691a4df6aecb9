"""Every defect of an image file is one line that says what and where."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from controller.array.images import (
    ImageError,
    import_image,
    open_image,
    shadow_files,
)
from tests.helpers.image_files import (
    SLOTS,
    Compressed,
    plain,
    some_images,
    stored,
    track_image,
)
from tests.helpers.image_volumes import expected_of, new_store, write_several


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


