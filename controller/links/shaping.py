"""A link made as slow, as long and as bad as a given one: rate, round-trip time, loss. For tests and experiments.

One end shapes both directions, so the settings stand at one of the two ports. What a direction carries
    leaves when the rate allows it:       piece by piece, one behind the other
    arrives half a round trip later:      in order, whatever happens
    is held up by a lost segment:         for one round trip more, and everything behind it too, as TCP repeats it
A direction holds what a sender's buffer and the length of the link hold; then sending waits.
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import trio

from controller.config import ShapeConfig

SEGMENT_BYTES = 1448  # of TCP on an Ethernet: what is lost at once
PIECE_BYTES = 32_768  # delivered at once
BUFFER_BYTES = 1 << 20  # waiting to leave, at most
UNLIMITED_BYTES_PER_S = 2e9  # for the length of a link without a rate

SleepUntil = Callable[[float], Awaitable[None]]


@asynccontextmanager
async def shaped(
    stream: trio.abc.Stream, shape: ShapeConfig, random: Random, sleep_until: SleepUntil = trio.sleep_until
) -> AsyncIterator[trio.abc.Stream]:
    """`stream` behind the shape. Owns it. sleep_until: `precise_sleep_until` where the clock is real."""
    outward = _Direction(shape, random, sleep_until)
    inward = _Direction(shape, random, sleep_until)
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(_deliver, outward, stream)
        nursery.start_soon(_collect, stream, inward)
        yield _ShapedStream(outward, inward, stream)
        nursery.cancel_scope.cancel()


class _Direction:
    """What is on its way in one direction."""

    def __init__(self, shape: ShapeConfig, random: Random, sleep_until: SleepUntil) -> None:
        self._byte_s = 8e-6 / shape.rate_mbit if shape.rate_mbit else 0.0
        self._one_way_s = shape.rtt_ms / 2000
        self._round_trip_s = shape.rtt_ms / 1000
        self._keep = 1 - shape.loss_percent / 100
        rate = 1 / self._byte_s if self._byte_s else UNLIMITED_BYTES_PER_S
        self._limit = BUFFER_BYTES + int(rate * self._one_way_s)
        self._random = random
        self._sleep_until = sleep_until
        self._pieces: deque[tuple[float, bytes]] = deque()  # (when it arrives, what); nothing at all: the end
        self._held = 0  # bytes
        self._free_at = 0.0  # the last piece has left
        self._arrives = -math.inf
        self._changed = trio.Event()
        self.broken = False

    async def put(self, data: bytes | bytearray | memoryview) -> None:
        """Put `data` on the way; empty: the end of the stream. Waits while too much is under way."""
        view = memoryview(data)
        for at in range(0, max(len(view), 1), PIECE_BYTES):
            while self._held >= self._limit and not self.broken:
                await self._wait()
            if self.broken:
                raise trio.BrokenResourceError
            piece = bytes(view[at : at + PIECE_BYTES])
            self._free_at = max(trio.current_time(), self._free_at) + len(piece) * self._byte_s
            self._arrives = max(self._arrives, self._free_at + self._one_way_s + self._repeated(len(piece)))
            self._pieces.append((self._arrives, piece))
            self._held += len(piece)
            self._notify()

    def _repeated(self, length: int) -> float:
        """How long lost segments of a piece hold it up, in seconds."""
        segments = -(-length // SEGMENT_BYTES)
        return self._round_trip_s if self._keep < 1 and self._random.random() > self._keep**segments else 0.0

    async def get(self) -> bytes:
        """What arrives next, empty for the end. Raises BrokenResourceError when nothing more comes."""
        while not self._pieces:
            if self.broken:
                raise trio.BrokenResourceError
            await self._wait()
        when, piece = self._pieces[0]
        await self._sleep_until(when)
        self._pieces.popleft()
        self._held -= len(piece)
        self._notify()
        return piece

    def fail(self) -> None:
        """Nothing is taken any more; what is on its way still arrives."""
        self.broken = True
        self._notify()

    async def _wait(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


async def _deliver(direction: _Direction, stream: trio.abc.Stream) -> None:
    try:
        while piece := await direction.get():
            await stream.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        direction.fail()


async def _collect(stream: trio.abc.Stream, direction: _Direction) -> None:
    try:
        while data := await stream.receive_some(PIECE_BYTES):
            await direction.put(data)
        await direction.put(b"")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        direction.fail()


class _ShapedStream(trio.abc.Stream):
    """The near end."""

    def __init__(self, outward: _Direction, inward: _Direction, stream: trio.abc.Stream) -> None:
        self._outward = outward
        self._inward = inward
        self._stream = stream
        self._rest = b""
        self._ended = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the stream; returns when the data are on their way."""
        if data:
            await self._outward.put(data)
        else:
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream: what has arrived, empty at its end."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return b""
        data = self._rest or await self._inward.get()
        limit = len(data) if max_bytes is None else max_bytes
        self._rest = data[limit:]
        self._ended = not data
        return data[:limit]

    async def aclose(self) -> None:
        """As the stream."""
        await self._stream.aclose()
