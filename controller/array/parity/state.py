"""What the journal says: the devices of the array, its segments, and for each stripe its round. Also STATE's meta.

STATE  0  4  number of segments
       4  1  number of devices
       5  3  reserved, zero
       8 32  of each device: identity (8), condition (1), 7 reserved, attached (8), mark (8)
then of each segment: number (4), incarnation (8), length (8), length of the packed rounds (4), rounds (zlib)
"""

import struct
import zlib
from enum import IntEnum

from controller.array.errors import StoreError

_HEAD = struct.Struct(">IB3x")
_MEMBER = struct.Struct(">QB7xQQ")
_SEGMENT = struct.Struct(">IQQI")
ROUNDS = 255


class Condition(IntEnum):
    """Of a device. REBUILDING: it takes every write, but holds only some of the older segments."""

    OUT = 0
    IN = 1
    REBUILDING = 2


class Member:
    """A device of the array. `attached`, `mark`: incarnations; a device that is being rebuilt holds the segments up to
    `mark` and those made after `attached`."""

    __slots__ = ("attached", "condition", "device", "mark")

    def __init__(self, device: int, condition: Condition, attached: int = 0, mark: int = 0) -> None:
        self.device = device
        self.condition = condition
        self.attached = attached
        self.mark = mark

    def holds(self, incarnation: int) -> bool:
        """Whether the device's chunks of a segment can be read."""
        if self.condition == Condition.REBUILDING:
            return incarnation <= self.mark or incarnation > self.attached
        return self.condition == Condition.IN


class Ranges:
    """Half-open ranges of bytes, sorted, that do not touch."""

    __slots__ = ("ranges",)

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def add(self, start: int, stop: int) -> None:
        """Add a range; what it touches becomes one with it."""
        if self.ranges and self.ranges[-1][0] <= start <= self.ranges[-1][1]:  # appending: by far the most
            self.ranges[-1] = (self.ranges[-1][0], max(stop, self.ranges[-1][1]))
            return
        apart = []
        for first, last in self.ranges:
            if last < start or first > stop:
                apart.append((first, last))
            else:
                start, stop = min(start, first), max(stop, last)
        self.ranges = sorted([*apart, (start, stop)])

    def covers(self, length: int) -> bool:
        """Whether bytes 0..length-1 are all in."""
        return bool(self.ranges) and self.ranges[0][0] == 0 and self.ranges[0][1] >= length

    def __bool__(self) -> bool:
        return bool(self.ranges)


class Buffer:
    """The bytes of a stripe that is not in place as it should be: zeros where nothing was written.

    `synced`: what the journal holds; `dirty`: what was written since the last sync. A buffer over a stripe that was in
    place holds all of its bytes, but the journal need not yet: `whole_next` says that it must get all of them (P1).
    """

    __slots__ = ("data", "dirty", "synced", "whole_next")

    def __init__(self, data: bytearray, *, whole_next: bool) -> None:
        self.data = data
        self.synced = Ranges()
        self.dirty = Ranges()
        self.whole_next = whole_next


class Segment:
    """A segment of the array: `rounds`, one byte a stripe, and the buffers of stripes under way."""

    __slots__ = ("_packed", "buffers", "incarnation", "length", "number", "rounds", "stripe_bytes")

    def __init__(self, number: int, incarnation: int, length: int, stripe_bytes: int) -> None:
        self.number = number
        self.incarnation = incarnation
        self.length = length
        self.stripe_bytes = stripe_bytes
        self.rounds = bytearray(-(-length // stripe_bytes))
        self.buffers: dict[int, Buffer] = {}
        self._packed: bytes | None = None

    def stripe_length(self, stripe: int) -> int:
        """Bytes of the segment in a stripe: fewer in the last."""
        return min(self.stripe_bytes, self.length - stripe * self.stripe_bytes)

    def next_round(self, stripe: int) -> int:
        """The round in which the stripe is put in place next."""
        return self.rounds[stripe] % ROUNDS + 1

    def placed(self, stripe: int) -> None:
        """The stripe is in place, a round further."""
        self.rounds[stripe] = self.next_round(stripe)
        self._packed = None

    def packed(self) -> bytes:
        """Its entry in STATE. Kept until the rounds change, so that a checkpoint of many segments costs little."""
        if self._packed is None:
            rounds = zlib.compress(self.rounds, 1)
            self._packed = _SEGMENT.pack(self.number, self.incarnation, self.length, len(rounds)) + rounds
        return self._packed


class ArrayState:
    """Devices by index, and segments by number."""

    def __init__(self, members: list[Member], stripe_bytes: int) -> None:
        self.members = members
        self.segments: dict[int, Segment] = {}
        self.stripe_bytes = stripe_bytes

    def encode(self) -> bytes:
        """Meta of STATE."""
        members = [_MEMBER.pack(m.device, m.condition, m.attached, m.mark) for m in self.members]
        segments = [segment.packed() for segment in self.segments.values()]
        return b"".join([_HEAD.pack(len(segments), len(members)), *members, *segments])

    @classmethod
    def decode(cls, meta: bytes, stripe_bytes: int) -> "ArrayState":
        """STATE again. Raises StoreError when it makes no sense (its checksum was right: another program's)."""
        try:
            count, devices = _HEAD.unpack_from(meta)
            at = _HEAD.size
            members = []
            for _ in range(devices):
                device, condition, attached, mark = _MEMBER.unpack_from(meta, at)
                members.append(Member(device, Condition(condition), attached, mark))
                at += _MEMBER.size
            state = cls(members, stripe_bytes)
            for _ in range(count):
                number, incarnation, length, packed = _SEGMENT.unpack_from(meta, at)
                at += _SEGMENT.size
                segment = Segment(number, incarnation, length, stripe_bytes)
                rounds = zlib.decompress(meta[at : at + packed])
                if len(rounds) != len(segment.rounds):
                    raise ValueError("rounds")
                segment.rounds[:] = rounds
                state.segments[number] = segment
                at += packed
        except (struct.error, ValueError, zlib.error) as error:
            raise StoreError(f"the parity journal's state cannot be read: {error}") from error
        return state

    def make_buffer(self, segment: Segment, stripe: int, base: bytes | None) -> Buffer:
        """A buffer for a stripe that has none; `base`: its bytes in place, if it is in place."""
        data = bytearray(segment.stripe_length(stripe))
        if base is not None:
            data[:] = base
        buffer = segment.buffers[stripe] = Buffer(data, whole_next=base is not None)
        return buffer
