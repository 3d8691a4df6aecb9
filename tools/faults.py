"""Faults on purpose, drawn from one seed, and runs that repeat exactly.

`Faults` says what may go wrong in one run, `draw_faults` takes a random part of everything there is. `FaultyLink` is a
stream that damages what is sent through it, record by record (escon-frames 1.7); `FaultyDisk` is a disk whose power
fails in the middle of a commit. `run_pinned` runs a trio program on virtual time with a scheduler that follows a seed.

What must be survived: every fault here, in any order, as long as it ends some time.
    drop, corrupt, duplicate, delay    a record, in either direction of any link
    silence                            everything of one direction for a while
    cut                                the connection ends within a record; it is made again a little later
    crash                              a site loses power; unsynced sectors are kept, lost or torn; it starts again
What a link cannot detect is not injected: a record lost *and* another of equal length doubled within one transfer leave
every count right and every CRC good, so a run draws either `duplicate` or the faults that lose records.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import TypeVar

import trio
import trio.testing

from ccw.escon import RECORD_HEADER_LENGTH
from controller.array import Disk

Value = TypeVar("Value")
Simulation = Callable[[int], Awaitable[Value]]
Note = Callable[[str, bytes], None]  # (what happened, the record it happened to)


def _not_noted(what: str, record: bytes) -> None:
    """Nobody wants to know."""


def run_pinned(simulate: Simulation[Value], seed: int) -> Value:
    """Run `simulate(seed)` on virtual time, so that the same seed gives the same order of events, always.

    Virtual time alone is not enough: trio deliberately runs ready tasks in random order. Its scheduler is pinned by
    two private names, used nowhere else.
    """
    scheduler: types.ModuleType = trio._core._run
    allowed, saved = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[attr-defined]
    scheduler._r.seed(seed)
    try:
        return trio.run(simulate, seed, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        scheduler._r.setstate(saved)
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong in one run. Link faults: probability per record and direction. Times in seconds."""

    drop: float = 0.0
    corrupt: float = 0.0  # one byte of the payload, or of the record's type or length, is changed
    duplicate: float = 0.0
    delay: float = 0.0
    delay_max_s: float = 3.0  # longer than the link timeout: frames of a connection given up come late
    silence: float = 0.0
    silence_max_s: float = 20.0  # longer than the bridge waits for status
    cut: float = 0.0
    crashes_a: int = 0
    crashes_b: int = 0
    commit_max_s: float = 0.002  # a commit of the array takes up to this long


_LINK_FAULTS = {  # name: highest probability
    "drop": 0.005,
    "corrupt": 0.005,
    "duplicate": 0.01,
    "delay": 0.01,
    "silence": 0.0003,
    "cut": 0.0015,
}
_LOSES = ("drop", "corrupt", "silence")


def draw_faults(random: Random) -> Faults:
    """A random subset of all faults, each with a random strength."""
    drawn = {name: random.uniform(0.1, 1.0) * most for name, most in _LINK_FAULTS.items() if random.random() < 0.4}
    if "duplicate" in drawn:
        for name in _LOSES:
            drawn.pop(name, None)
    return Faults(
        **drawn,
        crashes_a=random.choice((0, 0, 1, 1, 2)),
        crashes_b=random.choice((0, 0, 1, 1, 2)),
        commit_max_s=random.choice((0.0, 0.002, 0.05)),
    )


def quiet(faults: Faults) -> Faults:
    """The same surroundings with nothing going wrong."""
    return Faults(commit_max_s=faults.commit_max_s)


def describe(faults: Faults) -> str:
    """The faults that are switched on, for a message."""
    return " ".join(
        f"{field.name}={value:.4g}" if isinstance(value, float) else f"{field.name}={value}"
        for field in fields(faults)
        if (value := getattr(faults, field.name))
    )


