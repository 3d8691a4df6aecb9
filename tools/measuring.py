"""What several benchmarks measure: processor time of a process, percentiles, what a durable write takes alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median


def processor_s(pid: int) -> float:
    """Processor time that a process has taken so far, in user and in system mode. Raises RuntimeError when it ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError as error:
        raise RuntimeError(f"process {pid} ended") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def durable_write_ms(folder: Path, length: int, count: int) -> float:
    """One write of `length` bytes and its fdatasync, in space that was written before: the median of `count`, in ms."""
    path, took = folder / "durable-write", []
    with path.open("wb+", buffering=0) as file:
        file.write(bytes(count * length))
        os.fdatasync(file.fileno())
        for number in range(count):
            data = os.urandom(length)
            before = time.perf_counter()
            os.pwrite(file.fileno(), data, number * length)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - before)
    path.unlink()
    return median(took) * 1e3
