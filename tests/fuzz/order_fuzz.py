"""PPRC orders D0-D8 and DA as a host sends them to a subsystem: refused by the first rule that they break.

What the header says is judged by the table below, after pprc-commands 4.2-4.12: count, byte 0, byte 1, length, format,
selector, reserved bytes, identities. What passes that is for the state of things to answer; then any reason will do.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from controller.channel import PathId
from controller.commands.outcome import Command, Outcome
from tests.fuzz.box import Box
from tests.fuzz.engine import Failure, watched
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import order_examples

PATH = PathId("H", 0x4001, 0)
VOLUME = 0x00
LETTERS = frozenset([*range(0xF0, 0xFA), *range(0xC1, 0xCA), *range(0xD1, 0xDA), *range(0xE2, 0xEA)])
BOX_CASES = 2_000       # then a new box, so that what was defined does not pile up
FIELDS = [(n, 1) for n in (0, 1, 4, 5, 10, 11, 14, 15, 40, 41, 42, 43)] + [(2, 2), (6, 2), (8, 2), (16, 12), (28, 12)]


class Rule(NamedTuple):
    """One order: length, flags that may be on, selectors, reserved bytes."""

    length: int
    flags: int
    selectors: tuple[int, ...]
    reserved: tuple[int, ...] = ()


RULES = {
    0xD0: Rule(48, 0x70, (0, 1), (46, 47)),
    0xD1: Rule(48, 0x00, (0, 1), tuple(range(42, 48))),
    0xD2: Rule(64, 0x7E, (0,), (47, *range(52, 64))),
    0xD3: Rule(48, 0x40, (0,), tuple(range(44, 48))),
    0xD4: Rule(56, 0x60, (0,), (41, 42, 43)),
    0xD5: Rule(56, 0x00, (0,), (41, 42, 43)),
    0xD6: Rule(48, 0x00, (1, 2), tuple(range(42, 48))),
    0xD7: Rule(72, 0x70, (0, 1, 2), (65,)),
    0xD8: Rule(48, 0x00, (0,), tuple(range(42, 48))),
    0xDA: Rule(64, 0x00, (0,), tuple(range(58, 64))),
}


def judge(data: bytes, peer: bool = False) -> tuple[int, int] | None:
    """(message, offset) of the first header rule that is broken; None when the state decides.

    `peer`: it came from another storage system, which numbers its requests and may send D7.
    """
    rule = RULES.get(data[0])
    if rule is None:
        return 4, 0
    paths = data[41] if data[0] in (0xD0, 0xD1) and len(data) > 41 else 0
    length = rule.length + 8 * paths
    if len(data) < length:
        return 3, -1        # no byte is at fault
    if data[1] & ~rule.flags:
        return 4, 1
    if data[2] << 8 | data[3] != length:
        return 4, 2
    if data[4] != 1:
        return 4, 4
    if data[5] not in rule.selectors:
        return 4, 5
    descriptors = [48 + 8 * path + byte for path in range(paths) for byte in (6, 7)]
    for offset in (*rule.reserved, *descriptors):
        if data[offset]:
            return 4, offset
    if not LETTERS.issuperset(data[16:28]):
        return 4, 16
    nobody = data[0] == 0xD8 and not any(data[28:40])
    if not nobody and not LETTERS.issuperset(data[28:40]):
        return 4, 28
    if bool(data[6] or data[7]) != peer:
        return 4, 6
    return (4, 0) if data[0] == 0xD7 and not peer else None


class OrderFuzz:
    """A box and the orders it gets."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(f"orders/{seed}")
        self.box = Box()
        self.judged = 0

    def step(self, case: int) -> None:
        """One order. Raises Failure."""
        if case % BOX_CASES == BOX_CASES - 1:
            self.box = Box()
        rng = self.rng
        examples = order_examples()
        data = rng.choice(examples)
        if rng.random() < 0.85:
            data = mutate(rng, (data,), FIELDS)
        if not data or (data[0] not in RULES and rng.random() < 0.9):
            data = bytes((rng.choice(tuple(RULES)),)) + data[1:]
        device = rng.choice((VOLUME, VOLUME, data[11] if len(data) > 11 and data[11] < 4 else 1, 0xF0))
        replies: list[Outcome] = []
        try:
            self.box.subsystem.start(PATH, device, Command(0x27, 0x20, len(data), data), replies.append)
            if rng.random() < 0.3:
                self.box.pass_time(rng.choice((0.1, 5.0, 200.0)))
            self.box.subsystem.end_chain(PATH, device)
        except Exception as error:
            raise Failure("orders", self.seed, case, data, repr(error)) from error
        fault = self._fault(data, replies)
        if fault:
            raise Failure("orders", self.seed, case, data, fault)

    def _fault(self, data: bytes, replies: list[Outcome]) -> str | None:
        if not 1 <= len(replies) <= 2:
            return f"{len(replies)} answers"
        if data[0] not in RULES:
            return None     # not remote copy's: parameter_fuzz judges those
        right = judge(data)
        last = replies[-1]
        if right is None:
            return None if last.status & 0x02 or last.status & 0x0C else f"status {last.status:02X}"
        self.judged += 1
        if last.sense is None:
            return f"accepted; right would be message {right[0]} at {right[1]}"
        found = last.sense[7], last.sense[9]
        if right == (3, -1):
            right = 3, found[1]
        return None if found == right else f"message and pointer {found}, right would be {right}"


def run(seed: int, cases: int) -> int:
    """Run cases; how many the judge decided. Raises Failure."""
    fuzz = OrderFuzz(seed)
    with watched() as alive:
        for case in range(cases):
            if not case & 0xFF:
                alive()
            fuzz.step(case)
    return fuzz.judged
