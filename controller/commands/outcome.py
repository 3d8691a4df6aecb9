"""What a command is, what comes out of it, and the one exception that means unit check.

These are the values that the link (`controller/channel`), the subsystem and the commands exchange. They hold bytes and
numbers only; nothing here has behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Command(NamedTuple):
    """One command of a channel program as it arrived.

    `flags` are the CCW flags as sent, `count` the CCW count in bytes (0-65535, the sum where data was chained), `data`
    the bytes the channel supplied (at most `count`; empty for reads and senses). `chained` says that the command was
    reached by command chaining; False starts a new chain. `concurrent_sense`: sense goes to the channel with the unit
    check, so that none is kept and no allegiance begins.
    """

    code: int
    flags: int
    count: int  # type: ignore[assignment]
    data: bytes = b""
    chained: bool = False
    concurrent_sense: bool = False


class TrackWrite(NamedTuple):
    """A changed track: `volume` number, `track` = cylinder * heads + head, and its whole image."""

    volume: int
    track: int
    image: bytes


class SpaceRelease(NamedTuple):
    """Tracks whose space a host gives back: ranges (first, stop). `initialises`: it asked for initialised tracks."""

    extents: tuple[tuple[int, int], ...]
    initialises: bool


@dataclass(slots=True)
class Outcome:
    """The end of one command.

    `status` is the unit status byte, `data` what the channel gets (at most the command's count), `residual` the count
    minus the bytes moved, `long_record` True when the device had or wanted more than the count. `sense` comes with unit
    check only and has 32 bytes, 24 or 6 from control units before the 3990. `immediate`: there was no data phase.
    `writes` must be durable before the status is presented. `order` is a PPRC order (X'D0'-X'D8', X'DA') accepted as
    far as sequence and chaining go, `record` what a Write Full Track brought to a bridge volume, `release` the space
    that an order gives back, behind `writes`; the subsystem deals with each and answers in place of this outcome.
    `retry` asks the channel to send the same command again: at once (status with device end) or after device end.
    """

    status: int
    data: bytes = b""
    residual: int = 0
    long_record: bool = False
    sense: bytes | None = None
    immediate: bool = False
    retry: bool = False
    writes: tuple[TrackWrite, ...] = ()
    order: bytes | None = None
    record: bytes | None = None
    release: SpaceRelease | None = None


class TrackSource(Protocol):
    """Where track images are read from."""

    def read(self, volume: int, track: int) -> bytes:
        """Return the whole image of a track; a standard empty one where nothing was ever written."""


class UnitCheck(Exception):
    """The only way out of an error of the host: becomes unit check with sense.

    `byte0`, `byte1` and `byte2` are the first sense bytes, `message` byte 7 (format and message), `reason` byte 8,
    `detail` byte 9 onwards. `image`, where given, is a complete 32-byte sense that is sent as it is. `moved` is the
    number of bytes counted as transferred, `data` what was sent to the channel before the error. `operation` tells on
    devices before ECKD how to resume a record in segments. Source: eckd-commands section 4, older-ckd-devices 3 and 4.
    """

    def __init__(
        self,
        byte0: int,
        byte1: int = 0,
        message: int = 0,
        reason: int = 0,
        detail: bytes = b"",
        *,
        byte2: int = 0,
        image: bytes | None = None,
        moved: int | None = None,
        operation: int = 0,
        data: bytes = b"",
    ) -> None:
        super().__init__(byte0, byte1, message, reason)
        self.byte0 = byte0
        self.byte1 = byte1
        self.byte2 = byte2
        self.message = message
        self.reason = reason
        self.detail = detail
        self.image = image
        self.moved = moved
        self.operation = operation
        self.data = data

    def __str__(self) -> str:
        sense = bytes((self.byte0, self.byte1, self.byte2)).hex(" ").upper()
        return f"sense {sense}, message {self.message:02X}, reason {self.reason:02X}"
