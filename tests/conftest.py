"""Spreads the tests over workers, and makes them the same tests each time, however slow the machine is.

The tests of a file stay together, so that what they set up is set up once. Hypothesis draws the same examples in every
run (profile `fixed`); `make soak` has it draw others (profile `drawn`). Neither looks at the clock.
"""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "drawn", deadline=None, print_blob=True, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fixed", settings.get_profile("drawn"), derandomize=True, database=None)
settings.load_profile("fixed")


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test, for `--dist loadgroup`."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))
