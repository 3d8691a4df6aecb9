"""One function for each figure; each starts the systems it needs, and gives plain numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import trio

from host_emulator.session import open_session
from tools.bridge_bench import ceilings
from tools.bridge_bench.load import hosts_at_work, timed_writes
from tools.bridge_bench.sites import FULL_TRACK_BYTES, Couple, Plan, couple, make_image
from tools.measuring import durable_write_ms, percentile

IDLE_S = 4.0
SYNC_BYTES, SYNCS = 4096, 60
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done. `quick`: enough to see that it works."""

    bulk_cylinders: int = 200
    status_cylinders: int = 40
    shaped_cylinders: int = 60
    rounds: int = 3
    writes: int = 200
    host_volumes: int = 64
    host_cylinders: int = 4


QUICK = Sizes(20, 4, 8, 1, 20, 8, 1)


class Bench:
    """The stages, in a folder of their own."""

    def __init__(self, folder: Path, sizes: Sizes, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._sizes = sizes
        self._say = say
        self._made = 0

    def _new(self, text: str) -> Path:
        self._say(text)
        self._made += 1
        return self._folder / f"{self._made:02d}"

    async def bulk(self) -> list[Figures]:
        """A volume of full tracks, end to end, hardened at the secondary; with the codec off, and on; and as ESCON."""
        rows = []
        for title, plan in (
            ("wan, plain tracks", Plan(cylinders=self._sizes.bulk_cylinders, window=1024)),
            ("wan, compressed tracks", Plan(cylinders=self._sizes.bulk_cylinders, window=1024, content="cards")),
            ("escon, plain tracks", Plan(cylinders=max(4, self._sizes.bulk_cylinders // 20), wan=False)),
        ):
            image = self._folder / "image"
            make_image(image, plan)
            folder = self._new(title)
            async with couple(folder, plan, image) as systems:
                before = systems.processor_s()
                took = [await systems.copy() for _ in range(self._sizes.rounds)]
                used = [after - since for after, since in zip(systems.processor_s(), before, strict=True)]
            image.unlink()
            cpu_us = [round(seconds / plan.tracks / len(took) * 1e6) for seconds in used]
            alone = FULL_TRACK_BYTES / max(*cpu_us, 1)  # bytes a microsecond
            rate = median(plan.raw_bytes / seconds / 1e6 for seconds in took)
            loopback, disk = ceilings.loopback_mb_per_s(), ceilings.durable_mb_per_s(folder)
            rows.append(
                {
                    "links": title, "tracks": plan.tracks, "raw_mb_per_s": round(rate, 1),
                    "loopback_mb_per_s": round(loopback, 1), "ratio_to_loopback": round(rate / loopback, 3),
                    "durable_writes_mb_per_s": round(disk, 1), "primary_cpu_us_per_track": cpu_us[0],
                    "secondary_cpu_us_per_track": cpu_us[1], "mb_per_processor_s": round(alone, 1),
                }
            )  # fmt: skip
        return rows

    async def status(self) -> list[Figures]:
        """Status decoupled (window 256) and awaited for each track (window 1), the same code by turns."""
        rows = []
        for rtt_ms in (0.0, 10.0):
            plan = Plan(cylinders=self._sizes.status_cylinders, content="cards", window=256, rtt_ms=rtt_ms)
            image = self._folder / "image"
            make_image(image, plan)
            folder = self._new(f"status decoupled and awaited, RTT {rtt_ms:g} ms")
            async with (
                couple(folder / "decoupled", plan, image) as decoupled,
                couple(folder / "awaited", replace(plan, window=1), image) as awaited,
            ):
                pairs = [(await decoupled.copy(), await awaited.copy()) for _ in range(self._sizes.rounds)]
            image.unlink()
            rows.append(
                {
                    "rtt_ms": rtt_ms, "tracks": plan.tracks,
                    "decoupled_tracks_per_s": round(median(plan.tracks / fast for fast, _ in pairs), 1),
                    "awaited_tracks_per_s": round(median(plan.tracks / slow for _, slow in pairs), 1),
                    "ratio": round(median(slow / fast for fast, slow in pairs), 1), "pairs": len(pairs),
                }
            )  # fmt: skip
        return rows

    async def shaped(self) -> list[Figures]:
        """How much of a slow, long link a copy uses: raw track bytes, headers not counted."""
        rate_mbit = 100.0
        plan = Plan(cylinders=self._sizes.shaped_cylinders, window=256, rtt_ms=10.0, rate_mbit=rate_mbit)
        image = self._folder / "image"
        make_image(image, plan)
        async with couple(self._new("shaped link"), plan, image) as systems:
            seconds = await systems.copy()
        image.unlink()
        used = plan.raw_bytes * 8 / seconds / (rate_mbit * 1e6)
        return [
            {"rate_mbit": rate_mbit, "rtt_ms": plan.rtt_ms, "seconds": round(seconds, 3), "used": round(used, 4)}
        ]

    async def writes(self) -> list[Figures]:
        """What mirroring adds to a host's write of one record: duplex minus simplex, on the same systems."""
        rows = []
        for rtt_ms in (0.0, 1.0, 10.0):
            plan = Plan(volumes=2, cylinders=2, content="small", rtt_ms=rtt_ms)
            image = self._folder / "image"
            make_image(image, plan)
            folder = self._new(f"writes, RTT {rtt_ms:g} ms")
            async with couple(folder, plan, image) as systems:
                await systems.establish(0)
                await systems.until_duplex(0)
                async with open_session(*systems.site_a.host_address) as session:
                    took: dict[int, list[float]] = {0: [], 1: []}
                    for _ in range(10):
                        for volume in (0, 1):
                            count = self._sizes.writes // 10
                            took[volume] += await timed_writes(session, volume, plan.tracks, count)
            image.unlink()
            row: Figures = {"rtt_ms": rtt_ms, "durable_write_ms": round(durable_write_ms(folder, SYNC_BYTES, SYNCS), 3)}
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                duplex, simplex = (percentile(took[volume], share) * 1e3 for volume in (0, 1))
                row |= {f"duplex_{name}_ms": round(duplex, 3), f"simplex_{name}_ms": round(simplex, 3)}
                row[f"adder_{name}_ms"] = round(duplex - simplex, 3)
            rows.append(row)
        return rows

    async def hosts(self) -> list[Figures]:
        """Response times of hosts on the volumes that are being synchronised: by bridge, conventionally, not at all."""
        rows: list[Figures] = []
        for title, conventional in (("bridge", False), ("conventional", True)):
            plan = Plan(self._sizes.host_volumes, self._sizes.host_cylinders, "small", conventional=conventional)
            image = self._folder / "image"
            make_image(image, plan)
            async with couple(self._new(f"hosts, {title}"), plan, image) as systems:
                if not rows:
                    rows.append(await self._hosts(systems, "idle", lambda: trio.sleep(IDLE_S)))
                rows.append(await self._hosts(systems, title, lambda systems=systems: _synchronise(systems)))  # type: ignore[misc]
            image.unlink()
        return rows

    async def _hosts(self, systems: Couple, title: str, until: Callable[[], Awaitable[None]]) -> Figures:
        start = trio.current_time()
        address, plan = systems.site_a.host_address, systems.plan
        took = await hosts_at_work(address, range(plan.volumes), plan.tracks, until)
        return {
            "while": title, "seconds": round(trio.current_time() - start, 2), "programs": len(took),
            "p50_ms": round(percentile(took, 0.5) * 1e3, 2), "p99_ms": round(percentile(took, 0.99) * 1e3, 2),
        }  # fmt: skip


async def _synchronise(systems: Couple) -> None:
    for volume in range(systems.plan.volumes):
        await systems.establish(volume)
    for volume in range(systems.plan.volumes):
        await systems.until_duplex(volume)
