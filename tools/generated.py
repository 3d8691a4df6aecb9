"""Pages of the documentation that are made by a program: written, or compared with `--check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_or_check(name: str, pages: Mapping[Path, str], arguments: Sequence[str] | None = None) -> int:
    """Write the pages of `python -m tools.NAME`; with --check write none, and return 1 if one is not up to date."""
    parser = argparse.ArgumentParser(prog=f"python -m tools.{name}", description="Write generated documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when it is not up to date")
    check = parser.parse_args(arguments).check
    status = 0
    for path, text in pages.items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path} is not up to date: run python -m tools.{name}", file=sys.stderr)
            status = 1
    return status
