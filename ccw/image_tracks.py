"""Track images as compressed image files hold them, to and from the stored form of our own (stored_track.py).

    offset length  field
         0      1  how the rest is compressed: 0 not, 1 zlib, 2 bzip2
         1      4  cylinder and head of the home address
         5      n  the image from record zero to its end mark, compressed

So the stored form with zlib is the same bytes but for byte 0, which is a zlib track's home address flag there: one
becomes the other without recompression, as long as the flag is zero. Null tracks are not stored at all:

    format 0   home address, record zero, record 1 without data (an end of file); 37 bytes
    format 1   home address, record zero; 29 bytes
    format 2   home address, record zero, 12 records of 4,096 zeros; 49,277 bytes

Source: hercules-interop 3.1, 3.4.
"""

import bz2

from isal import igzip_lib, isal_zlib

from ccw.errors import FormatError
from ccw.image_files import ImageAlgorithm
from ccw.stored_track import CODEC_NONE, CODEC_ZLIB, HOME_ADDRESS_BYTES, StoredTrack, expand_track
from ccw.tracks import END_MARK, track_image_length

NULL_FORMATS = (0, 1, 2)
NULL_LENGTHS = {37: 0, 29: 1}
"""Length of an image that may be a null track -> its format. Format 2 is never made from an image."""
_LINUX_RECORDS = 12
_LINUX_RECORD_BYTES = 4096


def null_image(null_format: int, home_address: bytes) -> bytes:
    """The image that a null track stands for; `home_address`: cylinder and head as they are packed, 4 bytes.

    Raises FormatError for a format other than 0, 1 and 2.
    """
    if null_format not in NULL_FORMATS:
        raise FormatError("null track", f"format {null_format}", b"")
    parts = [b"\0", home_address, home_address, b"\0\0\0\x08", bytes(8)]
    if null_format == 0:
        parts += (home_address, b"\1\0\0\0")
    if null_format == 2:
        for record in range(1, _LINUX_RECORDS + 1):
            parts += (home_address, bytes((record, 0)), _LINUX_RECORD_BYTES.to_bytes(2), bytes(_LINUX_RECORD_BYTES))
    parts.append(END_MARK)
    return b"".join(parts)


def check_home_address(what: str, data: bytes, home_address: bytes) -> None:
    """Raise FormatError, which names `what`, unless bytes 1-4 of `data` are this home address."""
    found = data[1:HOME_ADDRESS_BYTES]
    if len(found) < len(home_address):
        raise FormatError(what, "home address cut short", data, len(data))
    if found != home_address:
        raise FormatError(what, f"home address {found.hex()}, not {home_address.hex()}", data, 1)


def check_image(image: bytes, home_address: bytes, limit: int) -> None:
    """Raise FormatError unless `image` is one whole track image of at most `limit` bytes with this home address."""
    if len(image) > limit:
        raise FormatError("track image", f"longer than a track of {limit}", image, limit)
    check_home_address("track image", image, home_address)
    length = track_image_length(image)
    if length != len(image):
        raise FormatError("track image", "bytes behind the end mark", image, length)


def take_over(data: bytes, home_address: bytes, limit: int) -> tuple[StoredTrack, bytes]:
    """The stored form of an image as a compressed file holds it, and the image: expanded, verified.

    A zlib stream is taken over as it is; the others come back as codec 0, for the store to compress. Raises FormatError
    for anything that does not expand to a whole track image of at most `limit` bytes. Never makes more bytes than that.
    """
    check_home_address("stored image", data, home_address)
    algorithm = data[0]
    stream = memoryview(data)[HOME_ADDRESS_BYTES:]
    if algorithm == ImageAlgorithm.NONE:
        body = stream.tobytes()
    elif algorithm == ImageAlgorithm.ZLIB:
        body = _inflate(data, stream, limit - HOME_ADDRESS_BYTES)
    elif algorithm == ImageAlgorithm.BZIP2:
        body = _unpack_bzip2(data, stream, limit - HOME_ADDRESS_BYTES)
    else:
        raise FormatError("stored image", f"compression {algorithm:02X}", data, 0)
    image = b"".join((b"\0", home_address, body))
    check_image(image, home_address, limit)
    if algorithm == ImageAlgorithm.ZLIB:
        return StoredTrack(CODEC_ZLIB, len(image), b"\0" + data[1:]), image
    return StoredTrack(CODEC_NONE, len(image), image), image


def _inflate(data: bytes, stream: memoryview, limit: int) -> bytes:
    inflater = isal_zlib.decompressobj()
    try:
        body: bytes = inflater.decompress(stream, limit + 1)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub calls it a variable
        raise FormatError("stored image", f"zlib stream ({error})", data, HOME_ADDRESS_BYTES) from error
    if len(body) > limit or not inflater.eof or inflater.unused_data:
        raise FormatError("stored image", "zlib stream does not end with the track", data, HOME_ADDRESS_BYTES)
    return body


def _unpack_bzip2(data: bytes, stream: memoryview, limit: int) -> bytes:
    unpacker = bz2.BZ2Decompressor()
    try:
        body = unpacker.decompress(stream, limit + 1)
    except OSError as error:
        raise FormatError("stored image", f"bzip2 stream ({error})", data, HOME_ADDRESS_BYTES) from error
    if len(body) > limit or not unpacker.eof or unpacker.unused_data:
        raise FormatError("stored image", "bzip2 stream does not end with the track", data, HOME_ADDRESS_BYTES)
    return body


def hand_over(stored: StoredTrack, algorithm: ImageAlgorithm) -> bytes:
    """A stored track as a compressed file holds it. A zlib payload goes out as it is when zlib is wanted.

    What does not get shorter is not compressed. Raises FormatError for a payload that does not expand, and for a home
    address flag other than zero: its byte is taken by the compression here, so only a plain image file can keep it.
    """
    if stored.payload[:1] != b"\0":
        where = f"home address flag {stored.payload[:1].hex().upper()}, which only a plain image file can keep"
        raise FormatError("stored image", where, stored.payload, 0)
    if algorithm == ImageAlgorithm.ZLIB:
        if stored.codec == CODEC_ZLIB:
            return bytes((algorithm,)) + stored.payload[1:]
        return stored.payload  # the store compresses whatever gets shorter
    image = expand_track(stored)
    if algorithm == ImageAlgorithm.BZIP2:
        stream = bz2.compress(memoryview(image)[HOME_ADDRESS_BYTES:])
        if HOME_ADDRESS_BYTES + len(stream) < len(image):
            return bytes((algorithm,)) + image[1:HOME_ADDRESS_BYTES] + stream
    return image


def null_format_of(stored: StoredTrack, home_address: bytes) -> int | None:
    """The null format that stands for a stored track, None if none does."""
    null_format = NULL_LENGTHS.get(stored.raw_length)
    if null_format is None or expand_track(stored) != null_image(null_format, home_address):
        return None
    return null_format
