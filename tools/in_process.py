"""Storage systems in this process: on memory, joined by streams in memory. For `conform in-process` and `host`.

They are the real ones, from their configuration to their links; only the disk and the wires are not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio
import trio.testing

from controller import app
from controller.array import MemoryDisk, VirtualArrayStore
from controller.array.images import ImageError, open_image
from controller.config import ConfigError, PortConfig, SystemConfig, check_config
from controller.links.adapters import Adapters
from controller.links.system import StorageSystem

SEGMENT_BYTES = 1 << 20
SCRATCH_CYLINDERS = 10
TIME_OF_DAY_S = 946_684_800.0  # systems in memory begin at the turn of the year 2000


async def _inline(action: Callable[..., Any], *arguments: Any) -> Any:
    """Commit on the event loop: a disk in memory never waits."""
    await trio.lowlevel.checkpoint()
    return action(*arguments)


@dataclass(frozen=True, slots=True)
class InProcess:
    """One running system. `connect` makes a new link to its host port."""

    system: StorageSystem
    host_port: int
    links: trio.Nursery

    async def connect(self) -> trio.abc.Stream:
        """The near end of a new link."""
        near, far = trio.testing.memory_stream_pair()
        self.serve(self.host_port, far, opened=False)
        return near

    def serve(self, said: int, stream: trio.abc.Stream, *, opened: bool) -> None:
        """Let a port have a link."""

        async def run() -> None:
            await self.system.adapters.serve_stream(said, stream, opened=opened)

        self.links.start_soon(run)


def _no_event(now: float, step: int | None, text: str, fields: Mapping[str, object]) -> None:
    """Events of a system in memory are not kept."""


@asynccontextmanager
async def in_process(*configs: SystemConfig) -> AsyncIterator[list[InProcess]]:
    """Run the systems; the peer ports of the first two are joined, one by one. Everything ends with the block."""
    try:
        async with trio.open_nursery() as nursery:
            made = [await _start(config, nursery) for config in configs]
            if len(made) > 1:
                _join(made[0], configs[0], made[1], configs[1])
            yield made
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:  # the body's own, or what ended a system
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


async def _start(config: SystemConfig, nursery: trio.Nursery) -> InProcess:
    store = VirtualArrayStore.open(MemoryDisk(), segment_bytes=SEGMENT_BYTES)
    app.define_volumes(store, config)
    ports = tuple(PortConfig(port.said, "peer", shape=port.shape) for port in config.ports if port.kind == "peer")
    host = next(port for port in config.ports if port.kind == "host")
    system = StorageSystem(
        app.box_settings(config),
        Adapters((replace(host, listen=None), *ports)),
        store,
        app.node_descriptor(config),
        _no_event,
        TIME_OF_DAY_S,
        _inline,
    )
    await nursery.start(system.run)
    return InProcess(system, host.said, nursery)


def _join(a: InProcess, config_a: SystemConfig, b: InProcess, config_b: SystemConfig) -> None:
    peers = [[port.said for port in config.ports if port.kind == "peer"] for config in (config_a, config_b)]
    for near, far in zip(*peers, strict=False):
        left, right = trio.testing.memory_stream_pair()
        a.serve(near, left, opened=True)
        b.serve(far, right, opened=False)


def single_volume(image: Path | None = None) -> SystemConfig:
    """A system to play with: device 00 is a small 3390, or holds a copy of `image`. Raises ConfigError."""
    cylinders, device_type = SCRATCH_CYLINDERS, "3390"
    if image is not None:
        cylinders, device_type = _shape_of(image)
    table = {
        "name": "scratch",
        "serial": "000000000001",
        "ssid": "0100",
        "profile": "2107",
        "store": "memory",
        "volume": [{"address": "00", "type": device_type, "cylinders": cylinders}],
        "port": [{"said": "0001", "kind": "host", "listen": "127.0.0.1:0"}],
    }
    if image is not None:
        path = str(image.resolve())
        table["volume"] = [{"address": "00", "type": device_type, "cylinders": cylinders, "image": path}]
    return check_config(table, Path())


def _shape_of(image: Path) -> tuple[int, str]:
    """Cylinders and type of a CKD image, plain or compressed. Raises ConfigError."""
    try:
        with open_image(image) as source:
            return source.geometry.cylinders, f"{source.geometry.device_type:04X}"
    except ImageError as error:
        raise ConfigError(str(error)) from error
