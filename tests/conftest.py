"""Spreads the tests over workers: a file's tests stay together, and so do all that count the cases of fuzzing."""

from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test, for `--dist loadgroup`."""
    for item in items:
        group = "fuzz" if item.path.is_relative_to(FUZZ) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
