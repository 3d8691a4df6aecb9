"""Any bytes as an image file: its tracks, each a whole image of its own place, or one ImageError; bounded memory."""

from __future__ import annotations

import bz2
import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ccw.errors import FormatError
from ccw.geometry import geometry_for
from ccw.image_files import (
    COMPRESSED_HEADER,
    COMPRESSED_HEADER_64,
    COMPRESSED_HEADER_64_BIG,
    COMPRESSED_HEADER_BIG,
    DEVICE_HEADER,
    LEVEL2_ENTRY,
    LEVEL2_ENTRY_64,
    ImageAlgorithm,
    Tables,
)
from ccw.image_tracks import hand_over, take_over
from ccw.layout import Layout
from ccw.stored_track import compress_track, expand_track
from ccw.tracks import track_image_length
from ccw.volume_label import FREE_EXTENT, VOLUME_LABEL, VTOC_DSCB, initial_tracks
from controller.array.images import ImageError, open_image
from tests.helpers.image_files import Compressed, null_image, plain, some_images, stored, track_image

IMAGES = some_images("2314", (0, 1, 5, 17), seed=16)
FORMS = {track: stored(image, index % 3) for index, (track, image) in enumerate(IMAGES.items())}
PLAIN = plain("2314", [IMAGES.get(track) or null_image("2314", track, 1) for track in range(20)])
FILES = [
    Compressed("2314", 2, FORMS, {3: 0}).bytes(),
    Compressed("2314", 2, FORMS, {3: 0}, wide=True, gap=16).bytes(),
    Compressed("2314", 2, FORMS, {3: 0}, big=True).bytes(),
    PLAIN,
    gzip.compress(PLAIN, 1),
]
SHADOW = Compressed("2314", 2, {1: stored(track_image("2314", 1, [b"new"]), 1)}, {5: 1}, shadow=True).bytes()

# Where a change matters: headers, tables, and beginnings of images rather than the middle of some data.
PLACES = st.one_of(
    st.sampled_from((0, 8, 12, 16, 17, 18, 515, 516, 520, 524, 552, 556, 1024)),
    st.integers(0, 1100),
    st.integers(-2100, -1),
)
PATCHES = st.lists(st.tuples(PLACES, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


def patched(data: bytes, patches: list[tuple[int, bytes]], cut: int) -> bytes:
    changed = bytearray(data)
    for place, value in patches:
        at = place % len(changed)
        changed[at : at + len(value)] = value
    return bytes(changed[: len(changed) - cut])


def check_tracks(path: Path, shadows: list[Path]) -> None:
    """The property."""
    try:
        with open_image(path, shadows) as source:
            count = 0
            for track, found in source.tracks():
                assert track == count
                count += 1
                if found is not None:
                    image = expand_track(found)
                    assert len(image) == found.raw_length == track_image_length(image) <= source.geometry.track_size
                    assert image[1:5] == struct.pack(">HH", *source.geometry.address_of(track))
            assert count == source.geometry.tracks
    except ImageError as error:
        assert "\n" not in str(error) and str(error).startswith("image ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@settings(deadline=None, max_examples=150)
@given(which=st.integers(0, len(FILES) - 1), patches=PATCHES, cut=st.one_of(st.just(0), st.integers(0, 3000)))
def test_a_damaged_image_is_its_tracks_or_one_error(
    folder: Path, which: int, patches: list[tuple[int, bytes]], cut: int
) -> None:
    path = folder / "volume"
    path.write_bytes(patched(FILES[which], patches, min(cut, len(FILES[which]))))
    check_tracks(path, [])


@settings(deadline=None, max_examples=50)
@given(patches=PATCHES, cut=st.one_of(st.just(0), st.integers(0, 3000)))
def test_a_damaged_shadow_file_is_tracks_or_one_error(folder: Path, patches: list[tuple[int, bytes]], cut: int) -> None:
    base, shadow = folder / "base", folder / "shadow_1"
    base.write_bytes(FILES[0])
    shadow.write_bytes(patched(SHADOW, patches, min(cut, len(SHADOW))))
    check_tracks(base, [shadow])


@settings(deadline=None, max_examples=100)
@given(form=st.sampled_from((b"", b"CKD_P370", b"CKD_C370", b"CKD_C064", b"\x1f\x8b")), rest=st.binary(max_size=1200))
def test_any_bytes_are_one_error(folder: Path, form: bytes, rest: bytes) -> None:
    path = folder / "any"
    path.write_bytes(form + rest)
    with pytest.raises(ImageError):
        open_image(path)


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=300))
@example(b"\1\0\0\0\5" + zlib.compress(track_image("3390", 5)[5:]))
def test_a_stored_image_is_a_track_or_a_format_error(data: bytes) -> None:
    home = struct.pack(">HH", 0, 5)
    try:
        found, image = take_over(data, home, 56832)
    except FormatError:
        return
    assert expand_track(found) == image and image[:5] == b"\0" + home


@settings(deadline=None, max_examples=60)
@given(
    records=st.lists(st.binary(max_size=900), max_size=6),
    algorithm=st.sampled_from(list(ImageAlgorithm)),
)
def test_what_is_handed_over_is_taken_over(records: list[bytes], algorithm: ImageAlgorithm) -> None:
    image = track_image("3390", 5, [record * 3 for record in records])
    found, same = take_over(hand_over(compress_track(image), algorithm), struct.pack(">HH", 0, 5), 56832)
    assert same == image and expand_track(found) == image


@pytest.mark.parametrize("bomb", [
    b"\1\0\0\0\5" + zlib.compress(bytes(40 << 20), 9),
    b"\2\0\0\0\5" + bz2.compress(bytes(40 << 20)),
], ids=["zlib", "bzip2"])  # fmt: skip
def test_a_bomb_does_not_expand(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="does not end with the track"):
            take_over(bomb, struct.pack(">HH", 0, 5), 56832)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_header_that_claims_much_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    data = bytearray(Compressed("3390", 1, {}).bytes())
    struct.pack_into("<I", data, 8, 15)
    struct.pack_into("<I", data, 516, 69259)
    struct.pack_into("<I", data, 552, 1_182_006)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="cut short"):
            open_image(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# --- the fast codecs are what their definitions say -------------------------------------------------------------------

LAYOUTS: list[Layout] = [DEVICE_HEADER, COMPRESSED_HEADER, COMPRESSED_HEADER_64, COMPRESSED_HEADER_BIG,
                         COMPRESSED_HEADER_64_BIG, LEVEL2_ENTRY, LEVEL2_ENTRY_64, VOLUME_LABEL, VTOC_DSCB,
                         FREE_EXTENT]  # type: ignore[type-arg]  # fmt: skip
CONSTANTS = {VOLUME_LABEL.what: "VOL1".encode("cp037"), VTOC_DSCB.what: b"\xf4"}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.what)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_layouts_equal_their_definitions(layout: Layout, data: st.DataObject) -> None:  # type: ignore[type-arg]
    raw = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    raw = CONSTANTS.get(layout.what, b"") + raw[len(CONSTANTS.get(layout.what, b"")) :]
    value = layout.decode(raw)
    assert value == layout.specified_decode(raw)
    assert layout.encode(value) == layout.specified_encode(value) == raw


