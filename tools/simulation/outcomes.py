"""Outcomes as lines of a file, one run each, and back: a report can be made again without running again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tools.simulation.run import Case, Outcome


class OutcomesError(ValueError):
    """A file of outcomes that cannot be used; the text is one line."""


def add_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """One JSON object a line, behind what the file holds."""
    with path.open("a", encoding="utf-8") as stream:
        for outcome in outcomes:
            stream.write(json.dumps(asdict(outcome), separators=(",", ":")) + "\n")


def read_outcomes(path: Path) -> list[Outcome]:
    """What `add_outcomes` wrote. Raises OutcomesError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise OutcomesError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OutcomesError(f"{path}: not UTF-8 at byte {error.start}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            fields = json.loads(line)
            case = fields.pop("case")
            case["values"] = tuple((name, value) for name, value in case["values"])
            fields["duplex_at"] = tuple(fields["duplex_at"])
            found.append(Outcome(case=Case(**case), **fields))
        except (ValueError, TypeError, KeyError) as error:
            raise OutcomesError(f"{path}: line {number}: not an outcome") from error
    return found
