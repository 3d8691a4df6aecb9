"""Runs the cases: on all processors of this machine, or on the workers of a Dask cluster. The outcomes are the same.

Cases go out in chunks of the same pattern, values and seed, which share the contents of the warm cache.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from tools.simulation.parameters import Parameters
from tools.simulation.run import Case, Outcome, simulate

CHUNK = 12
CONNECT_S = 10
Report = Callable[[Sequence[Outcome]], None]  # called with outcomes as they come, in any order


class ClusterError(Exception):
    """A cluster that cannot be used; the text is one line."""


def run_chunk(parameters: Parameters, cases: Sequence[Case]) -> list[Outcome]:
    """Run some cases one after the other, in whatever process this is called."""
    return [simulate(parameters, case) for case in cases]


def chunks(cases: Sequence[Case]) -> Iterator[tuple[int, Sequence[Case]]]:
    """Pieces of at most `CHUNK` cases, with where they begin; none spans two seeds."""
    begin = 0
    for index in range(1, len(cases) + 1):
        last = index == len(cases)
        if last or index - begin == CHUNK or _group(cases[index]) != _group(cases[begin]):
            yield begin, cases[begin:index]
            begin = index


def _group(case: Case) -> tuple[object, ...]:
    return case.pattern, case.values, case.seed


def run_here(
    parameters: Parameters, cases: Sequence[Case], workers: int, report: Report | None = None
) -> list[Outcome]:
    """Run them in `workers` processes; the outcomes in the order of the cases."""
    outcomes: dict[int, list[Outcome]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        begun = {pool.submit(run_chunk, parameters, chunk): begin for begin, chunk in chunks(cases)}
        try:
            for future in as_completed(begun):
                outcomes[begun[future]] = future.result()
                if report is not None:
                    report(outcomes[begun[future]])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcome for begin in sorted(outcomes) for outcome in outcomes[begin]]


def _end_with_parent() -> None:
    """Let this worker end when whoever started it does, however that ends: it would go on with what it was given."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_on_dask(
    parameters: Parameters, cases: Sequence[Case], address: str, report: Report | None = None
) -> list[Outcome]:
    """Run them on the workers of the scheduler at `address`; the same outcomes in the same order.

    Raises ClusterError where there is no scheduler, none of its workers has this program, or all of them are lost.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed import as_completed as as_dask_completes
    except ImportError as error:
        raise ClusterError("Dask is not installed: pip install 'trackbridge[dask]'") from error
    outcomes: dict[int, list[Outcome]] = {}
    try:
        with Client(address, timeout=CONNECT_S, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            if not client.scheduler_info()["workers"]:
                raise ClusterError(f"{address}: the scheduler has no workers")
            shared: Any = client.scatter(parameters, broadcast=True)
            begun = {
                client.submit(run_chunk, shared, chunk, pure=False): begin for begin, chunk in chunks(cases)
            }
            for future in as_dask_completes(begun, loop=client.loop):  # type: ignore[no-untyped-call]
                outcomes[begun[future]] = future.result()
                if report is not None:
                    report(outcomes[begun[future]])
    except (OSError, TimeoutError, ValueError, ModuleNotFoundError, KilledWorker) as error:
        raise ClusterError(f"{address}: {str(error).splitlines()[0] if str(error) else 'no answer'}") from error
    return [outcome for begin in sorted(outcomes) for outcome in outcomes[begin]]
