"""What the atheris targets share: the corpus, the command line, and a canary that must be found.

Each target is a small module: `python -m tests.fuzz.atheris_frames --runs N [--seconds S] [--canary]`. New inputs go to
a folder of their own and are thrown away, unless --keep names one; tests/fuzz/corpus holds the few worth keeping.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
LENGTH_MAX = 2_048


def fuzz(name: str, examples: Iterable[bytes], one: Callable[[bytes], None]) -> None:
    """Let atheris call `one` with bytes until the runs or the seconds are over. It exits the process."""
    import atheris

    parser = argparse.ArgumentParser(description=f"coverage-guided fuzzing: {name}")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for what is found")
    parser.add_argument("--canary", action="store_true", help="break the target on purpose")
    options = parser.parse_args()
    print(f"seed {options.seed}; again: python -m tests.fuzz.atheris_{name} --seed {options.seed}", flush=True)

    def canary(data: bytes) -> None:
        one(data)
        if len(data) % 64 == 13:
            raise AssertionError("the canary")

    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(examples):
            (Path(folder) / f"example-{number}").write_bytes(example)
        found = options.keep or Path(folder)
        kept = CORPUS / name
        atheris.Setup(
            [sys.argv[0], f"-runs={options.runs}", f"-max_total_time={options.seconds}", f"-seed={options.seed}",
             f"-max_len={LENGTH_MAX}", "-rss_limit_mb=1024", "-timeout=20", f"-artifact_prefix={folder}/",
             "-verbosity=0", "-print_final_stats=1",
             str(found), *((str(kept),) if kept.is_dir() else ()), *((folder,) if options.keep else ())],
            canary if options.canary else one,
        )
        atheris.Fuzz()
