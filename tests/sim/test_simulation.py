"""Two systems survive every drawn combination of faults; the same seed is the same run.

pytest tests/sim/test_simulation.py --seed 17         replays one seed
python -m tests.sim --seed 17                         prints all that happens in it as well
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.sim.scenario import Kind
from tests.sim.simulation import Summary, run_seed
from tests.sim.trace import Trace

ROOT = Path(__file__).parents[2]
NORMAL_SEEDS = range(300)
SOAK_SEEDS = range(1_000, 11_000)


def seeds(wanted: Iterable[int]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test once for each seed, unless --seed names another."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        test.seeds = list(wanted)  # type: ignore[attr-defined]
        return test

    return mark


def something_happened(run: Summary) -> None:
    """Hosts got something done, and where writes depend on each other the secondary was looked at."""
    assert run.reads > 0 and run.writes > 0
    assert (run.orders_checked > 0) == (run.kind == Kind.GROUP.name)


@seeds(NORMAL_SEEDS)
def test_nothing_acknowledged_is_lost_and_both_sides_become_equal(seed: int) -> None:
    something_happened(run_seed(seed))


@pytest.mark.soak
@seeds(SOAK_SEEDS)
def test_the_same_with_many_seeds(seed: int) -> None:
    something_happened(run_seed(seed))


SAME_SEED = 3


def test_one_seed_twice_is_the_same_run() -> None:
    first, second = Trace(keep=None), Trace(keep=None)
    one, other = run_seed(SAME_SEED, trace=first), run_seed(SAME_SEED, trace=second)
    assert next((pair for pair in zip(first.last, second.last, strict=False) if pair[0] != pair[1]), None) is None
    assert one == other


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    program = f"from tests.sim.simulation import run_seed; print(run_seed({SAME_SEED}).digest)"
    digests = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.append(done.stdout.strip())
    assert digests[0] == digests[1]
    assert len(digests[0]) == 64
