"""The virtual array: tracks of volumes, and small values, in an append-only log that survives crashes.

`VirtualArrayStore` (store.py) over a `Disk` (disk.py): `FileDisk` for a running system, `MemoryDisk` for simulations.
The format, its invariants and recovery are described in format.py. Synchronous; imports only ccw and libraries.
"""

from ccw.stored_track import CODEC_NONE, CODEC_ZLIB, StoredTrack, compress_track, expand_track
from controller.array.disk import Disk
from controller.array.errors import (
    CorruptionError,
    DiskError,
    DiskFullError,
    FencedError,
    StoreError,
    StoreLockedError,
    UnknownVolumeError,
)
from controller.array.file_disk import FileDisk
from controller.array.log import Batch
from controller.array.memory_disk import MemoryDisk
from controller.array.store import VirtualArrayStore

__all__ = [
    "CODEC_NONE",
    "CODEC_ZLIB",
    "Batch",
    "CorruptionError",
    "Disk",
    "DiskError",
    "DiskFullError",
    "FencedError",
    "FileDisk",
    "MemoryDisk",
    "StoreError",
    "StoreLockedError",
    "StoredTrack",
    "UnknownVolumeError",
    "VirtualArrayStore",
    "compress_track",
    "expand_track",
]
