"""Fixtures of benchmarks."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[int]:
    """A file of 64 MB in written space."""
    file = os.open(tmp_path / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(64 << 20), 0)
    os.fsync(file)
    yield file
    os.close(file)


@pytest.fixture
def long_lived_objects() -> Iterator[None]:
    """What was there before is no concern of the garbage collector, as in a running system."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
