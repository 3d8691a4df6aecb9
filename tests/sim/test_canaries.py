"""Every checker sees what it is there for: one component is broken on purpose, and the run must fail by that rule."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from controller.commands.device import Device
from controller.commands.outcome import Command, Outcome
from controller.links.system import StorageSystem
from controller.remote_copy.bridge_sender import BridgeSender
from controller.remote_copy.pair import Pair
from controller.remote_copy.sync_queue import SyncQueue
from tests.helpers.two_systems import SSIDS
from tests.sim.checkers import Check, Violation
from tests.sim.simulation import SimulationFailed, run_seed
from tools.faults import Faults

SEED = 5
SLOW_DISK = Faults(commit_max_s=0.05)
CUTS = Faults(cut=0.001)
CUT_SEEDS = range(8, 14)  # a cut meets a write in every second run or so
READ_DATA = 0x06


def broken_rule(faults: Faults, seeds: Sequence[int] = (SEED,)) -> Check:
    """Run with a canary; the rule that the first of the runs to fail breaks. One of them has to."""
    for seed in seeds:
        try:
            run_seed(seed, faults)
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
