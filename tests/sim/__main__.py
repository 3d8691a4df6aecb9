"""`python -m tests.sim --seed 17`: one run, with everything that happens in it. `--seeds 1000 11000`: many, counted."""

import argparse
import sys
import time

from tests.sim.simulation import SimulationFailed, run_seed
from tests.sim.trace import Trace


def main() -> int:
    """Exit status 1: a run broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run this one and print its trace")
    which.add_argument("--seeds", type=int, nargs=2, metavar=("FIRST", "STOP"), help="run them all; print what fails")
    arguments = parser.parse_args()
    return one(arguments.seed) if arguments.seed is not None else many(range(*arguments.seeds))


def one(seed: int) -> int:
    """Run one seed and print its trace, then how it went."""
    trace = Trace(keep=None)
    try:
        summary = run_seed(seed, trace=trace)
    except SimulationFailed as failed:
        print("\n".join(trace.last))
        print(str(failed).split("\nthe last")[0])
        return 1
    print("\n".join(trace.last))
    print(summary)
    return 0


def many(seeds: range) -> int:
    """Run all seeds in this process; a line for each that fails and, now and then, for how far it is."""
    failed, began = 0, time.process_time()
    for count, seed in enumerate(seeds, 1):
        try:
            run_seed(seed)
        except SimulationFailed as failure:
            failed += 1
            print(str(failure).split("\nthe last")[0], flush=True)
        if count % 100 == 0 or count == len(seeds):
            spent = time.process_time() - began
            print(f"{count:,} seeds, {failed} failed, {spent:.0f} s of processor time", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
