"""What the fuzz tests of this run have done, so that one test can assert the sum."""

from __future__ import annotations

_CASES: dict[str, int] = {}


def note(part: str, cases: int) -> None:
    """A part has run so many cases. Each part counts once."""
    _CASES[part] = cases


def total(prefix: str = "") -> int:
    """Cases of the parts whose names begin with `prefix`."""
    return sum(cases for part, cases in _CASES.items() if part.startswith(prefix))


def parts(prefix: str = "") -> int:
    """How many parts have run."""
    return sum(part.startswith(prefix) for part in _CASES)