class FaultyLink(trio.abc.Stream):
    """One end of a connection: records sent through it suffer. The other direction is the other end's affair.

    `faults` is asked again for every record, so faults may be switched off while the connection lives.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        faults: Callable[[], Faults],
        random: Random,
        note: Note = _not_noted,
    ) -> None:
        self._stream = stream
        self._faults = faults
        self._random = random
        self._note = note
        self._unfinished = b""
        self._silent_until = 0.0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send whole records; what is no whole record yet waits for the rest."""
        self._unfinished += bytes(data)
        while len(self._unfinished) >= RECORD_HEADER_LENGTH:
            stop = RECORD_HEADER_LENGTH + int.from_bytes(self._unfinished[2:RECORD_HEADER_LENGTH], "big")
            if len(self._unfinished) < stop:
                break
            record, self._unfinished = self._unfinished[:stop], self._unfinished[stop:]
            await self._send_record(record)

    async def _send_record(self, record: bytes) -> None:
        faults, random = self._faults(), self._random
        if random.random() < faults.cut:
            await self._cut(record)
        if random.random() < faults.silence:
            self._silent_until = trio.current_time() + random.uniform(0, faults.silence_max_s)
        if random.random() < faults.delay:
            self._note("delay", record)
            await trio.sleep(random.uniform(0, faults.delay_max_s))
        if random.random() < faults.drop or (faults.silence and trio.current_time() < self._silent_until):
            self._note("drop", record)
            return
        if random.random() < faults.corrupt:
            record = _corrupted(record, random)
            self._note("corrupt", record)
        self._note("send", record)
        await self._stream.send_all(record)
        if random.random() < faults.duplicate:
            self._note("duplicate", record)
            await self._stream.send_all(record)

    async def _cut(self, record: bytes) -> None:
        """Send a part of the record, then nothing ever again."""
        self._note("cut", record)
        try:
            await self._stream.send_all(record[: self._random.randrange(len(record))])
        finally:
            await trio.aclose_forcefully(self._stream)
        raise trio.BrokenResourceError("the connection was cut on purpose")

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What came, undamaged from here on."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


def _corrupted(record: bytes, random: Random) -> bytes:
    """One byte changed, but for byte 1: a damaged delimiter is no delimiter, so that frame is lost (`drop`)."""
    places = [place for place in range(len(record)) if place != 1]
    damaged = bytearray(record)
    damaged[random.choice(places)] ^= random.randrange(1, 256)
    return bytes(damaged)


class PowerFailure(Exception):
    """The machine is gone in the middle of a commit; nobody is left to be told."""


class FaultyDisk:
    """A disk whose power can be made to fail: `fail_after` operations from now, everything raises PowerFailure."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._left: int | None = None

    def fail_after(self, operations: int | None) -> None:
        """Let that many creates, writes and syncs still happen; None: all of them."""
        self._left = operations

    def _spend(self) -> None:
        if self._left is not None:
            if self._left == 0:
                raise PowerFailure
            self._left -= 1

    @property
    def writable(self) -> bool:
        """As the disk."""
        return self._disk.writable

    def new_identity(self) -> int:
        """As the disk."""
        return self._disk.new_identity()

    def segments(self) -> dict[int, int]:
        """As the disk."""
        return self._disk.segments()

    def read(self, number: int, offset: int, length: int) -> bytes:
        """As the disk."""
        return self._disk.read(number, offset, length)

    def reserve(self, length: int, count: int) -> None:
        """As the disk."""
        self._disk.reserve(length, count)

    def create(self, number: int, length: int, beginning: bytes) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.create(number, length, beginning)

    def write(self, number: int, offset: int, parts: Sequence[bytes]) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.write(number, offset, parts)

    def sync(self, number: int) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.sync(number)

    def remove(self, number: int) -> None:
        """As the disk, while there is power."""
        self._spend()
        self._disk.remove(number)

    def close(self) -> None:
        """As the disk."""
        self._disk.close()
