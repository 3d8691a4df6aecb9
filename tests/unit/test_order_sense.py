"""The sense of a refused PPRC order: held for a host that did not ask for it in the status, as any other sense is."""

from __future__ import annotations

from controller.channel import PathId
from controller.commands.outcome import Command, Outcome
from tests.fuzz.box import Box
from tests.fuzz.seeds import order_examples

PATH = PathId("H", 0x4001, 0)


def test_the_sense_of_a_refused_order_can_be_fetched_once() -> None:
    box = Box()
    order = bytearray(order_examples()[-1])
    order[4] = 9        # format
    ended: list[Outcome] = []
    box.subsystem.start(PATH, 0, Command(0x27, 0x20, len(order), bytes(order)), ended.append)
    box.subsystem.end_chain(PATH, 0)
    for _ in range(2):
        box.subsystem.start(PATH, 0, Command(0x04, 0, 32, b""), ended.append)
        box.subsystem.end_chain(PATH, 0)
    refused, sense, again = ended
    assert refused.sense is not None and refused.sense[7:10] == bytes((4, 0, 4))
    assert sense.data == refused.sense
    assert not any(again.data[:3]) and not again.data[7]
