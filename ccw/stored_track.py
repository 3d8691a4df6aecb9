"""The stored form of a track: compressed once, when written; stored, mirrored and handed on as the same bytes.

    codec   name   payload
    0       none   the image itself
    1       zlib   image bytes 0-4 (home address) plain, then one zlib stream (RFC 1950) of the image from byte 5 on

The same bytes serve store, bridge, clients and export.
A track whose compressed form is not smaller is stored with codec 0. Codecs 2 (zstd) and 3 (lz4) are reserved.
Source: track payload of a data bridge record, compression 00 and 01.
"""

from typing import NamedTuple

from isal import igzip_lib, isal_zlib

from ccw.errors import FormatError

CODEC_NONE = 0
CODEC_ZLIB = 1
HOME_ADDRESS_BYTES = 5
COMPRESSION_LEVEL = 1
"""isal's level. Level 0 saves a fifth of the time and costs half as many bytes again; 2 and 3 save under 1 % of the
bytes for 1.4 and 4 times the time (observed: isal 1.9, 56 KB track, 65 us at level 1)."""
IMAGE_BYTES_MAX = 1 << 20
"""Longest image taken. Far above any device's track; it bounds what a damaged length can make us allocate."""


class StoredTrack(NamedTuple):
    """A track as it is stored: `raw_length` is the length in bytes of the image that `payload` expands to."""

    codec: int
    raw_length: int
    payload: bytes


def compress_track(image: bytes) -> StoredTrack:
    """Compress one track image. Raises ValueError when it is empty or longer than IMAGE_BYTES_MAX."""
    length = len(image)
    if not 0 < length <= IMAGE_BYTES_MAX:
        raise ValueError(f"a track image has 1 to {IMAGE_BYTES_MAX} bytes, not {length}")
    stream = isal_zlib.compress(memoryview(image)[HOME_ADDRESS_BYTES:], COMPRESSION_LEVEL)
    if HOME_ADDRESS_BYTES + len(stream) >= length:
        return StoredTrack(CODEC_NONE, length, bytes(image))
    return StoredTrack(CODEC_ZLIB, length, image[:HOME_ADDRESS_BYTES] + stream)


def expand_track(stored: StoredTrack) -> bytes:
    """The image of a stored track. Raises FormatError when the payload is not exactly `raw_length` bytes, compressed.

    Never makes more than IMAGE_BYTES_MAX bytes, whatever the payload holds.
    """
    check_stored(stored)
    if stored.codec == CODEC_NONE:
        return stored.payload
    return expand_payload(stored.raw_length, stored.payload)


def expand_payload(raw_length: int, payload: bytes | memoryview) -> bytes:
    """Expand a codec 1 payload to its image of `raw_length` bytes. FormatError as in expand_track."""
    view = memoryview(payload)
    if not HOME_ADDRESS_BYTES < raw_length <= IMAGE_BYTES_MAX:      # an inflater told nothing, or too much, never stops
        raise FormatError("stored track", f"raw length {raw_length} of a compressed track", view.tobytes(), 0)
    body_length = raw_length - HOME_ADDRESS_BYTES
    stream_at = min(HOME_ADDRESS_BYTES, len(view))
    inflater = isal_zlib.decompressobj()
    try:
        body: bytes = inflater.decompress(view[HOME_ADDRESS_BYTES:], body_length + 1)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub calls it a variable
        raise FormatError("stored track", f"zlib stream ({error})", view.tobytes(), stream_at) from error
    if len(body) != body_length or not inflater.eof or inflater.unused_data:
        raise FormatError("stored track", "zlib stream is not the raw length", view.tobytes(), stream_at)
    return b"".join((view[:HOME_ADDRESS_BYTES], body))


def check_stored(stored: StoredTrack) -> None:
    """Raise FormatError unless codec and lengths of `stored` fit together. The zlib stream itself is not tried."""
    codec, raw_length, payload = stored
    if codec not in (CODEC_NONE, CODEC_ZLIB):
        raise FormatError("stored track", f"codec {codec}", payload)
    if not 0 < raw_length <= IMAGE_BYTES_MAX:
        raise FormatError("stored track", f"raw length {raw_length}", payload)
    if codec == CODEC_NONE and len(payload) != raw_length:
        raise FormatError("stored track", f"raw length {raw_length} of a plain track", payload)
    shortest = min(raw_length, len(payload))
    if codec == CODEC_ZLIB and (shortest <= HOME_ADDRESS_BYTES or len(payload) > IMAGE_BYTES_MAX):
        raise FormatError("stored track", f"raw length {raw_length} of a compressed track", payload)
