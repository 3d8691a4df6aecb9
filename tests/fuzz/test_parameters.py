"""Parameter lists and PPRC orders, right and wrong: the sense is the one that the specification names."""

from __future__ import annotations

import pytest

from controller.commands import locate
from tests.fuzz import ledger, order_fuzz, parameter_fuzz
from tests.fuzz.engine import Failure
from tests.fuzz.judge import FILE_PROTECTED, NOT_FOUND, OK, Judge, reject
from tests.fuzz.plan import ORDER_CASES, PARAMETER_CASES, SEED

RUNS = 10


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_parameter_list(seed: int) -> None:
    answers = parameter_fuzz.run(seed, PARAMETER_CASES // RUNS)
    ledger.note(f"parameters {seed}", PARAMETER_CASES // RUNS)
    met = {OK, FILE_PROTECTED, NOT_FOUND, reject(2), reject(3), reject(4), reject(0x0F, 0x67), reject(0x0F, 0x34)}
    assert set(answers) == met
    assert answers[OK] > PARAMETER_CASES // RUNS // 10


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_any_order(seed: int) -> None:
    judged = order_fuzz.run(seed, ORDER_CASES // RUNS)
    ledger.note(f"orders {seed}", ORDER_CASES // RUNS)
    assert ORDER_CASES // RUNS // 3 < judged < ORDER_CASES // RUNS, "orders must break rules, and keep them"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEED + 100, SEED + 110))
def test_any_list_with_more_seeds(seed: int) -> None:
    parameter_fuzz.run(seed, PARAMETER_CASES)
    order_fuzz.run(seed, ORDER_CASES)


def test_a_rule_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "_check_flags", lambda request, operation, suffix_allowed: None)
    with pytest.raises(Failure, match="right would be"):
        parameter_fuzz.run(SEED, 5_000)


def test_rules_in_another_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file mask is looked at before the flags: a judge that swaps them disagrees."""
    flags_first = Judge._flags_wrong

    def swapped(self: Judge, data: bytes, extent: object) -> set[tuple[int, int, int, int]]:
        if len(data) >= 16 and flags_first(data, data[0] & 0x3F, data[0] & 0x3F in (0x01, 0x16)):
            return {reject(4)}
        return locate_by_rule(self, data, extent)  # type: ignore[arg-type]

    locate_by_rule = Judge.locate
    monkeypatch.setattr(Judge, "locate", swapped)
    with pytest.raises(Failure, match="right would be"):
        parameter_fuzz.run(SEED, 5_000)


def test_an_order_judged_too_kindly_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.remote_copy.checks.pprc.reserved_error", lambda data: None)
    with pytest.raises(Failure, match="right would be"):
        order_fuzz.run(SEED, 3_000)
