"""What the cache did for one volume: the counts of a statistics record.

Offsets are those of the 96-byte record of the performance statistics. Source: eckd-commands 3.12.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields

_WORDS = struct.Struct(">21I")  # bytes 4-87


@dataclass(slots=True)
class CacheCounters:
    """Counts since the start; the field order is that of the record, from byte 4 on, one word each."""

    normal_reads: int = 0                   # 4
    normal_read_hits: int = 0               # 8
    normal_writes: int = 0                  # 12
    fast_write_hits: int = 0                # 16
    sequential_reads: int = 0               # 20
    sequential_read_hits: int = 0           # 24
    sequential_writes: int = 0              # 28
    sequential_fast_write_hits: int = 0     # 32
    cache_fast_write_reads: int = 0         # 36
    cache_fast_write_read_hits: int = 0     # 40
    cache_fast_write_writes: int = 0        # 44
    cache_fast_write_write_hits: int = 0    # 48
    inhibit_loading_requests: int = 0       # 52
    bypass_requests: int = 0                # 56
    sequential_stages: int = 0              # 60: sequential disk-to-cache transfers, in tracks
    stages: int = 0                         # 64: other disk-to-cache transfers
    destages: int = 0                       # 68: cache-to-disk transfers
    fast_write_delays: int = 0              # 72: a write that found nonvolatile storage full
    normal_fast_writes: int = 0             # 76
    sequential_fast_writes: int = 0         # 80
    misses: int = 0                         # 84

    def words(self) -> bytes:
        """Bytes 4-87 of a statistics record: 21 words, each modulo 2 to the 32nd."""
        return _WORDS.pack(*(count & 0xFFFFFFFF for count in self.counts().values()))

    def counts(self) -> dict[str, int]:
        """By name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def add(self, other: CacheCounters) -> None:
        """Add the counts of another volume."""
        for name, count in other.counts().items():
            setattr(self, name, getattr(self, name) + count)
