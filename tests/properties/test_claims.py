"""Three hosts on a base and two aliases, in any order: claims never meet, and nobody waits for ever.

Chains with extents and without, space given back, reservations taken, given back and taken over, resets, paths that are
removed, an operator who holds the volume. A command that waits is answered when those before it are over, at the latest
when all others have ended.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.channel import PathId
from controller.commands.outcome import Outcome
from controller.parallel_access import ParallelAccess
from tests.helpers.caller import ALIAS, BASE, READS, SECOND, WRITES, A, B, C, Caller

PATHS, UNITS = (A, B, C), (BASE, ALIAS, SECOND)
STEPS = 60
REFUSED = (0x10, 0x0E)  # busy; told that it has lost the device
SEEK, SEARCH, SENSE_ID, RESERVE, RELEASE, TAKE_OVER = 0x07, 0x31, 0xE4, 0xB4, 0x94, 0x14
OPERATOR = "operator"
BEGIN = ("extent",) * 5 + ("seek", "give back", "sense id", "reserve", "release", "take over")
ACTIONS = ("begin",) * 15 + ("search",) * 4 + ("end",) * 8 + ("reset", "system reset", "path removed", "operator")

Place = tuple[PathId, int]


class Hosts:
    """What the hosts have under way: the answers to the last command of each chain, by path and unit."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.caller = Caller()
        self.chains: dict[Place, list[Outcome]] = {}
        self.seeking: set[Place] = set()
        self.held = False

    def act(self) -> None:
        """Do one thing that can be done now."""
        subsystem, chosen = self.caller.subsystem, self.random.choice(ACTIONS)
        place = path, unit = self.random.choice(PATHS), self.random.choice(UNITS)
        if chosen == "begin":
            if place not in self.chains:
                self.begin(place)
        elif chosen == "search":
            if place in self.seeking and self.chains[place]:
                self.seeking.discard(place)
                if self.chains[place][0].status == 0x0C:
                    self.chains[place] = self.caller.send(path, unit, SEARCH, bytes(5))
        elif chosen == "end":
            if answered := self.answered():
                self.end(self.random.choice(answered))
        elif chosen == "reset":
            self.forget(place)
            subsystem.reset(path, unit)
        elif chosen == "operator":
            if self.held:
                subsystem.let_go(OPERATOR, BASE)
            self.held = not self.held and subsystem.hold(OPERATOR, BASE)
        else:
            for other in UNITS:
                self.forget((path, other))
            if chosen == "system reset":
                subsystem.reset(path, None)
            else:
                subsystem.path_removed(path)

    def begin(self, place: Place) -> None:
        """The first command of a chain."""
        (path, unit), caller = place, self.caller
        match kind := self.random.choice(BEGIN):
            case "extent":
                first = self.random.randrange(6)
                mask = self.random.choice((READS, WRITES))
                answers = caller.extent(path, unit, first, first + self.random.randrange(4), mask)
            case "seek":
                answers = caller.send(path, unit, SEEK, bytes(6), first=True)
                self.seeking.add(place)
            case "give back":
                answers = caller.give_back(path, unit, "0000000300000003", first=True)
            case _:
                code = {"sense id": SENSE_ID, "reserve": RESERVE, "release": RELEASE, "take over": TAKE_OVER}[kind]
                answers = caller.send(path, unit, code, 32, first=True, last=True)
        self.chains[place] = answers

    def answered(self) -> list[Place]:
        """The chains that wait for nothing."""
        return [place for place, answers in self.chains.items() if answers]

    def end(self, place: Place) -> None:
        self.forget(place)
        self.caller.end(*place)

    def forget(self, place: Place) -> None:
        self.chains.pop(place, None)
        self.seeking.discard(place)

    def check(self) -> None:
        """P2: claims that are held do not meet; P4: who has reserved is alone; every command is answered once."""
        devices = self.caller.subsystem.parallel.exposures(BASE)
        chains = [device.active_chain for device in devices]
        claims = [chain.claim for chain in chains if chain is not None and chain.claim is not None]
        for index, claim in enumerate(claims):
            assert not any(claim.conflicts(other) for other in claims[:index]), claims
        owner = devices[0].paths.owner
        for unit, chain in zip(UNITS, chains, strict=True):
            if chain is not None and owner not in (None, chain.path):
                answers = self.chains[chain.path, unit]  # type: ignore[index]
                assert not answers or answers[0].status in REFUSED, "at work beside who has reserved the volume"
        assert all(len(answers) <= 1 for answers in self.chains.values())

    def finish(self) -> None:
        """All come to their end; then every device is free, and takes a chain that writes all of the volume (P3)."""
        if self.held:
            self.caller.subsystem.let_go(OPERATOR, BASE)
        while answered := self.answered():
            self.end(answered[0])
            self.check()
        assert not self.chains, "somebody waits for ever"
        for path in PATHS:
            self.caller.subsystem.path_removed(path)
        for unit in UNITS:
            assert self.caller.extent(A, unit, 0, 9, WRITES)[0].status == 0x0C
            self.caller.end(A, unit)


def run(seed: int) -> None:
    hosts = Hosts(Random(seed))
    for _ in range(STEPS):
        hosts.act()
        hosts.check()
    hosts.finish()


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_claims_never_meet_and_nobody_waits_for_ever(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize(
    ("broken", "symptom"),
    [
        ("chain_over", "somebody waits for ever"),
        ("_conflicts", "Claim"),
        ("_others_work", "at work beside who has reserved"),
    ],
)
def test_broken_claims_are_caught(broken: str, symptom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ParallelAccess, broken, lambda *_: False)
    caught = []
    for seed in range(20):
        try:
            run(seed)
        except AssertionError as error:
            caught.append(str(error))
    assert caught and all(symptom in text for text in caught)
