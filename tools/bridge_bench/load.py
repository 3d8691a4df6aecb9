"""Hosts that work while something is measured, and how long each of their channel programs took."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import trio

from ccw.geometry import Cchh
from host_emulator import orders
from host_emulator.channel import ChannelProgram
from host_emulator.session import HostSession, open_session
from tools.bridge_bench.sites import HEADS, SMALL_BYTES, SMALL_RECORDS
from tools.operator import LINK_RETRIES

WRITE_SHARE = 0.3
HOSTS = 2
THINK_S = 0.005


async def timed_writes(session: HostSession, volume: int, tracks: int, count: int) -> list[float]:
    """Seconds that each of `count` writes of one record took."""
    random = Random(7)
    took = []
    for _ in range(count):
        program = _write(random, tracks)
        start = time.perf_counter()
        result = await session.run_program(volume, program, LINK_RETRIES)
        took.append(time.perf_counter() - start)
        if not result.completed:
            raise RuntimeError(f"a write failed: sense {(result.sense or b'').hex().upper()}")
    return took


def _write(random: Random, tracks: int) -> ChannelProgram:
    place = Cchh(*divmod(random.randrange(tracks), HEADS))
    return orders.write_record(place, random.randint(1, SMALL_RECORDS), random.randbytes(SMALL_BYTES))


async def hosts_at_work(
    address: tuple[str, int], volumes: Sequence[int], tracks: int, until: Callable[[], Awaitable[None]]
) -> list[float]:
    """Two hosts read and write records of the volumes at random until `until` returns; seconds of each program."""
    took: list[float] = []
    async with trio.open_nursery() as nursery:
        for number in range(HOSTS):
            nursery.start_soon(_host, address, volumes, tracks, Random(number), took)
        await until()
        nursery.cancel_scope.cancel()
    return took


async def _host(
    address: tuple[str, int], volumes: Sequence[int], tracks: int, random: Random, took: list[float]
) -> None:
    async with open_session(*address) as session:
        while True:
            volume = random.choice(volumes)
            if random.random() < WRITE_SHARE:
                program = _write(random, tracks)
            else:
                place = Cchh(*divmod(random.randrange(tracks), HEADS))
                program = orders.read_record(place, random.randint(1, SMALL_RECORDS), SMALL_BYTES)
            start = time.perf_counter()
            await session.run_program(volume, program, LINK_RETRIES)
            took.append(time.perf_counter() - start)
            await trio.sleep(THINK_S)
