"""A device that is offline: intervention required for what needs its tracks, everything else as ever.

Source: eckd-commands 2.10 (Sense ID works at any time), 4.4; older-ckd-devices 3.3.
"""

from __future__ import annotations

import pytest

from controller.commands.outcome import Command
from tests.helpers.devices import CC, Bench
from tests.helpers.older import bench, seek

SEEK = (0x07, bytes.fromhex("000000050002"))
EXTENT = (0x63, bytes.fromhex("40C00000 00000000 00050002 00050002"))


@pytest.mark.parametrize("program", [[SEEK], [(0x02, 24)], [EXTENT]])
def test_what_needs_tracks_is_refused_and_moves_nothing(program: list[tuple[object, ...]]) -> None:
    device = Bench("3990-3")
    device.device.ready = False
    ended = device.run(program)
    assert ended.status == 0x0E and ended.sense is not None
    assert ended.sense == bytes.fromhex("40 00 00 00 00 00 00 19").ljust(27, b"\0") + b"\x80" + bytes(4)
    argument = program[0][1]
    assert ended.residual == (len(argument) if isinstance(argument, bytes) else argument)


@pytest.mark.parametrize("program", [
    [(0x03, 0)], [(0x04, 32)], [(0xE4, 20)], [(0x64, 64)], [(0xFA, 256)], [(0x34, 12)], [(0xB4, 32)], [(0x94, 32)],
    [(0x54, 40)], [(0x1F, b"\0")],
])  # fmt: skip
def test_the_rest_goes_on(program: list[tuple[object, ...]]) -> None:
    device = Bench("3990-3")
    device.device.ready = False
    assert device.run(program).status == 0x0C


def test_a_chain_under_way_is_finished() -> None:
    device = Bench()
    device.format(5, 2, [(1, b"", b"data")])
    assert device.device.execute("A", Command(SEEK[0], CC, 6, SEEK[1])).status == 0x0C
    device.device.ready = False
    assert device.device.execute("A", Command(0x06, 0, 4, b"", True)).data == b"data"
    assert device.run([SEEK]).status == 0x0E
    device.device.ready = True
    assert device.run([SEEK, (0x06, 4)]).data == [b"data"]


def test_six_sense_bytes() -> None:
    device = bench("2314")
    device.device.ready = False
    ended = device.run([seek(3)])
    assert ended.sense == bytes.fromhex("400000400000")
