"""What a wide-area link keeps of the buffers that it has read into."""

from __future__ import annotations

import sys

from ccw.escon import DEVICE_FRAME, DIB_CODE_MAX
from ccw.frames import CommandFrame, Frame
from controller.channel.api import LinkSettings, PathId
from controller.channel.streamed_control_unit import StreamedControlUnit
from tests.helpers.two_systems import HOST_PORT, rig

WRITE_FULL_TRACK = 0x95


async def test_a_few_bytes_of_a_long_command_keep_no_large_buffer(autojump_clock: object) -> None:
    """Else a peer that sends the data of one write byte by byte, and much else in between, fills the memory."""
    async with rig() as r:
        port = r.a.running.adapters.by_said[HOST_PORT]
        unit = StreamedControlUnit(r.a.running.subsystem, port, LinkSettings(dib_code=DIB_CODE_MAX))  # type: ignore[arg-type]  # sends nothing
        path = PathId("a link", 0x0100, 0)
        unit.receive(path, Frame(0x0200, 0x0100, DEVICE_FRAME), CommandFrame(0, WRITE_FULL_TRACK, 0, 50_000))
        assert not unit.idle
        buffer = bytes(1 << 20)
        before = sys.getrefcount(buffer)
        for at in range(100):
            unit.data(path, 0, memoryview(buffer)[at : at + 1], False)
        assert not unit.idle
        assert sys.getrefcount(buffer) == before
