"""Every checker sees what it is there for: one component is broken on purpose, and the run must fail by that rule."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome
from controller.links.system import StorageSystem
from controller.remote_copy import long_busy, upkeep
from controller.remote_copy.bridge_sender import BridgeSender
from controller.remote_copy.pair import Pair
from controller.remote_copy.records import Records
from controller.remote_copy.sync_queue import SyncQueue
from tests.helpers.two_systems import SSIDS
from tests.sim.checkers import Check, Violation
from tests.sim.scenario import Kind, Scenario
from tests.sim.simulation import SimulationFailed, run_seed
from tools.faults import Faults

SEED = 5
SLOW_DISK = Faults(commit_max_s=0.05)
CUTS = Faults(cut=0.001)
CUT_SEEDS = range(8, 14)  # a cut meets a write in every second run or so
READ_DATA = 0x06
OPERATED = Scenario()
GROUP = Scenario(Kind.GROUP, bridges=(1, 2))
RECOVERED = Scenario(Kind.RECOVERED)


def broken_rule(faults: Faults, seeds: Sequence[int] = (SEED,), scenario: Scenario = OPERATED) -> Check:
    """Run with a canary; the rule that the first of the runs to fail breaks. One of them has to."""
    for seed in seeds:
        try:
            run_seed(seed, faults, scenario=scenario)
        except SimulationFailed as failed:
            assert isinstance(failed.cause, Violation), failed.cause
            assert f"--seed {seed}" in str(failed)
            return failed.cause.check
    pytest.fail(f"the canary sang for none of the seeds {list(seeds)}")


def acknowledge_early(monkeypatch: pytest.MonkeyPatch, box: str) -> None:
    """One box believes its array at once, before the disk has synced."""
    made: Callable[..., None] = StorageSystem.__init__

    def make(system: StorageSystem, settings: Any, *others: Any) -> None:
        made(system, settings, *others)
        if settings.own.ssid == SSIDS[box]:
            system.committer.when_durable = lambda sequence, reply: reply(True)  # type: ignore[method-assign]

    monkeypatch.setattr(StorageSystem, "__init__", make)


def test_a_primary_that_acknowledges_before_its_sync_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge_early(monkeypatch, "A")
    assert broken_rule(SLOW_DISK) is Check.RECOVERED


def test_a_secondary_that_acknowledges_before_its_sync_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge_early(monkeypatch, "B")
    assert broken_rule(SLOW_DISK) is Check.MIRRORED


def test_a_duplex_write_that_is_not_sent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pair, "written_through", property(lambda pair: False))
    assert broken_rule(Faults()) is Check.MIRRORED


def test_a_read_of_what_was_there_before_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    execute = Device.execute
    first_seen: dict[bytes, bytes] = {}

    def stale(device: Device, path: Any, command: Command) -> Outcome:
        outcome = execute(device, path, command)
        if command.code == READ_DATA:
            outcome.data = first_seen.setdefault(outcome.data[:4], outcome.data)
        return outcome

    monkeypatch.setattr(Device, "execute", stale)
    assert broken_rule(Faults()) is Check.READ


def test_a_primary_that_forgets_changed_tracks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pair, "mark", lambda pair, tracks: None)
    assert broken_rule(CUTS, CUT_SEEDS) is Check.CONVERGED


def test_a_queue_that_nobody_empties_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyncQueue, "select", lambda queue, *which: None)
    assert broken_rule(Faults()) is Check.CONVERGED


def test_a_sender_that_keeps_everything_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BridgeSender, "_release", lambda sender: None)
    monkeypatch.setattr(BridgeSender, "_room", lambda sender: True)
    assert broken_rule(Faults()) is Check.BOUNDED


def test_a_group_whose_hosts_go_on_after_a_failed_write_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of its two bridges loses its links, and nobody is held off until the freeze."""
    monkeypatch.setattr(long_busy, "write_failed", lambda core, pair: None)
    assert broken_rule(CUTS, (35, 37, 45), GROUP) is Check.ORDERED  # a cut meets a write in few runs


def test_a_group_whose_pairs_are_taken_up_by_themselves_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, while hosts write: only an operator may decide that."""
    monkeypatch.setattr(upkeep, "grouped", lambda core, pair: False)
    assert broken_rule(CUTS, (63,), GROUP) is Check.ORDERED


def test_a_recovered_secondary_that_is_taken_up_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied over, or has a track of each side: which of them is a matter of what is written when."""
    monkeypatch.setattr(Records, "has_ended", lambda records, *pair: False)
    assert broken_rule(Faults(crashes_a=1), (8, 7, 11), RECOVERED) is Check.KEPT
