"""Hostile lists and orders over live links, through a director, from a peer: the sense is the specification's."""

from __future__ import annotations

import pytest

from controller.channel.director import Director
from controller.commands import locate
from controller.commands.device import Device
from controller.remote_copy.service import RemoteCopy
from controller.subsystem import Subsystem
from tests.fuzz import ledger, peer_fuzz, program_fuzz
from tests.fuzz.engine import Failure
from tests.fuzz.judge import FILE_PROTECTED, NOT_FOUND, OK, reject
from tests.fuzz.plan import DIRECTED_CASES, PEER_CASES, PROGRAM_CASES, SEED

RUNS = 5
MET = {OK, FILE_PROTECTED, NOT_FOUND, reject(1), reject(2), reject(3), reject(4), reject(0x0F, 0x67)}


def _check(fuzz: program_fuzz.ProgramFuzz, cases: int) -> None:
    assert set(fuzz.answers) >= MET
    assert fuzz.answers[OK] > cases // 20
    assert fuzz.fetched > cases // 5, "sense must come both ways"
    assert fuzz.disturbed > cases // 10


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_list_over_a_live_link(seed: int) -> None:
    cases = PROGRAM_CASES // RUNS
    _check(program_fuzz.run(seed, cases), cases)
    ledger.note(f"programs {seed}", cases)


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_list_through_a_director(seed: int) -> None:
    cases = DIRECTED_CASES // RUNS
    fuzz = program_fuzz.run_directed(seed, cases)
    _check(fuzz, cases)
    ledger.note(f"director {seed}", cases)
    assert fuzz.link is not None and len(fuzz.link.met) == 6, "not every refusal of the director was met"


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_order_of_a_peer(seed: int) -> None:
    cases = PEER_CASES // RUNS
    fuzz = peer_fuzz.run(seed, cases)
    ledger.note(f"peer {seed}", cases)
    assert fuzz.judged > cases // 2 and fuzz.accepted > cases // 20 and fuzz.inhibited > cases // 20
    assert {(0x0F, reason) for reason in (0x43, 0x45, 0x48, 0x5D, 0x62)} <= set(fuzz.refusals)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEED + 100, SEED + 110))
def test_any_program_with_more_seeds(seed: int) -> None:
    program_fuzz.run(seed, PROGRAM_CASES)
    program_fuzz.run_directed(seed, DIRECTED_CASES)
    peer_fuzz.run(seed, PEER_CASES)


def test_sense_that_cannot_be_fetched_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "hold_sense", lambda self, path, image: None)
    with pytest.raises(Failure, match="right would be"):
        program_fuzz.run(SEED, 500)


def test_a_rule_left_out_is_seen_over_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "_check_flags", lambda request, operation, suffix_allowed: None)
    with pytest.raises(Failure, match="right would be"):
        program_fuzz.run(SEED, PROGRAM_CASES)


def test_a_director_that_lets_everything_pass_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Director, "_refusal", _only_undefined)
    with pytest.raises(Failure):
        program_fuzz.run_directed(SEED, 500)


_refusal = Director._refusal


def _only_undefined(self: Director, port: object, frame: object) -> object:
    found = _refusal(self, port, frame)  # type: ignore[arg-type]
    return None if found is not None and found[1] == 4 else found


def test_a_secondary_that_hosts_may_touch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteCopy, "gate", lambda self, volume, code: None)
    with pytest.raises(Failure, match="a host may touch it"):
        peer_fuzz.run(SEED, 500)


def test_a_peer_order_judged_too_kindly_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.remote_copy.checks.pprc.reserved_error", lambda data: None)
    with pytest.raises(Failure, match="right would be"):
        peer_fuzz.run(SEED, PEER_CASES)


def test_a_subsystem_that_keeps_a_little_of_many_chains_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    end_chain, kept = Subsystem.end_chain, 0

    def hoard(self: Subsystem, path: object, unit_address: int) -> None:
        nonlocal kept
        kept += 1
        if kept % 10 == 0:
            self.__dict__.setdefault("hoard", []).append(kept)
        end_chain(self, path, unit_address)

    monkeypatch.setattr(Subsystem, "end_chain", hoard)
    with pytest.raises(Failure, match="things pile up"):
        program_fuzz.run(SEED, 1_000)