@settings(deadline=None, max_examples=30)
@given(data=st.binary(min_size=48, max_size=48))
def test_tables_read_in_bulk_equal_their_entries(data: bytes) -> None:
    data = (data * 100)[: 256 * 16]
    for wide, layout in ((False, LEVEL2_ENTRY), (True, LEVEL2_ENTRY_64)):
        table = np.frombuffer(data[: 256 * layout.size], Tables(wide=wide).level2)
        for index in (0, 1, 255):
            entry = layout.decode(data[index * layout.size : (index + 1) * layout.size])
            assert tuple(table[index].tolist()) == tuple(entry)[: len(table.dtype)]


@pytest.mark.parametrize("name", ["3390", "3380", "3350", "3330", "2314", "2311", "3340", "3375", "9345"])
def test_an_initialised_volume_says_where_its_vtoc_is(name: str) -> None:
    geometry = geometry_for(name, 20)
    tracks = initial_tracks(geometry, "ABC123", vtoc_tracks=3)
    assert sorted(tracks) == [0, 1, 2, 3]
    label_at = tracks[0].index("VOL1VOL1".encode("cp037")) + 4
    label = VOLUME_LABEL.decode(tracks[0][label_at : label_at + 80])
    assert (label.vtoc_cc, label.vtoc_hh, label.vtoc_record) == (0, 1, 1) and label.serial.decode("cp037") == "ABC123"
    dscb = VTOC_DSCB.decode(tracks[1][21 + 52 : 21 + 148])
    assert tracks[1][21 + 8 : 21 + 52] == b"\4" * 44
    assert (dscb.cylinders, dscb.heads, dscb.first_hh, dscb.last_hh) == (20, geometry.heads, 1, 3)
    assert dscb.free_dscbs == 3 * dscb.dscbs_per_track - 2 and dscb.flags == 0
    free = FREE_EXTENT.decode(tracks[1][21 + 148 + 12 : 21 + 148 + 17])
    assert free.track == 4 and free.track + free.tracks + free.cylinders * geometry.heads == geometry.tracks
    big = VTOC_DSCB.decode(initial_tracks(geometry_for("3390", 10017), "X")[1][21 + 52 : 21 + 148])
    assert big.flags == 0x80
