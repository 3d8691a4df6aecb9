"""Image files written and read with `struct` alone, from the description of the formats and not from our code.

What our reader says of files made here, and what the reader here says of files made by our writer, are two opinions.
"""

import bz2
import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

END = b"\xff" * 8
HEADS = {"3390": 15, "3380": 15, "3350": 30, "3330": 19, "2314": 20}
SLOTS = {"3390": 56832, "3380": 47616, "3350": 19456, "3330": 13312, "2314": 7680}
TYPE_BYTES = {"3390": 0x90, "3380": 0x80, "3350": 0x50, "3330": 0x30, "2314": 0x14}


def track_image(device: str, track: int, records: Sequence[bytes] = ()) -> bytes:
    """A track with record zero and a record of each data given."""
    home = struct.pack(">HH", *divmod(track, HEADS[device]))
    parts = [b"\0", home, home, b"\0\0\0\x08", bytes(8)]
    for number, data in enumerate(records, 1):
        parts += [home, struct.pack(">BBH", number, 0, len(data)), data]
    return b"".join(parts) + END


def null_image(device: str, track: int, null_format: int) -> bytes:
    """The image of a null track."""
    return track_image(device, track, {0: [b""], 1: [], 2: [bytes(4096)] * 12}[null_format])


def some_images(device: str, tracks: Sequence[int], seed: int) -> dict[int, bytes]:
    """Images with records of text, of noise, and of nothing."""
    source = random.Random(seed)
    largest = SLOTS[device] // 8
    made = {}
    for track in tracks:
        records = []
        for _ in range(source.randrange(1, 6)):
            length = source.randrange(0, largest)
            text = b"\x40\xc1\xc2\xc3" * (length // 4)
            records.append(source.choice((bytes(length), source.randbytes(length), text)))
        made[track] = track_image(device, track, records)
    return made


def stored(image: bytes, algorithm: int, level: int = 6) -> bytes:
    """An image as a compressed file holds it."""
    body = image[5:]
    body = {0: lambda: body, 1: lambda: zlib.compress(body, level), 2: lambda: bz2.compress(body)}[algorithm]()
    return bytes((algorithm,)) + image[1:5] + body


@dataclass
class Compressed:
    """A compressed file to be written. `images`: track -> stored bytes; `nulls`: track -> null format, offset 0.

    shadow: tracks in neither are those of the older file; otherwise they are null. `gap`: free bytes between areas.
    """

    device: str
    cylinders: int
    images: Mapping[int, bytes]
    nulls: Mapping[int, int] = field(default_factory=dict)
    wide: bool = False
    shadow: bool = False
    big: bool = False
    null_format: int = 1
    options: int = 1
    gap: int = 0

    def bytes(self) -> bytes:
        """The whole file: images first, in falling order of tracks, then the tables."""
        order = ">" if self.big else "<"
        pointer = order + ("Q" if self.wide else "I")
        width = struct.calcsize(pointer)
        unset = (1 << 8 * width) - 1
        tracks = self.cylinders * HEADS[self.device]
        groups = -(-tracks // 256)
        body = bytearray()
        base = 1024 + groups * width
        where = {}
        for track in sorted(self.images, reverse=True):
            where[track] = base + len(body)
            body += self.images[track] + bytes(self.gap)
        level1 = []
        for group in range(groups):
            members = range(group * 256, group * 256 + 256)
            known = [track for track in members if track in where or track in self.nulls]
            if not known:
                level1.append(unset if self.shadow else 0)
                continue
            level1.append(base + len(body))
            for track in members:
                body += self._entry(pointer, track, where, unset)
            body += bytes(self.gap)
        data = bytearray(base) + body
        form = b"CKD_" + (b"S" if self.shadow else b"C") + (b"064" if self.wide else b"370")
        device = self.device
        struct.pack_into("<8sIIBBH", data, 0, form, HEADS[device], SLOTS[device], TYPE_BYTES[device], 0, 0)
        options = self.options | (2 if self.big else 0)
        struct.pack_into(f"{order}BBBBII", data, 512, 0, 3, 1, options, groups, 256)
        if self.wide:
            struct.pack_into("<I", data, 524, self.cylinders)
            struct.pack_into(f"{order}7QBBh", data, 528, len(data), len(data), 0, 0, 0, 0, 0, self.null_format, 1, -1)
        else:
            struct.pack_into(f"{order}7I", data, 524, len(data), len(data), 0, 0, 0, 0, 0)
            struct.pack_into("<I", data, 552, self.cylinders)
            struct.pack_into(f"{order}BBh", data, 556, self.null_format, 1, -1)
        struct.pack_into(f"{order}{groups}{pointer[1]}", data, 1024, *level1)
        return bytes(data)

    def _entry(self, pointer: str, track: int, where: Mapping[int, int], unset: int) -> bytes:
        rest = bytes(4) if self.wide else b""
        order = pointer[0]
        if track in where:
            length = len(self.images[track])
            return struct.pack(pointer + "HH", where[track], length, length + self.gap) + rest
        if track in self.nulls or not self.shadow:
            null_format = self.nulls.get(track, self.null_format)
            return struct.pack(pointer + "HH", 0, null_format, null_format) + rest
        return struct.pack(pointer, unset) + struct.pack(order + "HH", 0xFFFF, 0xFFFF) + rest


def plain(
    device: str, images: Sequence[bytes], *, number: int = 0, highest: int = 0, form: bytes = b"CKD_P370"
) -> bytes:
    """A plain file of these tracks."""
    header = struct.pack("<8sIIBBH", form, HEADS[device], SLOTS[device], TYPE_BYTES[device], number, highest)
    return header.ljust(512, b"\0") + b"".join(image.ljust(SLOTS[device], b"\0") for image in images)


def read_compressed(path: Path) -> list[bytes]:
    """Every track image of a compressed file without shadows. AssertionError where it breaks the description."""
    data = path.read_bytes()
    form, heads, _, _, number, highest = struct.unpack_from("<8sIIBBH", data)
    wide = {b"CKD_C064": True, b"CKD_C370": False}[form]
    assert (number, highest) == (0, 0) and not any(data[20:512])
    version, options, groups, entries = struct.unpack_from("<3sBII", data, 512)
    assert version == b"\0\3\1" and not options & 0xE2 and entries == 256
    if wide:
        cylinders, size, used, *free = struct.unpack_from("<I7Q", data, 524)
        null_format, algorithm, parameter = struct.unpack_from("<BBh", data, 584)
        assert not any(data[588:1024])
    else:
        size, used, *free, cylinders = struct.unpack_from("<8I", data, 524)
        null_format, algorithm, parameter = struct.unpack_from("<BBh", data, 556)
        assert not any(data[560:1024])
    assert size == used == len(data) and not any(free) and algorithm in (0, 1, 2) and parameter == -1
    tracks = cylinders * heads
    assert groups == -(-tracks // 256)
    width = 8 if wide else 4
    areas = [(0, 1024 + groups * width)]
    found = []
    for track in range(tracks):
        table = int.from_bytes(data[1024 + track // 256 * width :][:width], "little")
        offset, length, slot = 0, null_format, null_format
        if table:
            entry = table + track % 256 * (2 * width)
            offset, length, slot = struct.unpack_from("<QHH" if wide else "<IHH", data, entry)
            if track % 256 == 0:
                areas.append((table, table + 512 * width))
            assert not wide or data[entry + 12 : entry + 16] == bytes(4)
        home = struct.pack(">HH", *divmod(track, heads))
        if not offset:
            assert length in (0, 1)
            end_of_file = b"" if length else home + b"\1\0\0\0"
            found.append(b"\0" + home + home + b"\0\0\0\x08" + bytes(8) + end_of_file + END)
            continue
        assert slot >= length
        areas.append((offset, offset + length))
        image = data[offset : offset + length]
        assert image[1:5] == home
        expand = {0: bytes, 1: zlib.decompress, 2: bz2.decompress}[image[0]]
        found.append(b"\0" + home + expand(image[5:]))
    areas.sort()
    assert areas[-1][1] <= len(data)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(areas)), "areas overlap"
    return found


def read_plain(path: Path, slot: int) -> list[bytes]:
    """Every slot of a plain file, without what follows the end mark."""
    data = path.read_bytes()[512:]
    assert len(data) % slot == 0
    found = []
    for start in range(0, len(data), slot):
        at = start + 5
        while data[at : at + 8] != END:
            at += 8 + data[at + 5] + int.from_bytes(data[at + 6 : at + 8])
        found.append(data[start : at + 8])
        assert not any(data[at + 8 : start + slot])
    return found
