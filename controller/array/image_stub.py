"""What the log keeps of a track that lies in an image file: where it is, and the checksum of its image.

A stub is the payload of a TRACK record with codec 128; `raw length` is that of the track's image.

    0  8  identity of the image file in this store
    8  4  track in the file
   12  8  XXH3-64 of the track's image, seed 0

A stub never leaves the array: who reads its track gets the image, or ImageFileError where the file no longer holds it.
"""

import struct
from typing import NamedTuple

import xxhash

from ccw.stored_track import StoredTrack
from controller.array.errors import StoreError

CODEC_IN_IMAGE = 128
_STUB = struct.Struct(">QIQ")


FIRST_SHADOW = 1 << 30
STOP_SHADOW = 1 << 31
"""Numbers of shadows: volumes of the store that say what the image files of physical volumes hold."""


def shadow_of(volume: int) -> int:
    """The number of a volume's shadow."""
    return FIRST_SHADOW + volume


def is_shadow(number: int) -> bool:
    """Whether a volume's number is that of a shadow."""
    return FIRST_SHADOW <= number < STOP_SHADOW


class ImageFileError(StoreError):
    """An image file in place is not, or does not hold, what it should."""


class Stub(NamedTuple):
    """A stub, decoded."""

    identity: int
    track: int
    digest: int


def make_stub(identity: int, track: int, image: bytes) -> StoredTrack:
    """The stored form of a track whose image lies in a file."""
    payload = _STUB.pack(identity, track, xxhash.xxh3_64_intdigest(image))
    return StoredTrack(CODEC_IN_IMAGE, len(image), payload)


def read_stub(payload: bytes) -> Stub:
    """A stub's fields. Raises ImageFileError when they cannot be."""
    if len(payload) != _STUB.size:
        raise ImageFileError(
            f"a track's record should be {_STUB.size} bytes about an image file, it has {len(payload)}"
        )
    return Stub(*_STUB.unpack(payload))


def matches(stub: Stub, image: bytes) -> bool:
    """Whether this is the image that the stub was made of."""
    return xxhash.xxh3_64_intdigest(image) == stub.digest
