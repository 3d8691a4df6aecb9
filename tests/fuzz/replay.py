"""Run one case again, or a campaign with other seeds.

    python -m tests.fuzz.replay TARGET --seed S --case N      the case, with its traceback
    python -m tests.fuzz.replay TARGET --hex 0102             these bytes
    python -m tests.fuzz.replay all --seed S --cases N        N cases of every decoder
    python -m tests.fuzz.replay --list

Targets are the decoders, and `link:unit`, `link:host`, `parameters`, `orders`, `programs`, `programs:director`,
`peer`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.fuzz import link_fuzz, order_fuzz, parameter_fuzz, peer_fuzz, program_fuzz
from tests.fuzz.engine import Failure, judge, run
from tests.fuzz.seeds import targets

CAMPAIGNS: dict[str, Callable[[int, int], object]] = {
    "link:unit": link_fuzz.run_unit,
    "link:host": link_fuzz.run_host,
    "parameters": parameter_fuzz.run,
    "orders": order_fuzz.run,
    "programs": program_fuzz.run,
    "programs:director": program_fuzz.run_directed,
    "peer": peer_fuzz.run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """0: no rule was broken; 1: one was; 2: no such target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.replay", description="fuzz cases again")
    parser.add_argument("target", nargs="?", default="all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--hex")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(argv)
    known = targets()
    if options.list:
        print("\n".join([*known, *CAMPAIGNS]))
        return 0
    cases = options.cases if options.case is None else options.case + 1
    try:
        if options.hex is not None:
            print(judge(known[options.target].decoder, bytes.fromhex(options.hex)))
        elif options.target in CAMPAIGNS:
            CAMPAIGNS[options.target](options.seed, cases)
        elif options.target == "all":
            for chosen in known.values():
                run(chosen, options.seed, cases)
        elif options.target in known:
            run(known[options.target], options.seed, cases)
        else:
            parser.error(f"no target {options.target}; --list names them")
    except Failure as failure:
        cause = failure.__cause__
        if cause is not None:
            sys.excepthook(type(cause), cause, cause.__traceback__)
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
