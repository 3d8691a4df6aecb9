"""The medium under the log, as a port: numbered segments of fixed length. FileDisk in files, MemoryDisk in memory.

What a disk promises, and nothing more:
 * `create` is atomic and durable: after it, or after a crash in the middle of it, the segment is there with its
   beginning, or not at all. What follows the beginning is zeros, or whatever a removed segment held at that place.
 * `reserve` holds room: as many creates as it was asked for, of that length, then never find the medium full, and
   need not be filled with zeros first. Room is held until it is used or the disk is closed.
 * `write` promises nothing until `sync` of that segment returns: after a crash each written byte is old, new, or
   garbage.
 * `read` sees every write at once, from any thread. Different segments, or different ranges of one, never disturb
   each other.
 * A failed `sync` promises nothing for ever after.
Every error of the medium is a DiskError (no room: DiskFullError). No disk understands what it stores.
"""

from collections.abc import Sequence
from typing import Protocol


class Disk(Protocol):
    """Numbered segments. All offsets and lengths in bytes."""

    @property
    def writable(self) -> bool:
        """False: opened to be looked at; create, write and remove are refused."""

    def new_identity(self) -> int:
        """A 64-bit number for a new store, different from other stores' where the medium outlives the process."""

    def segments(self) -> dict[int, int]:
        """Length in bytes of every segment, as found on the medium now, by number."""

    def reserve(self, length: int, count: int) -> None:
        """Hold room for `count` segments of `length` bytes in all. DiskFullError; what could be held is held then.

        From any thread, also two at a time. May take long, unless as many are held already.
        """

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """Make segment `number`, of what is reserved if it can. Atomic and durable."""

    def read(self, number: int, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only where the segment ends."""

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """Write the parts one behind the other from `offset` on, inside the segment."""

    def sync(self, number: int) -> None:
        """Make all earlier writes to the segment durable."""

    def remove(self, number: int) -> None:
        """Give the segment back, or keep its room reserved. Durable."""

    def close(self) -> None:
        """Let the medium go. Does not sync."""
