"""`--seed N`: replay one seed of the simulation in place of the usual ones."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the simulation with this seed only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `seed` the seeds of its attribute `seeds`, or the one that was asked for."""
    if "seed" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("seed", None)
        seeds = metafunc.function.seeds if wanted is None else [wanted]
        metafunc.parametrize("seed", seeds)
