"""The cases of all parts add up to the million that one run promises. Last, so that the parts have run."""

from __future__ import annotations

import pytest

from tests.fuzz import ledger
from tests.fuzz.decoders import find_decoders
from tests.fuzz.plan import (
    DIRECTED_CASES,
    LINK_CASES,
    ORDER_CASES,
    PARAMETER_CASES,
    PEER_CASES,
    PROGRAM_CASES,
    TOTAL,
    codec_cases,
)


def test_the_plan_is_a_million() -> None:
    others = LINK_CASES, PARAMETER_CASES, ORDER_CASES, PROGRAM_CASES, DIRECTED_CASES, PEER_CASES
    assert sum(codec_cases(list(find_decoders())).values()) + sum(others) == TOTAL
    assert TOTAL == 1_000_000


def test_the_million_was_run() -> None:
    parts = {"codec": len(find_decoders()), "link": 20, "parameters": 10, "orders": 10, "programs": 5,
             "director": 5, "peer": 5}
    missing = [name for name, count in parts.items() if ledger.parts(name) != count]
    if missing:
        pytest.skip(f"not all parts were chosen or passed: {', '.join(missing)}")
    assert ledger.total() == TOTAL
