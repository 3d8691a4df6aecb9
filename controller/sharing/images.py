"""What travels: track images as a client wants them, and byte ranges as it sends them."""

from __future__ import annotations

import bz2
from typing import NamedTuple

from isal import igzip_lib, isal_zlib

from ccw.errors import FormatError
from ccw.shared_dasd import DATA_BYTES_MAX, WRITE_HEAD, Algorithm, Answer
from ccw.stored_track import CODEC_ZLIB, HOME_ADDRESS_BYTES, StoredTrack
from ccw.tracks import track_image_length

PACKED_STATUS = Algorithm.ZLIB << 4 | HOME_ADDRESS_BYTES


class Packed(NamedTuple):
    """The data of an answer: `code` and `status` for its header, and the parts behind it."""

    code: int
    status: int
    parts: tuple[bytes | memoryview, ...]


def hand_over(stored: StoredTrack, algorithms: int) -> Packed | None:
    """The stored bytes as the data of an answer, unchanged; None when this client has to be given the plain image.

    A zlib track goes out as compressed images do: the home address plain, its first byte the algorithm.
    Source: hercules-interop.md 1.8, 3.4.
    """
    if stored.codec != CODEC_ZLIB:
        return Packed(0, 0, (stored.payload,))
    if not algorithms & Algorithm.ZLIB:
        return None
    return Packed(Answer.PACKED, PACKED_STATUS, (b"\x01", memoryview(stored.payload)[1:]))


def unpack(flag: int, data: bytes) -> bytes:
    """The data of a packed write: `flag` says how many bytes are plain and what packed the rest. FormatError."""
    plain = flag & 0x0F
    limit = DATA_BYTES_MAX - plain
    try:
        if flag >> 4 == Algorithm.ZLIB:
            inflater = isal_zlib.decompressobj()
            body = inflater.decompress(data[plain:], limit + 1)
            whole = inflater.eof and not inflater.unused_data
        elif flag >> 4 == Algorithm.BZIP2:
            expander = bz2.BZ2Decompressor()
            body = expander.decompress(data[plain:], limit + 1)
            whole = expander.eof and not expander.unused_data
        else:
            raise FormatError("packed write", f"algorithm {flag >> 4}", data, 0)
    except (igzip_lib.IsalError, OSError, EOFError) as error:  # type: ignore[misc]  # its stub calls it a variable
        raise FormatError("packed write", f"stream ({error})", data, plain) from error
    if not whole or len(body) > limit:
        raise FormatError("packed write", "stream that does not end, or is too long", data, plain)
    return data[:plain] + body


def apply_write(image: bytes, offset: int, data: bytes, track_size: int) -> bytes:
    """The image after `data` was written at `offset`: cut behind its end mark, every record whole.

    Raises FormatError when the range leaves the track, begins behind the end of the image, or leaves no valid image.
    The home address is not to be changed: it says which track this is.
    """
    stop = offset + len(data)
    if stop > track_size:
        raise FormatError("track write", f"{len(data)} bytes at {offset} of a track of {track_size}", data, None)
    if offset > len(image):
        raise FormatError("track write", f"offset {offset} behind the image of {len(image)} bytes", data, None)
    joined = b"".join((image[:offset], data, image[stop:]))
    if joined[1:HOME_ADDRESS_BYTES] != image[1:HOME_ADDRESS_BYTES]:
        raise FormatError("track write", "home address of another track", joined, 1)
    return joined[: track_image_length(joined)]


def split_write(data: bytes) -> tuple[int, int, bytes]:
    """Offset, track and bytes of a write's data. FormatError when it is too short."""
    if len(data) < WRITE_HEAD.size:
        raise FormatError("write", "no offset and track", data, len(data))
    offset, track = WRITE_HEAD.unpack_from(data)
    return offset, track, data[WRITE_HEAD.size :]
