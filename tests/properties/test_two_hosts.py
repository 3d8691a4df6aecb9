"""Two hosts on one volume, their frames interleaved in any order: what they see is one order of whole chains per track.

Host A has two paths, host B one. Each write chain puts one token into both records of a track; each read chain reads
both. The history of a track must be that of one register (linearisable): some order of the operations explains every
value read, and keeps operations that did not overlap in the order in which they happened.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.commands.device import Device
from host_emulator.channel import Response
from tests.helpers.hosts import (
    EMPTY,
    GROUP_A,
    GROUP_B,
    TRACKS,
    UNIT,
    Host,
    ManyLinks,
    Operation,
    Program,
    extent,
    formatting,
    race,
    reading,
    writing,
)

ALIAS = 0xE0
WRITE, READ, REFUSED = "write", "read", "refused"
Plan = list[tuple[str, int]]


def refused(track: bytes) -> Program:
    """A chain that ends with unit check before it wrote anything: a record that is not there."""
    locate = b"\x01\x80\0\x01" + track + track + b"\x09\xff\0\x08"
    return [extent("80", track), (0x47, locate), (0x85, EMPTY)]


def token_of(operation: Operation) -> bytes:
    value = operation.program[-1][1]
    assert isinstance(value, bytes)
    return value


def value_read(operation: Operation) -> bytes:
    first, second = (response.data for response in operation.responses[-2:])
    assert first == second, "a chain saw half of another one"
    return first


def linearisable(operations: list[Operation]) -> bool:
    """Is there an order of these reads and writes of one register that explains them?"""
    events = []
    for operation in operations:
        is_write = operation.program[-1][0] == 0x85
        value = token_of(operation) if is_write else value_read(operation)
        events.append((operation.begin, operation.end, is_write, value))

    @cache
    def explained(left: frozenset[int], value: bytes) -> bool:
        if not left:
            return True
        first_end = min(events[index][1] for index in left)
        for index in left:
            begin, _, is_write, token = events[index]
            if begin <= first_end and (is_write or token == value) and explained(left - {index}, token):
                return True
        return False

    return explained(frozenset(range(len(events))), EMPTY)


def test_the_checker_knows_a_stale_read() -> None:
    write, stale = Operation(writing(TRACKS[0], b"newvalue"), 1, 5), Operation(reading(TRACKS[0]), 6, 9)
    stale.responses = [Response(0x0C, EMPTY, 0, False, None, False)] * 4
    assert not linearisable([write, stale])
    stale.begin = 4
    assert linearisable([write, stale])


STEP = st.tuples(st.sampled_from((WRITE, READ, READ, REFUSED)), st.sampled_from((0, 1)))
KINDS = st.lists(STEP, min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(plans=st.tuples(KINDS, KINDS), seed=st.integers(0, 2**32 - 1), solicit=st.booleans())
def test_every_history_is_serialisable_per_track(plans: tuple[Plan, Plan], seed: int, solicit: bool) -> None:
    run_race(plans, seed, solicit)


def test_a_device_that_two_chains_use_at_once_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "_is_busy", lambda *_: False)
    plan = [(WRITE, 0), (READ, 0), (WRITE, 0), (READ, 0)]
    caught = 0
    for seed in range(10):
        try:
            run_race((plan, plan), seed, solicit=True)
        except AssertionError:
            caught += 1
    assert caught == 10


@settings(max_examples=40, deadline=None)
@given(plans=st.tuples(KINDS, KINDS), seed=st.integers(0, 2**32 - 1))
def test_so_is_every_history_over_a_base_and_its_alias(plans: tuple[Plan, Plan], seed: int) -> None:
    """The chains of the two hosts do run side by side now; what they read and write is kept apart by their claims."""
    run_race(plans, seed, solicit=True, alias=ALIAS)


def run_race(plans: tuple[Plan, Plan], seed: int, solicit: bool, alias: int = UNIT) -> None:
    """Run both plans, frames and hardening in the order that `seed` gives, and judge what the hosts saw.

    `alias`: by which host B reaches the volume.
    """
    box = ManyLinks(["A1", "A2", "B1"], solicit_sense=solicit, aliases=(ALIAS,))
    for name, group in (("A1", GROUP_A), ("A2", GROUP_A), ("B1", GROUP_B)):
        assert box.run(name, [(0xAF, b"\x80" + group)])[-1].status == 0x0C
    for track in TRACKS:
        assert box.run("A1", formatting(track))[-1].status == 0x0C
    hosts = []
    for host, (links, plan) in enumerate(zip((["A1", "A2"], ["B1"]), plans, strict=True)):
        programs: list[Program] = []
        for number, (kind, place) in enumerate(plan):
            token = bytes((host + 1, number)) + b"token!"
            track = TRACKS[place]
            if kind == REFUSED:
                programs.append(refused(track))
                if not solicit:
                    programs.append([(0x04, 32)])
            else:
                programs.append(writing(track, token) if kind == WRITE else reading(track))
        hosts.append(Host(box, links, programs, unit=alias if host else UNIT))
    chooser = random.Random(seed)
    race(box, hosts, chooser.randrange)
    done = [operation for host in hosts for operation in host.done]
    for operation in done:
        assert operation.responses[-1].status == (0x0E if len(operation.program) == 3 else 0x0C)
    for track in TRACKS:
        assert linearisable([operation for operation in done if track_of(operation) == track])


def track_of(operation: Operation) -> bytes | None:
    """The track that the operation reads or writes; None for the others."""
    parameters = operation.program[0][1]
    return parameters[8:12] if isinstance(parameters, bytes) and len(operation.program) == 4 else None
