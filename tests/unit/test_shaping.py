"""A shaped link: how long what it carries takes, in virtual time; nothing is lost, doubled or out of order."""

from __future__ import annotations

from random import Random

import pytest
import trio
import trio.testing

from controller.config import ShapeConfig
from controller.links.precise_sleep import precise_sleep_until
from controller.links.shaping import BUFFER_BYTES, shaped
from tests.helpers import operator
from tests.helpers.copying import duplex, equal, format_track
from tests.helpers.operator import order, set_up_bridge
from tests.helpers.two_systems import rig, until

MEGABYTE = bytes(range(256)) * 4096


async def receive_exactly(stream: trio.abc.Stream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = await stream.receive_some(65_536)
        assert piece, f"the end after {len(data)} bytes"
        data += piece
    return data


@pytest.mark.parametrize(
    ("shape", "seconds"),
    [
        (ShapeConfig(), 0.0),
        (ShapeConfig(rtt_ms=10), 0.005),
        (ShapeConfig(rate_mbit=100), 8 * len(MEGABYTE) / 100e6),
        (ShapeConfig(rate_mbit=100, rtt_ms=10), 8 * len(MEGABYTE) / 100e6 + 0.005),
    ],
)
@pytest.mark.parametrize("outward", [True, False])
async def test_a_megabyte_takes_its_time(
    autojump_clock: object, shape: ShapeConfig, seconds: float, outward: bool
) -> None:
    left, right = trio.testing.memory_stream_pair()
    async with shaped(left, shape, Random(1)) as near, trio.open_nursery() as nursery:
        sender, receiver = (near, right) if outward else (right, near)
        start = trio.current_time()
        nursery.start_soon(sender.send_all, MEGABYTE)
        assert await receive_exactly(receiver, len(MEGABYTE)) == MEGABYTE
        assert trio.current_time() - start == pytest.approx(seconds, abs=1e-6)


async def test_an_answer_takes_a_round_trip(autojump_clock: object) -> None:
    left, right = trio.testing.memory_stream_pair()
    async with shaped(left, ShapeConfig(rtt_ms=40), Random(1)) as near, trio.open_nursery() as nursery:

        async def answer() -> None:
            await right.send_all(await receive_exactly(right, 5))

        nursery.start_soon(answer)
        start = trio.current_time()
        await near.send_all(b"hello")
        assert await receive_exactly(near, 5) == b"hello"
        assert trio.current_time() - start == pytest.approx(0.040)


async def test_losses_hold_up_but_lose_nothing(autojump_clock: object) -> None:
    left, right = trio.testing.memory_stream_pair()
    shape = ShapeConfig(rate_mbit=1000, rtt_ms=10, loss_percent=1)
    async with shaped(left, shape, Random(1)) as near, trio.open_nursery() as nursery:
        start = trio.current_time()
        nursery.start_soon(near.send_all, MEGABYTE)
        assert await receive_exactly(right, len(MEGABYTE)) == MEGABYTE
        assert trio.current_time() - start > 8 * len(MEGABYTE) / 1000e6 + 0.005 + 0.005


async def test_sending_waits_while_the_link_is_full(autojump_clock: object) -> None:
    left, right = trio.testing.memory_stream_pair()
    async with shaped(left, ShapeConfig(rate_mbit=8), Random(1)) as near:
        with trio.move_on_after(0.5) as scope:
            await near.send_all(MEGABYTE * 3)
        assert scope.cancelled_caught
        await receive_exactly(right, BUFFER_BYTES // 4)


async def test_the_end_of_either_side_is_passed_on(autojump_clock: object) -> None:
    left, right = trio.testing.memory_stream_pair()
    async with shaped(left, ShapeConfig(rtt_ms=10), Random(1)) as near:
        await right.send_all(b"last words")
        await right.aclose()
        assert await near.receive_some() == b"last words"
        assert await near.receive_some() == b""
        assert await near.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            for _ in range(3):
                await near.send_all(b"to nobody")
                await trio.sleep(1)


async def test_a_link_behind_a_shape_carries_a_bridge(autojump_clock: object) -> None:
    """Slow, long, and losing a segment now and then: pairs reach duplex all the same."""
    shape = ShapeConfig(rate_mbit=50, rtt_ms=8, loss_percent=0.5)
    async with trio.open_nursery() as nursery:

        async def lay(
            left: trio.abc.Stream, task_status: trio.TaskStatus[trio.abc.Stream] = trio.TASK_STATUS_IGNORED
        ) -> None:
            async with shaped(left, shape, Random(1)) as near:
                task_status.started(near)
                await trio.sleep_forever()

        pairs = [trio.testing.memory_stream_pair() for _ in range(4)]
        near = [await nursery.start(lay, left) for left, _ in pairs]
        ends = {f"peer{index}": (near[index], pairs[index][1]) for index in range(4)}

        def join(name: str) -> tuple[trio.abc.Stream, trio.abc.Stream]:
            return ends[name] if name in ends else trio.testing.memory_stream_pair()

        async with rig(join) as r, r.host(r.a) as to_a, r.host(r.b) as to_b:
            for track in range(5):
                await format_track(to_a, 0, track, f"track {track}")
            await set_up_bridge(to_a, to_b)
            assert (await order(to_a, 0, operator.establish_pair(0))).completed
            await until(lambda: duplex(r, 0))
            assert equal(r, 0)
        nursery.cancel_scope.cancel()


async def test_precise_sleep_never_wakes_early() -> None:
    for delay in (0.0, 0.0002, 0.0015):
        start = trio.current_time()
        await precise_sleep_until(start + delay)
        assert trio.current_time() >= start + delay
