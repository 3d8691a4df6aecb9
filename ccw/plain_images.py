"""Whole plain image files: the device header, then the tracks, each in a slot of the same size.

Source: hercules-interop 3.1, 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ccw.errors import FormatError
from ccw.image_files import DEVICE_HEADER_BYTES, DeviceHeader, ImageForm
from ccw.tracks import END_MARK, HOME_ADDRESS_LENGTH, track_image_length


def plain_header(heads: int, track_size: int, device_type: int) -> bytes:
    """The first 512 bytes of the only file of a volume; `device_type` as 3390 is written, in hex."""
    return DeviceHeader(ImageForm.PLAIN.value, heads, track_size, device_type & 0xFF).encode()


def read_image_file(read: Callable[[int], bytes]) -> tuple[DeviceHeader, Iterator[tuple[int, bytes]]]:
    """As `split_image_file`, of a file that `read` delivers in the order of its bytes: one slot at a time is held.

    `read` returns as many bytes as asked for, fewer at the end of the file only. Offsets in the iterator's errors count
    from the track's slot.
    """
    header = _image_header(read(DEVICE_HEADER_BYTES))
    return header, _tracks_read(read, header.track_size)


def _tracks_read(read: Callable[[int], bytes], size: int) -> Iterator[tuple[int, bytes]]:
    track = 0
    while slot := read(size):
        if len(slot) != size:
            raise FormatError("CKD image", f"track {track} cut short", slot, len(slot))
        try:
            length = track_image_length(slot)
        except FormatError as error:
            raise FormatError("CKD image", f"track {track}: {error.where}", slot, error.offset) from error
        yield track, slot[:length]
        track += 1


def _image_header(data: bytes) -> DeviceHeader:
    header = DeviceHeader.decode(data)
    if not ImageForm(header.form).is_plain:
        raise FormatError("CKD image header", "not a plain image", data, 0)
    if header.track_size < HOME_ADDRESS_LENGTH + len(END_MARK):
        raise FormatError("CKD image header", "track size", data, 12)
    if not header.heads:
        raise FormatError("CKD image header", "heads", data, 8)
    return header


def split_image_file(data: bytes) -> tuple[DeviceHeader, Iterator[tuple[int, bytes]]]:
    """Header of a plain CKD image file and an iterator over (track number, image without padding).

    Raises FormatError for a bad header or a file that is not a whole number of slots; the iterator raises it, with the
    offset in the file, for a track whose image does not end inside its slot.
    """
    header = _image_header(data[:DEVICE_HEADER_BYTES])
    size = header.track_size
    count, rest = divmod(len(data) - DEVICE_HEADER_BYTES, size)
    if rest:
        raise FormatError("CKD image", "last track cut short", data, len(data))
    return header, _tracks(data, size, count)


def _tracks(data: bytes, size: int, count: int) -> Iterator[tuple[int, bytes]]:
    for track in range(count):
        start = DEVICE_HEADER_BYTES + track * size
        slot = data[start : start + size]
        try:
            length = track_image_length(slot)
        except FormatError as error:
            offset = start + (error.offset or 0)
            raise FormatError("CKD image", f"track {track}: {error.where}", data, offset) from error
        yield track, slot[:length]
