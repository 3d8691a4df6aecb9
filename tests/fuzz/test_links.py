"""Generated and changed frames at live links, the controller's with its subsystem and the host's, in every state."""

from __future__ import annotations

import pytest

from ccw.escon import RejectReason
from controller.channel.inbound import Inbound
from tests.fuzz import ledger
from tests.fuzz.engine import Failure
from tests.fuzz.link_fuzz import UnitFuzz, held_by, run_host, run_unit
from tests.fuzz.plan import LINK_CASES, SEED
from tests.helpers.devices import Bench

RUNS = 10
HALF = LINK_CASES // 2 // RUNS


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_frame_at_a_control_unit(seed: int) -> None:
    fuzz = run_unit(seed, HALF)
    ledger.note(f"link unit {seed}", HALF)
    assert set(fuzz.rejects) >= {0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B}, "not every reason was met"
    assert fuzz.statuses > HALF // 40, "hardly an exchange comes to its end"


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_frame_at_a_host(seed: int) -> None:
    run_host(seed, HALF)
    ledger.note(f"link host {seed}", HALF)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEED + 100, SEED + 110))
def test_any_frame_with_more_seeds(seed: int) -> None:
    run_unit(seed, LINK_CASES)
    run_host(seed, LINK_CASES)


def test_a_wrong_reject_reason_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Confused:
        UNRECOGNISED_DEVICE_LEVEL = RejectReason.PROTOCOL_ERROR
        RESERVED_FIELD_ERROR = RejectReason.RESERVED_FIELD_ERROR
        LOGICAL_PATH_NOT_ESTABLISHED = RejectReason.LOGICAL_PATH_NOT_ESTABLISHED

    monkeypatch.setattr("controller.channel.inbound.RejectReason", Confused)
    with pytest.raises(Failure, match="LRJ reason 9, right would be"):
        run_unit(SEED, 3_000)


def test_a_crash_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Inbound, device: object) -> bool:
        raise KeyError("no such state")

    monkeypatch.setattr(Inbound, "_for_channel", broken)
    with pytest.raises(Failure, match="KeyError") as caught:
        run_unit(SEED, 500)
    assert f"tests.fuzz.replay link:unit --seed {SEED} --case {caught.value.case}" in str(caught.value)


def test_a_chain_that_outlives_its_link_is_seen() -> None:
    def forgetful(fuzz: UnitFuzz) -> None:
        fuzz.box.subsystem.end_chain = lambda path, unit_address: None  # type: ignore[method-assign]
        fuzz.box.subsystem.path_removed = lambda path: None  # type: ignore[method-assign]

    with pytest.raises(Failure, match="outlives"):
        run_unit(SEED, 2_000, forgetful)


def test_what_hosts_leave_behind_is_forgotten() -> None:
    """A thousand hosts, each with a group of its own that sets characteristics; all reset, as a lost link does."""
    bench = Bench("2107", 3)
    before = held_by(bench.device)
    for number in range(1_000):
        path, group = f"path {number}", number.to_bytes(11, "big", signed=True)
        for program in ([(0x27, b"\x1d\0" + bytes(64))], [(0xAF, b"\x80" + (group if number else b"x" * 11))],
                        [(0x27, b"\x1d\0" + bytes(64))], [(0xFF, 5)]):
            bench.run(program, path=path)  # type: ignore[arg-type]
        bench.device.reset_path(path, selective=False)
    assert held_by(bench.device) <= before + 4
