"""Spreads the tests over workers: the tests of a file stay together, so that what they set up is set up once."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test, for `--dist loadgroup`."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))
